//! The way out of a queue: consumers, fetches, and what is said of deliveries.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gantry_storage::{Position, Ticket};

use super::state::Grant;
use super::{
    ConsumerId, ConsumerOptions, End, Lease, Outcome, Place, Queue, SealIf, Selection, Stored, SubscribeError,
};
use crate::error::Error;
use crate::inbox::{Content, Delivery, Outlet, Wakes};
use crate::marks::Marks;
use crate::message::now_ms;

impl Queue {
    /// Adds a consumer, and grants it what waits. In a stream nobody chooses.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        outlet: Outlet,
        options: ConsumerOptions,
        selection: Selection,
        wakes: &mut Wakes,
    ) -> Result<ConsumerId, SubscribeError> {
        if self.is_direct() {
            return Err(SubscribeError::InExclusiveUse);
        }
        self.with_grant(wakes, |state, _| state.subscribe(outlet, options, selection))
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

    /// What was handed over and not answered is to be handed over again, however long that takes: these messages do not expire
    /// any more, until the process ends. In a stream nothing does.
    pub fn hold(&self, leases: &[Lease]) {
        if self.stream.is_none() {
            let mut state = self.state.lock();
            leases.iter().for_each(|lease| state.hold(*lease));
        }
    }

    /// Accepts a delivery and puts a mark, as one record of the journal: after a crash the message is in the queue, or the number
    /// in its set. What to wait for until that is certain; none where the lease is over already, and then the mark is not put.
    /// Where the set has the number, the delivery is accepted. On a full disk it is accepted, too, and the number does not survive
    /// a crash.
    ///
    /// # Errors
    /// The journal has failed, or the set is full: then nothing has happened.
    pub fn accept_marked(
        self: &Arc<Self>,
        lease: Lease,
        marks: &Marks,
        number: u64,
        wakes: &mut Wakes,
    ) -> Result<Option<Ticket>, Error> {
        if let Some(stream) = &self.stream {
            // What a reader has said changes nothing in the stream.
            let ticket = marks.put(number)?;
            stream.settle(self, &[lease], Outcome::Accept, wakes);
            return Ok(Some(ticket));
        }
        self.with_grant(wakes, |state, effects| {
            // In one go with what it says of the message, or that could leave by another way in between.
            let Some(place) = state.leased_place(lease) else { return Ok(None) };
            let ticket = marks.put_and_settle(&self.shared, number, place.get())?;
            effects.unsettled = true;
            state.settle(lease, Outcome::Accept, effects.now_ms, effects);
            effects.unsettled = false;
            Ok(Some(ticket))
        })
    }

    /// Where the message of a lease is, as far as it is stored; none where the lease is over.
    pub(crate) fn leased_place(&self, lease: Lease) -> Option<Place> {
        self.state.lock().leased_place(lease)
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

    pub(super) fn delivery(self: &Arc<Self>, token: u64, grant: Grant) -> Delivery {
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
            seq: grant.seq,
            expires_ms: grant.expires_ms,
            first_received_ms: 0,
        }
    }
}
