//! Random work against a model that is too simple to be wrong. A failure prints its seed; `GANTRY_SEED` runs that one alone.

use std::collections::BTreeMap;

use gantry_storage::{Append, Faults, Mark, Note, Position, Reading, Ref, Ticket, Transaction};

use crate::engine::{Embedded, End, Engine, Found, Memory, Told, wait};

/// xorshift: the same numbers for the same seed, everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }
}

#[derive(Clone, Debug)]
enum Change {
    Add(Position, Found, u8),
    Settle(Position),
    Mark(Position, u64),
    Note(u64, Option<u64>),
}

#[derive(Clone, Debug, Default)]
struct Model {
    /// With the byte that the payload is made of.
    entries: BTreeMap<Position, (Found, u8)>,
    notes: BTreeMap<u64, u64>,
}

impl Model {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Add(position, found, byte) => drop(self.entries.insert(*position, (found.clone(), *byte))),
            Change::Settle(position) => drop(self.entries.remove(position)),
            Change::Mark(position, value) => {
                if let Some(entry) = self.entries.get_mut(position) {
                    entry.0.mark = *value;
                }
            }
            Change::Note(lane, Some(value)) => drop(self.notes.insert(*lane, *value)),
            Change::Note(lane, None) => drop(self.notes.remove(lane)),
        }
    }

    /// What is wrong with what recovery told, if this is the state that it should have found.
    fn differs(&self, told: &Told) -> Option<String> {
        if told.notes != self.notes {
            return Some(format!("notes {:?} instead of {:?}", told.notes, self.notes));
        }
        for (position, (found, _)) in &self.entries {
            if told.entries.get(position) != Some(found) {
                return Some(format!("{position:?}: {:?} instead of {found:?}", told.entries.get(position)));
            }
        }
        let extra = told.entries.keys().find(|position| !self.entries.contains_key(position));
        extra.map(|position| format!("{position:?} should be gone"))
    }
}

struct Run<'a> {
    engine: &'a mut dyn Engine,
    random: Random,
    /// What is certain.
    safe: Model,
    /// What was done, and may or may not be on stable storage.
    doubtful: Vec<(Ticket, Vec<Change>)>,
    now: Model,
    seq: u64,
}

impl Run<'_> {
    fn did(&mut self, ticket: Ticket, changes: Vec<Change>) {
        changes.iter().for_each(|change| self.now.apply(change));
        self.doubtful.push((ticket, changes));
    }

    fn any_live(&mut self) -> Option<Position> {
        let count = self.now.entries.len() as u64;
        if count == 0 {
            return None;
        }
        // Mostly old ones, as queues do it; some stay for ever.
        let index = if self.random.next(4) == 0 { self.random.next(count) } else { self.random.next(count.min(8)) };
        self.now.entries.keys().nth(index as usize).copied()
    }

    fn record(&mut self) -> (Vec<Ref>, Vec<u8>, Vec<u8>) {
        let count = if self.random.next(10) == 0 { 1 + self.random.next(150) } else { 1 + self.random.next(2) };
        let refs = (0..count)
            .map(|n| {
                self.seq += 1;
                Ref { lane: n * 3 % 17, seq: self.seq }
            })
            .collect();
        let length = match self.random.next(200) {
            0 => 60_000 + self.random.next(90_000),
            1..40 => self.random.next(6_000),
            _ => self.random.next(300),
        };
        let meta_bytes = self.random.next(20) as usize;
        (refs, vec![self.random.next(256) as u8; meta_bytes], vec![self.random.next(256) as u8; length as usize])
    }

    fn added(refs: &[Ref], meta: &[u8], payload: &[u8], position: Position, changes: &mut Vec<Change>) {
        for (slot, &reference) in (position.slot..).zip(refs) {
            let payload_bytes = payload.len() as u32;
            let found = Found { reference, payload_bytes, meta: meta.to_vec(), mark: 0 };
            changes.push(Change::Add(Position { slot, ..position }, found, payload.first().copied().unwrap_or(0)));
        }
    }

    fn step(&mut self) {
        match self.random.next(100) {
            0..40 => {
                let (refs, meta, payload) = self.record();
                let (a, b) = payload.split_at(payload.len() / 3);
                let record = Append { refs: &refs, meta: &meta, payload: &[a, b] };
                let appended = self.engine.journal().append(record).unwrap();
                let mut changes = Vec::new();
                Run::added(&refs, &meta, &payload, appended.position, &mut changes);
                self.did(appended.ticket, changes);
            }
            40..80 => {
                for _ in 0..self.random.next(3) {
                    let Some(position) = self.any_live() else { return };
                    let ticket = self.engine.journal().settle(&[position]).unwrap();
                    self.did(ticket, vec![Change::Settle(position)]);
                }
            }
            80..84 => {
                let records: Vec<_> = (0..self.random.next(4)).map(|_| self.record()).collect();
                let settles: Vec<_> = self.any_live().into_iter().collect();
                let payloads: Vec<[&[u8]; 1]> = records.iter().map(|(_, _, payload)| [payload.as_slice()]).collect();
                let appends = records
                    .iter()
                    .zip(&payloads)
                    .map(|((refs, meta, _), payload)| Append { refs, meta, payload })
                    .collect();
                let transaction = Transaction { appends, settles };
                let (appended, ticket) = self.engine.journal().transact(&transaction).unwrap();
                let mut changes: Vec<_> = transaction.settles.iter().copied().map(Change::Settle).collect();
                for ((refs, meta, payload), appended) in records.iter().zip(appended) {
                    Run::added(refs, meta, payload, appended.position, &mut changes);
                }
                self.did(ticket, changes);
            }
            84..88 => {
                let Some(position) = self.any_live() else { return };
                let value = [0, 1, 3, u64::MAX - 2][self.random.next(4) as usize];
                let ticket = self.engine.journal().mark(&[Mark { position, value }]).unwrap();
                self.did(ticket, vec![Change::Mark(position, value)]);
            }
            88..91 => {
                let lane = self.random.next(6);
                let value = (self.random.next(4) > 0).then(|| self.random.next(1000));
                let ticket = self.engine.journal().note(Note { lane, value }).unwrap();
                self.did(ticket, vec![Change::Note(lane, value)]);
            }
            91..96 => {
                let Some((ticket, _)) = self.doubtful.last() else { return };
                assert!(wait(self.engine.journal(), *ticket));
                self.settle_doubts(usize::MAX);
            }
            _ => self.read(),
        }
    }

    fn settle_doubts(&mut self, count: usize) {
        let count = count.min(self.doubtful.len());
        for (_, changes) in self.doubtful.drain(..count) {
            changes.iter().for_each(|change| self.safe.apply(change));
        }
    }

    fn read(&mut self) {
        let chosen: Vec<Position> = (0..self.random.next(20)).filter_map(|_| self.any_live()).collect();
        let readings: Vec<_> = chosen.iter().map(|&position| Reading { position, payload_bytes: 0 }).collect();
        for (position, payload) in chosen.iter().zip(self.engine.journal().read(&readings)) {
            let (found, byte) = &self.now.entries[position];
            let payload = payload.unwrap_or_else(|error| panic!("{position:?}: {error}"));
            assert_eq!(payload.len(), found.payload_bytes as usize, "{position:?}");
            assert!(payload.iter().all(|have| have == byte), "{position:?}");
        }
    }

    /// After a crash some prefix of what was in doubt is there, and never less than what was durable.
    fn again(&mut self, end: End) {
        let durable = self.engine.journal().durable();
        let count = self.doubtful.iter().take_while(|(ticket, _)| *ticket <= durable).count();
        self.settle_doubts(if end == End::Close { usize::MAX } else { count });
        let told = self.engine.again(end).unwrap();
        let mut why = self.safe.differs(&told);
        let first = why.clone();
        // Settlements, marks and notes of one batch are written behind its records, so that what a crash leaves of a batch is
        // not a prefix in the order of the calls. A batch is whole or not there at all unless the machine stops, and here only
        // the journal does.
        while why.is_some() && !self.doubtful.is_empty() {
            self.settle_doubts(1);
            why = self.safe.differs(&told);
        }
        assert!(why.is_none(), "after {end:?}: {}", first.unwrap_or_default());
        self.doubtful.clear();
        self.now = self.safe.clone();
        let live = self.engine.journal().usage().live_refs;
        assert_eq!(live, self.now.entries.len() as u64);
        self.read();
    }
}

fn run(engine: &mut dyn Engine, seed: u64, steps: u64) {
    println!("seed {seed}");
    let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut run = Run { engine, random, safe: Model::default(), doubtful: Vec::new(), now: Model::default(), seq: 0 };
    for _ in 0..steps {
        match run.random.next(400) {
            0 => run.again(End::Close),
            1..3 => run.again(End::Crash),
            _ => run.step(),
        }
    }
    run.again(End::Close);
}

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("GANTRY_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=count).collect(),
    }
}

#[test]
fn memory_is_like_the_model() {
    for seed in seeds(8) {
        run(&mut Memory::new(Faults::default()), seed, 2000);
    }
}

#[test]
fn embedded_is_like_the_model() {
    for seed in seeds(8) {
        run(&mut Embedded::new(Faults::default()), seed, 2000);
    }
}
