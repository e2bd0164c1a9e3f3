package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// mqttCases are those of the URLs mqtt://...: paho.mqtt.golang speaks 3.1.1 (and 3.1), paho.golang and autopaho speak 5.0.
var mqttCases = append([]testCase{
	{"old_every_quality", false, oldEveryQuality},
	{"old_many_messages_in_order", false, oldManyMessages},
	{"old_will_and_retained", false, oldWillAndRetained},
	{"old_session_is_resumed", false, oldSessionIsResumed},
	{"old_wrong_credentials", false, oldWrongCredentials},
	{"old_unsubscribes", false, oldUnsubscribes},
	{"old_reconnects_by_itself", true, oldReconnects},
}, mqtt5Cases...)

// oldOptions are those of a client of its own.
func oldOptions(address string, change func(*mqtt.ClientOptions)) *mqtt.ClientOptions {
	place := got(url.Parse(address))
	options := mqtt.NewClientOptions().AddBroker("tcp://" + place.Host).SetClientID(unique("go")).SetProtocolVersion(4)
	password, _ := place.User.Password()
	options.SetUsername(place.User.Username()).SetPassword(password).SetAutoReconnect(false)
	options.SetOrderMatters(true)
	if change != nil {
		change(options)
	}
	return options
}

// done waits for an answer of the broker.
func done(token mqtt.Token, what string) {
	if !token.WaitTimeout(deadline) {
		fail("not within %s: %s", deadline, what)
	}
	must(token.Error())
}

func oldConnected(address string, change func(*mqtt.ClientOptions), body func(mqtt.Client)) {
	client := mqtt.NewClient(oldOptions(address, change))
	done(client.Connect(), "CONNACK")
	defer client.Disconnect(250)
	body(client)
}

// listen subscribes and passes on what comes.
func listen(client mqtt.Client, filter string, qos byte) <-chan mqtt.Message {
	messages := make(chan mqtt.Message, 10_000)
	token := client.Subscribe(filter, qos, func(_ mqtt.Client, message mqtt.Message) { messages <- message })
	done(token, "SUBACK")
	equal(token.(*mqtt.SubscribeToken).Result()[filter], qos, "granted QoS")
	return messages
}

func oldEveryQuality(address string) {
	for _, version := range []uint{3, 4} {
		oldConnected(address, func(options *mqtt.ClientOptions) { options.SetProtocolVersion(version) }, func(client mqtt.Client) {
			for sent := byte(0); sent <= 2; sent++ {
				for granted := byte(0); granted <= 2; granted++ {
					topic := unique("go") + "/x"
					messages := listen(client, topic, granted)
					done(client.Publish(topic, sent, false, "payload"), "the answer to PUBLISH")
					message := receive(messages, "message")
					equal([]any{message.Topic(), string(message.Payload()), message.Qos(), message.Retained()},
						[]any{topic, "payload", min(sent, granted), false}, "message")
				}
			}
		})
	}
}

func oldManyMessages(address string) {
	topic := unique("go")
	oldConnected(address, nil, func(subscriber mqtt.Client) {
		messages := listen(subscriber, topic, 2)
		oldConnected(address, nil, func(publisher mqtt.Client) {
			for qos := byte(0); qos <= 2; qos++ {
				tokens := []mqtt.Token{}
				for number := 0; number < 500; number++ {
					tokens = append(tokens, publisher.Publish(topic, qos, false, fmt.Sprint(number)))
					if number >= 15 { // Mosquitto 2.0 takes 20 at a time
						done(tokens[number-15], "the answer to PUBLISH")
					}
				}
				for _, token := range tokens {
					done(token, "the answer to PUBLISH")
				}
				for number := 0; number < 500; number++ {
					equal(string(receive(messages, "message").Payload()), fmt.Sprint(number), "order")
				}
			}
		})
	})
}

func oldWillAndRetained(address string) {
	topic := unique("go")
	oldConnected(address, nil, func(watcher mqtt.Client) {
		messages := listen(watcher, topic, 1)
		dying := mqtt.NewClient(oldOptions(address, func(options *mqtt.ClientOptions) {
			options.SetWill(topic, "gone", 1, true).SetCustomOpenConnectionFn(openAndRemember)
		}))
		done(dying.Connect(), "CONNACK")
		must(lastConnection().Close())
		equal(string(receive(messages, "will").Payload()), "gone", "will")
	})
	oldConnected(address, nil, func(late mqtt.Client) {
		message := receive(listen(late, topic, 1), "retained message")
		equal([]any{string(message.Payload()), message.Retained()}, []any{"gone", true}, "retained will")
		done(late.Publish(topic, 1, true, ""), "PUBACK")
	})
}

func oldSessionIsResumed(address string) {
	topic, name := unique("go"), unique("go")
	lasting := func(options *mqtt.ClientOptions) { options.SetClientID(name).SetCleanSession(false) }
	oldConnected(address, lasting, func(client mqtt.Client) { listen(client, topic, 2) })
	oldConnected(address, nil, func(client mqtt.Client) {
		for number := 0; number < 50; number++ {
			done(client.Publish(topic, 1+byte(number%2), false, fmt.Sprint(number)), "the answer to PUBLISH")
		}
	})
	messages := make(chan mqtt.Message, 100)
	oldConnected(address, func(options *mqtt.ClientOptions) {
		lasting(options)
		options.SetDefaultPublishHandler(func(_ mqtt.Client, message mqtt.Message) { messages <- message })
	}, func(client mqtt.Client) {
		found := []int{}
		for number := 0; number < 50; number++ {
			var value int
			got(fmt.Sscan(string(receive(messages, "message").Payload()), &value))
			found = append(found, value)
		}
		slices.Sort(found)
		equal(found, slices.Collect(func(yield func(int) bool) {
			for number := 0; number < 50 && yield(number); number++ {
			}
		}), "each once")
	})
	oldConnected(address, func(options *mqtt.ClientOptions) { options.SetClientID(name) }, func(mqtt.Client) {})
}

func oldWrongCredentials(address string) {
	client := mqtt.NewClient(oldOptions(address, func(options *mqtt.ClientOptions) { options.SetPassword("wrong").SetConnectRetry(false) }))
	token := client.Connect()
	token.WaitTimeout(deadline)
	if err := token.Error(); err == nil || !strings.Contains(strings.ToLower(err.Error()), "bad user name") && !strings.Contains(err.Error(), "not Authorized") {
		fail("let in, or another error: %v", err)
	}
}

func oldUnsubscribes(address string) {
	root := unique("go")
	oldConnected(address, nil, func(client mqtt.Client) {
		messages := make(chan mqtt.Message, 10)
		filters := map[string]byte{root + "/a": 0, root + "/b": 1, root + "/c": 2}
		token := client.SubscribeMultiple(filters, func(_ mqtt.Client, message mqtt.Message) { messages <- message })
		done(token, "SUBACK")
		equal(token.(*mqtt.SubscribeToken).Result(), filters, "granted")
		done(client.Unsubscribe(root+"/a", root+"/b"), "UNSUBACK")
		for _, letter := range []string{"a", "b", "c"} {
			done(client.Publish(root+"/"+letter, 1, false, letter), "PUBACK")
		}
		equal(string(receive(messages, "message").Payload()), "c", "what is still subscribed")
	})
}

func oldReconnects(address string) {
	topic := unique("go")
	up := make(chan struct{}, 10)
	messages := make(chan mqtt.Message, 100)
	client := mqtt.NewClient(oldOptions(address, func(options *mqtt.ClientOptions) {
		options.SetAutoReconnect(true).SetMaxReconnectInterval(200 * time.Millisecond).SetConnectRetryInterval(200 * time.Millisecond)
		options.SetCleanSession(false).SetResumeSubs(true)
		options.SetDefaultPublishHandler(func(_ mqtt.Client, message mqtt.Message) { messages <- message })
		options.SetOnConnectHandler(func(mqtt.Client) { up <- struct{}{} })
	}))
	done(client.Connect(), "CONNACK")
	receive(up, "connection")
	done(client.Subscribe(topic, 1, nil), "SUBACK")
	restartBroker("kill")
	receive(up, "the connection after the restart")
	// The session is still there: nobody subscribes again.
	done(client.Publish(topic, 1, false, "after"), "PUBACK")
	equal(string(receive(messages, "message").Payload()), "after", "payload")
	client.Disconnect(250)
	oldConnected(address, func(options *mqtt.ClientOptions) {
		reader := client.OptionsReader()
		options.SetClientID(reader.ClientID())
	}, func(mqtt.Client) {})
}
