"""STOMP beside AMQP 0-9-1 and MQTT on one broker: stomp.py, pika and paho-mqtt.

AMQP_URL and MQTT_URL say where the other listeners are. With --common the other broker is RabbitMQ 3.10, whose MQTT is 3.1.1.
"""

import contextlib
import os

import pika

from mqtt_tools import V5, V311, Device, values_of
from pika_tools import connected, depth, get
from stomp_tools import EVERY_VERSION, V12, Client, queue, reconnected, told, topic
from suite import beyond, case, equal, is_common, main, restart_broker, restart_case, unique, wait_until

PROPERTIES = {
    "content_type": "text/plain", "content_encoding": "utf-8", "delivery_mode": 2, "priority": 3, "correlation_id": "c:1",
    "expiration": "60000", "message_id": "mine", "timestamp": 1234, "type": "kind", "user_id": "guest", "app_id": "app",
}  # fmt: skip
HEADERS = {
    "content-type": "text/plain", "content-encoding": "utf-8", "persistent": "true", "priority": "3", "correlation-id": "c:1",
    "expiration": "60000", "amqp-message-id": "mine", "timestamp": "1234", "type": "kind", "user-id": "guest", "app-id": "app",
}  # fmt: skip


@contextlib.contextmanager
def channel_of():
    """A confirming channel, and a queue that is gone in the end."""
    with connected(os.environ["AMQP_URL"]) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        name = unique("amqp")
        channel.queue_declare(name, durable=True)
        try:
            yield channel, name
        finally:
            channel.queue_delete(name)


def arrived(channel, name):
    """Takes one message, which may still be on its way: (method, properties, body)."""
    got = []

    def step():
        method, properties, body = get(channel, name)
        if method:
            got.append((method, properties, body))
        else:
            channel.connection.sleep(0.02)

    wait_until(lambda: got, f"a message in {name}", step=step)
    return got[0]


@case
def properties_of_stomp_to_amqp(url):
    for version in EVERY_VERSION:
        with channel_of() as (channel, name), Client(url, version) as client:
            headers = dict(HEADERS) | ({"correlation-id": "c"} if version == "1.0" else {})
            client.send(f"/queue/{name}", b"\0\1body", {**headers, "foo": "bar", "x-number": "5"})
            method, properties, body = arrived(channel, name)
            equal((method.exchange, method.routing_key, body), ("", name, b"\0\1body"))
            found = {key: getattr(properties, key) for key in PROPERTIES}
            equal(found, {**PROPERTIES, "correlation_id": headers["correlation-id"]}, version)
            equal((properties.headers["foo"], properties.headers["x-number"]), ("bar", "5"))


@case
def properties_of_amqp_to_stomp(url):
    for version in EVERY_VERSION:
        with channel_of() as (channel, name), Client(url, version) as client:
            client.subscribe(f"/queue/{name}")
            sent = pika.BasicProperties(**PROPERTIES, headers={"text": "bar", "number": 5, "negative": -7, "large": 1 << 40})
            channel.basic_publish("", name, b"\0\1body", sent)
            message = client.take()[0]
            equal((message.body, *told(message, "destination")), (b"\0\1body", f"/queue/{name}"))
            expected = {**HEADERS, "text": "bar", "number": "5", "negative": "-7", "large": str(1 << 40)}
            found = {key: message.headers.get(key) for key in expected}
            if version == "1.0":  # where a colon cannot be written otherwise than it is
                expected.pop("correlation-id"), found.pop("correlation-id")
            equal(found, expected, version)


@case
def a_message_that_came_by_stomp_goes_back_to_it_as_it_was(url):
    """By way of AMQP, which moves it from queue to queue."""
    with channel_of() as (channel, name), channel_of() as (_, other), Client(url) as client:
        client.subscribe(f"/queue/{other}")
        client.send(f"/queue/{name}", b"body", {**HEADERS, "a": "1:2", "b": "x\ny\\z"})
        _, properties, body = arrived(channel, name)
        channel.basic_publish("", other, body, properties)
        message = client.take()[0]
        expected = {**HEADERS, "a": "1:2", "b": "x\ny\\z"}
        equal({key: message.headers.get(key) for key in expected}, expected)


@case
def topics_and_routing_keys(url):
    with channel_of() as (channel, name), Client(url) as client:
        key = unique("key")
        channel.queue_bind(name, "amq.topic", f"{key}.#")
        client.subscribe(f"/topic/{key}.*")
        client.send(f"/topic/{key}.a", b"by stomp")
        method, _, body = arrived(channel, name)
        equal((method.exchange, method.routing_key, body), ("amq.topic", f"{key}.a", b"by stomp"))
        equal(client.bodies(1), [b"by stomp"])
        channel.basic_publish("amq.topic", f"{key}.b", b"by amqp")
        message = client.take()[0]
        equal((message.body, *told(message, "destination")), (b"by amqp", f"/topic/{key}.b"))


@case
def replies_across(url):
    # A request of AMQP, answered by STOMP.
    with channel_of() as (channel, name), channel_of() as (_, answers), Client(url) as server:
        server.subscribe(f"/queue/{name}")
        properties = pika.BasicProperties(reply_to=answers, correlation_id="1")
        channel.basic_publish("", name, b"ask", properties)
        request = server.take()[0]
        equal(told(request, "reply-to", "correlation-id"), (f"/reply-queue/{answers}", "1"))
        server.send(request.headers["reply-to"], b"answer", {"correlation-id": request.headers["correlation-id"]})
        _, properties, body = arrived(channel, answers)
        equal((body, properties.correlation_id), (b"answer", "1"))
    # And the other way round.
    with channel_of() as (channel, name), Client(url) as client:
        client.send(f"/queue/{name}", b"ask", {"reply-to": "/temp-queue/answers", "correlation-id": "2"})
        _, properties, _ = arrived(channel, name)
        channel.basic_publish("", properties.reply_to, b"answer", pika.BasicProperties(correlation_id=properties.correlation_id))
        message = client.take()[0]
        equal((message.body, *told(message, "subscription", "correlation-id")), (b"answer", "/temp-queue/answers", "2"))


@case
def acknowledgements_count_for_both(url):
    with channel_of() as (channel, name), Client(url) as client:
        for number in range(4):
            channel.basic_publish("", name, b"%d" % number)
        client.subscribe(f"/queue/{name}", ack="client-individual", prefetch_count="2")
        first, second = client.take(2)
        client.ack(first)
        client.take(1)
        client.nack(second, requeue="false")
        client.drop()
        method, _, body = arrived(channel, name)
        equal((body, method.redelivered), (b"2", True))
        method, _, body = arrived(channel, name)
        equal((body, depth(channel, name)), (b"3", 0))


@case
def stomp_to_mqtt_and_back(url):
    version = V311 if is_common() else V5
    root = unique("mqtt")
    with Device(os.environ["MQTT_URL"], version=version) as device, Client(url) as client:
        device.subscribe(f"{root}/#", qos=1)
        client.subscribe(f"/topic/{root}.#")
        client.send(f"/topic/{root}.a.b", b"by stomp", persistent="true")
        message = device.take(1)[0]
        equal((message.topic, message.payload), (f"{root}/a/b", b"by stomp"))
        equal(client.bodies(1), [b"by stomp"])
        device.publish(f"{root}/c", b"by mqtt", 1)
        message = client.take()[0]
        equal((message.body, *told(message, "destination", "persistent")), (b"by mqtt", f"/topic/{root}.c", "true"))


@case
@beyond("RabbitMQ 3.10 has no MQTT 5.0")
def headers_and_properties_of_mqtt_5(url):
    root = unique("five")
    with Device(os.environ["MQTT_URL"], version=V5) as device, Client(url, V12) as client:
        device.subscribe(f"{root}/#", qos=1)
        client.subscribe(f"/topic/{root}.#")
        headers = {"content-type": "text/plain", "correlation-id": "c", "expiration": "60000", "foo": "bar"}
        client.send(f"/topic/{root}.a", b"x", headers, persistent="true")
        client.take()
        message = device.take(1)[0]
        values = values_of(message)
        equal((values["ContentType"], values["CorrelationData"]), ("text/plain", b"c"))
        equal(dict(values["UserProperty"])["foo"], "bar")
        equal(0 < values["MessageExpiryInterval"] <= 60, True)
        device.publish(
            f"{root}/b", b"y", 1, ContentType="text/html", CorrelationData=b"d", UserProperty=[("foo", "bär"), ("n", "5")]
        )
        device.take(1)
        message = client.take()[0]
        equal(told(message, "content-type", "correlation-id", "foo", "n"), ("text/html", "d", "bär", "5"))


@restart_case
def queues_of_one_protocol_survive_for_the_other(url):
    name, key = queue(), topic()
    with Client(url) as client:
        client.send(name, b"by stomp", {"foo": "bar", **HEADERS})
        client.subscribe(key, id=name, headers={"durable": "true", "auto-delete": "false", "x-queue-name": name[7:] + "t"})
        client.disconnect()
    with connected(os.environ["AMQP_URL"]) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("amq.topic", key[7:], b"by amqp", pika.BasicProperties(delivery_mode=2, headers={"n": 5}))
    restart_broker("kill")
    client = reconnected(url)
    client.subscribe(f"/amq/queue/{name[7:]}t")
    message = client.take()[0]
    equal((message.body, *told(message, "n", "destination")), (b"by amqp", "5", key))
    client.disconnect()
    with connected(os.environ["AMQP_URL"]) as connection:
        channel = connection.channel()
        _, properties, body = arrived(channel, name[7:])
        equal((body, properties.headers["foo"], properties.message_id), (b"by stomp", "bar", "mine"))
        channel.queue_delete(name[7:])
        channel.queue_delete(f"{name[7:]}t")


if __name__ == "__main__":
    main()
