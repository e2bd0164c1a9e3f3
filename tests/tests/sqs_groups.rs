//! Sixty-four clients on one FIFO queue with a thousand groups: order inside every group, nothing twice while it is in flight.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gantry_tests::aws::Aws;
use gantry_tests::broker::Broker;
use gantry_tests::unique;
use serde_json::{Value, json};

const SENDERS: usize = 24;
const RECEIVERS: usize = 40;
const GROUPS: usize = 1000;
const OF_EACH: usize = 10;
/// Longer than the test takes: nothing comes twice.
const LEASE_S: u32 = 600;

/// What all receivers know together.
#[derive(Default)]
struct Seen {
    /// The number that each group has to go on with.
    next: HashMap<String, usize>,
    /// Groups that somebody has messages of.
    held: HashSet<String>,
}

#[test]
fn a_thousand_groups_in_order() {
    let mut broker = Broker::settings().listener("aws").start();
    let address = broker.aws_url();
    let address = address.trim_start_matches("http://");
    let mut aws = Aws::open(address).expect("connected");
    let queue = aws.create_queue(&(unique("groups") + ".fifo"), &json!({ "FifoQueue": "true" })).expect("created");
    let seen = Mutex::new(Seen::default());
    let received = AtomicUsize::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        let (queue, seen, received) = (&queue, &seen, &received);
        let senders: Vec<_> = (0..SENDERS).map(|sender| scope.spawn(move || send(address, queue, sender))).collect();
        let receivers: Vec<_> =
            (0..RECEIVERS).map(|_| scope.spawn(move || receive(address, queue, seen, received))).collect();
        for worker in senders.into_iter().chain(receivers) {
            worker.join().expect("a worker's own check").expect("a worker's connection");
        }
    });
    println!("{} messages in {:?}", GROUPS * OF_EACH, started.elapsed());
    assert_eq!(received.load(Ordering::Relaxed), GROUPS * OF_EACH, "messages that were received");
    let left = aws.receive(&queue, LEASE_S, 0).expect("received");
    assert!(left.is_empty(), "left, or duplicates that were taken: {left:?}");
    broker.assert_sound();
}

/// Sends all messages of every 24th group, in order, ten groups a batch; each batch twice, as a client does that has not heard the
/// answer.
fn send(address: &str, queue: &str, sender: usize) -> io::Result<()> {
    let mut aws = Aws::open(address)?;
    let groups: Vec<usize> = (sender..GROUPS).step_by(SENDERS).collect();
    for number in 0..OF_EACH {
        for groups in groups.chunks(10) {
            let entry = |group: &usize| {
                json!({
                    "Id": format!("e{group}"), "MessageBody": format!("{group}:{number}"),
                    "MessageGroupId": format!("g{group}"), "MessageDeduplicationId": format!("{group}:{number}"),
                })
            };
            let entries: Vec<Value> = groups.iter().map(entry).collect();
            let first = aws.send(queue, &entries)?;
            let again = aws.send(queue, &entries)?;
            for (first, again) in first.iter().zip(&again) {
                assert_eq!(first["MessageId"], again["MessageId"], "a duplicate");
            }
        }
    }
    Ok(())
}

/// Receives until all messages have come, to whomever; fails when a group is out of order, or held by somebody else.
fn receive(address: &str, queue: &str, seen: &Mutex<Seen>, received: &AtomicUsize) -> io::Result<()> {
    let mut aws = Aws::open(address)?;
    let deadline = Instant::now() + Duration::from_secs(120);
    while received.load(Ordering::Relaxed) < GROUPS * OF_EACH {
        assert!(Instant::now() < deadline, "only {} messages in time", received.load(Ordering::Relaxed));
        let messages = aws.receive(queue, LEASE_S, 1)?;
        let mut mine = HashSet::new();
        {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            for message in &messages {
                let body = message["Body"].as_str().unwrap_or_default();
                let (group, number) = body.split_once(':').expect("a body of ours");
                let next = seen.next.entry(group.to_owned()).or_default();
                assert_eq!(number.parse(), Ok(*next), "the next of group {group}");
                *next += 1;
                if mine.insert(group.to_owned()) {
                    assert!(seen.held.insert(group.to_owned()), "somebody else has messages of group {group}");
                }
            }
            received.fetch_add(messages.len(), Ordering::Relaxed);
        }
        // Before they are deleted: from then on the group is anybody's.
        let mut all = seen.lock().unwrap_or_else(PoisonError::into_inner);
        mine.iter().for_each(|group| {
            all.held.remove(group);
        });
        drop(all);
        aws.delete(queue, &messages)?;
    }
    Ok(())
}
