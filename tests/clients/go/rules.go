package main

import (
	"fmt"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// rules are the cases of what queues, streams and exchanges can be told to do: values come as Go's types.
var rules = []testCase{
	{"dead_letters_and_their_types", false, deadLettersAndTheirTypes},
	{"time_to_live_and_length", false, timeToLiveAndLength},
	{"reject_publish_is_a_nack", false, rejectPublishIsANack},
	{"priorities", false, priorities},
	{"quorum_queue_counts_deliveries", false, quorumQueueCountsDeliveries},
	{"single_active_consumer", false, singleActiveConsumer},
	{"stream_is_read_from_an_offset", false, streamFromAnOffset},
	{"remote_procedures_by_direct_reply_to", false, directReplyTo},
	{"consistent_hash", false, consistentHash},
	{"arguments_of_a_wrong_type", false, argumentsOfAWrongType},
}

func deadLettersTo(queue string, more amqp.Table) amqp.Table {
	arguments := amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}
	for name, value := range more {
		arguments[name] = value
	}
	return arguments
}

// arrived takes one message, which may still be on its way.
func arrived(channel *amqp.Channel, queue string, autoAck bool) amqp.Delivery {
	var message amqp.Delivery
	waitUntil("a message in "+queue, deadline, func() (ok bool) {
		var err error
		message, ok, err = channel.Get(queue, autoAck)
		must(err)
		return ok
	})
	return message
}

// death is a row of x-death.
func death(message amqp.Delivery, row int) amqp.Table {
	return message.Headers["x-death"].([]any)[row].(amqp.Table)
}

func deadLettersAndTheirTypes(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		dead := newQueue(channel, nil)
		queue := newQueue(channel, deadLettersTo(dead, nil))
		publish(channel, "", queue, amqp.Publishing{Body: []byte("x"), Expiration: "60000", Headers: amqp.Table{"kept": int16(7)}})
		must(arrived(channel, queue, false).Reject(false))
		letter := arrived(channel, dead, true)
		row := death(letter, 0)
		when := row["time"].(time.Time)
		if age := time.Since(when); age < -2*time.Second || age > time.Minute {
			fail("time %s", when)
		}
		delete(row, "time")
		equal(row, amqp.Table{
			"count": int64(1), "reason": "rejected", "queue": queue, "exchange": "",
			"routing-keys": []any{queue}, "original-expiration": "60000",
		}, "x-death")
		equal(letter.Headers["kept"], int16(7), "a header keeps its type")
		equal(letter.Headers["x-first-death-queue"], queue, "x-first-death-queue")
		equal(letter.Expiration, "", "expiration")
	})
}

func timeToLiveAndLength(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		dead := newQueue(channel, nil)
		queue := newQueue(channel, deadLettersTo(dead, amqp.Table{"x-message-ttl": int32(300), "x-max-length": int64(3)}))
		fill(channel, queue, 5)
		reasons := []any{}
		for number := 0; number < 5; number++ {
			reasons = append(reasons, death(arrived(channel, dead, true), 0)["reason"])
		}
		equal(reasons, []any{"maxlen", "maxlen", "expired", "expired", "expired"}, "reasons")
	})
}

func rejectPublishIsANack(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		queue := newQueue(channel, amqp.Table{"x-max-length": 2, "x-overflow": "reject-publish"})
		acknowledged := []bool{}
		kept := 0
		for number := 0; number < 6; number++ {
			pending := got(channel.PublishWithDeferredConfirm("", queue, false, false, amqp.Publishing{}))
			ack := pending.Wait()
			if ack {
				kept++
			}
			acknowledged = append(acknowledged, ack)
		}
		equal(acknowledged[:2], []bool{true, true}, "the first two")
		equal(acknowledged[5], false, "the last one")
		equal(len(bodies(channel, queue)), kept, "what was acknowledged is there")
	})
}

func priorities(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		queue := newQueue(channel, amqp.Table{"x-max-priority": uint8(10)})
		for _, priority := range []uint8{1, 9, 5, 10, 200, 0} {
			publish(channel, "", queue, amqp.Publishing{Priority: priority, Body: []byte(fmt.Sprint(priority))})
		}
		equal(bodies(channel, queue), []string{"10", "200", "9", "5", "1", "0"}, "order")
	})
}

func quorumQueueCountsDeliveries(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		dead := newQueue(channel, nil)
		arguments := deadLettersTo(dead, amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum, "x-delivery-limit": 2})
		queue := got(channel.QueueDeclare(unique("quorum"), true, false, false, false, arguments)).Name
		fill(channel, queue, 1)
		deliveries := consume(newChannel(connection), queue, false)
		for attempt := int64(0); attempt < 3; attempt++ {
			message := receive(deliveries, "delivery")
			count, _ := message.Headers["x-delivery-count"].(int64)
			equal(count, attempt, "x-delivery-count")
			must(message.Nack(false, true))
		}
		equal(death(arrived(channel, dead, true), 0)["reason"], "delivery_limit", "reason")
		got(channel.QueueDelete(queue, false, false, false))
	})
}

func singleActiveConsumer(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		queue := newQueue(channel, amqp.Table{amqp.SingleActiveConsumerArg: true})
		first, second := newChannel(connection), newChannel(connection)
		active, heir := consume(first, queue, false), consume(second, queue, false)
		fill(channel, queue, 5)
		for number := 0; number < 5; number++ {
			receive(active, "delivery")
		}
		equal(len(heir), 0, "deliveries of the one that waits")
		must(first.Close())
		for number := 0; number < 5; number++ {
			equal(string(receive(heir, "delivery to the heir").Body), fmt.Sprint(number), "order")
		}
	})
}

func streamFromAnOffset(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		arguments := amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeStream}
		queue := got(channel.QueueDeclare(unique("stream"), true, false, false, false, arguments)).Name
		fill(channel, queue, 300)
		for _, from := range []struct {
			offset any
			first  int
		}{{"first", 0}, {123, 123}, {int64(200), 200}, {time.Now().Add(-time.Hour), 0}} {
			reader := newChannel(connection)
			must(reader.Qos(50, 0, false))
			arguments := amqp.Table{"x-stream-offset": from.offset}
			deliveries := got(reader.Consume(queue, "", false, false, false, false, arguments))
			for number := from.first; number < 300; number++ {
				message := receive(deliveries, "message of the stream")
				equal(string(message.Body), fmt.Sprint(number), "body")
				equal(message.Headers["x-stream-offset"], int64(number), "x-stream-offset")
				must(message.Ack(false))
			}
			must(reader.Close())
		}
		got(channel.QueueDelete(queue, false, false, false))
	})
}

func directReplyTo(url string) {
	connected(url, func(connection *amqp.Connection) {
		server := newChannel(connection)
		queue := newQueue(server, nil)
		requests := consume(server, queue, true)
		client := newChannel(connection)
		answers := consume(client, "amq.rabbitmq.reply-to", true)
		for number := 0; number < 100; number++ {
			must(client.Publish("", queue, false, false, amqp.Publishing{
				ReplyTo: "amq.rabbitmq.reply-to", CorrelationId: fmt.Sprint(number),
			}))
			request := receive(requests, "request")
			if !strings.HasPrefix(request.ReplyTo, "amq.rabbitmq.reply-to.") {
				fail("reply-to %q", request.ReplyTo)
			}
			must(server.Publish("", request.ReplyTo, false, false, amqp.Publishing{CorrelationId: request.CorrelationId}))
			equal(receive(answers, "answer").CorrelationId, fmt.Sprint(number), "correlation-id")
		}
	})
}

func consistentHash(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		exchange := unique("hash")
		must(channel.ExchangeDeclare(exchange, "x-consistent-hash", false, true, false, false, nil))
		queues := []string{newQueue(channel, nil), newQueue(channel, nil), newQueue(channel, nil)}
		for _, queue := range queues {
			must(channel.QueueBind(queue, "10", exchange, false, nil))
		}
		for number := 0; number < 300; number++ {
			body := fmt.Sprint(number % 100)
			publish(channel, exchange, "key "+body, amqp.Publishing{Body: []byte(body)})
		}
		owners := map[string]string{}
		count := 0
		for _, queue := range queues {
			for _, body := range bodies(channel, queue) {
				if owner, known := owners[body]; known {
					equal(owner, queue, "queue of key "+body)
				}
				owners[body] = queue
				count++
			}
		}
		equal([]int{count, len(owners)}, []int{300, 100}, "messages and keys")
	})
}

func argumentsOfAWrongType(url string) {
	connected(url, func(connection *amqp.Connection) {
		queue := unique("wrong")
		for kind, value := range map[string]any{"double": 1.5, "float": float32(1.5), "longstr": "1", "bool": true, "binary": []byte{1}} {
			_, err := newChannel(connection).QueueDeclare(queue, false, false, true, false, amqp.Table{"x-message-ttl": value})
			refused(err, 406, fmt.Sprintf(
				"PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue '%s' in vhost '/': \"expected integer, got %s\"",
				queue, kind))
		}
	})
}
