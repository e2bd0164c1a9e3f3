//! kill -9 under load by SQS, restart, and a look at what is left: what a 200 was sent for is there, once; what was deleted never
//! comes again; the groups of a FIFO queue are in order and know their duplicates; a message that failed too often is in one
//! of two queues; and receipt handles outlive the process that gave them.
//!
//! Four rounds by default; `GANTRY_CRASH_ROUNDS=200` (`make crash`) for a long run, `GANTRY_CRASH_SEED` to choose the same
//! moments again.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gantry_tests::aws::Aws;
use gantry_tests::broker::{Broker, Ending};
use gantry_tests::load::{ROUND_MESSAGES_MAX, rounds_and_dice};
use gantry_tests::unique;
use serde_json::{Value, json};

/// Groups of the FIFO queue, which each have a sender.
const GROUPS: u64 = 6;
/// How long consumers hold what they receive, in seconds: what they held in a crash is visible again soon.
const LEASE_S: u32 = 1;
/// So long nobody gets what the judge has received.
const JUDGE_LEASE_S: u32 = 600;
/// Messages that are in flight for long.
const HELD: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It was sent, and no answer came.
    Sent,
    /// No answer came, and after a crash it was not there.
    Gone,
    /// It is owed.
    Taken,
    /// Its deletion was asked for, and no answer came.
    Deleting,
    /// It must never be seen again.
    Deleted,
}

/// What is known of the messages of a queue, by their numbers.
#[derive(Default)]
struct Known(Mutex<BTreeMap<u64, State>>);

impl Known {
    fn states(&self) -> MutexGuard<'_, BTreeMap<u64, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, numbers: &[u64], state: State) {
        let mut states = self.states();
        for number in numbers {
            states.insert(*number, state);
        }
    }

    /// The same, only for those which are in this state.
    fn change(&self, numbers: &[u64], from: &[State], to: State) {
        let mut states = self.states();
        for number in numbers {
            if let Some(state) = states.get_mut(number)
                && from.contains(state)
            {
                *state = to;
            }
        }
    }

    /// Compares what is there with what was promised: each broken promise in words. What is there is owed from now on, what is
    /// not is gone.
    fn judge(&self, found: &[u64]) -> Vec<String> {
        let mut broken = Vec::new();
        let mut states = self.states();
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        for number in found {
            *counts.entry(*number).or_default() += 1;
        }
        for (number, count) in &counts {
            if *count > 1 {
                broken.push(format!("{number} is there {count} times"));
            }
            match states.get(number) {
                None => broken.push(format!("{number} was never sent")),
                Some(State::Deleted) => broken.push(format!("{number} was deleted")),
                Some(State::Gone) => broken.push(format!("{number} was gone after an earlier crash")),
                Some(_) => {}
            }
        }
        for (number, state) in states.iter_mut() {
            let is_there = counts.contains_key(number);
            if *state == State::Taken && !is_there {
                broken.push(format!("{number} was taken, and is gone"));
            }
            *state = match *state {
                _ if is_there => State::Taken,
                State::Sent | State::Gone => State::Gone,
                State::Taken | State::Deleting | State::Deleted => State::Deleted,
            };
        }
        broken
    }
}

/// A queue by its URL, and what is known of it.
#[derive(Clone)]
struct Watched {
    url: String,
    known: Arc<Known>,
}

/// A batch of numbers for which no answer came.
type Unanswered = Arc<Mutex<Vec<u64>>>;

struct Scene {
    plain: Watched,
    fifo: Watched,
    unanswered: Vec<Unanswered>,
    poison: Watched,
    dead: String,
    held: String,
    next: Arc<AtomicU64>,
}

#[test]
fn nothing_that_was_answered_is_lost() {
    if std::env::var_os("GANTRY_E2E_URL").is_some() {
        return; // nobody else is asked to survive this
    }
    let (rounds, mut dice) = rounds_and_dice(4);
    // Small segments: a round fills, leaves behind and compacts many of them.
    let mut broker =
        Broker::settings().keeps_port().listener("aws").config("[storage]\nsegment_bytes = 262144\n").start();
    let scene = Scene::create(&broker).expect("queues");
    for round in 1..=rounds {
        let handles = scene.hold(&broker).expect("messages in flight");
        let load = scene.start_load(&broker);
        std::thread::sleep(Duration::from_millis(20 + dice.roll(700)));
        let ending = if dice.roll(5) == 0 { Ending::Stop } else { Ending::Kill };
        let down = Instant::now();
        broker.restart(ending);
        let down = down.elapsed();
        let done: u64 = load.into_iter().map(|worker| worker.join().expect("a worker's own check")).sum();
        scene.judge_held(&broker, ending, &handles, round);
        let left = scene.judge(&broker, dice.roll(3) == 0, round);
        println!("round {round}: {ending:?} after {done} requests, back in {down:?}, {left} messages left");
        assert!(done > 0, "round {round}: there was no load");
    }
    broker.assert_sound();
}

/// Starts a worker with a connection of its own, which works until the broker goes away; it returns how much it has done.
fn work(broker: &Broker, job: impl FnOnce(&mut Aws, &mut u64) -> io::Result<()> + Send + 'static) -> JoinHandle<u64> {
    let address = broker.address_of("aws").to_owned();
    std::thread::spawn(move || {
        let mut done = 0;
        if let Err(error) = Aws::open(&address).and_then(|mut aws| job(&mut aws, &mut done)) {
            // The broker goes away, and may say so when it is stopped; it has no other reason to refuse anything.
            let text = error.to_string();
            assert!(!text.contains("Refused") || text.contains("ServiceUnavailable"), "{text}");
        }
        done
    })
}

fn body_of(number: u64) -> String {
    // Some are large enough to be read back from the disk by themselves.
    let length = if number.is_multiple_of(50) { 9000 } else { (number % 7) as usize * 40 };
    format!("{number}:{}", "x".repeat(length))
}

/// The number of a message whose body is as it was sent.
fn number_of(message: &Value) -> u64 {
    let body = message["Body"].as_str().unwrap_or_default();
    let number = body.split(':').next().and_then(|number| number.parse().ok()).expect("a body of ours");
    assert!(body == body_of(number), "the body of {number} has changed");
    number
}

fn numbers_of(messages: &[Value]) -> Vec<u64> {
    messages.iter().map(number_of).collect()
}

fn entries_of(numbers: &[u64], group: Option<u64>) -> Vec<Value> {
    let entry = |number: &u64| {
        let mut entry = json!({ "Id": number.to_string(), "MessageBody": body_of(*number) });
        if let Some(group) = group {
            entry["MessageGroupId"] = json!(format!("g{group}"));
            entry["MessageDeduplicationId"] = json!(number.to_string());
        }
        entry
    };
    numbers.iter().map(entry).collect()
}

impl Scene {
    fn create(broker: &Broker) -> io::Result<Self> {
        let mut aws = Aws::open(broker.address_of("aws"))?;
        let mut queue = |kind: &str, attributes: &Value| {
            Ok::<_, io::Error>(Watched { url: aws.create_queue(kind, attributes)?, known: Arc::default() })
        };
        let dead = unique("dead");
        let dead_url = queue(&dead, &json!({}))?.url;
        let policy = json!({
            "deadLetterTargetArn": format!("arn:aws:sqs:us-east-1:000000000000:{dead}"), "maxReceiveCount": 2,
        });
        Ok(Self {
            plain: queue(&unique("plain"), &json!({}))?,
            fifo: queue(&(unique("ordered") + ".fifo"), &json!({ "FifoQueue": "true" }))?,
            unanswered: (0..GROUPS).map(|_| Unanswered::default()).collect(),
            poison: queue(&unique("poison"), &json!({ "RedrivePolicy": policy.to_string() }))?,
            dead: dead_url,
            held: queue(&unique("held"), &json!({}))?.url,
            next: Arc::new(AtomicU64::new(1)),
        })
    }

    fn start_load(&self, broker: &Broker) -> Vec<JoinHandle<u64>> {
        let mut workers = Vec::new();
        for batch in [1, 10] {
            let (queue, next) = (self.plain.clone(), Arc::clone(&self.next));
            workers.push(work(broker, move |aws, done| send(aws, done, &queue, &next, batch)));
            let queue = self.plain.clone();
            workers.push(work(broker, move |aws, done| consume(aws, done, &queue)));
        }
        for (group, unanswered) in (0..).zip(&self.unanswered) {
            let (queue, next, unanswered) = (self.fifo.clone(), Arc::clone(&self.next), Arc::clone(unanswered));
            workers.push(work(broker, move |aws, done| send_group(aws, done, &queue, &next, group, &unanswered)));
        }
        for _ in 0..2 {
            let queue = self.fifo.clone();
            workers.push(work(broker, move |aws, done| consume(aws, done, &queue)));
        }
        let (queue, next) = (self.poison.clone(), Arc::clone(&self.next));
        workers.push(work(broker, move |aws, done| send(aws, done, &queue, &next, 5)));
        let queue = self.poison.url.clone();
        workers.push(work(broker, move |aws, done| {
            loop {
                // It fails with all of them at once.
                aws.receive(&queue, 0, 1)?;
                *done += 1;
            }
        }));
        workers
    }

    /// Sends a few messages and receives them for long: their handles.
    fn hold(&self, broker: &Broker) -> io::Result<Vec<Value>> {
        let mut aws = Aws::open(broker.address_of("aws"))?;
        let entries: Vec<Value> = (0..HELD).map(|at| json!({ "Id": at.to_string(), "MessageBody": "held" })).collect();
        aws.send(&self.held, &entries)?;
        let mut held = Vec::new();
        while held.len() < HELD {
            held.extend(aws.receive(&self.held, JUDGE_LEASE_S, 5)?);
        }
        Ok(held)
    }

    /// After a stop what was in flight still is; after a crash as much of it as had reached the disk. In both cases its handles
    /// delete it, and it is gone.
    fn judge_held(&self, broker: &Broker, ending: Ending, held: &[Value], round: u64) {
        let mut aws = Aws::open(broker.address_of("aws")).expect("connected after the restart");
        if ending == Ending::Stop {
            let seen = aws.receive(&self.held, 0, 0).expect("received");
            assert!(seen.is_empty(), "round {round}: was in flight, and is not: {seen:?}");
        }
        aws.delete(&self.held, held).expect("deleted by handles of before the restart");
        let left = aws.receive(&self.held, 0, 0).expect("received");
        assert!(left.is_empty(), "round {round}: deleted by a handle of before the restart, and there: {left:?}");
    }

    /// Takes out everything that is there, all queues at a time, and compares it with what is known; gives the plain queue's
    /// back, or deletes it.
    fn judge(&self, broker: &Broker, drain: bool, round: u64) -> usize {
        let address = broker.address_of("aws");
        let (plain, fifo, poison) = std::thread::scope(|scope| {
            let plain = scope.spawn(|| take_all(address, &self.plain.url, drain));
            let fifo = scope.spawn(|| take_all(address, &self.fifo.url, true));
            let poison = scope.spawn(|| {
                let mut all = take_all(address, &self.poison.url, true);
                all.extend(take_all(address, &self.dead, true));
                all
            });
            (plain.join().expect("looked"), fifo.join().expect("looked"), poison.join().expect("looked"))
        });
        let mut broken = Vec::new();
        for (name, queue, found) in
            [("plain", &self.plain, &plain), ("fifo", &self.fifo, &fifo), ("poison", &self.poison, &poison)]
        {
            broken.extend(queue.known.judge(&numbers_of(found)).into_iter().map(|text| format!("{name}: {text}")));
        }
        broken.extend(out_of_order(&fifo));
        // What was deleted just now must not come again.
        for (queue, found) in [(&self.fifo, &fifo), (&self.poison, &poison)] {
            queue.known.set(&numbers_of(found), State::Deleted);
        }
        if drain {
            self.plain.known.set(&numbers_of(&plain), State::Deleted);
        } else {
            give_back(address, &self.plain.url, &plain).expect("given back");
        }
        assert!(broken.is_empty(), "round {round}:\n{}", broken.join("\n"));
        plain.len() + fifo.len() + poison.len()
    }
}

/// Sends numbered messages in batches.
fn send(aws: &mut Aws, done: &mut u64, queue: &Watched, next: &AtomicU64, batch: u64) -> io::Result<()> {
    for _ in 0..ROUND_MESSAGES_MAX / batch {
        let first = next.fetch_add(batch, Ordering::Relaxed);
        let numbers: Vec<u64> = (first..first + batch).collect();
        queue.known.set(&numbers, State::Sent);
        aws.send(&queue.url, &entries_of(&numbers, None))?;
        queue.known.change(&numbers, &[State::Sent], State::Taken);
        *done += 1;
    }
    Ok(())
}

/// Sends one group in order. What no answer came for is sent again first, as a client does that cannot know; and now and then a
/// batch is sent twice: its duplicates are the messages that they repeat.
fn send_group(
    aws: &mut Aws,
    done: &mut u64,
    queue: &Watched,
    next: &AtomicU64,
    group: u64,
    unanswered: &Mutex<Vec<u64>>,
) -> io::Result<()> {
    let mut batch = std::mem::take(&mut *unanswered.lock().unwrap_or_else(PoisonError::into_inner));
    queue.known.change(&batch, &[State::Gone], State::Sent);
    for _ in 0..ROUND_MESSAGES_MAX / 5 {
        if batch.is_empty() {
            // Ascending, as a later number is never in an earlier batch.
            let first = next.fetch_add(5, Ordering::Relaxed);
            batch = (first..first + 5).collect();
            queue.known.set(&batch, State::Sent);
        }
        unanswered.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&batch);
        let told = aws.send(&queue.url, &entries_of(&batch, Some(group)))?;
        queue.known.change(&batch, &[State::Sent], State::Taken);
        *done += 1;
        if done.is_multiple_of(4) {
            let again = aws.send(&queue.url, &entries_of(&batch, Some(group)))?;
            for (first, second) in told.iter().zip(&again) {
                assert_eq!(first["MessageId"], second["MessageId"], "a duplicate of {}", first["Id"]);
                assert_eq!(first["SequenceNumber"], second["SequenceNumber"], "a duplicate of {}", first["Id"]);
            }
        }
        unanswered.lock().unwrap_or_else(PoisonError::into_inner).clear();
        batch.clear();
    }
    Ok(())
}

/// Receives and deletes; every third batch is left to come again.
fn consume(aws: &mut Aws, done: &mut u64, queue: &Watched) -> io::Result<()> {
    loop {
        let messages = aws.receive(&queue.url, LEASE_S, 1)?;
        let received = Instant::now();
        let numbers = numbers_of(&messages);
        *done += 1;
        if messages.is_empty() || done.is_multiple_of(3) {
            continue;
        }
        queue.known.change(&numbers, &[State::Sent, State::Taken], State::Deleting);
        let entry = |(message, number): (&Value, &u64)| json!({ "Id": number.to_string(), "ReceiptHandle": message["ReceiptHandle"] });
        let entries: Vec<Value> = messages.iter().zip(&numbers).map(entry).collect();
        let answer = aws.call("DeleteMessageBatch", &json!({ "QueueUrl": queue.url, "Entries": entries }))?;
        // On a busy machine their time may be over, and somebody else may have them: then they are deleted, or not.
        if received.elapsed() < Duration::from_secs(u64::from(LEASE_S)) / 2 {
            let failed = answer["Failed"].as_array().map_or(0, Vec::len);
            assert_eq!(failed, 0, "in time, and not deleted: {answer}");
            queue.known.change(&numbers, &[State::Deleting], State::Deleted);
        }
    }
}

/// Receives until nothing has come for longer than a lease of the dead consumers takes.
fn take_all(address: &str, queue: &str, delete: bool) -> Vec<Value> {
    let mut aws = Aws::open(address).expect("connected after the restart");
    let mut all = Vec::new();
    let mut quiet_since = Instant::now();
    while quiet_since.elapsed() < Duration::from_secs(u64::from(LEASE_S) + 1) {
        let messages = aws.receive(queue, JUDGE_LEASE_S, 1).expect("received");
        if messages.is_empty() {
            continue;
        }
        if delete {
            aws.delete(queue, &messages).expect("deleted");
        }
        all.extend(messages);
        quiet_since = Instant::now();
    }
    all
}

fn give_back(address: &str, queue: &str, messages: &[Value]) -> io::Result<()> {
    let mut aws = Aws::open(address)?;
    for messages in messages.chunks(10) {
        let entry = |(at, message): (usize, &Value)| json!({ "Id": at.to_string(), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0 });
        let entries: Vec<Value> = messages.iter().enumerate().map(entry).collect();
        aws.call("ChangeMessageVisibilityBatch", &json!({ "QueueUrl": queue, "Entries": entries }))?;
    }
    Ok(())
}

/// Messages that come behind later ones of their group, in words.
fn out_of_order(messages: &[Value]) -> Vec<String> {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    let mut broken = Vec::new();
    for message in messages {
        let group = message["Attributes"]["MessageGroupId"].as_str().unwrap_or_default();
        let number = number_of(message);
        if let Some(before) = last.insert(group, number)
            && before >= number
        {
            broken.push(format!("fifo: {before} comes before {number} in group {group}"));
        }
    }
    broken
}
