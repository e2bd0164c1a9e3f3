"""Ships what was paid for: a queue of SQS that is subscribed to the topic, and gets payments for goods only.

pip install boto3; python shipping.py [http://localhost:4566]
"""

import json
import sys

import boto3

ENDPOINT = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:4566"


# From the same machine any key will do.
def client(service):
    return boto3.client(
        service,
        endpoint_url=ENDPOINT,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="thing",
    )


sns, sqs = client("sns"), client("sqs")
topic = sns.create_topic(Name="payments")["TopicArn"]
queue = sqs.create_queue(QueueName="shipping")["QueueUrl"]
arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
sns.subscribe(
    TopicArn=topic,
    Protocol="sqs",
    Endpoint=arn,
    # Raw: the message as it was published. Without it comes a document that says when, from where and how it is signed.
    Attributes={"RawMessageDelivery": "true", "FilterPolicy": json.dumps({"kind": ["goods"]})},
)
print("waiting for payments", flush=True)

while True:
    got = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=20)
    for message in got.get("Messages", []):
        payment = json.loads(message["Body"])
        print("shipping", payment["id"], flush=True)
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
