//! The body of a direct queue: it stores nothing and holds nothing. What comes in goes into the inbox of the connection that
//! it belongs to, in the same step, or is dropped because there is no room.
//!
//! It never refuses, never deduplicates and has no rules, so that publishers pass over everything that is asked of other
//! queues. It takes no lock of its own: the inbox has one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::incoming::expiry_ms;
use super::{Arrival, Queue, QueueCounters, QueueStatus};
use crate::inbox::{Content, Delivery, Item, Outlet, Wakes};

/// The part of a queue that makes it a direct one.
pub(super) struct Direct {
    outlet: Outlet,
    dropped: AtomicU64,
    closed: AtomicBool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It is in the inbox.
    Taken,
    /// The inbox had no room.
    Dropped,
    /// The queue was deleted.
    Closed,
}

impl Direct {
    pub(super) fn new(outlet: Outlet) -> Self {
        Self { outlet, dropped: AtomicU64::new(0), closed: AtomicBool::new(false) }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn seal(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Tells the connection that nothing more comes. What a publisher is just about to put in may come behind it.
    pub(super) fn close(&self, wakes: &mut Wakes) {
        self.seal();
        wakes.push(&self.outlet.inbox, Item::Cancelled(self.outlet.token));
    }

    /// `enqueued` is how many messages have come.
    pub(super) fn status(&self, enqueued: u64) -> QueueStatus {
        let dropped = self.dropped.load(Ordering::Relaxed);
        let delivered_no_ack = enqueued.saturating_sub(dropped);
        QueueStatus {
            consumers: usize::from(!self.is_closed()),
            counters: QueueCounters { enqueued, delivered_no_ack, dropped, ..QueueCounters::default() },
            ..QueueStatus::default()
        }
    }
}

impl Queue {
    /// Whether it stores and holds nothing: see [`VirtualHost::open_direct`](crate::VirtualHost::open_direct).
    pub fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    /// Hands a message to the connection of a direct queue. Other queues take nothing this way.
    #[inline]
    pub(crate) fn offer(self: &Arc<Self>, arrival: Arrival<'_>, wakes: &mut Wakes) -> Offered {
        let Some(direct) = &self.direct else { return Offered::Closed };
        if direct.is_closed() {
            return Offered::Closed;
        }
        let seq = self.next_seq();
        let inbox = &direct.outlet.inbox;
        if inbox.is_full() {
            direct.dropped.fetch_add(1, Ordering::Relaxed);
            return Offered::Dropped;
        }
        let Arrival { message, now_ms, redelivered, .. } = arrival;
        let delivery = Delivery {
            token: direct.outlet.token,
            queue: Arc::clone(self),
            lease: None,
            content: Content::Loaded(Arc::clone(message)),
            redelivered,
            attempts: 0,
            offset: None,
            seq,
            expires_ms: expiry_ms(message.essentials().ttl_ms, now_ms),
            first_received_ms: 0,
        };
        wakes.push(inbox, Item::Delivery(delivery));
        Offered::Taken
    }
}
