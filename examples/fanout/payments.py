"""Tells the topic `payments` of payments: goods, a subscription, goods again.

pip install boto3; python payments.py [http://localhost:4566]
"""

import json
import sys

import boto3

ENDPOINT = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:4566"

# From the same machine any key will do.
sns = boto3.client(
    "sns",
    endpoint_url=ENDPOINT,
    region_name="us-east-1",
    aws_access_key_id="any",
    aws_secret_access_key="thing",
)
topic = sns.create_topic(Name="payments")["TopicArn"]

for number, (kind, cents) in enumerate([("goods", 4999), ("subscription", 900), ("goods", 1250)], 1):
    payment = {"id": f"p-{number}", "kind": kind, "cents": cents, "to": "ann@example.com"}
    told = sns.publish(
        TopicArn=topic,
        Message=json.dumps(payment),
        Subject="Payment received",
        MessageAttributes={
            "kind": {"DataType": "String", "StringValue": kind},
            "cents": {"DataType": "Number", "StringValue": str(cents)},
        },
    )
    # Answered: it is on stable storage for everybody who listens.
    print("paid", payment["id"], told["MessageId"], flush=True)
