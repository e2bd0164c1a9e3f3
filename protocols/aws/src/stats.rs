//! What all connections of this protocol count.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of all connections. All but the first only rise.
#[derive(Debug, Default)]
pub struct Stats {
    /// Long polls that wait now.
    pub polls: AtomicU64,
    /// Requests, whatever became of them.
    pub requests: AtomicU64,
    /// Of those, the ones that were answered by an error.
    pub errors: AtomicU64,
    /// Messages that clients have sent and that were taken, duplicates included.
    pub published: AtomicU64,
    /// Of those, the ones that are certain and of which clients were told so.
    pub confirmed: AtomicU64,
    /// What became of deliveries of SNS, of all subscriptions together.
    pub deliveries: DeliveryStats,
}

/// What became of deliveries of SNS. Subscriptions that are gone are counted.
#[derive(Debug, Default)]
pub struct DeliveryStats {
    /// Messages that their endpoint has.
    pub delivered: AtomicU64,
    /// Attempts that failed and are followed by another one.
    pub retried: AtomicU64,
    /// Messages that could not be delivered and went to a queue for dead letters.
    pub dead_lettered: AtomicU64,
    /// Messages that could not be delivered and are gone.
    pub dropped: AtomicU64,
}

impl Stats {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        if n > 0 {
            counter.fetch_add(n, Ordering::Relaxed);
        }
    }
}

/// A long poll that waits, for as long as this is kept.
pub(crate) struct Polling(Arc<Stats>);

impl Polling {
    pub(crate) fn new(stats: &Arc<Stats>) -> Self {
        Stats::add(&stats.polls, 1);
        Self(Arc::clone(stats))
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        self.0.polls.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_are_counted_while_they_wait() {
        let stats = Arc::new(Stats::default());
        let polls = [Polling::new(&stats), Polling::new(&stats)];
        assert_eq!(stats.polls.load(Ordering::Relaxed), 2);
        drop(polls);
        assert_eq!(stats.polls.load(Ordering::Relaxed), 0);
    }
}
