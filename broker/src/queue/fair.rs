//! Which message is handed out next where one group would keep all others waiting.
//!
//! A group is loud while much more of it than of others is in the hands of those who received it. Its messages stand back while
//! others wait, and are handed out in their order when none do: who sends a lot waits for itself, and not everybody for it.

use std::collections::BTreeSet;

use super::seek::Key;

/// With fewer messages in somebody's hands no group is loud.
const LOUD_MIN: usize = 10;

/// So many groups are looked at to find one that is not loud.
const LOOKS_MAX: usize = 16;

/// What a queue has to know for that, beside its groups.
#[derive(Debug, Default)]
pub(super) struct Fair {
    /// The first message of each group that waits.
    heads: BTreeSet<(Key, u64)>,
    /// Messages that wait and have no group. Those that came before there were groups are in front of all this.
    single: BTreeSet<Key>,
    /// Messages with a group in somebody's hands.
    received: usize,
}

impl Fair {
    /// The first waiting message of a group is another one.
    pub(super) fn move_head(&mut self, group: u64, before: Option<Key>, now: Option<Key>) {
        if before == now {
            return;
        }
        if let Some(before) = before {
            self.heads.remove(&(before, group));
        }
        if let Some(now) = now {
            self.heads.insert((now, group));
        }
    }

    /// A message without a group waits.
    pub(super) fn wait(&mut self, key: Key) {
        self.single.insert(key);
    }

    /// It does not any more.
    pub(super) fn unwait(&mut self, key: Key) {
        self.single.remove(&key);
    }

    /// Somebody has received a message with a group.
    pub(super) fn lend(&mut self) {
        self.received += 1;
    }

    /// That is over.
    pub(super) fn give_back(&mut self) {
        self.received = self.received.saturating_sub(1);
    }

    /// Nothing waits any more.
    pub(super) fn clear(&mut self) {
        self.heads.clear();
        self.single.clear();
    }

    /// Whether a group of which so many messages are in somebody's hands has more than half of all, or more than twice as many as
    /// there are for each of the groups.
    pub(super) fn is_loud(&self, received: usize, groups: usize) -> bool {
        received >= LOUD_MIN && (received * 2 > self.received || received.saturating_mul(groups) > self.received * 2)
    }

    /// The first message that is of no loud group.
    pub(super) fn first_quiet(&self, is_loud: impl Fn(u64) -> bool) -> Option<Key> {
        let of_group = self.heads.iter().take(LOOKS_MAX).find(|(_, group)| !is_loud(*group)).map(|(key, _)| *key);
        let single = self.single.first().copied();
        match (of_group, single) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }
}

#[cfg(test)]
mod tests;
