"""What the programs that use boto3 for SNS share: topics and subscriptions of the case's own, notifications and their signatures, refusals."""

import base64
import contextlib
import json
import urllib.parse
import urllib.request

import botocore.exceptions
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

import aws_tools
import sqs_tools
from aws_tools import ACCOUNT, REGION
from sqs_tools import arn_of
from suite import equal, is_common, unique

_met = aws_tools.met["sns"]
# What the clients of this process have said and were told: see sns_model.py.
sent, answered, refusals = _met.sent, _met.answered, _met.refusals

NO_TOPIC = "Topic does not exist"
NO_SUBSCRIPTION = "Subscription does not exist"


def sns(url, key="test", secret="test", region=REGION, **options):
    """A client of SNS: see aws_tools.client."""
    return aws_tools.client("sns", url, key, secret, region, **options)


def arn(name, region=REGION, account=ACCOUNT):
    """The ARN of a topic."""
    return f"arn:aws:sns:{region}:{account}:{name}"


def texts(attributes):
    """Attributes as the API has them: everything that is no text is JSON."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in attributes.items()}


@contextlib.contextmanager
def topic(url, attributes=None, prefix="boto", **values):
    """A topic of this case alone, by its ARN; deleted in the end. A FIFO topic where the attributes say so."""
    attributes = texts(attributes or {})
    name = unique(prefix) + (".fifo" if attributes.get("FifoTopic") == "true" else "")
    made = sns(url).create_topic(Name=name, Attributes=attributes, **values)["TopicArn"]
    try:
        yield made
    finally:
        sns(url).delete_topic(TopicArn=made)


def fifo_topic(url, **attributes):
    """A FIFO topic; content-based deduplication unless told otherwise."""
    return topic(url, {"FifoTopic": "true", "ContentBasedDeduplication": "true", **attributes}, prefix="boto-fifo")


def subscribe(url, made, endpoint, protocol="sqs", **attributes):
    """Subscribes: the ARN of the subscription, whether it is confirmed or not."""
    values = {"Attributes": texts(attributes)} if attributes else {}
    answer = sns(url).subscribe(
        TopicArn=made, Protocol=protocol, Endpoint=endpoint, ReturnSubscriptionArn=True, **values
    )
    return answer["SubscriptionArn"]


@contextlib.contextmanager
def subscribed(url, made, queue_attributes=None, **attributes):
    """A queue of this case alone that is subscribed to the topic: its URL, and the ARN of the subscription."""
    with sqs_tools.queue(url, queue_attributes) as queue:
        subscription = subscribe(url, made, arn_of(queue), **attributes)
        try:
            yield queue, subscription
        finally:
            sns(url).unsubscribe(SubscriptionArn=subscription)


def publish(url, made, message="hello", **values):
    """Publish to a topic."""
    return sns(url).publish(TopicArn=made, Message=message, **values)


def text_of(value):
    """A message attribute that is text."""
    return {"DataType": "String", "StringValue": value}


def number_of(value):
    """A message attribute that is a number."""
    return {"DataType": "Number", "StringValue": str(value)}


def strings_of(*values):
    """A message attribute that is an array."""
    return {"DataType": "String.Array", "StringValue": json.dumps(values)}


def topic_attributes(url, made):
    """GetTopicAttributes."""
    return sns(url).get_topic_attributes(TopicArn=made)["Attributes"]


def subscription_attributes(url, subscription):
    """GetSubscriptionAttributes."""
    return sns(url).get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]


def set_subscription(url, subscription, name, value):
    """SetSubscriptionAttributes of one, as JSON where it is no text."""
    value = value if isinstance(value, str) else json.dumps(value)
    sns(url).set_subscription_attributes(SubscriptionArn=subscription, AttributeName=name, AttributeValue=value)


def set_topic(url, made, name, value):
    """SetTopicAttributes of one, as JSON where it is no text."""
    value = value if isinstance(value, str) else json.dumps(value)
    sns(url).set_topic_attributes(TopicArn=made, AttributeName=name, AttributeValue=value)


def take_one(url, queue, seconds=15):
    """The next message of a queue, which is deleted."""
    message = sqs_tools.receive_one(url, queue, seconds)
    sqs_tools.delete(url, queue, message)
    return message


def take_notification(url, queue, seconds=15):
    """The next message of a queue, as the document that SNS makes."""
    return json.loads(take_one(url, queue, seconds)["Body"])


def refused(call, code, text=None, status=400, starts=False):
    """The call is refused with this code (as Query has it), and text where one is given, or what it begins with."""
    try:
        answer = call()
    except botocore.exceptions.ClientError as problem:
        error, told = problem, problem.response["Error"]
    else:
        raise AssertionError(f"not refused with {code}: {answer}")
    equal(told["Code"], code, f"code of {told}")
    if text is not None:
        if starts:
            assert told["Message"].startswith(text), f"expected {text!r} ..., got {told['Message']!r}"
        else:
            equal(told["Message"], text, f"text of {code}")
    equal(error.response["ResponseMetadata"]["HTTPStatusCode"], status, f"status of {code}")
    if not is_common():
        equal(told.get("Type", "Sender"), "Sender", f"fault of {code}")
    return told


def invalid(call, text=None, starts=False):
    """The call is refused as a parameter is none; `text` is what follows the usual beginning."""
    return refused(call, "InvalidParameter", None if text is None else f"Invalid parameter: {text}", starts=starts)


def no_topic(call):
    """The call is refused, as there is no such topic."""
    refused(call, "NotFound", NO_TOPIC, status=404)


def no_subscription(call):
    """The call is refused, as there is no such subscription."""
    refused(call, "NotFound", NO_SUBSCRIPTION, status=404)


_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}


def verify(document, version="1", certificate_url="SigningCertURL"):
    """Fails unless the document is signed by the key of the certificate that it names, as Amazon's guide tells it."""
    equal(document["SignatureVersion"], version, "version of the signature")
    place = urllib.parse.urlsplit(document[certificate_url])
    assert place.path.endswith(".pem") and "/SimpleNotificationService-" in place.path, document[certificate_url]
    with urllib.request.urlopen(document[certificate_url], timeout=20) as response:
        certificate = x509.load_pem_x509_certificate(response.read())
    signed = "".join(f"{name}\n{document[name]}\n" for name in _SIGNED[document["Type"]] if document.get(name) is not None)
    kind = hashes.SHA256() if version == "2" else hashes.SHA1()
    certificate.public_key().verify(base64.b64decode(document["Signature"]), signed.encode(), padding.PKCS1v15(), kind)


def fetch(url, method="GET", body=None, headers=None):
    """A request without a signature: (status, body)."""
    request = urllib.request.Request(url, method=method, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


