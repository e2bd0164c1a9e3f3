//! Retained messages for whoever has just subscribed, however many there are.

use std::collections::HashSet;

use gantry_mqtt::codec::packet::{Ack, Packet, Publish, QoS, SubscribeOptions};
use gantry_mqtt::codec::reason::Reason;

use crate::client::{Client, Server, lasting};

/// More than the output of a connection holds.
const MANY: usize = 4000;

async fn retain(publisher: &mut Client, topic: &str, payload: &[u8], qos: QoS) {
    let packet_id = u16::from(qos > QoS::AtMostOnce);
    let publish = Publish { retain: true, qos, packet_id, ..Publish::new(topic, payload) };
    publisher.send(&Packet::Publish(publish)).await;
}

async fn retain_many(publisher: &mut Client) {
    let payload = [b'x'; 200];
    for n in 0..MANY {
        retain(publisher, &format!("many/{n}"), &payload, QoS::AtMostOnce).await;
    }
    publisher.settle().await;
}

// [MQTT-3.3.1-6], [MQTT-3.3.1-8], [MQTT-3.8.4-1]
#[tokio::test]
async fn thousands_are_sent_once_each_behind_suback_and_the_connection_goes_on_meanwhile() {
    let server = Server::new();
    let mut publisher = server.client("p").await;
    retain_many(&mut publisher).await;
    let mut client = server.client("c").await;
    // It reads SUBACK and lets the rest wait.
    client.subscribe("many/+", QoS::AtLeastOnce).await;
    publisher.subscribe("alive", QoS::AtMostOnce).await;
    client.publish("alive", b"", QoS::AtMostOnce, 0).await;
    client.send(&Packet::PingReq).await;
    assert_eq!(publisher.next().await.publish().topic, "alive");
    let mut topics = HashSet::new();
    let mut answered_behind = None;
    while topics.len() < MANY || answered_behind.is_none() {
        let received = client.next().await;
        match received.packet() {
            Packet::PingResp => answered_behind = Some(topics.len()),
            Packet::Publish(publish) => {
                assert!(publish.retain && publish.qos == QoS::AtMostOnce);
                assert!(topics.insert(publish.topic.to_owned()), "{} came twice", publish.topic);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(answered_behind < Some(MANY), "it was answered only behind all of them");
    assert!(client.settle().await.is_empty());
}

// [MQTT-3.8.4-8], [MQTT-3.3.4-7]; 3.3.1.3
#[tokio::test]
async fn those_of_qos_1_wait_in_the_sessions_queue_and_no_more_than_it_takes_are_under_way() {
    let server = Server::new();
    let mut publisher = server.client("p").await;
    for n in 0..100 {
        retain(&mut publisher, &format!("a/{n}"), b"one", QoS::AtLeastOnce).await;
        publisher.next().await;
    }
    retain(&mut publisher, "a/zero", b"zero", QoS::AtMostOnce).await;
    publisher.settle().await;
    let mut connect = lasting("c");
    connect.properties.receive_max = std::num::NonZeroU16::new(5);
    let mut client = server.connect(&connect).await;
    client.subscribe("a/#", QoS::ExactlyOnce).await;
    let first = client.settle().await;
    let of_qos = |qos| first.iter().filter(|received| received.publish().qos == qos).count();
    assert_eq!((of_qos(QoS::AtMostOnce), of_qos(QoS::AtLeastOnce)), (1, 5));
    assert!(first.iter().all(|received| received.publish().retain));
    // The others come as these are acknowledged, also to the next connection.
    client.vanish().await;
    let mut client = server.connect(&connect).await;
    let mut topics = HashSet::new();
    while topics.len() < 100 {
        let received = client.next().await;
        let publish = received.publish();
        assert!(publish.retain);
        topics.insert(publish.topic.to_owned());
        client.send(&Packet::PubAck(Ack::new(publish.packet_id, Reason::SUCCESS))).await;
    }
    assert!(client.settle().await.is_empty());
}

// [MQTT-3.3.2-6]
#[tokio::test]
async fn a_retained_message_says_how_long_it_has_yet_and_is_gone_then() {
    let server = Server::new();
    let mut publisher = server.client("p").await;
    for (topic, expiry_s) in [("short", 1), ("long", 1000)] {
        let publish = Publish { retain: true, message_expiry_s: Some(expiry_s), ..Publish::new(topic, b"x") };
        publisher.send(&Packet::Publish(publish)).await;
    }
    publisher.settle().await;
    // The shorter one's time has to pass.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let mut client = server.client("c").await;
        client.subscribe("+", qos).await;
        let received = client.settle().await;
        assert_eq!(received.len(), 1);
        let left_s = received[0].publish().message_expiry_s;
        assert!((990..1000).contains(&left_s.unwrap_or(0)), "{left_s:?}");
    }
}

// 3.8.3.1 and 4.8.2: none for shared subscriptions. [MQTT-3.10.4-2]: none for those that have ended.
#[tokio::test]
async fn shared_subscriptions_get_none_and_whoever_unsubscribes_no_more() {
    let server = Server::new();
    let mut publisher = server.client("p").await;
    retain_many(&mut publisher).await;
    let mut client = server.client("c").await;
    client.subscribe("$share/g/many/+", QoS::AtMostOnce).await;
    assert!(client.settle().await.is_empty());
    client.subscribe("many/+", QoS::AtMostOnce).await;
    let filters = [gantry_mqtt::codec::packet::Filter::new("many/+")].into_iter().collect();
    let unsubscribe =
        gantry_mqtt::codec::packet::Unsubscribe { packet_id: 8, user_properties: Default::default(), filters };
    client.send(&Packet::Unsubscribe(unsubscribe)).await;
    let mut received = 0;
    while !matches!(client.next().await.packet(), Packet::UnsubAck(_)) {
        received += 1;
    }
    assert!(received < MANY, "{received}");
    assert!(client.settle().await.is_empty());
}

// [MQTT-3.8.4-4]
#[tokio::test]
async fn whoever_subscribes_once_more_is_sent_them_once_more() {
    let server = Server::new();
    let mut publisher = server.client("p").await;
    retain(&mut publisher, "a", b"x", QoS::AtMostOnce).await;
    publisher.settle().await;
    let mut client = server.client("c").await;
    for id in [Some(1), Some(2), None] {
        client.subscribe_with(&[("a", SubscribeOptions::default())], id).await;
        let received = client.settle().await;
        assert_eq!(received.len(), 1);
        let ids: Vec<u32> = received[0].publish().subscription_ids.to_vec();
        assert_eq!(ids, Vec::from_iter(id));
    }
}
