"""The Celery application of sqs_celery.py. The worker is started with SQS_URL, TASK_QUEUE and RESULTS in its environment."""

import os
import time
import urllib.parse

from celery import Celery

_place = urllib.parse.urlsplit(os.environ["SQS_URL"])

app = Celery("tasks", broker=f"sqs://test:test@{_place.netloc}", backend=f"file://{os.environ['RESULTS']}")
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "region": "us-east-1",
        "is_secure": _place.scheme == "https",
        "wait_time_seconds": 2,
        "polling_interval": 0.05,
        "visibility_timeout": 4,
    },
    task_acks_late=True,
    task_default_queue=os.environ["TASK_QUEUE"],
    # Remote control goes to all workers, which Celery asks SNS for.
    worker_enable_remote_control=False,
    worker_prefetch_multiplier=4,
)


@app.task
def add(a, b):
    """The smallest task."""
    return a + b


@app.task
def echo(value):
    """Gives back what it was given."""
    return value


@app.task(bind=True, max_retries=3)
def succeed_at_third_try(self):
    """Is published again, with a delay, by its own worker."""
    if self.request.retries < 2:
        raise self.retry(countdown=1)
    return self.request.retries


@app.task
def nap(seconds):
    """Holds its message: with acks_late it is deleted only in the end."""
    time.sleep(seconds)
    return os.getpid()
