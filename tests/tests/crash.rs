//! kill -9 under load, restart, and a look at what is left: nothing that was confirmed is lost, doubled or out of order.
//!
//! Six rounds by default; `GANTRY_CRASH_ROUNDS=200` (`make crash`) for a long run, `GANTRY_CRASH_SEED` to choose the same
//! moments again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gantry_tests::broker::{Broker, Ending};
use gantry_tests::load::{ROUND_MESSAGES_MAX, Watched, body_of, number_of, publish, rounds_and_dice, take, work};
use gantry_tests::unique;
use gantry_tests::wait_until;
use gantry_tests::wire::{METHOD, Method, PERSISTENT, Wire};

/// Queues with a publisher and a consumer each.
const BUSY: usize = 2;
/// Queues behind one fanout exchange.
const FANNED: usize = 8;
/// Queues that each transaction publishes to.
const COMMITTED: usize = 2;
struct Scene {
    busy: Vec<Watched>,
    fanout: String,
    fanned: Vec<Watched>,
    committed: Vec<Watched>,
    /// Which messages each transaction consists of: all of them are there, or none.
    transactions: Arc<Mutex<BTreeMap<u64, (u64, u64)>>>,
    next: Arc<AtomicU64>,
}

#[test]
fn nothing_confirmed_is_lost() {
    let (rounds, mut dice) = rounds_and_dice(6);
    // Small segments: a round fills, leaves behind and compacts many of them.
    let mut broker = Broker::settings().config("[storage]\nsegment_bytes = 262144\n").start();
    if !broker.can_restart() {
        println!("skipped: GANTRY_E2E_RESTART is not set");
        return;
    }
    let scene = Scene::declare(&broker).expect("topology declared");
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
    scene.remove(&broker).expect("removed");
    broker.assert_sound();
}

impl Scene {
    fn declare(broker: &Broker) -> io::Result<Self> {
        let scene = Self {
            busy: (0..BUSY).map(|_| Watched::new("busy")).collect(),
            fanout: unique("fanout"),
            fanned: (0..FANNED).map(|_| Watched::new("fanned")).collect(),
            committed: (0..COMMITTED).map(|_| Watched::new("committed")).collect(),
            transactions: Arc::default(),
            next: Arc::new(AtomicU64::new(1)),
        };
        let mut wire = Wire::open(broker.address())?;
        wire.open_channel(1)?;
        let exchange = Method::new(40, 10).short(0).shortstr(&scene.fanout).shortstr("fanout").octet(2).no_arguments();
        wire.call(1, &exchange, (40, 11))?;
        for queue in scene.queues() {
            wire.declare(1, &queue.name, 2)?;
        }
        for queue in &scene.fanned {
            let bind = Method::new(50, 20).short(0).shortstr(&queue.name).shortstr(&scene.fanout);
            wire.call(1, &bind.shortstr("").octet(0).no_arguments(), (50, 21))?;
        }
        Ok(scene)
    }

    fn remove(&self, broker: &Broker) -> io::Result<()> {
        let mut wire = Wire::open(broker.address())?;
        wire.open_channel(1)?;
        for queue in self.queues() {
            wire.call(1, &Method::new(50, 40).short(0).shortstr(&queue.name).octet(0), (50, 41))?;
        }
        wire.call(1, &Method::new(40, 20).short(0).shortstr(&self.fanout).octet(0), (40, 21)).map(drop)
    }

    fn queues(&self) -> impl Iterator<Item = &Watched> {
        self.busy.iter().chain(&self.fanned).chain(&self.committed)
    }

    /// Starts publishers and consumers, which work until the broker goes away; each returns how much it has done.
    fn start_load(&self, broker: &Broker) -> Vec<JoinHandle<u64>> {
        let address = broker.address();
        let mut workers = Vec::new();
        for (at, queue) in self.busy.iter().enumerate() {
            let (publisher, next) = (queue.clone(), Arc::clone(&self.next));
            workers.push(work(address, move |wire, done| {
                let every_third_is_transient = |number: u64| (!number.is_multiple_of(3)).then(|| PERSISTENT.to_vec());
                publish(wire, done, ("", &publisher.name.clone()), &[publisher], &next, every_third_is_transient)
            }));
            let consumer = queue.clone();
            workers.push(work(address, move |wire, done| consume(wire, done, &consumer, at == 0)));
        }
        let (exchange, fanned, next) = (self.fanout.clone(), self.fanned.clone(), Arc::clone(&self.next));
        workers.push(work(address, move |wire, done| {
            publish(wire, done, (&exchange, ""), &fanned, &next, |_| Some(PERSISTENT.to_vec()))
        }));
        let consumer = self.fanned[0].clone();
        workers.push(work(address, move |wire, done| consume(wire, done, &consumer, false)));
        let (committed, next) = (self.committed.clone(), Arc::clone(&self.next));
        let transactions = Arc::clone(&self.transactions);
        workers.push(work(address, move |wire, done| commit(wire, done, &committed, &next, &transactions)));
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
        // RabbitMQ does not promise that a transaction is whole after a crash.
        if !broker.is_external() {
            broken.extend(self.judge_transactions(&committed));
        }
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

/// Consumes and acknowledges, by ones and by ranges; or by transactions, whose acknowledgements are for good.
fn consume(wire: &mut Wire, done: &mut u64, queue: &Watched, transactional: bool) -> io::Result<()> {
    wire.open_channel(1)?;
    if transactional {
        wire.call(1, &Method::new(90, 10), (90, 11))?;
    }
    wire.call(1, &Method::new(60, 10).long(0).short(50).octet(0), (60, 11))?;
    let consume = Method::new(60, 20).short(0).shortstr(&queue.name).shortstr("").octet(0).no_arguments();
    wire.call(1, &consume, (60, 21))?;
    let mut last = 0;
    loop {
        let mut batch = Vec::new();
        let mut tag = 0;
        for _ in 0..1 + *done % 7 {
            let delivery = wire.delivery(1)?;
            let number = number_of(&delivery.body);
            assert!(number > last, "{number} was delivered after {last}");
            last = number;
            tag = delivery.tag;
            batch.push(number);
        }
        batch.iter().for_each(|&number| queue.ledger().acknowledged(number));
        wire.send(&gantry_tests::wire::frame(METHOD, 1, Method::new(60, 80).longlong(tag).octet(1).bytes()))?;
        if transactional {
            wire.call_amid_deliveries(1, &Method::new(90, 20), (90, 21))?;
            batch.iter().for_each(|&number| queue.ledger().acknowledged_for_good(number));
        }
        *done += batch.len() as u64;
    }
}

/// Publishes by transactions to all of the queues.
fn commit(
    wire: &mut Wire,
    done: &mut u64,
    queues: &[Watched],
    next: &AtomicU64,
    transactions: &Mutex<BTreeMap<u64, (u64, u64)>>,
) -> io::Result<()> {
    wire.open_channel(1)?;
    wire.call(1, &Method::new(90, 10), (90, 11))?;
    while *done < ROUND_MESSAGES_MAX {
        let count = 1 + *done % 5;
        let first = next.fetch_add(count, Ordering::Relaxed);
        let numbers = first..first + count;
        transactions.lock().unwrap_or_else(PoisonError::into_inner).insert(first, (first, first + count));
        for number in numbers.clone() {
            for queue in queues {
                queue.ledger().sent(number, true);
                wire.publish(1, "", &queue.name, &PERSISTENT, &body_of(number))?;
            }
        }
        wire.call(1, &Method::new(90, 20), (90, 21))?;
        for number in numbers {
            queues.iter().for_each(|queue| queue.ledger().confirmed(number));
        }
        *done += count;
    }
    Ok(())
}
