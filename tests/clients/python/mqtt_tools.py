"""What the programs that use paho-mqtt share: a device that waits for each answer, and what it has received."""

import contextlib
import itertools
import threading
import urllib.parse

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from suite import equal, unique, wait_until

V31, V311, V5 = paho.MQTTv31, paho.MQTTv311, paho.MQTTv5
EVERY_VERSION = [V31, V311, V5]
FOR_EVER = 0xFFFFFFFF
PATIENCE_S = 15


def properties_of(kind, values):
    """The properties of a packet by paho's names; None where there are none."""
    if not values:
        return None
    properties = Properties(kind)
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


class Device:
    """A client of paho-mqtt that does one thing after the other. `values` are properties of CONNECT."""

    def __init__(self, url, client_id=None, version=V5, clean=True, keepalive=60, will=None, manual_ack=False,
                 login=None, receives=True, **values):
        place = urllib.parse.urlsplit(url)
        self.place, self.version, self.clean, self.keepalive = place, version, clean, keepalive
        self.id = unique("device") if client_id is None else client_id
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=self.id,
            clean_session=clean if version != V5 else None,
            protocol=version,
            manual_ack=manual_ack,
            reconnect_on_failure=False,
        )
        user, password = login or (urllib.parse.unquote(place.username or ""), place.password)
        if user is not None:
            self.client.username_pw_set(user, password)
        if will:
            self.client.will_set(
                will["topic"], will.get("payload", b""), will.get("qos", 0), will.get("retain", False),
                properties_of(PacketTypes.WILLMESSAGE, will.get("properties")),
            )
        self.values = values
        self.changed = threading.Condition()
        self.connack = None
        self.ended = None
        self.answers = {}
        self.messages = []
        self.fences = set()
        self.receives = receives
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_subscribe = lambda _c, _u, mid, codes, _p: self._answer(mid, [code.value for code in codes])
        self.client.on_unsubscribe = lambda _c, _u, mid, codes, _p: self._answer(mid, [code.value for code in codes])
        self.client.on_publish = lambda _c, _u, mid, code, _p: self._answer(mid, code.value)
        self.client.on_message = self._on_message

    def _on_connect(self, _client, _userdata, flags, code, properties):
        with self.changed:
            self.connack = (code.value, flags.session_present, properties)
            self.changed.notify_all()

    def _on_disconnect(self, _client, _userdata, flags, code, properties):
        with self.changed:
            self.ended = self.ended or (flags.is_disconnect_packet_from_server, code.value, properties)
            self.changed.notify_all()

    def _answer(self, mid, what):
        with self.changed:
            self.answers[mid] = what
            self.changed.notify_all()

    def _on_message(self, _client, _userdata, message):
        with self.changed:
            if message.topic.startswith("fence/"):
                self.fences.add(message.topic)
            else:
                self.messages.append(message)
            self.changed.notify_all()

    def wait(self, condition, what, seconds=PATIENCE_S):
        """Waits for something that the network thread tells."""
        with self.changed:
            if not self.changed.wait_for(condition, seconds):
                last = [(message.topic, message.payload[:40]) for message in self.messages[-5:]]
                has = f"has {len(self.messages)}, the last are {last}"
                raise AssertionError(f"{self.id}: not within {seconds} s: {what}; {has}; ended: {self.ended}")

    def connect(self, expect=0):
        """Connects, checks the reason code and returns the device; a refused one is ended already."""
        self.connack = self.ended = None
        arguments = {}
        if self.version == V5:
            arguments = {"clean_start": self.clean, "properties": properties_of(PacketTypes.CONNECT, self.values)}
        self.client.connect(self.place.hostname, self.place.port, self.keepalive, **arguments)
        self.client.loop_start()
        self.wait(lambda: self.connack or self.ended, "CONNACK")
        equal(self.connack and self.connack[0], expect, "reason code of CONNACK")
        return self

    @property
    def present(self):
        """Session present."""
        return self.connack[1]

    def told(self, name):
        """A property of CONNACK, or None."""
        return getattr(self.connack[2], name, None)

    def subscribe(self, *filters, qos=1, expect=None, identifier=None, **options):
        """Subscribes to filters, or pairs of a filter and its QoS, in one packet; each must be granted as it was asked."""
        pairs = [(one, qos) if isinstance(one, str) else one for one in filters]
        if self.version == V5:
            wanted = [
                (name, SubscribeOptions(
                    qos=level,
                    noLocal=options.get("no_local", False),
                    retainAsPublished=options.get("as_published", False),
                    retainHandling=options.get("handling", 0),
                ))
                for name, level in pairs
            ]
            values = {"SubscriptionIdentifier": identifier} if identifier else None
            _, mid = self.client.subscribe(wanted, properties=properties_of(PacketTypes.SUBSCRIBE, values))
        else:
            _, mid = self.client.subscribe(pairs)
        self.wait(lambda: mid in self.answers, f"SUBACK for {filters}")
        equal(self.answers.pop(mid), expect or [level for _, level in pairs], f"SUBACK for {filters}")
        return self

    def unsubscribe(self, *filters, expect=None):
        """Unsubscribes; in 5.0 each filter must have been there, unless told otherwise."""
        _, mid = self.client.unsubscribe(list(filters))
        self.wait(lambda: mid in self.answers, f"UNSUBACK for {filters}")
        codes = self.answers.pop(mid)
        if self.version == V5:
            equal(codes, expect or [0] * len(filters), f"UNSUBACK for {filters}")
        return self

    def send(self, topic, payload=b"", qos=1, retain=False, **values):
        """Publishes without waiting; returns the packet identifier."""
        properties = properties_of(PacketTypes.PUBLISH, values)
        return self.client.publish(topic, payload, qos, retain, properties).mid

    def publish(self, topic, payload=b"", qos=1, retain=False, expect=None, **values):
        """Publishes and waits for PUBACK or PUBCOMP. 0x10, that nobody is subscribed, is as good as success."""
        mid = self.send(topic, payload, qos, retain, **values)
        self.wait(lambda: mid in self.answers, f"the answer to a publish to {topic}")
        code = self.answers.pop(mid)
        if expect is None:
            equal(code in (0, 0x10), True, f"reason code {code:#x} is success")
        else:
            equal(code, expect, "reason code of the answer")
        return self

    def wait_for(self, count, seconds=PATIENCE_S):
        """Waits for so many messages in all and returns them."""
        self.wait(lambda: len(self.messages) >= count, f"{count} messages", seconds)
        return self.messages

    def take(self, count, seconds=PATIENCE_S):
        """Waits for so many messages and takes them out."""
        self.wait_for(count, seconds)
        with self.changed:
            taken, self.messages = self.messages[:count], self.messages[count:]
        return taken

    def payloads(self, count):
        """Takes so many messages: their payloads."""
        return [message.payload for message in self.take(count)]

    def nothing_more(self):
        """All messages were taken. Call it after a `fence`."""
        equal([(message.topic, message.payload[:40]) for message in self.messages], [], "further messages")

    def wait_end(self, code=None, seconds=PATIENCE_S):
        """Waits until the broker has ended the connection; in 5.0 with this reason."""
        self.wait(lambda: self.ended, "the end of the connection", seconds)
        if code is not None and self.version == V5:
            equal(self.ended[:2], (True, code), "DISCONNECT of the broker and its reason")
        self.client.loop_stop()
        return self

    def disconnect(self, code=0, **values):
        """Says goodbye; 4 is: with will."""
        if self.version == V5:
            reason = ReasonCode(PacketTypes.DISCONNECT, identifier=code)
            self.client.disconnect(reason, properties_of(PacketTypes.DISCONNECT, values))
        else:
            self.client.disconnect()
        self.wait(lambda: self.ended, "the end after DISCONNECT")
        self.client.loop_stop()

    def drop(self):
        """The connection is lost."""
        socket = self.client.socket()
        if socket is not None:
            with contextlib.suppress(OSError):
                socket.shutdown(2)
        self.wait(lambda: self.ended, "the end of a lost connection")
        self.client.loop_stop()

    def __enter__(self):
        return self.connect()

    def __exit__(self, *_error):
        if self.ended is None:
            self.disconnect()


_fences = itertools.count()


def fence(publisher, *subscribers, qos=(0, 1)):
    """Returns once each subscriber has got everything that the publisher has sent before, and its way was not longer."""
    topics = [(f"fence/{unique('f')}/{next(_fences)}", level) for level in qos]
    for subscriber in subscribers:
        subscriber.subscribe(*topics)
    for topic, level in topics:
        publisher.publish(topic, b"", level)
    for subscriber in subscribers:
        subscriber.wait(lambda to=subscriber: all(topic in to.fences for topic, _ in topics), "fences")
        subscriber.unsubscribe(*(topic for topic, _ in topics))


def content(message):
    """What matters of most messages."""
    return message.topic, message.payload, message.qos, bool(message.retain)


def values_of(message):
    """The properties of a message by paho's names."""
    properties = message.properties
    return {} if properties is None else {
        name.replace(" ", ""): getattr(properties, name.replace(" ", ""))
        for name in properties.names
        if hasattr(properties, name.replace(" ", ""))
    }


def forget(url, *client_ids):
    """Ends sessions that a case has left behind."""
    for client_id in client_ids:
        with Device(url, client_id, version=V311):
            pass


def forget_retained(url, *topics):
    """Clears retained messages that a case has left behind."""
    with Device(url) as device:
        for topic in topics:
            device.publish(topic, b"", 1, True)


def reconnected(url, *arguments, **values):
    """Connects as soon as the broker is back."""
    found = []

    def attempt():
        try:
            found.append(Device(url, *arguments, **values).connect())
        except OSError:
            return False
        return True

    wait_until(attempt, "the broker is back", seconds=60)
    return found[0]
