//! kill -9 between any two steps of a rule: a message that expires, is rejected, is dropped or is delayed is in one place
//! before and in one place after, and a stream has at each offset what was ever seen there.
//!
//! Five rounds by default; `GANTRY_CRASH_ROUNDS=200` for a long run, `GANTRY_CRASH_SEED` to choose the same moments again.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gantry_tests::broker::{Broker, Ending};
use gantry_tests::ledger::Found;
use gantry_tests::load::{Dice, Watched, body_of, number_of, publish, rounds_and_dice, take, work};
use gantry_tests::wire::{Field, Method, PERSISTENT, Wire, persistent_with};
use gantry_tests::{unique, wait_until};

/// How long a message waits before it expires: short beside a round, and long enough to be caught in it.
const TTL_MS: i32 = 150;
/// The longest delay of a delayed message: some of them are on their way while the broker is down.
const DELAY_MS_MAX: u64 = 1200;
/// How many messages a queue with a limit holds.
const LENGTH_MAX: i32 = 50;
/// How often a job fails before it is done.
const FAILURES: u32 = 2;

/// What each kind of scene does between two crashes.
trait Scene {
    /// Declares what it needs.
    fn declare(&self, wire: &mut Wire) -> io::Result<()>;
    /// Starts its publishers and consumers, which work until the broker goes away.
    fn load(&self, address: &str) -> Vec<JoinHandle<u64>>;
    /// Compares what is there with what was promised, and tells each broken promise; what is there is taken out for good
    /// or put back.
    fn judge(&self, broker: &Broker, drain: bool) -> Vec<String>;
}

/// Runs rounds of load, a crash, and a look at what is left.
fn run(scene: &dyn Scene) {
    let (rounds, mut dice) = rounds_and_dice(5);
    // Small segments: a round fills, leaves behind and compacts many of them.
    let mut broker = Broker::settings().config("[storage]\nsegment_bytes = 262144\n").start();
    if !broker.can_restart() {
        println!("skipped: GANTRY_E2E_RESTART is not set");
        return;
    }
    let mut wire = open(&broker);
    scene.declare(&mut wire).expect("declared");
    drop(wire);
    let mut done = Vec::new();
    for round in 1..=rounds {
        let by_worker = round_of(scene, &mut broker, &mut dice, round);
        done.resize(by_worker.len(), 0);
        done.iter_mut().zip(by_worker).for_each(|(sum, done): (&mut u64, u64)| *sum += done);
    }
    assert!(done.iter().all(|&done| done > 0), "a worker had nothing to do: {done:?}");
    broker.assert_sound();
}

/// Returns what each of the workers has done.
fn round_of(scene: &dyn Scene, broker: &mut Broker, dice: &mut Dice, round: u64) -> Vec<u64> {
    let load = scene.load(broker.address());
    std::thread::sleep(Duration::from_millis(50 + dice.roll(600)));
    let ending = if dice.roll(5) == 0 { Ending::Stop } else { Ending::Kill };
    broker.restart(ending);
    let done: Vec<u64> = load.into_iter().map(|worker| worker.join().expect("a worker's own check")).collect();
    // Once more while the rules are at work on what was left.
    if dice.roll(2) == 0 {
        std::thread::sleep(Duration::from_millis(dice.roll(200)));
        broker.restart(Ending::Kill);
    }
    let broken = scene.judge(broker, dice.roll(2) == 0);
    let shown = broken.len().min(20);
    assert!(broken.is_empty(), "round {round}: {} broken promises:\n{}", broken.len(), broken[..shown].join("\n"));
    println!("round {round}: {ending:?} after {done:?} operations");
    done
}

fn open(broker: &Broker) -> Wire {
    let mut wire = Wire::open(broker.address()).expect("login");
    wire.open_channel(1).expect("channel");
    wire
}

/// `x-dead-letter-*` arguments that lead to a queue.
fn dead_letters_to(queue: &str) -> [(&'static str, Field<'_>); 2] {
    [("x-dead-letter-exchange", Field::Text("")), ("x-dead-letter-routing-key", Field::Text(queue))]
}

/// Declares a queue that is always full, and sends everything on to another one.
fn declare_full(wire: &mut Wire, name: &str, target: &str) -> io::Result<()> {
    let [exchange, key] = dead_letters_to(target);
    let (length, overflow) = (("x-max-length", Field::Int(0)), ("x-overflow", Field::Text("reject-publish-dlx")));
    wire.declare_with(1, name, 2, &[length, overflow, exchange, key]).map(drop)
}

/// Messages that go by one queue or exchange into others.
struct Flow {
    /// The last queue, in which everything is found in the end.
    target: Watched,
    next: Arc<AtomicU64>,
}

impl Flow {
    fn new(kind: &str) -> Self {
        Self { target: Watched::new(kind), next: Arc::new(AtomicU64::new(1)) }
    }

    /// Sends a last message by the way of all others, and waits for its confirm; returns its number.
    fn last(&self, wire: &mut Wire, (exchange, key): (&str, &str), properties: &[u8]) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.target.ledger().sent(number, true);
        wire.call(1, &Method::new(85, 10).octet(0), (85, 11)).expect("confirm.select");
        wire.publish(1, exchange, key, properties, &body_of(number)).expect("published");
        wire.expect(1, (60, 80)).expect("confirmed");
        self.target.ledger().confirmed(number);
        number
    }

    /// Takes out all that is in these queues, each up to a last message, and judges it.
    fn judge(&self, broker: &Broker, queues: &[(&str, u64)], drain: bool, sorted: bool) -> Vec<String> {
        let mut wire = open(broker);
        wire.open_channel(2).expect("channel");
        wire.call(2, &Method::new(90, 10), (90, 11)).expect("tx.select");
        let mut found: Vec<Found> = Vec::new();
        let mut counts = Vec::new();
        for &(queue, last) in queues {
            let taken = take(&mut wire, 2, queue, |taken| taken.last().is_some_and(|found| found.number == last));
            let taken =
                taken.unwrap_or_else(|error| panic!("{queue}: the last message ({last}) has not come: {error}"));
            counts.push((queue, taken.len()));
            found.extend(taken);
        }
        if sorted {
            found.sort_by_key(|found| found.number);
        }
        let broken = self.target.ledger().judge(&found);
        if drain && !found.is_empty() {
            wire.method(2, &Method::new(60, 80).longlong(0).octet(1)).expect("acknowledged");
            wire.call(2, &Method::new(90, 20), (90, 21)).expect("tx.commit");
            found.iter().for_each(|found| self.target.ledger().acknowledged_for_good(found.number));
        }
        wire.shutdown().expect("gone without a word: what is not acknowledged goes back");
        let mut wire = open(broker);
        for (queue, count) in counts {
            let expected = if drain { 0 } else { count };
            wait_until("what was not acknowledged is back", || {
                wire.declare(1, queue, 1).expect("declared").1 as usize == expected
            });
        }
        broken
    }
}

/// Acknowledges each message that it gets, after it has failed a number of times.
fn settle(wire: &mut Wire, done: &mut u64, queue: &str, ledger: &Watched, failures: u32) -> io::Result<()> {
    wire.open_channel(1)?;
    wire.call(1, &Method::new(60, 10).long(0).short(50).octet(0), (60, 11))?;
    wire.call(1, &Method::new(60, 20).short(0).shortstr(queue).shortstr("").octet(0).no_arguments(), (60, 21))?;
    let mut attempts: HashMap<u64, u32> = HashMap::new();
    loop {
        let delivery = wire.delivery(1)?;
        let number = number_of(&delivery.body);
        let attempt = attempts.entry(number).or_default();
        if *attempt < failures {
            *attempt += 1;
            wire.method(1, &Method::new(60, 90).longlong(delivery.tag).octet(0))?;
        } else {
            ledger.ledger().acknowledged(number);
            wire.method(1, &Method::new(60, 80).longlong(delivery.tag).octet(0))?;
        }
        *done += 1;
    }
}

// --- time to live -> dead letters

struct Expiring {
    flow: Flow,
    source: String,
    /// The queue by which they go to the target, which takes none of them.
    by: Option<String>,
}

impl Scene for Expiring {
    fn declare(&self, wire: &mut Wire) -> io::Result<()> {
        let target = &self.flow.target.name;
        wire.declare(1, target, 2)?;
        if let Some(full) = &self.by {
            declare_full(wire, full, target)?;
        }
        let [exchange, key] = dead_letters_to(self.by.as_ref().unwrap_or(target));
        wire.declare_with(1, &self.source, 2, &[("x-message-ttl", Field::Int(TTL_MS)), exchange, key]).map(drop)
    }

    fn load(&self, address: &str) -> Vec<JoinHandle<u64>> {
        let (target, next, source) = (self.flow.target.clone(), Arc::clone(&self.flow.next), self.source.clone());
        let publisher = work(address, move |wire, done| {
            publish(wire, done, ("", &source), &[target], &next, |_| Some(PERSISTENT.to_vec()))
        });
        let target = self.flow.target.clone();
        vec![publisher, work(address, move |wire, done| settle(wire, done, &target.name, &target, 0))]
    }

    fn judge(&self, broker: &Broker, drain: bool) -> Vec<String> {
        let last = self.flow.last(&mut open(broker), ("", &self.source), &PERSISTENT);
        // What a full queue has sent on and what waited for that in a crash may overtake one another.
        self.flow.judge(broker, &[(&self.flow.target.name, last)], drain, self.by.is_some())
    }
}

#[test]
fn expiry_into_dead_letters() {
    run(&Expiring { flow: Flow::new("dead"), source: unique("expiring"), by: None });
}

#[test]
fn expiry_into_a_full_queue_that_sends_on() {
    if std::env::var_os("GANTRY_E2E_URL").is_some() {
        return; // RabbitMQ does not promise this of classic queues: they send dead letters on without confirms
    }
    run(&Expiring { flow: Flow::new("dead"), source: unique("expiring"), by: Some(unique("full")) });
}

// --- rejected -> waits -> back again

struct Retrying {
    flow: Flow,
    waiting: String,
}

impl Scene for Retrying {
    fn declare(&self, wire: &mut Wire) -> io::Result<()> {
        wire.declare_with(1, &self.flow.target.name, 2, &dead_letters_to(&self.waiting))?;
        let [exchange, key] = dead_letters_to(&self.flow.target.name);
        wire.declare_with(1, &self.waiting, 2, &[("x-message-ttl", Field::Int(TTL_MS)), exchange, key]).map(drop)
    }

    fn load(&self, address: &str) -> Vec<JoinHandle<u64>> {
        let (jobs, next) = (self.flow.target.clone(), Arc::clone(&self.flow.next));
        let publisher = work(address, move |wire, done| {
            let key = jobs.name.clone();
            publish(wire, done, ("", &key), &[jobs], &next, |_| Some(PERSISTENT.to_vec()))
        });
        let jobs = self.flow.target.clone();
        vec![publisher, work(address, move |wire, done| settle(wire, done, &jobs.name, &jobs, FAILURES))]
    }

    fn judge(&self, broker: &Broker, drain: bool) -> Vec<String> {
        let last = self.flow.last(&mut open(broker), ("", &self.waiting), &PERSISTENT);
        self.flow.judge(broker, &[(&self.flow.target.name, last)], drain, true)
    }
}

#[test]
fn rejections_in_a_retry_ladder() {
    run(&Retrying { flow: Flow::new("jobs"), waiting: unique("waiting") });
}

// --- dropped by length -> dead letters

struct Overflowing {
    flow: Flow,
    source: String,
}

impl Scene for Overflowing {
    fn declare(&self, wire: &mut Wire) -> io::Result<()> {
        let target = &self.flow.target.name;
        wire.declare(1, target, 2)?;
        let [exchange, key] = dead_letters_to(target);
        wire.declare_with(1, &self.source, 2, &[("x-max-length", Field::Int(LENGTH_MAX)), exchange, key]).map(drop)
    }

    fn load(&self, address: &str) -> Vec<JoinHandle<u64>> {
        let (target, next, source) = (self.flow.target.clone(), Arc::clone(&self.flow.next), self.source.clone());
        let publisher = work(address, move |wire, done| {
            publish(wire, done, ("", &source), &[target], &next, |_| Some(PERSISTENT.to_vec()))
        });
        let target = self.flow.target.clone();
        vec![publisher, work(address, move |wire, done| settle(wire, done, &target.name, &target, 0))]
    }

    fn judge(&self, broker: &Broker, _: bool) -> Vec<String> {
        // As many more as there is room for push everything else out, and the first of them after it. What goes back to
        // a full queue would push others out: here everything is taken out for good.
        let mut wire = open(broker);
        let sent: Vec<u64> =
            (0..=LENGTH_MAX).map(|_| self.flow.last(&mut wire, ("", &self.source), &PERSISTENT)).collect();
        self.flow.judge(broker, &[(&self.flow.target.name, sent[0]), (&self.source, sent[sent.len() - 1])], true, true)
    }
}

#[test]
fn overflow_into_dead_letters() {
    run(&Overflowing { flow: Flow::new("dead"), source: unique("full") });
}

// --- x-delayed-message

struct Delayed {
    flow: Flow,
    exchange: String,
    /// The queue by which they go to the target, which takes none of them.
    by: Option<String>,
    /// When each of them is due: none may come earlier.
    due: Arc<Mutex<BTreeMap<u64, Instant>>>,
}

impl Delayed {
    fn due(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scene for Delayed {
    fn declare(&self, wire: &mut Wire) -> io::Result<()> {
        let declare = Method::new(40, 10).short(0).shortstr(&self.exchange).shortstr("x-delayed-message").octet(2);
        let arguments = gantry_tests::wire::table(&[("x-delayed-type", Field::Text("direct"))]);
        wire.call(1, &declare.raw(&arguments), (40, 11))?;
        let target = &self.flow.target.name;
        wire.declare(1, target, 2)?;
        if let Some(full) = &self.by {
            declare_full(wire, full, target)?;
        }
        let bound = self.by.as_ref().unwrap_or(target);
        let bind = Method::new(50, 20).short(0).shortstr(bound).shortstr(&self.exchange);
        wire.call(1, &bind.shortstr("key").octet(0).no_arguments(), (50, 21)).map(drop)
    }

    fn load(&self, address: &str) -> Vec<JoinHandle<u64>> {
        let (target, next, exchange) = (self.flow.target.clone(), Arc::clone(&self.flow.next), self.exchange.clone());
        let all_due = Arc::clone(&self.due);
        let publisher = work(address, move |wire, done| {
            publish(wire, done, (&exchange, "key"), &[target], &next, |number| {
                let delay_ms = number.wrapping_mul(7919) % DELAY_MS_MAX;
                let due = Instant::now() + Duration::from_millis(delay_ms);
                all_due.lock().unwrap_or_else(PoisonError::into_inner).insert(number, due);
                Some(persistent_with(&[("x-delay", Field::Int(delay_ms as i32))]))
            })
        });
        let (target, all_due) = (self.flow.target.clone(), Arc::clone(&self.due));
        let reader = work(address, move |wire, done| {
            wire.open_channel(1)?;
            let consume = Method::new(60, 20).short(0).shortstr(&target.name).shortstr("").octet(0).no_arguments();
            wire.call(1, &consume, (60, 21))?;
            loop {
                let delivery = wire.delivery(1)?;
                let number = number_of(&delivery.body);
                let now = Instant::now();
                let due = all_due.lock().unwrap_or_else(PoisonError::into_inner).get(&number).copied();
                // The broker counts in whole milliseconds of the wall clock.
                let early = due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now));
                assert!(early <= Duration::from_millis(2), "{number} has come {early:?} before its time");
                target.ledger().acknowledged(number);
                wire.method(1, &Method::new(60, 80).longlong(delivery.tag).octet(0))?;
                *done += 1;
            }
        });
        vec![publisher, reader]
    }

    fn judge(&self, broker: &Broker, drain: bool) -> Vec<String> {
        // Due after all others, so that everything else has come when it comes: those were read before the broker was killed,
        // however long after they were sent.
        let properties = persistent_with(&[("x-delay", Field::Int(DELAY_MS_MAX as i32 + 20))]);
        let last = self.flow.last(&mut open(broker), (&self.exchange, "key"), &properties);
        let broken = self.flow.judge(broker, &[(&self.flow.target.name, last)], drain, true);
        self.due().clear();
        broken
    }
}

#[test]
fn delays_across_crashes() {
    if std::env::var_os("GANTRY_E2E_URL").is_some() {
        return; // RabbitMQ 3.10 has no such exchange
    }
    run(&Delayed { flow: Flow::new("delayed"), exchange: unique("delayed"), by: None, due: Arc::default() });
}

#[test]
fn delays_into_a_full_queue_that_sends_on() {
    if std::env::var_os("GANTRY_E2E_URL").is_some() {
        return; // RabbitMQ 3.10 has no such exchange
    }
    let (flow, exchange, by) = (Flow::new("delayed"), unique("delayed"), Some(unique("full")));
    run(&Delayed { flow, exchange, by, due: Arc::default() });
}

// --- streams

struct Log {
    /// Its ledger knows what was published and confirmed.
    stream: Watched,
    next: Arc<AtomicU64>,
    /// Which message was seen at which offset, by whichever reader.
    seen: Arc<Mutex<BTreeMap<i64, u64>>>,
}

/// Consumes a stream from its beginning.
fn follow(wire: &mut Wire, channel: u16, stream: &str) -> io::Result<()> {
    wire.call(channel, &Method::new(60, 10).long(0).short(200).octet(0), (60, 11))?;
    let arguments = gantry_tests::wire::table(&[("x-stream-offset", Field::Text("first"))]);
    let consume = Method::new(60, 20).short(0).shortstr(stream).shortstr("").octet(0).raw(&arguments);
    wire.call(channel, &consume, (60, 21)).map(drop)
}

/// The next message of a stream: its offset and its number.
fn read(wire: &mut Wire, channel: u16) -> io::Result<(i64, u64)> {
    let delivery = wire.delivery(channel)?;
    wire.method(channel, &Method::new(60, 80).longlong(delivery.tag).octet(0))?;
    Ok((delivery.long_header("x-stream-offset").expect("x-stream-offset"), number_of(&delivery.body)))
}

/// Notes what was seen, and tells when something else was seen there before.
fn note(seen: &Mutex<BTreeMap<i64, u64>>, offset: i64, number: u64) -> Option<String> {
    let before = seen.lock().unwrap_or_else(PoisonError::into_inner).insert(offset, number);
    before
        .filter(|&before| before != number)
        .map(|before| format!("{before} and {number} were both seen at offset {offset}"))
}

impl Scene for Log {
    fn declare(&self, wire: &mut Wire) -> io::Result<()> {
        wire.declare_with(1, &self.stream.name, 2, &[("x-queue-type", Field::Text("stream"))]).map(drop)
    }

    fn load(&self, address: &str) -> Vec<JoinHandle<u64>> {
        let (stream, next) = (self.stream.clone(), Arc::clone(&self.next));
        let mut workers = vec![work(address, move |wire, done| {
            let key = stream.name.clone();
            publish(wire, done, ("", &key), &[stream], &next, |_| Some(PERSISTENT.to_vec()))
        })];
        for _ in 0..2 {
            let (stream, seen) = (self.stream.clone(), Arc::clone(&self.seen));
            workers.push(work(address, move |wire, done| {
                wire.open_channel(1)?;
                follow(wire, 1, &stream.name)?;
                let mut last = -1;
                loop {
                    let (offset, number) = read(wire, 1)?;
                    assert!(offset > last, "offset {offset} after {last}");
                    last = offset;
                    if let Some(broken) = note(&seen, offset, number) {
                        panic!("{broken}");
                    }
                    *done += 1;
                }
            }));
        }
        workers
    }

    fn judge(&self, broker: &Broker, _: bool) -> Vec<String> {
        let mut wire = open(broker);
        let last = self.next.fetch_add(1, Ordering::Relaxed);
        self.stream.ledger().sent(last, true);
        wire.call(1, &Method::new(85, 10).octet(0), (85, 11)).expect("confirm.select");
        wire.publish(1, "", &self.stream.name, &PERSISTENT, &body_of(last)).expect("published");
        wire.expect(1, (60, 80)).expect("confirmed");
        self.stream.ledger().confirmed(last);

        wire.open_channel(2).expect("channel");
        follow(&mut wire, 2, &self.stream.name).expect("consumed");
        let mut broken = Vec::new();
        let mut there = Vec::new();
        let mut offsets: Vec<i64> = Vec::new();
        loop {
            let (offset, number) = read(&mut wire, 2).expect("the last message comes");
            broken.extend(note(&self.seen, offset, number));
            if offsets.last().is_some_and(|&last| offset <= last) {
                broken.push(format!("offset {offset} comes after {:?}", offsets.last()));
            }
            offsets.push(offset);
            there.push(number);
            if number == last {
                break;
            }
        }
        // What a reader has seen is there for good.
        for (&offset, &number) in self.seen.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if offsets.binary_search(&offset).is_err() {
                broken.push(format!("{number} was seen at offset {offset}, and is gone"));
            }
        }
        // What was there after the last crash is owed, in its order and each once.
        let found: Vec<Found> = there.iter().map(|&number| Found { number, redelivered: false }).collect();
        broken.extend(self.stream.ledger().judge(&found));
        broken
    }
}

#[test]
fn a_stream_keeps_what_was_seen() {
    run(&Log { stream: Watched::new("stream"), next: Arc::new(AtomicU64::new(1)), seen: Arc::default() });
}
