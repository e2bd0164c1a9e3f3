"""Queues that forget: time to live of messages, of queues, and limits of length in messages and bytes, seen by pika."""

import time

import pika
from pika import exceptions

from pika_tools import Consumer, bodies, connected, depth, fill, get, new_queue, publish, refused
from suite import case, equal, main, unique, wait_until


def limited(connection, **arguments):
    """A confirming channel and a queue with arguments: `limited(connection, x_max_length=3)`."""
    channel = connection.channel()
    channel.confirm_delivery()
    return channel, new_queue(channel, arguments={name.replace("_", "-"): value for name, value in arguments.items()})


def empty_after(channel, queue, started, seconds):
    """The queue must become empty, and not before `seconds` have passed."""
    wait_until(lambda: depth(channel, queue) == 0, "all have expired")
    passed = time.monotonic() - started
    assert passed >= seconds, f"expired after {passed:.3f} s instead of {seconds} s"


def nacked(channel, queue, body, **properties):
    """Publishes with a confirm and tells whether the broker refused the message."""
    try:
        channel.basic_publish("", queue, body, pika.BasicProperties(**properties))
    except exceptions.NackError:
        return True
    return False


# --- time to live of messages -----------------------------------------------------------------------------------------


@case
def ttl_of_a_queue(url):
    with connected(url) as connection:
        channel, queue = limited(connection, x_message_ttl=400)
        started = time.monotonic()
        fill(channel, queue, 20)
        equal(depth(channel, queue), 20)
        empty_after(channel, queue, started, 0.4)


@case
def ttl_of_a_message(url):
    with connected(url) as connection:
        channel, queue = limited(connection)
        started = time.monotonic()
        publish(channel, queue, b"short", expiration="300")
        publish(channel, queue, b"long", expiration="60000")
        empty = channel.queue_declare("", exclusive=True).method.queue
        publish(channel, empty, b"short", expiration="300")
        empty_after(channel, empty, started, 0.3)
        equal(bodies(channel, queue), [b"long"])


@case
def the_lower_ttl_counts(url):
    with connected(url) as connection:
        channel, queue = limited(connection, x_message_ttl=300)
        started = time.monotonic()
        publish(channel, queue, b"as the queue says", expiration="60000")
        empty_after(channel, queue, started, 0.3)
        channel, queue = limited(connection, x_message_ttl=60_000)
        started = time.monotonic()
        publish(channel, queue, b"as the message says", expiration="300")
        empty_after(channel, queue, started, 0.3)


@case
def ttl_of_zero_is_now_or_never(url):
    with connected(url) as connection:
        for arguments, properties in (({"x_message_ttl": 0}, {}), ({}, {"expiration": "0"})):
            channel, queue = limited(connection, **arguments)
            publish(channel, queue, b"nobody waits", **properties)
            wait_until(lambda: depth(channel, queue) == 0, "nobody waited")
            equal(bodies(channel, queue), [])
            consumer = Consumer(connection.channel(), queue, auto_ack=True)
            publish(channel, queue, b"somebody waits", **properties)
            consumer.wait_for(1)
            equal([body for *_, body in consumer.deliveries], [b"somebody waits"])


@case
def an_expired_message_behind_a_living_one_waits_for_its_turn(url):
    """Expiry is at the head of a queue: it never reaches a consumer, but is counted until then."""
    with connected(url) as connection:
        channel, queue = limited(connection)
        publish(channel, queue, b"head")
        publish(channel, queue, b"expires", expiration="100")
        publish(channel, queue, b"tail")
        time.sleep(0.4)  # the rule is about time that passes
        equal(bodies(channel, queue), [b"head", b"tail"])


@case
def a_delivered_message_does_not_expire(url):
    """Expiry is of waiting messages: one that is given back too late is gone, one that is acknowledged late is not."""
    with connected(url) as connection:
        channel, queue = limited(connection, x_message_ttl=300)
        fill(channel, queue, 2)
        late = [get(channel, queue, auto_ack=False)[0] for _ in range(2)]
        time.sleep(0.5)  # the rule is about time that passes
        channel.basic_ack(late[0].delivery_tag)
        channel.basic_nack(late[1].delivery_tag, requeue=True)
        wait_until(lambda: depth(channel, queue) == 0, "what came back has expired")
        equal(bodies(channel, queue), [])


@case
def ttl_is_kept_when_a_message_goes_back(url):
    with connected(url) as connection:
        channel, queue = limited(connection)
        started = time.monotonic()
        publish(channel, queue, b"back", expiration="500")
        for _ in range(5):
            method, properties, _ = get(channel, queue, auto_ack=False)
            equal(properties.expiration, "500")
            channel.basic_nack(method.delivery_tag, requeue=True)
            time.sleep(0.02)
        empty_after(channel, queue, started, 0.5)
        assert time.monotonic() - started < 5, "its time began anew when it came back"


# --- expires ----------------------------------------------------------------------------------------------------------


def is_there(url, queue):
    """Asks without using the queue, which a declare would."""
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        try:
            channel.basic_publish("", queue, b"", mandatory=True)
        except exceptions.UnroutableError:
            return False
        return True


@case
def an_unused_queue_expires(url):
    with connected(url) as connection:
        channel = connection.channel()
        queues = [
            new_queue(channel, exclusive=False, durable=durable, arguments={"x-expires": 500}) for durable in (True, False)
        ]
        started = time.monotonic()
        fill(channel, queues[0], 3)
        for queue in queues:
            wait_until(lambda queue=queue: not is_there(url, queue), "the queue has gone")
        assert time.monotonic() - started >= 0.5, "gone too early"


@case
def what_counts_as_use_of_a_queue(url):
    """A declare, a basic.get and a consumer keep a queue; publishing does not."""
    with connected(url) as connection:
        channel = connection.channel()
        names = ("declared", "got from", "consumed", "published to")
        queues = {name: new_queue(channel, exclusive=False, arguments={"x-expires": 900}) for name in names}
        channel.basic_consume(queues["consumed"], lambda *_: None)
        until = time.monotonic() + 1.8
        while time.monotonic() < until:
            channel.queue_declare(queues["declared"], passive=True)
            channel.basic_get(queues["got from"])
            publish(channel, queues["published to"], b"")
            connection.sleep(0.1)
        there = {name for name, queue in queues.items() if is_there(url, queue)}
        equal(there, {"declared", "got from", "consumed"})
        for queue in queues.values():
            channel.queue_delete(queue)


# --- length -----------------------------------------------------------------------------------------------------------


@case
def max_length_drops_the_oldest(url):
    for arguments in ({}, {"x_overflow": "drop-head"}):
        with connected(url) as connection:
            channel, queue = limited(connection, x_max_length=3, **arguments)
            fill(channel, queue, 10)
            equal(bodies(channel, queue), [b"7", b"8", b"9"])


@case
def max_length_counts_what_is_ready(url):
    with connected(url) as connection:
        channel, queue = limited(connection, x_max_length=2)
        fill(channel, queue, 2)
        held = [get(channel, queue, auto_ack=False)[0] for _ in range(2)]
        fill(channel, queue, 2)
        equal(depth(channel, queue), 2, "what is with a consumer is not counted")
        channel.basic_nack(held[1].delivery_tag, multiple=True, requeue=True)
        wait_until(lambda: depth(channel, queue) == 2, "two of four are dropped")
        equal(len(bodies(channel, queue)), 2)


@case
def max_length_of_zero_keeps_nothing(url):
    with connected(url) as connection:
        channel, queue = limited(connection, x_max_length=0)
        fill(channel, queue, 3)
        equal(bodies(channel, queue), [])
        consumer = Consumer(connection.channel(), queue, auto_ack=True)
        fill(channel, queue, 3)
        consumer.wait_for(3)


@case
def max_length_bytes_counts_bodies(url):
    with connected(url) as connection:
        channel, queue = limited(connection, x_max_length_bytes=1000)
        for number in range(10):
            publish(channel, queue, b"%d" % number * 300, headers={"not": "counted" * 500})
        equal([body[:1] for body in bodies(channel, queue)], [b"7", b"8", b"9"], "three times 300 bytes fit")
        publish(channel, queue, b"x" * 1001)
        equal(bodies(channel, queue), [], "larger than the queue")
        for _ in range(50):
            publish(channel, queue, b"")
        equal(depth(channel, queue), 50, "empty bodies need no room")


@case
def both_limits_of_length(url):
    with connected(url) as connection:
        channel, queue = limited(connection, x_max_length_bytes=1000, x_max_length=5)
        for _ in range(10):
            publish(channel, queue, b"x" * 10)
        equal(depth(channel, queue), 5)
        for _ in range(3):
            publish(channel, queue, b"y" * 400)
        equal([body[:1] for body in bodies(channel, queue)], [b"y", b"y"])


@case
def reject_publish_refuses_the_newest(url):
    with connected(url) as connection:
        channel, queue = limited(connection, x_max_length=3, x_overflow="reject-publish")
        refusals = [nacked(channel, queue, b"%d" % number) for number in range(6)]
        # How far a full queue may be overrun is not promised; that a refused message is not there is.
        kept = [b"%d" % number for number, refusal in enumerate(refusals) if not refusal]
        equal((refusals[:3], refusals[-1]), ([False, False, False], True), "basic.nack")
        equal(bodies(channel, queue), kept)
        wait_until(lambda: not nacked(channel, queue, b"again"), "there is room again")
        with_no_confirms = connection.channel()
        for _ in range(10):
            publish(with_no_confirms, queue, b"")
        with_no_confirms.close()
        assert depth(channel, queue) <= 4, "dropped without a word"


@case
def reject_publish_by_bytes(url):
    with connected(url) as connection:
        channel, queue = limited(connection, x_max_length_bytes=500, x_overflow="reject-publish")
        refusals = [nacked(channel, queue, b"x" * 200) for _ in range(6)]
        equal((refusals[:2], refusals[-1]), ([False, False], True), "basic.nack")
        equal(len(bodies(channel, queue)), refusals.count(False))


@case
def one_full_queue_of_many_refuses_for_all_to_know(url):
    """A message for two queues of which one is full: the other has it, and the publisher is told of the refusal."""
    with connected(url) as connection:
        channel, full = limited(connection, x_max_length=1, x_overflow="reject-publish")
        other = new_queue(channel)
        exchange = unique("fan")
        channel.exchange_declare(exchange, "fanout", auto_delete=True)
        channel.queue_bind(full, exchange)
        channel.queue_bind(other, exchange)
        refused_ones = 0
        for _ in range(5):
            try:
                channel.basic_publish(exchange, "", b"x")
            except exceptions.NackError:
                refused_ones += 1
        assert refused_ones >= 3, refused_ones
        equal(depth(channel, full), 5 - refused_ones)
        equal(depth(channel, other), 5)


@case
def reject_publish_dlx_keeps_what_it_refuses(url):
    with connected(url) as connection:
        channel = connection.channel()
        dead = new_queue(channel)
        channel, queue = limited(
            connection,
            x_max_length=2,
            x_overflow="reject-publish-dlx",
            x_dead_letter_exchange="",
            x_dead_letter_routing_key=dead,
        )
        refusals = [nacked(channel, queue, b"%d" % number) for number in range(6)]
        equal((refusals[:2], refusals[-1]), ([False, False], True), "basic.nack")
        kept = [b"%d" % number for number, refusal in enumerate(refusals) if not refusal]
        turned_away = [b"%d" % number for number, refusal in enumerate(refusals) if refusal]
        wait_until(lambda: depth(channel, dead) == len(turned_away), "the refused ones are dead letters")
        _, properties, body = get(channel, dead)
        equal(body, turned_away[0])
        (death,) = properties.headers["x-death"]
        equal((death["reason"], death["queue"], death["count"]), ("maxlen", queue, 1))
        equal(bodies(channel, queue), kept)


@case
def limits_and_confirms_of_a_persistent_message(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = new_queue(channel, exclusive=False, durable=True, arguments={"x-max-length": 2, "x-message-ttl": 60_000})
        for number in range(20):
            channel.basic_publish("", queue, b"%d" % number, pika.BasicProperties(delivery_mode=2))
        equal(bodies(channel, queue), [b"18", b"19"], "dropped ones are confirmed too")
        channel.queue_delete(queue)


# --- arguments --------------------------------------------------------------------------------------------------------


@case
def arguments_that_mean_nothing_here_are_accepted(url):
    with connected(url) as connection:
        for kind, arguments in (
            ("classic", {"x-queue-mode": "lazy"}),
            ("classic", {"x-queue-mode": "default", "x-queue-version": 1}),
            ("classic", {"x-queue-version": 2}),
            ("classic", {"x-queue-master-locator": "min-masters"}),
            ("quorum", {"x-queue-leader-locator": "balanced", "x-quorum-initial-group-size": 3}),
            ("quorum", {"x-queue-leader-locator": "client-local"}),
            ("stream", {"x-queue-leader-locator": "balanced", "x-initial-cluster-size": 3}),
        ):
            channel = connection.channel()
            channel.confirm_delivery()
            queue = unique("accepted")
            arguments = {"x-queue-type": kind, **arguments}
            channel.queue_declare(queue, durable=True, arguments=arguments)
            channel.queue_declare(queue, durable=True, arguments=arguments)
            if kind != "stream":
                fill(channel, queue, 2)
                wait_until(lambda: depth(channel, queue) == 2, f"a queue with {arguments} is a queue")
                equal(bodies(channel, queue), [b"0", b"1"])
            channel.queue_delete(queue)
        channel.queue_declare("", exclusive=True, arguments={"x-mine": "unknown ones too", "x-other": [1, {"x": None}]})


INTEGER = '"expected integer, got %s"'
# Queue type, argument, value, and what RabbitMQ says after `invalid arg 'NAME' for queue 'Q' in vhost '/': `.
ABSURD = (
    ("classic", "x-message-ttl", -1, "{value_negative,-1}"),
    ("classic", "x-message-ttl", "60000", INTEGER % "longstr"),
    ("classic", "x-message-ttl", 2**63 - 1, "{value_too_large,9223372036854775807}"),
    ("classic", "x-message-ttl", -(2**63), "{value_negative,-9223372036854775808}"),
    ("classic", "x-message-ttl", True, INTEGER % "bool"),
    ("classic", "x-message-ttl", None, INTEGER % "void"),
    ("classic", "x-message-ttl", [], INTEGER % "array"),
    ("classic", "x-message-ttl", {}, INTEGER % "table"),
    ("classic", "x-expires", 0, "{value_zero,0}"),
    ("classic", "x-expires", -1, "{value_negative,-1}"),
    ("classic", "x-expires", "1", INTEGER % "longstr"),
    ("classic", "x-expires", 2**40, "{value_too_large,1099511627776}"),
    ("classic", "x-max-length", -1, "{value_negative,-1}"),
    ("classic", "x-max-length", "10", INTEGER % "longstr"),
    ("classic", "x-max-length-bytes", -1, "{value_negative,-1}"),
    ("classic", "x-max-length-bytes", "1GB", INTEGER % "longstr"),
    ("classic", "x-max-priority", -1, "{value_negative,-1}"),
    ("classic", "x-max-priority", 256, "{max_value_exceeded,256}"),
    ("classic", "x-max-priority", 2**63 - 1, "{max_value_exceeded,9223372036854775807}"),
    ("classic", "x-max-priority", "ten", INTEGER % "longstr"),
    ("classic", "x-overflow", "explode", "invalid_overflow"),
    ("classic", "x-overflow", 7, "{unacceptable_type,signedint}"),
    ("classic", "x-dead-letter-routing-key", "key", "routing_key_but_no_dlx_defined"),
    ("classic", "x-dead-letter-routing-key", 7, "{unacceptable_type,signedint}"),
    ("classic", "x-single-active-consumer", "yes", "{unacceptable_type,longstr}"),
    ("classic", "x-single-active-consumer", 1, "{unacceptable_type,signedint}"),
    ("classic", "x-queue-mode", "sleepy", "\"unsupported queue mode 'sleepy'\""),
    ("classic", "x-queue-mode", 7, "{unacceptable_type,signedint}"),
    ("classic", "x-queue-version", 9, "\"unsupported queue version '9'\""),
    ("classic", "x-queue-version", "2", INTEGER % "longstr"),
    ("fancy", "x-queue-type", "fancy", "\"unsupported queue type 'fancy'\""),
    (7, "x-queue-type", 7, "{unacceptable_type,signedint}"),
    ("quorum", "x-message-ttl", -1, "{value_negative,-1}"),
    ("quorum", "x-expires", 0, "{value_zero,0}"),
    ("quorum", "x-max-length", -1, "{value_negative,-1}"),
    ("quorum", "x-overflow", "explode", "invalid_overflow"),
    ("quorum", "x-queue-leader-locator", "nearest", "invalid_queue_locator_arg"),
    ("quorum", "x-quorum-initial-group-size", 0, "{value_zero,0}"),
    ("quorum", "x-dead-letter-strategy", "never", "invalid_dlx_strategy"),
    ("stream", "x-max-length-bytes", -1, "{value_negative,-1}"),
    ("stream", "x-max-length-bytes", "1GB", INTEGER % "longstr"),
    ("stream", "x-queue-leader-locator", "nearest", "invalid_queue_locator_arg"),
)


@case
def absurd_arguments(url):
    with connected(url) as connection:
        queue = unique("absurd")
        for kind, name, value, why in ABSURD:
            text = f"PRECONDITION_FAILED - invalid arg '{name}' for queue '{queue}' in vhost '/': {why}"
            with refused(406, text):
                connection.channel().queue_declare(queue, durable=True, arguments={"x-queue-type": kind, name: value})
        for value, kind in ((7, "signedint"), (None, "void")):
            text = f"invalid type '{kind}' for arg 'x-dead-letter-exchange' in queue '{queue}' in vhost '/'"
            with refused(406, f"PRECONDITION_FAILED - {text}"):
                connection.channel().queue_declare(queue, arguments={"x-dead-letter-exchange": value})


@case
def large_numbers_are_only_limits(url):
    """The largest values that are accepted cost nothing: nothing is set aside for them."""
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for name, value in (
            ("x-max-length", 2**63 - 1),
            ("x-max-length-bytes", 2**63 - 1),
            ("x-message-ttl", 2**32),
            ("x-expires", 2**32),
            ("x-max-priority", 255),
        ):
            queue = new_queue(channel, arguments={name: value})
            fill(channel, queue, 3)
            equal(bodies(channel, queue), [b"0", b"1", b"2"], name)


@case
def a_redeclare_with_other_arguments_is_refused(url):
    """Each argument is compared, and what is told of it is RabbitMQ's."""
    with connected(url) as connection:
        channel = connection.channel()
        given = {
            "x-message-ttl": 60_000,
            "x-expires": 60_000,
            "x-max-length": 10,
            "x-max-length-bytes": 1000,
            "x-overflow": "reject-publish",
            "x-dead-letter-exchange": "dead",
            "x-dead-letter-routing-key": "letters",
            "x-max-priority": 5,
            "x-single-active-consumer": True,
        }
        queue = new_queue(channel, arguments=given)
        new = connection.channel
        new().queue_declare(queue, exclusive=True, arguments=dict(reversed(given.items())))
        for name, value in given.items():
            # A routing key without its exchange is refused for a reason of its own, and before.
            if name != "x-dead-letter-exchange":
                without = {other: kept for other, kept in given.items() if other != name}
                described = {int: "signedint", str: "longstr", bool: "bool"}[type(value)]
                shown = str(value).lower() if isinstance(value, bool) else value
                text = f"received none but current is the value '{shown}' of type '{described}'"
                with refused(406, f"PRECONDITION_FAILED - inequivalent arg '{name}' for queue '{queue}' in vhost '/': {text}"):
                    new().queue_declare(queue, exclusive=True, arguments=without)
            other = not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else "drop-head"
            shown, received = (str(it).lower() if isinstance(it, bool) else it for it in (value, other))
            text = f"received '{received}' but current is '{shown}'"
            with refused(406, f"PRECONDITION_FAILED - inequivalent arg '{name}' for queue '{queue}' in vhost '/': {text}"):
                new().queue_declare(queue, exclusive=True, arguments={**given, name: other})
        text = "received 'quorum' but current is 'classic'"
        text = f"PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue '{queue}' in vhost '/': {text}"
        durable = unique("classic")
        channel.queue_declare(durable, durable=True, arguments={"x-queue-type": "classic"})
        channel.queue_declare(durable, durable=True)
        with refused(406, text.replace(queue, durable)):
            new().queue_declare(durable, durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_delete(durable)


@case
def what_a_quorum_queue_and_a_stream_cannot_be(url):
    with connected(url) as connection:
        name = unique("kind")
        for kind in ("quorum", "stream"):
            for options, text in (
                ({"durable": False}, f"invalid property 'non-durable' for queue '{name}' in vhost '/'"),
                ({"durable": True, "exclusive": True}, f"invalid property 'exclusive-owner' for queue '{name}' in vhost '/'"),
                ({"durable": True, "auto_delete": True}, f"invalid property 'auto-delete' for queue '{name}' in vhost '/'"),
            ):
                with refused(406, f"PRECONDITION_FAILED - {text}"):
                    connection.channel().queue_declare(name, arguments={"x-queue-type": kind}, **options)


if __name__ == "__main__":
    main()
