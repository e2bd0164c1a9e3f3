"""paho-mqtt over TLS: with a password, and with a client certificate instead of one.

The folder CERTIFICATES of the environment holds ca.pem, and guest, nobody and forged as .pem and .key.
"""

import os
import ssl
from pathlib import Path

from mqtt_tools import EVERY_VERSION, V5, V311, Device, content
from suite import case, equal, main, unique

CERTIFICATES = Path(os.environ["CERTIFICATES"])


def device(url, certificate=None, login=None, version=V5, tls=None):
    """A device that checks the broker's certificate against the authority."""
    context = ssl.create_default_context(cafile=CERTIFICATES / "ca.pem")
    if certificate:
        context.load_cert_chain(CERTIFICATES / f"{certificate}.pem", CERTIFICATES / f"{certificate}.key")
    if tls:
        context.minimum_version = context.maximum_version = tls
    made = Device(url, version=version, login=login)
    made.client.tls_set_context(context)
    return made


def round_trip(made):
    """A message to itself, in many TLS records."""
    topic, payload = unique("tls"), bytes(range(256)) * 4000
    made.subscribe(topic, qos=1)
    made.publish(topic, payload, 1)
    equal(content(made.take(1)[0]) == (topic, payload, 1, False), True, "the message comes as it was")
    made.disconnect()


def refused(made):
    """It is not let in: by TLS or by CONNACK."""
    try:
        made.connect(expect=None)
    except (AssertionError, OSError):
        pass
    code = made.connack and made.connack[0]
    made.client.loop_stop()
    equal(code in (None, 134, 135), True, f"reason code {code}")


@case
def password_over_tls(url):
    for tls in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        for version in EVERY_VERSION:
            round_trip(device(url, version=version, tls=tls).connect())


@case
def wrong_password_over_tls(url):
    refused(device(url, login=("guest", "wrong")))


@case
def a_certificate_instead_of_a_password(url):
    for version in (V311, V5):
        round_trip(device(url, certificate="guest", login=(None, None), version=version).connect())


@case
def a_certificate_of_an_unknown_user(url):
    refused(device(url, certificate="nobody", login=(None, None)))


@case
def a_certificate_of_another_authority(url):
    refused(device(url, certificate="forged", login=(None, None)))


if __name__ == "__main__":
    main()
