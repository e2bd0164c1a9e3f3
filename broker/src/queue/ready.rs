//! The messages that wait, in their order.

use std::collections::BTreeMap;
use std::mem;

use super::blocks::Blocks;
use super::entry::Entry;
use super::seek::Key;

/// Waiting entries: the highest priority first, and in each by their sequence number. A queue without priorities has only
/// the lowest level and pays for no other.
#[derive(Debug, Default)]
pub(super) struct Ready {
    lowest: Level,
    higher: Option<Box<Higher>>,
    bytes: u64,
}

impl Ready {
    pub(super) fn len(&self) -> usize {
        self.lowest.len() + self.higher.as_ref().map_or(0, |higher| higher.len)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the bodies that wait, in memory or not.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts an entry at its place.
    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += u64::from(entry.body_bytes());
        match entry.priority {
            0 => self.lowest.push(entry),
            _ => self.higher.get_or_insert_default().push(entry),
        }
    }

    /// The entry of this number and priority, where it is the last one of its level or did not come in order.
    pub(super) fn newcomer(&mut self, seq: u64, priority: u8) -> Option<&mut Entry> {
        match priority {
            0 => self.lowest.newcomer(seq),
            priority => self.higher.as_mut()?.level_mut(priority)?.newcomer(seq),
        }
    }

    pub(super) fn first(&self) -> Option<&Entry> {
        match &self.higher {
            None => self.lowest.first(),
            Some(higher) => higher.first_level().unwrap_or(&self.lowest).first(),
        }
    }

    pub(super) fn pop_first(&mut self) -> Option<Entry> {
        let entry = match &mut self.higher {
            None => self.lowest.pop_first(),
            Some(higher) => higher.pop_first().or_else(|| self.lowest.pop_first()),
        }?;
        self.bytes -= u64::from(entry.body_bytes());
        Some(entry)
    }

    fn level(&self, priority: u8) -> Option<&Level> {
        match priority {
            0 => Some(&self.lowest),
            priority => {
                let higher = self.higher.as_ref()?;
                Some(&higher.levels[higher.index(priority).ok()?].1)
            }
        }
    }

    /// The highest priority that has entries.
    pub(super) fn highest(&self) -> Option<u8> {
        let higher = self.higher.as_ref().and_then(|higher| higher.highest());
        higher.or_else(|| (self.lowest.len() > 0).then_some(0))
    }

    /// The next priority below this one that has entries.
    pub(super) fn below(&self, priority: u8) -> Option<u8> {
        let higher = self.higher.as_ref().and_then(|higher| higher.below(priority));
        higher.or_else(|| (priority > 0 && self.lowest.len() > 0).then_some(0))
    }

    /// The entry at this place.
    pub(super) fn get(&self, key: Key) -> Option<&Entry> {
        self.at_or_behind(key).filter(|entry| entry.seq == key.seq)
    }

    /// As [`Ready::get`].
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Entry> {
        match key.priority() {
            0 => self.lowest.get_mut(key.seq),
            priority => self.higher.as_mut()?.level_mut(priority)?.get_mut(key.seq),
        }
    }

    /// The place of the entry with this number.
    pub(super) fn place_of(&self, seq: u64) -> Option<Key> {
        let mut level = self.highest();
        while let Some(priority) = level {
            let key = Key::new(priority, seq);
            if self.get(key).is_some() {
                return Some(key);
            }
            level = self.below(priority);
        }
        None
    }

    /// The first entry of this priority that is not in front of this place.
    pub(super) fn at_or_behind(&self, key: Key) -> Option<&Entry> {
        self.level(key.priority())?.at_or_behind(key.seq)
    }

    /// Takes out the entry at this place.
    pub(super) fn remove(&mut self, key: Key) -> Option<Entry> {
        let entry = match key.priority() {
            0 => self.lowest.remove(key.seq),
            priority => self.higher.as_mut()?.remove(priority, key.seq),
        }?;
        self.bytes -= u64::from(entry.body_bytes());
        Some(entry)
    }

    /// Takes all of it, whatever there is, at once.
    pub(super) fn take(&mut self) -> Self {
        mem::take(self)
    }

    /// Gives memory back where nothing waits. For when the queue has been quiet for a while.
    pub(super) fn shrink(&mut self) {
        self.lowest.shrink();
        if self.higher.as_ref().is_some_and(|higher| higher.len == 0) {
            self.higher = None;
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let higher =
            self.higher.as_ref().map_or(0, |higher| higher.levels.iter().map(|(_, level)| level.capacity()).sum());
        self.lowest.capacity() + higher
    }
}

/// The levels above the lowest.
#[derive(Debug, Default)]
struct Higher {
    /// Levels that were ever used, by priority. An empty one stays: it is likely to be used again.
    levels: Vec<(u8, Level)>,
    /// A bit for each level that has entries.
    occupied: [u64; 4],
    len: usize,
}

impl Higher {
    fn index(&self, priority: u8) -> Result<usize, usize> {
        self.levels.binary_search_by_key(&priority, |(priority, _)| *priority)
    }

    fn level_mut(&mut self, priority: u8) -> Option<&mut Level> {
        let index = self.index(priority).ok()?;
        Some(&mut self.levels[index].1)
    }

    fn push(&mut self, entry: Entry) {
        let priority = entry.priority;
        let index = self.index(priority).unwrap_or_else(|index| {
            self.levels.insert(index, (priority, Level::default()));
            index
        });
        self.levels[index].1.push(entry);
        self.occupied[usize::from(priority / 64)] |= 1 << (priority % 64);
        self.len += 1;
    }

    /// The highest priority that has entries.
    fn highest(&self) -> Option<u8> {
        let (word, bits) = self.occupied.iter().enumerate().rfind(|(_, bits)| **bits != 0)?;
        Some((word as u32 * 64 + bits.ilog2()) as u8)
    }

    /// The next priority below this one that has entries, the lowest apart.
    fn below(&self, priority: u8) -> Option<u8> {
        let (word, bit) = (usize::from(priority / 64), priority % 64);
        let lower = |at: usize| self.occupied[at] & if at == word { (1 << bit) - 1 } else { u64::MAX };
        let at = (0..=word).rev().find(|at| lower(*at) != 0)?;
        Some((at as u32 * 64 + lower(at).ilog2()) as u8)
    }

    fn remove(&mut self, priority: u8, seq: u64) -> Option<Entry> {
        let level = self.level_mut(priority)?;
        let entry = level.remove(seq)?;
        if level.len() == 0 {
            self.occupied[usize::from(priority / 64)] &= !(1 << (priority % 64));
        }
        self.len -= 1;
        Some(entry)
    }

    fn first_level(&self) -> Option<&Level> {
        let index = self.index(self.highest()?).ok()?;
        Some(&self.levels[index].1)
    }

    fn pop_first(&mut self) -> Option<Entry> {
        let priority = self.highest()?;
        let level = self.level_mut(priority)?;
        let entry = level.pop_first()?;
        if level.len() == 0 {
            self.occupied[usize::from(priority / 64)] &= !(1 << (priority % 64));
        }
        self.len -= 1;
        Some(entry)
    }
}

/// Entries of one priority by their sequence number. What comes in order goes into blocks that are cheap to push to and to
/// pop from; what comes back, or was overtaken on its way in, waits beside them until it is the first.
#[derive(Debug, Default)]
struct Level {
    fresh: Blocks<Entry>,
    early: BTreeMap<u64, Entry>,
}

impl Level {
    fn len(&self) -> usize {
        self.fresh.len() + self.early.len()
    }

    fn push(&mut self, entry: Entry) {
        if self.fresh.back().is_none_or(|last| last.seq < entry.seq) {
            self.fresh.push_back(entry);
        } else {
            self.early.insert(entry.seq, entry);
        }
    }

    fn newcomer(&mut self, seq: u64) -> Option<&mut Entry> {
        match self.fresh.back_mut() {
            Some(last) if last.seq == seq => Some(last),
            _ => self.early.get_mut(&seq),
        }
    }

    fn first(&self) -> Option<&Entry> {
        match (self.early.first_key_value(), self.fresh.front()) {
            (Some((seq, early)), Some(fresh)) => Some(if *seq < fresh.seq { early } else { fresh }),
            (Some((_, early)), None) => Some(early),
            (None, fresh) => fresh,
        }
    }

    fn pop_first(&mut self) -> Option<Entry> {
        let from_early = match (self.early.first_key_value(), self.fresh.front()) {
            (Some((seq, _)), Some(fresh)) => *seq < fresh.seq,
            (early, _) => early.is_some(),
        };
        if from_early { self.early.pop_first().map(|(_, entry)| entry) } else { self.fresh.pop_front() }
    }

    fn at_or_behind(&self, seq: u64) -> Option<&Entry> {
        let fresh = self.fresh.find(|entry| entry.seq < seq);
        let Some((_, early)) = self.early.range(seq..).next() else { return fresh };
        Some(fresh.filter(|fresh| fresh.seq < early.seq).unwrap_or(early))
    }

    fn get_mut(&mut self, seq: u64) -> Option<&mut Entry> {
        match self.early.get_mut(&seq) {
            None => self.fresh.find_mut(|entry| entry.seq < seq).filter(|entry| entry.seq == seq),
            early => early,
        }
    }

    fn remove(&mut self, seq: u64) -> Option<Entry> {
        let early = self.early.remove(&seq);
        early.or_else(|| self.fresh.remove(|entry| entry.seq < seq, |entry| entry.seq == seq))
    }

    fn shrink(&mut self) {
        self.fresh.shrink();
    }

    #[cfg(test)]
    fn capacity(&self) -> usize {
        self.fresh.capacity()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::message::Essentials;
    use crate::message::tests::plain;

    #[derive(Clone, Debug)]
    enum Step {
        /// So many, in order.
        Push(u8, u16),
        /// One that comes back, or comes late.
        PushEarly(u8, u64),
        Pop,
        /// So many of those behind a place, or all with gaps.
        Remove(u8, u64, u16),
        Look(u8, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let priority = || prop_oneof![2 => Just(0), 1 => Just(1), 1 => Just(64), 1 => Just(255)];
        prop_oneof![
            4 => (priority(), 1..2000_u16).prop_map(|(priority, count)| Step::Push(priority, count)),
            2 => (priority(), 0..4000_u64).prop_map(|(priority, seq)| Step::PushEarly(priority, seq)),
            2 => Just(Step::Pop),
            4 => (priority(), 0..4000_u64, 1..1500_u16).prop_map(|(priority, seq, n)| Step::Remove(priority, seq, n)),
            4 => (priority(), 0..4000_u64).prop_map(|(priority, seq)| Step::Look(priority, seq)),
        ]
    }

    fn entry(seq: u64, priority: u8) -> Entry {
        Entry { priority, ..Entry::new(seq, plain("", "q", Essentials::default(), b"body"), u64::MAX) }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

        #[test]
        fn entries_are_found_and_taken_wherever_they_are(steps in prop::collection::vec(step(), 1..30)) {
            let mut ready = Ready::default();
            let mut model: BTreeMap<Key, u8> = BTreeMap::new();
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Push(priority, count) => {
                        for seq in next..next + u64::from(count) {
                            ready.push(entry(seq, priority));
                            model.insert(Key::new(priority, seq), priority);
                        }
                        next += u64::from(count);
                    }
                    Step::PushEarly(priority, seq) => {
                        let is_there = model.keys().any(|key| key.seq == seq);
                        if seq < next && !is_there {
                            ready.push(entry(seq, priority));
                            model.insert(Key::new(priority, seq), priority);
                        }
                    }
                    Step::Pop => {
                        let first = model.pop_first().map(|(key, _)| key);
                        prop_assert_eq!(ready.pop_first().map(|entry| Key::of(&entry)), first);
                    }
                    Step::Remove(priority, seq, count) => {
                        let of_level = Key::new(priority, seq)..=Key::new(priority, u64::MAX);
                        let keys: Vec<Key> = model.range(of_level).map(|(key, _)| *key).take(count.into()).collect();
                        for key in keys {
                            prop_assert!(ready.get(key).is_some() && ready.get_mut(key).is_some());
                            prop_assert_eq!(ready.remove(key).map(|entry| Key::of(&entry)), Some(key));
                            prop_assert!(ready.get(key).is_none() && ready.remove(key).is_none());
                            model.remove(&key);
                        }
                    }
                    Step::Look(priority, seq) => {
                        let key = Key::new(priority, seq);
                        let behind = model.range(key..=Key::new(priority, u64::MAX)).next().map(|(key, _)| *key);
                        prop_assert_eq!(ready.at_or_behind(key).map(Key::of), behind);
                        prop_assert_eq!(ready.get(key).is_some(), model.contains_key(&key));
                        let below = model.values().filter(|other| **other < priority).max().copied();
                        prop_assert_eq!(ready.below(priority), below);
                    }
                }
                prop_assert_eq!(ready.len(), model.len());
                prop_assert_eq!(ready.bytes(), 4 * model.len() as u64);
                prop_assert_eq!(ready.highest(), model.values().max().copied());
                prop_assert!(ready.capacity() <= 8 * model.len() + 2 * 512 * 4, "{}", ready.capacity());
            }
        }
    }
}
