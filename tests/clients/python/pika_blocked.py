"""pika on a broker whose disk counts as full: publishers are told and held back, everybody else goes on."""

import pika

from suite import case, equal, main, wait_until


@case
def publisher_is_told_and_others_go_on(url):
    publisher = pika.BlockingConnection(pika.URLParameters(url))
    reasons = []
    publisher.add_on_connection_blocked_callback(lambda _, frame: reasons.append(frame.method.reason))
    channel = publisher.channel()
    queue = channel.queue_declare("", auto_delete=True).method.queue
    channel.basic_publish("", queue, b"held back")

    def told():
        publisher.process_data_events(time_limit=0.1)
        return reasons

    wait_until(told, "connection.blocked")
    equal(reasons, ["low on disk"], "reason")

    other = pika.BlockingConnection(pika.URLParameters(url))
    channel = other.channel()
    mine = channel.queue_declare("", exclusive=True).method.queue
    equal(channel.basic_get(mine), (None, None, None), "an empty queue")
    other.close()


if __name__ == "__main__":
    main()
