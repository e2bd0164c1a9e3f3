"""Celery workers as people run them: processes of their own, which end with the program that started them."""

import atexit
import ctypes
import os
import signal
import subprocess
import sys

from suite import unique


def start_worker(app, *options):
    """Starts a worker as the manual says, and leaves it running until the program ends."""
    process = subprocess.Popen(
        [
            sys.executable,
            *("-m", "celery", "-A", app, "worker"),
            *("--loglevel", "WARNING", "--hostname", unique("worker")),
            *(options or ("--concurrency", "2")),
        ],
        stdout=sys.stderr,
        start_new_session=True,
        preexec_fn=end_with_parent,
    )
    atexit.register(stop, process)
    return process


def end_with_parent():
    """Has Linux send SIGTERM to the worker when this program is killed, and cannot stop it itself (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def stop(process):
    """Ends a worker and its children."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
