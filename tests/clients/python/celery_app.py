"""The Celery application of celery_suite.py. The worker is started with BROKER_URL in its environment."""

import os
import time

from celery import Celery
from celery.exceptions import Reject

app = Celery("tasks", broker=os.environ["BROKER_URL"], backend="rpc://")
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True},
    result_expires=60,
    task_acks_late=True,
    task_default_queue=os.environ["TASK_QUEUE"],
    task_track_started=False,
    worker_prefetch_multiplier=4,
)


@app.task
def add(a, b):
    """The smallest task."""
    return a + b


@app.task
def fail(text):
    """Ends with an exception, which travels back to the caller."""
    raise ValueError(text)


@app.task(bind=True, max_retries=3)
def succeed_at_third_try(self):
    """Is published again, with a delay, by its own worker."""
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return self.request.retries


@app.task(bind=True)
def reject_once(self):
    """Gives its message back to the broker, which must deliver it again, marked."""
    if not self.request.delivery_info["redelivered"]:
        raise Reject("try again", requeue=True)
    return "redelivered"


@app.task
def echo(value):
    """Gives back what it was given."""
    return value


@app.task
def nap(seconds):
    """Holds its message: with acks_late it is acknowledged only in the end."""
    time.sleep(seconds)
    return os.getpid()
