"""Who gets which message when, seen by pika: priorities, single active and exclusive consumers, limits of delivery."""

import contextlib
import time

import pika

from pika_tools import Consumer, bodies, connected, depth, doomed, fill, get, new_queue, publish, reconnected, refused
from suite import beyond, case, equal, main, restart_broker, restart_case, unique, wait_until


@contextlib.contextmanager
def ranked(url, levels=10, **arguments):
    """A confirming channel and a queue with priorities."""
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel, new_queue(channel, arguments={"x-max-priority": levels, **arguments})


@contextlib.contextmanager
def quorum(url, **arguments):
    """A confirming channel and a queue of the type quorum."""
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        arguments = {"x-queue-type": "quorum", **{name.replace("_", "-"): value for name, value in arguments.items()}}
        queue = new_queue(channel, durable=True, exclusive=False, arguments=arguments)
        yield channel, queue
        connection.channel().queue_delete(queue)


def numbers(first, end):
    """The bodies of `fill`."""
    return [b"%d" % number for number in range(first, end)]


# --- priorities -------------------------------------------------------------------------------------------------------


@case
def higher_priorities_come_first(url):
    with ranked(url) as (channel, queue):
        for priority in (0, 5, 10, 3, 7, 5, 1, 10, 9, None):
            publish(channel, queue, b"%d" % (priority or 0), priority=priority)
        equal([int(body) for body in bodies(channel, queue)], [10, 10, 9, 7, 5, 5, 3, 1, 0, 0])


@case
def order_within_a_priority(url):
    with ranked(url) as (channel, queue):
        for number in range(60):
            publish(channel, queue, b"%d" % number, priority=number % 3)
        expected = [b"%d" % number for rest in (2, 1, 0) for number in range(rest, 60, 3)]
        consumer = Consumer(channel.connection.channel(), queue, auto_ack=True)
        equal([body for *_, body in consumer.wait_for(60)], expected)


@case
def priorities_above_the_highest_are_the_highest(url):
    with ranked(url) as (channel, queue):
        for body, priority in ((b"9", 9), (b"255", 255), (b"10", 10), (b"11", 11)):
            publish(channel, queue, body, priority=priority)
        taken = [get(channel, queue) for _ in range(4)]
        equal([body for *_, body in taken], [b"255", b"10", b"11", b"9"])
        equal([properties.priority for _, properties, _ in taken], [255, 10, 11, 9], "kept as it was sent")


@case
def all_levels_there_are(url):
    with ranked(url, 255) as (channel, queue):
        for priority in range(256):
            publish(channel, queue, b"%d" % priority, priority=priority)
        equal([int(body) for body in bodies(channel, queue)], list(range(255, -1, -1)))


@case
def without_priorities_they_mean_nothing(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for arguments in (None, {"x-max-priority": 0}):
            queue = new_queue(channel, arguments=arguments)
            for number in range(5):
                publish(channel, queue, b"%d" % number, priority=number)
            equal(bodies(channel, queue), numbers(0, 5))


@case
def what_goes_back_is_in_its_place_of_its_level(url):
    with ranked(url) as (channel, queue):
        for number in range(6):
            publish(channel, queue, b"%d" % number, priority=number % 2)
        taken = [get(channel, queue, auto_ack=False) for _ in range(5)]
        equal([body for *_, body in taken], [b"1", b"3", b"5", b"0", b"2"])
        for method, *_ in reversed(taken):
            channel.basic_nack(method.delivery_tag, requeue=True)
        publish(channel, queue, b"6", priority=0)
        publish(channel, queue, b"7", priority=1)
        again = [get(channel, queue) for _ in range(8)]
        equal([body for *_, body in again], [b"1", b"3", b"5", b"7", b"0", b"2", b"4", b"6"])
        equal([method.redelivered for method, *_ in again], [True, True, True, False, True, True, False, False])


@case
def prefetch_and_priorities(url):
    """What a consumer holds cannot be overtaken; the next one that it is given is the highest."""
    with ranked(url) as (channel, queue):
        reader = channel.connection.channel()
        reader.basic_qos(prefetch_count=2)
        fill(channel, queue, 4)  # priority 0
        consumer = Consumer(reader, queue)
        consumer.wait_for(2)
        for priority in (3, 9):
            publish(channel, queue, b"high %d" % priority, priority=priority)
        for done in range(6):
            consumer.wait_for(done + 1)
            reader.basic_ack(consumer.deliveries[done][0].delivery_tag)
        expected = [b"0", b"1", b"high 9", b"high 3", b"2", b"3"]
        equal([body for *_, body in consumer.deliveries], expected)


@case
def limits_and_priorities(url):
    """drop-head drops what would be delivered next, as RabbitMQ's documentation says: the highest."""
    with ranked(url, **{"x-max-length": 3}) as (channel, queue):
        for body, priority in ((b"a", 5), (b"b", 1), (b"c", 5), (b"d", 0), (b"e", 2), (b"f", 1)):
            publish(channel, queue, body, priority=priority)
        equal(bodies(channel, queue), [b"b", b"f", b"d"])


@case
def ttl_and_priorities(url):
    """What has expired behind a higher priority may be counted until its turn, but never delivered."""
    with ranked(url) as (channel, queue):
        publish(channel, queue, b"high and lasting", priority=9)
        publish(channel, queue, b"low and short", priority=0, expiration="200")
        publish(channel, queue, b"low and lasting", priority=0)
        time.sleep(0.4)  # the rule is about time that passes
        equal(bodies(channel, queue), [b"high and lasting", b"low and lasting"])


@restart_case
def priorities_survive_a_kill(url):
    connection = doomed(url)
    channel = connection.channel()
    channel.confirm_delivery()
    queue = new_queue(channel, exclusive=False, durable=True, arguments={"x-max-priority": 10})
    for number in range(30):
        properties = pika.BasicProperties(delivery_mode=2, priority=number % 3)
        channel.basic_publish("", queue, b"%d" % number, properties)
    restart_broker("kill")
    connection = reconnected(url)
    channel = connection.channel()
    publish(channel, queue, b"highest", priority=10)
    wait_until(lambda: depth(channel, queue) == 31, "all are there")
    expected = [b"highest", *(b"%d" % number for rest in (2, 1, 0) for number in range(rest, 30, 3))]
    equal(bodies(channel, queue), expected)
    channel.queue_delete(queue)
    connection.close()


# --- consumers --------------------------------------------------------------------------------------------------------


def leave(consumer):
    """Has the broker close a consumer's channel, for a mistake; when pika closes one, it cancels the consumer first."""
    with refused(406, "PRECONDITION_FAILED - unknown delivery tag 999"):
        consumer.channel.basic_ack(999)
        consumer.settle()


@case
def a_single_active_consumer_and_its_heirs(url):
    for kind in ("classic", "quorum"):
        with connected(url) as connection, connected(url) as second_connection:
            channel = connection.channel()
            channel.confirm_delivery()
            arguments = {"x-single-active-consumer": True, "x-queue-type": kind}
            queue = new_queue(channel, exclusive=False, durable=True, arguments=arguments)
            consumers = []
            for at in (connection, second_connection, connection):
                reader = at.channel()
                reader.basic_qos(prefetch_count=3)
                consumers.append(Consumer(reader, queue))
            fill(channel, queue, 10)
            first, second, third = consumers
            first.wait_for(3)
            equal([len(consumer.settle()) for consumer in consumers], [3, 0, 0], "who has deliveries")
            if kind == "classic":
                equal(channel.queue_declare(queue, passive=True).method.consumer_count, 3)
            first.channel.basic_ack(first.deliveries[0][0].delivery_tag)
            first.wait_for(4)
            leave(first)  # what it held goes back, and to the next one
            second.wait_for(3)
            equal(len(third.settle()), 0)
            leave(second)
            third.wait_for(3)
            third.channel.basic_ack(0, multiple=True)
            wait_until(lambda: third.wait_for(3) and depth(channel, queue) == 3, "three more are with the last one")
            third.wait_for(6)
            third.channel.basic_ack(0, multiple=True)
            third.wait_for(9)
            got = [[body for *_, body in consumer.deliveries] for consumer in (second, third)]
            # A quorum queue of RabbitMQ 3.10 names the heir before what comes back is in its place.
            if kind == "classic":
                equal(got, [numbers(1, 4), numbers(1, 10)])
            else:
                equal([len(got[0]), sorted(got[1])], [3, numbers(1, 10)])
            channel.queue_delete(queue)


@case
def a_cancelled_active_consumer_keeps_what_it_holds(url):
    cancel_the_active_one(url, "quorum")


@case
@beyond("a classic queue of RabbitMQ 3.10 gives the heir nothing before the other one's channel is closed")
def a_cancelled_active_consumer_of_a_classic_queue(url):
    cancel_the_active_one(url, "classic")


def cancel_the_active_one(url, kind):
    """The next one gets what is ready at once, and what the cancelled one holds stays with it."""
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        arguments = {"x-single-active-consumer": True, "x-queue-type": kind}
        queue = new_queue(channel, exclusive=False, durable=True, arguments=arguments)
        consumers = []
        for _ in range(2):
            reader = connection.channel()
            reader.basic_qos(prefetch_count=1)
            consumers.append(Consumer(reader, queue))
        fill(channel, queue, 3)
        first, second = consumers
        first.wait_for(1)
        first.channel.basic_cancel(first.tag)
        second.wait_for(1)
        equal([body for *_, body in second.deliveries], [b"1"])
        first.channel.basic_ack(first.deliveries[0][0].delivery_tag)
        second.channel.basic_ack(second.deliveries[0][0].delivery_tag)
        second.wait_for(2)
        equal(second.deliveries[1][2], b"2")
        channel.queue_delete(queue)


@case
def a_single_active_consumer_cannot_be_exclusive(url):
    with connected(url) as connection:
        queue = new_queue(connection.channel(), arguments={"x-single-active-consumer": True})
        text = f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
        with refused(403, text):
            connection.channel().basic_consume(queue, lambda *_: None, exclusive=True)


@case
def consumer_priorities(url):
    """The lower one is served while the higher one is busy, and no longer."""
    for kind in ("classic", "quorum"):
        with connected(url) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            queue = new_queue(channel, exclusive=False, durable=True, arguments={"x-queue-type": kind})
            consumers = {}
            for priority in (-5, 10, 3):
                reader = connection.channel()
                reader.basic_qos(prefetch_count=2)
                consumers[priority] = Consumer(reader, queue, arguments={"x-priority": priority})
            fill(channel, queue, 2)
            consumers[10].wait_for(2)
            fill(channel, queue, 2)
            consumers[3].wait_for(2)
            fill(channel, queue, 2)
            consumers[-5].wait_for(2)
            for method, *_ in consumers[10].deliveries[:]:
                consumers[10].channel.basic_ack(method.delivery_tag)
            consumers[10].channel.queue_declare(queue, passive=True)  # the acknowledgements have arrived
            fill(channel, queue, 2)
            consumers[10].wait_for(4)
            equal([len(consumer.settle()) for consumer in consumers.values()], [2, 4, 2])
            channel.queue_delete(queue)


@case
def bad_consumer_priority(url):
    with connected(url) as connection:
        queue = new_queue(connection.channel())
        for value, kind in (("high", "longstr"), (True, "bool")):
            text = f"PRECONDITION_FAILED - invalid arg 'x-priority' for queue '{queue}' in vhost '/': \"expected integer, got {kind}\""
            with refused(406, text):
                connection.channel().basic_consume(queue, lambda *_: None, arguments={"x-priority": value})


@case
def an_exclusive_consumer_is_alone_until_it_goes(url):
    with connected(url) as connection, connected(url) as other:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = new_queue(channel, exclusive=False)
        in_use = f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
        reader = connection.channel()
        consumer = Consumer(reader, queue, exclusive=True)
        with refused(403, in_use):
            other.channel().basic_consume(queue, lambda *_: None)
        fill(channel, queue, 2)
        consumer.wait_for(2)
        reader.close()
        heir = Consumer(other.channel(), queue)
        equal([body for *_, body in heir.wait_for(2)], numbers(0, 2))
        channel.queue_delete(queue)


# --- quorum queues ----------------------------------------------------------------------------------------------------


@case
def a_quorum_queue_is_a_queue(url):
    with quorum(url) as (channel, queue):
        fill(channel, queue, 100)
        wait_until(lambda: depth(channel, queue) == 100, "all are there")
        consumer = Consumer(channel.connection.channel(), queue)
        equal([body for *_, body in consumer.wait_for(100)], numbers(0, 100))
        consumer.channel.basic_ack(0, multiple=True)
        consumer.channel.basic_cancel(consumer.tag)
        fill(channel, queue, 3)
        equal(channel.queue_purge(queue).method.message_count, 3)


@case
def a_quorum_queue_keeps_transient_messages_too(url):
    """Beside dead letters of any kind: whatever is in it counts as persistent."""
    with quorum(url, x_max_length=5) as (channel, queue):
        for number in range(8):
            publish(channel, queue, b"%d" % number, delivery_mode=1)
        wait_until(lambda: depth(channel, queue) == 5, "the oldest are dropped")
        equal(bodies(channel, queue), numbers(3, 8))


@case
def delivery_count_of_a_quorum_queue(url):
    with quorum(url) as (channel, queue):
        fill(channel, queue, 1)
        for attempt in range(5):
            reader = channel.connection.channel()
            method, properties, _ = get(reader, queue, auto_ack=False)
            equal((properties.headers or {}).get("x-delivery-count", 0), attempt, "x-delivery-count")
            equal(method.redelivered, attempt > 0)
            if attempt % 2:
                reader.basic_nack(method.delivery_tag, requeue=True)
            else:
                reader.close()  # a failed attempt, too
            wait_until(lambda: depth(channel, queue) == 1, "it is back")


@case
def without_a_dead_letter_exchange_the_limit_drops(url):
    with quorum(url, x_delivery_limit=1) as (channel, queue):
        fill(channel, queue, 2)
        consumer = Consumer(channel.connection.channel(), queue)
        for tried in range(4):
            consumer.wait_for(tried + 1)
            consumer.channel.basic_nack(consumer.deliveries[tried][0].delivery_tag, requeue=True)
        wait_until(lambda: depth(channel, queue) == 0, "both were tried twice")
        equal(len(consumer.settle()), 4, "deliveries")


@case
def at_least_once_is_accepted(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        dead = new_queue(channel, exclusive=False, durable=True, arguments={"x-queue-type": "quorum"})
        queue = unique("at-least-once")
        arguments = {
            "x-queue-type": "quorum",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead,
        }
        channel.queue_declare(queue, durable=True, arguments=arguments)
        fill(channel, queue, 3)
        for _ in range(3):
            channel.basic_reject(get(channel, queue, auto_ack=False)[0].delivery_tag, requeue=False)
        wait_until(lambda: depth(channel, dead) == 3, "three dead letters")
        _, properties, body = get(channel, dead)
        equal((body, properties.headers["x-death"][0]["reason"]), (b"0", "rejected"))
        for name in (queue, dead):
            channel.queue_delete(name)


@restart_case
@beyond("a quorum queue of RabbitMQ 3.10 keeps everything too, but takes minutes to answer after a kill of its only node")
def a_quorum_queue_survives_a_kill(url):
    connection = doomed(url)
    channel = connection.channel()
    channel.confirm_delivery()
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 5}
    queue = new_queue(channel, exclusive=False, durable=True, arguments=arguments)
    for number in range(50):
        channel.basic_publish("", queue, b"%d" % number)  # not marked persistent
    restart_broker("kill")
    connection = reconnected(url)
    channel = connection.channel()
    equal(bodies(channel, queue), numbers(0, 50))
    channel.queue_delete(queue)
    connection.close()


# --- what RabbitMQ 3.10 cannot do -------------------------------------------------------------------------------------


@case
@beyond("RabbitMQ 4.0: quorum queues have two priorities, 0-4 and 5 and above; here a queue has as many as it asks for")
def priorities_of_a_quorum_queue(url):
    with quorum(url, x_max_priority=10) as (channel, queue):
        for priority in (1, 7, 3, 7):
            publish(channel, queue, b"%d" % priority, priority=priority)
        equal(bodies(channel, queue), [b"7", b"7", b"3", b"1"])


@case
@beyond("one engine: a delivery limit is a rule of every queue")
def a_delivery_limit_of_a_classic_queue(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = new_queue(channel, arguments={"x-delivery-limit": 2})
        fill(channel, queue, 1)
        consumer = Consumer(connection.channel(), queue)
        for attempt in range(1, 4):
            method, properties, _ = consumer.wait_for(attempt)[-1]
            equal((properties.headers or {}).get("x-delivery-count", 0), attempt - 1)
            consumer.channel.basic_nack(method.delivery_tag, requeue=True)
        wait_until(lambda: depth(channel, queue) == 0, "dropped")
        equal(len(consumer.settle()), 3)


@case
@beyond("the message goes back, and neither the channel nor the other deliveries feel it; RabbitMQ closes the channel")
def a_consumer_timeout_takes_one_message_back(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = new_queue(channel, arguments={"x-consumer-timeout": 700})
        slow, quick = connection.channel(), connection.channel()
        for reader in (slow, quick):
            reader.basic_qos(prefetch_count=1)
        slow_one = Consumer(slow, queue)
        fill(channel, queue, 1)
        slow_one.wait_for(1)
        quick_one = Consumer(quick, queue)
        started = time.monotonic()
        quick_one.wait_for(1)
        passed = time.monotonic() - started
        assert passed > 0.3, f"taken back after {passed:.2f} s"
        method, _, body = quick_one.deliveries[0]
        equal((body, method.redelivered), (b"0", True))
        quick.basic_ack(method.delivery_tag)
        assert slow.is_open and quick.is_open
        # Too late, and not an error: the message is somebody else's, or gone.
        slow.basic_ack(slow_one.deliveries[0][0].delivery_tag)
        fill(channel, queue, 2)
        slow_one.wait_for(2)
        quick_one.wait_for(2)


@case
@beyond("RabbitMQ 4.3: delayed retry; min(x-delayed-retry-min * deliveries, x-delayed-retry-max) milliseconds")
def delayed_retry(url):
    arguments = {"x_delayed_retry_type": "all", "x_delayed_retry_min": 200, "x_delayed_retry_max": 500, "x_delivery_limit": 10}
    with quorum(url, **arguments) as (channel, queue):
        fill(channel, queue, 1)
        consumer = Consumer(channel.connection.channel(), queue)
        consumer.wait_for(1)
        pauses = []
        for attempt in range(1, 5):
            started = time.monotonic()
            consumer.channel.basic_nack(consumer.deliveries[-1][0].delivery_tag, requeue=True)
            consumer.wait_for(attempt + 1)
            pauses.append(time.monotonic() - started)
            equal(consumer.deliveries[-1][0].redelivered, True)
        for pause, least in zip(pauses, (0.2, 0.4, 0.5, 0.5)):
            assert least <= pause + 0.01 and pause < least + 1, f"pauses of {pauses}"


@case
@beyond("RabbitMQ 4.3: delayed retry")
def delayed_retry_delays_nobody_else(url):
    with quorum(url, x_delayed_retry_type="all", x_delayed_retry_min=60_000) as (channel, queue):
        fill(channel, queue, 3)
        consumer = Consumer(channel.connection.channel(), queue)
        consumer.wait_for(3)
        consumer.channel.basic_nack(consumer.deliveries[0][0].delivery_tag, requeue=True)
        consumer.channel.basic_ack(consumer.deliveries[2][0].delivery_tag, multiple=True)
        fill(channel, queue, 2)
        equal([body for *_, body in consumer.wait_for(5)][3:], numbers(0, 2))


if __name__ == "__main__":
    main()
