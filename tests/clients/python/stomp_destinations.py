"""stomp.py and destinations in RabbitMQ's manner: what is declared by their use, durable topics, temporary queues, streams."""

import contextlib
import os

import pika

from pika_tools import connected, depth
from stomp_tools import EVERY_VERSION, Client, fence, queue, reconnected, told, topic
from suite import case, equal, is_common, main, restart_broker, restart_case, unique, wait_until

LASTING = {"durable": "true", "auto-delete": "false"}


def name_of(destination):
    """The queue of `/queue/NAME`."""
    return destination.split("/", 2)[2]


@contextlib.contextmanager
def amqp():
    """A channel of pika."""
    with connected(os.environ["AMQP_URL"]) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


@contextlib.contextmanager
def deleted(*names):
    """Deletes these queues in the end."""
    try:
        yield
    finally:
        with amqp() as channel:
            for name in names:
                channel.queue_delete(name)


# --- /queue, /amq/queue


@case
def a_queue_is_declared_by_its_use(url):
    for use in ("SEND", "SUBSCRIBE"):
        name = queue()
        with Client(url) as client, deleted(name_of(name)):
            if use == "SEND":
                client.send(name, b"x")
            else:
                client.subscribe(name)
            with amqp() as channel:
                channel.queue_declare(name_of(name), durable=True)
                wait_until(lambda: depth(channel, name_of(name)) == (use == "SEND"), use)  # noqa: B023


@case
def one_message_goes_to_one_subscriber(url):
    name = queue()
    with Client(url) as sender, Client(url) as one, Client(url) as two:
        for client in (one, two):
            client.subscribe(name, ack="client-individual", prefetch_count="1")
        for number in range(20):
            sender.send(name, str(number), receipt=False)
        got = []
        for _ in range(10):
            for client in (one, two):
                message = client.take()[0]
                got.append(int(message.body))
                client.ack(message)
        equal(sorted(got), list(range(20)))


@case
def names_with_other_characters(url):
    # Only the slash is written in another way.
    for given, meant in [("a.b-c_d", "a.b-c_d"), ("a%2Fb", "a/b"), ("a%20b", "a%20b"), ("a b:c", "a b:c"), ("grüße", "grüße")]:
        own = unique("n")
        name = f"/queue/{own}{given}"
        with Client(url) as client, deleted(own + meant):
            client.send(name, b"x")
            with amqp() as channel:
                channel.queue_declare(own + meant, passive=True)
            client.subscribe(name)
            came = client.take()[0].headers["destination"]
            if given in ("a.b-c_d", "a%2Fb"):
                equal(came, name)


@case
def a_queue_of_somebody_else(url):
    own = unique("exists")
    with amqp() as channel:
        channel.queue_declare(own, exclusive=False, durable=False, auto_delete=False, arguments={"x-max-length": 5})
        with Client(url) as client, deleted(own):
            destination = f"/amq/queue/{own}"
            client.subscribe(destination)
            client.send(destination, b"x")
            message = client.take()[0]
            equal((message.body, *told(message, "destination")), (b"x", f"/queue/{own}"))
            channel.basic_publish("", own, b"y")
            equal(client.bodies(1), [b"y"])


@case
def a_queue_of_somebody_else_that_is_not_there(url):
    with Client(url) as client:
        client.send("/amq/queue/no-such-queue", b"x")  # nobody takes it
        client.subscribe("/amq/queue/no-such-queue", receipt=False)
        client.refused("not_found", "NOT_FOUND - no queue 'no-such-queue' in vhost '/'")
        client.wait_end()


@case
def a_queue_that_is_declared_otherwise(url):
    name = queue()
    with Client(url) as client, deleted(name_of(name)):
        with amqp() as channel:
            channel.queue_declare(name_of(name), durable=True, auto_delete=True)
        client.subscribe(name, receipt=False)
        client.refused(
            "precondition_failed",
            f"PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue '{name_of(name)}' in vhost '/': "
            "received 'false' but current is 'true'",
        )


@case
def arguments_of_queues(url):
    arguments = {
        "x-max-length": 5, "x-max-length-bytes": 1000, "x-message-ttl": 60000, "x-expires": 60000, "x-max-priority": 5,
        "x-dead-letter-exchange": "amq.fanout", "x-dead-letter-routing-key": "dead",
    }  # fmt: skip
    headers = {key: str(value) for key, value in arguments.items()}
    for use in ("SEND", "SUBSCRIBE"):
        name = queue()
        with Client(url) as client, deleted(name_of(name)), amqp() as channel:
            if use == "SEND":
                client.send(name, b"x", headers)
            else:
                client.subscribe(name, headers=headers)
            channel.queue_declare(name_of(name), durable=True, arguments=arguments)


@case
def limits_and_priorities(url):
    name = queue()
    with Client(url) as client, deleted(name_of(name)):
        arguments = {"x-max-length": "3", "x-max-priority": "9"}
        for number, priority in enumerate([1, 5, 9, 5, 1]):
            client.send(name, str(number), {**arguments, "priority": str(priority)})
        client.subscribe(name, headers=arguments)
        got = client.take(3)
        equal([message.headers["priority"] for message in got], sorted((m.headers["priority"] for m in got), reverse=True))


@case
def expired_messages_and_dead_letters(url):
    name, dead = queue(), queue("dead")
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": name_of(dead)}
    if is_common():  # which takes no default exchange by a header without a value
        arguments["x-dead-letter-exchange"] = "amq.direct"
    with Client(url) as client, deleted(name_of(name), name_of(dead)), amqp() as channel:
        client.subscribe(dead)
        if is_common():
            channel.queue_bind(name_of(dead), "amq.direct", name_of(dead))
        client.send(name, b"expires", {**arguments, "expiration": "1"})
        equal(client.bodies(1), [b"expires"])
        client.subscribe(name, ack="client-individual", headers=arguments)
        client.send(name, b"refused", {"foo": "bar"})
        message = client.take()[0]
        client.nack(message, requeue="false")
        letter = client.take()[0]
        equal((letter.body, *told(letter, "foo", "destination")), (b"refused", "bar", told(letter, "destination")[0]))
        equal(letter.headers["x-first-death-reason"], "rejected")
        equal(letter.headers["x-first-death-queue"], name_of(name))


@case
def prefetch(url):
    name = queue()
    with Client(url) as sender, Client(url) as client:
        client.subscribe(name, ack="client-individual", prefetch_count="3")
        for number in range(10):
            sender.send(name, str(number))
        first = client.take(3)
        fence(client)
        client.nothing_more()
        client.ack(first[1])
        equal(client.bodies(1), [b"3"])
        fence(client)
        client.nothing_more()


@case
def prefetch_of_cumulative_acknowledgements(url):
    name = queue()
    with Client(url) as sender, Client(url) as client:
        client.subscribe(name, ack="client", prefetch_count="4")
        for number in range(8):
            sender.send(name, str(number))
        client.ack(client.take(4)[3])
        equal(client.bodies(4), [b"4", b"5", b"6", b"7"])


# --- /topic


@case
def topics_reach_all_who_are_subscribed(url):
    name = topic()
    with Client(url) as sender, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(url, version)) for version in EVERY_VERSION]
        for client in clients:
            client.subscribe(name)
        for number in range(50):
            sender.send(name, str(number))
        for client in clients:
            equal(client.bodies(50), [b"%d" % number for number in range(50)])


@case
def wildcards_of_topics(url):
    root = unique("wild")
    patterns = {f"{root}.*": "a b", f"{root}.#": "a b a.b ''", f"{root}.a.#": "a a.b", f"{root}.*.b": "a.b", f"{root}.#.b": "b a.b"}
    with Client(url) as client, Client(url) as sender:
        for pattern in patterns:
            client.subscribe(f"/topic/{pattern}", id=pattern)
        for last in ("", ".a", ".b", ".a.b"):
            sender.send(f"/topic/{root}{last}", last)
        fence(client)
        got = {pattern: [] for pattern in patterns}
        for message in client.messages:
            got[message.headers["subscription"]].append(message.headers["destination"])
        for pattern, expected in patterns.items():
            wanted = sorted(f"/topic/{root}" + (f".{word}" if word != "''" else "") for word in expected.split())
            equal(sorted(got[pattern]), wanted, pattern)


@case
def a_topic_subscription_is_gone_when_it_ends(url):
    name = topic()
    with Client(url) as client, Client(url) as sender:
        client.subscribe(name, id="1").unsubscribe("1")
        sender.send(name, b"lost")
        client.subscribe(name, id="1")
        sender.send(name, b"x")
        equal(client.bodies(1), [b"x"])


@case
def a_topic_is_acknowledged_too(url):
    name = topic()
    with Client(url) as client:
        client.subscribe(name, ack="client-individual", prefetch_count="1")
        client.send(name, b"1").send(name, b"2")
        message = client.take()[0]
        client.nack(message)
        again = client.take()[0]
        equal((again.body, again.headers["redelivered"]), (b"1", "true"))
        client.ack(again)
        equal(client.bodies(1), [b"2"])


@case
def durable_topics(url):
    for version in EVERY_VERSION:
        name, own = topic(), unique("durable")
        with Client(url, version) as client:
            client.subscribe(name, id=own, headers=LASTING)
        with Client(url) as sender:
            for number in range(3):
                sender.send(name, str(number), persistent="true")
        with Client(url, version) as client:
            client.subscribe(name, id=own, headers=LASTING, ack="client-individual")
            for message in client.take(3):
                client.ack(message)
            client.unsubscribe(own, durable="true")
        with Client(url) as sender:
            sender.send(name, b"lost", persistent="true")
        with Client(url, version) as client:
            client.subscribe(name, id=own, headers=LASTING)
            fence(client)
            client.nothing_more()
            client.unsubscribe(own, durable="true")


@case
def a_durable_topic_needs_an_id(url):
    with Client(url) as client:
        client.frame("SUBSCRIBE", {"destination": topic(), **LASTING}, receipt=False)
        client.refused("Missing Header", "Header 'id' is required for durable subscriptions")


@case
def the_name_of_a_topics_queue(url):
    name, own = topic(), unique("named")
    with Client(url) as client, amqp() as channel, deleted(own):
        client.subscribe(name, id="1", headers={"x-queue-name": own, **LASTING})
        channel.queue_declare(own, durable=True)
        client.unsubscribe("1")
        client.send(name, b"kept")
        wait_until(lambda: depth(channel, own) == 1, "a message for a queue that stays")
        client.subscribe(f"/amq/queue/{own}")
        equal(client.bodies(1), [b"kept"])


# --- /exchange


@case
def exchanges_of_every_kind(url):
    with Client(url) as client, amqp() as channel:
        for kind, pattern, key, came in [
            ("direct", "k", "k", True), ("direct", "k", "other", False), ("fanout", None, None, True),
            ("topic", "a.*.#", "a.b.c", True), ("topic", "a.*", "a.b.c", False),
        ]:  # fmt: skip
            exchange = unique(kind)
            channel.exchange_declare(exchange, kind)
            client.subscribe(f"/exchange/{exchange}" + (f"/{pattern}" if pattern else ""), id=exchange)
            destination = f"/exchange/{exchange}" + (f"/{key}" if key else "")
            client.send(destination, b"x")
            fence(client)
            equal([told(message, "destination") for message in client.messages], [(destination,)] * came, f"{kind} {pattern} {key}")
            client.messages.clear()
            client.unsubscribe(exchange)
            channel.exchange_delete(exchange)


@case
def an_exchange_that_is_not_there(url):
    for command in ("SEND", "SUBSCRIBE"):
        with Client(url) as client:
            client.frame(command, {"destination": "/exchange/no-such/x", "id": "1"}, receipt=False)
            client.refused("not_found", "NOT_FOUND - no exchange 'no-such' in vhost '/'")
            client.wait_end()


@case
def amq_topic_and_topics_are_one(url):
    key = unique("one")
    with Client(url) as client:
        client.subscribe(f"/exchange/amq.topic/{key}")
        client.send(f"/topic/{key}", b"x")
        equal(client.bodies(1), [b"x"])


# --- /temp-queue, /reply-queue


@case
def requests_and_replies(url):
    for version in EVERY_VERSION:
        service = queue("service")
        with Client(url) as server, Client(url, version) as client, Client(url, version) as another:
            server.subscribe(service)
            for asking in (client, another):
                for reply_to in ("/temp-queue/one", "/temp-queue/two"):
                    asking.send(service, reply_to, {"reply-to": reply_to, "correlation-id": "c"})
            for _ in range(4):
                request = server.take()[0]
                back = request.headers["reply-to"]
                equal(back.startswith("/reply-queue/"), True, back)
                server.send(back, b"answer to " + request.body, {"correlation-id": request.headers["correlation-id"]})
            for asking in (client, another):
                answers = {told(message, "subscription", "correlation-id"): message.body for message in asking.take(2)}
                expected = {(name, "c"): f"answer to {name}".encode() for name in ("/temp-queue/one", "/temp-queue/two")}
                equal(answers, expected, version)


@case
def a_temporary_queue_is_used_again(url):
    service = queue("service")
    with Client(url) as server, Client(url) as client:
        server.subscribe(service)
        places = set()
        for number in range(3):
            client.send(service, str(number), {"reply-to": "/temp-queue/same"})
            places.add(server.take()[0].headers["reply-to"])
        equal(len(places), 1, places)


@case
def temporary_queues_are_for_reply_to_only(url):
    for command in ("SEND", "SUBSCRIBE"):
        with Client(url) as client:
            client.frame(command, {"destination": "/temp-queue/x", "id": "1"}, receipt=False)
            client.refused("Invalid destination", f"'/temp-queue/x' is not a valid destination for '{command}'")


@case
def a_reply_queue_that_is_subscribed_to(url):
    service, own = queue("service"), unique("reply")
    with Client(url) as server, Client(url) as client, amqp() as channel, deleted(own):
        channel.queue_declare(own, durable=False)
        server.subscribe(service)
        client.subscribe(f"/reply-queue/{own}")
        client.send(service, b"ask", {"reply-to": f"/reply-queue/{own}"})
        back = server.take()[0].headers["reply-to"]
        equal(back, f"/reply-queue/{own}")
        server.send(back, b"answer")
        equal(client.bodies(1), [b"answer"])


# --- refusals


@case
def destinations_that_mean_nothing(url):
    for destination, message, text in [
        ("/nowhere/x", "Unknown destination",
         "'/nowhere/x' is not a valid destination.\nValid destination types are: "
         "/temp-queue, /exchange, /topic, /queue, /amq/queue, /reply-queue/."),
        ("/queue/", "Invalid destination", "'/' is not a valid queue destination"),
        ("/queue/a/b", "Invalid destination", "'/a/b' is not a valid queue destination"),
        ("/topic/", "Invalid destination", "'/' is not a valid topic destination"),
        ("/exchange/", "Invalid destination", "'/' is not a valid exchange destination"),
    ]:  # fmt: skip
        for command in ("SEND", "SUBSCRIBE"):
            with Client(url) as client:
                client.frame(command, {"destination": destination, "id": "1"}, receipt=False)
                client.refused(message, text)


@case
def values_that_are_no_numbers(url):
    for command, header in [("SEND", "priority"), ("SUBSCRIBE", "prefetch-count")]:
        with Client(url) as client:
            client.frame(command, {"destination": queue(), "id": "1", header: "abc"}, receipt=False)
            with client.changed:
                client.changed.wait_for(lambda: client.errors, 15)  # noqa: B023
            equal(len(client.errors), 1, f"{header}: ERROR")
    with Client(url) as client:
        client.send(queue(), b"x", {"expiration": "abc"}, receipt=False)
        client.refused("precondition_failed", None if not is_common() else "PRECONDITION_FAILED - invalid expiration 'abc': no_integer")


@case
def another_users_name(url):
    with Client(url) as client:
        client.send(queue(), b"x", {"user-id": "other"}, receipt=False)
        client.refused(
            "precondition_failed",
            "PRECONDITION_FAILED - user_id property set to 'other' but authenticated user was 'guest'",
        )


# --- streams


@case
def streams(url):
    name = queue("stream")
    stream = {"x-queue-type": "stream", **LASTING}
    with Client(url) as client, deleted(name_of(name)):
        for number in range(10):
            client.send(name, str(number), stream if number == 0 else None, persistent="true")
        reading = {"ack": "client", "prefetch_count": "20"}
        for offset, first in [("first", 0), ("offset=4", 4), ("timestamp=1", 0)]:
            client.subscribe(name, id=offset, headers={**stream, "x-stream-offset": offset}, **reading)
            got = client.take(10 - first)
            equal([message.body for message in got], [b"%d" % number for number in range(first, 10)], offset)
            equal([message.headers["x-stream-offset"] for message in got], [str(number) for number in range(first, 10)])
            client.ack(got[-1])
            client.unsubscribe(offset)
        client.subscribe(f"/amq/queue/{name_of(name)}", id="next", headers={"x-stream-offset": "next"}, **reading)
        client.send(name, b"new")
        equal(client.bodies(1), [b"new"])


@case
def a_stream_of_a_topic(url):
    name, own = topic(), unique("stream")
    with Client(url) as client, Client(url) as sender, deleted(own):
        headers = {"x-queue-name": own, "x-queue-type": "stream", "x-stream-offset": "first", **LASTING}
        client.subscribe(name, ack="client", prefetch_count="10", headers=headers)
        sender.send(name, b"x", persistent="true")
        message = client.take()[0]
        equal((message.body, message.headers["x-stream-offset"]), (b"x", "0"))


@restart_case
def durable_subscriptions_and_queues_survive(url):
    for how in ("kill", "stop"):
        name, own, work = topic(), unique("durable"), queue("survives")
        with Client(url) as client:
            client.subscribe(name, id=own, headers=LASTING)
        with Client(url) as client:
            client.send(name, b"kept", persistent="true")
            client.send(work, b"work", {"x-max-length": "5"}, persistent="true")
        restart_broker(how)
        client = reconnected(url)
        client.subscribe(name, id=own, headers=LASTING)
        equal(client.bodies(1), [b"kept"])
        client.subscribe(work, headers={"x-max-length": "5"})
        equal(client.bodies(1), [b"work"])
        client.unsubscribe(own, durable="true")
        client.disconnect()


if __name__ == "__main__":
    main()
