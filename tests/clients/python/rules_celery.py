"""Celery with priorities, and with quorum queues and the broker's own delays (celery_delayed_0 to celery_delayed_27).

Called with a URL it runs itself twice, once for each application: Celery keeps one application a process.
"""

import datetime
import os
import subprocess
import sys
import time

from suite import case, equal, main, unique, wait_until

URL = next(argument for argument in sys.argv[1:] if "://" in argument)
RULES = os.environ.get("CELERY_RULES")
if RULES:
    os.environ["BROKER_URL"] = URL
    os.environ["TASK_QUEUE"] = unique("celery")
    import rules_celery_app as tasks
    from celery_worker import start_worker

    WORKER = start_worker("rules_celery_app", "--concurrency", "1")


def when(result):
    """Waits for a task, and tells when it ran."""
    return result.get(timeout=60)


if RULES == "priorities":

    @case
    def urgent_tasks_run_first(_url):
        busy = tasks.nap.apply_async((1.5,), priority=9)
        time.sleep(0.2)
        waiting = [(priority, tasks.now.apply_async(priority=priority)) for priority in (0, 3, 9, 5, 7, 3, 0, 9)]
        when(busy)
        ran = sorted((when(result), priority) for priority, result in waiting)
        order = [priority for _, priority in ran]
        # One may have been prefetched while the worker was busy.
        equal(sorted(order[1:], reverse=True), order[1:], f"order {order}")

    @case
    def eta_and_countdown_are_kept_by_the_worker(_url):
        started = time.time()
        eta = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
        later = [tasks.now.apply_async(eta=eta), tasks.now.apply_async(countdown=1)]
        at_once = when(tasks.now.delay())
        passed = [when(result) - started for result in later]
        assert at_once - started < min(passed), "a task without a delay has waited for others"
        assert 2 <= passed[0] < 10 and 1 <= passed[1] < 10, passed

    @case
    def retries_keep_their_priority(_url):
        started = time.time()
        equal(tasks.try_again.apply_async(priority=9).get(timeout=60), 3)
        assert time.time() - started >= 3


if RULES == "quorum":

    @case
    def tasks_of_a_quorum_queue(_url):
        results = [tasks.now.delay() for _ in range(100)]
        equal(len([when(result) for result in results]), 100)

    @case
    def the_broker_delays_tasks(_url):
        """Each bit of the delay is a queue with a time to live, and a topic exchange before it."""
        started = time.time()
        both = (tasks.now, tasks.deaths)
        results = {seconds: [task.apply_async(countdown=seconds) for task in both] for seconds in (1, 2, 3)}
        at_once = when(tasks.now.delay())
        assert at_once < when(results[1][0]), "a task without a delay has waited for others"
        for seconds, (ran, died) in results.items():
            passed = when(ran) - started
            assert seconds - 0.1 <= passed < seconds + 8, f"{seconds} s became {passed:.2f} s"
            levels = {f"celery_delayed_{bit}" for bit in range(28) if seconds >> bit & 1}
            equal({queue for queue, _ in when(died)}, levels)

    @case
    def eta_is_a_delay_too(_url):
        started = time.time()
        eta = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
        passed = when(tasks.now.apply_async(eta=eta)) - started
        assert 1.9 <= passed < 10, passed  # whole seconds, cut off

    @case
    def retries_are_delayed_by_the_broker(_url):
        started = time.time()
        equal(tasks.try_again.delay().get(timeout=60), 3)
        assert time.time() - started >= 2.9


def ready():
    """The worker has declared what it needs: a task without a delay comes back."""
    wait_until(lambda: WORKER.poll() is None, "the worker runs")
    when(tasks.now.delay())


if __name__ == "__main__":
    if RULES:
        ready()
        main()
    both = [
        subprocess.Popen([sys.executable, *sys.argv], env={**os.environ, "CELERY_RULES": rules})
        for rules in ("priorities", "quorum")
    ]
    sys.exit(max(process.wait() for process in both))
