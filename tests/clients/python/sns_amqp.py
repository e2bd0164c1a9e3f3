"""SNS beside AMQP 0-9-1, STOMP and MQTT on one broker: boto3, pika, stomp.py and paho-mqtt on the same topics.

AMQP_URL, STOMP_URL and MQTT_URL say where the other listeners are, WEB_STOMP_ADDRESS where STOMP rides on WebSocket; CERTIFICATES is a folder with
server.pem and server.key, of an authority that the broker trusts.
"""

import base64
import contextlib
import json
import os
import threading

import pika
import stomp

import sqs_tools
from mqtt_tools import Device
from pika_tools import connected
from sns_tools import (
    number_of,
    publish,
    refused,
    set_subscription,
    sns,
    strings_of,
    subscribe,
    subscribed,
    take_notification,
    take_one,
    text_of,
    topic,
    verify,
)
from sqs_tools import answers
from stomp_tools import Client
from suite import case, equal, main, restart_broker, restart_case, unique, wait_until
from webhook import webhook

BINARY = bytes(range(256))


@contextlib.contextmanager
def channel():
    """A confirming channel of AMQP."""
    with connected(os.environ["AMQP_URL"]) as connection:
        opened = connection.channel()
        opened.confirm_delivery()
        yield opened


def name_of(made):
    """The exchange that a topic is."""
    return made.rpartition(":")[2]


def bound(amqp, made, **arguments):
    """A queue of the connection's own that is bound to the topic."""
    queue = amqp.queue_declare("", exclusive=True).method.queue
    amqp.queue_bind(queue, name_of(made), "", arguments=arguments or None)
    return queue


def arrived(amqp, queue, count=1):
    """Takes so many messages: properties and bodies."""
    got = []

    def step():
        method, properties, body = amqp.basic_get(queue, auto_ack=True)
        if method:
            got.append((properties, body))
        else:
            amqp.connection.sleep(0.02)

    wait_until(lambda: len(got) >= count, f"{count} messages in {queue}", step=step)
    return got


class WebStomp(stomp.ConnectionListener):
    """STOMP over WebSocket, as stomp.py speaks it: what comes gathers in `frames`."""

    def __init__(self, destination):
        host, port = os.environ["WEB_STOMP_ADDRESS"].split(":")
        self.frames, self.ready = [], threading.Event()
        self.connection = stomp.WSStompConnection(
            [(host, int(port))], ws_path="/ws", vhost="/", heartbeats=(0, 0), auto_decode=False
        )
        self.connection.set_listener("", self)
        self.connection.connect("guest", "guest", wait=True)
        self.connection.subscribe(destination, id="1", ack="auto", headers={"receipt": "subscribed"})
        assert self.ready.wait(15), "no receipt of SUBSCRIBE"

    def on_receipt(self, _frame):
        self.ready.set()

    def on_message(self, frame):
        self.frames.append(frame)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.disconnect()


@case
def one_publish_reaches_everybody(url):
    """A queue of SQS, one of AMQP, a subscriber of MQTT, one of STOMP over WebSocket, and a webhook behind TLS."""
    folder = os.environ["CERTIFICATES"]
    certificate, key = os.path.join(folder, "server.pem"), os.path.join(folder, "server.key")
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        made = enter(topic(url))
        queue, _ = enter(subscribed(url, made))
        raw, _ = enter(subscribed(url, made, RawMessageDelivery="true"))
        amqp = enter(channel())
        of_amqp = bound(amqp, made)
        amqp.exchange_bind("amq.topic", name_of(made), "#")
        device = enter(Device(os.environ["MQTT_URL"]))
        device.subscribe(name_of(made))
        web = enter(WebStomp(f"/exchange/{name_of(made)}/#"))
        hook = enter(webhook(certificate, key))
        subscribe(url, made, f"https://localhost:{hook.port}/hook", "https")
        hook.confirm()
        values = {"kind": text_of("order"), "n": number_of(7), "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
        told = publish(url, made, "to everybody: grüße", Subject="news", MessageAttributes=values)

        document = take_notification(url, queue)
        equal((document["Message"], document["MessageId"]), ("to everybody: grüße", told["MessageId"]))
        verify(document)
        message = take_one(url, raw)
        equal((message["Body"], message["MessageAttributes"]), ("to everybody: grüße", values))
        ((properties, body),) = arrived(amqp, of_amqp)
        equal((body.decode(), properties.message_id), ("to everybody: grüße", told["MessageId"]))
        wanted = {"kind": "order", "n": 7, "bytes": b"\x00\xff"}
        equal({name: properties.headers.get(name) for name in wanted}, wanted)
        (message,) = device.take(1)
        equal(message.payload.decode(), "to everybody: grüße")
        wait_until(lambda: web.frames, "a frame")
        equal((web.frames[0].body.decode(), web.frames[0].headers["kind"]), ("to everybody: grüße", "order"))
        request = hook.wait()[0]
        equal(request.path, "/hook")
        equal(request.document()["Message"], "to everybody: grüße")
        equal(request.document()["MessageAttributes"], document["MessageAttributes"])
        verify(request.document())


@case
def publishers_of_amqp(url):
    with topic(url) as made, subscribed(url, made) as (queue, _), subscribed(
        url, made, RawMessageDelivery="true"
    ) as (raw, _), subscribed(url, made, FilterPolicy={"n": [{"numeric": [">", 5]}], "content-type": ["text/plain"]}) as (
        filtered,
        _,
    ), channel() as amqp:
        for n in (5, 6):
            properties = pika.BasicProperties(
                content_type="text/plain", message_id=f"mine-{n}", delivery_mode=2, headers={"n": n, "yes": True}
            )
            amqp.basic_publish(name_of(made), "any.key", f"höllo {n}".encode(), properties, mandatory=True)
        for n in (5, 6):
            document = take_notification(url, queue)
            equal((document["Type"], document["TopicArn"], document["Message"]), ("Notification", made, f"höllo {n}"))
            equal(document["MessageAttributes"]["n"], {"Type": "Number", "Value": str(n)})
            equal(document["MessageAttributes"]["content-type"], {"Type": "String", "Value": "text/plain"})
            verify(document)
            message = take_one(url, raw)
            equal(message["Body"], f"höllo {n}")
            equal(message["MessageAttributes"]["n"], {"DataType": "Number", "StringValue": str(n)})
        equal(take_notification(url, filtered)["Message"], "höllo 6")
        equal(sqs_tools.receive(url, filtered), [])


@case
def publishers_of_stomp(url):
    with topic(url) as made, subscribed(url, made) as (queue, _), webhook() as hook, Client(os.environ["STOMP_URL"]) as frames:
        subscribe(url, made, hook.url(), "http")
        hook.confirm()
        frames.send(f"/exchange/{name_of(made)}", "by stomp", {"kind": "frame"}, persistent="true")
        document = take_notification(url, queue)
        equal(document["MessageAttributes"]["kind"], {"Type": "String", "Value": "frame"})
        posted = hook.wait()[0].document()
        equal((posted["Message"], posted["MessageAttributes"]), ("by stomp", document["MessageAttributes"]))
        verify(posted)


@case
def publishers_of_mqtt(url):
    """By a binding of the exchange that MQTT publishes to."""
    with topic(url) as made, subscribed(url, made) as (queue, _), subscribed(
        url, made, RawMessageDelivery="true"
    ) as (raw, _), webhook() as hook, channel() as amqp, Device(os.environ["MQTT_URL"]) as device:
        subscribe(url, made, hook.url(), "http")
        hook.confirm()
        amqp.exchange_bind(name_of(made), "amq.topic", f"{name_of(made)}.#")
        device.publish(f"{name_of(made)}/room/1", b"21.5", qos=1)
        equal(take_one(url, raw)["Body"], "21.5")
        posted = hook.wait()[0].document()
        equal((posted["Message"], posted["TopicArn"]), ("21.5", made))
        verify(posted)
        document = json.loads(take_one(url, queue)["Body"])
        assert isinstance(document, dict), f"no notification: {document!r}"
        equal((document["Message"], document["TopicArn"]), ("21.5", made))
        amqp.exchange_unbind(name_of(made), "amq.topic", f"{name_of(made)}.#")


@case
def bodies_that_are_no_text(url):
    with topic(url) as made, subscribed(url, made) as (queue, _), channel() as amqp:
        amqp.basic_publish(name_of(made), "", BINARY, pika.BasicProperties(delivery_mode=2), mandatory=True)
        document = take_notification(url, queue)
        equal(base64.b64decode(document["Message"]), BINARY)
        equal(document["MessageAttributes"]["content-transfer-encoding"], {"Type": "String", "Value": "base64"})
        verify(document)


@case
def a_consumer_of_amqp_with_a_filter(url):
    with topic(url) as made, channel() as amqp:
        policy = json.dumps({"kind": ["order"], "n": [{"numeric": [">=", 3]}]})
        queue = bound(amqp, made, **{"filter-policy": policy})
        nested = json.dumps({"store": {"open": [True]}})
        by_body = bound(amqp, made, **{"filter-policy": nested, "filter-policy-scope": "MessageBody"})
        for n in range(6):
            values = {"kind": text_of("order" if n % 2 else "other"), "n": number_of(n), "list": strings_of("a")}
            publish(url, made, json.dumps({"n": n, "store": {"open": n == 2}}), MessageAttributes=values)
        equal([json.loads(body)["n"] for _, body in arrived(amqp, queue, 2)], [3, 5])
        equal([json.loads(body)["n"] for _, body in arrived(amqp, by_body)], [2])
        equal([amqp.basic_get(one)[0] for one in (queue, by_body)], [None, None])


@case
def a_topic_that_amqp_declares(url):
    name = unique("declared")
    with channel() as amqp:
        amqp.exchange_declare(name, "x-sns", durable=True)
        made = sns(url).create_topic(Name=name)["TopicArn"]
        equal(name_of(made), name)
        with subscribed(url, made, RawMessageDelivery="true") as (queue, _):
            publish(url, made, "works")
            equal(take_one(url, queue)["Body"], "works")
            sns(url).set_topic_attributes(TopicArn=made, AttributeName="DisplayName", AttributeValue="mine")
            amqp.exchange_declare(name, "x-sns", durable=True)  # as before
            amqp.exchange_declare(name, passive=True)
        amqp.exchange_delete(name)
        refused(lambda: publish(url, made), "NotFound", "Topic does not exist", status=404)


@case
def messages_of_a_subscribed_queue_for_others(url):
    """Whoever consumes the queue by another protocol gets what was published, and no document."""
    with topic(url) as made, subscribed(url, made) as (queue, subscription), channel() as amqp:
        told = publish(url, made, "höllo", Subject="s", MessageAttributes={"n": number_of(1)})
        name = sqs_tools.name_of(queue)
        ((properties, body),) = arrived(amqp, name)
        equal((body.decode(), properties.headers["n"], properties.message_id), ("höllo", 1, told["MessageId"]))
        # And what others send to the queue itself is no notification.
        amqp.basic_publish("", name, b"direct", pika.BasicProperties(delivery_mode=2), mandatory=True)
        equal(take_one(url, queue)["Body"], "direct")
        sqs_tools.send(url, queue, "by sqs")
        equal(take_one(url, queue)["Body"], "by sqs")
        set_subscription(url, subscription, "RawMessageDelivery", "true")


@case
def queues_of_webhooks_are_not_listed(url):
    with topic(url) as made, webhook() as hook:
        subscribe(url, made, hook.url(), "http")
        hook.confirm()
        names = [sqs_tools.name_of(one) for one in sqs_tools.client(url).list_queues().get("QueueUrls", [])]
        equal([name for name in names if name.startswith("sns-")], [])


@restart_case
def all_of_it_survives(url):
    with topic(url) as made, subscribed(url, made) as (queue, _), webhook() as hook:
        subscribe(url, made, hook.url(), "http", RawMessageDelivery="true")
        hook.confirm()
        with channel() as amqp:
            durable = unique("durable")
            amqp.queue_declare(durable, durable=True)
            amqp.queue_bind(durable, name_of(made), "", arguments={"filter-policy": '{"n":[1]}'})
        restart_broker("kill")
        wait_until(lambda: answers(url), "the broker is back")
        with channel() as amqp:
            for n in (1, 2):
                publish(url, made, f"m{n}", MessageAttributes={"n": number_of(n)})
            properties = pika.BasicProperties(delivery_mode=2, headers={"n": 1})
            amqp.basic_publish(name_of(made), "", b"by amqp", properties, mandatory=True)
            equal(sorted(take_notification(url, queue)["Message"] for _ in range(3)), ["by amqp", "m1", "m2"])
            equal([body for _, body in arrived(amqp, durable, 2)], [b"m1", b"by amqp"])
            amqp.queue_delete(durable)
        equal(sorted(one.body for one in hook.wait(3)), ["by amqp", "m1", "m2"])


if __name__ == "__main__":
    main(together=4)
