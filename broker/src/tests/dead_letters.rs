//! Messages that fail in one queue and go on to others.

use std::time::Duration;

use super::*;
use crate::exchange::ExchangeKind;
use crate::rights::Pattern;
use crate::vhost::{Parcel, Reached};
use crate::{ApplyTo, DeleteQueue, Kind, Lease, Policy, PolicyKind};

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

/// A queue that takes nothing and sends all of it on, with these further arguments.
fn full(mut options: QueueOptions, arguments: &[(&str, &str)]) -> QueueOptions {
    options.arguments.push("x-max-length", 0_i64);
    options.arguments.push("x-overflow", "reject-publish-dlx");
    for (name, value) in arguments {
        options.arguments.push(*name, *value);
    }
    options
}

fn fanout() -> ExchangeOptions {
    let (kind, arguments) = (ExchangeKind::Fanout, Table::new());
    ExchangeOptions { kind, durable: true, auto_delete: false, internal: true, arguments }
}

/// Waits until the journal keeps so many references and no letter is on its way.
async fn settled(rig: &Rig, stored: u64) {
    let all = async {
        while rig.stored() != stored || rig.broker.shared().outbox.bytes() > 0 {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), all).await;
    assert!(waited.is_ok(), "{} of {stored} references", rig.stored());
}

/// Rejects the first message, and waits until the record that carries it on is written: that a queue has refused it is known
/// before, and a crash in between leaves it where it was.
async fn reject_and_carry(rig: &Rig, from: &Arc<Queue>) {
    let before = rig.broker.appended();
    reject(from);
    let carried = async {
        while rig.broker.appended() == before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), carried).await.unwrap();
}

/// Takes the first message of a queue and carries it to others, as the outbox does. What comes of it does not go on before the
/// test waits for something.
fn carry(rig: &Rig, from: &Arc<Queue>, to: &[&Arc<Queue>]) -> Result<(), Error> {
    let (delivery, _) = from.fetch(0, true).unwrap();
    let lease = delivery.lease.unwrap();
    let Content::Loaded(message) = delivery.content else { panic!("it has left memory") };
    let reached = Reached { queues: to.iter().map(|queue| Arc::clone(queue)).collect(), aside: None };
    let taken_from = from.leased_position(lease);
    let mut parcels = [Parcel {
        taken_from,
        message,
        reached,
        stays_in: None,
        redelivered: false,
        is_first: false,
        again: smallvec::SmallVec::new(),
    }];
    let relayed = rig.vhost.relay(&mut parcels, now_ms(), &mut Wakes::new());
    if relayed.is_err() {
        from.settle(&[lease], Outcome::Release, &mut Wakes::new());
    }
    relayed.map(drop)
}

#[tokio::test]
async fn killed_between_a_full_queue_and_where_it_sends_it_a_letter_is_not_lost() {
    let rig = Rig::new(PLENTY);
    let from = rig.queue("from", durable()).await;
    let full_1 = rig.queue("full 1", full(failing_to("to 1"), &[])).await;
    let full_2 = rig.queue("full 2", full(failing_to("to 2"), &[])).await;
    // One that has nowhere to send it, and one that would not find it again.
    let deaf = rig.queue("deaf", full(durable(), &[])).await;
    let transient = rig.queue("transient", full(QueueOptions { durable: false, ..failing_to("to 3") }, &[])).await;
    let open = rig.queue("open", durable()).await;
    for n in 1..=3 {
        rig.queue(&format!("to {n}"), durable()).await;
    }
    for body in ["1", "2"] {
        rig.publish("", "from", body).unwrap();
    }
    for _ in 0..2 {
        carry(&rig, &from, &[&full_1, &transient, &open, &deaf, &full_2]).unwrap();
    }
    assert_eq!(rig.stored(), 6, "in one queue, and on the way out of two");
    let rig = rig.crash();
    let at = |name| rig.vhost.queue(name, CLIENT).unwrap();
    for name in ["to 1", "to 2"] {
        arrived(&at(name), 2).await;
        assert_eq!(rig.bodies(&at(name)).await, ["1", "2"]);
        assert!(at(name).fetch(0, false).unwrap().0.redelivered, "it may have been there before");
    }
    assert_eq!(rig.bodies(&at("open")).await, ["1", "2"]);
    for name in ["from", "full 1", "full 2", "deaf"] {
        assert_eq!(at(name).status().ready, 0, "{name}");
    }
    // Of each of the two, one message was taken out for good.
    settled(&rig, 4).await;
    // What comes after it is new.
    rig.publish("", "full 1", "3").unwrap();
    arrived(&at("to 1"), 2).await;
    let got: Vec<_> = (0..2).map(|_| at("to 1").fetch(0, false).unwrap().0.redelivered).collect();
    assert_eq!(got, [true, false]);
    let rig = rig.crash();
    assert_eq!(rig.bodies(&rig.vhost.queue("to 2", CLIENT).unwrap()).await, ["2"]);
    settled(&rig, 3).await;
}

#[tokio::test]
async fn what_nobody_takes_from_a_full_queue_waits_across_crashes_and_stops() {
    for memory in [PLENTY, SCARCE] {
        let rig = Rig::new(memory);
        let from = rig.queue("from", failing_to("full")).await;
        let strategy = [("x-dead-letter-strategy", "at-least-once")];
        let full = rig.queue("full", full(failing_through("later", None), &strategy)).await;
        for body in ["1", "2", "3"] {
            rig.publish("", "from", body).unwrap();
            reject_and_carry(&rig, &from).await;
        }
        assert_eq!(full.status().counters.refused, 3);
        let mut rig = rig;
        for stops in [false, true, false] {
            rig = if stops { rig.restart() } else { rig.crash() };
            assert_eq!(rig.stored(), 3);
            assert!(rig.broker.shared().outbox.bytes() > 0, "it counts while it waits");
            let status = rig.vhost.queue("full", CLIENT).unwrap().status();
            assert_eq!((status.ready, status.ready_bytes), (0, 0), "it is not in the queue");
        }
        let found = rig.queue("found", durable()).await;
        rig.exchange("later", fanout()).await;
        rig.bind("later", (Kind::Queue, "found"), "").await;
        arrived(&found, 3).await;
        let mut bodies = rig.bodies(&found).await;
        // One that was tried just before the binding was there is tried again behind the others.
        bodies.sort_unstable();
        assert_eq!(bodies, ["1", "2", "3"]);
        settled(&rig, 3).await;
        assert_eq!(rig.vhost.queue("full", CLIENT).unwrap().purge(), 0);
        while found.fetch(0, false).is_some() {}
        settled(&rig, 0).await;
    }
}

#[tokio::test]
async fn a_delayed_message_that_a_full_queue_sends_on_is_not_lost() {
    let rig = Rig::new(PLENTY);
    let mut options = ExchangeOptions { kind: ExchangeKind::Delayed, ..fanout() };
    options.internal = false;
    options.arguments.push("x-delayed-type", "fanout");
    rig.exchange("delayed", options).await;
    let strategy = [("x-dead-letter-strategy", "at-least-once")];
    let full = rig.queue("full", full(failing_through("later", None), &strategy)).await;
    rig.bind("delayed", (Kind::Queue, "full"), "").await;
    let mut headers = Table::new();
    headers.push("x-delay", 1_i64);
    let essentials = Essentials { durable: true, ..Essentials::default() };
    let message =
        crate::native::message(&Arc::from("delayed"), bytes::Bytes::new(), essentials, headers, None, b"once");
    let route = rig.vhost.route(&mut RouteCache::default(), "delayed", b"").unwrap();
    rig.vhost.publish(&route, &message, now_ms(), &mut Wakes::new()).unwrap();
    let on_its_way = async {
        while rig.broker.shared().outbox.bytes() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), on_its_way).await.unwrap();
    assert_eq!((rig.stored(), full.status().counters.refused), (1, 1));
    let rig = rig.crash();
    let found = rig.queue("found", durable()).await;
    rig.exchange("later", fanout()).await;
    rig.bind("later", (Kind::Queue, "found"), "").await;
    arrived(&found, 1).await;
    settled(&rig, 1).await;
    let rig = rig.crash();
    assert_eq!(rig.bodies(&rig.vhost.queue("found", CLIENT).unwrap()).await, ["once"]);
}

#[tokio::test]
async fn what_a_full_queue_sends_on_waits_where_it_was_while_the_disk_is_full() {
    let rig = Rig::new(PLENTY);
    let from = rig.queue("from", durable()).await;
    let full = rig.queue("full", full(failing_to("to"), &[])).await;
    let to = rig.queue("to", durable()).await;
    rig.publish("", "from", "once").unwrap();
    rig.faults.set_full(true);
    for _ in 0..2 {
        assert_eq!(carry(&rig, &from, &[&full]), Err(Error::Full));
    }
    assert_eq!((rig.stored(), rig.broker.shared().outbox.bytes()), (1, 0));
    rig.faults.set_full(false);
    carry(&rig, &from, &[&full]).unwrap();
    arrived(&to, 1).await;
    settled(&rig, 1).await;
    assert_eq!(rig.bodies(&to).await, ["once"]);
}

#[tokio::test]
async fn with_the_queue_that_refused_it_goes_what_was_not_yet_elsewhere() {
    let rig = Rig::new(PLENTY);
    let from = rig.queue("from", durable()).await;
    let kept = rig.queue("kept", full(failing_to("to"), &[])).await;
    let gone = rig.queue("gone", full(failing_to("to"), &[])).await;
    rig.queue("to", durable()).await;
    rig.publish("", "from", "1").unwrap();
    rig.publish("", "from", "2").unwrap();
    rig.vhost.delete_queue("gone", DeleteQueue::default(), CLIENT).await.unwrap();
    // It was routed there before.
    carry(&rig, &from, &[&gone]).unwrap();
    carry(&rig, &from, &[&kept]).unwrap();
    assert_eq!(rig.stored(), 2);
    let rig = rig.crash();
    let to = rig.vhost.queue("to", CLIENT).unwrap();
    arrived(&to, 1).await;
    assert_eq!(rig.bodies(&to).await, ["2"]);
    settled(&rig, 1).await;
}

#[tokio::test]
async fn where_its_rules_have_it_sent_nowhere_any_more_a_message_is_in_the_queue_that_refused_it() {
    let rig = Rig::new(PLENTY);
    let from = rig.queue("from", durable()).await;
    let policy = Policy {
        name: "letters".to_owned(),
        pattern: Pattern::new("^full$").unwrap(),
        apply_to: ApplyTo::All,
        priority: 0,
        definition: [("dead-letter-exchange", Value::from("later"))].into_iter().collect(),
    };
    rig.vhost.set_policy(PolicyKind::User, policy).await.unwrap();
    let strategy = [("x-dead-letter-strategy", "at-least-once")];
    let full = rig.queue("full", full(durable(), &strategy)).await;
    rig.publish("", "from", "once").unwrap();
    carry(&rig, &from, &[&full]).unwrap();
    assert!(rig.vhost.delete_policy(PolicyKind::User, "letters").await.unwrap());
    let rig = rig.crash();
    let full = rig.vhost.queue("full", CLIENT).unwrap();
    assert_eq!(full.status().ready, 1);
    assert_eq!(rig.bodies(&full).await, ["once"]);
    assert_eq!(full.purge(), 1);
    settled(&rig, 0).await;
}
