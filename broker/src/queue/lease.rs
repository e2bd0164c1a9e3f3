//! Messages that somebody has and has not yet said an outcome of.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::consumer::ConsumerId;
use super::entry::Entry;

/// A delivery that waits for its outcome. Said twice, the second time finds nothing, even where the message has been
/// delivered once more in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    index: u32,
    /// Never given to another lease of the queue.
    number: u64,
}

impl Lease {
    /// That of a reader of a stream: it has nothing but credit to give back.
    pub(crate) const fn of_reader(reader: u32, offset: u64) -> Self {
        Self { index: reader, number: offset }
    }

    /// The reader of a stream that it was made for.
    pub(crate) const fn reader(self) -> u32 {
        self.index
    }
}

/// What is said of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done: the message leaves the queue.
    Accept,
    /// Given back untouched: it was never handed over, nothing is counted.
    Release,
    /// Failed: try again. Counts as an attempt, and the message is marked as redelivered.
    Retry,
    /// As [`Outcome::Retry`], said of its own accord by whoever had it: a queue that delays retries may tell the two apart.
    Return,
    /// Failed for good.
    Reject,
}

#[derive(Debug)]
pub(super) struct Leased {
    pub(super) entry: Entry,
    /// Who has it; none where it was fetched.
    pub(super) consumer: Option<ConsumerId>,
}

#[derive(Debug)]
enum Slot {
    Taken {
        number: u64,
        leased: Leased,
    },
    /// Its time was over and its message is elsewhere; whoever had it has not said anything yet.
    Lapsed {
        number: u64,
        consumer: ConsumerId,
    },
    Free {
        next: u32,
    },
}

const NO_SLOT: u32 = u32::MAX;

/// So many leases that are over are remembered for what their consumers may yet say. Beyond it the credit is lost until the
/// consumer comes again: whoever lets so many run out does not miss it.
const LATE_MAX: usize = 1 << 20;

/// All leases of a queue.
#[derive(Debug)]
pub(super) struct Leases {
    slots: Vec<Slot>,
    free: u32,
    /// Number of the next lease.
    next: u64,
    len: usize,
    lapsed: usize,
    bytes: u64,
    /// Only where a lease has a deadline.
    deadlines: Option<Box<Deadlines>>,
}

/// When leases end by themselves, in milliseconds since the epoch of Unix.
#[derive(Debug, Default)]
struct Deadlines {
    /// By time and number: the lease's index.
    by_time: BTreeMap<(u64, u64), u32>,
    /// By number.
    by_lease: HashMap<u64, u64>,
}

/// What was said of a lease found.
#[derive(Debug)]
pub(super) enum Said {
    /// The message, which had been waiting for this.
    Leased(Leased),
    /// Too late: only the consumer's credit is left to be given back.
    Late(ConsumerId),
}

impl Default for Leases {
    fn default() -> Self {
        Self { slots: Vec::new(), free: NO_SLOT, next: 0, len: 0, lapsed: 0, bytes: 0, deadlines: None }
    }
}

impl Leases {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn insert(&mut self, leased: Leased) -> Lease {
        let number = self.next;
        self.next += 1;
        self.len += 1;
        self.bytes += u64::from(leased.entry.body_bytes());
        if self.free == NO_SLOT {
            self.slots.push(Slot::Taken { number, leased });
            return Lease { index: (self.slots.len() - 1) as u32, number };
        }
        let index = self.free;
        let slot = &mut self.slots[index as usize];
        if let Slot::Free { next } = *slot {
            self.free = next;
        }
        *slot = Slot::Taken { number, leased };
        Lease { index, number }
    }

    pub(super) fn get(&self, lease: Lease) -> Option<&Leased> {
        match self.slots.get(lease.index as usize)? {
            Slot::Taken { number, leased } if *number == lease.number => Some(leased),
            _ => None,
        }
    }

    /// The message of a lease does not expire any more, whatever is said of it.
    pub(super) fn hold(&mut self, lease: Lease) {
        if let Some(Slot::Taken { number, leased }) = self.slots.get_mut(lease.index as usize)
            && *number == lease.number
        {
            leased.entry.expires_ms = u64::MAX;
        }
    }

    /// Ends a lease, now that something has been said of it. None where there is none (any more).
    pub(super) fn remove(&mut self, lease: Lease) -> Option<Said> {
        let number = match self.slots.get(lease.index as usize)? {
            Slot::Taken { number, .. } | Slot::Lapsed { number, .. } => *number,
            Slot::Free { .. } => return None,
        };
        if number != lease.number {
            return None;
        }
        let slot = std::mem::replace(&mut self.slots[lease.index as usize], Slot::Free { next: self.free });
        self.free = lease.index;
        let said = match slot {
            Slot::Taken { leased, .. } => {
                self.len -= 1;
                self.bytes -= u64::from(leased.entry.body_bytes());
                self.forget_deadline(number);
                Some(Said::Leased(leased))
            }
            Slot::Lapsed { consumer, .. } => {
                self.lapsed -= 1;
                Some(Said::Late(consumer))
            }
            Slot::Free { .. } => None,
        };
        if self.len + self.lapsed == 0 {
            // Nothing refers into an empty slab, and a burst of a million leases should not stay in memory.
            self.free = NO_SLOT;
            if self.slots.capacity() > 1024 { self.slots = Vec::new() } else { self.slots.clear() }
        }
        said
    }

    /// Has a lease end by itself at `at_ms`; said again, the later word counts.
    pub(super) fn set_deadline(&mut self, lease: Lease, at_ms: u64) {
        if self.get(lease).is_none() {
            return;
        }
        let deadlines = self.deadlines.get_or_insert_default();
        if let Some(before_ms) = deadlines.by_lease.insert(lease.number, at_ms) {
            deadlines.by_time.remove(&(before_ms, lease.number));
        }
        deadlines.by_time.insert((at_ms, lease.number), lease.index);
    }

    fn forget_deadline(&mut self, number: u64) {
        let Some(deadlines) = &mut self.deadlines else { return };
        if let Some(at_ms) = deadlines.by_lease.remove(&number) {
            deadlines.by_time.remove(&(at_ms, number));
        }
        if deadlines.by_lease.is_empty() {
            self.deadlines = None;
        }
    }

    /// When the first lease ends by itself.
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        let ((at_ms, _), _) = self.deadlines.as_ref()?.by_time.first_key_value()?;
        Some(*at_ms)
    }

    /// Ends the first lease whose deadline has come, and tells whether it is remembered: what its consumer will yet say of it
    /// gives credit back then, and nothing else.
    pub(super) fn lapse(&mut self, now_ms: u64) -> Option<(Leased, bool)> {
        let ((at_ms, number), index) = self.deadlines.as_ref()?.by_time.first_key_value()?;
        if *at_ms > now_ms {
            return None;
        }
        let lease = Lease { index: *index, number: *number };
        let consumer = self.get(lease)?.consumer.filter(|_| self.lapsed < LATE_MAX);
        let Some(consumer) = consumer else {
            // Where it was fetched, there is no credit to be given back.
            return match self.remove(lease)? {
                Said::Leased(leased) => Some((leased, false)),
                Said::Late(_) => None,
            };
        };
        let lapsed = Slot::Lapsed { number: lease.number, consumer };
        let Slot::Taken { leased, .. } = std::mem::replace(&mut self.slots[lease.index as usize], lapsed) else {
            return None;
        };
        self.len -= 1;
        self.lapsed += 1;
        self.bytes -= u64::from(leased.entry.body_bytes());
        self.forget_deadline(lease.number);
        Some((leased, true))
    }

    /// Leases whose time was over and of which nothing has been said yet.
    #[cfg(test)]
    pub(super) fn lapsed_len(&self) -> usize {
        self.lapsed
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// What is leased, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Leased> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Taken { leased, .. } => Some(leased),
            Slot::Lapsed { .. } | Slot::Free { .. } => None,
        })
    }

    /// Takes all of them, in no order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Leased> + use<> {
        let all = std::mem::take(self);
        self.next = all.next;
        all.slots.into_iter().filter_map(|slot| match slot {
            Slot::Taken { leased, .. } => Some(leased),
            Slot::Lapsed { .. } | Slot::Free { .. } => None,
        })
    }
}
