"""A sensor and whoever listens to it: a session that outlives its connection, a will, and a retained state.

pip install paho-mqtt; python mqtt_sensor.py [localhost [1883]]
"""

import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

HOST = sys.argv[1] if len(sys.argv) > 1 else "localhost"
PORT = int(sys.argv[2]) if len(sys.argv) > 2 else 1883


def client(name):
    made = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
    made.username_pw_set("guest", "guest")
    return made


# The listener's session stays for an hour: what comes while it is away waits in the queue mqtt-subscription-listener.
listener = client("listener")
stays = Properties(PacketTypes.CONNECT)
stays.SessionExpiryInterval = 3600
listener.on_connect = lambda device, *_: device.subscribe("house/+/temperature", qos=1)
listener.on_subscribe = lambda *_: sensor.connect(HOST, PORT)
listener.on_message = lambda device, _, message: (
    print(message.topic, message.payload.decode()), device.disconnect() if message.payload == b"21.5" else None,
)  # fmt: skip
listener.connect(HOST, PORT, clean_start=False, properties=stays)

# The sensor tells that it is there; if it is lost, the broker tells that it is not.
sensor = client("sensor")
sensor.will_set("house/kitchen/state", "offline", qos=1, retain=True)


def report(device, *_):
    device.publish("house/kitchen/state", "online", qos=1, retain=True)
    for value in (20.5, 21.0, 21.5):
        device.publish("house/kitchen/temperature", value, qos=1)


sensor.on_connect = report
sensor.loop_start()
listener.loop_forever()
sensor.disconnect()
