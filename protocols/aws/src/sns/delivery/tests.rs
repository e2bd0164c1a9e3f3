//! Deliveries to a server that the tests start, out of queues that nothing is bound to.

mod hook;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use gantry_broker::message::now_ms;
use gantry_broker::{
    Broker, BrokerOptions, Found, Queue, QueueOptions, QueueSettings, Redrive, Sources, VirtualHost, Wakes,
};
use gantry_storage::{Faults, MemoryJournal, MemoryTable};

use self::hook::Hook;
use super::policy::Retries;
use super::*;
use crate::message::Checked;
use crate::outbound::Reach;
use crate::sns::convert::{self, Published};
use crate::{Aws, Edge, SQS_SOURCE, Settings};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

const TOPIC_ARN: &str = "arn:aws:sns:us-east-1:000000000000:orders";

struct Site {
    broker: Arc<Broker>,
    aws: Aws,
    vhost: Arc<VirtualHost>,
    journal: Arc<MemoryJournal>,
    table: Arc<MemoryTable>,
}

impl Site {
    fn new() -> Self {
        Self::on(MemoryJournal::new(Faults::default()), MemoryTable::new(), Found::default())
    }

    fn on(journal: MemoryJournal, table: MemoryTable, found: Found) -> Self {
        let (journal, table) = (Arc::new(journal), Arc::new(table));
        let sources = Sources::new(vec![&SQS_SOURCE, &convert::SOURCE, &NOTICE_SOURCE]);
        let options = BrokerOptions { sources, ..BrokerOptions::default() };
        let broker = Broker::open(options, journal.clone(), table.clone(), found).unwrap();
        let (aws, _) = Aws::new(Arc::clone(&broker), Settings::default(), Arc::default()).unwrap();
        let vhost = broker.vhost("/").unwrap();
        Self { broker, aws, vhost, journal, table }
    }

    /// As after a kill.
    fn crash(self) -> Self {
        self.edge().sns.deliveries.stop_all();
        let mut found = Found::default();
        let journal = self.journal.reopen(&mut found);
        Self::on(journal, self.table.reopen(), found)
    }

    fn edge(&self) -> &Arc<Edge> {
        &self.aws.edge
    }

    async fn queue_with(&self, name: &str, settings: QueueSettings) -> Arc<Queue> {
        let options = QueueOptions { durable: true, ..QueueOptions::default() };
        let (queue, _, pending) = self.vhost.declare_with(name, options, settings, 0).unwrap();
        pending.wait().await.unwrap();
        queue
    }

    async fn queue(&self, name: &str) -> Arc<Queue> {
        self.queue_with(name, QueueSettings::default()).await
    }

    fn publish(&self, queue: &Arc<Queue>, body: &str) {
        let address = gantry_broker::Address { exchange: "orders".into(), routing_key: bytes::Bytes::new() };
        let published = Published {
            id: [7; 16],
            published_ms: 1_790_000_000_123,
            topic: TOPIC_ARN,
            subject: None,
            body,
            variants: &[],
            group: None,
            deduplication: None,
            trace: None,
            sequence: None,
            attributes: &Checked::default(),
        };
        let message = convert::message(&Arc::new(address), &published);
        self.vhost.send(queue, &message, None, now_ms(), &mut Wakes::new()).unwrap();
    }

    fn start(&self, errand: Errand) {
        self.edge().sns.deliveries.start_errand(self.edge(), Arc::new(errand));
    }

    fn count(&self, id: &str) -> DeliveryCount {
        self.edge().sns.deliveries.counts().into_iter().find(|count| *count.subscription == *id).unwrap()
    }
}

/// Retries at once, so many.
fn at_once(count: u32) -> Retries {
    Retries { count, no_delay_count: count, ..Retries::WEBHOOK }
}

fn errand(queue: &Arc<Queue>, hook: &Hook, retries: Retries) -> Errand {
    Errand {
        id: queue.name().clone(),
        queue: Arc::clone(queue),
        means: Means::Http,
        endpoint: hook.url("/hook").into(),
        reach: Reach::Loopback,
        topic_arn: Some(TOPIC_ARN.into()),
        subscription_arn: Some(format!("{TOPIC_ARN}:{}", queue.name()).into()),
        is_raw: true,
        signature_version: 1,
        policy: Policy { retries, ..Policy::of(Means::Http) },
        dead_letters: None,
        base_url: "http://localhost:4566".into(),
        feedback: Feedback::default(),
        protection: None,
    }
}

/// Waits until something is so.
async fn until(what: impl Fn() -> bool) {
    tokio::time::timeout(PATIENCE, async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
    .expect("it is never so");
}

#[tokio::test]
async fn what_fails_is_tried_again_until_it_works() {
    let (site, hook) = (Site::new(), Hook::start(&[500, 429, 503, 200]).await);
    let queue = site.queue("a").await;
    site.publish(&queue, "hello");
    site.start(errand(&queue, &hook, at_once(3)));
    let mut bodies = Vec::new();
    for _ in 0..4 {
        bodies.push(hook.next().await.body);
    }
    assert_eq!(bodies, ["hello"; 4]);
    until(|| queue.status().ready + queue.status().unacked == 0).await;
    until(|| site.count("a").delivered == 1).await;
    let count = site.count("a");
    assert_eq!((count.retried, count.dropped, count.dead_lettered), (3, 0, 0));
    assert_eq!(count.topic_arn.as_deref(), Some(TOPIC_ARN));
    hook.is_quiet().await;
}

#[tokio::test]
async fn what_is_refused_or_fails_too_often_is_given_up_to_who_keeps_it() {
    for (statuses, attempts) in [(&[400, 200][..], 1), (&[302, 200], 1), (&[500, 500, 500, 200], 3)] {
        for keeps in [true, false] {
            let (site, hook) = (Site::new(), Hook::start(statuses).await);
            let letters = site.queue("letters").await;
            let redrive = keeps.then(|| Redrive { queue: "letters".into(), receives_max: u32::MAX });
            let queue = site.queue_with("a", QueueSettings { redrive, ..QueueSettings::default() }).await;
            let dead_letters = keeps.then(|| "letters".into());
            site.publish(&queue, "hello");
            site.start(Errand { dead_letters, ..errand(&queue, &hook, at_once(2)) });
            for _ in 0..attempts {
                hook.next().await;
            }
            until(|| letters.status().ready == usize::from(keeps) && queue.status().unacked == 0).await;
            until(|| site.count("a").dead_lettered + site.count("a").dropped == 1).await;
            let count = site.count("a");
            assert_eq!((count.dead_lettered, count.dropped), (u64::from(keeps), u64::from(!keeps)));
            assert_eq!(queue.status().ready, 0);
            hook.is_quiet().await;
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_delays_no_other() {
    let (site, slow, quick) = (Site::new(), Hook::silent().await, Hook::start(&[200; 100]).await);
    let (stuck, flowing) = (site.queue("stuck").await, site.queue("flowing").await);
    for _ in 0..100 {
        site.publish(&stuck, "x");
        site.publish(&flowing, "y");
    }
    site.start(errand(&stuck, &slow, at_once(0)));
    site.start(errand(&flowing, &quick, at_once(0)));
    for _ in 0..100 {
        quick.next().await;
    }
    until(|| flowing.status().unacked == 0).await;
    assert_eq!(stuck.status().ready + stuck.status().unacked, 100);
    // And no more of them are under way than may be.
    assert!(stuck.status().unacked <= 64, "{:?}", stuck.status());
}

#[tokio::test]
async fn after_a_crash_what_was_not_delivered_is_and_failures_are_remembered() {
    let (site, hook) = (Site::new(), Hook::start(&[500, 200, 500]).await);
    let queue = site.queue("a").await;
    site.publish(&queue, "first");
    let late = Retries { delay_min_s: 3600, delay_max_s: 3600, ..Retries::WEBHOOK };
    site.start(errand(&queue, &hook, late));
    hook.next().await;
    until(|| site.count("a").retried == 1).await;
    site.edge().sns.deliveries.stop_errand("a");
    site.publish(&queue, "second");
    // The failure is on the disk.
    let appended = site.broker.appended();
    until(|| site.broker.durable() >= appended).await;
    drop(queue);
    let site = site.crash();
    let queue = site.vhost.queue_of_anyone("a").unwrap();
    assert_eq!((queue.status().ready, queue.status().unacked), (1, 1), "one waits for its time");
    site.start(errand(&queue, &hook, late));
    assert_eq!(hook.next().await.body, "second");
    until(|| site.count("a").delivered == 1).await;
    hook.is_quiet().await;
}

#[tokio::test]
async fn changes_hold_from_the_next_delivery_on_and_an_end_ends_them() {
    let (site, first, second) = (Site::new(), Hook::start(&[200; 9]).await, Hook::start(&[200; 9]).await);
    let queue = site.queue("a").await;
    site.start(errand(&queue, &first, at_once(0)));
    site.publish(&queue, "one");
    assert_eq!(first.next().await.body, "one");
    site.start(errand(&queue, &second, at_once(0)));
    site.publish(&queue, "two");
    assert_eq!(second.next().await.body, "two");
    site.edge().sns.deliveries.stop_errand("a");
    site.publish(&queue, "three");
    second.is_quiet().await;
    assert_eq!(queue.status().ready, 1);
    site.start(errand(&queue, &second, at_once(0)));
    assert_eq!(second.next().await.body, "three");
    // A queue of that name that is made later is another one.
    site.vhost.start_deletion("a", gantry_broker::DeleteQueue::default(), 0).unwrap().1.wait().await.unwrap();
    let queue = site.queue("a").await;
    site.publish(&queue, "four");
    site.start(errand(&queue, &second, at_once(0)));
    assert_eq!(second.next().await.body, "four");
}

#[tokio::test]
async fn deliveries_a_second_are_bounded_where_somebody_says_so() {
    let (site, hook) = (Site::new(), Hook::start(&[200; 11]).await);
    let queue = site.queue("a").await;
    for _ in 0..11 {
        site.publish(&queue, "x");
    }
    let mut slowed = errand(&queue, &hook, at_once(0));
    slowed.policy.receives_per_second_max = Some(20);
    let begin = std::time::Instant::now();
    site.start(slowed);
    for _ in 0..11 {
        hook.next().await;
    }
    assert!(begin.elapsed() >= Duration::from_millis(450), "{:?}", begin.elapsed());
}
