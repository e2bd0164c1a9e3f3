//! A double-ended queue whose memory follows its length.

use std::collections::VecDeque;

/// Entries of one block.
pub(super) const BLOCK_ENTRIES: usize = 512;

/// For so many blocks an empty queue may keep memory.
const BLOCKS_KEPT: usize = 64;

/// A double-ended queue whose memory follows its length: one big ring would hold twice the entries while it grows, and all
/// of them after it has shrunk.
#[derive(Debug)]
pub(crate) struct Blocks<T> {
    blocks: VecDeque<VecDeque<T>>,
    len: usize,
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self { blocks: VecDeque::new(), len: 0 }
    }
}

impl<T> Blocks<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.blocks.front()?.front()
    }

    pub(crate) fn back(&self) -> Option<&T> {
        self.blocks.back()?.back()
    }

    pub(super) fn back_mut(&mut self) -> Option<&mut T> {
        self.blocks.back_mut()?.back_mut()
    }

    pub(crate) fn push_back(&mut self, entry: T) {
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

    pub(crate) fn pop_front(&mut self) -> Option<T> {
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

    /// The block and the place of an entry, in a queue that nothing is taken out of but at the front: all blocks between the
    /// first one and the last one are full.
    fn place_of(&self, index: usize) -> (usize, usize) {
        let first = self.blocks.front().map_or(0, VecDeque::len);
        match index.checked_sub(first) {
            None => (0, index),
            Some(behind) => (1 + behind / BLOCK_ENTRIES, behind % BLOCK_ENTRIES),
        }
    }

    /// An entry by how many are in front of it; see [`Blocks::place_of`].
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        let (block, place) = self.place_of(index);
        self.blocks.get(block)?.get(place)
    }

    /// As [`Blocks::get`].
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let (block, place) = self.place_of(index);
        self.blocks.get_mut(block)?.get_mut(place)
    }

    /// The block and the place of the first entry that is not before something, in a queue that is in that order.
    fn place(&self, is_before: &impl Fn(&T) -> bool) -> (usize, usize) {
        let block = self.blocks.partition_point(|block| block.back().is_some_and(is_before));
        (block, self.blocks.get(block).map_or(0, |block| block.partition_point(is_before)))
    }

    /// The first entry that is not before something.
    pub(super) fn find(&self, is_before: impl Fn(&T) -> bool) -> Option<&T> {
        let (block, place) = self.place(&is_before);
        self.blocks.get(block)?.get(place)
    }

    /// As [`Blocks::find`].
    pub(super) fn find_mut(&mut self, is_before: impl Fn(&T) -> bool) -> Option<&mut T> {
        let (block, place) = self.place(&is_before);
        self.blocks.get_mut(block)?.get_mut(place)
    }

    /// Takes out what [`Blocks::find`] finds, if it `is` the right one. Moves no more than the entries of a block.
    pub(super) fn remove(&mut self, is_before: impl Fn(&T) -> bool, is: impl Fn(&T) -> bool) -> Option<T> {
        let (at, place) = self.place(&is_before);
        if at == 0 && place == 0 {
            return if self.front().is_some_and(is) { self.pop_front() } else { None };
        }
        let block = self.blocks.get_mut(at)?;
        if !block.get(place).is_some_and(is) {
            return None;
        }
        let entry = block.remove(place)?;
        self.len -= 1;
        if block.is_empty() {
            self.blocks.remove(at);
        } else if block.len() * 4 <= block.capacity() {
            // Many blocks of which little is left would take as much memory as when they were full.
            block.shrink_to(block.len() * 2);
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
    pub(crate) fn capacity(&self) -> usize {
        self.blocks.iter().map(VecDeque::capacity).sum()
    }
}
