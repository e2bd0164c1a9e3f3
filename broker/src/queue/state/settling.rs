//! What is said of messages that somebody has, or what time says of them.

use super::{Departure, Effects, STEP_ENTRIES_MAX, State};
use crate::queue::consumer::ConsumerId;
use crate::queue::entry::{Entry, Place};
use crate::queue::lease::{Lease, Leased, Outcome, Said};
use crate::queue::receipts;
use crate::queue::rules::{Delayed, Rules};
use crate::queue::tally::Tally;

/// How a message came back that failed.
#[derive(Clone, Copy)]
struct Way {
    /// From somebody who had received it.
    was_received: bool,
    /// It is on the disk already that it would.
    is_known: bool,
}

impl<O> State<O> {
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

    /// A consumer has a message less, or somebody who received it. Whether it was received.
    #[inline]
    pub(super) fn end_lease(&mut self, entry: &Entry, consumer: Option<ConsumerId>) -> bool {
        self.remembers() && self.tell_end(entry, consumer)
    }

    fn tell_end(&mut self, entry: &Entry, consumer: Option<ConsumerId>) -> bool {
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

    /// A message goes for good: its group need not remember it.
    #[inline]
    pub(super) fn leave(&mut self, entry: &Entry) {
        if self.remembers() {
            self.forget(entry);
        }
    }

    /// Whether there is anything that has to be told of messages that are handed out, come back or leave.
    #[inline]
    fn remembers(&self) -> bool {
        self.seeks || self.receipts.is_some()
    }

    fn forget(&mut self, entry: &Entry) {
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

    /// A message leaves because something is wrong with it: where to depends on the rules.
    pub(super) fn fail(rules: &Rules, entry: Entry, why: Departure, effects: &mut impl Effects<O>) {
        let to = match why {
            Departure::Rejected | Departure::Exhausted => rules.dead_letter.as_ref().or(rules.redrive.as_ref()),
            _ => rules.dead_letter.as_ref(),
        };
        match to {
            Some(to) => effects.dead_lettered(entry, why, to),
            None => effects.departed(entry, why),
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
}
