//! Messages for those who come and ask for some: see [`super::super::receive`].

use super::{Departure, Discarded, Effects, Grant, STEP_ENTRIES_MAX, Scarce, State};
use crate::group::Group;
use crate::queue::entry::Entry;
use crate::queue::lease::{Lease, Leased, Outcome, Said};
use crate::queue::receipts::Known;
use crate::queue::receive::{Receipt, Receipted, Receive};
use crate::queue::seek::Key;
use crate::queue::tally::Tally;

/// What was taken, and when each was received for the first time.
#[derive(Debug, Default)]
pub(in crate::queue) struct Taken {
    pub(in crate::queue) grants: Vec<(Grant, u64)>,
    pub(in crate::queue) limit_reached: bool,
}

/// Where the message of a receipt is.
enum Found {
    /// Whoever has the receipt has it.
    Leased(Lease, Known),
    /// It waits, and nobody has received it since.
    Waiting(Key),
    /// It is here, and not for this receipt any more.
    Elsewhere,
    Nowhere,
}

impl<O> State<O> {
    /// Whether somebody has a message who received it.
    pub(in crate::queue) fn is_lent(&self) -> bool {
        self.receipts.as_ref().is_some_and(|receipts| receipts.leases().next().is_some())
    }

    /// Takes messages that wait, for somebody who is not a consumer, and leases them for a time. [`State::grant`] is due
    /// afterwards; where this took no message and that leaves work unfinished, asking again is.
    pub(in crate::queue) fn receive(
        &mut self,
        ask: &Receive,
        now_ms: u64,
        scarce: Scarce,
        effects: &mut impl Effects<O>,
    ) -> Taken {
        let mut taken = Taken::default();
        let mut steps = STEP_ENTRIES_MAX;
        self.unfinished = false;
        if self.closed {
            return taken;
        }
        if self.later.is_some() {
            self.take_due(now_ms, &mut steps);
        }
        let mut before = None;
        while taken.grants.len() < ask.messages_max.min(STEP_ENTRIES_MAX) {
            if self.leases.len() >= ask.leased_max {
                taken.limit_reached = taken.grants.is_empty() && self.ordered.is_none();
                break;
            }
            let Some(entry) = self.next_to_receive(before, now_ms, &mut steps, effects) else { break };
            self.delivered_to = self.delivered_to.max(entry.seq + 1);
            let (seq, position, attempts) = (entry.seq, entry.position, entry.attempts);
            before = Some(seq);
            self.lend_received(seq);
            let until_ms = now_ms.saturating_add(ask.lease_ms);
            let grant = Self::lease(&mut self.leases, &mut self.counters, entry, None, scarce);
            if let Some(lease) = grant.lease {
                self.leases.set_deadline(lease, until_ms);
                let first_ms = self.receipts.get_or_insert_default().lend(seq, lease, now_ms);
                effects.tallied(position, Tally { attempts, first_ms, until_ms });
                taken.grants.push((grant, first_ms));
            }
        }
        taken
    }

    /// Somebody receives a message.
    fn lend_received(&mut self, seq: u64) {
        if let Some(ordered) = &mut self.ordered {
            ordered.lend(seq, None);
        }
        if let Some(groups) = &mut self.groups {
            groups.lend(seq);
        }
    }

    /// Takes out the first message that may still be received; in an ordered queue it is the next of its group after `before`,
    /// if there is one. What may not be received any more goes where such messages go.
    pub(super) fn next_to_receive(
        &mut self,
        before: Option<u64>,
        now_ms: u64,
        steps: &mut usize,
        effects: &mut impl Effects<O>,
    ) -> Option<Entry> {
        loop {
            self.expire_before(now_ms.saturating_add(1), steps, effects);
            if self.unfinished {
                return None;
            }
            let first = self.ready.first()?;
            let key = match (&self.ordered, &self.groups) {
                (Some(ordered), _) => {
                    let next = before.and_then(|before| ordered.next_of(before)).or_else(|| ordered.first_for(None));
                    Key::new(0, next?)
                }
                (None, Some(groups)) => groups.instead_of(Key::of(first)).unwrap_or(Key::of(first)),
                (None, None) if first.attempts < self.receives_max => return self.pull_first(),
                (None, None) => Key::of(first),
            };
            let entry = self.ready.get(key)?;
            let (is_expired, is_exhausted) = (entry.expires_ms <= now_ms, entry.attempts >= self.receives_max);
            if !is_expired && !is_exhausted {
                return self.pull(key);
            }
            if !self.may_step(steps) {
                return None;
            }
            let entry = self.pull(key)?;
            if is_expired { self.expire(entry, effects) } else { self.redrive(entry, effects) }
        }
    }

    /// The first message has been handed out too often.
    pub(super) fn redrive_first(&mut self, steps: &mut usize, effects: &mut impl Effects<O>) {
        if self.may_step(steps)
            && let Some(entry) = self.pull_first()
        {
            self.redrive(entry, effects);
        }
    }

    /// A message comes up once more that has been handed out as often as it may be.
    pub(super) fn redrive(&mut self, entry: Entry, effects: &mut impl Effects<O>) {
        self.counters.exhausted += 1;
        self.leave(&entry);
        match &self.rules.redrive {
            Some(to) => effects.dead_lettered(entry, Departure::Exhausted, to),
            None => effects.departed(entry, Departure::Exhausted),
        }
    }

    /// Puts a message back that somebody had received before the restart and still has.
    pub(super) fn restore_received(&mut self, entry: Entry, tally: Tally, group: Option<Group>, now_ms: u64) {
        self.enter(&entry, group);
        let seq = entry.seq;
        self.lend_received(seq);
        let lease = self.leases.insert(Leased { entry, consumer: None });
        self.leases.set_deadline(lease, tally.until_ms);
        // It is not remembered when it was received last, unless that was the first time.
        let since_ms = if tally.attempts == 0 { tally.first_ms } else { now_ms };
        self.receipts.get_or_insert_default().restore(seq, tally.first_ms, since_ms, Some(lease));
    }

    /// The leases of messages that were received, by their numbers.
    #[cfg(test)]
    pub(in crate::queue) fn received_leases(&self) -> impl Iterator<Item = (u64, Lease)> {
        let leases = self.receipts.iter().flat_map(|receipts| receipts.leases());
        leases.filter_map(|lease| Some((self.leases.get(lease)?.entry.seq, lease)))
    }

    fn find(&self, receipt: Receipt) -> Found {
        let known = self.receipts.as_ref().and_then(|receipts| receipts.get(receipt.seq));
        if let Some(known) = known
            && let Some(lease) = known.lease
            && let Some(leased) = self.leases.get(lease)
        {
            let is_same = leased.entry.attempts.saturating_add(1) == receipt.receives;
            return if is_same { Found::Leased(lease, known) } else { Found::Elsewhere };
        }
        let Some(key) = self.ready.place_of(receipt.seq) else {
            return if known.is_some() { Found::Elsewhere } else { Found::Nowhere };
        };
        // A crash may have had it forget that it was received: then it has failed less often than the receipt says.
        let is_since = self.ready.get(key).is_some_and(|entry| entry.attempts > receipt.receives);
        if is_since { Found::Elsewhere } else { Found::Waiting(key) }
    }

    /// The message of a receipt is done. [`State::grant`] is due afterwards.
    pub(in crate::queue) fn remove(
        &mut self,
        receipt: Receipt,
        now_ms: u64,
        effects: &mut impl Effects<O>,
    ) -> Receipted {
        self.conclude(receipt, true, now_ms, effects)
    }

    /// The message of a receipt has failed for good. [`State::grant`] is due afterwards.
    pub(in crate::queue) fn reject(
        &mut self,
        receipt: Receipt,
        now_ms: u64,
        effects: &mut impl Effects<O>,
    ) -> Receipted {
        self.conclude(receipt, false, now_ms, effects)
    }

    /// The message of a receipt leaves, also where its lease is over and it waits: done, or failed for good.
    fn conclude(&mut self, receipt: Receipt, is_done: bool, now_ms: u64, effects: &mut impl Effects<O>) -> Receipted {
        match self.find(receipt) {
            Found::Nowhere => return Receipted::NotThere,
            Found::Elsewhere => return Receipted::Stale,
            Found::Waiting(_) if self.ordered.is_some() => return Receipted::NotLeased,
            Found::Waiting(key) => {
                let Some(entry) = self.pull(key) else { return Receipted::NotThere };
                self.leave(&entry);
                if is_done {
                    self.counters.accepted += 1;
                    effects.departed(entry, Departure::Accepted);
                } else {
                    self.counters.rejected += 1;
                    Self::fail(&self.rules, entry, Departure::Rejected, effects);
                }
            }
            Found::Leased(lease, _) => {
                let outcome = if is_done { Outcome::Accept } else { Outcome::Reject };
                self.settle(lease, outcome, now_ms, effects);
            }
        }
        Receipted::Done
    }

    /// Has the lease of a receipt end so much later than now, or now. [`State::grant`] is due afterwards.
    pub(in crate::queue) fn extend(
        &mut self,
        receipt: Receipt,
        ms: u64,
        total_ms_max: u64,
        now_ms: u64,
        effects: &mut impl Effects<O>,
    ) -> Receipted {
        let (lease, known) = match self.find(receipt) {
            Found::Nowhere => return Receipted::NotThere,
            Found::Elsewhere => return Receipted::Stale,
            Found::Waiting(_) => return Receipted::NotLeased,
            Found::Leased(lease, known) => (lease, known),
        };
        let until_ms = now_ms.saturating_add(ms);
        if until_ms > known.since_ms.saturating_add(total_ms_max) {
            return Receipted::TooLong;
        }
        if ms == 0 {
            self.settle(lease, Outcome::Retry, now_ms, effects);
        } else if let Some(leased) = self.leases.get(lease) {
            let (position, attempts) = (leased.entry.position, leased.entry.attempts);
            self.leases.set_deadline(lease, until_ms);
            effects.tallied(position, Tally { attempts, first_ms: known.first_ms, until_ms });
        }
        Receipted::Done
    }

    /// Discards what waits, for whatever, and what was received; what consumers have stays. How many there were.
    pub(in crate::queue) fn discard_all(&mut self) -> (usize, Discarded) {
        let leases: Vec<Lease> = self.receipts.iter().flat_map(|receipts| receipts.leases()).collect();
        let mut received = Vec::with_capacity(leases.len());
        for lease in leases {
            if let Some(Said::Leased(Leased { entry, .. })) = self.leases.remove(lease) {
                self.end_lease(&entry, None);
                self.leave(&entry);
                received.push(entry);
            }
        }
        let (waiting, discarded) = self.purge();
        (waiting + received.len(), Box::new(discarded.chain(received)))
    }
}
