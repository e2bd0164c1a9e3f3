"""Retry ladders over dead-letter queues, as libraries of other languages build them, declared and used with pika."""

import time

import pika

from pika_tools import Consumer, connected, depth, doomed, get, new_queue, reconnected
from suite import beyond, case, equal, main, restart_broker, restart_case, unique, wait_until

# NServiceBus' delay infrastructure v2: a level for each bit of the delay. Its unit is a second; here it is shorter.
LEVELS = 28
UNIT_MS = 25


class DelayLevels:
    """Topic exchanges that lead a message by the bits of its delay: through the queue of a level, or past it."""

    def __init__(self, channel, kind="quorum", unit_ms=UNIT_MS, levels=LEVELS):
        self.channel = channel
        self.prefix = unique("nsb.v2")
        self.levels = levels
        self.unit_ms = unit_ms
        self.delivery = f"{self.prefix}.delay-delivery"
        strategy = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
        for level in range(levels - 1, -1, -1):
            name = self.level(level)
            arguments = {
                "x-queue-type": kind,
                **(strategy if kind == "quorum" else {}),
                "x-message-ttl": unit_ms * 2**level,
                "x-dead-letter-exchange": self.level(level - 1) if level else self.delivery,
            }
            channel.exchange_declare(name, "topic", durable=True)
            channel.queue_declare(name, durable=True, arguments=arguments)
            channel.queue_bind(name, name, "*." * (levels - 1 - level) + "1.#")
        channel.exchange_declare(self.delivery, "topic", durable=True)
        for level in range(levels - 1, -1, -1):
            past = self.level(level - 1) if level else self.delivery
            channel.exchange_bind(past, self.level(level), "*." * (levels - 1 - level) + "0.#")

    def level(self, level):
        return f"{self.prefix}.delay-level-{level:02}"

    def endpoint(self, queue):
        """Has a queue get what is delayed for it."""
        self.channel.queue_bind(queue, self.delivery, f"#.{queue}")

    def send(self, queue, units, body, **headers):
        """Sends a message that reaches the queue after so many units of time."""
        bits = f"{units:0{self.levels}b}"
        first = units.bit_length() - 1 if units else 0
        properties = pika.BasicProperties(delivery_mode=2, headers={"NServiceBus.Transport.RabbitMQ.DelayInSeconds": units, **headers})
        self.channel.basic_publish(self.level(first), ".".join(bits) + "." + queue, body, properties, mandatory=True)

    def remove(self):
        for level in range(self.levels):
            self.channel.queue_delete(self.level(level))
            self.channel.exchange_delete(self.level(level))
        self.channel.exchange_delete(self.delivery)


def arrivals(channel, queue, count):
    """Reads `count` messages: {units of delay: (seconds since the start, x-death rows, routing key)}."""
    taken = {}

    def step():
        method, properties, body = get(channel, queue)
        if method:
            taken[int(body)] = (time.monotonic(), properties.headers.get("x-death", []), method)
        else:
            channel.connection.sleep(0.01)

    wait_until(lambda: len(taken) == count, f"{count} delayed messages", seconds=30, step=step)
    return taken


@case
def the_delay_levels_of_nservicebus(url):
    delay_by_levels(url, "quorum")


@case
def the_delay_levels_with_classic_queues(url):
    delay_by_levels(url, "classic")


def delay_by_levels(url, kind):
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        levels = DelayLevels(channel, kind)
        queue = new_queue(channel, exclusive=False, durable=True)
        levels.endpoint(queue)
        started = time.monotonic()
        delays = [0, 1, 2, 3, 5, 8, 13, 21, 40, 63]
        for units in delays:
            levels.send(queue, units, b"%d" % units)
        for units, (when, deaths, method) in arrivals(channel, queue, len(delays)).items():
            passed = 1000 * (when - started)
            assert units * UNIT_MS - 1 <= passed < units * UNIT_MS + 3000, f"{units} units took {passed:.0f} ms"
            expected = {levels.level(bit) for bit in range(LEVELS) if units >> bit & 1}
            equal({row["queue"] for row in deaths}, expected, f"the levels of {units}")
            equal({row["reason"] for row in deaths} <= {"expired"}, True)
            equal(method.routing_key.rsplit(".", 1)[-1], queue)
            last = levels.level(0) if units else None
            if units & 1:
                equal(deaths[0]["queue"], last, "the lowest level comes last")
        equal(depth(channel, queue), 0)
        channel.queue_delete(queue)
        levels.remove()


@restart_case
@beyond("classic queues of RabbitMQ lose dead letters at a kill")
def delays_survive_a_kill_on_any_level(url):
    connection = doomed(url)
    channel = connection.channel()
    channel.confirm_delivery()
    levels = DelayLevels(channel, "classic", unit_ms=150, levels=6)
    queue = new_queue(channel, exclusive=False, durable=True)
    levels.endpoint(queue)
    started = time.monotonic()
    for units in range(1, 22):
        levels.send(queue, units, b"%d" % units)
    connection.sleep(0.4)
    for _ in range(2):
        restart_broker("kill")
        connection = reconnected(url)
        connection.sleep(0.3)
    channel = connection.channel()
    taken = arrivals(channel, queue, 21)
    equal(sorted(taken), list(range(1, 22)), "each once")
    assert taken[21][0] - started >= 21 * 0.15, "too early"
    connection.sleep(0.5)
    equal(depth(channel, queue), 0, "none comes twice")
    levels.channel = channel
    levels.remove()
    channel.queue_delete(queue)
    connection.close()


@case
def retries_by_the_count_of_x_death(url):
    """Spring AMQP's way without republishing: work -> wait (TTL) -> work, and after so many deaths to a parking lot."""
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        work, wait, parked, exchange = (unique(name) for name in ("work", "wait", "parked", "dlx"))
        channel.exchange_declare(exchange, "direct", auto_delete=True)
        channel.queue_declare(work, durable=True, arguments={"x-dead-letter-exchange": exchange, "x-dead-letter-routing-key": wait})
        waiting = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": work, "x-message-ttl": 100}
        channel.queue_declare(wait, durable=True, arguments=waiting)
        channel.queue_declare(parked, durable=True)
        channel.queue_bind(wait, exchange, wait)
        for number in range(20):
            channel.basic_publish("", work, b"%d" % number, pika.BasicProperties(delivery_mode=2))
        consumer = Consumer(connection.channel(), work)
        attempts = {}
        handled = 0

        def handle():
            nonlocal handled
            connection.process_data_events(0.05)
            for method, properties, body in consumer.deliveries[handled:]:
                handled += 1
                deaths = (properties.headers or {}).get("x-death", [])
                rejections = sum(row["count"] for row in deaths if row["queue"] == work and row["reason"] == "rejected")
                equal(rejections, attempts.get(body, 0), f"deaths of {body}")
                if rejections < 3:
                    attempts[body] = rejections + 1
                    consumer.channel.basic_reject(method.delivery_tag, requeue=False)
                else:
                    channel.basic_publish("", parked, body, pika.BasicProperties(headers=properties.headers))
                    consumer.channel.basic_ack(method.delivery_tag)

        wait_until(lambda: depth(channel, parked) == 20, "all are parked", seconds=30, step=handle)
        equal(set(attempts.values()), {3})
        equal((handled, depth(channel, work), depth(channel, wait)), (80, 0, 0))
        for queue in (work, wait, parked):
            channel.queue_delete(queue)


@case
def a_ladder_with_a_longer_wait_at_each_step(url):
    """One queue a step, each with its own time to live, and a failed job climbs from one to the next."""
    steps_ms = (50, 100, 200, 400)
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        work = unique("work")
        channel.queue_declare(work, exclusive=True)
        ladder = []
        for ttl_ms in steps_ms:
            arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": work, "x-message-ttl": ttl_ms}
            ladder.append(new_queue(channel, arguments=arguments))
        channel.basic_publish("", work, b"job", pika.BasicProperties(headers={"x-attempt": 0}))
        consumer = Consumer(connection.channel(), work, auto_ack=True)
        for step, ttl_ms in enumerate(steps_ms):
            consumer.wait_for(step + 1)
            _, properties, body = consumer.deliveries[-1]
            equal((body, properties.headers["x-attempt"]), (b"job", step))
            started = time.monotonic()
            headers = {**properties.headers, "x-attempt": step + 1}
            channel.basic_publish("", ladder[step], body, pika.BasicProperties(headers=headers))
            consumer.wait_for(step + 2)
            passed = 1000 * (time.monotonic() - started)
            assert passed >= ttl_ms - 1, f"back after {passed:.0f} ms instead of {ttl_ms}"
        deaths = consumer.deliveries[-1][1].headers["x-death"]
        # The history that the client sends back with the message is gone on with.
        equal({row["queue"] for row in deaths}, set(ladder))
        equal([row["count"] for row in deaths], [1] * len(ladder))


if __name__ == "__main__":
    main()
