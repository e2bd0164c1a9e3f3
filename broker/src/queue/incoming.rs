//! The way into a queue: room is asked for first, a message comes in when its record is written.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gantry_storage::{Append, Position, Ref, Ticket};
use smallvec::SmallVec;

use super::shell::{After, Shell};
use super::state::{Effects, State};
use super::{Departure, Entry, Offered, Overflow, Place, Queue};
use crate::inbox::{Outlet, Wakes};
use crate::message::{Message, Meta};
use crate::outbox::Letter;

/// Where a message is, on its way into queues.
#[derive(Clone, Copy)]
pub(crate) struct Arrival<'a> {
    pub(crate) message: &'a Arc<Message>,
    pub(crate) now_ms: u64,
    /// What its record of the journal waits for, if there is one.
    pub(crate) ticket: Option<Ticket>,
    /// It may have been here before, and nobody knows since a crash.
    pub(crate) redelivered: bool,
}

/// Whether a queue takes a message.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It takes every one.
    Open,
    /// It has promised room to this one; [`Queue::break_promise`] if it does not come.
    Promised,
    /// There is no room. The letter, where the rules have one sent for it, goes once it is certain that the message is
    /// published: a publisher that has to wait for the disk asks again.
    Refused(Option<Letter>),
}

impl Queue {
    /// The next place in the queue, for a message that is about to come in.
    pub(crate) fn next_seq(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed)
    }

    /// The number that the next message has, unless one is coming in just now.
    pub fn next_number(&self) -> u64 {
        self.seq.load(Ordering::Relaxed)
    }

    /// Whether a stored message would be found again after a restart. A stream keeps all of them.
    pub(crate) fn keeps(&self, message: &Message) -> bool {
        self.survives()
            && (message.essentials().durable || self.keeps_all)
            && (self.keeps.load(Ordering::Relaxed) || self.is_stream())
    }

    /// Whether messages are stored that would be: durable ones in a durable queue. True at first, and after a restart. What is
    /// in the queue stays as it came. A stream keeps everything, whatever is said.
    pub fn keep_messages(&self, keep: bool) {
        self.keeps.store(keep, Ordering::Relaxed);
    }

    /// Whether it takes a message, asked before the message is stored anywhere. Where a queue may refuse, the answer and the
    /// message's place in its count are one step, so that no two publishers get the same room. A stream takes every message,
    /// and has to hear of those that do not come after all. `seq` would be its place; `dead_letters`: a message that is refused
    /// goes where the rules say.
    pub(crate) fn admit(self: &Arc<Self>, message: &Arc<Message>, seq: u64, dead_letters: bool) -> Admission {
        if self.is_stream() {
            return Admission::Promised;
        }
        if !self.may_refuse.load(Ordering::Relaxed) {
            return Admission::Open;
        }
        let entry = Entry::new(seq, Arc::clone(message), u64::MAX);
        let mut state = self.state.lock();
        if state.promise(entry.body_bytes()) {
            return Admission::Promised;
        }
        let rules = Arc::clone(state.rules());
        drop(state);
        let to =
            rules.dead_letter.as_ref().filter(|_| dead_letters && rules.overflow == Overflow::RejectPublishDeadLetter);
        Admission::Refused(to.map(|to| Letter {
            queue: Arc::clone(self),
            entry,
            why: Departure::Overflowed,
            to: Arc::clone(to),
            redriving: None,
        }))
    }

    /// The message that was promised room does not come to its place.
    pub(crate) fn break_promise(self: &Arc<Self>, message: &Arc<Message>, seq: u64) {
        if let Some(stream) = &self.stream {
            return stream.give_up(self, seq);
        }
        let body_bytes = Entry::new(0, Arc::clone(message), u64::MAX).body_bytes();
        self.state.lock().keep_promise(body_bytes);
    }

    /// Takes a message back, at its place, that it had given up for another queue that it goes to no more.
    pub(crate) fn put_back(self: &Arc<Self>, entry: Entry) {
        let mut wakes = Wakes::new();
        let (result, _) = self.step(&mut wakes, |state, effects| {
            if let Err(entry) = state.put_back(entry, effects.now_ms) {
                effects.departed(entry, Departure::Discarded);
            }
        });
        wakes.wake();
        result
    }

    /// Takes a message. `promised`: it was promised room. False where the queue was deleted meanwhile; then nothing has
    /// happened.
    pub(crate) fn enqueue(
        self: &Arc<Self>,
        arrival: Arrival<'_>,
        seq: u64,
        stored: Option<Position>,
        promised: bool,
        wakes: &mut Wakes,
    ) -> bool {
        if let Some(stream) = &self.stream {
            return stream.enqueue(self, arrival, seq, stored, wakes);
        }
        if self.is_direct() {
            return self.offer(arrival, wakes) != Offered::Closed;
        }
        let Arrival { message, now_ms, redelivered, .. } = arrival;
        let mut entry = Entry::new(seq, Arc::clone(message), expiry_ms(message.essentials().ttl_ms, now_ms));
        entry.redelivered = redelivered;
        entry.position = stored.map_or(Place::NONE, Place::from);
        let scarce = self.shared.memory_is_scarce();
        let mut effects = Shell::new(self, wakes);
        let mut state = self.state.lock();
        if promised {
            state.keep_promise(entry.body_bytes());
        }
        let taken = match state.enqueue(entry, now_ms, scarce) {
            Ok(()) => {
                state.grant(now_ms, scarce, &mut effects);
                if scarce {
                    self.evict(&mut state, message, seq, now_ms);
                }
                true
            }
            Err(entry) => {
                effects.departed(entry, Departure::Discarded);
                false
            }
        };
        let after = After::of(self, &state);
        drop(state);
        effects.finish(after);
        taken
    }

    /// Lets go of the body of the message that has just come, if it waits. No I/O: one that is not stored goes to the
    /// journal's buffer; it is not looked for after a restart, and where the disk has no room for it, it stays in memory,
    /// where the alarm sees it.
    fn evict(&self, state: &mut State<Outlet>, message: &Message, seq: u64, now_ms: u64) {
        // It need not be the last one: a publisher that took its number earlier may have come later.
        let Some(entry) = state.newcomer(seq, message.essentials().priority) else { return };
        if entry.position.get().is_none()
            && let Some(position) = self.page_out(message, seq, now_ms)
        {
            entry.position = position.into();
        }
        if entry.position.get().is_some() {
            entry.message = None;
        }
    }

    /// Stores a message for the sake of memory.
    fn page_out(&self, message: &Message, seq: u64, published_ms: u64) -> Option<Position> {
        let mut essentials = message.essentials();
        essentials.durable = false;
        let mut prefix = SmallVec::new();
        let meta = Meta::new(published_ms, essentials);
        message.stored_prefix(&meta, &mut prefix);
        let appended = self.shared.journal.append(Append {
            refs: &[Ref { lane: self.lane, seq }],
            meta: &meta.encode(prefix.len(), message.head().len()),
            payload: &[&prefix, message.data()],
        });
        appended.ok().map(|appended| appended.position)
    }
}

/// When a message expires that has a time to live of its own.
pub(super) fn expiry_ms(ttl_ms: Option<u64>, from_ms: u64) -> u64 {
    ttl_ms.map_or(u64::MAX, |ttl_ms| from_ms.saturating_add(ttl_ms))
}
