"""Retained messages as paho-mqtt sees them."""

import time

from mqtt_tools import EVERY_VERSION, V31, V311, V5, Device, content, fence, forget_retained, reconnected, values_of
from suite import beyond, case, equal, is_common, main, restart_broker, restart_case, unique, wait_until


@case
def set_replaced_and_cleared(url):
    for version in EVERY_VERSION:
        for qos in (0, 1, 2):
            topic = unique("kept")
            with Device(url, version=version) as publisher:
                publisher.publish(topic, b"old", qos, True)
                publisher.publish(topic, b"new", qos, True)
                publisher.publish(topic, b"just passing", qos, False)
                for granted in (0, 1, 2):
                    with Device(url, version=version) as late:
                        # QoS 0 is not waited for: a round trip of the publisher first.
                        fence(publisher, publisher)
                        late.subscribe(topic, qos=granted)
                        equal(content(late.take(1)[0]), (topic, b"new", min(qos, granted), True))
                        fence(late, late)
                        late.nothing_more()
                publisher.publish(topic, b"", qos, True)
                fence(publisher, publisher)
                with Device(url, version=version) as late:
                    late.subscribe(topic, qos=1)
                    fence(late, late)
                    late.nothing_more()


@case
def those_who_are_subscribed_get_it_as_any_other(url):
    topic = unique("live")
    with Device(url) as publisher, Device(url) as plain, Device(url) as exact, Device(url, version=V311) as old:
        plain.subscribe(topic, qos=1)
        exact.subscribe(topic, qos=1, as_published=True)
        old.subscribe(topic, qos=1)
        publisher.publish(topic, b"x", 1, True)
        publisher.publish(topic, b"", 1, True)
        publisher.publish(topic, b"y", 1, False)
        for device, flags in ((plain, [False] * 3), (exact, [True, True, False]), (old, [False] * 3)):
            got = device.take(3)
            equal([(message.payload, bool(message.retain)) for message in got], list(zip([b"x", b"", b"y"], flags)))


@case
def found_by_wildcards(url):
    root = unique("wild")
    topics = ["a", "b", "a/b", "a/b/c", "/", "a.b", "$c", "a/"]
    with Device(url) as publisher:
        for topic in topics:
            publisher.publish(f"{root}/{topic}", topic.encode(), 1, True)
    for pattern, expected in {
        "#": topics,
        "+": ["a", "b", "a.b", "$c"],
        "a/#": ["a", "a/b", "a/b/c", "a/"],
        "+/+": ["a/b", "/", "a/"],
        "+/b/+": ["a/b/c"],
        "+/b": ["a/b"],
        "a/": ["a/"],
        "+/+/+/#": ["a/b/c"],
        "a.b": ["a.b"],
        "none/#": [],
    }.items():
        for qos in (0, 1):
            with Device(url) as late:
                late.subscribe(f"{root}/{pattern}", qos=qos)
                fence(late, late, qos=(qos,))
                found = [message.payload.decode() for message in late.take(len(late.messages))]
                equal(sorted(found), sorted(expected), pattern)
    with Device(url) as late:
        late.subscribe(f"{root}/#", qos=1)
        equal({bool(message.retain) for message in late.take(len(topics))}, {True}, "retain")
    forget_retained(url, *(f"{root}/{topic}" for topic in topics))


@case
def many_by_one_wildcard(url):
    root, count = unique("many"), 2000
    with Device(url) as publisher:
        for number in range(count):
            publisher.send(f"{root}/{number}", b"%d" % number, 1, True)
        publisher.publish(f"{root}/0", b"0", 1, True)
        for qos in (0, 1):
            with Device(url) as late:
                late.subscribe(f"{root}/+", qos=qos)
                found = sorted(int(message.payload) for message in late.take(count, 30))
                equal(found, list(range(count)), "payloads")
        for number in range(count):
            publisher.send(f"{root}/{number}", b"", 1, True)
        publisher.publish(f"{root}/0", b"", 1, True)


@case
def handling(url):
    topic = unique("handling")
    with Device(url) as device:
        device.publish(topic, b"x", 1, True)
        device.subscribe(topic, qos=1, handling=2)
        fence(device, device)
        device.nothing_more()
        device.subscribe(topic, qos=1, handling=1)
        fence(device, device)
        device.nothing_more()
        for _ in range(2):
            device.subscribe(topic, qos=1, handling=0)
            equal(content(device.take(1)[0]), (topic, b"x", 1, True))
        device.unsubscribe(topic)
        device.subscribe(topic, qos=1, handling=1)
        equal(device.payloads(1), [b"x"])
        fence(device, device)
        device.nothing_more()
    forget_retained(url, topic)


@case
def subscribing_again_before_5(url):
    topic = unique("again")
    with Device(url, version=V311) as device:
        device.publish(topic, b"x", 1, True)
        for _ in range(3):
            device.subscribe(topic, qos=1)
            equal(device.payloads(1), [b"x"])
    forget_retained(url, topic)


@case
def with_its_properties_and_identifier(url):
    topic = unique("properties")
    sent = {
        "PayloadFormatIndicator": 1,
        "ContentType": "text/plain",
        "ResponseTopic": "back",
        "CorrelationData": b"\x00\xff",
        "UserProperty": [("b", "1"), ("a", "2"), ("b", "1")],
    }
    with Device(url) as device:
        device.publish(topic, b"x", 1, True, **sent)
        for qos in (0, 1, 2):
            device.subscribe(topic, qos=qos, identifier=100 + qos)
            equal(values_of(device.take(1)[0]), {**sent, "SubscriptionIdentifier": [100 + qos]})
    forget_retained(url, topic)


@case
def an_expiry_runs_down(url):
    topic = unique("expiry")
    with Device(url) as device:
        device.publish(f"{topic}/long", b"x", 1, True, MessageExpiryInterval=600)
        device.publish(f"{topic}/short", b"x", 1, True, MessageExpiryInterval=1)
        deadline = time.monotonic() + (2.5 if is_common() else 1.5)
        wait_until(lambda: time.monotonic() > deadline, "time")
        device.subscribe(f"{topic}/#", qos=1)
        fence(device, device)
        message = device.take(1)[0]
        equal(message.topic, f"{topic}/long")
        equal(590 <= message.properties.MessageExpiryInterval <= 599, True, f"expiry {message.properties.MessageExpiryInterval}")
        device.nothing_more()
    forget_retained(url, f"{topic}/long")


@case
def one_copy_for_each_subscription_that_asks(url):
    topic = unique("overlap")
    with Device(url) as device:
        device.publish(topic, b"x", 1, True)
        device.subscribe(topic, qos=1, identifier=1)
        device.subscribe(f"{topic}/#", qos=1, identifier=2)
        got = device.take(2)
        equal([bool(message.retain) for message in got], [True, True])
    forget_retained(url, topic)


@case
@beyond("Mosquitto 2.0.11 sends them, against 4.8.2")
def none_for_a_shared_subscription(url):
    topic = unique("shared")
    with Device(url) as device:
        device.publish(topic, b"x", 1, True)
        device.subscribe(f"$share/group/{topic}", qos=1)
        fence(device, device)
        device.nothing_more()
    forget_retained(url, topic)


@case
def from_one_s_own_publishes(url):
    topic = unique("own")
    with Device(url) as device:
        device.publish(topic, b"x", 1, True)
        device.subscribe(topic, qos=1)
        equal(content(device.take(1)[0]), (topic, b"x", 1, True))
    forget_retained(url, topic)


@case
@beyond("whether no-local holds for retained messages, too, 5.0 does not tell: here it does not for what was sent before")
def no_local_and_retained(url):
    topic = unique("own")
    with Device(url) as device:
        device.subscribe(topic, qos=1, no_local=True)
        device.publish(topic, b"x", 1, True)
        fence(device, device)
        device.nothing_more()
    forget_retained(url, topic)


@case
def by_topics_that_differ_little(url):
    root = unique("close")
    with Device(url) as device:
        for topic in ("a.b", "a/b", "a b", "A/b", "a/b/"):
            device.publish(f"{root}/{topic}", topic.encode(), 1, True)
        for topic in ("a.b", "a/b", "a b", "A/b", "a/b/"):
            device.subscribe(f"{root}/{topic}", qos=1)
            equal(device.payloads(1), [topic.encode()])
        fence(device, device)
        device.nothing_more()
    forget_retained(url, *(f"{root}/{topic}" for topic in ("a.b", "a/b", "a b", "A/b", "a/b/")))


@restart_case
def retained_messages_survive(url):
    for how in ("kill", "stop"):
        root = unique("durable")
        with Device(url) as publisher:
            for qos in (0, 1, 2):
                publisher.publish(f"{root}/{qos}", b"%d" % qos, qos, True, UserProperty=[("q", str(qos))])
            publisher.publish(f"{root}/gone", b"x", 1, True)
            publisher.publish(f"{root}/gone", b"", 1, True)
            publisher.publish(f"{root}/1", b"1", 1, True, UserProperty=[("q", "1")])
        restart_broker(how)
        late = reconnected(url)
        late.subscribe(f"{root}/#", qos=2)
        fence(late, late)
        found = {message.topic: (message.payload, values_of(message)["UserProperty"]) for message in late.messages}
        # QoS 0 promises nothing.
        found.pop(f"{root}/0", None)
        equal(found, {f"{root}/{qos}": (b"%d" % qos, [("q", str(qos))]) for qos in (1, 2)})
        late.disconnect()
        forget_retained(url, *(f"{root}/{qos}" for qos in (0, 1, 2)))


if __name__ == "__main__":
    main()
