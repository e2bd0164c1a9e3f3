//! Queues that store nothing and hand on what comes; and what else protocols with sessions ask of queues.

use super::*;
use crate::exchange::ExchangeKind;
use crate::{DeleteQueue, Kind};

fn direct(rig: &Rig, name: &str, inbox: &Arc<Inbox>) -> Arc<Queue> {
    rig.vhost.open_direct(name, outlet(inbox, 3), CLIENT).unwrap()
}

fn bodies(inbox: &Inbox) -> Vec<String> {
    taken(inbox).iter().filter_map(body_of).collect()
}

#[tokio::test]
async fn what_comes_goes_on_at_once_and_nothing_of_it_is_stored() {
    let rig = Rig::new(PLENTY);
    let inbox = Inbox::new(1 << 20);
    let queue = direct(&rig, "d", &inbox);
    rig.bind("amq.topic", (Kind::Queue, "d"), "a.#").await;
    let published = rig.publish("amq.topic", "a.b", "one").unwrap();
    assert_eq!((published.routed, published.durable, rig.stored()), (1, None, 0));
    rig.publish_with("", "d", "two", Essentials { ttl_ms: Some(60_000), ..Essentials::default() }).unwrap();
    let deliveries: Vec<_> = taken(&inbox)
        .into_iter()
        .filter_map(|item| if let Item::Delivery(delivery) = item { Some(delivery) } else { None })
        .collect();
    assert!(deliveries.iter().all(|delivery| delivery.lease.is_none() && delivery.token == 3));
    assert_eq!(deliveries.iter().map(|delivery| delivery.seq).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(deliveries[0].expires_ms, u64::MAX);
    assert!((now_ms() + 50_000..=now_ms() + 60_000).contains(&deliveries[1].expires_ms));
    let status = queue.status();
    assert_eq!((status.ready, status.unacked, status.consumers), (0, 0, 1));
    assert_eq!((status.counters.enqueued, status.counters.delivered_no_ack, status.counters.dropped), (2, 2, 0));
    for space in ["queues", "bindings"] {
        assert!(rig.table.scan(space, &[]).unwrap().is_empty(), "{space}");
    }
    assert!(rig.crash().vhost.queues().is_empty());
}

#[tokio::test]
async fn what_finds_no_room_is_dropped_and_counted() {
    let rig = Rig::new(PLENTY);
    let (small, large) = (Inbox::new(1), Inbox::new(1 << 20));
    let queue = direct(&rig, "small", &small);
    direct(&rig, "large", &large);
    for name in ["small", "large"] {
        rig.bind("amq.fanout", (Kind::Queue, name), "").await;
    }
    // Nobody is told of it: to the publisher it was routed.
    for body in ["one", "two", "three"] {
        assert_eq!(rig.publish("amq.fanout", "", body).unwrap().routed, 2);
    }
    assert_eq!((bodies(&small), bodies(&large).len()), (vec!["one".to_owned()], 3));
    assert_eq!((queue.status().counters.dropped, rig.broker.totals().dropped), (2, 2));
    assert_eq!(rig.broker.totals().messages.counters.dropped, 2);
    assert!(!small.was_starved());
    rig.publish("amq.fanout", "", "four").unwrap();
    assert_eq!(bodies(&small), ["four"]);
    rig.vhost.delete_queue("small", DeleteQueue::default(), CLIENT).await.unwrap();
    assert_eq!((rig.broker.totals().dropped, rig.broker.totals().messages.counters.dropped), (2, 0));
}

#[tokio::test]
async fn it_belongs_to_its_connection_and_goes_with_it() {
    let rig = Rig::new(PLENTY);
    let inbox = Inbox::new(1 << 20);
    let user = rig.broker.authenticate("guest", b"guest", true).unwrap();
    let session = rig.broker.open_session(user, "/").unwrap();
    let own = session.connection();
    let queue = rig.vhost.open_direct("d", outlet(&inbox, 3), own).unwrap();
    rig.vhost.bind("amq.topic", (Kind::Queue, "d"), b"#", &Table::new(), own).await.unwrap();
    let again = rig.vhost.open_direct("d", outlet(&inbox, 4), own).unwrap();
    assert!(Arc::ptr_eq(&queue, &again));
    let other = own + 1;
    assert!(matches!(rig.vhost.open_direct("d", outlet(&inbox, 3), other), Err(Error::Locked(_))));
    assert!(matches!(rig.vhost.queue("d", other), Err(Error::Locked(_))));
    let deleted = rig.vhost.delete_queue("d", DeleteQueue::default(), other).await;
    assert!(matches!(deleted, Err(Error::Locked(_))));
    rig.queue("plain", durable()).await;
    assert!(matches!(rig.vhost.open_direct("plain", outlet(&inbox, 3), own), Err(Error::Locked(_))));
    let exclusive = QueueOptions { exclusive: true, ..QueueOptions::default() };
    rig.vhost.declare_queue(QueueName::Given("exclusive"), exclusive, own).await.unwrap();
    assert!(matches!(rig.vhost.open_direct("exclusive", outlet(&inbox, 3), own), Err(Error::InUse(_))));
    assert!(rig.vhost.queues().iter().any(|queue| queue.is_direct() && &**queue.name() == "d"));
    // Nobody else gets anything out of it.
    assert!(matches!(rig.subscribe(&queue, &inbox, Credit::Unlimited), Err(Error::InExclusiveUse(_))));
    assert!(queue.fetch(0, true).is_none() && queue.purge() == 0);
    drop(session);
    assert!(rig.vhost.queue_of_anyone("d").is_err() && rig.vhost.bindings().is_empty());
    assert_eq!(rig.vhost.links(), 0);
    assert_eq!(rig.publish("amq.topic", "k", "late").unwrap().routed, 0);
    assert!(matches!(&taken(&inbox)[..], [Item::Cancelled(3)]));
    assert_eq!(queue.status().consumers, 0);
}

#[tokio::test]
async fn it_stands_beside_other_queues_of_a_message() {
    let rig = Rig::new(PLENTY);
    let inbox = Inbox::new(1 << 20);
    let mut plain_queues = Vec::new();
    for n in 0..6 {
        direct(&rig, &format!("d{n}"), &inbox);
        let arguments = with(&[("x-max-length", i64::from(n))]);
        let arguments = arguments.iter().cloned().chain([("x-overflow".into(), Value::from("reject-publish"))]);
        let options = QueueOptions { arguments: arguments.collect(), ..durable() };
        plain_queues.push(rig.queue(&format!("q{n}"), options).await);
        for name in ["d", "q"] {
            rig.bind("amq.topic", (Kind::Queue, &format!("{name}{n}")), "k").await;
            rig.bind("amq.topic", (Kind::Queue, &format!("{name}{n}")), "#").await;
        }
    }
    rig.exchange(
        "up",
        ExchangeOptions {
            kind: ExchangeKind::Fanout,
            durable: false,
            auto_delete: false,
            internal: false,
            arguments: Table::new(),
        },
    )
    .await;
    rig.bind("up", (Kind::Exchange, "amq.topic"), "").await;
    rig.bind("up", (Kind::Queue, "d0"), "").await;
    for (exchange, refused) in [("amq.topic", 1), ("up", 2), ("amq.topic", 3)] {
        let published = rig.publish(exchange, "k", "one").unwrap();
        assert_eq!((published.routed, published.refused), (12 - refused, refused));
        assert_eq!(bodies(&inbox).len(), 6);
    }
    let lens: Vec<_> = plain_queues.iter().map(|queue| queue.status().ready).collect();
    assert_eq!(lens, [0, 1, 2, 3, 3, 3]);
    assert_eq!(rig.stored(), 12);
    // A transaction takes them along.
    let route = rig.vhost.route(&mut RouteCache::default(), "", b"d1").unwrap();
    let mut transaction = crate::Transaction::default();
    transaction.publishes.push((route, plain("", "d1", Essentials::default(), b"two")));
    let committed = rig.vhost.commit_transaction(&transaction, now_ms(), &mut Wakes::new()).unwrap();
    assert_eq!((committed, bodies(&inbox)), ((vec![1], None), vec!["two".to_owned()]));
}

#[tokio::test]
async fn a_message_for_one_queue_goes_to_that_whatever_is_bound() {
    let rig = Rig::new(PLENTY);
    let (one, other) = (rig.queue("one", durable()).await, rig.queue("other", durable()).await);
    rig.bind("amq.topic", (Kind::Queue, "other"), "#").await;
    let message = plain("amq.topic", "a.b", Essentials { durable: true, ..Essentials::default() }, b"body");
    let publish = |queue| rig.vhost.publish_to_queue(queue, &message, now_ms(), &mut Wakes::new());
    let published = publish(&one).unwrap();
    assert_eq!((published.routed, published.durable.is_some(), rig.stored()), (1, true, 1));
    assert_eq!((one.status().ready, other.status().ready), (1, 0));
    rig.faults.set_full(true);
    assert_eq!(publish(&one), Err(Error::Full));
    rig.faults.set_full(false);
    rig.vhost.delete_queue("one", DeleteQueue::default(), CLIENT).await.unwrap();
    assert_eq!((publish(&one).unwrap().routed, rig.stored()), (0, 0));
    // Before its row is on stable storage it takes nothing.
    rig.table.hold();
    let (declared, pending) = rig.vhost.define_queue(QueueName::Given("new"), durable(), CLIENT).unwrap();
    assert_eq!((publish(&declared).unwrap().routed, rig.stored()), (0, 0));
    rig.table.release();
    pending.wait().await.unwrap();
    assert_eq!(publish(&declared).unwrap().routed, 1);
    let inbox = Inbox::new(1 << 20);
    assert_eq!(publish(&direct(&rig, "d", &inbox)).unwrap().routed, 1);
    assert_eq!(bodies(&inbox), ["body"]);
}

#[tokio::test]
async fn a_message_keeps_its_place_and_its_time_over_a_restart() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", QueueOptions { arguments: with(&[("x-message-ttl", 900_000)]), ..durable() }).await;
    for (body, ttl_ms) in [("one", Some(600_000)), ("two", None), ("three", Some(10_000_000))] {
        rig.publish_with("", "q", body, Essentials { durable: true, ttl_ms, ..Essentials::default() }).unwrap();
    }
    let places = |queue: &Arc<Queue>| {
        let mut places = Vec::new();
        while let Some((delivery, _)) = queue.fetch(0, true) {
            places.push((delivery.seq, delivery.expires_ms, delivery.lease.unwrap()));
        }
        places
    };
    let before = places(&queue);
    assert_eq!(before.iter().map(|place| place.0).collect::<Vec<_>>(), [0, 1, 2]);
    for (place, ttl_ms) in before.iter().zip([600_000, 900_000, 900_000]) {
        assert!((now_ms() + ttl_ms - 50_000..=now_ms() + ttl_ms).contains(&place.1));
    }
    queue.settle(&[before[0].2], Outcome::Accept, &mut Wakes::new());
    queue.settle(&[before[2].2], Outcome::Retry, &mut Wakes::new());
    let rig = rig.crash();
    let after = places(&rig.vhost.queue("q", CLIENT).unwrap());
    assert_eq!(after.iter().map(|place| (place.0, place.1)).collect::<Vec<_>>(), [(1, before[1].1), (2, before[2].1)]);
}

#[tokio::test]
async fn a_queue_whose_readers_do_without_stores_nothing() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    rig.publish("", "q", "stored").unwrap();
    queue.keep_messages(false);
    assert_eq!(rig.publish("", "q", "not stored").unwrap().durable, None);
    queue.keep_messages(true);
    rig.publish("", "q", "stored, too").unwrap();
    assert_eq!((queue.status().ready, rig.stored()), (3, 2));
    queue.keep_messages(false);
    let rig = rig.crash();
    let queue = rig.vhost.queue("q", CLIENT).unwrap();
    assert_eq!(rig.bodies(&queue).await, ["stored", "stored, too"]);
    assert!(rig.publish("", "q", "stored again").unwrap().durable.is_some());
}

#[tokio::test]
async fn whether_it_is_bound_can_be_asked() {
    let rig = Rig::new(PLENTY);
    rig.table.hold();
    let (_, pending) = rig.vhost.define_queue(QueueName::Given("q"), durable(), CLIENT).unwrap();
    let bound = |key: &str, arguments: &Table| rig.vhost.is_bound("amq.topic", "q", key.as_bytes(), arguments);
    assert!(!bound("a.*", &Table::new()));
    let binding = rig.vhost.define_binding("amq.topic", (Kind::Queue, "q"), b"a.*", &Table::new(), CLIENT).unwrap();
    assert!(bound("a.*", &Table::new()));
    rig.table.release();
    pending.wait().await.unwrap();
    binding.wait().await.unwrap();
    assert!(bound("a.*", &Table::new()) && !bound("a.b", &Table::new()) && !bound("a.*", &with(&[("n", 1)])));
    assert!(!rig.vhost.is_bound("amq.direct", "q", b"a.*", &Table::new()));
    assert!(!rig.vhost.is_bound("nothing", "q", b"a.*", &Table::new()));
    assert!(!rig.vhost.is_bound("amq.topic", "nobody", b"a.*", &Table::new()));
    rig.vhost.unbind("amq.topic", (Kind::Queue, "q"), b"a.*", &Table::new(), CLIENT).await.unwrap();
    assert!(!bound("a.*", &Table::new()));
}

#[tokio::test]
async fn rows_of_protocols_are_kept_in_the_order_of_calls() {
    let rig = Rig::new(PLENTY);
    rig.table.hold();
    let row = rig.broker.keep_row("sessions", b"one".to_vec(), Some(b"1".to_vec()));
    let (_, queue) = rig.vhost.define_queue(QueueName::Given("q"), durable(), CLIENT).unwrap();
    let gone = rig.broker.keep_row("sessions", b"two".to_vec(), None);
    let spaces: Vec<_> = rig
        .table
        .waiting
        .lock()
        .iter()
        .map(|(changes, _)| match &changes[..] {
            [Change::Put { space, .. } | Change::Delete { space, .. }] => *space,
            _ => "",
        })
        .collect();
    assert_eq!(spaces, ["sessions", "queues", "sessions"]);
    assert!(rig.broker.kept_rows("sessions").unwrap().is_empty());
    rig.table.release();
    for pending in [row, queue, gone] {
        pending.wait().await.unwrap();
    }
    let rig = rig.crash();
    assert_eq!(rig.broker.kept_rows("sessions").unwrap(), [(b"one".to_vec(), b"1".to_vec())]);
    rig.broker.keep_row("sessions", b"one".to_vec(), None).wait().await.unwrap();
    assert!(rig.crash().broker.kept_rows("sessions").unwrap().is_empty());
}

#[tokio::test]
async fn an_internal_exchange_is_there_for_the_broker_and_not_kept() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    rig.bind("amq.topic", (Kind::Queue, "q"), "#").await;
    let message = plain("amq.mqtt.sys", "$SYS.broker.uptime", Essentials::default(), b"1");
    let mut cache = RouteCache::default();
    let mut publish = |rig: &Rig| rig.vhost.publish_internally(&mut cache, &message, now_ms(), &mut Wakes::new());
    assert!(matches!(publish(&rig), Err(Error::NotFound(_))));
    let exchange = rig.vhost.internal_exchange("amq.mqtt.sys").unwrap();
    assert!(Arc::ptr_eq(&exchange, &rig.vhost.internal_exchange("amq.mqtt.sys").unwrap()));
    assert!(rig.vhost.internal_exchange("amq.topic").is_err());
    assert_eq!(publish(&rig).unwrap().routed, 0);
    assert!(!exchange.has_bindings());
    rig.bind("amq.mqtt.sys", (Kind::Queue, "q"), "$SYS.#").await;
    assert!(exchange.has_bindings());
    assert_eq!(publish(&rig).unwrap().routed, 1);
    assert_eq!(queue.status().ready, 1);
    // Clients can neither publish to it nor delete it.
    assert!(matches!(rig.publish("amq.mqtt.sys", "k", "no"), Err(Error::Forbidden { .. })));
    assert!(matches!(rig.vhost.delete_exchange("amq.mqtt.sys", false).await, Err(Error::Forbidden { .. })));
    assert!(rig.table.scan("exchanges", &[]).unwrap().is_empty());
    assert_eq!(rig.table.scan("bindings", &[]).unwrap().len(), 1);
    let rig = rig.crash();
    assert!(rig.vhost.exchange("amq.mqtt.sys").is_err());
}
