"""pika over TLS: with a password, and with a client certificate by SASL EXTERNAL.

The folder CERTIFICATES of the environment holds ca.pem, and guest, nobody and forged as .pem and .key.
"""

import os
import ssl
from pathlib import Path

import pika
from pika import exceptions

from suite import case, equal, main, unique

CERTIFICATES = Path(os.environ["CERTIFICATES"])


def connect(url, certificate=None, external=False, versions=None):
    """Connects as the stock client does: the broker's certificate is checked against the authority."""
    context = ssl.create_default_context(cafile=CERTIFICATES / "ca.pem")
    if certificate:
        context.load_cert_chain(CERTIFICATES / f"{certificate}.pem", CERTIFICATES / f"{certificate}.key")
    if versions:
        context.minimum_version = context.maximum_version = versions
    settings = pika.URLParameters(url)
    settings.ssl_options = pika.SSLOptions(context, "localhost")
    if external:
        settings.credentials = pika.credentials.ExternalCredentials()
    return pika.BlockingConnection(settings)


def round_trip(connection):
    """A message there and back, in many frames and many TLS records."""
    channel = connection.channel()
    channel.confirm_delivery()
    queue = channel.queue_declare("", exclusive=True).method.queue
    body = bytes(range(256)) * 20_000
    channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2), mandatory=True)
    assert channel.basic_get(queue, auto_ack=True)[2] == body, "the body came back different"


def refused(text, **options):
    """The connection must fail with this in its error."""
    try:
        connect(**options).close()
    except (exceptions.AMQPConnectionError, ssl.SSLError) as error:
        assert text in repr(error), repr(error)
    else:
        raise AssertionError(f"let in with {options}")


@case
def password_over_tls(url):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        connection = connect(url, versions=version)
        round_trip(connection)
        connection.close()


@case
def wrong_password_over_tls(url):
    refused("ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN", url=url.replace(":guest@", ":wrong@"))


@case
def external_with_a_certificate(url):
    connection = connect(url, certificate="guest", external=True)
    round_trip(connection)
    # The certificate's name is the user: what is published as somebody else is refused.
    channel = connection.channel()
    channel.confirm_delivery()
    channel.basic_publish("", unique("nowhere"), b"", pika.BasicProperties(user_id="guest"))
    try:
        channel.basic_publish("", unique("nowhere"), b"", pika.BasicProperties(user_id="somebody"))
    except exceptions.ChannelClosedByBroker as error:
        equal(error.reply_code, 406)
    else:
        raise AssertionError("published under another name")
    connection.close()


@case
def external_of_an_unknown_user(url):
    refused("ACCESS_REFUSED", url=url, certificate="nobody", external=True)


@case
def external_without_a_certificate(url):
    # EXTERNAL is not offered then, and pika finds no mechanism that both sides know.
    refused("", url=url, external=True)


@case
def certificate_of_an_unknown_authority(url):
    refused("", url=url, certificate="forged", external=True)


@case
def plain_text_on_a_tls_port(url):
    settings = pika.URLParameters(url.replace("amqps:", "amqp:"))
    settings.connection_attempts = 1
    try:
        pika.BlockingConnection(settings)
    except exceptions.AMQPConnectionError:
        return
    raise AssertionError("let in without TLS")


if __name__ == "__main__":
    main()
