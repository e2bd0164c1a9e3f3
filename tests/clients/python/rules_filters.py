"""Bindings with filter policies, of exchanges of the type x-sns, as pika sees them."""

import contextlib
import decimal
import json

import pika

from pika_tools import bodies, connected, doomed, new_queue, reconnected
from suite import case, equal, main, restart_broker, restart_case, unique


@contextlib.contextmanager
def topic(url, *policies, scope=None):
    """A confirming channel, a topic, and a queue for each policy; None is none."""
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        name = unique("topic")
        channel.exchange_declare(name, "x-sns")
        queues = []
        for policy in policies:
            queue = new_queue(channel)
            channel.queue_bind(queue, name, arguments=bound_by(policy, scope))
            queues.append(queue)
        yield channel, name, queues
        channel.exchange_delete(name)


def bound_by(policy, scope=None):
    if policy is None:
        return None
    arguments = {"filter-policy": policy if isinstance(policy, str) else json.dumps(policy)}
    if scope:
        arguments["filter-policy-scope"] = scope
    return arguments


def publish(channel, exchange, body, headers=None, **properties):
    channel.basic_publish(exchange, "a key means nothing", body, pika.BasicProperties(headers=headers, **properties))


@case
def without_policies_a_topic_is_a_fanout(url):
    with topic(url, None, None) as (channel, name, queues):
        publish(channel, name, b"1")
        publish(channel, name, b"2", {"store": "books"})
        equal([bodies(channel, queue) for queue in queues], [[b"1", b"2"]] * 2)


@case
def headers_decide(url):
    policies = [
        None,
        {"store": ["books", "toys"]},
        {"store": [{"prefix": "boo"}], "price": [{"numeric": [">", 10, "<=", 20]}]},
        {"store": [{"anything-but": ["books"]}]},
        {"store": [{"exists": False}]},
        {"tags": ["new"]},
        {"$or": [{"price": [5]}, {"urgent": [True]}]},
    ]
    with topic(url, *policies) as (channel, name, queues):
        publish(channel, name, b"books", {"store": "books", "price": 15})
        publish(channel, name, b"dear books", {"store": "books", "price": decimal.Decimal("20.5")})
        publish(channel, name, b"toys", {"store": "toys", "price": 5, "tags": ["old", "new"]})
        publish(channel, name, b"none", {"urgent": True})
        publish(channel, name, b"no headers")
        equal(
            [bodies(channel, queue) for queue in queues],
            [
                [b"books", b"dear books", b"toys", b"none", b"no headers"],
                [b"books", b"dear books", b"toys"],
                [b"books"],
                [b"toys"],
                [b"none", b"no headers"],
                [b"toys"],
                [b"toys", b"none"],
            ],
        )


@case
def properties_have_names(url):
    policies = [
        {"content-type": ["application/json"]},
        {"correlation-id": [{"suffix": "-7"}]},
        {"type": [{"equals-ignore-case": "ORDER"}]},
        {"app-id": [{"wildcard": "shop-*-web"}]},
    ]
    with topic(url, *policies) as (channel, name, queues):
        publish(channel, name, b"1", content_type="application/json", correlation_id="order-7")
        publish(channel, name, b"2", type="Order", app_id="shop-eu-web")
        equal([bodies(channel, queue) for queue in queues], [[b"1"], [b"1"], [b"2"], [b"2"]])


@case
def bodies_decide(url):
    policies = [
        {"order": {"total": [{"numeric": [">=", 100]}]}},
        {"order": {"items": {"sku": ["A"], "count": [{"numeric": [">", 1]}]}}},
        {"order": {"note": [None]}},
        {"from": [{"cidr": "10.0.0.0/8"}]},
    ]
    with topic(url, *policies, scope="MessageBody") as (channel, name, queues):
        large = json.dumps({"order": {"total": 100, "items": [{"sku": "A", "count": 1}, {"sku": "B", "count": 5}]}})
        small = json.dumps({"order": {"total": 99.99, "note": None, "items": [{"sku": "A", "count": 2}]}, "from": "10.1.2.3"})
        for body in [large.encode(), small.encode(), b"no JSON", b"[1]", b"\xff\xfe"]:
            publish(channel, name, body, {"order": "a header is nothing here"})
        equal(
            [[json.loads(body)["order"]["total"] for body in bodies(channel, queue)] for queue in queues],
            [[100], [99.99], [99.99], [99.99]],
        )


@case
def a_message_that_nobody_asked_for_is_returned(url):
    with topic(url, {"store": ["books"]}) as (channel, name, _):
        properties = pika.BasicProperties(headers={"store": "toys"})
        try:
            channel.basic_publish(name, "", b"toys", properties, mandatory=True)
        except pika.exceptions.UnroutableError as error:
            equal(error.messages[0].method.reply_code, 312)
        else:
            raise AssertionError("it was not returned")
        channel.basic_publish(name, "", b"books", pika.BasicProperties(headers={"store": "books"}), mandatory=True)


@case
def a_queue_that_is_bound_twice_gets_a_message_once(url):
    with topic(url, {"a": [1]}) as (channel, name, [queue]):
        channel.queue_bind(queue, name, arguments=bound_by({"b": [2]}))
        channel.queue_bind(queue, name, arguments=bound_by({"c": [3]}))
        publish(channel, name, b"both", {"a": 1, "b": 2})
        publish(channel, name, b"one", {"b": 2})
        publish(channel, name, b"none", {"b": 3})
        equal(bodies(channel, queue), [b"both", b"one"])
        channel.queue_unbind(queue, name, arguments=bound_by({"b": [2]}))
        publish(channel, name, b"gone", {"b": 2})
        publish(channel, name, b"there", {"c": 3})
        equal(bodies(channel, queue), [b"there"])
        channel.queue_bind(queue, name)
        publish(channel, name, b"everything")
        equal(bodies(channel, queue), [b"everything"])


@case
def exchanges_are_bound_by_policies_too(url):
    with topic(url) as (channel, name, _), topic(url, {"b": [2]}) as (inside, inner, [queue]):
        channel.exchange_bind(inner, name, arguments=bound_by({"a": [1]}))
        publish(channel, name, b"both", {"a": 1, "b": 2})
        publish(channel, name, b"first", {"a": 1})
        publish(channel, name, b"second", {"b": 2})
        equal(bodies(inside, queue), [b"both"])


@case
def what_is_no_policy_is_refused(url):
    with topic(url) as (channel, name, _), connected(url) as connection:
        queue = new_queue(channel, exclusive=False, auto_delete=True)
        for arguments, text in [
            ({"filter-policy": '{"key":[{"wrong-operator":true}]}'},
             "Invalid parameter: FilterPolicy: Unrecognized match type wrong-operator"),
            ({"filter-policy": '{"a":{"b":["c"]}}'},
             "Invalid parameter: Filter policy scope MessageAttributes does not support nested filter policy"),
            ({"filter-policy": '{"a":["b"'}, "Invalid parameter: FilterPolicy: failed to parse JSON."),
            ({"filter-policy": "{}", "filter-policy-scope": "Other"}, "Invalid parameter: FilterPolicyScope: Invalid value [Other]."),
            ({"filter-policy": 5}, "expected longstr"),
        ]:
            try:
                connection.channel().queue_bind(queue, name, arguments=arguments)
            except pika.exceptions.ChannelClosedByBroker as error:
                equal(error.reply_code, 406)
                assert text in error.reply_text, error.reply_text
            else:
                raise AssertionError(f"{arguments} were not refused")
        channel.queue_delete(queue)


@restart_case
def policies_survive_a_restart(url):
    connection = doomed(url)
    channel = connection.channel()
    name, queue = unique("topic"), unique("queue")
    channel.exchange_declare(name, "x-sns", durable=True)
    channel.queue_declare(queue, durable=True)
    channel.queue_bind(queue, name, arguments=bound_by({"store": ["books"]}))
    restart_broker("kill")
    with reconnected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        publish(channel, name, b"books", {"store": "books"})
        publish(channel, name, b"toys", {"store": "toys"})
        equal(bodies(channel, queue), [b"books"])
        channel.queue_delete(queue)
        channel.exchange_delete(name)


if __name__ == "__main__":
    main()
