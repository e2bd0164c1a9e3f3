"""What the programs that use pika's BlockingConnection share: connections, queues, consumers, refusals."""

import contextlib

import pika
from pika import exceptions

from suite import equal, unique, wait_until

PERSISTENT = pika.BasicProperties(delivery_mode=2)
MIB = 1024 * 1024


@contextlib.contextmanager
def connected(url, **parameters):
    """A connection that is closed at the end, whatever state the case left it in."""
    settings = pika.URLParameters(url)
    for name, value in parameters.items():
        setattr(settings, name, value)
    connection = pika.BlockingConnection(settings)
    try:
        yield connection
    finally:
        if connection.is_open:
            connection.close()


def doomed(url):
    """A connection that a restart of the broker will end, and nobody has to close."""
    return pika.BlockingConnection(pika.URLParameters(url))


def new_queue(channel, **arguments):
    """Declares a queue of the case's own: exclusive unless told otherwise."""
    arguments.setdefault("exclusive", True)
    name = unique("pika")
    channel.queue_declare(name, **arguments)
    return name


def depth(channel, queue):
    """How many messages are ready in a queue."""
    return channel.queue_declare(queue, passive=True).method.message_count


def get(channel, queue, auto_ack=True):
    """basic.get: (method, properties, body), with None as method from an empty queue."""
    return channel.basic_get(queue, auto_ack=auto_ack)


def bodies(channel, queue):
    """Takes out everything that is ready."""
    taken = []
    while True:
        method, _, body = get(channel, queue)
        if method is None:
            return taken
        taken.append(body)


def publish(channel, queue, body, **properties):
    """Publishes to a queue by way of the default exchange."""
    channel.basic_publish("", queue, body, pika.BasicProperties(**properties), mandatory=False)


@contextlib.contextmanager
def refused(code, text, kind=exceptions.ChannelClosedByBroker):
    """The block must end with the broker closing the channel (or connection) with this code and text."""
    try:
        yield
    except kind as error:
        equal((error.reply_code, error.reply_text), (code, text), "close")
    else:
        raise AssertionError(f"not refused with {code} {text}")


class Consumer:
    """Collects deliveries; the case decides when to acknowledge."""

    def __init__(self, channel, queue, **arguments):
        self.channel = channel
        self.deliveries = []
        self.tag = channel.basic_consume(queue, lambda _channel, *delivery: self.deliveries.append(delivery), **arguments)

    def wait_for(self, count):
        """Takes what comes in until `count` deliveries are there in all."""
        wait_until(
            lambda: len(self.deliveries) >= count,
            f"{count} deliveries, got {len(self.deliveries)}",
            step=lambda: self.channel.connection.process_data_events(0.05),
        )
        return self.deliveries

    def settle(self):
        """Gives the broker a round trip to send what it should not send."""
        self.channel.queue_declare("", exclusive=True, auto_delete=True)
        self.channel.connection.process_data_events(0)
        return self.deliveries


def fill(channel, queue, count):
    """Publishes 0, 1, 2... to a queue. The channel is in confirm mode, so they are there when this returns."""
    for number in range(count):
        channel.basic_publish("", queue, b"%d" % number)


@contextlib.contextmanager
def filled_queue(url, count, **arguments):
    """A confirming channel, and a queue with `count` messages."""
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = new_queue(channel, **arguments)
        fill(channel, queue, count)
        yield connection.channel(), queue


def reconnected(url):
    """Connects as soon as the broker is back, as a program's retry loop does."""
    connections = []

    def attempt():
        try:
            connections.append(pika.BlockingConnection(pika.URLParameters(url)))
        except exceptions.AMQPConnectionError:
            return False
        return True

    wait_until(attempt, "the broker is back", seconds=60)
    return connections[0]


def events(channel, queue, wanted):
    """Takes messages until each of the wanted routing keys has come; returns properties and bodies by routing key."""
    found = {}

    def step():
        method, properties, body = get(channel, queue)
        if method:
            found.setdefault(method.routing_key, []).append((properties, body))
        else:
            channel.connection.sleep(0.02)

    wait_until(lambda: wanted <= set(found), f"{sorted(wanted)}", step=step)
    return found
