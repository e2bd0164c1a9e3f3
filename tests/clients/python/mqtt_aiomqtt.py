"""MQTT as aiomqtt speaks it: asyncio, 3.1.1 and 5.0."""

import asyncio
import contextlib
import urllib.parse

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from suite import case, equal, main, restart_broker, restart_case, unique

PATIENCE_S = 15


def client(url, **settings):
    place = urllib.parse.urlsplit(url)
    settings.setdefault("protocol", aiomqtt.ProtocolVersion.V5)
    settings.setdefault("identifier", unique("aio"))
    return aiomqtt.Client(place.hostname, place.port, username=place.username, password=place.password, **settings)


async def take(device, count):
    """So many messages."""
    got = []
    async with asyncio.timeout(PATIENCE_S):
        async for message in device.messages:
            got.append(message)
            if len(got) == count:
                return got


def asynchronous(function):
    """Makes a case of a coroutine."""

    def run(url):
        asyncio.run(function(url))

    run.__name__ = function.__name__
    return run


@case
@asynchronous
async def publishes_and_receives(url):
    for version in (aiomqtt.ProtocolVersion.V31, aiomqtt.ProtocolVersion.V311, aiomqtt.ProtocolVersion.V5):
        async with client(url, protocol=version) as device:
            for qos in (0, 1, 2):
                topic = unique("aio")
                await device.subscribe(topic, qos=qos)
                await device.publish(topic, b"payload", qos=qos)
                [message] = await take(device, 1)
                equal((str(message.topic), message.payload, message.qos), (topic, b"payload", qos))


@case
@asynchronous
async def many_devices_at_once(url):
    topic = unique("aio")

    async def sensor(number):
        async with client(url) as device:
            for reading in range(20):
                await device.publish(f"{topic}/{number}", f"{reading}", qos=1)

    async with client(url) as collector:
        await collector.subscribe(f"{topic}/+", qos=1)
        await asyncio.gather(*(sensor(number) for number in range(20)))
        got = await take(collector, 400)
        for number in range(20):
            of_one = [message.payload for message in got if str(message.topic) == f"{topic}/{number}"]
            equal(of_one, [b"%d" % reading for reading in range(20)], "order of one sensor")


@case
@asynchronous
async def publishes_concurrently(url):
    topic = unique("aio")
    async with client(url) as device:
        await device.subscribe(topic, qos=2)
        device.pending_calls_threshold = 300  # beyond which it warns
        await asyncio.gather(*(device.publish(topic, b"%d" % number, qos=number % 3) for number in range(300)))
        got = await take(device, 300)
        equal(sorted(int(message.payload) for message in got), list(range(300)))


@case
@asynchronous
async def a_will_and_properties(url):
    topic = unique("aio")
    properties = Properties(PacketTypes.WILLMESSAGE)
    properties.UserProperty = [("why", "lost")]
    async with client(url) as watcher:
        await watcher.subscribe(topic, qos=1)
        with contextlib.suppress(aiomqtt.MqttError):
            async with client(url, will=aiomqtt.Will(topic, b"gone", 1, False, properties)) as device:
                # The socket is lost, and the block cannot say goodbye.
                device._client.socket().shutdown(2)
                await take(device, 1)
        [message] = await take(watcher, 1)
        equal((message.payload, message.properties.UserProperty), (b"gone", [("why", "lost")]))


@case
@asynchronous
async def a_session_is_resumed(url):
    topic, name = unique("aio"), unique("aio")
    keep = Properties(PacketTypes.CONNECT)
    keep.SessionExpiryInterval = 600
    async with client(url, identifier=name, clean_start=False, properties=keep) as device:
        await device.subscribe(topic, qos=1)
    async with client(url) as publisher:
        await publisher.publish(topic, b"while away", qos=1)
    async with client(url, identifier=name, clean_start=False, properties=keep) as device:
        equal([message.payload for message in await take(device, 1)], [b"while away"])
    async with client(url, identifier=name):
        pass


@case
@asynchronous
async def wrong_credentials(url):
    wrong = url.replace(":guest@", ":wrong@")
    try:
        async with client(wrong):
            raise AssertionError("let in")
    except aiomqtt.MqttCodeError as error:
        equal(str(error.rc) in ("Not authorized", "Bad user name or password"), True, f"{error}")


@restart_case
@asynchronous
async def reconnects_in_a_loop(url):
    topic, name = unique("aio"), unique("aio")
    keep = Properties(PacketTypes.CONNECT)
    keep.SessionExpiryInterval = 600
    got, subscribed = asyncio.Event(), asyncio.Event()

    async def listen():
        while True:
            try:
                async with client(url, identifier=name, clean_start=False, properties=keep) as device:
                    await device.subscribe(topic, qos=1)
                    subscribed.set()
                    async for message in device.messages:
                        if message.payload == b"after":
                            got.set()
            except aiomqtt.MqttError:
                await asyncio.sleep(0.1)

    listener = asyncio.create_task(listen())
    async with asyncio.timeout(60):
        await subscribed.wait()
        await asyncio.to_thread(restart_broker, "kill")
        while True:
            try:
                async with client(url) as device:
                    await device.publish(topic, b"after", qos=1)
                    break
            except aiomqtt.MqttError:
                await asyncio.sleep(0.1)
        await got.wait()
    listener.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await listener
    async with client(url, identifier=name):
        pass


if __name__ == "__main__":
    main()
