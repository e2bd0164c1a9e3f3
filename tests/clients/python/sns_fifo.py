"""FIFO topics of SNS: order, deduplication, sequence numbers, archive and replay."""

import datetime
import hashlib
import json
import time

import sqs_tools
from sns_tools import (
    fifo_topic,
    invalid,
    no_topic,
    publish,
    refused,
    set_subscription,
    set_topic,
    sns,
    subscribe,
    subscribed,
    subscription_attributes,
    take_one,
    text_of,
    topic,
    topic_attributes,
)
from sqs_tools import answers, arn_of
from suite import beyond, case, equal, is_common, restart_broker, restart_case, wait_until

FIFO = {"FifoQueue": "true", "ContentBasedDeduplication": "false"}
GROUP = {"MessageGroupId": "g"}


@case
def order_of_groups(url):
    with fifo_topic(url) as made, subscribed(url, made, FIFO, RawMessageDelivery="true") as (queue, _):
        numbers = []
        for n in range(12):
            told = publish(url, made, f"m{n}", MessageGroupId=f"g{n % 3}")
            numbers.append(int(told["SequenceNumber"]))
        equal(numbers, sorted(set(numbers)), "numbers rise")
        if not is_common():
            equal(len(told["SequenceNumber"]), 20, "digits of a sequence number")
        messages = []
        while len(messages) < 12:
            got = sqs_tools.receive_all(url, queue, 1)
            sqs_tools.delete(url, queue, *got)
            messages += got
        for group in range(3):
            bodies = [one["Body"] for one in messages if one["Attributes"]["MessageGroupId"] == f"g{group}"]
            equal(bodies, [f"m{n}" for n in range(group, 12, 3)])


@case
def a_notification_has_a_number_and_no_signature(url):
    with fifo_topic(url) as made, subscribed(url, made, FIFO) as (queue, subscription):
        told = publish(url, made, "ordered", Subject="s", MessageAttributes={"a": text_of("b")}, **GROUP)
        message = take_one(url, queue)
        document = json.loads(message["Body"])
        wanted = ["Type", "MessageId", "SequenceNumber", "TopicArn", "Subject", "Message", "Timestamp", "UnsubscribeURL"]
        wanted.append("MessageAttributes")
        equal(sorted(document) if is_common() else list(document), sorted(wanted) if is_common() else wanted)
        equal((document["MessageId"], document["SequenceNumber"]), (told["MessageId"], told["SequenceNumber"]))
        attributes = message["Attributes"]
        equal(attributes["MessageGroupId"], "g")
        equal(attributes["MessageDeduplicationId"], hashlib.sha256(b"ordered").hexdigest())
        assert attributes["SequenceNumber"] != told["SequenceNumber"] or is_common(), "SQS has numbers of its own"


@case
@beyond("LocalStack gives duplicates new numbers")
def duplicates_are_told_the_original(url):
    with fifo_topic(url) as made, subscribed(url, made, FIFO, RawMessageDelivery="true") as (queue, _):
        first = publish(url, made, "once", **GROUP)
        second = publish(url, made, "once", **GROUP)
        equal((second["MessageId"], second["SequenceNumber"]), (first["MessageId"], first["SequenceNumber"]))
        entries = [{"Id": f"e{n}", "Message": "once", "MessageGroupId": "g"} for n in range(3)]
        told = sns(url).publish_batch(TopicArn=made, PublishBatchRequestEntries=entries)
        equal({one["MessageId"] for one in told["Successful"]}, {first["MessageId"]})
        other = publish(url, made, "once", MessageDeduplicationId="another", **GROUP)
        assert other["MessageId"] != first["MessageId"]
        equal(sqs_tools.take_all(url, queue, 2), ["once", "once"])
        equal(sqs_tools.receive(url, queue), [])


@case
def deduplication_of_the_topic(url):
    """Whoever has subscribed: also a standard queue gets no duplicates."""
    if is_common():
        return
    with fifo_topic(url) as made, subscribed(url, made, RawMessageDelivery="true") as (plain, _):
        for n in range(3):
            publish(url, made, "same", **GROUP)
            publish(url, made, f"other {n}", **GROUP)
        message = sqs_tools.receive_all(url, plain, 4)
        equal([one["Body"] for one in message], ["same", "other 0", "other 1", "other 2"])
        equal([name for name in message[0]["Attributes"] if name in ("MessageDeduplicationId", "SequenceNumber")], [])


@case
def scope_of_deduplication(url):
    if is_common():
        return
    with fifo_topic(url, FifoThroughputScope="MessageGroup") as made, subscribed(
        url, made, {**FIFO, "DeduplicationScope": "messageGroup"}, RawMessageDelivery="true"
    ) as (queue, _):
        for group in ("g", "h", "g"):
            publish(url, made, "same", MessageGroupId=group)
        got = sqs_tools.receive_all(url, queue, 2)
        equal(sorted(one["Attributes"]["MessageGroupId"] for one in got), ["g", "h"])
        sqs_tools.delete(url, queue, *got)
        equal(sqs_tools.receive(url, queue), [])


@case
def what_fifo_topics_ask_for(url):
    group = "The MessageGroupId parameter is required for FIFO topics"
    dedup = (
        "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
    )
    with fifo_topic(url, ContentBasedDeduplication="false") as made:

        def batch(**values):
            entries = [{"Id": "a", "Message": "x", **values}]
            return lambda: sns(url).publish_batch(TopicArn=made, PublishBatchRequestEntries=entries)

        invalid(lambda: publish(url, made), group)
        invalid(batch(MessageDeduplicationId="d"), group)
        invalid(lambda: publish(url, made, **GROUP), dedup)
        invalid(batch(**GROUP), dedup)
        assert publish(url, made, MessageDeduplicationId="d", **GROUP)["SequenceNumber"]
        if not is_common():
            for name in ("MessageGroupId", "MessageDeduplicationId"):
                for value in ("", "x" * 129, "a b", "ü"):
                    values = {"MessageGroupId": "g", "MessageDeduplicationId": "d", name: value}
                    invalid(lambda values=values: publish(url, made, **values))


@case
def batches_keep_their_order(url):
    with fifo_topic(url) as made, subscribed(url, made, FIFO, RawMessageDelivery="true") as (queue, _):
        entries = [{"Id": f"e{n}", "Message": f"m{n}", "MessageGroupId": "g"} for n in range(10)]
        told = sns(url).publish_batch(TopicArn=made, PublishBatchRequestEntries=entries)
        numbers = [int(one["SequenceNumber"]) for one in told["Successful"]]
        equal(numbers, sorted(set(numbers)))
        equal(sqs_tools.take_all(url, queue, 10), [f"m{n}" for n in range(10)])


@case
def dead_letters_keep_group_and_deduplication(url):
    with fifo_topic(url) as made, sqs_tools.queue(url, FIFO) as dead, sqs_tools.queue(url, FIFO) as queue:
        redrive = {"deadLetterTargetArn": arn_of(dead)}
        subscribe(url, made, arn_of(queue), RawMessageDelivery="true", RedrivePolicy=redrive)
        sqs_tools.client(url).delete_queue(QueueUrl=queue)
        publish(url, made, "nowhere", MessageDeduplicationId="d", **GROUP)
        letter = take_one(url, dead)
        told = {name: letter["Attributes"][name] for name in ("MessageGroupId", "MessageDeduplicationId")}
        equal((letter["Body"], told), ("nowhere", {"MessageGroupId": "g", "MessageDeduplicationId": "d"}))
        sqs_tools.client(url).create_queue(QueueName=sqs_tools.name_of(queue), Attributes=FIFO)


@case
@beyond("LocalStack filters FIFO topics as others; numbers have gaps there")
def filters_of_fifo_topics(url):
    with fifo_topic(url) as made, subscribed(
        url, made, FIFO, RawMessageDelivery="true", FilterPolicy={"to": ["me"]}
    ) as (queue, _):
        for n in range(6):
            publish(url, made, f"m{n}", MessageAttributes={"to": text_of("me" if n % 2 else "you")}, **GROUP)
        equal(sqs_tools.take_all(url, queue, 3), ["m1", "m3", "m5"])
        equal(sqs_tools.receive(url, queue), [])


def at(seconds):
    """A moment as policies have it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@case
@beyond("LocalStack has no archive")
def archive_and_replay(url):
    started = time.time()
    with fifo_topic(url, ArchivePolicy={"MessageRetentionPeriod": "30"}) as made, sqs_tools.queue(url, FIFO) as queue:
        told = topic_attributes(url, made)
        equal(json.loads(told["ArchivePolicy"]), {"MessageRetentionPeriod": "30"})
        assert told.get("BeginningArchiveTime"), told
        ids = [publish(url, made, f"m{n}", **GROUP)["MessageId"] for n in range(30)]
        replay = {"PointType": "Timestamp", "StartingPoint": at(started - 1)}
        subscription = subscribe(url, made, arn_of(queue), ReplayPolicy=replay)
        # The seam: what is published while the archive is replayed comes behind it, once.
        ids += [publish(url, made, f"m{n}", **GROUP)["MessageId"] for n in range(30, 50)]
        got = [json.loads(body) for body in sqs_tools.take_all(url, queue, 50, seconds=30)]
        equal([one["Message"] for one in got], [f"m{n}" for n in range(50)])
        equal([one["MessageId"] for one in got], ids)
        assert all("Replayed" in one for one in got[:30]), got[0]
        equal(sqs_tools.receive(url, queue), [])
        wait_until(
            lambda: "Completed" in subscription_attributes(url, subscription)["ReplayStatus"], "the end of the replay"
        )
        # A topic with an archive is not deleted.
        refused(lambda: sns(url).delete_topic(TopicArn=made), "InvalidState")
        set_topic(url, made, "ArchivePolicy", "{}")
        sns(url).unsubscribe(SubscriptionArn=subscription)


@case
@beyond("LocalStack has no archive")
def archive_policies_are_checked(url):
    with fifo_topic(url) as made, subscribed(url, made, FIFO) as (_, subscription), topic(url) as plain:
        for policy in ("{", {"MessageRetentionPeriod": "0"}, {"MessageRetentionPeriod": "366"}, {"Foo": "1"}):
            invalid(lambda policy=policy: set_topic(url, made, "ArchivePolicy", policy))
        invalid(lambda: set_topic(url, plain, "ArchivePolicy", {"MessageRetentionPeriod": "1"}))
        for policy in ("{", {"PointType": "Number", "StartingPoint": "1"}, {"PointType": "Timestamp", "StartingPoint": "x"}):
            invalid(lambda policy=policy: set_subscription(url, subscription, "ReplayPolicy", policy))


@restart_case
def order_and_duplicates_survive(url):
    with fifo_topic(url) as made, subscribed(url, made, FIFO, RawMessageDelivery="true") as (queue, _):
        first = publish(url, made, "m0", **GROUP)
        restart_broker("kill")
        wait_until(lambda: answers(url), "the broker is back")
        again = publish(url, made, "m0", **GROUP)
        equal((again["MessageId"], again["SequenceNumber"]), (first["MessageId"], first["SequenceNumber"]))
        second = publish(url, made, "m1", **GROUP)
        assert int(second["SequenceNumber"]) > int(first["SequenceNumber"]), (first, second)
        equal(sqs_tools.take_all(url, queue, 2), ["m0", "m1"])
        equal(sqs_tools.receive(url, queue), [])
    no_topic(lambda: topic_attributes(url, made))
