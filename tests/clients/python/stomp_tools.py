"""What the programs that use stomp.py share: a client that waits for each answer, and what it has received."""

import itertools
import socket
import threading
import urllib.parse

import stomp

from suite import equal, is_common, unique, wait_until

V10, V11, V12 = "1.0", "1.1", "1.2"
EVERY_VERSION = [V10, V11, V12]
PATIENCE_S = 15

_CONNECTIONS = {V10: stomp.StompConnection10, V11: stomp.StompConnection11, V12: stomp.StompConnection12}
_numbers = itertools.count(1)


class Client(stomp.ConnectionListener):
    """A connection of stomp.py that does one thing after the other: every frame asks for a receipt and waits for it.

    Bodies are bytes. `values` are further headers of CONNECT. One that is made is not yet connected."""

    def __init__(self, url, version=V12, login=None, heart_beats=(0, 0), host="/", connects_by_stomp=True, **values):
        place = urllib.parse.urlsplit(url)
        self.version, self.values = version, values
        options = {"auto_decode": False, "reconnect_attempts_max": 1, "try_loopback_connect": False}
        if version != V10:
            options |= {"heartbeats": heart_beats, "vhost": host}
        self.connection = _CONNECTIONS[version]([(place.hostname, place.port)], **options)
        self.login = (urllib.parse.unquote(place.username or ""), place.password) if login is None else login
        if version != V10:
            self.values = {"with_connect_command": not connects_by_stomp, **values}
        elif host != "/":
            self.values = {"host": host, **values}
        self.changed = threading.Condition()
        self.hello = None
        self.ended = False
        self.receipts = set()
        self.errors = []
        self.messages = []
        self.connection.set_listener("", self)

    def _note(self, change):
        with self.changed:
            change()
            self.changed.notify_all()

    def on_connected(self, frame):
        self._note(lambda: setattr(self, "hello", frame.headers))

    def on_message(self, frame):
        self._note(lambda: self.messages.append(frame))

    def on_receipt(self, frame):
        self._note(lambda: self.receipts.add(frame.headers["receipt-id"]))

    def on_error(self, frame):
        self._note(lambda: self.errors.append(frame))

    def on_disconnected(self):
        self._note(lambda: setattr(self, "ended", True))

    def wait(self, condition, what, seconds=PATIENCE_S):
        """Waits for something that the receiving thread tells; fails early when the broker sends ERROR instead."""
        with self.changed:
            came = self.changed.wait_for(lambda: condition() or self.errors or self.ended, seconds)
            if not (came and condition()):
                told = [(error.headers.get("message"), error.body) for error in self.errors]
                raise AssertionError(
                    f"{what}: not within {seconds} s; errors: {told}; ended: {self.ended}; "
                    f"has {[message.body[:40] for message in self.messages[-5:]]}"
                )

    def start(self):
        """Sends CONNECT or STOMP without waiting for what comes of it."""
        user, password = self.login
        self.connection.connect(user or None, password, **self.values)
        return self

    def connect(self):
        """Connects and returns the client."""
        self.start()
        self.wait(lambda: self.hello is not None, "CONNECTED")
        return self

    def frame(self, command, headers=None, body=b"", receipt=True, **values):
        """Sends any frame, waits for its receipt unless told otherwise, and returns it."""
        headers = {**(headers or {}), **values}
        name = f"r{next(_numbers)}"
        if receipt:
            headers["receipt"] = name
        self.connection.send_frame(command, headers, body)
        if receipt:
            self.wait(lambda: name in self.receipts, f"the receipt of {command} {headers}")
        return self

    def send(self, destination, body=b"", headers=None, receipt=True, **values):
        """SEND with content-length; names of headers in `values` have `_` for `-`."""
        body = body if isinstance(body, bytes) else body.encode()
        headers = {"destination": destination, "content-length": len(body), **dashed(values), **(headers or {})}
        if headers["content-length"] is None:
            del headers["content-length"]
        return self.frame("SEND", headers, body, receipt)

    def subscribe(self, destination, ack="auto", id=None, headers=None, receipt=True, **values):
        """SUBSCRIBE; the id is the destination where none is given."""
        headers = {"destination": destination, "id": id or destination, "ack": ack, **dashed(values), **(headers or {})}
        return self.frame("SUBSCRIBE", headers, receipt=receipt)

    def unsubscribe(self, id, **values):
        """UNSUBSCRIBE by id."""
        return self.frame("UNSUBSCRIBE", {"id": id, **dashed(values)})

    def settle(self, command, message, receipt=True, **values):
        """ACK or NACK, as the version of the connection has it."""
        told = message.headers
        names = {V10: ["message-id"], V11: ["message-id", "subscription"], V12: []}[self.version]
        headers = {name: told[name] for name in names}
        if self.version == V12:
            headers["id"] = told["ack"]
        return self.frame(command, {**headers, **dashed(values)}, receipt=receipt)

    def ack(self, message, **values):
        """ACK."""
        return self.settle("ACK", message, **values)

    def nack(self, message, **values):
        """NACK."""
        return self.settle("NACK", message, **values)

    def wait_for(self, count, seconds=PATIENCE_S):
        """Waits for so many messages in all and returns them."""
        self.wait(lambda: len(self.messages) >= count, f"{count} messages", seconds)
        return self.messages

    def take(self, count=1, seconds=PATIENCE_S):
        """Waits for so many messages and takes them out."""
        self.wait_for(count, seconds)
        with self.changed:
            taken, self.messages = self.messages[:count], self.messages[count:]
        return taken

    def bodies(self, count, seconds=PATIENCE_S):
        """Takes so many messages: their bodies."""
        return [message.body for message in self.take(count, seconds)]

    def nothing_more(self):
        """All messages were taken. Call it after a `fence`."""
        equal([message.body[:40] for message in self.messages], [], "further messages")

    def refused(self, message, text=None, seconds=PATIENCE_S):
        """The broker answers ERROR with this `message` header and, where it is given, this text in the body."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.errors, seconds):
                raise AssertionError(f"no ERROR within {seconds} s: {message}; ended: {self.ended}")
            error = self.errors.pop(0)
        equal(error.headers.get("message"), message, f"message of ERROR ({error.body!r})")
        if text is not None:
            equal(as_text(error.body).rstrip("\n"), text, "body of ERROR")
        return error

    def closed_after_error(self):
        """ERROR is the last that comes; RabbitMQ takes its time, and often does not close at all."""
        if not is_common():
            self.wait_end()

    def wait_end(self, seconds=PATIENCE_S):
        """Waits until the broker has ended the connection."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.ended, seconds):
                raise AssertionError(f"not ended within {seconds} s")

    def disconnect(self):
        """Says goodbye, and waits for the receipt of that."""
        if not self.ended:
            name = f"r{next(_numbers)}"
            self.connection.disconnect(receipt=name)
            with self.changed:
                self.changed.wait_for(lambda: self.ended or name in self.receipts, PATIENCE_S)

    def drop(self):
        """The connection is lost."""
        sock = self.connection.transport.socket
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)
        self.wait_end()

    def __enter__(self):
        return self.connect()

    def __exit__(self, *_error):
        if self.connection.is_connected():
            self.disconnect()


def dashed(values):
    """Names of headers, as Python can have them, with dashes; `__` is a dot."""
    return {name.replace("__", ".").replace("_", "-"): value for name, value in values.items()}


def as_text(body):
    """A body as text."""
    return body.decode() if isinstance(body, bytes) else body


def told(message, *names):
    """The values of headers of a message, None where one is missing."""
    return tuple(message.headers.get(name) for name in names)


def fence(*clients):
    """Returns once each client has got what the broker had for it before."""
    for client in clients:
        destination = f"/topic/{unique('fence')}"
        client.subscribe(destination)
        client.send(destination, b"fence")
        client.wait(
            lambda to=client, id=destination: any(m.headers.get("destination") == id for m in to.messages), "the fence"
        )
        with client.changed:
            client.messages = [m for m in client.messages if m.headers.get("destination") != destination]
        client.unsubscribe(destination)


def queue(prefix="stomp"):
    """A destination that nobody else uses."""
    return f"/queue/{unique(prefix)}"


def topic(prefix="stomp"):
    """A topic that nobody else uses."""
    return f"/topic/{unique(prefix)}"


def reconnected(url, **values):
    """Connects as soon as the broker is back."""
    found = []

    def attempt():
        try:
            found.append(Client(url, **values).connect())
        except Exception:  # stomp.py has its own for a connection that is refused
            return False
        return True

    wait_until(attempt, "the broker is back")
    return found[0]
