"""stomp.py in every version: frames, receipts, acknowledgements, transactions, escaping, heart-beats, refusals."""

import os
import time

from stomp_tools import EVERY_VERSION, V10, V11, V12, Client, as_text, fence, queue, reconnected, told
from suite import case, equal, is_common, main, restart_broker, restart_case


@case
def every_version_connects(url):
    for version in EVERY_VERSION:
        for by_stomp in [False] if version == V10 else [True, False]:
            with Client(url, version, connects_by_stomp=by_stomp) as client:
                equal(client.hello["version"], version)
                equal(client.hello["heart-beat"], "0,0")
                equal(bool(client.hello["session"]), True, "a session")
                equal("/" in client.hello["server"], True, client.hello["server"])


@case
def the_highest_version_that_both_speak(url):
    with Client(url, V12) as client:
        equal(client.hello["version"], V12)
    for offered, chosen in [("1.0,1.1,1.2", V12), ("1.1,1.0", V11), ("2.0,1.1", V11), ("1.0", V10)]:
        client = Client(url, V12)
        client.start = lambda c=client, o=offered: connect_raw(c, {"accept-version": o, "host": "/"})
        with client:
            equal(client.hello["version"], chosen, offered)


def connect_raw(client, headers):
    """CONNECT with exactly these headers, beside login."""
    user, password = client.login
    client.connection.transport.start()
    client.connection.send_frame("CONNECT", {"login": user, "passcode": password, **headers})


@case
def versions_that_nobody_speaks(url):
    for offered in ("1.3", "2.0,3.0", ""):
        client = Client(url)
        connect_raw(client, {"accept-version": offered, "host": "/"})
        error = client.refused("Version mismatch", "Supported versions are 1.0,1.1,1.2")
        equal(error.headers["version"], "1.0,1.1,1.2")
        client.closed_after_error()


@case
def no_headers_at_all_are_version_1_0_and_guest(url):
    client = Client(url, login=("", None))
    client.connection.transport.start()
    client.connection.send_frame("CONNECT", {})
    client.wait(lambda: client.hello, "CONNECTED")
    equal(client.hello["version"], V10)
    client.send(queue(), b"as guest").disconnect()


@case
def logins_that_are_refused(url):
    for version in EVERY_VERSION:
        for login in [("guest", "wrong"), ("nobody", "guest")]:
            client = Client(url, version, login=login).start()
            client.refused("Bad CONNECT", f"Access refused for user '{login[0]}'")
            client.closed_after_error()


@case
def virtual_hosts(url):
    client = Client(url, host="no-such-host").start()
    client.refused("Bad CONNECT", "Virtual host 'no-such-host' access denied")
    client.closed_after_error()


@case
def receipts_on_every_frame(url):
    for version in EVERY_VERSION:
        name = queue()
        with Client(url, version) as client:
            client.subscribe(name, ack="client")
            client.send(name, b"1").send(name, b"2")
            first, second = client.take(2)
            client.frame("BEGIN", transaction="t")
            # What is in a transaction is done when that is committed.
            client.send(name, b"3", {"receipt": f"{name} 3"}, transaction="t", receipt=False)
            client.ack(first, transaction="t", receipt=False)
            client.frame("COMMIT", transaction="t")
            client.wait(lambda: f"{name} 3" in client.receipts, "the receipt of SEND in the transaction")  # noqa: B023
            client.ack(second)
            client.frame("BEGIN", transaction="t")
            client.frame("ABORT", transaction="t")
            third = client.take(1)[0]
            if version != V10:
                client.nack(third, requeue="false")
            else:
                client.ack(third)
            client.unsubscribe(name)
            client.disconnect()


@case
def receipts_come_in_order_and_for_all(url):
    name = queue()
    with Client(url) as client:
        order = []
        client.on_receipt = lambda frame: client._note(lambda: order.append(frame.headers["receipt-id"]))
        for number in range(1000):
            persistent = {"persistent": "true"} if number % 2 else {}
            client.send(name, b"x" * number, {"receipt": str(number), **persistent}, receipt=False)
        client.wait(lambda: len(order) == 1000, "a thousand receipts")
        equal(sorted(order, key=int), [str(number) for number in range(1000)])
        del client.on_receipt
        client.subscribe(name)
        equal([len(body) for body in client.bodies(1000)], list(range(1000)), "lengths in order")


@case
def a_message_and_its_headers(url):
    for version in EVERY_VERSION:
        name = queue()
        with Client(url, version) as client:
            client.subscribe(name, id="my-id")
            client.send(name, b"hello", {"content-type": "text/plain", "foo": "bar", "x-number": "5"})
            message = client.take()[0]
            equal(message.body, b"hello")
            equal(told(message, "destination", "subscription", "content-type", "content-length", "foo", "x-number"),
                  (name, "my-id", "text/plain", "5", "bar", "5"))  # fmt: skip
            equal(message.headers["redelivered"], "false")
            equal(bool(message.headers["message-id"]), True)
            equal("ack" in message.headers, False, "no ack header where nothing is to be acknowledged")


@case
def properties_come_back(url):
    properties = {
        "persistent": "true", "priority": "5", "expiration": "60000", "correlation-id": "c", "reply-to": "/queue/back",
        "content-type": "text/plain", "content-encoding": "utf8", "type": "ty", "app-id": "app", "user-id": "guest",
        "timestamp": "1234", "amqp-message-id": "mine",
    }  # fmt: skip
    name = queue()
    with Client(url) as client:
        client.subscribe(name)
        client.send(name, b"x", properties)
        message = client.take()[0]
        found = {header: message.headers.get(header) for header in properties}
        equal(found, properties)


@case
def message_id_is_the_brokers(url):
    with Client(url) as client:
        client.send(queue(), b"x", {"message-id": "mine"}, receipt=False)
        client.refused("Invalid header", "'message-id' is not allowed on 'SEND'.")


@case
def repeated_headers_the_first_counts(url):
    name = queue()
    with Client(url) as client:
        client.subscribe(name)
        text = f"SEND\ndestination:{name}\na:first\na:second\ndestination:/queue/other\n\nbody\0"
        client.connection.transport.send(text.encode())
        message = client.take()[0]
        equal(told(message, "a", "destination"), ("first", name))


@case
def lines_end_in_either_way_and_between_frames(url):
    for version in EVERY_VERSION:
        name = queue()
        with Client(url, version) as client:
            client.subscribe(name)
            lines = ["SEND", f"destination:{name}", "a:b", "", "body"]
            client.connection.transport.send(("\r\n\n" + "\r\n".join(lines) + "\0\n\r\n\n" + "\n".join(lines) + "\0\n").encode())
            equal([(message.body, message.headers["a"]) for message in client.take(2)], [(b"body", "b")] * 2, version)


@case
def what_1_1_and_1_2_escape(url):
    values = {
        "colon": "a:b:c", "line": "a\nb", "backslash": "a\\b\\\\n\\c", "spaces": "  a  b  ", "empty": "",
        "utf8": "grüße 🚀 漢字", "equals": "a=b;c,d", "long": "x" * 5000,
    }  # fmt: skip
    for version in (V11, V12):
        name = queue()
        with Client(url, version) as client:
            client.subscribe(name)
            client.send(name, b"x", values)
            found = client.take()[0].headers
            equal({key: found[key] for key in values}, values, version)


@case
def carriage_return_is_escaped_in_1_2(url):
    name = queue()
    with Client(url, V12) as client:
        client.subscribe(name)
        # Keys are escaped, too; stomp.py does that only for values.
        client.connection.transport.send(f"SEND\ndestination:{name}\na\\cb:x\\ny\n\nbody\0".encode())
        headers = client.take()[0].headers
        equal(headers.get("a:b") or headers.get("a\\cb"), "x\ny")
        if not is_common():  # which takes no \r, in no version
            client.send(name, b"x", {"a": "x\ry"})
            equal(client.take()[0].headers["a"], "x\ry")


@case
def bodies_with_nul_and_every_byte(url):
    body = bytes(range(256)) * 4
    for version in EVERY_VERSION:
        name = queue()
        with Client(url, version) as client:
            client.subscribe(name)
            client.send(name, body).send(name, b"\0").send(name, b"").send(name, b"\n\n\0\0\n")
            equal(client.bodies(4), [body, b"\0", b"", b"\n\n\0\0\n"], version)


@case
def bodies_without_content_length_end_at_nul(url):
    name = queue()
    with Client(url) as client:
        client.subscribe(name)
        client.send(name, "grüße".encode(), {"content-length": None})
        message = client.take()[0]
        equal(message.body, "grüße".encode())


@case
def large_bodies(url):
    body = os.urandom(8 << 20)
    name = queue()
    with Client(url) as client:
        client.subscribe(name, ack="client")
        client.send(name, body, persistent="true")
        message = client.take(1, 60)[0]
        equal(message.body == body, True, "8 MiB as they were")
        client.ack(message)


@case
def acknowledged_by_itself(url):
    name = queue()
    with Client(url) as sender:
        for number in range(100):
            sender.send(name, str(number), receipt=False)
        with Client(url) as client:
            client.subscribe(name, ack="auto")
            equal(client.bodies(100), [b"%d" % number for number in range(100)])
        with Client(url) as client:
            client.subscribe(name)
            fence(client)
            client.nothing_more()


@case
def acknowledged_up_to_a_message(url):
    for version in EVERY_VERSION:
        name = queue()
        with Client(url, version) as client:
            client.subscribe(name, ack="client")
            for number in range(5):
                client.send(name, str(number))
            client.ack(client.take(5)[2])
        with Client(url, version) as client:
            client.subscribe(name, ack="client")
            left = client.take(2)
            equal([(message.body, message.headers["redelivered"]) for message in left], [(b"3", "true"), (b"4", "true")])
            client.ack(left[1])
            fence(client)
            client.nothing_more()


@case
def acknowledged_one_by_one(url):
    for version in EVERY_VERSION:
        name = queue()
        with Client(url, version) as client:
            client.subscribe(name, ack="client-individual")
            for number in range(5):
                client.send(name, str(number))
            messages = client.take(5)
            for index in (3, 0, 1):
                client.ack(messages[index])
        with Client(url, version) as client:
            client.subscribe(name, ack="client-individual")
            left = client.take(2)
            equal([message.body for message in left], [b"2", b"4"], version)
            for message in left:
                client.ack(message)


@case
def given_back_when_the_connection_is_lost(url):
    name = queue()
    client = Client(url).connect().subscribe(name, ack="client-individual")
    client.send(name, b"x", persistent="true")
    client.take()
    client.drop()
    with Client(url) as client:
        client.subscribe(name, ack="client-individual")
        message = client.take()[0]
        equal((message.body, message.headers["redelivered"]), (b"x", "true"))
        client.ack(message)


@case
def given_back_on_unsubscribe(url):
    name = queue()
    with Client(url) as client, Client(url) as other:
        client.subscribe(name, ack="client")
        client.send(name, b"x")
        client.take()
        client.unsubscribe(name)
        client.disconnect()
        other.subscribe(name)
        equal(other.bodies(1), [b"x"])


@case
def refused_and_requeued(url):
    for version in (V11, V12):
        name = queue()
        with Client(url, version) as client:
            client.subscribe(name, ack="client-individual")
            client.send(name, b"x")
            client.nack(client.take()[0])
            again = client.take()[0]
            equal((again.body, again.headers["redelivered"]), (b"x", "true"), version)
            client.nack(again, requeue="true")
            again = client.take()[0]
            client.nack(again, requeue="false")
            client.send(name, b"y")
            equal(client.bodies(1), [b"y"], version)


@case
def transactions_are_whole(url):
    for version in EVERY_VERSION:
        name = queue()
        with Client(url, version) as client, Client(url, version) as other:
            other.subscribe(name)
            client.frame("BEGIN", transaction="one")
            client.frame("BEGIN", transaction="two")
            for number in range(3):
                client.send(name, f"one {number}", transaction="one", receipt=False)
                client.send(name, f"two {number}", transaction="two", receipt=False)
            client.send(name, b"outside")
            equal(other.bodies(1), [b"outside"])
            client.frame("ABORT", transaction="two")
            client.frame("COMMIT", transaction="one")
            equal(other.bodies(3), [b"one 0", b"one 1", b"one 2"])
            fence(other)
            other.nothing_more()


@case
def acknowledgements_in_transactions(url):
    name = queue()
    with Client(url) as client:
        client.subscribe(name, ack="client-individual")
        client.send(name, b"1").send(name, b"2")
        first, second = client.take(2)
        client.frame("BEGIN", transaction="t")
        client.ack(first, transaction="t", receipt=False)
        client.frame("ABORT", transaction="t")
        client.ack(first)
        client.frame("BEGIN", transaction="t")
        client.ack(second, transaction="t", receipt=False)
        client.frame("COMMIT", transaction="t")
    with Client(url) as client:
        client.subscribe(name)
        fence(client)
        client.nothing_more()


@case
def transactions_that_are_not_there(url):
    for command in ("COMMIT", "ABORT"):
        with Client(url) as client:
            client.frame(command, transaction="t", receipt=False)
            client.refused("Bad transaction", 'Invalid transaction identifier: "t"')
    with Client(url) as client:
        client.send(queue(), b"x", transaction="t", receipt=False)
        client.refused("Bad transaction", 'Invalid transaction identifier: "t"')
    with Client(url) as client:
        client.frame("BEGIN", receipt=False)
        client.refused("Missing transaction", "\"BEGIN\" must include a 'transaction' header")


@case
def heart_beats_both_ways(url):
    with Client(url, heart_beats=(1000, 1000)) as client:
        equal(client.hello["heart-beat"], "1000,1000")
        beats = []
        client.on_heartbeat = lambda: client._note(lambda: beats.append(time.monotonic()))
        client.wait(lambda: len(beats) >= 2, "two beats of the broker")
        client.send(queue(), b"still there")


@case
def a_client_without_its_heart_beat_is_closed(url):
    client = Client(url)
    started = time.monotonic()
    connect_raw(client, {"accept-version": "1.2", "host": "/", "heart-beat": "1000,0"})
    client.wait_end(10)
    took = time.monotonic() - started
    equal(1 < took < 6, True, f"closed after {took} s")


@case
def frames_in_a_wrong_place(url):
    client = Client(url)
    client.connection.transport.start()
    client.connection.send_frame("SEND", {"destination": "/queue/a"})
    client.refused("Illegal command", "You must log in using CONNECT first")
    with Client(url) as client:
        client.connection.send_frame("NONSENSE", {})
        client.refused("Bad command", 'Could not interpret command "NONSENSE"')


@case
def what_frames_must_have(url):
    for command, headers, message, text in [
        ("SEND", {}, "Missing destination", "\"SEND\" must include a 'destination' header"),
        ("SUBSCRIBE", {"id": "1"}, "Missing destination", "\"SUBSCRIBE\" must include a 'destination' header"),
        ("UNSUBSCRIBE", {}, "Missing destination or id", "UNSUBSCRIBE must include a 'destination' or 'id' header"),
        ("UNSUBSCRIBE", {"id": "9"}, "No subscription found",
         "UNSUBSCRIBE must refer to an existing subscription.\nSubscription to \"id='9'\" not found."),
        ("ACK", {}, "Missing header", '"ACK" must include the "id" header'),
        ("NACK", {}, "Missing header", '"NACK" must include the "id" header'),
        ("ACK", {"id": "9"}, "Invalid header", '"ACK" must include a valid "id" header'),
        ("ACK", {"id": "T_1@@session-abc@@5"}, "Subscription not found",
         'Message with id "T_1@@session-abc@@5" has no subscription'),
    ]:  # fmt: skip
        with Client(url) as client:
            client.frame(command, headers, receipt=False)
            client.refused(message, text)
    with Client(url, V11) as client:
        client.frame("ACK", {"id": "1"}, receipt=False)
        client.refused("Missing header", '"ACK" must include the "message-id" header')


@case
def an_acknowledgement_twice(url):
    name = queue()
    with Client(url) as client:
        client.subscribe(name, ack="client-individual")
        client.send(name, b"x")
        message = client.take()[0]
        client.ack(message)
        tag = message.headers["ack"].rsplit("@@")[-1]
        client.ack(message, receipt=False)
        client.refused("precondition_failed", f"PRECONDITION_FAILED - unknown delivery tag {tag}")
        client.wait_end()


@case
def one_id_for_two_subscriptions(url):
    with Client(url) as client:
        client.subscribe(queue(), id="1")
        client.subscribe(queue(), id="1", receipt=False)
        client.refused("Duplicated subscription identifier", "A subscription identified by 'T_1' already exists.")
        client.wait_end()


@case
def an_error_names_the_receipt(url):
    if is_common():
        return  # which sends the receipt itself, or nothing
    with Client(url) as client:
        client.frame("SEND", {"destination": "/nonsense/x", "receipt": "mine"}, receipt=False)
        equal(client.refused("Unknown destination").headers["receipt-id"], "mine")


@case
def many_messages_in_order(url):
    name = queue()
    with Client(url) as sender, Client(url) as client:
        client.subscribe(name, ack="client", prefetch_count="100")
        for number in range(3000):
            sender.send(name, str(number), receipt=False, **({"persistent": "true"} if number % 2 else {}))
        for start in range(0, 3000, 100):
            messages = client.take(100)
            equal([message.body for message in messages], [b"%d" % number for number in range(start, start + 100)])
            client.ack(messages[-1], receipt=False)
        client.unsubscribe(name)


@case
def rights_are_asked(url):
    with Client(url) as client:
        client.subscribe("/exchange/amq.nothing/x", receipt=False)
        error = client.refused("not_found")
        equal("no exchange 'amq.nothing' in vhost '/'" in as_text(error.body), True, error.body)


@restart_case
def persistent_messages_survive(url):
    for how in ("kill", "stop"):
        name = queue("survives")
        with Client(url) as client:
            for number in range(100):
                client.send(name, str(number), receipt=number == 99, persistent="true")
            client.send(name, b"transient")
        restart_broker(how)
        client = reconnected(url)
        client.subscribe(name)
        equal(client.bodies(100), [b"%d" % number for number in range(100)])
        fence(client)
        client.nothing_more()
        client.disconnect()


@restart_case
def an_orderly_stop_ends_connections(url):
    client = Client(url).connect().subscribe(queue())
    restart_broker("stop")
    client.wait_end()


if __name__ == "__main__":
    main()
