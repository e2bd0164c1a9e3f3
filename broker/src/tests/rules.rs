//! What queues do by their rules: limits, priorities, attempts, time. The rules themselves run against a model in
//! `queue/tests.rs`; here it is what the journal, publishers and timers see of them.

use std::time::Duration;

use super::*;
use crate::queue::{DeadLetter, Overflow, Rules};
use crate::{Delivery, Kind, Lease, Transaction};

fn texts(pairs: &[(&str, &str)], mut table: Table) -> Table {
    for (name, value) in pairs {
        table.push(*name, *value);
    }
    table
}

fn limited(overflow: &str, numbers: &[(&str, i64)]) -> QueueOptions {
    let names = [("x-overflow", overflow), ("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", "dead")];
    QueueOptions { arguments: texts(&names, with(numbers)), ..durable() }
}

async fn holds(queue: &Arc<Queue>, ready: usize) {
    let all = async {
        while queue.status().ready != ready {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.unwrap();
}

fn fetch(queue: &Arc<Queue>) -> Option<(Delivery, Lease)> {
    let (delivery, _) = queue.fetch(0, true)?;
    let lease = delivery.lease.unwrap();
    Some((delivery, lease))
}

#[tokio::test]
async fn the_first_messages_go_when_there_are_too_many_and_are_dead_letters_in_order() {
    for memory in [PLENTY, SCARCE] {
        let rig = Rig::new(memory);
        let dead = rig.queue("dead", durable()).await;
        let queue = rig.queue("q", limited("drop-head", &[("x-max-length", 3)])).await;
        for n in 0..10 {
            let published = rig.publish("", "q", &n.to_string()).unwrap();
            assert_eq!((published.routed, published.refused), (1, 0));
        }
        holds(&dead, 7).await;
        assert_eq!(rig.bodies(&queue).await, ["7", "8", "9"]);
        assert_eq!(rig.bodies(&dead).await, ["0", "1", "2", "3", "4", "5", "6"]);
        assert_eq!(queue.status().counters.overflowed, 7);
        let rig = rig.crash();
        assert_eq!(rig.bodies(&rig.vhost.queue("q", CLIENT).unwrap()).await, ["7", "8", "9"]);
    }
}

#[tokio::test]
async fn bytes_are_those_of_bodies() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", QueueOptions { arguments: with(&[("x-max-length-bytes", 10)]), ..durable() }).await;
    for body in ["12345", "67", "890", "1", "twenty bytes of text"] {
        rig.publish("", "q", body).unwrap();
        assert!(queue.status().ready_bytes <= 10);
        if body == "890" {
            assert_eq!(queue.status().ready_bytes, 10);
        }
    }
    assert_eq!(queue.status().ready, 0, "the last one does not fit by itself");
    let rig = rig.crash();
    assert_eq!(rig.vhost.queue("q", CLIENT).unwrap().status().ready_bytes, 0);
}

#[tokio::test]
async fn a_full_queue_refuses_while_others_take_the_message_and_the_journal_keeps_it_for_those_only() {
    for overflow in ["reject-publish", "reject-publish-dlx"] {
        let rig = Rig::new(PLENTY);
        let dead = rig.queue("dead", durable()).await;
        let full = rig.queue("full", limited(overflow, &[("x-max-length", 1)])).await;
        let other = rig.queue("other", durable()).await;
        for name in ["full", "other"] {
            rig.bind("amq.fanout", (Kind::Queue, name), "").await;
        }
        let first = rig.publish("amq.fanout", "", "first").unwrap();
        assert_eq!((first.routed, first.refused), (2, 0));
        let second = rig.publish("amq.fanout", "", "second").unwrap();
        assert_eq!((second.routed, second.refused), (1, 1));
        assert!(second.durable.is_some(), "the other queue has it");
        let waiting = rig.broker.shared().outbox.bytes();
        assert_eq!(waiting > 0, overflow == "reject-publish-dlx", "letters that wait count as memory");
        let third = rig.publish("", "full", "third").unwrap();
        assert_eq!((third.routed, third.refused, third.durable), (0, 1, None));
        let dead_letters = if overflow == "reject-publish" { 0 } else { 2 };
        holds(&dead, dead_letters).await;
        assert_eq!(rig.broker.shared().outbox.bytes(), 0);
        assert_eq!(rig.stored(), 3 + dead_letters as u64);
        assert_eq!(rig.bodies(&full).await, ["first"]);
        assert_eq!(rig.bodies(&other).await, ["first", "second"]);
        assert_eq!(full.status().counters.refused, 2);
        let rig = rig.crash();
        assert_eq!(rig.bodies(&rig.vhost.queue("full", CLIENT).unwrap()).await, ["first"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn publishers_that_race_get_exactly_the_room_that_there_is() {
    const ROOM: usize = 500;
    let rig = Arc::new(Rig::new(PLENTY));
    let queue = rig.queue("q", limited("reject-publish", &[("x-max-length", ROOM as i64)])).await;
    let publishers = (0..4).map(|_| {
        let rig = Arc::clone(&rig);
        tokio::task::spawn_blocking(move || (0..400).map(|_| rig.publish("", "q", "m").unwrap().routed).sum::<usize>())
    });
    let mut taken = 0;
    for publisher in publishers.collect::<Vec<_>>() {
        taken += publisher.await.unwrap();
    }
    assert_eq!((taken, queue.status().ready, rig.stored()), (ROOM, ROOM, ROOM as u64));
    // What leaves makes room, and no promise was forgotten.
    let (_, lease) = fetch(&queue).unwrap();
    queue.settle(&[lease], Outcome::Accept, &mut Wakes::new());
    assert_eq!(rig.publish("", "q", "one more").unwrap().routed, 1);
    assert_eq!(rig.publish("", "q", "and no more").unwrap().refused, 1);
}

#[tokio::test]
async fn a_message_that_the_disk_does_not_take_gives_its_room_back() {
    let rig = Rig::new(PLENTY);
    rig.queue("q", limited("reject-publish", &[("x-max-length", 1)])).await;
    rig.faults.set_full(true);
    for _ in 0..3 {
        assert_eq!(rig.publish("", "q", "m"), Err(Error::Full));
    }
    rig.faults.set_full(false);
    assert_eq!(rig.publish("", "q", "m").unwrap().routed, 1);
}

#[tokio::test]
async fn a_transaction_of_which_something_is_refused_does_not_happen() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", limited("reject-publish", &[("x-max-length", 2)])).await;
    let other = rig.queue("other", durable()).await;
    let essentials = Essentials { durable: true, ..Essentials::default() };
    let transaction = |publishes: usize| {
        let keys = std::iter::once("other").chain(std::iter::repeat_n("q", publishes));
        let publish = |key: &str| {
            let route = rig.vhost.route(&mut RouteCache::default(), "", key.as_bytes()).unwrap();
            (route, plain("", key, essentials, b"m"))
        };
        let transaction = Transaction { publishes: keys.map(publish).collect(), ..Transaction::default() };
        rig.vhost.commit_transaction(&transaction, now_ms(), &mut Wakes::new())
    };
    assert!(matches!(transaction(3), Err(Error::TransactionRefused)));
    assert_eq!((other.status().ready, queue.status().ready, rig.stored()), (0, 0, 0));
    // What was promised to it is free again.
    assert_eq!(transaction(2).unwrap().0, [1, 1, 1]);
    assert_eq!((other.status().ready, queue.status().ready, rig.stored()), (1, 2, 3));
}

#[tokio::test]
async fn dead_letters_that_must_not_be_lost_wait_for_room_where_they_go() {
    let rig = Rig::new(PLENTY);
    let dead = rig.queue("dead", limited("reject-publish", &[("x-max-length", 1)])).await;
    let queue = rig.queue("q", durable()).await;
    let to = DeadLetter { exchange: "".into(), key: Some("dead".into()), at_least_once: true, is_redrive: false };
    queue.set_rules(Arc::new(Rules { dead_letter: Some(Arc::new(to)), ..Rules::default() }));
    for body in ["1", "2"] {
        rig.publish("", "q", body).unwrap();
        let (_, lease) = fetch(&queue).unwrap();
        queue.settle(&[lease], Outcome::Reject, &mut Wakes::new());
    }
    holds(&dead, 1).await;
    let (_, lease) = fetch(&dead).unwrap();
    assert_eq!(rig.stored(), 2, "one is there, and one is where it was");
    holds(&dead, 1).await;
    dead.settle(&[lease], Outcome::Accept, &mut Wakes::new());
    assert_eq!(rig.bodies(&dead).await, ["2"]);
    assert_eq!(rig.stored(), 1);
}

#[tokio::test]
async fn a_dead_letter_that_must_not_be_lost_waits_until_all_its_queues_have_room() {
    let rig = Rig::new(PLENTY);
    let full = rig.queue("full", limited("reject-publish", &[("x-max-length", 1)])).await;
    let roomy = rig.queue("roomy", durable()).await;
    for name in ["full", "roomy"] {
        rig.bind("amq.fanout", (Kind::Queue, name), "").await;
    }
    let queue = rig.queue("q", durable()).await;
    let to = DeadLetter { exchange: "amq.fanout".into(), key: None, at_least_once: true, is_redrive: false };
    queue.set_rules(Arc::new(Rules { dead_letter: Some(Arc::new(to)), ..Rules::default() }));
    for body in ["1", "2"] {
        rig.publish("", "q", body).unwrap();
        let (_, lease) = fetch(&queue).unwrap();
        queue.settle(&[lease], Outcome::Reject, &mut Wakes::new());
    }
    holds(&full, 1).await;
    assert_eq!(rig.bodies(&roomy).await, ["1"]);
    assert_eq!(rig.stored(), 3, "the second one is where it was");
    let (_, lease) = fetch(&full).unwrap();
    full.settle(&[lease], Outcome::Accept, &mut Wakes::new());
    holds(&roomy, 2).await;
    assert_eq!((rig.bodies(&full).await, rig.bodies(&roomy).await), (vec!["2".into()], vec!["1".into(), "2".into()]));
    assert_eq!(rig.stored(), 3);
}

#[tokio::test]
async fn priorities_keep_their_order_over_a_restart_and_what_is_above_the_highest_counts_as_it() {
    for memory in [PLENTY, SCARCE] {
        let rig = Rig::new(memory);
        let queue = rig.queue("q", QueueOptions { arguments: with(&[("x-max-priority", 5)]), ..durable() }).await;
        for (body, priority) in [("a", 0), ("b", 5), ("c", 2), ("d", 200), ("e", 2), ("f", 0)] {
            let essentials = Essentials { durable: true, priority, ..Essentials::default() };
            rig.publish_with("", "q", body, essentials).unwrap();
        }
        let sorted = ["b", "d", "c", "e", "a", "f"];
        assert_eq!(rig.bodies(&queue).await, sorted);
        assert_eq!(rig.bodies(&queue).await, sorted, "what is given back goes to its place");
        let rig = rig.crash();
        assert_eq!(rig.bodies(&rig.vhost.queue("q", CLIENT).unwrap()).await, sorted);
    }
}

#[tokio::test]
async fn a_message_that_fails_too_often_goes_on_and_its_attempts_survive_a_restart() {
    let rig = Rig::new(PLENTY);
    rig.queue("dead", durable()).await;
    let queue = rig.queue("q", limited("drop-head", &[("x-delivery-limit", 2)])).await;
    rig.publish("", "q", "poison").unwrap();
    let (delivery, lease) = fetch(&queue).unwrap();
    assert_eq!((delivery.attempts, queue.tells_attempts()), (0, true));
    queue.settle(&[lease], Outcome::Retry, &mut Wakes::new());
    let rig = rig.crash();
    let [queue, dead] = ["q", "dead"].map(|name| rig.vhost.queue(name, CLIENT).unwrap());
    for attempts in 1..=2 {
        let (delivery, lease) = fetch(&queue).unwrap();
        assert_eq!((delivery.attempts, delivery.redelivered), (attempts, true));
        queue.settle(&[lease], Outcome::Return, &mut Wakes::new());
    }
    holds(&dead, 1).await;
    assert_eq!((queue.status().ready, queue.status().counters.exhausted), (0, 1));
}

#[tokio::test]
async fn a_consumer_that_takes_too_long_loses_the_message_and_gets_its_credit_by_what_it_says_late() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", QueueOptions { arguments: with(&[("x-consumer-timeout", 20)]), ..durable() }).await;
    let (slow, quick) = (Inbox::new(1 << 20), Inbox::new(1 << 20));
    rig.subscribe(&queue, &slow, Credit::Window(1)).unwrap();
    rig.publish("", "q", "m").unwrap();
    let late = taken(&slow);
    assert_eq!(late.len(), 1);
    holds(&queue, 1).await;
    assert_eq!(queue.status().unacked, 0);
    assert!(taken(&slow).is_empty(), "it has no credit left");
    rig.subscribe(&queue, &quick, Credit::Window(1)).unwrap();
    let again = taken(&quick);
    assert!(matches!(&again[..], [Item::Delivery(Delivery { attempts: 1, redelivered: true, .. })]));
    // Too late: the message is the other one's.
    settle(late, Outcome::Accept);
    assert_eq!(queue.status().unacked, 1);
    settle(again, Outcome::Accept);
    assert_eq!((queue.status().unacked, rig.stored()), (0, 0));
    for body in ["1", "2"] {
        rig.publish("", "q", body).unwrap();
    }
    assert_eq!((taken(&slow).len(), taken(&quick).len()), (1, 1));
}

#[tokio::test]
async fn what_failed_waits_longer_each_time() {
    let rig = Rig::new(PLENTY);
    let numbers = [("x-delayed-retry-min", 30), ("x-delayed-retry-max", 50)];
    let arguments = texts(&[("x-delayed-retry-type", "returned")], with(&numbers));
    let queue = rig.queue("q", QueueOptions { arguments, ..durable() }).await;
    rig.publish("", "q", "m").unwrap();
    let (_, lease) = fetch(&queue).unwrap();
    queue.settle(&[lease], Outcome::Retry, &mut Wakes::new());
    let (_, mut lease) = fetch(&queue).expect("only what is returned waits");
    for wait_ms in [50, 50] {
        let from_ms = now_ms();
        queue.settle(&[lease], Outcome::Return, &mut Wakes::new());
        assert!(fetch(&queue).is_none());
        assert_eq!(queue.status().ready, 1, "it is still there");
        let inbox = Inbox::new(1 << 20);
        let consumer = rig.subscribe(&queue, &inbox, Credit::Window(1)).unwrap();
        tokio::time::timeout(Duration::from_secs(30), inbox.ready()).await.unwrap();
        assert!(now_ms() - from_ms >= wait_ms);
        let items = taken(&inbox);
        let [Item::Delivery(delivery)] = &items[..] else { panic!("{items:?}") };
        lease = delivery.lease.unwrap();
        consumer.cancel();
    }
    queue.settle(&[lease], Outcome::Return, &mut Wakes::new());
    assert_eq!((queue.purge(), rig.stored()), (1, 0));
}

#[tokio::test]
async fn one_consumer_gets_everything_until_it_goes() {
    let rig = Rig::new(PLENTY);
    let mut arguments = Table::new();
    arguments.push("x-single-active-consumer", true);
    let queue = rig.queue("q", QueueOptions { arguments, ..durable() }).await;
    let inboxes = [(); 2].map(|()| Inbox::new(1 << 20));
    let first = rig.subscribe(&queue, &inboxes[0], Credit::Window(1)).unwrap();
    rig.subscribe(&queue, &inboxes[1], Credit::Unlimited).unwrap();
    for n in 0..3 {
        rig.publish("", "q", &n.to_string()).unwrap();
    }
    let held = taken(&inboxes[0]);
    assert_eq!((held.len(), taken(&inboxes[1]).len()), (1, 0));
    first.cancel();
    settle(held, Outcome::Retry);
    assert_eq!(rig.read(&mut taken(&inboxes[1])).await, ["1", "2", "0"], "a cancelled one may keep what it has");
    let options = ConsumerOptions { credit: Credit::Unlimited, acknowledges: true, exclusive: true, priority: 0 };
    let refused = rig.vhost.subscribe(&queue, outlet(&inboxes[0], 7), options, &mut Wakes::new());
    assert!(matches!(refused, Err(Error::InExclusiveUse(_))));
}

#[tokio::test]
async fn whoever_follows_a_consumer_that_leaves_gets_its_messages_first() {
    let rig = Rig::new(PLENTY);
    let mut arguments = Table::new();
    arguments.push("x-single-active-consumer", true);
    let queue = rig.queue("q", QueueOptions { arguments, ..durable() }).await;
    let inboxes = [(); 2].map(|()| Inbox::new(1 << 20));
    let first = rig.subscribe(&queue, &inboxes[0], Credit::Window(2)).unwrap();
    rig.subscribe(&queue, &inboxes[1], Credit::Unlimited).unwrap();
    for n in 0..4 {
        rig.publish("", "q", &n.to_string()).unwrap();
    }
    let held = taken(&inboxes[0]);
    first.leave();
    assert!(taken(&inboxes[1]).is_empty(), "two are still on their way back");
    settle(held, Outcome::Retry);
    assert_eq!(rig.read(&mut taken(&inboxes[1])).await, ["0", "1", "2", "3"]);
}

#[tokio::test]
async fn rules_change_under_a_living_queue() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    for n in 0..10_000 {
        rig.publish("", "q", &n.to_string()).unwrap();
    }
    let rules = Rules { length_max: Some(2), overflow: Overflow::RejectPublish, ..Rules::default() };
    queue.set_rules(Arc::new(rules));
    assert_eq!((queue.status().ready, rig.publish("", "q", "m").unwrap().refused), (10_000, 1));
    queue.set_rules(Arc::new(Rules { length_max: Some(2), ..Rules::default() }));
    // More than one step: the timer takes the others.
    holds(&queue, 2).await;
    assert_eq!(rig.stored(), 2);
    queue.set_rules(Arc::default());
    assert_eq!(rig.publish("", "q", "m").unwrap().refused, 0);
    assert_eq!(queue.status().ready, 3);
    queue.set_rules(Arc::new(Rules { expires_ms: Some(1), ..Rules::default() }));
    let gone = async {
        while rig.vhost.queue("q", CLIENT).is_ok() {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
}
