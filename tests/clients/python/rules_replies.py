"""Direct reply-to, whose addresses nobody can make up, and user ids, which nobody can borrow; seen by pika."""

import pika
from pika import exceptions

from pika_tools import Consumer, connected, get, new_queue, publish, refused
from suite import beyond, case, equal, main, wait_until

REPLY_TO = "amq.rabbitmq.reply-to"


class Requester:
    """A channel that asks, and gets answers without a queue of its own."""

    def __init__(self, connection):
        self.channel = connection.channel()
        self.answers = Consumer(self.channel, REPLY_TO, auto_ack=True)

    def ask(self, queue, body, **properties):
        publish(self.channel, queue, body, reply_to=REPLY_TO, **properties)


def request(channel, queue):
    """Takes one request: (properties, body)."""
    taken = []

    def came():
        method, properties, body = get(channel, queue)
        if method:
            taken.append((properties, body))
        return bool(taken)

    wait_until(came, "a request")
    return taken[0]


def goes_astray(channel, address):
    """Answers to an address that nobody may answer at: it must be returned."""
    try:
        channel.basic_publish("", address, b"astray", mandatory=True)
    except exceptions.UnroutableError as error:
        (message,) = error.messages
        equal((message.method.reply_code, message.method.reply_text), (312, "NO_ROUTE"))
        equal((message.method.routing_key, message.body), (address, b"astray"))
        return True
    return False


@case
def it_is_announced(url):
    with connected(url) as connection:
        capabilities = connection._impl.server_capabilities  # noqa: SLF001
        equal(capabilities.get("direct_reply_to"), True, "capability direct_reply_to")


@case
def a_question_and_its_answer(url):
    with connected(url) as here, connected(url) as there:
        server = there.channel()
        queue = new_queue(server, exclusive=False)
        requester = Requester(here)
        for number in range(20):
            requester.ask(queue, b"%d" % number, correlation_id=str(number))
        for number in range(20):
            properties, body = request(server, queue)
            address = properties.reply_to
            assert address.startswith(REPLY_TO + "."), address
            equal((properties.correlation_id, body), (str(number), b"%d" % number))
            publish(server, address, b"answer to " + body, correlation_id=properties.correlation_id)
        requester.answers.wait_for(20)
        for number, (method, properties, body) in enumerate(requester.answers.deliveries):
            equal((properties.correlation_id, body), (str(number), b"answer to %d" % number))
            equal((method.exchange, method.routing_key, method.redelivered), ("", address, False))
            equal(method.consumer_tag, requester.answers.tag)
        server.queue_delete(queue)


@case
def each_channel_has_an_address_of_its_own(url):
    with connected(url) as connection:
        server = connection.channel()
        queue = new_queue(server)
        requesters = [Requester(connection) for _ in range(3)]
        for number, requester in enumerate(requesters):
            requester.ask(queue, b"%d" % number)
        asked = [request(server, queue) for _ in requesters]
        addresses = [properties.reply_to for properties, _ in asked]
        equal(len(set(addresses)), 3)
        for properties, body in reversed(asked):
            publish(server, properties.reply_to, body)
        for number, requester in enumerate(requesters):
            requester.answers.wait_for(1)
            equal([body for *_, body in requester.answers.settle()], [b"%d" % number])


@case
def an_address_is_a_queue_that_can_be_asked_for(url):
    with connected(url) as connection:
        server = connection.channel()
        queue = new_queue(server)
        equal(server.queue_declare(REPLY_TO, passive=True).method.queue, REPLY_TO)
        requester = Requester(connection)
        requester.ask(queue, b"")
        address = request(server, queue)[0].reply_to
        answer = server.queue_declare(address, passive=True).method
        equal((answer.queue, answer.message_count), (address, 0))
        requester.channel.close()

        def gone():
            try:
                probe = connection.channel()
                probe.queue_declare(address, passive=True)
            except exceptions.ChannelClosedByBroker as error:
                equal((error.reply_code, error.reply_text), (404, f"NOT_FOUND - no queue '{address}' in vhost '/'"))
                return True
            probe.close()
            return False

        wait_until(gone, "the address goes with its channel")


@case
def an_answer_after_the_requester_has_gone(url):
    """Dropped; and with mandatory the server is told."""
    with connected(url) as here, connected(url) as there:
        server = there.channel()
        server.confirm_delivery()
        queue = new_queue(server)
        requester = Requester(here)
        for _ in range(2):
            requester.ask(queue, b"")
        addresses = [request(server, queue)[0].reply_to for _ in range(2)]
        publish(server, addresses[0], b"in time")
        requester.answers.wait_for(1)
        here.close()
        wait_until(lambda: goes_astray(server, addresses[1]), "nobody is there")
        server.basic_publish("", addresses[1], b"dropped")
        server.queue_declare("", exclusive=True)


@case
@beyond("RabbitMQ 3.10 closes the connection with 541 when an address cannot be read")
def addresses_cannot_be_made_up(url):
    with connected(url) as here, connected(url) as there:
        server = there.channel()
        server.confirm_delivery()
        queue = new_queue(server)
        requester = Requester(here)
        requester.ask(queue, b"")
        address = request(server, queue)[0].reply_to
        flip = lambda at: address[:at] + ("A" if address[at] != "A" else "B") + address[at:][1:]  # noqa: E731
        forged = [
            *(flip(at) for at in range(len(REPLY_TO) + 1, len(address))),
            REPLY_TO + ".",
            REPLY_TO + "..",
            REPLY_TO + "." + "A" * 40,
            address + "A",
            address[:-1],
            address.rsplit(".", 1)[0],
            address.rsplit(".", 1)[0] + "." + "A" * len(address.rsplit(".", 1)[-1]),
            address.upper(),
            (REPLY_TO + "." + "\u00fc" * 100)[:200],
        ]
        for attempt in forged:
            if attempt != address:  # which it may be in capitals
                assert goes_astray(server, attempt), f"an answer to {attempt!r} arrived, where {address!r} is right"
        equal(requester.answers.settle(), [])
        publish(server, address, b"right")
        equal([body for *_, body in requester.answers.wait_for(1)], [b"right"])


@case
def mistakes_of_a_requester(url):
    with connected(url) as connection:
        server = connection.channel()
        queue = new_queue(server)
        with refused(406, "PRECONDITION_FAILED - reply consumer cannot acknowledge"):
            connection.channel().basic_consume(REPLY_TO, lambda *_: None)
        channel = connection.channel()
        channel.basic_consume(REPLY_TO, lambda *_: None, auto_ack=True)
        with refused(406, "PRECONDITION_FAILED - reply consumer already set"):
            channel.basic_consume(REPLY_TO, lambda *_: None, auto_ack=True)
        channel = connection.channel()
        with refused(406, "PRECONDITION_FAILED - fast reply consumer does not exist"):
            publish(channel, queue, b"", reply_to=REPLY_TO)
            channel.queue_declare(queue, passive=True)


@case
def a_cancelled_requester_can_start_again(url):
    with connected(url) as connection:
        server = connection.channel()
        queue = new_queue(server)
        channel = connection.channel()
        first = Consumer(channel, REPLY_TO, auto_ack=True)
        channel.basic_cancel(first.tag)
        second = Consumer(channel, REPLY_TO, auto_ack=True)
        publish(channel, queue, b"?", reply_to=REPLY_TO)
        publish(server, request(server, queue)[0].reply_to, b"!")
        second.wait_for(1)
        equal(first.deliveries, [])


@case
def answers_of_many_sizes(url):
    with connected(url) as connection:
        server = connection.channel()
        queue = new_queue(server)
        requester = Requester(connection)
        requester.ask(queue, b"")
        address = request(server, queue)[0].reply_to
        bodies = [bytes(size) for size in (0, 1, 4096, 131_064, 131_065, 1_000_000)]
        for body in bodies:
            publish(server, address, body, headers={"size": len(body)})
        requester.answers.wait_for(len(bodies))
        equal([len(body) for *_, body in requester.answers.deliveries], [len(body) for body in bodies])
        sizes = [properties.headers["size"] for _, properties, _ in requester.answers.deliveries]
        equal(sizes, [len(body) for body in bodies])


@case
def an_answer_to_an_address_by_way_of_another_exchange(url):
    """Only the default exchange knows these addresses."""
    with connected(url) as connection:
        server = connection.channel()
        server.confirm_delivery()
        queue = new_queue(server)
        requester = Requester(connection)
        requester.ask(queue, b"")
        address = request(server, queue)[0].reply_to
        for exchange in ("amq.direct", "amq.fanout", "amq.topic"):
            try:
                server.basic_publish(exchange, address, b"astray", mandatory=True)
            except exceptions.UnroutableError:
                continue
            raise AssertionError(f"{exchange} has routed an answer")
        equal(requester.answers.settle(), [])


@case
def a_user_id_is_the_users_own(url):
    with connected(url) as connection:
        user = pika.URLParameters(url).credentials.username
        channel = connection.channel()
        channel.confirm_delivery()
        queue = new_queue(channel)
        publish(channel, queue, b"", user_id=user)
        equal(get(channel, queue)[1].user_id, user)
        for name in ("", "admin", user.upper(), user + " "):
            refusing = connection.channel()
            refusing.confirm_delivery()
            text = f"PRECONDITION_FAILED - user_id property set to '{name}' but authenticated user was '{user}'"
            with refused(406, text):
                publish(refusing, queue, b"", user_id=name)


@case
def a_dead_letter_keeps_its_user_id(url):
    with connected(url) as connection:
        user = pika.URLParameters(url).credentials.username
        channel = connection.channel()
        channel.confirm_delivery()
        dead = new_queue(channel)
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead, "x-message-ttl": 20}
        publish(channel, new_queue(channel, arguments=arguments), b"", user_id=user)
        equal(request(channel, dead)[0].user_id, user)


if __name__ == "__main__":
    main()
