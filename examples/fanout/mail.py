"""Writes a mail for every payment: a queue of AMQP, bound to the exchange that the topic is.

pip install pika; python mail.py [amqp://guest:guest@localhost:5672]
"""

import json
import sys

import pika

URL = sys.argv[1] if len(sys.argv) > 1 else "amqp://guest:guest@localhost:5672"

connection = pika.BlockingConnection(pika.URLParameters(URL))
channel = connection.channel()
# The same whether SNS or AMQP comes first.
channel.exchange_declare("payments", "x-sns", durable=True)
channel.queue_declare("mail", durable=True)
# A filter would be an argument of the binding: {"filter-policy": '{"cents": [{"numeric": [">=", 1000]}]}'}
channel.queue_bind("mail", "payments")
channel.basic_qos(prefetch_count=10)
print("waiting for payments", flush=True)

for method, properties, body in channel.consume("mail"):
    payment = json.loads(body)
    print("mail to", payment["to"], "about", payment["id"], properties.headers["cents"], "cents", flush=True)
    channel.basic_ack(method.delivery_tag)
