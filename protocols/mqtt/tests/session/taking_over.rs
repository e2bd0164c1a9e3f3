//! One client by several connections (3.1.4).

use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_mqtt::codec::packet::{Packet, QoS};
use gantry_mqtt::codec::reason::Reason;

use crate::client::{Server, hello, lasting};

// [MQTT-3.1.4-3], [MQTT-4.4.0-1], [MQTT-4.6.0-1]
#[tokio::test]
async fn what_the_older_connection_had_comes_to_the_new_one_in_order_with_its_packet_ids() {
    let server = Server::new();
    let mut old = server.lasting("c").await;
    old.subscribe("a", QoS::ExactlyOnce).await;
    let mut publisher = server.client("p").await;
    for n in 1..=20u8 {
        publisher.publish("a", &[n], QoS::AtLeastOnce, u16::from(n)).await;
    }
    publisher.settle().await;
    let mut ids = Vec::new();
    for n in 1..=20u8 {
        let received = old.next().await;
        assert_eq!(received.publish().payload, [n]);
        ids.push(received.publish().packet_id);
    }
    let mut new = server.lasting("c").await;
    assert_eq!(old.closed().await, Some(Reason::SESSION_TAKEN_OVER));
    for (n, id) in (1..=20u8).zip(ids) {
        let received = new.next().await;
        let publish = received.publish();
        assert_eq!((publish.payload, publish.packet_id, publish.dup), (&[n][..], id, true));
    }
    assert!(new.settle().await.is_empty());
}

// [MQTT-3.1.4-3]: whoever does not read keeps nobody out.
#[tokio::test]
async fn a_connection_that_does_not_read_is_no_hindrance() {
    let server = Server::new();
    let mut stuck = server.lasting("c").await;
    stuck.subscribe("a", QoS::AtLeastOnce).await;
    let mut publisher = server.client("p").await;
    let payload = vec![b'x'; 100_000];
    for n in 1..=30 {
        publisher.publish("a", &payload, QoS::AtLeastOnce, n).await;
    }
    publisher.settle().await;
    let began = Instant::now();
    let mut new = server.lasting("c").await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(new.next().await.publish().payload.len(), 100_000);
    drop(stuck);
}

// [MQTT-3.1.4-3], with quick reconnects that meet each other half-way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_connections_at_once_exactly_one_stays_and_it_works() {
    let server = Arc::new(Server::new());
    let mut tasks = Vec::new();
    for n in 0..60 {
        let server = Arc::clone(&server);
        tasks.push(tokio::spawn(async move {
            let mut client = server.open();
            let connect = if n % 2 == 0 { hello("c") } else { lasting("c") };
            client.send(&Packet::Connect(Box::new(connect))).await;
            // CONNACK, or nothing where a later one has come already.
            let Some(_) = client.read().await else { return };
            client.send(&Packet::PingReq).await;
            let said = client.closed().await;
            assert!(said.is_none() || said == Some(Reason::SESSION_TAKEN_OVER), "{said:?}");
        }));
    }
    let begun = Instant::now();
    while tasks.iter().filter(|task| !task.is_finished()).count() > 1 {
        assert!(begun.elapsed() < Duration::from_secs(20), "more than one has the session");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut last = server.client("c").await;
    last.subscribe("a", QoS::AtLeastOnce).await;
    let mut publisher = server.client("p").await;
    publisher.publish("a", b"x", QoS::AtMostOnce, 0).await;
    assert_eq!(last.next().await.publish().payload, b"x");
    for task in tasks {
        task.await.expect("it does not panic");
    }
    assert_eq!(server.stats.clients.load(std::sync::atomic::Ordering::Relaxed), 2);
}
