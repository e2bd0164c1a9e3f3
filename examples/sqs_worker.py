"""A worker with a queue for dead letters: jobs that fail three times go there, and come back when their mistake is mended.

pip install boto3; python sqs_worker.py [http://localhost:4566]
"""

import json
import sys

import boto3

ENDPOINT = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:4566"

# From the same machine any key will do.
sqs = boto3.client(
    "sqs",
    endpoint_url=ENDPOINT,
    region_name="us-east-1",
    aws_access_key_id="any",
    aws_secret_access_key="thing",
)


def create(name, **attributes):
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return url, arn


failed, failed_arn = create("jobs-failed")
redrive = json.dumps({"deadLetterTargetArn": failed_arn, "maxReceiveCount": 3})
# A job that is not deleted within this time is somebody else's.
jobs, _ = create("jobs", VisibilityTimeout="60", RedrivePolicy=redrive)

for number in range(10):
    kind = {"DataType": "String", "StringValue": "print"}
    sqs.send_message(QueueUrl=jobs, MessageBody=f"job {number}", MessageAttributes={"kind": kind})

while True:
    # Waits up to five seconds for the first job, and takes ten at most.
    received = sqs.receive_message(
        QueueUrl=jobs, MaxNumberOfMessages=10, WaitTimeSeconds=5, MessageAttributeNames=["All"]
    )
    if not received.get("Messages"):
        break
    for message in received["Messages"]:
        handle = message["ReceiptHandle"]
        if message["Body"] == "job 7":
            # It fails: it comes again at once, and the fourth time it does not.
            sqs.change_message_visibility(QueueUrl=jobs, ReceiptHandle=handle, VisibilityTimeout=0)
            continue
        print(message["MessageAttributes"]["kind"]["StringValue"], message["Body"])
        sqs.delete_message(QueueUrl=jobs, ReceiptHandle=handle)

for message in sqs.receive_message(QueueUrl=failed, WaitTimeSeconds=5).get("Messages", []):
    print("failed:", message["Body"])
    sqs.delete_message(QueueUrl=failed, ReceiptHandle=message["ReceiptHandle"])
