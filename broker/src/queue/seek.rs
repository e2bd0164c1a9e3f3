//! How far a consumer has looked for messages that it is for.
//!
//! A consumer that is not for every message looks at each once: it remembers up to where it has looked, for each priority, and
//! what has come in front of that since. So a message that nobody is for costs each consumer one look, however long it waits.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::entry::Entry;
use super::ready::Ready;

/// So many messages that came in front are remembered one by one. With more, the consumer looks at everything again from the
/// first of them.
const MISSED_MAX: usize = 4096;

/// The place of a message among those that wait: in the order in which they are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The highest priority has the lowest rank.
    rank: u8,
    pub(crate) seq: u64,
}

impl Key {
    pub(crate) const fn new(priority: u8, seq: u64) -> Self {
        Self { rank: u8::MAX - priority, seq }
    }

    pub(crate) const fn of(entry: &Entry) -> Self {
        Self::new(entry.priority, entry.seq)
    }

    pub(crate) const fn priority(self) -> u8 {
        u8::MAX - self.rank
    }
}

#[derive(Debug, Default)]
pub(super) struct Seek {
    /// By priority: messages before this number have been looked at.
    looked_to: SmallVec<[(u8, u64); 1]>,
    /// Before those numbers, and to be looked at all the same. True where others of its group are to be looked at after it,
    /// one after another.
    missed: BTreeMap<Key, bool>,
    /// What had come into the queue when there was nothing left to look at.
    idle_since: Option<u64>,
}

impl Seek {
    /// The first message that it has not looked at. `arrivals` counts what came in, or came back.
    pub(super) fn next<'r>(&mut self, ready: &'r Ready, arrivals: u64) -> Option<&'r Entry> {
        if self.idle_since == Some(arrivals) {
            return None;
        }
        let mut level = ready.highest();
        while let Some(priority) = level {
            let of_level = Key::new(priority, 0)..=Key::new(priority, u64::MAX);
            while let Some(missed) = self.missed.range(of_level.clone()).next().map(|(key, _)| *key) {
                if let Some(entry) = ready.get(missed) {
                    return Some(entry);
                }
                self.missed.remove(&missed);
            }
            if let Some(entry) = ready.at_or_behind(Key::new(priority, self.looked_to(priority))) {
                return Some(entry);
            }
            level = ready.below(priority);
        }
        self.idle_since = Some(arrivals);
        None
    }

    /// It has looked at what [`Seek::next`] gave, which is for others. The furthest number that it has looked to, and whether
    /// the next one of its group is to be looked at as well.
    pub(super) fn pass(&mut self, key: Key) -> (u64, bool) {
        let leads_on = self.missed.remove(&key);
        if leads_on.is_none() {
            *self.level(key.priority()) = key.seq + 1;
        }
        (key.seq + 1, leads_on == Some(true))
    }

    /// A message is gone: where it was still to be looked at and others of its group after it, the next is. Whether that is so.
    pub(super) fn follow(&mut self, gone: Key, next: Key) -> bool {
        let leads_on = self.missed.remove(&gone) == Some(true);
        if leads_on {
            self.miss(next, true);
        }
        leads_on
    }

    /// A message has come to its place, or may be looked at once more; so may others of its group after it where it
    /// `leads_on`.
    pub(super) fn miss(&mut self, key: Key, leads_on: bool) {
        if key.seq >= self.looked_to(key.priority()) {
            return;
        }
        *self.missed.entry(key).or_default() |= leads_on;
        if self.missed.len() > MISSED_MAX {
            for (missed, _) in std::mem::take(&mut self.missed) {
                let looked_to = self.level(missed.priority());
                *looked_to = (*looked_to).min(missed.seq);
            }
        }
    }

    fn looked_to(&self, priority: u8) -> u64 {
        self.looked_to.iter().find(|(level, _)| *level == priority).map_or(0, |(_, seq)| *seq)
    }

    fn level(&mut self, priority: u8) -> &mut u64 {
        let index = self.looked_to.iter().position(|(level, _)| *level == priority).unwrap_or_else(|| {
            self.looked_to.push((priority, 0));
            self.looked_to.len() - 1
        });
        &mut self.looked_to[index].1
    }
}
