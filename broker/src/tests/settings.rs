//! What is set on queues beside their declaration: when it holds, and what is left of it after a stop and a crash.

use super::*;
use crate::rights::Pattern;
use crate::{ApplyTo, DeleteQueue, Ordered, Policy, PolicyKind, QueueSettings, Redrive};

fn everything() -> QueueSettings {
    QueueSettings {
        delay_ms: Some(1_000),
        retention_ms: Some(60_000),
        lease_ms: Some(30_000),
        redrive: Some(Redrive { queue: "dead".into(), receives_max: 3 }),
        ordered: Some(Ordered { deduplication_ms: 300_000, per_group: true }),
        fair: true,
        annotations: [("tag:owner".to_owned(), "orders".to_owned())].into(),
    }
}

fn retained_ms(retention_ms: u64) -> QueueSettings {
    QueueSettings { retention_ms: Some(retention_ms), ..QueueSettings::default() }
}

impl Rig {
    async fn with_settings(&self, name: &str, settings: QueueSettings) -> Arc<Queue> {
        let (queue, is_new, pending) = self.vhost.declare_with(name, durable(), settings, CLIENT).unwrap();
        pending.wait().await.unwrap();
        assert!(is_new);
        queue
    }

    async fn set_on(&self, queue: &Arc<Queue>, settings: QueueSettings) {
        self.vhost.set_settings(queue, settings).unwrap().wait().await.unwrap();
    }
}

#[tokio::test]
async fn settings_survive_as_they_were_last_set() {
    let rig = Rig::new(PLENTY);
    rig.with_settings("all", everything()).await;
    let changed = rig.with_settings("changed", QueueSettings::default()).await;
    let cleared = rig.with_settings("cleared", retained_ms(1_000)).await;
    rig.set_on(&changed, retained_ms(7)).await;
    rig.set_on(&cleared, QueueSettings::default()).await;
    for orderly in [false, true] {
        let (faults, mut found) = (rig.faults.clone(), Found::default());
        let journal = rig.journal.reopen(&mut found);
        let table = HeldTable { rows: rig.table.rows.reopen(), ..HeldTable::default() };
        let again = Rig::on(journal, table, found, faults, PLENTY);
        let again = if orderly { again.restart() } else { again };
        let settings = |name| (*again.vhost.queue(name, CLIENT).unwrap().settings()).clone();
        assert_eq!(settings("all"), everything());
        assert_eq!(settings("changed"), retained_ms(7));
        assert!(settings("cleared").is_plain());
    }
}

#[tokio::test]
async fn a_row_without_settings_is_that_of_a_queue_without_any() {
    let rig = Rig::new(PLENTY);
    rig.queue("q", durable()).await;
    let rows = rig.table.scan("queues", &[]).unwrap();
    // Written as it was before there were settings.
    assert!(!String::from_utf8_lossy(&rows[0].1).contains("settings"));
    assert!(rig.crash().vhost.queue("q", CLIENT).unwrap().settings().is_plain());
}

#[tokio::test]
async fn of_two_who_declare_at_once_one_is_told_that_it_is_new() {
    let rig = Rig::new(PLENTY);
    rig.table.hold();
    let declare = |settings| rig.vhost.declare_with("q", durable(), settings, CLIENT).unwrap();
    let (one, first, pending) = declare(retained_ms(5));
    let (other, second, also) = declare(retained_ms(6));
    assert!(first && !second && Arc::ptr_eq(&one, &other));
    assert_eq!(*other.settings(), retained_ms(5));
    assert!(!also.is_nothing(), "it is not on the disk yet");
    rig.table.release();
    pending.wait().await.unwrap();
    also.wait().await.unwrap();
    assert!(!declare(retained_ms(7)).1);
    // By a client that knows of no settings it is the same queue.
    assert!(Arc::ptr_eq(&rig.queue("q", durable()).await, &one));
    let reserved = rig.vhost.declare_with("amq.q", durable(), QueueSettings::default(), CLIENT);
    assert!(matches!(reserved, Err(Error::Forbidden { .. })));
}

#[tokio::test]
async fn settings_hold_at_once_and_what_arguments_and_policies_say_stays() {
    let rig = Rig::new(PLENTY);
    let arguments = with(&[("x-message-ttl", 50_000)]);
    let queue = rig.queue("q", QueueOptions { arguments, ..durable() }).await;
    let ttl_ms = |queue: &Arc<Queue>| queue.rules().ttl_ms;
    for (retention_ms, counts_ms) in [(60_000, 50_000), (40_000, 40_000)] {
        rig.set_on(&queue, retained_ms(retention_ms)).await;
        assert_eq!(ttl_ms(&queue), Some(counts_ms));
    }
    let definition = [("message-ttl", Value::I64(30_000))].into_iter().collect();
    let pattern = Pattern::new("^q").unwrap();
    let policy = Policy { name: "p".to_owned(), pattern, apply_to: ApplyTo::All, priority: 0, definition };
    rig.vhost.set_policy(PolicyKind::User, policy).await.unwrap();
    assert_eq!(ttl_ms(&queue), Some(30_000));
    rig.set_on(&queue, retained_ms(20_000)).await;
    assert_eq!(ttl_ms(&queue), Some(20_000));
    rig.vhost.delete_policy(PolicyKind::User, "p").await.unwrap();
    rig.set_on(&queue, QueueSettings::default()).await;
    assert_eq!(ttl_ms(&queue), Some(50_000));
    rig.set_on(&queue, retained_ms(10)).await;
    rig.publish("", "q", "waits").unwrap();
    eventually("it expires", || queue.status().ready == 0).await;
}

#[tokio::test]
async fn a_queue_that_is_gone_gets_no_settings_and_none_becomes_ordered() {
    let rig = Rig::new(PLENTY);
    let queue = rig.with_settings("q", QueueSettings::default()).await;
    let ordered = rig.with_settings("ordered", everything()).await;
    let differs = rig.vhost.set_settings(&queue, everything());
    assert!(matches!(differs, Err(Error::Differs { property, .. }) if property == "ordered"));
    assert!(rig.vhost.set_settings(&ordered, QueueSettings::default()).is_err());
    let per_queue = Some(Ordered { deduplication_ms: 300_000, per_group: false });
    rig.set_on(&ordered, QueueSettings { ordered: per_queue, ..everything() }).await;
    rig.vhost.delete_queue("q", DeleteQueue::default(), CLIENT).await.unwrap();
    assert!(matches!(rig.vhost.set_settings(&queue, retained_ms(1)), Err(Error::NotFound(_))));
    let rig = rig.crash();
    assert!(rig.vhost.queue("q", CLIENT).is_err(), "its row did not come back");
    assert_eq!(rig.vhost.queue("ordered", CLIENT).unwrap().settings().ordered, per_queue);
}

#[tokio::test]
async fn the_sources_of_a_queue_are_those_whose_redrive_names_it() {
    let rig = Rig::new(PLENTY);
    let to = |queue: &str| QueueSettings {
        redrive: Some(Redrive { queue: queue.into(), receives_max: 1 }),
        ..QueueSettings::default()
    };
    for (name, settings) in [("b", to("dead")), ("a", to("dead")), ("c", to("other")), ("dead", retained_ms(1))] {
        rig.with_settings(name, settings).await;
    }
    let names: Vec<_> = rig.vhost.redrive_sources("dead").iter().map(|queue| queue.name().to_string()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[tokio::test]
async fn access_keys_survive_and_go_with_their_user() {
    let rig = Rig::new(PLENTY);
    let user = |name| crate::rights::User::with_password(name, b"pw", &[]).unwrap();
    for name in ["ann", "bob"] {
        rig.broker.set_user(user(name)).await.unwrap();
    }
    let made = rig.broker.create_access_key("ann").await.unwrap();
    assert!(!rig.broker.put_access_key("bob", "test", "test").await.unwrap());
    assert!(rig.broker.put_access_key("bob", "test", "other").await.unwrap());
    assert!(!rig.broker.delete_access_key("ann", "test").await.unwrap(), "it is not hers");
    let rig = rig.crash();
    assert_eq!(rig.broker.access_key(&made.id).as_ref(), Some(&made));
    assert_eq!(rig.broker.access_key("test").unwrap().secret, "other");
    rig.broker.delete_user("ann").await.unwrap();
    assert!(rig.broker.access_keys("ann").is_empty());
    let rig = rig.crash();
    assert!(rig.broker.access_key(&made.id).is_none());
    rig.broker.set_user(user("ann")).await.unwrap();
    assert!(rig.broker.access_keys("ann").is_empty() && rig.broker.access_key("test").is_some());
}
