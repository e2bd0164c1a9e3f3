"""Exchanges of RabbitMQ's plugins as pika sees them."""

import contextlib
import time

import pika

from pika_tools import bodies, connected, depth, doomed, events, get, new_queue, reconnected, refused
from suite import beyond, case, equal, main, restart_broker, restart_case, unique, wait_until


@contextlib.contextmanager
def exchange(url, kind, queues=0, arguments=None, keys=None):
    """A confirming channel, an exchange, and queues that are bound with these keys."""
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        name = unique("exchange")
        channel.exchange_declare(name, kind, arguments=arguments)
        bound = [new_queue(channel) for _ in range(queues)]
        for at, queue in enumerate(bound):
            channel.queue_bind(queue, name, keys[at] if keys else "")
        yield channel, name, bound
        channel.exchange_delete(name)


def spread(channel, queues):
    """How many messages are in each of the queues."""
    return [depth(channel, queue) for queue in queues]


def close_to(actual, expected, tolerance):
    """Each number within a part of what was expected."""
    for number, aim in zip(actual, expected, strict=True):
        assert abs(number - aim) <= tolerance * aim, f"{actual} is too far from {expected}"


# --- x-consistent-hash ------------------------------------------------------------------------------------------------


@case
def hashing_spreads_by_routing_key(url):
    with exchange(url, "x-consistent-hash", 4, keys=["10"] * 4) as (channel, name, queues):
        for number in range(4000):
            channel.basic_publish(name, f"key {number}", b"")
        counts = spread(channel, queues)
        equal(sum(counts), 4000, "each message to one queue")
        close_to(counts, [1000] * 4, 0.35)


@case
def the_same_key_goes_to_the_same_queue(url):
    with exchange(url, "x-consistent-hash", 5, keys=["1"] * 5) as (channel, name, queues):
        for key in range(40):
            for _ in range(5):
                channel.basic_publish(name, f"key {key}", b"%d" % key)
        owners = {}
        for queue in queues:
            for body in bodies(channel, queue):
                equal(owners.setdefault(body, queue), queue, f"queue of key {body}")
        equal(len(owners), 40)


@case
def weights_of_a_hashing_exchange(url):
    with exchange(url, "x-consistent-hash", 3, keys=["1", "10", "30"]) as (channel, name, queues):
        for number in range(4100):
            channel.basic_publish(name, unique("key"), b"%d" % number)
        counts = spread(channel, queues)
        equal(sum(counts), 4100)
        assert counts[0] < counts[1] < counts[2], counts
        close_to(counts[2:], [3000], 0.3)


@case
def hashing_by_a_header(url):
    with exchange(url, "x-consistent-hash", 4, {"hash-header": "customer"}, ["10"] * 4) as (channel, name, queues):
        for number in range(400):
            publish_with(channel, name, "one key", headers={"customer": f"customer {number % 40}"})
        owners = by_header(channel, queues, "customer")
        equal(len(owners), 40)
        assert len(set(owners.values())) > 1, "all went to one queue"
        publish_with(channel, name, "no header", headers={"other": "x"})
        equal(sum(spread(channel, queues)), 1, "without the header: to one of them all the same")


@case
def hashing_by_a_property(url):
    for field in ("message_id", "correlation_id", "timestamp"):
        arguments = {"hash-property": field}
        with exchange(url, "x-consistent-hash", 4, arguments, ["10"] * 4) as (channel, name, queues):
            for number in range(200):
                value = number % 20 if field == "timestamp" else f"value {number % 20}"
                publish_with(channel, name, "one key", **{field: value, "headers": {"value": number % 20}})
            owners = by_header(channel, queues, "value")
            equal(len(owners), 20, field)
            assert len(set(owners.values())) > 1, f"all went to one queue by {field}"


def publish_with(channel, name, key, **properties):
    channel.basic_publish(name, key, b"", pika.BasicProperties(**properties))


def by_header(channel, queues, header):
    """Which queue has which values of a header; one value must not be in two of them."""
    owners = {}
    for queue in queues:
        while True:
            method, properties, _ = get(channel, queue)
            if not method:
                break
            value = properties.headers[header]
            equal(owners.setdefault(value, queue), queue, f"queue of {value}")
    return owners


@case
def a_hash_that_moves_little(url):
    """When a queue comes, it takes its part from all others, and none of them gives to another."""
    with exchange(url, "x-consistent-hash", 4, keys=["20"] * 4) as (channel, name, queues):

        def owners():
            for key in range(800):
                channel.basic_publish(name, f"key {key}", b"%d" % key)
            return {body: queue for queue in queues for body in bodies(channel, queue)}

        before = owners()
        queues.append(new_queue(channel))
        channel.queue_bind(queues[-1], name, "20")
        after = owners()
        moved = [body for body in before if before[body] != after[body]]
        equal({after[body] for body in moved}, {queues[-1]}, "who takes")
        assert 60 < len(moved) < 320, f"{len(moved)} of 800 keys moved for a fifth queue"
        channel.queue_delete(queues.pop())
        equal(owners(), before, "and back")


@case
def bad_weights_and_hashes(url):
    with exchange(url, "x-consistent-hash", 1, keys=["1"]) as (channel, name, queues):
        for weight in ("heavy", "1.5", "", "10 "):
            text = f'PRECONDITION_FAILED - The binding key must be an integer: <<"{weight}">>'
            with refused(406, text if weight else text.replace('""', "")):
                channel.connection.channel().queue_bind(queues[0], name, weight)
        for weight in ("0", "-1"):
            with refused(406, "PRECONDITION_FAILED - The binding key must be greater than 0"):
                channel.connection.channel().queue_bind(queues[0], name, weight)
        new = channel.connection.channel
        for arguments, text in (
            ({"hash-header": "a", "hash-property": "message_id"}, "hash-header and hash-property are mutually exclusive"),
            ({"hash-property": "priority"}, "Unsupported property: priority"),
            ({"hash-property": "colour"}, "Unsupported property: colour"),
        ):
            with refused(406, f"PRECONDITION_FAILED - {text}"):
                new().exchange_declare(unique("bad"), "x-consistent-hash", arguments=arguments)


# --- x-modulus-hash ---------------------------------------------------------------------------------------------------


@case
def modulus_hash(url):
    with exchange(url, "x-modulus-hash", 4, keys=["ignored"] * 4) as (channel, name, queues):
        for key in range(200):
            for _ in range(2):
                channel.basic_publish(name, f"key {key}", b"%d" % key)
        counts = spread(channel, queues)
        equal(sum(counts), 400, "each message to one queue")
        close_to(counts, [100] * 4, 0.5)
        owners = {}
        for queue in queues:
            for body in bodies(channel, queue):
                equal(owners.setdefault(body, queue), queue, f"queue of key {body}")


# --- x-random, x-local-random -----------------------------------------------------------------------------------------


@case
def random_exchange(url):
    spread_at_random(url, "x-random")


@case
@beyond("RabbitMQ 4.0: x-local-random")
def local_random_exchange(url):
    spread_at_random(url, "x-local-random")


def spread_at_random(url, kind):
    with exchange(url, kind, 3) as (channel, name, queues):
        for _ in range(600):
            channel.basic_publish(name, "one key", b"", mandatory=True)
        counts = spread(channel, queues)
        equal(sum(counts), 600, "each message to one queue")
        close_to(counts, [200] * 3, 0.4)


# --- x-recent-history -------------------------------------------------------------------------------------------------


def seen_by_a_newcomer(channel, name, count):
    """Binds a new queue and returns what is in it, which must be `count` messages."""
    queue = new_queue(channel)
    channel.queue_bind(queue, name, "")
    wait_until(lambda: depth(channel, queue) == count, f"{count} messages from before")
    return bodies(channel, queue)


@case
def recent_history(url):
    with exchange(url, "x-recent-history", 1) as (channel, name, queues):
        for number in range(30):
            channel.basic_publish(name, f"any key {number}", b"%d" % number)
        equal(len(bodies(channel, queues[0])), 30, "as a fanout")
        equal(seen_by_a_newcomer(channel, name, 20), [b"%d" % number for number in range(10, 30)], "twenty by default")


@case
def length_of_the_history(url):
    with exchange(url, "x-recent-history", 0, {"x-recent-history-length": 3}) as (channel, name, _):
        for number in range(5):
            channel.basic_publish(name, "", b"%d" % number)
        equal(seen_by_a_newcomer(channel, name, 3), [b"2", b"3", b"4"])
        headers = {"x-recent-history-no-store": True}
        channel.basic_publish(name, "", b"not kept", pika.BasicProperties(headers=headers))
        equal(seen_by_a_newcomer(channel, name, 3), [b"2", b"3", b"4"])
        channel.basic_publish(name, "", b"kept", pika.BasicProperties(headers={"x-recent-history-no-store": False}))
        equal(seen_by_a_newcomer(channel, name, 3), [b"3", b"4", b"kept"])


@case
def bad_length_of_the_history(url):
    with connected(url) as connection:
        for length, shown in (("many", '<<"many">>'), (0, "0"), (-1, "-1")):
            text = f"Invalid argument {shown}, 'x-recent-history-length' must be a positive integer"
            with refused(406, f"PRECONDITION_FAILED - {text}"):
                arguments = {"x-recent-history-length": length}
                connection.channel().exchange_declare(unique("bad"), "x-recent-history", arguments=arguments)


# --- x-delayed-message ------------------------------------------------------------------------------------------------


def delayed(channel, name, key, body, delay):
    """Publishes a persistent message with x-delay in milliseconds."""
    properties = pika.BasicProperties(delivery_mode=2, headers={"x-delay": delay, "kept": True})
    channel.basic_publish(name, key, body, properties)


def collect(channel, queue, count, seconds=15):
    """Takes `count` messages, and the time in seconds at which each came."""
    taken = []

    def step():
        method, properties, body = get(channel, queue)
        if method:
            taken.append((time.monotonic(), properties, body))
        else:
            channel.connection.sleep(0.01)

    wait_until(lambda: len(taken) == count, f"{count} delayed messages", seconds=seconds, step=step)
    return taken


@case
@beyond("the plugin rabbitmq_delayed_message_exchange")
def delays_and_their_order(url):
    with exchange(url, "x-delayed-message", 1, {"x-delayed-type": "direct"}, ["key"]) as (channel, name, (queue,)):
        started = time.monotonic()
        for delay in (900, 300, 600, 1):
            delayed(channel, name, "key", b"%d" % delay, delay)
        delayed(channel, name, "another key", b"dropped", 1)
        channel.basic_publish(name, "key", b"at once")
        equal(depth(channel, queue) >= 1, True, "without x-delay there is no delay")
        taken = collect(channel, queue, 5)
        equal([body for *_, body in taken][-3:], [b"300", b"600", b"900"])
        for when, properties, body in taken:
            if body != b"at once":
                delay = int(body)
                passed = 1000 * (when - started)
                assert delay - 1 <= passed < delay + 1000, f"delayed by {passed:.0f} ms instead of {delay}"
                equal(properties.headers, {"x-delay": -delay, "kept": True}, "x-delay is turned round")
        equal(depth(channel, queue), 0)


@case
@beyond("the plugin rabbitmq_delayed_message_exchange")
def a_delayed_topic_and_fanout(url):
    arguments = {"x-delayed-type": "topic"}
    with exchange(url, "x-delayed-message", 2, arguments, ["a.#", "#.b"]) as (channel, name, queues):
        for number, key in enumerate(("a.x", "x.b", "a.b", "x.y")):
            delayed(channel, name, key, b"%d" % number, 200)
        equal([body for *_, body in collect(channel, queues[0], 2)], [b"0", b"2"], "in the order of publishing")
        equal([body for *_, body in collect(channel, queues[1], 2)], [b"1", b"2"])
    with exchange(url, "x-delayed-message", 2, {"x-delayed-type": "fanout"}) as (channel, name, queues):
        delayed(channel, name, "", b"all", 100)
        late = new_queue(channel)
        channel.queue_bind(late, name, "")
        for queue in (*queues, late):
            equal(collect(channel, queue, 1)[0][2], b"all", "routed when its time has come")


@case
@beyond("the plugin rabbitmq_delayed_message_exchange")
def many_delays(url):
    with exchange(url, "x-delayed-message", 1, {"x-delayed-type": "direct"}, ["key"]) as (channel, name, (queue,)):
        for number in range(1000):
            delayed(channel, name, "key", b"%d" % number, 500 + number * 7919 % 500)
        taken = [int(body) for *_, body in collect(channel, queue, 1000)]
        equal(sorted(taken), list(range(1000)), "each once")


@case
@beyond("the plugin rabbitmq_delayed_message_exchange")
def delays_that_are_none(url):
    """No number, not positive, or beyond 2^32 - 1 ms: routed at once."""
    with exchange(url, "x-delayed-message", 1, {"x-delayed-type": "direct"}, ["key"]) as (channel, name, (queue,)):
        for delay in (0, -5000, 2**32, 2**63 - 1, None, {}, []):
            delayed(channel, name, "key", b"now", delay)
            equal(collect(channel, queue, 1)[0][2], b"now", f"x-delay {delay!r}")
        for arguments in (None, {"x-delayed-type": 7}, {"x-delayed-type": None}):
            with refused_like(406, "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be"):
                channel.connection.channel().exchange_declare(unique("bad"), "x-delayed-message", arguments=arguments)


@contextlib.contextmanager
def refused_like(code, text):
    """The block must end with the channel closed by this code and a text that begins so."""
    try:
        yield
    except pika.exceptions.ChannelClosedByBroker as error:
        equal((error.reply_code, error.reply_text[: len(text)]), (code, text), "close")
    else:
        raise AssertionError(f"not refused with {code} {text}")


@restart_case
@beyond("the plugin rabbitmq_delayed_message_exchange")
def delayed_messages_survive_a_kill(url):
    connection = doomed(url)
    channel = connection.channel()
    channel.confirm_delivery()
    name, queue = unique("delayed"), unique("delayed")
    channel.exchange_declare(name, "x-delayed-message", durable=True, arguments={"x-delayed-type": "direct"})
    channel.queue_declare(queue, durable=True)
    channel.queue_bind(queue, name, "key")
    started = time.monotonic()
    for delay in (4000, 2000, 3000, 1):
        delayed(channel, name, "key", b"%d" % delay, delay)
    wait_until(lambda: depth(channel, queue) == 1, "the first one has come")
    for _ in range(2):
        restart_broker("kill")
        connection = reconnected(url)
        channel = connection.channel()
    taken = collect(channel, queue, 4)
    equal([body for *_, body in taken], [b"1", b"2000", b"3000", b"4000"])
    passed = 1000 * (taken[-1][0] - started)
    assert 3999 <= passed < 8000, f"4000 ms became {passed:.0f}"
    connection.sleep(0.3)
    equal(depth(channel, queue), 0, "none comes twice")
    channel.queue_delete(queue)
    channel.exchange_delete(name)
    connection.close()


# --- x-message-deduplication ------------------------------------------------------------------------------------------


def once(value, **headers):
    return pika.BasicProperties(headers={"x-deduplication-header": value, **headers})


@case
@beyond("the plugin rabbitmq_message_deduplication")
def an_exchange_that_forgets_duplicates(url):
    with exchange(url, "x-message-deduplication", 2, {"x-cache-size": 100}) as (channel, name, queues):
        for value in ("a", "b", "a", 7, "7", 7, "b", None):
            properties = once(value) if value is not None else None
            for _ in range(2):
                channel.basic_publish(name, "any key", str(value).encode(), properties)
        for queue in queues:
            got = bodies(channel, queue)
            equal(got[:3], [b"a", b"b", b"7"], "as a fanout")
            equal(got[-2:], [b"None", b"None"], "without the header: always")
            equal(len(got) in (5, 6), True, "whether 7 and '7' are the same is not said")


@case
@beyond("the plugin rabbitmq_message_deduplication")
def duplicates_are_forgotten_after_a_time(url):
    arguments = {"x-cache-size": 100, "x-cache-ttl": 300}
    with exchange(url, "x-message-deduplication", 1, arguments) as (channel, name, (queue,)):
        channel.basic_publish(name, "", b"first", once("a"))
        channel.basic_publish(name, "", b"too soon", once("a"))
        channel.basic_publish(name, "", b"long", once("b", **{"x-cache-ttl": 60_000}))
        time.sleep(0.5)  # the rule is about time that passes
        channel.basic_publish(name, "", b"again", once("a"))
        channel.basic_publish(name, "", b"still too soon", once("b", **{"x-cache-ttl": 60_000}))
        equal(bodies(channel, queue), [b"first", b"long", b"again"])


@case
@beyond("the plugin rabbitmq_message_deduplication")
def a_small_cache_of_duplicates(url):
    with exchange(url, "x-message-deduplication", 1, {"x-cache-size": 5}) as (channel, name, (queue,)):
        for number in range(100):
            channel.basic_publish(name, "", b"", once(f"value {number}"))
        channel.basic_publish(name, "", b"", once("value 99"))
        equal(len(bodies(channel, queue)), 100)
        remembered = 0
        for number in range(99):
            channel.basic_publish(name, "", b"", once(f"value {number}"))
            remembered += not bodies(channel, queue)
        assert remembered <= 5, f"{remembered} of the old ones are remembered"


@case
@beyond("the plugin rabbitmq_message_deduplication")
def a_queue_that_refuses_duplicates(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = new_queue(channel, arguments={"x-message-deduplication": True})
        for value in ("a", "b", "a", "b", "c"):
            channel.basic_publish("", queue, value.encode(), once(value))
        channel.basic_publish("", queue, b"plain")
        channel.basic_publish("", queue, b"plain")
        equal(depth(channel, queue), 5)
        method, _, body = get(channel, queue, auto_ack=False)
        equal(body, b"a")
        channel.basic_publish("", queue, b"a", once("a"))
        equal(depth(channel, queue), 4, "it is there as long as it is not acknowledged")
        channel.basic_ack(method.delivery_tag)
        wait_until(lambda: depth(channel, queue) == 4, "acknowledged")
        channel.basic_publish("", queue, b"a", once("a"))
        equal(bodies(channel, queue), [b"b", b"c", b"plain", b"plain", b"a"])


@case
@beyond("the plugin rabbitmq_message_deduplication")
def bad_arguments_of_a_deduplication(url):
    with connected(url) as connection:
        for arguments, text in (
            (None, "Missing or invalid argument, "),
            ({"x-cache-size": 0}, "Missing or invalid argument, "),
            ({"x-cache-size": -1}, "Missing or invalid argument, "),
            ({"x-cache-size": "many"}, "Missing or invalid argument, "),
            ({"x-cache-size": 10, "x-cache-ttl": 0}, "Invalid argument, "),
            ({"x-cache-size": 10, "x-cache-persistence": "tape"}, "Invalid argument, "),
        ):
            with refused_like(406, f"PRECONDITION_FAILED - {text}"):
                connection.channel().exchange_declare(unique("bad"), "x-message-deduplication", arguments=arguments)


# --- amq.rabbitmq.event ------------------------------------------------------------------------


@case
def events_of_the_broker(url):
    with connected(url) as connection:
        channel = connection.channel()
        watching = new_queue(channel)
        channel.queue_bind(watching, "amq.rabbitmq.event", "#")
        user = pika.URLParameters(url).credentials.username
        name, queue, tag = unique("exchange"), unique("queue"), unique("tag")
        with connected(url) as other:
            working = other.channel()
            working.exchange_declare(name, "topic")
            working.queue_declare(queue, exclusive=True)
            working.queue_bind(queue, name, "a.key")
            working.basic_consume(queue, lambda *_: None, consumer_tag=tag)
            working.basic_cancel(tag)
            working.queue_unbind(queue, name, "a.key")
            working.queue_delete(queue)
            working.exchange_delete(name)
        kinds = {f"{what}.{how}" for what in ("exchange", "queue", "binding", "consumer") for how in ("created", "deleted")}
        kinds |= {"connection.created", "connection.closed", "channel.created", "channel.closed"}
        found = events(channel, watching, kinds)

        def one(kind, **expected):
            """The event of this kind with these headers."""
            for properties, body in found[kind]:
                if all(properties.headers.get(header) == value for header, value in expected.items()):
                    equal((body, properties.delivery_mode), (b"", 2), kind)
                    age = time.time() - properties.timestamp
                    assert -2 < age < 60, f"{kind}: timestamp {properties.timestamp}"
                    equal(properties.headers["timestamp_in_ms"] // 1000, properties.timestamp, kind)
                    return properties.headers
            raise AssertionError(f"no {kind} with {expected} in {found[kind]}")

        headers = one("queue.created", name=queue, vhost="/", user_who_performed_action=user)
        equal((headers["durable"], headers["auto_delete"], headers["exclusive"]), (False, False, True))
        one("queue.deleted", name=queue, vhost="/")
        headers = one("exchange.created", name=name, vhost="/", type="topic")
        equal((headers["durable"], headers["auto_delete"], headers["internal"]), (False, False, False))
        one("exchange.deleted", name=name, vhost="/")
        for kind in ("binding.created", "binding.deleted"):
            headers = one(kind, source_name=name, destination_name=queue, routing_key="a.key", vhost="/")
            equal((headers["source_kind"], headers["destination_kind"]), ("exchange", "queue"))
        headers = one("consumer.created", consumer_tag=tag, queue=queue, vhost="/")
        equal((headers["ack_required"], headers["exclusive"]), (True, False))
        one("consumer.deleted", consumer_tag=tag, queue=queue, vhost="/")
        one("connection.created", user=user, vhost="/", type="network")


@case
def events_are_chosen_by_a_pattern(url):
    with connected(url) as connection:
        channel = connection.channel()
        watching = new_queue(channel)
        channel.queue_bind(watching, "amq.rabbitmq.event", "queue.*")
        queue = new_queue(channel)
        channel.queue_delete(queue)
        found = events(channel, watching, {"queue.created", "queue.deleted"})
        equal(set(found), {"queue.created", "queue.deleted"})


@case
def nobody_publishes_events(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        with refused(403, "ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.event' in vhost '/'"):
            channel.basic_publish("amq.rabbitmq.event", "queue.created", b"forged")
        channel = connection.channel()
        channel.confirm_delivery()
        with refused(403, "ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'"):
            channel.basic_publish("amq.rabbitmq.trace", "publish.x", b"forged")


if __name__ == "__main__":
    main()
