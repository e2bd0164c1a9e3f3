//! Declaring, binding, deleting, and how routes follow.

use super::*;
use crate::error::Forbidden;
use crate::exchange::ExchangeKind;
use crate::vhost::VirtualHost;
use crate::{DeleteQueue, Kind};

fn exchange(kind: ExchangeKind) -> ExchangeOptions {
    ExchangeOptions { kind, durable: false, auto_delete: false, internal: false, arguments: Table::new() }
}

fn auto_delete(kind: ExchangeKind) -> ExchangeOptions {
    ExchangeOptions { auto_delete: true, ..exchange(kind) }
}

fn has_exchange(vhost: &VirtualHost, name: &str) -> bool {
    vhost.exchange(name).is_ok()
}

#[tokio::test]
async fn a_queue_declared_again_is_the_same_or_an_error_says_what_differs() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    assert!(Arc::ptr_eq(&queue, &rig.queue("q", durable()).await));
    let ttl = with(&[("x-message-ttl", 5)]);
    let others = [
        ("durable", QueueOptions::default()),
        ("auto_delete", QueueOptions { auto_delete: true, ..durable() }),
        ("x-message-ttl", QueueOptions { arguments: ttl, ..durable() }),
    ];
    for (differing, options) in others {
        let error = rig.vhost.declare_queue(QueueName::Given("q"), options, CLIENT).await.unwrap_err();
        assert!(matches!(error, Error::Differs { property, .. } if property == differing));
    }
    // As if it belonged to somebody else.
    let exclusive = QueueOptions { exclusive: true, ..durable() };
    let locked = rig.vhost.declare_queue(QueueName::Given("q"), exclusive, CLIENT).await.unwrap_err();
    assert!(matches!(locked, Error::Locked(_)));
    let reserved = rig.vhost.declare_queue(QueueName::Given("amq.mine"), durable(), CLIENT).await.unwrap_err();
    assert!(matches!(reserved, Error::Forbidden { what: Forbidden::ReservedName, .. }));
    let one = rig.vhost.declare_queue(QueueName::Generated, durable(), CLIENT).await.unwrap();
    let two = rig.vhost.declare_queue(QueueName::Generated, durable(), CLIENT).await.unwrap();
    assert!(one.name().starts_with("amq.gen-") && one.name() != two.name());
}

#[tokio::test]
async fn an_exclusive_queue_is_its_connections_own_and_goes_with_it() {
    let rig = Rig::new(PLENTY);
    let user = rig.broker.authenticate("guest", b"guest", true).unwrap();
    let session = rig.broker.open_session(user, "/").unwrap();
    let mine = session.connection();
    let options = QueueOptions { exclusive: true, ..durable() };
    let queue = rig.vhost.declare_queue(QueueName::Given("q"), options.clone(), mine).await.unwrap();
    let others = mine + 1;
    assert!(matches!(rig.vhost.queue("q", others), Err(Error::Locked(_))));
    let again = rig.vhost.declare_queue(QueueName::Given("q"), options, others).await;
    assert!(matches!(again, Err(Error::Locked(_))));
    let deleted = rig.vhost.delete_queue("q", DeleteQueue::default(), others).await;
    assert!(matches!(deleted, Err(Error::Locked(_))));
    // Nothing of it would be looked for after a restart.
    assert_eq!(rig.publish("", "q", "a").unwrap(), Published { routed: 1, refused: 0, durable: None });
    drop(session);
    assert!(matches!(rig.vhost.queue("q", mine), Err(Error::NotFound(_))));
    assert_eq!(rig.publish("", "q", "b").unwrap().routed, 0);
    assert_eq!(queue.status().ready, 0);
}

#[tokio::test]
async fn a_durable_queue_is_seen_by_all_who_declare_it_once_the_table_has_it() {
    let rig = Rig::new(PLENTY);
    rig.table.hold();
    let declare = |options| {
        let vhost = Arc::clone(&rig.vhost);
        tokio::spawn(async move { vhost.declare_queue(QueueName::Given("q"), options, CLIENT).await })
    };
    let one = declare(durable());
    let two = declare(durable());
    let gone = declare(durable());
    let other = declare(QueueOptions { auto_delete: true, ..durable() });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    // Whoever declares may go; the others still get their queue.
    gone.abort();
    assert!(!one.is_finished() && !two.is_finished());
    assert!(matches!(other.await.unwrap(), Err(Error::Differs { .. })));
    assert!(matches!(rig.vhost.queue("q", CLIENT), Err(Error::NotFound(_))));
    assert_eq!(rig.publish("", "q", "early").unwrap().routed, 0);
    rig.table.release();
    let one = one.await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&one, &two.await.unwrap().unwrap()));
    assert_eq!(rig.publish("", "q", "late").unwrap().routed, 1);
}

#[tokio::test]
async fn a_queue_on_its_way_to_the_table_can_be_bound_and_gets_nothing_before_it_is_there() {
    let rig = Rig::new(PLENTY);
    rig.table.hold();
    let (queue, declared) = rig.vhost.define_queue(QueueName::Given("q"), durable(), CLIENT).unwrap();
    let to_queue = (Kind::Queue, "q");
    let bound = rig.vhost.define_binding("amq.fanout", to_queue, b"", &Table::new(), CLIENT).unwrap();
    assert_eq!(rig.publish("amq.fanout", "", "early").unwrap().routed, 0);
    rig.table.release();
    declared.wait().await.unwrap();
    bound.wait().await.unwrap();
    assert_eq!(rig.publish("amq.fanout", "", "late").unwrap().routed, 1);
    assert_eq!(rig.bodies(&queue).await, ["late"]);
    let rig = rig.crash();
    assert_eq!(rig.publish("amq.fanout", "", "after").unwrap().routed, 1);
}

#[tokio::test]
async fn what_was_bound_to_a_queue_that_could_not_be_declared_goes_with_it() {
    let rig = Rig::new(PLENTY);
    rig.table.hold();
    rig.table.rows.fail_commit(1, TableError::Full);
    let (_, declared) = rig.vhost.define_queue(QueueName::Given("q"), durable(), CLIENT).unwrap();
    let to_queue = (Kind::Queue, "q");
    let bound = rig.vhost.define_binding("amq.fanout", to_queue, b"", &Table::new(), CLIENT).unwrap();
    rig.table.release();
    assert!(matches!(declared.wait().await, Err(Error::Full)));
    bound.wait().await.unwrap();
    assert_eq!(rig.vhost.bindings().len(), 0);
    assert_eq!(rig.vhost.links(), 0);
    let rig = rig.crash();
    assert_eq!((rig.vhost.bindings().len(), rig.vhost.counts().1), (0, 0));
}

#[tokio::test]
async fn what_the_table_refuses_is_an_error_and_can_be_tried_again() {
    let rig = Rig::new(PLENTY);
    rig.table.rows.fail_commit(1, TableError::Full);
    let declared = rig.vhost.declare_queue(QueueName::Given("q"), durable(), CLIENT).await;
    assert!(matches!(declared, Err(Error::Full)));
    assert!(matches!(rig.vhost.queue("q", CLIENT), Err(Error::NotFound(_))));
    rig.queue("q", durable()).await;
    rig.table.rows.fail_commit(1, TableError::Failed("torn".to_owned()));
    let bound = rig.vhost.bind("amq.topic", (Kind::Queue, "q"), b"k", &Table::new(), CLIENT).await;
    assert!(matches!(bound, Err(Error::Storage(_))));
    rig.bind("amq.topic", (Kind::Queue, "q"), "k").await;
    // A table that is closed answers at once, under the very lock that the declaration holds.
    rig.table.close().unwrap();
    let declared = rig.vhost.declare_queue(QueueName::Given("r"), durable(), CLIENT).await;
    assert!(matches!(declared, Err(Error::Storage(_))));
}

#[tokio::test]
async fn deleting_asks_for_its_conditions() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    let inbox = Inbox::new(1000);
    let consumer = rig.subscribe(&queue, &inbox, Credit::Window(1)).unwrap();
    let if_unused = DeleteQueue { if_unused: true, ..DeleteQueue::default() };
    let if_empty = DeleteQueue { if_empty: true, ..DeleteQueue::default() };
    assert!(matches!(rig.vhost.delete_queue("q", if_unused, CLIENT).await, Err(Error::InUse(_))));
    consumer.cancel();
    for body in ["a", "b"] {
        rig.publish("", "q", body).unwrap();
    }
    assert!(matches!(rig.vhost.delete_queue("q", if_empty, CLIENT).await, Err(Error::NotEmpty(_))));
    assert_eq!(rig.publish("", "q", "c").unwrap().routed, 1, "what was refused has changed nothing");
    let inbox = Inbox::new(1000);
    let _consumer = rig.subscribe(&queue, &inbox, Credit::Window(1)).unwrap();
    assert_eq!(rig.vhost.delete_queue("q", DeleteQueue::default(), CLIENT).await.unwrap(), 2);
    let items = taken(&inbox);
    assert!(matches!(items[..], [Item::Delivery(_), Item::Cancelled(7)]));
    settle(items, Outcome::Accept);
    assert_eq!(rig.stored(), 0, "the journal keeps nothing of it");
    assert_eq!(rig.vhost.delete_queue("q", DeleteQueue::default(), CLIENT).await.unwrap(), 0);
    assert!(matches!(rig.subscribe(&queue, &inbox, Credit::Unlimited), Err(Error::NotFound(_))));
}

#[tokio::test]
async fn an_auto_delete_queue_goes_with_its_last_consumer() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", QueueOptions { auto_delete: true, ..durable() }).await;
    let inbox = Inbox::new(1000);
    let one = rig.subscribe(&queue, &inbox, Credit::Unlimited).unwrap();
    let two = rig.subscribe(&queue, &inbox, Credit::Unlimited).unwrap();
    one.cancel();
    assert!(rig.vhost.queue("q", CLIENT).is_ok());
    two.cancel();
    assert!(matches!(rig.vhost.queue("q", CLIENT), Err(Error::NotFound(_))));
    assert!(taken(&inbox).is_empty(), "nobody is told that he went himself");
    assert!(rig.crash().vhost.queue("q", CLIENT).is_err());
}

#[tokio::test]
async fn an_orderly_stop_deletes_nothing_for_want_of_consumers() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", QueueOptions { auto_delete: true, ..durable() }).await;
    let consumer = rig.subscribe(&queue, &Inbox::new(1000), Credit::Unlimited).unwrap();
    rig.broker.start_closing();
    consumer.cancel();
    assert!(rig.restart().vhost.queue("q", CLIENT).is_ok());
}

#[tokio::test]
async fn an_auto_delete_exchange_goes_with_its_last_binding() {
    let rig = Rig::new(PLENTY);
    rig.queue("q", durable()).await;
    rig.exchange("x", auto_delete(ExchangeKind::Direct)).await;
    rig.bind("x", (Kind::Queue, "q"), "a").await;
    rig.bind("x", (Kind::Queue, "q"), "b").await;
    rig.vhost.unbind("x", (Kind::Queue, "q"), b"a", &Table::new(), CLIENT).await.unwrap();
    assert!(has_exchange(&rig.vhost, "x"));
    rig.vhost.unbind("x", (Kind::Queue, "q"), b"b", &Table::new(), CLIENT).await.unwrap();
    assert!(!has_exchange(&rig.vhost, "x"));

    rig.exchange("y", auto_delete(ExchangeKind::Fanout)).await;
    rig.bind("y", (Kind::Queue, "q"), "").await;
    rig.vhost.delete_queue("q", DeleteQueue::default(), CLIENT).await.unwrap();
    assert!(!has_exchange(&rig.vhost, "y"));
    assert!(rig.vhost.bindings().is_empty());
    assert_eq!(rig.vhost.links(), 0);
}

#[tokio::test]
async fn a_long_chain_of_auto_delete_exchanges_goes_at_once() {
    let rig = Rig::new(PLENTY);
    rig.queue("q", QueueOptions::default()).await;
    let mut next = (Kind::Queue, "q".to_owned());
    for n in 0..20_000 {
        let name = format!("x{n}");
        rig.exchange(&name, auto_delete(ExchangeKind::Fanout)).await;
        rig.bind(&name, (next.0, &next.1), "").await;
        next = (Kind::Exchange, name);
    }
    rig.vhost.delete_queue("q", DeleteQueue::default(), CLIENT).await.unwrap();
    assert_eq!(rig.vhost.counts(), (8, 0));
    assert_eq!(rig.vhost.links(), 0);
}

#[tokio::test]
async fn exchanges_bound_in_a_circle_deliver_once_and_can_be_deleted() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    for name in ["a", "b", "c"] {
        rig.exchange(name, auto_delete(ExchangeKind::Fanout)).await;
        rig.bind(name, (Kind::Queue, "q"), "").await;
    }
    for (from, to) in [("a", "b"), ("b", "c"), ("c", "a"), ("a", "a")] {
        rig.bind(from, (Kind::Exchange, to), "").await;
    }
    assert_eq!(rig.publish("a", "", "once").unwrap().routed, 1);
    assert_eq!(queue.status().ready, 1);
    rig.vhost.delete_exchange("b", false).await.unwrap();
    assert!(has_exchange(&rig.vhost, "a") && has_exchange(&rig.vhost, "c"));
    rig.vhost.delete_queue("q", DeleteQueue::default(), CLIENT).await.unwrap();
    assert!(has_exchange(&rig.vhost, "a"), "the circle holds itself");
    rig.vhost.delete_exchange("c", false).await.unwrap();
    assert_eq!(rig.vhost.links(), 1, "a leads to itself");
    rig.vhost.delete_exchange("a", false).await.unwrap();
    assert_eq!(rig.vhost.links(), 0);
}

#[tokio::test]
async fn what_cannot_be_routed_goes_to_the_alternate_exchange() {
    let rig = Rig::new(PLENTY);
    for name in ["direct", "rest"] {
        rig.queue(name, durable()).await;
    }
    let internal = ExchangeOptions { internal: true, ..exchange(ExchangeKind::Fanout) };
    rig.exchange("rest", internal).await;
    let mut arguments = Table::new();
    arguments.push("alternate-exchange", Value::Text("rest".into()));
    rig.exchange("x", ExchangeOptions { arguments, ..exchange(ExchangeKind::Direct) }).await;
    rig.bind("rest", (Kind::Queue, "rest"), "").await;
    rig.bind("x", (Kind::Queue, "direct"), "known").await;
    rig.publish("x", "known", "a").unwrap();
    rig.publish("x", "unknown", "b").unwrap();
    let (direct, rest) = (rig.vhost.queue("direct", CLIENT).unwrap(), rig.vhost.queue("rest", CLIENT).unwrap());
    assert_eq!(rig.bodies(&direct).await, ["a"]);
    assert_eq!(rig.bodies(&rest).await, ["b"]);
    let refused = rig.publish("rest", "", "c");
    assert!(matches!(refused, Err(Error::Forbidden { what: Forbidden::Internal, .. })));
    assert!(matches!(rig.publish("nowhere", "", "d"), Err(Error::NotFound(_))));
}

#[tokio::test]
async fn nobody_changes_what_comes_with_the_broker() {
    let rig = Rig::new(PLENTY);
    rig.queue("q", durable()).await;
    let bound = rig.vhost.bind("", (Kind::Queue, "q"), b"k", &Table::new(), CLIENT).await;
    assert!(matches!(bound, Err(Error::Forbidden { what: Forbidden::DefaultExchange, .. })));
    for name in ["", "amq.direct"] {
        let deleted = rig.vhost.delete_exchange(name, false).await;
        assert!(matches!(deleted, Err(Error::Forbidden { what: Forbidden::Predeclared, .. })));
    }
    let declared = rig.vhost.declare_exchange("amq.mine", exchange(ExchangeKind::Direct)).await;
    assert!(matches!(declared, Err(Error::Forbidden { what: Forbidden::ReservedName, .. })));
    rig.exchange("x", exchange(ExchangeKind::Direct)).await;
    let differs = rig.vhost.declare_exchange("x", exchange(ExchangeKind::Topic)).await;
    assert!(matches!(differs, Err(Error::Differs { property, .. }) if property == "type"));
    rig.bind("x", (Kind::Queue, "q"), "").await;
    assert!(matches!(rig.vhost.delete_exchange("x", true).await, Err(Error::InUse(_))));
}

#[tokio::test]
async fn a_cached_route_sees_every_change() {
    let rig = Rig::new(PLENTY);
    let mut cache = RouteCache::default();
    let mut routed = |exchange: &str, key: &str| {
        let route = rig.vhost.route(&mut cache, exchange, key.as_bytes())?;
        let message = plain(exchange, key, Essentials::default(), b"body");
        rig.vhost.publish(&route, &message, now_ms(), &mut Wakes::new()).map(|published| published.routed)
    };
    assert_eq!(routed("", "q"), Ok(0));
    rig.queue("q", QueueOptions::default()).await;
    assert_eq!(routed("", "q"), Ok(1));
    assert!(routed("x", "k").is_err());
    rig.exchange("x", exchange(ExchangeKind::Direct)).await;
    assert_eq!(routed("x", "k"), Ok(0));
    rig.bind("x", (Kind::Queue, "q"), "k").await;
    assert_eq!(routed("x", "k"), Ok(1));
    rig.vhost.unbind("x", (Kind::Queue, "q"), b"k", &Table::new(), CLIENT).await.unwrap();
    assert_eq!(routed("x", "k"), Ok(0));
    rig.bind("x", (Kind::Queue, "q"), "k").await;
    rig.vhost.delete_queue("q", DeleteQueue::default(), CLIENT).await.unwrap();
    assert_eq!(routed("x", "k"), Ok(0));
    rig.vhost.delete_exchange("x", false).await.unwrap();
    assert!(routed("x", "k").is_err());
}

#[tokio::test]
async fn a_queue_may_be_deleted_and_declared_again_while_its_row_is_on_its_way() {
    let rig = Rig::new(PLENTY);
    let define = || rig.vhost.define_queue(QueueName::Given("q"), durable(), CLIENT).unwrap();
    rig.table.hold();
    let (first, declared) = define();
    let topic = ("amq.topic", (Kind::Queue, "q"), b"a");
    let bound = rig.vhost.define_binding(topic.0, topic.1, topic.2, &Table::default(), CLIENT).unwrap();
    let (waiting, gone) = rig.vhost.start_deletion("q", DeleteQueue::default(), CLIENT).unwrap();
    let (second, there) = define();
    rig.table.release();
    for pending in [declared, bound, gone, there] {
        pending.wait().await.unwrap();
    }
    assert_eq!(waiting, 0);
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(Arc::ptr_eq(&rig.vhost.queue("q", CLIENT).unwrap(), &second));
    assert_eq!(rig.vhost.bindings().len(), 0);
    let rig = rig.crash();
    assert!(rig.vhost.queue("q", CLIENT).is_ok());
    assert_eq!(rig.vhost.bindings().len(), 0);
}
