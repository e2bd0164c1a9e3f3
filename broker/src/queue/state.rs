//! The queue as a state machine: what happens to it goes in, what is to be done comes out through [`Effects`].
//!
//! No clock, no randomness, no I/O, no await. The time is handed in as milliseconds since the epoch of Unix.

use std::sync::Arc;

use gantry_storage::Position;
use hashbrown::HashSet;

use super::consumer::{Consumer, ConsumerId, ConsumerOptions, Consumers, Found, LOOK_COST, View};
use super::entry::{Entry, Place};
use super::groups::{First, Groups};
use super::later::Later;
use super::lease::{Lease, Leased, Leases, Outcome, Said};
use super::ordered::Ordered;
use super::ready::Ready;
use super::receipts::{self, Receipts};
use super::rules::{DeadLetter, Delayed, Rules};
use super::seek::Key;
use super::selection::Selection;
use super::tally::Tally;
use crate::group::Group;
use crate::message::{Essentials, Message};

mod receiving;

/// No step takes more messages out of the queue for want of time or room than this: a burst of them is several steps, and
/// others come in between.
pub(super) const STEP_ENTRIES_MAX: usize = 4096;

/// What consumers may spend in one step to look at messages, in nanoseconds or so: 1024 usual looks, and one at least.
const STEP_LOOKS_COST_MAX: usize = 1024 * LOOK_COST;

/// Behind each message that has to be read, so many are read with it.
const READ_AHEAD: usize = 64;
/// So many messages are read at once, and not many more bytes.
const READ_MESSAGES_MAX: usize = 512;
const READ_BYTES: u64 = 4 << 20;

/// Why a message left a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// A consumer is done with it, or took it without wanting to say so.
    Accepted,
    /// A consumer gave it up.
    Rejected,
    /// Its time was over.
    Expired,
    /// It was purged, or its queue deleted.
    Discarded,
    /// There was no room for it.
    Overflowed,
    /// It was tried too often.
    Exhausted,
}

/// A message granted to somebody.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) seq: u64,
    pub(crate) message: Option<Arc<Message>>,
    pub(crate) position: Place,
    pub(crate) bytes: u32,
    pub(crate) redelivered: bool,
    pub(crate) attempts: u32,
    pub(crate) expires_ms: u64,
    /// None where this is the end of the message.
    pub(crate) lease: Option<Lease>,
}

/// What a step asks to be done. Called while the queue is locked: it notes, and acts later, except for putting a delivery
/// where its consumer finds it.
pub(crate) trait Effects<O> {
    /// Takes room for one delivery, if there is some.
    fn take_room(&mut self, outlet: &O) -> bool;

    /// Hands a message to a consumer.
    fn deliver(&mut self, outlet: &O, grant: Grant);

    /// A message has left the queue for good.
    fn departed(&mut self, entry: Entry, why: Departure);

    /// A message has left the queue and goes on to another place; it stays in the journal until it is there.
    fn dead_lettered(&mut self, entry: Entry, why: Departure, to: &Arc<DeadLetter>);

    /// There is something to remember of a message over restarts.
    fn tallied(&mut self, position: Place, tally: Tally);
}

/// A time that has come, whenever it is.
pub(crate) const AT_ONCE_MS: u64 = 1;

/// Memory is scarce: what is stored need not be kept in memory as well.
pub(crate) type Scarce = bool;

/// Why a consumer was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubscribeError {
    /// There is an exclusive consumer, or an exclusive one came second.
    InExclusiveUse,
    /// The queue was deleted.
    Closed,
    /// In an ordered queue nobody passes messages over.
    CannotChoose,
}

/// What has to hold for a queue to be closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SealIf {
    /// It has no consumers.
    pub(crate) unused: bool,
    /// No messages wait.
    pub(crate) empty: bool,
}

/// Why a queue was not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSealed {
    /// It has consumers.
    InUse,
    /// Messages wait.
    NotEmpty,
}

/// Counts since the queue came to be in this process. They only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounters {
    /// Messages that came in.
    pub enqueued: u64,
    /// Deliveries to consumers and fetches that want an outcome.
    pub delivered: u64,
    /// Deliveries and fetches without one.
    pub delivered_no_ack: u64,
    /// Of both, those marked as redelivered.
    pub redelivered: u64,
    /// Outcomes that accepted.
    pub accepted: u64,
    /// Messages given up by a consumer.
    pub rejected: u64,
    /// Messages whose time was over.
    pub expired: u64,
    /// Messages dropped because there were too many.
    pub overflowed: u64,
    /// Messages that were not taken because there were too many.
    pub refused: u64,
    /// Messages that failed too often.
    pub exhausted: u64,
    /// Messages that came to a direct queue when its connection had no room.
    pub dropped: u64,
}

impl QueueCounters {
    /// Adds another queue's counts.
    pub fn add(&mut self, other: &Self) {
        self.enqueued += other.enqueued;
        self.delivered += other.delivered;
        self.delivered_no_ack += other.delivered_no_ack;
        self.redelivered += other.redelivered;
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.expired += other.expired;
        self.overflowed += other.overflowed;
        self.refused += other.refused;
        self.exhausted += other.exhausted;
        self.dropped += other.dropped;
    }
}

/// Messages that wait for a time.
#[derive(Debug, Default)]
struct Waiting {
    entries: Later<Entry>,
    bytes: u64,
}

/// Room for messages that are about to come in.
#[derive(Debug, Default)]
struct Promised {
    len: usize,
    bytes: u64,
}

/// How a message came back that failed.
#[derive(Clone, Copy)]
struct Way {
    /// From somebody who had received it.
    was_received: bool,
    /// It is on the disk already that it would.
    is_known: bool,
}

/// How a message is handed out.
#[derive(Clone, Copy)]
struct Handing {
    now_ms: u64,
    scarce: Scarce,
    /// How long a consumer may have it.
    lease_ms: Option<u64>,
}

/// Messages that leave a queue all at once. Walking through them takes no lock, however many there are.
pub(crate) type Discarded = Box<dyn Iterator<Item = Entry> + Send>;

/// A queue.
#[derive(Debug)]
pub(crate) struct State<O> {
    rules: Arc<Rules>,
    /// The rules have it drop messages when there are too many.
    drops: bool,
    ready: Ready,
    /// Messages that have failed and are tried again later. Only where the rules have them wait.
    later: Option<Box<Waiting>>,
    /// Room that messages on their way in have been promised.
    promised: Promised,
    leases: Leases,
    consumers: Consumers<O>,
    /// Not every message is for every consumer: they have to look for theirs.
    seeks: bool,
    /// Counts what came in or came back since then.
    arrivals: u64,
    /// A consumer has to know what is in a message that is only on the disk.
    unread: bool,
    /// Only where there was a message with a group.
    groups: Option<Box<Groups>>,
    /// Only where the rules have messages of one group come in order.
    ordered: Option<Box<Ordered>>,
    /// The rules have something happen to each message that comes in.
    adapts: bool,
    /// Only where somebody received messages.
    receipts: Option<Box<Receipts>>,
    /// Messages that have failed so often go to another place when they come up once more.
    receives_max: u32,
    closed: bool,
    /// A step ended before its work was done: the next one is due at once.
    unfinished: bool,
    /// One more than the highest sequence number that was granted to somebody.
    delivered_to: u64,
    counters: QueueCounters,
}

impl<O> State<O> {
    /// An empty queue. Whether it is ordered is decided now, and no rules change it later.
    pub(crate) fn new(rules: Arc<Rules>) -> Self {
        let mut state = Self {
            rules: Arc::default(),
            drops: false,
            ready: Ready::default(),
            later: None,
            promised: Promised::default(),
            leases: Leases::default(),
            consumers: Consumers::default(),
            seeks: false,
            arrivals: 0,
            unread: false,
            groups: None,
            ordered: rules.ordered.then(Box::default),
            adapts: false,
            receipts: None,
            receives_max: u32::MAX,
            closed: false,
            unfinished: false,
            delivered_to: 0,
            counters: QueueCounters::default(),
        };
        state.set_rules(rules);
        state.set_seeks();
        state
    }

    /// The rules that it follows.
    pub(crate) fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Gives it other rules. As in RabbitMQ, what is in the queue keeps the time to live and the priority that it came in
    /// with; what is too much goes. [`State::grant`] is due afterwards.
    pub(crate) fn set_rules(&mut self, rules: Arc<Rules>) {
        self.drops = rules.may_drop();
        if let Some(groups) = &mut self.groups {
            groups.set_fair(rules.fair);
        }
        self.adapts = self.ordered.is_some() || rules.delay_ms.is_some();
        self.receives_max = rules.receives_max.filter(|_| rules.redrive.is_some()).unwrap_or(u32::MAX);
        self.consumers.set_alone(rules.single_active, rules.takes_over);
        self.rules = rules;
    }

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

    /// Takes a message that is new here and has a group or a delay, or may have.
    fn take_in(&mut self, entry: Entry, group: Option<Group>, delay_ms: Option<u32>, published_ms: u64, now_ms: u64) {
        self.enter(&entry, group);
        let delay_ms = delay_ms.map(u64::from).or(self.rules.delay_ms).unwrap_or(0);
        let due_ms = published_ms.saturating_add(delay_ms);
        if due_ms > now_ms { self.put_later(entry, due_ms, now_ms) } else { self.put(entry) }
    }

    /// Has a message wait for a time.
    fn put_later(&mut self, entry: Entry, due_ms: u64, now_ms: u64) {
        if let Some(ordered) = &mut self.ordered {
            ordered.delay(entry.seq);
        }
        let waiting = self.later.get_or_insert_default();
        waiting.bytes += u64::from(entry.body_bytes());
        waiting.entries.push(due_ms, now_ms, entry);
    }

    /// Puts a message at its place among those that wait.
    fn put(&mut self, entry: Entry) {
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

    /// Takes out the first message that waits.
    fn pull_first(&mut self) -> Option<Entry> {
        let entry = self.ready.pop_first()?;
        if self.seeks {
            self.pulled(Key::of(&entry));
        }
        Some(entry)
    }

    /// Takes out a message that waits.
    fn pull(&mut self, key: Key) -> Option<Entry> {
        let entry = self.ready.remove(key)?;
        self.pulled(key);
        Some(entry)
    }

    fn pulled(&mut self, key: Key) {
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

    /// Consumers may look once more at groups that begin with these messages.
    fn show(&mut self, first: First) {
        for key in first {
            self.arrivals += 1;
            self.consumers.show(key);
        }
    }

    /// A message has come that may have a group.
    fn enter(&mut self, entry: &Entry, group: Option<Group>) {
        if let Some(ordered) = &mut self.ordered {
            return ordered.enter(entry.seq, group);
        }
        let Some(group) = group else { return };
        let groups = self.groups.get_or_insert_default();
        groups.set_fair(self.rules.fair);
        groups.enter(entry.seq, group);
        self.seeks = true;
    }

    /// A message goes for good: its group need not remember it.
    fn leave(&mut self, entry: &Entry) {
        receipts::forget(&mut self.receipts, entry.seq);
        if let Some(ordered) = &mut self.ordered {
            ordered.leave(entry.seq);
        }
        let Some(groups) = &mut self.groups else { return };
        groups.leave(entry.seq);
        if groups.is_empty() {
            self.groups = None;
            self.set_seeks();
        }
    }

    /// A consumer has a message less, or somebody who received it. Whether it was received.
    fn end_lease(&mut self, entry: &Entry, consumer: Option<ConsumerId>) -> bool {
        if let Some(ordered) = &mut self.ordered {
            ordered.give_back(entry.seq);
        }
        let was_received = consumer.is_none() && self.receipts.as_mut().is_some_and(|receipts| receipts.end(entry.seq));
        if let Some(groups) = self.groups.as_mut().filter(|_| was_received) {
            groups.give_back(entry.seq);
        }
        if let (Some(groups), Some(consumer)) = (&mut self.groups, consumer) {
            let first = groups.returned(entry.seq, consumer);
            self.show(first);
        }
        was_received
    }

    fn set_seeks(&mut self) {
        let seeks = self.groups.is_some() || self.ordered.is_some() || self.consumers.any_choosy();
        if self.seeks && !seeks {
            self.consumers.stop_looking();
        }
        self.seeks = seeks;
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
        self.take_in(entry, essentials.group, essentials.delay_ms, published_ms, now_ms);
    }

    /// What the rules make of a message that comes in.
    fn adapt(&self, entry: &mut Entry, from_ms: u64) {
        entry.priority = if self.ordered.is_some() { 0 } else { entry.priority.min(self.rules.priority_max) };
        if let Some(ttl_ms) = self.rules.ttl_ms {
            entry.expires_ms = entry.expires_ms.min(from_ms.saturating_add(ttl_ms));
        }
    }

    pub(crate) fn has_dead_letter_exchange(&self) -> bool {
        self.rules.dead_letter.is_some()
    }

    /// A message leaves because something is wrong with it: where to depends on the rules.
    fn fail(rules: &Rules, entry: Entry, why: Departure, effects: &mut impl Effects<O>) {
        let to = match why {
            Departure::Rejected | Departure::Exhausted => rules.dead_letter.as_ref().or(rules.redrive.as_ref()),
            _ => rules.dead_letter.as_ref(),
        };
        match to {
            Some(to) => effects.dead_lettered(entry, why, to),
            None => effects.departed(entry, why),
        }
    }

    /// The entry that has just been enqueued under this number, if it still waits. `priority` is that of the message.
    pub(crate) fn newcomer(&mut self, seq: u64, priority: u8) -> Option<&mut Entry> {
        self.ready.newcomer(seq, priority.min(self.rules.priority_max))
    }

    /// Hands out what waits to whoever can take it, and takes out what has expired or does not fit then.
    pub(crate) fn grant(&mut self, now_ms: u64, scarce: Scarce, effects: &mut impl Effects<O>) {
        let mut steps = STEP_ENTRIES_MAX;
        let mut budget = STEP_LOOKS_COST_MAX;
        self.unfinished = false;
        // Whoever waited for a message to be read may have been spared that by somebody who took it.
        self.unread = false;
        if self.later.is_some() {
            self.take_due(now_ms, &mut steps);
            if self.unfinished {
                return;
            }
        }
        loop {
            let Some(first) = self.ready.first() else {
                self.unread = false;
                return;
            };
            // What expires just now is handed out where somebody can take it: with a time to live of 0 a message is for
            // those who wait for it.
            if first.expires_ms < now_ms {
                self.expire_before(now_ms, &mut steps, effects);
                if self.unfinished {
                    self.unread = false;
                    return;
                }
                continue;
            }
            if self.seeks {
                self.unread = false;
                if self.grant_found(now_ms, scarce, (&mut steps, &mut budget), effects) {
                    continue;
                }
                if self.unfinished {
                    return;
                }
                break;
            }
            if first.attempts >= self.receives_max && self.consumers.any_in_turn() {
                self.redrive_first(&mut steps, effects);
                if self.unfinished {
                    return;
                }
                continue;
            }
            let Some((id, consumer)) = self.consumers.next(|outlet| effects.take_room(outlet)) else {
                break;
            };
            let Some(entry) = self.ready.pop_first() else { return };
            self.delivered_to = self.delivered_to.max(entry.seq + 1);
            if !consumer.options.acknowledges {
                receipts::forget(&mut self.receipts, entry.seq);
            }
            let handing = Handing { now_ms, scarce, lease_ms: self.rules.lease_ms };
            Self::hand_out(&mut self.leases, &mut self.counters, (id, consumer), entry, handing, effects);
        }
        self.expire_before(now_ms.saturating_add(1), &mut steps, effects);
        if self.drops {
            self.drop_overflow(&mut steps, effects);
        }
    }

    fn hand_out(
        leases: &mut Leases,
        counters: &mut QueueCounters,
        (id, consumer): (ConsumerId, &Consumer<O>),
        entry: Entry,
        Handing { now_ms, scarce, lease_ms }: Handing,
        effects: &mut impl Effects<O>,
    ) {
        let grant = if consumer.options.acknowledges {
            let grant = Self::lease(leases, counters, entry, Some(id), scarce);
            if let (Some(ms), Some(lease)) = (lease_ms, grant.lease) {
                leases.set_deadline(lease, now_ms.saturating_add(ms));
            }
            grant
        } else {
            Self::end(counters, entry)
        };
        effects.deliver(&consumer.outlet, grant);
    }

    /// Has consumers look for a message. True where that led to something, and the next one can be looked for.
    fn grant_found(
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

    fn hand_out_found(&mut self, id: ConsumerId, entry: Entry, handing: Handing, effects: &mut impl Effects<O>) {
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

    /// Drops messages from the front while there are too many.
    fn drop_overflow(&mut self, steps: &mut usize, effects: &mut impl Effects<O>) {
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

    fn may_step(&mut self, steps: &mut usize) -> bool {
        match steps.checked_sub(1) {
            Some(left) => *steps = left,
            None => self.unfinished = true,
        }
        !self.unfinished
    }

    /// Has messages be tried again whose time has come.
    fn take_due(&mut self, now_ms: u64, steps: &mut usize) {
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

    /// Takes the first message, for somebody who is not a consumer. A lease, unless `acknowledges` is false.
    /// [`State::grant`] is due afterwards; where this took no message and that leaves work unfinished, asking again is.
    pub(crate) fn fetch(
        &mut self,
        now_ms: u64,
        acknowledges: bool,
        scarce: Scarce,
        effects: &mut impl Effects<O>,
    ) -> Option<Grant> {
        let mut steps = STEP_ENTRIES_MAX;
        self.unfinished = false;
        if self.later.is_some() {
            self.take_due(now_ms, &mut steps);
        }
        if self.unfinished {
            return None;
        }
        let entry = self.next_to_receive(None, now_ms, &mut steps, effects)?;
        self.delivered_to = self.delivered_to.max(entry.seq + 1);
        // Whoever fetches is told how many are left, and those are not.
        self.expire_before(now_ms.saturating_add(1), &mut steps, effects);
        if !acknowledges {
            self.leave(&entry);
            return Some(Self::end(&mut self.counters, entry));
        }
        if let Some(ordered) = &mut self.ordered {
            ordered.lend(entry.seq, None);
        }
        let grant = Self::lease(&mut self.leases, &mut self.counters, entry, None, scarce);
        if let (Some(ms), Some(lease)) = (self.rules.lease_ms, grant.lease) {
            self.leases.set_deadline(lease, now_ms.saturating_add(ms));
        }
        Some(grant)
    }

    fn lease(
        leases: &mut Leases,
        counters: &mut QueueCounters,
        mut entry: Entry,
        consumer: Option<ConsumerId>,
        scarce: Scarce,
    ) -> Grant {
        counters.delivered += 1;
        counters.redelivered += u64::from(entry.redelivered);
        let mut grant = Grant {
            seq: entry.seq,
            message: entry.message.clone(),
            position: entry.position,
            bytes: entry.bytes,
            redelivered: entry.redelivered,
            attempts: entry.attempts,
            expires_ms: entry.expires_ms,
            lease: None,
        };
        if scarce && entry.position.get().is_some() {
            entry.message = None;
        }
        grant.lease = Some(leases.insert(Leased { entry, consumer }));
        grant
    }

    fn end(counters: &mut QueueCounters, entry: Entry) -> Grant {
        counters.delivered_no_ack += 1;
        counters.redelivered += u64::from(entry.redelivered);
        Grant {
            seq: entry.seq,
            message: entry.message,
            position: entry.position,
            bytes: entry.bytes,
            redelivered: entry.redelivered,
            attempts: entry.attempts,
            expires_ms: entry.expires_ms,
            lease: None,
        }
    }

    /// Says the outcome of a delivery; false where there is no such lease (any more). [`State::grant`] is due afterwards.
    pub(crate) fn settle(
        &mut self,
        lease: Lease,
        outcome: Outcome,
        now_ms: u64,
        effects: &mut impl Effects<O>,
    ) -> bool {
        let Leased { entry, consumer } = match self.leases.remove(lease) {
            Some(Said::Leased(leased)) => leased,
            Some(Said::Late(consumer)) => {
                self.consumers.catch_up(consumer);
                return false;
            }
            None => return false,
        };
        let was_received = self.end_lease(&entry, consumer);
        match outcome {
            Outcome::Accept => {
                self.counters.accepted += 1;
                self.leave(&entry);
                effects.departed(entry, Departure::Accepted);
            }
            Outcome::Reject => {
                self.counters.rejected += 1;
                self.leave(&entry);
                Self::fail(&self.rules, entry, Departure::Rejected, effects);
            }
            Outcome::Release => self.put(entry),
            Outcome::Retry | Outcome::Return => {
                self.retry(entry, outcome, Way { was_received, is_known: false }, now_ms, effects)
            }
        }
        if let Some(consumer) = consumer {
            self.consumers.refill(consumer);
        }
        true
    }

    /// A message failed: it is tried again, now or later, unless that was once too often.
    ///
    /// Who received it decides how long it waits, by the time it is leased for.
    fn retry(
        &mut self,
        mut entry: Entry,
        outcome: Outcome,
        Way { was_received, is_known }: Way,
        now_ms: u64,
        effects: &mut impl Effects<O>,
    ) {
        entry.attempts = entry.attempts.saturating_add(1);
        entry.redelivered = true;
        if self.rules.delivery_limit.is_some_and(|limit| entry.attempts > limit) {
            self.counters.exhausted += 1;
            self.leave(&entry);
            return Self::fail(&self.rules, entry, Departure::Exhausted, effects);
        }
        if !is_known {
            let first_ms = receipts::first_ms(&self.receipts, entry.seq);
            effects.tallied(entry.position, Tally { attempts: entry.attempts, first_ms, until_ms: 0 });
        }
        match self.rules.retry_delay {
            Some(delay) if !was_received && (delay.which == Delayed::All || outcome == Outcome::Return) => {
                let due_ms = now_ms.saturating_add(delay.after_ms(entry.attempts));
                self.put_later(entry, due_ms, now_ms);
            }
            _ => self.put(entry),
        }
    }

    /// Takes messages back whose consumers have had them for too long. [`State::grant`] is due afterwards.
    pub(crate) fn lapse(&mut self, now_ms: u64, effects: &mut impl Effects<O>) {
        for _ in 0..STEP_ENTRIES_MAX {
            let Some((Leased { entry, consumer }, remembered)) = self.leases.lapse(now_ms) else { return };
            match consumer {
                Some(consumer) if remembered => self.consumers.lapse(consumer),
                Some(consumer) => self.consumers.lose(consumer),
                None => {}
            }
            let was_received = self.end_lease(&entry, consumer);
            // Of one that was received it has been said until when, and so that it has failed by then.
            let way = Way { was_received, is_known: was_received };
            self.retry(entry, Outcome::Retry, way, now_ms, effects);
        }
    }

    /// Where the message of a lease is stored.
    pub(crate) fn leased_place(&self, lease: Lease) -> Option<Place> {
        self.leases.get(lease).map(|leased| leased.entry.position)
    }

    /// The message of a lease does not expire any more.
    pub(crate) fn hold(&mut self, lease: Lease) {
        self.leases.hold(lease);
    }

    /// Adds a consumer. [`State::grant`] is due afterwards.
    pub(crate) fn subscribe(
        &mut self,
        outlet: O,
        options: ConsumerOptions,
        selection: Selection,
    ) -> Result<ConsumerId, SubscribeError> {
        if self.closed {
            return Err(SubscribeError::Closed);
        }
        if self.ordered.is_some() && !selection.is_everything() {
            return Err(SubscribeError::CannotChoose);
        }
        if self.rules.single_active && options.exclusive {
            return Err(SubscribeError::InExclusiveUse);
        }
        if self.consumers.any_exclusive() || options.exclusive && self.consumers.len() > 0 {
            return Err(SubscribeError::InExclusiveUse);
        }
        let id = self.consumers.insert(outlet, options, selection);
        self.set_seeks();
        Ok(id)
    }

    /// Removes a consumer; its leases stay until their outcome is said, which is at once where it `leaves`. False where it was
    /// not there.
    pub(crate) fn unsubscribe(&mut self, id: ConsumerId, leaves: bool) -> bool {
        let removed = self.consumers.remove(id, leaves).is_some();
        if removed && self.seeks {
            let Self { consumers, groups, arrivals, .. } = self;
            if let Some(known) = groups {
                known.left(id, |key| {
                    *arrivals += 1;
                    consumers.show(key);
                });
                if known.is_empty() {
                    *groups = None;
                }
            }
            self.set_seeks();
        }
        removed
    }

    /// The consumer has room again. [`State::grant`] is due afterwards.
    pub(crate) fn resume(&mut self, id: ConsumerId) {
        self.consumers.line_up(id);
    }

    /// Drops what has expired. Only the head of the queue is looked at: a message behind one that still lives goes when it
    /// becomes the first, as in RabbitMQ.
    fn expire_before(&mut self, ms: u64, steps: &mut usize, effects: &mut impl Effects<O>) {
        while self.ready.first().is_some_and(|first| first.expires_ms < ms) {
            if !self.may_step(steps) {
                return;
            }
            if let Some(entry) = self.pull_first() {
                self.expire(entry, effects);
            }
        }
    }

    fn expire(&mut self, entry: Entry, effects: &mut impl Effects<O>) {
        self.counters.expired += 1;
        self.leave(&entry);
        Self::fail(&self.rules, entry, Departure::Expired, effects);
    }

    /// When there is something to do that nobody asks for, in milliseconds since the epoch of Unix: the first message
    /// expires, a lease ends, a message is to be tried again. [`AT_ONCE_MS`] where a step left work to do.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        if self.unfinished {
            return Some(AT_ONCE_MS);
        }
        let expiry = self.ready.first().map(|first| first.expires_ms).filter(|at_ms| *at_ms != u64::MAX);
        let lapse = self.leases.next_deadline_ms();
        let due = self.later.as_ref().and_then(|waiting| waiting.entries.next_ms());
        [expiry, lapse, due].into_iter().flatten().min()
    }

    /// Whether a step ended before its work was done.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    /// Takes nothing and nobody any more: [`State::close`] follows. Where a condition is not met, nothing happens; asking and
    /// closing are one step, so that nothing can come in between and be lost.
    pub(crate) fn seal(&mut self, conditions: SealIf) -> Result<(), NotSealed> {
        if conditions.unused && self.consumers.len() > 0 {
            return Err(NotSealed::InUse);
        }
        if conditions.empty && self.ready_len() > 0 {
            return Err(NotSealed::NotEmpty);
        }
        self.closed = true;
        Ok(())
    }

    /// Discards what waits; leased messages stay. How many there were.
    pub(crate) fn purge(&mut self) -> (usize, Discarded) {
        let waiting = self.ready_len();
        let mut ready = self.ready.take();
        let later = self.later.take().map(|mut later| later.entries.drain());
        if let Some(ordered) = &mut self.ordered {
            **ordered = ordered.only(self.leases.iter().map(|leased| (leased.entry.seq, leased.consumer)));
        }
        if self.groups.is_some() || self.receipts.is_some() {
            let leased: HashSet<u64> = self.leases.iter().map(|leased| leased.entry.seq).collect();
            receipts::forget_others(&mut self.receipts, &leased);
            if let Some(groups) = &mut self.groups {
                groups.keep(|seq| leased.contains(&seq));
                if groups.is_empty() {
                    self.groups = None;
                }
                self.set_seeks();
            }
        }
        let all = std::iter::from_fn(move || ready.pop_first()).chain(later.into_iter().flatten());
        (waiting, Box::new(all))
    }

    /// The end of the queue: discards everything. The outlets of its consumers, and how many messages waited.
    pub(crate) fn close(&mut self) -> (Vec<O>, usize, Discarded) {
        self.closed = true;
        let (waiting, discarded) = self.purge();
        let leased = self.leases.drain().map(|leased| leased.entry);
        self.receipts = None;
        let outlets = self.consumers.drain().map(|consumer| consumer.outlet).collect();
        self.groups = None;
        if let Some(ordered) = &mut self.ordered {
            **ordered = Ordered::default();
        }
        self.set_seeks();
        (outlets, waiting, Box::new(discarded.chain(leased)))
    }

    /// Whether it has been closed, or is about to be.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Messages that wait, for a consumer or for a time.
    pub(crate) fn ready_len(&self) -> usize {
        self.ready.len() + self.later.as_ref().map_or(0, |waiting| waiting.entries.len())
    }

    /// Of those, the ones that wait for a time.
    pub(crate) fn delayed_len(&self) -> usize {
        self.later.as_ref().map_or(0, |waiting| waiting.entries.len())
    }

    /// Whether somebody who comes for messages may find one.
    #[inline]
    pub(crate) fn has_something(&self) -> bool {
        match &self.ordered {
            None => !self.ready.is_empty(),
            Some(ordered) => ordered.any_free(),
        }
    }

    /// Messages leased.
    pub(crate) fn leased_len(&self) -> usize {
        self.leases.len()
    }

    /// Bytes of the bodies that wait, and of those leased.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let later = self.later.as_ref().map_or(0, |waiting| waiting.bytes);
        (self.ready.bytes() + later, self.leases.bytes())
    }

    /// Consumers subscribed.
    pub(crate) fn consumers_len(&self) -> usize {
        self.consumers.len()
    }

    /// One more than the highest sequence number that was granted to somebody.
    pub(crate) fn delivered_to(&self) -> u64 {
        self.delivered_to
    }

    /// Tells how far it had been delivered before the restart.
    pub(crate) fn restore_delivered_to(&mut self, seq: u64) {
        self.delivered_to = seq;
    }

    /// The counters.
    pub(crate) fn counters(&self) -> QueueCounters {
        self.counters
    }

    /// Which message a lease is for.
    #[cfg(test)]
    pub(super) fn leased_seq(&self, lease: Lease) -> Option<u64> {
        self.leases.get(lease).map(|leased| leased.entry.seq)
    }

    #[cfg(test)]
    pub(super) fn ordered(&self) -> Option<&Ordered> {
        self.ordered.as_deref()
    }

    /// Leases whose time was over and of which nothing has been said yet.
    #[cfg(test)]
    pub(super) fn lapsed_len(&self) -> usize {
        self.leases.lapsed_len()
    }

    /// Entries and leases that there is memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.ready.capacity() + self.leases.capacity()
    }

    /// Gives memory back that a busy time left behind.
    pub(crate) fn shrink(&mut self) {
        if self.ready.is_empty() {
            self.ready.shrink();
        }
    }
}
