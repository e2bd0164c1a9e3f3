"""The Celery applications of rules_celery.py, chosen by CELERY_RULES: one with priorities, one with quorum queues."""

import os
import time

from celery import Celery
from kombu import Exchange, Queue

app = Celery("rules", broker=os.environ["BROKER_URL"], backend="rpc://")
QUEUE = os.environ["TASK_QUEUE"]
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True},
    result_expires=60,
    task_acks_late=True,
    task_default_queue=QUEUE,
    worker_prefetch_multiplier=1,
)
if os.environ["CELERY_RULES"] == "priorities":
    app.conf.update(
        task_queue_max_priority=10,
        task_default_priority=5,
        task_inherit_parent_priority=True,
        # A task that is delayed by the worker must not keep others from it.
        worker_eta_task_limit=None,
    )
else:
    exchange = Exchange(QUEUE, type="topic", durable=True)
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 3}
    app.conf.task_queues = [Queue(QUEUE, exchange, routing_key=QUEUE, queue_arguments=arguments)]
    app.conf.update(
        task_default_exchange=QUEUE,
        task_default_exchange_type="topic",
        task_default_routing_key=QUEUE,
        broker_native_delayed_delivery_queue_type="quorum",
    )


@app.task
def now():
    """When it ran, in seconds of the machine's clock."""
    return time.time()


@app.task
def nap(seconds):
    """Keeps the only process of the worker busy."""
    time.sleep(seconds)
    return time.time()


@app.task(bind=True, max_retries=3)
def try_again(self):
    """Fails three times, and is published again by the worker each time, a second later."""
    if self.request.retries < 3:
        raise self.retry(countdown=1)
    return self.request.retries


@app.task(bind=True)
def deaths(self):
    """What the broker has written on the task's message."""
    return [[row["queue"], row["count"]] for row in self.request.headers.get("x-death", [])]
