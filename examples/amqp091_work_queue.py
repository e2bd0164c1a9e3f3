"""A work queue: persistent jobs, confirmed to the publisher, acknowledged one by one.

pip install pika; python amqp091_work_queue.py [amqp://guest:guest@localhost:5672/%2F]
"""

import sys

import pika

URL = sys.argv[1] if len(sys.argv) > 1 else "amqp://guest:guest@localhost:5672/%2F"

with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    channel.queue_declare("jobs", durable=True)

    # From here on publishing returns when the broker has the message on stable storage.
    channel.confirm_delivery()
    for number in range(10):
        channel.basic_publish(
            exchange="",
            routing_key="jobs",
            body=f"job {number}",
            properties=pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent),
            mandatory=True,
        )

    # No more than five jobs at a time; one that is not acknowledged comes again.
    channel.basic_qos(prefetch_count=5)
    for delivery, _, body in channel.consume("jobs", inactivity_timeout=1):
        if delivery is None:
            break
        print(body.decode())
        channel.basic_ack(delivery.delivery_tag)
