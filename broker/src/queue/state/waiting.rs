//! Messages that wait: how they get to their place, and how they leave it.

use super::{Departure, Effects, State, Waiting};
use crate::queue::entry::Entry;
use crate::queue::seek::Key;

impl<O> State<O> {
    /// Puts a message at its place among those that wait.
    pub(super) fn put(&mut self, entry: Entry) {
        if self.seeks {
            self.arrivals += 1;
            self.consumers.miss(Key::of(&entry));
            if let Some(groups) = &mut self.groups {
                groups.wait(Key::of(&entry));
            }
            if let Some(ordered) = &mut self.ordered {
                ordered.wait(entry.seq);
            }
        }
        self.ready.push(entry);
    }

    /// Has a message wait for a time.
    pub(super) fn put_later(&mut self, entry: Entry, due_ms: u64, now_ms: u64) {
        if let Some(ordered) = &mut self.ordered {
            ordered.delay(entry.seq);
        }
        let waiting = self.later.get_or_insert_default();
        waiting.bytes += u64::from(entry.body_bytes());
        waiting.entries.push(due_ms, now_ms, entry);
    }

    /// Takes out the first message that waits.
    pub(super) fn pull_first(&mut self) -> Option<Entry> {
        let entry = self.ready.pop_first()?;
        if self.seeks {
            self.pulled(Key::of(&entry));
        }
        Some(entry)
    }

    /// Takes out a message that waits.
    pub(super) fn pull(&mut self, key: Key) -> Option<Entry> {
        let entry = self.ready.remove(key)?;
        self.pulled(key);
        Some(entry)
    }

    pub(super) fn pulled(&mut self, key: Key) {
        if let Some(ordered) = &mut self.ordered {
            ordered.unwait(key.seq);
        }
        if let Some(groups) = &mut self.groups
            && let Some(next) = groups.unwait(key)
            && self.consumers.follow(key, next)
        {
            self.arrivals += 1;
        }
    }

    /// Has messages be tried again whose time has come.
    pub(super) fn take_due(&mut self, now_ms: u64, steps: &mut usize) {
        let Self { later, ready, consumers, seeks, arrivals, groups, ordered, .. } = self;
        let Some(waiting) = later else { return };
        let Waiting { entries, bytes } = &mut **waiting;
        let more = entries.take_due(now_ms, *steps, &mut |_, entry: Entry| {
            *bytes -= u64::from(entry.body_bytes());
            *steps -= 1;
            if *seeks {
                *arrivals += 1;
                consumers.miss(Key::of(&entry));
                if let Some(groups) = groups {
                    groups.wait(Key::of(&entry));
                }
                if let Some(ordered) = ordered {
                    ordered.wait(entry.seq);
                }
            }
            ready.push(entry);
        });
        self.unfinished |= more && *steps == 0;
        if entries.is_empty() {
            self.later = None;
        }
    }

    /// Drops what has expired. Only the head of the queue is looked at: a message behind one that still lives goes when it
    /// becomes the first, as in RabbitMQ.
    pub(super) fn expire_before(&mut self, ms: u64, steps: &mut usize, effects: &mut impl Effects<O>) {
        while self.ready.first().is_some_and(|first| first.expires_ms < ms) {
            if !self.may_step(steps) {
                return;
            }
            if let Some(entry) = self.pull_first() {
                self.expire(entry, effects);
            }
        }
    }

    pub(super) fn expire(&mut self, entry: Entry, effects: &mut impl Effects<O>) {
        self.counters.expired += 1;
        self.leave(&entry);
        Self::fail(&self.rules, entry, Departure::Expired, effects);
    }

    /// Drops messages from the front while there are too many.
    pub(super) fn drop_overflow(&mut self, steps: &mut usize, effects: &mut impl Effects<O>) {
        let len_max = self.rules.length_max.unwrap_or(u64::MAX);
        let bytes_max = self.rules.bytes_max.unwrap_or(u64::MAX);
        while self.ready.len() as u64 > len_max || self.ready.bytes() > bytes_max {
            if !self.may_step(steps) {
                return;
            }
            let Some(entry) = self.pull_first() else { return };
            self.counters.overflowed += 1;
            self.leave(&entry);
            Self::fail(&self.rules, entry, Departure::Overflowed, effects);
        }
    }

    pub(super) fn may_step(&mut self, steps: &mut usize) -> bool {
        match steps.checked_sub(1) {
            Some(left) => *steps = left,
            None => self.unfinished = true,
        }
        !self.unfinished
    }
}
