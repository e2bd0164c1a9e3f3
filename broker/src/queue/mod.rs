//! Queues: a lock around a pure state machine ([`state`]), and what is done with what it answers.
//!
//! * [`entry`]: a message in a queue; [`ready`]: those that wait; [`later`]: those whose time has not come; [`lease`]: those
//!   that somebody has. [`blocks`]: what long lists are made of.
//! * [`duplicates`]: which of them may not come in once more.
//! * [`consumer`]: who gets them, by turns and by credit.
//! * [`state`]: the rules, without clock and I/O.
//! * [`options`]: what a queue is declared with; [`rules`]: what follows from it; [`arguments`]: each of them, checked.
//! * [`policy`]: the policies that it is under.
//! * this file: the lock, the journal, the wake-ups.

mod arguments;
mod blocks;
mod consumer;
mod duplicates;
mod entry;
mod later;
mod lease;
#[cfg(test)]
mod model;
mod options;
mod policy;
mod ready;
mod rules;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gantry_storage::{Append, Mark, Note, Position, Recovered, Ref, Ticket};
use parking_lot::Mutex;
use smallvec::SmallVec;

pub(crate) use self::arguments::Arguments;
pub use self::consumer::{ConsumerId, ConsumerOptions, Credit};
use self::duplicates::Present;
pub use self::entry::Stored;
pub(crate) use self::entry::{End, Entry, Place};
pub(crate) use self::later::Later;
pub use self::lease::{Lease, Outcome};
pub(crate) use self::options::resource;
pub use self::options::{QueueOptions, QueueType};
pub use self::rules::ARGUMENT_MS_MAX;
pub(crate) use self::rules::{DeadLetter, Effective, Overflow, Rules, check_replicated};
pub use self::state::QueueCounters;
use self::state::{AT_ONCE_MS, Discarded, Effects, Grant, STEP_ENTRIES_MAX, State};
pub(crate) use self::state::{Departure, NotSealed, SealIf, SubscribeError};
use crate::error::Error;
use crate::inbox::{Content, Delivery, Item, Outlet, Wakes};
use crate::message::{Message, Meta, Unreadable, now_ms};
use crate::outbox::Letter;
use crate::policy::Applied;
use crate::shared::Shared;
use crate::stream::Stream;
use crate::timer::Sleeper;
use crate::value::Value;

/// A queue.
pub struct Queue {
    lane: u64,
    name: Arc<str>,
    vhost: Arc<str>,
    options: QueueOptions,
    /// Messages are kept that are not marked as durable, too: as quorum queues and streams do in RabbitMQ.
    keeps_all: bool,
    /// The connection that an exclusive queue belongs to.
    owner: Option<u64>,
    /// The policies that its rules come from.
    applied: Mutex<Applied>,
    seq: AtomicU64,
    state: Mutex<State<Outlet>>,
    /// Where it takes no duplicates.
    present: Option<Box<Present>>,
    /// Its rules may have it refuse a message: publishers ask before they have the journal take it.
    may_refuse: AtomicBool,
    /// Consumers are told how often a message has failed.
    tells_attempts: AtomicBool,
    /// Where it is a stream, its messages and readers are here, and the state is empty.
    stream: Option<Box<Stream>>,
    /// When the timer looks at this queue next, in milliseconds since the epoch of Unix; `u64::MAX` for never.
    wake_ms: AtomicU64,
    /// It is on stable storage where it survives: messages can be routed to it.
    visible: AtomicBool,
    /// Entries before this one were there when the process was killed.
    unsure_before: AtomicU64,
    /// When the queue was last declared, fetched from, or lost its last consumer.
    used_ms: AtomicU64,
    shared: Arc<Shared>,
}

/// What a queue holds, now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStatus {
    /// Messages that wait.
    pub ready: usize,
    /// Messages delivered whose outcome is not yet known.
    pub unacked: usize,
    /// Bytes of the bodies that wait.
    pub ready_bytes: u64,
    /// Bytes of the bodies of unacknowledged messages.
    pub unacked_bytes: u64,
    /// Consumers.
    pub consumers: usize,
    /// What has happened so far.
    pub counters: QueueCounters,
}

impl QueueStatus {
    /// Adds another queue's numbers.
    pub fn add(&mut self, other: &Self) {
        self.ready += other.ready;
        self.unacked += other.unacked;
        self.ready_bytes += other.ready_bytes;
        self.unacked_bytes += other.unacked_bytes;
        self.consumers += other.consumers;
        self.counters.add(&other.counters);
    }
}

/// A message that was found at recovery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restored {
    seq: u64,
    position: Position,
    bytes: u32,
    head_bytes: u16,
    meta: Meta,
    attempts: u32,
}

impl Restored {
    pub(crate) fn new(found: &Recovered<'_>) -> Result<Self, Unreadable> {
        let (meta, lengths) = Meta::decode(found.meta)?;
        Ok(Self {
            seq: found.reference.seq,
            position: found.position,
            bytes: found.payload_bytes.saturating_sub(lengths.prefix_bytes),
            head_bytes: lengths.head_bytes,
            meta,
            attempts: found.mark,
        })
    }

    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Its place in its queue.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// Bytes of head and body.
    pub(crate) fn bytes(&self) -> u32 {
        self.bytes
    }

    /// When it was published, in milliseconds since the epoch of Unix.
    pub(crate) fn published_ms(&self) -> u64 {
        self.meta.published_ms
    }

    /// When it is to be routed on; at once where it does not say.
    pub(crate) fn due_ms(&self) -> u64 {
        self.meta.due_ms.unwrap_or(0)
    }
}

/// The argument by which a queue takes no duplicates.
const DEDUPLICATION: &str = "x-message-deduplication";

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
    pub(crate) fn new(
        shared: Arc<Shared>,
        lane: u64,
        name: Arc<str>,
        vhost: Arc<str>,
        options: QueueOptions,
        rules: Rules,
        owner: Option<u64>,
    ) -> Arc<Self> {
        let deduplicates = options.arguments.get(DEDUPLICATION).and_then(Value::as_bool) == Some(true);
        Arc::new(Self {
            lane,
            name,
            vhost,
            keeps_all: options.queue_type() != QueueType::Classic,
            options,
            owner,
            applied: Mutex::default(),
            seq: AtomicU64::new(0),
            may_refuse: AtomicBool::new(rules.may_refuse()),
            tells_attempts: AtomicBool::new(rules.tells_attempts),
            present: (deduplicates && rules.stream.is_none()).then(Box::default),
            stream: rules.stream.as_ref().map(|rules| Box::new(Stream::new(rules))),
            state: Mutex::new(State::new(Arc::new(rules))),
            wake_ms: AtomicU64::new(u64::MAX),
            visible: AtomicBool::new(false),
            unsure_before: AtomicU64::new(0),
            used_ms: AtomicU64::new(now_ms()),
            shared,
        })
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The virtual host it is in.
    pub fn vhost(&self) -> &Arc<str> {
        &self.vhost
    }

    /// Whether messages are routed to it.
    pub(crate) fn is_visible(&self) -> bool {
        self.visible.load(Ordering::Acquire)
    }

    pub(crate) fn set_visible(&self) {
        self.visible.store(true, Ordering::Release);
    }

    /// Whether its consumers are told how often a message has failed.
    pub fn tells_attempts(&self) -> bool {
        self.tells_attempts.load(Ordering::Relaxed)
    }

    /// What it was declared with.
    pub fn options(&self) -> &QueueOptions {
        &self.options
    }

    /// The connection it belongs to, where it is exclusive.
    pub fn owner(&self) -> Option<u64> {
        self.owner
    }

    /// The lane of the journal that its messages are in.
    pub(crate) fn lane(&self) -> u64 {
        self.lane
    }

    /// What makes it a stream, if it is one.
    pub(crate) fn stream(&self) -> Option<&Stream> {
        self.stream.as_deref()
    }

    /// Whether it is a stream: nobody takes anything out of it.
    pub fn is_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// What all parts of the broker share.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// What it holds, now.
    pub fn status(&self) -> QueueStatus {
        if let Some(stream) = &self.stream {
            return stream.status();
        }
        let state = self.state.lock();
        let (ready_bytes, unacked_bytes) = state.bytes();
        QueueStatus {
            ready: state.ready_len(),
            unacked: state.leased_len(),
            ready_bytes,
            unacked_bytes,
            consumers: state.consumers_len(),
            counters: state.counters(),
        }
    }

    /// The next place in the queue, for a message that is about to come in.
    pub(crate) fn next_seq(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether a stored message would be found again after a restart. A stream keeps all of them.
    pub(crate) fn keeps(&self, message: &Message) -> bool {
        self.survives() && (message.essentials().durable || self.keeps_all)
    }

    /// Whether it is there after a restart. An exclusive one goes with its connection, whatever was asked for.
    pub(crate) fn survives(&self) -> bool {
        self.options.durable && self.owner.is_none()
    }

    /// Whether it takes no duplicates.
    pub(crate) fn deduplicates(&self) -> bool {
        self.present.is_some()
    }

    /// Notes that a message with this deduplication key is about to come in; false where one is there already.
    pub(crate) fn claim(&self, key: u64, seq: u64) -> bool {
        self.present.as_ref().is_none_or(|present| present.claim(key, seq))
    }

    /// A message that was claimed has left, or did not come in.
    pub(crate) fn release_claim(&self, seq: u64) {
        if let Some(present) = &self.present {
            present.release(seq);
        }
    }

    /// Whether it takes a message, asked before the message is stored anywhere. Where a queue may refuse, the answer and the
    /// message's place in its count are one step, so that no two publishers get the same room. A stream takes every message,
    /// and has to hear of those that do not come after all. `dead_letters`: a message that is refused goes where the rules say.
    pub(crate) fn admit(self: &Arc<Self>, message: &Arc<Message>, dead_letters: bool) -> Admission {
        if self.is_stream() {
            return Admission::Promised;
        }
        if !self.may_refuse.load(Ordering::Relaxed) {
            return Admission::Open;
        }
        let entry = Entry::new(0, Arc::clone(message), u64::MAX);
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
        let taken = match state.enqueue(entry, now_ms) {
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
        let after = After::of(&state);
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

    /// Puts back what was found at recovery. `delivered_to`: up to there messages have been delivered; none where nobody
    /// wrote it down. Then all of them may have been, since a delivery does not wait for the disk.
    pub(crate) fn restore(self: &Arc<Self>, delivered_to: Option<u64>, mut entries: Vec<Restored>) {
        // Publishers race to the journal; the queue's order is its own.
        entries.sort_unstable_by_key(|entry| entry.seq);
        let next = entries.last().map_or(0, |last| last.seq + 1);
        if delivered_to.is_none() {
            self.unsure_before.store(next, Ordering::Relaxed);
        }
        let delivered_to = delivered_to.unwrap_or(next);
        self.seq.store(next.max(delivered_to), Ordering::Relaxed);
        let mut orphans = Vec::new();
        let mut state = self.state.lock();
        state.restore_delivered_to(delivered_to);
        for restored in entries {
            let Restored { seq, position, bytes, head_bytes, meta, attempts } = restored;
            if let (Some(present), Some(key)) = (&self.present, meta.duplicate_key) {
                present.claim(key, seq);
            }
            if !meta.essentials.durable && !self.keeps_all {
                orphans.push(position);
                continue;
            }
            let entry = Entry {
                seq,
                message: None,
                position: position.into(),
                bytes,
                expires_ms: expiry_ms(meta.essentials.ttl_ms, meta.published_ms),
                attempts,
                head_bytes,
                priority: meta.essentials.priority,
                redelivered: attempts > 0 || seq < delivered_to,
            };
            state.restore(entry, meta.published_ms);
        }
        // What is too much goes as soon as the timers run: there may be more of it than rules said before the restart.
        let wake_ms = if state.rules().may_drop() { Some(AT_ONCE_MS) } else { state.next_ms() };
        drop(state);
        // Stored for the sake of memory only.
        if !orphans.is_empty() {
            self.forget_stored(&orphans);
        }
        if let Some(wake_ms) = wake_ms {
            self.wake_at(wake_ms);
        }
    }

    /// As [`Queue::restore`], for a stream. Blocks.
    ///
    /// # Errors
    /// Its log cannot be opened.
    pub(crate) fn restore_stream(self: &Arc<Self>, entries: Vec<Restored>) -> Result<(), Error> {
        if let Some(stream) = &self.stream {
            self.seq.store(stream.restore(self, entries)?, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether a message that goes on from here may have gone on before, and have been delivered there: that it left here was
    /// not on stable storage when the process was killed, or that was so where it came from. A message that came back from a
    /// consumer has an attempt.
    pub(crate) fn may_have_gone_on(&self, entry: &Entry) -> bool {
        entry.seq < self.unsure_before.load(Ordering::Relaxed) || entry.redelivered && entry.attempts == 0
    }

    /// Has the journal remember how far it has been delivered; for an orderly stop.
    pub(crate) fn note_delivered(&self) {
        let delivered_to = self.state.lock().delivered_to();
        if self.survives() && delivered_to > 0 {
            self.note(Some(delivered_to));
        }
    }

    /// Tells the journal that messages are done.
    pub(crate) fn forget_stored(&self, positions: &[Position]) {
        // A failed journal stops the process by itself.
        let _ = self.shared.journal.settle(positions);
    }

    fn note(&self, value: Option<u64>) {
        // A failed journal stops the process by itself.
        let _ = self.shared.journal.note(Note { lane: self.lane, value });
    }

    /// Adds a consumer, and grants it what waits.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        outlet: Outlet,
        options: ConsumerOptions,
        wakes: &mut Wakes,
    ) -> Result<ConsumerId, SubscribeError> {
        self.with_grant(wakes, |state, _| state.subscribe(outlet, options))
    }

    /// Removes a consumer. `leaves`: the outcomes of what it has follow at once. True where the queue has to go with it: then
    /// it takes nothing any more.
    pub(crate) fn unsubscribe(self: &Arc<Self>, id: ConsumerId, leaves: bool) -> bool {
        if let Some(stream) = &self.stream {
            stream.unsubscribe(self, id);
            return false;
        }
        // Another one may get its turn: where only one gets everything, this is how it does.
        let (removed, goes) = self.with_grant(&mut Wakes::new(), |state, _| {
            let removed = state.unsubscribe(id, leaves);
            let goes = removed
                && self.options.auto_delete
                && !self.shared.is_closing()
                && state.seal(SealIf { unused: true, empty: false }).is_ok();
            // Under the lock, or a tick could see an unused queue and not since when.
            self.touch();
            (removed, goes)
        });
        if removed && !goes {
            self.start_expiry();
        }
        goes
    }

    /// The consumer has room again.
    pub(crate) fn resume(self: &Arc<Self>, id: ConsumerId, wakes: &mut Wakes) {
        if let Some(stream) = &self.stream {
            return stream.resume(self, id, wakes);
        }
        self.with_grant(wakes, |state, _| state.resume(id));
    }

    /// Says outcomes of deliveries.
    pub fn settle(self: &Arc<Self>, leases: &[Lease], outcome: Outcome, wakes: &mut Wakes) {
        if let Some(stream) = &self.stream {
            return stream.settle(self, leases, outcome, wakes);
        }
        self.with_grant(wakes, |state, effects| {
            for lease in leases {
                state.settle(*lease, outcome, effects.now_ms, effects);
            }
        });
    }

    /// Says outcomes whose settlement the journal has already been given, as part of a transaction.
    pub(crate) fn settle_committed(self: &Arc<Self>, leases: &[Lease], wakes: &mut Wakes) {
        if let Some(stream) = &self.stream {
            return stream.settle(self, leases, Outcome::Accept, wakes);
        }
        self.with_grant(wakes, |state, effects| {
            effects.unsettled = true;
            for lease in leases {
                state.settle(*lease, Outcome::Accept, effects.now_ms, effects);
            }
            effects.unsettled = false;
        });
    }

    /// Where the message of a lease is stored, if it is.
    pub(crate) fn leased_position(&self, lease: Lease) -> Option<Position> {
        self.state.lock().leased_place(lease)?.get()
    }

    /// Takes the first message, and how many wait behind it. `token` is told again in the delivery.
    pub fn fetch(self: &Arc<Self>, token: u64, acknowledges: bool) -> Option<(Delivery, usize)> {
        self.used_ms.store(now_ms(), Ordering::Relaxed);
        let mut wakes = Wakes::new();
        let scarce = self.shared.memory_is_scarce();
        loop {
            let (grant, waiting, again) = self.with_grant(&mut wakes, |state, effects| {
                let grant = state.fetch(effects.now_ms, acknowledges, scarce, effects);
                let (waiting, again) = (state.ready_len(), grant.is_none() && state.is_unfinished());
                if let Some(grant) = &grant {
                    effects.note_end(grant);
                }
                (grant, waiting, again)
            });
            if !again {
                return grant.map(|grant| (self.delivery(token, grant), waiting));
            }
        }
    }

    /// Discards what waits; how many messages there were.
    pub fn purge(self: &Arc<Self>) -> usize {
        let (waiting, discarded) = self.with_grant(&mut Wakes::new(), |state, _| state.purge());
        self.discard(discarded);
        waiting
    }

    /// Tells the journal that messages are done, a bounded number at a time.
    fn discard(&self, mut discarded: Discarded) {
        loop {
            let some = discarded.by_ref().take(STEP_ENTRIES_MAX);
            let mut count = 0;
            let left = |entry: &Entry| {
                count += 1;
                self.release_claim(entry.seq);
            };
            let positions: Vec<_> = some.inspect(left).filter_map(|entry| entry.position.get()).collect();
            if !positions.is_empty() {
                self.forget_stored(&positions);
            }
            if count < STEP_ENTRIES_MAX {
                return;
            }
        }
    }

    /// Gives it other rules, which hold at once for what is in it.
    pub(crate) fn set_rules(self: &Arc<Self>, rules: Arc<Rules>) {
        if let Some(stream) = &rules.stream {
            return self.set_retention(stream.retention);
        }
        self.with_grant(&mut Wakes::new(), |state, _| {
            // Under the lock, or it could stay as an earlier change left it.
            self.may_refuse.store(rules.may_refuse(), Ordering::Relaxed);
            self.tells_attempts.store(rules.tells_attempts, Ordering::Relaxed);
            if rules.expires_ms != state.rules().expires_ms {
                // As in RabbitMQ, the time that it has been unused before does not count against it.
                self.touch();
            }
            state.set_rules(rules);
        });
        self.start_expiry();
    }

    /// Has the queue take nothing any more, if it may go; [`Queue::close`] follows.
    ///
    /// As in RabbitMQ, a stream goes whatever the conditions are.
    pub(crate) fn seal(&self, conditions: SealIf) -> Result<(), NotSealed> {
        if let Some(stream) = &self.stream {
            stream.seal();
            return Ok(());
        }
        self.state.lock().seal(conditions)
    }

    /// The end of the queue. How many messages waited.
    pub(crate) fn close(self: &Arc<Self>, wakes: &mut Wakes) -> usize {
        if let Some(stream) = &self.stream {
            stream.close(self, wakes);
            self.shared.timer.forget(self);
            return 0;
        }
        let mut state = self.state.lock();
        let (outlets, waiting, discarded) = state.close();
        for outlet in outlets {
            wakes.push(&outlet.inbox, Item::Cancelled(outlet.token));
        }
        drop(state);
        self.discard(discarded);
        self.shared.timer.forget(self);
        if self.survives() {
            // Where there is none, from an earlier run, this does nothing.
            self.note(None);
        }
        waiting
    }

    pub(crate) fn is_closed(&self) -> bool {
        if let Some(stream) = &self.stream {
            return stream.is_closed();
        }
        self.state.lock().is_closed()
    }

    /// Counts as a use of the queue, which `x-expires` counts from.
    pub fn touch(&self) {
        self.used_ms.store(now_ms(), Ordering::Relaxed);
    }

    /// Looks at what time has brought. True where the queue has been unused for too long and has to go: then it takes nothing
    /// any more.
    pub(crate) fn tick(self: &Arc<Self>) -> bool {
        if let Some(stream) = &self.stream {
            if let Some(period_ms) = stream.look_for_old(self) {
                self.wake_at(now_ms().saturating_add(period_ms));
            }
            return false;
        }
        let now_ms = self.with_grant(&mut Wakes::new(), |state, effects| {
            state.lapse(effects.now_ms, effects);
            state.shrink();
            effects.now_ms
        });
        let mut state = self.state.lock();
        let Some(expires_ms) = state.rules().expires_ms else { return false };
        if state.is_closed() {
            return false;
        }
        let due_ms = self.used_ms.load(Ordering::Relaxed).saturating_add(expires_ms);
        if due_ms <= now_ms {
            // With consumers it goes on when the last of them goes.
            return state.seal(SealIf { unused: true, empty: false }).is_ok();
        }
        drop(state);
        self.wake_at(due_ms);
        false
    }

    /// Starts the clock of `x-expires`, which does not run while there are consumers, or that of a stream's `x-max-age`.
    pub(crate) fn start_expiry(self: &Arc<Self>) {
        if let Some(stream) = &self.stream {
            if let Some(period_ms) = stream.retention_period_ms() {
                self.wake_at(now_ms().saturating_add(period_ms));
            }
            return;
        }
        let expires_ms = self.state.lock().rules().expires_ms;
        if let Some(expires_ms) = expires_ms {
            self.wake_at(self.used_ms.load(Ordering::Relaxed).saturating_add(expires_ms));
        }
    }

    fn wake_at(self: &Arc<Self>, at_ms: u64) {
        if at_ms < self.wake_ms.load(Ordering::Relaxed) {
            self.shared.timer.add(at_ms, self);
        }
    }

    fn delivery(self: &Arc<Self>, token: u64, grant: Grant) -> Delivery {
        let content = match (grant.message, grant.position.get()) {
            (Some(message), _) => Content::Loaded(message),
            (None, Some(position)) => {
                let end = grant.lease.is_none().then(|| End::new(Arc::clone(self), position));
                Content::Stored(Stored { position, bytes: grant.bytes, end })
            }
            // `enqueue` gives up the one only for the other.
            (None, None) => unreachable!("a message is in memory or stored"),
        };
        Delivery {
            token,
            queue: Arc::clone(self),
            lease: grant.lease,
            content,
            redelivered: grant.redelivered,
            attempts: grant.attempts,
            offset: None,
        }
    }

    /// One step of the state machine with everything that follows from it.
    fn with_grant<R>(
        self: &Arc<Self>,
        wakes: &mut Wakes,
        step: impl FnOnce(&mut State<Outlet>, &mut Shell<'_>) -> R,
    ) -> R {
        let scarce = self.shared.memory_is_scarce();
        let mut effects = Shell::new(self, wakes);
        effects.now_ms = now_ms();
        let mut state = self.state.lock();
        let result = step(&mut state, &mut effects);
        state.grant(effects.now_ms, scarce, &mut effects);
        let after = After::of(&state);
        drop(state);
        effects.finish(after);
        result
    }
}

impl Sleeper for Queue {
    fn lane(&self) -> u64 {
        self.lane
    }

    fn wake_ms(&self) -> &AtomicU64 {
        &self.wake_ms
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("name", &self.name).field("vhost", &self.vhost).finish_non_exhaustive()
    }
}

/// When a message expires that has a time to live of its own.
fn expiry_ms(ttl_ms: Option<u64>, from_ms: u64) -> u64 {
    ttl_ms.map_or(u64::MAX, |ttl_ms| from_ms.saturating_add(ttl_ms))
}

/// What is seen of the state before the lock goes, and acted on afterwards.
struct After {
    wake_ms: Option<u64>,
}

impl After {
    fn of(state: &State<Outlet>) -> Self {
        Self { wake_ms: state.next_ms() }
    }
}

/// Carries out what the state machine asks for: deliveries at once, the rest when the lock is gone.
struct Shell<'a> {
    queue: &'a Arc<Queue>,
    wakes: &'a mut Wakes,
    now_ms: u64,
    settled: SmallVec<[Position; 8]>,
    marks: SmallVec<[Mark; 2]>,
    letters: Vec<Letter>,
    /// The journal has been told of settlements by somebody else.
    unsettled: bool,
}

impl<'a> Shell<'a> {
    fn new(queue: &'a Arc<Queue>, wakes: &'a mut Wakes) -> Self {
        let (settled, marks, letters) = (SmallVec::new(), SmallVec::new(), Vec::new());
        Self { queue, wakes, now_ms: 0, settled, marks, letters, unsettled: false }
    }

    /// A grant without a lease is the end of a stored message, once it has been read.
    fn note_end(&mut self, grant: &Grant) {
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

    fn finish(self, after: After) {
        let journal = &self.queue.shared.journal;
        // A failed journal stops the process by itself, and nothing that is said here has been promised to anybody.
        if !self.settled.is_empty() {
            let _ = journal.settle(&self.settled);
        }
        for mark in self.marks {
            let _ = journal.mark(mark);
        }
        if !self.letters.is_empty() {
            self.queue.shared.outbox.push(self.letters);
        }
        if let Some(wake_ms) = after.wake_ms {
            self.queue.wake_at(wake_ms);
        }
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
        self.letters.push(Letter { queue: Arc::clone(self.queue), entry, why, to: Arc::clone(to) });
    }

    fn retried(&mut self, position: Place, attempts: u32) {
        if let Some(position) = position.get() {
            self.marks.push(Mark { position, value: attempts });
        }
    }
}
