//! How many connections there are, may be, and have been.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// A bounded number of connections, counted. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connections(Arc<Counts>);

struct Counts {
    max: u64,
    open: AtomicU64,
    opened: AtomicU64,
    refused: AtomicU64,
    none_left: Notify,
}

/// The place of one connection, given back when it is dropped.
pub(crate) struct Place(Arc<Counts>);

impl Connections {
    /// Room for at most `max`.
    pub(crate) fn new(max: u64) -> Self {
        let zero = || AtomicU64::new(0);
        Self(Arc::new(Counts { max, open: zero(), opened: zero(), refused: zero(), none_left: Notify::new() }))
    }

    /// Takes a place, or counts a refusal.
    pub(crate) fn enter(&self) -> Option<Place> {
        let counts = &self.0;
        let one_more = |open| if open < counts.max { Some(open + 1) } else { None };
        if counts.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_err() {
            counts.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        counts.opened.fetch_add(1, Ordering::Relaxed);
        Some(Place(counts.clone()))
    }

    /// How many there may be.
    pub(crate) fn max(&self) -> u64 {
        self.0.max
    }

    /// How many there are.
    pub(crate) fn open(&self) -> u64 {
        self.0.open.load(Ordering::Acquire)
    }

    /// How many there have been since the start, those that are open included.
    pub(crate) fn opened(&self) -> u64 {
        self.0.opened.load(Ordering::Relaxed)
    }

    /// How many were turned away for want of a place.
    pub(crate) fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Resolves when there is none.
    pub(crate) async fn none_left(&self) {
        loop {
            let changed = self.0.none_left.notified();
            tokio::pin!(changed);
            // From here on a notification is not missed.
            changed.as_mut().enable();
            if self.open() == 0 {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_bounded_counted_and_given_back() {
        let connections = Connections::new(2);
        connections.none_left().await;
        let first = connections.enter().unwrap();
        let second = connections.enter().unwrap();
        assert!(connections.enter().is_none());
        assert_eq!((connections.open(), connections.opened(), connections.refused()), (2, 2, 1));
        drop(first);
        let third = connections.enter().unwrap();
        let waiting = tokio::spawn({
            let connections = connections.clone();
            async move { connections.none_left().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop((second, third));
        waiting.await.unwrap();
        assert_eq!((connections.open(), connections.opened()), (0, 3));
    }
}
