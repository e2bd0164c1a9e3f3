//! The way out of a queue: consumers, fetches, and what is said of deliveries.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gantry_storage::Position;

use super::state::Grant;
use super::{ConsumerId, ConsumerOptions, End, Lease, Outcome, Queue, SealIf, Stored, SubscribeError};
use crate::inbox::{Content, Delivery, Outlet, Wakes};
use crate::message::now_ms;

impl Queue {
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
        }
    }
}
