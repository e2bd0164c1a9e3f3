//! What is there after a stop and after a crash.

use gantry_storage::{DataDir, EmbeddedJournal, EmbeddedTable, JournalOptions};
use proptest::prelude::*;

use super::*;
use crate::exchange::ExchangeKind;
use crate::{Kind, Ticket};

fn durable_exchange(kind: ExchangeKind) -> ExchangeOptions {
    ExchangeOptions { kind, durable: true, auto_delete: false, internal: false, arguments: Table::new() }
}

/// Everything that waits, as (body, redelivered, attempts), in order. It stays there.
async fn contents(broker: &Arc<Broker>, queue: &Arc<Queue>) -> Vec<(String, bool, u32)> {
    let mut items = Vec::new();
    while let Some((delivery, _)) = queue.fetch(0, true) {
        items.push(Item::Delivery(delivery));
    }
    broker.load(&mut items).await;
    let mut contents = Vec::new();
    for item in &items {
        if let Item::Delivery(delivery) = item {
            contents.push((body_of(item).unwrap(), delivery.redelivered, delivery.attempts));
        }
    }
    settle(items, Outcome::Release);
    contents
}

#[tokio::test]
async fn definitions_come_back_and_deleted_ones_do_not() {
    let rig = Rig::new(PLENTY);
    let arguments = with(&[("x-message-ttl", 1_000_000)]);
    let options = QueueOptions { arguments: arguments.clone(), ..durable() };
    rig.queue("q", options.clone()).await;
    rig.queue("transient", QueueOptions::default()).await;
    rig.queue("exclusive", QueueOptions { exclusive: true, ..durable() }).await;
    for name in ["x", "y", "deleted"] {
        rig.exchange(name, durable_exchange(ExchangeKind::Topic)).await;
    }
    rig.exchange("transient", ExchangeOptions { durable: false, ..durable_exchange(ExchangeKind::Fanout) }).await;
    rig.bind("x", (Kind::Exchange, "y"), "a.#").await;
    rig.bind("y", (Kind::Queue, "q"), "a.*").await;
    rig.vhost.bind("y", (Kind::Queue, "q"), b"a.*", &with(&[("n", 1)]), CLIENT).await.unwrap();
    for (source, destination) in [("x", "transient"), ("transient", "q"), ("deleted", "q"), ("x", "exclusive")] {
        rig.bind(source, (Kind::Queue, destination), "a.b").await;
    }
    rig.vhost.delete_exchange("deleted", false).await.unwrap();
    for orderly in [false, true] {
        let faults = rig.faults.clone();
        let mut found = Found::default();
        let journal = rig.journal.reopen(&mut found);
        let table = HeldTable { rows: rig.table.rows.reopen(), ..HeldTable::default() };
        let again = Rig::on(journal, table, found, faults, PLENTY);
        let again = if orderly { again.restart() } else { again };
        assert_eq!(again.vhost.counts(), (8 + 2, 1));
        assert_eq!(again.vhost.bindings().len(), 3);
        assert_eq!(again.vhost.queue("q", CLIENT).unwrap().options(), &options);
        assert_eq!(again.publish("x", "a.b", "body").unwrap().routed, 1);
        assert!(again.vhost.queue("exclusive", CLIENT).is_err());
    }
}

#[tokio::test]
async fn no_connection_has_the_number_of_one_before_the_restart() {
    let rig = Rig::new(PLENTY);
    let before = rig.broker.shared().next_id();
    let rig = rig.crash();
    assert!(rig.broker.shared().next_id() > before + 1_000_000);
}

#[tokio::test]
async fn after_an_orderly_stop_the_marks_are_exact() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    for body in ["retried", "delivered", "done", "waiting"] {
        rig.publish("", "q", body).unwrap();
    }
    rig.publish_with("", "q", "transient", Essentials::default()).unwrap();
    let mut deliveries = Vec::new();
    for _ in 0..3 {
        deliveries.push(queue.fetch(0, true).unwrap().0.lease.unwrap());
    }
    queue.settle(&deliveries[2..], Outcome::Accept, &mut Wakes::new());
    queue.settle(&deliveries[..1], Outcome::Retry, &mut Wakes::new());
    let rig = rig.restart();
    let queue = rig.vhost.queue("q", CLIENT).unwrap();
    let expected = [("retried", true, 1), ("delivered", true, 0), ("waiting", false, 0)];
    assert_eq!(contents(&rig.broker, &queue).await, expected.map(|(body, again, n)| (body.to_owned(), again, n)));
}

#[tokio::test]
async fn after_a_crash_everything_that_was_delivered_is_marked() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    for n in 0..1000 {
        rig.publish("", "q", &n.to_string()).unwrap();
    }
    // The deliveries go out, and nothing reaches the disk any more.
    rig.journal.hold();
    let inbox = Inbox::new(usize::MAX);
    rig.subscribe(&queue, &inbox, Credit::Unlimited).unwrap();
    assert_eq!(taken(&inbox).len(), 1000);
    let rig = rig.crash();
    let queue = rig.vhost.queue("q", CLIENT).unwrap();
    let contents = contents(&rig.broker, &queue).await;
    assert_eq!(contents.len(), 1000);
    for (n, (body, redelivered, _)) in contents.into_iter().enumerate() {
        assert_eq!((body, redelivered), (n.to_string(), true));
    }
    // And what comes after them is new.
    rig.publish("", "q", "new").unwrap();
    let rig = rig.restart();
    let queue = rig.vhost.queue("q", CLIENT).unwrap();
    assert!(queue.status().ready == 1001);
}

#[tokio::test]
async fn what_was_stored_for_the_sake_of_memory_is_gone_after_a_crash() {
    let rig = Rig::new(SCARCE);
    rig.queue("q", durable()).await;
    rig.queue("transient", QueueOptions::default()).await;
    for name in ["q", "transient"] {
        rig.publish_with("", name, "transient", Essentials::default()).unwrap();
        rig.publish("", name, "durable").unwrap();
    }
    assert_eq!(rig.stored(), 4);
    let rig = rig.crash();
    assert_eq!(rig.stored(), 1);
    let queue = rig.vhost.queue("q", CLIENT).unwrap();
    assert_eq!(rig.bodies(&queue).await, ["durable"]);
}

#[tokio::test]
async fn a_lane_is_never_given_to_another_queue() {
    let mut rig = Rig::new(PLENTY);
    let mut lanes = Vec::new();
    for run in 0..4 {
        for n in 0..3 {
            let queue = rig.queue(&format!("q{run}.{n}"), durable()).await;
            lanes.push(queue.lane());
            rig.publish("", queue.name(), "old").unwrap();
        }
        // The row is gone before the messages are: as after a crash between the two.
        rig.journal.hold();
        rig.vhost.delete_queue(&format!("q{run}.0"), crate::DeleteQueue::default(), CLIENT).await.unwrap();
        rig = rig.crash();
        let queue = rig.queue(&format!("q{run}.0"), durable()).await;
        assert_eq!(queue.status().ready, 0, "not the messages of its namesake");
        lanes.push(queue.lane());
        assert_eq!(rig.stored(), 2 * (run + 1));
    }
    let count = lanes.len();
    lanes.sort_unstable();
    lanes.dedup();
    assert_eq!(lanes.len(), count);
}

#[tokio::test]
async fn a_message_expires_by_its_own_clock_across_a_restart() {
    let rig = Rig::new(PLENTY);
    rig.queue("q", durable()).await;
    let essentials = Essentials { durable: true, priority: 0, ttl_ms: Some(20), group: None, delay_ms: None };
    rig.publish_with("", "q", "short", essentials).unwrap();
    let rig = rig.crash();
    let mut watch = rig.broker.watch_durable();
    while rig.stored() > 0 {
        watch.changed().await.unwrap();
    }
    assert_eq!(rig.vhost.queue("q", CLIENT).unwrap().status().ready, 0);
}

#[tokio::test]
async fn a_folder_of_the_format_before_is_read_and_others_are_refused() {
    let rig = Rig::new(PLENTY);
    rig.queue("q", durable()).await;
    rig.publish("", "q", "body").unwrap();
    let set = |rig: &Rig, format: u32| {
        let value = format.to_be_bytes().to_vec();
        let change = Change::Put { space: "meta", key: b"format".to_vec(), value };
        rig.table.commit(vec![change], Box::new(|result| result.unwrap()));
    };
    let mut rig = rig;
    for format in [2, 3] {
        set(&rig, format);
        rig = rig.crash();
        assert_eq!(rig.bodies(&rig.vhost.queue("q", CLIENT).unwrap()).await, ["body"]);
        assert_eq!(rig.table.get("meta", b"format").unwrap(), Some(4_u32.to_be_bytes().to_vec()));
    }
    for format in [1, 5] {
        set(&rig, format);
        let mut found = Found::default();
        let journal = Arc::new(rig.journal.reopen(&mut found));
        let table = Arc::new(HeldTable { rows: rig.table.rows.reopen(), ..HeldTable::default() });
        assert!(matches!(Broker::open(options(PLENTY), journal, table, found), Err(Error::Storage(_))));
    }
}

/// A broker on the embedded engines, in a runtime of its own: with it go all tasks that keep the storage open.
pub(super) fn on_disk(folder: &std::path::Path, test: impl AsyncFnOnce(&Arc<Broker>, &Arc<VirtualHost>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = DataDir::lock(folder).unwrap();
    let mut found = Found::default();
    let options = JournalOptions { disk_free_min_bytes: 0, ..JournalOptions::default() };
    let journal = Arc::new(EmbeddedJournal::open(&dir.journal(), options, &mut found).unwrap());
    let table = Arc::new(EmbeddedTable::open(&dir.tables()).unwrap());
    runtime.block_on(async {
        let broker = Broker::open(super::options(PLENTY), journal, table, found).unwrap();
        test(&broker, &vhost(&broker)).await;
    });
}

async fn publish_numbers(broker: &Broker, vhost: &VirtualHost, numbers: std::ops::Range<u32>) {
    let mut last = Ticket::default();
    for n in numbers {
        let route = vhost.route(&mut RouteCache::default(), "amq.topic", b"k").unwrap();
        let essentials = Essentials { durable: true, ..Essentials::default() };
        let message = plain("amq.topic", "k", essentials, n.to_string().as_bytes());
        last = vhost.publish(&route, &message, now_ms(), &mut Wakes::new()).unwrap().durable.unwrap();
    }
    broker.watch_durable().wait_for(|durable| *durable >= last).await.unwrap();
}

#[test]
fn the_embedded_engines_give_back_what_was_there_in_order() {
    let folder = tempfile::tempdir().unwrap();
    on_disk(folder.path(), async |broker, vhost| {
        let queue = vhost.declare_queue(QueueName::Given("q"), durable(), CLIENT).await.unwrap();
        vhost.bind("amq.topic", (Kind::Queue, "q"), b"#", &Table::new(), CLIENT).await.unwrap();
        publish_numbers(broker, vhost, 0..100).await;
        let leases: Vec<_> = (0..10).map(|_| queue.fetch(0, true).unwrap().0.lease.unwrap()).collect();
        queue.settle(&leases[5..], Outcome::Accept, &mut Wakes::new());
        broker.start_closing();
        broker.close().unwrap();
    });
    on_disk(folder.path(), async |broker, vhost| {
        assert_eq!(vhost.bindings().len(), 1);
        let queue = vhost.queue("q", CLIENT).unwrap();
        let expected: Vec<_> = (0..5).chain(10..100).map(|n: u32| (n.to_string(), n < 5, 0)).collect();
        assert_eq!(contents(broker, &queue).await, expected);
        publish_numbers(broker, vhost, 100..110).await;
        // No orderly stop this time.
    });
    on_disk(folder.path(), async |broker, vhost| {
        let queue = vhost.queue("q", CLIENT).unwrap();
        let expected: Vec<_> = (0..5).chain(10..110).map(|n: u32| (n.to_string(), true, 0)).collect();
        assert_eq!(contents(broker, &queue).await, expected);
    });
}

#[derive(Clone, Debug)]
enum Step {
    Publish,
    /// Takes a message and says an outcome, or none.
    Take(Option<Outcome>),
    Hold,
    Release,
    Crash,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        3 => Just(Some(Outcome::Accept)),
        1 => Just(Some(Outcome::Retry)),
        1 => Just(Some(Outcome::Release)),
        1 => Just(None),
    ];
    prop_oneof![
        10 => Just(Step::Publish),
        8 => outcome.prop_map(Step::Take),
        2 => Just(Step::Hold),
        2 => Just(Step::Release),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

#[derive(Debug)]
struct Sent {
    body: String,
    ticket: Ticket,
    /// The outcome was said, in this run; and is known to be on the disk.
    accepted: bool,
    accepted_safely: bool,
    delivered: bool,
}

async fn run(steps: Vec<Step>, memory: usize) {
    let faults = Faults::default();
    let journal = MemoryJournal::new(faults.clone());
    let mut rig = Rig::on(journal, HeldTable::default(), Found::default(), faults, memory);
    rig.queue("q", durable()).await;
    let mut sent: Vec<Sent> = Vec::new();
    let (mut held, mut number) = (false, 0);
    for step in steps.into_iter().chain([Step::Crash]) {
        let queue = rig.vhost.queue("q", CLIENT).unwrap();
        match step {
            Step::Publish => {
                let body = number.to_string();
                number += 1;
                let ticket = rig.publish("", "q", &body).unwrap().durable.unwrap();
                sent.push(Sent { body, ticket, accepted: false, accepted_safely: false, delivered: false });
            }
            Step::Take(outcome) => {
                let Some((delivery, _)) = queue.fetch(0, true) else { continue };
                let lease = delivery.lease.unwrap();
                let mut items = vec![Item::Delivery(delivery)];
                let body = rig.read(&mut items).await.remove(0);
                let message = sent.iter_mut().find(|sent| sent.body == body).expect("it was sent");
                assert!(!message.accepted, "{body} came again in the same run");
                message.delivered = true;
                if let Some(outcome) = outcome {
                    queue.settle(&[lease], outcome, &mut Wakes::new());
                    message.accepted = outcome == Outcome::Accept;
                    message.accepted_safely = message.accepted && !held;
                }
            }
            Step::Hold => {
                rig.journal.hold();
                held = true;
            }
            Step::Release => {
                rig.journal.release();
                held = false;
                sent.iter_mut().for_each(|sent| sent.accepted_safely = sent.accepted);
            }
            Step::Crash | Step::Restart => {
                let orderly = matches!(step, Step::Restart);
                let durable = rig.broker.durable();
                rig = if orderly { rig.restart() } else { rig.crash() };
                held = false;
                // What was not confirmed may be lost, what was accepted may come again if that was not safe.
                let must = |sent: &Sent| (orderly || sent.ticket <= durable) && !sent.accepted;
                let may = |sent: &Sent| !(sent.accepted_safely || orderly && sent.accepted);
                let queue = rig.vhost.queue("q", CLIENT).unwrap();
                let found = contents(&rig.broker, &queue).await;
                let mut rest = sent.iter();
                for (body, redelivered, _) in &found {
                    let message = rest.by_ref().find(|sent| sent.body == *body).expect("in order, once");
                    assert!(may(message), "{message:?}");
                    assert!(*redelivered || !message.delivered, "{message:?}");
                }
                for message in sent.iter().filter(|sent| must(sent)) {
                    assert!(found.iter().any(|(body, ..)| *body == message.body), "{message:?} is lost");
                }
                sent.retain(|sent| found.iter().any(|(body, ..)| *body == sent.body));
                for sent in &mut sent {
                    // It is on the disk, and `contents` has just taken it.
                    (sent.ticket, sent.accepted, sent.delivered) = (Ticket::default(), false, true);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn what_was_confirmed_and_not_accepted_is_there_once_and_in_order(
        steps in prop::collection::vec(step(), 1..80),
        scarce in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps, if scarce { SCARCE } else { PLENTY }));
    }
}

#[tokio::test]
async fn a_folder_of_another_format_is_refused() {
    let rig = Rig::new(PLENTY);
    let rows = rig.table.rows.reopen();
    let put = |value: u32| Change::Put { space: "meta", key: b"format".to_vec(), value: value.to_be_bytes().to_vec() };
    for (change, refused) in
        [(Change::Delete { space: "meta", key: b"format".to_vec() }, true), (put(1_000), true), (put(2), false)]
    {
        rows.commit(vec![change], Box::new(|result| result.unwrap()));
        let journal = Arc::new(rig.journal.reopen(&mut Found::default()));
        let table = Arc::new(HeldTable { rows: rows.reopen(), ..HeldTable::default() });
        let opened = Broker::open(options(PLENTY), journal, table, Found::default());
        assert_eq!(matches!(opened, Err(Error::Storage(_))), refused);
    }
}
