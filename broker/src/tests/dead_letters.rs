//! Messages that fail in one queue and go on to others.

use std::time::Duration;

use super::*;
use crate::exchange::ExchangeKind;
use crate::{Kind, Lease};

/// A queue whose failed messages go to the default exchange under this key.
fn failing_to(key: &str) -> QueueOptions {
    failing_through("", Some(key))
}

fn failing_through(exchange: &str, key: Option<&str>) -> QueueOptions {
    let mut arguments = Table::new();
    arguments.push("x-dead-letter-exchange", exchange);
    if let Some(key) = key {
        arguments.push("x-dead-letter-routing-key", key);
    }
    QueueOptions { arguments, ..durable() }
}

fn take(queue: &Arc<Queue>) -> Lease {
    queue.fetch(0, true).unwrap().0.lease.unwrap()
}

fn reject(queue: &Arc<Queue>) {
    let lease = take(queue);
    queue.settle(&[lease], Outcome::Reject, &mut Wakes::new());
}

/// Waits until so many messages wait in a queue: letters are carried by a thread of their own.
async fn arrived(queue: &Arc<Queue>, ready: usize) {
    let all = async {
        while queue.status().ready != ready {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.unwrap();
}

#[tokio::test]
async fn what_is_rejected_goes_on_in_order_and_is_in_one_place() {
    for memory in [PLENTY, SCARCE] {
        let rig = Rig::new(memory);
        let (from, to) = (rig.queue("from", failing_to("to")).await, rig.queue("to", durable()).await);
        let bodies: Vec<String> = (0..600).map(|n| n.to_string()).collect();
        for body in &bodies {
            rig.publish("", "from", body).unwrap();
        }
        for _ in &bodies {
            reject(&from);
        }
        arrived(&to, bodies.len()).await;
        assert_eq!(rig.bodies(&to).await, bodies);
        assert_eq!(rig.stored(), bodies.len() as u64);
        let rig = rig.crash();
        let to = rig.vhost.queue("to", CLIENT).unwrap();
        assert_eq!(rig.bodies(&to).await, bodies);
        assert_eq!(rig.vhost.queue("from", CLIENT).unwrap().status().ready, 0);
    }
}

#[tokio::test]
async fn killed_before_it_is_on_disk_a_letter_is_where_it_was() {
    let rig = Rig::new(PLENTY);
    let (from, to) = (rig.queue("from", failing_to("to")).await, rig.queue("to", durable()).await);
    rig.publish("", "from", "letter").unwrap();
    rig.journal.hold();
    reject(&from);
    arrived(&to, 1).await;
    let rig = rig.crash();
    let at = |name| rig.vhost.queue(name, CLIENT).unwrap();
    assert_eq!(rig.bodies(&at("from")).await, ["letter"]);
    assert_eq!(at("to").status().ready, 0);
}

#[tokio::test]
async fn an_orderly_stop_carries_what_waits() {
    let rig = Rig::new(PLENTY);
    let from = rig.queue("from", failing_to("to")).await;
    rig.queue("to", durable()).await;
    rig.publish("", "from", "letter").unwrap();
    // No task of this runtime runs between these two.
    reject(&from);
    let rig = rig.restart();
    assert_eq!(rig.bodies(&rig.vhost.queue("to", CLIENT).unwrap()).await, ["letter"]);
    assert_eq!(rig.stored(), 1);
}

#[tokio::test]
async fn a_chain_of_queues_is_walked_to_its_end() {
    let rig = Rig::new(PLENTY);
    let last = rig.queue("last", durable()).await;
    for n in 0..200 {
        let next = if n == 199 { "last".to_owned() } else { format!("q{}", n + 1) };
        let mut options = failing_to(&next);
        options.arguments.push("x-message-ttl", 0_i64);
        rig.queue(&format!("q{n}"), options).await;
    }
    rig.publish("", "q0", "letter").unwrap();
    arrived(&last, 1).await;
    assert_eq!(rig.stored(), 1);
}

#[tokio::test]
async fn without_an_exchange_or_a_queue_it_ends_unless_it_must_not() {
    let rig = Rig::new(PLENTY);
    let lost = rig.queue("lost", failing_through("nowhere", None)).await;
    let mut options = failing_through("later", None);
    options.arguments.push("x-dead-letter-strategy", "at-least-once");
    let kept = rig.queue("kept", options).await;
    rig.publish("", "lost", "lost").unwrap();
    rig.publish("", "kept", "kept").unwrap();
    reject(&kept);
    reject(&lost);
    let all = async {
        while rig.stored() != 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.unwrap();
    assert!(rig.broker.shared().outbox.bytes() > 0, "what nobody takes counts");
    let found = rig.queue("found", durable()).await;
    let options = ExchangeOptions {
        kind: ExchangeKind::Fanout,
        durable: true,
        auto_delete: false,
        internal: true,
        arguments: Table::new(),
    };
    rig.exchange("later", options).await;
    rig.bind("later", (Kind::Queue, "found"), "").await;
    arrived(&found, 1).await;
    assert_eq!(rig.bodies(&found).await, ["kept"]);
    assert_eq!(rig.stored(), 1);
    let all = async {
        while rig.broker.shared().outbox.bytes() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.unwrap();
}

#[tokio::test]
async fn letters_that_wait_for_room_keep_their_order_and_leave_memory_where_it_is_scarce() {
    for memory in [PLENTY, SCARCE] {
        let rig = Rig::new(memory);
        let mut options = failing_to("to");
        options.arguments.push("x-dead-letter-strategy", "at-least-once");
        options.arguments.push("x-overflow", "reject-publish");
        let from = rig.queue("from", options).await;
        let mut options = QueueOptions { arguments: with(&[("x-max-length", 500)]), ..durable() };
        options.arguments.push("x-overflow", "reject-publish");
        let to = rig.queue("to", options).await;
        let bodies: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
        for body in &bodies {
            rig.publish("", "from", body).unwrap();
        }
        for _ in &bodies {
            reject(&from);
        }
        arrived(&to, 500).await;
        let mut items: Vec<Item> = (0..500).map(|_| Item::Delivery(to.fetch(0, false).unwrap().0)).collect();
        let mut got = rig.read(&mut items).await;
        arrived(&to, 500).await;
        got.extend(rig.bodies(&to).await);
        assert_eq!(got, bodies);
        assert_eq!(rig.stored(), 500);
    }
}

#[tokio::test]
async fn on_a_full_disk_letters_wait_in_order() {
    let rig = Rig::new(PLENTY);
    let (from, to) = (rig.queue("from", failing_to("to")).await, rig.queue("to", durable()).await);
    for body in ["1", "2", "3"] {
        rig.publish("", "from", body).unwrap();
    }
    rig.faults.set_full(true);
    reject(&from);
    reject(&from);
    tokio::task::yield_now().await;
    assert_eq!(rig.stored(), 3);
    rig.faults.set_full(false);
    reject(&from);
    arrived(&to, 3).await;
    assert_eq!(rig.bodies(&to).await, ["1", "2", "3"]);
    assert_eq!(rig.stored(), 3);
}

#[tokio::test]
async fn after_a_crash_a_letter_that_may_have_been_there_before_is_marked_all_the_way() {
    let rig = Rig::new(PLENTY);
    let mut expiring = failing_to("last");
    expiring.arguments.push("x-message-ttl", 0_i64);
    let from = rig.queue("from", failing_to("between")).await;
    rig.queue("between", expiring).await;
    let last = rig.queue("last", durable()).await;
    rig.publish("", "from", "known").unwrap();
    reject(&from);
    arrived(&last, 1).await;
    assert!(!last.fetch(0, false).unwrap().0.redelivered);
    rig.publish("", "from", "unknown").unwrap();
    // It is delivered where it gets to, and nothing of that reaches the disk.
    rig.journal.hold();
    reject(&from);
    arrived(&last, 1).await;
    assert!(!last.fetch(0, false).unwrap().0.redelivered);
    let rig = rig.crash();
    let (from, last) = (rig.vhost.queue("from", CLIENT).unwrap(), rig.vhost.queue("last", CLIENT).unwrap());
    reject(&from);
    arrived(&last, 1).await;
    assert!(last.fetch(0, false).unwrap().0.redelivered);
}

#[tokio::test]
async fn what_a_full_queue_refuses_goes_on_once_however_often_the_disk_was_asked() {
    let rig = Rig::new(PLENTY);
    let mut options = failing_to("to");
    options.arguments.push("x-max-length", 0_i64);
    options.arguments.push("x-overflow", "reject-publish-dlx");
    rig.queue("full", options).await;
    rig.queue("other", durable()).await;
    let to = rig.queue("to", durable()).await;
    for name in ["full", "other"] {
        rig.bind("amq.fanout", (Kind::Queue, name), "").await;
    }
    rig.faults.set_full(true);
    for _ in 0..3 {
        assert_eq!(rig.publish("amq.fanout", "", "once"), Err(Error::Full));
    }
    rig.faults.set_full(false);
    let published = rig.publish("amq.fanout", "", "once").unwrap();
    assert_eq!((published.routed, published.refused), (1, 1));
    // Letters are carried in order: this one would come behind copies of the other.
    rig.publish("", "full", "last").unwrap();
    let all = async {
        while rig.bodies(&to).await.last().is_none_or(|last| last != "last") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.unwrap();
    assert_eq!(rig.bodies(&to).await, ["once", "last"]);
}
