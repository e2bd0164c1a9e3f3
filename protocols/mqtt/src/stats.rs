//! What all connections of this protocol count.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of all connections. The counters only rise.
#[derive(Debug, Default)]
pub struct Stats {
    /// Clients that are connected now.
    pub clients: AtomicU64,
    /// Messages that clients have published.
    pub published: AtomicU64,
    /// Messages acknowledged to publishers (PUBACK, PUBREC).
    pub confirmed: AtomicU64,
    /// Messages sent to clients, again and again included.
    pub delivered: AtomicU64,
    /// Messages that clients have acknowledged (PUBACK, PUBREC).
    pub acknowledged: AtomicU64,
    /// Messages that were not sent, because they are larger than their subscriber takes.
    pub dropped_too_large: AtomicU64,
}

impl Stats {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        if n > 0 {
            counter.fetch_add(n, Ordering::Relaxed);
        }
    }
}
