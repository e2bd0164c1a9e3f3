//! SUBSCRIBE, UNSUBSCRIBE, and what comes by which subscription.

use gantry_mqtt::codec::packet::{Packet, Publish, QoS, RetainHandling, SubscribeOptions};
use gantry_mqtt::codec::reason::Reason;

use crate::client::{Kind, Server, lasting, old};

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;
const QOS_2: QoS = QoS::ExactlyOnce;

const fn options(qos: QoS) -> SubscribeOptions {
    SubscribeOptions { qos, no_local: false, retain_as_published: false, retain_handling: RetainHandling::Send }
}

// [MQTT-3.8.4-1], [MQTT-3.8.4-2], [MQTT-3.8.4-5], [MQTT-3.8.4-6], [MQTT-3.8.4-7], [MQTT-3.9.3-1]
#[tokio::test]
async fn each_filter_has_its_answer() {
    let server = Server::new();
    let mut client = server.client("c").await;
    let filters = [
        ("a", options(QOS_0)),
        ("b/+", options(QOS_1)),
        ("c/#", options(QOS_2)),
        ("d#", options(QOS_1)),
        ("$share/g/e", options(QOS_1)),
    ];
    let reasons = client.subscribe_with(&filters, Some(9)).await;
    assert_eq!(reasons, [Reason(0), Reason(1), Reason(2), Reason::TOPIC_FILTER_INVALID, Reason(1)]);
    let mut client = server.connect(&old("d", true)).await;
    assert_eq!(client.subscribe_with(&filters[2..4], None).await, [Reason(2), Reason(0x80)]);
}

#[tokio::test]
async fn what_may_not_be_read_is_refused() {
    let server = Server::new();
    server.permit(".*", ".*", "^$").await;
    let mut client = server.client("c").await;
    assert_eq!(client.subscribe_with(&[("a", options(QOS_1))], None).await, [Reason::NOT_AUTHORIZED]);
    let mut client = server.connect(&old("d", true)).await;
    assert_eq!(client.subscribe_with(&[("a", options(QOS_0))], None).await, [Reason(0x80)]);
}

// [MQTT-3.3.4-2], [MQTT-3.3.4-3], [MQTT-3.3.4-4], [MQTT-3.8.4-8]
#[tokio::test]
async fn overlapping_subscriptions_get_a_message_once_with_all_their_identifiers() {
    let server = Server::new();
    let mut client = server.client("c").await;
    client.subscribe_with(&[("a/#", options(QOS_0))], Some(1)).await;
    client.subscribe_with(&[("a/+", options(QOS_2))], Some(2)).await;
    client.subscribe_with(&[("+/b", options(QOS_1))], Some(3)).await;
    client.subscribe_with(&[("x/y", options(QOS_1))], Some(4)).await;
    let mut publisher = server.client("p").await;
    for (qos, id) in [(QOS_0, 0), (QOS_1, 1), (QOS_2, 2)] {
        publisher.publish("a/b", b"x", qos, id).await;
        let received = client.next().await;
        let publish = received.publish();
        assert_eq!((publish.qos, &publish.subscription_ids[..]), (qos, &[1, 2, 3][..]));
    }
    publisher.publish("a/b/c", b"x", QOS_1, 3).await;
    let received = client.next().await;
    // [MQTT-3.8.4-8]
    assert_eq!((received.publish().qos, &received.publish().subscription_ids[..]), (QOS_0, &[1][..]));
    assert!(client.settle().await.is_empty());
}

// [MQTT-3.8.3-3]
#[tokio::test]
async fn no_local_keeps_what_the_client_publishes_away_from_it_whichever_way_it_comes() {
    let server = Server::new();
    let mut client = server.client("c").await;
    let local = |qos| SubscribeOptions { no_local: true, ..options(qos) };
    client.subscribe_with(&[("zero", local(QOS_0)), ("one", local(QOS_1)), ("both", local(QOS_1))], Some(1)).await;
    client.subscribe_with(&[("+", options(QOS_0)), ("one", local(QOS_1))], Some(2)).await;
    client.publish("both", b"own", QOS_1, 1).await;
    let received = loop {
        let received = client.next().await;
        if matches!(received.packet(), Packet::Publish(_)) {
            break received;
        }
    };
    // By the one that wants it, and once.
    assert_eq!((received.publish().qos, &received.publish().subscription_ids[..]), (QOS_0, &[2][..]));
    client.unsubscribe("+").await;
    for (topic, id) in [("zero", 2), ("one", 3), ("both", 4)] {
        client.publish(topic, b"own", QOS_1, id).await;
    }
    assert!(client.settle().await.iter().all(|received| matches!(received.packet(), Packet::PubAck(_))));
    let mut other = server.client("d").await;
    other.publish("one", b"foreign", QOS_1, 1).await;
    assert_eq!(client.next().await.publish().payload, b"foreign");
    let shared = client.subscribe_with(&[("x", local(QOS_1))], None).await;
    assert_eq!(shared, [Reason(1)]);
}

// [MQTT-3.3.1-12], [MQTT-3.3.1-13]
#[tokio::test]
async fn the_retain_flag_is_kept_for_those_who_ask_for_it() {
    let server = Server::new();
    let mut publisher = server.client("p").await;
    for qos in [QOS_0, QOS_1] {
        let (mut plain, mut kept) = (server.client("plain").await, server.client("kept").await);
        plain.subscribe("a", qos).await;
        kept.subscribe_with(&[("a", SubscribeOptions { retain_as_published: true, ..options(qos) })], None).await;
        plain.settle().await;
        kept.settle().await;
        publisher
            .send(&Packet::Publish(Publish { retain: true, qos, packet_id: qos as u16, ..Publish::new("a", b"r") }))
            .await;
        assert!(!plain.next().await.publish().retain);
        assert!(kept.next().await.publish().retain);
        publisher.settle().await;
    }
}

// [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11], [MQTT-3.8.4-4]
#[tokio::test]
async fn retained_messages_are_sent_as_the_subscription_says() {
    let server = Server::new();
    let mut publisher = server.client("p").await;
    publisher.send(&Packet::Publish(Publish { retain: true, ..Publish::new("a", b"r") })).await;
    publisher.settle().await;
    let mut client = server.client("c").await;
    let handling = |retain_handling| SubscribeOptions { retain_handling, ..options(QOS_1) };
    for (how, expected) in [
        (RetainHandling::DoNotSend, 0),
        (RetainHandling::SendIfNew, 0),
        (RetainHandling::Send, 1),
        (RetainHandling::Send, 1),
        (RetainHandling::SendIfNew, 0),
    ] {
        client.subscribe_with(&[("a", handling(how))], None).await;
        assert_eq!(client.settle().await.len(), expected, "{how:?}");
    }
    client.unsubscribe("a").await;
    client.subscribe_with(&[("a", handling(RetainHandling::SendIfNew))], None).await;
    assert_eq!(client.settle().await.len(), 1);
}

// [MQTT-3.10.4-1], [MQTT-3.10.4-2], [MQTT-3.10.4-4], [MQTT-3.10.4-5], [MQTT-3.11.3-1]
#[tokio::test]
async fn who_has_unsubscribed_gets_nothing_more() {
    let server = Server::new();
    let mut client = server.client("c").await;
    let mut publisher = server.client("p").await;
    for qos in [QOS_0, QOS_1, QOS_2] {
        client.subscribe("a", qos).await;
        assert_eq!(client.unsubscribe("a").await, [Reason::SUCCESS]);
        assert_eq!(client.unsubscribe("a").await, [Reason::NO_SUBSCRIPTION_EXISTED]);
        publisher.publish("a", b"x", QOS_1, 1).await;
        assert_eq!(publisher.expect_ack(Kind::Ack, 1).await, Reason::NO_MATCHING_SUBSCRIBERS);
    }
    assert!(client.settle().await.is_empty());
}

// [MQTT-3.8.4-3]: a subscription is replaced, and nothing is lost on the way from one QoS to the other.
#[tokio::test]
async fn a_subscription_may_change_its_qos() {
    let server = Server::new();
    let mut client = server.lasting("c").await;
    let mut publisher = server.client("p").await;
    for (round, qos) in [QOS_0, QOS_2, QOS_1, QOS_0, QOS_1].into_iter().enumerate() {
        client.subscribe("a", qos).await;
        publisher.publish("a", &[round as u8], QOS_2, 1).await;
        let received = client.next().await;
        assert_eq!((received.publish().payload, received.publish().qos), (&[round as u8][..], qos));
        publisher.expect_ack(Kind::Rec, 1).await;
        publisher.ack(Packet::PubRel, 1).await;
        publisher.expect_ack(Kind::Comp, 1).await;
        let id = received.publish().packet_id;
        match qos {
            QOS_1 => client.ack(Packet::PubAck, id).await,
            QOS_2 => {
                client.ack(Packet::PubRec, id).await;
                client.expect_ack(Kind::Rel, id).await;
                client.ack(Packet::PubComp, id).await;
            }
            _ => {}
        }
        assert!(client.settle().await.is_empty());
    }
}

// [MQTT-4.7.2-1]
#[tokio::test]
async fn topics_with_a_dollar_match_no_wildcard_at_the_beginning() {
    let server = Server::new();
    let mut client = server.client("c").await;
    client.subscribe_with(&[("#", options(QOS_0)), ("+/a", options(QOS_1)), ("$own/#", options(QOS_0))], None).await;
    let mut publisher = server.client("p").await;
    publisher.publish("$other/a", b"x", QOS_1, 1).await;
    publisher.publish("$own/a", b"y", QOS_1, 2).await;
    assert_eq!(client.next().await.publish().payload, b"y");
    assert!(client.settle().await.is_empty());
}

// [MQTT-4.8.2-3]
#[tokio::test]
async fn a_shared_subscription_has_each_message_go_to_one_of_its_members() {
    let server = Server::new();
    let mut members = [server.client("one").await, server.client("two").await];
    for (n, member) in members.iter_mut().enumerate() {
        member.subscribe_with(&[("$share/group/a/+", options(QOS_1))], Some(n as u32 + 1)).await;
    }
    let mut publisher = server.client("p").await;
    for n in 0..20_u8 {
        publisher.publish("a/b", &[n], QOS_1, u16::from(n) + 1).await;
    }
    publisher.settle().await;
    let mut got = Vec::new();
    for (n, member) in members.iter_mut().enumerate() {
        let received = member.settle().await;
        assert_eq!(received.len(), 10);
        for received in &received {
            let publish = received.publish();
            // [MQTT-3.3.4-3]
            assert_eq!((&publish.subscription_ids[..], publish.qos), (&[n as u32 + 1][..], QOS_1));
            assert!(publish.packet_id > 32_767);
            got.push(publish.payload[0]);
        }
    }
    got.sort_unstable();
    assert_eq!(got, (0..20).collect::<Vec<_>>());
    // What one has not acknowledged goes to another when it is lost.
    let [one, mut two] = members;
    one.vanish().await;
    let again = two.settle().await;
    assert_eq!(again.len(), 10);
    assert!(again.iter().all(|received| received.publish().dup));
}

// [MQTT-3.1.2-5], [MQTT-3.1.2-23], [MQTT-4.5.0-1]
#[tokio::test]
async fn subscriptions_outlive_the_process_with_their_options() {
    let server = Server::new();
    let mut client = server.lasting("c").await;
    client.subscribe_with(&[("a/#", options(QOS_1)), ("b", options(QOS_0))], Some(77)).await;
    client.vanish().await;
    let server = server.crash();
    let mut publisher = server.client("p").await;
    publisher.publish("a/b", b"while away", QOS_1, 1).await;
    publisher.expect_ack(Kind::Ack, 1).await;
    let mut client = server.open();
    assert!(client.connect(&lasting("c")).await.present);
    let received = client.next().await;
    assert_eq!((received.publish().payload, &received.publish().subscription_ids[..]), (&b"while away"[..], &[77][..]));
    client.settle().await;
    publisher.publish("b", b"direct", QOS_1, 2).await;
    let received = client.next().await;
    assert_eq!((received.publish().payload, received.publish().qos), (&b"direct"[..], QOS_0));
}
