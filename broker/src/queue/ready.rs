//! The messages that wait, in their order.

use std::collections::{BTreeMap, VecDeque};

use super::entry::Entry;

/// Entries of one block of [`Blocks`].
const BLOCK_ENTRIES: usize = 512;

/// For so many blocks an empty queue may keep memory.
const BLOCKS_KEPT: usize = 64;

/// Waiting entries by their sequence number. What comes in order goes into blocks that are cheap to push to and to pop from;
/// what comes back, or was overtaken on its way in, waits beside them until it is the first.
#[derive(Debug, Default)]
pub(super) struct Ready {
    fresh: Blocks,
    early: BTreeMap<u64, Entry>,
    bytes: u64,
}

impl Ready {
    pub(super) fn len(&self) -> usize {
        self.fresh.len + self.early.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fresh.len == 0 && self.early.is_empty()
    }

    /// Bytes of the messages that wait, in memory or not.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts an entry at its place.
    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += u64::from(entry.bytes);
        if self.fresh.last_seq().is_none_or(|last| last < entry.seq) {
            self.fresh.push_back(entry);
        } else {
            self.early.insert(entry.seq, entry);
        }
    }

    /// The entry of this number, where it is the last one or did not come in order.
    pub(super) fn newcomer(&mut self, seq: u64) -> Option<&mut Entry> {
        match self.fresh.blocks.back_mut().and_then(VecDeque::back_mut) {
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

/// A double-ended queue whose memory follows its length: one big ring would hold twice the entries while it grows, and all
/// of them after it has shrunk.
#[derive(Debug, Default)]
struct Blocks {
    blocks: VecDeque<VecDeque<Entry>>,
    len: usize,
}

impl Blocks {
    fn front(&self) -> Option<&Entry> {
        self.blocks.front()?.front()
    }

    fn last_seq(&self) -> Option<u64> {
        self.blocks.back()?.back().map(|entry| entry.seq)
    }

    fn push_back(&mut self, entry: Entry) {
        self.len += 1;
        match self.blocks.back_mut() {
            Some(block) if block.len() < BLOCK_ENTRIES => block.push_back(entry),
            Some(_) => {
                let mut block = VecDeque::with_capacity(BLOCK_ENTRIES);
                block.push_back(entry);
                self.blocks.push_back(block);
            }
            // The first block grows from small: most queues are short.
            None => self.blocks.push_back(VecDeque::from([entry])),
        }
    }

    fn pop_front(&mut self) -> Option<Entry> {
        let block = self.blocks.front_mut()?;
        let entry = block.pop_front()?;
        self.len -= 1;
        // A short last block stays for what comes next; a long one would stay with every queue that was ever busy.
        let (done, long) = (block.is_empty(), block.capacity() >= BLOCK_ENTRIES);
        if done && (long || self.blocks.len() > 1) {
            self.blocks.pop_front();
            if self.blocks.is_empty() && self.blocks.capacity() > BLOCKS_KEPT {
                self.blocks.shrink_to_fit();
            }
        }
        Some(entry)
    }

    /// Gives memory back once nothing waits.
    fn shrink(&mut self) {
        if self.len == 0 {
            *self = Self::default();
        }
    }
}

impl Ready {
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.fresh.blocks.iter().map(VecDeque::capacity).sum()
    }

    /// Gives memory back where nothing waits. For when the queue has been quiet for a while.
    pub(super) fn shrink(&mut self) {
        self.fresh.shrink();
    }
}
