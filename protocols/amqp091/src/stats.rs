//! What all connections of this protocol count.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of all connections. The counters only rise.
#[derive(Debug, Default)]
pub struct Stats {
    /// Channels open now.
    pub channels: AtomicU64,
    /// Messages that publishers have sent.
    pub published: AtomicU64,
    /// Messages confirmed to publishers.
    pub confirmed: AtomicU64,
    /// Mandatory messages given back.
    pub returned: AtomicU64,
}

impl Stats {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        if n > 0 {
            counter.fetch_add(n, Ordering::Relaxed);
        }
    }
}
