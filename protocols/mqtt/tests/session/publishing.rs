//! PUBLISH from clients: acknowledgements, exactly once, aliases, limits, rights, and retaining.

use std::num::NonZeroU16;

use gantry_broker::value::Table;
use gantry_broker::{Kind as Of, QueueName, QueueOptions};
use gantry_mqtt::Settings;
use gantry_mqtt::codec::packet::{Packet, Publish, QoS, Version};
use gantry_mqtt::codec::reason::Reason;
use gantry_storage::TableError;

use crate::client::{Kind, Server, old};

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;
const QOS_2: QoS = QoS::ExactlyOnce;

/// A durable queue that gets everything.
async fn catch_all(server: &Server, arguments: Table) {
    let options = QueueOptions { durable: true, arguments, ..QueueOptions::default() };
    let vhost = server.vhost();
    vhost.declare_queue(QueueName::Given("all"), options, 0).await.expect("is declared");
    vhost.bind("amq.topic", (Of::Queue, "all"), b"#", &Table::new(), 0).await.expect("is bound");
}

fn waiting(server: &Server) -> usize {
    server.vhost().queue("all", 0).expect("is there").status().ready
}

// [MQTT-4.3.2-4], [MQTT-3.3.4-1]
#[tokio::test]
async fn a_message_is_acknowledged_when_it_is_on_the_disk_and_not_before() {
    let server = Server::new();
    catch_all(&server, Table::new()).await;
    let mut client = server.client("c").await;
    server.journal.hold();
    client.publish("a", b"1", QOS_1, 1).await;
    client.publish("a", b"2", QOS_2, 2).await;
    client.publish("a", b"3", QOS_0, 0).await;
    assert!(client.settle().await.is_empty());
    assert_eq!(waiting(&server), 3);
    server.journal.release();
    // [MQTT-4.6.0-2], [MQTT-4.6.0-3]
    assert_eq!(client.expect_ack(Kind::Ack, 1).await, Reason::SUCCESS);
    assert_eq!(client.expect_ack(Kind::Rec, 2).await, Reason::SUCCESS);
    client.ack(Packet::PubRel, 2).await;
    assert_eq!(client.expect_ack(Kind::Comp, 2).await, Reason::SUCCESS);
}

// [MQTT-4.3.3-8], [MQTT-4.3.3-10], [MQTT-4.3.3-11], [MQTT-4.3.3-12]
#[tokio::test]
async fn a_message_of_qos_2_is_published_once_however_often_it_is_sent() {
    let server = Server::new();
    catch_all(&server, Table::new()).await;
    let mut client = server.lasting("c").await;
    for dup in [false, true, true] {
        let publish = Publish { qos: QOS_2, packet_id: 5, dup, ..Publish::new("a", b"once") };
        client.send(&Packet::Publish(publish)).await;
        client.expect_ack(Kind::Rec, 5).await;
    }
    assert_eq!(waiting(&server), 1);
    client.vanish().await;
    // The same after a crash, with the same session.
    let server = server.crash();
    let mut client = server.lasting("c").await;
    let publish = Publish { qos: QOS_2, packet_id: 5, dup: true, ..Publish::new("a", b"once") };
    client.send(&Packet::Publish(publish)).await;
    client.expect_ack(Kind::Rec, 5).await;
    assert_eq!(waiting(&server), 1);
    for reason in [Reason::SUCCESS, Reason::PACKET_IDENTIFIER_NOT_FOUND] {
        client.ack(Packet::PubRel, 5).await;
        assert_eq!(client.expect_ack(Kind::Comp, 5).await, reason);
    }
    client.vanish().await;
    // The id is free for something else, and stays so over a crash.
    let server = server.crash();
    let mut client = server.lasting("c").await;
    client.publish("a", b"another", QOS_2, 5).await;
    client.expect_ack(Kind::Rec, 5).await;
    assert_eq!(waiting(&server), 2);
}

#[tokio::test]
async fn pubcomp_waits_until_the_id_is_free_on_the_disk() {
    let server = Server::new();
    catch_all(&server, Table::new()).await;
    let mut client = server.lasting("c").await;
    client.publish("a", b"1", QOS_2, 5).await;
    client.expect_ack(Kind::Rec, 5).await;
    server.journal.hold();
    client.ack(Packet::PubRel, 5).await;
    assert!(client.settle().await.is_empty());
    server.journal.release();
    client.expect_ack(Kind::Comp, 5).await;
}

#[tokio::test]
async fn nobody_subscribes_is_told() {
    let server = Server::new();
    let mut client = server.client("c").await;
    client.publish("nobody", b"", QOS_1, 1).await;
    assert_eq!(client.expect_ack(Kind::Ack, 1).await, Reason::NO_MATCHING_SUBSCRIBERS);
    client.publish("nobody", b"", QOS_2, 2).await;
    assert_eq!(client.expect_ack(Kind::Rec, 2).await, Reason::NO_MATCHING_SUBSCRIBERS);
    client.ack(Packet::PubRel, 2).await;
    assert_eq!(client.expect_ack(Kind::Comp, 2).await, Reason::SUCCESS);
    let mut client = server.connect(&old("d", true)).await;
    client.publish("nobody", b"", QOS_1, 1).await;
    assert_eq!(client.expect_ack(Kind::Ack, 1).await, Reason::SUCCESS);
}

#[tokio::test]
async fn what_a_full_queue_refuses_is_not_acknowledged_as_taken() {
    let server = Server::new();
    let mut arguments = Table::new();
    arguments.push("x-max-length", 1_i64);
    arguments.push("x-overflow", "reject-publish");
    catch_all(&server, arguments).await;
    let mut client = server.lasting("c").await;
    client.publish("a", b"1", QOS_1, 1).await;
    assert_eq!(client.expect_ack(Kind::Ack, 1).await, Reason::SUCCESS);
    client.publish("a", b"2", QOS_1, 2).await;
    assert_eq!(client.expect_ack(Kind::Ack, 2).await, Reason::QUOTA_EXCEEDED);
    client.publish("a", b"3", QOS_2, 3).await;
    assert_eq!(client.expect_ack(Kind::Rec, 3).await, Reason::QUOTA_EXCEEDED);
    // [MQTT-4.3.3-9]: the conversation is over, and the id is free.
    server.vhost().queue("all", 0).expect("is there").purge();
    client.publish("a", b"4", QOS_2, 3).await;
    assert_eq!(client.expect_ack(Kind::Rec, 3).await, Reason::SUCCESS);
    assert_eq!(waiting(&server), 1);
    let mut client = server.connect(&old("d", true)).await;
    client.publish("a", b"5", QOS_1, 1).await;
    client.publish("a", b"6", QOS_2, 2).await;
    assert!(client.settle().await.is_empty());
}

// [MQTT-3.3.4-7], [MQTT-3.3.4-8]
#[tokio::test]
async fn more_publishes_than_the_receive_maximum_end_the_connection() {
    let server = Server::with(Settings { receive_max: NonZeroU16::new(2).expect("not 0"), ..Settings::default() });
    catch_all(&server, Table::new()).await;
    let mut client = server.client("c").await;
    for round in 0..3 {
        for id in [1, 2] {
            client.publish("a", b"", QOS_2, id).await;
            client.expect_ack(Kind::Rec, id).await;
        }
        for id in [1, 2] {
            client.ack(Packet::PubRel, id).await;
            client.expect_ack(Kind::Comp, id).await;
        }
        client.publish("a", b"", QOS_1, 3).await;
        client.expect_ack(Kind::Ack, 3).await;
        assert!(round < 3);
    }
    for id in [1, 2, 3] {
        client.publish("a", b"", QOS_2, id).await;
    }
    assert_eq!(client.closed().await, Some(Reason::RECEIVE_MAXIMUM_EXCEEDED));
}

// [MQTT-3.3.2-7], [MQTT-3.3.2-9], [MQTT-3.3.2-12], [MQTT-3.2.2-17]
#[tokio::test]
async fn aliases_stand_for_topics_in_one_connection() {
    let server = Server::new();
    let mut watcher = server.client("watcher").await;
    watcher.subscribe("#", QOS_0).await;
    let mut client = server.client("c").await;
    let by =
        |topic, alias| Packet::Publish(Publish { topic_alias: NonZeroU16::new(alias), ..Publish::new(topic, b"x") });
    for (topic, alias, expected) in
        [("first", 1, "first"), ("", 1, "first"), ("last", 16, "last"), ("second", 1, "second"), ("", 1, "second")]
    {
        client.send(&by(topic, alias)).await;
        assert_eq!(watcher.next().await.publish().topic, expected);
    }
    client.send(&by("", 2)).await;
    assert_eq!(client.closed().await, Some(Reason::PROTOCOL_ERROR));
    let mut client = server.client("c").await;
    client.send(&by("", 1)).await;
    assert_eq!(client.closed().await, Some(Reason::PROTOCOL_ERROR));
    let mut client = server.client("c").await;
    client.send(&by("topic", 17)).await;
    assert_eq!(client.closed().await, Some(Reason::TOPIC_ALIAS_INVALID));
}

// [MQTT-3.3.5-2] of 3.1.1
#[tokio::test]
async fn what_may_not_be_published_is_refused() {
    let server = Server::new();
    server.permit(".*", "^$", ".*").await;
    let mut client = server.client("c").await;
    client.publish("a", b"", QOS_1, 1).await;
    assert_eq!(client.expect_ack(Kind::Ack, 1).await, Reason::NOT_AUTHORIZED);
    client.publish("a", b"", QOS_2, 2).await;
    assert_eq!(client.expect_ack(Kind::Rec, 2).await, Reason::NOT_AUTHORIZED);
    client.publish("a", b"", QOS_0, 0).await;
    assert_eq!(client.closed().await, Some(Reason::NOT_AUTHORIZED));
    let mut client = server.connect(&old("d", true)).await;
    client.publish("a", b"", QOS_1, 1).await;
    assert_eq!(client.closed().await, None);
}

#[tokio::test]
async fn whoever_traces_gets_a_copy_of_each_publish_and_not_of_what_is_sent_again() {
    let server = Server::new();
    let vhost = server.vhost();
    vhost.declare_queue(QueueName::Given("all"), QueueOptions::default(), 0).await.expect("is declared");
    let bound = vhost.bind("amq.rabbitmq.trace", (Of::Queue, "all"), b"publish.#", &Table::new(), 0).await;
    bound.expect("is bound");
    let mut client = server.client("c").await;
    client.publish("before", b"", QOS_2, 9).await;
    client.expect_ack(Kind::Rec, 9).await;
    vhost.set_tracing(true).await.expect("is set");
    for (qos, id, kind) in [(QOS_0, 0, None), (QOS_1, 1, Some(Kind::Ack)), (QOS_2, 2, Some(Kind::Rec))] {
        client.publish("t", b"", qos, id).await;
        if let Some(kind) = kind {
            client.expect_ack(kind, id).await;
        }
    }
    client.publish("t", b"", QOS_2, 2).await;
    client.expect_ack(Kind::Rec, 2).await;
    assert_eq!(waiting(&server), 3);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_waits_while_the_disk_is_full() {
    let server = Server::new();
    catch_all(&server, Table::new()).await;
    let mut client = server.client("c").await;
    server.faults.set_full(true);
    client.publish("a", b"1", QOS_1, 1).await;
    client.publish("a", b"2", QOS_2, 2).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(waiting(&server), 0);
    server.faults.set_full(false);
    client.expect_ack(Kind::Ack, 1).await;
    client.expect_ack(Kind::Rec, 2).await;
    assert_eq!(waiting(&server), 2);
}

#[tokio::test(start_paused = true)]
async fn so_does_one_of_retained_messages() {
    for (qos, kind) in [(QOS_1, Kind::Ack), (QOS_2, Kind::Rec)] {
        let server = Server::new();
        let mut client = server.client("c").await;
        server.table.fail_commit(1, TableError::Full);
        let publish = Publish { retain: true, qos, packet_id: 1, ..Publish::new("kept", b"all the same") };
        client.send(&Packet::Publish(publish)).await;
        client.publish("behind", b"it", QOS_1, 2).await;
        // It is tried again every 100 ms.
        assert!(tokio::time::timeout(std::time::Duration::from_millis(50), client.read()).await.is_err());
        client.expect_ack(kind, 1).await;
        client.expect_ack(Kind::Ack, 2).await;
        assert_eq!(server.crash().vhost().retained_count(), 1);
    }
}

// [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-7], [MQTT-3.3.1-8], [MQTT-3.3.1-9]
#[tokio::test]
async fn the_last_retained_message_of_a_topic_is_kept_and_an_empty_one_takes_it_away() {
    let server = Server::new();
    let mut client = server.client("c").await;
    for (payload, id) in [(&b"first"[..], 1), (b"last", 2)] {
        let publish = Publish { retain: true, qos: QOS_1, packet_id: id, ..Publish::new("kept", payload) };
        client.send(&Packet::Publish(publish)).await;
        client.expect_ack(Kind::Ack, id).await;
    }
    client.publish("kept", b"not retained", QOS_1, 3).await;
    client.expect_ack(Kind::Ack, 3).await;
    let server = server.crash();
    for version in [Version::V5, Version::V311] {
        let mut late = server.client("late").await;
        late.version = version;
        if version == Version::V311 {
            late = server.connect(&old("late", true)).await;
        }
        late.subscribe("+", QOS_1).await;
        let received = late.next().await;
        let publish = received.publish();
        assert_eq!((publish.topic, publish.payload, publish.retain), ("kept", &b"last"[..], true));
        assert_eq!(publish.qos, QOS_1);
    }
    let mut client = server.client("c").await;
    let clear = Publish { retain: true, qos: QOS_1, packet_id: 4, ..Publish::new("kept", b"") };
    client.send(&Packet::Publish(clear)).await;
    client.expect_ack(Kind::Ack, 4).await;
    let mut late = server.client("late").await;
    late.subscribe("+", QOS_1).await;
    assert!(late.settle().await.is_empty());
    assert_eq!(server.vhost().retained_count(), 0);
}
