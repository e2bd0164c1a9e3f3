"""What a program that uses pika's BlockingConnection expects of a broker."""

import contextlib
import datetime
import decimal
import time

import pika
from pika import exceptions
from pika.exchange_type import ExchangeType

from pika_tools import (
    MIB,
    PERSISTENT,
    Consumer,
    bodies,
    connected,
    depth,
    fill,
    filled_queue,
    get,
    new_queue,
    publish,
    reconnected,
    refused,
)
from suite import case, equal, main, restart_broker, restart_case, unique, wait_until

# --- queues -----------------------------------------------------------------------------------------------------------


@case
def declares_answer_with_name_and_counts(url):
    with connected(url) as connection:
        channel = connection.channel()
        queue = unique("pika")
        answer = channel.queue_declare(queue, durable=True).method
        equal((answer.queue, answer.message_count, answer.consumer_count), (queue, 0, 0))
        for body in (b"1", b"2", b"3"):
            publish(channel, queue, body)
        other = connection.channel()
        other.basic_qos(prefetch_count=1)
        other.basic_consume(queue, lambda *_: None)
        answer = channel.queue_declare(queue, durable=True).method
        equal(answer.consumer_count, 1, "consumers")
        wait_until(lambda: depth(channel, queue) == 2, "one message is with the consumer")
        channel.queue_delete(queue)


@case
def server_names_a_queue(url):
    with connected(url) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        assert queue.startswith("amq.gen-"), queue
        publish(channel, queue, b"hello")
        wait_until(lambda: depth(channel, queue) == 1, "message arrived")
        # An empty name means the queue that this channel declared last.
        equal(get(channel, "")[2], b"hello")
        equal(channel.queue_purge("").method.message_count, 0)
        with refused(404, "NOT_FOUND - no previously declared queue"):
            connection.channel().queue_purge("")


@case
def exclusive_queue_goes_with_its_connection(url):
    with connected(url) as first, connected(url) as second:
        queue = new_queue(first.channel())
        locked = (
            f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}' in vhost '/'. It could be "
            "originally declared on another connection or the exclusive property value does not match that of the "
            "original declaration."
        )
        with refused(405, locked):
            second.channel().queue_declare(queue, passive=True)
        with refused(405, locked):
            second.channel().queue_declare(queue, exclusive=True)
        with refused(405, locked):
            second.channel().basic_consume(queue, lambda *_: None)
        with refused(405, locked):
            second.channel().queue_delete(queue)
        first.close()
        with refused(404, f"NOT_FOUND - no queue '{queue}' in vhost '/'"):
            second.channel().queue_declare(queue, passive=True)


@case
def auto_delete_queue_goes_with_its_last_consumer(url):
    with connected(url) as connection:
        channel = connection.channel()
        queue = new_queue(channel, auto_delete=True, exclusive=False)
        tags = [channel.basic_consume(queue, lambda *_: None) for _ in range(2)]
        channel.basic_cancel(tags[0])
        equal(channel.queue_declare(queue, passive=True).method.consumer_count, 1)
        channel.basic_cancel(tags[1])
        with refused(404, f"NOT_FOUND - no queue '{queue}' in vhost '/'"):
            channel.queue_declare(queue, passive=True)


@case
def passive_declare_of_what_is_missing(url):
    with connected(url) as connection:
        name = unique("missing")
        with refused(404, f"NOT_FOUND - no queue '{name}' in vhost '/'"):
            connection.channel().queue_declare(name, passive=True)
        with refused(404, f"NOT_FOUND - no exchange '{name}' in vhost '/'"):
            connection.channel().exchange_declare(name, passive=True)
        assert connection.is_open
        connection.channel().queue_declare("", exclusive=True)


@case
def inequivalent_declare(url):
    with connected(url) as connection:
        channel = connection.channel()
        queue = unique("pika")
        channel.queue_declare(queue, durable=True)
        inequivalent = f"PRECONDITION_FAILED - inequivalent arg '%s' for queue '{queue}' in vhost '/': "
        with refused(406, inequivalent % "durable" + "received 'false' but current is 'true'"):
            connection.channel().queue_declare(queue)
        with refused(406, inequivalent % "auto_delete" + "received 'true' but current is 'false'"):
            connection.channel().queue_declare(queue, durable=True, auto_delete=True)
        with refused(
            406,
            inequivalent % "x-message-ttl" + "received the value '1000' of type 'signedint' but current is none",
        ):
            connection.channel().queue_declare(queue, durable=True, arguments={"x-message-ttl": 1000})
        channel.queue_delete(queue)
        queue = new_queue(channel, arguments={"x-expires": 60_000})
        inequivalent = f"PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue '{queue}' in vhost '/': "
        with refused(406, inequivalent + "received none but current is the value '60000' of type 'signedint'"):
            connection.channel().queue_declare(queue, exclusive=True)
        with refused(406, inequivalent + "received '60001' but current is '60000'"):
            connection.channel().queue_declare(queue, exclusive=True, arguments={"x-expires": 60_001})

        exchange = unique("pika")
        channel.exchange_declare(exchange, "direct", auto_delete=True)
        inequivalent = f"PRECONDITION_FAILED - inequivalent arg '%s' for exchange '{exchange}' in vhost '/': "
        with refused(406, inequivalent % "type" + "received 'fanout' but current is 'direct'"):
            connection.channel().exchange_declare(exchange, "fanout", auto_delete=True)
        with refused(406, inequivalent % "durable" + "received 'true' but current is 'false'"):
            connection.channel().exchange_declare(exchange, "direct", durable=True, auto_delete=True)
        with refused(406, inequivalent % "internal" + "received 'true' but current is 'false'"):
            connection.channel().exchange_declare(exchange, "direct", auto_delete=True, internal=True)
        channel.exchange_delete(exchange)


@case
def bad_queue_arguments(url):
    with connected(url) as connection:
        queue = unique("pika")
        invalid = f"PRECONDITION_FAILED - invalid arg '%s' for queue '{queue}' in vhost '/': %s"
        for name, value, why in (
            ("x-message-ttl", -1, "{value_negative,-1}"),
            ("x-expires", 0, "{value_zero,0}"),
            ("x-message-ttl", "soon", '"expected integer, got longstr"'),
        ):
            with refused(406, invalid % (name, why)):
                connection.channel().queue_declare(queue, arguments={name: value})


@case
def reserved_names(url):
    with connected(url) as connection:
        with refused(403, "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'"):
            connection.channel().queue_declare("amq.mine")
        with refused(403, "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'"):
            connection.channel().exchange_declare("amq.mine")
        with refused(403, "ACCESS_REFUSED - operation not permitted on the default exchange"):
            connection.channel().exchange_delete("")
        with refused(403, "ACCESS_REFUSED - deletion of system exchange 'amq.fanout' in vhost '/' not allowed"):
            connection.channel().exchange_delete("amq.fanout")
        channel = connection.channel()
        queue = new_queue(channel)
        with refused(403, "ACCESS_REFUSED - operation not permitted on the default exchange"):
            channel.queue_bind(queue, "", "key")
        for exchange, kind in (
            ("amq.direct", "direct"),
            ("amq.fanout", "fanout"),
            ("amq.topic", "topic"),
            ("amq.headers", "headers"),
            ("amq.match", "headers"),
        ):
            connection.channel().exchange_declare(exchange, kind, durable=True)


@case
def purge_and_delete_count(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = new_queue(channel)
        for number in range(7):
            publish(channel, queue, b"%d" % number)
        equal(get(channel, queue, auto_ack=False)[2], b"0")
        equal(channel.queue_purge(queue).method.message_count, 6, "purged: the unacknowledged one stays")
        equal(channel.queue_purge(queue).method.message_count, 0)
        for number in range(3):
            publish(channel, queue, b"%d" % number)
        equal(channel.queue_delete(queue).method.message_count, 3, "deleted with the queue")
        equal(channel.queue_delete(queue).method.message_count, 0, "deleting what is gone is no error")


@case
def delete_if_unused_and_if_empty(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = new_queue(channel)
        publish(channel, queue, b"one")
        with refused(406, f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' not empty"):
            connection.channel().queue_delete(queue, if_empty=True)
        tag = channel.basic_consume(queue, lambda *_: None)
        with refused(406, f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' in use"):
            connection.channel().queue_delete(queue, if_unused=True)
        channel.basic_cancel(tag)
        exchange = unique("pika")
        channel.exchange_declare(exchange, "fanout")
        channel.queue_bind(queue, exchange)
        with refused(406, f"PRECONDITION_FAILED - exchange '{exchange}' in vhost '/' in use"):
            connection.channel().exchange_delete(exchange, if_unused=True)
        channel.queue_unbind(queue, exchange)
        channel.exchange_delete(exchange, if_unused=True)
        channel.queue_purge(queue)
        channel.queue_delete(queue, if_unused=True, if_empty=True)


# --- exchanges --------------------------------------------------------------------------------------------------------


def routed(channel, exchange, queues, key, headers=None):
    """Publishes one message and tells which of the queues got it, and empties them."""
    body = unique("body").encode()
    channel.basic_publish(exchange, key, body, pika.BasicProperties(headers=headers))
    got = set()
    for name, queue in queues.items():
        for taken in bodies(channel, queue):
            equal(taken, body)
            assert name not in got, f"{name} got it twice"
            got.add(name)
    return got


@contextlib.contextmanager
def exchange_and_queues(url, kind, names):
    """A channel with confirms, an exchange, and one queue for each of the names."""
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        exchange = unique("pika")
        channel.exchange_declare(exchange, kind)
        yield channel, exchange, {name: new_queue(channel) for name in names}
        channel.exchange_delete(exchange)


@case
def direct_exchange(url):
    with exchange_and_queues(url, ExchangeType.direct, "ab") as (channel, exchange, queues):
        channel.queue_bind(queues["a"], exchange, "red")
        channel.queue_bind(queues["a"], exchange, "green")
        channel.queue_bind(queues["b"], exchange, "green")
        equal(routed(channel, exchange, queues, "red"), {"a"})
        equal(routed(channel, exchange, queues, "green"), {"a", "b"})
        equal(routed(channel, exchange, queues, "Green"), set())
        channel.queue_unbind(queues["a"], exchange, "green")
        equal(routed(channel, exchange, queues, "green"), {"b"})
        equal(routed(channel, exchange, queues, "red"), {"a"})


@case
def fanout_exchange(url):
    with exchange_and_queues(url, ExchangeType.fanout, "abc") as (channel, exchange, queues):
        for queue in queues.values():
            channel.queue_bind(queue, exchange, "ignored")
        channel.queue_bind(queues["a"], exchange, "ignored too")
        equal(routed(channel, exchange, queues, "anything"), {"a", "b", "c"})
        channel.queue_unbind(queues["b"], exchange, "ignored")
        equal(routed(channel, exchange, queues, ""), {"a", "c"})
        channel.queue_delete(queues.pop("c"))
        equal(routed(channel, exchange, queues, ""), {"a"})


@case
def topic_exchange(url):
    patterns = ("a.b", "a.*", "a.#", "#", "*.*.c", "#.c", "a.*.#.c", "", "*")
    with exchange_and_queues(url, ExchangeType.topic, patterns) as (channel, exchange, queues):
        for pattern, queue in queues.items():
            channel.queue_bind(queue, exchange, pattern)
        for key, expected in (
            ("a", {"a.#", "#", "*"}),
            ("a.b", {"a.b", "a.*", "a.#", "#"}),
            ("a.b.c", {"a.#", "#", "*.*.c", "#.c", "a.*.#.c"}),
            ("a.b.x.c", {"a.#", "#", "#.c", "a.*.#.c"}),
            ("c", {"#", "#.c", "*"}),
            ("", {"#", ""}),
            ("a.", {"a.*", "a.#", "#"}),
            ("A.B", {"#"}),
        ):
            equal(routed(channel, exchange, queues, key), expected, f"key {key!r}")
        channel.queue_unbind(queues["#"], exchange, "#")
        equal(routed(channel, exchange, queues, "x.y.z"), set())


@case
def headers_exchange(url):
    bindings = {
        "all": {"x-match": "all", "size": 7, "colour": "red"},
        "any": {"x-match": "any", "size": 7, "colour": "red"},
        "default": {"size": 7},
        "present": {"x-match": "all", "size": None},
        "x-ignored": {"x-match": "all", "x-note": "not compared", "size": 7},
    }
    with exchange_and_queues(url, ExchangeType.headers, bindings) as (channel, exchange, queues):
        for name, arguments in bindings.items():
            channel.queue_bind(queues[name], exchange, "", arguments)
        for headers, expected in (
            ({"size": 7, "colour": "red", "more": 1}, {"all", "any", "default", "present", "x-ignored"}),
            ({"size": 7}, {"any", "default", "present", "x-ignored"}),
            ({"size": "7"}, {"present"}),
            ({"colour": "red"}, {"any"}),
            ({}, set()),
            (None, set()),
        ):
            equal(routed(channel, exchange, queues, "", headers), expected, f"headers {headers}")
        channel.queue_unbind(queues["any"], exchange, "", bindings["any"])
        equal(routed(channel, exchange, queues, "", {"colour": "red"}), set())


@case
def exchange_to_exchange(url):
    with exchange_and_queues(url, ExchangeType.topic, "ab") as (channel, source, queues):
        middle, sink = unique("middle"), unique("sink")
        channel.exchange_declare(middle, "direct", auto_delete=True)
        channel.exchange_declare(sink, "fanout")
        channel.exchange_bind(middle, source, "to.#")
        channel.exchange_bind(sink, middle, "to.sink")
        channel.exchange_bind(source, sink, "loop")  # a loop of exchanges must not loop a message
        channel.queue_bind(queues["a"], sink)
        channel.queue_bind(queues["b"], source, "*.sink")
        equal(routed(channel, source, queues, "to.sink"), {"a", "b"})
        equal(routed(channel, source, queues, "to.nowhere"), set())
        equal(routed(channel, sink, queues, "to.sink"), {"a", "b"})
        channel.exchange_unbind(sink, middle, "to.sink")
        equal(routed(channel, source, queues, "to.sink"), {"b"})
        # The last binding from it is gone, and with it the auto-delete exchange.
        with refused(404, f"NOT_FOUND - no exchange '{middle}' in vhost '/'"):
            channel.connection.channel().exchange_declare(middle, passive=True)
        channel.exchange_delete(sink)


@case
def alternate_exchange(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        alternate, exchange = unique("alternate"), unique("pika")
        channel.exchange_declare(alternate, "fanout")
        channel.exchange_declare(exchange, "direct", arguments={"alternate-exchange": alternate})
        queues = {"main": new_queue(channel), "rest": new_queue(channel)}
        channel.queue_bind(queues["main"], exchange, "known")
        channel.queue_bind(queues["rest"], alternate)
        equal(routed(channel, exchange, queues, "known"), {"main"})
        equal(routed(channel, exchange, queues, "unknown"), {"rest"})
        channel.exchange_delete(exchange)
        channel.exchange_delete(alternate)


@case
def internal_exchange(url):
    with connected(url) as connection:
        channel = connection.channel()
        exchange = unique("pika")
        channel.exchange_declare(exchange, "fanout", internal=True)
        refusing = connection.channel()
        refusing.confirm_delivery()
        with refused(403, f"ACCESS_REFUSED - cannot publish to internal exchange '{exchange}' in vhost '/'"):
            refusing.basic_publish(exchange, "", b"")
        channel.exchange_delete(exchange)


@case
def publish_and_bind_to_what_is_missing(url):
    with connected(url) as connection:
        name = unique("missing")
        channel = connection.channel()
        channel.confirm_delivery()
        with refused(404, f"NOT_FOUND - no exchange '{name}' in vhost '/'"):
            channel.basic_publish(name, "key", b"")
        channel = connection.channel()
        queue = new_queue(channel)
        with refused(404, f"NOT_FOUND - no exchange '{name}' in vhost '/'"):
            channel.queue_bind(queue, name, "key")
        with refused(404, f"NOT_FOUND - no queue '{name}' in vhost '/'"):
            connection.channel().queue_bind(name, "amq.direct", "key")
        with refused(404, f"NOT_FOUND - no queue '{name}' in vhost '/'"):
            connection.channel().basic_consume(name, lambda *_: None)
        with refused(404, f"NOT_FOUND - no queue '{name}' in vhost '/'"):
            connection.channel().basic_get(name)
        with refused(404, f"NOT_FOUND - no queue '{name}' in vhost '/'"):
            connection.channel().queue_purge(name)
        # Unbinding, like deleting, is idempotent.
        connection.channel().queue_unbind(queue, "amq.direct", "never bound")


# --- publishing -------------------------------------------------------------------------------------------------------


@case
def mandatory_return_comes_before_its_confirm(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        key = unique("nowhere")
        try:
            channel.basic_publish("amq.direct", key, b"lost", pika.BasicProperties(message_id="7"), mandatory=True)
        except exceptions.UnroutableError as error:  # raised only if the return came before the ack
            (message,) = error.messages
            equal((message.method.reply_code, message.method.reply_text), (312, "NO_ROUTE"))
            equal((message.method.exchange, message.method.routing_key), ("amq.direct", key))
            equal((message.properties.message_id, message.body), ("7", b"lost"))
        else:
            raise AssertionError("not returned")
        channel.basic_publish("amq.direct", key, b"dropped", mandatory=False)
        queue = new_queue(channel)
        channel.basic_publish("", queue, b"kept", mandatory=True)
        equal(bodies(channel, queue), [b"kept"])


@case
def mandatory_return_without_confirms(url):
    with connected(url) as connection:
        channel = connection.channel()
        returned = []
        channel.add_on_return_callback(lambda _channel, method, _properties, body: returned.append((method, body)))
        for number in range(3):
            channel.basic_publish("", unique("nowhere"), b"%d" % number, mandatory=True)
        wait_until(lambda: len(returned) == 3, "three returns", step=lambda: connection.process_data_events(0.05))
        equal([body for _, body in returned], [b"0", b"1", b"2"])
        equal({method.reply_code for method, _ in returned}, {312})


@case
def bodies_of_many_sizes(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = new_queue(channel)
        frame_max = connection._impl.params.frame_max  # noqa: SLF001  (pika has no public name for what was negotiated)
        for size in (0, 1, frame_max - 9, frame_max - 8, frame_max - 7, 2 * (frame_max - 8), 5 * MIB):
            body = bytes(range(256)) * (size // 256) + bytes(size % 256)
            channel.basic_publish("", queue, body, PERSISTENT)
            _, _, got = get(channel, queue)
            assert got == body, f"body of {size} bytes came back different ({len(got)} bytes)"


@case
def all_properties_round_trip(url):
    sent = pika.BasicProperties(
        content_type="application/json",
        content_encoding="utf-8",
        headers={"key": "value"},
        delivery_mode=2,
        priority=7,
        correlation_id="correlation",
        reply_to="reply-here",
        expiration="60000",
        message_id="message-1",
        timestamp=1_700_000_000,
        type="order",
        user_id=pika.URLParameters(url).credentials.username,
        app_id="shop",
        cluster_id="cluster",
    )
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = new_queue(channel)
        channel.basic_publish("", queue, b"{}", sent)
        equal(get(channel, queue)[1], sent)
        channel.basic_publish("", queue, b"{}", pika.BasicProperties())
        equal(get(channel, queue)[1], pika.BasicProperties(), "absent properties stay absent")


@case
def headers_of_every_type_round_trip(url):
    headers = {
        "string": "grüße",
        "empty": "",
        "binary": b"\x00\xff\x80",
        "true": True,
        "false": False,
        "int": -7,
        "int-max": 2**31 - 1,
        "long": 2**40,
        "long-min": -(2**63),
        "decimal": decimal.Decimal("3.14"),
        "time": datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.timezone.utc),
        "none": None,
        "table": {"a": 1, "b": {"c": [True, None]}, "empty": {}},
        "array": ["x", 1, {"y": 2}, [3, [4]], []],
        "k" * 255: "a key of the largest length",
    }
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = new_queue(channel)
        channel.basic_publish("", queue, b"", pika.BasicProperties(headers=headers))
        got = get(channel, queue)[1].headers
        equal(got, headers)
        equal(list(got), list(headers), "order of the headers")


@case
def wrong_user_id_and_expiration(url):
    with connected(url) as connection:
        user = pika.URLParameters(url).credentials.username
        for properties, text in (
            ({"user_id": "somebody"}, f"user_id property set to 'somebody' but authenticated user was '{user}'"),
            ({"expiration": "soon"}, "invalid expiration 'soon': no_integer"),
            ({"expiration": "7x"}, """invalid expiration '7x': {leftover_string,"x"}"""),
            ({"expiration": "-1"}, "invalid expiration '-1': {value_negative,-1}"),
        ):
            channel = connection.channel()
            channel.confirm_delivery()
            queue = new_queue(connection.channel())
            with refused(406, f"PRECONDITION_FAILED - {text}"):
                publish(channel, queue, b"", **properties)


# --- consuming --------------------------------------------------------------------------------------------------------


@case
def prefetch_limits_what_is_unacknowledged(url):
    with filled_queue(url, 20) as (channel, queue):
        channel.basic_qos(prefetch_count=4)
        consumer = Consumer(channel, queue)
        consumer.wait_for(4)
        equal(len(consumer.settle()), 4, "deliveries with a prefetch of 4")
        equal(depth(channel, queue), 16, "ready")
        channel.basic_ack(consumer.deliveries[1][0].delivery_tag, multiple=True)
        consumer.wait_for(6)
        equal(len(consumer.settle()), 6, "deliveries after two were acknowledged at once")
        channel.basic_ack(consumer.deliveries[3][0].delivery_tag)
        consumer.wait_for(7)
        equal(len(consumer.settle()), 7, "deliveries after one more")
        channel.basic_ack(0, multiple=True)
        consumer.wait_for(11)
        equal([body for *_, body in consumer.deliveries], [b"%d" % number for number in range(11)])
        equal([method.delivery_tag for method, *_ in consumer.deliveries], list(range(1, 12)))


@case
def prefetch_of_consumer_and_of_channel(url):
    with filled_queue(url, 20) as (channel, queue):
        # Without the global flag a limit is each new consumer's own; with it the channel's consumers share one.
        channel.basic_qos(prefetch_count=3)
        first = Consumer(channel, queue)
        channel.basic_qos(prefetch_count=5)
        second = Consumer(channel, queue)
        first.wait_for(3)
        second.wait_for(5)
        equal((len(first.settle()), len(second.settle())), (3, 5))
        shared = channel.connection.channel()
        shared.basic_qos(prefetch_count=4, global_qos=True)
        third = Consumer(shared, queue)
        fourth = Consumer(shared, queue)
        wait_until(
            lambda: len(third.deliveries) + len(fourth.deliveries) >= 4,
            "four deliveries on the channel",
            step=lambda: channel.connection.process_data_events(0.05),
        )
        third.settle()
        equal(len(third.deliveries) + len(fourth.deliveries), 4, "deliveries on the channel")


@case
def nack_with_requeue_puts_back_in_place(url):
    with filled_queue(url, 5) as (channel, queue):
        taken = [get(channel, queue, auto_ack=False) for _ in range(4)]
        equal([body for *_, body in taken], [b"0", b"1", b"2", b"3"])
        assert not any(method.redelivered for method, *_ in taken)
        channel.basic_ack(taken[0][0].delivery_tag)
        channel.basic_nack(taken[2][0].delivery_tag, multiple=True, requeue=True)  # 1 and 2
        channel.basic_nack(taken[3][0].delivery_tag, requeue=True)
        wait_until(lambda: depth(channel, queue) == 4, "three are back")
        again = [get(channel, queue) for _ in range(4)]
        equal([body for *_, body in again], [b"1", b"2", b"3", b"4"])
        equal([method.redelivered for method, *_ in again], [True, True, True, False])


@case
def nack_and_reject_without_requeue_drop(url):
    with filled_queue(url, 6) as (channel, queue):
        tags = [get(channel, queue, auto_ack=False)[0].delivery_tag for _ in range(5)]
        channel.basic_reject(tags[0], requeue=False)
        channel.basic_nack(tags[2], multiple=True, requeue=False)
        channel.basic_reject(tags[3], requeue=True)
        channel.basic_nack(tags[4], requeue=False)
        wait_until(lambda: depth(channel, queue) == 2, "one is back")
        equal(bodies(channel, queue), [b"3", b"5"])


@case
def get_tells_what_is_left(url):
    with filled_queue(url, 3) as (channel, queue):
        method, _, body = get(channel, queue, auto_ack=False)
        equal((method.delivery_tag, method.message_count, method.redelivered, body), (1, 2, False, b"0"))
        equal((method.exchange, method.routing_key), ("", queue))
        equal(bodies(channel, queue), [b"1", b"2"])
        equal(get(channel, queue), (None, None, None))


@case
def closing_a_channel_gives_back(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = new_queue(channel)
        fill(channel, queue, 3)
        holder = connection.channel()
        Consumer(holder, queue).wait_for(3)
        equal(depth(channel, queue), 0)
        holder.close()
        wait_until(lambda: depth(channel, queue) == 3, "all three are back")
        method, _, body = get(channel, queue)
        equal((method.redelivered, body), (True, b"0"))


@case
def recover_redelivers(url):
    with filled_queue(url, 3) as (channel, queue):
        consumer = Consumer(channel, queue)
        consumer.wait_for(3)
        channel.basic_recover(requeue=True)
        consumer.wait_for(6)
        equal([body for *_, body in consumer.deliveries[3:]], [b"0", b"1", b"2"])
        equal([method.redelivered for method, *_ in consumer.deliveries], [False] * 3 + [True] * 3)
        equal([method.delivery_tag for method, *_ in consumer.deliveries], [1, 2, 3, 4, 5, 6])
        with refused(540, "NOT_IMPLEMENTED - requeue=false", exceptions.ConnectionClosedByBroker):
            channel.basic_recover(requeue=False)


@case
def unknown_delivery_tags(url):
    with connected(url) as connection:
        for settle in (
            lambda channel: channel.basic_ack(99),
            lambda channel: channel.basic_nack(99),
            lambda channel: channel.basic_reject(99),
            lambda channel: channel.basic_ack(99, multiple=True),
        ):
            channel = connection.channel()
            queue = new_queue(channel)
            settle(channel)
            with refused(406, "PRECONDITION_FAILED - unknown delivery tag 99"):
                channel.queue_declare(queue, passive=True)
        channel = connection.channel()
        queue = new_queue(channel)
        publish(channel, queue, b"")
        wait_until(lambda: depth(channel, queue) == 1, "message arrived")
        tag = get(channel, queue, auto_ack=False)[0].delivery_tag
        channel.basic_ack(tag)
        channel.basic_ack(tag)
        with refused(406, f"PRECONDITION_FAILED - unknown delivery tag {tag}"):
            channel.queue_declare(queue, passive=True)
        equal(connection.is_open, True, "connection is open after five channel errors")


@case
def exclusive_consumer(url):
    with filled_queue(url, 0) as (channel, queue):
        connection = channel.connection
        Consumer(channel, queue, exclusive=True)
        in_use = f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
        with refused(403, in_use):
            connection.channel().basic_consume(queue, lambda *_: None)
        channel.close()
        other = connection.channel()
        other.basic_consume(queue, lambda *_: None)
        with refused(403, in_use):
            connection.channel().basic_consume(queue, lambda *_: None, exclusive=True)


@case
def consumer_is_told_of_deleted_queue(url):
    with filled_queue(url, 1) as (channel, queue):
        cancelled = []
        channel.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
        consumer = Consumer(channel, queue)
        consumer.wait_for(1)
        channel.connection.channel().queue_delete(queue)
        wait_until(
            lambda: cancelled == [consumer.tag],
            "basic.cancel from the broker",
            step=lambda: channel.connection.process_data_events(0.05),
        )
        channel.basic_ack(consumer.deliveries[0][0].delivery_tag)  # of a message that is gone: no error
        channel.queue_declare("", exclusive=True)


@case
def cancelled_consumer_gets_nothing_more(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = new_queue(channel)
        consumer = Consumer(channel, queue, auto_ack=True)
        fill(channel, queue, 2)
        consumer.wait_for(2)
        channel.basic_cancel(consumer.tag)
        fill(channel, queue, 2)
        equal(len(consumer.settle()), 2)
        equal(depth(channel, queue), 2)


@case
def consumers_take_turns(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = new_queue(channel)
        consumers = [Consumer(channel, queue, auto_ack=True) for _ in range(3)]
        fill(channel, queue, 30)
        wait_until(
            lambda: sum(len(consumer.deliveries) for consumer in consumers) == 30,
            "30 deliveries",
            step=lambda: connection.process_data_events(0.05),
        )
        equal([len(consumer.deliveries) for consumer in consumers], [10, 10, 10])


# --- time -------------------------------------------------------------------------------------------------------------


@case
def expiration_of_a_message(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = new_queue(channel)
        publish(channel, queue, b"short", expiration="200")
        publish(channel, queue, b"long", expiration="60000")
        publish(channel, queue, b"never")
        wait_until(lambda: depth(channel, queue) == 2, "the first is gone")
        equal(bodies(channel, queue), [b"long", b"never"])
        publish(channel, queue, b"now or never", expiration="0")
        wait_until(lambda: depth(channel, queue) == 0, "nobody was waiting for it")


@case
def message_ttl_of_a_queue(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = new_queue(channel, arguments={"x-message-ttl": 300})
        started = time.monotonic()
        fill(channel, queue, 3)
        wait_until(lambda: depth(channel, queue) == 0, "all have expired")
        assert time.monotonic() - started >= 0.3, "expired too early"


@case
def expires_of_a_queue(url):
    with connected(url) as connection:
        channel = connection.channel()
        queue = new_queue(channel, exclusive=False, arguments={"x-expires": 400})
        consumer = channel.basic_consume(queue, lambda *_: None)
        started = time.monotonic()
        connection.process_data_events(0.8)
        assert time.monotonic() - started >= 0.8
        channel.basic_cancel(consumer)

        # Asking for the queue by a declare would count as a use and keep it alive; publishing does not.
        probe = connection.channel()
        probe.confirm_delivery()

        def gone():
            try:
                probe.basic_publish("", queue, b"", mandatory=True)
            except exceptions.UnroutableError:
                return True
            return False

        assert not gone(), "a queue with a consumer is in use"
        wait_until(gone, "the unused queue is deleted")


# --- transactions -----------------------------------------------------------------------------------------------------


@case
def transactions(url):
    with connected(url) as connection:
        channel = connection.channel()
        watcher = connection.channel()
        queue = new_queue(channel)
        channel.tx_select()
        fill(channel, queue, 3)
        equal(depth(channel, queue), 0, "before the commit")
        channel.tx_commit()
        equal(depth(watcher, queue), 3, "after the commit")

        fill(channel, queue, 3)
        channel.tx_rollback()
        equal(depth(watcher, queue), 3, "after a rollback")

        method, _, body = get(channel, queue, auto_ack=False)
        equal(body, b"0")
        channel.basic_ack(method.delivery_tag)
        channel.tx_rollback()  # undoes the acknowledgement, not the delivery
        channel.basic_ack(method.delivery_tag)
        channel.tx_commit()
        channel.close()
        equal(bodies(watcher, queue), [b"1", b"2"])

        channel = connection.channel()
        channel.tx_select()
        fill(channel, queue, 1)
        channel.close()  # rolls back
        equal(depth(watcher, queue), 0, "after a close without commit")


@case
def transaction_errors(url):
    with connected(url) as connection:
        with refused(406, "PRECONDITION_FAILED - channel is not transactional"):
            connection.channel().tx_commit()
        with refused(406, "PRECONDITION_FAILED - channel is not transactional"):
            connection.channel().tx_rollback()
        channel = connection.channel()
        channel.tx_select()
        with refused(406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode"):
            channel.confirm_delivery()
        channel = connection.channel()
        channel.confirm_delivery()
        with refused(406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode"):
            channel.tx_select()


# --- connections ------------------------------------------------------------------------------------------------------


@case
def wrong_password(url):
    settings = pika.URLParameters(url)
    settings.credentials = pika.PlainCredentials(settings.credentials.username, "wrong")
    try:
        pika.BlockingConnection(settings)
    except exceptions.ProbableAuthenticationError as error:
        expected = (
            "ConnectionClosedByBroker: (403) 'ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. "
            "For details see the broker logfile.'"
        )
        assert expected in str(error), error
    else:
        raise AssertionError("let in with a wrong password")


@case
def unknown_virtual_host(url):
    settings = pika.URLParameters(url)
    settings.virtual_host = "nowhere"
    try:
        pika.BlockingConnection(settings)
    except exceptions.ProbableAccessDeniedError as error:
        assert "(530) 'NOT_ALLOWED - vhost nowhere not found'" in str(error), error
    else:
        raise AssertionError("let into a virtual host that does not exist")


@case
def connection_errors(url):
    with connected(url) as connection:
        kind = exceptions.ConnectionClosedByBroker
        with refused(503, "COMMAND_INVALID - unknown exchange type 'nonsense'", kind):
            connection.channel().exchange_declare(unique("pika"), "nonsense")
    with connected(url) as connection:
        channel = connection.channel()
        queue = new_queue(channel)
        channel._impl.basic_consume(queue, lambda *_: None, consumer_tag="mine")  # noqa: SLF001
        with refused(530, "NOT_ALLOWED - attempt to reuse consumer tag 'mine'", kind):
            # pika itself refuses a known tag, so it is made to forget it.
            channel._impl._consumers.clear()  # noqa: SLF001
            channel._impl.basic_consume(queue, lambda *_: None, consumer_tag="mine")  # noqa: SLF001
            channel.queue_declare(queue, passive=True)


@case
def negotiates(url):
    with connected(url, heartbeat=7, channel_max=12, frame_max=8192) as connection:
        negotiated = connection._impl.params  # noqa: SLF001
        equal((negotiated.heartbeat, negotiated.channel_max, negotiated.frame_max), (7, 12, 8192))
        for number in range(1, 13):
            connection.channel(number)
        capabilities = connection._impl.server_capabilities  # noqa: SLF001
        for name in (
            "publisher_confirms",
            "exchange_exchange_bindings",
            "basic.nack",
            "consumer_cancel_notify",
            "connection.blocked",
            "authentication_failure_close",
            "per_consumer_qos",
        ):
            equal(capabilities.get(name), True, f"capability {name}")


@case
def heartbeats_keep_an_idle_connection(url):
    # Both sides close after two silent intervals: alive after three means that both have sent.
    with connected(url, heartbeat=1) as connection:
        channel = connection.channel()
        connection.process_data_events(3.5)
        channel.queue_declare("", exclusive=True)


@case
def secret_is_updated(url):
    with connected(url) as connection:
        connection.update_secret("guest", "rotation")
        connection.channel().queue_declare("", exclusive=True)


@case
def copies_go_by_further_keys(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queues = [channel.queue_declare("", exclusive=True).method.queue for _ in range(3)]
        headers = {"CC": [queues[1]], "BCC": [queues[2], queues[1]], "kept": 1}
        channel.basic_publish("", queues[0], b"copied", pika.BasicProperties(headers=headers), mandatory=True)
        for queue in queues:
            delivery, properties, body = channel.basic_get(queue, auto_ack=True)
            equal((body, delivery.message_count), (b"copied", 0), "once in each queue")
            equal(properties.headers, {"CC": [queues[1]], "kept": 1}, "BCC is not told")
        text = 'PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}'
        with refused(406, text):
            channel.basic_publish("", queues[0], b"", pika.BasicProperties(headers={"CC": queues[1]}))


@case
def consumers_of_a_higher_priority_come_first(url):
    with connected(url) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        got = []
        for priority in (1, 9):
            consumed = lambda *_, priority=priority: got.append(priority)  # noqa: E731
            channel.basic_consume(queue, consumed, auto_ack=True, arguments={"x-priority": priority})
        for _ in range(4):
            channel.basic_publish("", queue, b"")

        def all_came():
            connection.process_data_events(time_limit=0.05)
            return len(got) == 4

        wait_until(all_came, "four deliveries")
        equal(got, [9, 9, 9, 9], "who got them")


# --- restarts ---------------------------------------------------------------------------------------------------------


@restart_case
def durable_content_survives_a_kill(url):
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    durable, transient, exchange = unique("durable"), unique("transient"), unique("exchange")
    channel.queue_declare(durable, durable=True)
    channel.queue_declare(transient)
    channel.exchange_declare(exchange, "topic", durable=True)
    channel.queue_bind(durable, exchange, "kept.#")
    for number in range(50):
        channel.basic_publish(exchange, "kept.key", b"%d" % number, PERSISTENT, mandatory=True)
        channel.basic_publish(exchange, "kept.key", b"transient")
    channel.basic_publish("", transient, b"lost", PERSISTENT)
    held, _, body = get(channel, durable, auto_ack=False)
    equal((held.redelivered, body), (False, b"0"))

    restart_broker("kill")
    try:
        channel.queue_declare(durable, passive=True)
    except exceptions.AMQPConnectionError:
        pass
    else:
        raise AssertionError("the connection outlived the broker")

    connection = reconnected(url)
    channel = connection.channel()
    with refused(404, f"NOT_FOUND - no queue '{transient}' in vhost '/'"):
        connection.channel().queue_declare(transient, passive=True)
    equal(depth(channel, durable), 50, "persistent messages, and only these")
    equal(bodies(channel, durable), [b"%d" % number for number in range(50)])
    channel.confirm_delivery()
    channel.basic_publish(exchange, "kept.again", b"again", mandatory=True)  # the binding is there too
    equal(bodies(channel, durable), [b"again"])
    channel.queue_delete(durable)
    channel.exchange_delete(exchange)
    connection.close()


@restart_case
def shutdown_is_announced(url):
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.queue_declare("", exclusive=True)
    restart_broker("stop")
    with refused(
        320,
        "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
        exceptions.ConnectionClosedByBroker,
    ):
        wait_until(lambda: False, "connection.close", step=lambda: connection.process_data_events(0.1))
    reconnected(url).close()


if __name__ == "__main__":
    main()
