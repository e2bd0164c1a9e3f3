"""The library websockets: what a client of WebSocket may do with messages, and what it may not.

The URL is that of a listener web_mqtt with compression, the paths /ws and /mqtt, messages of at most 1 MiB, two seconds for a
login, and pages of https://app.example.com; WS_URL is that of its listener ws. The bytes within are MQTT and AMQP by hand.
"""

import base64
import os
import time
import urllib.error
import urllib.parse
import urllib.request

from suite import case, equal, main, unique
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

WS_URL = os.environ["WS_URL"]
ACCEPTED = b"\x20\x02\x00\x00"
MIB = 1024 * 1024


def text(value):
    value = value.encode()
    return len(value).to_bytes(2, "big") + value


def packet(first, body):
    head, rest = bytes([first]), len(body)
    while True:
        head += bytes([rest % 128 | (128 if rest > 127 else 0)])
        rest //= 128
        if not rest:
            return head + body


def connect_packet(user="guest", password="guest"):
    flags = 2 | (0xC0 if user else 0)
    login = text(user) + text(password) if user else b""
    return packet(0x10, text("MQTT") + bytes([4, flags, 0, 60]) + text(unique("web")) + login)


def subscribe_packet(topic):
    return packet(0x82, b"\x00\x01" + text(topic) + b"\x00")


def publish_packet(topic, payload):
    return packet(0x30, text(topic) + payload)


def mqtt(url, **options):
    options = {"subprotocols": ["mqtt"], "compression": None, "max_size": None, **options}
    return connect(url, **options)


class Bytes:
    """What comes, wherever its messages begin and end."""

    def __init__(self, socket):
        self.socket, self.kept = socket, b""

    def take(self, count):
        while len(self.kept) < count:
            message = self.socket.recv(timeout=15)
            equal(type(message), bytes, "kind of message")
            self.kept += message
        taken, self.kept = self.kept[:count], self.kept[count:]
        return taken

    def packet(self):
        first, length, shift = self.take(1)[0], 0, 0
        while True:
            byte = self.take(1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return first, self.take(length)


def closed_with(socket, expected):
    """What the broker closes with, whatever it says before."""
    try:
        while True:
            socket.recv(timeout=15)
    except ConnectionClosed as closed:
        equal(closed.rcvd and closed.rcvd.code, expected, "close code")


def refused(url, expected, **options):
    """The answer to a request that is refused."""
    try:
        with mqtt(url, **options):
            pass
    except InvalidStatus as invalid:
        equal(invalid.response.status_code, expected, "status")
        return invalid.response.body.decode()
    raise AssertionError(f"not refused with {expected}")


@case
def packets_may_be_cut_and_joined_at_will(url):
    topic, payload = unique("web/socket"), b"payload of a message"
    whole = connect_packet() + subscribe_packet(topic) + publish_packet(topic, payload)
    expected = ACCEPTED + b"\x90\x03\x00\x01\x00" + publish_packet(topic, payload)
    pieces = [whole[at : at + 1] for at in range(len(whole))]
    for send in (
        lambda socket: socket.send(whole),
        lambda socket: [socket.send(piece) for piece in pieces],
        # One message in as many fragments.
        lambda socket: socket.send(iter(pieces)),
        lambda socket: socket.send(iter([whole[:7], b"", whole[7:30], whole[30:]])),
    ):
        with mqtt(url) as socket:
            send(socket)
            equal(Bytes(socket).take(len(expected)), expected, "what comes")


@case
def pings_are_answered_also_within_a_message(url):
    with mqtt(url) as socket:
        pongs = []

        def fragments():
            yield connect_packet()[:5]
            pongs.append(socket.ping(b"within"))
            yield b""

        socket.send(fragments())
        pongs.append(socket.ping())
        for pong in pongs:
            equal(pong.wait(timeout=15), True, "pong")


@case
def close_codes(url):
    with mqtt(url) as socket:
        socket.send(connect_packet() + b"\xe0\x00")
        closed_with(socket, 1000)
    with mqtt(url) as socket:
        socket.send(connect_packet().decode("latin-1"))
        closed_with(socket, 1003)
    for code in (1000, 1001, 3000, 4999):
        with mqtt(url) as socket:
            socket.close(code, "because")
        equal((socket.close_code, socket.protocol.close_sent.code), (code, code), "close code")
        equal(socket.protocol.close_rcvd.code, code, "the answer's code")


@case
def a_message_that_is_too_long(url):
    # The limit is 1 MiB for a body and 1 MiB more for what is around it.
    with mqtt(url) as socket:
        try:
            socket.send(bytes(2 * MIB + 1))
        except ConnectionClosed:
            pass
        closed_with(socket, 1009)


@case
def compressed_payloads(url):
    for factory in (
        None,
        ClientPerMessageDeflateFactory(server_max_window_bits=9, client_max_window_bits=9),
        ClientPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True),
    ):
        options = {"compression": "deflate"} if factory is None else {"extensions": [factory]}
        with mqtt(url, **options) as socket:
            equal([extension.name for extension in socket.protocol.extensions], ["permessage-deflate"], "extensions")
            came, topic = Bytes(socket), unique("web")
            socket.send(connect_packet() + subscribe_packet(topic))
            equal(came.take(9), ACCEPTED + b"\x90\x03\x00\x01\x00", "CONNACK and SUBACK")
            for payload in (b"", b"x", b"ab" * 500, os.urandom(5_000), b"json " * 20_000, bytes(1_000_000)):
                sent = publish_packet(topic, payload)
                socket.send(iter([sent[:3], sent[3:10], sent[10:]]))
                equal(came.packet() == (0x30, text(topic) + payload), True, f"a payload of {len(payload)} bytes")


@case
def a_bomb(url):
    with mqtt(url, compression="deflate") as socket:
        socket.send(connect_packet())
        equal(Bytes(socket).take(4), ACCEPTED, "CONNACK")
        try:
            # Some 50 KiB that would be 50 MiB of PINGREQ.
            socket.send(b"\xc0\x00" * (25 * MIB))
        except ConnectionClosed:
            pass
        closed_with(socket, 1009)


@case
def pages_of_other_hosts(url):
    host = urllib.parse.urlparse(url).netloc
    for origin in (f"http://{host}", "http://127.0.0.1:3000", "https://app.example.com"):
        with mqtt(url, origin=origin):
            pass
    for origin in ("http://evil.example", "http://app.example.com", "null", "https://app.example.com.evil.example"):
        equal("origin" in refused(url, 403, origin=origin), True, "the answer tells why")


@case
def paths_and_queries(url):
    base = url.removesuffix("/ws")
    for path in ("/ws", "/ws/", "/ws?token=1&x=/other", "/mqtt"):
        with mqtt(base + path):
            pass
    for path in ("", "/", "/wss", "/other?/ws", "/ws/more"):
        equal("/ws, /mqtt" in refused(base + path, 404), True, "the answer tells where it is")


@case
def subprotocols(url):
    for asked, given in ((["mqtt"], "mqtt"), (["other", "mqttv3.1", "mqtt"], "mqttv3.1"), (None, None)):
        with mqtt(url, subprotocols=asked) as socket:
            equal(socket.subprotocol, given, "subprotocol")
            socket.send(connect_packet())
            equal(Bytes(socket).take(4), ACCEPTED, "CONNACK")
    refused(url, 400, subprotocols=["amqp"])


@case
def a_plain_request(url):
    try:
        urllib.request.urlopen(url.replace("ws://", "http://"), timeout=15)
    except urllib.error.HTTPError as error:
        equal((error.code, error.headers["Upgrade"]), (426, "websocket"), "answer")
        body = error.read().decode()
        equal("WebSocket client" in body and "mqtt" in body, True, body)
    else:
        raise AssertionError("not refused")


@case
def basic_authentication(url):
    def answer(login, packet):
        value = "Basic " + base64.b64encode(login.encode()).decode()
        with mqtt(url, additional_headers={"Authorization": value}) as socket:
            socket.send(packet)
            return Bytes(socket).take(4)

    equal(answer("guest:guest", connect_packet(user=None)), ACCEPTED, "CONNACK")
    equal(answer("guest:wrong", connect_packet(user=None))[3] in (4, 5), True, "refused")
    # Who names itself within is that.
    equal(answer("nobody:wrong", connect_packet()), ACCEPTED, "CONNACK")


@case
def the_first_byte_tells_what_is_spoken(_url):
    with connect(WS_URL, compression=None) as socket:
        equal(socket.subprotocol, None, "subprotocol")
        socket.send(connect_packet())
        equal(Bytes(socket).take(4), ACCEPTED, "CONNACK")
    with connect(WS_URL) as socket:
        for byte in b"AMQP\x00\x00\x09\x01":
            socket.send(bytes([byte]))
        # A method frame of channel 0: connection.start.
        equal(Bytes(socket).take(11)[0::7], b"\x01\x00", "the beginning of a frame")
    with connect(WS_URL) as socket:
        socket.send(connect_packet().decode("latin-1"))
        closed_with(socket, 1003)


@case
def who_says_nothing_is_closed(url):
    for place, subprotocols in ((url, ["mqtt"]), (WS_URL, None)):
        started = time.monotonic()
        with connect(place, subprotocols=subprotocols) as socket:
            closed_with(socket, 1000)
        equal(1 < time.monotonic() - started < 10, True, "after two seconds")


if __name__ == "__main__":
    main()
