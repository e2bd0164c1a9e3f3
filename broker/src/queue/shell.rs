//! What a step of the state machine asks for, carried out: deliveries at once, the rest when the lock is gone.

use std::sync::Arc;

use gantry_storage::{Mark, Position, Ticket};
use smallvec::SmallVec;

use super::state::{Effects, Grant, State};
use super::tally::Tally;
use super::{DeadLetter, Departure, Entry, Place, Queue, Redriving};
use crate::inbox::{Item, Outlet, Wakes};
use crate::message::now_ms;
use crate::outbox::Letter;

impl Queue {
    /// One step of the state machine with everything that follows from it.
    pub(super) fn with_grant<R>(
        self: &Arc<Self>,
        wakes: &mut Wakes,
        step: impl FnOnce(&mut State<Outlet>, &mut Shell<'_>) -> R,
    ) -> R {
        self.step(wakes, step).0
    }

    /// As [`Queue::with_grant`], and what to wait for until what has left the queue by it has left for good.
    pub(super) fn step<R>(
        self: &Arc<Self>,
        wakes: &mut Wakes,
        step: impl FnOnce(&mut State<Outlet>, &mut Shell<'_>) -> R,
    ) -> (R, Option<Ticket>) {
        let scarce = self.shared.memory_is_scarce();
        let mut effects = Shell::new(self, wakes);
        effects.now_ms = now_ms();
        let mut state = self.state.lock();
        let result = step(&mut state, &mut effects);
        state.grant(effects.now_ms, scarce, &mut effects);
        let after = After::of(self, &state);
        drop(state);
        (result, effects.finish(after))
    }
}

/// What is seen of the state before the lock goes, and acted on afterwards.
pub(super) struct After {
    wake_ms: Option<u64>,
    /// Messages have to be read for consumers to look at.
    unread: bool,
    /// Somebody stands in line for something that is there.
    calls: bool,
}

impl After {
    pub(super) fn of(queue: &Queue, state: &State<Outlet>) -> Self {
        let calls = queue.line.is_waiting() && state.has_something();
        Self { wake_ms: state.next_ms(), unread: state.is_unread(), calls }
    }
}

/// Carries out what the state machine asks for: deliveries at once, the rest when the lock is gone.
pub(super) struct Shell<'a> {
    queue: &'a Arc<Queue>,
    wakes: &'a mut Wakes,
    pub(super) now_ms: u64,
    settled: SmallVec<[Position; 8]>,
    marks: SmallVec<[Mark; 2]>,
    letters: Vec<Letter>,
    /// The journal has been told of settlements by somebody else.
    pub(super) unsettled: bool,
    /// Whoever stands in line is not told: nothing has come.
    pub(super) quiet: bool,
}

/// A moment that never comes: what fails with the journal is never certain.
pub(super) const NEVER: Ticket = Ticket(u64::MAX);

impl<'a> Shell<'a> {
    pub(super) fn new(queue: &'a Arc<Queue>, wakes: &'a mut Wakes) -> Self {
        let (settled, marks, letters) = (SmallVec::new(), SmallVec::new(), Vec::new());
        Self { queue, wakes, now_ms: 0, settled, marks, letters, unsettled: false, quiet: false }
    }

    /// A grant without a lease is the end of a stored message, once it has been read.
    pub(super) fn note_end(&mut self, grant: &Grant) {
        if grant.lease.is_none() {
            self.queue.release_claim(grant.seq);
        }
        if grant.lease.is_none()
            && grant.message.is_some()
            && let Some(position) = grant.position.get()
        {
            self.settled.push(position);
        }
    }

    /// Carries out what was noted. What to wait for until what was settled is settled for good.
    pub(super) fn finish(self, after: After) -> Option<Ticket> {
        let journal = &self.queue.shared.journal;
        // A failed journal stops the process by itself.
        let settled = (!self.settled.is_empty()).then(|| journal.settle(&self.settled).unwrap_or(NEVER));
        if !self.marks.is_empty() {
            let _ = journal.mark(&self.marks);
        }
        if !self.letters.is_empty() {
            self.queue.shared.outbox.push(self.letters);
        }
        if let Some(wake_ms) = after.wake_ms {
            self.queue.wake_at(wake_ms);
        }
        if after.unread {
            self.queue.have_read();
        }
        if after.calls && !self.quiet {
            self.queue.line.call();
        }
        settled
    }
}

impl Effects<Outlet> for Shell<'_> {
    fn take_room(&mut self, outlet: &Outlet) -> bool {
        outlet.take_room()
    }

    fn deliver(&mut self, outlet: &Outlet, grant: Grant) {
        self.note_end(&grant);
        let delivery = self.queue.delivery(outlet.token, grant);
        self.wakes.push(&outlet.inbox, Item::Delivery(delivery));
    }

    fn departed(&mut self, entry: Entry, _why: Departure) {
        self.queue.release_claim(entry.seq);
        if !self.unsettled
            && let Some(position) = entry.position.get()
        {
            self.settled.push(position);
        }
    }

    fn dead_lettered(&mut self, entry: Entry, why: Departure, to: &Arc<DeadLetter>) {
        self.queue.release_claim(entry.seq);
        let redriving = to.is_redrive.then(|| Redriving::new(self.queue));
        self.letters.push(Letter { queue: Arc::clone(self.queue), entry, why, to: Arc::clone(to), redriving });
    }

    fn tallied(&mut self, position: Place, tally: Tally) {
        if let Some(position) = position.get() {
            self.marks.push(Mark { position, value: tally.mark() });
        }
    }
}
