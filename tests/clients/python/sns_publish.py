"""Publishing by SNS, and what comes to queues of SQS: notifications, raw messages, structures, batches, dead letters, signatures."""

import datetime
import json
import time
import urllib.parse
import uuid

import sqs_tools
from sns_tools import (
    fetch,
    invalid,
    number_of,
    publish,
    refused,
    set_subscription,
    set_topic,
    sns,
    strings_of,
    subscribe,
    subscribed,
    take_notification,
    take_one,
    text_of,
    topic,
    verify,
)
from sqs_tools import answers, arn_of, md5_of_attributes
from suite import beyond, case, equal, is_common, restart_broker, restart_case, wait_until

SIZE_MAX = 262144


@case
def a_notification(url):
    values = {
        "text": text_of("grüße"),
        "number": number_of("-12.50"),
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
        "array": strings_of("a", 1, None, True),
    }
    with topic(url) as made, subscribed(url, made) as (queue, subscription):
        told = publish(url, made, 'höllo "\\/\n\u2028 </>', Subject="Sübject", MessageAttributes=values)
        equal(str(uuid.UUID(told["MessageId"])), told["MessageId"])
        message = take_one(url, queue)
        equal(message.get("MessageAttributes"), None, "attributes are in the document")
        assert message["MessageId"] != told["MessageId"], "SQS has an id of its own"
        document = json.loads(message["Body"])
        wanted = ["Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp", "SignatureVersion", "Signature"]
        wanted += ["SigningCertURL", "UnsubscribeURL", "MessageAttributes"]
        if is_common():
            equal(sorted(document), sorted(wanted))
        else:
            equal(list(document), wanted, "members in their order")
            assert message["Body"].startswith('{\n  "Type" : "Notification",\n  "MessageId" : '), message["Body"][:80]
        equal((document["Type"], document["MessageId"]), ("Notification", told["MessageId"]))
        equal((document["TopicArn"], document["Subject"]), (made, "Sübject"))
        equal(document["Message"], 'höllo "\\/\n\u2028 </>')
        when = datetime.datetime.strptime(document["Timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
        assert len(document["Timestamp"]) == 24 and abs(when.timestamp() - time.time()) < 60, document["Timestamp"]
        assert document["UnsubscribeURL"].endswith(f"/?Action=Unsubscribe&SubscriptionArn={subscription}"), document
        wanted = {
            "text": {"Type": "String", "Value": "grüße"},
            "number": {"Type": "Number", "Value": "-12.50"},
            "bytes": {"Type": "Binary", "Value": "AP8="},
            "array": {"Type": "String.Array", "Value": values["array"]["StringValue"]},
        }
        equal(document["MessageAttributes"], wanted)
        verify(document)
        publish(url, made, "plain")
        document = take_notification(url, queue)
        equal(sorted({"Subject", "MessageAttributes"} & set(document)), [], "members of what is not there")
        verify(document)


@case
def a_raw_message(url):
    values = {
        "text": text_of("grüße"),
        "number": number_of("007"),
        "custom": {"DataType": "Number.int", "StringValue": "7"},
        "bytes": {"DataType": "Binary.png", "BinaryValue": bytes(range(256))},
        "array": strings_of("a", 1),
    }
    with topic(url) as made, subscribed(url, made, RawMessageDelivery="true") as (queue, _):
        publish(url, made, "höllo", Subject="is not told", MessageAttributes=values)
        message = take_one(url, queue)
        equal(message["Body"], "höllo")
        equal(message["MessageAttributes"], values)
        equal(message["MD5OfMessageAttributes"], md5_of_attributes(values))
        equal(message["MD5OfBody"], sqs_tools.md5_of_body("höllo"))


@case
def each_subscription_has_its_own_form(url):
    with topic(url) as made, subscribed(url, made) as (first, _), subscribed(url, made, RawMessageDelivery="true") as (second, _):
        told = publish(url, made, "to both", MessageAttributes={"a": text_of("b")})
        equal(take_notification(url, first)["MessageId"], told["MessageId"])
        equal(take_one(url, second)["Body"], "to both")


@case
def what_waits_keeps_its_form(url):
    with topic(url) as made, subscribed(url, made) as (queue, subscription):
        publish(url, made, "first")
        if is_common():
            sqs_tools.receive_one(url, queue, VisibilityTimeout=0)  # it is on its way
        set_subscription(url, subscription, "RawMessageDelivery", "true")
        publish(url, made, "second")
        got = sqs_tools.take_all(url, queue, 2)
        equal(sorted(body if body == "second" else json.loads(body)["Message"] for body in got), ["first", "second"])
        publish(url, made, "third")
        if is_common():
            sqs_tools.receive_one(url, queue, VisibilityTimeout=0)
        sns(url).unsubscribe(SubscriptionArn=subscription)
        equal(take_one(url, queue)["Body"], "third")
        publish(url, made, "to nobody")
        equal(sqs_tools.receive(url, queue, wait=0), [])


@case
def what_is_published_before_does_not_come(url):
    with topic(url) as made:
        publish(url, made, "before")
        with subscribed(url, made) as (queue, _):
            publish(url, made, "after")
            equal(take_notification(url, queue)["Message"], "after")
            equal(sqs_tools.receive(url, queue), [])


@case
def a_topic_may_be_the_target(url):
    with topic(url) as made, subscribed(url, made, RawMessageDelivery="true") as (queue, _):
        sns(url).publish(TargetArn=made, Message="by target")
        equal(take_one(url, queue)["Body"], "by target")
        invalid(
            lambda: sns(url).publish(TargetArn=made.replace(made.rpartition(":")[2], "endpoint/GCM/a/b"), Message="x"),
            "TargetArn Reason: No endpoint found for the target arn specified",
        )
        invalid(lambda: sns(url).publish(Message="x"))


@case
def a_structure_has_a_message_for_each_protocol(url):
    with topic(url) as made, subscribed(url, made) as (first, _), subscribed(url, made, RawMessageDelivery="true") as (second, _):

        def say(message):
            publish(url, made, json.dumps(message), MessageStructure="json")
            return take_notification(url, first)["Message"], take_one(url, second)["Body"]

        equal(say({"default": "for all", "sqs": "for queues", "email": "for people"}), ("for queues", "for queues"))
        equal(say({"default": "for all", "http": "x", "unknown": "y"}), ("for all", "for all"))
        equal(say({"default": "for all", "sqs": {"no": "text"}}), ("for all", "for all"))
        publish(url, made, '{"default":"a","default":"b"}', MessageStructure="json")
        equal(take_one(url, second)["Body"], "b")
        take_one(url, first)
        missing = "Message Structure - No default entry in JSON message body"
        for text in ('{"sqs":"x"}', '{"default":1}', "{}"):
            invalid(lambda text=text: publish(url, made, text, MessageStructure="json"), missing)
        broken = "Message Structure - JSON message body failed to parse"
        for text in ("x", '{"default":', "{'default':'x'}"):
            invalid(lambda text=text: publish(url, made, text, MessageStructure="json"), broken)
        if not is_common():
            invalid(lambda: publish(url, made, "[]", MessageStructure="json"))
        equal(sqs_tools.receive(url, first) + sqs_tools.receive(url, second), [])


@case
def sizes_are_bounded(url):
    with topic(url) as made, subscribed(url, made, RawMessageDelivery="true") as (queue, _):
        publish(url, made, "x" * SIZE_MAX)
        equal(len(take_one(url, queue)["Body"]), SIZE_MAX)
        invalid(lambda: publish(url, made, "x" * (SIZE_MAX + 1)), "Message too long")
        invalid(lambda: publish(url, made, "ü" * (SIZE_MAX // 2 + 1)), "Message too long")
        invalid(lambda: publish(url, made, "x" * SIZE_MAX, MessageAttributes={"a": text_of("b")}), "Message too long")
        # Name, type and value count.
        publish(url, made, "x" * (SIZE_MAX - 8), MessageAttributes={"a": text_of("b")})
        equal(len(take_one(url, queue)["Body"]), SIZE_MAX - 8)
        invalid(lambda: publish(url, made, ""), "Empty message")


@case
def subjects_are_checked(url):
    with topic(url) as made:
        invalid(lambda: publish(url, made, Subject=""), "Subject")
        publish(url, made, Subject="x" * 99)
        if not is_common():
            for subject in ("x" * 101, "a\nb", "a\x07b"):
                invalid(lambda subject=subject: publish(url, made, Subject=subject), "Subject", starts=True)


@case
def attributes_are_checked(url):
    empty = "The message attribute 'a' must contain non-empty message attribute value for message attribute type '{}'."
    kinds = (
        "The message attribute 'a' has an invalid message attribute type, the set of supported type prefixes is Binary, "
        "Number, and String."
    )
    field = "The message attribute 'a' with type '{}' must use field '{}'."
    for name, value, text in (
        ("a", {"DataType": "String", "StringValue": ""}, empty.format("String")),
        ("a", {"DataType": "Binary", "BinaryValue": b""}, empty.format("Binary")),
        ("a", {"DataType": "String"}, empty.format("String")),
        ("a", {"DataType": "String", "BinaryValue": b"x"}, field.format("String", "String")),
        ("a", {"DataType": "Number", "BinaryValue": b"x"}, field.format("Number", "String")),
        ("a", {"DataType": "Binary", "StringValue": "x"}, field.format("Binary", "Binary")),
        ("a", {"DataType": "InvalidType", "StringValue": "x"}, kinds),
        ("a", {"DataType": "Stringprefixed", "StringValue": "x"}, kinds),
        ("a", {"DataType": "String.", "StringValue": "x"}, kinds),
        ("x" * 257, text_of("x"), "Length of message attribute name must be less than 256 bytes."),
        (
            "a^b",
            text_of("x"),
            "Invalid non-alphanumeric character '#x5E' was found in the message attribute name. "
            "Can only include alphanumeric characters, hyphens, underscores, or dots.",
        ),
        (".a", text_of("x"), "Invalid message attribute name starting with character '.' was found."),
        ("a.", text_of("x"), "Invalid message attribute name ending with character '.' was found."),
        ("a..b", text_of("x"), "Message attribute name can not have successive '.' character."),
    ):
        with topic(url) as made:
            for call in (
                lambda made=made, name=name, value=value: publish(url, made, MessageAttributes={name: value}),
                lambda made=made, name=name, value=value: sns(url).publish_batch(
                    TopicArn=made,
                    PublishBatchRequestEntries=[
                        {"Id": "good", "Message": "x"},
                        {"Id": "bad", "Message": "x", "MessageAttributes": {name: value}},
                    ],
                ),
            ):
                refused(call, "ParameterValueInvalid", text)
    with topic(url) as made:
        unchecked = sns(url, parameter_validation=False)
        told = refused(
            lambda: unchecked.publish(TopicArn=made, Message="x", MessageAttributes={"a": {"StringValue": "x"}}),
            "ValidationError",
        )
        assert "Member must not be null" in told["Message"], told


@case
def batches(url):
    with topic(url) as made, subscribed(url, made, RawMessageDelivery="true") as (queue, _):
        entries = [{"Id": f"e-{n}_x", "Message": f"m{n}"} for n in range(10)]
        entries[3].update(Subject="s", MessageAttributes={"a": number_of(1)})
        entries[4].update(Message=json.dumps({"default": "m4"}), MessageStructure="json")
        told = sns(url).publish_batch(TopicArn=made, PublishBatchRequestEntries=entries)
        equal(([one["Id"] for one in told["Successful"]], told.get("Failed", [])), ([one["Id"] for one in entries], []))
        equal(len({one["MessageId"] for one in told["Successful"]}), 10)
        equal([one for one in told["Successful"] if "SequenceNumber" in one], [])
        equal(sorted(sqs_tools.take_all(url, queue, 10)), sorted(f"m{n}" for n in range(10)))

        def batch(*several):
            return lambda: sns(url).publish_batch(TopicArn=made, PublishBatchRequestEntries=list(several))

        def entry(name, message="x", **values):
            return {"Id": name, "Message": message, **values}

        refused(
            batch(*(entry(str(n)) for n in range(11))),
            "TooManyEntriesInBatchRequest",
            "The batch request contains more entries than permissible.",
        )
        refused(
            batch(entry("a"), entry("a")),
            "BatchEntryIdsNotDistinct",
            "Two or more batch entries in the request have the same Id.",
        )
        refused(
            batch(entry("a", "x" * 200_000), entry("b", "x" * 70_000)),
            "BatchRequestTooLong",
            "The length of all the messages put together is more than the limit.",
        )
        for name in ("a b", "a.b", "x" * 81):
            refused(batch(entry("good"), entry(name)), "InvalidBatchEntryId")
        invalid(
            batch(entry("a"), entry("b", "{}", MessageStructure="json")),
            "Message Structure - No default entry in JSON message body",
        )
        if not is_common():
            refused(batch(), "EmptyBatchRequest")
        equal(sqs_tools.receive(url, queue), [])


@case
def signatures_of_both_versions(url):
    with topic(url, {"SignatureVersion": "2"}) as made, subscribed(url, made) as (queue, _):
        publish(url, made, "grüße\n", Subject="with a subject")
        document = take_notification(url, queue)
        verify(document, "2")
        set_topic(url, made, "SignatureVersion", "1")
        publish(url, made, "again")
        document = take_notification(url, queue)
        verify(document, "1")
        # A signature is for this document only.
        try:
            verify({**document, "Message": "another"}, "1")
        except AssertionError:
            raise
        except Exception as error:  # cryptography's own
            equal(type(error).__name__, "InvalidSignature")
        else:
            raise AssertionError("a changed message is as good as signed")


@case
def unsubscribing_by_the_link(url):
    with topic(url) as made, subscribed(url, made) as (queue, _):
        publish(url, made, "last")
        status, told = fetch(take_notification(url, queue)["UnsubscribeURL"])
        equal((status, "UnsubscribeResponse" in told), (200, True), told)
        equal(sns(url).list_subscriptions_by_topic(TopicArn=made).get("Subscriptions", []), [])
        publish(url, made, "to nobody")
        equal(sqs_tools.receive(url, queue), [])


@case
def a_subscription_without_a_queue_has_dead_letters(url):
    with topic(url) as made, sqs_tools.queue(url) as dead:
        for raw in ("true", "false"):
            with sqs_tools.queue(url) as queue:
                subscription = subscribe(
                    url, made, arn_of(queue), RawMessageDelivery=raw, RedrivePolicy={"deadLetterTargetArn": arn_of(dead)}
                )
                sqs_tools.client(url).delete_queue(QueueUrl=queue)
                values = {"n": number_of(1), "b": {"DataType": "Binary", "BinaryValue": b"\x02\x03"}}
                told = publish(url, made, "nowhere to go", MessageAttributes=values)
                letter = take_one(url, dead)
                if raw == "true":
                    equal((letter["Body"], letter["MessageAttributes"]), ("nowhere to go", values))
                else:
                    document = json.loads(letter["Body"])
                    equal((document["MessageId"], document["Message"]), (told["MessageId"], "nowhere to go"))
                    equal(document["MessageAttributes"]["b"], {"Type": "Binary", "Value": "AgM="})
                sns(url).unsubscribe(SubscriptionArn=subscription)
                sqs_tools.client(url).create_queue(QueueName=sqs_tools.name_of(queue))


@case
def a_group_makes_a_standard_queue_fair(url):
    with topic(url) as made, subscribed(url, made, RawMessageDelivery="true") as (queue, _):
        publish(url, made, "of a tenant", MessageGroupId="tenant")
        equal(take_one(url, queue)["Attributes"].get("MessageGroupId"), "tenant")
        invalid(
            lambda: publish(url, made, MessageDeduplicationId="d"),
            "MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid for "
            "this topic type",
        )


@case
@beyond("LocalStack keeps the policy only")
def data_is_protected(url):
    policy = {
        "Name": "no-addresses",
        "Version": "2021-06-01",
        "Statement": [
            {
                "Sid": "deny",
                "DataDirection": "Inbound",
                "Principal": ["*"],
                "DataIdentifier": ["arn:aws:dataprotection::aws:data-identifier/EmailAddress"],
                "Operation": {"Deny": {}},
            }
        ],
    }
    with topic(url) as made, subscribed(url, made, RawMessageDelivery="true") as (queue, _):
        sns(url).put_data_protection_policy(ResourceArn=made, DataProtectionPolicy=json.dumps(policy))
        refused(lambda: publish(url, made, "write to ann@example.com today"), "AuthorizationError", status=403)
        publish(url, made, "write to nobody")
        equal(take_one(url, queue)["Body"], "write to nobody")
        policy["Statement"][0].update(
            DataDirection="Inbound", Operation={"Deidentify": {"MaskConfig": {"MaskWithCharacter": "#"}}}
        )
        sns(url).put_data_protection_policy(ResourceArn=made, DataProtectionPolicy=json.dumps(policy))
        publish(url, made, "write to ann@example.com today")
        equal(take_one(url, queue)["Body"], "write to ############### today")


@case
@beyond("LocalStack has one protocol")
def by_a_form_and_by_the_url(url):
    """As curl does it, from the same machine: no SDK, and no signature."""
    with topic(url) as made, subscribed(url, made, RawMessageDelivery="true") as (queue, _):
        form = urllib.parse.urlencode(
            {
                "Action": "Publish",
                "Version": "2010-03-31",
                "TopicArn": made,
                "Message": "by a form",
                "MessageAttributes.entry.1.Name": "n",
                "MessageAttributes.entry.1.Value.DataType": "Number",
                "MessageAttributes.entry.1.Value.StringValue": "5",
            }
        )
        status, told = fetch(url, "POST", form.encode(), {"Content-Type": "application/x-www-form-urlencoded"})
        equal((status, "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">" in told), (200, True), told)
        equal(take_one(url, queue)["MessageAttributes"], {"n": number_of(5)})
        status, told = fetch(f"{url}/?{form}")
        equal(status, 200, told)
        equal(take_one(url, queue)["Body"], "by a form")


@restart_case
def survives(url):
    with topic(url, {"DisplayName": "kept"}) as made, subscribed(url, made) as (queue, subscription):
        values = {"a": strings_of("x", 1)}
        told = [publish(url, made, f"m{n}", Subject="s", MessageAttributes=values)["MessageId"] for n in range(5)]
        restart_broker("kill")
        wait_until(lambda: answers(url), "the broker is back")
        got = [json.loads(body) for body in sqs_tools.take_all(url, queue, 5)]
        equal([one["MessageId"] for one in got], told)
        equal({one["Message"] for one in got}, {f"m{n}" for n in range(5)})
        equal(got[0]["MessageAttributes"], {"a": {"Type": "String.Array", "Value": '["x", 1]'}})
        verify(got[0])
        equal(sns(url).get_topic_attributes(TopicArn=made)["Attributes"]["DisplayName"], "kept")
        set_subscription(url, subscription, "RawMessageDelivery", "true")
        publish(url, made, "after", MessageAttributes=values)
        restart_broker("stop")
        wait_until(lambda: answers(url), "the broker is back")
        message = take_one(url, queue)
        equal((message["Body"], message["MessageAttributes"]), ("after", values))
