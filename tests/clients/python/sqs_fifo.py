"""FIFO queues of SQS: order, groups, deduplication, attempts."""

import collections
import threading
import time

from sqs_tools import (
    answers,
    bodies,
    client,
    counts,
    delete,
    fifo,
    queue,
    receive,
    receive_all,
    receive_one,
    refused,
    send,
    take_all,
    took,
)
from suite import beyond, case, equal, is_common, restart_case, restart_broker, unique, wait_until


def send_group(url, made, group, bodies_of_group):
    """Sends these in order as one group, in batches: the successful entries."""
    told = []
    bodies_of_group = list(bodies_of_group)
    for start in range(0, len(bodies_of_group), 10):
        entries = [
            {"Id": str(number), "MessageBody": body, "MessageGroupId": group}
            for number, body in enumerate(bodies_of_group[start : start + 10])
        ]
        answer = client(url).send_message_batch(QueueUrl=made, Entries=entries)
        equal(answer.get("Failed", []), [])
        told += answer["Successful"]
    return told


@case
def order_of_one_group(url):
    with fifo(url) as made:
        told = send_group(url, made, "g", [f"m{number}" for number in range(25)])
        numbers = [entry["SequenceNumber"] for entry in told]
        equal(numbers, sorted(numbers), "sequence numbers rise")
        equal(len(set(numbers)), 25)
        if not is_common():
            equal({len(number) for number in numbers}, {20}, "digits of a sequence number")
        got = []
        while len(got) < 25:
            batch = receive(url, made, wait=5)
            got += batch
            delete(url, made, *batch)
        equal(bodies(got), [f"m{number}" for number in range(25)])
        equal([message["Attributes"]["SequenceNumber"] for message in got], numbers)
        first = got[0]["Attributes"]
        equal(first["MessageGroupId"], "g")
        equal(len(first["MessageDeduplicationId"]), 64, "the SHA-256 of the body")


@case
def a_group_in_flight_is_locked_and_others_go_on(url):
    with fifo(url) as made:
        send_group(url, made, "a", ["a1", "a2", "a3"])
        (first,) = receive(url, made, 1)
        equal(first["Body"], "a1")
        equal(receive(url, made), [], "the group is in flight")
        send_group(url, made, "b", ["b1", "b2"])
        equal(bodies(receive(url, made)), ["b1", "b2"], "another group goes on")
        delete(url, made, first)
        equal(bodies(receive(url, made)), ["a2", "a3"])


@case
def one_receive_takes_several_of_a_group_in_order(url):
    with fifo(url) as made:
        send_group(url, made, "a", [f"a{number}" for number in range(12)])
        got = receive(url, made)
        equal(bodies(got), [f"a{number}" for number in range(10)])
        equal(counts(url, made)[1], 10)
        delete(url, made, *got)
        equal(bodies(receive(url, made)), ["a10", "a11"])


@case
def what_is_given_back_comes_first_again(url):
    with fifo(url) as made:
        send_group(url, made, "g", ["1", "2", "3"])
        got = receive(url, made, 2)
        equal(bodies(got), ["1", "2"])
        for message in got:
            client(url).change_message_visibility(
                QueueUrl=made, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        again = receive_all(url, made, 3)
        equal(bodies(again), ["1", "2", "3"])
        equal([message["Attributes"]["ApproximateReceiveCount"] for message in again], ["2", "2", "1"])


@case
def time_runs_out_in_order(url):
    with fifo(url, VisibilityTimeout="1") as made:
        send_group(url, made, "g", ["1", "2", "3"])
        equal(bodies(receive(url, made, 1)), ["1"])
        got, seconds = took(lambda: receive_one(url, made))
        equal((got["Body"], got["Attributes"]["ApproximateReceiveCount"]), ("1", "2"))
        assert seconds > 0.5, f"{seconds:.2f} s"


@case
def the_same_deduplication_id_is_the_same_message(url):
    with queue(url, {"FifoQueue": "true"}) as made:
        first = send(url, made, "one", MessageGroupId="g", MessageDeduplicationId="d1")
        again = send(url, made, "another body", MessageGroupId="g", MessageDeduplicationId="d1")
        equal(again["MessageId"], first["MessageId"])
        if not is_common():
            equal(again["SequenceNumber"], first["SequenceNumber"])
        other = send(url, made, "two", MessageGroupId="g", MessageDeduplicationId="d2")
        assert other["MessageId"] != first["MessageId"]
        # In another group, too: the scope is the queue.
        equal(send(url, made, "x", MessageGroupId="h", MessageDeduplicationId="d1")["MessageId"], first["MessageId"])
        got = receive(url, made)
        equal(bodies(got), ["one", "two"])
        equal([message["Attributes"]["MessageDeduplicationId"] for message in got], ["d1", "d2"])
        delete(url, made, *got)
        # What was deleted is still known for five minutes.
        equal(send(url, made, "x", MessageGroupId="g", MessageDeduplicationId="d1")["MessageId"], first["MessageId"])
        equal(counts(url, made), (0, 0, 0))


@case
def the_same_body_is_the_same_message(url):
    with fifo(url) as made:
        attribute = {"a": {"DataType": "String", "StringValue": "does not count"}}
        first = send(url, made, "same", MessageGroupId="g")
        equal(send(url, made, "same", MessageGroupId="g", MessageAttributes=attribute)["MessageId"], first["MessageId"])
        send(url, made, "same", MessageGroupId="g", MessageDeduplicationId="explicit")
        send(url, made, "other", MessageGroupId="g")
        equal(bodies(receive(url, made)), ["same", "same", "other"])


@case
def the_scope_of_deduplication_may_be_the_group(url):
    with fifo(url, DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId") as made:
        first = send(url, made, "same", MessageGroupId="a")
        equal(send(url, made, "same", MessageGroupId="a")["MessageId"], first["MessageId"])
        second = send(url, made, "same", MessageGroupId="b")
        assert second["MessageId"] != first["MessageId"]
        equal(sorted(m["Attributes"]["MessageGroupId"] for m in receive_all(url, made, 2)), ["a", "b"])
        # AWS has no high throughput with a window for the whole queue.
        if not is_common():
            refused(
                lambda: client(url).set_queue_attributes(QueueUrl=made, Attributes={"DeduplicationScope": "queue"}),
                "InvalidAttributeValue",
            )


@case
def duplicates_inside_a_batch(url):
    with fifo(url) as made:
        told = send_group(url, made, "g", ["x", "y", "x"])
        equal(told[0]["MessageId"], told[2]["MessageId"])
        equal(take_all(url, made, 2), ["x", "y"])
        equal(receive(url, made), [])


@case
def what_a_fifo_queue_asks_for(url):
    with queue(url, {"FifoQueue": "true"}) as made:
        refused(
            lambda: send(url, made, MessageDeduplicationId="d"),
            "MissingParameter",
            "The request must contain the parameter MessageGroupId.",
        )
        refused(
            lambda: send(url, made, MessageGroupId="g"),
            "InvalidParameterValue",
            "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
        )
        refused(
            lambda: send(url, made, MessageGroupId="g", MessageDeduplicationId="d", DelaySeconds=1),
            "InvalidParameterValue",
            "Value 1 for parameter DelaySeconds is invalid. "
            "Reason: The request include parameter that is not valid for this queue type.",
        )
        for value in ("a b", "x" * 129, "ü"):
            reason = "can only include alphanumeric and punctuation characters. 1 to 128 in length."
            for name in ("MessageGroupId", "MessageDeduplicationId"):
                refused(
                    lambda name=name, value=value: send(
                        url, made, **{"MessageGroupId": "g", "MessageDeduplicationId": "d", name: value}
                    ),
                    "InvalidParameterValue",
                    f"Value {value} for parameter {name} is invalid. Reason: {name} {reason}",
                )
        punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
        send(url, made, MessageGroupId=punctuation, MessageDeduplicationId=punctuation)
        (message,) = receive(url, made)
        equal(message["Attributes"]["MessageGroupId"], punctuation)
        # In a batch one entry without its group is the whole batch's mistake.
        refused(
            lambda: client(url).send_message_batch(
                QueueUrl=made,
                Entries=[
                    {"Id": "no-group", "MessageBody": "x", "MessageDeduplicationId": "e1"},
                    {"Id": "good", "MessageBody": "x", "MessageDeduplicationId": "e2", "MessageGroupId": "g"},
                ],
            ),
            "InvalidParameterValue",
            "The request must contain the parameter MessageGroupId.",
        )


@case
def a_queue_may_delay_all(url):
    with fifo(url, DelaySeconds="1") as made:
        send_group(url, made, "g", ["1", "2"])
        equal(receive(url, made), [])
        equal(counts(url, made), (0, 0, 2))
        equal(bodies(receive_all(url, made, 2)), ["1", "2"])


@case
def an_expired_handle_deletes_nothing(url):
    with fifo(url, VisibilityTimeout="1") as made:
        send(url, made, "once", MessageGroupId="g")
        old = receive_one(url, made)
        wait_until(lambda: counts(url, made) == (1, 0, 0), "it is visible again")
        handle = old["ReceiptHandle"]
        refused(
            lambda: delete(url, made, old),
            "InvalidParameterValue",
            f"Value {handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.",
        )
        if not is_common():
            refused(
                lambda: client(url).change_message_visibility(QueueUrl=made, ReceiptHandle=handle, VisibilityTimeout=60),
                "AWS.SimpleQueueService.MessageNotInflight",
                shape="MessageNotInflight",
            )
        new = receive_one(url, made, VisibilityTimeout=60)
        delete(url, made, new)
        equal(counts(url, made), (0, 0, 0))


@case
@beyond("LocalStack does not know attempts")
def an_attempt_that_is_told_twice_gets_the_same(url):
    """ReceiveRequestAttemptId: who did not hear the answer asks again, and gets the same messages with the same handles."""
    with fifo(url) as made:
        send_group(url, made, "g", [f"m{number}" for number in range(5)])
        attempt = unique("attempt")
        first = receive(url, made, 3, ReceiveRequestAttemptId=attempt)
        again = receive(url, made, 3, ReceiveRequestAttemptId=attempt)
        equal(bodies(first), ["m0", "m1", "m2"])
        equal([message["MessageId"] for message in again], [message["MessageId"] for message in first])
        delete(url, made, *again)
        equal(bodies(receive(url, made, ReceiveRequestAttemptId=unique("attempt"))), ["m3", "m4"])
    with queue(url) as standard:
        refused(
            lambda: receive(url, standard, ReceiveRequestAttemptId="x"),
            "InvalidParameterValue",
            "Value x for parameter ReceiveRequestAttemptId is invalid. "
            "Reason: The request include parameter that is not valid for this queue type.",
        )


@case
def many_groups_and_receivers(url):
    """Eight receivers at once on fifty groups: each group in order, nothing twice."""
    groups, of_each = 50, 6
    with fifo(url, VisibilityTimeout="60") as made:
        for number in range(of_each):
            for start in range(0, groups, 10):
                entries = [
                    {"Id": f"e{group}", "MessageBody": f"{group}:{number}", "MessageGroupId": f"g{group}"}
                    for group in range(start, start + 10)
                ]
                client(url).send_message_batch(QueueUrl=made, Entries=entries)
        got, lock = [], threading.Lock()

        def work():
            end = time.monotonic() + 60
            while time.monotonic() < end:
                messages = receive(url, made, 7, wait=1)
                with lock:
                    got.extend(bodies(messages))
                    done = len(got) >= groups * of_each
                delete(url, made, *messages)
                if done:
                    return

        workers = [threading.Thread(target=work) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        by_group = collections.defaultdict(list)
        for body in got:
            group, number = body.split(":")
            by_group[group].append(int(number))
        equal(dict(by_group), {str(group): list(range(of_each)) for group in range(groups)})


@restart_case
def order_and_deduplication_hold_over_a_crash(url):
    with fifo(url, VisibilityTimeout="2") as made:
        told = send_group(url, made, "g", [f"m{number}" for number in range(10)])
        deleted = receive(url, made, 3)
        delete(url, made, *deleted)
        restart_broker("kill")
        wait_until(lambda: answers(url), "the broker is back")
        for number in range(10):
            again = send(url, made, f"m{number}", MessageGroupId="g")
            original = told[number]
            equal((again["MessageId"], again["SequenceNumber"]), (original["MessageId"], original["SequenceNumber"]))
        after = send(url, made, "after", MessageGroupId="g")
        assert after["SequenceNumber"] > told[-1]["SequenceNumber"]
        equal(take_all(url, made, 8), [f"m{number}" for number in range(3, 10)] + ["after"])
        equal(receive(url, made), [])


@restart_case
def a_locked_group_is_locked_after_a_stop(url):
    with fifo(url, VisibilityTimeout="600") as made:
        send_group(url, made, "a", ["a1", "a2"])
        (held,) = receive(url, made, 1)
        send_group(url, made, "b", ["b1"])
        restart_broker("stop")
        wait_until(lambda: answers(url), "the broker is back")
        equal(bodies(receive(url, made)), ["b1"])
        delete(url, made, held)
        equal(bodies(receive(url, made)), ["a2"])
