package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-stomp/stomp/v3"
	"github.com/go-stomp/stomp/v3/frame"
)

// stompCases are those of the URLs stomp://...
var stompCases = []testCase{
	{"stomp_every_version", false, stompEveryVersion},
	{"stomp_headers_and_bodies", false, stompHeadersAndBodies},
	{"stomp_many_messages_in_order", false, stompManyMessages},
	{"stomp_acknowledgements", false, stompAcknowledgements},
	{"stomp_transactions", false, stompTransactions},
	{"stomp_topics_and_replies", false, stompTopicsAndReplies},
	{"stomp_unsubscribes", false, stompUnsubscribes},
	{"stomp_heart_beats", false, stompHeartBeats},
	{"stomp_errors", false, stompErrors},
	{"stomp_survives", true, stompSurvives},
}

func stompDial(address string, more ...func(*stomp.Conn) error) (*stomp.Conn, error) {
	place := got(url.Parse(address))
	password, _ := place.User.Password()
	options := append([]func(*stomp.Conn) error{
		stomp.ConnOpt.Login(place.User.Username(), password),
		stomp.ConnOpt.Host("/"),
		stomp.ConnOpt.RcvReceiptTimeout(deadline),
		stomp.ConnOpt.DisconnectReceiptTimeout(deadline),
		stomp.ConnOpt.UnsubscribeReceiptTimeout(deadline),
		stomp.ConnOpt.Logger(quiet{}),
	}, more...)
	return stomp.Dial("tcp", place.Host, options...)
}

// quiet drops what the client logs: an error that is expected is no news.
type quiet struct{}

func (quiet) Debugf(string, ...interface{})   {}
func (quiet) Infof(string, ...interface{})    {}
func (quiet) Warningf(string, ...interface{}) {}
func (quiet) Errorf(string, ...interface{})   {}
func (quiet) Debug(string)                    {}
func (quiet) Info(string)                     {}
func (quiet) Warning(string)                  {}
func (quiet) Error(string)                    {}

func stompConnected(address string, body func(*stomp.Conn), more ...func(*stomp.Conn) error) {
	connection := got(stompDial(address, more...))
	defer connection.MustDisconnect()
	body(connection)
	must(connection.Disconnect())
}

// stompNext is the next message, which must not be an error.
func stompNext(subscription *stomp.Subscription) *stomp.Message {
	message := receive(subscription.C, "message")
	if message == nil {
		fail("the subscription has ended")
	}
	must(message.Err)
	return message
}

var receipt = stomp.SendOpt.Receipt

func stompEveryVersion(address string) {
	for _, version := range []stomp.Version{stomp.V10, stomp.V11, stomp.V12} {
		for _, more := range [][]func(*stomp.Conn) error{nil, {stomp.ConnOpt.UseStomp}} {
			options := append(more, stomp.ConnOpt.AcceptVersion(version))
			stompConnected(address, func(connection *stomp.Conn) {
				equal(connection.Version(), version, "version")
				queue := "/queue/" + unique("go")
				subscription := got(connection.Subscribe(queue, stomp.AckClientIndividual))
				must(connection.Send(queue, "text/plain", []byte("hello"), receipt))
				message := stompNext(subscription)
				equal([]string{string(message.Body), message.ContentType, message.Destination},
					[]string{"hello", "text/plain", queue}, "message")
				must(connection.Ack(message))
				must(subscription.Unsubscribe())
			}, options...)
		}
	}
}

func stompHeadersAndBodies(address string) {
	stompConnected(address, func(connection *stomp.Conn) {
		queue := "/queue/" + unique("go")
		subscription := got(connection.Subscribe(queue, stomp.AckAuto))
		values := map[string]string{"colon": "a:b", "line": "a\nb", "return": "a\\b", "utf8": "grüße 🚀", "key:colon": "x"}
		headers := []func(*frame.Frame) error{receipt}
		for key, value := range values {
			headers = append(headers, stomp.SendOpt.Header(key, value))
		}
		large := make([]byte, 8<<20)
		got(rand.Read(large))
		for _, body := range [][]byte{[]byte("text"), {0, 1, 0}, {}, large} {
			must(connection.Send(queue, "a/b", body, headers...))
			message := stompNext(subscription)
			equal(bytes.Equal(message.Body, body), true, "the body as it was")
			for key, value := range values {
				equal(message.Header.Get(key), value, key)
			}
		}
		must(connection.Send(queue, "", []byte("no length"), stomp.SendOpt.NoContentLength))
		equal(string(stompNext(subscription).Body), "no length", "body up to NUL")
	})
}

func stompManyMessages(address string) {
	stompConnected(address, func(sender *stomp.Conn) {
		stompConnected(address, func(connection *stomp.Conn) {
			queue := "/queue/" + unique("go")
			subscription := got(connection.Subscribe(queue, stomp.AckClient, stomp.SubscribeOpt.Header("prefetch-count", "100")))
			go func() {
				for number := 0; number < 2000; number++ {
					if sender.Send(queue, "", []byte(fmt.Sprint(number)), stomp.SendOpt.Header("persistent", "true")) != nil {
						return // the other side misses it
					}
				}
			}()
			for number := 0; number < 2000; number++ {
				message := stompNext(subscription)
				equal(string(message.Body), fmt.Sprint(number), "order")
				if number%100 == 99 {
					must(connection.Ack(message))
				}
			}
		})
	})
}

func stompAcknowledgements(address string) {
	queue := "/queue/" + unique("go")
	stompConnected(address, func(connection *stomp.Conn) {
		subscription := got(connection.Subscribe(queue, stomp.AckClientIndividual))
		for number := 0; number < 3; number++ {
			must(connection.Send(queue, "", []byte(fmt.Sprint(number)), receipt))
		}
		first, second, third := stompNext(subscription), stompNext(subscription), stompNext(subscription)
		must(connection.Ack(third))
		must(connection.Ack(first))
		must(connection.Nack(second))
		again := stompNext(subscription)
		equal([]string{string(again.Body), again.Header.Get("redelivered")}, []string{"1", "true"}, "given back")
	})
	stompConnected(address, func(connection *stomp.Conn) {
		subscription := got(connection.Subscribe(queue, stomp.AckClient))
		message := stompNext(subscription)
		equal(string(message.Body), "1", "what was not acknowledged")
		must(connection.Ack(message))
	})
}

func stompTransactions(address string) {
	stompConnected(address, func(connection *stomp.Conn) {
		queue := "/queue/" + unique("go")
		subscription := got(connection.Subscribe(queue, stomp.AckClientIndividual))
		gone := connection.Begin()
		must(gone.Send(queue, "", []byte("gone")))
		must(gone.AbortWithReceipt())
		kept := connection.Begin()
		must(kept.Send(queue, "", []byte("1")))
		must(kept.Send(queue, "", []byte("2")))
		must(kept.CommitWithReceipt())
		first, second := stompNext(subscription), stompNext(subscription)
		equal([]string{string(first.Body), string(second.Body)}, []string{"1", "2"}, "committed")
		acks := connection.Begin()
		must(acks.Ack(first))
		must(acks.Ack(second))
		must(acks.CommitWithReceipt())
		must(connection.Send(queue, "", []byte("3"), receipt))
		equal(string(stompNext(subscription).Body), "3", "and on")
	})
}

func stompTopicsAndReplies(address string) {
	stompConnected(address, func(server *stomp.Conn) {
		stompConnected(address, func(client *stomp.Conn) {
			topic := "/topic/" + unique("go")
			requests := got(server.Subscribe(topic+".*", stomp.AckAuto))
			must(server.Send("/queue/"+unique("fence"), "", nil, receipt))
			// It drops what comes for a subscription that it has not made itself, as those of /temp-queue are.
			answers := "/queue/" + unique("answers")
			replies := got(client.Subscribe(answers, stomp.AckAuto))
			must(client.Send(topic+".ask", "", []byte("ask"), receipt, stomp.SendOpt.Header("reply-to", answers)))
			request := stompNext(requests)
			must(server.Send(request.Header.Get("reply-to"), "", []byte("answer"), receipt))
			equal(string(stompNext(replies).Body), "answer", "answer")
		})
	})
}

func stompUnsubscribes(address string) {
	stompConnected(address, func(connection *stomp.Conn) {
		topic := "/topic/" + unique("go")
		subscription := got(connection.Subscribe(topic, stomp.AckAuto))
		must(connection.Send(topic, "", []byte("1"), receipt))
		stompNext(subscription)
		must(subscription.Unsubscribe())
		must(connection.Send(topic, "", []byte("2"), receipt))
		again := got(connection.Subscribe(topic, stomp.AckAuto))
		must(connection.Send(topic, "", []byte("3"), receipt))
		equal(string(stompNext(again).Body), "3", "nothing in between")
	})
}

func stompHeartBeats(address string) {
	stompConnected(address, func(connection *stomp.Conn) {
		// Either side would end the connection, were the other one silent.
		time.Sleep(3500 * time.Millisecond)
		must(connection.Send("/queue/"+unique("go"), "", []byte("still there"), receipt))
	}, stomp.ConnOpt.HeartBeat(time.Second, time.Second))
}

func stompErrors(address string) {
	_, err := stompDial(address, stomp.ConnOpt.Login("guest", "wrong"))
	equal(err != nil && strings.Contains(err.Error(), "Bad CONNECT"), true, fmt.Sprint(err))
	_, err = stompDial(address, stomp.ConnOpt.Host("nowhere"))
	equal(err != nil && strings.Contains(err.Error(), "Bad CONNECT"), true, fmt.Sprint(err))
	for destination, expected := range map[string]string{
		"/nonsense/x":          "Unknown destination",
		"/exchange/no-such/x":  "not_found",
		"/queue/too/many/word": "Invalid destination",
	} {
		connection := got(stompDial(address))
		err := connection.Send(destination, "", []byte("x"), receipt)
		var told stomp.Error
		equal(errors.As(err, &told), true, fmt.Sprintf("an error of the broker: %v", err))
		equal(told.Message, expected, destination)
	}
}

func stompSurvives(address string) {
	queue := "/queue/" + unique("go")
	stompConnected(address, func(connection *stomp.Conn) {
		for number := 0; number < 100; number++ {
			must(connection.Send(queue, "", []byte(fmt.Sprint(number)), receipt, stomp.SendOpt.Header("persistent", "true")))
		}
	})
	restartBroker("kill")
	var connection *stomp.Conn
	waitUntil("the broker is back", deadline, func() bool {
		var err error
		connection, err = stompDial(address)
		return err == nil
	})
	defer connection.MustDisconnect()
	subscription := got(connection.Subscribe(queue, stomp.AckAuto))
	for number := 0; number < 100; number++ {
		equal(string(stompNext(subscription).Body), fmt.Sprint(number), "order")
	}
}
