//! Groups of messages, and which consumer has which.
//!
//! Only a queue that has had a message with a group has this. A group goes to the consumer that takes its first message, and
//! stays with it until it leaves, or until a message closes the group. Where a consumer has left and has not yet said what
//! became of messages of a group, the group waits for that: otherwise one that comes back would be behind its successors.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use super::consumer::ConsumerId;
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
}

#[derive(Debug, Default)]
struct Known {
    owner: Option<ConsumerId>,
    /// The owner is not there any more, and has said nothing yet of so many messages as are leased.
    has_left: bool,
    /// Messages that the owner has.
    leased: u32,
    /// All messages of the group.
    messages: BTreeSet<Key>,
}

impl Groups {
    /// Whether nothing is left to remember.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// A message has come into the queue.
    pub(super) fn enter(&mut self, key: Key, group: Group) {
        self.of.insert(key.seq, group);
        let known = self.known.entry(group.key()).or_default();
        if known.messages.is_empty() && known.owner.is_some() {
            self.idle -= 1;
        }
        known.messages.insert(key);
    }

    /// A message has left the queue.
    pub(super) fn leave(&mut self, key: Key) {
        let Some(group) = self.of.remove(&key.seq) else { return };
        let Some(known) = self.known.get_mut(&group.key()) else { return };
        known.messages.remove(&key);
        if !known.messages.is_empty() {
            return;
        }
        if known.owner.is_none() {
            self.known.remove(&group.key());
            return;
        }
        self.idle += 1;
        if self.idle > IDLE_MAX {
            self.known.retain(|_, known| !known.messages.is_empty());
            self.idle = 0;
        }
    }

    /// Whether a consumer may have a message.
    pub(super) fn may_take(&self, seq: u64, consumer: ConsumerId) -> bool {
        let Some(group) = self.of.get(&seq) else { return true };
        let owner = self.known.get(&group.key()).and_then(|known| known.owner);
        owner.is_none_or(|owner| owner == consumer)
    }

    /// A consumer that may has taken a message. Others' messages of the group where they may be taken by anybody now.
    pub(super) fn taken(&mut self, seq: u64, consumer: ConsumerId, leases: bool) -> Option<&BTreeSet<Key>> {
        let group = *self.of.get(&seq)?;
        let known = self.known.get_mut(&group.key())?;
        if group.closes() {
            known.release();
            return Some(&known.messages);
        }
        known.owner = Some(consumer);
        known.leased += u32::from(leases);
        None
    }

    /// A lease of a consumer is over. The messages of its group where they may be taken by anybody now.
    pub(super) fn returned(&mut self, seq: u64, consumer: ConsumerId) -> Option<&BTreeSet<Key>> {
        let known = self.known.get_mut(&self.of.get(&seq)?.key())?;
        if known.owner != Some(consumer) {
            return None;
        }
        known.leased = known.leased.saturating_sub(1);
        if !known.has_left || known.leased > 0 {
            return None;
        }
        known.release();
        Some(&known.messages)
    }

    /// A consumer has left; `freed` gets the messages that may be taken by anybody now.
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
            known.release();
            known.messages.iter().copied().for_each(&mut freed);
            *idle -= usize::from(known.messages.is_empty());
            !known.messages.is_empty()
        });
    }

    /// All messages but these have left.
    pub(super) fn keep(&mut self, is_left: impl Fn(u64) -> bool) {
        let left: Vec<Key> =
            self.known.values().flat_map(|known| &known.messages).filter(|key| !is_left(key.seq)).copied().collect();
        left.into_iter().for_each(|key| self.leave(key));
    }
}

impl Known {
    /// Anybody may take the next message.
    fn release(&mut self) {
        (self.owner, self.leased, self.has_left) = (None, 0, false);
    }
}
