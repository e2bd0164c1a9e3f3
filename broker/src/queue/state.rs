//! The queue as a state machine: what happens to it goes in, what is to be done comes out through [`Effects`].
//!
//! No clock, no randomness, no I/O, no await. The time is handed in as milliseconds since the epoch of Unix.
//!
//! * [`arriving`]: what comes in; [`waiting`]: what waits; [`settling`]: what is said of what was handed out; [`ending`]: all of it
//!   at once.
//! * [`seeking`]: consumers that are not for every message; [`receiving`]: those who come for some.
//! * [`counters`]: what is counted.
//! * this file: the queue itself, and who gets what in turn.

use std::sync::Arc;

use super::consumer::{Consumer, ConsumerId, ConsumerOptions, Consumers, LOOK_COST};
use super::entry::{Entry, Place};
use super::groups::Groups;
use super::later::Later;
use super::lease::{Lease, Leased, Leases};
use super::ordered::Ordered;
use super::ready::Ready;
use super::receipts::{self, Receipts};
use super::rules::{DeadLetter, Rules};
use super::selection::Selection;
use super::tally::Tally;
use crate::message::Message;

mod arriving;
mod counters;
mod ending;
mod receiving;
mod seeking;
mod settling;
mod waiting;

pub use self::counters::QueueCounters;
pub(crate) use self::ending::{Discarded, NotSealed, SealIf};

/// No step takes more messages out of the queue for want of time or room than this: a burst of them is several steps, and
/// others come in between.
pub(super) const STEP_ENTRIES_MAX: usize = 4096;

/// What consumers may spend in one step to look at messages, in nanoseconds or so: 1024 usual looks, and one at least.
const STEP_LOOKS_COST_MAX: usize = 1024 * LOOK_COST;

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

/// How a message is handed out.
#[derive(Clone, Copy)]
struct Handing {
    now_ms: u64,
    scarce: Scarce,
    /// How long a consumer may have it.
    lease_ms: Option<u64>,
}

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

    pub(crate) fn has_dead_letter_exchange(&self) -> bool {
        self.rules.dead_letter.is_some()
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

    /// When there is something to do that nobody asks for, in milliseconds since the epoch of Unix: the first message
    /// expires, a lease ends, a message is to be tried again. [`AT_ONCE_MS`] where a step left work to do.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        if self.unfinished {
            return Some(AT_ONCE_MS);
        }
        let mut next_ms = self.ready.first().map_or(u64::MAX, |first| first.expires_ms);
        if let Some(lapse_ms) = self.leases.next_deadline_ms() {
            next_ms = next_ms.min(lapse_ms);
        }
        if let Some(due_ms) = self.later.as_ref().and_then(|waiting| waiting.entries.next_ms()) {
            next_ms = next_ms.min(due_ms);
        }
        (next_ms != u64::MAX).then_some(next_ms)
    }

    /// Whether a step ended before its work was done.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.unfinished
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
