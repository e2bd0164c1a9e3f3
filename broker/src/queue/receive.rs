//! Messages for those who come and ask for some, and what they say of them by receipts that outlive the process.

use std::sync::Arc;

use gantry_storage::Ticket;

use super::{Entry, Queue};
use crate::inbox::{Delivery, Wakes};

/// What somebody who comes for messages asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receive {
    /// How many messages at most.
    pub messages_max: usize,
    /// For how long they are nobody else's, in milliseconds.
    pub lease_ms: u64,
    /// How many messages of the queue may be in somebody's hands, those of consumers included.
    pub leased_max: usize,
}

/// What was received.
#[derive(Debug, Default)]
pub struct Received {
    /// The messages, each with its lease. What has left memory is read by [`Broker::load`](crate::Broker::load).
    pub deliveries: Vec<Delivery>,
    /// There would have been more if not so many messages were in somebody's hands. An ordered queue does not say so.
    pub limit_reached: bool,
    /// The queue was deleted.
    pub closed: bool,
}

/// What one delivery is known by to whoever received it, restarts included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// [`Delivery::seq`].
    pub seq: u64,
    /// [`Delivery::attempts`] and one: how often the message had been received by then, this time included.
    pub receives: u32,
}

/// What became of what was said by a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipted {
    /// It was done.
    Done,
    /// There is no such message any more.
    NotThere,
    /// It has been handed out since to somebody else.
    Stale,
    /// Its time is over, and it waits for the next one who comes.
    NotLeased,
    /// It would be kept for longer than it may be.
    TooLong,
}

impl Queue {
    /// A number that no other queue has or ever had, restarts included.
    pub fn id(&self) -> u64 {
        self.lane
    }

    /// Takes messages that wait. Each is leased for a time; when that is over it waits again, as failed once more. That is
    /// remembered over restarts, as far as it got to the disk: this does not wait for it.
    ///
    /// A stream and a direct queue give nothing.
    pub fn receive(self: &Arc<Self>, ask: &Receive, wakes: &mut Wakes) -> Received {
        if self.is_stream() || self.is_direct() {
            return Received::default();
        }
        self.touch();
        let scarce = self.shared.memory_is_scarce();
        let mut received = Received::default();
        loop {
            let (again, _) = self.step(wakes, |state, effects| {
                // Leases whose time is over, and which the clock has not come to yet.
                state.lapse(effects.now_ms, effects);
                let taken = state.receive(ask, effects.now_ms, scarce, effects);
                if ask.lease_ms == 0 {
                    // They are anybody's at once.
                    state.lapse(effects.now_ms, effects);
                }
                let again = taken.grants.is_empty() && state.is_unfinished();
                // Who could take nothing does not have the next one try.
                effects.quiet = taken.grants.is_empty();
                received.limit_reached = taken.limit_reached;
                received.closed = state.is_closed();
                received.deliveries.extend(taken.grants.into_iter().map(|(grant, first_received_ms)| {
                    let delivery = self.delivery(0, grant);
                    Delivery { first_received_ms, ..delivery }
                }));
                again
            });
            if !again {
                return received;
            }
        }
    }

    /// Messages are done. For each receipt what became of it, and what to wait for until that is certain.
    ///
    /// A message that waits again because its time was over goes, too, if nobody received it since; in an ordered queue it
    /// stays, and [`Receipted::NotLeased`] is told. The same holds for one that has left for the queue that the settings name and
    /// is not there yet.
    pub fn remove(self: &Arc<Self>, receipts: &[Receipt], wakes: &mut Wakes) -> (Vec<Receipted>, Option<Ticket>) {
        if self.is_stream() || self.is_direct() {
            return (vec![Receipted::NotThere; receipts.len()], None);
        }
        let (mut said, ticket) = self.step(wakes, |state, effects| {
            receipts.iter().map(|receipt| state.remove(*receipt, effects.now_ms, effects)).collect::<Vec<_>>()
        });
        if !said.contains(&Receipted::NotThere) {
            return (said, ticket);
        }
        let redriven = self.remove_redriven(receipts, &mut said);
        // What is gone may just have been removed by somebody else, and not be certain yet. (Whoever does so at the very moment
        // may be between the queue and the journal: for those microseconds this is told too early.)
        let gone = said.contains(&Receipted::NotThere).then(|| self.shared.journal.appended());
        (said, ticket.max(redriven).max(gone))
    }

    /// Removes those that are on their way to another queue of what was not found here, and says so.
    fn remove_redriven(&self, receipts: &[Receipt], said: &mut [Receipted]) -> Option<Ticket> {
        if self.settings().ordered.is_some() {
            return None;
        }
        let is_said = |entry: &Entry| {
            receipts.iter().any(|receipt| receipt.seq == entry.seq && entry.attempts <= receipt.receives)
        };
        let taken = self.take_redriven(is_said);
        for (receipt, said) in receipts.iter().zip(said) {
            if *said == Receipted::NotThere && taken.iter().any(|entry| entry.seq == receipt.seq) {
                *said = Receipted::Done;
            }
        }
        self.discard(Box::new(taken.into_iter()))
    }

    /// Has leases end so many milliseconds from now; where that is 0, at once, and the message counts as failed once more.
    /// `total_ms_max` is how long a lease may last in all, in milliseconds since it was received.
    pub fn extend(
        self: &Arc<Self>,
        receipts: &[(Receipt, u64)],
        total_ms_max: u64,
        wakes: &mut Wakes,
    ) -> Vec<Receipted> {
        if self.is_stream() || self.is_direct() {
            return vec![Receipted::NotThere; receipts.len()];
        }
        let (said, _) = self.step(wakes, |state, effects| {
            let extend =
                |(receipt, ms): &(Receipt, u64)| state.extend(*receipt, *ms, total_ms_max, effects.now_ms, effects);
            receipts.iter().map(extend).collect()
        });
        said
    }

    /// Messages have failed for good: each goes where the queue's rules have such messages go, or nowhere. For each receipt what
    /// became of it, and what to wait for until that is certain; none where they are carried on later.
    ///
    /// One whose time is over goes, too, if nobody received it since, unless the queue is ordered.
    pub fn reject(self: &Arc<Self>, receipts: &[Receipt], wakes: &mut Wakes) -> (Vec<Receipted>, Option<Ticket>) {
        if self.is_stream() || self.is_direct() {
            return (vec![Receipted::NotThere; receipts.len()], None);
        }
        self.step(wakes, |state, effects| {
            receipts.iter().map(|receipt| state.reject(*receipt, effects.now_ms, effects)).collect::<Vec<_>>()
        })
    }

    /// Discards what waits, for whatever (also for the queue that it goes to), and what was received. Messages that consumers have stay theirs. How many there were,
    /// and what to wait for until that is certain.
    pub fn discard_all(self: &Arc<Self>, wakes: &mut Wakes) -> (usize, Option<Ticket>) {
        if self.is_stream() || self.is_direct() {
            return (0, None);
        }
        let ((count, discarded), _) = self.step(wakes, |state, _| state.discard_all());
        let letters = self.take_redriven(|_| true);
        (count + letters.len(), self.discard(Box::new(discarded.chain(letters))))
    }
}
