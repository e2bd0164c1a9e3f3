"""Limits, aliases, expiry and shared subscriptions as paho-mqtt sees them."""

import time

from mqtt_tools import FOR_EVER, V311, V5, Device, content, fence, forget, values_of
from suite import beyond, case, equal, is_common, main, unique, wait_until


def round_trip(device):
    """What a device has sent has been read by the broker."""
    device.publish(unique("nobody"), b"", 1)


# --- receive maximum


@case
def no_more_than_the_receive_maximum_is_on_its_way(url):
    topic = unique("window")
    for qos in (1, 2):
        with Device(url, manual_ack=True, ReceiveMaximum=3) as slow, Device(url) as publisher:
            slow.subscribe(topic, (topic + "/0", 0), qos=qos)
            for number in range(10):
                publisher.publish(topic, b"%d" % number, qos)
            publisher.publish(topic + "/0", b"QoS 0 is not counted", 0)
            # With QoS 2 paho answers PUBREC by itself; the window opens with PUBCOMP only, which is manual.
            got = slow.wait_for(4)
            round_trip(slow)
            equal(len(slow.messages), 4, "messages on their way")
            got = [message for message in slow.take(4) if message.qos]
            for number in range(3, 10):
                slow.client.ack(got.pop(0).mid, qos)
                message = slow.take(1)[0]
                equal(message.payload, b"%d" % number)
                got.append(message)
            for message in got:
                slow.client.ack(message.mid, qos)


@case
def a_receive_maximum_of_one(url):
    topic = unique("one")
    with Device(url, ReceiveMaximum=1) as slow, Device(url) as publisher:
        slow.subscribe(topic, qos=2)
        for number in range(200):
            publisher.send(topic, b"%d" % number, 1 + number % 2)
        equal(sorted(int(payload) for payload in slow.payloads(200)), list(range(200)))


@case
def a_window_is_its_own(url):
    topic = unique("others")
    with Device(url, manual_ack=True, ReceiveMaximum=1) as slow, Device(url) as other, Device(url) as publisher:
        slow.subscribe(topic, qos=1)
        other.subscribe(topic, qos=1)
        for number in range(300):
            publisher.publish(topic, b"%d" % number, 1)
        equal(other.payloads(300), [b"%d" % number for number in range(300)])
        equal(slow.payloads(1), [b"0"])


# --- sizes


@case
def messages_that_are_too_large_for_a_client(url):
    topic = unique("large")
    with Device(url, MaximumPacketSize=200) as small, Device(url) as large, Device(url) as publisher:
        for device in (small, large):
            device.subscribe(topic, qos=2)
        for qos in (0, 1, 2):
            publisher.publish(topic, b"x" * 1000, qos)
            publisher.publish(topic, b"small", qos)
            publisher.publish(topic, b"p", qos, UserProperty=[("k", "v" * 300)])
        fence(publisher, small, large)
        equal(sorted(small.payloads(3)), [b"small"] * 3)
        small.nothing_more()
        equal(len(large.take(9)), 9)


@case
def messages_that_are_too_large_do_not_stop_a_session(url):
    name, topic = unique("large"), unique("large")
    values = {"clean": False, "SessionExpiryInterval": 600, "MaximumPacketSize": 200, "ReceiveMaximum": 2}
    Device(url, name, **values).connect().subscribe(topic, qos=1).disconnect()
    with Device(url) as publisher:
        for number in range(20):
            publisher.publish(topic, b"%d" % number * (1 if number % 2 else 300), 1)
    device = Device(url, name, **values).connect()
    equal(device.payloads(10), [b"%d" % number for number in range(1, 20, 2)])
    device.disconnect(SessionExpiryInterval=0)


# --- topic aliases


@case
def aliases_of_the_client(url):
    topic = unique("alias")
    with Device(url) as device, Device(url) as watcher:
        watcher.subscribe(f"{topic}/#", qos=2)
        most = device.told("TopicAliasMaximum")
        device.publish(f"{topic}/a", b"1", 1, TopicAlias=1)
        device.publish("", b"2", 1, TopicAlias=1)
        device.publish("", b"3", 2, TopicAlias=1)
        device.publish(f"{topic}/b", b"4", 1, TopicAlias=most)
        device.publish("", b"5", 0, TopicAlias=most)
        device.publish(f"{topic}/c", b"6", 1, TopicAlias=1)
        device.publish("", b"7", 1, TopicAlias=1)
        expected = ["a", "a", "a", "b", "b", "c", "c"]
        got = sorted((content(message)[:2] for message in watcher.take(7)), key=lambda pair: pair[1])
        equal(got, [(f"{topic}/{letter}", b"%d" % (at + 1)) for at, letter in enumerate(expected)])
        device.send("", b"x", 1, TopicAlias=most - 1)
        device.wait_end(None if is_common() else 0x82)
    # They are of one connection.
    with Device(url) as device:
        device.send("", b"x", 1, TopicAlias=1)
        device.wait_end(None if is_common() else 0x82)
    with Device(url) as device:
        device.send(topic, b"x", 1, TopicAlias=most + 1)
        device.wait_end(0x94)


@case
def aliases_of_the_broker(url):
    topic = unique("alias")
    with Device(url, TopicAliasMaximum=3) as device, Device(url) as publisher:
        device.subscribe(f"{topic}/#", qos=1)
        sent = [f"{topic}/{number % 5}" for number in range(50)]
        for name in sent:
            publisher.publish(name, name.encode(), 1)
        names, saved = {}, 0
        for message in device.take(50):
            alias = values_of(message).get("TopicAlias")
            equal(alias is None or 1 <= alias <= 3, True, f"alias {alias}")
            name = message.topic
            if alias and name:
                names[alias] = name
            elif alias:
                name, saved = names[alias], saved + 1
            equal(name.encode(), message.payload, "the topic that the alias stands for")
        equal(is_common() or saved > 0, True, "an alias is used")
    with Device(url) as device, Device(url) as publisher:
        device.subscribe(topic, qos=1)
        for _ in range(3):
            publisher.publish(topic, b"x", 1)
        for message in device.take(3):
            equal((message.topic, values_of(message)), (topic, {}), "no aliases for one that takes none")


# --- message expiry


@case
def what_has_expired_is_not_delivered(url):
    name, topic = unique("late"), unique("late")
    values = {"clean": False, "SessionExpiryInterval": 600}
    Device(url, name, **values).connect().subscribe(topic, qos=1).disconnect()
    with Device(url) as publisher:
        for number in range(5):
            publisher.publish(topic, b"short", 1, MessageExpiryInterval=1)
            publisher.publish(topic, b"long", 1, MessageExpiryInterval=600)
            publisher.publish(topic, b"for ever", 1)
            del number
    deadline = time.monotonic() + 2.2
    wait_until(lambda: time.monotonic() > deadline, "time")
    device = Device(url, name, **values).connect()
    got = device.take(10)
    fence(device, device)
    device.nothing_more()
    equal([message.payload for message in got], [b"long", b"for ever"] * 5)
    left = [values_of(message).get("MessageExpiryInterval") for message in got]
    equal(left[1::2], [None] * 5, "expiry of those that have none")
    equal(all(590 <= seconds <= 598 for seconds in left[::2]), True, f"what is left: {left[::2]}")
    device.disconnect(SessionExpiryInterval=0)


@case
def the_largest_expiry(url):
    topic = unique("expiry")
    with Device(url) as device:
        device.subscribe(topic, qos=1)
        for seconds in (1, 0xFFFF_FFFE, FOR_EVER):
            device.publish(topic, b"x", 1, MessageExpiryInterval=seconds)
            left = device.take(1)[0].properties.MessageExpiryInterval
            equal(0 <= seconds - left <= 1, True, f"{left} of {seconds}")


# --- shared subscriptions


@case
def a_group_takes_each_message_once(url):
    topic, group = unique("shared"), unique("group")
    members = [Device(url).connect().subscribe(f"$share/{group}/{topic}/#", qos=2) for _ in range(3)]
    with Device(url) as publisher, Device(url) as alone:
        alone.subscribe(f"{topic}/#", qos=1)
        for number in range(300):
            publisher.publish(f"{topic}/{number}", b"%d" % number, 1 + number % 2)
        alone.take(300)
        wait_until(lambda: sum(len(member.messages) for member in members) >= 300, "all messages")
        found = sorted(int(message.payload) for member in members for message in member.messages)
        equal(found, list(range(300)), "each once")
        counts = [len(member.messages) for member in members]
        equal(all(count >= 20 for count in counts), True, f"balance {counts}")
        for member in members:
            member.disconnect()


@case
def two_groups_and_a_plain_subscription(url):
    topic = unique("groups")
    with Device(url) as one, Device(url) as two, Device(url) as publisher:
        one.subscribe(f"$share/g1/{topic}", qos=1)
        two.subscribe(f"$share/g2/{topic}", qos=1)
        two.subscribe(topic, qos=1)
        for number in range(10):
            publisher.publish(topic, b"%d" % number, 1)
        equal(one.payloads(10), [b"%d" % number for number in range(10)])
        # Its own subscription and that of its group are two.
        equal(sorted(two.payloads(20)), sorted([b"%d" % number for number in range(10)] * 2))


@case
def a_group_of_quality_0(url):
    topic, group = unique("shared"), unique("group")
    members = [Device(url).connect().subscribe(f"$share/{group}/{topic}", qos=0) for _ in range(2)]
    with Device(url) as publisher:
        for number in range(100):
            publisher.publish(topic, b"%d" % number, number % 3)
        wait_until(lambda: sum(len(member.messages) for member in members) >= 100, "all messages")
        equal(sorted(int(message.payload) for member in members for message in member.messages), list(range(100)))
        equal({message.qos for member in members for message in member.messages}, {0}, "QoS")
    for member in members:
        member.disconnect()


@case
@beyond("Mosquitto 2.0 goes round robin, whoever is busy")
def a_group_is_balanced_by_what_its_members_take(url):
    topic = unique("credit")
    with Device(url, manual_ack=True, ReceiveMaximum=1) as busy, Device(url) as idle, Device(url) as publisher:
        for device in (busy, idle):
            device.subscribe(f"$share/g/{topic}", qos=1)
        for number in range(50):
            publisher.publish(topic, b"%d" % number, 1)
        wait_until(lambda: len(busy.messages) + len(idle.messages) >= 50, "all messages")
        equal((len(busy.messages), len(idle.messages)), (1, 49), "what the busy and the idle one got")


@case
@beyond("Mosquitto 2.0 keeps them for the member that is lost")
def what_a_lost_member_had_goes_to_another(url):
    topic = unique("lost")
    lost = Device(url, manual_ack=True, ReceiveMaximum=5).connect().subscribe(f"$share/g/{topic}", qos=1)
    with Device(url) as publisher:
        for number in range(5):
            publisher.publish(topic, b"%d" % number, 1)
        lost.wait_for(5)
        lost.client.ack(lost.messages[0].mid, 1)
        round_trip(lost)
        with Device(url) as heir:
            heir.subscribe(f"$share/g/{topic}", qos=1)
            lost.drop()
            equal(heir.payloads(4), [b"%d" % number for number in range(1, 5)])


@case
@beyond("Mosquitto 2.0 keeps them for one member")
def a_group_whose_members_are_away_keeps_its_messages(url):
    topic, group = unique("away"), unique("group")
    names = [unique("member") for _ in range(2)]
    values = {"clean": False, "SessionExpiryInterval": 600}
    for name in names:
        Device(url, name, **values).connect().subscribe(f"$share/{group}/{topic}", qos=1).disconnect()
    with Device(url) as publisher:
        for number in range(20):
            publisher.publish(topic, b"%d" % number, 1)
    device = Device(url, names[0], **values).connect()
    equal(device.payloads(20), [b"%d" % number for number in range(20)])
    device.disconnect(SessionExpiryInterval=0)
    forget(url, names[1])


@case
def leaving_a_group(url):
    topic = unique("leave")
    with Device(url) as one, Device(url) as two, Device(url) as publisher:
        for device in (one, two):
            device.subscribe(f"$share/g/{topic}", qos=1)
        one.unsubscribe(f"$share/g/{topic}", f"$share/other/{topic}", topic, expect=[0, 0x11, 0x11])
        for number in range(20):
            publisher.publish(topic, b"%d" % number, 1)
        equal(two.payloads(20), [b"%d" % number for number in range(20)])
        fence(publisher, one)
        one.nothing_more()


@case
def a_group_with_wildcards_and_identifiers(url):
    topic = unique("wild")
    with Device(url) as device:
        device.subscribe(f"$share/g/{topic}/+/x", qos=1, identifier=9)
        device.publish(f"{topic}/a/x", b"1", 1, UserProperty=[("a", "b")])
        message = device.take(1)[0]
        equal((message.topic, values_of(message)), (f"{topic}/a/x", {"UserProperty": [("a", "b")], "SubscriptionIdentifier": [9]}))


@case
@beyond("Mosquitto 2.0 has shared subscriptions for 5.0 only, RabbitMQ none at all")
def groups_of_3_1_1(url):
    topic = unique("old")
    members = [Device(url, version=version).connect() for version in (V311, V5)]
    for member in members:
        member.subscribe(f"$share/g/{topic}", qos=1)
    with Device(url) as publisher:
        for number in range(50):
            publisher.publish(topic, b"%d" % number, 1)
        wait_until(lambda: sum(len(member.messages) for member in members) >= 50, "all messages")
        equal(sorted(int(message.payload) for member in members for message in member.messages), list(range(50)))
    for member in members:
        member.disconnect()


# --- slow and fast ones


@case
def a_subscriber_that_does_not_read_stops_nobody(url):
    topic = unique("slow")
    slow = Device(url).connect().subscribe(topic, qos=0)
    slow.client.loop_stop()
    with Device(url) as fast, Device(url) as publisher:
        fast.subscribe(topic, qos=1)
        payload = b"x" * 10_000
        for _ in range(2000):
            publisher.send(topic, payload, 1)
        fast.wait_for(2000, 30)
    slow.client.socket().close()


if __name__ == "__main__":
    main()
