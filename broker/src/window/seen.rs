//! The keys of a window, in the order in which they came. No lock, no journal, no clock.

use gantry_storage::{Position, Ticket};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::First;
use crate::queue::{Blocks, Place};

/// What stands in for the ticket of a message that is about to come.
const PENDING: Ticket = Ticket(u64::MAX);

/// One key: 48 bytes, and some 10 more to find it by.
#[derive(Clone, Copy, Debug)]
struct Kept {
    key: u64,
    seq: u64,
    sent_ms: u64,
    ticket: Ticket,
    place: Place,
}

/// Whether a key is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    No,
    /// Its message is about to come.
    Pending(First),
    Kept(First),
}

/// The keys of a window.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The number of the last one with each key. Keys are the first bytes of a digest, so that they are their own hashes.
    by_key: HashTable<u64>,
    kept: Blocks<Kept>,
    /// The number of the first one in `kept`.
    first: u64,
    closed: bool,
}

impl Seen {
    fn get(&self, number: u64) -> Option<&Kept> {
        self.kept.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Kept> {
        self.kept.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Whether a message with this key was sent less than `ms` ago.
    pub(super) fn find(&self, key: u64, now_ms: u64, ms: u64) -> Known {
        let found = self.by_key.find(key, |number| self.get(*number).is_some_and(|kept| kept.key == key));
        let Some(kept) = found.and_then(|number| self.get(*number)) else { return Known::No };
        let first = First { seq: kept.seq, sent_ms: kept.sent_ms, ticket: None };
        if kept.ticket == PENDING {
            return Known::Pending(first);
        }
        if kept.sent_ms.saturating_add(ms) <= now_ms {
            return Known::No;
        }
        Known::Kept(First { ticket: kept.place.get().map(|_| kept.ticket), ..first })
    }

    /// Puts in a key whose message is about to come; its number. One with the same key, whose time is over, is not found any
    /// more.
    pub(super) fn insert(&mut self, key: u64, seq: u64, sent_ms: u64) -> u64 {
        let number = self.first + self.kept.len() as u64;
        self.kept.push_back(Kept { key, seq, sent_ms, ticket: PENDING, place: Place::NONE });
        let Self { by_key, kept, first, .. } = self;
        let key_of = |number: &u64| kept.get((number - *first) as usize).map_or(0, |kept| kept.key);
        match by_key.entry(key, |number| key_of(number) == key, key_of) {
            Entry::Occupied(mut before) => *before.get_mut() = number,
            Entry::Vacant(place) => drop(place.insert(number)),
        }
        number
    }

    /// The message has come. False where nobody knows the number any more.
    pub(super) fn keep(&mut self, number: u64, place: Place, ticket: Ticket) -> bool {
        let Some(kept) = self.get_mut(number) else { return false };
        (kept.place, kept.ticket) = (place, ticket);
        true
    }

    /// The message does not come after all.
    pub(super) fn take_back(&mut self, number: u64) {
        let Some(kept) = self.get_mut(number) else { return };
        let key = kept.key;
        // As if its time were over; it goes when it is the first one.
        (kept.sent_ms, kept.ticket) = (0, Ticket::default());
        if let Ok(entry) = self.by_key.find_entry(key, |other| *other == number) {
            entry.remove();
        }
    }

    /// When the first one was sent that is not forgotten.
    pub(super) fn first_sent_ms(&self) -> Option<u64> {
        self.kept.front().map(|kept| kept.sent_ms)
    }

    /// Forgets what was sent `ms` ago or earlier, from the front, so many at most. How many; and their records.
    pub(super) fn forget(&mut self, now_ms: u64, ms: u64, count_max: usize, positions: &mut Vec<Position>) -> usize {
        let mut count = 0;
        while count < count_max
            && let Some(kept) = self.kept.front()
            && kept.ticket != PENDING
            && kept.sent_ms.saturating_add(ms) <= now_ms
        {
            let (key, number) = (kept.key, self.first);
            positions.extend(kept.place.get());
            // Not where a later one has the same key.
            if let Ok(entry) = self.by_key.find_entry(key, |other| *other == number) {
                entry.remove();
            }
            self.kept.pop_front();
            self.first += 1;
            count += 1;
        }
        self.shrink();
        count
    }

    /// Memory follows what is remembered: a burst is over in minutes.
    fn shrink(&mut self) {
        let Self { by_key, kept, first, .. } = self;
        if by_key.capacity() > 1024 && by_key.len() < by_key.capacity() / 4 {
            by_key
                .shrink_to(2 * by_key.len(), |number| kept.get((number - *first) as usize).map_or(0, |kept| kept.key));
        }
    }

    /// Forgets everything, and takes nothing any more. The records, and how many keys there were.
    pub(super) fn close(&mut self) -> (Vec<Position>, usize) {
        self.closed = true;
        let (mut positions, mut count) = (Vec::new(), 0);
        while let Some(kept) = self.kept.pop_front() {
            positions.extend(kept.place.get());
            count += 1;
            self.first += 1;
        }
        self.by_key = HashTable::new();
        (positions, count)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Keys that there is memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.by_key.capacity() + self.kept.capacity()
    }
}
