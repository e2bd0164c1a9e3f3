//! Publishing, consuming, credit, memory, time.

use gantry_storage::Ticket;

use super::*;
use crate::{DeleteQueue, Kind, Transaction};

const TRANSIENT: Essentials = Essentials { durable: false, priority: 0, ttl_ms: None, group: None, delay_ms: None };

fn expiring(ttl_ms: u64) -> Essentials {
    Essentials { durable: true, priority: 0, ttl_ms: Some(ttl_ms), group: None, delay_ms: None }
}

fn bodies(items: &[Item]) -> Vec<String> {
    items.iter().filter_map(body_of).collect()
}

#[tokio::test]
async fn a_message_to_many_queues_is_stored_once() {
    let rig = Rig::new(PLENTY);
    for name in ["a", "b", "c", "transient"] {
        rig.queue(name, QueueOptions { durable: name != "transient", ..QueueOptions::default() }).await;
        rig.bind("amq.fanout", (Kind::Queue, name), "").await;
    }
    let published = rig.publish("amq.fanout", "", &"x".repeat(1000)).unwrap();
    assert_eq!(published.routed, 4);
    assert!(published.durable.is_some_and(|ticket| ticket <= rig.broker.durable()));
    let usage = rig.journal.usage();
    assert_eq!(usage.live_refs, 3);
    assert!(usage.live_bytes < 1200, "{}", usage.live_bytes);
    rig.vhost.delete_queue("b", DeleteQueue::default(), CLIENT).await.unwrap();
    assert_eq!(rig.stored(), 2);
    let inbox = Inbox::new(10_000);
    for name in ["a", "c"] {
        let queue = rig.vhost.queue(name, CLIENT).unwrap();
        rig.subscribe(&queue, &inbox, Credit::Unlimited).unwrap().cancel();
    }
    settle(taken(&inbox), Outcome::Accept);
    assert_eq!(rig.stored(), 0);
    let unstored = rig.publish_with("amq.fanout", "", "y", TRANSIENT).unwrap();
    assert_eq!(unstored, Published { routed: 3, refused: 0, durable: None });
}

#[tokio::test]
async fn confirms_wait_for_the_journal() {
    let rig = Rig::new(PLENTY);
    rig.queue("q", durable()).await;
    rig.journal.hold();
    let ticket = rig.publish("", "q", "a").unwrap().durable.unwrap();
    assert!(rig.broker.durable() < ticket);
    let mut watch = rig.broker.watch_durable();
    rig.journal.release();
    assert!(watch.wait_for(|durable: &Ticket| *durable >= ticket).await.is_ok());
}

#[tokio::test]
async fn on_a_full_disk_no_queue_has_the_message_and_consuming_goes_on() {
    let rig = Rig::new(PLENTY);
    let kept = rig.queue("kept", durable()).await;
    let transient = rig.queue("transient", QueueOptions::default()).await;
    for name in ["kept", "transient"] {
        rig.bind("amq.fanout", (Kind::Queue, name), "").await;
    }
    rig.publish("amq.fanout", "", "before").unwrap();
    rig.faults.set_full(true);
    assert_eq!(rig.publish("amq.fanout", "", "refused"), Err(Error::Full));
    assert_eq!(rig.publish_with("amq.fanout", "", "unstored", TRANSIENT).unwrap().routed, 2);
    assert_eq!(rig.bodies(&transient).await, ["before", "unstored"]);
    let inbox = Inbox::new(10_000);
    rig.subscribe(&kept, &inbox, Credit::Unlimited).unwrap().cancel();
    settle(taken(&inbox), Outcome::Accept);
    assert_eq!(rig.stored(), 0);
    rig.faults.set_full(false);
    assert_eq!(rig.publish("amq.fanout", "", "after").unwrap().routed, 2);
}

#[tokio::test]
async fn a_deleted_queue_takes_nothing_from_an_old_route() {
    let rig = Rig::new(PLENTY);
    rig.queue("q", durable()).await;
    let route = rig.vhost.route(&mut RouteCache::default(), "", b"q").unwrap();
    rig.vhost.delete_queue("q", DeleteQueue::default(), CLIENT).await.unwrap();
    let message = plain("", "q", Essentials { durable: true, ..TRANSIENT }, b"body");
    let published = rig.vhost.publish(&route, &message, now_ms(), &mut Wakes::new()).unwrap();
    assert_eq!(published.routed, 0);
    assert_eq!(rig.stored(), 0);
}

#[tokio::test]
async fn a_transaction_happens_as_a_whole_or_not_at_all() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    rig.publish("", "q", "old").unwrap();
    let (delivery, _) = queue.fetch(0, true).unwrap();
    let transaction = |bodies: &[&str]| {
        let route = rig.vhost.route(&mut RouteCache::default(), "", b"q").unwrap();
        let essentials = Essentials { durable: true, ..TRANSIENT };
        let message = |body: &&str| (Arc::clone(&route), plain("", "q", essentials, body.as_bytes()));
        let accepts = vec![(Arc::clone(&queue), vec![delivery.lease.unwrap()])];
        Transaction { publishes: bodies.iter().map(message).collect(), accepts, later: Vec::new() }
    };
    let commit = |transaction: &Transaction| rig.vhost.commit_transaction(transaction, now_ms(), &mut Wakes::new());
    rig.faults.set_full(true);
    assert!(matches!(commit(&transaction(&["a", "b"])), Err(Error::Full)));
    let status = queue.status();
    assert_eq!((status.ready, status.unacked, rig.stored()), (0, 1, 1));
    rig.faults.set_full(false);
    let (routed, ticket) = commit(&transaction(&["a", "b"])).unwrap();
    assert_eq!(routed, [1, 1]);
    assert!(ticket.is_some());
    let status = queue.status();
    assert_eq!((status.ready, status.unacked, rig.stored()), (2, 0, 2));
    assert_eq!(rig.bodies(&queue).await, ["a", "b"]);
    // Said again, and of a queue that is gone: nothing happens to anybody else.
    rig.vhost.delete_queue("q", DeleteQueue::default(), CLIENT).await.unwrap();
    let again = commit(&transaction(&[])).unwrap();
    assert_eq!(again, (vec![], None));
    assert_eq!(rig.stored(), 0);
}

#[tokio::test]
async fn bodies_leave_memory_and_come_back() {
    let rig = Rig::new(SCARCE);
    let queue = rig.queue("q", durable()).await;
    rig.publish("", "q", "kept").unwrap();
    rig.publish_with("", "q", "transient", TRANSIENT).unwrap();
    let (delivery, waiting) = queue.fetch(0, true).unwrap();
    assert!(matches!(delivery.content, Content::Stored(_)));
    assert_eq!((waiting, rig.stored()), (1, 2));
    settle(vec![Item::Delivery(delivery)], Outcome::Release);
    assert_eq!(rig.bodies(&queue).await, ["kept", "transient"]);
    // Without an outcome to come, reading is the end.
    let mut items = Vec::new();
    for _ in 0..2 {
        items.push(Item::Delivery(queue.fetch(0, false).unwrap().0));
    }
    assert_eq!(rig.read(&mut items).await, ["kept", "transient"]);
    assert_eq!(rig.stored(), 0);
}

#[tokio::test]
async fn a_body_that_nobody_will_read_is_not_kept() {
    let rig = Rig::new(SCARCE);
    let queue = rig.queue("q", durable()).await;
    rig.publish("", "q", "a").unwrap();
    let (delivery, _) = queue.fetch(0, false).unwrap();
    // Its connection goes before it was sent.
    drop(delivery);
    assert_eq!(rig.stored(), 0);
}

#[tokio::test]
async fn a_body_that_went_with_its_queue_is_taken_out() {
    let rig = Rig::new(SCARCE);
    let queue = rig.queue("q", durable()).await;
    rig.publish("", "q", "a").unwrap();
    let inbox = Inbox::new(1000);
    let _consumer = rig.subscribe(&queue, &inbox, Credit::Unlimited).unwrap();
    let mut items = taken(&inbox);
    rig.vhost.delete_queue("q", DeleteQueue::default(), CLIENT).await.unwrap();
    assert_eq!(rig.broker.load(&mut items).await, [7]);
    assert!(items.is_empty());
}

#[tokio::test]
async fn messages_that_overtake_each_other_keep_their_own_bodies() {
    let rig = Rig::new(SCARCE);
    let queue = rig.queue("q", QueueOptions::default()).await;
    let (first, second) = (queue.next_seq(), queue.next_seq());
    for (seq, body) in [(second, "second"), (first, "first")] {
        let message = plain("", "q", TRANSIENT, body.as_bytes());
        let arrival = crate::queue::Arrival { message: &message, now_ms: now_ms(), ticket: None, redelivered: false };
        assert!(queue.enqueue(arrival, seq, None, false, &mut Wakes::new()));
    }
    assert_eq!(rig.bodies(&queue).await, ["first", "second"]);
}

#[tokio::test]
async fn a_full_inbox_holds_its_consumers_back_and_nobody_else() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    let (small, large) = (Inbox::new(1), Inbox::new(1_000_000));
    let slow = rig.subscribe(&queue, &small, Credit::Unlimited).unwrap();
    let _quick = rig.subscribe(&queue, &large, Credit::Unlimited).unwrap();
    for n in 0..10 {
        rig.publish("", "q", &n.to_string()).unwrap();
    }
    small.ready().await;
    let items = taken(&small);
    assert_eq!(bodies(&items), ["0"]);
    assert!(small.was_starved());
    assert!(!small.was_starved(), "told once");
    assert_eq!(bodies(&taken(&large)).len(), 9);
    slow.resume(&mut Wakes::new());
    rig.publish("", "q", "10").unwrap();
    rig.publish("", "q", "11").unwrap();
    assert_eq!(bodies(&taken(&small)).len(), 1);
}

#[tokio::test]
async fn consumers_share_the_credit_of_a_channel() {
    let rig = Rig::new(PLENTY);
    let (one, two) = (rig.queue("one", durable()).await, rig.queue("two", durable()).await);
    let inbox = Inbox::new(1_000_000);
    let credit = SharedCredit::new(3);
    let options = ConsumerOptions { credit: Credit::Unlimited, acknowledges: true, exclusive: false, priority: 0 };
    let subscribe = |queue, token| {
        let outlet = Outlet { inbox: Arc::clone(&inbox), token, shared_credit: Some(Arc::clone(&credit)) };
        rig.vhost.subscribe(queue, outlet, options, &mut Wakes::new()).unwrap()
    };
    let consumers = [subscribe(&one, 1), subscribe(&two, 2)];
    for _ in 0..3 {
        rig.publish("", "one", "1").unwrap();
        rig.publish("", "two", "2").unwrap();
    }
    let items = taken(&inbox);
    assert_eq!(items.len(), 3);
    assert!(credit.was_starved());
    settle(items, Outcome::Accept);
    assert!(taken(&inbox).is_empty());
    credit.add(3);
    assert!(credit.was_starved(), "the queues asked when outcomes were said");
    for consumer in &consumers {
        consumer.resume(&mut Wakes::new());
    }
    assert_eq!(taken(&inbox).len(), 3);
}

#[tokio::test]
async fn a_message_that_waits_too_long_expires_by_the_timer() {
    let rig = Rig::new(PLENTY);
    let arguments = with(&[("x-message-ttl", 20)]);
    let by_queue = rig.queue("by-queue", QueueOptions { arguments, ..durable() }).await;
    let by_message = rig.queue("by-message", durable()).await;
    rig.publish("", "by-queue", "a").unwrap();
    rig.publish_with("", "by-message", "b", expiring(20)).unwrap();
    // The journal tells when they are gone; nothing else wakes the queues.
    let mut watch = rig.broker.watch_durable();
    while rig.stored() > 0 {
        watch.changed().await.unwrap();
    }
    for queue in [by_queue, by_message] {
        let status = queue.status();
        assert_eq!((status.ready, status.counters.expired), (0, 1));
    }
}

#[tokio::test]
async fn without_time_to_live_a_message_is_for_those_who_wait() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    rig.publish_with("", "q", "lost", expiring(0)).unwrap();
    assert_eq!(queue.status().counters.expired, 1);
    let inbox = Inbox::new(1000);
    let _consumer = rig.subscribe(&queue, &inbox, Credit::Window(1)).unwrap();
    rig.publish_with("", "q", "taken", expiring(0)).unwrap();
    rig.publish_with("", "q", "lost", expiring(0)).unwrap();
    assert_eq!(bodies(&taken(&inbox)), ["taken"]);
    assert_eq!(queue.status().counters.expired, 2);
}

#[tokio::test]
async fn an_unused_queue_expires_and_one_with_a_consumer_does_not() {
    let rig = Rig::new(PLENTY);
    let arguments = with(&[("x-expires", 30)]);
    let options = QueueOptions { arguments, ..QueueOptions::default() };
    let queue = rig.queue("q", options.clone()).await;
    let inbox = Inbox::new(1000);
    let consumer = rig.subscribe(&queue, &inbox, Credit::Unlimited).unwrap();
    // Another one that is unused tells that the time is over.
    let witness = async |name: &str| {
        rig.queue(name, options.clone()).await;
        while rig.vhost.queue(name, CLIENT).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    witness("witness").await;
    assert!(rig.vhost.queue("q", CLIENT).is_ok());
    consumer.cancel();
    witness("second witness").await;
    while rig.vhost.queue("q", CLIENT).is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.broker.shared().timer.len(), 0);
}

#[tokio::test]
async fn the_timer_knows_each_queue_once() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", durable()).await;
    for n in 0..100 {
        rig.publish_with("", "q", "a", expiring(1_000_000 - n * 1000)).unwrap();
        assert_eq!(rig.broker.shared().timer.len(), 1);
        let (delivery, _) = queue.fetch(0, true).unwrap();
        settle(vec![Item::Delivery(delivery)], Outcome::Accept);
    }
    rig.vhost.delete_queue("q", DeleteQueue::default(), CLIENT).await.unwrap();
    assert_eq!(rig.broker.shared().timer.len(), 0);
}

/// A connection as a session would be one: takes what comes, says outcomes, gives credit back, and resumes who was starved.
async fn connection(rig: Arc<Rig>, queues: Vec<Arc<Queue>>, done: Arc<Progress>) {
    let inbox = Inbox::new(300);
    let credit = SharedCredit::new(3);
    let options = ConsumerOptions { credit: Credit::Window(2), acknowledges: true, exclusive: false, priority: 0 };
    let subscribe = |(token, queue): (usize, &Arc<Queue>)| {
        let shared_credit = Some(Arc::clone(&credit));
        let outlet = Outlet { inbox: Arc::clone(&inbox), token: token as u64, shared_credit };
        rig.vhost.subscribe(queue, outlet, options, &mut Wakes::new()).unwrap()
    };
    let consumers: Vec<_> = queues.iter().enumerate().map(subscribe).collect();
    let mut failed = std::collections::HashSet::new();
    while !done.all() {
        tokio::select! {
            () = inbox.ready() => {}
            () = done.notify.notified() => {}
        }
        let mut items = taken(&inbox);
        rig.broker.load(&mut items).await;
        for item in items {
            let body = body_of(&item).unwrap();
            // Every third one fails once.
            let fails = body.parse::<usize>().unwrap() % 3 == 0 && done.failed.lock().insert(body.clone());
            settle(vec![item], if fails { Outcome::Retry } else { Outcome::Accept });
            if !fails {
                assert!(failed.insert(body.clone()) && done.bodies.lock().insert(body), "once");
            }
            credit.add(1);
        }
        if inbox.was_starved() | credit.was_starved() {
            consumers.iter().for_each(|consumer| consumer.resume(&mut Wakes::new()));
        }
        if done.all() {
            done.notify.notify_waiters();
        }
    }
    consumers.into_iter().for_each(Subscription::cancel);
}

#[derive(Default)]
struct Progress {
    bodies: Mutex<std::collections::HashSet<String>>,
    failed: Mutex<std::collections::HashSet<String>>,
    notify: tokio::sync::Notify,
    total: usize,
}

impl Progress {
    fn all(&self) -> bool {
        self.bodies.lock().len() == self.total
    }
}

async fn everything_arrives(memory: usize) {
    const MESSAGES: usize = 5_000;
    let rig = Arc::new(Rig::new(memory));
    let queues = vec![rig.queue("a", durable()).await, rig.queue("b", QueueOptions::default()).await];
    let done = Arc::new(Progress { total: 2 * MESSAGES, ..Progress::default() });
    let mut tasks: Vec<_> =
        (0..3).map(|_| tokio::spawn(connection(Arc::clone(&rig), queues.clone(), Arc::clone(&done)))).collect();
    for (n, name) in ["a", "b"].into_iter().enumerate() {
        let rig = Arc::clone(&rig);
        tasks.push(tokio::spawn(async move {
            for message in 0..MESSAGES {
                rig.publish("", name, &(n * MESSAGES + message).to_string()).unwrap();
                tokio::task::yield_now().await;
            }
        }));
    }
    let all = async {
        for task in tasks {
            task.await.unwrap();
        }
    };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), all).await;
    let left: Vec<_> = queues.iter().map(|queue| queue.status()).collect();
    assert!(ended.is_ok(), "somebody waits for what never comes: {left:?}");
    assert!(left.iter().all(|status| status.ready + status.unacked == 0), "{left:?}");
    assert_eq!(rig.stored(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_little_room_and_little_credit_everything_arrives_once() {
    everything_arrives(PLENTY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_no_memory_everything_arrives_once() {
    everything_arrives(SCARCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn publishing_while_queues_come_and_go_leaves_nothing_behind() {
    let rig = Arc::new(Rig::new(PLENTY));
    let stop = Arc::new(AtomicBool::new(false));
    let publishers: Vec<_> = (0..2)
        .map(|_| {
            let (rig, stop) = (Arc::clone(&rig), Arc::clone(&stop));
            tokio::spawn(async move {
                let (mut cache, mut routed) = (RouteCache::default(), 0);
                while !stop.load(Ordering::Relaxed) {
                    let route = rig.vhost.route(&mut cache, "amq.fanout", b"").unwrap();
                    let message = plain("amq.fanout", "", expiring(1_000_000), b"body");
                    routed += rig.vhost.publish(&route, &message, now_ms(), &mut Wakes::new()).unwrap().routed;
                    tokio::task::yield_now().await;
                }
                routed
            })
        })
        .collect();
    let inbox = Inbox::new(1000);
    for round in 0..300 {
        let queue = rig.queue("q", QueueOptions { auto_delete: round % 2 == 0, ..durable() }).await;
        rig.bind("amq.fanout", (Kind::Queue, "q"), "").await;
        let consumer = rig.subscribe(&queue, &inbox, Credit::Window(5)).unwrap();
        while queue.status().counters.enqueued < 10 {
            tokio::task::yield_now().await;
            settle(taken(&inbox), Outcome::Accept);
        }
        consumer.cancel();
        rig.vhost.delete_queue("q", DeleteQueue::default(), CLIENT).await.unwrap();
        drop(taken(&inbox));
        assert_eq!(queue.status().ready, 0);
    }
    stop.store(true, Ordering::Relaxed);
    let mut routed = 0;
    for publisher in publishers {
        routed += publisher.await.unwrap();
    }
    assert!(routed >= 3000);
    assert_eq!((rig.stored(), rig.vhost.links(), rig.broker.shared().timer.len()), (0, 0, 0));
}

/// What a message costs from publisher to consumer and back where nothing special is asked for. To be counted, not timed, by
/// `valgrind --tool=cachegrind --cache-sim=no`.
#[tokio::test]
#[ignore = "a measurement"]
async fn what_a_plain_publish_costs() {
    let rig = Rig::new(PLENTY);
    let queue = rig.queue("q", QueueOptions::default()).await;
    let inbox = Inbox::new(usize::MAX);
    let _consumer = rig.subscribe(&queue, &inbox, Credit::Unlimited).unwrap();
    let route = rig.vhost.route(&mut RouteCache::default(), "", b"q").unwrap();
    let now_ms = now_ms();
    for _ in 0..2_000_000 {
        let message = plain("", "q", TRANSIENT, b"body");
        rig.vhost.publish(&route, &message, now_ms, &mut Wakes::new()).unwrap();
        settle(taken(&inbox), Outcome::Accept);
    }
    assert_eq!(queue.status().counters.accepted, 2_000_000);
}
