"""Devices that keep to Sparkplug B: birth and death by retained state, wills and binary payloads."""

import struct
import time

from mqtt_tools import V311, V5, Device, content, fence, forget_retained
from suite import case, equal, main, unique


def varint(value):
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def field(number, wire, value):
    """A field of a protobuf message."""
    return varint(number << 3 | wire) + (varint(len(value)) + value if wire == 2 else value)


def payload(seq, metrics):
    """A Sparkplug B payload: timestamp, metrics (name, double), seq."""
    out = field(1, 0, varint(int(time.time() * 1000)))
    for name, value in metrics.items():
        metric = field(1, 2, name.encode()) + field(4, 0, varint(10)) + field(13, 1, struct.pack("<d", value))
        out += field(2, 2, metric)
    return out + field(3, 0, varint(seq))


class Edge:
    """An edge node: NDEATH as its will, then NBIRTH, then NDATA."""

    def __init__(self, url, group, node, version, births):
        self.group, self.node, self.births, self.seq = group, node, births, 0
        self.device = Device(url, f"{group}.{node}", version=version, keepalive=5, will={
            "topic": f"spBv1.0/{group}/NDEATH/{node}", "payload": payload(0, {"bdSeq": float(births)}), "qos": 1,
        })  # fmt: skip

    def start(self):
        self.device.connect()
        self.device.subscribe(f"spBv1.0/{self.group}/NCMD/{self.node}/#", qos=1)
        self.say("NBIRTH", {"bdSeq": float(self.births), "temperature": 20.5})
        return self

    def say(self, what, metrics):
        body = payload(self.seq, metrics)
        self.seq = (self.seq + 1) % 256
        self.device.publish(f"spBv1.0/{self.group}/{what}/{self.node}", body, 0)
        return body


@case
def birth_data_command_and_death(url):
    for version in (V311, V5):
        group, node = unique("plant"), "edge.1"
        state = f"spBv1.0/STATE/{group}-host"
        host = Device(url, version=version, will={"topic": state, "payload": b'{"online":false}', "qos": 1, "retain": True})
        host.connect()
        host.subscribe((f"spBv1.0/{group}/#", 1), (state, 1))
        host.publish(state, b'{"online":true}', 1, True)
        equal(content(host.take(1)[0])[:2], (state, b'{"online":true}'))
        for births in range(3):
            edge = Edge(url, group, node, version, births).start()
            birth = host.take(1)[0]
            equal((birth.topic, birth.retain), (f"spBv1.0/{group}/NBIRTH/{node}", False))
            for number in range(300):
                body = edge.say("NDATA", {"temperature": number / 3})
                message = host.take(1)[0]
                equal((message.topic, message.payload), (f"spBv1.0/{group}/NDATA/{node}", body))
            command = payload(0, {"Node Control/Rebirth": 1.0})
            host.publish(f"spBv1.0/{group}/NCMD/{node}", command, 0)
            equal(edge.device.payloads(1), [command])
            equal(host.take(1)[0].payload, command, "its own command, for it listens to all of the group")
            edge.device.drop()
            death = host.take(1)[0]
            equal(content(death)[:3], (f"spBv1.0/{group}/NDEATH/{node}", payload_of(edge), 1))
        # The host is lost in its turn: whoever asks finds it offline.
        host.drop()
        with Device(url, version=version) as late:
            late.subscribe(state, qos=1)
            late.wait(lambda: late.messages and late.messages[-1].payload == b'{"online":false}', "the state of the host")
        forget_retained(url, state)


def payload_of(edge):
    """The death certificate that an edge has left with the broker."""
    return bytes(edge.device.client._will_payload)


@case
def every_byte_in_a_payload(url):
    topic = unique("spBv1.0")
    with Device(url, version=V311) as device:
        device.subscribe(topic, qos=1)
        for body in (bytes(range(256)), b"\x00" * 10, b"\xff" * 10, bytes(range(256)) * 300):
            device.publish(topic, body, 1)
            equal(device.payloads(1), [body])
        fence(device, device)
        device.nothing_more()


if __name__ == "__main__":
    main()
