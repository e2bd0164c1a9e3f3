"""MQTT beside AMQP 0-9-1 on one broker, through amq.topic and the queues of sessions: paho-mqtt and pika.

AMQP_URL and MANAGEMENT_URL say where the other listeners are. With --common the other broker is RabbitMQ 3.10 with its MQTT
plugin, which knows 3.1.1 only.
"""

import contextlib
import os

import pika

from management import Policy
from mqtt_tools import V5, V311, Device, content, forget, values_of
from pika_tools import Consumer, connected, depth, get
from suite import beyond, case, equal, is_common, main, restart_broker, restart_case, unique, wait_until

VERSION = V311 if is_common() else V5
FIVE = "RabbitMQ 3.10 has no MQTT 5.0"


@contextlib.contextmanager
def channel_of(bindings=()):
    """A confirming channel and a queue of its own that is bound to amq.topic by these keys."""
    with connected(os.environ["AMQP_URL"]) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = channel.queue_declare("", exclusive=True).method.queue
        for key in bindings:
            channel.queue_bind(queue, "amq.topic", key)
        yield channel, queue


def arrived(channel, queue):
    """Takes one message, which may still be on its way: (method, properties, body)."""
    got = []

    def step():
        method, properties, body = get(channel, queue)
        if method:
            got.append((method, properties, body))
        else:
            channel.connection.sleep(0.02)

    wait_until(lambda: got, f"a message in {queue}", step=step)
    return got[0]


def device_of(url, *arguments, **values):
    values.setdefault("version", VERSION)
    return Device(url, *arguments, **values)


def keeping(url, name, **values):
    """A device whose session stays."""
    if VERSION == V5:
        values.setdefault("SessionExpiryInterval", 600)
    return device_of(url, name, clean=False, **values).connect()


# --- MQTT to AMQP


@case
def from_mqtt_to_a_queue_that_is_bound(url):
    root = unique("m2a")
    with channel_of([f"{root}.*.temperature", f"{root}.#.deep"]) as (channel, queue), device_of(url) as device:
        for qos in (0, 1, 2):
            device.publish(f"{root}/kitchen/temperature", b"%d" % qos, qos)
            method, properties, body = arrived(channel, queue)
            equal((method.exchange, method.routing_key, body), ("amq.topic", f"{root}.kitchen.temperature", b"%d" % qos))
            # RabbitMQ 3.10 takes QoS 2 for QoS 1.
            told = min(qos, 1) if is_common() else qos
            equal(properties.headers, {"x-mqtt-publish-qos": told, "x-mqtt-dup": False})
            equal(properties.delivery_mode, 2 if qos else 1)
        device.publish(f"{root}/a/b/deep", b"x", 1)
        equal(arrived(channel, queue)[0].routing_key, f"{root}.a.b.deep")
        device.publish(f"{root}/a/b/c", b"x", 1)
        equal(depth(channel, queue), 0, "what no key matches")


@case
@beyond(FIVE)
def properties_from_mqtt_to_amqp(url):
    root = unique("m2a")
    with channel_of([f"{root}.#"]) as (channel, queue), device_of(url) as device:
        device.publish(f"{root}/x", "grüß".encode(), 1, PayloadFormatIndicator=1, ContentType="text/plain", ResponseTopic=f"{root}/back",
                       CorrelationData=b"id-7", MessageExpiryInterval=60, UserProperty=[("b", "1"), ("a", "ü")])  # fmt: skip
        _, properties, body = arrived(channel, queue)
        equal(body, "grüß".encode())
        equal((properties.content_type, properties.reply_to, properties.correlation_id), ("text/plain", f"{root}.back", "id-7"))
        equal(59_000 <= int(properties.expiration) <= 60_000, True, f"expiration {properties.expiration}")
        equal(properties.headers, {
            "x-mqtt-publish-qos": 1, "x-mqtt-dup": False, "x-mqtt-payload-format-indicator": 1, "b": "1", "a": "ü",
        })  # fmt: skip


@case
@beyond(FIVE)
def a_request_by_mqtt_and_its_answer_by_amqp(url):
    root = unique("rpc")
    with channel_of([f"{root}.ask"]) as (channel, queue), device_of(url) as device:
        device.subscribe(f"{root}/answers/7", qos=1)
        device.publish(f"{root}/ask", b"20+22", 1, ResponseTopic=f"{root}/answers/7", CorrelationData=b"\x37\x00\xff")
        _, properties, _ = arrived(channel, queue)
        answer = pika.BasicProperties(correlation_id=properties.correlation_id, delivery_mode=2)
        channel.basic_publish("amq.topic", properties.reply_to, b"42", answer)
        message = device.take(1)[0]
        equal((message.payload, message.properties.CorrelationData), (b"42", b"\x37\x00\xff"))


@case
@beyond("pika cannot say bytes that are no UTF-8; RabbitMQ 3.10 has no MQTT 5.0")
def an_mqtt_message_comes_back_to_mqtt_as_it_was(url):
    topic, name = unique("bytes"), unique("bytes")
    keeping(url, name).subscribe(topic, qos=2).disconnect()
    sent = {"ContentType": "a/b", "ResponseTopic": "x/y.z", "CorrelationData": bytes(range(256)),
            "UserProperty": [("b", "1"), ("a", "2"), ("b", "1")], "PayloadFormatIndicator": 0}  # fmt: skip
    with device_of(url) as publisher:
        publisher.publish(topic, b"x", 2, **sent)
    with connected(os.environ["AMQP_URL"]) as connection:
        # Looked at and given back by an AMQP consumer.
        channel = connection.channel()
        method, _, _ = get(channel, f"mqtt-subscription-{name}", auto_ack=False)
        channel.basic_nack(method.delivery_tag, requeue=True)
    device = keeping(url, name)
    message = device.take(1)[0]
    equal((message.topic, message.qos), (topic, 2))
    equal(values_of(message), sent)
    device.disconnect()
    forget(url, name)


# --- AMQP to MQTT


@case
def from_amqp_to_a_subscription(url):
    root = unique("a2m")
    with channel_of() as (channel, _), device_of(url) as device:
        device.subscribe(f"{root}/+/temperature", qos=1)
        for number, mode in enumerate((1, 2, None)):
            channel.basic_publish("amq.topic", f"{root}.cellar.temperature", b"%d" % number, pika.BasicProperties(delivery_mode=mode))
        got = device.take(3)
        equal([(message.topic, message.payload) for message in got], [(f"{root}/cellar/temperature", b"%d" % number) for number in range(3)])
        if not is_common():  # where it is always QoS 1
            equal([message.qos for message in got], [0, 1, 0], "QoS by delivery mode")
        equal({bool(message.retain) for message in got}, {False}, "retain")


@case
@beyond(FIVE)
def properties_from_amqp_to_mqtt(url):
    root = unique("a2m")
    with channel_of() as (channel, _), device_of(url) as device:
        device.subscribe(f"{root}/#", qos=2)
        properties = pika.BasicProperties(
            content_type="application/json", content_encoding="gzip", delivery_mode=2, priority=3, correlation_id="c-1",
            reply_to=f"{root}.back", expiration="60000", message_id="m-1", timestamp=1_700_000_000, type="reading",
            user_id="guest", app_id="app", headers={"text": "ü", "number": 7, "yes": True, "list": [1, "a"], "deep": {"x": 1}},
        )  # fmt: skip
        channel.basic_publish("amq.topic", f"{root}.x", b"{}", properties)
        message = device.take(1)[0]
        values = values_of(message)
        equal(content(message), (f"{root}/x", b"{}", 1, False))
        user = dict(values.pop("UserProperty"))
        equal(59 <= values.pop("MessageExpiryInterval") <= 60, True, "message expiry")
        equal(values, {"ContentType": "application/json", "CorrelationData": b"c-1", "ResponseTopic": f"{root}/back"})
        equal(user, {
            "content-encoding": "gzip", "priority": "3", "message-id": "m-1", "timestamp": "1700000000", "type": "reading",
            "user-id": "guest", "app-id": "app", "text": "ü", "number": "7", "yes": "true", "list": '[1,"a"]', "deep": '{"x":1}',
        })  # fmt: skip


@case
@beyond("RabbitMQ 3.10 delivers such a message under a topic that no client may name")
def keys_that_are_no_topics(url):
    root = unique("odd")
    with channel_of() as (channel, _), device_of(url) as device:
        device.subscribe(f"{root}/#", "%23", qos=1)
        for key, topic in {
            f"{root}.a#b": f"{root}/a%23b",
            f"{root}.a*b": f"{root}/a%2Bb",
            f"{root}.*": f"{root}/%2B",
            f"{root}.a b/c": f"{root}/a b.c",
            f"{root}..x.": f"{root}//x/",
        }.items():
            channel.basic_publish("amq.topic", key, key.encode(), pika.BasicProperties(delivery_mode=2))
            message = device.take(1)[0]
            equal((message.topic, message.payload), (topic, key.encode()))


@case
@beyond("RabbitMQ swaps dots and slashes in one direction only")
def dots_and_slashes_are_swapped(url):
    root = unique("dots")
    with channel_of([f"{root}.#"]) as (channel, queue), device_of(url) as device:
        device.subscribe(f"{root}/v1.0/x", qos=1)
        device.publish(f"{root}/v1.0/x", b"1", 1)
        method, _, _ = arrived(channel, queue)
        equal(method.routing_key, f"{root}.v1/0.x")
        channel.basic_publish("amq.topic", f"{root}.v1/0.x", b"2", pika.BasicProperties(delivery_mode=2))
        equal([content(message)[:2] for message in device.take(2)], [(f"{root}/v1.0/x", b"1"), (f"{root}/v1.0/x", b"2")])


@case
def amqp_publishes_what_an_exchange_of_its_own_routes_on(url):
    root, exchange = unique("e2e"), unique("e2e")
    with channel_of() as (channel, _), device_of(url) as device:
        channel.exchange_declare(exchange, "fanout", auto_delete=True)
        channel.exchange_bind("amq.topic", exchange)
        device.subscribe(f"{root}/#", qos=1)
        channel.basic_publish(exchange, f"{root}.by.exchange", b"x", pika.BasicProperties(delivery_mode=2))
        equal(content(device.take(1)[0])[:2], (f"{root}/by/exchange", b"x"))
        channel.exchange_unbind("amq.topic", exchange)


@case
def both_at_once(url):
    root = unique("both")
    with channel_of([f"{root}.#"]) as (channel, queue), device_of(url) as device, device_of(url) as publisher:
        device.subscribe(f"{root}/#", qos=1)
        for number in range(100):
            if number % 2:
                publisher.publish(f"{root}/x", b"%d" % number, 1)
            else:
                channel.basic_publish("amq.topic", f"{root}.x", b"%d" % number, pika.BasicProperties(delivery_mode=2))
        expected = [b"%d" % number for number in range(100)]
        equal(device.payloads(100), expected, "at the device")
        consumer = Consumer(channel, queue, auto_ack=True)
        equal([body for _, _, body in consumer.wait_for(100)], expected, "at the AMQP consumer")


# --- the queue of a session


def session_queue(name):
    """RabbitMQ 3.10 adds the quality of service to the name."""
    return f"mqtt-subscription-{name}" + ("qos1" if is_common() else "")


@case
def the_queue_of_a_session_is_a_queue(url):
    name, topic = unique("queue"), unique("queue")
    keeping(url, name).subscribe(topic, qos=1).disconnect()
    with device_of(url) as publisher:
        for number in range(5):
            publisher.publish(topic, b"%d" % number, 1)
    with connected(os.environ["AMQP_URL"]) as connection:
        channel = connection.channel()
        queue = session_queue(name)
        equal(channel.queue_declare(queue, passive=True).method.message_count, 5)
        method, properties, body = get(channel, queue)
        equal((method.routing_key, body, properties.headers["x-mqtt-publish-qos"]), (topic.replace("/", "."), b"0", 1))
        channel.basic_publish("", queue, b"straight into it", pika.BasicProperties(delivery_mode=2))
        wait_until(lambda: depth(channel, queue) == 5, "what was published to it")
    device = keeping(url, name)
    equal(device.payloads(4), [b"1", b"2", b"3", b"4"])
    if not is_common():  # which gives it a topic all the same
        equal(device.take(1)[0].payload, b"straight into it")
    device.disconnect()
    forget(url, name)


@case
@beyond("RabbitMQ 3.10 keeps the queue for as long as it is connected, too")
def a_session_of_quality_0_has_no_queue_that_keeps(url):
    name, topic = unique("zero"), unique("zero")
    device = keeping(url, name).subscribe(topic, qos=0)
    with device_of(url) as publisher:
        publisher.publish(topic, b"x", 1)
    equal(content(device.take(1)[0]), (topic, b"x", 0, False))
    device.disconnect()
    with connected(os.environ["AMQP_URL"]) as connection:
        try:
            connection.channel().queue_declare(session_queue(name), passive=True)
        except pika.exceptions.ChannelClosedByBroker as error:
            equal(error.reply_code, 404)
        else:
            raise AssertionError("a queue for a session without a subscription of QoS 1 or 2")
    forget(url, name)


@case
def the_queue_goes_with_its_session(url):
    name = unique("goes")
    keeping(url, name).subscribe(unique("t"), qos=1).disconnect()
    with connected(os.environ["AMQP_URL"]) as connection:
        connection.channel().queue_declare(session_queue(name), passive=True)
        with device_of(url, name):
            pass

        def gone():
            try:
                connection.channel().queue_declare(session_queue(name), passive=True)
            except pika.exceptions.ChannelClosedByBroker as error:
                return error.reply_code == 404
            return False

        wait_until(gone, "the queue of a session that is over is gone")


@case
def a_policy_limits_a_session(url):
    name, topic = unique("limited"), unique("limited")
    with Policy(unique("limit"), f"^mqtt-subscription-{name}", {"max-length": 3}, **{"apply-to": "queues"}):
        keeping(url, name).subscribe(topic, qos=1).disconnect()
        with device_of(url) as publisher:
            for number in range(10):
                publisher.publish(topic, b"%d" % number, 1)
        device = keeping(url, name)
        equal(device.payloads(3), [b"7", b"8", b"9"], "the last three")
        device.disconnect()
    forget(url, name)


@case
def a_policy_sends_what_expires_in_a_session_elsewhere(url):
    name, topic = unique("letter"), unique("letter")
    with channel_of() as (channel, dead):
        definition = {"message-ttl": 300, "dead-letter-exchange": "", "dead-letter-routing-key": dead}
        with Policy(unique("letter"), f"^mqtt-subscription-{name}", definition, **{"apply-to": "queues"}):
            keeping(url, name).subscribe(topic, qos=1).disconnect()
            more = {} if is_common() else {"ContentType": "text/plain", "UserProperty": [("a", "1")]}
            with device_of(url) as publisher:
                publisher.publish(topic, b"x", 1, **more)
            _, properties, body = arrived(channel, dead)
            equal(body, b"x")
            death = properties.headers["x-death"][0]
            equal((death["queue"], death["reason"], death["exchange"], death["routing-keys"]),
                  (session_queue(name), "expired", "amq.topic", [topic]))  # fmt: skip
            equal(properties.headers["x-mqtt-publish-qos"], 1)
            if not is_common():
                equal((properties.content_type, properties.headers["a"]), ("text/plain", "1"))
    forget(url, name)


@case
@beyond(FIVE)
def a_dead_letter_of_amqp_reaches_a_device(url):
    topic = unique("dead")
    with channel_of() as (channel, _), device_of(url) as device:
        device.subscribe(f"{topic}/#", qos=1)
        arguments = {"x-dead-letter-exchange": "amq.topic", "x-dead-letter-routing-key": f"{topic}.rejected"}
        queue = channel.queue_declare("", exclusive=True, arguments=arguments).method.queue
        device.publish(f"{topic}/not/this", b"", 1)
        device.take(1)
        channel.queue_bind(queue, "amq.topic", f"work.{topic}")
        device.publish(f"work/{topic}", b"task", 1, UserProperty=[("a", "1")])
        wait_until(lambda: depth(channel, queue) == 1, "the task")
        method, _, _ = get(channel, queue, auto_ack=False)
        channel.basic_nack(method.delivery_tag, requeue=False)
        message = device.take(1)[0]
        equal((message.topic, message.payload), (f"{topic}/rejected", b"task"))
        user = dict(message.properties.UserProperty)
        equal((user["a"], user["x-first-death-reason"]), ("1", "rejected"))


@case
def the_retained_message_of_a_topic_reaches_amqp_when_it_is_published(url):
    topic = unique("kept")
    with channel_of([topic]) as (channel, queue), device_of(url) as device:
        device.publish(topic, b"x", 1, True)
        _, properties, body = arrived(channel, queue)
        equal((body, properties.headers["x-mqtt-publish-qos"]), (b"x", 1))
    forget_retained_by(url, topic)


def forget_retained_by(url, topic):
    with device_of(url) as device:
        device.publish(topic, b"", 1, True)


@case
@beyond("the tree of the broker is not RabbitMQ's")
def the_tree_of_the_broker_is_not_seen_by_amqp(url):
    with channel_of(["#"]) as (channel, queue), device_of(url) as device:
        device.subscribe("$SYS/#", qos=0)
        device.wait(lambda: len(device.messages) > 5, "the tree", 30)
        topic = unique("t")
        device.publish(topic, b"x", 1)
        keys = []
        while topic not in keys:
            keys.append(arrived(channel, queue)[0].routing_key)
        equal([key for key in keys if "SYS" in key], [], "topics of the broker in amq.topic")


@restart_case
def sessions_and_queues_survive_together(url):
    name, topic = unique("crash"), unique("crash")
    keeping(url, name).subscribe(topic, qos=1).disconnect()
    with channel_of() as (channel, _):
        channel.queue_declare(name, durable=True)
        channel.queue_bind(name, "amq.topic", topic)
        with device_of(url) as publisher:
            publisher.publish(topic, b"by mqtt", 1)
        channel.basic_publish("amq.topic", topic, b"by amqp", pika.BasicProperties(delivery_mode=2))
    restart_broker("kill")
    with channel_of() as (channel, _):
        for body in (b"by mqtt", b"by amqp"):
            equal(get(channel, name)[2], body)
        channel.queue_delete(name)
    device = keeping(url, name)
    equal(device.payloads(2), [b"by mqtt", b"by amqp"])
    device.disconnect()
    forget(url, name)


if __name__ == "__main__":
    main()
