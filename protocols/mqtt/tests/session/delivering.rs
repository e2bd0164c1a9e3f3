//! PUBLISH to clients: packet ids, redelivery, exactly once, limits of the client.

use std::num::NonZeroU16;
use std::sync::atomic::Ordering;

use gantry_broker::value::Table;
use gantry_broker::{Kind as Of, QueueName, QueueOptions};
use gantry_mqtt::codec::packet::{Ack, Connect, ConnectProperties, Packet, Publish, QoS, Version};
use gantry_mqtt::codec::properties::{self, Property};
use gantry_mqtt::codec::reason::Reason;

use crate::client::{Client, Kind, Server, hello, lasting, old};

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;
const QOS_2: QoS = QoS::ExactlyOnce;

async fn publish(client: &mut Client, topic: &str, payloads: &[&[u8]], qos: QoS) {
    for (n, payload) in payloads.iter().enumerate() {
        let id = n as u16 + 1;
        client.publish(topic, payload, qos, id).await;
        match qos {
            QOS_0 => {}
            QOS_1 => _ = client.expect_ack(Kind::Ack, id).await,
            QOS_2 => {
                client.expect_ack(Kind::Rec, id).await;
                client.ack(Packet::PubRel, id).await;
                client.expect_ack(Kind::Comp, id).await;
            }
        }
    }
    client.settle().await;
}

// [MQTT-4.4.0-1], [MQTT-3.3.1-1], [MQTT-4.3.2-2], [MQTT-4.3.2-3], [MQTT-4.6.0-1], [MQTT-4.6.0-5]
#[tokio::test]
async fn what_was_not_acknowledged_comes_again_with_its_packet_id_and_dup_also_after_a_crash() {
    let server = Server::new();
    let mut client = server.lasting("c").await;
    client.subscribe("a", QOS_1).await;
    let mut publisher = server.client("p").await;
    publish(&mut publisher, "a", &[b"1", b"2", b"3"], QOS_1).await;
    let mut ids = Vec::new();
    for expected in [b"1", b"2", b"3"] {
        let received = client.next().await;
        let publish = received.publish();
        assert_eq!((publish.payload, publish.dup, publish.qos), (&expected[..], false, QOS_1));
        ids.push(publish.packet_id);
    }
    client.ack(Packet::PubAck, ids[1]).await;
    client.settle().await;
    client.vanish().await;
    let mut client = server.lasting("c").await;
    for (id, expected) in [(ids[0], b"1"), (ids[2], b"3")] {
        let received = client.next().await;
        let publish = received.publish();
        assert_eq!((publish.packet_id, publish.payload, publish.dup), (id, &expected[..], true));
    }
    client.ack(Packet::PubAck, ids[0]).await;
    client.settle().await;
    client.vanish().await;
    let server = server.crash();
    let mut client = server.lasting("c").await;
    let received = client.next().await;
    assert_eq!(
        (received.publish().packet_id, received.publish().payload, received.publish().dup),
        (ids[2], &b"3"[..], true)
    );
    client.ack(Packet::PubAck, ids[2]).await;
    assert!(client.settle().await.is_empty());
    client.vanish().await;
    let mut client = server.lasting("c").await;
    assert!(client.settle().await.is_empty());
}

// [MQTT-4.3.3-2], [MQTT-4.3.3-3], [MQTT-4.3.3-4], [MQTT-4.3.3-5], [MQTT-4.3.3-6], [MQTT-4.4.0-1]
#[tokio::test]
async fn a_message_of_qos_2_is_not_sent_again_once_its_receiver_has_it() {
    let server = Server::new();
    let mut client = server.lasting("c").await;
    client.subscribe("a", QOS_2).await;
    let mut publisher = server.client("p").await;
    publish(&mut publisher, "a", &[b"1"], QOS_2).await;
    let received = client.next().await;
    let id = received.publish().packet_id;
    assert_eq!(received.publish().qos, QOS_2);
    client.vanish().await;
    // Before PUBREC it comes again.
    let mut client = server.lasting("c").await;
    let received = client.next().await;
    assert_eq!((received.publish().packet_id, received.publish().dup), (id, true));
    server.journal.hold();
    client.ack(Packet::PubRec, id).await;
    assert!(client.settle().await.is_empty(), "PUBREL waits until it is known for good that the client has it");
    server.journal.release();
    assert_eq!(client.expect_ack(Kind::Rel, id).await, Reason::SUCCESS);
    client.vanish().await;
    // After it, PUBREL does, also after a crash.
    let mut server = server;
    for _ in 0..2 {
        server = server.crash();
        let mut client = server.lasting("c").await;
        assert_eq!(client.expect_ack(Kind::Rel, id).await, Reason::SUCCESS);
        client.vanish().await;
    }
    let mut client = server.lasting("c").await;
    client.expect_ack(Kind::Rel, id).await;
    client.ack(Packet::PubRec, id).await;
    client.expect_ack(Kind::Rel, id).await;
    client.ack(Packet::PubComp, id).await;
    client.settle().await;
    client.vanish().await;
    let server = server.crash();
    let mut client = server.lasting("c").await;
    assert!(client.settle().await.is_empty());
}

#[tokio::test]
async fn acknowledgements_of_what_was_not_sent_do_no_harm() {
    let server = Server::new();
    let mut client = server.client("c").await;
    client.ack(Packet::PubAck, 9).await;
    client.ack(Packet::PubComp, 9).await;
    assert!(client.settle().await.is_empty());
    client.ack(Packet::PubRec, 9).await;
    assert_eq!(client.expect_ack(Kind::Rel, 9).await, Reason::PACKET_IDENTIFIER_NOT_FOUND);
    client.subscribe("a", QOS_2).await;
    client.publish("a", b"", QOS_2, 1).await;
    client.expect_ack(Kind::Rec, 1).await;
    let id = client.next().await.publish().packet_id;
    client.ack(Packet::PubAck, id).await;
    assert_eq!(client.closed().await, Some(Reason::PROTOCOL_ERROR));
}

// [MQTT-4.4.0-2]
#[tokio::test]
async fn a_receiver_may_refuse_a_message() {
    let server = Server::new();
    let mut client = server.lasting("c").await;
    client.subscribe("a", QOS_2).await;
    let mut publisher = server.client("p").await;
    publish(&mut publisher, "a", &[b"2"], QOS_2).await;
    publish(&mut publisher, "a", &[b"1"], QOS_1).await;
    let first = client.next().await.publish().packet_id;
    client.send(&Packet::PubRec(Ack::new(first, Reason::IMPLEMENTATION_SPECIFIC_ERROR))).await;
    let second = client.next().await.publish().packet_id;
    client.send(&Packet::PubAck(Ack::new(second, Reason::QUOTA_EXCEEDED))).await;
    assert!(client.settle().await.is_empty());
    client.vanish().await;
    let mut client = server.lasting("c").await;
    assert!(client.settle().await.is_empty());
}

// [MQTT-3.3.4-9], [MQTT-3.3.4-10], [MQTT-4.9.0-1], [MQTT-4.9.0-2], [MQTT-4.9.0-3]
#[tokio::test]
async fn no_more_is_under_way_than_the_client_takes_until_it_is_done_with_one() {
    let server = Server::new();
    let properties = ConnectProperties { receive_max: NonZeroU16::new(2), ..ConnectProperties::default() };
    let mut client = server.connect(&Connect { properties, ..hello("c") }).await;
    client.subscribe("#", QOS_2).await;
    let mut publisher = server.client("p").await;
    publish(&mut publisher, "a", &[b"1", b"2", b"3", b"4"], QOS_2).await;
    publish(&mut publisher, "zero", &[b"0"], QOS_0).await;
    let first = client.next().await.publish().packet_id;
    let second = client.next().await.publish().packet_id;
    assert!(client.settle().await.is_empty());
    client.ack(Packet::PubRec, first).await;
    client.expect_ack(Kind::Rel, first).await;
    assert!(client.settle().await.is_empty(), "PUBREC does not make room");
    client.ack(Packet::PubComp, first).await;
    assert_eq!(client.next().await.publish().payload, b"3");
    assert!(client.settle().await.is_empty());
    client.send(&Packet::PubRec(Ack::new(second, Reason::UNSPECIFIED_ERROR))).await;
    assert_eq!(client.next().await.publish().payload, b"4");
}

// [MQTT-3.1.2-24], [MQTT-3.1.2-25]
#[tokio::test]
async fn what_is_larger_than_the_client_takes_is_as_good_as_sent() {
    let server = Server::new();
    let properties = ConnectProperties { packet_bytes_max: Some(100), ..ConnectProperties::default() };
    let mut client = server.connect(&Connect { properties, ..hello("c") }).await;
    client.subscribe("one", QOS_1).await;
    client.subscribe("zero", QOS_0).await;
    let mut publisher = server.client("p").await;
    for topic in ["zero", "one"] {
        publish(&mut publisher, topic, &[&[b'x'; 200], b"small"], QOS_1).await;
        assert_eq!(client.next().await.publish().payload, b"small");
    }
    assert_eq!(server.stats.dropped_too_large.load(Ordering::Relaxed), 2);
    let queue = server.vhost().queue_of_anyone("mqtt-subscription-c").expect("is there");
    assert_eq!((queue.status().ready, queue.status().unacked), (0, 1));
}

// [MQTT-3.3.2-5], [MQTT-3.3.2-6]
#[tokio::test]
async fn a_message_expires_and_says_how_long_it_has_yet() {
    let server = Server::new();
    server.lasting("c").await.subscribe("a", QOS_1).await;
    let mut publisher = server.client("p").await;
    for (payload, seconds) in [(&b"short"[..], 1), (b"long", 100)] {
        let publish =
            Publish { message_expiry_s: Some(seconds), qos: QOS_1, packet_id: 1, ..Publish::new("a", payload) };
        publisher.send(&Packet::Publish(publish)).await;
        publisher.settle().await;
    }
    // Its time is the broker's clock's, which no test can turn.
    tokio::time::sleep(std::time::Duration::from_millis(1600)).await;
    let mut client = server.lasting("c").await;
    let received = client.next().await;
    let publish = received.publish();
    assert_eq!(publish.payload, b"long");
    let left = publish.message_expiry_s.expect("it says");
    assert!((90..=99).contains(&left), "{left}");
}

// [MQTT-3.1.2-26], [MQTT-3.1.2-27], [MQTT-3.3.2-11]
#[tokio::test]
async fn long_topics_get_aliases_as_far_as_the_client_takes_some() {
    let server = Server::new();
    let properties = ConnectProperties { topic_alias_max: Some(1), ..ConnectProperties::default() };
    let mut client = server.connect(&Connect { properties, ..hello("c") }).await;
    client.subscribe("#", QOS_0).await;
    let mut publisher = server.client("p").await;
    let (long, other) = ("a/topic/that/is/long", "another/topic/that/is/long");
    for (topic, expected, alias) in [(long, long, Some(1)), (other, other, None), (long, "", Some(1)), ("a", "a", None)]
    {
        publish(&mut publisher, topic, &[b"x"], QOS_0).await;
        let received = client.next().await;
        let publish = received.publish();
        assert_eq!((publish.topic, publish.topic_alias.map(NonZeroU16::get)), (expected, alias));
    }
}

// [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-18], [MQTT-3.3.2-20]
#[tokio::test]
async fn properties_of_the_application_go_through_unchanged_and_in_order() {
    let server = Server::new();
    let mut client = server.client("c").await;
    client.subscribe("one", QOS_1).await;
    client.subscribe("zero", QOS_0).await;
    let mut old_client = server.connect(&old("old", true)).await;
    old_client.subscribe("+", QOS_1).await;
    let mut application = Vec::new();
    for property in [
        Property::PayloadFormat(true),
        Property::User("b", "1"),
        Property::ResponseTopic("answers/here"),
        Property::CorrelationData(b"\0\x01"),
        Property::User("a", "2"),
        Property::ContentType("text/plain"),
        Property::User("b", "3"),
    ] {
        properties::put(&property, &mut application);
    }
    let mut publisher = server.client("p").await;
    for topic in ["one", "zero"] {
        let publish = Publish {
            application: (&application[..]).into(),
            qos: QOS_1,
            packet_id: 1,
            ..Publish::new(topic, b"body")
        };
        publisher.send(&Packet::Publish(publish)).await;
        assert_eq!(client.next().await.publish().application, application);
        let received = old_client.next().await;
        assert_eq!((received.publish().payload, received.publish().application.len()), (&b"body"[..], 0));
        publisher.settle().await;
    }
}

#[tokio::test]
async fn large_messages_go_through_whole() {
    let server = Server::new();
    let mut client = server.client("c").await;
    client.subscribe("one", QOS_1).await;
    client.subscribe("zero", QOS_0).await;
    let mut publisher = server.client("p").await;
    let large: Vec<u8> = (0..500_000_u32).map(|n| n as u8).collect();
    for topic in ["zero", "one"] {
        let sending = async {
            publisher.publish(topic, &large, QOS_1, 1).await;
            publisher.expect_ack(Kind::Ack, 1).await
        };
        let (_, received) = tokio::join!(sending, client.next());
        assert!(received.publish().payload == large);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_stalls_nobody_and_loses_only_qos_0() {
    let server = Server::new();
    let mut slow = server.client("slow").await;
    slow.subscribe("zero", QOS_0).await;
    slow.subscribe("one", QOS_1).await;
    let mut publisher = server.client("p").await;
    let body = vec![0; 64 * 1024];
    for n in 0..60_u16 {
        publisher.publish("zero", &body, QOS_0, 0).await;
        publisher.publish("one", &n.to_be_bytes(), QOS_1, n + 1).await;
        publisher.expect_ack(Kind::Ack, n + 1).await;
    }
    let (mut ones, mut zeros) = (Vec::new(), 0);
    while ones.len() < 60 {
        let received = slow.next().await;
        let publish = received.publish();
        match publish.topic {
            "one" => ones.push(u16::from_be_bytes([publish.payload[0], publish.payload[1]])),
            _ => zeros += 1,
        }
        if publish.qos == QOS_1 {
            let id = publish.packet_id;
            slow.ack(Packet::PubAck, id).await;
        }
    }
    assert_eq!(ones, (0..60).collect::<Vec<_>>());
    assert!(zeros > 0 && zeros < 60, "{zeros}");
}

#[tokio::test]
async fn a_deleted_queue_ends_the_connection_and_is_there_again_with_the_next() {
    let server = Server::new();
    let mut client = server.lasting("c").await;
    client.subscribe("a", QOS_1).await;
    server.vhost().delete_queue("mqtt-subscription-c", Default::default(), 0).await.expect("is deleted");
    assert_eq!(client.closed().await, Some(Reason::ADMINISTRATIVE_ACTION));
    let mut client = server.open();
    assert!(client.connect(&lasting("c")).await.present);
    client.publish("a", b"x", QOS_1, 1).await;
    let received = client.settle().await;
    assert!(received.iter().any(|received| matches!(received.packet(), Packet::Publish(_))));
}

#[tokio::test]
async fn messages_reach_queues_of_others_by_their_keys() {
    let server = Server::new();
    let vhost = server.vhost();
    vhost.declare_queue(QueueName::Given("q"), QueueOptions::default(), 0).await.expect("is declared");
    vhost.bind("amq.topic", (Of::Queue, "q"), b"a.*.c", &Table::new(), 0).await.expect("is bound");
    let mut client = server.client("c").await;
    client.publish("a/b/c", b"x", QOS_1, 1).await;
    assert_eq!(client.expect_ack(Kind::Ack, 1).await, Reason::SUCCESS);
    let (delivery, _) = vhost.queue("q", 0).expect("is there").fetch(0, false).expect("a message");
    let gantry_broker::Content::Loaded(message) = delivery.content else { panic!("is in memory") };
    assert_eq!(&message.address().routing_key[..], b"a.b.c");
    assert_eq!(
        message.properties().headers.as_ref().and_then(|h| h.get("x-mqtt-publish-qos")).and_then(|v| v.as_integer()),
        Some(1)
    );
    assert_eq!(client.version, Version::V5);
}
