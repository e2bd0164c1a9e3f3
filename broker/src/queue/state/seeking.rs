//! Consumers that look for a message, and messages on the disk that they have to know for that.

use super::{Departure, Effects, Handing, Scarce, State};
use crate::message::Message;
use crate::queue::consumer::{ConsumerId, Found, View};
use crate::queue::entry::Entry;
use crate::queue::groups::First;
use crate::queue::seek::Key;
use gantry_storage::Position;
use std::sync::Arc;

/// Behind each message that has to be read, so many are read with it.
const READ_AHEAD: usize = 64;
/// So many messages are read at once, and not many more bytes.
const READ_MESSAGES_MAX: usize = 512;
const READ_BYTES: u64 = 4 << 20;

impl<O> State<O> {
    /// Has consumers look for a message. True where that led to something, and the next one can be looked for.
    pub(super) fn grant_found(
        &mut self,
        now_ms: u64,
        scarce: Scarce,
        (steps, budget): (&mut usize, &mut usize),
        effects: &mut impl Effects<O>,
    ) -> bool {
        let Self { consumers, ready, groups, ordered, arrivals, unread, receives_max, .. } = self;
        if ordered.as_ref().is_some_and(|ordered| !ordered.any_offered()) {
            return false;
        }
        let view = View {
            ready,
            ordered: ordered.as_deref(),
            groups: groups.as_deref(),
            arrivals: *arrivals,
            now_ms,
            receives_max: *receives_max,
        };
        match consumers.find(&view, budget, unread, |outlet| effects.take_room(outlet)) {
            Found::Nothing | Found::Unread => return false,
            Found::TooMuch => {
                self.unfinished = true;
                return false;
            }
            Found::Expired(key) => {
                if self.may_step(steps)
                    && let Some(entry) = self.pull(key)
                {
                    self.expire(entry, effects);
                }
                return !self.unfinished;
            }
            Found::Exhausted(key) => {
                if self.may_step(steps)
                    && let Some(entry) = self.pull(key)
                {
                    self.redrive(entry, effects);
                }
                return !self.unfinished;
            }
            Found::Unwanted(key) => {
                if let Some(entry) = self.pull(key) {
                    self.leave(&entry);
                    effects.departed(entry, Departure::Discarded);
                }
            }
            Found::For(id, key) => {
                let Some(entry) = self.pull(key) else { return false };
                self.delivered_to = self.delivered_to.max(entry.seq + 1);
                self.hand_out_found(id, entry, Handing { now_ms, scarce, lease_ms: self.rules.lease_ms }, effects);
            }
        }
        true
    }

    pub(super) fn hand_out_found(
        &mut self,
        id: ConsumerId,
        entry: Entry,
        handing: Handing,
        effects: &mut impl Effects<O>,
    ) {
        let Some(acknowledges) = self.consumers.get(id).map(|consumer| consumer.options.acknowledges) else { return };
        if let Some(groups) = &mut self.groups {
            let first = groups.taken(entry.seq, id, acknowledges);
            self.show(first);
        }
        if let Some(ordered) = self.ordered.as_mut().filter(|_| acknowledges) {
            ordered.lend(entry.seq, Some(id));
        }
        if !acknowledges {
            self.leave(&entry);
        }
        if let Some(consumer) = self.consumers.get(id) {
            Self::hand_out(&mut self.leases, &mut self.counters, (id, consumer), entry, handing, effects);
        }
    }

    /// Whether a consumer has to know what is in a message that is only on the disk: see [`State::wanted`].
    pub(crate) fn is_unread(&self) -> bool {
        self.unread
    }

    /// The messages that consumers have to know, and some behind them: where they are, and their bytes.
    pub(crate) fn wanted(&mut self) -> Vec<(Key, Position, u32)> {
        let mut wanted = Vec::new();
        let mut bytes = 0;
        for start in self.consumers.unread(&self.ready, self.arrivals) {
            let mut key = start;
            for _ in 0..READ_AHEAD {
                let Some(entry) = self.ready.at_or_behind(key) else { break };
                if let (None, Some(position)) = (&entry.message, entry.position.get()) {
                    wanted.push((Key::of(entry), position, entry.bytes));
                    bytes += u64::from(entry.bytes);
                }
                if wanted.len() >= READ_MESSAGES_MAX || bytes >= READ_BYTES {
                    break;
                }
                key = Key::new(entry.priority, entry.seq + 1);
            }
            if wanted.len() >= READ_MESSAGES_MAX || bytes >= READ_BYTES {
                break;
            }
        }
        wanted.sort_unstable_by_key(|(key, ..)| *key);
        wanted.dedup_by_key(|(key, ..)| *key);
        wanted
    }

    /// Has a message in memory that has been read for consumers to look at. [`State::grant`] is due, and [`State::take_back`].
    pub(crate) fn lend(&mut self, key: Key, position: Position, message: Arc<Message>) {
        if let Some(entry) = self.ready.get_mut(key)
            && entry.message.is_none()
            && entry.position.get() == Some(position)
        {
            entry.message = Some(message);
        }
    }

    /// Has a message that is stored not be in memory any more, if it still waits.
    pub(crate) fn take_back(&mut self, key: Key) {
        if let Some(entry) = self.ready.get_mut(key)
            && entry.position.get().is_some()
        {
            entry.message = None;
        }
    }

    /// A message cannot be read: it fails as if a consumer had rejected it. Whether it still waited.
    pub(crate) fn give_up(&mut self, key: Key, position: Position, effects: &mut impl Effects<O>) -> bool {
        if self.ready.get(key).is_none_or(|entry| entry.position.get() != Some(position)) {
            return false;
        }
        if let Some(entry) = self.pull(key) {
            self.counters.rejected += 1;
            self.leave(&entry);
            Self::fail(&self.rules, entry, Departure::Rejected, effects);
        }
        true
    }

    /// Consumers may look once more at groups that begin with these messages.
    pub(super) fn show(&mut self, first: First) {
        for key in first {
            self.arrivals += 1;
            self.consumers.show(key);
        }
    }

    pub(super) fn set_seeks(&mut self) {
        let seeks = self.groups.is_some() || self.ordered.is_some() || self.consumers.any_choosy();
        if self.seeks && !seeks {
            self.consumers.stop_looking();
        }
        self.seeks = seeks;
    }
}
