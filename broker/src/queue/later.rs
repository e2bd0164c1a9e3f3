//! Entries that wait for a time.
//!
//! Times are read as numbers of sixteen digits to the base sixteen. An entry is filed under the first digit in which its time
//! differs from the time that has been reached: a slot for each digit of each level, some hundred in all, whatever the number
//! of entries. When time reaches a slot, its entries move to slots of lower levels, a bounded number at a time; a slot of the
//! lowest level is one millisecond and is handed out. An entry moves once a level, a few times in all, and costs no more
//! memory than itself and its time. No clock: the time is handed in, in milliseconds since the epoch of Unix.

use std::collections::BTreeMap;

use super::blocks::Blocks;

/// Bits of one digit.
const DIGIT_BITS: u32 = 4;
const DIGITS: u8 = 1 << DIGIT_BITS;

/// Entries moved between slots by one call, in addition to those handed out: some hundred microseconds.
const MOVES_MAX: usize = 16 * 1024;

/// Level and digit. Of two slots the lesser one is due first.
type Slot = u8;

/// Entries that wait for a time. What is due at the same time comes out in the order in which it was put in.
#[derive(Debug)]
pub(crate) struct Later<T> {
    /// No entry in the slots is due before this.
    reached_ms: u64,
    slots: BTreeMap<Slot, Blocks<(u64, T)>>,
    /// The slot that is being moved to lower levels. What comes for the same span of time waits behind it.
    moving: Option<Slot>,
    /// What was put in for a time before the one reached, which only a clock that was set back brings about.
    early: BTreeMap<(u64, u64), T>,
    /// Keeps the order of those.
    early_count: u64,
    len: usize,
}

impl<T> Default for Later<T> {
    fn default() -> Self {
        let (slots, early) = (BTreeMap::new(), BTreeMap::new());
        Self { reached_ms: 0, slots, moving: None, early, early_count: 0, len: 0 }
    }
}

impl<T> Later<T> {
    /// Entries that wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts an entry in. `now_ms` is the time now; to put many in that may be overdue, put the earliest in first.
    pub(crate) fn push(&mut self, due_ms: u64, now_ms: u64, entry: T) {
        if self.len == 0 {
            // The nearer the time reached, the fewer levels are between it and what comes.
            self.reached_ms = now_ms.min(due_ms);
            self.moving = None;
        }
        self.len += 1;
        if due_ms < self.reached_ms {
            self.early_count += 1;
            self.early.insert((due_ms, self.early_count), entry);
            return;
        }
        let slot = match self.moving {
            Some(moving) if self.is_in(due_ms, moving) => moving,
            _ => self.slot_of(due_ms),
        };
        self.slots.entry(slot).or_default().push_back((due_ms, entry));
    }

    /// Hands out entries that are due, in the order of their times, `entries_max` at most. True where another call may have
    /// more: no call does more than a bounded amount of work, so that it can be made under a lock.
    pub(crate) fn take_due(&mut self, now_ms: u64, entries_max: usize, take: &mut impl FnMut(u64, T)) -> bool {
        let (mut taken, mut moves) = (0, 0);
        while taken < entries_max && moves < MOVES_MAX {
            if let Some(early) = self.early.first_entry()
                && early.key().0 <= now_ms
            {
                let ((due_ms, _), entry) = early.remove_entry();
                self.len -= 1;
                taken += 1;
                take(due_ms, entry);
                continue;
            }
            let Some(slot) = self.moving.or_else(|| self.slots.first_key_value().map(|(slot, _)| *slot)) else {
                return false;
            };
            let first_ms = self.first_ms(slot);
            if first_ms > now_ms {
                return false;
            }
            let Some((due_ms, entry)) = self.pop(slot) else { continue };
            self.reached_ms = first_ms;
            if slot < DIGITS {
                self.len -= 1;
                taken += 1;
                take(due_ms, entry);
            } else {
                moves += 1;
                let lower = self.slot_of(due_ms);
                self.slots.entry(lower).or_default().push_back((due_ms, entry));
            }
        }
        true
    }

    /// When to look again, in milliseconds since the epoch of Unix: not later than the first entry is due, and at most a few
    /// times before. None where nothing waits.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        let slot = self.moving.or_else(|| self.slots.first_key_value().map(|(slot, _)| *slot));
        let in_slots = slot.map(|slot| self.first_ms(slot));
        let early = self.early.first_key_value().map(|((due_ms, _), _)| *due_ms);
        match (in_slots, early) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Takes everything out, in no particular order, and gives the memory back.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        let Self { slots, early, .. } = std::mem::take(self);
        let in_slots = slots.into_values().flat_map(|mut entries| std::iter::from_fn(move || entries.pop_front()));
        early.into_values().chain(in_slots.map(|(_, entry)| entry))
    }

    /// The first entry of a slot. Whatever is above the lowest level is moved until it is empty, before anything else.
    fn pop(&mut self, slot: Slot) -> Option<(u64, T)> {
        let entries = self.slots.get_mut(&slot)?;
        let first = entries.pop_front();
        let empty = entries.is_empty();
        if empty {
            self.slots.remove(&slot);
        }
        self.moving = (slot >= DIGITS && !empty).then_some(slot);
        first
    }

    /// Where an entry belongs that is not due before the time reached.
    fn slot_of(&self, due_ms: u64) -> Slot {
        let differing = due_ms ^ self.reached_ms;
        let level = (u64::BITS - 1 - (differing | 1).leading_zeros()) / DIGIT_BITS;
        let digit = (due_ms >> (level * DIGIT_BITS)) as u8 & (DIGITS - 1);
        level as u8 * DIGITS + digit
    }

    /// The first millisecond of a slot.
    fn first_ms(&self, slot: Slot) -> u64 {
        let (shift, digit) = (shift_of(slot), u64::from(slot % DIGITS));
        let above = self.reached_ms.checked_shr(shift + DIGIT_BITS).unwrap_or(0);
        (above << DIGIT_BITS | digit) << shift
    }

    /// Whether this time is in the slot that is being moved, whose first millisecond has been reached.
    fn is_in(&self, due_ms: u64, moving: Slot) -> bool {
        due_ms >> shift_of(moving) == self.first_ms(moving) >> shift_of(moving)
    }
}

fn shift_of(slot: Slot) -> u32 {
    u32::from(slot / DIGITS) * DIGIT_BITS
}

#[cfg(test)]
mod tests;
