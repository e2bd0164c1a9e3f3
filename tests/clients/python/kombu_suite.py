"""What a program that uses kombu expects of a broker: its entities, pools, retries and simple queues, over py-amqp."""

import datetime
import socket

from amqp.exceptions import AccessRefused
from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.mixins import ConsumerMixin
from kombu.pools import producers

from suite import case, equal, main, restart_broker, restart_case, unique, wait_until


TEMPORARY = {"durable": False, "exclusive": True}


def connect(url, **options):
    """kombu takes the virtual host of amqp://host// as `/`."""
    return Connection(url, **options)


def drain(connection, condition, what):
    """Takes events until the condition holds."""

    def step():
        try:
            connection.drain_events(timeout=0.1)
        except socket.timeout:
            pass

    wait_until(condition, what, step=step)


@case
def publish_and_consume_json(url):
    with connect(url) as connection:
        exchange = Exchange(unique("kombu"), type="topic", durable=False, auto_delete=True)
        queue = Queue(unique("kombu"), exchange, routing_key="a.#", durable=False, auto_delete=True)
        received = []

        def on_message(body, message):
            received.append((body, message.headers, message.properties["priority"]))
            message.ack()

        with Consumer(connection, [queue], callbacks=[on_message], accept=["json"]):
            producer = Producer(connection)
            sent = {"text": "grüße", "list": [1, 2.5, None], "when": "now"}
            headers = {"n": 7, "nested": {"a": [True, "b"]}}
            producer.publish(
                sent, exchange=exchange, routing_key="a.b", headers=headers, priority=3, declare=[queue], serializer="json"
            )
            drain(connection, lambda: received, "the message")
        equal(received, [(sent, headers, 3)])


@case
def serializers_and_compression(url):
    with connect(url) as connection, connection.SimpleQueue(unique("kombu"), queue_opts=TEMPORARY) as queue:
        for serializer, compression in (("json", None), ("pickle", "zlib"), ("json", "bzip2")):
            queue.put({"number": 7, "text": "x" * 1000}, serializer=serializer, compression=compression)
            queue.consumer.accept = {"application/json", "application/x-python-serialize"}
            message = queue.get(block=True, timeout=10)
            equal(message.payload, {"number": 7, "text": "x" * 1000}, f"{serializer} {compression}")
            message.ack()
        equal(queue.qsize(), 0)


@case
def publisher_confirms(url):
    with connect(url, transport_options={"confirm_publish": True}) as connection:
        queue = Queue(unique("kombu"), durable=False, exclusive=True)
        with producers[connection].acquire(block=True) as producer:
            queue(producer.channel).declare()
            for number in range(50):
                producer.publish({"n": number}, routing_key=queue.name, delivery_mode=2, retry=True)
            equal(queue(producer.channel).queue_declare(passive=True).message_count, 50)
            equal(queue(producer.channel).purge(), 50)


@case
def prefetch_and_requeue(url):
    with connect(url) as connection:
        queue = Queue(unique("kombu"), durable=False, exclusive=True)
        received = []
        consumer = Consumer(connection, [queue], on_message=received.append, prefetch_count=3)
        producer = Producer(connection)
        with consumer:
            for number in range(10):
                producer.publish({"n": number}, routing_key=queue.name)
            drain(connection, lambda: len(received) == 3, "three messages")
            equal(queue(connection).queue_declare(passive=True).message_count, 7, "ready")
            received[0].ack()
            drain(connection, lambda: len(received) == 4, "a fourth")
            received[1].requeue()
            drain(connection, lambda: len(received) == 5, "the same again")
            equal((received[4].payload, received[4].delivery_info["redelivered"]), ({"n": 1}, True))
            received[2].reject()


@case
def queue_arguments(url):
    """The arguments that kombu spells out: Celery's reply queues use them."""
    with connect(url) as connection:
        queue = Queue(unique("kombu"), durable=False, expires=30.0, message_ttl=0.2, channel=connection.channel())
        queue.declare()
        Producer(connection).publish({}, routing_key=queue.name)
        wait_until(lambda: queue.queue_declare(passive=True).message_count == 0, "the message has expired")
        queue.delete()


@case
def headers_keep_their_types(url):
    with connect(url) as connection, connection.SimpleQueue(unique("kombu"), queue_opts=TEMPORARY) as queue:
        headers = {
            "int": -5,
            "long": 2**40,
            "float": 2.5,
            "bool": True,
            "none": None,
            "text": "grüße",
            "time": datetime.datetime(2024, 2, 29, 12, 30),
            "list": [1, "two", [3]],
            "table": {"a": {"b": 1}},
        }
        queue.put("body", headers=headers)
        message = queue.get(block=True, timeout=10)
        equal(message.headers, headers)
        message.ack()


@case
def wrong_password(url):
    try:
        connect(url).clone(password="wrong").connect()
    except AccessRefused as error:
        equal(
            (error.reply_code, error.reply_text),
            (
                403,
                "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.",
            ),
        )
    else:
        raise AssertionError("let in with a wrong password")


class Worker(ConsumerMixin):
    """The worker of kombu's own manual: it reconnects by itself."""

    def __init__(self, connection, queue):
        self.connection = connection
        self.queue = queue
        self.received = []

    def get_consumers(self, consumer_class, channel):
        return [consumer_class([self.queue], on_message=self.on_message, prefetch_count=1)]

    def on_message(self, message):
        self.received.append(message.payload)
        message.ack()
        if len(self.received) == 3:
            restart_broker("kill")
        self.should_stop = len(self.received) >= 10


@restart_case
def worker_goes_on_after_a_kill(url):
    with connect(url, transport_options={"confirm_publish": True}) as connection:
        queue = Queue(unique("kombu"), durable=True)
        producer = Producer(connection)
        for number in range(10):
            producer.publish(number, routing_key=queue.name, declare=[queue], delivery_mode=2)
    with connect(url) as connection:
        worker = Worker(connection, queue)
        worker.run()
        # The acknowledgement of the third may or may not have been safe yet when the broker was killed.
        received = worker.received
        assert received[:3] == [0, 1, 2] and received[3] in (0, 1, 2, 3), received
        equal(sorted(set(received)), list(range(max(received) + 1)))
    with connect(url) as connection:
        queue(connection).delete()


if __name__ == "__main__":
    main()
