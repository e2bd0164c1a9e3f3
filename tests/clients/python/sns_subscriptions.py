"""Subscriptions of SNS: endpoints, attributes, confirmation, lists."""

import concurrent.futures
import json

import sqs_tools
from sns_tools import (
    ACCOUNT,
    REGION,
    fifo_topic,
    invalid,
    no_subscription,
    publish,
    refused,
    set_subscription,
    sns,
    subscribe,
    subscribed,
    subscription_attributes,
    take_notification,
    topic,
)
from sqs_tools import arn_of, name_of
from suite import beyond, case, equal, is_common

NOWHERE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:nowhere"


@case
def a_queue_is_subscribed_at_once(url):
    with topic(url) as made, sqs_tools.queue(url) as queue:
        told = sns(url).subscribe(TopicArn=made, Protocol="sqs", Endpoint=arn_of(queue))["SubscriptionArn"]
        assert told.startswith(made + ":"), told
        attributes = subscription_attributes(url, told)
        principal = attributes.pop("SubscriptionPrincipal")
        assert principal.startswith(f"arn:aws:iam::{ACCOUNT}:"), principal
        wanted = {
            "ConfirmationWasAuthenticated": "true",
            "Endpoint": arn_of(queue),
            "Owner": ACCOUNT,
            "PendingConfirmation": "false",
            "Protocol": "sqs",
            "RawMessageDelivery": "false",
            "SubscriptionArn": told,
            "TopicArn": made,
        }
        equal(attributes, wanted)
        listed = {name: wanted[name] for name in ("Endpoint", "Owner", "Protocol", "SubscriptionArn", "TopicArn")}
        equal(sns(url).list_subscriptions_by_topic(TopicArn=made)["Subscriptions"], [listed])
        every = [one for page in sns(url).get_paginator("list_subscriptions").paginate() for one in page["Subscriptions"]]
        equal([one for one in every if one["TopicArn"] == made], [listed])
        sns(url).unsubscribe(SubscriptionArn=told)
        sns(url).unsubscribe(SubscriptionArn=told)  # again is no error
        equal(sns(url).list_subscriptions_by_topic(TopicArn=made).get("Subscriptions", []), [])
        no_subscription(lambda: subscription_attributes(url, told))
        no_subscription(lambda: set_subscription(url, told, "RawMessageDelivery", "true"))


@case
def subscribing_again_is_the_same_if_it_says_the_same(url):
    with topic(url) as made, sqs_tools.queue(url) as queue:

        def again(**attributes):
            return subscribe(url, made, arn_of(queue), **attributes)

        first = again(RawMessageDelivery="true")
        for attributes in ({}, {"RawMessageDelivery": "true"}):
            equal(again(**attributes), first)
        invalid(
            lambda: again(RawMessageDelivery="false"),
            "Attributes Reason: Subscription already exists with different attributes",
        )
        policy = {"a": ["b"]}
        invalid(
            lambda: again(FilterPolicy=policy), "Attributes Reason: Subscription already exists with different attributes"
        )
        equal(len(sns(url).list_subscriptions_by_topic(TopicArn=made)["Subscriptions"]), 1)


@case
def endpoints_are_checked(url):
    with topic(url) as made, sqs_tools.queue(url) as queue, sqs_tools.fifo(url) as ordered:

        def to(protocol, endpoint):
            return lambda: sns(url).subscribe(TopicArn=made, Protocol=protocol, Endpoint=endpoint)

        invalid(to("carrier-pigeon", arn_of(queue)), "Amazon SNS does not support this protocol string: carrier-pigeon")
        invalid(to("sqs", queue), "SQS endpoint ARN")
        invalid(
            to("sqs", arn_of(ordered)),
            "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics",
        )
        for protocol in ("http", "https"):
            invalid(to(protocol, "ftp://example.com/"), "Endpoint must match the specified protocol")
        invalid(to("https", "http://example.com/"), "Endpoint must match the specified protocol")
        told = invalid(to("sms", "12-34-abc"))
        assert "SMS endpoint" in told["Message"], told
        invalid(to("application", "x"), "ApplicationEndpoint ARN", starts=True)
        if not is_common():
            for protocol, endpoint in (
                ("sqs", "arn:aws:sns:us-east-1:000000000000:nothing"),
                ("lambda", "x"),
                ("lambda", arn_of(queue)),
                ("firehose", "x"),
                ("email", "nobody"),
                ("email", "a b@example.com"),
                ("http", "http://"),
                ("http", "http://user:word@example.com:99999/"),
                ("application", arn_of(queue)),
            ):
                invalid(to(protocol, endpoint))
        equal(sns(url).list_subscriptions_by_topic(TopicArn=made).get("Subscriptions", []), [])


@case
def attributes_are_checked(url):
    bad = {
        "RawMessageDelivery": {"maybe": "RawMessageDelivery: Invalid value [maybe]. Must be true or false."},
        "FilterPolicyScope": {
            "Somewhere": "FilterPolicyScope: Invalid value [Somewhere]. Please use either MessageBody or MessageAttributes"
        },
        "FilterPolicy": {
            "{x": "FilterPolicy: failed to parse JSON.",
            '{"a":"b"}': 'FilterPolicy: "a" must be an object or an array',
            '{"a":[]}': "FilterPolicy: Empty arrays are not allowed",
        },
        "RedrivePolicy": {
            "{x": "RedrivePolicy: failed to parse JSON.",
            '{"deadLetterTargetArn":"x"}': "RedrivePolicy: deadLetterTargetArn is an invalid arn",
        },
        "Foo": {"x": "AttributeName"},
    }
    with topic(url) as made, subscribed(url, made) as (queue, subscription):
        before = subscription_attributes(url, subscription)
        for name, values in bad.items():
            for value, text in values.items():
                invalid(lambda name=name, value=value: set_subscription(url, subscription, name, value), text, starts=True)
                invalid(
                    lambda name=name, value=value: sns(url).subscribe(
                        TopicArn=made, Protocol="sqs", Endpoint=NOWHERE, Attributes={name: value}
                    ),
                    f"Attributes Reason: {text}",
                    starts=True,
                )
        equal(subscription_attributes(url, subscription), before, "attributes after refused changes")


@case
def attributes_are_given_back(url):
    policy = {"kind": ["order", {"prefix": "x"}]}
    with topic(url) as made, sqs_tools.queue(url) as dead, subscribed(url, made) as (_, subscription):
        redrive = {"deadLetterTargetArn": arn_of(dead)}
        set_subscription(url, subscription, "FilterPolicy", policy)
        told = subscription_attributes(url, subscription)
        equal((json.loads(told["FilterPolicy"]), told["FilterPolicyScope"]), (policy, "MessageAttributes"))
        set_subscription(url, subscription, "FilterPolicyScope", "MessageBody")
        set_subscription(url, subscription, "RedrivePolicy", redrive)
        set_subscription(url, subscription, "RawMessageDelivery", "true")
        told = subscription_attributes(url, subscription)
        wanted = ("MessageBody", redrive, "true")
        equal((told["FilterPolicyScope"], json.loads(told["RedrivePolicy"]), told["RawMessageDelivery"]), wanted)
        if not is_common():
            set_subscription(url, subscription, "FilterPolicy", "")
            set_subscription(url, subscription, "RedrivePolicy", "")
            told = subscription_attributes(url, subscription)
            equal([name for name in ("FilterPolicy", "FilterPolicyScope", "RedrivePolicy") if name in told], [])


@case
@beyond("LocalStack has no role to be checked, and merges no delivery policies")
def attributes_of_other_protocols(url):
    role = f"arn:aws:iam::{ACCOUNT}:role/delivers"
    stream = f"arn:aws:firehose:{REGION}:{ACCOUNT}:deliverystream/stream"
    with topic(url) as made:
        subscription = subscribe(url, made, stream, "firehose", SubscriptionRoleArn=role, RawMessageDelivery="true")
        told = subscription_attributes(url, subscription)
        equal((told["SubscriptionRoleArn"], told["RawMessageDelivery"]), (role, "true"))
        other = subscribe(url, made, f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f", "lambda")
        equal(subscription_attributes(url, other)["PendingConfirmation"], "false")
        invalid(lambda: set_subscription(url, other, "RawMessageDelivery", "true"))
        invalid(lambda: set_subscription(url, other, "DeliveryPolicy", {"throttlePolicy": {"maxReceivesPerSecond": 1}}))


@case
def fifo_topics_take_both_kinds_of_queues(url):
    with fifo_topic(url) as made, sqs_tools.queue(url) as plain, sqs_tools.fifo(url) as ordered:
        subscribe(url, made, arn_of(plain))
        subscription = subscribe(url, made, arn_of(ordered))
        redrive = {"deadLetterTargetArn": arn_of(plain)}
        invalid(
            lambda: set_subscription(url, subscription, "RedrivePolicy", redrive),
            "RedrivePolicy: must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic.",
        )
        if not is_common():
            # What is not ordered is not for them.
            for protocol, endpoint in (("http", "http://example.com/"), ("email", "a@example.com"), ("sms", "+15555550100")):
                invalid(
                    lambda protocol=protocol, endpoint=endpoint: subscribe(url, made, endpoint, protocol)
                )


@case
def what_must_be_confirmed_waits(url):
    with topic(url) as made:
        for protocol, endpoint in (("email", "someone@example.com"), ("email-json", "someone@example.com")):
            told = sns(url).subscribe(TopicArn=made, Protocol=protocol, Endpoint=endpoint)["SubscriptionArn"]
            # LocalStack says its ARN.
            if not is_common():
                equal(told, "pending confirmation")
            subscription = subscribe(url, made, f"2{endpoint}", protocol)
            attributes = subscription_attributes(url, subscription)
            equal(attributes["PendingConfirmation"], "true")
            if not is_common():
                equal(attributes["ConfirmationWasAuthenticated"], "false")
        if not is_common():
            listed = sns(url).list_subscriptions_by_topic(TopicArn=made)["Subscriptions"]
            equal({one["SubscriptionArn"] for one in listed}, {"PendingConfirmation"})


@case
def tokens_that_nobody_was_given(url):
    with topic(url) as made, subscribed(url, made):
        for token in ("x", "0" * 64, "7573" * 16, "ü"):
            told = refused(
                lambda token=token: sns(url).confirm_subscription(TopicArn=made, Token=token), "InvalidParameter"
            )
            assert told["Message"] in ("Invalid parameter: Token", "Invalid token", "Invalid parameter: Topic"), told
        invalid(lambda: sns(url).confirm_subscription(TopicArn="x", Token="0" * 64), "Topic")


@case
def arns_of_subscriptions_are_checked(url):
    few = "SubscriptionArn Reason: An ARN must have at least 6 elements, not {}"
    with topic(url) as made:
        invalid(lambda: sns(url).unsubscribe(SubscriptionArn="x"), few.format(1))
        invalid(lambda: sns(url).unsubscribe(SubscriptionArn="arn:aws:sns:us-east-1:1"), few.format(5))
        invalid(lambda: sns(url).unsubscribe(SubscriptionArn=made), "SubscriptionId")
        gone = f"{made}:00000000-0000-0000-0000-000000000000"
        sns(url).unsubscribe(SubscriptionArn=gone)
        no_subscription(lambda: subscription_attributes(url, gone))


@case
def lists_are_paged_by_a_hundred(url):
    with topic(url) as made:
        endpoints = [f"+1555555{number:04}" for number in range(102)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda endpoint: subscribe(url, made, endpoint, "sms"), endpoints))
        first = sns(url).list_subscriptions_by_topic(TopicArn=made)
        equal((len(first["Subscriptions"]), bool(first.get("NextToken"))), (100, True))
        second = sns(url).list_subscriptions_by_topic(TopicArn=made, NextToken=first["NextToken"])
        equal((len(second["Subscriptions"]), second.get("NextToken")), (2, None))
        found = [one["Endpoint"] for one in first["Subscriptions"] + second["Subscriptions"]]
        equal(sorted(found), endpoints)
        every = [one for page in sns(url).get_paginator("list_subscriptions").paginate() for one in page["Subscriptions"]]
        equal(len([one for one in every if one["TopicArn"] == made]), 102)


@case
def a_deleted_topic_takes_its_subscriptions_along(url):
    with sqs_tools.queue(url) as queue:
        with topic(url) as made:
            subscription = subscribe(url, made, arn_of(queue))
            name = made.rpartition(":")[2]
        if not is_common():
            no_subscription(lambda: subscription_attributes(url, subscription))
        # Another one of its name begins without.
        sns(url).create_topic(Name=name)
        equal(sns(url).list_subscriptions_by_topic(TopicArn=made).get("Subscriptions", []), [])
        publish(url, made, "to nobody")
        equal(sqs_tools.receive(url, queue, wait=0), [])
        sns(url).delete_topic(TopicArn=made)


@case
def a_queue_that_comes_back_is_subscribed_still(url):
    with topic(url) as made, sqs_tools.queue(url) as queue:
        subscribe(url, made, arn_of(queue))
        publish(url, made, "before")
        equal(take_notification(url, queue)["Message"], "before")
        sqs_tools.client(url).delete_queue(QueueUrl=queue)
        publish(url, made, "to nobody")
        sqs_tools.client(url).create_queue(QueueName=name_of(queue))
        publish(url, made, "after")
        equal(take_notification(url, queue)["Message"], "after")
        equal(sqs_tools.receive(url, queue, wait=0), [])
