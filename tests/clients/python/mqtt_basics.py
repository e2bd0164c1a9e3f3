"""MQTT 3.1, 3.1.1 and 5.0 as paho-mqtt speaks them: connections, subscriptions, QoS in both directions."""

import socket
import time

from mqtt_tools import EVERY_VERSION, V31, V311, V5, Device, content, fence, values_of
from suite import beyond, case, equal, is_common, main, unique, wait_until

# Mosquitto 2.0 closes without a word.
TAKEN_OVER = None if is_common() else 0x8E


# --- publish and subscribe


@case
def every_version_and_quality(url):
    for version in EVERY_VERSION:
        for sent in (0, 1, 2):
            for granted in (0, 1, 2):
                topic = f"{unique('q')}/{version}"
                with Device(url, version=version) as device:
                    device.subscribe(topic, qos=granted)
                    device.publish(topic, b"\x00\xffpayload", sent)
                    equal(content(device.take(1)[0]), (topic, b"\x00\xffpayload", min(sent, granted), False))


@case
def versions_talk_to_each_other(url):
    topic = unique("versions")
    devices = [Device(url, version=version).connect() for version in EVERY_VERSION]
    for device in devices:
        device.subscribe(topic, qos=2)
    for number, device in enumerate(devices):
        device.publish(topic, b"%d" % number, 2)
    for device in devices:
        equal(sorted(device.payloads(3)), [b"0", b"1", b"2"])
        device.disconnect()


@case
def order_is_kept(url):
    for qos in (0, 1, 2):
        topic = unique("order")
        with Device(url) as publisher, Device(url) as subscriber:
            subscriber.subscribe(topic, qos=qos)
            for number in range(500):
                publisher.send(topic, b"%d" % number, qos)
            equal(subscriber.payloads(500), [b"%d" % number for number in range(500)], f"order of QoS {qos}")


@case
def empty_and_large_payloads(url):
    topic = unique("sizes")
    with Device(url) as device:
        device.subscribe(topic, qos=2)
        for size in (0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152):
            payload = bytes(at % 251 for at in range(min(size, 1000))) * (size // 1000 + 1)
            device.publish(topic, payload[:size], size % 3)
            equal(device.take(1)[0].payload == payload[:size], True, f"{size} bytes come back")


@case
def topics_of_every_script(url):
    with Device(url) as device:
        for topic in ("/", "//", "/a", "a/", "a//b", "ü/日本/😀", " ", "a b/c.d", "a.b/c", "*/x", "x/*y", "a/#b#".replace("#", "%"),
                      "\ufeff/x", "t" * 1000, "/".join("level" for _ in range(40))):
            whole = unique("s") + "/" + topic
            device.subscribe(whole, qos=1)
            device.publish(whole, b"x", 1)
            equal(device.take(1)[0].topic, whole, "topic")


@case
def wildcards(url):
    root = unique("w")
    topics = ["a/b/c", "a", "a/", "/a", "a//c", "a.b/c", "a*b", "a/b", "$a/b", "a/$b/c"]
    filters = [
        "#", "+", "+/+", "+/+/+", "+/+/+/+", "a", "a/", "a/+", "/+", "/a", "+/a", "+/", "a/#", "/#", "/a/#", "+/#", "+/+/#",
        "a/b/#", "a/b/c/#", "a/+/#", "+/b/#", "a/b/c", "+/b/c", "a/+/c", "a/b/+", "+/+/c", "a//c", "a//#", "a.b/c", "a.b/#",
        "+/c", "a*b", "a*b/#", "*", "a/*", "b/#", "$a/#", "+/$b/+",
    ]  # fmt: skip
    with Device(url) as publisher, Device(url) as subscriber:
        for number, name in enumerate(filters, 1):
            subscriber.subscribe(f"{root}/{name}", qos=number % 3, identifier=number)
        for topic in topics:
            publisher.publish(f"{root}/{topic}", topic.encode(), 1)
            fence(publisher, subscriber)
            identifiers = set()
            # Mosquitto delivers once for each subscription; the union is the same.
            for message in subscriber.take(len(subscriber.messages)):
                equal(message.payload, topic.encode())
                identifiers |= set(values_of(message)["SubscriptionIdentifier"])
            expected = sorted(name for name in filters if matched(name, topic))
            equal(sorted(filters[number - 1] for number in identifiers), expected, f"filters that match {topic}")


def matched(name, topic):
    """Whether a filter matches a topic (4.7), said again."""
    name, topic = name.split("/"), topic.split("/")
    for at, level in enumerate(name):
        if level == "#":
            return True
        if at >= len(topic) or level not in ("+", topic[at]):
            return False
    return len(name) == len(topic)


@case
@beyond("Mosquitto 2.0 delivers once for each subscription that matches, as 5.0 allows")
def overlapping_subscriptions_deliver_once(url):
    root = unique("overlap")
    with Device(url) as publisher, Device(url) as subscriber:
        subscriber.subscribe(f"{root}/+", qos=0, identifier=7)
        subscriber.subscribe(f"{root}/#", qos=2, identifier=8)
        subscriber.subscribe(f"{root}/a", qos=1, identifier=268_435_455)
        subscriber.subscribe(f"{root}/a/#", qos=1)
        for qos in (0, 1, 2):
            publisher.publish(f"{root}/a", b"%d" % qos, qos)
        fence(publisher, subscriber)
        for qos, message in enumerate(sorted(subscriber.take(3), key=lambda message: message.payload)):
            equal(message.qos, qos, "the highest QoS that was granted")
            equal(sorted(values_of(message)["SubscriptionIdentifier"]), [7, 8, 268_435_455])
        subscriber.nothing_more()
    for version in (V31, V311):
        with Device(url) as publisher, Device(url, version=version) as subscriber:
            subscriber.subscribe((f"{root}/+", 0), (f"{root}/#", 2), (f"{root}/a", 1))
            publisher.publish(f"{root}/a", b"x", 2)
            fence(publisher, subscriber)
            equal(content(subscriber.take(1)[0]), (f"{root}/a", b"x", 2, False))
            subscriber.nothing_more()


@case
def a_subscription_takes_the_place_of_the_one_before(url):
    topic = unique("again")
    with Device(url) as device:
        device.subscribe(topic, qos=2, identifier=1)
        device.subscribe(topic, qos=0, identifier=2)
        device.publish(topic, b"x", 2)
        message = device.take(1)[0]
        equal((message.qos, values_of(message)["SubscriptionIdentifier"]), (0, [2]))
        device.subscribe(topic, qos=1)
        device.publish(topic, b"y", 2)
        message = device.take(1)[0]
        equal((message.qos, values_of(message)), (1, {}))
        fence(device, device)
        device.nothing_more()


@case
def unsubscribing(url):
    root = unique("un")
    for version in EVERY_VERSION:
        with Device(url, version=version) as device:
            device.subscribe((f"{root}/a", 0), (f"{root}/b", 1), (f"{root}/+", 2))
            device.unsubscribe(f"{root}/a", f"{root}/+", f"{root}/never", expect=[0, 0, 0x11])
            device.publish(f"{root}/a", b"a", 1)
            device.publish(f"{root}/b", b"b", 1)
            fence(device, device)
            equal(device.payloads(1), [b"b"])
            device.nothing_more()


@case
def no_local(url):
    topic = unique("local")
    with Device(url) as device, Device(url) as other:
        for qos in (0, 1):
            device.subscribe(topic, qos=qos, no_local=True)
            device.publish(topic, b"own", 1)
            other.publish(topic, b"other's", 1)
            fence(device, device)
            equal(device.payloads(1), [b"other's"])
            device.nothing_more()
        # By another subscription that says nothing of it, it comes.
        device.subscribe(f"{topic}/#", qos=1, no_local=False)
        device.publish(topic, b"own", 1)
        equal(device.payloads(1), [b"own"])


@case
def user_properties_keep_their_order(url):
    topic = unique("user")
    pairs = [("b", "1"), ("a", "2"), ("b", "1"), ("", ""), ("ü", "日本"), ("b", "0"), ("k" * 300, "v" * 3000)]
    with Device(url) as device:
        device.subscribe(topic, qos=2)
        for qos in (0, 1, 2):
            device.publish(topic, b"x", qos, UserProperty=pairs)
            equal(values_of(device.take(1)[0])["UserProperty"], pairs)


@case
def properties_of_a_publish_come_as_they_were(url):
    topic = unique("properties")
    sent = {
        "PayloadFormatIndicator": 1,
        "ContentType": "text/plain; charset=utf-8",
        "ResponseTopic": "answers/here",
        "CorrelationData": b"\x00\x01\xff",
        "UserProperty": [("trace", "1")],
    }
    with Device(url) as device:
        device.subscribe(topic, qos=2, identifier=5)
        for qos in (0, 1, 2):
            device.publish(topic, "grüß".encode(), qos, **sent)
            message = device.take(1)[0]
            equal(values_of(message), {**sent, "SubscriptionIdentifier": [5]})
    # To one that cannot have them the payload goes without.
    with Device(url, version=V311) as old, Device(url) as device:
        old.subscribe(topic, qos=1)
        device.publish(topic, "grüß".encode(), 1, **sent)
        equal(content(old.take(1)[0]), (topic, "grüß".encode(), 1, False))


@case
def request_and_response(url):
    service, answers = unique("service"), unique("answers")
    with Device(url) as server, Device(url, RequestResponseInformation=1) as client:
        server.subscribe(service)
        client.subscribe(answers)
        client.publish(service, b"20+22", ResponseTopic=answers, CorrelationData=b"\x01")
        request = server.take(1)[0]
        server.publish(request.properties.ResponseTopic, b"42", CorrelationData=request.properties.CorrelationData)
        answer = client.take(1)[0]
        equal((answer.payload, answer.properties.CorrelationData), (b"42", b"\x01"))


# --- connections


@case
def the_broker_says_what_it_can(url):
    with Device(url) as device:
        for name in ("MaximumQoS", "RetainAvailable", "WildcardSubscriptionAvailable", "SubscriptionIdentifierAvailable",
                     "SharedSubscriptionAvailable", "AssignedClientIdentifier", "ServerKeepAlive"):
            equal(device.told(name) in (None, 1), True, f"{name}: {device.told(name)!r} takes nothing away")
        equal(device.told("TopicAliasMaximum") > 0, True, "topic aliases are taken")
        equal((device.told("ReceiveMaximum") or 65535) >= 10, True, "receive maximum")


@case
def the_broker_assigns_a_client_id(url):
    with Device(url, client_id="") as one, Device(url, client_id="") as two:
        names = {one.told("AssignedClientIdentifier"), two.told("AssignedClientIdentifier")}
        equal(len(names - {None, ""}), 2, f"two names: {names}")
    # A session by the name that was assigned can be resumed.
    one = Device(url, client_id="", SessionExpiryInterval=60).connect()
    name = one.told("AssignedClientIdentifier")
    one.subscribe("assigned/" + name)
    one.drop()
    with Device(url, client_id=name, clean=False) as again:
        equal(again.present, True, "session present")


@case
def an_empty_client_id_before_5(url):
    topic = unique("anonymous")
    one, two = (Device(url, client_id="", version=V311) for _ in range(2))
    with one, two:
        one.subscribe(topic)
        two.publish(topic, b"x")
        equal(one.payloads(1), [b"x"])


@case
def legacy_devices_of_3_1(url):
    name = (unique("sensor") + "0123456789")[:23]
    equal(len(name), 23, "length of the id")
    topic = f"legacy/{name}"
    device = Device(url, client_id=name, version=V31, clean=False).connect()
    device.subscribe(topic, qos=1)
    device.drop()
    with Device(url) as publisher:
        publisher.publish(topic, b"while it was away", 1)
    device = Device(url, client_id=name, version=V31, clean=False).connect()
    equal(device.payloads(1), [b"while it was away"])
    device.disconnect()
    Device(url, client_id=name, version=V31).connect().disconnect()


@case
def long_client_ids(url):
    # A session is a queue, whose name has 255 bytes: RabbitMQ has the same bound.
    for length in (1, 24, 200, 230):
        with Device(url, client_id=(unique("long") + "-" + "x" * length)[-length:], version=V311) as device:
            topic = unique("long")
            device.subscribe(topic, qos=1)
            device.publish(topic, b"x", 1)
            device.take(1)


@case
def wrong_credentials(url):
    for version, code in ((V31, 134), (V311, 134), (V5, 134)):
        for login in (("guest", "wrong"), ("nobody", "guest"), ("guest", ""), ("guest", None)):
            device = Device(url, version=version, login=login)
            code_seen = refused(device)
            # Return code 4 or 5 before 5.0; paho shows them as the codes of 5.0.
            equal(code_seen in (code, 135), True, f"{login}: reason code {code_seen}")


def refused(device):
    """The reason code of a CONNACK that refuses."""
    try:
        device.connect(expect=None)
    except AssertionError:
        pass
    code = device.connack and device.connack[0]
    device.wait(lambda: device.ended, "the end of a refused connection")
    device.client.loop_stop()
    return code


@case
@beyond("users with a virtual host are RabbitMQ's")
def users_with_a_virtual_host(url):
    topic = unique("vhost")
    with Device(url, login=("/:guest", "guest")) as one, Device(url) as two:
        one.subscribe(topic)
        two.publish(topic, b"x")
        equal(one.payloads(1), [b"x"])
    code = refused(Device(url, login=("nowhere:guest", "guest")))
    equal(code in (134, 135), True, f"reason code {code} for a virtual host that is not there")


@case
def take_over(url):
    for version in EVERY_VERSION:
        name = unique("twin")
        first = Device(url, name, version=version, clean=False, **expiry(version)).connect()
        first.subscribe(f"to/{name}", qos=1)
        second = Device(url, name, version=version, clean=False, **expiry(version)).connect()
        first.wait_end(TAKEN_OVER)
        if version != V31:  # which has no such thing
            equal(second.present, True, "session present")
        second.publish(f"to/{name}", b"mine now", 1)
        equal(second.payloads(1), [b"mine now"])
        third = Device(url, name, version=version).connect()
        second.wait_end(TAKEN_OVER)
        equal(third.present, False, "session present after a clean start")
        third.publish(f"to/{name}", b"nobody's", 1)
        fence(third, third)
        third.nothing_more()
        third.disconnect()


def expiry(version):
    return {"SessionExpiryInterval": 600} if version == V5 else {}


@case
def a_storm_of_take_overs(url):
    name, topic = unique("storm"), unique("storm")
    devices = []
    for _ in range(20):
        devices.append(Device(url, name, clean=False, SessionExpiryInterval=600).connect().subscribe(topic, qos=1))
    for device in devices[:-1]:
        device.wait_end()
    devices[-1].publish(topic, b"x", 1)
    equal(devices[-1].payloads(1), [b"x"])
    devices[-1].disconnect(SessionExpiryInterval=0)


@case
def keep_alive_of_a_silent_client(url):
    started = time.monotonic()
    # By hand, for paho would send PINGREQ: CONNECT of 3.1.1 and of 5.0 with a keep-alive of a second.
    place = Device(url).place
    sockets = []
    for level, more in ((4, b""), (5, b"\x00")):
        name = unique("silent").encode()
        user = b"\x00\x05guest\x00\x05guest"
        head = b"\x00\x04MQTT" + bytes([level]) + b"\xc2\x00\x01" + more + bytes([0, len(name)]) + name + user
        stream = socket.create_connection((place.hostname, place.port), timeout=15)
        stream.sendall(b"\x10" + bytes([len(head)]) + head)
        sockets.append((level, stream))
    for level, stream in sockets:
        received = b""
        while chunk := stream.recv(1000):
            received += chunk
        equal(received[0], 0x20, "CONNACK")
        if level == 5 and not is_common():  # Mosquitto 2.0 says nothing
            rest = received[2 + received[1] :]
            equal((rest[:1], rest[2:3]), (b"\xe0", b"\x8d"), f"DISCONNECT and its reason in {received!r}")
        stream.close()
    elapsed = time.monotonic() - started
    equal(1.4 <= elapsed < 8, True, f"closed after {elapsed:.2f} s, one and a half times the keep-alive or more")


@case
def keep_alive_of_a_client_that_pings(url):
    with Device(url, keepalive=1) as device:
        device.subscribe(unique("ping"))
        deadline = time.monotonic() + 3.2
        wait_until(lambda: device.ended or time.monotonic() > deadline, "three keep-alive intervals")
        equal(device.ended, None, "the end of a connection that pings")


@case
def the_tree_of_the_broker(url):
    with Device(url) as device:
        # What is retained comes at once, the rest when it changes.
        names = ["$SYS/broker/version", "$SYS/broker/uptime", "$SYS/broker/clients/connected", "$SYS/broker/messages/received",
                 "$SYS/broker/bytes/sent", "$SYS/broker/retained messages/count", "$SYS/broker/subscriptions/count"]
        device.subscribe(*names, qos=0)
        device.wait(lambda: {message.topic for message in device.messages} >= set(names), "the tree", 30)
        found = {message.topic: message.payload.decode() for message in device.messages}
        equal(int(found["$SYS/broker/clients/connected"]) >= 1, True, "clients that are connected")
    with Device(url) as device:
        # Wildcards in front do not find it.
        device.subscribe("#", "+/broker/version", qos=0)
        fence(device, device)
        equal([message.topic for message in device.messages if message.topic.startswith("$")], [], "topics of the broker by #")
    with Device(url) as device:
        device.subscribe("$SYS/#", qos=1)
        device.wait(lambda: len(device.messages) >= 15, "the whole tree", 30)
        equal(all(message.topic.startswith("$SYS/") for message in device.messages), True, "topics")


@case
@beyond("what Mosquitto 2.0 does with topics of the broker is up to it")
def nobody_publishes_to_the_tree_of_the_broker(url):
    with Device(url) as device, Device(url) as forger:
        device.subscribe("$SYS/broker/version", qos=1)
        truth = device.take(1)[0].payload
        forger.send("$SYS/broker/version", b"forged", 1, True)
        fence(device, device)
        equal([message.payload for message in device.messages if message.payload != truth], [], "forged values")


if __name__ == "__main__":
    main()
