//! A double-ended queue whose memory follows its length.

use std::collections::VecDeque;

/// Entries of one block.
pub(super) const BLOCK_ENTRIES: usize = 512;

/// For so many blocks an empty queue may keep memory.
const BLOCKS_KEPT: usize = 64;

/// A double-ended queue whose memory follows its length: one big ring would hold twice the entries while it grows, and all
/// of them after it has shrunk.
#[derive(Debug)]
pub(super) struct Blocks<T> {
    blocks: VecDeque<VecDeque<T>>,
    len: usize,
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self { blocks: VecDeque::new(), len: 0 }
    }
}

impl<T> Blocks<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn front(&self) -> Option<&T> {
        self.blocks.front()?.front()
    }

    pub(super) fn back(&self) -> Option<&T> {
        self.blocks.back()?.back()
    }

    pub(super) fn back_mut(&mut self) -> Option<&mut T> {
        self.blocks.back_mut()?.back_mut()
    }

    pub(super) fn push_back(&mut self, entry: T) {
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

    pub(super) fn pop_front(&mut self) -> Option<T> {
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
    pub(super) fn shrink(&mut self) {
        if self.len == 0 {
            *self = Self::default();
        }
    }

    /// Entries that there is memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.blocks.iter().map(VecDeque::capacity).sum()
    }
}
