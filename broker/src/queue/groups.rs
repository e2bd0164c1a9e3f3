//! Groups of messages, and which consumer has which.
//!
//! Only a queue that has had a message with a group has this. A group goes to the consumer that takes its first message, and
//! stays with it until it leaves, or until a message closes the group. Where a consumer has left and has not yet said what
//! became of messages of a group, the group waits for that: otherwise one that comes back would be behind its successors.
//!
//! Where a group becomes free, consumers that have passed its messages over are shown the first of them only, one of each
//! priority, and the next when that one is gone or not for them ([`Groups::behind`]): so a group that becomes free with each of
//! its messages costs each message the same, however many there are.

use std::collections::BTreeSet;
use std::ops::Bound;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::consumer::ConsumerId;
use super::fair::Fair;
use super::seek::Key;
use crate::group::Group;

/// Groups that have an owner and no message are remembered up to about this number. Then all such are forgotten, and their next
/// messages may go to others.
const IDLE_MAX: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct Groups {
    /// The groups of messages, by their numbers; those that are leased included.
    of: HashMap<u64, Group>,
    known: HashMap<u64, Known>,
    /// How many of those have no message.
    idle: usize,
    /// Where loud groups stand back.
    fair: Option<Box<Fair>>,
}

#[derive(Debug, Default)]
struct Known {
    owner: Option<ConsumerId>,
    /// The owner is not there any more, and has said nothing yet of so many messages as are leased.
    has_left: bool,
    /// Messages that the owner has.
    leased: u32,
    /// Messages that are in the hands of those who received them.
    received: usize,
    /// How many messages it has.
    len: usize,
    /// Those that wait at their places.
    waiting: BTreeSet<Key>,
}

impl Groups {
    /// Whether nothing is left to remember.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether loud groups stand back, from now on.
    pub(super) fn set_fair(&mut self, fair: bool) {
        if fair == self.fair.is_some() {
            return;
        }
        self.fair = fair.then(|| {
            let mut fair = Box::<Fair>::default();
            self.known.iter().for_each(|(group, known)| fair.move_head(*group, None, known.waiting.first().copied()));
            fair
        });
    }

    /// A message has come into the queue; [`Groups::wait`] follows.
    pub(super) fn enter(&mut self, seq: u64, group: Group) {
        self.of.insert(seq, group);
        let known = self.known.entry(group.key()).or_default();
        if known.len == 0 && known.owner.is_some() {
            self.idle -= 1;
        }
        known.len += 1;
    }

    fn known_of(&mut self, seq: u64) -> Option<&mut Known> {
        self.known.get_mut(&self.of.get(&seq)?.key())
    }

    /// A message of the queue is at its place among those that wait.
    pub(super) fn wait(&mut self, key: Key) {
        let Self { of, known, fair, .. } = self;
        let group = of.get(&key.seq).map(|group| group.key());
        let Some((group, known)) = group.and_then(|group| Some((group, known.get_mut(&group)?))) else {
            if let Some(fair) = fair {
                fair.wait(key);
            }
            return;
        };
        let before = known.waiting.first().copied();
        known.waiting.insert(key);
        if let Some(fair) = fair {
            fair.move_head(group, before, known.waiting.first().copied());
        }
    }

    /// It is not there any more. The next one of its group behind it: to be looked at by those who have not looked at it.
    pub(super) fn unwait(&mut self, key: Key) -> Option<Key> {
        let Self { of, known, fair, .. } = self;
        let group = of.get(&key.seq).map(|group| group.key());
        let Some((group, known)) = group.and_then(|group| Some((group, known.get_mut(&group)?))) else {
            if let Some(fair) = fair {
                fair.unwait(key);
            }
            return None;
        };
        let before = known.waiting.first().copied();
        known.waiting.remove(&key);
        if let Some(fair) = fair {
            fair.move_head(group, before, known.waiting.first().copied());
        }
        known.behind(key)
    }

    /// Somebody has received a message who is not a consumer.
    pub(super) fn lend(&mut self, seq: u64) {
        if let Some(known) = self.known_of(seq) {
            known.received += 1;
            if let Some(fair) = &mut self.fair {
                fair.lend();
            }
        }
    }

    /// That is over.
    pub(super) fn give_back(&mut self, seq: u64) {
        if let Some(known) = self.known_of(seq) {
            known.received = known.received.saturating_sub(1);
            if let Some(fair) = &mut self.fair {
                fair.give_back();
            }
        }
    }

    /// What is to be received instead of the first message that waits, because that is of a group that stands back.
    pub(super) fn instead_of(&self, first: Key) -> Option<Key> {
        let fair = self.fair.as_ref()?;
        let is_loud =
            |group: u64| self.known.get(&group).is_some_and(|known| fair.is_loud(known.received, self.known.len()));
        if is_loud(self.of.get(&first.seq)?.key()) { fair.first_quiet(is_loud) } else { None }
    }

    /// The next message of the same group and priority that waits.
    pub(super) fn behind(&self, key: Key) -> Option<Key> {
        self.known.get(&self.of.get(&key.seq)?.key())?.behind(key)
    }

    /// A message has left the queue.
    pub(super) fn leave(&mut self, seq: u64) {
        let Some(group) = self.of.remove(&seq) else { return };
        let Some(known) = self.known.get_mut(&group.key()) else { return };
        known.len -= 1;
        if known.len > 0 {
            return;
        }
        if known.owner.is_none() {
            self.known.remove(&group.key());
            return;
        }
        self.idle += 1;
        if self.idle > IDLE_MAX {
            self.known.retain(|_, known| known.len > 0);
            self.idle = 0;
        }
    }

    /// Whether a consumer may have a message.
    pub(super) fn may_take(&self, seq: u64, consumer: ConsumerId) -> bool {
        let Some(group) = self.of.get(&seq) else { return true };
        let owner = self.known.get(&group.key()).and_then(|known| known.owner);
        owner.is_none_or(|owner| owner == consumer)
    }

    /// A consumer that may has taken a message. The first messages of its group where that is free now and was not before.
    pub(super) fn taken(&mut self, seq: u64, consumer: ConsumerId, leases: bool) -> First {
        let Some(group) = self.of.get(&seq).copied() else { return First::new() };
        let Some(known) = self.known.get_mut(&group.key()) else { return First::new() };
        if !group.closes() {
            known.owner = Some(consumer);
            known.leased += u32::from(leases);
            return First::new();
        }
        // Where nobody had it, nobody has passed anything over for that.
        if known.owner.is_none() { First::new() } else { known.release() }
    }

    /// A lease of a consumer is over. The first messages of its group where that is free now.
    pub(super) fn returned(&mut self, seq: u64, consumer: ConsumerId) -> First {
        let Some(known) = self.known_of(seq) else { return First::new() };
        if known.owner != Some(consumer) {
            return First::new();
        }
        known.leased = known.leased.saturating_sub(1);
        if known.has_left && known.leased == 0 { known.release() } else { First::new() }
    }

    /// A consumer has left; `freed` gets the first messages of each group that is free now.
    pub(super) fn left(&mut self, consumer: ConsumerId, mut freed: impl FnMut(Key)) {
        let Self { known, idle, .. } = self;
        known.retain(|_, known| {
            if known.owner != Some(consumer) {
                return true;
            }
            if known.leased > 0 {
                known.has_left = true;
                return true;
            }
            known.release().into_iter().for_each(&mut freed);
            *idle -= usize::from(known.len == 0);
            known.len > 0
        });
    }

    /// All messages but these have left.
    pub(super) fn keep(&mut self, is_left: impl Fn(u64) -> bool) {
        self.known.values_mut().for_each(|known| known.waiting.clear());
        if let Some(fair) = &mut self.fair {
            fair.clear();
        }
        let left: Vec<u64> = self.of.keys().filter(|seq| !is_left(**seq)).copied().collect();
        left.into_iter().for_each(|seq| self.leave(seq));
    }
}

/// The first message of each priority.
pub(super) type First = SmallVec<[Key; 1]>;

impl Known {
    /// Anybody may take the next message. The first that wait.
    fn release(&mut self) -> First {
        (self.owner, self.leased, self.has_left) = (None, 0, false);
        let mut first = First::new();
        let mut next = self.waiting.first();
        while let Some(key) = next {
            first.push(*key);
            next = self.waiting.range((Bound::Excluded(Key::new(key.priority(), u64::MAX)), Bound::Unbounded)).next();
        }
        first
    }

    fn behind(&self, key: Key) -> Option<Key> {
        let next = self.waiting.range((Bound::Excluded(key), Bound::Unbounded)).next();
        next.filter(|next| next.priority() == key.priority()).copied()
    }
}
