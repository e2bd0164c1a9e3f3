"""Who may do what by SNS: signatures, permissions of users, policies of topics and of queues that are subscribed.

The broker asks for signatures (`auth = "required"`); MANAGEMENT_URL says where users and keys are made.
"""

import contextlib
import json
import urllib.parse

import sqs_tools
from aws_users import SECRET, own_a_key, user
from sns_tools import ACCOUNT, arn, fetch, refused, sns
from sqs_tools import arn_of, name_of
from suite import case, equal, main, restart_broker, restart_case, unique, wait_until
from webhook import webhook


def owner(url):
    """A client with a key of the default user, made where there is none."""
    own_a_key()
    return sns(url, "OWNER", SECRET)


def queues(url):
    """The same for SQS."""
    own_a_key()
    return sqs_tools.client(url, "OWNER", SECRET)


@contextlib.contextmanager
def topic(url, **attributes):
    """A topic of the default user's."""
    made = owner(url).create_topic(Name=unique("rights"), Attributes=attributes)["TopicArn"]
    try:
        yield made
    finally:
        owner(url).delete_topic(TopicArn=made)


@contextlib.contextmanager
def queue(url, **attributes):
    """A queue of the default user's."""
    made = queues(url).create_queue(QueueName=unique("rights"), Attributes=attributes)["QueueUrl"]
    try:
        yield made
    finally:
        queues(url).delete_queue(QueueUrl=made)


def denied(run):
    """The call is refused, as the caller may not."""
    return refused(run, "AuthorizationError", status=403)


def take(url, made, seconds=15):
    """The next message of a queue: its body."""
    got = []

    def step():
        for message in queues(url).receive_message(QueueUrl=made, WaitTimeSeconds=1, MaxNumberOfMessages=1).get("Messages", []):
            queues(url).delete_message(QueueUrl=made, ReceiptHandle=message["ReceiptHandle"])
            got.append(message["Body"])

    wait_until(lambda: got, "a message", seconds, step)
    return got[0]


def waiting(url, made):
    """How much waits in a queue."""
    told = queues(url).get_queue_attributes(QueueUrl=made, AttributeNames=["ApproximateNumberOfMessages"])
    return int(told["Attributes"]["ApproximateNumberOfMessages"])


@case
def signatures(url):
    owner(url)
    for key in ("NOBODY", "owner"):
        refused(sns(url, key, SECRET).list_topics, "InvalidClientTokenId", status=403)
    refused(sns(url, "OWNER", SECRET + "x").list_topics, "SignatureDoesNotMatch", status=403)
    assert "Topics" in owner(url).list_topics()
    status, told = fetch(f"{url}/?Action=ListTopics&Version=2010-03-31")
    equal(status in (400, 403), True, told)
    status, told = fetch(f"{url}/?Action=CreateTopic&Name=x&Version=2010-03-31")
    equal(status in (400, 403), True, told)


@case
def permissions_of_users(url):
    name = unique("mine")
    pattern = f"^{name}"
    with topic(url) as other, queue(url) as theirs, user(pattern, pattern, pattern) as (_, key):
        mine = sns(url, key, SECRET)
        made = mine.create_topic(Name=name)["TopicArn"]
        own = sqs_tools.client(url, key, SECRET).create_queue(QueueName=name)["QueueUrl"]
        mine.subscribe(TopicArn=made, Protocol="sqs", Endpoint=arn_of(own), Attributes={"RawMessageDelivery": "true"})
        mine.publish(TopicArn=made, Message="x")
        (message,) = sqs_tools.client(url, key, SECRET).receive_message(QueueUrl=own, WaitTimeSeconds=5)["Messages"]
        equal(message["Body"], "x")
        entries = [{"Id": "a", "Message": "x"}]
        for call in (
            lambda: mine.create_topic(Name=unique("other")),
            lambda: mine.publish(TopicArn=other, Message="x"),
            lambda: mine.publish_batch(TopicArn=other, PublishBatchRequestEntries=entries),
            lambda: mine.delete_topic(TopicArn=other),
            lambda: mine.set_topic_attributes(TopicArn=other, AttributeName="DisplayName", AttributeValue="x"),
            lambda: mine.add_permission(TopicArn=other, Label="l", AWSAccountId=[ACCOUNT], ActionName=["Publish"]),
            lambda: mine.remove_permission(TopicArn=other, Label="l"),
            lambda: mine.tag_resource(ResourceArn=other, Tags=[{"Key": "a", "Value": "b"}]),
            lambda: mine.untag_resource(ResourceArn=other, TagKeys=["a"]),
            lambda: mine.put_data_protection_policy(ResourceArn=other, DataProtectionPolicy="{}"),
            # Whoever listens reads the topic, and whoever is told is written to.
            lambda: mine.subscribe(TopicArn=other, Protocol="sqs", Endpoint=arn_of(own)),
            lambda: mine.subscribe(TopicArn=made, Protocol="sqs", Endpoint=arn_of(theirs)),
            lambda: mine.subscribe(
                TopicArn=made,
                Protocol="http",
                Endpoint="http://127.0.0.1:9/",
                Attributes={"RedrivePolicy": json.dumps({"deadLetterTargetArn": arn_of(theirs)})},
            ),
        ):
            denied(call)
        equal(waiting(url, theirs), 0)
        listed = [one["TopicArn"] for page in mine.get_paginator("list_topics").paginate() for one in page["Topics"]]
        equal(listed, [made], "topics that this user sees")
        mine.delete_topic(TopicArn=made)
        sqs_tools.client(url, key, SECRET).delete_queue(QueueUrl=own)


@case
def publishing_is_not_listening(url):
    with topic(url) as made, queue(url) as own:
        name = made.rpartition(":")[2]
        with user("^$", f"^({name}|{name_of(own)})$", "^$") as (_, key):
            writer = sns(url, key, SECRET)
            assert writer.publish(TopicArn=made, Message="x")["MessageId"]
            denied(lambda: writer.subscribe(TopicArn=made, Protocol="sqs", Endpoint=arn_of(own)))
        with user("^$", f"^{name_of(own)}$", f"^{name}$") as (_, key):
            reader = sns(url, key, SECRET)
            denied(lambda: reader.publish(TopicArn=made, Message="x"))
            told = reader.subscribe(TopicArn=made, Protocol="sqs", Endpoint=arn_of(own))["SubscriptionArn"]
            owner(url).publish(TopicArn=made, Message="heard")
            equal(json.loads(take(url, own))["Message"], "heard")
            reader.unsubscribe(SubscriptionArn=told)


@case
def nobody_elses_subscription(url):
    with topic(url) as made, queue(url) as own, user("^$", "^$", "^$") as (_, key):
        told = owner(url).subscribe(TopicArn=made, Protocol="sqs", Endpoint=arn_of(own))["SubscriptionArn"]
        nobody = sns(url, key, SECRET)
        denied(lambda: nobody.unsubscribe(SubscriptionArn=told))
        denied(
            lambda: nobody.set_subscription_attributes(
                SubscriptionArn=told, AttributeName="RawMessageDelivery", AttributeValue="true"
            )
        )
        denied(lambda: nobody.get_subscription_attributes(SubscriptionArn=told))
        every = [one for page in nobody.get_paginator("list_subscriptions").paginate() for one in page["Subscriptions"]]
        equal(every, [], "subscriptions that this user sees")


def with_policy(url, made, *statements):
    """Sets the topic's policy; each statement is about this topic unless it says otherwise."""
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Resource": made, "Principal": "*", "Action": "sns:*", **one} for one in statements],
    }
    owner(url).set_topic_attributes(TopicArn=made, AttributeName="Policy", AttributeValue=json.dumps(policy))


@case
def policies_of_topics(url):
    with topic(url) as made, user("^$", "^$", "^$") as (name, key):
        mine, other = owner(url), sns(url, key, SECRET)
        denied(lambda: other.publish(TopicArn=made, Message="x"))
        with_policy(
            url,
            made,
            {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{name}"}, "Action": "SNS:Publish"},
        )
        assert other.publish(TopicArn=made, Message="x")["MessageId"]
        denied(lambda: other.get_topic_attributes(TopicArn=made))
        with_policy(
            url,
            made,
            {"Effect": "Deny", "Action": ["SNS:Publish"], "Condition": {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}},
        )
        denied(lambda: mine.publish(TopicArn=made, Message="x"))
        denied(lambda: mine.publish_batch(TopicArn=made, PublishBatchRequestEntries=[{"Id": "a", "Message": "x"}]))
        assert mine.get_topic_attributes(TopicArn=made)["Attributes"]
        # Of another topic.
        with_policy(url, made, {"Effect": "Deny", "Resource": made + "-other"})
        assert mine.publish(TopicArn=made, Message="x")["MessageId"]


@case
def anybody_may_publish_where_a_policy_says_so(url):
    with topic(url) as made, queue(url) as own:
        owner(url).subscribe(
            TopicArn=made, Protocol="sqs", Endpoint=arn_of(own), Attributes={"RawMessageDelivery": "true"}
        )
        form = urllib.parse.urlencode({"Action": "Publish", "TopicArn": made, "Message": "anybody", "Version": "2010-03-31"})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}

        def ask():
            return fetch(url, "POST", form.encode(), headers)[0]

        equal(ask() in (400, 403), True, "without a policy")
        with_policy(url, made, {"Effect": "Allow", "Action": "SNS:Publish"})
        equal(ask(), 200, "allowed for everybody")
        equal(take(url, own), "anybody")


@case
def policies_of_queues(url):
    """A queue's policy decides what topics of this account reach it: a Deny is obeyed."""
    with topic(url) as made, queue(url) as own, queue(url) as dead:
        attributes = {"RawMessageDelivery": "true", "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn_of(dead)})}
        owner(url).subscribe(TopicArn=made, Protocol="sqs", Endpoint=arn_of(own), Attributes=attributes)
        owner(url).publish(TopicArn=made, Message="let in")
        equal(take(url, own), "let in")

        def policy(**statement):
            whole = {"Version": "2012-10-17", "Statement": [{"Resource": arn_of(own), "Action": "sqs:SendMessage", **statement}]}
            queues(url).set_queue_attributes(QueueUrl=own, Attributes={"Policy": json.dumps(whole)})

        service = {"Service": "sns.amazonaws.com"}
        policy(Effect="Deny", Principal=service, Condition={"ArnEquals": {"aws:SourceArn": made}})
        owner(url).publish(TopicArn=made, Message="kept out")
        equal(take(url, dead), "kept out")
        equal(waiting(url, own), 0)
        policy(Effect="Deny", Principal=service, Condition={"ArnEquals": {"aws:SourceArn": arn("another")}})
        owner(url).publish(TopicArn=made, Message="of this topic")
        equal(take(url, own), "of this topic")
        policy(Effect="Allow", Principal=service, Condition={"StringEquals": {"aws:SourceAccount": ACCOUNT}})
        owner(url).publish(TopicArn=made, Message="allowed")
        equal(take(url, own), "allowed")


@case
def links_are_good_for_what_they_say(url):
    """Without a signature: confirming and unsubscribing, by who was sent the link; and the certificate."""
    with topic(url) as made, webhook() as hook:
        told = owner(url).subscribe(TopicArn=made, Protocol="http", Endpoint=hook.url(), ReturnSubscriptionArn=True)
        hook.confirm()
        owner(url).publish(TopicArn=made, Message="x")
        document = hook.wait()[0].document()
        status, certificate = fetch(document["SigningCertURL"])
        equal((status, "BEGIN CERTIFICATE" in certificate, "PRIVATE" in certificate), (200, True, False))
        status, _ = fetch(document["UnsubscribeURL"])
        equal(status, 200)
        refused(
            lambda: owner(url).get_subscription_attributes(SubscriptionArn=told["SubscriptionArn"]), "NotFound", status=404
        )
        # No other action is.
        for action in ("DeleteTopic", "GetTopicAttributes", "ListSubscriptionsByTopic"):
            query = urllib.parse.urlencode({"Action": action, "TopicArn": made, "Version": "2010-03-31"})
            status, _ = fetch(f"{url}/?{query}")
            equal(status in (400, 403), True, action)


@restart_case
def policies_survive(url):
    with topic(url) as made:
        with_policy(url, made, {"Effect": "Deny", "Action": "SNS:Publish"})
        restart_broker("kill")
        wait_until(lambda: sqs_tools.answers(url, "OWNER", SECRET), "the broker is back")
        denied(lambda: owner(url).publish(TopicArn=made, Message="x"))
        with_policy(url, made, {"Effect": "Allow", "Action": "SNS:Publish"})


if __name__ == "__main__":
    main()
