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
    ExchangeSettings { annotations: [("name".to_owned(), value.to_owned())].into(), ..ExchangeSettings::default() }
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

fn filtered(policy: &str, scope: &str) -> Table {
    [("filter-policy", Value::from(policy)), ("filter-policy-scope", Value::from(scope))].into_iter().collect()
}

#[tokio::test]
async fn a_queue_gets_what_the_filter_policy_of_its_binding_lets_through_also_after_a_crash() {
    let mut rig = Rig::new(PLENTY);
    rig.exchange("t", topic()).await;
    for name in ["all", "fives", "texts", "none"] {
        rig.queue(name, durable()).await;
    }
    let bodies = filtered(r#"{"n": [5]}"#, "MessageBody");
    let texts = filtered(r#"{"content-type": [{"prefix": "te"}]}"#, "MessageAttributes");
    let none = filtered(r#"{"content-type": [{"exists": false}]}"#, "MessageAttributes");
    let plain = Table::default();
    // Before there is any policy, publishers keep their routes.
    rig.vhost.rebind("t", None, Some(Bound { queue: "all", arguments: &plain })).unwrap().wait().await.unwrap();
    assert_eq!(rig.publish("t", "", r#"{"n": 5}"#).unwrap().routed, 1);
    for (queue, arguments) in [("fives", &bodies), ("texts", &texts), ("none", &none)] {
        rig.vhost.rebind("t", None, Some(Bound { queue, arguments })).unwrap().wait().await.unwrap();
    }
    let mut expected = vec![1, 0, 0, 0];
    for round in 0..2 {
        assert_eq!(rig.publish("t", "", r#"{"n": 5}"#).unwrap().routed, 3);
        assert_eq!(rig.publish("t", "", r#"{"n": 6}"#).unwrap().routed, 2);
        for (ready, more) in expected.iter_mut().zip([2, 1, 2, 0]) {
            *ready += more;
        }
        let ready = |name: &&str| rig.vhost.queue(name, 0).unwrap().status().ready;
        assert_eq!(["all", "fives", "texts", "none"].iter().map(ready).collect::<Vec<_>>(), expected);
        if round == 0 {
            rig = rig.crash();
        }
    }
    // Another policy in the place of the first, and then none.
    let sixes = filtered(r#"{"n": [6]}"#, "MessageBody");
    let (old, new) = (Bound { queue: "fives", arguments: &bodies }, Bound { queue: "fives", arguments: &sixes });
    rig.vhost.rebind("t", Some(old), Some(new)).unwrap().wait().await.unwrap();
    assert_eq!(rig.publish("t", "", r#"{"n": 5}"#).unwrap().routed, 2);
    assert_eq!(rig.publish("t", "", r#"{"n": 6}"#).unwrap().routed, 3);
    let wrong = filtered(r#"{"n": 6}"#, "MessageBody");
    let refused = rig.vhost.rebind("t", Some(new), Some(Bound { queue: "fives", arguments: &wrong }));
    assert!(matches!(refused, Err(Error::InvalidArgument { name, .. }) if name == "filter-policy"));
    assert_eq!(rig.publish("t", "", r#"{"n": 6}"#).unwrap().routed, 3, "what could not be replaced is still there");
}

/// `cargo test --release -p gantry-broker --lib ten_thousand -- --ignored --nocapture`
#[tokio::test]
#[ignore = "a measurement"]
async fn a_publish_to_ten_thousand_filtered_subscriptions() {
    const SUBSCRIPTIONS: usize = 10_000;
    const MESSAGES: usize = 50_000;
    let rig = Rig::new(PLENTY);
    rig.exchange("t", topic()).await;
    rig.exchange("one", topic()).await;
    for number in 0..SUBSCRIPTIONS {
        let name = format!("q{number}");
        rig.queue(&name, durable()).await;
        let arguments = filtered(&format!(r#"{{"store": ["store-{number}"]}}"#), "MessageBody");
        rig.vhost.rebind("t", None, Some(Bound { queue: &name, arguments: &arguments })).unwrap().wait().await.unwrap();
    }
    let plain = Table::default();
    rig.vhost.rebind("one", None, Some(Bound { queue: "q7", arguments: &plain })).unwrap().wait().await.unwrap();
    for topic in ["one", "t"] {
        let mut cache = RouteCache::default();
        let mut wakes = Wakes::new();
        let start = std::time::Instant::now();
        for number in 0..MESSAGES {
            let body = format!(r#"{{"store": "store-{}"}}"#, number * 7 % SUBSCRIPTIONS);
            let message = crate::message::tests::plain(topic, "", Essentials::default(), body.as_bytes());
            let route = rig.vhost.route(&mut cache, topic, b"").unwrap();
            assert_eq!(rig.vhost.publish(&route, &message, 0, &mut wakes).unwrap().routed, 1);
        }
        println!("{topic}: {} ns a publish", start.elapsed().as_nanos() / MESSAGES as u128);
    }
}

#[tokio::test]
async fn a_queue_that_comes_back_is_bound_from_its_first_moment() {
    let rig = Rig::new(PLENTY);
    rig.exchange("t", topic()).await;
    let (one, two) = (subscription("a"), subscription("b"));
    rig.vhost.stand("q", "a", Some(("t", &one)));
    rig.vhost.stand("q", "b", Some(("t", &two)));
    let queue = rig.queue("q", durable()).await;
    rig.publish("t", "any", "1").unwrap();
    assert_eq!(queue.status().ready, 1);
    assert_eq!(rig.vhost.bindings().len(), 2);
    rig.vhost.delete_queue("q", crate::DeleteQueue::default(), CLIENT).await.unwrap();
    rig.vhost.stand("q", "b", None);
    let queue = rig.queue("q", durable()).await;
    rig.publish("t", "any", "2").unwrap();
    assert_eq!(queue.status().ready, 1);
    assert!(rig.vhost.is_bound("t", "q", &[], &one) && !rig.vhost.is_bound("t", "q", &[], &two));
    let rig = rig.crash();
    assert!(rig.vhost.is_bound("t", "q", &[], &one), "its row was written with the queue's");
    rig.vhost.delete_queue("q", crate::DeleteQueue::default(), CLIENT).await.unwrap();
    rig.queue("q", durable()).await;
    assert!(rig.vhost.bindings().is_empty(), "nothing stands after a restart until it is said again");
    // Another exchange of the name is not the one that was meant.
    rig.vhost.stand("q", "a", Some(("t", &one)));
    rig.vhost.delete_exchange("t", false).await.unwrap();
    rig.exchange("t", topic()).await;
    rig.vhost.delete_queue("q", crate::DeleteQueue::default(), CLIENT).await.unwrap();
    rig.queue("q", durable()).await;
    assert!(rig.vhost.bindings().is_empty());
}
