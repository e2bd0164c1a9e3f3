//! What a queue has to do, said as plainly as possible: lists that are searched from end to end.

use super::consumer::Credit;
use super::lease::Outcome;

/// A message, by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) seq: u64,
    pub(super) bytes: u32,
    pub(super) expires_ms: u64,
    pub(super) attempts: u32,
    pub(super) redelivered: bool,
}

/// A message that somebody has.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) item: Item,
    /// None where it was fetched.
    pub(super) by: Option<usize>,
}

/// A consumer.
#[derive(Clone, Debug)]
pub(super) struct Consumer {
    pub(super) name: usize,
    pub(super) credit: Credit,
    pub(super) acknowledges: bool,
    pub(super) exclusive: bool,
    /// It was told that there is no room, and has not been told that there is some again.
    starved: bool,
    /// Leases that count against its credit.
    held: u32,
    /// Deliveries without a lease, which use credit up for good.
    ended: u32,
}

/// A delivery that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) to: usize,
    pub(super) seq: u64,
    pub(super) attempts: u32,
    pub(super) redelivered: bool,
    pub(super) leased: bool,
}

/// A queue.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// Sorted by number.
    pub(super) waiting: Vec<Item>,
    pub(super) held: Vec<Held>,
    /// In the order of their turns; those that cannot take anything keep no place.
    turn: Vec<usize>,
    pub(super) consumers: Vec<Consumer>,
    pub(super) closed: bool,
    /// Messages that have left, with the number of their kind of departure.
    pub(super) gone: Vec<u64>,
}

impl Model {
    pub(super) fn put(&mut self, item: Item) {
        let at = self.waiting.partition_point(|other| other.seq < item.seq);
        self.waiting.insert(at, item);
    }

    pub(super) fn consumer(&mut self, name: usize) -> Option<&mut Consumer> {
        self.consumers.iter_mut().find(|consumer| consumer.name == name)
    }

    fn may_take(&self, name: usize) -> bool {
        self.consumers.iter().any(|consumer| {
            let has_credit = match consumer.credit {
                Credit::Unlimited => true,
                Credit::Window(window) => consumer.held + consumer.ended < window,
            };
            consumer.name == name && has_credit && !consumer.starved
        })
    }

    /// Those that can take something and have no turn get the last one.
    fn line_up(&mut self, name: usize) {
        if self.may_take(name) && !self.turn.contains(&name) {
            self.turn.push(name);
        }
    }

    pub(super) fn subscribe(&mut self, name: usize, credit: Credit, acknowledges: bool, exclusive: bool) -> bool {
        let taken = self.consumers.iter().any(|other| other.exclusive) || exclusive && !self.consumers.is_empty();
        if self.closed || taken {
            return false;
        }
        let consumer = Consumer { name, credit, acknowledges, exclusive, starved: false, held: 0, ended: 0 };
        self.consumers.push(consumer);
        self.line_up(name);
        true
    }

    pub(super) fn unsubscribe(&mut self, name: usize) {
        self.consumers.retain(|consumer| consumer.name != name);
        self.turn.retain(|other| *other != name);
    }

    pub(super) fn resume(&mut self, name: usize) {
        if let Some(consumer) = self.consumer(name) {
            consumer.starved = false;
        }
        self.line_up(name);
    }

    /// An outcome of a message that is held.
    pub(super) fn settle(&mut self, seq: u64, outcome: Outcome) {
        let Some(at) = self.held.iter().position(|held| held.item.seq == seq) else { return };
        let Held { mut item, by } = self.held.remove(at);
        match outcome {
            Outcome::Accept | Outcome::Reject => self.gone.push(seq),
            Outcome::Release => self.put(item),
            Outcome::Retry => {
                item.attempts += 1;
                item.redelivered = true;
                self.put(item);
            }
        }
        if let Some(name) = by {
            if let Some(consumer) = self.consumer(name) {
                consumer.held -= 1;
                // An outcome is also a reason to ask for room again.
                consumer.starved = false;
            }
            self.line_up(name);
        }
    }

    pub(super) fn expire(&mut self, before_ms: u64) {
        while self.waiting.first().is_some_and(|first| first.expires_ms < before_ms) {
            self.gone.push(self.waiting.remove(0).seq);
        }
    }

    /// Who gets what. `room` says how many deliveries an outlet takes.
    pub(super) fn grant(&mut self, now_ms: u64, room: &mut [usize]) -> Vec<Expected> {
        let mut expected = Vec::new();
        loop {
            self.expire(now_ms);
            if self.waiting.is_empty() {
                return expected;
            }
            let Some(name) = (!self.turn.is_empty()).then(|| self.turn.remove(0)) else {
                self.expire(now_ms + 1);
                return expected;
            };
            if !self.may_take(name) {
                continue;
            }
            if room[name] == 0 {
                if let Some(consumer) = self.consumer(name) {
                    consumer.starved = true;
                }
                continue;
            }
            room[name] -= 1;
            let item = self.waiting.remove(0);
            let Some(consumer) = self.consumer(name) else { continue };
            let leased = consumer.acknowledges;
            let Item { seq, attempts, redelivered, .. } = item;
            if leased {
                consumer.held += 1;
                self.held.push(Held { item, by: Some(name) });
            } else {
                consumer.ended += 1;
                self.gone.push(seq);
            }
            self.line_up(name);
            expected.push(Expected { to: name, seq, attempts, redelivered, leased });
        }
    }
}
