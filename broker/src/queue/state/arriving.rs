//! Messages that come in, and those that are found after a restart.

use super::{Scarce, State};
use crate::group::Group;
use crate::message::Essentials;
use crate::queue::entry::Entry;
use crate::queue::tally::Tally;

impl<O> State<O> {
    /// Promises room to a message with a body of so many bytes, or refuses it. Whoever was promised some comes with
    /// [`State::keep_promise`].
    pub(crate) fn promise(&mut self, body_bytes: u32) -> bool {
        let len = self.ready.len() as u64 + self.promised.len as u64 + 1;
        let bytes = self.ready.bytes() + self.promised.bytes + u64::from(body_bytes);
        if self.rules.may_refuse()
            && (self.rules.length_max.is_some_and(|max| len > max)
                || self.rules.bytes_max.is_some_and(|max| bytes > max))
        {
            self.counters.refused += 1;
            return false;
        }
        self.promised.len += 1;
        self.promised.bytes += u64::from(body_bytes);
        true
    }

    /// The message that was promised room has come, or will not come.
    pub(crate) fn keep_promise(&mut self, body_bytes: u32) {
        self.promised.len -= 1;
        self.promised.bytes -= u64::from(body_bytes);
    }

    /// Takes a message; gives it back where the queue was deleted. Its time to live here starts at `now_ms`.
    pub(crate) fn enqueue(&mut self, mut entry: Entry, now_ms: u64, scarce: Scarce) -> Result<(), Entry> {
        if self.closed {
            return Err(entry);
        }
        self.counters.enqueued += 1;
        self.adapt(&mut entry, now_ms);
        if let Some(message) = &entry.message {
            let Essentials { group, delay_ms, .. } = message.essentials();
            if group.is_some() || delay_ms.is_some() || self.adapts {
                if scarce && entry.position.get().is_some() {
                    entry.message = None;
                }
                self.take_in(entry, group, delay_ms, now_ms, now_ms);
                return Ok(());
            }
        }
        self.put(entry);
        Ok(())
    }

    /// Takes back a message that had left for another queue and does not go there after all; gives it back where the queue was
    /// deleted. What its delay was is over. [`State::grant`] is due afterwards.
    pub(crate) fn put_back(&mut self, entry: Entry, now_ms: u64) -> Result<(), Entry> {
        if self.closed {
            return Err(entry);
        }
        let group = entry.message.as_ref().and_then(|message| message.essentials().group);
        self.take_in(entry, group, Some(0), 0, now_ms);
        Ok(())
    }

    /// Takes a message that is new here and has a group or a delay, or may have.
    pub(super) fn take_in(
        &mut self,
        entry: Entry,
        group: Option<Group>,
        delay_ms: Option<u32>,
        published_ms: u64,
        now_ms: u64,
    ) {
        self.enter(&entry, group);
        let delay_ms = delay_ms.map(u64::from).or(self.rules.delay_ms).unwrap_or(0);
        let due_ms = published_ms.saturating_add(delay_ms);
        if due_ms > now_ms { self.put_later(entry, due_ms, now_ms) } else { self.put(entry) }
    }

    /// Puts back what was found at recovery. `published_ms` is when it came in, with these properties. [`State::grant`] is due
    /// afterwards.
    ///
    /// Whoever had received it has it still, if its time is not over; otherwise it has failed once more.
    pub(crate) fn restore(
        &mut self,
        mut entry: Entry,
        tally: Tally,
        published_ms: u64,
        essentials: &Essentials,
        now_ms: u64,
    ) {
        self.adapt(&mut entry, published_ms);
        entry.attempts = tally.attempts;
        if tally.until_ms > now_ms {
            return self.restore_received(entry, tally, essentials.group, now_ms);
        }
        entry.attempts = entry.attempts.saturating_add(u32::from(tally.until_ms > 0));
        entry.redelivered |= entry.attempts > 0;
        if tally.first_ms > 0 {
            self.receipts.get_or_insert_default().restore(entry.seq, tally.first_ms, tally.first_ms, None);
        }
        // What somebody has had does not wait once more, whatever the rules say by now.
        let delay_ms = if entry.attempts > 0 || tally.first_ms > 0 { Some(0) } else { essentials.delay_ms };
        self.take_in(entry, essentials.group, delay_ms, published_ms, now_ms);
    }

    /// A message has come that may have a group.
    pub(super) fn enter(&mut self, entry: &Entry, group: Option<Group>) {
        if let Some(ordered) = &mut self.ordered {
            return ordered.enter(entry.seq, group);
        }
        let Some(group) = group else { return };
        let groups = self.groups.get_or_insert_default();
        groups.set_fair(self.rules.fair);
        groups.enter(entry.seq, group);
        self.seeks = true;
    }

    /// What the rules make of a message that comes in.
    pub(super) fn adapt(&self, entry: &mut Entry, from_ms: u64) {
        entry.priority = if self.ordered.is_some() { 0 } else { entry.priority.min(self.rules.priority_max) };
        if let Some(ttl_ms) = self.rules.ttl_ms {
            entry.expires_ms = entry.expires_ms.min(from_ms.saturating_add(ttl_ms));
        }
    }

    /// The entry that has just been enqueued under this number, if it still waits. `priority` is that of the message.
    pub(crate) fn newcomer(&mut self, seq: u64, priority: u8) -> Option<&mut Entry> {
        let priority = if self.ordered.is_some() { 0 } else { priority.min(self.rules.priority_max) };
        self.ready.newcomer(seq, priority)
    }
}
