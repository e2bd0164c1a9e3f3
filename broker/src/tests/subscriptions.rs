//! Topics of subscriptions: what is set on exchanges, bindings that take another's place, and who is told of it.

use super::*;
use crate::exchange::ExchangeKind;
use crate::{Bound, ExchangeSettings};

fn topic() -> ExchangeOptions {
    ExchangeOptions {
        kind: ExchangeKind::Subscriptions,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Table::default(),
    }
}

fn annotated(value: &str) -> ExchangeSettings {
    ExchangeSettings { annotations: [("name".to_owned(), value.to_owned())].into() }
}

fn subscription(id: &str) -> Table {
    [("subscription", Value::from(id))].into_iter().collect()
}

#[tokio::test]
async fn settings_and_number_of_an_exchange_survive_and_go_with_it() {
    let rig = Rig::new(PLENTY);
    let (exchange, is_new, pending) = rig.vhost.declare_exchange_with("t", topic(), annotated("one")).unwrap();
    pending.wait().await.unwrap();
    assert!(is_new);
    let (again, is_new, pending) = rig.vhost.declare_exchange_with("t", topic(), annotated("two")).unwrap();
    pending.wait().await.unwrap();
    assert!(!is_new && Arc::ptr_eq(&exchange, &again));
    assert_eq!(*again.settings(), annotated("one"));
    rig.vhost.set_exchange_settings(&exchange, annotated("three")).unwrap().wait().await.unwrap();
    // A client that knows nothing of settings declares it as ever.
    rig.vhost.declare_exchange("t", topic()).await.unwrap();
    let id = exchange.id();

    let rig = rig.crash();
    let exchange = rig.vhost.exchange("t").unwrap();
    assert_eq!((exchange.id(), &*exchange.settings()), (id, &annotated("three")));
    rig.vhost.delete_exchange("t", false).await.unwrap();
    assert!(rig.vhost.set_exchange_settings(&exchange, annotated("four")).is_err());
    rig.exchange("t", topic()).await;
    let another = rig.vhost.exchange("t").unwrap();
    assert_ne!(another.id(), id);
    assert!(another.settings().is_plain());
}

#[tokio::test]
async fn a_binding_takes_the_place_of_another_one() {
    let rig = Rig::new(PLENTY);
    rig.exchange("t", topic()).await;
    let (one, two) = (rig.queue("one", durable()).await, rig.queue("two", durable()).await);
    let first = subscription("a");
    let to_one = Bound { queue: "one", arguments: &first };
    rig.vhost.rebind("t", None, Some(to_one)).unwrap().wait().await.unwrap();
    rig.publish("t", "any", "1").unwrap();
    let to_two = Bound { queue: "two", arguments: &first };
    rig.vhost.rebind("t", Some(to_one), Some(to_two)).unwrap().wait().await.unwrap();
    rig.publish("t", "any", "2").unwrap();
    // Itself in its own place: nothing changes.
    rig.vhost.rebind("t", Some(to_two), Some(to_two)).unwrap().wait().await.unwrap();
    rig.publish("t", "any", "3").unwrap();
    assert_eq!((one.status().ready, two.status().ready), (1, 2));
    let nowhere = Bound { queue: "none", arguments: &first };
    assert!(matches!(rig.vhost.rebind("t", Some(to_two), Some(nowhere)), Err(Error::NotFound(_))));
    assert_eq!(rig.publish("t", "any", "4").unwrap().routed, 1, "what could not be replaced is still there");

    let rig = rig.crash();
    assert_eq!(rig.publish("t", "any", "5").unwrap().routed, 1);
    assert_eq!(rig.vhost.bindings().len(), 1);
    rig.vhost.rebind("t", Some(to_two), None).unwrap().wait().await.unwrap();
    rig.vhost.rebind("t", Some(nowhere), None).unwrap().wait().await.unwrap();
    assert_eq!(rig.publish("t", "any", "6").unwrap().routed, 0);
    let rig = rig.crash();
    assert!(rig.vhost.bindings().is_empty());
}

#[tokio::test]
async fn whoever_keeps_in_step_is_told_of_changes() {
    let rig = Rig::new(PLENTY);
    let mut changes = rig.vhost.changes();
    let queue = rig.queue("q", durable()).await;
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    let settings = crate::QueueSettings { annotations: annotated("x").annotations, ..Default::default() };
    let pending = rig.vhost.set_settings(&queue, settings).unwrap();
    assert!(changes.has_changed().unwrap());
    pending.wait().await.unwrap();
    changes.mark_unchanged();
    rig.publish("", "q", "a message is no change").unwrap();
    assert!(!changes.has_changed().unwrap());
    rig.exchange("t", topic()).await;
    assert!(changes.has_changed().unwrap());
}
