//! The queue as a state machine: what happens to it goes in, what is to be done comes out through [`Effects`].
//!
//! No clock, no randomness, no I/O, no await. The time is handed in as milliseconds since the epoch of Unix.

use std::sync::Arc;

use super::consumer::{ConsumerId, ConsumerOptions, Consumers};
use super::entry::{Entry, Place};
use super::lease::{Lease, Leased, Leases, Outcome};
use super::ready::Ready;
use super::rules::{DeadLetter, Rules};
use crate::message::Message;

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
}

/// A message granted to somebody.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) message: Option<Arc<Message>>,
    pub(crate) position: Place,
    pub(crate) bytes: u32,
    pub(crate) redelivered: bool,
    pub(crate) attempts: u32,
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

    /// A message came back as failed, so often by now.
    fn retried(&mut self, position: Place, attempts: u32);
}

/// Memory is scarce: what is stored need not be kept in memory as well.
pub(crate) type Scarce = bool;

/// Why a consumer was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubscribeError {
    /// There is an exclusive consumer, or an exclusive one came second.
    InExclusiveUse,
    /// The queue was deleted.
    Closed,
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
    }
}

/// A queue.
#[derive(Debug)]
pub(crate) struct State<O> {
    rules: Arc<Rules>,
    ready: Ready,
    leases: Leases,
    consumers: Consumers<O>,
    closed: bool,
    /// One more than the highest sequence number that was granted to somebody.
    delivered_to: u64,
    counters: QueueCounters,
}

impl<O> State<O> {
    /// An empty queue.
    pub(crate) fn new(rules: Arc<Rules>) -> Self {
        Self {
            rules,
            ready: Ready::default(),
            leases: Leases::default(),
            consumers: Consumers::default(),
            closed: false,
            delivered_to: 0,
            counters: QueueCounters::default(),
        }
    }

    /// The rules that it follows.
    pub(crate) fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Takes a message; gives it back where the queue was deleted. Its time to live here starts at `now_ms`.
    pub(crate) fn enqueue(&mut self, mut entry: Entry, now_ms: u64) -> Result<(), Entry> {
        if self.closed {
            return Err(entry);
        }
        self.counters.enqueued += 1;
        self.limit_time(&mut entry, now_ms);
        self.ready.push(entry);
        Ok(())
    }

    /// Puts back what was found at recovery. `published_ms` is when it came in.
    pub(crate) fn restore(&mut self, mut entry: Entry, published_ms: u64) {
        self.limit_time(&mut entry, published_ms);
        self.ready.push(entry);
    }

    fn limit_time(&self, entry: &mut Entry, from_ms: u64) {
        if let Some(ttl_ms) = self.rules.ttl_ms {
            entry.expires_ms = entry.expires_ms.min(from_ms.saturating_add(ttl_ms));
        }
    }

    /// A message leaves because something is wrong with it: where to depends on the rules.
    fn fail(rules: &Rules, entry: Entry, why: Departure, effects: &mut impl Effects<O>) {
        match &rules.dead_letter {
            Some(to) => effects.dead_lettered(entry, why, to),
            None => effects.departed(entry, why),
        }
    }

    /// The entry that has just been enqueued under this number, if it still waits.
    pub(crate) fn newcomer(&mut self, seq: u64) -> Option<&mut Entry> {
        self.ready.newcomer(seq)
    }

    /// Hands out what waits to whoever can take it, and drops what has expired then.
    pub(crate) fn grant(&mut self, now_ms: u64, scarce: Scarce, effects: &mut impl Effects<O>) {
        loop {
            // What expires just now is handed out where somebody can take it: with a time to live of 0 a message is for
            // those who wait for it.
            self.expire_before(now_ms, effects);
            if self.ready.is_empty() {
                return;
            }
            let Some((id, consumer)) = self.consumers.next(|outlet| effects.take_room(outlet)) else {
                return self.expire(now_ms, effects);
            };
            let Some(entry) = self.ready.pop_first() else { return };
            self.delivered_to = self.delivered_to.max(entry.seq + 1);
            let lease_for = consumer.options.acknowledges.then_some(id);
            let grant = match lease_for {
                Some(id) => Self::lease(&mut self.leases, &mut self.counters, entry, Some(id), scarce),
                None => Self::end(&mut self.counters, entry),
            };
            effects.deliver(&consumer.outlet, grant);
        }
    }

    /// Takes the first message, for somebody who is not a consumer. A lease, unless `acknowledges` is false.
    pub(crate) fn fetch(
        &mut self,
        now_ms: u64,
        acknowledges: bool,
        scarce: Scarce,
        effects: &mut impl Effects<O>,
    ) -> Option<Grant> {
        self.expire(now_ms, effects);
        let entry = self.ready.pop_first()?;
        self.delivered_to = self.delivered_to.max(entry.seq + 1);
        Some(if acknowledges {
            Self::lease(&mut self.leases, &mut self.counters, entry, None, scarce)
        } else {
            Self::end(&mut self.counters, entry)
        })
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
            message: entry.message.clone(),
            position: entry.position,
            bytes: entry.bytes,
            redelivered: entry.redelivered,
            attempts: entry.attempts,
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
            message: entry.message,
            position: entry.position,
            bytes: entry.bytes,
            redelivered: entry.redelivered,
            attempts: entry.attempts,
            lease: None,
        }
    }

    /// Says the outcome of a delivery; false where there is no such lease (any more). [`State::grant`] is due afterwards.
    pub(crate) fn settle(&mut self, lease: Lease, outcome: Outcome, effects: &mut impl Effects<O>) -> bool {
        let Some(Leased { mut entry, consumer }) = self.leases.remove(lease) else { return false };
        match outcome {
            Outcome::Accept => {
                self.counters.accepted += 1;
                effects.departed(entry, Departure::Accepted);
            }
            Outcome::Reject => {
                self.counters.rejected += 1;
                Self::fail(&self.rules, entry, Departure::Rejected, effects);
            }
            Outcome::Release => self.ready.push(entry),
            Outcome::Retry => {
                entry.attempts = entry.attempts.saturating_add(1);
                entry.redelivered = true;
                effects.retried(entry.position, entry.attempts);
                self.ready.push(entry);
            }
        }
        if let Some(consumer) = consumer {
            self.consumers.refill(consumer);
        }
        true
    }

    /// Where the message of a lease is stored.
    pub(crate) fn leased_place(&self, lease: Lease) -> Option<Place> {
        self.leases.get(lease).map(|leased| leased.entry.position)
    }

    /// Adds a consumer. [`State::grant`] is due afterwards.
    pub(crate) fn subscribe(&mut self, outlet: O, options: ConsumerOptions) -> Result<ConsumerId, SubscribeError> {
        if self.closed {
            return Err(SubscribeError::Closed);
        }
        if self.consumers.any_exclusive() || options.exclusive && self.consumers.len() > 0 {
            return Err(SubscribeError::InExclusiveUse);
        }
        Ok(self.consumers.insert(outlet, options))
    }

    /// Removes a consumer; its leases stay until their outcome is said. False where it was not there.
    pub(crate) fn unsubscribe(&mut self, id: ConsumerId) -> bool {
        self.consumers.remove(id).is_some()
    }

    /// The consumer has room again. [`State::grant`] is due afterwards.
    pub(crate) fn resume(&mut self, id: ConsumerId) {
        self.consumers.line_up(id);
    }

    /// Drops what has expired. Only the head of the queue is looked at: a message behind one that still lives goes when it
    /// becomes the first, as in RabbitMQ.
    pub(crate) fn expire(&mut self, now_ms: u64, effects: &mut impl Effects<O>) {
        self.expire_before(now_ms.saturating_add(1), effects);
    }

    fn expire_before(&mut self, ms: u64, effects: &mut impl Effects<O>) {
        while self.ready.first().is_some_and(|first| first.expires_ms < ms) {
            if let Some(entry) = self.ready.pop_first() {
                self.counters.expired += 1;
                Self::fail(&self.rules, entry, Departure::Expired, effects);
            }
        }
    }

    /// When the first message expires, in milliseconds since the epoch of Unix.
    pub(crate) fn next_expiry_ms(&self) -> Option<u64> {
        self.ready.first().map(|first| first.expires_ms).filter(|at| *at != u64::MAX)
    }

    /// Takes nothing and nobody any more: [`State::close`] follows. Where a condition is not met, nothing happens; asking and
    /// closing are one step, so that nothing can come in between and be lost.
    pub(crate) fn seal(&mut self, conditions: SealIf) -> Result<(), NotSealed> {
        if conditions.unused && self.consumers.len() > 0 {
            return Err(NotSealed::InUse);
        }
        if conditions.empty && !self.ready.is_empty() {
            return Err(NotSealed::NotEmpty);
        }
        self.closed = true;
        Ok(())
    }

    /// Discards what waits; leased messages stay. How many there were.
    pub(crate) fn purge(&mut self, effects: &mut impl Effects<O>) -> usize {
        let mut purged = 0;
        while let Some(entry) = self.ready.pop_first() {
            purged += 1;
            effects.departed(entry, Departure::Discarded);
        }
        self.ready.shrink();
        purged
    }

    /// The end of the queue: discards everything. The outlets of its consumers, and how many messages waited.
    pub(crate) fn close(&mut self, effects: &mut impl Effects<O>) -> (Vec<O>, usize) {
        self.closed = true;
        let waiting = self.purge(effects);
        for leased in self.leases.drain() {
            effects.departed(leased.entry, Departure::Discarded);
        }
        (self.consumers.drain().map(|consumer| consumer.outlet).collect(), waiting)
    }

    /// Whether it has been closed, or is about to be.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Messages that wait.
    pub(crate) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// Messages leased.
    pub(crate) fn leased_len(&self) -> usize {
        self.leases.len()
    }

    /// Bytes of the messages that wait, and of those leased.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.ready.bytes(), self.leases.bytes())
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
