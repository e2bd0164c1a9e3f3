"""Dead letters seen by pika: why, where to, what is written on them, and what becomes of cycles."""

import contextlib
import datetime
import time

import pika

from pika_tools import PERSISTENT, Consumer, bodies, connected, depth, doomed, fill, get, new_queue, publish, reconnected
from suite import beyond, case, equal, main, restart_broker, restart_case, unique, wait_until

FIRST_DEATH = ("x-first-death-exchange", "x-first-death-queue", "x-first-death-reason")


@contextlib.contextmanager
def dying(url, **arguments):
    """A confirming channel, a queue with these arguments, and the queue of its dead letters."""
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        dead = new_queue(channel)
        arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead, **arguments}
        kind = arguments.get("x-queue-type", "classic")
        queue = new_queue(channel, arguments=arguments, exclusive=kind == "classic", durable=kind != "classic")
        yield channel, queue, dead
        if kind != "classic":
            channel.queue_delete(queue)


def dead_letter(channel, dead):
    """Waits for one dead letter and takes it: (method, properties, body)."""
    taken = []

    def came():
        method, properties, body = get(channel, dead)
        if method:
            taken.append((method, properties, body))
        return bool(taken)

    wait_until(came, "a dead letter")
    return taken[0]


def reject(channel, queue):
    """Takes one message and rejects it for good."""
    taken = []

    def came():
        taken[:] = [get(channel, queue, auto_ack=False)[0]]
        return taken[0] is not None

    wait_until(came, "a message to reject")
    channel.basic_reject(taken[0].delivery_tag, requeue=False)


def without_time(deaths):
    """x-death without its times, which must be times of this minute; in UTC, as AMQP has them."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    for death in deaths:
        age = (now - death["time"].replace(tzinfo=None)).total_seconds()
        assert -2 <= age <= 60, f"x-death.time {death['time']}, but it is {now}"
    return [{name: value for name, value in death.items() if name != "time"} for death in deaths]


# --- why, and what is written -----------------------------------------------------------------------------------------


@case
def rejected(url):
    with dying(url) as (channel, queue, dead):
        exchange = unique("source")
        channel.exchange_declare(exchange, "direct", auto_delete=True)
        channel.queue_bind(queue, exchange, "colour")
        properties = pika.BasicProperties(headers={"kept": [1, "two"]}, message_id="7", priority=3)
        channel.basic_publish(exchange, "colour", b"body", properties)
        reject(channel, queue)
        method, properties, body = dead_letter(channel, dead)
        equal((method.exchange, method.routing_key, method.redelivered), ("", dead, False))
        equal((body, properties.message_id, properties.priority), (b"body", "7", 3))
        headers = properties.headers
        equal(headers["kept"], [1, "two"])
        equal([headers[name] for name in FIRST_DEATH], [exchange, queue, "rejected"])
        expected = {"count": 1, "reason": "rejected", "queue": queue, "exchange": exchange, "routing-keys": ["colour"]}
        equal(without_time(headers["x-death"]), [expected])
        equal(list(headers["x-death"][0]), ["count", "reason", "queue", "time", "exchange", "routing-keys"], "order")


@case
def nacked_many_at_once(url):
    with dying(url) as (channel, queue, dead):
        fill(channel, queue, 5)
        tags = [get(channel, queue, auto_ack=False)[0].delivery_tag for _ in range(5)]
        channel.basic_nack(tags[3], multiple=True, requeue=False)
        channel.basic_nack(tags[4], requeue=True)
        wait_until(lambda: depth(channel, dead) == 4, "four dead letters")
        equal(bodies(channel, dead), [b"0", b"1", b"2", b"3"], "in their order")
        equal(bodies(channel, queue), [b"4"])


@case
def expired_by_the_queue(url):
    with dying(url, x_message_ttl=200) as (channel, queue, dead):
        fill(channel, queue, 3)
        wait_until(lambda: depth(channel, dead) == 3, "three dead letters")
        _, properties, body = dead_letter(channel, dead)
        equal(body, b"0")
        expected = {"count": 1, "reason": "expired", "queue": queue, "exchange": "", "routing-keys": [queue]}
        equal(without_time(properties.headers["x-death"]), [expected])
        equal([properties.headers[name] for name in FIRST_DEATH], ["", queue, "expired"])
        equal(properties.expiration, None)
        equal(bodies(channel, dead), [b"1", b"2"], "in their order")


@case
def expired_by_the_message(url):
    """Its expiration is taken off, so that it does not expire again where it goes, and kept in x-death."""
    with dying(url) as (channel, queue, dead):
        publish(channel, queue, b"", expiration="150")
        _, properties, _ = dead_letter(channel, dead)
        equal(properties.expiration, None)
        (death,) = without_time(properties.headers["x-death"])
        equal((death["reason"], death["original-expiration"]), ("expired", "150"))


@case
def rejected_before_it_could_expire(url):
    """Here too the expiration goes, and x-death says what it was."""
    with dying(url) as (channel, queue, dead):
        publish(channel, queue, b"", expiration="60000")
        reject(channel, queue)
        _, properties, _ = dead_letter(channel, dead)
        (death,) = without_time(properties.headers["x-death"])
        equal((death["reason"], properties.expiration, death["original-expiration"]), ("rejected", None, "60000"))


@case
def dropped_by_length(url):
    with dying(url, x_max_length=2) as (channel, queue, dead):
        fill(channel, queue, 5)
        wait_until(lambda: depth(channel, dead) == 3, "three dead letters")
        _, properties, body = dead_letter(channel, dead)
        equal(body, b"0", "the oldest first")
        (death,) = without_time(properties.headers["x-death"])
        equal((death["reason"], death["queue"], death["count"]), ("maxlen", queue, 1))
        equal(bodies(channel, dead), [b"1", b"2"])
        equal(bodies(channel, queue), [b"3", b"4"])


@case
def dropped_by_bytes(url):
    with dying(url, x_max_length_bytes=10) as (channel, queue, dead):
        publish(channel, queue, b"x" * 11)
        _, properties, body = dead_letter(channel, dead)
        equal((body, properties.headers["x-death"][0]["reason"]), (b"x" * 11, "maxlen"))


@case
def delivered_too_often(url):
    with dying(url, x_queue_type="quorum", x_delivery_limit=2) as (channel, queue, dead):
        fill(channel, queue, 1)
        consumer = Consumer(channel.connection.channel(), queue)
        counts = []
        for attempt in range(1, 4):
            method, properties, _ = consumer.wait_for(attempt)[-1]
            equal(method.redelivered, attempt > 1, "redelivered")
            counts.append((properties.headers or {}).get("x-delivery-count"))
            consumer.channel.basic_nack(method.delivery_tag, requeue=True)
        equal(counts, [None, 1, 2], "x-delivery-count")
        _, properties, body = dead_letter(channel, dead)
        (death,) = without_time(properties.headers["x-death"])
        equal((body, death["reason"], death["queue"], death["count"]), (b"0", "delivery_limit", queue, 1))
        equal([properties.headers[name] for name in FIRST_DEATH], ["", queue, "delivery_limit"])


@case
def purged_and_deleted_ones_are_not_dead_letters(url):
    with dying(url) as (channel, queue, dead):
        fill(channel, queue, 3)
        channel.queue_purge(queue)
        fill(channel, queue, 2)
        channel.queue_delete(queue)
        equal(depth(channel, dead), 0)


@case
def without_a_routing_key_the_old_one_stays(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        exchange, graveyard = unique("source"), unique("graveyard")
        channel.exchange_declare(exchange, "topic", auto_delete=True)
        channel.exchange_declare(graveyard, "topic", auto_delete=True)
        queue, dead, other = new_queue(channel, arguments={"x-dead-letter-exchange": graveyard}), *(
            new_queue(channel) for _ in range(2)
        )
        channel.queue_bind(queue, exchange, "a.#")
        channel.queue_bind(dead, graveyard, "a.b")
        channel.queue_bind(other, graveyard, "x.y")
        channel.basic_publish(exchange, "a.b", b"1")
        channel.basic_publish(exchange, "a.c", b"2")  # its dead letter has nowhere to go
        reject(channel, queue)
        reject(channel, queue)
        method, properties, body = dead_letter(channel, dead)
        equal((method.exchange, method.routing_key, body), (graveyard, "a.b", b"1"))
        equal(properties.headers["x-death"][0]["routing-keys"], ["a.b"])
        equal((depth(channel, dead), depth(channel, other), depth(channel, queue)), (0, 0, 0))


@case
def an_exchange_that_is_not_there(url):
    """Dead letters are dropped without an error, for as long as nobody declares it."""
    graveyard = unique("graveyard")
    with dying(url, x_dead_letter_exchange=graveyard) as (channel, queue, dead):
        fill(channel, queue, 2)
        reject(channel, queue)
        equal(depth(channel, queue), 1)
        channel.exchange_declare(graveyard, "fanout", auto_delete=True)
        channel.queue_bind(dead, graveyard)
        reject(channel, queue)
        # When the first one is looked at nobody promises: it may find the exchange, too.
        body = dead_letter(channel, dead)[2]
        equal(body if body == b"1" else dead_letter(channel, dead)[2], b"1")


@case
def a_fanout_of_dead_letters(url):
    graveyard = unique("graveyard")
    with dying(url, x_dead_letter_exchange=graveyard) as (channel, queue, dead):
        channel.exchange_declare(graveyard, "fanout", auto_delete=True)
        dead = [dead, *(new_queue(channel) for _ in range(3))]
        for target in dead:
            channel.queue_bind(target, graveyard)
        fill(channel, queue, 10)
        tags = [get(channel, queue, auto_ack=False)[0].delivery_tag for _ in range(10)]
        channel.basic_nack(tags[-1], multiple=True, requeue=False)
        for target in dead:
            wait_until(lambda target=target: depth(channel, target) == 10, "ten in each")
            equal(bodies(channel, target), [b"%d" % number for number in range(10)])


@case
def copies_and_dead_letters(url):
    """The key and CC route it again when the queue gives none of its own. RabbitMQ follows BCC once more, too."""
    graveyard = unique("graveyard")
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.exchange_declare(graveyard, "direct", auto_delete=True)
        queues = [new_queue(channel, arguments={"x-dead-letter-exchange": graveyard}) for _ in range(3)]
        dead = {name: new_queue(channel) for name in ("key", "cc")}
        for name, key in zip(dead, queues):
            channel.queue_bind(dead[name], graveyard, key)
        headers = {"CC": [queues[1]], "BCC": [queues[2]]}
        channel.basic_publish("", queues[0], b"", pika.BasicProperties(headers=headers))
        reject(channel, queues[0])
        for name in ("key", "cc"):
            _, properties, _ = dead_letter(channel, dead[name])
            equal(properties.headers["CC"], [queues[1]], name)
            assert "BCC" not in properties.headers, properties.headers
            equal(properties.headers["x-death"][0]["routing-keys"], [queues[0], queues[1]], "with CC, without BCC")


@case
def a_routing_key_of_the_queue_takes_the_place_of_copies(url):
    with dying(url) as (channel, queue, dead):
        other = new_queue(channel)
        channel.basic_publish("", queue, b"", pika.BasicProperties(headers={"CC": [other], "more": 1}))
        equal(len(bodies(channel, other)), 1)
        reject(channel, queue)
        _, properties, _ = dead_letter(channel, dead)
        equal(depth(channel, other), 0, "not copied again")
        equal(properties.headers["more"], 1)
        assert "CC" not in properties.headers, properties.headers
        equal(properties.headers["x-death"][0]["routing-keys"], [queue, other])


# --- cycles -----------------------------------------------------------------------------------------------------------


@case
def a_retry_counts_up(url):
    """work --rejected--> retry --expired--> work: each pair of queue and reason has one row, whose count rises."""
    work, retry = unique("work"), unique("retry")
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        to = lambda queue: {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}  # noqa: E731
        channel.queue_declare(work, exclusive=True, arguments=to(retry))
        channel.queue_declare(retry, exclusive=True, arguments={**to(work), "x-message-ttl": 50})
        channel.basic_publish("", work, b"job", pika.BasicProperties(headers={"kept": True}, expiration="60000"))
        consumer = Consumer(connection.channel(), work)
        for attempt in range(1, 6):
            consumer.wait_for(attempt)
            method, properties, body = consumer.deliveries[-1]
            equal((body, method.redelivered), (b"job", False))
            if attempt > 1:
                headers = properties.headers
                rows = without_time(headers["x-death"])
                equal([row["queue"] for row in rows], [retry, work], "the latest death first")
                equal([row["reason"] for row in rows], ["expired", "rejected"])
                equal([row["count"] for row in rows], [attempt - 1] * 2)
                equal([row["routing-keys"] for row in rows], [[retry], [work]])
                equal(rows[1]["original-expiration"], "60000")
                equal([headers[name] for name in FIRST_DEATH], ["", work, "rejected"])
                equal((headers["kept"], properties.expiration), (True, None))
            consumer.channel.basic_reject(method.delivery_tag, requeue=False)


@case
def an_automatic_cycle_is_cut(url):
    """Expired to a queue where it expired before, without anybody rejecting it: dropped."""
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = unique("self")
        to_itself = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue, "x-message-ttl": 50}
        channel.queue_declare(queue, exclusive=True, arguments=to_itself)
        fill(channel, queue, 3)
        wait_until(lambda: depth(channel, queue) == 0, "dropped instead of going round")
        first, second, third = (unique(name) for name in ("first", "second", "third"))
        for queue, target in ((first, second), (second, third), (third, first)):
            arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": target, "x-message-ttl": 50}
            channel.queue_declare(queue, exclusive=True, arguments=arguments)
        fill(channel, first, 3)
        wait_until(lambda: all(depth(channel, queue) == 0 for queue in (first, second, third)), "dropped in the end")
        connection.sleep(0.3)
        equal([depth(channel, queue) for queue in (first, second, third)], [0, 0, 0], "and it stays so")


@case
def a_cycle_with_a_rejection_goes_on(url):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = unique("self")
        channel.queue_declare(
            queue, exclusive=True, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}
        )
        fill(channel, queue, 1)
        for _ in range(5):
            reject(channel, queue)
        _, properties, _ = dead_letter(channel, queue)
        equal([row["count"] for row in properties.headers["x-death"]], [5])


@case
def a_long_way_down(url):
    """Thirty queues in a row, one death in each: the rows grow with the way, and none is lost."""
    chain, deaths = way_down(url)
    # RabbitMQ 3.10 has the first and the last one in their places, and shuffles the others.
    equal({row["queue"] for row in deaths}, set(chain))
    equal([row["count"] for row in deaths], [1] * len(chain))
    equal(deaths[0]["queue"], chain[-1])


@case
@beyond("RabbitMQ's documentation: the latest death is the first row")
def the_rows_are_in_the_order_of_deaths(url):
    chain, deaths = way_down(url)
    equal([row["queue"] for row in deaths], chain[::-1])


def way_down(url):
    """Sends messages through thirty queues, and returns the names of those where they died, and x-death of one of them."""
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        chain = [unique("step") for _ in range(30)]
        for queue, target in zip(chain, [*chain[1:], None]):
            arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": target, "x-message-ttl": 1}
            channel.queue_declare(queue, exclusive=True, arguments=arguments if target else None)
        for _ in range(20):
            publish(channel, chain[0], b"down")
        wait_until(lambda: depth(channel, chain[-1]) == 20, "at the bottom")
        _, properties, _ = dead_letter(channel, chain[-1])
        equal(properties.headers["x-first-death-queue"], chain[0])
        return chain[:-1], properties.headers["x-death"]


@case
def the_target_has_limits_of_its_own(url):
    """A full target drops its head, which dies there in turn; a persistent message stays persistent."""
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        last = new_queue(channel)
        to = lambda queue: {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}  # noqa: E731
        middle = new_queue(channel, arguments={**to(last), "x-max-length": 1})
        first = new_queue(channel, arguments={**to(middle), "x-message-ttl": 50})
        for number in range(3):
            channel.basic_publish("", first, b"%d" % number, PERSISTENT)
        wait_until(lambda: depth(channel, last) == 2, "two have been pushed out")
        _, properties, body = dead_letter(channel, last)
        equal((body, properties.delivery_mode), (b"0", 2))
        equal([row["reason"] for row in properties.headers["x-death"]], ["maxlen", "expired"])
        equal(bodies(channel, middle), [b"2"])


@case
def a_consumer_of_dead_letters_is_pushed(url):
    with dying(url, x_message_ttl=100) as (channel, queue, dead):
        consumer = Consumer(channel.connection.channel(), dead, auto_ack=True)
        fill(channel, queue, 50)
        consumer.wait_for(50)
        equal([body for *_, body in consumer.deliveries], [b"%d" % number for number in range(50)])


@case
@beyond("RabbitMQ 3.13: x-last-death-*")
def the_last_death(url):
    work, retry = unique("work"), unique("retry")
    with connected(url) as connection:
        channel = connection.channel()
        to = lambda queue: {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}  # noqa: E731
        channel.queue_declare(work, exclusive=True, arguments=to(retry))
        channel.queue_declare(retry, exclusive=True, arguments={**to(work), "x-message-ttl": 50})
        channel.basic_publish("", work, b"job")
        reject(channel, work)
        _, properties, _ = dead_letter(channel, work)
        names = ("x-last-death-exchange", "x-last-death-queue", "x-last-death-reason")
        equal([properties.headers[name] for name in names], ["", retry, "expired"])
        equal([properties.headers[name] for name in FIRST_DEATH], ["", work, "rejected"])


# --- restarts ---------------------------------------------------------------------------------------------------------


@restart_case
def deaths_survive_a_kill(url):
    """What had died is in the target with its history; what was waiting expires after the restart, and not again."""
    connection = doomed(url)
    channel = connection.channel()
    channel.confirm_delivery()
    queue, dead = unique("dying"), unique("dead")
    channel.queue_declare(dead, durable=True)
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    channel.queue_declare(queue, durable=True, arguments=arguments)
    for number in range(30):
        expiration = "50" if number < 10 else "1500" if number < 20 else None
        properties = pika.BasicProperties(delivery_mode=2, expiration=expiration)
        channel.basic_publish("", queue, b"%d" % number, properties)
    wait_until(lambda: depth(channel, dead) == 10, "ten have died")
    started = time.monotonic()
    restart_broker("kill")
    connection = reconnected(url)
    channel = connection.channel()
    wait_until(lambda: depth(channel, dead) == 20, "ten more have died")
    down = time.monotonic() - started
    equal(depth(channel, queue), 10, f"what never expires, {down:.1f} s later")
    letters = [get(channel, dead) for _ in range(20)]
    equal([body for *_, body in letters], [b"%d" % number for number in range(20)])
    for _, properties, _ in letters:
        (row,) = without_time(properties.headers["x-death"])
        equal((row["queue"], row["reason"], row["count"]), (queue, "expired", 1))
    for name in (queue, dead):
        channel.queue_delete(name)
    connection.close()


if __name__ == "__main__":
    main()
