"""The aws command line against SQS, as scripts use it."""

import base64
import json
import os
import tempfile

from cli_tools import run
from suite import case, equal, main, unique, wait_until


def aws(url, action, *options):
    """One `aws sqs ACTION`."""
    return run(url, "sqs", action, *options)


def refused(code, *words):
    """The command fails with this code."""
    try:
        answer = aws(*words)
    except RuntimeError as error:
        assert f"({code})" in str(error), f"expected {code}: {error}"
    else:
        raise AssertionError(f"not refused with {code}: {answer}")


@case
def a_script(url):
    name = unique("cli")
    made = aws(url, "create-queue", "--queue-name", name, "--attributes", "VisibilityTimeout=60", "--tags", "a=b")["QueueUrl"]
    equal(aws(url, "get-queue-url", "--queue-name", name)["QueueUrl"], made)
    equal(aws(url, "list-queues", "--queue-name-prefix", name)["QueueUrls"], [made])
    there = ("--queue-url", made)
    equal(aws(url, "list-queue-tags", *there)["Tags"], {"a": "b"})
    values = json.dumps(
        {
            "n": {"DataType": "Number", "StringValue": "7"},
            "b": {"DataType": "Binary", "BinaryValue": "raw"},
        }
    )
    told = aws(url, "send-message", *there, "--message-body", "hällo", "--message-attributes", values)
    got = aws(
        url, "receive-message", *there, "--attribute-names", "All", "--message-attribute-names", "All", "--wait-time-seconds", "5"
    )
    (message,) = got["Messages"]
    equal((message["Body"], message["MessageId"]), ("hällo", told["MessageId"]))
    equal(message["MessageAttributes"]["n"], {"StringValue": "7", "DataType": "Number"})
    # Version 1 takes it as it is, and shows it as base64.
    equal(message["MessageAttributes"]["b"]["BinaryValue"], base64.b64encode(b"raw").decode())
    handle = ("--receipt-handle", message["ReceiptHandle"])
    aws(url, "change-message-visibility", *there, *handle, "--visibility-timeout", "0")
    (again,) = aws(url, "receive-message", *there, "--wait-time-seconds", "5")["Messages"]
    aws(url, "delete-message", *there, "--receipt-handle", again["ReceiptHandle"])
    told = aws(url, "get-queue-attributes", *there, "--attribute-names", "All")["Attributes"]
    equal((told["ApproximateNumberOfMessages"], told["ApproximateNumberOfMessagesNotVisible"]), ("0", "0"))
    aws(url, "delete-queue", *there)
    refused("AWS.SimpleQueueService.NonExistentQueue", url, "get-queue-url", "--queue-name", name)


@case
def batches_from_files(url):
    made = aws(url, "create-queue", "--queue-name", unique("cli"))["QueueUrl"]
    there = ("--queue-url", made)
    with tempfile.TemporaryDirectory() as folder:

        def file(name, entries):
            path = os.path.join(folder, name)
            with open(path, "w", encoding="utf-8") as out:
                json.dump(entries, out)
            return f"file://{path}"

        entries = [{"Id": f"e{number}", "MessageBody": f"m{number}"} for number in range(10)]
        equal(len(aws(url, "send-message-batch", *there, "--entries", file("send", entries))["Successful"]), 10)
        got = aws(url, "receive-message", *there, "--max-number-of-messages", "10")["Messages"]
        equal(sorted(message["Body"] for message in got), sorted(entry["MessageBody"] for entry in entries))
        handles = [{"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]} for number, message in enumerate(got)]
        equal(len(aws(url, "delete-message-batch", *there, "--entries", file("delete", handles))["Successful"]), 10)
    aws(url, "send-message", *there, "--message-body", "to be purged")
    aws(url, "purge-queue", *there)

    def depth():
        told = aws(url, "get-queue-attributes", *there, "--attribute-names", "ApproximateNumberOfMessages")
        return told["Attributes"]["ApproximateNumberOfMessages"]

    wait_until(lambda: depth() == "0", "an empty queue")
    aws(url, "delete-queue", *there)


@case
def dead_letters_and_their_move(url):
    dead = aws(url, "create-queue", "--queue-name", unique("cli-dead"))["QueueUrl"]
    arn = aws(url, "get-queue-attributes", "--queue-url", dead, "--attribute-names", "QueueArn")["Attributes"]["QueueArn"]
    policy = json.dumps({"RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "1"})})
    made = aws(url, "create-queue", "--queue-name", unique("cli"), "--attributes", policy)["QueueUrl"]
    aws(url, "send-message", "--queue-url", made, "--message-body", "poison")
    aws(url, "receive-message", "--queue-url", made, "--visibility-timeout", "0", "--wait-time-seconds", "5")
    equal(aws(url, "receive-message", "--queue-url", made, "--visibility-timeout", "0"), {})
    equal(aws(url, "list-dead-letter-source-queues", "--queue-url", dead)["queueUrls"], [made])
    assert aws(url, "start-message-move-task", "--source-arn", arn)["TaskHandle"]
    wait_until(
        lambda: aws(url, "list-message-move-tasks", "--source-arn", arn)["Results"][0]["Status"] == "COMPLETED", "the move"
    )
    (message,) = aws(url, "receive-message", "--queue-url", made, "--wait-time-seconds", "5")["Messages"]
    equal(message["Body"], "poison")
    for name in (made, dead):
        aws(url, "delete-queue", "--queue-url", name)


if __name__ == "__main__":
    main(together=3)
