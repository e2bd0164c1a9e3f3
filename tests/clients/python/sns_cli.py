"""The aws command line against SNS, as scripts use it."""

import json

from cli_tools import run
from suite import case, equal, main, unique


def aws(url, action, *options):
    """One `aws sns ACTION`: its JSON answer, {} where it says nothing."""
    return run(url, "sns", action, *options)


def sqs(url, action, *options):
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
    made = aws(url, "create-topic", "--name", unique("cli"), "--tags", "Key=a,Value=b")["TopicArn"]
    there = ("--topic-arn", made)
    queue = sqs(url, "create-queue", "--queue-name", unique("cli"))["QueueUrl"]
    told = sqs(url, "get-queue-attributes", "--queue-url", queue, "--attribute-names", "QueueArn")
    endpoint = ("--notification-endpoint", told["Attributes"]["QueueArn"])
    attributes = json.dumps({"FilterPolicy": json.dumps({"to": ["me"]}), "RawMessageDelivery": "true"})
    subscription = aws(url, "subscribe", *there, "--protocol", "sqs", *endpoint, "--attributes", attributes)["SubscriptionArn"]
    equal(
        [one["SubscriptionArn"] for one in aws(url, "list-subscriptions-by-topic", *there)["Subscriptions"]], [subscription]
    )
    values = json.dumps({"to": {"DataType": "String", "StringValue": "you"}})
    aws(url, "publish", *there, "--message", "not for me", "--message-attributes", values)
    values = json.dumps({"to": {"DataType": "String.Array", "StringValue": '["you", "me"]'}})
    assert aws(url, "publish", *there, "--message", "hällo", "--subject", "s", "--message-attributes", values)["MessageId"]
    (message,) = sqs(url, "receive-message", "--queue-url", queue, "--wait-time-seconds", "5")["Messages"]
    equal(message["Body"], "hällo")
    aws(url, "set-topic-attributes", *there, "--attribute-name", "DisplayName", "--attribute-value", "Orders")
    equal(aws(url, "get-topic-attributes", *there)["Attributes"]["DisplayName"], "Orders")
    equal(aws(url, "list-tags-for-resource", "--resource-arn", made)["Tags"], [{"Key": "a", "Value": "b"}])
    entries = json.dumps([{"Id": f"e{n}", "Message": f"m{n}"} for n in range(3)])
    equal(len(aws(url, "publish-batch", *there, "--publish-batch-request-entries", entries)["Successful"]), 3)
    aws(url, "unsubscribe", "--subscription-arn", subscription)
    aws(url, "delete-topic", *there)
    sqs(url, "delete-queue", "--queue-url", queue)
    refused("NotFound", url, "publish", *there, "--message", "x")
    refused("InvalidParameter", url, "publish", "--topic-arn", "x", "--message", "x")


if __name__ == "__main__":
    main()
