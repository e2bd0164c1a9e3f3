//! Exchanges that do more than route: hold back, remember, drop duplicates.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::exchange::ExchangeKind;
use crate::{Kind, Message, native};

fn exchange(kind: ExchangeKind, arguments: &[(&str, Value)]) -> ExchangeOptions {
    let arguments = arguments.iter().map(|(name, value)| (*name, value.clone())).collect();
    ExchangeOptions { kind, durable: true, auto_delete: false, internal: false, arguments }
}

fn delayed(inner: &str) -> ExchangeOptions {
    exchange(ExchangeKind::Delayed, &[("x-delayed-type", Value::from(inner))])
}

fn message(key: &str, body: &str, headers: &[(&str, Value)]) -> Arc<Message> {
    let headers = headers.iter().map(|(name, value)| (*name, value.clone())).collect();
    let essentials = Essentials { durable: true, ..Essentials::default() };
    native::message(&Arc::from("x"), Bytes::copy_from_slice(key.as_bytes()), essentials, headers, None, body.as_bytes())
}

impl Rig {
    /// Publishes with headers, and further keys.
    fn send(&self, exchange: &str, message: &Arc<Message>, further_keys: &[&str]) -> Result<Published, Error> {
        let key = message.address().routing_key.clone();
        let mut route = self.vhost.route(&mut RouteCache::default(), exchange, &key)?;
        if !further_keys.is_empty() {
            let keys = further_keys.iter().map(|key| Bytes::copy_from_slice(key.as_bytes())).collect();
            route = self.vhost.route_copies(&route, keys);
        }
        self.vhost.publish(&route, message, now_ms(), &mut Wakes::new())
    }

    fn held_back(&self, exchange: &str) -> usize {
        self.vhost.exchange(exchange).unwrap().delayed()
    }
}

/// Waits until so many messages wait in a queue.
async fn arrived(queue: &Arc<Queue>, ready: usize) {
    let all = async {
        while queue.status().ready != ready {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), all).await;
    assert!(waited.is_ok(), "{} of {ready} messages", queue.status().ready);
}

fn headers_of(queue: &Arc<Queue>) -> Table {
    let (delivery, _) = queue.fetch(0, true).unwrap();
    let Content::Loaded(message) = &delivery.content else { panic!("it has not left memory") };
    let headers = message.properties().headers.clone().unwrap();
    queue.settle(&[delivery.lease.unwrap()], Outcome::Release, &mut Wakes::new());
    headers
}

#[tokio::test]
async fn a_message_is_routed_by_what_is_bound_when_it_is_due() {
    let rig = Rig::new(PLENTY);
    rig.exchange("x", delayed("topic")).await;
    let (early, late) = (rig.queue("early", durable()).await, rig.queue("late", durable()).await);
    rig.bind("x", (Kind::Queue, "early"), "a.*").await;
    let resident_before = rig.stored();
    let published = rig.send("x", &message("a.b", "later", &[("x-delay", Value::I32(300))]), &[]).unwrap();
    assert_eq!(published.routed, 0);
    assert!(published.durable.is_some());
    assert_eq!((rig.held_back("x"), rig.stored()), (1, resident_before + 1));
    for now in ["0", "-5", "abc", "4294967296"] {
        let published = rig.send("x", &message("a.b", now, &[("x-delay", Value::from(now))]), &[]).unwrap();
        assert_eq!(published.routed, 1, "{now}");
    }
    rig.send("x", &message("a.b", "none", &[]), &[]).unwrap();
    assert_eq!(rig.bodies(&early).await, ["0", "-5", "abc", "4294967296", "none"]);
    rig.vhost.unbind("x", (Kind::Queue, "early"), b"a.*", &Table::new(), CLIENT).await.unwrap();
    rig.bind("x", (Kind::Queue, "late"), "#").await;
    arrived(&late, 1).await;
    assert_eq!(rig.bodies(&late).await, ["later"]);
    assert_eq!(headers_of(&late).get("x-delay"), Some(&Value::I32(-300)));
    assert_eq!(early.status().ready, 5);
    assert_eq!((rig.held_back("x"), rig.stored()), (0, resident_before + 6));
}

#[tokio::test]
async fn messages_come_in_the_order_of_their_times_and_equal_times_in_order() {
    let rig = Rig::new(PLENTY);
    rig.exchange("x", delayed("fanout")).await;
    let queue = rig.queue("q", durable()).await;
    rig.bind("x", (Kind::Queue, "q"), "").await;
    let now_ms = now_ms();
    let route = rig.vhost.route(&mut RouteCache::default(), "x", b"").unwrap();
    for n in 0..3000 {
        // The later ones are due first, in threes.
        let delay_ms = 400 - i32::from(n / 3 % 100 != 0) - n / 300 * 30;
        let message = message("", &format!("{delay_ms:03} {n:04}"), &[("x-delay", Value::I32(delay_ms))]);
        rig.vhost.publish(&route, &message, now_ms, &mut Wakes::new()).unwrap();
    }
    assert_eq!(rig.held_back("x"), 3000);
    arrived(&queue, 3000).await;
    let bodies = rig.bodies(&queue).await;
    let mut sorted = bodies.clone();
    sorted.sort();
    assert_eq!(bodies, sorted);
}

#[tokio::test]
async fn what_waits_survives_a_crash_without_being_read() {
    let rig = Rig::new(PLENTY);
    rig.exchange("x", delayed("direct")).await;
    rig.exchange("fan", exchange(ExchangeKind::Fanout, &[])).await;
    rig.queue("q", durable()).await;
    rig.queue("now", durable()).await;
    rig.bind("x", (Kind::Queue, "q"), "k").await;
    rig.bind("fan", (Kind::Exchange, "x"), "").await;
    rig.bind("fan", (Kind::Queue, "now"), "").await;
    for n in 0..100 {
        let published = rig.send("fan", &message("k", &n.to_string(), &[("x-delay", Value::I64(500))]), &[]).unwrap();
        assert_eq!(published.routed, 1);
    }
    // Also what asked for no durability: that it is not in a queue yet is the broker's doing.
    let transient = native::message(
        &Arc::from("x"),
        Bytes::from_static(b"k"),
        Essentials::default(),
        [("x-delay", Value::I64(600))].into_iter().collect(),
        None,
        b"transient",
    );
    rig.send("x", &transient, &[]).unwrap();
    let rig = rig.crash();
    assert_eq!(rig.held_back("x"), 101);
    let (queue, now) = (rig.vhost.queue("q", CLIENT).unwrap(), rig.vhost.queue("now", CLIENT).unwrap());
    assert_eq!(now.status().ready, 100);
    arrived(&queue, 101).await;
    let expected: Vec<String> = (0..100).map(|n| n.to_string()).chain(["transient".to_owned()]).collect();
    assert_eq!(rig.bodies(&queue).await, expected);
    let rig = rig.restart();
    assert_eq!(rig.held_back("x"), 0);
    assert_eq!(rig.vhost.queue("q", CLIENT).unwrap().status().ready, 100);
}

#[tokio::test]
async fn killed_while_it_fires_a_message_is_in_one_place() {
    let rig = Rig::new(PLENTY);
    rig.exchange("x", delayed("direct")).await;
    let queue = rig.queue("q", durable()).await;
    rig.bind("x", (Kind::Queue, "q"), "k").await;
    rig.send("x", &message("k", "once", &[("x-delay", Value::I32(100))]), &[]).unwrap();
    rig.journal.hold();
    arrived(&queue, 1).await;
    // The record that moves it has not reached the disk.
    let rig = rig.crash();
    let queue = rig.vhost.queue("q", CLIENT).unwrap();
    arrived(&queue, 1).await;
    assert_eq!((rig.held_back("x"), rig.stored()), (0, 1));
    let rig = rig.crash();
    assert_eq!(rig.held_back("x"), 0);
    assert_eq!(rig.bodies(&rig.vhost.queue("q", CLIENT).unwrap()).await, ["once"]);
}

#[tokio::test]
async fn on_a_full_disk_what_is_due_waits_and_what_comes_is_refused() {
    let rig = Rig::new(PLENTY);
    rig.exchange("x", delayed("fanout")).await;
    let queue = rig.queue("q", durable()).await;
    rig.bind("x", (Kind::Queue, "q"), "").await;
    for n in 0..5 {
        rig.send("x", &message("", &n.to_string(), &[("x-delay", Value::I32(50 + n))]), &[]).unwrap();
    }
    rig.faults.set_full(true);
    assert_eq!(rig.send("x", &message("", "5", &[("x-delay", Value::I32(50))]), &[]), Err(Error::Full));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(queue.status().ready, 0);
    rig.faults.set_full(false);
    arrived(&queue, 5).await;
    assert_eq!(rig.bodies(&queue).await, ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn an_exchange_takes_what_it_holds_back_with_it() {
    let rig = Rig::new(PLENTY);
    rig.exchange("x", delayed("fanout")).await;
    for n in 0..10_000 {
        rig.send("x", &message("", &n.to_string(), &[("x-delay", Value::I32(600_000))]), &[]).unwrap();
    }
    assert_eq!((rig.held_back("x"), rig.stored()), (10_000, 10_000));
    rig.vhost.delete_exchange("x", false).await.unwrap();
    let gone = async {
        while rig.stored() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
    assert_eq!(rig.broker.shared().delays.len(), 0);
    let rig = rig.crash();
    assert_eq!(rig.stored(), 0);
}

#[tokio::test]
async fn further_keys_count_when_a_message_is_due_and_a_dead_letter_can_be_delayed() {
    let rig = Rig::new(PLENTY);
    rig.exchange("x", delayed("direct")).await;
    let (one, other) = (rig.queue("one", durable()).await, rig.queue("other", durable()).await);
    rig.bind("x", (Kind::Queue, "one"), "a").await;
    rig.bind("x", (Kind::Queue, "other"), "b").await;
    let cc = Value::Array(vec![Value::from("b")]);
    rig.send("x", &message("a", "both", &[("x-delay", Value::I32(50)), ("CC", cc)]), &["b"]).unwrap();
    assert_eq!(rig.held_back("x"), 1);
    arrived(&one, 1).await;
    arrived(&other, 1).await;
    let mut arguments = Table::new();
    arguments.push("x-dead-letter-exchange", "x");
    arguments.push("x-dead-letter-routing-key", "b");
    let failing = rig.queue("failing", QueueOptions { arguments, ..durable() }).await;
    rig.send("", &message("failing", "letter", &[("x-delay", Value::I32(200))]), &[]).unwrap();
    let lease = failing.fetch(0, true).unwrap().0.lease.unwrap();
    failing.settle(&[lease], Outcome::Reject, &mut Wakes::new());
    arrived(&other, 2).await;
    assert_eq!((rig.held_back("x"), failing.status().ready), (0, 0));
    assert_eq!(rig.bodies(&other).await, ["both", "letter"]);
}

#[tokio::test]
async fn what_is_newly_bound_gets_the_last_messages() {
    let rig = Rig::new(PLENTY);
    rig.exchange("x", exchange(ExchangeKind::RecentHistory, &[("x-recent-history-length", Value::I32(3))])).await;
    rig.exchange("fan", exchange(ExchangeKind::Fanout, &[])).await;
    let (first, second) = (rig.queue("first", durable()).await, rig.queue("second", durable()).await);
    rig.bind("x", (Kind::Queue, "first"), "").await;
    for n in 0..5 {
        assert_eq!(rig.send("x", &message("k", &n.to_string(), &[]), &["k2", "k3"]).unwrap().routed, 1);
    }
    rig.send("x", &message("k", "secret", &[("x-recent-history-no-store", Value::Bool(true))]), &[]).unwrap();
    assert_eq!(rig.bodies(&first).await, ["0", "1", "2", "3", "4", "secret"]);
    rig.faults.set_full(true);
    assert_eq!(rig.send("x", &message("k", "refused", &[]), &[]), Err(Error::Full));
    rig.faults.set_full(false);
    rig.bind("x", (Kind::Queue, "second"), "").await;
    assert_eq!(rig.bodies(&second).await, ["2", "3", "4"]);
    rig.bind("x", (Kind::Queue, "second"), "").await;
    assert_eq!(second.status().ready, 3);
    // By way of an exchange, too.
    let third = rig.queue("third", durable()).await;
    rig.bind("fan", (Kind::Queue, "third"), "").await;
    rig.bind("x", (Kind::Exchange, "fan"), "").await;
    assert_eq!(rig.bodies(&third).await, ["2", "3", "4"]);
    let rig = rig.crash();
    let after = rig.queue("after", durable()).await;
    rig.bind("x", (Kind::Queue, "after"), "").await;
    assert_eq!(after.status().ready, 0);
    assert_eq!(rig.bodies(&rig.vhost.queue("second", CLIENT).unwrap()).await, ["2", "3", "4"]);
}

#[tokio::test]
async fn a_message_that_was_seen_goes_to_nobody_but_the_alternate_exchange() {
    let rig = Rig::new(PLENTY);
    let arguments = [
        ("x-cache-size", Value::I32(100)),
        ("x-cache-persistence", Value::from("disk")),
        ("alternate-exchange", Value::from("rest")),
    ];
    rig.exchange("x", exchange(ExchangeKind::Deduplication, &arguments)).await;
    rig.exchange("rest", exchange(ExchangeKind::Fanout, &[])).await;
    let (queue, rest) = (rig.queue("q", durable()).await, rig.queue("rest", durable()).await);
    rig.bind("x", (Kind::Queue, "q"), "").await;
    rig.bind("rest", (Kind::Queue, "rest"), "").await;
    let of = |body: &str, id: &str| message("", body, &[("x-deduplication-header", Value::from(id))]);
    rig.faults.set_full(true);
    assert_eq!(rig.send("x", &of("first", "a"), &[]), Err(Error::Full));
    rig.faults.set_full(false);
    rig.send("x", &of("first", "a"), &["k", "k2"]).unwrap();
    rig.send("x", &of("again", "a"), &[]).unwrap();
    rig.send("x", &message("", "none", &[]), &[]).unwrap();
    rig.send("x", &message("", "none", &[]), &[]).unwrap();
    let brief = [("x-deduplication-header", Value::from("b")), ("x-cache-ttl", Value::I32(0))];
    rig.send("x", &message("", "brief", &brief), &[]).unwrap();
    rig.send("x", &message("", "brief", &brief), &[]).unwrap();
    assert_eq!(rig.bodies(&queue).await, ["first", "none", "none", "brief", "brief"]);
    assert_eq!(rig.bodies(&rest).await, ["again"]);
    // It was to be remembered on disk.
    let rig = rig.crash();
    rig.send("x", &of("later", "a"), &[]).unwrap();
    rig.send("x", &of("new", "c"), &[]).unwrap();
    assert_eq!(rig.bodies(&rig.vhost.queue("rest", CLIENT).unwrap()).await, ["again", "later"]);
    let kept = rig.stored();
    rig.vhost.delete_exchange("x", false).await.unwrap();
    let gone = async {
        while rig.stored() >= kept {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
}

#[tokio::test]
async fn a_queue_that_takes_no_duplicates_has_each_once_until_it_is_settled() {
    let rig = Rig::new(PLENTY);
    let arguments: Table = [("x-message-deduplication", Value::Bool(true))].into_iter().collect();
    let queue = rig.queue("q", QueueOptions { arguments, ..durable() }).await;
    let of = |body: &str, id: &str| message("q", body, &[("x-deduplication-header", Value::from(id))]);
    rig.faults.set_full(true);
    assert_eq!(rig.send("", &of("refused", "a"), &[]), Err(Error::Full));
    rig.faults.set_full(false);
    for (body, id) in [("one", "a"), ("two", "b"), ("three", "a")] {
        assert_eq!(rig.send("", &of(body, id), &[]).unwrap().routed, 1);
    }
    assert_eq!(rig.bodies(&queue).await, ["one", "two"]);
    assert_eq!(rig.stored(), 2);
    let rig = rig.crash();
    let queue = rig.vhost.queue("q", CLIENT).unwrap();
    rig.send("", &of("four", "a"), &[]).unwrap();
    let lease = queue.fetch(0, true).unwrap().0.lease.unwrap();
    rig.send("", &of("five", "a"), &[]).unwrap();
    assert_eq!(rig.bodies(&queue).await, ["two"]);
    queue.settle(&[lease], Outcome::Accept, &mut Wakes::new());
    rig.send("", &of("six", "a"), &[]).unwrap();
    assert_eq!(rig.bodies(&queue).await, ["two", "six"]);
    assert!(queue.fetch(0, false).is_some());
    rig.send("", &of("seven", "b"), &[]).unwrap();
    queue.purge();
    rig.send("", &of("eight", "b"), &[]).unwrap();
    assert_eq!(rig.bodies(&queue).await, ["eight"]);
}

#[tokio::test]
async fn one_queue_is_chosen_for_each_message_whatever_further_keys_it_has() {
    let rig = Rig::new(PLENTY);
    let kinds =
        [ExchangeKind::ConsistentHash, ExchangeKind::ModulusHash, ExchangeKind::Random, ExchangeKind::LocalRandom];
    for kind in kinds {
        rig.exchange(kind.name(), exchange(kind, &[])).await;
        let key = if kind == ExchangeKind::ConsistentHash { "1" } else { "" };
        let mut queues = Vec::new();
        for n in 0..10 {
            let name = format!("{kind}-{n}");
            queues.push(rig.queue(&name, durable()).await);
            rig.bind(kind.name(), (Kind::Queue, &name), key).await;
        }
        for n in 0..200 {
            let message = message(&n.to_string(), "", &[]);
            assert_eq!(rig.send(kind.name(), &message, &["0", "1", "2"]).unwrap().routed, 1);
        }
        let counts: Vec<usize> = queues.iter().map(|queue| queue.status().ready).collect();
        assert_eq!(counts.iter().sum::<usize>(), 200, "{kind}");
        assert!(counts.iter().all(|count| *count > 0), "{kind}: {counts:?}");
        // The same key again and again: by its hash to one queue, at random to all.
        let mut cache = RouteCache::default();
        for _ in 0..200 {
            let route = rig.vhost.route(&mut cache, kind.name(), b"same").unwrap();
            rig.vhost.publish(&route, &message("same", "", &[]), now_ms(), &mut Wakes::new()).unwrap();
        }
        let more = queues.iter().zip(&counts).filter(|(queue, count)| queue.status().ready > **count).count();
        let expected = if matches!(kind, ExchangeKind::Random | ExchangeKind::LocalRandom) { 10 } else { 1 };
        assert_eq!(more, expected, "{kind}");
    }
}

#[tokio::test]
async fn arguments_and_keys_that_make_no_sense_are_refused_in_the_plugins_words() {
    let rig = Rig::new(PLENTY);
    let positive = "must be an integer greater than 0";
    let cases = [
        (
            ExchangeKind::Delayed,
            vec![],
            "Invalid argument, 'x-delayed-type' must be an existing exchange type".to_owned(),
        ),
        (
            ExchangeKind::Delayed,
            vec![("x-delayed-type", Value::from("x-delayed-message"))],
            "Invalid argument, 'x-delayed-type' must be an existing exchange type".to_owned(),
        ),
        (
            ExchangeKind::ConsistentHash,
            vec![("hash-header", Value::from("a")), ("hash-property", Value::from("message_id"))],
            "hash-header and hash-property are mutually exclusive".to_owned(),
        ),
        (
            ExchangeKind::ConsistentHash,
            vec![("hash-property", Value::from("foo"))],
            "Unsupported property: foo".to_owned(),
        ),
        (
            ExchangeKind::RecentHistory,
            vec![("x-recent-history-length", Value::from("a"))],
            "Invalid argument <<\"a\">>, 'x-recent-history-length' must be a positive integer".to_owned(),
        ),
        (
            ExchangeKind::RecentHistory,
            vec![("x-recent-history-length", Value::I32(0))],
            "Invalid argument 0, 'x-recent-history-length' must be a positive integer".to_owned(),
        ),
        (ExchangeKind::Deduplication, vec![], format!("Missing or invalid argument, 'x-cache-size' {positive}")),
        (
            ExchangeKind::Deduplication,
            vec![("x-cache-size", Value::I32(1)), ("x-cache-ttl", Value::I32(0))],
            format!("Invalid argument, 'x-cache-ttl' {positive}"),
        ),
        (
            ExchangeKind::Deduplication,
            vec![("x-cache-size", Value::I32(1)), ("x-cache-persistence", Value::from("tape"))],
            "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'".to_owned(),
        ),
    ];
    let words = |error: Error| match error {
        Error::InvalidArgument { problem, .. } => problem.to_string(),
        other => panic!("{other:?}"),
    };
    for (kind, arguments, expected) in cases {
        let error = rig.vhost.declare_exchange("wrong", exchange(kind, &arguments)).await.unwrap_err();
        assert_eq!(words(error), expected);
    }
    let nope = exchange(ExchangeKind::Delayed, &[("x-delayed-type", Value::from("x-nope"))]);
    let error = rig.vhost.declare_exchange("wrong", nope).await.unwrap_err();
    assert_eq!(error, Error::UnknownExchangeType("x-nope".to_owned()));
    // An absurd number is a number.
    for (kind, name) in
        [(ExchangeKind::RecentHistory, "x-recent-history-length"), (ExchangeKind::Deduplication, "x-cache-size")]
    {
        rig.exchange(kind.name(), exchange(kind, &[(name, Value::I64(i64::MAX))])).await;
    }
    rig.exchange("hash", exchange(ExchangeKind::ConsistentHash, &[])).await;
    rig.exchange("random", exchange(ExchangeKind::LocalRandom, &[])).await;
    rig.queue("q", durable()).await;
    let mut said = HashSet::new();
    for (source, key) in [("hash", "abc"), ("hash", "0"), ("hash", "1000001"), ("random", "k")] {
        let bound = rig.vhost.bind(source, (Kind::Queue, "q"), key.as_bytes(), &Table::new(), CLIENT).await;
        said.insert(words(bound.unwrap_err()));
    }
    assert!(said.contains("The binding key must be an integer: <<\"abc\">>"), "{said:?}");
    assert!(said.contains("The binding key must be greater than 0"), "{said:?}");
    assert!(said.contains("Non empty binding 'k' key not permitted"), "{said:?}");
    assert_eq!(said.len(), 4);
}

fn events_in(queue: &Arc<Queue>) -> Vec<(String, Table)> {
    let mut events = Vec::new();
    while let Some((delivery, _)) = queue.fetch(0, false) {
        let Content::Loaded(message) = &delivery.content else { panic!("it has not left memory") };
        assert_eq!(&*message.address().exchange, "amq.rabbitmq.event");
        let key = String::from_utf8(message.address().routing_key.to_vec()).unwrap();
        events.push((key, message.properties().headers.clone().unwrap()));
    }
    events
}

#[tokio::test]
async fn what_happens_is_told_to_those_who_listen_and_to_nobody_else() {
    let rig = Rig::new(PLENTY);
    let log = rig.queue("log", QueueOptions::default()).await;
    rig.exchange("before", exchange(ExchangeKind::Fanout, &[])).await;
    rig.bind("amq.rabbitmq.event", (Kind::Queue, "log"), "queue.#").await;
    rig.bind("amq.rabbitmq.event", (Kind::Queue, "log"), "*.deleted").await;
    rig.queue("q", QueueOptions { arguments: with(&[("x-expires", 60_000)]), ..durable() }).await;
    rig.exchange("x", exchange(ExchangeKind::Fanout, &[])).await;
    rig.bind("x", (Kind::Queue, "q"), "k").await;
    rig.vhost.delete_queue("q", crate::DeleteQueue::default(), CLIENT).await.unwrap();
    rig.vhost.delete_exchange("x", false).await.unwrap();
    arrived(&log, 4).await;
    let events = events_in(&log);
    let keys: Vec<&str> = events.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["queue.created", "queue.deleted", "binding.deleted", "exchange.deleted"]);
    let said = |event: usize, name: &str| events[event].1.get(name).cloned();
    assert_eq!(said(0, "name"), Some(Value::from("q")));
    assert_eq!(said(0, "vhost"), Some(Value::from("/")));
    assert_eq!(said(0, "durable"), Some(Value::Bool(true)));
    assert_eq!(said(0, "arguments"), Some(Value::Array(vec![Value::from("{<<\"x-expires\">>,long,60000}")])));
    assert!(said(0, "timestamp_in_ms").is_some());
    assert_eq!(said(2, "source_name"), Some(Value::from("x")));
    assert_eq!(said(2, "destination_name"), Some(Value::from("q")));
    assert_eq!(said(2, "routing_key"), Some(Value::from("k")));
    assert_eq!(said(3, "name"), Some(Value::from("x")));
    // Clients cannot tell events of their own.
    let forged = rig.publish("amq.rabbitmq.event", "queue.created", "");
    assert!(matches!(forged, Err(Error::Forbidden { .. })), "{forged:?}");
}

#[tokio::test]
async fn while_it_is_traced_each_message_is_copied_with_what_it_is_a_copy_of() {
    let rig = Rig::new(PLENTY);
    let log = rig.queue("log", durable()).await;
    let queue = rig.queue("q", durable()).await;
    rig.bind("amq.rabbitmq.trace", (Kind::Queue, "log"), "#").await;
    rig.bind("amq.topic", (Kind::Queue, "q"), "a.*").await;
    assert!(!rig.vhost.is_traced());
    rig.vhost.set_tracing(true).await.unwrap();
    let by = crate::TracedBy { connection: "here", channel: 3, user: "guest" };
    let route = rig.vhost.route(&mut RouteCache::default(), "amq.topic", b"a.b").unwrap();
    let sent = message("a.b", "body", &[("h", Value::I32(1))]);
    let published = rig.vhost.publish_traced(&route, &sent, now_ms(), &mut Wakes::new(), by).unwrap();
    assert_eq!((published.routed, queue.status().ready), (1, 1));
    rig.vhost.trace_delivery(&sent, "q", true, by, &mut Wakes::new());
    let mut copies = Vec::new();
    while let Some((delivery, _)) = log.fetch(0, false) {
        let Content::Loaded(copy) = &delivery.content else { panic!("it has not left memory") };
        assert_eq!(copy.body(), b"body");
        let key = String::from_utf8(copy.address().routing_key.to_vec()).unwrap();
        copies.push((key, copy.properties().headers.clone().unwrap()));
    }
    let said = |copy: usize, name: &str| copies[copy].1.get(name).cloned();
    assert_eq!(copies.len(), 2);
    assert_eq!((copies[0].0.as_str(), copies[1].0.as_str()), ("publish.x", "deliver.q"));
    assert_eq!(said(0, "routing_keys"), Some(Value::Array(vec![Value::from("a.b")])));
    assert_eq!(said(0, "routed_queues"), Some(Value::Array(vec![Value::from("q")])));
    assert_eq!((said(0, "channel"), said(0, "user")), (Some(Value::I32(3)), Some(Value::from("guest"))));
    let properties = said(0, "properties").unwrap();
    let properties = properties.as_table().unwrap();
    assert_eq!(properties.get("delivery_mode"), Some(&Value::I32(2)));
    assert_eq!(properties.get("headers").and_then(Value::as_table).unwrap().get("h"), Some(&Value::I32(1)));
    assert_eq!(said(1, "redelivered"), Some(Value::I32(1)));
    let rig = rig.restart();
    assert!(rig.vhost.is_traced());
    rig.vhost.set_tracing(false).await.unwrap();
    let rig = rig.crash();
    assert!(!rig.vhost.is_traced());
}

#[tokio::test]
async fn topics_by_which_a_message_has_come() {
    let rig = Rig::new(PLENTY);
    rig.exchange("from", exchange(ExchangeKind::Topic, &[])).await;
    rig.exchange("between", exchange(ExchangeKind::Fanout, &[])).await;
    for topic in ["a", "b"] {
        rig.exchange(topic, exchange(ExchangeKind::Subscriptions, &[])).await;
    }
    for queue in ["of-a", "of-b", "of-both", "of-from"] {
        rig.queue(queue, durable()).await;
    }
    for (topic, queue) in [("a", "of-a"), ("b", "of-b"), ("a", "of-both"), ("b", "of-both"), ("from", "of-from")] {
        rig.bind(topic, (Kind::Queue, queue), if topic == "from" { "#" } else { "" }).await;
    }
    rig.bind("from", (Kind::Exchange, "a"), "room.*").await;
    rig.bind("from", (Kind::Exchange, "between"), "house.#").await;
    rig.bind("between", (Kind::Exchange, "b"), "").await;
    // They may go in circles.
    rig.bind("b", (Kind::Exchange, "from"), "").await;
    let by = |key: &str, queue: &str| {
        let message = plain("from", key, Essentials::default(), b"");
        let topics = rig.vhost.topics_between("from", key.as_bytes(), &message, queue);
        topics.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(by("room.1", "of-a"), ["a"]);
    assert_eq!(by("room.1", "of-both"), ["a"]);
    assert_eq!(by("house.1", "of-both"), ["b"]);
    assert_eq!(by("elsewhere", "of-a"), [""; 0]);
    // Not by a topic, though one is there.
    assert_eq!(by("room.1", "of-from"), [""; 0]);
    // It may have led there before.
    assert_eq!(by("house.1", "of-a"), ["b"]);
    let message = plain("gone", "", Essentials::default(), b"");
    assert!(rig.vhost.topics_between("gone", b"", &message, "of-a").is_empty());
}
