"""A Celery application as people run it: a worker process of its own, results by rpc://, acks_late, prefetch."""

import os
import signal
import sys

from celery_worker import start_worker
from suite import case, equal, main, unique, wait_until

URL = next(argument for argument in sys.argv[1:] if "://" in argument)
os.environ["BROKER_URL"] = URL
os.environ["TASK_QUEUE"] = unique("celery")

import celery_app  # noqa: E402  (it reads the environment)
from celery import chain, group  # noqa: E402


WORKER = start_worker("celery_app")


@case
def a_thousand_tasks(_url):
    results = [celery_app.add.delay(number, number) for number in range(1000)]
    equal([result.get(timeout=120) for result in results], [2 * number for number in range(1000)])


@case
def groups_and_chains(_url):
    equal(group(celery_app.add.s(number, 1) for number in range(20))().get(timeout=60), list(range(1, 21)))
    equal(chain(celery_app.add.s(1, 2), celery_app.add.s(4), celery_app.add.s(8))().get(timeout=60), 15)


@case
def exceptions_travel_back(_url):
    try:
        celery_app.fail.delay("no luck").get(timeout=60)
    except ValueError as error:
        equal(str(error), "no luck")
    else:
        raise AssertionError("the task did not fail")


@case
def retries_with_a_countdown(_url):
    equal(celery_app.succeed_at_third_try.delay().get(timeout=60), 2)


@case
def rejected_task_is_delivered_again(_url):
    equal(celery_app.reject_once.delay().get(timeout=60), "redelivered")


@case
def large_arguments(_url):
    value = {"text": "x" * (2 * 1024 * 1024), "list": list(range(1000))}
    equal(celery_app.echo.delay(value).get(timeout=60), value)


@case
def expired_task_is_not_run(_url):
    """`expires` is checked by the worker; the message carries it as a property too."""
    result = celery_app.add.apply_async((1, 1), expires=0.001)
    celery_app.add.delay(2, 2).get(timeout=60)
    assert not result.successful()


@case
def remote_control(_url):
    """celery inspect: a fanout exchange to all workers, and replies to a queue with x-expires."""
    wait_until(lambda: celery_app.app.control.ping(timeout=2), "answer to a ping", seconds=30)
    (stats,) = celery_app.app.control.inspect(timeout=3).stats().values()
    equal(stats["prefetch_count"], 8, "prefetch: 4 for each of 2 processes")
    equal(stats["broker"]["transport"], "amqp")


@case
def tasks_of_a_killed_worker_go_to_another(_url):
    """With acks_late what a dead worker held comes back from the broker, and another one does it."""
    before = [celery_app.nap.delay(1) for _ in range(6)]
    before[0].get(timeout=60)
    os.killpg(WORKER.pid, signal.SIGKILL)
    WORKER.wait()
    start_worker("celery_app")
    for result in before:
        result.get(timeout=60)


if __name__ == "__main__":
    main()
