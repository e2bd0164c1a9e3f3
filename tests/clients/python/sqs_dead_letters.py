"""Dead letters of SQS: redrive, who may, and moving them back."""

import json
import time

from sqs_tools import (
    ACCOUNT,
    REGION,
    answers,
    arn_of,
    attributes,
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
    send_all,
    take_all,
)
from suite import beyond, case, equal, is_common, restart_case, restart_broker, unique, wait_until


def redrive_to(dead, receives):
    """The attribute that sends what was received so often to another queue."""
    return {"RedrivePolicy": {"deadLetterTargetArn": arn_of(dead), "maxReceiveCount": receives}}


def fail(url, made, count, receives):
    """Receives until so many messages have been received so often, gives each back at once, and lets the queue see that."""
    seen = 0
    while seen < count * receives:
        got = receive(url, made, VisibilityTimeout=0, wait=1)
        assert got, f"only {seen} receives of {count * receives}"
        seen += len(got)
    wait_until(lambda: not receive(url, made, VisibilityTimeout=0), "nothing is left")


@case
def received_too_often_goes_to_the_dead_letters(url):
    with queue(url) as dead, queue(url, redrive_to(dead, 2)) as made:
        values = {"n": {"DataType": "Number", "StringValue": "1"}}
        told = send(url, made, "poison", MessageAttributes=values)
        for count in ("1", "2"):
            message = receive_one(url, made, VisibilityTimeout=0)
            equal(message["Attributes"]["ApproximateReceiveCount"], count)
            equal("DeadLetterQueueSourceArn" in message["Attributes"], False)
        equal(receive(url, made, wait=1), [])
        letter = receive_one(url, dead)
        equal((letter["Body"], letter["MessageId"]), ("poison", told["MessageId"]))
        equal(letter["MessageAttributes"], values)
        equal(letter["Attributes"]["DeadLetterQueueSourceArn"], arn_of(made))
        equal(letter["Attributes"]["ApproximateReceiveCount"], "3", "receives, those of the queue it comes from counted")
        equal(letter["Attributes"]["SentTimestamp"], message["Attributes"]["SentTimestamp"])
        equal(counts(url, made), (0, 0, 0))


@case
def a_message_that_succeeds_in_time_stays_away(url):
    with queue(url) as dead, queue(url, redrive_to(dead, 3)) as made:
        send_all(url, made, ["a", "b"])
        receive_all(url, made, 2, VisibilityTimeout=0)
        equal(sorted(take_all(url, made, 2)), ["a", "b"])
        equal(receive(url, dead), [])


@case
def dead_letters_of_a_fifo_queue_keep_their_order(url):
    with fifo(url) as dead, fifo(url, **redrive_to(dead, 1)) as made:
        for number in range(4):
            send(url, made, f"m{number}", MessageGroupId="g")
        got = receive(url, made, VisibilityTimeout=0)
        equal(bodies(got), ["m0", "m1", "m2", "m3"])
        equal(receive(url, made, wait=1), [])
        letters = receive_all(url, dead, 4)
        equal(bodies(letters), ["m0", "m1", "m2", "m3"])
        equal({letter["Attributes"]["MessageGroupId"] for letter in letters}, {"g"})
        equal([letter["MessageId"] for letter in letters], [message["MessageId"] for message in got])
        # What was delayed by the group that failed goes on.
        send(url, made, "next", MessageGroupId="g")
        equal(bodies(receive(url, made)), ["next"])


@case
def redrive_policies_are_checked(url):
    with queue(url) as dead, queue(url) as made, fifo(url) as ordered:

        def change(value, to=made):
            text = value if isinstance(value, str) else json.dumps(value)
            return lambda: client(url).set_queue_attributes(QueueUrl=to, Attributes={"RedrivePolicy": text})

        good = {"deadLetterTargetArn": arn_of(dead), "maxReceiveCount": 3}
        for count in (0, 1001):
            value = json.dumps({**good, "maxReceiveCount": count})
            refused(
                change(value),
                "InvalidParameterValue",
                f"Value {value} for parameter RedrivePolicy is invalid. Reason: Invalid value for maxReceiveCount: {count}, "
                "valid values are from 1 to 1000 both inclusive.",
            )
        refused(change({"maxReceiveCount": 3}), "InvalidParameterValue")
        if not is_common():
            refused(change({"deadLetterTargetArn": arn_of(dead)}), "InvalidParameterValue")
            for value in ("{", "[]", "null", '"x"', "1"):
                refused(change(value), "InvalidAttributeValue")
            value = json.dumps({**good, "deadLetterTargetArn": arn_of(dead) + "-nowhere"})
            refused(
                change(value),
                "InvalidParameterValue",
                f"Value {value} for parameter RedrivePolicy is invalid. Reason: Dead letter target does not exist.",
            )
            for arn in ("garbage", "arn:aws:sns:us-east-1:000000000000:x"):
                refused(change({**good, "deadLetterTargetArn": arn}), "InvalidParameterValue")
            refused(change(good, ordered), "InvalidParameterValue")  # a FIFO queue's is a FIFO queue
            refused(change({**good, "deadLetterTargetArn": arn_of(ordered)}), "InvalidParameterValue")
        change({**good, "maxReceiveCount": "7"})()
        told = json.loads(attributes(url, made, "RedrivePolicy")["RedrivePolicy"])
        equal((told["deadLetterTargetArn"], str(told["maxReceiveCount"])), (arn_of(dead), "7"))
        change("")()
        equal(attributes(url, made, "RedrivePolicy"), {}, "policy that was taken back")


@case
@beyond("LocalStack does not obey it")
def a_dead_letter_queue_says_who_may(url):
    allow = {"redrivePermission": "denyAll"}
    with queue(url, {"RedriveAllowPolicy": allow}) as dead, queue(url) as made, queue(url) as other:
        equal(json.loads(attributes(url, dead, "RedriveAllowPolicy")["RedriveAllowPolicy"]), allow)

        def use(to):
            policy = {name: json.dumps(value) for name, value in redrive_to(dead, 1).items()}
            return lambda: client(url).set_queue_attributes(QueueUrl=to, Attributes=policy)

        def let(**policy):
            client(url).set_queue_attributes(QueueUrl=dead, Attributes={"RedriveAllowPolicy": json.dumps(policy)})

        refused(use(made), "InvalidParameterValue")
        let(redrivePermission="byQueue", sourceQueueArns=[arn_of(made)])
        use(made)()
        refused(use(other), "InvalidParameterValue")
        let(redrivePermission="allowAll")
        use(other)()
        for policy in (
            {"redrivePermission": "byQueue"},
            {"redrivePermission": "byQueue", "sourceQueueArns": []},
            {"redrivePermission": "byQueue", "sourceQueueArns": [arn_of(made)] * 11},
            {"redrivePermission": "denyAll", "sourceQueueArns": [arn_of(made)]},
        ):
            refused(
                lambda policy=policy: client(url).set_queue_attributes(
                    QueueUrl=dead, Attributes={"RedriveAllowPolicy": json.dumps(policy)}
                ),
                "InvalidParameterValue",
            )


@case
def sources_of_a_dead_letter_queue_are_listed(url):
    with queue(url) as dead:
        equal(client(url).list_dead_letter_source_queues(QueueUrl=dead).get("queueUrls", []), [])
        policy = {name: json.dumps(value) for name, value in redrive_to(dead, 1).items()}
        made = [
            client(url).create_queue(QueueName=unique(f"source{number}"), Attributes=policy)["QueueUrl"] for number in range(5)
        ]
        equal(sorted(client(url).list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"]), sorted(made))
        pages, token = [], {}
        while True:
            page = client(url).list_dead_letter_source_queues(QueueUrl=dead, MaxResults=2, **token)
            pages.append(page.get("queueUrls", []))
            if "NextToken" not in page:
                break
            token = {"NextToken": page["NextToken"]}
            assert len(pages) < 9, "pages do not end"
        equal(sorted(sum(pages, [])), sorted(made))
        if not is_common():
            equal([len(page) for page in pages if page], [2, 2, 1])
        client(url).set_queue_attributes(QueueUrl=made[0], Attributes={"RedrivePolicy": ""})
        client(url).delete_queue(QueueUrl=made[1])
        equal(sorted(client(url).list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"]), sorted(made[2:]))
        for left in (made[0], *made[2:]):
            client(url).delete_queue(QueueUrl=left)


def tasks(url, dead):
    """The move tasks of a dead-letter queue, newest first."""
    return client(url).list_message_move_tasks(SourceArn=arn_of(dead), MaxResults=10).get("Results", [])


@case
def dead_letters_move_back_to_where_they_came_from(url):
    with queue(url) as dead, queue(url, redrive_to(dead, 1)) as one, queue(url, redrive_to(dead, 1)) as two:
        send_all(url, one, [f"one {number}" for number in range(12)])
        send_all(url, two, [f"two {number}" for number in range(3)])
        fail(url, one, 12, 1)
        fail(url, two, 3, 1)
        wait_until(lambda: counts(url, dead)[0] == 15, "15 dead letters")
        started = time.time()
        handle = client(url).start_message_move_task(SourceArn=arn_of(dead))["TaskHandle"]
        assert handle
        wait_until(lambda: [task["Status"] for task in tasks(url, dead)] == ["COMPLETED"], "the end of the move")
        (task,) = tasks(url, dead)
        equal((task["SourceArn"], "DestinationArn" in task), (arn_of(dead), False))
        equal((task["ApproximateNumberOfMessagesMoved"], task["ApproximateNumberOfMessagesToMove"]), (15, 15))
        assert started - 2 <= task["StartedTimestamp"] / 1000 <= time.time() + 1, task
        equal("TaskHandle" in task, False, "a handle is told of a running task only")
        equal(sorted(take_all(url, one, 12)), sorted(f"one {number}" for number in range(12)))
        equal(sorted(take_all(url, two, 3)), sorted(f"two {number}" for number in range(3)))
        equal(counts(url, dead), (0, 0, 0))


@case
def dead_letters_move_to_another_queue(url):
    with queue(url) as dead, queue(url, redrive_to(dead, 1)) as made, queue(url) as to:
        ids = [entry["MessageId"] for entry in send_all(url, made, ["a", "b", "c"])]
        fail(url, made, 3, 1)
        wait_until(lambda: counts(url, dead)[0] == 3, "3 dead letters")
        client(url).start_message_move_task(SourceArn=arn_of(dead), DestinationArn=arn_of(to))
        wait_until(lambda: [task["Status"] for task in tasks(url, dead)] == ["COMPLETED"], "the end of the move")
        equal(tasks(url, dead)[0]["DestinationArn"], arn_of(to))
        got = receive_all(url, to, 3)
        equal(sorted(bodies(got)), ["a", "b", "c"])
        if not is_common():
            # A message that is moved is a new one: with an id, a time and a count of its own.
            equal({message["Attributes"]["ApproximateReceiveCount"] for message in got}, {"1"})
        equal(len(ids), 3)
        equal(counts(url, made), (0, 0, 0))


@case
def a_move_has_a_rate_and_can_be_cancelled(url):
    with queue(url) as dead, queue(url, redrive_to(dead, 1)) as made:
        send_all(url, made, [str(number) for number in range(30)])
        fail(url, made, 30, 1)
        wait_until(lambda: counts(url, dead)[0] == 30, "30 dead letters")
        start = client(url).start_message_move_task
        handle = start(SourceArn=arn_of(dead), MaxNumberOfMessagesPerSecond=2)["TaskHandle"]
        wait_until(lambda: tasks(url, dead)[0]["Status"] == "RUNNING", "it runs")
        (task,) = tasks(url, dead)
        equal((task["MaxNumberOfMessagesPerSecond"], task["TaskHandle"]), (2, handle))
        refused(
            lambda: start(SourceArn=arn_of(dead)),
            "InvalidParameterValue",
            "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
        )
        wait_until(lambda: tasks(url, dead)[0].get("ApproximateNumberOfMessagesMoved", 0) >= 2, "some are moved")
        moved = client(url).cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"]
        assert 2 <= moved < 25, f"{moved} of 30 moved at 2 a second"
        wait_until(lambda: tasks(url, dead)[0]["Status"] == "CANCELLED", "it is cancelled")
        if not is_common():
            after = tasks(url, dead)[0]["ApproximateNumberOfMessagesMoved"]
            equal((counts(url, made)[0], counts(url, dead)[0]), (after, 30 - after), "nothing is lost and nothing is twice")
            refused(
                lambda: client(url).cancel_message_move_task(TaskHandle=handle),
                "ResourceNotFoundException",
                status=404,
                shape="ResourceNotFoundException",
            )


@case
def moves_are_checked(url):
    start = client(url).start_message_move_task
    with queue(url) as plain, queue(url) as dead, queue(url, redrive_to(dead, 1)):
        nowhere = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{unique('nowhere')}"
        refused(
            lambda: start(SourceArn=arn_of(plain)),
            "InvalidParameterValue",
            "Source queue must be configured as a Dead Letter Queue.",
        )
        missing = "The resource that you specified for the {} parameter doesn't exist."
        refused(
            lambda: start(SourceArn=nowhere),
            "ResourceNotFoundException",
            missing.format("SourceArn"),
            status=404,
            shape="ResourceNotFoundException",
        )
        refused(
            lambda: start(SourceArn=arn_of(dead), DestinationArn=nowhere),
            "ResourceNotFoundException",
            missing.format("DestinationArn"),
            status=404,
        )
        refused(
            lambda: client(url).list_message_move_tasks(SourceArn=nowhere),
            "ResourceNotFoundException",
            missing.format("SourceArn"),
            status=404,
        )
        refused(
            lambda: client(url).list_message_move_tasks(SourceArn="garbage"),
            "InvalidParameterValue",
            "You must use this format to specify the SourceArn: arn:<partition>:<service>:<region>:<account-id>:<resource-id>",
        )
        refused(
            lambda: client(url).cancel_message_move_task(TaskHandle="garbage"),
            "InvalidParameterValue",
            "Value for parameter TaskHandle is invalid.",
        )
        if not is_common():
            for rate in (0, 501):
                refused(
                    lambda rate=rate: start(SourceArn=arn_of(dead), MaxNumberOfMessagesPerSecond=rate),
                    "InvalidParameterValue",
                )
        equal(tasks(url, dead), [])


@case
def a_move_of_what_came_from_nowhere_fails(url):
    """Without a destination each message goes back to the queue that it came from; one that was sent here has none."""
    with queue(url) as dead, queue(url, redrive_to(dead, 1)):
        send(url, dead, "sent here")
        client(url).start_message_move_task(SourceArn=arn_of(dead))
        wait_until(lambda: tasks(url, dead)[0]["Status"] == "FAILED", "the end of the move")
        equal(tasks(url, dead)[0]["FailureReason"], "CouldNotDetermineMessageSource")
        equal(counts(url, dead), (1, 0, 0))


@restart_case
def a_move_goes_on_after_a_crash(url):
    with queue(url) as dead, queue(url, redrive_to(dead, 1)) as made:
        sent = [str(number) for number in range(40)]
        send_all(url, made, sent)
        fail(url, made, 40, 1)
        wait_until(lambda: counts(url, dead)[0] == 40, "40 dead letters")
        client(url).start_message_move_task(SourceArn=arn_of(dead), MaxNumberOfMessagesPerSecond=10)
        wait_until(lambda: tasks(url, dead)[0]["ApproximateNumberOfMessagesMoved"] >= 5, "some are moved")
        restart_broker("kill")
        wait_until(lambda: answers(url), "the broker is back")
        wait_until(lambda: tasks(url, dead)[0]["Status"] == "COMPLETED", "the move ends")
        equal(counts(url, dead), (0, 0, 0))
        got = receive_all(url, made, 40)
        equal(sorted(bodies(got)), sorted(sent))
        delete(url, made, *got)
        equal(receive(url, made), [])


@restart_case
def receives_are_counted_over_a_stop(url):
    with queue(url) as dead, queue(url, redrive_to(dead, 2)) as made:
        send(url, made, "poison")
        receive_one(url, made, VisibilityTimeout=0)
        receive_one(url, made, VisibilityTimeout=0)
        restart_broker("stop")
        wait_until(lambda: answers(url), "the broker is back")
        equal(receive(url, made, wait=1), [])
        equal(receive_one(url, dead)["Attributes"]["DeadLetterQueueSourceArn"], arn_of(made))
