"""Policies as pika's queues and exchanges notice them, set by way of the management API."""

import contextlib
import time

import pika
from pika import exceptions

import management
from management import OperatorPolicy, Policy, quoted
from suite import case, equal, main, restart_broker, restart_case, unique, wait_until


@contextlib.contextmanager
def channel_to(url):
    """A channel with publisher confirms, on a connection of its own."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel
    finally:
        if connection.is_open:
            connection.close()


def new_queue(channel, **arguments):
    """An exclusive queue with these arguments, named as keyword arguments can be."""
    name = unique("policies")
    channel.queue_declare(name, exclusive=True, arguments={f"x-{key.replace('_', '-')}": arguments[key] for key in arguments})
    return name


def fill(channel, queue, first, last):
    """Publishes numbers, the last one included."""
    for number in range(first, last + 1):
        channel.basic_publish("", queue, b"%d" % number)


def depth(channel, queue):
    """Messages that are ready."""
    return channel.queue_declare(queue, passive=True).method.message_count


def wait_for_depth(channel, queue, expected):
    """A queue follows within a moment."""
    wait_until(lambda: depth(channel, queue) == expected, f"{expected} messages, there are {depth(channel, queue)}")


def take(channel, queue):
    """Takes out everything that is ready."""
    taken = []
    while True:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return taken
        taken.append(int(body))


@case
def a_limit_is_applied_to_a_queue_that_is_full_already_and_goes_with_the_policy(url):
    with channel_to(url) as channel:
        queue = new_queue(channel)
        fill(channel, queue, 1, 10)
        with Policy(unique("limit"), f"^{queue}$", {"max-length": 3}):
            wait_for_depth(channel, queue, 3)
            fill(channel, queue, 11, 12)
            equal(depth(channel, queue), 3, "the limit")
        wait_until(lambda: [fill(channel, queue, 0, 0), depth(channel, queue)][1] > 3, "the limit is gone")
        equal(take(channel, queue)[:3], [10, 11, 12], "the newest stay")


@case
def bytes_are_limited_too(url):
    with channel_to(url) as channel:
        queue = new_queue(channel)
        for _ in range(10):
            channel.basic_publish("", queue, b"x" * 100)
        with Policy(unique("limit"), f"^{queue}$", {"max-length-bytes": 250}):
            wait_for_depth(channel, queue, 2)


@case
def overflow_follows_the_policy(url):
    with channel_to(url) as channel:
        queue = new_queue(channel)
        fill(channel, queue, 1, 2)
        policy = Policy(unique("limit"), f"^{queue}$", {"max-length": 2, "overflow": "reject-publish"})

        def is_refused():
            try:
                channel.basic_publish("", queue, b"3")
            except exceptions.NackError:
                return True
            return False

        with policy:
            wait_until(is_refused, "a full queue refuses")
            equal(take(channel, queue)[0], 1, "the first stays")
        fill(channel, queue, 1, 2)
        wait_until(lambda: not is_refused(), "the policy is gone")


@case
def time_to_live_by_policy_and_what_came_before_stays(url):
    with channel_to(url) as channel:
        queue = new_queue(channel)
        with Policy(unique("ttl"), f"^{queue}$", {"message-ttl": 100}) as policy:
            wait_until(lambda: [fill(channel, queue, 1, 1), time.sleep(0.3), depth(channel, queue)][2] == 0, "expiry")
            policy.delete()
        wait_until(lambda: [fill(channel, queue, 2, 2), time.sleep(0.3), depth(channel, queue)][2] > 0, "no expiry")


@case
def an_unused_queue_goes_when_a_policy_says_so(url):
    with channel_to(url) as channel:
        queue = new_queue(channel)
        other = new_queue(channel)
        with Policy(unique("expires"), f"^{queue}$", {"expires": 300}):
            def is_gone():
                with channel_to(url) as probe:
                    try:
                        # The queue is another connection's: it is locked for as long as it is there.
                        probe.queue_declare(queue, passive=True)
                    except exceptions.ChannelClosedByBroker as error:
                        return error.reply_code == 404
                return False

            time.sleep(1)
            wait_until(is_gone, "the queue is gone", step=lambda: time.sleep(1))
        depth(channel, other)


@case
def dead_letters_by_policy(url):
    with channel_to(url) as channel:
        queue, dead = new_queue(channel), new_queue(channel)

        def reject_one():
            fill(channel, queue, 1, 1)
            method, _, _ = channel.basic_get(queue)
            channel.basic_reject(method.delivery_tag, requeue=False)
            time.sleep(0.2)
            return depth(channel, dead)

        equal(reject_one(), 0, "without a policy")
        definition = {"dead-letter-exchange": "", "dead-letter-routing-key": dead}
        with Policy(unique("dead"), f"^{queue}$", definition):
            wait_until(lambda: reject_one() > 0, "dead letters")
            method, properties, _ = channel.basic_get(dead, auto_ack=True)
            equal((method.routing_key, properties.headers["x-death"][0]["queue"]), (dead, queue), "the letter")
        take(channel, dead)
        wait_until(lambda: [take(channel, dead), reject_one()][1] == 0, "no more dead letters")


@case
def of_numbers_the_smallest_counts_and_otherwise_the_argument(url):
    with channel_to(url) as channel:
        small, large = new_queue(channel, max_length=2), new_queue(channel, max_length=9)
        own, by_policy = new_queue(channel), new_queue(channel)
        declared = new_queue(channel, dead_letter_exchange="", dead_letter_routing_key=own)
        queues = "|".join([small, large, declared])
        definition = {"max-length": 5, "dead-letter-exchange": "", "dead-letter-routing-key": by_policy}
        for queue in (small, large):
            fill(channel, queue, 1, 9)
        equal((depth(channel, small), depth(channel, large)), (2, 9), "arguments")
        with Policy(unique("both"), f"^({queues})$", definition):
            wait_for_depth(channel, large, 5)
            equal(depth(channel, small), 2, "the argument is smaller")
            take(channel, by_policy)
            fill(channel, declared, 1, 1)
            channel.basic_reject(channel.basic_get(declared)[0].delivery_tag, requeue=False)
            wait_for_depth(channel, own, 1)
            equal(depth(channel, by_policy), 0, "the argument comes first")


@case
def an_operator_sets_limits_to_what_users_set(url):
    with channel_to(url) as channel:
        queue = new_queue(channel)
        fill(channel, queue, 1, 20)
        with Policy(unique("user"), f"^{queue}$", {"max-length": 10}) as user:
            wait_for_depth(channel, queue, 10)
            with OperatorPolicy(unique("operator"), f"^{queue}$", {"max-length": 4}, **{"apply-to": "queues"}):
                wait_for_depth(channel, queue, 4)
                user.body["definition"] = {"max-length": 2}
                user.set()
                wait_for_depth(channel, queue, 2)
                user.delete()
                fill(channel, queue, 1, 9)
                wait_for_depth(channel, queue, 4)
        wait_until(lambda: [fill(channel, queue, 0, 0), depth(channel, queue)][1] > 4, "both are gone")


@case
def one_policy_applies_and_it_is_that_of_the_highest_priority(url):
    with channel_to(url) as channel:
        queue = new_queue(channel)
        low = Policy(unique("low"), f"^{queue}$", {"max-length": 2, "message-ttl": 1}, priority=1)
        high = Policy(unique("high"), f"^{queue}", {"max-length": 5}, priority=2)
        with high, low:
            time.sleep(0.2)
            fill(channel, queue, 1, 9)
            time.sleep(0.2)
            equal(depth(channel, queue), 5, "the other one's time to live does not count")
            high.delete()
            wait_until(lambda: depth(channel, queue) <= 2, "the other one's turn")
            high.body["priority"] = 0
            high.set()
            fill(channel, queue, 1, 9)
            wait_for_depth(channel, queue, 0)


@case
def a_policy_that_is_there_first_applies_from_the_beginning(url):
    with channel_to(url) as channel:
        prefix = unique("first")
        # Found anywhere in the name.
        with Policy(unique("first"), prefix[2:], {"max-length": 1}):
            for name in (f"{prefix}-a", f"before-{prefix}"):
                channel.queue_declare(name, exclusive=True)
                fill(channel, name, 1, 3)
                equal(depth(channel, name), 1, name)


@case
def alternate_exchanges_by_policy_and_what_a_policy_applies_to(url):
    with channel_to(url) as channel:
        exchange, queue = unique("policies"), new_queue(channel)
        channel.exchange_declare(exchange, "direct", auto_delete=False)
        channel.queue_bind(queue, "amq.fanout")
        definition = {"alternate-exchange": "amq.fanout"}

        def routed():
            channel.basic_publish(exchange, "nowhere", b"1")
            return len(take(channel, queue)) > 0

        try:
            with Policy(unique("alternate"), f"^{exchange}$", definition, **{"apply-to": "queues"}) as policy:
                time.sleep(0.3)
                equal(routed(), False, "a policy for queues")
                policy.body["apply-to"] = "exchanges"
                policy.set()
                wait_until(routed, "the alternate exchange")
            wait_until(lambda: not routed(), "the policy is gone")
        finally:
            channel.exchange_delete(exchange)
        # A policy for exchanges is none for queues.
        other = new_queue(channel)
        fill(channel, other, 1, 3)
        with Policy(unique("exchanges"), f"^{other}$", {"max-length": 1}, **{"apply-to": "exchanges"}):
            time.sleep(0.3)
            equal(depth(channel, other), 3, "a policy for exchanges")


@case
def a_queue_tells_its_policies(url):
    with channel_to(url) as channel:
        queue = new_queue(channel, message_ttl=70000)
        path = f"/api/queues/%2F/{quoted(queue)}"
        user = Policy(unique("user"), f"^{queue}$", {"max-length": 3, "overflow": "drop-head"})
        operator = OperatorPolicy(unique("operator"), f"^{queue}$", {"max-length": 7, "expires": 600000})
        with user, operator:
            fill(channel, queue, 1, 9)
            # RabbitMQ gathers these every few seconds.
            wait_until(lambda: management.get(path).get("messages") == 3, "what the queue says", step=lambda: time.sleep(0.3))
            row = management.get(path)
            expected = {
                "arguments": {"x-message-ttl": 70000}, "auto_delete": False, "consumers": 0, "durable": False,
                "effective_policy_definition": {"expires": 600000, "max-length": 3, "overflow": "drop-head"},
                "exclusive": True, "message_bytes": 3, "message_bytes_ready": 3, "message_bytes_unacknowledged": 0,
                "messages": 3, "messages_ready": 3, "messages_unacknowledged": 0, "name": queue,
                "operator_policy": operator.path.rpartition("/")[2], "policy": user.path.rpartition("/")[2],
                "state": "running", "type": "classic", "vhost": "/",
            }
            equal({name: row.get(name) for name in expected}, expected, "the row")


@restart_case
def policies_survive_a_crash(url):
    queue = unique("policies")
    # Not deleted at the end: the management listener may be elsewhere by then.
    Policy(unique("limit"), f"^{queue}", {"max-length": 2}).set()
    with channel_to(url) as channel:
        channel.queue_declare(queue, durable=True)
        fill(channel, queue, 1, 5)
        wait_for_depth(channel, queue, 2)
    restart_broker("kill")
    with channel_to(url) as channel:
        fill(channel, queue, 6, 9)
        equal(take(channel, queue), [8, 9], "in the queue")
        channel.queue_declare(f"{queue}-new", exclusive=True)
        fill(channel, f"{queue}-new", 1, 5)
        equal(depth(channel, f"{queue}-new"), 2, "in a new queue")
        channel.queue_delete(queue)


if __name__ == "__main__":
    main()
