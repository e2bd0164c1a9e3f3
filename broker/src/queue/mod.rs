//! Queues: a lock around a pure state machine ([`state`]), and what is done with what it answers.
//!
//! * [`entry`]: a message in a queue; [`ready`]: those that wait; [`later`]: those whose time has not come; [`lease`]: those
//!   that somebody has. [`blocks`]: what long lists are made of.
//! * [`direct`]: the body of a queue that has none of all this.
//! * [`duplicates`]: which of them may not come in once more. [`lanes`]: where the journal has all of it.
//! * [`consumer`]: who gets them, by turns and by credit. [`selection`]: consumers that are not for every message; [`groups`]:
//!   messages that are not for every consumer; [`ordered`]: those that come strictly in order; [`fair`]: those that
//!   stand back; [`seek`]: how consumers look for theirs; [`scout`]: what they have to read for it.
//! * [`state`]: the rules, without clock and I/O.
//! * [`options`]: what a queue is declared with; [`rules`]: what follows from it; [`arguments`]: each of them, checked.
//! * [`settings`]: what is set on it beside; [`policy`]: the policies that it is under, and how its rules follow.
//! * [`receive`]: messages for those who come for some, and [`line`], where they wait; [`receipts`]: what they are known by.
//!   [`tally`]: what the journal remembers of that.
//! * [`incoming`], [`outgoing`]: the way in and the way out; [`accepts`]: what is said of deliveries, in one go; [`clock`]: what time brings; [`recovery`]: what is there after a
//!   restart. [`shell`]: what a step of the state machine asks for.
//! * this file: what a queue is, and its end.

mod accepts;
mod arguments;
mod blocks;
mod clock;
mod consumer;
mod direct;
mod duplicates;
mod entry;
mod fair;
mod groups;
mod incoming;
mod lanes;
mod later;
mod lease;
mod line;
#[cfg(test)]
mod model;
mod options;
mod ordered;
mod outgoing;
mod policy;
mod ready;
mod receipts;
mod receive;
mod recovery;
mod rules;
mod scout;
mod seek;
mod selection;
mod settings;
mod shell;
mod state;
mod tally;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;
use gantry_storage::{Note, Position, Ticket};
use parking_lot::Mutex;

pub use self::accepts::Accepts;
pub(crate) use self::arguments::Arguments;
pub(crate) use self::blocks::Blocks;
pub use self::consumer::{ConsumerId, ConsumerOptions, Credit};
use self::direct::Direct;
pub(crate) use self::direct::Offered;
use self::duplicates::Duplicates;
pub(crate) use self::duplicates::{Claimed, Claiming, Kept};
pub use self::entry::Stored;
pub(crate) use self::entry::{End, Entry, Place, Redriving};
pub(crate) use self::incoming::{Admission, Arrival};
pub(crate) use self::lanes::{Lane, lane_of, window_lane};
pub(crate) use self::later::Later;
pub use self::lease::{Lease, Outcome};
use self::line::Line;
pub use self::line::Turn;
pub(crate) use self::options::resource;
pub use self::options::{QueueOptions, QueueType};
pub use self::receive::{Receipt, Receipted, Receive, Received};
pub(crate) use self::recovery::Restored;
pub use self::rules::ARGUMENT_MS_MAX;
pub(crate) use self::rules::{DeadLetter, Effective, Overflow, Rules, check_replicated};
pub(crate) use self::scout::{Scouts, run as scout};
pub use self::selection::Selection;
pub use self::settings::{Ordered, QueueSettings, Redrive};
use self::shell::NEVER;
pub use self::state::QueueCounters;
pub(crate) use self::state::{Departure, NotSealed, SealIf, SubscribeError};
use self::state::{Discarded, STEP_ENTRIES_MAX, State};
use crate::inbox::{Item, Outlet, Wakes};
use crate::message::now_ms;
use crate::policy::Applied;
use crate::shared::Shared;
use crate::stream::Stream;

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
    /// What is set on it beside; none where nothing is.
    settings: ArcSwapOption<QueueSettings>,
    /// The policies that its rules come from.
    applied: Mutex<Applied>,
    seq: AtomicU64,
    state: Mutex<State<Outlet>>,
    /// Those who wait for something to receive.
    line: Line,
    /// Where it takes no duplicates.
    duplicates: Option<Duplicates>,
    /// Its rules may have it refuse a message: publishers ask before they have the journal take it.
    may_refuse: AtomicBool,
    /// Consumers are told how often a message has failed.
    tells_attempts: AtomicBool,
    /// Where it is a stream, its messages and readers are here, and the state is empty.
    stream: Option<Box<Stream>>,
    /// Where it is a direct queue, whom it is for; the state is empty and nothing is put into it.
    direct: Option<Direct>,
    /// Messages are stored that have to be: false for a queue all of whose readers do without.
    keeps: AtomicBool,
    /// When the timer looks at this queue next, in milliseconds since the epoch of Unix; `u64::MAX` for never.
    wake_ms: AtomicU64,
    /// It stands in line to have messages read that consumers look at.
    is_scouted: AtomicBool,
    /// It is on stable storage where it survives: messages can be routed to it.
    visible: AtomicBool,
    /// Entries before this one were there when the process was killed.
    unsure_before: AtomicU64,
    /// Messages that have left for the queue that the settings name, and are not there yet.
    redriving: AtomicUsize,
    /// When the queue was last declared, fetched from, or lost its last consumer.
    used_ms: AtomicU64,
    shared: Arc<Shared>,
}

/// What a queue holds, now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStatus {
    /// Messages that wait, those included that wait for a time.
    pub ready: usize,
    /// Of those, the ones that wait for a time: that of their delay, or the one to be tried again.
    pub delayed: usize,
    /// Messages delivered whose outcome is not yet known.
    pub unacked: usize,
    /// Messages that were received too often and wait for the queue that they go to; not among those that wait here.
    pub redriving: usize,
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
        self.delayed += other.delayed;
        self.unacked += other.unacked;
        self.redriving += other.redriving;
        self.ready_bytes += other.ready_bytes;
        self.unacked_bytes += other.unacked_bytes;
        self.consumers += other.consumers;
        self.counters.add(&other.counters);
    }
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
        Arc::new(Self::made(shared, lane, name, vhost, options, Arc::new(rules), owner))
    }

    /// A direct queue; see [`direct`].
    pub(crate) fn new_direct(
        shared: Arc<Shared>,
        lane: u64,
        name: Arc<str>,
        vhost: Arc<str>,
        outlet: Outlet,
        connection: u64,
    ) -> Arc<Self> {
        let options = QueueOptions { exclusive: true, ..QueueOptions::default() };
        // There may be a hundred thousand of them, and they have no rules.
        let rules = Arc::clone(&shared.no_rules);
        let mut queue = Self::made(shared, lane, name, vhost, options, rules, Some(connection));
        queue.direct = Some(Direct::new(outlet));
        Arc::new(queue)
    }

    fn made(
        shared: Arc<Shared>,
        lane: u64,
        name: Arc<str>,
        vhost: Arc<str>,
        options: QueueOptions,
        rules: Arc<Rules>,
        owner: Option<u64>,
    ) -> Self {
        let duplicates = Duplicates::of(&shared, lane, &options, &rules);
        Self {
            lane,
            name,
            vhost,
            keeps_all: options.queue_type() != QueueType::Classic,
            options,
            owner,
            settings: ArcSwapOption::empty(),
            applied: Mutex::default(),
            seq: AtomicU64::new(0),
            may_refuse: AtomicBool::new(rules.may_refuse()),
            tells_attempts: AtomicBool::new(rules.tells_attempts),
            duplicates,
            direct: None,
            keeps: AtomicBool::new(true),
            stream: rules.stream.as_ref().map(|rules| Box::new(Stream::new(rules))),
            state: Mutex::new(State::new(rules)),
            line: Line::default(),
            wake_ms: AtomicU64::new(u64::MAX),
            is_scouted: AtomicBool::new(false),
            visible: AtomicBool::new(false),
            unsure_before: AtomicU64::new(0),
            redriving: AtomicUsize::new(0),
            used_ms: AtomicU64::new(now_ms()),
            shared,
        }
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

    /// Whether what its consumers refuse, and what expires, goes to an exchange.
    pub fn has_dead_letter_exchange(&self) -> bool {
        self.state.lock().has_dead_letter_exchange()
    }

    /// What it holds, now.
    pub fn status(&self) -> QueueStatus {
        if let Some(stream) = &self.stream {
            return stream.status();
        }
        if let Some(direct) = &self.direct {
            return direct.status(self.seq.load(Ordering::Relaxed));
        }
        let state = self.state.lock();
        let (ready_bytes, unacked_bytes) = state.bytes();
        QueueStatus {
            ready: state.ready_len(),
            delayed: state.delayed_len(),
            unacked: state.leased_len(),
            redriving: self.redriving.load(Ordering::Relaxed),
            ready_bytes,
            unacked_bytes,
            consumers: state.consumers_len(),
            counters: state.counters(),
        }
    }

    /// Whether it is there after a restart. An exclusive one goes with its connection, whatever was asked for.
    pub(crate) fn survives(&self) -> bool {
        self.options.durable && self.owner.is_none()
    }

    /// Tells the journal that messages are done. What to wait for until that is certain.
    pub(crate) fn forget_stored(&self, positions: &[Position]) -> Ticket {
        // A failed journal stops the process by itself.
        self.shared.journal.settle(positions).unwrap_or(NEVER)
    }

    fn note(&self, value: Option<u64>) {
        // A failed journal stops the process by itself.
        let _ = self.shared.journal.note(Note { lane: self.lane, value });
    }

    /// Discards what waits, also for the queue that it goes to since it was received too often; how many messages there were.
    pub fn purge(self: &Arc<Self>) -> usize {
        let (waiting, discarded) = self.with_grant(&mut Wakes::new(), |state, _| state.purge());
        let letters = self.take_redriven(|_| true);
        let count = waiting + letters.len();
        self.discard(Box::new(discarded.chain(letters)));
        count
    }

    /// Takes away messages that have left for the queue that the settings name, and are not there yet.
    fn take_redriven(&self, which: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        match self.redriving.load(Ordering::Relaxed) {
            0 => Vec::new(),
            _ => self.shared.outbox.take_redriven(self, which),
        }
    }

    /// Tells the journal that messages are done, a bounded number at a time. What to wait for until that is certain.
    fn discard(&self, mut discarded: Discarded) -> Option<Ticket> {
        let mut ticket = None;
        loop {
            let some = discarded.by_ref().take(STEP_ENTRIES_MAX);
            let mut count = 0;
            let left = |entry: &Entry| {
                count += 1;
                self.release_claim(entry.seq);
            };
            let positions: Vec<_> = some.inspect(left).filter_map(|entry| entry.position.get()).collect();
            if !positions.is_empty() {
                ticket = Some(self.forget_stored(&positions));
            }
            if count < STEP_ENTRIES_MAX {
                return ticket;
            }
        }
    }

    /// Gives it other rules, which hold at once for what is in it.
    pub(crate) fn set_rules(self: &Arc<Self>, rules: Arc<Rules>) {
        if let Some(stream) = &rules.stream {
            return self.set_retention(stream.retention);
        }
        // Not under the queue's lock: senders have this one first.
        if let (Some(window), Some(ordered)) = (self.window(), rules.window) {
            window.follow(ordered);
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
        if let Some(direct) = &self.direct {
            if conditions.unused {
                return Err(NotSealed::InUse);
            }
            direct.seal();
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
        if let Some(direct) = &self.direct {
            direct.close(wakes);
            return 0;
        }
        let mut state = self.state.lock();
        let (outlets, waiting, discarded) = state.close();
        for outlet in outlets {
            wakes.push(&outlet.inbox, Item::Cancelled(outlet.token));
        }
        drop(state);
        self.line.call_all();
        self.discard(discarded);
        if let Some(window) = self.window() {
            window.close();
        }
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
        if let Some(direct) = &self.direct {
            return direct.is_closed();
        }
        self.state.lock().is_closed()
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("name", &self.name).field("vhost", &self.vhost).finish_non_exhaustive()
    }
}
