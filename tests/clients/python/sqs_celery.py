"""Celery and kombu with the SQS transport: a worker process of its own, acks_late, retries; kombu's simple queues, a FIFO queue."""

import os
import signal
import sys
import tempfile

from celery_worker import start_worker
from suite import case, equal, main, unique, wait_until

URL = next(argument for argument in sys.argv[1:] if "://" in argument)
_results = tempfile.TemporaryDirectory()
os.environ["SQS_URL"] = URL
os.environ["RESULTS"] = _results.name
os.environ["TASK_QUEUE"] = unique("celery-sqs")

import sqs_celery_app  # noqa: E402  (it reads the environment)
from celery import chain, group  # noqa: E402
from kombu import Connection  # noqa: E402

from sqs_tools import client, counts  # noqa: E402


def new_worker():
    """Starts a worker that talks to no other: that takes fanout, which is SNS."""
    return start_worker(
        "sqs_celery_app", "--concurrency", "2", "--without-mingle", "--without-gossip", "--without-heartbeat"
    )


WORKER = new_worker()


@case
def a_hundred_tasks(_url):
    results = [sqs_celery_app.add.delay(number, number) for number in range(100)]
    equal([result.get(timeout=120) for result in results], [2 * number for number in range(100)])


@case
def groups_and_chains(_url):
    equal(group(sqs_celery_app.add.s(number, 1) for number in range(10))().get(timeout=60), list(range(1, 11)))
    equal(chain(sqs_celery_app.add.s(1, 2), sqs_celery_app.add.s(4))().get(timeout=60), 7)


@case
def retries_and_countdowns(_url):
    equal(sqs_celery_app.succeed_at_third_try.delay().get(timeout=60), 2)
    equal(sqs_celery_app.add.apply_async((1, 2), countdown=1).get(timeout=60), 3)


@case
def large_arguments(_url):
    value = {"text": "grüße " * 20000, "list": list(range(1000))}
    equal(sqs_celery_app.echo.delay(value).get(timeout=60), value)


@case
def tasks_of_a_killed_worker_come_again(url):
    """What a dead worker held is visible again when its time is over, and another one does it."""
    before = [sqs_celery_app.nap.delay(1) for _ in range(4)]
    before[0].get(timeout=60)
    os.killpg(WORKER.pid, signal.SIGKILL)
    WORKER.wait()
    new_worker()
    for result in before:
        result.get(timeout=60)
    made = client(url).get_queue_url(QueueName=os.environ["TASK_QUEUE"])["QueueUrl"]
    wait_until(lambda: counts(url, made) == (0, 0, 0), "every task is deleted", seconds=30)


@case
def kombu_simple_queues(_url):
    options = sqs_celery_app.app.conf.broker_transport_options
    broker = sqs_celery_app.app.conf.broker_url
    for name in (unique("kombu"), unique("kombu") + ".fifo"):
        with Connection(broker, transport_options=options) as connection, connection.SimpleQueue(name) as queue:
            for number in range(5):
                queue.put({"number": number, "text": "grüße"}, headers={"n": number})
            got = []
            for _ in range(5):
                message = queue.get(timeout=20)
                got.append((message.payload["number"], message.headers["n"]))
                message.ack()
            equal(got if name.endswith(".fifo") else sorted(got), [(number, number) for number in range(5)])


if __name__ == "__main__":
    main()
