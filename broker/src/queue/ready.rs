//! The messages that wait, in their order.

use std::collections::BTreeMap;

use super::blocks::Blocks;
use super::entry::Entry;

/// Waiting entries by their sequence number. What comes in order goes into blocks that are cheap to push to and to pop from;
/// what comes back, or was overtaken on its way in, waits beside them until it is the first.
#[derive(Debug, Default)]
pub(super) struct Ready {
    fresh: Blocks<Entry>,
    early: BTreeMap<u64, Entry>,
    bytes: u64,
}

impl Ready {
    pub(super) fn len(&self) -> usize {
        self.fresh.len() + self.early.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.early.is_empty()
    }

    /// Bytes of the messages that wait, in memory or not.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts an entry at its place.
    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += u64::from(entry.bytes);
        if self.fresh.back().is_none_or(|last| last.seq < entry.seq) {
            self.fresh.push_back(entry);
        } else {
            self.early.insert(entry.seq, entry);
        }
    }

    /// The entry of this number, where it is the last one or did not come in order.
    pub(super) fn newcomer(&mut self, seq: u64) -> Option<&mut Entry> {
        match self.fresh.back_mut() {
            Some(last) if last.seq == seq => Some(last),
            _ => self.early.get_mut(&seq),
        }
    }

    pub(super) fn first(&self) -> Option<&Entry> {
        match (self.early.first_key_value(), self.fresh.front()) {
            (Some((seq, early)), Some(fresh)) => Some(if *seq < fresh.seq { early } else { fresh }),
            (Some((_, early)), None) => Some(early),
            (None, fresh) => fresh,
        }
    }

    pub(super) fn pop_first(&mut self) -> Option<Entry> {
        let from_early = match (self.early.first_key_value(), self.fresh.front()) {
            (Some((seq, _)), Some(fresh)) => *seq < fresh.seq,
            (early, _) => early.is_some(),
        };
        let entry = if from_early { self.early.pop_first().map(|(_, entry)| entry) } else { self.fresh.pop_front() }?;
        self.bytes -= u64::from(entry.bytes);
        Some(entry)
    }
}

impl Ready {
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.fresh.capacity()
    }

    /// Gives memory back where nothing waits. For when the queue has been quiet for a while.
    pub(super) fn shrink(&mut self) {
        self.fresh.shrink();
    }
}
