"""Policies, operator policies and the firehose, switched through the management API as programs and people do.

MANAGEMENT_URL is the address of the management listener, http://127.0.0.1:15672 for instance.
"""

import base64
import contextlib
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request

import pika

from pika_tools import Consumer, bodies, connected, depth, events, fill, get, new_queue, publish
from suite import case, equal, main, unique, wait_until

MANAGEMENT = os.environ["MANAGEMENT_URL"]


def api(url, method, path, content=None):
    """Calls the management API as the user of the URL; returns the status, and the body where there is one."""
    credentials = pika.URLParameters(url).credentials
    token = base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()
    request = urllib.request.Request(
        f"{MANAGEMENT}/api/{path}",
        method=method,
        data=None if content is None else json.dumps(content).encode(),
        headers={"authorization": f"Basic {token}", "content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=15) as response:
            body = response.read()
            return response.status, json.loads(body) if body else None
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


@contextlib.contextmanager
def policy(url, pattern, definition, kind="policies", **more):
    """A policy for as long as the block lasts; `more` are priority and apply-to."""
    path = f"{kind}/%2f/{unique('policy')}"
    more = {name.replace("_", "-"): value for name, value in more.items()}
    status, answer = api(url, "PUT", path, {"pattern": pattern, "definition": definition, **more})
    equal(status, 201, f"policy {definition}: {answer}")
    try:
        yield path
    finally:
        equal(api(url, "DELETE", path)[0], 204, "deleted")


@contextlib.contextmanager
def queue_of(url, **options):
    """A confirming channel, and a queue whose name no policy of another case matches."""
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel, new_queue(channel, **options)


def exactly(queue):
    """A pattern that matches one name."""
    return f"^{queue}$"


@case
def a_policy_limits_a_queue_that_is_there(url):
    with queue_of(url) as (channel, queue):
        fill(channel, queue, 10)
        with policy(url, exactly(queue), {"max-length": 4}):
            wait_until(lambda: depth(channel, queue) == 4, "the oldest have been dropped")
            fill(channel, queue, 3)
            wait_until(lambda: depth(channel, queue) == 4, "and are")
        fill(channel, queue, 10)
        equal(depth(channel, queue), 14, "without the policy")


@case
def a_policy_is_there_before_the_queue(url):
    name = unique("later")
    with policy(url, f"^{name}", {"max-length": 2, "overflow": "reject-publish"}), connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(name + ".queue", exclusive=True)
        refusals = 0
        for _ in range(6):
            try:
                channel.basic_publish("", name + ".queue", b"")
            except pika.exceptions.NackError:
                refusals += 1
        equal(depth(channel, name + ".queue"), 6 - refusals)
        assert refusals >= 3, refusals


@case
def time_to_live_by_policy(url):
    with queue_of(url) as (channel, queue):
        with policy(url, exactly(queue), {"message-ttl": 200}):
            publish(channel, queue, b"short")
            wait_until(lambda: depth(channel, queue) == 0, "it has expired")
        publish(channel, queue, b"long")
        time.sleep(0.4)  # the rule is about time that passes
        equal(bodies(channel, queue), [b"long"])


@case
def dead_letters_by_policy(url):
    with queue_of(url) as (channel, dead):
        queue = new_queue(channel)
        with policy(url, exactly(queue), {"dead-letter-exchange": "", "dead-letter-routing-key": dead}):
            wait_until(lambda: rejected_one(channel, queue, dead), "a dead letter")
            _, properties, _ = get(channel, dead)
            equal(properties.headers["x-death"][0]["queue"], queue)
        channel.queue_purge(dead)
        wait_until(lambda: not rejected_one(channel, queue, dead), "no more dead letters")


def rejected_one(channel, queue, dead):
    """Rejects a message, and tells whether it has become a dead letter."""
    before = depth(channel, dead)
    fill(channel, queue, 1)
    channel.basic_reject(get(channel, queue, auto_ack=False)[0].delivery_tag, requeue=False)
    channel.connection.sleep(0.2)
    return depth(channel, dead) > before


@case
def a_queue_expires_by_policy(url):
    with connected(url) as connection:
        channel = connection.channel()
        queue = new_queue(channel, exclusive=False)
        with policy(url, exactly(queue), {"expires": 400}):
            channel.confirm_delivery()

            def gone():
                try:
                    channel.basic_publish("", queue, b"", mandatory=True)
                except pika.exceptions.UnroutableError:
                    return True
                return False

            wait_until(gone, "the unused queue is deleted")


@case
def the_policy_of_the_higher_priority_counts(url):
    with queue_of(url) as (channel, queue):
        fill(channel, queue, 10)
        with policy(url, exactly(queue), {"max-length": 6}, priority=5):
            wait_until(lambda: depth(channel, queue) == 6, "six")
            with policy(url, exactly(queue), {"max-length": 2}, priority=1):
                fill(channel, queue, 3)
                equal(depth(channel, queue), 6, "a lower one changes nothing")
            with policy(url, exactly(queue), {"max-length": 3}, priority=9):
                wait_until(lambda: depth(channel, queue) == 3, "three, by a higher one")
            fill(channel, queue, 10)
            wait_until(lambda: depth(channel, queue) == 6, "six again")


@case
def of_argument_and_policy_the_lower_number_counts(url):
    with queue_of(url, arguments={"x-max-length": 5}) as (channel, queue):
        fill(channel, queue, 10)
        equal(depth(channel, queue), 5)
        with policy(url, exactly(queue), {"max-length": 8}):
            fill(channel, queue, 10)
            equal(depth(channel, queue), 5, "a higher one changes nothing")
        with policy(url, exactly(queue), {"max-length": 3}):
            wait_until(lambda: depth(channel, queue) == 3, "a lower one does")


@case
def an_argument_that_is_no_number_wins(url):
    with queue_of(url) as (channel, dead):
        other = new_queue(channel)
        queue = new_queue(channel, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
        with policy(url, exactly(queue), {"dead-letter-exchange": "amq.direct", "dead-letter-routing-key": other}):
            fill(channel, queue, 1)
            channel.basic_reject(get(channel, queue, auto_ack=False)[0].delivery_tag, requeue=False)
            wait_until(lambda: depth(channel, dead) == 1, "where the argument says")


@case
def an_operator_policy_limits_the_policy(url):
    with queue_of(url) as (channel, queue):
        with policy(url, exactly(queue), {"max-length": 8}):
            with policy(url, exactly(queue), {"max-length": 3}, kind="operator-policies", apply_to="queues"):
                fill(channel, queue, 10)
                wait_until(lambda: depth(channel, queue) == 3, "the lower one")
            fill(channel, queue, 10)
            wait_until(lambda: depth(channel, queue) == 8, "what the policy says")
            with policy(url, exactly(queue), {"max-length": 20}, kind="operator-policies", apply_to="queues"):
                fill(channel, queue, 20)
                equal(depth(channel, queue), 8, "an operator policy only limits")


@case
def a_policy_for_exchanges(url):
    with queue_of(url) as (channel, rest):
        exchange, alternate = unique("exchange"), unique("alternate")
        channel.exchange_declare(exchange, "direct", auto_delete=True)
        channel.exchange_declare(alternate, "fanout", auto_delete=True)
        channel.queue_bind(rest, alternate)
        bound = new_queue(channel)
        channel.queue_bind(bound, exchange, "known")
        with policy(url, exactly(exchange), {"alternate-exchange": alternate}, apply_to="exchanges"):

            def arrives():
                channel.basic_publish(exchange, "unknown", b"")
                return depth(channel, rest) > 0

            wait_until(arrives, "what is not routed goes to the alternate exchange")
            equal(depth(channel, bound), 0)


@case
def a_policy_for_quorum_queues(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        dead = new_queue(channel)
        queue = new_queue(channel, exclusive=False, durable=True, arguments={"x-queue-type": "quorum"})
        definition = {"delivery-limit": 1, "dead-letter-exchange": "", "dead-letter-routing-key": dead}
        with policy(url, exactly(queue), definition, apply_to="queues"):
            connection.sleep(0.5)  # a quorum queue of RabbitMQ takes it up by itself, some time later
            fill(channel, queue, 1)
            consumer = Consumer(connection.channel(), queue)
            for attempt in range(2):
                consumer.wait_for(attempt + 1)
                consumer.channel.basic_nack(consumer.deliveries[-1][0].delivery_tag, requeue=True)
            wait_until(lambda: depth(channel, dead) == 1, "given up after two attempts")
        channel.queue_delete(queue)


@case
def mirrors_are_accepted_and_mean_nothing(url):
    with queue_of(url) as (channel, queue):
        definition = {"ha-mode": "exactly", "ha-params": 2, "ha-sync-mode": "automatic"}
        with policy(url, exactly(queue), definition):
            fill(channel, queue, 3)
            equal(bodies(channel, queue), [b"0", b"1", b"2"])


@case
def policies_that_are_none(url):
    for definition in (
        {"max-length": -1},
        {"max-length": "many"},
        {"message-ttl": -5},
        {"overflow": "explode"},
        {"no-such-key": 1},
        {"expires": 0},
        {},
    ):
        path = f"policies/%2f/{unique('bad')}"
        status, answer = api(url, "PUT", path, {"pattern": "^never$", "definition": definition})
        equal(status, 400, f"{definition}: {answer}")
        equal(api(url, "GET", path)[0], 404, "and it is not there")
    status, _ = api(url, "PUT", f"policies/%2f/{unique('bad')}", {"pattern": "(", "definition": {"max-length": 1}})
    equal(status, 400, "a pattern that is none")


@case
def a_policy_is_told(url):
    with policy(url, "^none$", {"max-length": 7}, priority=3, apply_to="queues") as path:
        status, told = api(url, "GET", path)
        equal(status, 200)
        expected = {
            "vhost": "/",
            "name": urllib.parse.unquote(path.rsplit("/", 1)[-1]),
            "pattern": "^none$",
            "definition": {"max-length": 7},
            "priority": 3,
            "apply-to": "queues",
        }
        equal(told, expected)
        status, all_of_them = api(url, "GET", "policies/%2f")
        equal((status, expected in all_of_them), (200, True))


@case
def the_firehose(url):
    with connected(url) as connection:
        channel = connection.channel()
        watching = new_queue(channel)
        channel.queue_bind(watching, "amq.rabbitmq.trace", "#")
        with traced(url), connected(url) as other:
            working = other.channel()
            queue = new_queue(working)
            working.queue_bind(queue, "amq.direct", queue)
            properties = pika.BasicProperties(headers={"a": 1}, message_id="7")
            working.basic_publish("amq.direct", queue, b"body", properties)
            wait_until(lambda: get(working, queue)[0], "the message")
        found = events(channel, watching, {"publish.amq.direct", f"deliver.{queue}"})
        user = pika.URLParameters(url).credentials.username
        for key in ("publish.amq.direct", f"deliver.{queue}"):
            ((properties, body),) = [it for it in found[key] if it[0].headers["routing_keys"] == [queue]]
            headers = properties.headers
            equal((body, headers["exchange_name"], headers["vhost"]), (b"body", "amq.direct", "/"), key)
            equal((headers["user"], headers["channel"]), (user, 1), key)
            equal(headers["properties"], {"headers": {"a": 1}, "message_id": "7"}, key)
        equal(found["publish.amq.direct"][0][0].headers["routed_queues"], [queue])
        equal(found[f"deliver.{queue}"][0][0].headers["redelivered"], 0)
        channel.queue_purge(watching)
        publish(channel, "", b"not traced")
        equal(depth(channel, watching), 0, "copies when it is switched off")


@contextlib.contextmanager
def traced(url):
    """Has the virtual host traced for as long as the block lasts."""
    status, answer = api(url, "PUT", "vhosts/%2f", {"tracing": True})
    assert status in (201, 204), (status, answer)
    try:
        yield
    finally:
        status, answer = api(url, "PUT", "vhosts/%2f", {"tracing": False})
        assert status in (201, 204), (status, answer)


if __name__ == "__main__":
    main()
