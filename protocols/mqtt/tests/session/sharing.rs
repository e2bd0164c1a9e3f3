//! Shared subscriptions: what becomes of a delivery that was begun to a member whose connection is lost.

use std::num::NonZeroU16;

use gantry_mqtt::codec::packet::{Connect, ConnectProperties, Disconnect, Packet, QoS};
use gantry_mqtt::codec::reason::Reason;

use crate::client::{Client, Kind, Server, hello, lasting};

const QOS_1: QoS = QoS::AtLeastOnce;
const QOS_2: QoS = QoS::ExactlyOnce;

/// A member with QoS 2 whose session stays, and that has been sent these payloads; with their packet ids.
async fn begun(server: &Server, payloads: &[&[u8]]) -> (Client, Vec<u16>) {
    let mut member = server.lasting("one").await;
    member.subscribe("$share/g/a", QOS_2).await;
    let mut ids = Vec::new();
    for payload in payloads {
        publish(server, payload, QOS_2).await;
        let received = member.next().await;
        let publish = received.publish();
        assert_eq!((publish.payload, publish.qos, publish.dup), (*payload, QOS_2, false));
        ids.push(publish.packet_id);
    }
    (member, ids)
}

async fn publish(server: &Server, payload: &[u8], qos: QoS) {
    let mut publisher = server.client("p").await;
    publisher.publish("a", payload, qos, 1).await;
    publisher.expect_ack(if qos == QOS_1 { Kind::Ack } else { Kind::Rec }, 1).await;
    publisher.leave().await;
}

async fn other(server: &Server) -> Client {
    let mut other = server.client("two").await;
    other.subscribe("$share/g/a", QOS_2).await;
    other
}

/// PUBREC, PUBREL, PUBCOMP.
async fn complete(client: &mut Client, id: u16) {
    client.ack(Packet::PubRec, id).await;
    assert_eq!(client.expect_ack(Kind::Rel, id).await, Reason::SUCCESS);
    client.ack(Packet::PubComp, id).await;
}

// [MQTT-4.8.2-4]
#[tokio::test]
async fn what_was_begun_with_qos_2_waits_for_its_member_and_goes_to_nobody_else() {
    let server = Server::new();
    let (mut member, ids) = begun(&server, &[b"1", b"2"]).await;
    publish(&server, b"quality 1", QOS_1).await;
    assert_eq!(member.next().await.publish().qos, QOS_1);
    let mut other = other(&server).await;
    for _ in 0..3 {
        member.vanish().await;
        for received in other.settle().await {
            let publish = received.publish();
            assert_eq!((publish.payload, publish.dup), (&b"quality 1"[..], true), "only that of QoS 1 goes on");
            let id = publish.packet_id;
            other.ack(Packet::PubAck, id).await;
        }
        member = server.lasting("one").await;
        for (payload, id) in [b"1", b"2"].into_iter().zip(&ids) {
            let received = member.next().await;
            let publish = received.publish();
            assert_eq!((publish.payload, publish.packet_id, publish.qos), (&payload[..], *id, QOS_2));
            assert!(publish.dup);
        }
    }
    complete(&mut member, ids[1]).await;
    complete(&mut member, ids[0]).await;
    assert!(member.settle().await.is_empty());
    member.vanish().await;
    assert!(server.lasting("one").await.settle().await.is_empty(), "it is done");
    assert!(other.settle().await.is_empty());
}

// [MQTT-4.8.2-4]
#[tokio::test]
async fn what_a_member_has_received_is_led_to_its_end_also_after_a_crash() {
    let mut server = Server::new();
    let (mut member, ids) = begun(&server, &[b"x"]).await;
    let mut other = other(&server).await;
    member.ack(Packet::PubRec, ids[0]).await;
    assert_eq!(member.expect_ack(Kind::Rel, ids[0]).await, Reason::SUCCESS);
    member.vanish().await;
    assert!(other.settle().await.is_empty());
    other.vanish().await;
    for _ in 0..2 {
        let mut member = server.lasting("one").await;
        assert_eq!(member.expect_ack(Kind::Rel, ids[0]).await, Reason::SUCCESS);
        assert!(member.settle().await.is_empty(), "PUBLISH does not come again");
        member.vanish().await;
        server = server.crash();
    }
    let mut member = server.lasting("one").await;
    member.expect_ack(Kind::Rel, ids[0]).await;
    member.ack(Packet::PubComp, ids[0]).await;
    member.settle().await;
    member.vanish().await;
    assert!(server.lasting("one").await.settle().await.is_empty());
}

#[tokio::test]
async fn what_was_begun_goes_to_another_member_once_its_own_cannot_come_back() {
    for how in ["clean start", "no expiry", "unsubscribed"] {
        let server = Server::new();
        let (mut member, _) = begun(&server, &[b"x"]).await;
        let mut other = other(&server).await;
        match how {
            "clean start" => {
                member.vanish().await;
                assert!(other.settle().await.is_empty());
                member = server.client("one").await;
                assert!(member.settle().await.is_empty());
            }
            "no expiry" => {
                let disconnect =
                    Disconnect { session_expiry_s: Some(0), ..Disconnect::new(Reason::NORMAL_DISCONNECTION) };
                member.send(&Packet::Disconnect(disconnect)).await;
                assert_eq!(member.closed().await, None);
            }
            _ => {
                member.unsubscribe("$share/g/a").await;
                assert!(other.settle().await.is_empty(), "its member may still complete it (3.10.4-3)");
                member.vanish().await;
            }
        }
        let received = other.next().await;
        assert_eq!((received.publish().payload, received.publish().dup), (&b"x"[..], true), "{how}");
        complete(&mut other, received.publish().packet_id).await;
        let mut member = server.lasting("one").await;
        assert!(member.settle().await.is_empty(), "{how}");
    }
}

// [MQTT-3.3.4-9]
#[tokio::test]
async fn a_member_that_takes_less_when_it_is_back_gets_what_was_begun_bit_by_bit() {
    let server = Server::new();
    let (member, ids) = begun(&server, &[b"1", b"2", b"3"]).await;
    member.vanish().await;
    publish(&server, b"4", QOS_2).await;
    let properties = ConnectProperties { receive_max: NonZeroU16::new(2), ..lasting("one").properties };
    let less = Connect { properties, ..hello("one") };
    let mut member = server.connect(&Connect { clean_start: false, ..less }).await;
    let mut got = Vec::new();
    let mut under_way: Vec<(u16, u8)> = Vec::new();
    while got.len() < 4 {
        under_way.extend(
            member.settle().await.iter().map(|received| (received.publish().packet_id, received.publish().payload[0])),
        );
        assert_eq!(under_way.len(), 2.min(4 - got.len()), "{got:?}");
        let (id, payload) = under_way.remove(0);
        complete(&mut member, id).await;
        got.push((id, payload));
    }
    assert_eq!(got.iter().map(|(_, payload)| *payload).collect::<Vec<_>>(), *b"1234");
    assert_eq!(got.iter().map(|(id, _)| *id).take(3).collect::<Vec<_>>(), ids);
    assert!(!ids.contains(&got[3].0));
}

/// What the process knew of the begun deliveries goes with it: they are not lost, and may go to another member.
#[tokio::test]
async fn after_a_crash_what_was_begun_is_in_the_queue() {
    let server = Server::new();
    let (member, ids) = begun(&server, &[b"x"]).await;
    member.vanish().await;
    let server = server.crash();
    let mut member = server.lasting("one").await;
    let received = member.next().await;
    assert_eq!((received.publish().payload, received.publish().packet_id), (&b"x"[..], ids[0]));
    assert!(received.publish().dup);
    member.vanish().await;
    let server = server.crash();
    let mut other = other(&server).await;
    assert_eq!(other.next().await.publish().payload, b"x");
}

/// Or another message could have its packet id after a crash, and the member would take that for the one that it has.
#[tokio::test]
async fn a_member_that_stays_is_sent_with_qos_2_what_is_on_stable_storage() {
    let server = Server::new();
    let mut member = server.lasting("one").await;
    member.subscribe("$share/g/a", QOS_2).await;
    let mut publisher = server.client("p").await;
    server.journal.hold();
    publisher.publish("a", b"x", QOS_2, 1).await;
    assert!(publisher.settle().await.is_empty());
    assert!(member.settle().await.is_empty());
    server.journal.release();
    assert_eq!(member.next().await.publish().payload, b"x");
    publisher.expect_ack(Kind::Rec, 1).await;
}
