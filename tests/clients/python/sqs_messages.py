"""Messages of SQS: bodies, attributes, batches, visibility, delays, long polls."""

import threading
import time
import uuid

from sqs_tools import (
    answers,
    attributes,
    bodies,
    client,
    counts,
    delete,
    md5_of_attributes,
    md5_of_body,
    queue,
    receive,
    receive_all,
    receive_one,
    refused,
    send,
    send_all,
    speaks_query,
    take_all,
    took,
)
from suite import beyond, case, equal, is_common, restart_case, restart_broker, wait_until

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


@case
def sent_received_and_deleted(url):
    with queue(url) as made:
        before = time.time()
        told = send(url, made, "hello")
        equal(told["MD5OfMessageBody"], md5_of_body("hello"))
        equal(str(uuid.UUID(told["MessageId"])), told["MessageId"])
        equal([name for name in told if name.startswith("MD5OfMessageA") or name == "SequenceNumber"], [])
        (message,) = receive(url, made)
        equal((message["Body"], message["MD5OfBody"]), ("hello", md5_of_body("hello")))
        equal(message["MessageId"], told["MessageId"])
        system = message["Attributes"]
        equal(system["ApproximateReceiveCount"], "1")
        assert system["SenderId"]
        for name in ("SentTimestamp", "ApproximateFirstReceiveTimestamp"):
            assert before - 1 <= int(system[name]) / 1000 <= time.time() + 1, f"{name}: {system}"
        equal(counts(url, made), (0, 1, 0), "in flight")
        equal(receive(url, made), [], "while it is in flight")
        delete(url, made, message)
        equal(counts(url, made), (0, 0, 0), "deleted")
        delete(url, made, message)  # again is no error


@case
def any_text_comes_back_as_it_was(url):
    texts = ["x", " ", "\t\n\r", "<a>&amp;\"'</a>", "ünïcode 😀 \ufffd", "%20+&=", '{"json": [1, "\\u0000"]}', "\u2028 \u0085", "]]>"]
    with queue(url) as made:
        for text in texts:
            equal(send(url, made, text)["MD5OfMessageBody"], md5_of_body(text))
        equal(sorted(take_all(url, made, len(texts))), sorted(texts))


@case
def text_that_xml_cannot_carry_is_refused(url):
    with queue(url) as made:
        for text in ("\0", "a\x0bb", "a\x1fb", "\ufffe", "\uffff"):
            if is_common() and speaks_query():
                continue
            refused(lambda text=text: send(url, made, text), "InvalidMessageContents", shape="InvalidMessageContents")
        refused(lambda: send(url, made, ""), "MissingParameter", "The request must contain the parameter MessageBody.")
        equal(counts(url, made), (0, 0, 0))


@case
def typed_attributes_come_back_as_they_were(url):
    values = {
        "text": {"DataType": "String", "StringValue": "välue"},
        "text.html": {"DataType": "String.html", "StringValue": "<b>"},
        "number": {"DataType": "Number", "StringValue": "-12.50"},
        "number.int": {"DataType": "Number.int", "StringValue": "007"},
        "big": {"DataType": "Number", "StringValue": "1234567890123456789012345678901234567.8"},
        "bytes": {"DataType": "Binary", "BinaryValue": bytes(range(256))},
        "bytes-png": {"DataType": "Binary.png", "BinaryValue": b"\x89PNG"},
        "A_z-0.9": {"DataType": "String", "StringValue": "x"},
    }
    with queue(url) as made:
        told = send(url, made, "typed", MessageAttributes=values)
        equal(told["MD5OfMessageAttributes"], md5_of_attributes(values))
        (message,) = receive(url, made)
        equal(message["MessageAttributes"], values)
        equal(message["MD5OfMessageAttributes"], md5_of_attributes(values))


@case
def attributes_are_received_as_asked_for(url):
    values = {
        name: {"DataType": "String", "StringValue": name} for name in ("order.id", "order.kind", "other", "ordering")
    }

    def ask(*names):
        answer = client(url).receive_message(
            QueueUrl=made, MessageAttributeNames=list(names), VisibilityTimeout=0, WaitTimeSeconds=5
        )
        (message,) = answer["Messages"]
        given = message.get("MessageAttributes", {})
        if not is_common():
            wanted = md5_of_attributes({name: values[name] for name in given}) if given else None
            equal(message.get("MD5OfMessageAttributes"), wanted, "MD5 of what is given")
        equal("Attributes" in message, False, "system attributes that were not asked for")
        return sorted(given)

    with queue(url) as made:
        send(url, made, "many", MessageAttributes=values)
        equal(ask(), [])
        equal(ask("other"), ["other"])
        equal(ask("other", "nothing"), ["other"])
        equal(ask("nothing"), [])
        for everything in ("All", ".*"):
            equal(ask(everything), sorted(values), everything)
        # What begins so; the dot belongs to the pattern.
        equal(ask("order.*"), ["order.id", "order.kind", "ordering"])
        if not is_common():
            equal(ask("order.*", "other"), sorted(values))


@case
def system_attributes_are_received_as_asked_for(url):
    with queue(url) as made:
        trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}}
        told = send(url, made, "traced", MessageSystemAttributes=trace)
        equal(told["MD5OfMessageSystemAttributes"], md5_of_attributes(trace))

        def ask(**names):
            answer = client(url).receive_message(QueueUrl=made, VisibilityTimeout=0, WaitTimeSeconds=5, **names)
            return answer["Messages"][0].get("Attributes", {})

        equal(ask(AttributeNames=["AWSTraceHeader"]), {"AWSTraceHeader": TRACE})
        equal(sorted(ask(AttributeNames=["SenderId", "SentTimestamp"])), ["SenderId", "SentTimestamp"])
        everything = [
            "AWSTraceHeader",
            "ApproximateFirstReceiveTimestamp",
            "ApproximateReceiveCount",
            "SenderId",
            "SentTimestamp",
        ]
        equal(sorted(ask(AttributeNames=["All"])), everything)
        if not speaks_query():
            equal(sorted(ask(MessageSystemAttributeNames=["All"])), everything)
            both = ask(AttributeNames=["SenderId"], MessageSystemAttributeNames=["SentTimestamp"])
            assert "SentTimestamp" in both, both
        count = ask(AttributeNames=["ApproximateReceiveCount"])["ApproximateReceiveCount"]
        assert int(count) >= 4, count


@case
def attributes_are_checked(url):
    with queue(url) as made:

        def refused_attribute(value, name="a"):
            refused(lambda: send(url, made, "x", MessageAttributes={name: value}), "InvalidParameterValue")

        good = {"DataType": "String", "StringValue": "x"}
        for name in ("AWS.x", "amazon.x", ".a", "a.", "a b", "a" * 257, "a/b"):
            refused_attribute(good, name)
        refused_attribute({"DataType": "String", "StringValue": ""})
        refused_attribute({"DataType": "Text", "StringValue": "x"})
        refused_attribute({"DataType": "", "StringValue": "x"})
        if not speaks_query():
            refused_attribute({"DataType": "String", "StringValue": "\x01"})
        if not is_common():
            for value in ("", "abc", "1 2", "0x10", "NaN"):
                refused_attribute({"DataType": "Number", "StringValue": value})
            refused_attribute({"DataType": "Binary", "BinaryValue": b""})
            refused_attribute({"DataType": "Binary", "StringValue": "x"})
            refused_attribute({"DataType": "Number", "BinaryValue": b"1"})
            refused_attribute(good, "a..b")
            refused_attribute(good, "")
            refused(
                lambda: send(url, made, "x", MessageAttributes={str(number): good for number in range(11)}),
                "InvalidParameterValue",
                "Number of message attributes [11] exceeds the allowed maximum [10].",
            )
            for system in (
                {"Other": good},
                {"AWSTraceHeader": {"DataType": "Number", "StringValue": "1"}},
                {"AWSTraceHeader": {"DataType": "Binary", "BinaryValue": b"1"}},
            ):
                refused(
                    lambda system=system: send(url, made, "x", MessageSystemAttributes=system), "InvalidParameterValue"
                )
            # In a batch it is the mistake of one entry.
            entries = [
                {"Id": "system", "MessageBody": "x", "MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "Binary", "BinaryValue": b"1"}}},
                {"Id": "empty", "MessageBody": "x", "MessageAttributes": {"a": {"DataType": "Binary", "BinaryValue": b""}}},
            ]
            answer = client(url).send_message_batch(QueueUrl=made, Entries=entries)
            equal(sorted(entry["Id"] for entry in answer["Failed"]), ["empty", "system"])
        equal(counts(url, made), (0, 0, 0))


@case
def size_is_bounded_by_the_queue(url):
    with queue(url, {"MaximumMessageSize": "1024"}) as made:
        text = "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes."
        send(url, made, "x" * 1024)
        refused(lambda: send(url, made, "x" * 1025), "InvalidParameterValue", text)
        refused(lambda: send(url, made, "ü" * 513), "InvalidParameterValue", text)
        value = {"name": {"DataType": "String", "StringValue": "v" * 14}}  # 4 + 6 + 14
        send(url, made, "x" * 1000, MessageAttributes=value)
        refused(lambda: send(url, made, "x" * 1001, MessageAttributes=value), "InvalidParameterValue", text)
        equal(counts(url, made)[0], 2)


@case
def largest_message_and_batch(url):
    with queue(url) as made:
        largest = "ü" * 524288
        send(url, made, largest)
        equal(take_all(url, made, 1), [largest])
        refused(
            lambda: send(url, made, largest + "x"),
            "InvalidParameterValue",
            "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.",
        )
        tenth = "x" * 104857
        send_all(url, made, [tenth] * 10)
        equal(len(take_all(url, made, 10)), 10)
        refused(
            lambda: send_all(url, made, ["x" * 524289] * 2),
            "AWS.SimpleQueueService.BatchRequestTooLong",
            "Batch requests cannot be longer than 1048576 bytes. You have sent 1048578 bytes.",
            shape="BatchRequestTooLong",
        )


@case
def batches_are_checked_as_a_whole(url):
    with queue(url) as made:
        sends = client(url).send_message_batch
        deletes = client(url).delete_message_batch
        changes = client(url).change_message_visibility_batch
        for call, value in (
            (sends, {"MessageBody": "x"}),
            (deletes, {"ReceiptHandle": "x"}),
            (changes, {"ReceiptHandle": "x", "VisibilityTimeout": 0}),
        ):

            def entries(*ids, call=call, value=value):
                return lambda: call(QueueUrl=made, Entries=[{"Id": name, **value} for name in ids])

            if not (is_common() and speaks_query()):
                refused(entries(), "AWS.SimpleQueueService.EmptyBatchRequest", shape="EmptyBatchRequest")
            refused(
                entries(*map(str, range(11))),
                "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
                "Maximum number of entries per request are 10. You have sent 11.",
                shape="TooManyEntriesInBatchRequest",
            )
            refused(
                entries("a", "b", "a"),
                "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
                "Id a repeated." if not is_common() else None,
                shape="BatchEntryIdsNotDistinct",
            )
            for name in ("a b", "x" * 81, "a.b"):
                refused(
                    entries(name),
                    "AWS.SimpleQueueService.InvalidBatchEntryId",
                    "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
                    "It can be at most 80 letters long.",
                    shape="InvalidBatchEntryId",
                )
        equal(counts(url, made), (0, 0, 0))


@case
def a_batch_fails_in_parts(url):
    with queue(url, {"MaximumMessageSize": "1024"}) as made:
        answer = client(url).send_message_batch(
            QueueUrl=made,
            Entries=[
                {"Id": "good", "MessageBody": "good", "MessageAttributes": {"a": {"DataType": "Number", "StringValue": "1"}}},
                {"Id": "delayed", "MessageBody": "delayed", "DelaySeconds": 600},
                {"Id": "traced", "MessageBody": "traced", "MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}}},
                {"Id": "bad-text", "MessageBody": "a\x01" if not speaks_query() else "\ufffe"},
                *([] if is_common() else [{"Id": "bad-size", "MessageBody": "x" * 1025}]),
                *([] if is_common() else [{"Id": "bad-delay", "MessageBody": "x", "DelaySeconds": 901}]),
            ],
        )
        made_ids = {entry["Id"]: entry for entry in answer["Successful"]}
        equal(sorted(made_ids), ["delayed", "good", "traced"])
        equal(made_ids["good"]["MD5OfMessageBody"], md5_of_body("good"))
        assert "MD5OfMessageAttributes" in made_ids["good"]
        if not is_common():
            assert "MD5OfMessageSystemAttributes" in made_ids["traced"]
        failed = {entry["Id"]: (entry["Code"], entry["SenderFault"]) for entry in answer["Failed"]}
        equal(failed.pop("bad-text"), ("InvalidMessageContents", not is_common()))
        if not is_common():
            equal(failed, {"bad-size": ("InvalidParameterValue", True), "bad-delay": ("InvalidParameterValue", True)})
            assert all(entry["Message"] for entry in answer["Failed"])
        equal(counts(url, made), (2, 0, 1))

        got = receive_all(url, made, 2)
        answer = client(url).delete_message_batch(
            QueueUrl=made,
            Entries=[
                {"Id": "there", "ReceiptHandle": got[0]["ReceiptHandle"]},
                {"Id": "garbage", "ReceiptHandle": "garbage"},
            ],
        )
        equal([entry["Id"] for entry in answer["Successful"]], ["there"])
        equal([(e["Id"], e["Code"], e["SenderFault"]) for e in answer["Failed"]], [("garbage", "ReceiptHandleIsInvalid", not is_common())])
        answer = client(url).change_message_visibility_batch(
            QueueUrl=made,
            Entries=[
                {"Id": "there", "ReceiptHandle": got[1]["ReceiptHandle"], "VisibilityTimeout": 0},
                {"Id": "garbage", "ReceiptHandle": "garbage", "VisibilityTimeout": 0},
            ],
        )
        equal([entry["Id"] for entry in answer["Successful"]], ["there"])
        equal([(e["Id"], e["Code"]) for e in answer["Failed"]], [("garbage", "ReceiptHandleIsInvalid")])
        equal(bodies([receive_one(url, made)]), [got[1]["Body"]], "given back at once")


@case
def parameters_of_receive_are_checked(url):
    with queue(url) as made:
        ask = client(url).receive_message
        for value in (0, 11) if not is_common() else (11,):
            refused(
                lambda value=value: ask(QueueUrl=made, MaxNumberOfMessages=value),
                "InvalidParameterValue",
                f"Value {value} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.",
            )
        refused(
            lambda: ask(QueueUrl=made, WaitTimeSeconds=21),
            "InvalidParameterValue",
            "Value 21 for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.",
        )
        if not is_common():
            refused(lambda: ask(QueueUrl=made, WaitTimeSeconds=-1), "InvalidParameterValue")
            for value in (-1, 43201):
                refused(lambda value=value: ask(QueueUrl=made, VisibilityTimeout=value), "InvalidParameterValue")
            for value in (-1, 901):
                refused(
                    lambda value=value: send(url, made, DelaySeconds=value),
                    "InvalidParameterValue",
                    f"Value {value} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.",
                )


@case
def handles_that_nobody_gave_are_refused(url):
    with queue(url) as made, queue(url) as other:
        send(url, made)
        (message,) = receive(url, made)
        handle = message["ReceiptHandle"]
        # One letter is another one, in the middle, where no padding hides it.
        middle = len(handle) // 2
        forged = handle[:middle] + ("A" if handle[middle] != "A" else "B") + handle[middle + 1 :]
        wrong = [(made, "garbage"), (made, "x" * 4096), (other, handle)]
        if not is_common():
            wrong += [(made, forged), (made, handle[:-4]), (made, handle + "AAAA"), (made, "ünïcode")]
        for to, text in wrong:
            refused(
                lambda to=to, text=text: client(url).delete_message(QueueUrl=to, ReceiptHandle=text),
                "ReceiptHandleIsInvalid",
                f'The input receipt handle "{text}" is not a valid receipt handle.' if text == "garbage" else None,
                # AWS says 404 for this one where the client speaks Query, see the reference of errors.
                shape="ReceiptHandleIsInvalid",
                status=(400, 404),
            )
            refused(
                lambda to=to, text=text: client(url).change_message_visibility(
                    QueueUrl=to, ReceiptHandle=text, VisibilityTimeout=0
                ),
                "ReceiptHandleIsInvalid",
                status=(400, 404),
            )
        equal(counts(url, made), (0, 1, 0), "it is still in flight")
        delete(url, made, message)


@case
def comes_again_when_its_time_is_over(url):
    with queue(url, {"VisibilityTimeout": "1"}) as made:
        told = send(url, made)
        first = receive_one(url, made)
        second, seconds = took(lambda: receive_one(url, made))
        assert 0.5 < seconds < 6, f"came again after {seconds:.1f} s"
        equal(second["MessageId"], told["MessageId"])
        equal(second["Attributes"]["ApproximateReceiveCount"], "2")
        for name in ("SentTimestamp", "ApproximateFirstReceiveTimestamp"):
            equal(second["Attributes"][name], first["Attributes"][name], name)
        assert second["ReceiptHandle"] != first["ReceiptHandle"]


@case
def visibility_of_one_receive(url):
    with queue(url) as made:
        send(url, made)
        receive_one(url, made, VisibilityTimeout=1)
        equal(receive_one(url, made, VisibilityTimeout=0)["Attributes"]["ApproximateReceiveCount"], "2")
        equal(receive_one(url, made, VisibilityTimeout=0)["Attributes"]["ApproximateReceiveCount"], "3")
        equal(counts(url, made), (1, 0, 0))


@case
def visibility_is_made_longer_and_shorter(url):
    with queue(url, {"VisibilityTimeout": "1"}) as made:
        change = client(url).change_message_visibility
        send(url, made)
        message = receive_one(url, made)
        change(QueueUrl=made, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=60)
        equal(receive(url, made, wait=2), [], "beyond its first second")
        equal(counts(url, made), (0, 1, 0))
        change(QueueUrl=made, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
        equal(receive_one(url, made)["Attributes"]["ApproximateReceiveCount"], "2")
        if not is_common():
            for value in (-1, 43201):
                refused(
                    lambda value=value: change(
                        QueueUrl=made, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=value
                    ),
                    "InvalidParameterValue",
                    f"Value {value} for parameter VisibilityTimeout is invalid. "
                    "Reason: VisibilityTimeout must be an integer between 0 and 43200, if provided.",
                )


@case
def visibility_of_what_is_gone_cannot_change(url):
    with queue(url) as made:
        send(url, made)
        (message,) = receive(url, made)
        handle = message["ReceiptHandle"]
        delete(url, made, message)
        refused(
            lambda: client(url).change_message_visibility(QueueUrl=made, ReceiptHandle=handle, VisibilityTimeout=5),
            "InvalidParameterValue",
            f"Value {handle} for parameter ReceiptHandle is invalid. "
            "Reason: Message does not exist or is not available for visibility timeout change.",
        )


@case
def visibility_of_what_waits_does_not_change(url):
    """AWS takes it, and the message waits as before."""
    with queue(url) as made:
        send(url, made)
        message = receive_one(url, made, VisibilityTimeout=0)
        client(url).change_message_visibility(
            QueueUrl=made, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=600
        )
        equal(receive_one(url, made)["MessageId"], message["MessageId"])


@case
def an_older_handle_deletes_what_waits(url):
    """Of a message that was received once and came back; the one that received it last deletes it as well."""
    with queue(url) as made:
        send(url, made)
        first = receive_one(url, made, VisibilityTimeout=0)
        delete(url, made, first)
        equal(receive(url, made), [])
        equal(counts(url, made), (0, 0, 0))


@case
def delays_of_queue_and_message(url):
    with queue(url, {"DelaySeconds": "1"}) as made:
        send(url, made, "by the queue")
        send(url, made, "long", DelaySeconds=900)
        send(url, made, "not at all", DelaySeconds=0)
        equal(counts(url, made), (1, 0, 2))
        equal(bodies(receive(url, made)), ["not at all"])
        message, seconds = took(lambda: receive_one(url, made))
        equal(message["Body"], "by the queue")
        assert seconds < 6, f"{seconds:.1f} s"
        assert int(message["Attributes"]["ApproximateFirstReceiveTimestamp"]) - int(message["Attributes"]["SentTimestamp"]) >= 900
        equal(counts(url, made), (0, 2, 1))


@case
def long_poll_wakes_when_a_message_comes(url):
    with queue(url) as made:
        got = []
        waiter = threading.Thread(target=lambda: got.append(took(lambda: receive(url, made, wait=20))))
        waiter.start()
        time.sleep(1)
        sent_at = time.monotonic()
        send(url, made, "wake up")
        waiter.join(timeout=25)
        woken_after = time.monotonic() - sent_at
        ((messages, seconds),) = got
        equal(bodies(messages), ["wake up"])
        assert seconds >= 0.9 and woken_after < 2, f"{seconds:.2f} s, {woken_after:.2f} s"


@case
def long_poll_ends_with_nothing(url):
    with queue(url, {"ReceiveMessageWaitTimeSeconds": "2"}) as made:
        answer, seconds = took(lambda: client(url).receive_message(QueueUrl=made))
        equal(answer.get("Messages", []), [])
        assert 1.8 < seconds < 6, f"the queue's wait of 2 s took {seconds:.2f} s"
        answer, seconds = took(lambda: receive(url, made, wait=0))
        equal(answer, [])
        assert seconds < 1.5, f"no wait took {seconds:.2f} s"


@case
def many_long_polls_share_what_comes(url):
    """Twenty wait, ten messages come: each message goes to one of them."""
    with queue(url) as made:
        got, lock = [], threading.Lock()

        def wait():
            messages = receive(url, made, 1, wait=3)
            with lock:
                got.extend(messages)

        waiters = [threading.Thread(target=wait) for _ in range(20)]
        for waiter in waiters:
            waiter.start()
        time.sleep(0.5)
        send_all(url, made, [str(number) for number in range(10)])
        for waiter in waiters:
            waiter.join(timeout=25)
        equal(sorted(bodies(got)), sorted(str(number) for number in range(10)))


@case
def a_thousand_messages_in_batches(url):
    with queue(url) as made:
        sent = [f"message {number}" for number in range(1000)]
        send_all(url, made, sent)
        equal(counts(url, made), (1000, 0, 0))
        got = receive_all(url, made, 1000, seconds=60)
        equal(sorted(bodies(got)), sorted(sent))
        equal(len({message["ReceiptHandle"] for message in got}), 1000)
        for start in range(0, 1000, 10):
            entries = [
                {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                for number, message in enumerate(got[start : start + 10])
            ]
            equal(len(client(url).delete_message_batch(QueueUrl=made, Entries=entries)["Successful"]), 10)
        equal(counts(url, made), (0, 0, 0))


@case
@beyond("LocalStack has no such limit")
def group_on_a_standard_queue_is_kept(url):
    with queue(url) as made:
        send(url, made, "of a group", MessageGroupId="tenant-1")
        equal(receive_one(url, made)["Attributes"]["MessageGroupId"], "tenant-1")
        refused(lambda: send(url, made, MessageGroupId="a b"), "InvalidParameterValue")
        refused(
            lambda: send(url, made, MessageDeduplicationId="x"),
            "InvalidParameterValue",
            "Value x for parameter MessageDeduplicationId is invalid. "
            "Reason: The request include parameter that is not valid for this queue type.",
        )


@case
@beyond("LocalStack has no fair queues")
def a_quiet_tenant_does_not_wait_behind_a_noisy_one(url):
    """Fair queues: while a tenant has most of what is in flight, those of others come first."""
    with queue(url) as made:
        send_all(url, made, [f"noisy {number}" for number in range(200)], MessageGroupId="noisy")
        held = receive_all(url, made, 50)
        equal({message["Attributes"]["MessageGroupId"] for message in held}, {"noisy"})
        send_all(url, made, [f"quiet {number}" for number in range(5)], MessageGroupId="quiet")
        first = receive_all(url, made, 20)
        equal(sum(message["Attributes"]["MessageGroupId"] == "quiet" for message in first), 5, "of the quiet tenant")


@restart_case
def handles_hold_over_a_crash(url):
    with queue(url, {"VisibilityTimeout": "60"}) as made:
        send_all(url, made, ["deleted", "extended", "waits"])
        got = {message["Body"]: message for message in receive_all(url, made, 2)}
        (left,) = {"deleted", "extended", "waits"} - set(got)
        trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}}
        values = {"bytes": {"DataType": "Binary.x", "BinaryValue": b"\0\xff"}}
        told = send(url, made, "whole", MessageAttributes=values, MessageSystemAttributes=trace, DelaySeconds=2)
        restart_broker("kill")
        wait_until(lambda: answers(url), "the broker is back")
        # Which of the leases had reached the disk is not promised; their handles are.
        for message in got.values():
            client(url).delete_message(QueueUrl=made, ReceiptHandle=message["ReceiptHandle"])
        came = {message["Body"]: message for message in receive_all(url, made, 2)}
        equal(sorted(came), sorted([left, "whole"]))
        whole = came["whole"]
        equal((whole["MessageId"], whole["MessageAttributes"]), (told["MessageId"], values))
        equal(whole["Attributes"]["AWSTraceHeader"], TRACE)
        equal(receive(url, made), [])


@restart_case
def leases_hold_over_a_stop(url):
    with queue(url, {"VisibilityTimeout": "600"}) as made:
        send_all(url, made, ["held", "given back"])
        got = {message["Body"]: message for message in receive_all(url, made, 2)}
        restart_broker("stop")
        wait_until(lambda: answers(url), "the broker is back")
        equal(receive(url, made), [], "both are in flight still")
        equal(counts(url, made), (0, 2, 0))
        client(url).change_message_visibility(
            QueueUrl=made, ReceiptHandle=got["given back"]["ReceiptHandle"], VisibilityTimeout=0
        )
        (again,) = receive(url, made)
        equal((again["Body"], again["Attributes"]["ApproximateReceiveCount"]), ("given back", "2"))
        first = got["given back"]["Attributes"]["ApproximateFirstReceiveTimestamp"]
        # Kept to the second over a restart.
        equal(int(again["Attributes"]["ApproximateFirstReceiveTimestamp"]) // 1000, int(first) // 1000)
        delete(url, made, got["held"])
        equal(counts(url, made), (0, 1, 0))


@case
def counts_are_told_as_attributes(url):
    with queue(url) as made:
        send_all(url, made, ["a", "b", "c"])
        send(url, made, "d", DelaySeconds=900)
        receive_one(url, made)
        equal(counts(url, made), (2, 1, 1))
        told = attributes(url, made)
        equal(told["ApproximateNumberOfMessages"], "2")
