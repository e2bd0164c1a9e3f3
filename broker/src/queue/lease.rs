//! Messages that somebody has and has not yet said an outcome of.

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

/// What is said of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done: the message leaves the queue.
    Accept,
    /// Given back untouched: it was never handed over, nothing is counted.
    Release,
    /// Failed: try again. Counts as an attempt, and the message is marked as redelivered.
    Retry,
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
    Taken { number: u64, leased: Leased },
    Free { next: u32 },
}

const NO_SLOT: u32 = u32::MAX;

/// All leases of a queue.
#[derive(Debug)]
pub(super) struct Leases {
    slots: Vec<Slot>,
    free: u32,
    /// Number of the next lease.
    next: u64,
    len: usize,
    bytes: u64,
}

impl Default for Leases {
    fn default() -> Self {
        Self { slots: Vec::new(), free: NO_SLOT, next: 0, len: 0, bytes: 0 }
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
        self.bytes += u64::from(leased.entry.bytes);
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

    pub(super) fn remove(&mut self, lease: Lease) -> Option<Leased> {
        self.get(lease)?;
        let slot = std::mem::replace(&mut self.slots[lease.index as usize], Slot::Free { next: self.free });
        self.free = lease.index;
        self.len -= 1;
        if self.len == 0 {
            // Nothing refers into an empty slab, and a burst of a million leases should not stay in memory.
            self.free = NO_SLOT;
            if self.slots.capacity() > 1024 { self.slots = Vec::new() } else { self.slots.clear() }
        }
        match slot {
            Slot::Taken { leased, .. } => {
                self.bytes -= u64::from(leased.entry.bytes);
                Some(leased)
            }
            Slot::Free { .. } => None,
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// Takes all of them, in no order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Leased> + use<> {
        let all = std::mem::take(self);
        self.next = all.next;
        all.slots.into_iter().filter_map(|slot| match slot {
            Slot::Taken { leased, .. } => Some(leased),
            Slot::Free { .. } => None,
        })
    }
}
