//! All of a queue into another, as a task: that each message is in one place, and how tasks end and go on.

use super::redrive::{Site, arrived, only_ordered, redriven};
use super::*;
use crate::{DeleteQueue, MoveFailure, MoveStatus, MoveTask, NotMoved, QueueSettings, Receive};

impl Site {
    async fn start(&self, source: &str, destination: Option<&str>, rate_per_s: Option<u32>) -> MoveTask {
        let (task, pending) = self.0.vhost.start_move(source, destination, rate_per_s).unwrap();
        pending.wait().await.unwrap();
        task
    }

    fn task(&self, source: &str) -> MoveTask {
        self.0.vhost.moves(source).remove(0)
    }

    async fn ended(&self, source: &str) -> MoveTask {
        eventually("the task ends", || !self.task(source).status.is_active()).await;
        self.task(source)
    }

    fn ready(&self, name: &str) -> usize {
        self.at(name).status().ready
    }

    /// Makes dead letters of what a queue is sent.
    async fn bury(&self, source: &str, bodies: &[&str]) {
        let source = self.at(source);
        bodies.iter().for_each(|body| self.send(&source, body, None));
        self.fail(&source, 2).await;
        eventually("they are dead", || source.status().ready == 0).await;
    }
}

#[tokio::test]
async fn everything_goes_over_in_order_and_says_nothing_of_its_deaths() {
    let site = Site::new();
    let dead = site.queue("dead", QueueSettings::default()).await;
    site.queue("source", redriven("dead", 1, false)).await;
    let to = site.queue("to", QueueSettings::default()).await;
    site.bury("source", &["a", "b", "c"]).await;
    arrived(&dead, 3).await;
    // That somebody has looked at it counts for nothing there.
    site.fail(&dead, 1).await;
    let task = site.start("dead", Some("to"), None).await;
    assert_eq!((task.status, task.to_move, task.moved), (MoveStatus::Running, 3, 0));
    let ended = site.ended("dead").await;
    assert_eq!((ended.status, ended.moved, ended.failure), (MoveStatus::Completed, 3, None));
    assert_eq!((site.ready("dead"), to.status().ready, site.0.stored()), (0, 3, 3));
    let site = site.crash();
    let expected = ["a", "b", "c"].map(|body| (body.to_owned(), None));
    for header in ["x-last-death-queue", "x-receive-count"] {
        assert_eq!(site.headers(&site.at("to"), header).await, expected);
    }
    let ask = Receive { messages_max: 10, lease_ms: 1_000, leased_max: usize::MAX };
    let received = site.at("to").receive(&ask, &mut Wakes::new());
    assert!(received.deliveries.iter().all(|delivery| delivery.attempts == 0));
    assert_eq!(site.task("dead").status, MoveStatus::Completed, "it is remembered");
}

#[tokio::test]
async fn without_a_destination_each_goes_back_to_where_it_came_from() {
    let site = Site::new();
    let dead = site.queue("dead", QueueSettings::default()).await;
    for source in ["one", "other"] {
        site.queue(source, redriven("dead", 1, false)).await;
        site.bury(source, &[source]).await;
    }
    arrived(&dead, 2).await;
    site.start("dead", None, None).await;
    assert_eq!(site.ended("dead").await.moved, 2);
    for source in ["one", "other"] {
        assert_eq!(site.0.bodies(&site.at(source)).await, [source]);
    }
    // A message that was sent there says nothing of where it came from, and stays.
    site.bury("one", &[]).await;
    arrived(&dead, 1).await;
    site.send(&dead, "direct", None);
    site.start("dead", None, None).await;
    let ended = site.ended("dead").await;
    assert_eq!((ended.status, ended.failure, ended.moved), (MoveStatus::Failed, Some(MoveFailure::UnknownOrigin), 1));
    assert_eq!(site.0.bodies(&dead).await, ["direct"]);
    // And one whose queue is gone.
    dead.purge();
    site.bury("other", &[]).await;
    arrived(&dead, 1).await;
    site.0.vhost.delete_queue("other", DeleteQueue::default(), CLIENT).await.unwrap();
    site.start("dead", None, None).await;
    let ended = site.ended("dead").await;
    assert_eq!(ended.failure, Some(MoveFailure::NoQueue("other".into())));
    assert_eq!(dead.status().ready, 1);
    let kept: Vec<_> = site.crash().0.vhost.moves("dead").into_iter().map(|task| task.failure).collect();
    let expected = [Some(MoveFailure::NoQueue("other".into())), Some(MoveFailure::UnknownOrigin), None];
    assert_eq!(kept, expected);
}

#[tokio::test]
async fn what_cannot_be_moved_is_refused_and_one_task_runs_for_a_source() {
    let site = Site::new();
    let source = site.queue("source", QueueSettings::default()).await;
    site.queue("to", QueueSettings::default()).await;
    let mut arguments = Table::new();
    arguments.push("x-queue-type", "stream");
    site.0.queue("stream", QueueOptions { arguments, ..durable() }).await;
    site.0.queue("mine", QueueOptions { exclusive: true, ..QueueOptions::default() }).await;
    let start = |source: &str, to: &str| site.0.vhost.start_move(source, Some(to), Some(1)).map(|(task, _)| task);
    for (source, to) in [("nowhere", "to"), ("source", "nowhere")] {
        assert!(matches!(start(source, to), Err(NotMoved::NoQueue(_))));
    }
    for (source, to) in [("source", "source"), ("stream", "to"), ("source", "stream"), ("source", "mine")] {
        assert!(matches!(start(source, to), Err(NotMoved::NotPossible(_))), "{source} {to}");
    }
    (0..5).for_each(|n| site.send(&source, &n.to_string(), None));
    let task = start("source", "to").unwrap();
    assert!(matches!(start("source", "to"), Err(NotMoved::Running(_))));
    assert_eq!(site.0.vhost.cancel_move(task.id + 1_000).map(drop), Err(NotMoved::NoTask));
    let (cancelling, pending) = site.0.vhost.cancel_move(task.id).unwrap();
    pending.wait().await.unwrap();
    assert_eq!(cancelling.status, MoveStatus::Cancelling);
    assert_eq!(site.0.vhost.cancel_move(task.id).map(drop), Err(NotMoved::NoTask));
    let ended = site.ended("source").await;
    assert_eq!(ended.status, MoveStatus::Cancelled);
    assert_eq!(site.ready("to") as u64, ended.moved);
    assert_eq!(site.ready("source") as u64, 5 - ended.moved);
    assert!(ended.moved < 5);
    start("source", "to").unwrap();
}

#[tokio::test]
async fn a_task_keeps_to_its_rate_and_goes_on_after_a_crash_with_what_is_left() {
    let mut site = Site::new();
    let source = site.queue("source", QueueSettings::default()).await;
    site.queue("to", QueueSettings::default()).await;
    let bodies: Vec<String> = (0..40).map(|n| format!("{n:02}")).collect();
    bodies.iter().for_each(|body| site.send(&source, body, None));
    let since = std::time::Instant::now();
    let first = site.start("source", Some("to"), Some(40)).await;
    for crash in 0..3 {
        eventually("some are moved", || site.ready("to") >= 4 * (crash + 1)).await;
        site = site.crash();
        assert_eq!(site.task("source").id, first.id);
    }
    let ended = site.ended("source").await;
    assert_eq!(ended.status, MoveStatus::Completed);
    // Each start has its first turn at once: 4 messages.
    assert!(since.elapsed().as_millis() >= 1_000 * (40 - 4 * 4) / 40 - 100, "{:?}", since.elapsed());
    let mut there = site.0.bodies(&site.at("to")).await;
    there.sort_unstable();
    assert_eq!((there, site.ready("source"), site.0.stored()), (bodies, 0, 40));
}

#[tokio::test]
async fn killed_before_it_is_on_disk_a_move_has_not_happened_and_happens_again() {
    let site = Site::new();
    let source = site.queue("source", QueueSettings::default()).await;
    site.queue("to", QueueSettings::default()).await;
    (0..10).for_each(|n| site.send(&source, &n.to_string(), None));
    site.0.journal.hold();
    site.start("source", Some("to"), None).await;
    eventually("they are moved", || site.ready("to") == 10).await;
    assert_eq!(site.task("source").status, MoveStatus::Running, "it has not ended before that is certain");
    let site = site.crash();
    assert_eq!(site.ended("source").await.status, MoveStatus::Completed);
    assert_eq!((site.ready("to"), site.ready("source"), site.0.stored()), (10, 0, 10));
}

#[tokio::test]
async fn what_comes_later_stays_and_what_finds_no_room_waits() {
    let site = Site::new();
    let source = site.queue("source", QueueSettings::default()).await;
    let mut arguments = with(&[("x-max-length", 3)]);
    arguments.push("x-overflow", "reject-publish");
    let to = site.0.queue("to", QueueOptions { arguments, ..durable() }).await;
    (0..5).for_each(|n| site.send(&source, &n.to_string(), None));
    site.start("source", Some("to"), None).await;
    eventually("it is full", || to.status().ready == 3).await;
    site.send(&source, "later", None);
    assert_eq!(site.task("source").status, MoveStatus::Running);
    to.purge();
    let ended = site.ended("source").await;
    assert_eq!((ended.status, ended.moved, ended.to_move), (MoveStatus::Completed, 5, 5));
    assert_eq!(site.0.bodies(&source).await, ["later"]);
    // A full disk is waited for as well.
    site.0.faults.set_full(true);
    to.purge();
    site.start("source", Some("to"), None).await;
    tokio::task::yield_now().await;
    assert_eq!(site.ready("to"), 0);
    site.0.faults.set_full(false);
    assert_eq!(site.ended("source").await.moved, 1);
}

#[tokio::test]
async fn groups_of_an_ordered_queue_stay_in_order() {
    let site = Site::new();
    let source = site.queue("source", only_ordered(true)).await;
    site.queue("to", only_ordered(true)).await;
    for n in 0..600 {
        site.send(&source, &format!("{}.{n:03}", n % 3), Some(&format!("g{}", n % 3)));
    }
    site.start("source", Some("to"), None).await;
    assert_eq!(site.ended("source").await.moved, 600);
    let to = site.at("to");
    let mut last: [String; 3] = Default::default();
    while to.status().ready > 0 {
        let mut items: Vec<_> = to.fetch(0, true).into_iter().map(|(delivery, _)| Item::Delivery(delivery)).collect();
        let body = site.0.read(&mut items).await.remove(0);
        settle(items, Outcome::Accept);
        let group = body.split('.').next().unwrap().parse::<usize>().unwrap();
        assert!(last[group] < body, "{body} after {}", last[group]);
        last[group] = body;
    }
}

#[tokio::test]
async fn so_many_tasks_are_remembered_and_those_of_a_queue_that_is_gone_are_not() {
    let site = Site::new();
    site.queue("source", QueueSettings::default()).await;
    site.queue("to", QueueSettings::default()).await;
    let mut last = 0;
    for _ in 0..12 {
        last = site.start("source", Some("to"), None).await.id;
        site.ended("source").await;
    }
    let site = site.crash();
    let tasks = site.0.vhost.moves("source");
    assert_eq!((tasks.len(), tasks[0].id), (10, last));
    site.0.vhost.delete_queue("source", DeleteQueue::default(), CLIENT).await.unwrap();
    let site = site.crash();
    assert!(site.0.vhost.moves("source").is_empty());
    let site = site.crash();
    assert!(site.0.table.scan("moves", &[]).unwrap().is_empty());
}

#[tokio::test]
async fn a_later_message_of_another_group_does_not_end_a_task_before_its_time() {
    let site = Site::new();
    let source = site.queue("source", only_ordered(true)).await;
    site.queue("to", only_ordered(true)).await;
    for body in ["1", "2", "3"] {
        site.send(&source, body, Some("a"));
    }
    // Nothing of the task runs before this test waits for something.
    let (task, _) = site.0.vhost.start_move("source", Some("to"), None).unwrap();
    site.send(&source, "later", Some("b"));
    let ended = site.ended("source").await;
    assert_eq!((ended.status, ended.moved, task.to_move), (MoveStatus::Completed, 3, 3));
    assert_eq!(site.0.bodies(&source).await, ["later"]);
}

#[tokio::test]
async fn a_header_that_anybody_can_write_sends_nothing_to_a_queue_that_has_no_business_with_the_source() {
    let site = Site::new();
    let dead = site.queue("dead", QueueSettings::default()).await;
    site.queue("payroll", QueueSettings::default()).await;
    site.queue("other", redriven("elsewhere", 1, false)).await;
    let source = site.queue("source", redriven("dead", 1, false)).await;
    for queue in ["payroll", "other"] {
        site.send(&dead, &format!("a\nx-last-death-queue={queue}"), None);
        let header = site.headers(&dead, "x-last-death-queue").await.remove(0).1;
        assert_eq!(header.as_deref(), Some(queue));
        site.start("dead", None, None).await;
        let ended = site.ended("dead").await;
        assert_eq!((ended.status, ended.failure), (MoveStatus::Failed, Some(MoveFailure::UnknownOrigin)), "{queue}");
        assert_eq!((site.ready(queue), dead.status().ready), (0, 1));
        dead.purge();
    }
    // One that did come from there, of a queue that sends its messages elsewhere by now.
    site.bury("source", &["b"]).await;
    arrived(&dead, 1).await;
    site.0.vhost.set_settings(&source, QueueSettings::default()).unwrap().wait().await.unwrap();
    site.start("dead", None, None).await;
    assert_eq!(site.ended("dead").await.failure, Some(MoveFailure::UnknownOrigin));
    site.0.vhost.set_settings(&source, redriven("dead", 1, false)).unwrap().wait().await.unwrap();
    site.start("dead", None, None).await;
    assert_eq!((site.ended("dead").await.moved, source.status().ready), (1, 1));
}
