"""A work queue: jobs that survive a restart, a worker that acknowledges each when it is done, and answers.

pip install stomp.py; python stomp_work_queue.py [localhost [61613]]
"""

import sys
import threading

import stomp

HOST = sys.argv[1] if len(sys.argv) > 1 else "localhost"
PORT = int(sys.argv[2]) if len(sys.argv) > 2 else 61613
JOBS = ["resize a.png", "resize b.png", "resize c.png"]


class Listener(stomp.ConnectionListener):
    """Hands over what comes."""

    def __init__(self, on_message=None, on_receipt=None):
        self.take = on_message or (lambda frame: None)
        self.confirm = on_receipt or (lambda receipt_id: None)

    def on_message(self, frame):
        self.take(frame)

    def on_receipt(self, frame):
        self.confirm(frame.headers["receipt-id"])

    def on_error(self, frame):
        print("error:", frame.headers["message"], frame.body)


def connect(listener):
    # Without a virtual host stomp.py sends the name of the machine.
    connection = stomp.Connection12([(HOST, PORT)], vhost="/", heartbeats=(10_000, 10_000))
    connection.set_listener("", listener)
    connection.connect("guest", "guest", wait=True)
    return connection


# The worker has one job at a time, and one that it does not acknowledge goes to another worker.
def work(frame):
    worker.send(frame.headers["reply-to"], f"done: {frame.body}")
    worker.ack(frame.headers["ack"])


worker = connect(Listener(work))
worker.subscribe("/queue/jobs", id="jobs", ack="client-individual", headers={"prefetch-count": "1"})

# The receipt of a persistent message comes when it is on stable storage.
finished = threading.Semaphore(0)
answers = []


def answered(frame):
    answers.append(frame.body)
    print(frame.body)
    finished.release()


boss = connect(Listener(answered, on_receipt=lambda receipt_id: print("stored:", receipt_id)))
for job in JOBS:
    # The answers come to this connection, by a queue that is made for them.
    headers = {"persistent": "true", "reply-to": "/temp-queue/answers", "receipt": job}
    boss.send("/queue/jobs", job, headers=headers)
for _ in JOBS:
    if not finished.acquire(timeout=30):
        sys.exit("no answer")
for connection in (boss, worker):
    connection.disconnect()
if sorted(answers) != [f"done: {job}" for job in JOBS]:
    sys.exit(f"other answers: {answers}")
