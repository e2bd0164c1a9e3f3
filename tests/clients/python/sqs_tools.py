"""What the programs that use boto3 share: a client, queues of the case's own, refusals, the hashes that SDKs check."""

import contextlib
import hashlib
import json
import struct
import time

import botocore
import botocore.exceptions

import aws_tools
from aws_tools import ACCOUNT, REGION
from suite import equal, is_common, unique, wait_until

_met = aws_tools.met["sqs"]
# What the clients of this process have said and were told: see sqs_model.py.
sent, answered, refusals = _met.sent, _met.answered, _met.refusals


def speaks_query():
    """Whether this boto3 is the old one, which speaks the Query protocol (see requirements_query.txt)."""
    return tuple(map(int, botocore.__version__.split(".")[:3])) < (1, 31, 81)


def client(url, key="test", secret="test", region=REGION, **options):
    """A client of SQS: see aws_tools.client."""
    return aws_tools.client("sqs", url, key, secret, region, **options)


@contextlib.contextmanager
def queue(url, attributes=None, prefix="boto", tags=None):
    """A queue of this case alone, by its URL; deleted in the end. A FIFO queue where the attributes say so."""
    attributes = {name: value if isinstance(value, str) else json.dumps(value) for name, value in (attributes or {}).items()}
    name = unique(prefix) + (".fifo" if attributes.get("FifoQueue") == "true" else "")
    made = client(url).create_queue(QueueName=name, Attributes=attributes, **({"tags": tags} if tags else {}))["QueueUrl"]
    try:
        yield made
    finally:
        client(url).delete_queue(QueueUrl=made)


def fifo(url, **attributes):
    """A FIFO queue; content-based deduplication unless told otherwise."""
    return queue(url, {"FifoQueue": "true", "ContentBasedDeduplication": "true", **attributes}, prefix="boto-fifo")


def name_of(queue_url):
    """The name in a queue URL."""
    return queue_url.rpartition("/")[2]


def arn_of(queue_url):
    """The ARN of the queue, as this suite's account and region have it."""
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name_of(queue_url)}"


def attributes(url, queue_url, *names):
    """GetQueueAttributes: everything, or these."""
    answer = client(url).get_queue_attributes(QueueUrl=queue_url, AttributeNames=list(names) or ["All"])
    return answer.get("Attributes", {})


def counts(url, queue_url):
    """Messages that wait, that are in flight, and that are delayed."""
    kinds = ("", "NotVisible", "Delayed")
    told = attributes(url, queue_url, *[f"ApproximateNumberOfMessages{kind}" for kind in kinds])
    return tuple(int(told[f"ApproximateNumberOfMessages{kind}"]) for kind in kinds)


def send(url, queue_url, body="hello", **values):
    """SendMessage."""
    return client(url).send_message(QueueUrl=queue_url, MessageBody=body, **values)


def send_all(url, queue_url, bodies, **values):
    """SendMessageBatch in tens; fails when an entry does."""
    bodies = list(bodies)
    answers = []
    for start in range(0, len(bodies), 10):
        entries = [{"Id": str(n), "MessageBody": body, **values} for n, body in enumerate(bodies[start : start + 10])]
        answer = client(url).send_message_batch(QueueUrl=queue_url, Entries=entries)
        equal(answer.get("Failed", []), [], "failed entries")
        answers += answer["Successful"]
    return answers


def receive(url, queue_url, count=10, wait=0, **values):
    """One ReceiveMessage with everything that can be asked for: a list of messages, which may be empty."""
    answer = client(url).receive_message(
        QueueUrl=queue_url,
        MaxNumberOfMessages=count,
        WaitTimeSeconds=wait,
        AttributeNames=["All"],
        MessageAttributeNames=["All"],
        **values,
    )
    return answer.get("Messages", [])


def receive_one(url, queue_url, seconds=15, **values):
    """Waits for one message."""
    got = []
    wait_until(lambda: got or got.extend(receive(url, queue_url, 1, wait=1, **values)) or got, "a message", seconds)
    return got[0]


def receive_all(url, queue_url, count, seconds=15, **values):
    """Receives until there were so many; in the order in which they came."""
    got = []

    def enough():
        if len(got) < count:
            got.extend(receive(url, queue_url, min(10, count - len(got)), wait=1, **values))
        return len(got) >= count

    wait_until(enough, f"{count} messages", seconds)
    return got


def delete(url, queue_url, *messages):
    """DeleteMessage of each."""
    for message in messages:
        client(url).delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])


def take_all(url, queue_url, count, seconds=15):
    """Receives so many messages and deletes each as it comes, so that a group goes on: their bodies."""
    got = []

    def enough():
        if len(got) < count:
            messages = receive(url, queue_url, min(10, count - len(got)), wait=1)
            delete(url, queue_url, *messages)
            got.extend(message["Body"] for message in messages)
        return len(got) >= count

    wait_until(enough, f"{count} messages", seconds)
    return got


def bodies(messages):
    """The bodies of messages."""
    return [message["Body"] for message in messages]


def refused(call, code, text=None, status=400, shape=None):
    """The call is refused with this code (as Query has it, which JSON tells in `x-amzn-query-error`), and text where one is given.

    LocalStack says the JSON names of some errors instead of Query's, and does not tell the shape."""
    try:
        answer = call()
    except botocore.exceptions.ClientError as problem:
        error, told = problem, problem.response["Error"]
    else:
        raise AssertionError(f"not refused with {code}: {answer}")
    codes = [code] if not is_common() else [code, f"{code}Exception", "MissingRequiredParameterException"]
    assert told["Code"] in codes, f"expected {code} ({text or 'any text'}), got {told}"
    if text is not None:
        equal(told["Message"], text, f"text of {code}")
    if not is_common():
        had = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert had in (status if isinstance(status, tuple) else (status,)), f"status of {code}: {had}"
        equal(told.get("Type", "Sender"), "Sender", f"fault of {code}")
        # Two shapes are younger than Query.
        if shape is not None and not (speaks_query() and shape in ("InvalidAddress", "InvalidAttributeValue")):
            equal(type(error).__name__, shape, f"shape of {code}")
    return told


def no_such_queue(call):
    """The call is refused, as there is no such queue."""
    refused(
        call,
        "AWS.SimpleQueueService.NonExistentQueue",
        None if is_common() else f"The specified queue does not exist{' for this wsdl version' * speaks_query()}.",
        shape="QueueDoesNotExist",
    )


def md5_of_body(body):
    """MD5OfMessageBody."""
    return hashlib.md5(body.encode()).hexdigest()


def md5_of_attributes(values):
    """MD5OfMessageAttributes: names in order, each with its type and value, lengths in front (as Amazon's guide tells it)."""
    digest = hashlib.md5()

    def add(part):
        digest.update(struct.pack("!I", len(part)) + part)

    for name in sorted(values):
        kind = values[name]["DataType"]
        add(name.encode())
        add(kind.encode())
        if kind.startswith("Binary"):
            digest.update(b"\x02")
            add(values[name]["BinaryValue"])
        else:
            digest.update(b"\x01")
            add(values[name]["StringValue"].encode())
    return digest.hexdigest()


def took(call):
    """What the call returned, and the seconds that it took."""
    started = time.monotonic()
    answer = call()
    return answer, time.monotonic() - started


def answers(url, *credentials):
    """Whether the broker is back."""
    try:
        client(url, *credentials).list_queues(QueueNamePrefix="x")
    except Exception:  # several of botocore and urllib3 for a connection that is refused
        return False
    return True
