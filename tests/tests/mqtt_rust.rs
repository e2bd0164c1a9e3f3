//! Rust: rumqttc, 3.1.1 and 5.0.

use std::time::Duration;

use gantry_tests::broker::{Broker, Ending};
use gantry_tests::unique;
use rumqttc::v5;
use rumqttc::{AsyncClient, Event, EventLoop, LastWill, MqttOptions, Outgoing, Packet, Publish, QoS};

/// How long anything that should happen at once may take.
const PATIENCE: Duration = Duration::from_secs(15);

const QUALITIES: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

fn broker() -> Broker {
    Broker::settings().keeps_port().listener("mqtt").start()
}

fn place(broker: &Broker) -> (String, u16) {
    let (host, port) = broker.address_of("mqtt").rsplit_once(':').expect("host and port");
    (host.to_owned(), port.parse().expect("a port"))
}

fn options(broker: &Broker, id: &str) -> MqttOptions {
    let (host, port) = place(broker);
    let mut options = MqttOptions::new(id, host, port);
    options.set_credentials("guest", "guest").set_max_packet_size(4 << 20, 4 << 20);
    options
}

/// A client of 3.1.1 that is driven by whoever waits for something.
struct Old {
    client: AsyncClient,
    events: EventLoop,
}

impl Old {
    fn new(options: MqttOptions) -> Self {
        let (client, events) = AsyncClient::new(options, 1000);
        Self { client, events }
    }

    /// The first event that is wanted; a lost connection is made again by the library.
    async fn until<T>(&mut self, what: &str, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        let search = async {
            loop {
                match self.events.poll().await {
                    Ok(event) => {
                        if let Some(found) = wanted(event) {
                            return found;
                        }
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE * 2, search).await.unwrap_or_else(|_| panic!("not in time: {what}"))
    }

    async fn connected(&mut self) -> bool {
        self.until("CONNACK", |event| match event {
            Event::Incoming(Packet::ConnAck(connack)) => Some(connack.session_present),
            _ => None,
        })
        .await
    }

    async fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.client.subscribe(filter, qos).await.expect("asked for");
        self.until("SUBACK", |event| matches!(event, Event::Incoming(Packet::SubAck(_))).then_some(())).await;
    }

    async fn message(&mut self) -> Publish {
        self.until("a message", |event| match event {
            Event::Incoming(Packet::Publish(message)) => Some(message),
            _ => None,
        })
        .await
    }

    async fn publish(&mut self, topic: &str, qos: QoS, retain: bool, payload: &[u8]) {
        self.client.publish(topic, qos, retain, payload).await.expect("asked for");
        self.until("the answer to a publish", |event| {
            let answered = match qos {
                QoS::AtMostOnce => matches!(event, Event::Outgoing(Outgoing::Publish(_))),
                QoS::AtLeastOnce => matches!(event, Event::Incoming(Packet::PubAck(_))),
                QoS::ExactlyOnce => matches!(event, Event::Incoming(Packet::PubComp(_))),
            };
            answered.then_some(())
        })
        .await;
    }

    async fn disconnect(mut self) {
        self.client.disconnect().await.expect("asked for");
        while self.events.poll().await.is_ok() {}
    }
}

#[tokio::test]
async fn every_quality_of_3_1_1() {
    let broker = broker();
    let (mut device, mut publisher) =
        (Old::new(options(&broker, &unique("rumqttc"))), Old::new(options(&broker, &unique("rumqttc"))));
    for sent in QUALITIES {
        for granted in QUALITIES {
            let topic = unique("rumqttc");
            device.subscribe(&topic, granted).await;
            publisher.publish(&topic, sent, false, b"payload").await;
            let message = device.message().await;
            assert_eq!(
                (message.payload.as_ref(), message.qos as u8),
                (&b"payload"[..], (sent as u8).min(granted as u8))
            );
        }
    }
    device.disconnect().await;
    publisher.disconnect().await;
}

#[tokio::test]
async fn a_will_that_is_retained() {
    let broker = broker();
    let topic = unique("rumqttc");
    let mut watcher = Old::new(options(&broker, &unique("rumqttc")));
    watcher.subscribe(&topic, QoS::AtLeastOnce).await;
    let mut dying = options(&broker, &unique("rumqttc"));
    dying.set_last_will(LastWill::new(&topic, "gone", QoS::AtLeastOnce, true));
    let mut dying = Old::new(dying);
    dying.connected().await;
    drop(dying);
    assert_eq!(watcher.message().await.payload.as_ref(), b"gone");
    let mut late = Old::new(options(&broker, &unique("rumqttc")));
    late.subscribe(&topic, QoS::AtLeastOnce).await;
    let message = late.message().await;
    assert!(message.retain && message.payload.as_ref() == b"gone");
    late.publish(&topic, QoS::AtLeastOnce, true, b"").await;
}

#[tokio::test]
async fn a_session_of_3_1_1_over_kills() {
    let mut broker = broker();
    if !broker.can_restart() {
        return;
    }
    let (name, topic) = (unique("rumqttc"), unique("rumqttc"));
    let mut lasting = options(&broker, &name);
    lasting.set_clean_session(false);
    let mut device = Old::new(lasting.clone());
    assert!(!device.connected().await, "session present at first");
    device.subscribe(&topic, QoS::AtLeastOnce).await;
    for round in 0..3 {
        broker.restart(Ending::Kill);
        assert!(device.connected().await, "session present");
        let payload = format!("after {round}");
        device.client.publish(&topic, QoS::AtLeastOnce, false, payload.clone()).await.expect("asked for");
        // It may be shown again. QoS 2 over kills is for `crash_mqtt`: this library takes a PUBREL that comes again for an error.
        while device.message().await.payload.as_ref() != payload.as_bytes() {}
    }
    device.disconnect().await;
    Old::new(options(&broker, &name)).connected().await;
}

// --- 5.0

struct Five {
    client: v5::AsyncClient,
    events: v5::EventLoop,
}

impl Five {
    fn new(broker: &Broker, change: impl FnOnce(&mut v5::MqttOptions)) -> Self {
        let (host, port) = place(broker);
        let mut options = v5::MqttOptions::new(unique("rumqttc5"), host, port);
        options.set_credentials("guest", "guest");
        change(&mut options);
        let (client, events) = v5::AsyncClient::new(options, 1000);
        Self { client, events }
    }

    async fn until<T>(&mut self, what: &str, mut wanted: impl FnMut(v5::mqttbytes::v5::Packet) -> Option<T>) -> T {
        let search = async {
            loop {
                match self.events.poll().await {
                    Ok(v5::Event::Incoming(packet)) => {
                        if let Some(found) = wanted(packet) {
                            return found;
                        }
                    }
                    Ok(v5::Event::Outgoing(_)) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE * 2, search).await.unwrap_or_else(|_| panic!("not in time: {what}"))
    }

    async fn message(&mut self) -> v5::mqttbytes::v5::Publish {
        self.until("a message", |packet| match packet {
            v5::mqttbytes::v5::Packet::Publish(message) => Some(message),
            _ => None,
        })
        .await
    }

    async fn subscribe(&mut self, filter: &str, qos: v5::mqttbytes::QoS) {
        self.client.subscribe(filter, qos).await.expect("asked for");
        self.until("SUBACK", |packet| matches!(packet, v5::mqttbytes::v5::Packet::SubAck(_)).then_some(())).await;
    }
}

#[tokio::test]
async fn every_quality_and_properties_of_5() {
    use v5::mqttbytes::QoS;
    let broker = broker();
    let (mut device, mut publisher) = (Five::new(&broker, |_| {}), Five::new(&broker, |_| {}));
    let properties = v5::mqttbytes::v5::PublishProperties {
        content_type: Some("text/plain".to_owned()),
        response_topic: Some("back".to_owned()),
        correlation_data: Some(vec![0, 255].into()),
        user_properties: vec![("b".into(), "1".into()), ("a".into(), "2".into()), ("b".into(), "1".into())],
        ..Default::default()
    };
    for sent in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let topic = unique("rumqttc5");
        device.subscribe(&topic, QoS::ExactlyOnce).await;
        let asked = publisher.client.publish_with_properties(&topic, sent, false, "x", properties.clone());
        asked.await.expect("asked for");
        let message = tokio::select! {
            message = device.message() => message,
            () = publisher.until("nothing", |_| None::<()>) => unreachable!("it waits for nothing"),
        };
        assert_eq!((message.payload.as_ref(), message.qos), (&b"x"[..], sent));
        assert_eq!(message.properties, Some(properties.clone()));
    }
}

#[tokio::test]
async fn a_session_of_5_over_kills() {
    use v5::mqttbytes::QoS;
    let mut broker = broker();
    if !broker.can_restart() {
        return;
    }
    let topic = unique("rumqttc5");
    let mut device = Five::new(&broker, |options| {
        options.set_clean_start(false).set_connect_properties(v5::mqttbytes::v5::ConnectProperties {
            session_expiry_interval: Some(600),
            ..v5::mqttbytes::v5::ConnectProperties::new()
        });
    });
    device.subscribe(&topic, QoS::AtLeastOnce).await;
    for round in 0..3 {
        broker.restart(Ending::Kill);
        let present = device
            .until("CONNACK", |packet| match packet {
                v5::mqttbytes::v5::Packet::ConnAck(connack) => Some(connack.session_present),
                _ => None,
            })
            .await;
        assert!(present, "session present");
        let payload = format!("after {round}");
        device.client.publish(&topic, QoS::AtLeastOnce, false, payload.clone()).await.expect("asked for");
        // It may be shown again. QoS 2 over kills is for `crash_mqtt`: this library takes a PUBREL that comes again for an error.
        while device.message().await.payload.as_ref() != payload.as_bytes() {}
    }
    device.client.disconnect().await.expect("asked for");
}
