//! Messages that are published for later.

use super::recovery::on_disk;
use super::*;
use crate::{Group, Schedule, ScheduleError, Transaction};

fn schedule(delay_ms: u64, period_ms: u64, repeat: i64) -> Schedule {
    Schedule::new(delay_ms, period_ms, repeat, None).unwrap().unwrap()
}

impl Rig {
    fn later(&self, exchange: &str, key: &str, body: &str, schedule: &Schedule) -> Result<Published, Error> {
        self.later_at(exchange, key, body, schedule, now_ms())
    }

    fn later_at(
        &self,
        exchange: &str,
        key: &str,
        body: &str,
        schedule: &Schedule,
        now_ms: u64,
    ) -> Result<Published, Error> {
        let route = self.vhost.route(&mut RouteCache::default(), exchange, key.as_bytes())?;
        let message = plain(exchange, key, Essentials { durable: true, ..Essentials::default() }, body.as_bytes());
        self.vhost.publish_later(&route, &message, schedule, now_ms)
    }
}

async fn has(queue: &Arc<Queue>, count: usize) {
    eventually("messages come", || queue.status().ready >= count).await;
}

#[tokio::test]
async fn a_message_comes_when_it_is_due_in_order_and_leaves_nothing_behind() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    let start_ms = now_ms();
    for (delay_ms, body) in [(200, "third"), (60, "first"), (120, "second")] {
        let published = rig.later("", "q", body, &schedule(delay_ms, 0, 0)).unwrap();
        assert!(published.durable.is_some() && published.routed == 1);
    }
    assert_eq!((queue.status().ready, rig.vhost.scheduled(), rig.stored()), (0, 3, 3));
    has(&queue, 3).await;
    assert!(now_ms() - start_ms >= 200);
    assert_eq!(rig.bodies(&queue).await, ["first", "second", "third"]);
    assert_eq!((rig.vhost.scheduled(), rig.stored()), (0, 3));
}

#[tokio::test]
async fn it_goes_to_what_is_bound_when_it_is_due() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    rig.later("amq.topic", "a.b", "body", &schedule(100, 0, 0)).unwrap();
    assert!(matches!(rig.later("nowhere", "k", "body", &schedule(100, 0, 0)), Err(Error::NotFound(_))));
    rig.bind("amq.topic", (crate::Kind::Queue, "q"), "a.*").await;
    has(&queue, 1).await;
    // Where nothing is bound, it ends.
    rig.later("amq.topic", "other", "body", &schedule(1, 0, 0)).unwrap();
    eventually("it goes", || rig.vhost.scheduled() == 0).await;
    assert_eq!(rig.stored(), 1);
}

#[tokio::test]
async fn a_message_repeats_as_often_as_it_says() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    rig.later("", "q", "body", &schedule(20, 10, 4)).unwrap();
    has(&queue, 5).await;
    assert_eq!((rig.vhost.scheduled(), rig.stored()), (0, 5));
    rig.later("", "q", "for ever", &schedule(1, 5, -1)).unwrap();
    has(&queue, 15).await;
    assert_eq!(rig.vhost.scheduled(), 1);
}

#[tokio::test]
async fn what_waits_survives_a_stop_and_a_crash() {
    for orderly in [true, false] {
        let rig = Rig::new(PLENTY);
        rig.queue("q", durable()).await;
        rig.later("", "q", "soon", &schedule(150, 0, 0)).unwrap();
        rig.later("", "q", "often", &schedule(200, 600_000, 2)).unwrap();
        let cron = Schedule::new(0, 0, 0, Some("0 0 29 2 *")).unwrap().unwrap();
        rig.later("", "q", "rarely", &cron).unwrap();
        let rig = if orderly { rig.restart() } else { rig.crash() };
        let queue = rig.vhost.queue("q", CLIENT).unwrap();
        assert_eq!(rig.vhost.scheduled(), 3);
        has(&queue, 2).await;
        assert_eq!(rig.bodies(&queue).await, ["soon", "often"]);
        assert_eq!((rig.vhost.scheduled(), rig.stored()), (2, 4));
        let rig = rig.crash();
        assert_eq!((rig.vhost.scheduled(), rig.vhost.queue("q", CLIENT).unwrap().status().ready), (2, 2));
    }
}

#[tokio::test]
async fn a_crash_leaves_a_message_in_one_place_and_its_repetitions_whole() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    rig.later("", "q", "body", &schedule(300, 100_000, 3)).unwrap();
    // It fires, and nothing of that reaches the disk: it is where it was.
    rig.journal.hold();
    has(&queue, 1).await;
    assert_eq!(rig.vhost.scheduled(), 1);
    let rig = rig.crash();
    assert_eq!(rig.vhost.scheduled(), 1);
    let queue = rig.vhost.queue("q", CLIENT).unwrap();
    has(&queue, 1).await;
    // Now it does: it is in the queue, and waits for its next time.
    let rig = rig.crash();
    let queue = rig.vhost.queue("q", CLIENT).unwrap();
    assert_eq!((queue.status().ready, rig.vhost.scheduled(), rig.stored()), (1, 1, 2));
}

#[tokio::test]
async fn a_cron_time_delivers_or_begins_a_series() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    // Published long ago, so that its first time is over.
    let every_minute = Schedule::new(0, 0, 0, Some("* * * * *")).unwrap().unwrap();
    rig.later_at("", "q", "each", &every_minute, now_ms() - 600_000).unwrap();
    has(&queue, 1).await;
    eventually("it waits again", || rig.vhost.scheduled() == 1).await;
    assert_eq!(queue.status().ready, 1, "what was missed is not made up for");
    let series = Schedule::new(30, 10, 2, Some("0 0 1 1 *")).unwrap().unwrap();
    rig.later_at("", "q", "series", &series, now_ms() - 400 * 86_400_000).unwrap();
    has(&queue, 4).await;
    assert_eq!(rig.vhost.scheduled(), 2);
    assert_eq!(rig.bodies(&queue).await[1..], ["series", "series", "series"]);
    assert!(matches!(Schedule::new(0, 0, 0, Some("every day")), Err(ScheduleError::Cron(_))));
}

#[tokio::test]
async fn a_full_disk_keeps_what_is_due_until_there_is_room() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    for n in 0..10 {
        rig.later("", "q", &n.to_string(), &schedule(50 + n, 10, 1)).unwrap();
    }
    rig.faults.set_full(true);
    assert_eq!(rig.later("", "q", "more", &schedule(50, 0, 0)), Err(Error::Full));
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    assert_eq!((queue.status().ready, rig.vhost.scheduled()), (0, 10));
    rig.faults.set_full(false);
    has(&queue, 20).await;
    eventually("all have come", || rig.vhost.scheduled() == 0).await;
}

#[tokio::test]
async fn a_transaction_has_what_is_for_later_in_its_record() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    let route = rig.vhost.route(&mut RouteCache::default(), "", b"q").unwrap();
    let message = |body: &str| plain("", "q", Essentials { durable: true, ..Essentials::default() }, body.as_bytes());
    let transaction = Transaction {
        publishes: vec![(Arc::clone(&route), message("now"))],
        later: vec![(Arc::clone(&route), message("later"), schedule(60, 0, 0))],
        ..Transaction::default()
    };
    let (routed, durable) = rig.vhost.commit_transaction(&transaction, now_ms(), &mut Wakes::new()).unwrap();
    assert_eq!((routed, durable.is_some(), rig.vhost.scheduled()), (vec![1], true, 1));
    let rig = rig.crash();
    drop(queue);
    let queue = rig.vhost.queue("q", CLIENT).unwrap();
    has(&queue, 2).await;
    assert_eq!(rig.bodies(&queue).await, ["now", "later"]);
    rig.journal.hold();
    rig.vhost.commit_transaction(&transaction, now_ms(), &mut Wakes::new()).unwrap();
    let rig = rig.crash();
    assert_eq!((rig.vhost.scheduled(), rig.vhost.queue("q", CLIENT).unwrap().status().ready), (0, 2));
}

#[tokio::test]
async fn a_hundred_thousand_that_wait_take_no_timer_each() {
    let rig = Rig::new(PLENTY);
    rig.queue("q", durable()).await;
    let before = crate::message::resident_bytes();
    for n in 0..100_000_u64 {
        rig.later("", "q", "a body of some length", &schedule(600_000 + n, 0, 0)).unwrap();
    }
    assert_eq!((rig.vhost.scheduled(), rig.broker.shared().delays.len()), (100_000, 1));
    // Other tests have messages, too.
    assert!(crate::message::resident_bytes() < before + 100_000 * 21);
    let rig = rig.crash();
    assert_eq!((rig.vhost.scheduled(), rig.broker.shared().delays.len()), (100_000, 1));
}

#[test]
fn on_the_embedded_engines_schedules_and_groups_survive_a_kill_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    let essentials = |group: &str| {
        let group = Some(Group::new(group.as_bytes(), false));
        Essentials { durable: true, group, ..Essentials::default() }
    };
    on_disk(folder.path(), async |broker, vhost| {
        vhost.declare_queue(QueueName::Given("q"), durable(), CLIENT).await.unwrap();
        let route = vhost.route(&mut RouteCache::default(), "", b"q").unwrap();
        let mut last = None;
        for (body, group, schedule) in [
            ("soon", "a", schedule(100, 0, 0)),
            ("often", "b", schedule(120, 300, 2)),
            ("late", "a", schedule(900_000, 0, 0)),
        ] {
            let message = plain("", "q", essentials(group), body.as_bytes());
            last = vhost.publish_later(&route, &message, &schedule, now_ms()).unwrap().durable;
        }
        broker.watch_durable().wait_for(|durable| Some(*durable) >= last).await.unwrap();
        // Killed, here and below.
    });
    on_disk(folder.path(), async |broker, vhost| {
        assert_eq!(vhost.scheduled(), 3);
        let queue = vhost.queue("q", CLIENT).unwrap();
        has(&queue, 2).await;
        let so_far = broker.appended();
        broker.watch_durable().wait_for(|durable| *durable >= so_far).await.unwrap();
    });
    on_disk(folder.path(), async |_, vhost| {
        let queue = vhost.queue("q", CLIENT).unwrap();
        has(&queue, 4).await;
        eventually("one is left", || vhost.scheduled() == 1).await;
        // Each group, with its messages in order, is with one consumer.
        let (one, other) = (Inbox::new(usize::MAX), Inbox::new(usize::MAX));
        let options = |credit| ConsumerOptions { credit, acknowledges: true, exclusive: false, priority: 0 };
        let mut wakes = Wakes::new();
        let _one = vhost.subscribe(&queue, outlet(&one, 1), options(Credit::Window(1)), &mut wakes).unwrap();
        let _other = vhost.subscribe(&queue, outlet(&other, 2), options(Credit::Unlimited), &mut wakes).unwrap();
        assert_eq!((taken(&one).len(), taken(&other).len()), (1, 3));
    });
}
