// What a program that uses amqp091-go expects of a broker.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// amqpCases are those of the URLs amqp://...
var amqpCases = append([]testCase{
	{"declares_and_counts", false, declaresAndCounts},
	{"server_names_a_queue", false, serverNamesAQueue},
	{"exclusive_queue_is_locked_to_its_connection", false, exclusiveQueueIsLocked},
	{"auto_delete_queue_goes_with_its_last_consumer", false, autoDeleteQueue},
	{"channel_errors_leave_the_connection_usable", false, channelErrors},
	{"purge_and_conditional_delete", false, purgeAndConditionalDelete},
	{"direct_exchange", false, directExchange},
	{"fanout_exchange", false, fanoutExchange},
	{"topic_exchange", false, topicExchange},
	{"headers_exchange", false, headersExchange},
	{"exchange_to_exchange", false, exchangeToExchange},
	{"many_confirms_outstanding", false, manyConfirmsOutstanding},
	{"mandatory_return_comes_before_its_confirm", false, mandatoryReturn},
	{"immediate_is_not_implemented", false, immediateIsNotImplemented},
	{"bodies_of_many_sizes", false, bodiesOfManySizes},
	{"all_properties_round_trip", false, allProperties},
	{"headers_of_every_type_round_trip", false, headersOfEveryType},
	{"prefetch_limits_what_is_unacknowledged", false, prefetch},
	{"prefetch_of_a_channel_is_shared", false, sharedPrefetch},
	{"nack_with_requeue_puts_back_in_place", false, nackWithRequeue},
	{"recover_redelivers", false, recoverRedelivers},
	{"exclusive_consumer", false, exclusiveConsumer},
	{"consumer_is_told_of_deleted_queue", false, consumerIsTold},
	{"consumer_cancel", false, consumerCancel},
	{"expiration_and_queue_ttl", false, expirationAndTTL},
	{"transactions", false, transactions},
	{"wrong_password_and_virtual_host", false, wrongPasswordAndVirtualHost},
	{"connection_error", false, connectionError},
	{"heartbeats_keep_an_idle_connection", false, heartbeats},
	{"secret_is_updated", false, secretIsUpdated},
	{"recovery_after_a_kill", true, recoveryAfterAKill},
	{"shutdown_is_announced", true, shutdownIsAnnounced},
}, rules...)

// connected runs the body with a connection that is closed afterwards.
func connected(url string, body func(*amqp.Connection)) {
	connection := got(amqp.Dial(url))
	defer connection.Close()
	body(connection)
}

func newChannel(connection *amqp.Connection) *amqp.Channel {
	return got(connection.Channel())
}

func newConfirmChannel(connection *amqp.Connection) *amqp.Channel {
	channel := newChannel(connection)
	must(channel.Confirm(false))
	return channel
}

// newQueue declares a queue of the case's own, which goes with the connection.
func newQueue(channel *amqp.Channel, arguments amqp.Table) string {
	return got(channel.QueueDeclare(unique("go"), false, false, true, false, arguments)).Name
}

func depth(channel *amqp.Channel, queue string) int {
	return got(channel.QueueDeclarePassive(queue, false, false, false, false, nil)).Messages
}

// publish returns once the broker has confirmed.
func publish(channel *amqp.Channel, exchange, key string, message amqp.Publishing) {
	pending := got(channel.PublishWithDeferredConfirm(exchange, key, false, false, message))
	limit, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	equal(got(pending.WaitContext(limit)), true, "confirmed by ack")
}

func fill(channel *amqp.Channel, queue string, count int) {
	for number := range make([]struct{}, count) {
		publish(channel, "", queue, amqp.Publishing{Body: []byte(fmt.Sprint(number))})
	}
}

func bodies(channel *amqp.Channel, queue string) []string {
	taken := []string{}
	for {
		message, ok, err := channel.Get(queue, true)
		must(err)
		if !ok {
			return taken
		}
		taken = append(taken, string(message.Body))
	}
}

// numbers is "0", "1"... as fill publishes them.
func numbers(count int) []string {
	texts := make([]string, count)
	for number := range texts {
		texts[number] = fmt.Sprint(number)
	}
	return texts
}

// get takes one message, which must be there.
func get(channel *amqp.Channel, queue string, autoAck bool) amqp.Delivery {
	message, ok, err := channel.Get(queue, autoAck)
	must(err)
	if !ok {
		fail("queue %s is empty", queue)
	}
	return message
}

// refused checks that the broker closed the channel (or connection) with this code and text.
func refused(err error, code int, text string) {
	var closed *amqp.Error
	if !errors.As(err, &closed) {
		fail("expected %d %s, got %v", code, text, err)
	}
	equal(fmt.Sprint(closed.Code, " ", closed.Reason), fmt.Sprint(code, " ", text), "close")
}

func consume(channel *amqp.Channel, queue string, autoAck bool) <-chan amqp.Delivery {
	return got(channel.Consume(queue, "", autoAck, false, false, false, nil))
}

// take receives a number of deliveries.
func take(deliveries <-chan amqp.Delivery, count int) []amqp.Delivery {
	taken := make([]amqp.Delivery, count)
	for number := range taken {
		taken[number] = receive(deliveries, fmt.Sprintf("delivery %d of %d", number+1, count))
	}
	return taken
}

// nothingMore gives the broker a round trip to send what it should not send.
func nothingMore(channel *amqp.Channel, queue string, deliveries <-chan amqp.Delivery) {
	depth(channel, queue)
	select {
	case message := <-deliveries:
		fail("an unexpected delivery: %s", message.Body)
	default:
	}
}

func view(deliveries []amqp.Delivery) string {
	parts := make([]string, len(deliveries))
	for number, delivery := range deliveries {
		parts[number] = fmt.Sprintf("%s/%t", delivery.Body, delivery.Redelivered)
	}
	return strings.Join(parts, " ")
}

// --- queues

func declaresAndCounts(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		name := unique("go")
		equal(got(channel.QueueDeclare(name, true, false, false, false, nil)), amqp.Queue{Name: name}, "new queue")
		fill(channel, name, 3)
		must(channel.Qos(1, 0, false))
		take(consume(channel, name, false), 1)
		expected := amqp.Queue{Name: name, Messages: 2, Consumers: 1}
		equal(got(channel.QueueDeclare(name, true, false, false, false, nil)), expected, "with messages and a consumer")
		equal(got(channel.QueueDelete(name, false, false, false)), 2, "messages deleted with the queue")
	})
}

func serverNamesAQueue(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		queue := got(channel.QueueDeclare("", false, false, true, false, nil)).Name
		equal(strings.HasPrefix(queue, "amq.gen-"), true, queue)
		fill(channel, queue, 1)
		equal(bodies(channel, ""), []string{"0"}, "an empty name is the queue declared last")
	})
}

func exclusiveQueueIsLocked(url string) {
	connected(url, func(first *amqp.Connection) {
		connected(url, func(second *amqp.Connection) {
			queue := newQueue(newChannel(first), nil)
			_, err := newChannel(second).QueueDeclarePassive(queue, false, false, false, false, nil)
			refused(err, 405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '"+queue+"' in vhost '/'. "+
				"It could be originally declared on another connection or the exclusive property value does not match that "+
				"of the original declaration.")
			must(first.Close())
			_, err = newChannel(second).QueueDeclarePassive(queue, false, false, false, false, nil)
			refused(err, 404, "NOT_FOUND - no queue '"+queue+"' in vhost '/'")
		})
	})
}

func autoDeleteQueue(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newChannel(connection)
		queue := got(channel.QueueDeclare(unique("go"), false, true, false, false, nil)).Name
		got(channel.Consume(queue, "tag", false, false, false, false, nil))
		must(channel.Cancel("tag", false))
		_, err := channel.QueueDeclarePassive(queue, false, false, false, false, nil)
		refused(err, 404, "NOT_FOUND - no queue '"+queue+"' in vhost '/'")
	})
}

func channelErrors(url string) {
	connected(url, func(connection *amqp.Connection) {
		missing := unique("missing")
		_, err := newChannel(connection).QueueDeclarePassive(missing, false, false, false, false, nil)
		refused(err, 404, "NOT_FOUND - no queue '"+missing+"' in vhost '/'")
		err = newChannel(connection).ExchangeDeclarePassive(missing, "direct", false, false, false, false, nil)
		refused(err, 404, "NOT_FOUND - no exchange '"+missing+"' in vhost '/'")

		queue := got(newChannel(connection).QueueDeclare(unique("go"), false, false, false, false, nil)).Name
		_, err = newChannel(connection).QueueDeclare(queue, true, false, false, false, nil)
		refused(err, 406, "PRECONDITION_FAILED - inequivalent arg 'durable' for queue '"+queue+"' in vhost '/': "+
			"received 'true' but current is 'false'")
		got(newChannel(connection).QueueDelete(queue, false, false, false))

		_, err = newChannel(connection).QueueDeclare("amq.mine", false, false, false, false, nil)
		refused(err, 403, "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'")
		err = newChannel(connection).ExchangeDeclare("amq.mine", "direct", false, false, false, false, nil)
		refused(err, 403, "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'")

		channel := newChannel(connection)
		closed := channel.NotifyClose(make(chan *amqp.Error, 1))
		must(channel.Nack(42, false, true))
		refused(receive(closed, "channel.close"), 406, "PRECONDITION_FAILED - unknown delivery tag 42")

		channel = newChannel(connection)
		closed = channel.NotifyClose(make(chan *amqp.Error, 1))
		must(channel.Publish(missing, "key", false, false, amqp.Publishing{}))
		refused(receive(closed, "channel.close"), 404, "NOT_FOUND - no exchange '"+missing+"' in vhost '/'")
		newQueue(newChannel(connection), nil)
	})
}

func purgeAndConditionalDelete(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		queue := newQueue(channel, nil)
		fill(channel, queue, 5)
		_, err := newChannel(connection).QueueDelete(queue, false, true, false)
		refused(err, 406, "PRECONDITION_FAILED - queue '"+queue+"' in vhost '/' not empty")
		equal(got(channel.QueuePurge(queue, false)), 5, "purged")
		got(channel.Consume(queue, "tag", false, false, false, false, nil))
		_, err = newChannel(connection).QueueDelete(queue, true, false, false)
		refused(err, 406, "PRECONDITION_FAILED - queue '"+queue+"' in vhost '/' in use")
		must(channel.Cancel("tag", false))
		equal(got(channel.QueueDelete(queue, true, true, false)), 0, "deleted")
		equal(got(channel.QueueDelete(queue, false, false, false)), 0, "deleting what is gone is no error")
	})
}

// --- exchanges

type binding struct {
	queue, key string
	arguments  amqp.Table
}

// withBindings declares an exchange and a queue for each name in the bindings; `route` publishes one message and tells
// which of the queues got it.
func withBindings(url, kind string, bindings []binding,
	body func(route func(key string, headers amqp.Table) string, unbind func(binding))) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		exchange := unique("go")
		must(channel.ExchangeDeclare(exchange, kind, false, false, false, false, nil))
		names, queues := []string{}, map[string]string{}
		for _, b := range bindings {
			if _, known := queues[b.queue]; !known {
				names = append(names, b.queue)
				queues[b.queue] = newQueue(channel, nil)
			}
			must(channel.QueueBind(queues[b.queue], b.key, exchange, false, b.arguments))
		}
		route := func(key string, headers amqp.Table) string {
			publish(channel, exchange, key, amqp.Publishing{Headers: headers, Body: []byte(key)})
			reached := []string{}
			for _, name := range names {
				switch taken := bodies(channel, queues[name]); len(taken) {
				case 0:
				case 1:
					reached = append(reached, name)
				default:
					fail("%s got it %d times", name, len(taken))
				}
			}
			return strings.Join(reached, " ")
		}
		body(route, func(b binding) { must(channel.QueueUnbind(queues[b.queue], b.key, exchange, b.arguments)) })
		must(channel.ExchangeDelete(exchange, false, false))
	})
}

func directExchange(url string) {
	bindings := []binding{{"a", "red", nil}, {"a", "green", nil}, {"b", "green", nil}}
	withBindings(url, "direct", bindings, func(route func(string, amqp.Table) string, unbind func(binding)) {
		equal(route("red", nil), "a", "red")
		equal(route("green", nil), "a b", "green")
		equal(route("blue", nil), "", "blue")
		unbind(bindings[1])
		equal(route("green", nil), "b", "green, unbound from a")
	})
}

func fanoutExchange(url string) {
	bindings := []binding{{"a", "x", nil}, {"a", "y", nil}, {"b", "", nil}}
	withBindings(url, "fanout", bindings, func(route func(string, amqp.Table) string, unbind func(binding)) {
		equal(route("anything", nil), "a b", "bound")
		unbind(bindings[2])
		equal(route("", nil), "a", "b unbound")
	})
}

func topicExchange(url string) {
	bindings := []binding{
		{"exact", "a.b", nil}, {"star", "a.*", nil}, {"hash", "a.#", nil}, {"all", "#", nil}, {"middle", "*.#.c", nil},
	}
	withBindings(url, "topic", bindings, func(route func(string, amqp.Table) string, unbind func(binding)) {
		equal(route("a.b", nil), "exact star hash all", "a.b")
		equal(route("a", nil), "hash all", "a")
		equal(route("a.c", nil), "star hash all middle", "a.c")
		equal(route("x.y.c", nil), "all middle", "x.y.c")
		equal(route("c", nil), "all", "c")
		unbind(bindings[3])
		equal(route("c", nil), "", "c, # unbound")
	})
}

func headersExchange(url string) {
	wanted := func(match string) amqp.Table { return amqp.Table{"x-match": match, "a": int32(1), "b": "two"} }
	bindings := []binding{{"all", "", wanted("all")}, {"any", "", wanted("any")}}
	withBindings(url, "headers", bindings, func(route func(string, amqp.Table) string, unbind func(binding)) {
		equal(route("", amqp.Table{"a": int32(1), "b": "two", "c": true}), "all any", "both")
		equal(route("", amqp.Table{"a": int32(1)}), "any", "one")
		equal(route("", amqp.Table{"a": int32(2)}), "", "another value")
		unbind(bindings[1])
		equal(route("", amqp.Table{"a": int32(1)}), "", "unbound")
	})
}

func exchangeToExchange(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		source, sink := unique("source"), unique("sink")
		must(channel.ExchangeDeclare(source, "topic", false, false, false, false, nil))
		must(channel.ExchangeDeclare(sink, "fanout", false, false, true, false, nil)) // internal: by a binding only
		queue := newQueue(channel, nil)
		must(channel.QueueBind(queue, "", sink, false, nil))
		must(channel.ExchangeBind(sink, "to.*", source, false, nil))
		publish(channel, source, "to.a", amqp.Publishing{Body: []byte("through")})
		publish(channel, source, "from.a", amqp.Publishing{Body: []byte("not")})
		equal(bodies(channel, queue), []string{"through"}, "bound")
		must(channel.ExchangeUnbind(sink, "to.*", source, false, nil))
		publish(channel, source, "to.a", amqp.Publishing{Body: []byte("not")})
		equal(bodies(channel, queue), []string{}, "unbound")
		must(channel.ExchangeDelete(source, false, false))
		must(channel.ExchangeDelete(sink, false, false))
	})
}

// --- publishing

func manyConfirmsOutstanding(url string) {
	connected(url, func(connection *amqp.Connection) {
		const count = 1000
		channel := newConfirmChannel(connection)
		confirms := channel.NotifyPublish(make(chan amqp.Confirmation, count))
		queue := newQueue(channel, nil)
		for number := 0; number < count; number++ {
			message := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(fmt.Sprint(number))}
			must(channel.Publish("", queue, false, false, message))
		}
		for tag := uint64(1); tag <= count; tag++ {
			equal(receive(confirms, "confirm"), amqp.Confirmation{DeliveryTag: tag, Ack: true}, "confirm")
		}
		equal(bodies(channel, queue), numbers(count), "content")
	})
}

func mandatoryReturn(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		// Without room in them both Go channels block the library's reader, so what comes first is seen first.
		returns := channel.NotifyReturn(make(chan amqp.Return))
		confirms := channel.NotifyPublish(make(chan amqp.Confirmation))
		key := unique("nowhere")
		must(channel.Publish("amq.direct", key, true, false, amqp.Publishing{MessageId: "7", Body: []byte("lost")}))
		select {
		case returned := <-returns:
			equal(fmt.Sprint(returned.ReplyCode, returned.ReplyText), "312NO_ROUTE", "return")
			equal(fmt.Sprint(returned.Exchange, returned.RoutingKey), "amq.direct"+key, "where it was published to")
			equal(returned.MessageId+string(returned.Body), "7lost", "what was published")
		case <-confirms:
			fail("confirmed before it was returned")
		case <-time.After(deadline):
			fail("not returned")
		}
		equal(receive(confirms, "confirm"), amqp.Confirmation{DeliveryTag: 1, Ack: true}, "confirm after the return")
	})
}

func immediateIsNotImplemented(url string) {
	connected(url, func(connection *amqp.Connection) {
		closed := connection.NotifyClose(make(chan *amqp.Error, 1))
		must(newChannel(connection).Publish("", unique("go"), false, true, amqp.Publishing{}))
		refused(receive(closed, "connection.close"), 540, "NOT_IMPLEMENTED - immediate=true")
	})
}

func bodiesOfManySizes(url string) {
	connection := got(amqp.DialConfig(url, amqp.Config{FrameSize: 4096}))
	defer connection.Close()
	channel := newConfirmChannel(connection)
	queue := newQueue(channel, nil)
	for _, size := range []int{0, 1, 4087, 4088, 4089, 2 * 4088, 5 << 20} {
		body := bytes.Repeat([]byte("abcdefghijk"), size/11+1)[:size]
		publish(channel, "", queue, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body})
		if !bytes.Equal(get(channel, queue, true).Body, body) {
			fail("a body of %d bytes came back different", size)
		}
	}
}

func allProperties(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		queue := newQueue(channel, nil)
		sent := amqp.Publishing{
			Headers:         amqp.Table{"key": "value"},
			ContentType:     "application/json",
			ContentEncoding: "utf-8",
			DeliveryMode:    amqp.Persistent,
			Priority:        7,
			CorrelationId:   "correlation",
			ReplyTo:         "reply-here",
			Expiration:      "60000",
			MessageId:       "message-1",
			Timestamp:       time.Unix(1_700_000_000, 0),
			Type:            "order",
			UserId:          got(amqp.ParseURI(url)).Username,
			AppId:           "shop",
			Body:            []byte("{}"),
		}
		publish(channel, "", queue, sent)
		back := get(channel, queue, true)
		equal(amqp.Publishing{
			Headers: back.Headers, ContentType: back.ContentType, ContentEncoding: back.ContentEncoding,
			DeliveryMode: back.DeliveryMode, Priority: back.Priority, CorrelationId: back.CorrelationId,
			ReplyTo: back.ReplyTo, Expiration: back.Expiration, MessageId: back.MessageId, Timestamp: back.Timestamp,
			Type: back.Type, UserId: back.UserId, AppId: back.AppId, Body: back.Body,
		}, sent, "properties")
	})
}

func headersOfEveryType(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		queue := newQueue(channel, nil)
		sent := amqp.Table{
			"string":  "grüße",
			"empty":   "",
			"binary":  []byte{0, 255, 128},
			"true":    true,
			"false":   false,
			"byte":    byte(200),
			"int8":    int8(-7),
			"int16":   int16(-300),
			"uint16":  uint16(60_000),
			"int32":   int32(-70_000),
			"uint32":  uint32(4_000_000_000),
			"int64":   int64(-1 << 63),
			"float32": float32(1.5),
			"float64": 3.25,
			"decimal": amqp.Decimal{Scale: 2, Value: 314},
			"time":    time.Unix(1_700_000_000, 0),
			"none":    nil,
			"table":   amqp.Table{"a": int32(1), "b": amqp.Table{"c": []any{true, nil}}, "empty": amqp.Table{}},
			"array":   []any{"x", int32(1), amqp.Table{"y": int32(2)}, []any{int32(3)}},
		}
		publish(channel, "", queue, amqp.Publishing{Headers: sent})
		back := get(channel, queue, true).Headers
		for name, value := range sent {
			equal(back[name], value, "header "+name)
		}
		equal(len(back), len(sent), "number of headers")
	})
}

// --- consuming

func prefetch(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		queue := newQueue(channel, nil)
		fill(channel, queue, 20)
		must(channel.Qos(4, 0, false))
		deliveries := consume(channel, queue, false)
		first := take(deliveries, 4)
		nothingMore(channel, queue, deliveries)
		must(channel.Ack(first[1].DeliveryTag, true))
		second := take(deliveries, 2)
		nothingMore(channel, queue, deliveries)
		must(channel.Ack(0, true))
		third := take(deliveries, 4)
		nothingMore(channel, queue, deliveries)
		for number, delivery := range append(append(first, second...), third...) {
			equal(fmt.Sprintf("%d %s", delivery.DeliveryTag, delivery.Body), fmt.Sprintf("%d %d", number+1, number), "order")
		}
		equal(depth(channel, queue), 10, "ready")
	})
}

func sharedPrefetch(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		queue := newQueue(channel, nil)
		fill(channel, queue, 20)
		must(channel.Qos(3, 0, true))
		consume(channel, queue, false)
		consume(channel, queue, false)
		waitUntil("three are out", deadline, func() bool { return depth(channel, queue) == 17 })
		must(channel.Ack(0, true))
		waitUntil("three more are out", deadline, func() bool { return depth(channel, queue) == 14 })
	})
}

func nackWithRequeue(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		queue := newQueue(channel, nil)
		fill(channel, queue, 5)
		taken := []amqp.Delivery{}
		for range make([]struct{}, 4) {
			taken = append(taken, get(channel, queue, false))
		}
		equal(view(taken), "0/false 1/false 2/false 3/false", "first time")
		must(taken[1].Nack(true, true)) // 0 and 1
		must(taken[2].Reject(true))
		must(taken[3].Reject(false)) // dropped
		waitUntil("three are back", deadline, func() bool { return depth(channel, queue) == 4 })
		again := []amqp.Delivery{}
		for range make([]struct{}, 4) {
			again = append(again, get(channel, queue, true))
		}
		equal(view(again), "0/true 1/true 2/true 4/false", "second time")
	})
}

func recoverRedelivers(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		queue := newQueue(channel, nil)
		fill(channel, queue, 2)
		deliveries := consume(channel, queue, false)
		take(deliveries, 2)
		must(channel.Recover(true))
		equal(view(take(deliveries, 2)), "0/true 1/true", "again")
	})
}

func exclusiveConsumer(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newChannel(connection)
		queue := newQueue(channel, nil)
		got(channel.Consume(queue, "", false, true, false, false, nil))
		_, err := newChannel(connection).Consume(queue, "", false, false, false, false, nil)
		refused(err, 403, "ACCESS_REFUSED - queue '"+queue+"' in vhost '/' in exclusive use")
	})
}

func consumerIsTold(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newChannel(connection)
		cancelled := channel.NotifyCancel(make(chan string, 1))
		queue := newQueue(channel, nil)
		deliveries := got(channel.Consume(queue, "mine", false, false, false, false, nil))
		got(newChannel(connection).QueueDelete(queue, false, false, false))
		equal(receive(cancelled, "basic.cancel"), "mine", "consumer tag")
		_, open := <-deliveries
		equal(open, false, "the deliveries have ended")
	})
}

func consumerCancel(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		queue := newQueue(channel, nil)
		deliveries := got(channel.Consume(queue, "mine", true, false, false, false, nil))
		fill(channel, queue, 2)
		take(deliveries, 2)
		must(channel.Cancel("mine", false))
		fill(channel, queue, 2)
		equal(depth(channel, queue), 2, "nobody takes them")
	})
}

// --- time

func expirationAndTTL(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel := newConfirmChannel(connection)
		queue := newQueue(channel, nil)
		publish(channel, "", queue, amqp.Publishing{Expiration: "200", Body: []byte("short")})
		publish(channel, "", queue, amqp.Publishing{Expiration: "60000", Body: []byte("long")})
		waitUntil("the first is gone", deadline, func() bool { return depth(channel, queue) == 1 })
		equal(bodies(channel, queue), []string{"long"}, "left")

		short := newQueue(channel, amqp.Table{amqp.QueueMessageTTLArg: int32(200)})
		fill(channel, short, 3)
		waitUntil("all are gone", deadline, func() bool { return depth(channel, short) == 0 })

		unused := got(channel.QueueDeclare(unique("go"), false, false, false, false, amqp.Table{"x-expires": int32(300)}))
		returns := channel.NotifyReturn(make(chan amqp.Return, 100))
		waitUntil("the unused queue is gone", deadline, func() bool {
			must(channel.Publish("", unused.Name, true, false, amqp.Publishing{}))
			return len(returns) > 0
		})
	})
}

// --- transactions

func transactions(url string) {
	connected(url, func(connection *amqp.Connection) {
		channel, watcher := newChannel(connection), newChannel(connection)
		queue := newQueue(channel, nil)
		send := func(body string) {
			must(channel.Publish("", queue, false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)}))
		}
		must(channel.Tx())
		send("0")
		send("1")
		equal(depth(channel, queue), 0, "before the commit")
		must(channel.TxCommit())
		equal(depth(watcher, queue), 2, "after the commit")
		send("2")
		must(channel.TxRollback())
		equal(depth(watcher, queue), 2, "after the rollback")
		must(get(channel, queue, false).Ack(false))
		must(channel.TxRollback())
		must(channel.Close())
		equal(bodies(watcher, queue), []string{"0", "1"}, "the acknowledgement was rolled back")
		refused(newChannel(connection).TxCommit(), 406, "PRECONDITION_FAILED - channel is not transactional")
	})
}

// --- connections

func wrongPasswordAndVirtualHost(url string) {
	uri := got(amqp.ParseURI(url))
	_, err := amqp.DialConfig(url, amqp.Config{SASL: []amqp.Authentication{
		&amqp.PlainAuth{Username: uri.Username, Password: "wrong"},
	}})
	refused(err, 403, "username or password not allowed") // the library's own text for the broker's 403
	_, err = amqp.DialConfig(url, amqp.Config{SASL: []amqp.Authentication{
		&amqp.AMQPlainAuth{Username: uri.Username, Password: "wrong"},
	}})
	refused(err, 403, "username or password not allowed")
	_, err = amqp.DialConfig(url, amqp.Config{Vhost: "nowhere"})
	refused(err, 530, "NOT_ALLOWED - vhost nowhere not found")
	connection := got(amqp.DialConfig(url, amqp.Config{SASL: []amqp.Authentication{
		&amqp.AMQPlainAuth{Username: uri.Username, Password: uri.Password},
	}}))
	must(connection.Close())
}

func connectionError(url string) {
	connected(url, func(connection *amqp.Connection) {
		closed := connection.NotifyClose(make(chan *amqp.Error, 1))
		err := newChannel(connection).ExchangeDeclare(unique("go"), "nonsense", false, false, false, false, nil)
		refused(err, 503, "COMMAND_INVALID - unknown exchange type 'nonsense'")
		refused(receive(closed, "connection.close"), 503, "COMMAND_INVALID - unknown exchange type 'nonsense'")
	})
}

func heartbeats(url string) {
	connection := got(amqp.DialConfig(url, amqp.Config{Heartbeat: time.Second}))
	defer connection.Close()
	// Each side gives up after two silent intervals: alive after three means that both have sent.
	time.Sleep(3500 * time.Millisecond)
	newQueue(newChannel(connection), nil)
}

func secretIsUpdated(url string) {
	connected(url, func(connection *amqp.Connection) {
		must(connection.UpdateSecret(got(amqp.ParseURI(url)).Password, "rotation"))
		newQueue(newChannel(connection), nil)
	})
}

// --- restarts

func recoveryAfterAKill(url string) {
	connection := got(amqp.DialConfig(url, amqp.Config{Recovery: &amqp.Recovery{
		ReconnectionConfig: &amqp.ReconnectionConfig{MaxRetryCount: 300, RetryInterval: 200 * time.Millisecond},
	}}))
	defer connection.Close()
	channel := newConfirmChannel(connection)
	queue := got(channel.QueueDeclare(unique("durable"), true, false, false, false, nil)).Name
	transient := newQueue(channel, nil)
	deliveries := consume(channel, transient, true)
	for number := 0; number < 50; number++ {
		message := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(fmt.Sprint(number))}
		publish(channel, "", queue, message)
	}

	states := make(chan *amqp.StateChanged, 16)
	connection.NotifyStateChange(states)
	restartBroker("kill")
	waitUntil("the library has reconnected", time.Minute, func() bool {
		return receive(states, "change of state").To == amqp.StateOpen
	})

	// The channel goes on, and the library has declared the transient queue and its consumer again.
	checking := newConfirmChannel(connection)
	equal(bodies(checking, queue), numbers(50), "content")
	publish(checking, "", transient, amqp.Publishing{Body: []byte("again")})
	equal(string(receive(deliveries, "delivery to the recovered consumer").Body), "again", "body")
	got(checking.QueueDelete(queue, false, false, false))
}

func shutdownIsAnnounced(url string) {
	connection := got(amqp.Dial(url))
	closed := connection.NotifyClose(make(chan *amqp.Error, 1))
	restartBroker("stop")
	refused(receive(closed, "connection.close"), 320,
		"CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
}
