"""Streams as pika sees them: logs that many read at their own place, and nobody empties."""

import contextlib
import datetime
import time

import pika

from pika_tools import Consumer, connected, new_queue, reconnected, refused
from suite import beyond, case, equal, main, restart_broker, restart_case, unique, wait_until

STREAM = {"x-queue-type": "stream"}


@contextlib.contextmanager
def stream(url, count=0, **arguments):
    """A confirming channel, and a stream with the messages 0, 1, 2..."""
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = unique("stream")
        arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
        channel.queue_declare(queue, durable=True, arguments={**STREAM, **arguments})
        if count:
            append(url, queue, 0, count)
        yield channel, queue
        connection.channel().queue_delete(queue)


def append(url, queue, first, end, size=0, **properties):
    """Publishes the numbers from `first` to `end`, and returns when all of them are confirmed."""
    with connected(url) as connection:
        channel = connection.channel()
        impl = channel._impl  # noqa: SLF001  (BlockingChannel waits for each confirm on its own)
        confirmed = [0]

        def on_confirm(frame):
            assert isinstance(frame.method, pika.spec.Basic.Ack), frame
            if frame.method.multiple:
                confirmed[0] = frame.method.delivery_tag
            else:
                confirmed[0] += 1

        selected = []
        impl.confirm_delivery(on_confirm, callback=selected.append)
        step = lambda: connection.process_data_events(0.05)  # noqa: E731
        wait_until(lambda: selected, "confirm.select-ok", step=step)
        for number in range(first, end):
            body = b"%d" % number
            impl.basic_publish("", queue, body + b" " * (size - len(body)), pika.BasicProperties(**properties))
            if number % 1000 == 999:
                connection.process_data_events(0)
        wait_until(lambda: confirmed[0] >= end - first, f"{end - first} confirms", seconds=60, step=step)


class Reader(Consumer):
    """A consumer that acknowledges as it reads, from an offset as x-stream-offset has it."""

    def __init__(self, connection, queue, offset=None, prefetch=100, arguments=None):
        channel = connection.channel()
        channel.basic_qos(prefetch_count=prefetch)
        arguments = {**(arguments or {}), **({} if offset is None else {"x-stream-offset": offset})}
        super().__init__(channel, queue, arguments=arguments)
        self.acknowledged = 0

    def read(self, count):
        """Reads on until `count` messages have come in all."""

        def step():
            self.channel.connection.process_data_events(0.05)
            if len(self.deliveries) > self.acknowledged:
                self.acknowledged = len(self.deliveries)
                self.channel.basic_ack(self.deliveries[-1][0].delivery_tag, multiple=True)

        wait_until(lambda: len(self.deliveries) >= count, f"{count} messages", seconds=30, step=step)
        step()
        return self

    @property
    def offsets(self):
        return [properties.headers["x-stream-offset"] for _, properties, _ in self.deliveries]

    @property
    def numbers(self):
        return [int(body) for *_, body in self.deliveries]


def read_until(reader, condition):
    """Reads on, acknowledging what has come, until the condition holds."""
    wait_until(condition, "enough messages", seconds=30, step=lambda: reader.read(len(reader.deliveries)))


# --- reading ----------------------------------------------------------------------------------------------------------


@case
def ten_thousand_messages_in_order(url):
    with stream(url, 10_000) as (channel, queue):
        reader = Reader(channel.connection, queue, "first", prefetch=500).read(10_000)
        equal(reader.numbers, list(range(10_000)))
        equal(reader.offsets, list(range(10_000)), "x-stream-offset")
        method, properties, _ = reader.deliveries[0]
        equal((method.exchange, method.routing_key, method.redelivered), ("", queue, False))


@case
def from_an_offset(url):
    with stream(url, 300) as (channel, queue):
        for offset in (0, 1, 150, 299):
            reader = Reader(channel.connection, queue, offset).read(300 - offset)
            equal(reader.offsets, list(range(offset, 300)), f"from {offset}")
            equal(reader.numbers, reader.offsets)
            reader.channel.close()
        beyond_end = Reader(channel.connection, queue, 310)
        append(url, queue, 300, 320)
        beyond_end.read(10)
        equal(beyond_end.numbers, list(range(310, 320)), "from an offset that came later")


@case
def from_the_end(url):
    with stream(url, 100) as (channel, queue):
        following = Reader(channel.connection, queue, "next")
        default = Reader(channel.connection, queue)
        equal((following.settle(), default.settle()), ([], []), "nothing that was there before")
        append(url, queue, 100, 150)
        equal(following.read(50).numbers, list(range(100, 150)))
        equal(default.read(50).numbers, list(range(100, 150)), "without x-stream-offset")
        # The last chunk, however many it holds, and what comes afterwards.
        last = Reader(channel.connection, queue, "last")
        last.read(1)
        append(url, queue, 150, 160)
        last.read(160 - last.numbers[0])
        assert 0 < last.numbers[0] < 150, last.numbers
        equal(last.numbers, list(range(last.numbers[0], 160)))


@case
def from_a_time(url):
    with stream(url, 50) as (channel, queue):
        time.sleep(1.2)  # AMQP's timestamps are of seconds
        now = datetime.datetime.now(datetime.timezone.utc)
        time.sleep(1.2)
        append(url, queue, 50, 100)
        for offset, first in (
            (now, 50),
            (datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc), 0),
            ("1h", 0),
            ("5s", 0),
            ("1D", 0),
        ):
            reader = Reader(channel.connection, queue, offset).read(100 - first)
            equal(reader.numbers, list(range(first, 100)), f"from {offset}")
            reader.channel.close()
        later = Reader(channel.connection, queue, now + datetime.timedelta(days=1))
        equal(later.settle(), [])
        append(url, queue, 100, 101)
        equal(later.read(1).numbers, [100], "a time that has not come yet is the end")


@case
def many_readers_at_their_own_places(url):
    with stream(url, 1000) as (channel, queue):
        readers = [Reader(channel.connection, queue, offset, prefetch=20) for offset in ("first", 0, 500, 900, "next")]
        append(url, queue, 1000, 1100)
        for reader, first in zip(readers, (0, 0, 500, 900, 1000)):
            equal(reader.read(1100 - first).numbers, list(range(first, 1100)))
        again = Reader(channel.connection, queue, "first").read(1100)
        equal(again.numbers, list(range(1100)), "nothing is gone")


@case
def an_acknowledgement_is_only_credit(url):
    """A stream keeps what it has, and nothing comes twice."""
    with stream(url, 2000) as (channel, queue):
        reader = Reader(channel.connection, queue, "first", prefetch=4)
        seen = 0
        for _ in range(3):
            reader.wait_for(seen + 4)
            seen = len(reader.settle())
            reader.channel.basic_ack(reader.deliveries[-1][0].delivery_tag, multiple=True)
        reader.wait_for(seen + 4)
        assert len(reader.settle()) < 2000, "without credit"
        equal(reader.numbers, list(range(len(reader.deliveries))))


@case
@beyond("RabbitMQ 3.10 sends whole chunks, and so more than was asked for")
def never_more_than_the_prefetch(url):
    with stream(url, 200) as (channel, queue):
        reader = Reader(channel.connection, queue, "first", prefetch=10)
        reader.wait_for(10)
        equal(len(reader.settle()), 10)
        reader.channel.basic_ack(reader.deliveries[4][0].delivery_tag, multiple=True)
        reader.wait_for(15)
        equal(len(reader.settle()), 15)
        reader.channel.basic_ack(reader.deliveries[7][0].delivery_tag)
        reader.wait_for(16)
        equal(len(reader.settle()), 16)
        equal(reader.offsets, list(range(16)), "nothing comes twice")


SENT = {
    "content_type": "text/plain",
    "message_id": "7",
    "correlation_id": "c",
    "reply_to": "r",
    "type": "t",
    "app_id": "a",
    "timestamp": 1_700_000_000,
}


def sent_and_read(url, headers, bodies):
    """Publishes by way of an exchange and reads it back: the deliveries, which have the right names and properties."""
    with stream(url) as (channel, queue):
        exchange = unique("source")
        channel.exchange_declare(exchange, "topic", auto_delete=True)
        channel.queue_bind(queue, exchange, "a.#")
        for body in bodies:
            channel.basic_publish(exchange, "a.b.c", body, pika.BasicProperties(headers=headers, **SENT))
        reader = Reader(channel.connection, queue, "first").read(len(bodies))
        for offset, (method, properties, _) in enumerate(reader.deliveries):
            equal((method.exchange, method.routing_key), (exchange, "a.b.c"))
            equal(properties.headers["x-stream-offset"], offset)
            equal({name: getattr(properties, name) for name in SENT}, SENT)
        return reader.deliveries


@case
def a_message_is_as_it_was_published(url):
    headers = {"text": "grüße", "number": 7, "long": 2**40, "true": True}
    deliveries = sent_and_read(url, headers, [b"", b"short", bytes(1_000_000)])
    equal([len(body) for *_, body in deliveries], [0, 5, 1_000_000])
    for _, properties, _ in deliveries:
        equal({name: properties.headers.get(name) for name in headers}, headers)


@case
@beyond("RabbitMQ 3.10 loses arrays and tables when it writes a message into a stream")
def headers_of_every_type_in_a_stream(url):
    headers = {
        "array": [1, [2, {"x": None}], []],
        "table": {"a": {"b": 1}},
        "none": None,
        "bytes": b"\x00\xff",
        "x-stream-offset": "the broker's own takes its place",
    }
    ((_, properties, _),) = sent_and_read(url, headers, [b"x"])
    equal(properties.headers, {**headers, "x-stream-offset": 0})


@case
def expiration_means_nothing_in_a_stream(url):
    with stream(url) as (channel, queue):
        channel.basic_publish("", queue, b"0", pika.BasicProperties(expiration="1"))
        time.sleep(0.2)
        equal(Reader(channel.connection, queue, "first").read(1).numbers, [0])


@case
@beyond("RabbitMQ 3.10 does not deliver them: it cannot write x-death into a stream")
def dead_letters_into_a_stream(url):
    with stream(url) as (channel, queue):
        arguments = {"x-message-ttl": 50, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}
        source = new_queue(channel, arguments=arguments)
        for number in range(5):
            channel.basic_publish("", source, b"%d" % number)
        reader = Reader(channel.connection, queue, "first").read(5)
        equal(reader.numbers, list(range(5)))
        equal(reader.deliveries[0][1].headers["x-death"][0]["reason"], "expired")


# --- refusals ---------------------------------------------------------------------------------------------------------


@case
def what_a_stream_does_not_do(url):
    """These close the connection, as everything that is not implemented does."""
    for what, do in (
        ("basic.get", lambda channel, queue: channel.basic_get(queue)),
        ("queue.purge", lambda channel, queue: channel.queue_purge(queue)),
        ("automatic acknowledgement", lambda channel, queue: Reader(channel.connection, queue).channel.basic_consume(
            queue, lambda *_: None, auto_ack=True
        )),
    ):
        queue = unique("stream")
        with connected(url) as connection:
            channel = connection.channel()
            channel.queue_declare(queue, durable=True, arguments=STREAM)
            text = f"NOT_IMPLEMENTED - {what} not supported by stream queues queue '{queue}' in vhost '/'"
            with refused(540, text, pika.exceptions.ConnectionClosedByBroker):
                do(channel, queue)
        with connected(url) as connection:
            connection.channel().queue_delete(queue)


@case
def a_reader_needs_a_prefetch(url):
    with stream(url, 3) as (channel, queue):
        text = f"PRECONDITION_FAILED - consumer prefetch count is not set for 'queue '{queue}' in vhost '/''"
        with refused(406, text):
            channel.connection.channel().basic_consume(queue, lambda *_: None)
        shared = channel.connection.channel()
        shared.basic_qos(prefetch_count=10, global_qos=True)
        with refused(406, text):
            shared.basic_consume(queue, lambda *_: None)


@case
def offsets_that_are_none(url):
    with stream(url, 3) as (channel, queue):
        reader = channel.connection.channel()
        reader.basic_qos(prefetch_count=10)
        text = (
            f"PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue '{queue}' in vhost '/': "
            '{invalid_stream_offset_arg,{longstr,<<"5x">>}}'
        )
        with refused(406, text):
            reader.basic_consume(queue, lambda *_: None, arguments={"x-stream-offset": "5x"})


@case
@beyond("RabbitMQ 3.10 closes the connection with 541")
def absurd_offsets(url):
    with stream(url, 3) as (channel, queue):
        for offset in ("middle", "", "first ", True, None, [], {}, "99999999999999999999Y", "-1h"):
            reader = channel.connection.channel()
            reader.basic_qos(prefetch_count=10)
            try:
                reader.basic_consume(queue, lambda *_: None, arguments={"x-stream-offset": offset})
            except pika.exceptions.ChannelClosedByBroker as error:
                equal(error.reply_code, 406, f"offset {offset!r}")
                text = f"PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue '{queue}' in vhost '/': "
                assert error.reply_text.startswith(text), error.reply_text
            else:
                raise AssertionError(f"offset {offset!r} was accepted")


@case
def bad_arguments_of_a_stream(url):
    with connected(url) as connection:
        queue = unique("stream")
        invalid = f"PRECONDITION_FAILED - invalid arg '%s' for queue '{queue}' in vhost '/': %s"
        for name, value, why in (
            ("x-max-age", 7, "{unacceptable_type,signedint}"),
            ("x-max-age", "10", "invalid_max_age"),
            ("x-stream-max-segment-size-bytes", -1, "{value_negative,-1}"),
            ("x-stream-max-segment-size-bytes", "1", '"expected integer, got longstr"'),
            ("x-initial-cluster-size", 0, "{value_zero,0}"),
        ):
            with refused(406, invalid % (name, why)):
                connection.channel().queue_declare(queue, durable=True, arguments={**STREAM, name: value})
        with refused(406, "PRECONDITION_FAILED - Exceeded max value for x-stream-max-segment-size-bytes"):
            arguments = {**STREAM, "x-stream-max-segment-size-bytes": 2**40}
            connection.channel().queue_declare(queue, durable=True, arguments=arguments)


# --- retention --------------------------------------------------------------------------------------------------------


def whole_from_somewhere(url, queue, end):
    """What is left of a stream must be whole up to its last message; returns the first one that is left."""
    with connected(url) as connection:
        reader = Reader(connection, queue, "first", prefetch=500).read(1)
        first = reader.numbers[0]
        reader.read(end - first)
        equal(reader.numbers, list(range(first, end)), "what is left")
        # RabbitMQ takes an offset for itself now and then.
        equal(reader.offsets, sorted(set(reader.offsets)), "offsets rise")
        return first


@case
def the_oldest_segments_go_beyond_the_length(url):
    with stream(url, x_max_length_bytes=200_000, x_stream_max_segment_size_bytes=50_000) as (_, queue):
        for first in range(0, 2000, 200):
            append(url, queue, first, first + 200, size=1000)
        first = whole_from_somewhere(url, queue, 2000)
        assert 1400 < first < 1960, f"at most 200 messages and two segments stay, and at least one segment: not from {first}"
        with connected(url) as connection:
            reader = Reader(connection, queue, 10).read(1)
            # More may have been truncated meanwhile.
            later = whole_from_somewhere(url, queue, 2000)
            assert first <= reader.numbers[0] <= later, f"{reader.numbers[0]}, where the stream begins at {first}..{later}"


@case
def the_oldest_segments_go_with_age(url):
    with stream(url, x_max_age="1s", x_stream_max_segment_size_bytes=50_000) as (_, queue):
        append(url, queue, 0, 200, size=1000)
        equal(whole_from_somewhere(url, queue, 200), 0, "nothing is that old")
        time.sleep(1.5)
        for first in range(200, 800, 200):  # whole segments go, when a new one begins
            append(url, queue, first, first + 200, size=1000)
        first = whole_from_somewhere(url, queue, 800)
        assert 100 < first, f"the first 200 messages are too old, the first one is {first}"


@case
def a_reader_that_is_too_slow_goes_on_where_the_stream_begins(url):
    with stream(url, x_max_length_bytes=100_000, x_stream_max_segment_size_bytes=20_000) as (channel, queue):
        append(url, queue, 0, 50, size=1000)
        slow = Reader(channel.connection, queue, "first", prefetch=1)
        slow.wait_for(1)
        for first in range(50, 1050, 100):
            append(url, queue, first, first + 100, size=1000)
        read_until(slow, lambda: slow.numbers[-1] == 1049)
        begin = whole_from_somewhere(url, queue, 1050)
        equal(slow.numbers, sorted(set(slow.numbers)))
        equal([number for number in slow.numbers if number >= begin], list(range(begin, 1050)), "nothing is left out")


# --- what RabbitMQ 3.10 cannot do -------------------------------------------------------------------------------------


@case
@beyond("RabbitMQ 3.13: filter values; what the broker lets through may hold others too, which a client drops")
def filter_values(url):
    with stream(url) as (channel, queue):
        for number in range(3000):
            value = ("emea", "apac", None)[number % 3 if number < 1000 else 0]
            headers = {"x-stream-filter-value": value} if value else None
            channel.basic_publish("", queue, b"%d" % number, pika.BasicProperties(headers=headers))
        wanted = {
            "apac": list(range(1, 1000, 3)),
            "emea": [number for number in range(3000) if number >= 1000 or number % 3 == 0],
        }
        for value, numbers in wanted.items():
            arguments = {"x-stream-filter": value}
            reader = Reader(channel.connection, queue, "first", arguments=arguments)
            matching = lambda reader=reader, value=value: [  # noqa: E731
                int(body)
                for _, properties, body in reader.deliveries
                if properties.headers.get("x-stream-filter-value") == value
            ]
            read_until(reader, lambda: len(matching()) >= len(numbers))  # noqa: B023
            equal(matching(), numbers)
            reader.channel.close()
        arguments = {"x-stream-filter": ["apac"], "x-stream-match-unfiltered": True}
        reader = Reader(channel.connection, queue, "first", arguments=arguments)
        expected = [number for number in range(1000) if number % 3]
        is_wanted = lambda properties: properties.headers.get("x-stream-filter-value") in (None, "apac")  # noqa: E731
        got = lambda: [int(body) for _, properties, body in reader.deliveries if is_wanted(properties)]  # noqa: E731
        read_until(reader, lambda: len(got()) >= len(expected))
        equal(got(), expected)


@case
@beyond("RabbitMQ 3.11, where only its own stream protocol has it: a single active consumer of a stream")
def a_single_active_reader(url):
    with stream(url, 100, x_single_active_consumer=True) as (channel, queue):
        first = Reader(channel.connection, queue, "first", prefetch=10)
        second = Reader(channel.connection, queue, "first", prefetch=10)
        first.read(50)
        equal(second.settle(), [])
        first.channel.close()
        second.read(1)
        equal(second.numbers[0], 0, "each has its own place")


# --- restarts ---------------------------------------------------------------------------------------------------------


@restart_case
def a_stream_survives(url):
    queue = unique("stream")
    with connected(url) as connection:
        connection.channel().queue_declare(queue, durable=True, arguments=STREAM)
    append(url, queue, 0, 500)
    end = 500
    for how in ("kill", "stop", "kill"):
        restart_broker(how)
        reconnected(url).close()
        equal(whole_from_somewhere(url, queue, end), 0)
        append(url, queue, end, end + 100)
        end += 100
        equal(whole_from_somewhere(url, queue, end), 0)
    connection = reconnected(url)
    connection.channel().queue_delete(queue)
    connection.close()


if __name__ == "__main__":
    main()
