"""The programs of examples/fanout, run as its page says. AMQP_URL says where the other listener is."""

import contextlib
import os
import subprocess
import sys
import threading

from suite import case, equal, main, wait_until

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../examples/fanout")


@contextlib.contextmanager
def program(name, url):
    """Runs one of them until the block ends: the lines that it prints."""
    process = subprocess.Popen(
        [sys.executable, os.path.join(FOLDER, name), url], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(line.strip() for line in process.stdout), daemon=True)
    reader.start()
    try:
        yield lines
    finally:
        process.terminate()
        process.wait(15)
        reader.join(15)
        process.stdout.close()


@case
def payments_are_shipped_and_mailed(url):
    with program("shipping.py", url) as shipping, program("mail.py", os.environ["AMQP_URL"]) as mail:
        for lines in (shipping, mail):
            wait_until(lambda lines=lines: "waiting for payments" in lines, "a program that listens", seconds=30)
        done = subprocess.run(
            [sys.executable, os.path.join(FOLDER, "payments.py"), url], capture_output=True, text=True, timeout=60
        )
        equal((done.returncode, [line.split()[1] for line in done.stdout.splitlines()]), (0, ["p-1", "p-2", "p-3"]), done.stderr)
        wait_until(lambda: len(shipping) >= 3 and len(mail) >= 4, "all payments")
        equal(shipping[1:], ["shipping p-1", "shipping p-3"])
        wanted = [("p-1", 4999), ("p-2", 900), ("p-3", 1250)]
        equal(mail[1:], [f"mail to ann@example.com about {name} {cents} cents" for name, cents in wanted])


if __name__ == "__main__":
    main()
