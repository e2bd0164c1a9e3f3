//! kill -9 under load by STOMP, restart, and a look at what is left: what a RECEIPT was sent for is there, once and in order,
//! transactions are whole, and what was acknowledged for good does not come again. The look is taken by AMQP.
//!
//! Four rounds by default; `GANTRY_CRASH_ROUNDS=200` (`make crash`) for a long run, `GANTRY_CRASH_SEED` to choose the same
//! moments again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gantry_tests::broker::{Broker, Ending};
use gantry_tests::load::{ROUND_MESSAGES_MAX, Watched, body_of, number_of, rounds_and_dice, take};
use gantry_tests::stomp::{Frame, Stomp, frame, send};
use gantry_tests::wire::{Method, Wire};
use gantry_tests::{unique, wait_until};

/// Queues with a publisher and a consumer each.
const BUSY: usize = 2;
/// Durable subscriptions of one topic.
const FANNED: usize = 4;
/// Queues that each transaction publishes to.
const COMMITTED: usize = 2;
/// SENDs that wait for their receipt.
const WINDOW: usize = 100;

struct Scene {
    busy: Vec<Watched>,
    topic: String,
    fanned: Vec<Watched>,
    committed: Vec<Watched>,
    /// Which messages each transaction consists of: all of them are there, or none.
    transactions: Arc<Mutex<BTreeMap<u64, (u64, u64)>>>,
    next: Arc<AtomicU64>,
}

#[test]
fn nothing_with_a_receipt_is_lost() {
    if std::env::var_os("GANTRY_E2E_URL").is_some() {
        return; // it asks for two listeners
    }
    let (rounds, mut dice) = rounds_and_dice(4);
    // Small segments: a round fills, leaves behind and compacts many of them.
    let mut broker = Broker::settings().listener("stomp").config("[storage]\nsegment_bytes = 262144\n").start();
    let scene = Scene::declare(&broker).expect("queues and subscriptions");
    for round in 1..=rounds {
        let load = scene.start_load(&broker);
        std::thread::sleep(Duration::from_millis(20 + dice.roll(700)));
        let ending = if dice.roll(5) == 0 { Ending::Stop } else { Ending::Kill };
        let down = Instant::now();
        broker.restart(ending);
        let down = down.elapsed();
        let done: u64 = load.into_iter().map(|worker| worker.join().expect("a worker's own check")).sum();
        let left = scene.judge(&broker, dice.roll(3) == 0, round);
        println!("round {round}: {ending:?} after {done} operations, back in {down:?}, {left} messages left");
        assert!(done > 0, "round {round}: there was no load");
    }
    broker.assert_sound();
}

/// Starts a worker with a connection of its own, which works until the broker goes away; it returns how much it has done.
fn work(broker: &Broker, job: impl FnOnce(&mut Stomp, &mut u64) -> io::Result<()> + Send + 'static) -> JoinHandle<u64> {
    let address = broker.address_of("stomp").to_owned();
    std::thread::spawn(move || {
        let mut done = 0;
        // The broker goes away, and may say so when it is stopped; it has no other reason to send ERROR.
        if let Err(error) = Stomp::open(&address).and_then(|mut stomp| job(&mut stomp, &mut done)) {
            let text = error.to_string();
            assert!(!text.contains("ERROR") || text.contains("connection_forced"), "{text}");
        }
        done
    })
}

/// Subscribes a durable queue to a topic.
fn durable<'a>(id: &'a str, destination: &'a str) -> [(&'a str, &'a str); 6] {
    [
        ("destination", destination),
        ("id", id),
        ("x-queue-name", id),
        ("durable", "true"),
        ("auto-delete", "false"),
        ("ack", "client-individual"),
    ]
}

impl Scene {
    fn declare(broker: &Broker) -> io::Result<Self> {
        let scene = Self {
            busy: (0..BUSY).map(|_| Watched::new("busy")).collect(),
            topic: format!("/topic/{}", unique("fanned")),
            fanned: (0..FANNED).map(|_| Watched::new("fanned")).collect(),
            committed: (0..COMMITTED).map(|_| Watched::new("committed")).collect(),
            transactions: Arc::default(),
            next: Arc::new(AtomicU64::new(1)),
        };
        let mut stomp = Stomp::open(broker.address_of("stomp"))?;
        for queue in scene.busy.iter().chain(&scene.committed) {
            let destination = format!("/queue/{}", queue.name);
            stomp.subscribe(&destination, "client", &[])?;
            stomp.call("UNSUBSCRIBE", &[("id", &destination)], b"")?;
        }
        for queue in &scene.fanned {
            stomp.call("SUBSCRIBE", &durable(&queue.name, &scene.topic), b"")?;
            stomp.call("UNSUBSCRIBE", &[("id", &queue.name)], b"")?;
        }
        Ok(scene)
    }

    fn queues(&self) -> impl Iterator<Item = &Watched> {
        self.busy.iter().chain(&self.fanned).chain(&self.committed)
    }

    fn start_load(&self, broker: &Broker) -> Vec<JoinHandle<u64>> {
        let mut workers = Vec::new();
        for (at, queue) in self.busy.iter().enumerate() {
            let (publisher, next) = (queue.clone(), Arc::clone(&self.next));
            workers.push(work(broker, move |stomp, done| {
                let destination = format!("/queue/{}", publisher.name);
                publish(stomp, done, &destination, &[publisher], &next, |number| !number.is_multiple_of(3))
            }));
            let consumer = queue.clone();
            workers.push(work(broker, move |stomp, done| consume(stomp, done, &consumer, at == 0)));
        }
        let (topic, fanned, next) = (self.topic.clone(), self.fanned.clone(), Arc::clone(&self.next));
        workers.push(work(broker, move |stomp, done| publish(stomp, done, &topic, &fanned, &next, |_| true)));
        let (committed, next) = (self.committed.clone(), Arc::clone(&self.next));
        let transactions = Arc::clone(&self.transactions);
        workers.push(work(broker, move |stomp, done| commit(stomp, done, &committed, &next, &transactions)));
        workers
    }

    /// Takes out everything that is there and compares it with the ledgers; gives it back, or acknowledges it for good.
    fn judge(&self, broker: &Broker, drain: bool, round: u64) -> usize {
        let mut wire = Wire::open(broker.address()).expect("login after the restart");
        wire.open_channel(1).expect("channel");
        wire.call(1, &Method::new(90, 10), (90, 11)).expect("tx.select");
        let mut broken = Vec::new();
        let mut counts = Vec::new();
        let mut committed: Vec<BTreeSet<u64>> = Vec::new();
        for queue in self.queues() {
            let (_, count, _) = wire.declare(1, &queue.name, 1).expect("a durable queue is there");
            let found = take(&mut wire, 1, &queue.name, |found| found.len() == count as usize).expect("taken");
            let mut ledger = queue.ledger();
            broken.extend(ledger.judge(&found).into_iter().map(|what| format!("{}: {what}", queue.name)));
            if self.committed.iter().any(|other| other.name == queue.name) {
                committed.push(found.iter().map(|found| found.number).collect());
            }
            if drain {
                found.iter().for_each(|found| ledger.acknowledged_for_good(found.number));
            }
            counts.push((queue.name.clone(), count));
        }
        broken.extend(self.judge_transactions(&committed));
        let shown = broken.len().min(20);
        assert!(broken.is_empty(), "round {round}: {} broken promises:\n{}", broken.len(), broken[..shown].join("\n"));
        let total = counts.iter().map(|&(_, count)| count as usize).sum();
        if drain {
            if total > 0 {
                wire.method(1, &Method::new(60, 80).longlong(0).octet(1)).expect("everything acknowledged");
            }
            wire.call(1, &Method::new(90, 20), (90, 21)).expect("tx.commit");
            self.transactions.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        wire.shutdown().expect("gone without a word: what is not acknowledged goes back");
        let mut wire = Wire::open(broker.address()).expect("login");
        wire.open_channel(1).expect("channel");
        for (name, count) in counts {
            let expected = if drain { 0 } else { count };
            wait_until("what was not acknowledged is back", || {
                wire.declare(1, &name, 1).expect("declared").1 == expected
            });
        }
        total
    }

    /// A transaction that was committed is whole; one that was not is whole or not there at all.
    fn judge_transactions(&self, found: &[BTreeSet<u64>]) -> Vec<String> {
        let mut transactions = self.transactions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut broken = Vec::new();
        transactions.retain(|_, &mut (first, end)| {
            let there: usize = found.iter().map(|numbers| numbers.range(first..end).count()).sum();
            let whole = (end - first) as usize * found.len();
            if there != 0 && there != whole {
                broken.push(format!("{there} of the {whole} messages of the transaction {first}..{end} are there"));
            }
            there != 0
        });
        broken
    }
}

/// SENDs with a window of receipts, in bursts.
fn publish(
    stomp: &mut Stomp,
    done: &mut u64,
    destination: &str,
    queues: &[Watched],
    next: &AtomicU64,
    persistent: impl Fn(u64) -> bool,
) -> io::Result<()> {
    let mut outstanding = BTreeSet::new();
    for burst in 0.. {
        let mut bytes = Vec::new();
        for _ in 0..1 + burst % 40 {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let persistent = persistent(number);
            queues.iter().for_each(|queue| queue.ledger().sent(number, persistent));
            let header: &[(&str, &str)] = if persistent { &[("persistent", "true")] } else { &[] };
            bytes.extend(send(destination, &number.to_string(), header, &body_of(number)));
            outstanding.insert(number);
        }
        stomp.write(&bytes)?;
        // Half of the window is always on its way.
        while outstanding.len() > WINDOW || *done + outstanding.len() as u64 > ROUND_MESSAGES_MAX {
            let number = number_of_receipt(&stomp.expect("RECEIPT")?);
            assert!(outstanding.remove(&number), "a receipt of {number}, which was told already, or never sent");
            queues.iter().for_each(|queue| queue.ledger().confirmed(number));
            *done += 1;
        }
    }
    Ok(())
}

fn number_of_receipt(frame: &Frame) -> u64 {
    frame.header("receipt-id").parse().expect("a receipt of ours")
}

/// Consumes and acknowledges, by ones and by ranges; or by transactions, whose acknowledgements are for good.
fn consume(stomp: &mut Stomp, done: &mut u64, queue: &Watched, transactional: bool) -> io::Result<()> {
    stomp.subscribe(&format!("/queue/{}", queue.name), "client", &[("prefetch-count", "50")])?;
    let mut last = 0;
    let mut early: Vec<Frame> = Vec::new();
    loop {
        let mut batch = Vec::new();
        let mut ack = String::new();
        for _ in 0..1 + *done % 7 {
            let message = if early.is_empty() { stomp.expect("MESSAGE")? } else { early.remove(0) };
            let number = number_of(&message.body);
            assert!(number > last, "{number} was delivered after {last}");
            last = number;
            message.header("ack").clone_into(&mut ack);
            batch.push(number);
        }
        batch.iter().for_each(|&number| queue.ledger().acknowledged(number));
        if transactional {
            stomp.write(&frame("BEGIN", &[("transaction", "t")], b""))?;
            stomp.write(&frame("ACK", &[("id", &ack), ("transaction", "t")], b""))?;
            early.extend(stomp.call("COMMIT", &[("transaction", "t")], b"")?);
            batch.iter().for_each(|&number| queue.ledger().acknowledged_for_good(number));
        } else {
            stomp.write(&frame("ACK", &[("id", &ack)], b""))?;
        }
        *done += batch.len() as u64;
    }
}

/// Sends by transactions to all of the queues.
fn commit(
    stomp: &mut Stomp,
    done: &mut u64,
    queues: &[Watched],
    next: &AtomicU64,
    transactions: &Mutex<BTreeMap<u64, (u64, u64)>>,
) -> io::Result<()> {
    while *done < ROUND_MESSAGES_MAX {
        let count = 1 + *done % 5;
        let first = next.fetch_add(count, Ordering::Relaxed);
        let numbers = first..first + count;
        transactions.lock().unwrap_or_else(PoisonError::into_inner).insert(first, (first, first + count));
        let mut bytes = frame("BEGIN", &[("transaction", "t")], b"");
        for number in numbers.clone() {
            for queue in queues {
                queue.ledger().sent(number, true);
                let headers = [("transaction", "t"), ("persistent", "true")];
                bytes.extend(send(&format!("/queue/{}", queue.name), "", &headers, &body_of(number)));
            }
        }
        stomp.write(&bytes)?;
        stomp.call("COMMIT", &[("transaction", "t")], b"")?;
        for number in numbers {
            queues.iter().for_each(|queue| queue.ledger().confirmed(number));
        }
        *done += count;
    }
    Ok(())
}
