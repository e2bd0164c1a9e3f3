"""What a program that uses pika's AsyncioConnection expects of a broker: callbacks, many things outstanding at once."""

import asyncio
import functools

import pika
from pika import exceptions
from pika.adapters.asyncio_connection import AsyncioConnection

from suite import case, equal, main, restart_broker, restart_case, unique

PERSISTENT = pika.BasicProperties(delivery_mode=2)
PATIENCE = 15


def asynchronous(function):
    """Runs a coroutine as a case."""

    @functools.wraps(function)
    def run(url):
        asyncio.run(asyncio.wait_for(function(url), 120))

    return run


async def connect(url, **parameters):
    """Opens a connection; `connection.lost` is a future of why it ended."""
    loop = asyncio.get_running_loop()
    opened, lost = loop.create_future(), loop.create_future()
    settings = pika.URLParameters(url)
    for name, value in parameters.items():
        setattr(settings, name, value)
    connection = AsyncioConnection(
        settings,
        on_open_callback=opened.set_result,
        on_open_error_callback=lambda _, error: opened.set_exception(error),
        on_close_callback=lambda _, error: lost.set_result(error),
    )
    await asyncio.wait_for(opened, PATIENCE)
    connection.lost = lost
    return connection


async def disconnect(connection):
    """Closes and waits until it is closed."""
    if connection.is_open:
        connection.close()
    return await asyncio.wait_for(connection.lost, PATIENCE)


class Channel:
    """Turns the callbacks of a pika channel into awaitables; all of them fail when the broker closes the channel."""

    def __init__(self, connection):
        self.loop = asyncio.get_running_loop()
        self.connection = connection
        self.closed = self.loop.create_future()
        self.pika = None

    @classmethod
    async def open(cls, connection):
        channel = cls(connection)
        opened = channel.loop.create_future()
        connection.channel(on_open_callback=opened.set_result)
        channel.pika = await asyncio.wait_for(opened, PATIENCE)
        channel.pika.add_on_close_callback(lambda _, reason: channel.closed.set_result(reason))
        return channel

    async def call(self, name, *arguments, **options):
        """Calls a method of the pika channel and returns what the broker answered."""
        answered = self.loop.create_future()
        getattr(self.pika, name)(*arguments, callback=answered.set_result, **options)
        await asyncio.wait([answered, self.closed], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if answered.done():
            return getattr(answered.result(), "method", answered.result())
        if self.closed.done():
            raise self.closed.result()
        raise AssertionError(f"no answer to {name} within {PATIENCE} s")

    async def queue(self, **options):
        """Declares a queue of the case's own."""
        options.setdefault("exclusive", True)
        return (await self.call("queue_declare", unique("asyncio"), **options)).queue

    async def depth(self, queue):
        return (await self.call("queue_declare", queue, passive=True)).message_count

    async def bodies(self, queue):
        """Takes out everything that is ready."""
        taken = []
        for _ in range(await self.depth(queue)):
            got = self.loop.create_future()
            self.pika.basic_get(queue, lambda _c, _m, _p, body, got=got: got.set_result(body), auto_ack=True)
            taken.append(await asyncio.wait_for(got, PATIENCE))
        return taken

    async def confirms(self):
        """Puts the channel into confirm mode; returns the list that acks, nacks and returns are appended to."""
        events = []
        self.pika.add_on_return_callback(
            lambda _c, method, properties, body: events.append((method, properties, body))
        )
        answered = self.loop.create_future()
        self.pika.confirm_delivery(lambda frame: events.append(frame.method), callback=answered.set_result)
        await asyncio.wait_for(answered, PATIENCE)
        return events

    def publish(self, queue, body, properties=None, mandatory=False, exchange=""):
        self.pika.basic_publish(exchange, queue, body, properties, mandatory=mandatory)

    async def consume(self, queue, **options):
        """Subscribes; returns the list that deliveries are appended to, and the tag."""
        deliveries = []
        answered = self.loop.create_future()
        tag = self.pika.basic_consume(
            queue,
            lambda _c, method, properties, body: deliveries.append((method, properties, body)),
            callback=answered.set_result,
            **options,
        )
        await asyncio.wait([answered, self.closed], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if self.closed.done():
            raise self.closed.result()
        return deliveries, tag


def acknowledged(events):
    """The highest tag up to which all publishes are confirmed; fails on a tag that is confirmed twice."""
    tags = set()
    highest = 0
    for event in events:
        if not isinstance(event, pika.spec.Basic.Ack):
            continue
        if event.multiple:
            new = set(range(1, event.delivery_tag + 1)) - tags
            assert new, f"ack up to {event.delivery_tag} confirms nothing"
        else:
            new = {event.delivery_tag}
            assert not tags & new, f"{event.delivery_tag} confirmed twice"
        tags |= new
    while highest + 1 in tags:
        highest += 1
    return highest


async def until(condition, what):
    """Waits until the condition holds."""

    async def ask():
        while not condition():
            await asyncio.sleep(0.01)

    try:
        await asyncio.wait_for(ask(), PATIENCE)
    except asyncio.TimeoutError:
        raise AssertionError(f"not within {PATIENCE} s: {what}") from None


async def refused(awaitable, code, text):
    """The broker must close the channel with this code and text."""
    try:
        await awaitable
    except exceptions.ChannelClosedByBroker as error:
        equal((error.reply_code, error.reply_text), (code, text), "channel.close")
    else:
        raise AssertionError(f"not refused with {code} {text}")


@case
@asynchronous
async def a_thousand_confirms_outstanding(url):
    connection = await connect(url)
    channel = await Channel.open(connection)
    queue = await channel.queue()
    events = await channel.confirms()
    for number in range(1000):
        channel.publish(queue, b"%d" % number, PERSISTENT)
    await until(lambda: acknowledged(events) == 1000, "1000 confirms")
    equal(await channel.bodies(queue), [b"%d" % number for number in range(1000)])
    await disconnect(connection)


@case
@asynchronous
async def returns_come_before_their_confirms(url):
    connection = await connect(url)
    channel = await Channel.open(connection)
    queue = await channel.queue()
    events = await channel.confirms()
    nowhere = unique("nowhere")
    for number in range(10):
        channel.publish(nowhere if number % 2 else queue, b"%d" % number, mandatory=True)
    await until(lambda: acknowledged(events) == 10, "10 confirms")
    confirmed = 0
    returned = []
    for event in events:
        if isinstance(event, tuple):
            method, _, body = event
            equal((method.reply_code, method.reply_text, method.routing_key), (312, "NO_ROUTE", nowhere))
            assert int(body) + 1 > confirmed, f"{body} was confirmed before it was returned"
            returned.append(int(body))
        else:
            confirmed = max(confirmed, event.delivery_tag)
    equal(returned, [1, 3, 5, 7, 9])
    equal(await channel.bodies(queue), [b"0", b"2", b"4", b"6", b"8"])
    await disconnect(connection)


@case
@asynchronous
async def bindings_of_every_type(url):
    connection = await connect(url)
    channel = await Channel.open(connection)
    events = await channel.confirms()
    published = 0
    for kind, binding, hit, miss in (
        ("direct", ("red", None), ("red", None), ("blue", None)),
        ("fanout", ("", None), ("any", None), None),
        ("topic", ("a.*.#", None), ("a.b.c", None), ("a", None)),
        ("headers", ("", {"x-match": "all", "n": 1}), ("", {"n": 1, "m": 2}), ("", {"n": 2})),
    ):
        exchange, queue = unique("asyncio"), await channel.queue()
        await channel.call("exchange_declare", exchange, kind)
        await channel.call("queue_bind", queue, exchange, binding[0], arguments=binding[1])
        for key, headers in filter(None, (hit, miss)):
            channel.publish(key, kind.encode(), pika.BasicProperties(headers=headers), exchange=exchange)
            published += 1
        await until(lambda: acknowledged(events) == published, f"confirms of {kind}")
        equal(await channel.bodies(queue), [kind.encode()], kind)
        await channel.call("queue_unbind", queue, exchange, binding[0], arguments=binding[1])
        channel.publish(hit[0], b"", pika.BasicProperties(headers=hit[1]), exchange=exchange)
        published += 1
        await until(lambda: acknowledged(events) == published, f"confirms of {kind}")
        equal(await channel.bodies(queue), [], f"{kind}, unbound")
        await channel.call("exchange_delete", exchange)
    await disconnect(connection)


@case
@asynchronous
async def prefetch_limits_what_is_unacknowledged(url):
    connection = await connect(url)
    channel = await Channel.open(connection)
    queue = await channel.queue()
    events = await channel.confirms()
    for number in range(20):
        channel.publish(queue, b"%d" % number)
    await until(lambda: acknowledged(events) == 20, "20 confirms")
    await channel.call("basic_qos", prefetch_count=4)
    deliveries, _ = await channel.consume(queue)
    for expected, settle in (
        (4, lambda: channel.pika.basic_ack(2, multiple=True)),
        (6, lambda: channel.pika.basic_ack(4)),
        (7, lambda: channel.pika.basic_ack(0, multiple=True)),
        (11, lambda: None),
    ):
        await until(lambda expected=expected: len(deliveries) >= expected, f"{expected} deliveries")
        await channel.depth(queue)  # a round trip, in which more would have come
        equal(len(deliveries), expected, "deliveries")
        settle()
    equal([body for *_, body in deliveries], [b"%d" % number for number in range(11)])
    await disconnect(connection)


@case
@asynchronous
async def requeued_and_recovered(url):
    connection = await connect(url)
    channel = await Channel.open(connection)
    queue = await channel.queue()
    events = await channel.confirms()
    for number in range(3):
        channel.publish(queue, b"%d" % number)
    await until(lambda: acknowledged(events) == 3, "3 confirms")
    deliveries, tag = await channel.consume(queue)
    await until(lambda: len(deliveries) == 3, "3 deliveries")
    await channel.call("basic_recover", requeue=True)
    await until(lambda: len(deliveries) == 6, "the same again")
    await channel.call("basic_cancel", tag)
    channel.pika.basic_nack(5, multiple=True, requeue=True)
    channel.pika.basic_reject(6, requeue=False)
    while await channel.depth(queue) < 2:  # the case has its own limit
        pass
    equal(await channel.bodies(queue), [b"0", b"1"])
    equal([(body, method.redelivered) for method, _, body in deliveries][2:5], [(b"2", False), (b"0", True), (b"1", True)])
    await disconnect(connection)


@case
@asynchronous
async def consumer_is_told_of_deleted_queue(url):
    connection = await connect(url)
    channel, other = await Channel.open(connection), await Channel.open(connection)
    queue = await channel.queue()
    cancelled = channel.loop.create_future()
    channel.pika.add_on_cancel_callback(lambda frame: cancelled.set_result(frame.method.consumer_tag))
    _, tag = await channel.consume(queue)
    await other.call("queue_delete", queue)
    equal(await asyncio.wait_for(cancelled, PATIENCE), tag)
    await disconnect(connection)


@case
@asynchronous
async def channel_errors_leave_the_connection_usable(url):
    connection = await connect(url)
    missing = unique("missing")
    not_found = f"NOT_FOUND - no queue '{missing}' in vhost '/'"
    await refused((await Channel.open(connection)).call("queue_declare", missing, passive=True), 404, not_found)
    await refused((await Channel.open(connection)).consume(missing), 404, not_found)
    channel = await Channel.open(connection)
    # What is sent after the error, and before the client knows of it, is ignored.
    channel.pika.basic_ack(7)
    for _ in range(10):
        channel.publish("anywhere", b"ignored")
    reason = await asyncio.wait_for(channel.closed, PATIENCE)
    equal((reason.reply_code, reason.reply_text), (406, "PRECONDITION_FAILED - unknown delivery tag 7"))
    await (await Channel.open(connection)).queue()
    await disconnect(connection)


@case
@asynchronous
async def transactions(url):
    connection = await connect(url)
    channel, watcher = await Channel.open(connection), await Channel.open(connection)
    queue = await channel.queue()
    await channel.call("tx_select")
    for number in range(3):
        channel.publish(queue, b"%d" % number)
    equal(await channel.depth(queue), 0, "before the commit")
    await channel.call("tx_commit")
    equal(await watcher.depth(queue), 3, "after the commit")
    channel.publish(queue, b"3")
    await channel.call("tx_rollback")
    equal(await watcher.depth(queue), 3, "after the rollback")
    await disconnect(connection)


@case
@asynchronous
async def five_mebibytes_and_many_channels(url):
    connection = await connect(url, frame_max=4096)
    channels = [await Channel.open(connection) for _ in range(8)]
    queue = await channels[0].queue()
    deliveries, _ = await channels[0].consume(queue, auto_ack=True)
    bodies = [bytes([number]) * (5 * 1024 * 1024 // (number + 1)) for number in range(8)]
    for channel, body in zip(channels, bodies):
        channel.publish(queue, body, PERSISTENT)
    await until(lambda: len(deliveries) == 8, "8 deliveries")
    equal(sorted(len(body) for *_, body in deliveries), sorted(len(body) for body in bodies))
    assert {body for *_, body in deliveries} == set(bodies), "a body came back different"
    await disconnect(connection)


@case
@asynchronous
async def refused_connections(url):
    settings = pika.URLParameters(url)
    for options, expected in (
        (
            {"credentials": pika.PlainCredentials(settings.credentials.username, "wrong")},
            "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.",
        ),
        ({"virtual_host": "nowhere"}, "NOT_ALLOWED - vhost nowhere not found"),
    ):
        try:
            await connect(url, **options)
        except exceptions.AMQPConnectionError as error:
            assert expected in repr(error), repr(error)
        else:
            raise AssertionError(f"let in with {options}")


@restart_case
@asynchronous
async def reconnects_after_a_kill(url):
    connection = await connect(url)
    channel = await Channel.open(connection)
    queue = await channel.queue(exclusive=False, durable=True)
    events = await channel.confirms()
    for number in range(100):
        channel.publish(queue, b"%d" % number, PERSISTENT)
    await until(lambda: acknowledged(events) == 100, "100 confirms")
    await asyncio.get_running_loop().run_in_executor(None, restart_broker, "kill")
    reason = await asyncio.wait_for(connection.lost, PATIENCE)
    assert isinstance(reason, exceptions.AMQPConnectionError), reason
    for attempt in range(300):
        try:
            connection = await connect(url)
            break
        except exceptions.AMQPConnectionError:
            assert attempt < 299, "the broker is not back"
            await asyncio.sleep(0.1)
    channel = await Channel.open(connection)
    equal(await channel.bodies(queue), [b"%d" % number for number in range(100)])
    await channel.call("queue_delete", queue)
    await disconnect(connection)


if __name__ == "__main__":
    main()
