//! What an ordered queue was sent lately: duplicates by any protocol, and what is known of them after a crash at any moment.

use std::time::Duration;

use super::*;
use crate::message::{Address, Properties, Source};
use crate::vhost::{Parcel, Reached};
use crate::{Deduplication, DeleteQueue, Group, Ordered, Original, QueueSettings, Route, Sent, Transaction};

/// Longer than any test.
const LONG_MS: u64 = 300_000;

fn ordered(deduplication_ms: u64) -> QueueSettings {
    let ordered = Ordered { deduplication_ms, per_group: false };
    QueueSettings { ordered: Some(ordered), ..QueueSettings::default() }
}

impl Rig {
    async fn ordered(&self, name: &str, deduplication_ms: u64) -> Arc<Queue> {
        let (queue, _, pending) = self.vhost.declare_with(name, durable(), ordered(deduplication_ms), CLIENT).unwrap();
        pending.wait().await.unwrap();
        queue
    }

    fn send_id(&self, queue: &Arc<Queue>, id: &str, now_ms: u64) -> Result<Sent, Error> {
        // A group of its own, so that all that waits can be looked at.
        let group = Some(Group::new(id.as_bytes(), false));
        let essentials = Essentials { durable: true, group, ..Essentials::default() };
        let message = plain("", queue.name(), essentials, id.as_bytes());
        let deduplication = Some(Deduplication::new(id.as_bytes()));
        self.vhost.send(queue, &message, deduplication, now_ms, &mut Wakes::new())
    }

    fn queue_named(&self, name: &str) -> Arc<Queue> {
        self.vhost.queue(name, CLIENT).unwrap()
    }

    /// A message as a publisher of another protocol sends it, with a header.
    fn publish_known(&self, key: &str, id: &str) -> Result<Published, Error> {
        let route = self.vhost.route(&mut RouteCache::default(), "", key.as_bytes())?;
        self.vhost.publish(&route, &known(key, id), now_ms(), &mut Wakes::new())
    }
}

/// A source whose head is the deduplication header.
struct Known;

impl Source for Known {
    fn id(&self) -> u8 {
        251
    }

    fn properties(&self, head: &[u8]) -> Properties {
        let id = String::from_utf8_lossy(head).into_owned();
        let headers = [("x-deduplication-header", Value::from(id.as_str()))].into_iter().collect();
        Properties { headers: Some(headers), ..Properties::default() }
    }

    fn edited(&self, head: &[u8], _: &crate::message::Edit<'_>, out: &mut bytes::BytesMut) {
        out.extend_from_slice(head);
    }
}

fn known(key: &str, id: &str) -> Arc<crate::Message> {
    known_in(key, id, Some(Group::new(id.as_bytes(), false)))
}

fn known_in(key: &str, id: &str, group: Option<Group>) -> Arc<crate::Message> {
    let routing_key = bytes::Bytes::copy_from_slice(key.as_bytes());
    let address = Arc::new(Address { exchange: Arc::from(""), routing_key });
    let essentials = Essentials { durable: true, group, ..Essentials::default() };
    let data = bytes::Bytes::from(format!("{id}body"));
    crate::Message::new(&Known, address, essentials, id.len() as u32, data)
}

fn original(sent: Sent, sent_ms: u64) -> Option<Original> {
    Some(Original { seq: sent.seq, sent_ms })
}

#[tokio::test]
async fn what_is_sent_again_within_its_time_is_a_duplicate_wherever_the_first_one_is() {
    let rig = Rig::new(PLENTY);
    let queue = rig.ordered("q", LONG_MS).await;
    let then_ms = now_ms();
    let first = rig.send_id(&queue, "a", then_ms).unwrap();
    assert!(first.original.is_none() && first.durable.is_some());
    let second = rig.send_id(&queue, "b", then_ms).unwrap();
    assert!(second.seq > first.seq);
    let again = rig.send_id(&queue, "a", then_ms + LONG_MS - 1).unwrap();
    assert_eq!((again.original, again.seq, again.durable), (original(first, then_ms), first.seq, first.durable));
    assert_eq!(queue.status().ready, 2);
    // Also when it has left.
    while let Some((delivery, _)) = queue.fetch(0, true) {
        queue.settle(&[delivery.lease.unwrap()], Outcome::Accept, &mut Wakes::new());
    }
    assert_eq!(rig.send_id(&queue, "a", then_ms + 1).unwrap().original, original(first, then_ms));
    queue.purge();
    assert_eq!(rig.send_id(&queue, "b", then_ms + 1).unwrap().original, original(second, then_ms));
    let later = rig.send_id(&queue, "a", then_ms + LONG_MS).unwrap();
    assert!(later.original.is_none() && later.seq > second.seq);
    assert_eq!(rig.bodies(&queue).await, ["a"]);
    // In a queue that is not ordered, and without an id, everything is new.
    let plain_queue = rig.queue("plain", durable()).await;
    for _ in 0..2 {
        assert!(rig.send_id(&plain_queue, "a", then_ms).unwrap().original.is_none());
    }
    let message = plain("", "q", Essentials::default(), b"without");
    for _ in 0..2 {
        assert!(rig.vhost.send(&queue, &message, None, then_ms, &mut Wakes::new()).unwrap().original.is_none());
    }
    assert_eq!((plain_queue.status().ready, queue.status().ready), (2, 3));
}

#[tokio::test]
async fn what_was_sent_is_known_after_a_stop_and_after_a_crash() {
    for orderly in [false, true] {
        let rig = Rig::new(PLENTY);
        let queue = rig.ordered("q", LONG_MS).await;
        let then_ms = now_ms();
        let first = rig.send_id(&queue, "left", then_ms).unwrap();
        let (delivery, _) = queue.fetch(0, true).unwrap();
        queue.settle(&[delivery.lease.unwrap()], Outcome::Accept, &mut Wakes::new());
        let second = rig.send_id(&queue, "waits", then_ms).unwrap();
        let mut rig = rig;
        for _ in 0..3 {
            rig = if orderly { rig.restart() } else { rig.crash() };
            let queue = rig.queue_named("q");
            assert_eq!(rig.send_id(&queue, "left", then_ms + 1).unwrap().original, original(first, then_ms));
            assert_eq!(rig.send_id(&queue, "waits", then_ms + 1).unwrap().original, original(second, then_ms));
            assert_eq!(rig.bodies(&queue).await, ["waits"]);
            assert_eq!(rig.stored(), 3, "two keys and one message");
        }
    }
}

/// What is done to the queue, one record of the journal each.
#[derive(Clone, Copy, Debug)]
enum Act {
    Send(&'static str),
    Take,
    Publish(&'static str),
}

const ACTS: [Act; 10] = [
    Act::Send("a"),
    Act::Send("b"),
    Act::Take,
    Act::Send("a"),
    Act::Publish("c"),
    Act::Publish("b"),
    Act::Take,
    Act::Send("c"),
    Act::Send("d"),
    Act::Take,
];

fn act(rig: &Rig, queue: &Arc<Queue>, act: Act) {
    match act {
        // On a journal that has failed it says so.
        Act::Send(id) => drop(rig.send_id(queue, id, now_ms())),
        Act::Publish(id) => drop(rig.publish_known("q", id)),
        Act::Take => {
            if let Some((delivery, _)) = queue.fetch(0, true) {
                queue.settle(&[delivery.lease.unwrap()], Outcome::Accept, &mut Wakes::new());
            }
        }
    }
}

/// What must be so after a crash: what the first `safe` acts did is there, and of each later one everything or nothing. A
/// message that was taken may be there again only where its end was not safe.
async fn check(rig: &Rig, safe: usize) {
    let queue = rig.queue_named("q");
    let bodies = rig.bodies(&queue).await;
    let mut known = Vec::new();
    for id in ["a", "b", "c", "d"] {
        let is_known = rig.send_id(&queue, id, now_ms()).unwrap().original.is_some();
        let is_there = bodies.iter().any(|body| body.starts_with(id) || *body == "body" && id == "c");
        assert!(is_known || !is_there, "{id} is there and would come twice after {safe}");
        if is_known {
            known.push(id);
        }
    }
    let sent = ACTS[..safe].iter().filter_map(|act| match act {
        Act::Send(id) | Act::Publish(id) => Some(*id),
        Act::Take => None,
    });
    for id in sent {
        assert!(known.contains(&id), "{id} was safe and is forgotten after {safe}");
    }
    let mut expected = Vec::new();
    let mut seen = Vec::new();
    for act in &ACTS[..safe] {
        match act {
            Act::Send(id) | Act::Publish(id) if !seen.contains(id) => {
                seen.push(id);
                expected.push(if matches!(act, Act::Publish(_)) { "body" } else { id });
            }
            Act::Take if !expected.is_empty() => drop(expected.remove(0)),
            Act::Send(_) | Act::Publish(_) | Act::Take => {}
        }
    }
    assert_eq!(bodies, expected, "after {safe}");
}

#[tokio::test]
async fn killed_between_any_two_steps_a_message_and_its_key_are_both_there_or_neither() {
    for safe in 0..=ACTS.len() {
        let rig = Rig::new(PLENTY);
        let queue = rig.ordered("q", LONG_MS).await;
        ACTS[..safe].iter().for_each(|one| act(&rig, &queue, *one));
        // From here on nothing reaches the disk.
        rig.journal.hold();
        ACTS[safe..].iter().for_each(|one| act(&rig, &queue, *one));
        let rig = rig.crash_knowing();
        check(&rig, safe).await;
    }
}

#[tokio::test]
async fn where_a_write_fails_nothing_of_it_is_there() {
    for fails in 1..=8 {
        let rig = Rig::new(PLENTY);
        let queue = rig.ordered("q", LONG_MS).await;
        rig.faults.fail_write(fails);
        let mut safe = 0;
        for one in ACTS {
            act(&rig, &queue, one);
            // Each act is one write, or none where it is a duplicate.
            safe += usize::from(rig.journal.watch().has_changed().is_ok());
        }
        assert!(fails > 7 || safe < ACTS.len());
        let rig = rig.crash_knowing();
        check(&rig, safe).await;
    }
}

impl Rig {
    /// As [`Rig::crash`], with the source of this file.
    fn crash_knowing(self) -> Self {
        let mut found = Found::default();
        let journal = Arc::new(self.journal.reopen(&mut found));
        let table = Arc::new(HeldTable { rows: self.table.rows.reopen(), ..HeldTable::default() });
        let options = BrokerOptions { sources: Sources::new(vec![&Plain, &Known]), ..options(PLENTY) };
        let broker = Broker::open(options, journal.clone(), table.clone(), found).unwrap();
        let vhost = vhost(&broker);
        Self { broker, vhost, journal, table, faults: self.faults }
    }
}

#[tokio::test]
async fn what_is_over_is_forgotten_and_settled_and_restored_no_more() {
    let rig = Rig::new(PLENTY);
    let queue = rig.ordered("q", 40).await;
    for n in 0..10_000 {
        rig.send_id(&queue, &n.to_string(), now_ms()).unwrap();
    }
    queue.purge();
    eventually("keys are forgotten", || rig.stored() == 0 && rig.broker.totals().remembered == 0).await;
    // Found over at the start.
    let rig = Rig::new(PLENTY);
    let queue = rig.ordered("q", LONG_MS).await;
    rig.send_id(&queue, "old", now_ms() - LONG_MS).unwrap();
    rig.send_id(&queue, "new", now_ms()).unwrap();
    assert_eq!(rig.stored(), 4);
    let rig = rig.crash();
    eventually("the old key is settled", || rig.stored() == 3).await;
    assert_eq!(rig.broker.totals().remembered, 1);
    // A shorter time counts at once.
    rig.vhost.set_settings(&rig.queue_named("q"), ordered(10)).unwrap().wait().await.unwrap();
    eventually("the new key is settled", || rig.stored() == 2).await;
}

#[tokio::test]
async fn keys_go_with_their_queue_now_or_at_the_next_start() {
    let rig = Rig::new(PLENTY);
    let queue = rig.ordered("q", LONG_MS).await;
    rig.send_id(&queue, "a", now_ms()).unwrap();
    rig.vhost.delete_queue("q", DeleteQueue::default(), CLIENT).await.unwrap();
    assert_eq!((rig.stored(), rig.broker.totals().remembered), (0, 0));
    assert!(matches!(rig.send_id(&queue, "b", now_ms()), Err(Error::NotFound(_))));
    assert_eq!((rig.stored(), rig.broker.totals().remembered), (0, 0));
    let queue = rig.ordered("q", LONG_MS).await;
    assert!(rig.send_id(&queue, "a", now_ms()).unwrap().original.is_none(), "it is another queue");
    rig.journal.hold();
    rig.vhost.delete_queue("q", DeleteQueue::default(), CLIENT).await.unwrap();
    let rig = rig.crash();
    assert_eq!(rig.stored(), 0);
}

#[tokio::test]
async fn there_is_room_for_so_many_and_a_full_disk_leaves_nothing_behind() {
    let journal = Arc::new(MemoryJournal::new(Faults::default()));
    let options = BrokerOptions { deduplication_entries_max: 3, ..options(PLENTY) };
    let broker = Broker::open(options, journal.clone(), Arc::new(HeldTable::default()), Found::default()).unwrap();
    let (vhost, faults) = (vhost(&broker), Faults::default());
    let rig = Rig { broker, vhost, journal, table: Arc::new(HeldTable::default()), faults };
    let (one, other) = (rig.ordered("one", LONG_MS).await, rig.ordered("other", LONG_MS).await);
    for (queue, id) in [(&one, "a"), (&other, "a"), (&one, "b")] {
        rig.send_id(queue, id, now_ms()).unwrap();
    }
    assert!(matches!(rig.send_id(&other, "c", now_ms()), Err(Error::LimitReached { limit: 3, .. })));
    assert!(rig.send_id(&other, "a", now_ms()).unwrap().original.is_some(), "a duplicate needs no room");
    let published = rig.publish_known("other", "d").unwrap();
    assert_eq!((published.routed, published.refused), (0, 1));
    rig.vhost.delete_queue("one", DeleteQueue::default(), CLIENT).await.unwrap();
    assert_eq!(rig.broker.totals().remembered, 1);

    let rig = Rig::new(PLENTY);
    let queue = rig.ordered("q", LONG_MS).await;
    rig.faults.set_full(true);
    assert_eq!(rig.send_id(&queue, "a", now_ms()), Err(Error::Full));
    assert_eq!(rig.publish_known("q", "b"), Err(Error::Full));
    assert_eq!(queue.status().ready, 0);
    rig.faults.set_full(false);
    assert!(rig.send_id(&queue, "a", now_ms()).unwrap().original.is_none());
    assert_eq!(rig.publish_known("q", "b").unwrap().routed, 1);
    assert_eq!((queue.status().ready, rig.broker.totals().remembered), (2, 3), "one is over and not forgotten yet");
}

#[tokio::test]
async fn a_header_of_another_protocol_counts_as_an_id_in_the_queue_or_in_a_group() {
    let rig = Rig::new(PLENTY);
    let queue = rig.ordered("q", LONG_MS).await;
    let first = rig.publish_known("q", "a").unwrap();
    let again = rig.publish_known("q", "a").unwrap();
    assert_eq!((again.routed, again.refused, again.durable), (1, 0, first.durable), "it waits for the first one");
    assert!(rig.send_id(&queue, "a", now_ms()).unwrap().original.is_some());
    rig.send_id(&queue, "b", now_ms()).unwrap();
    rig.publish_known("q", "b").unwrap();
    assert_eq!(queue.status().ready, 2);
    let per_group = Some(Ordered { deduplication_ms: LONG_MS, per_group: true });
    let settings = QueueSettings { ordered: per_group, ..QueueSettings::default() };
    rig.vhost.set_settings(&queue, settings).unwrap().wait().await.unwrap();
    let route = rig.vhost.route(&mut RouteCache::default(), "", b"q").unwrap();
    let groups = [b"g1", b"g2", b"g1"].map(|group| Group::new(group, false));
    for group in groups {
        rig.vhost.publish(&route, &known_in("q", "x", Some(group)), now_ms(), &mut Wakes::new()).unwrap();
    }
    assert_eq!(queue.status().ready, 4);
    let message = plain("", "q", Essentials { durable: true, group: Some(groups[1]), ..Essentials::default() }, b"x");
    let deduplication = Some(Deduplication::in_group(b"x", groups[1]));
    let sent = rig.vhost.send(&queue, &message, deduplication, now_ms(), &mut Wakes::new()).unwrap();
    assert!(sent.original.is_some());
}

#[tokio::test]
async fn a_transaction_has_the_keys_of_its_messages_in_its_record() {
    let rig = Rig::new(PLENTY);
    let (queue, other) = (rig.ordered("q", LONG_MS).await, rig.ordered("other", LONG_MS).await);
    rig.queue("plain", durable()).await;
    let route = |key: &str| -> Arc<Route> { rig.vhost.route(&mut RouteCache::default(), "", key.as_bytes()).unwrap() };
    let publishes = [("q", "a"), ("other", "a"), ("plain", "a"), ("q", "a"), ("q", "b")];
    let publishes = publishes.map(|(key, id)| (route(key), known(key, id))).to_vec();
    let transaction = Transaction { publishes, ..Transaction::default() };
    let (routed, _) = rig.vhost.commit_transaction(&transaction, now_ms(), &mut Wakes::new()).unwrap();
    assert_eq!(routed, [1, 1, 1, 1, 1]);
    assert_eq!((queue.status().ready, other.status().ready, rig.stored()), (2, 1, 4 + 3));
    // One that is not carried out leaves nothing behind.
    rig.faults.set_full(true);
    let publishes = vec![(route("q"), known("q", "c"))];
    let transaction = Transaction { publishes, ..Transaction::default() };
    assert!(rig.vhost.commit_transaction(&transaction, now_ms(), &mut Wakes::new()).is_err());
    rig.faults.set_full(false);
    let rig = rig.crash_knowing();
    let queue = rig.queue_named("q");
    for (id, is_known) in [("a", true), ("b", true), ("c", false)] {
        assert_eq!(rig.send_id(&queue, id, now_ms()).unwrap().original.is_some(), is_known, "{id}");
    }
    assert!(rig.send_id(&rig.queue_named("other"), "a", now_ms()).unwrap().original.is_some());
}

#[tokio::test]
async fn a_dead_letter_is_never_taken_for_a_duplicate() {
    let rig = Rig::new(PLENTY);
    let dead = rig.ordered("dead", LONG_MS).await;
    let mut arguments = Table::new();
    arguments.push("x-dead-letter-exchange", "");
    arguments.push("x-dead-letter-routing-key", "dead");
    let from = rig.queue("from", QueueOptions { arguments, ..durable() }).await;
    for _ in 0..2 {
        rig.publish_known("from", "same").unwrap();
        let (delivery, _) = from.fetch(0, true).unwrap();
        from.settle(&[delivery.lease.unwrap()], Outcome::Reject, &mut Wakes::new());
    }
    eventually("both are there", || dead.status().ready == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_send_the_same_at_once_one_is_taken_and_all_are_told_which() {
    let rig = Arc::new(Rig::new(PLENTY));
    let queue = rig.ordered("q", LONG_MS).await;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..8 {
        let (rig, queue) = (Arc::clone(&rig), Arc::clone(&queue));
        senders.spawn_blocking(move || {
            let mut seqs = Vec::new();
            for n in 0..500 {
                if sender == 0 {
                    rig.publish_known("q", &n.to_string()).unwrap();
                    continue;
                }
                seqs.push(rig.send_id(&queue, &n.to_string(), now_ms()).unwrap().seq);
            }
            seqs
        });
    }
    let told: Vec<Vec<u64>> = senders.join_all().await.into_iter().filter(|seqs| !seqs.is_empty()).collect();
    assert_eq!(queue.status().ready, 500);
    assert!(told.windows(2).all(|two| two[0] == two[1]));
}

#[test]
fn the_embedded_journal_keeps_keys_over_compaction_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let essentials = Essentials { durable: true, ..Essentials::default() };
    let send = |vhost: &VirtualHost, queue: &Arc<Queue>, n: u32| {
        let message = plain("", "q", essentials, &[b'x'; 1000]);
        let deduplication = Some(Deduplication::new(n.to_string().as_bytes()));
        vhost.send(queue, &message, deduplication, now_ms(), &mut Wakes::new()).unwrap()
    };
    recovery::on_disk(folder.path(), async |broker, vhost| {
        let (queue, _, pending) = vhost.declare_with("q", durable(), ordered(LONG_MS), CLIENT).unwrap();
        pending.wait().await.unwrap();
        let mut last = None;
        for n in 0..2_000 {
            last = last.max(send(vhost, &queue, n).durable);
        }
        queue.purge();
        let durable = broker.watch_durable().wait_for(|durable| Some(*durable) >= last).await.map(|_| ());
        durable.unwrap();
    });
    for orderly in [true, false] {
        recovery::on_disk(folder.path(), async |broker, vhost| {
            let queue = vhost.queue("q", CLIENT).unwrap();
            for n in 0..2_000 {
                assert!(send(vhost, &queue, n).original.is_some(), "{n}");
            }
            if orderly {
                tokio::time::timeout(Duration::from_secs(60), async {
                    broker.start_closing();
                    broker.close().unwrap();
                })
                .await
                .unwrap();
            }
        });
    }
}

/// Somebody is about to send what has this id, and has not yet.
fn about_to_come(queue: &Queue, id: &str) -> crate::window::Claim {
    let Deduplication { key } = Deduplication::new(id.as_bytes());
    match queue.window().unwrap().claim(key, queue.next_seq(), now_ms(), true, true) {
        crate::window::Claimed::New(claim) => claim,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_publisher_is_told_of_a_duplicate_when_its_original_has_come_and_not_before() {
    let rig = Arc::new(Rig::new(PLENTY));
    let queue = rig.ordered("q", LONG_MS).await;
    let claim = about_to_come(&queue, "a");
    let (told, hears) = std::sync::mpsc::channel();
    let publisher = {
        let rig = Arc::clone(&rig);
        std::thread::spawn(move || told.send(rig.publish_known("q", "a")).unwrap())
    };
    assert!(hears.recv_timeout(Duration::from_millis(200)).is_err(), "nobody knows yet whether it comes");
    // It does not.
    drop(claim);
    let published = hears.recv_timeout(Duration::from_secs(30)).unwrap().unwrap();
    publisher.join().unwrap();
    assert!(published.durable.is_some());
    assert_eq!((published.routed, published.refused, queue.status().ready, rig.stored()), (1, 0, 1, 2));
}

#[tokio::test]
async fn whoever_has_claims_does_not_wait_for_those_of_others_and_is_not_taken() {
    let rig = Rig::new(PLENTY);
    let (one, other) = (rig.ordered("one", LONG_MS).await, rig.ordered("other", LONG_MS).await);
    let claim = about_to_come(&other, "a");
    let route = |key: &str| -> Arc<Route> { rig.vhost.route(&mut RouteCache::default(), "", key.as_bytes()).unwrap() };
    // In a transaction what comes with it may be its original, but this is not.
    let publishes = vec![(route("one"), known("one", "b")), (route("other"), known("other", "a"))];
    let transaction = Transaction { publishes, ..Transaction::default() };
    let commit = || rig.vhost.commit_transaction(&transaction, now_ms(), &mut Wakes::new());
    assert_eq!(commit(), Err(Error::TransactionRefused));
    assert_eq!((one.status().ready, other.status().ready, rig.stored()), (0, 0, 0));
    drop(claim);
    assert_eq!(commit().unwrap().0, [1, 1]);
    // Of what the broker itself carries on, nothing goes: it comes again later, as where the disk is full.
    let claim = about_to_come(&other, "c");
    let parcel = |queues: &[&Arc<Queue>], id: &str| Parcel {
        taken_from: None,
        message: known("", id),
        reached: Reached { queues: queues.iter().map(|queue| Arc::clone(queue)).collect(), aside: None },
        stays_in: Some(1),
        redelivered: false,
        is_first: true,
        again: smallvec::SmallVec::new(),
    };
    let relay = |parcels: &mut [Parcel]| rig.vhost.relay(parcels, now_ms(), &mut Wakes::new());
    assert_eq!(relay(&mut [parcel(&[&one], "d"), parcel(&[&other], "c")]), Err(Error::Full));
    // One message to both: the second of them is as good as full.
    assert_eq!(relay(&mut [parcel(&[&one, &other], "c")]), Ok(vec![0]));
    assert_eq!((one.status().ready, other.status().ready, rig.stored()), (1, 1, 4));
    drop(claim);
    assert_eq!(relay(&mut [parcel(&[&one], "d"), parcel(&[&one, &other], "c")]), Ok(Vec::new()));
    assert_eq!((one.status().ready, other.status().ready), (3, 2));
}
