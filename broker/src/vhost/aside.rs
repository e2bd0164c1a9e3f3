//! What an exchange does with a message beside routing it: holding it back, remembering it, dropping a duplicate.
//!
//! All of that is done while the message is routed, so that it fits together with what is bound just then; and it is undone
//! where the message is not published after all, because the disk is full.

use std::sync::Arc;

use gantry_storage::{Append, Position, Ref, Ticket};
use smallvec::SmallVec;

use super::exchange::Exchange;
use super::manner::{Memory, Seen};
use crate::delays::{DelayLane, delay_ms};
use crate::exchange::deduplication_key;
use crate::message::{Message, Meta};
use crate::queue::{ARGUMENT_MS_MAX, Place};
use crate::shared::Shared;
use crate::value::Value;

/// Headers that exchanges look at.
const NO_STORE: &str = "x-recent-history-no-store";
const CACHE_TTL: &str = "x-cache-ttl";

/// Whether an exchange routes a message now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// It does.
    Now,
    /// It will, later.
    Later,
    /// It will not: it has seen it before.
    Never,
}

/// What was done with one message, until it is published.
#[derive(Debug)]
pub(crate) struct Aside {
    message: Arc<Message>,
    now_ms: u64,
    delays: SmallVec<[Arc<DelayLane>; 1]>,
    due_ms: u64,
    /// Exchanges that remember it.
    stored: SmallVec<[Arc<Exchange>; 1]>,
    /// Exchanges that remember its key, and until when.
    claimed: SmallVec<[(Arc<Exchange>, u64, u64); 1]>,
}

impl Aside {
    fn new(message: &Arc<Message>, now_ms: u64) -> Box<Self> {
        let (delays, stored, claimed) = (SmallVec::new(), SmallVec::new(), SmallVec::new());
        Box::new(Self { message: Arc::clone(message), now_ms, delays, due_ms: 0, stored, claimed })
    }

    /// Adds the references of the exchanges that hold the message back.
    pub(super) fn add_refs<A: smallvec::Array<Item = Ref>>(&self, refs: &mut SmallVec<A>, meta: &mut Meta) {
        refs.extend(
            self.delays.iter().map(|lane| Ref { lane: crate::timer::Sleeper::lane(&**lane), seq: lane.next_seq() }),
        );
        if !self.delays.is_empty() {
            meta.due_ms = Some(self.due_ms);
        }
    }

    /// Whether somebody holds it back.
    pub(crate) fn is_held(&self) -> bool {
        !self.delays.is_empty()
    }

    /// The message has been published. `first` is the position of the first of the references that were added. What has to be
    /// on stable storage, too.
    pub(super) fn published(&mut self, shared: &Shared, first: Option<Position>) -> Option<Ticket> {
        for exchange in self.stored.drain(..) {
            if let Memory::History(history) = &exchange.memory {
                history.lock().trim();
            }
        }
        if let Some(first) = first {
            for (slot, lane) in (first.slot..).zip(self.delays.drain(..)) {
                lane.push(self.due_ms, self.now_ms, Position { slot, ..first }, self.message.bytes());
            }
        }
        let claimed = std::mem::take(&mut self.claimed);
        claimed.into_iter().filter_map(|(exchange, key, until_ms)| self.keep(shared, &exchange, key, until_ms)).max()
    }

    /// Stores a key that was seen, if the exchange asks for it. After the message, so that after a crash no message is missing
    /// for having been seen.
    fn keep(&self, shared: &Shared, exchange: &Exchange, key: u64, until_ms: u64) -> Option<Ticket> {
        let Memory::Seen(Seen { keys, lane: Some(lane), .. }) = &exchange.memory else { return None };
        let due_ms = (until_ms != u64::MAX).then_some(until_ms);
        let meta = Meta { due_ms, ..Meta::new(self.now_ms, crate::Essentials::default()) };
        let record = Append { refs: &[Ref { lane: *lane, seq: key }], meta: &meta.encode(0, 0), payload: &[] };
        // Without room on the disk it is forgotten at the next start, which costs a duplicate and no message.
        let appended = shared.journal.append(record).ok()?;
        let forgotten = keys.lock().keep(key, Place::from(appended.position));
        forget(shared, [forgotten]);
        Some(appended.ticket)
    }
}

/// Whoever has not published gives back what it took.
impl Drop for Aside {
    fn drop(&mut self) {
        for exchange in &self.stored {
            if let Memory::History(history) = &exchange.memory {
                history.lock().take_back(&self.message);
            }
        }
        for (exchange, key, _) in &self.claimed {
            if let Memory::Seen(seen) = &exchange.memory {
                seen.keys.lock().take_back(*key);
            }
        }
    }
}

impl Exchange {
    /// Whether it routes this message now; and what there is to do beside that. `may_delay`: it has not been held back here.
    pub(super) fn admit(
        self: &Arc<Self>,
        shared: &Shared,
        message: &Arc<Message>,
        now_ms: u64,
        may_delay: bool,
        aside: &mut Option<Box<Aside>>,
    ) -> Passage {
        let noted = || Aside::new(message, now_ms);
        if let Some(lane) = self.delays.as_ref().filter(|_| may_delay)
            && let Some(delay_ms) = delay_ms(message)
        {
            let aside = aside.get_or_insert_with(noted);
            aside.delays.push(Arc::clone(lane));
            aside.due_ms = now_ms.saturating_add(delay_ms);
            return Passage::Later;
        }
        let header = |name: &str| message.properties().headers.as_ref().and_then(|headers| headers.get(name));
        match &self.memory {
            Memory::Nothing => {}
            Memory::History(history) => {
                if header(NO_STORE).and_then(Value::as_bool) != Some(true) {
                    history.lock().store(message);
                    aside.get_or_insert_with(noted).stored.push(Arc::clone(self));
                }
            }
            Memory::Seen(seen) => {
                let Some(key) = deduplication_key(message.properties()) else { return Passage::Now };
                let own_ms = header(CACHE_TTL).and_then(Value::as_integer).filter(|ttl_ms| *ttl_ms >= 0);
                let ttl_ms = own_ms.map(|ttl_ms| u64::try_from(ttl_ms).unwrap_or(u64::MAX)).or(seen.ttl_ms);
                let until_ms = ttl_ms.map_or(u64::MAX, |ttl_ms| now_ms.saturating_add(ttl_ms.min(ARGUMENT_MS_MAX)));
                let Some(new) = seen.keys.lock().insert(key, until_ms, now_ms, Place::NONE) else {
                    return Passage::Never;
                };
                aside.get_or_insert_with(noted).claimed.push((Arc::clone(self), key, until_ms));
                forget(shared, new.forgotten);
            }
        }
        Passage::Now
    }
}

/// Has the journal forget keys.
pub(super) fn forget(shared: &Shared, forgotten: impl IntoIterator<Item = Place>) {
    let positions: Vec<Position> = forgotten.into_iter().filter_map(Place::get).collect();
    if !positions.is_empty() {
        // A failed journal stops the process by itself.
        let _ = shared.journal.settle(&positions);
    }
}
