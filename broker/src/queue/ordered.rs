//! The groups of an ordered queue: whose messages are to be had, and which of them is next.
//!
//! Messages of one group come strictly in the order of their numbers. While somebody has one of them, nobody else gets the next; a
//! consumer that has it may go on with the group. A message that waits for a time is in the way of those behind it. Each step is
//! some searches in trees, however many groups there are.

use std::collections::{BTreeSet, VecDeque};

use hashbrown::HashMap;

use super::consumer::ConsumerId;
use crate::group::Group;

#[derive(Debug, Default)]
pub(super) struct Ordered {
    /// The groups of all messages of the queue, by their numbers.
    of: HashMap<u64, GroupKey>,
    rows: HashMap<GroupKey, Row>,
    /// The next message of each group that nobody has.
    free: BTreeSet<(u64, GroupKey)>,
    /// The next message of each group that a consumer has and may go on with.
    going_on: HashMap<ConsumerId, BTreeSet<(u64, GroupKey)>>,
    /// Counts [`Ordered::change`].
    #[cfg(test)]
    changes: u64,
}

/// [`Group::key`]. Messages without a group are one of their own.
type GroupKey = u64;

/// That of messages without a group; no other one has it.
const NO_GROUP: GroupKey = 0;

/// The messages of one group.
#[derive(Debug, Default)]
struct Row {
    /// Those that can be had, by number, in order.
    waiting: VecDeque<u64>,
    /// Those that wait for a time.
    later: BTreeSet<u64>,
    /// How many somebody has.
    leased: usize,
    /// Who that is; none where they were received.
    owner: Option<ConsumerId>,
    /// Its next message as it is offered, and to whom: everybody, or the one who has the group.
    offered: Option<(u64, Option<ConsumerId>)>,
}

impl Row {
    /// The next message, if nothing is in its way.
    fn next(&self) -> Option<u64> {
        let next = *self.waiting.front()?;
        self.later.first().is_none_or(|later| next < *later).then_some(next)
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.later.is_empty() && self.leased == 0
    }
}

impl Ordered {
    /// A message has come into the queue.
    pub(super) fn enter(&mut self, seq: u64, group: Option<Group>) {
        self.of.insert(seq, group.map_or(NO_GROUP, Group::key));
    }

    /// A message can be had as soon as it is its turn.
    pub(super) fn wait(&mut self, seq: u64) {
        self.change(seq, |row| {
            row.later.remove(&seq);
            // What comes in is behind all others, what comes back is in front of them, but for a few.
            let place = row.waiting.partition_point(|other| *other < seq);
            row.waiting.insert(place, seq);
        });
    }

    /// A message that could be had has been taken out.
    pub(super) fn unwait(&mut self, seq: u64) {
        self.change(seq, |row| {
            if let Ok(place) = row.waiting.binary_search(&seq) {
                row.waiting.remove(place);
            }
        });
    }

    /// A message waits for a time.
    pub(super) fn delay(&mut self, seq: u64) {
        self.change(seq, |row| {
            row.later.insert(seq);
        });
    }

    /// A message is leased, to a consumer or to somebody who received it.
    pub(super) fn lend(&mut self, seq: u64, consumer: Option<ConsumerId>) {
        self.change(seq, |row| {
            row.leased += 1;
            row.owner = consumer;
        });
    }

    /// The lease of a message is over. [`Ordered::wait`], [`Ordered::delay`] or [`Ordered::leave`] follows.
    pub(super) fn give_back(&mut self, seq: u64) {
        self.change(seq, |row| row.leased = row.leased.saturating_sub(1));
    }

    /// A message has left the queue.
    pub(super) fn leave(&mut self, seq: u64) {
        if let Some(key) = self.of.remove(&seq)
            && self.rows.get(&key).is_some_and(Row::is_idle)
        {
            self.rows.remove(&key);
        }
    }

    /// The first message that anybody can have, or this consumer.
    pub(super) fn first_for(&self, consumer: Option<ConsumerId>) -> Option<u64> {
        let free = self.free.first().map(|(seq, _)| *seq);
        let own = consumer.and_then(|consumer| self.going_on.get(&consumer)?.first()).map(|(seq, _)| *seq);
        match (free, own) {
            (Some(free), Some(own)) => Some(free.min(own)),
            (free, own) => free.or(own),
        }
    }

    /// The next message of the group of this one, for whoever has that one.
    pub(super) fn next_of(&self, seq: u64) -> Option<u64> {
        self.rows.get(self.of.get(&seq)?)?.next()
    }

    /// Whether there is a message for somebody who has none of its group.
    pub(super) fn any_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Whether there is a message for anybody.
    pub(super) fn any_offered(&self) -> bool {
        self.any_free() || !self.going_on.is_empty()
    }

    /// As it is when only these messages are left, all of them leased.
    pub(super) fn only(&self, leased: impl Iterator<Item = (u64, Option<ConsumerId>)>) -> Self {
        let mut left = Self::default();
        for (seq, consumer) in leased {
            if let Some(key) = self.of.get(&seq) {
                left.of.insert(seq, *key);
                left.lend(seq, consumer);
            }
        }
        left
    }

    /// Changes the row of a message, and what is offered of it.
    fn change(&mut self, seq: u64, change: impl FnOnce(&mut Row)) {
        #[cfg(test)]
        {
            self.changes += 1;
        }
        let Some(&key) = self.of.get(&seq) else { return };
        let row = self.rows.entry(key).or_default();
        change(row);
        let to = if row.leased == 0 { Some(None) } else { row.owner.map(Some) };
        let offer = row.next().and_then(|next| Some((next, to?)));
        let before = std::mem::replace(&mut row.offered, offer);
        if before == offer {
            return;
        }
        match before {
            Some((seq, None)) => {
                self.free.remove(&(seq, key));
            }
            Some((seq, Some(owner))) => {
                if let Some(own) = self.going_on.get_mut(&owner) {
                    own.remove(&(seq, key));
                    if own.is_empty() {
                        self.going_on.remove(&owner);
                    }
                }
            }
            None => {}
        }
        match offer {
            Some((seq, None)) => {
                self.free.insert((seq, key));
            }
            Some((seq, Some(owner))) => {
                self.going_on.entry(owner).or_default().insert((seq, key));
            }
            None => {}
        }
    }

    /// Groups that there is memory for.
    #[cfg(test)]
    pub(super) fn groups_len(&self) -> usize {
        self.rows.len()
    }
}

#[cfg(test)]
mod tests;
