"""stomp.py and ActiveMQ's dialect: selectors, consumer options, groups, schedules, composite and virtual destinations.

With --common the other broker is ActiveMQ 5.17, with its scheduler switched on.
"""

import time

from stomp_tools import V11, V12, Client, as_text, queue, reconnected, told, topic
from suite import beyond, case, equal, is_common, main, restart_broker, restart_case, unique, wait_until


def marked(*clients):
    """A fence of this dialect: what was under way has come. Each client sends to itself, behind everything else."""
    for client in clients:
        name = queue("mark")
        client.subscribe(name)
        client.send(name, b"mark")
        client.wait(lambda to=client, id=name: any(m.headers["subscription"] == id for m in to.messages), "the mark")
        with client.changed:
            client.messages = [m for m in client.messages if m.headers["subscription"] != name]
        client.unsubscribe(name)


def bodies_now(client):
    """All that has come, once a mark is behind it."""
    marked(client)
    with client.changed:
        taken, client.messages = client.messages, []
    return [as_text(message.body) for message in taken]


# --- messages


@case
def texts_and_bytes(url):
    name = queue()
    with Client(url) as client:
        client.subscribe(name)
        client.send(name, b"text", {"content-length": None}).send(name, b"by\0tes")
        text, raw = client.take(2)
        equal((text.body, *told(text, "content-length")), (b"text", None))
        equal((raw.body, *told(raw, "content-length")), (b"by\0tes", "6"))


@case
def headers_of_messages(url):
    name = queue()
    with Client(url) as client:
        client.subscribe(name)
        headers = {"priority": "7", "correlation-id": "c", "type": "ty", "reply-to": "/queue/back", "persistent": "true",
                   "foo": "bar", "expires": "0"}  # fmt: skip
        client.send(name, b"x", headers)
        message = client.take()[0]
        expected = {**headers, "destination": name, "subscription": name}
        equal({key: message.headers.get(key) for key in expected}, expected)
        equal(abs(int(message.headers["timestamp"]) / 1000 - time.time()) < 60, True, message.headers["timestamp"])


@case
def names_without_a_slash_are_queues(url):
    own = unique("bare")
    with Client(url) as client:
        client.subscribe(own, id="1")
        client.send(f"/queue/{own}", b"x").send(own, b"y")
        equal(client.bodies(2), [b"x", b"y"])


@case
def expired_by_the_time_of_the_day(url):
    name = queue()
    with Client(url) as client:
        client.send(name, b"gone", {"expires": str(int(time.time() * 1000) + 300)}, persistent="true")
        client.send(name, b"kept", {"expires": str(int(time.time() * 1000) + 600_000)}, persistent="true")
        time.sleep(0.4)  # that is what is tested
        client.subscribe(name)
        equal(bodies_now(client), ["kept"])


@case
def refused_messages_are_dead_letters(url):
    name = queue()
    with Client(url) as client:
        client.subscribe("/queue/ActiveMQ.DLQ")
        bodies_now(client)
        client.subscribe(name, ack="client-individual")
        client.send(name, name, persistent="true")
        client.nack(client.take()[0])
        client.wait(lambda: name in [as_text(m.body) for m in client.messages], "a dead letter")
        equal({m.headers["destination"] for m in client.messages}, {"/queue/ActiveMQ.DLQ"})


# --- selectors


@case
def selectors(url):
    name = queue()
    values = [
        {"color": "red", "n": "3", "s": "abc"}, {"color": "red", "n": "6", "s": "a%c"}, {"color": "blue", "n": "9"},
        {"n": "-1", "s": "xyz"},
    ]  # fmt: skip
    for selector, expected in [
        ("color = 'red'", "01"), ("color <> 'red'", "2"), ("color IS NULL", "3"), ("color IS NOT NULL", "012"),
        ("n > 5", "12"), ("n BETWEEN 3 AND 6", "01"), ("n NOT BETWEEN 3 AND 6", "23"), ("JMSPriority + 1 = 10", "2"), ("JMSPriority * 2 / 3 <= 3", "013"),
        ("color IN ('blue', 'green')", "2"), ("color NOT IN ('blue')", "01"), ("s LIKE 'a%'", "01"), ("s LIKE 'a!%c' ESCAPE '!'", "1"),
        ("s LIKE 'a_c'", "01"), ("s NOT LIKE 'a%'", "3"), ("NOT (color = 'red')", "2"), ("color = 'red' AND n > 5 OR s = 'xyz'", "13"),
        ("color = 'red' AND (n > 5 OR s = 'xyz')", "1"), ("-JMSPriority = -9", "2"), ("n = 3.0", "0"), ("JMSPriority > 4", "2"),
        ("JMSDeliveryMode = 'PERSISTENT'", "2"), ("missing > 5", ""), ("NOT (missing > 5)", ""), ("TRUE", "0123"), ("color = 'it''s'", ""),
    ]:  # fmt: skip
        with Client(url) as client:
            name = queue()
            client.subscribe(name, selector=selector)
            for number, headers in enumerate(values):
                more = {"priority": "9", "persistent": "true"} if number == 2 else {}
                client.send(name, str(number), {**headers, **more})
            equal("".join(bodies_now(client)), expected, selector)


@case
def what_is_not_selected_stays_for_others(url):
    name = queue()
    with Client(url) as one, Client(url) as two:
        one.subscribe(name, selector="n = 1")
        for number in range(6):
            two.send(name, str(number), {"n": str(number % 2)}, persistent="true")
        equal(one.bodies(3), [b"1", b"3", b"5"])
        two.subscribe(name)
        equal(two.bodies(3), [b"0", b"2", b"4"])
        equal(bodies_now(one), [])


@case
def selectors_of_topics(url):
    name = topic()
    with Client(url) as client, Client(url) as sender:
        client.subscribe(name, selector="n > 5")
        for number in range(10):
            sender.send(name, str(number), {"n": str(number)})
        equal(client.bodies(4), [b"6", b"7", b"8", b"9"])


@case
def selectors_that_are_none(url):
    for selector in ("a = = 1", "a >", "'", "a LIKE 5", "(a = 1"):
        with Client(url) as client:
            client.subscribe(queue(), selector=selector, receipt=False)
            with client.changed:
                client.changed.wait_for(lambda: client.errors, 15)  # noqa: B023
            equal(len(client.errors), 1, f"ERROR for {selector}")
            client.errors.clear()


# --- options of consumers


@case
def prefetch_size(url):
    name = queue()
    with Client(url) as client, Client(url) as sender:
        client.subscribe(name, ack="client-individual", activemq__prefetchSize="2")
        for number in range(5):
            sender.send(name, str(number))
        first = client.take(2)
        equal(bodies_now(client), [])
        client.ack(first[0])
        equal(client.bodies(1), [b"2"])


@case
def priority_of_consumers(url):
    name = queue()
    with Client(url) as low, Client(url) as high, Client(url) as sender:
        low.subscribe(name, activemq__priority="1")
        high.subscribe(name, activemq__priority="10")
        for number in range(5):
            sender.send(name, str(number))
        equal(len(high.take(5)), 5)
        equal(bodies_now(low), [])


@case
def exclusive_consumers(url):
    name = queue()
    with Client(url) as one, Client(url) as two, Client(url) as sender:
        one.subscribe(name, activemq__exclusive="true")
        two.subscribe(name, activemq__exclusive="true")
        for number in range(6):
            sender.send(name, str(number))
        equal(len(one.take(6)), 6)
        equal(bodies_now(two), [])
        one.disconnect()
        sender.send(name, b"next")
        equal(two.bodies(1), [b"next"])


@case
def durable_subscriptions_by_name(url):
    for version in (V11, V12):
        name, own = topic(), unique("client")
        values = {"headers": {"client-id": own}}
        with Client(url, version, **values) as client:
            client.subscribe(name, id="1", activemq__subscriptionName="sub")
        with Client(url) as sender:
            for number in range(3):
                sender.send(name, str(number), persistent="true")
        with Client(url, version, **values) as client:
            client.subscribe(name, id="1", activemq__subscriptionName="sub")
            equal(client.bodies(3), [b"0", b"1", b"2"])
            client.unsubscribe("1")
            client.unsubscribe("1", activemq__subscriptionName="sub", client_id=own)
        with Client(url) as sender:
            sender.send(name, b"lost", persistent="true")
        with Client(url, version, **values) as client:
            client.subscribe(name, id="1", activemq__subscriptionName="sub")
            equal(bodies_now(client), [])
            client.unsubscribe("1")
            client.unsubscribe("1", activemq__subscriptionName="sub", client_id=own)


@case
def one_client_id_at_a_time(url):
    own = unique("client")
    with Client(url, headers={"client-id": own}):
        second = Client(url, headers={"client-id": own}).start()
        with second.changed:
            second.changed.wait_for(lambda: second.errors, 15)
        equal(f"Client: {own} already connected" in second.errors[0].headers["message"], True, second.errors[0].headers)


@case
def not_what_one_has_sent(url):
    name = topic()
    with Client(url) as client, Client(url) as other:
        client.subscribe(name, activemq__noLocal="true")
        client.send(name, b"own")
        other.send(name, b"others")
        equal(client.bodies(1), [b"others"])
        equal(bodies_now(client), [])


# --- groups


@case
def a_group_goes_to_one_consumer(url):
    name = queue()
    with Client(url) as one, Client(url) as two, Client(url) as sender:
        for client in (one, two):
            client.subscribe(name, ack="client-individual", activemq__prefetchSize="100")
        for number in range(40):
            sender.send(name, str(number), {"JMSXGroupID": f"g{number % 8}"})
        wait_until(lambda: len(one.messages) + len(two.messages) == 40, "all messages")
        of_one = {int(message.body) % 8 for message in one.messages}
        of_two = {int(message.body) % 8 for message in two.messages}
        equal((of_one & of_two, len(of_one | of_two)), (set(), 8), "no group at both")
        equal(bool(of_one and of_two), True, "both have groups")
        for client in (one, two):
            for group in range(8):
                numbers = [int(message.body) for message in client.messages if int(message.body) % 8 == group]
                equal(numbers, sorted(numbers), "order in a group")


@case
def a_group_goes_to_another_when_its_consumer_goes(url):
    name = queue()
    with Client(url) as one, Client(url) as sender:
        one.subscribe(name, ack="client-individual", activemq__prefetchSize="100")
        sender.send(name, b"0", {"JMSXGroupID": "g"})
        one.ack(one.take()[0])
        with Client(url) as two:
            two.subscribe(name)
            one.disconnect()
            sender.send(name, b"1", {"JMSXGroupID": "g"})
            equal(two.bodies(1), [b"1"])


# --- schedules


@case
def a_message_that_comes_later(url):
    name = queue()
    with Client(url) as client:
        client.subscribe(name)
        started = time.monotonic()
        client.send(name, b"late", {"AMQ_SCHEDULED_DELAY": "1200"}, persistent="true")
        client.send(name, b"now")
        equal(client.bodies(2), [b"now", b"late"])
        took = time.monotonic() - started
        equal(0.15 < took < 8, True, f"after {took} s")
        if not is_common():  # which counts in whole seconds
            equal(took >= 1.19, True, f"after {took} s")


@case
def a_message_that_comes_again(url):
    name = queue()
    with Client(url) as client:
        client.subscribe(name)
        headers = {"AMQ_SCHEDULED_DELAY": "100", "AMQ_SCHEDULED_PERIOD": "200", "AMQ_SCHEDULED_REPEAT": "2", "foo": "bar"}
        client.send(name, b"again", headers, persistent="true")
        messages = client.take(3)
        equal([(message.body, message.headers["foo"]) for message in messages], [(b"again", "bar")] * 3)
        equal(len({message.headers["message-id"] for message in messages}), 3, "each has an id of its own")
        equal(bodies_now(client), [])


@case
def a_schedule_that_is_none(url):
    if is_common():
        return  # which ends the connection without a word
    with Client(url) as client:
        client.send(queue(), b"x", {"AMQ_SCHEDULED_CRON": "nonsense"}, receipt=False)
        with client.changed:
            client.changed.wait_for(lambda: client.errors, 15)
        equal(len(client.errors), 1, "ERROR")


# --- destinations


@case
def to_several_destinations(url):
    one, two, three = queue(), queue(), topic()
    with Client(url) as client, Client(url) as sender:
        for name in (one, two, three):
            client.subscribe(name)
        sender.send(",".join([one, two, three]), b"x")
        messages = client.take(3)
        equal(sorted(told(message, "destination", "subscription") for message in messages), sorted((name, name) for name in (one, two, three)))


@case
def from_several_destinations(url):
    one, two = queue(), queue()
    with Client(url) as client, Client(url) as sender:
        client.subscribe(f"{one},{two}", id="both")
        sender.send(one, b"1").send(two, b"2")
        equal(sorted(told(message, "destination", "subscription") for message in client.take(2)), sorted([(one, "both"), (two, "both")]))


@case
def wildcards(url):
    root = unique("wild")
    names = ["", ".a", ".b", ".a.b"]
    for pattern, expected in [(".*", {".a", ".b"}), (".>", {".a", ".b", ".a.b", ""}), (".*.b", {".a.b"}), (".a.>", {".a", ".a.b"})]:
        with Client(url) as client, Client(url) as sender:
            client.subscribe(f"/topic/{root}{pattern}")
            for name in names:
                sender.send(f"/topic/{root}{name}", name)
            equal(set(bodies_now(client)), expected, pattern)


@case
def virtual_topics(url):
    own = unique("virtual")
    with Client(url) as one, Client(url) as two, Client(url) as other, Client(url) as sender:
        for client in (one, two):
            client.subscribe(f"/queue/Consumer.A.VirtualTopic.{own}")
        other.subscribe(f"/queue/Consumer.B.VirtualTopic.{own}", id="b")
        for number in range(10):
            sender.send(f"/topic/VirtualTopic.{own}", str(number), persistent="true")
        equal(other.bodies(10), [b"%d" % number for number in range(10)])
        wait_until(lambda: len(one.messages) + len(two.messages) == 10, "all messages once")
        equal(sorted(int(m.body) for m in one.messages + two.messages), list(range(10)))
        equal(one.messages[0].headers["destination"], f"/queue/Consumer.A.VirtualTopic.{own}")
        # It keeps what comes while nobody is there.
        other.unsubscribe("b")
        sender.send(f"/topic/VirtualTopic.{own}", b"kept", persistent="true")
        other.subscribe(f"/queue/Consumer.B.VirtualTopic.{own}", id="b")
        equal(other.bodies(1), [b"kept"])


@case
def temporary_destinations(url):
    for kind in ("queue", "topic"):
        service = queue("service")
        with Client(url) as server, Client(url) as client:
            server.subscribe(service)
            client.subscribe(f"/temp-{kind}/answers", id="answers")
            client.send(service, b"ask", {"reply-to": f"/temp-{kind}/answers", "correlation-id": "c"})
            request = server.take()[0]
            back = request.headers["reply-to"]
            equal(back.startswith(f"/remote-temp-{kind}/"), True, back)
            server.send(back, b"answer", {"correlation-id": request.headers["correlation-id"]})
            message = client.take()[0]
            equal((message.body, *told(message, "subscription", "correlation-id")), (b"answer", "answers", "c"), kind)


@case
def a_temporary_queue_is_its_connections_own(url):
    with Client(url) as client, Client(url) as other:
        client.subscribe("/temp-queue/mine", id="1")
        other.subscribe("/temp-queue/mine", id="1")
        client.send("/temp-queue/mine", b"to myself")
        equal(client.bodies(1), [b"to myself"])
        equal(bodies_now(other), [])


@case
@beyond("Debian's ActiveMQ has not the library that it writes advisories with")
def advisories(url):
    name = queue("watched")
    with Client(url) as watcher:
        watcher.subscribe("/topic/ActiveMQ.Advisory.Connection", id="connections")
        watcher.subscribe(f"/topic/ActiveMQ.Advisory.Consumer.Queue.{name[7:]}", id="consumers")
        with Client(url) as client:
            watcher.wait(lambda: any(m.headers["subscription"] == "connections" for m in watcher.messages), "a connection")
            client.subscribe(name, id="1")
            watcher.wait(lambda: any(m.headers["subscription"] == "consumers" for m in watcher.messages), "a consumer")
            message = next(m for m in watcher.messages if m.headers["subscription"] == "consumers")
            equal(message.headers["consumerCount"], "1")
            watcher.messages.clear()
            client.unsubscribe("1")
            watcher.wait(lambda: any(m.headers["subscription"] == "consumers" for m in watcher.messages), "it has gone")
            equal(watcher.messages[-1].headers["consumerCount"], "0")


@case
@beyond("Debian's ActiveMQ ends the connection without a word")
def transformations_are_refused(url):
    for command in ("SEND", "SUBSCRIBE"):
        with Client(url) as client:
            client.frame(command, {"destination": queue(), "id": "1", "transformation": "jms-map-xml"}, receipt=False)
            with client.changed:
                client.changed.wait_for(lambda: client.errors, 15)  # noqa: B023
            equal("transformation" in str(client.errors[0].headers) + as_text(client.errors[0].body), True, client.errors[0])


@restart_case
def what_is_scheduled_survives(url):
    name, own = queue(), unique("client")
    with Client(url, headers={"client-id": own}) as client:
        client.send(name, b"late", {"AMQ_SCHEDULED_DELAY": "1500", "foo": "bar"}, persistent="true")
        client.subscribe(f"/topic/{own}", id="1", activemq__subscriptionName="sub")
        client.subscribe(f"/queue/Consumer.A.VirtualTopic.{own}", id="2")
    with Client(url) as client:
        client.send(f"/topic/{own}", b"durable", persistent="true")
        client.send(f"/topic/VirtualTopic.{own}", b"virtual", persistent="true")
    restart_broker("kill")
    client = reconnected(url, headers={"client-id": own})
    client.subscribe(name)
    message = client.take()[0]
    equal((message.body, *told(message, "foo")), (b"late", "bar"))
    client.subscribe(f"/topic/{own}", id="1", activemq__subscriptionName="sub")
    client.subscribe(f"/queue/Consumer.A.VirtualTopic.{own}", id="2")
    equal(sorted(client.bodies(2)), [b"durable", b"virtual"])
    client.disconnect()


if __name__ == "__main__":
    main()
