//! Policies: who is under them, and since when.

use super::*;
use crate::exchange::ExchangeKind;
use crate::rights::Pattern;
use crate::{ApplyTo, Policy, PolicyKind};

fn policy(name: &str, pattern: &str, priority: i64, settings: &[(&str, Value)]) -> Policy {
    let definition = settings.iter().cloned().collect();
    let pattern = Pattern::new(pattern).unwrap();
    Policy { name: name.to_owned(), pattern, apply_to: ApplyTo::All, priority, definition }
}

fn ttl(name: &str, pattern: &str, priority: i64) -> Policy {
    policy(name, pattern, priority, &[("message-ttl", Value::I64(60_000 + priority))])
}

impl Rig {
    async fn set(&self, policy: Policy) -> bool {
        self.vhost.set_policy(PolicyKind::User, policy).await.unwrap()
    }

    async fn unset(&self, name: &str) -> bool {
        self.vhost.delete_policy(PolicyKind::User, name).await.unwrap()
    }
}

fn name_of(queue: &Arc<Queue>) -> Option<String> {
    queue.applied().policy().map(str::to_owned)
}

#[tokio::test]
async fn queues_follow_when_they_are_declared_and_when_policies_change() {
    let rig = Rig::new(PLENTY);
    let (before, other) = (rig.queue("q1", durable()).await, rig.queue("other", durable()).await);
    assert!(rig.set(ttl("low", "^q", 1)).await);
    let after = rig.queue("q2", durable()).await;
    let transient = rig.queue("q3", QueueOptions::default()).await;
    for queue in [&before, &after, &transient] {
        assert_eq!(name_of(queue).as_deref(), Some("low"));
        assert_eq!(queue.applied().definition().get("message-ttl"), Some(&Value::I64(60_001)));
    }
    assert_eq!(name_of(&other), None);
    assert!(rig.set(ttl("high", "^q[12]", 2)).await);
    assert!(!rig.set(ttl("high", "^q1", 3)).await, "not new");
    assert_eq!([&before, &after].map(name_of), [Some("high".to_owned()), Some("low".to_owned())]);
    assert!(rig.unset("high").await);
    assert!(!rig.unset("high").await);
    assert_eq!(name_of(&before).as_deref(), Some("low"));
    assert!(rig.unset("low").await);
    assert_eq!([&before, &after, &transient].map(name_of), [None, None, None]);
}

#[tokio::test]
async fn what_a_policy_says_is_what_the_queue_does_and_an_operator_can_only_narrow_it() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    rig.set(policy("ttl", "^q", 0, &[("message-ttl", Value::I64(0))])).await;
    rig.publish("", "q", "gone at once").unwrap();
    assert_eq!(queue.fetch(0, false).map(|_| ()), None);
    rig.unset("ttl").await;
    rig.publish("", "q", "stays").unwrap();
    assert_eq!(queue.status().ready, 1);
    let operator = policy("limit", "^q", 0, &[("message-ttl", Value::I64(0))]);
    rig.vhost.set_policy(PolicyKind::Operator, operator).await.unwrap();
    rig.set(policy("ttl", "^q", 0, &[("message-ttl", Value::I64(100_000))])).await;
    assert_eq!(queue.applied().definition().get("message-ttl"), Some(&Value::I64(0)));
    rig.publish("", "q", "gone at once").unwrap();
    let (first, _) = queue.fetch(0, false).unwrap();
    assert!(matches!(&first.content, Content::Loaded(message) if message.body() == b"stays"));
    assert!(queue.fetch(0, false).is_none());
}

#[tokio::test]
async fn a_queue_that_has_been_unused_for_long_lives_as_long_as_a_new_policy_says() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    let started = std::time::Instant::now();
    rig.set(policy("expires", "^q", 0, &[("expires", Value::I64(60))])).await;
    while rig.vhost.queue("q", CLIENT).is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(started.elapsed().as_millis() >= 59 && queue.is_closed());
}

#[tokio::test]
async fn policies_are_there_after_a_crash_and_apply_to_what_is_recovered() {
    let rig = Rig::new(PLENTY);
    rig.queue("q", durable()).await;
    rig.set(ttl("kept", "^q", 1)).await;
    rig.set(ttl("deleted", "^q", 2)).await;
    rig.unset("deleted").await;
    let operator = policy("limit", "", 0, &[("max-length", Value::I64(9))]);
    rig.vhost.set_policy(PolicyKind::Operator, operator).await.unwrap();
    let rig = rig.crash();
    let queue = rig.vhost.queue("q", CLIENT).unwrap();
    assert_eq!(name_of(&queue).as_deref(), Some("kept"));
    assert_eq!(queue.applied().operator_policy(), Some("limit"));
    assert_eq!(rig.vhost.policies(PolicyKind::User).len(), 1);
}

#[tokio::test]
async fn a_queue_whose_row_is_on_its_way_to_the_disk_is_under_what_was_set_meanwhile() {
    let rig = Rig::new(PLENTY);
    rig.table.hold();
    let vhost = Arc::clone(&rig.vhost);
    let declaring = tokio::spawn(async move { vhost.declare_queue(QueueName::Given("q"), durable(), CLIENT).await });
    while rig.vhost.links() == 0 {
        tokio::task::yield_now().await;
    }
    let vhost = Arc::clone(&rig.vhost);
    let setting = tokio::spawn(async move { vhost.set_policy(PolicyKind::User, ttl("p", "^q", 1)).await });
    while rig.vhost.policy(PolicyKind::User, "p").is_none() {
        tokio::task::yield_now().await;
    }
    assert!(rig.vhost.queue("q", CLIENT).is_err());
    rig.table.release();
    let queue = declaring.await.unwrap().unwrap();
    assert!(setting.await.unwrap().unwrap());
    assert_eq!(name_of(&queue).as_deref(), Some("p"));
}

#[tokio::test]
async fn an_exchange_gets_an_alternate_by_policy_unless_it_was_declared_with_one() {
    let rig = Rig::new(PLENTY);
    let options = |arguments| ExchangeOptions {
        kind: ExchangeKind::Direct,
        durable: false,
        auto_delete: false,
        internal: false,
        arguments,
    };
    let own: Table = [("alternate-exchange", "amq.direct")].into_iter().collect();
    rig.exchange("x", options(Table::new())).await;
    rig.exchange("own", options(own)).await;
    rig.queue("q", QueueOptions::default()).await;
    rig.bind("amq.fanout", (crate::Kind::Queue, "q"), "").await;
    // One cache, as a publisher has it: it has to notice.
    let mut cache = RouteCache::default();
    let mut routed = |exchange: &str| {
        let route = rig.vhost.route(&mut cache, exchange, b"nowhere").unwrap();
        let message = plain(exchange, "nowhere", Essentials::default(), b"body");
        rig.vhost.publish(&route, &message, now_ms(), &mut Wakes::new()).unwrap().routed
    };
    assert_eq!((routed("x"), routed("own"), routed("")), (0, 0, 0));
    rig.set(policy("ae", "^(x|own|)$", 0, &[("alternate-exchange", "amq.fanout".into())])).await;
    assert_eq!((routed("x"), routed("own"), routed("")), (1, 0, 0));
    assert_eq!(rig.vhost.exchange("x").unwrap().applied().policy(), Some("ae"));
    rig.unset("ae").await;
    assert_eq!(routed("x"), 0);
}

#[tokio::test]
async fn a_change_that_is_given_up_half_way_gets_to_every_queue_all_the_same() {
    let rig = Rig::new(PLENTY);
    let mut queues = Vec::new();
    for index in 0..1000 {
        queues.push(rig.queue(&format!("q{index}"), QueueOptions::default()).await);
    }
    rig.table.hold();
    {
        let setting = rig.vhost.set_policy(PolicyKind::User, ttl("p", "^q", 1));
        tokio::pin!(setting);
        // As a client does that goes away while it waits.
        let polled = tokio::time::timeout(std::time::Duration::ZERO, setting.as_mut()).await;
        assert!(polled.is_err());
    }
    while queues.iter().any(|queue| name_of(queue).is_none()) {
        tokio::task::yield_now().await;
    }
}
