//! Which references of a segment are alive, and how many bytes they keep: one bit a slot and four bytes a record.
//!
//! A *rank* is a slot's place among the slots kept here. It is the slot itself until the segment is compacted; from then on
//! only slots of records that were kept have one.

use std::sync::Arc;

/// A set of slots as it was at one moment; shares the bits until the next change.
#[derive(Clone, Debug)]
pub(super) struct LiveSet {
    ranks: Option<Arc<Vec<u32>>>,
    bits: Arc<Vec<u64>>,
}

impl LiveSet {
    /// Visits the slots in rising order.
    pub(super) fn each(&self, visit: &mut dyn FnMut(u32)) {
        for (index, &word) in self.bits.iter().enumerate() {
            let mut word = word;
            while word != 0 {
                let rank = index as u32 * 64 + word.trailing_zeros();
                visit(self.ranks.as_ref().map_or(rank, |ranks| ranks[rank as usize]));
                word &= word - 1;
            }
        }
    }

    /// Whether a slot is in it.
    pub(super) fn contains(&self, slot: u32) -> bool {
        rank_of(self.ranks.as_deref(), slot).is_some_and(|rank| bit(&self.bits, rank))
    }
}

/// Liveness of one segment.
#[derive(Debug, Default)]
pub(super) struct Live {
    ranks: Option<Arc<Vec<u32>>>,
    bits: Arc<Vec<u64>>,
    ranks_count: u32,
    /// Frame length of each record, in bytes.
    lens: Vec<u32>,
    /// First rank of each record; empty while every record has one reference.
    firsts: Vec<u32>,
    /// Where each record lies in a compacted file.
    physical: Option<Vec<u32>>,
    refs: u32,
    bytes: u64,
}

/// Where a record lies in its file, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Physical offset, where it is not the logical one.
    pub(super) physical: Option<u32>,
    /// Length of the frame in bytes.
    pub(super) frame_bytes: u32,
}

fn rank_of(ranks: Option<&Vec<u32>>, slot: u32) -> Option<u32> {
    match ranks {
        None => Some(slot),
        Some(ranks) => ranks.binary_search(&slot).ok().map(|rank| rank as u32),
    }
}

fn bit(bits: &[u64], rank: u32) -> bool {
    bits.get(rank as usize / 64).is_some_and(|word| word >> (rank % 64) & 1 == 1)
}

impl Live {
    /// For a compacted file: ranks and physical offsets are kept.
    pub(super) fn compacted() -> Live {
        Live { ranks: Some(Arc::default()), physical: Some(Vec::new()), ..Live::default() }
    }

    /// Adds a record with all its references alive. Only for a segment that is not compacted.
    pub(super) fn push(&mut self, frame_bytes: u32, refs: u32) {
        self.begin(frame_bytes, refs);
        let bits = Arc::make_mut(&mut self.bits);
        let (from, to) = (self.ranks_count, self.ranks_count + refs);
        bits.resize((to as usize).div_ceil(64), 0);
        for rank in from..to {
            bits[rank as usize / 64] |= 1 << (rank % 64);
        }
        self.ranks_count = to;
        self.refs += refs;
        self.bytes += u64::from(frame_bytes);
    }

    /// Adds a record whose references are alive where `alive` says so.
    pub(super) fn push_some(
        &mut self,
        frame_bytes: u32,
        physical: u32,
        slot: u32,
        refs: u32,
        alive: &mut dyn FnMut(u32) -> bool,
    ) {
        self.begin(frame_bytes, refs);
        if let Some(offsets) = &mut self.physical {
            offsets.push(physical);
        }
        let bits = Arc::make_mut(&mut self.bits);
        bits.resize((self.ranks_count as usize + refs as usize).div_ceil(64), 0);
        let mut any = false;
        for slot in slot..slot + refs {
            if let Some(ranks) = &mut self.ranks {
                Arc::make_mut(ranks).push(slot);
            }
            if alive(slot) {
                bits[self.ranks_count as usize / 64] |= 1 << (self.ranks_count % 64);
                self.refs += 1;
                any = true;
            }
            self.ranks_count += 1;
        }
        if any {
            self.bytes += u64::from(frame_bytes);
        }
    }

    /// Whether the next record can begin at this slot.
    pub(super) fn fits(&self, slot: u32) -> bool {
        match &self.ranks {
            None => slot == self.ranks_count,
            Some(ranks) => ranks.last().is_none_or(|&last| last < slot),
        }
    }

    fn begin(&mut self, frame_bytes: u32, refs: u32) {
        if refs != 1 && self.firsts.is_empty() {
            self.firsts.extend(0..self.lens.len() as u32);
            self.firsts.push(self.ranks_count);
        } else if !self.firsts.is_empty() {
            self.firsts.push(self.ranks_count);
        }
        self.lens.push(frame_bytes);
    }

    fn record_of(&self, rank: u32) -> usize {
        if self.firsts.is_empty() { rank as usize } else { self.firsts.partition_point(|&first| first <= rank) - 1 }
    }

    /// Takes a reference away. `None` where it is not alive, else the bytes that nobody needs any more.
    pub(super) fn settle(&mut self, slot: u32) -> Option<u32> {
        let rank = rank_of(self.ranks.as_deref(), slot)?;
        if !bit(&self.bits, rank) {
            return None;
        }
        let record = self.record_of(rank);
        let bits = Arc::make_mut(&mut self.bits);
        bits[rank as usize / 64] &= !(1 << (rank % 64));
        self.refs -= 1;
        if !self.firsts.is_empty() {
            let end = self.firsts.get(record + 1).copied().unwrap_or(self.ranks_count);
            if (self.firsts[record]..end).any(|rank| bit(bits, rank)) {
                return Some(0);
            }
        }
        self.bytes -= u64::from(self.lens[record]);
        Some(self.lens[record])
    }

    /// Whether a reference is alive.
    pub(super) fn contains(&self, slot: u32) -> bool {
        rank_of(self.ranks.as_deref(), slot).is_some_and(|rank| bit(&self.bits, rank))
    }

    /// Where the record of a live reference lies.
    pub(super) fn place(&self, slot: u32) -> Option<Place> {
        let rank = rank_of(self.ranks.as_deref(), slot)?;
        if !bit(&self.bits, rank) {
            return None;
        }
        let record = self.record_of(rank);
        let physical = self.physical.as_ref().map(|offsets| offsets[record]);
        Some(Place { physical, frame_bytes: self.lens[record] })
    }

    /// The set as it is now.
    pub(super) fn set(&self) -> LiveSet {
        LiveSet { ranks: self.ranks.clone(), bits: Arc::clone(&self.bits) }
    }

    /// Live references.
    pub(super) fn refs(&self) -> u32 {
        self.refs
    }

    /// Bytes of records with a live reference.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back memory that was kept for growing.
    pub(super) fn shrink(&mut self) {
        self.lens.shrink_to_fit();
        self.firsts.shrink_to_fit();
        if let Some(bits) = Arc::get_mut(&mut self.bits) {
            bits.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_its_bytes_until_its_last_reference_goes() {
        let mut live = Live::default();
        live.push(100, 1);
        live.push(1000, 3);
        live.push(50, 1);
        assert_eq!((live.refs(), live.bytes()), (5, 1150));
        assert_eq!(live.settle(2), Some(0));
        assert_eq!(live.settle(2), None);
        assert_eq!(live.settle(1), Some(0));
        assert_eq!(live.place(3), Some(Place { physical: None, frame_bytes: 1000 }));
        assert_eq!(live.settle(3), Some(1000));
        assert_eq!(live.place(3), None);
        assert_eq!(live.settle(4), Some(50));
        assert_eq!((live.refs(), live.bytes()), (1, 100));
    }

    #[test]
    fn a_snapshot_does_not_see_later_changes() {
        let mut live = Live::default();
        (0..130).for_each(|_| live.push(8, 1));
        let before = live.set();
        live.settle(77);
        let mut seen = Vec::new();
        before.each(&mut |slot| seen.push(slot));
        assert_eq!(seen, (0..130).collect::<Vec<_>>());
        assert!(!live.set().contains(77) && before.contains(77));
    }

    #[test]
    fn slots_keep_their_numbers_when_compacted() {
        let mut live = Live::compacted();
        live.push_some(40, 64, 1000, 2, &mut |slot| slot == 1001);
        live.push_some(48, 104, 5000, 1, &mut |_| true);
        assert!(!live.contains(1000) && live.contains(1001) && !live.contains(0));
        assert_eq!(live.place(5000), Some(Place { physical: Some(104), frame_bytes: 48 }));
        assert_eq!(live.settle(1001), Some(40));
        assert_eq!((live.refs(), live.bytes()), (1, 48));
    }
}
