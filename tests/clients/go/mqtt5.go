package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	mqtt "github.com/eclipse/paho.mqtt.golang"
)

var mqtt5Cases = []testCase{
	{"every_quality", false, every5Quality},
	{"properties_both_ways", false, properties5},
	{"aliases_of_the_broker", false, aliases5},
	{"session_and_expiry", false, session5},
	{"reason_codes", false, reasonCodes5},
	{"take_over_is_told", false, takeOver5},
	{"manual_acknowledgements_and_receive_maximum", false, manualAcks5},
	{"shared_subscription", false, shared5},
	{"autopaho_reconnects_and_subscribes_again", true, autopahoReconnects},
}

// connections are those that openAndRemember has made: a case may lose them.
var connections struct {
	sync.Mutex
	last net.Conn
}

func openAndRemember(address *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
	connection, err := net.Dial("tcp", address.Host)
	connections.Lock()
	defer connections.Unlock()
	connections.last = connection
	return connection, err
}

func lastConnection() net.Conn {
	connections.Lock()
	defer connections.Unlock()
	return connections.last
}

// device5 is a client of 5.0 and what has come to it.
type device5 struct {
	*paho.Client
	socket   net.Conn
	connack  *paho.Connack
	messages chan *paho.Publish
	ended    chan *paho.Disconnect
}

func inTime() context.Context {
	// Nobody cancels it: a case is over sooner.
	within, cancel := context.WithTimeout(context.Background(), deadline)
	_ = cancel
	return within
}

func connect5(address string, change func(*paho.Connect, *paho.ClientConfig)) (*device5, error) {
	place := got(url.Parse(address))
	device := &device5{
		socket:   got(net.Dial("tcp", place.Host)),
		messages: make(chan *paho.Publish, 10_000),
		ended:    make(chan *paho.Disconnect, 1),
	}
	password, _ := place.User.Password()
	hello := &paho.Connect{
		ClientID: unique("go5"), CleanStart: true, KeepAlive: 30,
		Username: place.User.Username(), UsernameFlag: true, Password: []byte(password), PasswordFlag: true,
		Properties: &paho.ConnectProperties{},
	}
	config := paho.ClientConfig{
		Conn:               device.socket,
		OnServerDisconnect: func(goodbye *paho.Disconnect) { device.ended <- goodbye },
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(received paho.PublishReceived) (bool, error) {
			device.messages <- received.Packet
			return true, nil
		}},
	}
	if change != nil {
		change(hello, &config)
	}
	config.ClientID = hello.ClientID
	device.Client = paho.NewClient(config)
	connack, err := device.Connect(inTime(), hello)
	device.connack = connack
	return device, err
}

func connected5(address string, change func(*paho.Connect, *paho.ClientConfig), body func(*device5)) {
	device := got(connect5(address, change))
	defer device.Disconnect(&paho.Disconnect{})
	body(device)
}

func (device *device5) subscribe(filter string, qos byte) {
	suback := got(device.Subscribe(inTime(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: qos}}}))
	equal(suback.Reasons, []byte{qos}, "SUBACK")
}

func (device *device5) publish(topic string, qos byte, payload string, properties *paho.PublishProperties) {
	got(device.Publish(inTime(), &paho.Publish{Topic: topic, QoS: qos, Payload: []byte(payload), Properties: properties}))
}

func every5Quality(address string) {
	connected5(address, nil, func(device *device5) {
		for sent := byte(0); sent <= 2; sent++ {
			for granted := byte(0); granted <= 2; granted++ {
				topic := unique("go5")
				device.subscribe(topic, granted)
				device.publish(topic, sent, "payload", nil)
				message := receive(device.messages, "message")
				equal([]any{message.Topic, string(message.Payload), message.QoS}, []any{topic, "payload", min(sent, granted)}, "message")
			}
		}
	})
}

func properties5(address string) {
	connected5(address, nil, func(device *device5) {
		topic := unique("go5")
		identifier := 12345
		got(device.Subscribe(inTime(), &paho.Subscribe{
			Subscriptions: []paho.SubscribeOptions{{Topic: topic, QoS: 2}},
			Properties:    &paho.SubscribeProperties{SubscriptionIdentifier: &identifier},
		}))
		text := byte(1)
		sent := &paho.PublishProperties{
			PayloadFormat: &text, ContentType: "text/plain", ResponseTopic: "back", CorrelationData: []byte{0, 255},
			User: paho.UserProperties{{Key: "b", Value: "1"}, {Key: "a", Value: "2"}, {Key: "b", Value: "1"}},
		}
		device.publish(topic, 2, "x", sent)
		found := receive(device.messages, "message").Properties
		equal(found.SubscriptionIdentifier != nil && *found.SubscriptionIdentifier == identifier, true, "subscription identifier")
		found.SubscriptionIdentifier = nil
		equal(fmt.Sprintf("%d %s %s %v %v", *found.PayloadFormat, found.ContentType, found.ResponseTopic, found.CorrelationData, found.User),
			fmt.Sprintf("1 text/plain back [0 255] %v", sent.User), "properties")
	})
}

func aliases5(address string) {
	most := uint16(5)
	connected5(address, func(hello *paho.Connect, _ *paho.ClientConfig) { hello.Properties.TopicAliasMaximum = &most }, func(device *device5) {
		root := unique("go5")
		device.subscribe(root+"/#", 1)
		names := map[uint16]string{}
		for number := 0; number < 40; number++ {
			topic := fmt.Sprintf("%s/%d", root, number%8)
			device.publish(topic, 1, topic, nil)
			message := receive(device.messages, "message")
			name := message.Topic
			if alias := message.Properties.TopicAlias; alias != nil {
				if name == "" {
					name = names[*alias]
				}
				names[*alias] = name
			}
			equal(name, string(message.Payload), "topic")
		}
	})
}

func session5(address string) {
	topic, name := unique("go5"), unique("go5")
	lasting := func(seconds uint32) func(*paho.Connect, *paho.ClientConfig) {
		return func(hello *paho.Connect, _ *paho.ClientConfig) {
			hello.ClientID, hello.CleanStart, hello.Properties.SessionExpiryInterval = name, false, &seconds
		}
	}
	connected5(address, lasting(600), func(device *device5) {
		equal(device.connack.SessionPresent, false, "session present at first")
		device.subscribe(topic, 2)
	})
	connected5(address, nil, func(device *device5) {
		for number := 0; number < 30; number++ {
			device.publish(topic, 2, fmt.Sprint(number), nil)
		}
	})
	device := got(connect5(address, lasting(600)))
	equal(device.connack.SessionPresent, true, "session present")
	for number := 0; number < 30; number++ {
		equal(string(receive(device.messages, "message").Payload), fmt.Sprint(number), "order")
	}
	must(device.Disconnect(&paho.Disconnect{}))
	connected5(address, func(hello *paho.Connect, _ *paho.ClientConfig) { hello.ClientID = name }, func(device *device5) {
		equal(device.connack.SessionPresent, false, "session present after a clean start")
	})
	connected5(address, lasting(0), func(device *device5) {
		equal(device.connack.SessionPresent, false, "session present after it was ended")
	})
}

func reasonCodes5(address string) {
	_, err := connect5(address, func(hello *paho.Connect, _ *paho.ClientConfig) { hello.Password = []byte("wrong") })
	if err == nil {
		fail("let in with a wrong password")
	}
	device, _ := connect5(address, func(hello *paho.Connect, _ *paho.ClientConfig) { hello.Password = []byte("wrong") })
	code := device.connack.ReasonCode
	equal(code == 0x86 || code == 0x87, true, fmt.Sprintf("reason code %#x", code))
	connected5(address, nil, func(device *device5) {
		unsuback := got(device.Unsubscribe(inTime(), &paho.Unsubscribe{Topics: []string{"never/subscribed"}}))
		equal(unsuback.Reasons, []byte{0x11}, "UNSUBACK")
	})
}

func takeOver5(address string) {
	name := unique("go5")
	named := func(hello *paho.Connect, _ *paho.ClientConfig) { hello.ClientID = name }
	lost := make(chan error, 1)
	first := got(connect5(address, func(hello *paho.Connect, config *paho.ClientConfig) {
		named(hello, config)
		config.OnClientError = func(err error) { lost <- err }
	}))
	connected5(address, named, func(second *device5) {
		select {
		case goodbye := <-first.ended:
			equal(goodbye.ReasonCode, byte(0x8E), "reason code of DISCONNECT")
		case err := <-lost:
			if !isCommon() { // Mosquitto 2.0 closes without a word
				fail("closed without a word: %v", err)
			}
		case <-time.After(deadline):
			fail("the first connection is still open")
		}
		topic := unique("go5")
		second.subscribe(topic, 1)
		second.publish(topic, 1, "mine", nil)
		receive(second.messages, "message")
	})
}

func manualAcks5(address string) {
	topic := unique("go5")
	three := uint16(3)
	connected5(address, func(hello *paho.Connect, config *paho.ClientConfig) {
		hello.Properties.ReceiveMaximum = &three
		config.EnableManualAcknowledgment = true
	}, func(slow *device5) {
		slow.subscribe(topic, 1)
		connected5(address, nil, func(publisher *device5) {
			for number := 0; number < 10; number++ {
				publisher.publish(topic, 1, fmt.Sprint(number), nil)
			}
		})
		held := []*paho.Publish{}
		for number := 0; number < 3; number++ {
			held = append(held, receive(slow.messages, "message"))
		}
		slow.publish(unique("nobody"), 1, "", nil) // a round trip
		equal(len(slow.messages), 0, "messages beyond the receive maximum")
		for number := 3; number < 10; number++ {
			must(slow.Ack(held[0]))
			held = append(held[1:], receive(slow.messages, "message"))
			equal(string(held[2].Payload), fmt.Sprint(number), "the next")
		}
	})
}

func shared5(address string) {
	topic, group := unique("go5"), unique("group")
	connected5(address, nil, func(one *device5) {
		connected5(address, nil, func(two *device5) {
			one.subscribe("$share/"+group+"/"+topic, 1)
			two.subscribe("$share/"+group+"/"+topic, 1)
			for number := 0; number < 50; number++ {
				one.publish(topic, 1, fmt.Sprint(number), nil)
			}
			seen := map[string]bool{}
			for number := 0; number < 50; number++ {
				select {
				case message := <-one.messages:
					seen[string(message.Payload)] = true
				case message := <-two.messages:
					seen[string(message.Payload)] = true
				case <-time.After(deadline):
					fail("%d of 50 have come", number)
				}
			}
			equal(len(seen), 50, "different messages")
		})
	})
}

func autopahoReconnects(address string) {
	topic, name := unique("go5"), unique("go5")
	place := got(url.Parse(address))
	password, _ := place.User.Password()
	up, messages := make(chan bool, 10), make(chan *paho.Publish, 100)
	background, stop := context.WithCancel(context.Background())
	defer stop()
	manager := got(autopaho.NewConnection(background, autopaho.ClientConfig{
		ServerUrls: []*url.URL{got(url.Parse("mqtt://" + place.Host))}, KeepAlive: 20, SessionExpiryInterval: 600,
		ConnectUsername: place.User.Username(), ConnectPassword: []byte(password),
		ReconnectBackoff: func(int) time.Duration { return 100 * time.Millisecond },
		OnConnectionUp:   func(_ *autopaho.ConnectionManager, connack *paho.Connack) { up <- connack.SessionPresent },
		ClientConfig: paho.ClientConfig{
			ClientID: name,
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(received paho.PublishReceived) (bool, error) {
				messages <- received.Packet
				return true, nil
			}},
		},
	}))
	equal(receive(up, "connection"), false, "session present at first")
	got(manager.Subscribe(inTime(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: topic, QoS: 2}}}))
	restartBroker("kill")
	equal(receive(up, "the connection after the restart"), true, "session present")
	for attempt := 0; ; attempt++ {
		_, err := manager.Publish(inTime(), &paho.Publish{Topic: topic, QoS: 2, Payload: []byte("after")})
		if err == nil {
			break
		}
		if attempt > 50 || !errors.Is(err, autopaho.ConnectionDownError) {
			must(err)
		}
	}
	equal(string(receive(messages, "message").Payload), "after", "payload")
	must(manager.Disconnect(inTime()))
	connected5(address, func(hello *paho.Connect, _ *paho.ClientConfig) { hello.ClientID = name }, func(*device5) {})
}
