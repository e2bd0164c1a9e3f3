"""Sessions that outlive connections, and wills, as paho-mqtt sees them."""

import time

from mqtt_tools import (
    EVERY_VERSION, FOR_EVER, V31, V311, V5, Device, content, fence, forget, forget_retained, reconnected, values_of,
)  # fmt: skip
from suite import beyond, case, equal, is_common, main, restart_broker, restart_case, unique, wait_until

# Mosquitto 2.0 looks for sessions that are over every five seconds only.
EXPIRED_AFTER_S = 8 if is_common() else 2.5


def lasting(url, name, version=V5, **values):
    """A device whose session stays."""
    if version == V5:
        values.setdefault("SessionExpiryInterval", 600)
    return Device(url, name, version=version, clean=False, **values).connect()


def pause(seconds):
    """Lets time pass where time is what the case is about."""
    deadline = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > deadline, "time", seconds + 1)


# --- sessions


@case
def messages_wait_for_a_session(url):
    for version in EVERY_VERSION:
        name, topic = unique("away"), unique("away")
        device = lasting(url, name, version)
        if version != V31:
            equal(device.present, False, "session present at first")
        device.subscribe((f"{topic}/1", 1), (f"{topic}/2", 2))
        device.disconnect()
        with Device(url) as publisher:
            for number in range(100):
                publisher.publish(f"{topic}/{1 + number % 2}", b"%d" % number, 1 + number % 2)
        for _ in range(2):
            device = lasting(url, name, version)
            if version != V31:
                equal(device.present, True, "session present")
            got = device.take(100)
            for qos in (1, 2):
                numbers = [int(message.payload) for message in got if message.qos == qos]
                equal(numbers, list(range(qos - 1, 100, 2)), f"order of QoS {qos}")
            equal({message.dup for message in got}, {False}, "DUP")
            fence(device, device)
            device.nothing_more()
            device.drop()
            with Device(url) as publisher:
                for number in range(100):
                    publisher.publish(f"{topic}/{1 + number % 2}", b"%d" % number, 1 + number % 2)
        forget(url, name)


@case
def a_clean_start_forgets(url):
    for version in (V311, V5):
        name, topic = unique("clean"), unique("clean")
        lasting(url, name, version).subscribe(topic, qos=1).disconnect()
        with Device(url) as publisher:
            publisher.publish(topic, b"lost", 1)
            with Device(url, name, version=version) as device:
                equal(device.present, False, "session present")
                publisher.publish(topic, b"nobody's", 1)
                fence(publisher, device)
                device.nothing_more()
        device = lasting(url, name, version)
        equal(device.present, False, "session present after a clean one")
        device.disconnect()
        forget(url, name)


@case
def a_session_ends_with_its_expiry(url):
    name, topic = unique("expiry"), unique("expiry")
    short = lasting(url, name, SessionExpiryInterval=1).subscribe(topic, qos=1)
    short.drop()
    # It counts from the end of the connection: a session that is used does not end.
    used = unique("used")
    device = lasting(url, used, SessionExpiryInterval=1).subscribe(topic, qos=1)
    pause(EXPIRED_AFTER_S)
    device.publish(topic, b"x", 1)
    equal(device.payloads(1), [b"x"])
    device.disconnect()
    device = lasting(url, name)
    equal(device.present, False, "session present")
    device.disconnect(SessionExpiryInterval=0)


@case
def without_an_expiry_a_session_ends_with_its_connection(url):
    name = unique("none")
    for end in ("disconnect", "drop"):
        device = Device(url, name, clean=False).connect().subscribe(unique("t"), qos=1)
        getattr(device, end)()
        # The broker may learn of the lost connection later than it hears of the new one: the session is over all the same.
        again = Device(url, name, clean=False).connect()
        equal(again.present, False, f"session present after {end}")
        again.disconnect()


@case
def expiry_is_changed_at_the_end(url):
    name = unique("raised")
    lasting(url, name, SessionExpiryInterval=1).subscribe(unique("t")).disconnect(SessionExpiryInterval=600)
    pause(EXPIRED_AFTER_S)
    device = lasting(url, name)
    equal(device.present, True, "session present after its expiry was raised")
    device.disconnect(SessionExpiryInterval=0)
    device = lasting(url, name)
    equal(device.present, False, "session present after its expiry was set to 0")
    device.disconnect(SessionExpiryInterval=0)


@case
def sessions_move_between_versions(url):
    name, topic = unique("mixed"), unique("mixed")
    lasting(url, name, V311).subscribe(topic, qos=1).disconnect()
    with Device(url) as publisher:
        publisher.publish(topic, b"1", 1, ContentType="text/plain")
        device = lasting(url, name, V5, SessionExpiryInterval=FOR_EVER)
        equal(device.present, True, "session present")
        message = device.take(1)[0]
        equal((message.payload, values_of(message)), (b"1", {"ContentType": "text/plain"}))
        device.disconnect()
        publisher.publish(topic, b"2", 1, ContentType="text/plain")
        device = lasting(url, name, V311)
        equal(device.payloads(1), [b"2"])
        device.disconnect()
    forget(url, name)


@case
def what_was_not_acknowledged_comes_again(url):
    name, topic = unique("again"), unique("again")
    device = lasting(url, name, manual_ack=True).subscribe(topic, qos=1)
    with Device(url) as publisher:
        for number in range(5):
            publisher.publish(topic, b"%d" % number, 1)
    first = device.take(5)
    device.client.ack(first[0].mid, 1)
    device.client.ack(first[1].mid, 1)
    fence_of(url, device)
    device.drop()
    device = lasting(url, name)
    again = device.take(3)
    equal([(message.payload, message.dup, message.mid) for message in again],
          [(message.payload, True, message.mid) for message in first[2:]], "what comes again: payload, DUP, packet identifier")  # fmt: skip
    device.disconnect(SessionExpiryInterval=0)


def fence_of(url, device):
    """Acknowledgements that a device has sent have been read when the broker has answered what came after them."""
    device.publish(unique("nobody"), b"", 1)


@case
def subscriptions_of_a_session_are_changed(url):
    name, topic = unique("change"), unique("change")
    lasting(url, name).subscribe((f"{topic}/a", 1), (f"{topic}/b", 1), (f"{topic}/c", 0)).disconnect()
    device = lasting(url, name)
    device.unsubscribe(f"{topic}/a")
    device.subscribe((f"{topic}/d", 2))
    device.drop()
    with Device(url) as publisher:
        for letter in "abcd":
            publisher.publish(f"{topic}/{letter}", letter.encode(), 2)
        device = lasting(url, name)
        # What was asked for at QoS 0 is kept or not while nobody is there.
        fence(publisher, device)
        got = {message.payload: message.qos for message in device.take(len(device.messages))}
        equal({letter: qos for letter, qos in got.items() if letter != b"c"}, {b"b": 1, b"d": 2})
        publisher.publish(f"{topic}/c", b"c", 1)
        equal(device.payloads(1), [b"c"])
    forget(url, name)


@case
def many_sessions_of_one_topic(url):
    topic = unique("many")
    names = [unique("many") for _ in range(30)]
    for name in names:
        lasting(url, name).subscribe(topic, qos=1).disconnect()
    with Device(url) as publisher:
        publisher.publish(topic, b"to all", 1)
    for name in names:
        device = lasting(url, name)
        equal(device.payloads(1), [b"to all"])
        device.disconnect(SessionExpiryInterval=0)


@restart_case
def sessions_survive(url):
    for how in ("kill", "stop"):
        name, old, topic = unique("durable"), unique("old"), unique("durable")
        lasting(url, name).subscribe((f"{topic}/1", 1), (f"{topic}/2", 2), (f"{topic}/0", 0), identifier=3).disconnect()
        lasting(url, old, V311).subscribe((f"{topic}/#", 1)).disconnect()
        with Device(url) as publisher:
            publisher.publish(f"{topic}/1", b"before", 1, UserProperty=[("a", "1")])
            publisher.publish(f"{topic}/2", b"before", 2)
            publisher.publish(f"{topic}/1", b"kept", 1, True)
        restart_broker(how)
        device = reconnected(url, name, clean=False, SessionExpiryInterval=600)
        equal(device.present, True, "session present")
        # paho shows a QoS 2 message when it is released.
        got = sorted(device.take(3), key=lambda message: message.qos)
        equal([content(message)[:3] for message in got],
              [(f"{topic}/1", b"before", 1), (f"{topic}/1", b"kept", 1), (f"{topic}/2", b"before", 2)])  # fmt: skip
        equal(values_of(got[0]), {"UserProperty": [("a", "1")], "SubscriptionIdentifier": [3]})
        device.publish(f"{topic}/0", b"after", 1)
        equal(content(device.take(1)[0]), (f"{topic}/0", b"after", 0, False))
        device.disconnect(SessionExpiryInterval=0)
        device = lasting(url, old, V311)
        equal([message.payload for message in device.take(4)], [b"before", b"before", b"kept", b"after"])
        device.disconnect()
        forget(url, old)
        forget_retained(url, f"{topic}/1")


@restart_case
def sessions_of_connections_do_not_survive(url):
    name, topic = unique("gone"), unique("gone")
    Device(url, name, clean=False).connect().subscribe(topic, qos=1)
    restart_broker("kill")
    device = reconnected(url, name, clean=False)
    equal(device.present, False, "session present")
    device.publish(topic, b"nobody's", 1)
    fence(device, device)
    device.nothing_more()
    device.disconnect()


@restart_case
def an_expiry_runs_while_the_broker_is_down(url):
    name, stays = unique("short"), unique("stays")
    lasting(url, name, SessionExpiryInterval=1).subscribe(unique("t")).disconnect()
    lasting(url, stays, SessionExpiryInterval=600).subscribe(unique("t")).disconnect()
    restart_broker("kill")
    device = reconnected(url, stays, clean=False, SessionExpiryInterval=600)
    equal(device.present, True, "session present")
    device.disconnect(SessionExpiryInterval=0)
    pause(EXPIRED_AFTER_S)
    device = lasting(url, name)
    equal(device.present, False, "session present after its expiry")
    device.disconnect(SessionExpiryInterval=0)


# --- wills


def will(topic, **more):
    return {"topic": topic, "payload": b"gone", **more}


@case
def a_will_is_published_when_a_connection_is_lost(url):
    for version in EVERY_VERSION:
        for qos in (0, 1, 2):
            topic = unique("will")
            with Device(url) as watcher:
                watcher.subscribe(topic, qos=2)
                Device(url, version=version, will=will(topic, qos=qos)).connect().drop()
                equal(content(watcher.take(1)[0]), (topic, b"gone", qos, False))


@case
def a_will_that_is_retained(url):
    topic = unique("will")
    for version in (V311, V5):
        with Device(url) as watcher:
            watcher.subscribe(topic, qos=1)
            Device(url, version=version, will=will(topic, qos=1, retain=True)).connect().drop()
            equal(content(watcher.take(1)[0])[:3], (topic, b"gone", 1))
        with Device(url) as late:
            late.subscribe(topic, qos=1)
            equal(content(late.take(1)[0]), (topic, b"gone", 1, True))
        forget_retained(url, topic)


@case
def no_will_after_a_goodbye(url):
    for version in EVERY_VERSION:
        topic = unique("will")
        with Device(url) as watcher:
            watcher.subscribe(topic, qos=1)
            Device(url, version=version, will=will(topic)).connect().disconnect()
            fence(watcher, watcher)
            watcher.nothing_more()


@case
def a_goodbye_with_will(url):
    topic = unique("will")
    with Device(url) as watcher:
        watcher.subscribe(topic, qos=1)
        Device(url, will=will(topic, qos=1)).connect().disconnect(0x04)
        equal(watcher.payloads(1), [b"gone"])


@case
def a_will_of_a_client_that_falls_silent(url):
    topic = unique("will")
    with Device(url) as watcher:
        watcher.subscribe(topic, qos=1)
        device = Device(url, keepalive=1, will=will(topic, qos=1)).connect()
        device.client.loop_stop()
        equal([message.payload for message in watcher.wait_for(1, 20)], [b"gone"])
        device.client.socket().close()


@case
def a_will_with_properties(url):
    topic = unique("will")
    properties = {
        "PayloadFormatIndicator": 1,
        "ContentType": "text/plain",
        "ResponseTopic": "why",
        "CorrelationData": b"\x07",
        "UserProperty": [("b", "1"), ("a", "2")],
    }
    with Device(url) as watcher:
        watcher.subscribe(topic, qos=1)
        Device(url, will=will(topic, qos=1, properties={**properties, "MessageExpiryInterval": 600})).connect().drop()
        values = values_of(watcher.take(1)[0])
        equal(595 <= values.pop("MessageExpiryInterval") <= 600, True, "expiry that is left")
        equal(values, properties)


@case
def a_will_waits_for_its_delay(url):
    topic, name = unique("will"), unique("will")
    with Device(url) as watcher:
        watcher.subscribe(topic, qos=1)
        started = time.monotonic()
        lasting(url, name, will=will(topic, qos=1, properties={"WillDelayInterval": 2})).drop()
        equal(watcher.payloads(1), [b"gone"])
        elapsed = time.monotonic() - started
        equal(1.9 <= elapsed < 8, True, f"after {elapsed:.2f} s")
    forget(url, name)


@case
@beyond("Mosquitto 2.0.11 publishes none, against 3.1.3.2.2")
def a_will_does_not_wait_where_no_session_stays(url):
    topic = unique("will")
    with Device(url) as watcher:
        watcher.subscribe(topic, qos=1)
        Device(url, will=will(topic, qos=1, properties={"WillDelayInterval": 600})).connect().drop()
        equal(watcher.payloads(1), [b"gone"])


@case
def a_session_that_ends_before_the_delay_publishes_its_will(url):
    topic, name = unique("will"), unique("will")
    with Device(url) as watcher:
        watcher.subscribe(topic, qos=1)
        lasting(url, name, SessionExpiryInterval=1, will=will(topic, qos=1, properties={"WillDelayInterval": 600})).drop()
        equal([message.payload for message in watcher.wait_for(1, 20)], [b"gone"])


@case
def who_comes_back_in_time_has_no_will(url):
    topic, name = unique("will"), unique("will")
    with Device(url) as watcher:
        watcher.subscribe(f"{topic}/#", qos=1)
        delayed = will(f"{topic}/never", qos=1, properties={"WillDelayInterval": 1})
        lasting(url, name, will=delayed).drop()
        device = lasting(url, name)
        equal(device.present, True, "session present")
        pause(2)
        fence(watcher, watcher)
        watcher.nothing_more()
        device.disconnect(SessionExpiryInterval=0)


@case
@beyond("Mosquitto 2.0.11 forgets the will when the session is discarded by a clean start")
def a_clean_start_ends_the_session_and_publishes_its_will(url):
    topic, name = unique("will"), unique("will")
    with Device(url) as watcher:
        watcher.subscribe(topic, qos=1)
        lasting(url, name, will=will(topic, qos=1, properties={"WillDelayInterval": 600})).drop()
        Device(url, name).connect().disconnect()
        equal(watcher.payloads(1), [b"gone"])


@case
@beyond("Mosquitto 2.0.11 publishes none, against 3.1.4")
def the_will_of_one_that_was_taken_over(url):
    topic, name = unique("will"), unique("will")
    with Device(url) as watcher:
        watcher.subscribe(f"{topic}/#", qos=1)
        first = lasting(url, name, will=will(f"{topic}/now", qos=1))
        second = lasting(url, name, will=will(f"{topic}/never", qos=1, properties={"WillDelayInterval": 600}))
        first.wait_end()
        equal(content(watcher.take(1)[0])[:1], (f"{topic}/now",))
        # With a delay, whoever goes on with the session keeps the will from being published.
        third = lasting(url, name)
        second.wait_end()
        fence(third, watcher)
        watcher.nothing_more()
        third.disconnect(SessionExpiryInterval=0)


@case
def a_will_for_its_own_session(url):
    name, topic = unique("will"), unique("will")
    device = lasting(url, name, will=will(topic, qos=1)).subscribe(topic, qos=1)
    device.drop()
    device = lasting(url, name)
    equal(device.payloads(1), [b"gone"])
    device.disconnect(SessionExpiryInterval=0)


@restart_case
@beyond("Mosquitto 2.0 does not keep wills that wait over a restart")
def a_will_that_waits_survives(url):
    topic, name, watching = unique("will"), unique("will"), unique("watch")
    lasting(url, watching).subscribe(topic, qos=1).disconnect()
    lasting(url, name, will=will(topic, qos=1, properties={"WillDelayInterval": 2})).drop()
    restart_broker("kill")
    watcher = reconnected(url, watching, clean=False, SessionExpiryInterval=600)
    equal([message.payload for message in watcher.wait_for(1, 20)], [b"gone"])
    watcher.disconnect(SessionExpiryInterval=0)
    forget(url, name)


if __name__ == "__main__":
    main()
