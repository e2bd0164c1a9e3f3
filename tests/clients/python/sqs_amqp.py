"""SQS beside AMQP 0-9-1, STOMP and MQTT on one broker: boto3, pika, stomp.py and paho-mqtt on the same queues.

AMQP_URL, STOMP_URL and MQTT_URL say where the other listeners are.
"""

import base64
import contextlib
import decimal
import os
import time

import pika

from mqtt_tools import Device
from pika_tools import connected, depth, get
from sqs_tools import (
    answers,
    arn_of,
    attributes,
    bodies,
    client,
    counts,
    delete,
    fifo,
    md5_of_attributes,
    name_of,
    queue,
    receive,
    receive_all,
    receive_one,
    refused,
    send,
    send_all,
    take_all,
)
from stomp_tools import Client
from suite import case, equal, main, restart_broker, restart_case, unique, wait_until

BINARY = bytes(range(256))


@contextlib.contextmanager
def channel():
    """A confirming channel of AMQP."""
    with connected(os.environ["AMQP_URL"]) as connection:
        opened = connection.channel()
        opened.confirm_delivery()
        yield opened


def publish(channel, name, body, exchange="", **properties):
    """Publishes to a queue and waits for the confirm."""
    properties.setdefault("delivery_mode", 2)
    channel.basic_publish(exchange, name, body, pika.BasicProperties(**properties), mandatory=True)


def arrived(channel, name, auto_ack=True):
    """Takes one message, which may still be on its way: (method, properties, body)."""
    got = []

    def step():
        method, properties, body = get(channel, name, auto_ack)
        if method:
            got.append((method, properties, body))
        else:
            channel.connection.sleep(0.02)

    wait_until(lambda: got, f"a message in {name}", step=step)
    return got[0]


@case
def sqs_to_amqp(url):
    values = {
        "text": {"DataType": "String", "StringValue": "grüße"},
        "whole": {"DataType": "Number", "StringValue": "-5"},
        "part": {"DataType": "Number", "StringValue": "1.5"},
        "long": {"DataType": "Number", "StringValue": "123456789012345678901234567890"},
        "custom": {"DataType": "Number.int", "StringValue": "7"},
        "bytes": {"DataType": "Binary", "BinaryValue": BINARY},
        "content-type": {"DataType": "String", "StringValue": "text/plain"},
        "correlation-id": {"DataType": "String", "StringValue": "c1"},
    }
    with queue(url) as made, channel() as amqp:
        told = send(url, made, "höllo", MessageAttributes=values, MessageGroupId="tenant")
        _, properties, body = arrived(amqp, name_of(made))
        equal(body.decode(), "höllo")
        equal(properties.message_id, told["MessageId"])
        equal((properties.content_type, properties.correlation_id), ("text/plain", "c1"))
        equal(properties.delivery_mode, 2)
        assert abs(properties.timestamp - time.time()) < 60
        headers = dict(properties.headers)
        types = dict(entry.split("=") for entry in headers.pop("x-sqs-attribute-types").split(","))
        equal(types, {"long": "Number", "custom": "Number.int"})
        wanted = {
            "text": "grüße",
            "whole": -5,
            "part": 1,  # as far as pika reads doubles
            "long": "123456789012345678901234567890",
            "custom": 7,
            "bytes": BINARY,
            "JMSXGroupID": "tenant",
        }
        equal({name: headers.get(name) for name in wanted}, wanted)
        equal(counts(url, made), (0, 0, 0), "left")


@case
def amqp_to_sqs(url):
    with queue(url) as made, channel() as amqp:
        headers = {"text": "grüße", "number": -5, "part": decimal.Decimal("1.5"), "yes": True, "bytes": b"\0\xff", "JMSXGroupID": "g1"}
        properties = {
            "content_type": "text/plain",
            "content_encoding": "utf-8",
            "correlation_id": "c1",
            "reply_to": "r",
            "message_id": "mine",
            "type": "kind",
            "app_id": "app",
            "user_id": "guest",
            "timestamp": 1234567890,
            "priority": 3,
        }
        publish(amqp, name_of(made), "höllo".encode(), headers=headers, **properties)
        message = receive_one(url, made)
        equal(message["Body"], "höllo")
        got = message["MessageAttributes"]
        equal(message["MD5OfMessageAttributes"], md5_of_attributes(got))
        text = {
            "content-type": "text/plain",
            "content-encoding": "utf-8",
            "correlation-id": "c1",
            "reply-to": "r",
            "message-id": "mine",
            "type": "kind",
            "app-id": "app",
            "user-id": "guest",
            "text": "grüße",
        }
        equal({name: got.get(name) for name in text}, {n: {"DataType": "String", "StringValue": v} for n, v in text.items()})
        numbers = {"number": "-5", "part": "1.5", "timestamp": "1234567890", "priority": "3"}
        wanted = {name: {"DataType": "Number", "StringValue": value} for name, value in numbers.items()}
        equal({name: got.get(name) for name in numbers}, wanted)
        equal(got["bytes"], {"DataType": "Binary", "BinaryValue": b"\0\xff"})
        equal(message["Attributes"]["MessageGroupId"], "g1")
        equal(message["Attributes"]["SentTimestamp"], "1234567890000")
        # The same id whenever it is received.
        client(url).change_message_visibility(
            QueueUrl=made, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )
        equal(receive_one(url, made)["MessageId"], message["MessageId"])


@case
def bodies_that_are_no_text(url):
    with queue(url) as made, channel() as amqp:
        for body in (BINARY, b"\xff", b"a\0b", b"\x0b"):
            publish(amqp, name_of(made), body)
            message = receive_one(url, made)
            equal(base64.b64decode(message["Body"]), body)
            encoding = {"DataType": "String", "StringValue": "base64"}
            equal(message["MessageAttributes"]["content-transfer-encoding"], encoding)
            delete(url, made, message)
        publish(amqp, name_of(made), b"plain text\r\n\t")
        message = receive_one(url, made)
        equal((message["Body"], "MessageAttributes" in message), ("plain text\r\n\t", False))


@case
def one_queue_declared_by_either(url):
    with channel() as amqp:
        name = unique("either")
        amqp.queue_declare(name, durable=True)
        made = client(url).get_queue_url(QueueName=name)["QueueUrl"]
        assert made in client(url).list_queues(QueueNamePrefix=name)["QueueUrls"]
        told = attributes(url, made)
        equal((told["QueueArn"], told["VisibilityTimeout"]), (arn_of(made), "30"))
        client(url).set_queue_attributes(QueueUrl=made, Attributes={"VisibilityTimeout": "5"})
        # What SQS has set is no argument of the declaration.
        amqp.queue_declare(name, durable=True)
        equal(client(url).create_queue(QueueName=name, Attributes={"VisibilityTimeout": "5"})["QueueUrl"], made)
        amqp.queue_delete(name)
        equal(client(url).list_queues(QueueNamePrefix=name).get("QueueUrls", []), [])
    with queue(url) as made, channel() as amqp:
        amqp.queue_declare(name_of(made), durable=True)
        amqp.queue_declare(name_of(made), passive=True)


@case
def what_one_holds_the_other_does_not_get(url):
    with queue(url) as made, channel() as amqp:
        send_all(url, made, ["a", "b"])
        held = receive_one(url, made)
        equal(depth(amqp, name_of(made)), 1, "ready for AMQP")
        method, _, body = arrived(amqp, name_of(made), auto_ack=False)
        equal({held["Body"], body.decode()}, {"a", "b"})
        equal(counts(url, made), (0, 2, 0), "in flight")
        equal(receive(url, made), [])
        amqp.basic_nack(method.delivery_tag, requeue=True)
        again = receive_one(url, made)
        equal((again["Body"], again["Attributes"]["ApproximateReceiveCount"]), (body.decode(), "2"))
        client(url).change_message_visibility(QueueUrl=made, ReceiptHandle=held["ReceiptHandle"], VisibilityTimeout=0)
        method, _, body = arrived(amqp, name_of(made))
        equal((body.decode(), method.redelivered), (held["Body"], True))


@case
def time_that_runs_out_comes_to_a_consumer_of_amqp(url):
    with queue(url, {"VisibilityTimeout": "1"}) as made, channel() as amqp:
        send(url, made, "x")
        receive_one(url, made)
        got = []
        amqp.basic_consume(name_of(made), lambda _c, method, _p, body: got.append((method.redelivered, body)), auto_ack=True)
        wait_until(lambda: got, "the message", step=lambda: amqp.connection.process_data_events(0.05))
        equal(got, [(True, b"x")])


@case
def delays_hold_for_all(url):
    with queue(url, {"DelaySeconds": "1"}) as made, channel() as amqp:
        started = time.monotonic()
        send(url, made, "by sqs")
        publish(amqp, name_of(made), b"by amqp")
        got = []
        amqp.basic_consume(name_of(made), lambda _c, _m, _p, body: got.append(body), auto_ack=True)
        wait_until(lambda: len(got) == 2, "both messages", step=lambda: amqp.connection.process_data_events(0.05))
        seconds = time.monotonic() - started
        assert 0.9 < seconds < 10, f"{seconds:.1f} s"


@case
def redrive_counts_failures_of_all(url):
    with queue(url) as dead:
        policy = {"deadLetterTargetArn": arn_of(dead), "maxReceiveCount": 2}
        with queue(url, {"RedrivePolicy": policy}) as made, channel() as amqp:
            send(url, made, "poison", MessageAttributes={"n": {"DataType": "Number", "StringValue": "1"}})
            receive_one(url, made, VisibilityTimeout=0)
            method, _, _ = arrived(amqp, name_of(made), auto_ack=False)
            amqp.basic_nack(method.delivery_tag, requeue=True)
            equal(receive(url, made, wait=1), [])
            _, properties, body = arrived(amqp, name_of(dead))
            equal(body, b"poison")
            equal(properties.headers["n"], 1)
            (death,) = properties.headers["x-death"]
            equal((death["queue"], death["reason"]), (name_of(made), "delivery_limit"))
            # And the other way round: published by AMQP, read by SQS.
            publish(amqp, name_of(made), b"again", message_id="m")
            for _ in range(2):
                method, _, _ = arrived(amqp, name_of(made), auto_ack=False)
                amqp.basic_nack(method.delivery_tag, requeue=True)
            equal(receive(url, made, wait=1), [])
            letter = receive_one(url, dead)
            equal((letter["Body"], letter["Attributes"]["DeadLetterQueueSourceArn"]), ("again", arn_of(made)))


@case
def groups_of_a_fifo_queue(url):
    with fifo(url) as made, channel() as amqp, Client(os.environ["STOMP_URL"]) as stomp:
        destination = f"/queue/{name_of(made)}"
        for number in range(3):
            send(url, made, f"s{number}", MessageGroupId="g")
            headers = {"JMSXGroupID": "g", "x-deduplication-header": f"a{number}"}
            for _ in range(2):
                stomp.send(destination, f"a{number}", headers, persistent="true")
        stomp.send(destination, "other", {"JMSXGroupID": "h"}, persistent="true")
        held = receive_one(url, made)
        equal(held["Body"], "s0")
        # The group is locked for a consumer of AMQP, too.
        equal(arrived(amqp, name_of(made))[2], b"other")
        equal(get(amqp, name_of(made))[0], None)
        delete(url, made, held)
        equal(take_all(url, made, 5), ["a0", "s1", "a1", "s2", "a2"])
        equal(counts(url, made), (0, 0, 0))


@case
def order_for_a_consumer_of_amqp(url):
    with fifo(url) as made, channel() as amqp:
        for number in range(20):
            send(url, made, str(number), MessageGroupId=f"g{number % 2}")
        got = []

        def on_message(opened, method, properties, body):
            got.append((properties.headers["JMSXGroupID"], int(body)))
            opened.basic_ack(method.delivery_tag)

        amqp.basic_qos(prefetch_count=5)
        amqp.basic_consume(name_of(made), on_message)
        wait_until(lambda: len(got) == 20, "twenty messages", step=lambda: amqp.connection.process_data_events(0.05))
        for group in ("g0", "g1"):
            numbers = [number for of, number in got if of == group]
            equal(numbers, sorted(numbers), group)


@case
def a_fanout_reaches_queues_of_sqs(url):
    with queue(url) as one, queue(url) as two, channel() as amqp:
        exchange = unique("fanout")
        amqp.exchange_declare(exchange, "fanout", auto_delete=True)
        for made in (one, two):
            amqp.queue_bind(name_of(made), exchange)
        publish(amqp, "", b"to all", exchange=exchange)
        equal([receive_one(url, made)["Body"] for made in (one, two)], ["to all", "to all"])


@case
def a_stream_can_be_sent_to(url):
    with channel() as amqp:
        name = unique("stream")
        amqp.queue_declare(name, durable=True, arguments={"x-queue-type": "stream"})
        made = client(url).get_queue_url(QueueName=name)["QueueUrl"]
        send(url, made, "appended")
        refused(
            lambda: receive(url, made),
            "AWS.SimpleQueueService.UnsupportedOperation",
            shape="UnsupportedOperation",
        )
        got = []
        amqp.basic_qos(prefetch_count=1)
        offset = {"x-stream-offset": "first"}
        amqp.basic_consume(name, lambda _c, _m, _p, body: got.append(body), arguments=offset)
        wait_until(lambda: got, "the message", step=lambda: amqp.connection.process_data_events(0.05))
        equal(got, [b"appended"])
        amqp.queue_delete(name)


@case
def stomp_and_sqs(url):
    with queue(url) as made, Client(os.environ["STOMP_URL"]) as stomp:
        destination = f"/queue/{name_of(made)}"
        stomp.send(destination, "grüße".encode(), persistent="true", headers={"kind": "greeting", "content-type": "text/plain"})
        message = receive_one(url, made)
        equal(message["Body"], "grüße")
        equal(message["MessageAttributes"]["kind"], {"DataType": "String", "StringValue": "greeting"})
        delete(url, made, message)
        stomp.send(destination, BINARY)
        message = receive_one(url, made)
        equal(base64.b64decode(message["Body"]), BINARY)
        delete(url, made, message)

        values = {
            "kind": {"DataType": "String", "StringValue": "answer"},
            "n": {"DataType": "Number", "StringValue": "5"},
        }
        told = send(url, made, "höllo", MessageAttributes=values)
        stomp.subscribe(destination, ack="client-individual")
        (frame,) = stomp.take()
        equal((frame.body.decode(), frame.headers["kind"], frame.headers["n"]), ("höllo", "answer", "5"))
        assert told["MessageId"] in frame.headers.values(), frame.headers
        stomp.ack(frame)
        equal(counts(url, made), (0, 0, 0))


@case
def mqtt_to_sqs(url):
    with queue(url) as made, channel() as amqp:
        topic = unique("topic")
        amqp.queue_bind(name_of(made), "amq.topic", f"{topic}.#")
        with Device(os.environ["MQTT_URL"]) as device:
            device.publish(f"{topic}/a", "21.5 °C".encode(), qos=1)
            device.publish(f"{topic}/b", BINARY, qos=1)
        got = receive_all(url, made, 2)
        equal(got[0]["Body"], "21.5 °C")
        equal(base64.b64decode(got[1]["Body"]), BINARY)


@restart_case
def all_of_it_survives(url):
    with queue(url) as made:
        with channel() as amqp:
            publish(amqp, name_of(made), BINARY, headers={"n": 1})
        values = {"n": {"DataType": "Number.int", "StringValue": "2"}}
        told = send(url, made, "by sqs", MessageAttributes=values)
        restart_broker("kill")
        wait_until(lambda: answers(url), "the broker is back")
        got = receive_all(url, made, 2)
        equal(base64.b64decode(got[0]["Body"]), BINARY)
        equal(got[0]["MessageAttributes"]["n"], {"DataType": "Number", "StringValue": "1"})
        equal((got[1]["MessageId"], got[1]["MessageAttributes"]), (told["MessageId"], values))
        equal(bodies(got)[1], "by sqs")


if __name__ == "__main__":
    main()
