//! What all connections of this protocol count.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of all connections. All but the first only rise.
#[derive(Debug, Default)]
pub struct Stats {
    /// Clients that are connected now.
    pub clients: AtomicU64,
    /// Messages that clients have sent.
    pub published: AtomicU64,
    /// Of those, the ones whose receipt was asked for and has been given.
    pub confirmed: AtomicU64,
    /// ERROR frames to clients.
    pub errors: AtomicU64,
}

impl Stats {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        if n > 0 {
            counter.fetch_add(n, Ordering::Relaxed);
        }
    }
}
