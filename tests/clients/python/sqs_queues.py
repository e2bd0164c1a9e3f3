"""Queues of SQS: names, URLs, attributes, tags, permissions, lists."""

import json
import time

from sqs_tools import (
    ACCOUNT,
    answers,
    arn_of,
    attributes,
    client,
    counts,
    fifo,
    name_of,
    no_such_queue,
    queue,
    receive,
    refused,
    send,
    send_all,
    take_all,
)
from suite import beyond, case, equal, is_common, restart_case, restart_broker, unique, wait_until

NAME_TEXT = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
FIFO_NAME_TEXT = (
    "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
    "must end with .fifo suffix and be 1 to 80 in length"
)


@case
def queue_url_is_made_of_endpoint_account_and_name(url):
    name = unique("boto")
    made = client(url).create_queue(QueueName=name)["QueueUrl"]
    equal(made, f"{url}/{ACCOUNT}/{name}")
    equal(client(url).get_queue_url(QueueName=name)["QueueUrl"], made)
    equal(client(url).get_queue_url(QueueName=name, QueueOwnerAWSAccountId=ACCOUNT)["QueueUrl"], made)
    client(url).delete_queue(QueueUrl=made)


@case
def standard_queue_has_amazons_defaults(url):
    before = int(time.time())
    with queue(url) as made:
        told = attributes(url, made)
        created = int(told.pop("CreatedTimestamp"))
        assert before - 1 <= created <= time.time() + 1, f"created at {created}"
        equal(int(told.pop("LastModifiedTimestamp")), created)
        equal(
            told,
            {
                "ApproximateNumberOfMessages": "0",
                "ApproximateNumberOfMessagesDelayed": "0",
                "ApproximateNumberOfMessagesNotVisible": "0",
                "DelaySeconds": "0",
                "MaximumMessageSize": "1048576",
                "MessageRetentionPeriod": "345600",
                "QueueArn": arn_of(made),
                "ReceiveMessageWaitTimeSeconds": "0",
                "SqsManagedSseEnabled": "true",
                "VisibilityTimeout": "30",
            },
        )


@case
def fifo_queue_has_amazons_defaults(url):
    with queue(url, {"FifoQueue": "true"}) as made:
        told = attributes(url, made)
        wanted = {
            "ContentBasedDeduplication": "false",
            "DeduplicationScope": "queue",
            "FifoQueue": "true",
            "FifoThroughputLimit": "perQueue",
            "QueueArn": arn_of(made),
        }
        equal({name: told.get(name) for name in wanted}, wanted)


@case
def attributes_are_given_back(url):
    wanted = {
        "DelaySeconds": "1",
        "KmsDataKeyReusePeriodSeconds": "600",
        "KmsMasterKeyId": "alias/mine",
        "MaximumMessageSize": "2048",
        "MessageRetentionPeriod": "120",
        "ReceiveMessageWaitTimeSeconds": "2",
        "VisibilityTimeout": "7",
    }
    with queue(url, wanted) as made:
        equal(attributes(url, made, *wanted), wanted)
        changed = {name: str(int(value) * 2) if value.isdigit() else value + "2" for name, value in wanted.items()}
        client(url).set_queue_attributes(QueueUrl=made, Attributes=changed)
        equal(attributes(url, made, *changed), changed)
        equal(attributes(url, made, "DelaySeconds"), {"DelaySeconds": "2"}, "one attribute")
        equal(client(url).get_queue_attributes(QueueUrl=made).get("Attributes", {}), {}, "no attribute")


@case
@beyond("LocalStack keeps both")
def encryption_is_by_key_or_by_sqs(url):
    with queue(url, {"SqsManagedSseEnabled": "true"}) as made:
        client(url).set_queue_attributes(QueueUrl=made, Attributes={"KmsMasterKeyId": "alias/aws/sqs"})
        told = attributes(url, made)
        equal((told.get("KmsMasterKeyId"), told.get("SqsManagedSseEnabled")), ("alias/aws/sqs", "false"))
        client(url).set_queue_attributes(QueueUrl=made, Attributes={"SqsManagedSseEnabled": "true", "KmsMasterKeyId": ""})
        told = attributes(url, made)
        equal((told.get("KmsMasterKeyId", ""), told.get("SqsManagedSseEnabled")), ("", "true"))


@case
def creating_again_is_the_same_queue_if_it_says_the_same(url):
    with queue(url, {"VisibilityTimeout": "9"}) as made:
        send(url, made, "stays")
        again = client(url).create_queue(QueueName=name_of(made), Attributes={"VisibilityTimeout": "9"})
        equal(again["QueueUrl"], made)
        equal(client(url).create_queue(QueueName=name_of(made))["QueueUrl"], made, "without attributes")
        refused(
            lambda: client(url).create_queue(QueueName=name_of(made), Attributes={"VisibilityTimeout": "10"}),
            "QueueAlreadyExists",
            "A queue already exists with the same name and a different value for attribute VisibilityTimeout",
            shape="QueueNameExists",
        )
        equal(take_all(url, made, 1), ["stays"])


@case
def names_are_checked(url):
    def create(name, **values):
        return lambda: client(url).create_queue(QueueName=name, Attributes=values)

    for name in ("a b", "x" * 81, "a/b" if not is_common() else "a!b", "ü", "a.b", unique("a") + ".fifo"):
        refused(create(name), "InvalidParameterValue", NAME_TEXT)
    for name in ("plain", "x" * 76 + ".fifo", "a b.fifo"):
        text = FIFO_NAME_TEXT if name == "plain" or not is_common() else None
        refused(create(name, FifoQueue="true"), "InvalidParameterValue", text)
    longest = ("x" * 20 + unique("x")).ljust(75, "x")
    for name, values in ((longest + "y" * 5, {}), (longest + ".fifo", {"FifoQueue": "true"})):
        equal(len(name), 80)
        client(url).delete_queue(QueueUrl=create(name, **values)()["QueueUrl"])


@case
@beyond("LocalStack takes any value")
def values_of_attributes_are_checked(url):
    bad = {
        "DelaySeconds": ["-1", "901", "x", ""],
        "MaximumMessageSize": ["1023", "1048577", "1e4"],
        "MessageRetentionPeriod": ["59", "1209601", "99999999999999999999999"],
        "ReceiveMessageWaitTimeSeconds": ["-1", "21"],
        "VisibilityTimeout": ["-1", "43201", " 1"],
        "KmsDataKeyReusePeriodSeconds": ["59", "86401"],
        "SqsManagedSseEnabled": ["maybe"],
        "Policy": ["{", "[]", '"x"'],
        "RedriveAllowPolicy": ["{", '{"redrivePermission":"some"}'],
    }
    with queue(url) as made:
        before = attributes(url, made)
        for name, values in bad.items():
            for value in values:

                def change(name=name, value=value):
                    return client(url).set_queue_attributes(QueueUrl=made, Attributes={name: value})

                # As AWS words it: with a reason for some, without for others.
                told = refused(change, "InvalidAttributeValue", shape="InvalidAttributeValue")
                assert told["Message"].startswith(f"Invalid value for the parameter {name}."), told
                refused(
                    lambda name=name, value=value: client(url).create_queue(
                        QueueName=unique("boto"), Attributes={name: value}
                    ),
                    "InvalidAttributeValue",
                )
        equal(attributes(url, made), before, "attributes after refused changes")
        # The first and the last of each range.
        for name, least, most in (
            ("DelaySeconds", 0, 900),
            ("MaximumMessageSize", 1024, 1048576),
            ("MessageRetentionPeriod", 60, 1209600),
            ("ReceiveMessageWaitTimeSeconds", 0, 20),
            ("VisibilityTimeout", 0, 43200),
        ):
            for value in (least, most):
                client(url).set_queue_attributes(QueueUrl=made, Attributes={name: str(value)})
                equal(attributes(url, made, name), {name: str(value)})


@case
def names_of_attributes_are_checked(url):
    with queue(url) as made, fifo(url) as ordered:
        for name in ("Foo", "ContentBasedDeduplication"):
            refused(
                lambda name=name: client(url).set_queue_attributes(QueueUrl=made, Attributes={name: "true"}),
                "InvalidAttributeName",
                f"Unknown Attribute {name}.",
                shape="InvalidAttributeName",
            )
        refused(
            lambda: client(url).get_queue_attributes(QueueUrl=made, AttributeNames=["Foo"]),
            "InvalidAttributeName",
            "Unknown Attribute Foo.",
        )
        for name, value in (("DeduplicationScope", "messageGroup"), ("FifoThroughputLimit", "perQueue")):
            refused(
                lambda name=name, value=value: client(url).set_queue_attributes(QueueUrl=made, Attributes={name: value}),
                "InvalidAttributeName",
                f"You can specify the {name} only when FifoQueue is set to true.",
            )
        refused(
            lambda: client(url).create_queue(QueueName=unique("boto"), Attributes={"FifoQueue": "false"}),
            "InvalidAttributeName",
            "Unknown Attribute FifoQueue.",
        )
        refused(
            lambda: client(url).set_queue_attributes(QueueUrl=ordered, Attributes={"FifoQueue": "false"}),
            "InvalidAttributeValue",
            "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
        )


@case
def lists_are_paged_and_filtered(url):
    prefix = unique("list")
    made = [client(url).create_queue(QueueName=f"{prefix}-{number}")["QueueUrl"] for number in range(7)]
    other = client(url).create_queue(QueueName=unique("other"))["QueueUrl"]
    told = client(url).list_queues(QueueNamePrefix=prefix)
    equal((sorted(told["QueueUrls"]), told.get("NextToken")), (made, None))
    assert other in client(url).list_queues()["QueueUrls"]

    pages, token = [], {}
    while True:
        page = client(url).list_queues(QueueNamePrefix=prefix, MaxResults=3, **token)
        pages.append(page.get("QueueUrls", []))
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
        assert len(pages) < 9, "pages do not end"
    equal(sorted(sum(pages, [])), made, "all pages")
    equal([len(page) for page in pages if page], [3, 3, 1])
    paginated = client(url).get_paginator("list_queues").paginate(QueueNamePrefix=prefix, PaginationConfig={"PageSize": 2})
    equal(sorted(name for page in paginated for name in page.get("QueueUrls", [])), made, "by paginator")

    equal(client(url).list_queues(QueueNamePrefix=unique("nothing")).get("QueueUrls", []), [])
    for made_url in [*made, other]:
        client(url).delete_queue(QueueUrl=made_url)
    equal(client(url).list_queues(QueueNamePrefix=prefix).get("QueueUrls", []), [])


@case
def a_deleted_queue_is_not_there(url):
    with queue(url) as made:
        pass
    name = name_of(made)
    for call in (
        lambda: client(url).get_queue_url(QueueName=name),
        lambda: send(url, made),
        lambda: receive(url, made),
        lambda: attributes(url, made),
        lambda: client(url).set_queue_attributes(QueueUrl=made, Attributes={"DelaySeconds": "0"}),
        lambda: client(url).purge_queue(QueueUrl=made),
        lambda: client(url).list_queue_tags(QueueUrl=made),
        lambda: client(url).tag_queue(QueueUrl=made, Tags={"a": "b"}),
        lambda: client(url).untag_queue(QueueUrl=made, TagKeys=["a"]),
        lambda: client(url).list_dead_letter_source_queues(QueueUrl=made),
        lambda: client(url).remove_permission(QueueUrl=made, Label="a"),
        lambda: client(url).add_permission(QueueUrl=made, Label="a", AWSAccountIds=[ACCOUNT], Actions=["*"]),
        lambda: client(url).delete_message(QueueUrl=made, ReceiptHandle="x"),
        lambda: client(url).delete_message_batch(QueueUrl=made, Entries=[{"Id": "a", "ReceiptHandle": "x"}]),
        lambda: client(url).send_message_batch(QueueUrl=made, Entries=[{"Id": "a", "MessageBody": "x"}]),
        lambda: client(url).change_message_visibility(QueueUrl=made, ReceiptHandle="x", VisibilityTimeout=0),
        lambda: client(url).change_message_visibility_batch(
            QueueUrl=made, Entries=[{"Id": "a", "ReceiptHandle": "x", "VisibilityTimeout": 0}]
        ),
    ):
        no_such_queue(call)
    if not is_common():
        no_such_queue(lambda: client(url).delete_queue(QueueUrl=made))


@case
def the_path_alone_names_the_queue(url):
    """Queue URLs with another host (made behind a proxy, or kept in a file from AWS) name the same queue."""
    with queue(url) as made:
        there = f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/{name_of(made)}"
        if not is_common():
            send(url, there, "by path")
            equal(take_all(url, made, 1), ["by path"])
            refused(lambda: send(url, f"{url}/nobody/{name_of(made)}"), "InvalidAddress", status=404, shape="InvalidAddress")
        no_such_queue(lambda: send(url, f"{url}/111111111111/{name_of(made)}"))
        no_such_queue(lambda: client(url).get_queue_url(QueueName=name_of(made), QueueOwnerAWSAccountId="111111111111"))


@case
def tags_come_and_go(url):
    def tags(made):
        return client(url).list_queue_tags(QueueUrl=made).get("Tags", {})

    with queue(url, tags={"team": "red", "empty": ""}) as made:
        equal(tags(made), {"team": "red", "empty": ""})
        client(url).tag_queue(QueueUrl=made, Tags={"team": "blue", "ünï/code@": "välue+-=._:/@"})
        equal(tags(made), {"team": "blue", "empty": "", "ünï/code@": "välue+-=._:/@"})
        client(url).untag_queue(QueueUrl=made, TagKeys=["team", "empty", "never"])
        equal(tags(made), {"ünï/code@": "välue+-=._:/@"})
    with queue(url) as made:
        equal(tags(made), {})


@case
@beyond("LocalStack has no limit of tags")
def tags_are_bounded(url):
    with queue(url, tags={f"tag{number}": "x" for number in range(50)}) as made:
        refused(
            lambda: client(url).tag_queue(QueueUrl=made, Tags={"one more": "x"}),
            "InvalidParameterValue",
            f"Too many tags added for queue {name_of(made)}.",
        )
        client(url).tag_queue(QueueUrl=made, Tags={"tag0": "another value"})
        equal(len(client(url).list_queue_tags(QueueUrl=made)["Tags"]), 50)
        for tags in ({"": "x"}, {"k" * 129: "x"}, {"k": "v" * 257}, {"aws:mine": "x"}):
            refused(lambda tags=tags: client(url).tag_queue(QueueUrl=made, Tags=tags), "InvalidParameterValue")


@case
def permissions_make_a_policy(url):
    with queue(url) as made:
        add = client(url).add_permission
        add(QueueUrl=made, Label="first", AWSAccountIds=["111111111111"], Actions=["SendMessage"])
        add(QueueUrl=made, Label="second", AWSAccountIds=["111111111111", "222222222222"], Actions=["*", "ReceiveMessage"])
        policy = json.loads(attributes(url, made, "Policy")["Policy"])
        equal(policy["Version"], "2008-10-17")
        equal(policy["Id"], f"{arn_of(made)}/SQSDefaultPolicy")
        equal(
            policy["Statement"],
            [
                {
                    "Sid": "first",
                    "Effect": "Allow",
                    "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
                    "Action": "SQS:SendMessage",
                    "Resource": arn_of(made),
                },
                {
                    "Sid": "second",
                    "Effect": "Allow",
                    "Principal": {"AWS": ["arn:aws:iam::111111111111:root", "arn:aws:iam::222222222222:root"]},
                    "Action": ["SQS:*", "SQS:ReceiveMessage"],
                    "Resource": arn_of(made),
                },
            ],
        )
        refused(
            lambda: add(QueueUrl=made, Label="first", AWSAccountIds=["111111111111"], Actions=["SendMessage"]),
            "InvalidParameterValue",
            "Value first for parameter Label is invalid. Reason: Already exists.",
        )
        if not is_common():
            refused(
                lambda: add(QueueUrl=made, Label="third", AWSAccountIds=["111111111111"], Actions=["CreateQueue"]),
                "InvalidParameterValue",
                "Value SQS:CreateQueue for parameter ActionName is invalid. "
                "Reason: Only the queue owner is allowed to invoke this action.",
            )
        client(url).remove_permission(QueueUrl=made, Label="first")
        (left,) = json.loads(attributes(url, made, "Policy")["Policy"])["Statement"]
        equal(left["Sid"], "second")
        refused(
            lambda: client(url).remove_permission(QueueUrl=made, Label="first"),
            "InvalidParameterValue",
            "Value first for parameter Label is invalid. Reason: can't find label.",
        )
        client(url).remove_permission(QueueUrl=made, Label="second")
        equal(attributes(url, made, "Policy"), {}, "policy after the last permission")


@case
@beyond("LocalStack has no limit of statements")
def permissions_are_bounded(url):
    with queue(url) as made:
        for number in range(20):
            client(url).add_permission(
                QueueUrl=made, Label=f"p{number}", AWSAccountIds=["111111111111"], Actions=["SendMessage"]
            )
        refused(
            lambda: client(url).add_permission(
                QueueUrl=made, Label="more", AWSAccountIds=["111111111111"], Actions=["SendMessage"]
            ),
            "OverLimit",
            status=403,
            shape="OverLimit",
        )


@case
def purge_takes_everything_once_a_minute(url):
    with queue(url) as made:
        send_all(url, made, [f"b{number}" for number in range(20)])
        send(url, made, "later", DelaySeconds=600)
        equal(len(receive(url, made, 5)) > 0, True, "something in flight")
        client(url).purge_queue(QueueUrl=made)
        wait_until(lambda: counts(url, made)[0] == 0 and counts(url, made)[2] == 0, "an empty queue")
        equal(counts(url, made), (0, 0, 0))
        equal(receive(url, made), [])
        if not is_common():  # only where it is switched on
            refused(
                lambda: client(url).purge_queue(QueueUrl=made),
                "AWS.SimpleQueueService.PurgeQueueInProgress",
                f"Only one PurgeQueue operation on {name_of(made)} is allowed every 60 seconds.",
                status=403,
                shape="PurgeQueueInProgress",
            )
        send(url, made, "after")
        equal(take_all(url, made, 1), ["after"])


@restart_case
def queues_survive_a_crash_with_all_that_was_set(url):
    wanted = {"DelaySeconds": "0", "VisibilityTimeout": "3", "MessageRetentionPeriod": "7200", "KmsMasterKeyId": "alias/k"}
    with queue(url, wanted, tags={"a": "b"}) as made, fifo(url, DeduplicationScope="messageGroup") as ordered:
        client(url).add_permission(QueueUrl=made, Label="l", AWSAccountIds=["111111111111"], Actions=["SendMessage"])
        before = [attributes(url, each) for each in (made, ordered)]
        restart_broker("kill")
        wait_until(lambda: answers(url), "the broker is back")
        equal([attributes(url, each) for each in (made, ordered)], before)
        equal(client(url).list_queue_tags(QueueUrl=made)["Tags"], {"a": "b"})
