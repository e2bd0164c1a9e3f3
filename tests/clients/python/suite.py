"""Runs the cases of one client program and says which of them failed.

Every client program of this folder is called the same way:

    PROGRAM URL [--restarts] [--common] [CASE ...]

URL is an amqp, mqtt or stomp URL of a running broker, or an http URL where the cases are those of AWS's services. With --restarts whoever started the program is ready to stop the broker and start
it again: the program prints `@restart kill` or `@restart stop` and goes on when it reads `restarted`. Cases that
need it are left out otherwise. With --common the broker is another one, RabbitMQ 3.10 with the plugins that it is shipped
with (for MQTT: Mosquitto 2.0; for ActiveMQ's dialect of STOMP: ActiveMQ 5.17; for SQS: LocalStack 2026.3): cases of what it does not do, or does in
its own way, are left out. With names, only these cases run.
"""

import concurrent.futures
import sys
import time
import traceback
import uuid

_cases = []


def case(function):
    """Registers a case, which is called with the broker's URL."""
    _cases.append((function, False))
    return function


def restart_case(function):
    """Registers a case that has the broker restarted."""
    _cases.append((function, True))
    return function


def beyond(what):
    """Marks a case (below `@case`) as beyond RabbitMQ 3.10 and its own plugins (Mosquitto 2.0 where the case is one of
    MQTT); `what` says where its rules come from, or what the other one does."""

    def mark(function):
        function.beyond = what
        return function

    return mark


def is_common():
    """Whether the broker is another one: for the part of a case that it does in its own way."""
    return "--common" in sys.argv


def unique(prefix):
    """A name that no other case and no earlier run has used."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def equal(actual, expected, what="value"):
    """Fails with both values, where `assert` would only show the line."""
    if actual != expected:
        raise AssertionError(f"{what}: expected {expected!r}, got {actual!r}")


def wait_until(condition, what, seconds=15, step=lambda: time.sleep(0.02)):
    """Runs `step` until `condition()` holds, and fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        step()


def restart_broker(how):
    """Has the broker stopped (`kill` is kill -9, `stop` is SIGTERM) and started again on the same data."""
    print(f"@restart {how}", flush=True)
    answer = sys.stdin.readline().strip()
    equal(answer, "restarted", "answer to @restart")


def _outcome(function, url):
    """Runs one case and prints what came of it: whether it passed."""
    started = time.monotonic()
    try:
        function(url)
    except Exception:  # a failed case must not hide the result of the next one
        print(f"FAIL {function.__name__}\n{traceback.format_exc()}", flush=True)
        return False
    print(f"ok {function.__name__} ({time.monotonic() - started:.2f} s)", flush=True)
    return True


def main(together=1, last=None):
    """Runs the registered cases; exits 1 when one of them failed.

    So many of them run at a time, where they do nothing but wait for most of theirs; those that restart the broker come after
    them, one by one. `last` is a case that judges what the others did, and runs only where all of them have."""
    arguments = sys.argv[1:]
    restarts, common = "--restarts" in arguments, "--common" in arguments
    url, *names = [argument for argument in arguments if not argument.startswith("--")]
    chosen = [
        (function, needs_restart)
        for function, needs_restart in _cases
        if (not names or function.__name__ in names)
        and (restarts or not needs_restart)
        and not (common and hasattr(function, "beyond"))
    ]
    with concurrent.futures.ThreadPoolExecutor(together) as pool:
        outcomes = list(pool.map(lambda entry: _outcome(entry[0], url), [entry for entry in chosen if not entry[1]]))
    outcomes += [_outcome(function, url) for function, needs_restart in chosen if needs_restart]
    if last is not None and not names and not common and all(outcomes):
        outcomes.append(_outcome(last, url))
    failed = outcomes.count(False)
    print(f"{len(outcomes) - failed} cases passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not outcomes else 0)
