"""A hundred workers with long polls, as job systems run them (Shoryuken and its like): they wait, share, and none of them starves."""

import collections
import concurrent.futures
import threading
import time

from sqs_tools import client, counts, delete, fifo, queue, receive, send_all
from suite import case, equal, is_common, main, wait_until

WORKERS = 100


class Pool:
    """Workers that receive with long polls and delete, until they are told to end."""

    def __init__(self, url, made, count=WORKERS, batch=1, wait=2):
        self.url, self.made, self.batch, self.wait = url, made, batch, wait
        self.ends = threading.Event()
        self.lock = threading.Lock()
        self.got = []  # (worker, body, when)
        self.empty = 0
        self.executor = concurrent.futures.ThreadPoolExecutor(count)
        self.workers = [self.executor.submit(self.work, number) for number in range(count)]

    def work(self, number):
        while not self.ends.is_set():
            messages = receive(self.url, self.made, self.batch, wait=self.wait)
            now = time.monotonic()
            with self.lock:
                self.got.extend((number, message["Body"], now) for message in messages)
                self.empty += not messages
            delete(self.url, self.made, *messages)

    def wait_for(self, count, seconds=60):
        """Waits for so many messages in all."""
        wait_until(lambda: len(self.got) >= count, f"{count} messages", seconds)

    def end(self):
        """Ends the workers; fails when one of them has failed."""
        self.ends.set()
        for worker in self.workers:
            worker.result(timeout=30)
        self.executor.shutdown()


@case
def they_share_what_comes(url):
    with queue(url, {"VisibilityTimeout": "60"}) as made:
        pool = Pool(url, made)
        sent = [str(number) for number in range(1000)]
        with concurrent.futures.ThreadPoolExecutor(4) as senders:
            list(senders.map(lambda start: send_all(url, made, sent[start : start + 250]), range(0, 1000, 250)))
        pool.wait_for(1000)
        pool.end()
        equal(sorted(body for _, body, _ in pool.got), sorted(sent), "messages, each once")
        equal(counts(url, made), (0, 0, 0))
        by_worker = collections.Counter(number for number, _, _ in pool.got)
        if not is_common():
            # Those who wait longest are first: nobody starves while others have ten times as much.
            assert len(by_worker) > WORKERS // 2, f"only {len(by_worker)} workers got anything"


@case
def one_message_wakes_one_of_them(url):
    with queue(url) as made:
        pool = Pool(url, made, wait=10)
        time.sleep(1)
        for number in range(20):
            send_all(url, made, [str(number)])
            pool.wait_for(number + 1, seconds=10)
        # Nobody came back with empty hands: a message that one of them takes does not end the others' polls.
        equal(pool.empty, 0, "polls that ended with nothing")
        pool.ends.set()
        send_all(url, made, ["end"] * WORKERS)
        pool.end()


@case
def groups_of_a_fifo_queue_stay_in_order(url):
    with fifo(url, VisibilityTimeout="60") as made:
        pool = Pool(url, made, count=50, batch=3)
        groups, of_each = 20, 10
        for number in range(of_each):
            for start in range(0, groups, 10):
                entries = [
                    {"Id": f"e{group}", "MessageBody": f"{group}:{number}", "MessageGroupId": f"g{group}"}
                    for group in range(start, start + 10)
                ]
                client(url).send_message_batch(QueueUrl=made, Entries=entries)
        pool.wait_for(groups * of_each)
        pool.end()
        order = collections.defaultdict(list)
        for _, body, _ in pool.got:
            group, number = body.split(":")
            order[group].append(int(number))
        equal({group: sorted(numbers) for group, numbers in order.items()}, {str(g): list(range(of_each)) for g in range(groups)})
        # Between two workers the lock of the pool is what orders: a group is locked until its last message is deleted.
        equal(dict(order), {str(group): list(range(of_each)) for group in range(groups)})


if __name__ == "__main__":
    main()
