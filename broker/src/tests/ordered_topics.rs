//! Topics with order: what is published twice, numbers, and one order in all queues.

use super::*;
use crate::exchange::ExchangeKind;
use crate::{
    Bound, Deduplication, ExchangeSettings, Kind, Ordered, Original, PublishedOnce, QueueSettings, Transaction,
};

/// Longer than any test.
pub(super) const LONG_MS: u64 = 300_000;

fn topic(durable: bool) -> ExchangeOptions {
    let kind = ExchangeKind::Subscriptions;
    ExchangeOptions { kind, durable, auto_delete: false, internal: false, arguments: Table::default() }
}

pub(super) fn ordered(deduplication_ms: u64) -> ExchangeSettings {
    let ordered = Ordered { deduplication_ms, per_group: false };
    ExchangeSettings { ordered: Some(ordered), ..ExchangeSettings::default() }
}

impl Rig {
    pub(super) async fn topic(&self, name: &str, settings: ExchangeSettings) {
        let (_, _, pending) = self.vhost.declare_exchange_with(name, topic(true), settings).unwrap();
        pending.wait().await.unwrap();
    }

    pub(super) async fn bind_to(&self, topic: &str, queue: &str) {
        let new = Bound { queue, arguments: &Table::default() };
        self.vhost.rebind(topic, None, Some(new)).unwrap().wait().await.unwrap();
    }

    pub(super) fn once(&self, topic: &str, id: &str, now_ms: u64) -> Result<PublishedOnce, Error> {
        let route = self.vhost.route(&mut RouteCache::default(), topic, b"")?;
        // A group of its own, so that all that waits can be looked at.
        let group = Some(crate::Group::new(id.as_bytes(), false));
        let essentials = Essentials { durable: true, group, ..Essentials::default() };
        let deduplication = Deduplication::new(id.as_bytes());
        self.vhost.publish_once(&route, deduplication, now_ms, &mut Wakes::new(), |sequence| {
            plain(topic, "", essentials, format!("{id} {sequence}").as_bytes())
        })
    }

    fn ready(&self, queue: &str) -> usize {
        self.vhost.queue(queue, CLIENT).unwrap().status().ready
    }
}

#[tokio::test]
async fn what_is_published_again_is_a_duplicate_also_after_a_stop_and_a_crash() {
    for orderly in [false, true] {
        let mut rig = Rig::new(PLENTY);
        rig.topic("t", ordered(LONG_MS)).await;
        for queue in ["a", "b"] {
            rig.queue(queue, durable()).await;
            rig.bind_to("t", queue).await;
        }
        let then_ms = now_ms();
        let first = rig.once("t", "x", then_ms).unwrap();
        assert_eq!((first.published.routed, first.original), (2, None));
        let second = rig.once("t", "y", then_ms).unwrap();
        assert!(second.sequence > first.sequence);
        let original = Some(Original { seq: first.sequence, sent_ms: then_ms });
        let mut last = second.sequence;
        for round in 0..3 {
            let again = rig.once("t", "x", then_ms + LONG_MS - 1).unwrap();
            assert_eq!((again.published.routed, again.sequence, again.original), (0, first.sequence, original));
            let new = rig.once("t", &format!("new {round}"), then_ms).unwrap();
            assert!(new.original.is_none() && new.sequence > last, "numbers rise");
            last = new.sequence;
            assert_eq!((rig.ready("a"), rig.ready("b")), (3 + round, 3 + round));
            rig = if orderly { rig.restart() } else { rig.crash() };
        }
        // When its time is over it is new.
        let later = rig.once("t", "x", then_ms + LONG_MS).unwrap();
        assert_eq!((later.published.routed, later.original), (2, None));
    }
}

#[tokio::test]
async fn a_message_that_nobody_gets_is_remembered_all_the_same() {
    let rig = Rig::new(PLENTY);
    rig.topic("t", ordered(LONG_MS)).await;
    let then_ms = now_ms();
    let first = rig.once("t", "x", then_ms).unwrap();
    assert_eq!(first.published.routed, 0);
    assert!(first.published.durable.is_some(), "that it was published is to be durable");
    let rig = rig.crash();
    rig.queue("q", durable()).await;
    rig.bind_to("t", "q").await;
    assert_eq!(rig.once("t", "x", then_ms).unwrap().sequence, first.sequence);
    assert_eq!(rig.once("t", "y", then_ms).unwrap().published.routed, 1);
}

#[tokio::test]
async fn a_topic_without_order_takes_everything_and_numbers_it() {
    let rig = Rig::new(PLENTY);
    rig.topic("t", ExchangeSettings::default()).await;
    rig.queue("q", durable()).await;
    rig.bind_to("t", "q").await;
    let (first, second) = (rig.once("t", "x", now_ms()).unwrap(), rig.once("t", "x", now_ms()).unwrap());
    assert!(first.original.is_none() && second.original.is_none() && second.sequence > first.sequence);
    assert_eq!(rig.ready("q"), 2);
    // Ordered from now on.
    let exchange = rig.vhost.exchange("t").unwrap();
    rig.vhost.set_exchange_settings(&exchange, ordered(LONG_MS)).unwrap().wait().await.unwrap();
    rig.once("t", "x", now_ms()).unwrap();
    assert!(rig.once("t", "x", now_ms()).unwrap().original.is_some());
    assert_eq!(rig.ready("q"), 3);
}

#[tokio::test]
async fn a_topic_that_is_gone_leaves_nothing_and_one_of_its_name_knows_nothing() {
    let rig = Rig::new(PLENTY);
    rig.topic("t", ordered(LONG_MS)).await;
    let then_ms = now_ms();
    rig.once("t", "x", then_ms).unwrap();
    assert_eq!(rig.broker.totals().remembered, 1);
    rig.vhost.delete_exchange("t", false).await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(10), async {
        while rig.broker.totals().remembered > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    rig.topic("t", ordered(LONG_MS)).await;
    assert!(rig.once("t", "x", then_ms).unwrap().original.is_none());
    let rig = rig.crash();
    assert_eq!(rig.broker.totals().remembered, 1);
    assert!(rig.once("t", "x", then_ms).unwrap().original.is_some());
}

#[tokio::test]
async fn all_queues_have_one_order_whoever_publishes() {
    const PUBLISHERS: usize = 4;
    const EACH: usize = 200;
    let rig = Rig::new(PLENTY);
    rig.topic("t", ordered(LONG_MS)).await;
    let queues = ["a", "b", "c"];
    for name in queues {
        // One that looks for duplicates itself among them.
        let ordered = (name == "b").then_some(Ordered { deduplication_ms: LONG_MS, per_group: false });
        let settings = QueueSettings { ordered, ..QueueSettings::default() };
        let (_, _, pending) = rig.vhost.declare_with(name, durable(), settings, CLIENT).unwrap();
        pending.wait().await.unwrap();
        rig.bind_to("t", name).await;
    }
    let then_ms = now_ms();
    std::thread::scope(|scope| {
        for _ in 0..PUBLISHERS {
            // All of them publish the same: each id is taken once.
            scope.spawn(|| {
                for number in 0..EACH {
                    rig.once("t", &format!("{number}"), then_ms).unwrap();
                }
            });
        }
    });
    let mut orders = Vec::new();
    for name in queues {
        let queue = rig.vhost.queue(name, CLIENT).unwrap();
        assert_eq!(queue.status().ready, EACH, "{name}");
        orders.push(rig.bodies(&queue).await);
    }
    assert!(orders.iter().all(|order| *order == orders[0]));
    let numbers: Vec<u64> = orders[0].iter().map(|body| body.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    assert!(numbers.is_sorted(), "in the order of their numbers");
}

#[tokio::test]
async fn without_room_nothing_is_published_and_nothing_remembered() {
    let faults = Faults::default();
    let journal = Arc::new(MemoryJournal::new(faults.clone()));
    let table = Arc::new(HeldTable::default());
    let options = BrokerOptions { deduplication_entries_max: 1, ..options(PLENTY) };
    let broker = Broker::open(options, journal.clone(), table.clone(), Found::default()).unwrap();
    let rig = Rig { vhost: vhost(&broker), broker, journal, table, faults };
    rig.topic("t", ordered(LONG_MS)).await;
    rig.queue("q", durable()).await;
    rig.bind_to("t", "q").await;
    rig.once("t", "x", now_ms()).unwrap();
    assert!(matches!(rig.once("t", "y", now_ms()), Err(Error::LimitReached { .. })));
    assert_eq!((rig.ready("q"), rig.broker.totals().remembered), (1, 1));
    // Nor where the disk is full.
    let rig = Rig::new(PLENTY);
    rig.topic("t", ordered(LONG_MS)).await;
    rig.queue("q", durable()).await;
    rig.bind_to("t", "q").await;
    rig.faults.set_full(true);
    assert_eq!(rig.once("t", "x", now_ms()), Err(Error::Full));
    assert_eq!((rig.ready("q"), rig.broker.totals().remembered), (0, 0));
    rig.faults.set_full(false);
    assert!(rig.once("t", "x", now_ms()).unwrap().original.is_none());
    assert_eq!((rig.ready("q"), rig.broker.totals().remembered), (1, 1));
}

#[tokio::test]
async fn where_one_queue_has_no_room_none_gets_it_and_it_may_come_again() {
    for overflow in ["reject-publish", "reject-publish-dlx"] {
        let rig = Rig::new(PLENTY);
        rig.topic("t", ordered(LONG_MS)).await;
        let mut full = durable();
        full.arguments.push("x-max-length", Value::I64(1));
        full.arguments.push("x-overflow", overflow);
        full.arguments.push("x-dead-letter-exchange", "");
        full.arguments.push("x-dead-letter-routing-key", "dead");
        for (name, options) in [("roomy", durable()), ("full", full), ("dead", durable())] {
            rig.queue(name, options).await;
        }
        // One that looks for duplicates itself is not to remember it, either.
        let settings = QueueSettings {
            ordered: Some(Ordered { deduplication_ms: LONG_MS, per_group: false }),
            ..QueueSettings::default()
        };
        rig.vhost.declare_with("picky", durable(), settings, CLIENT).unwrap().2.wait().await.unwrap();
        for queue in ["roomy", "picky", "full"] {
            rig.bind_to("t", queue).await;
        }
        let then_ms = now_ms();
        assert_eq!(rig.once("t", "x", then_ms).unwrap().published.routed, 3);
        let remembered = rig.broker.totals().remembered;
        for _ in 0..2 {
            let refused = rig.once("t", "y", then_ms).unwrap();
            let Published { routed, refused: queues, durable } = refused.published;
            assert_eq!((routed, queues, durable, refused.original), (0, 1, None, None), "{overflow}");
            assert_eq!((rig.ready("roomy"), rig.ready("picky"), rig.ready("full")), (1, 1, 1));
            assert_eq!(rig.broker.totals().remembered, remembered);
        }
        assert_eq!(rig.ready("dead"), 0);
        let queue = rig.vhost.queue("full", CLIENT).unwrap();
        let (delivery, _) = queue.fetch(0, true).unwrap();
        settle(vec![Item::Delivery(delivery)], Outcome::Accept);
        let taken = rig.once("t", "y", then_ms).unwrap();
        assert_eq!((taken.published.routed, taken.published.refused, taken.original), (3, 0, None));
        assert_eq!((rig.ready("roomy"), rig.ready("picky"), rig.ready("full")), (2, 2, 1));
        let rig = rig.crash();
        assert!(rig.once("t", "y", then_ms).unwrap().original.is_some());
    }
}

impl Rig {
    /// Publishes as a client of another protocol does, in each of the ways.
    fn plainly(&self, way: usize, body: &str) {
        let exchange = if way.is_multiple_of(2) { "t" } else { "before" };
        if way < 2 {
            self.publish(exchange, "", body).unwrap();
            return;
        }
        let route = self.vhost.route(&mut RouteCache::default(), exchange, b"").unwrap();
        let essentials = Essentials { durable: true, ..Essentials::default() };
        let publishes = vec![(route, plain(exchange, "", essentials, body.as_bytes()))];
        let transaction = Transaction { publishes, ..Transaction::default() };
        self.vhost.commit_transaction(&transaction, now_ms(), &mut Wakes::new()).unwrap();
    }

    /// A topic with order, and an exchange from which messages come to it.
    async fn behind_another(&self) {
        self.topic("t", ordered(LONG_MS)).await;
        self.topic("before", ExchangeSettings::default()).await;
        self.vhost.bind("before", (Kind::Exchange, "t"), b"", &Table::default(), CLIENT).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_other_protocols_publish_has_one_order_in_all_queues_too() {
    const EACH: usize = 300;
    let rig = Rig::new(PLENTY);
    rig.behind_another().await;
    let queues = ["a", "b", "c"];
    for name in queues {
        rig.queue(name, durable()).await;
        rig.bind_to("t", name).await;
    }
    std::thread::scope(|scope| {
        for way in 0..4 {
            let rig = &rig;
            scope.spawn(move || (0..EACH).for_each(|number| rig.plainly(way, &format!("{way} {number}"))));
        }
    });
    let mut orders = Vec::new();
    for name in queues {
        orders.push(rig.bodies(&rig.vhost.queue(name, CLIENT).unwrap()).await);
    }
    assert_eq!(orders[0].len(), 4 * EACH);
    assert!(orders.iter().all(|order| *order == orders[0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_other_protocols_is_on_its_way_between_messages() {
    const TURNS: usize = 200;
    let rig = Rig::new(PLENTY);
    rig.behind_another().await;
    for name in ["a", "b"] {
        rig.queue(name, durable()).await;
    }
    rig.bind_to("t", "a").await;
    let exchange = rig.vhost.exchange("t").unwrap();
    let (is_over, none) = (AtomicBool::new(false), Table::default());
    let (published, late) = std::thread::scope(|scope| {
        let publishers: Vec<_> = (0..4)
            .map(|way| {
                let (rig, is_over) = (&rig, &is_over);
                scope.spawn(move || {
                    let mut published = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        rig.plainly(way, "x");
                        published += 1;
                    }
                    published
                })
            })
            .collect();
        let (mut from, mut to) = ("a", "b");
        // How many had come to the one that nothing has been bound to since.
        let (mut left, mut late) = (rig.ready("b"), 0);
        for _ in 0..TURNS {
            rig.vhost.between_messages(&exchange, || {
                late += rig.ready(to) - left;
                let [old, new] = [from, to].map(|queue| Some(Bound { queue, arguments: &none }));
                drop(rig.vhost.rebind("t", old, new).unwrap());
                left = rig.ready(from);
            });
            (from, to) = (to, from);
            std::thread::yield_now();
        }
        is_over.store(true, Ordering::Relaxed);
        (publishers.into_iter().map(|publisher| publisher.join().unwrap()).sum::<usize>(), late)
    });
    assert_eq!(late, 0, "messages came where nothing was bound any more");
    assert_eq!(rig.ready("a") + rig.ready("b"), published, "nothing is missing or twice");
}
