//! What all connections count.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of all WebSocket listeners. They only rise.
#[derive(Debug, Default)]
pub struct Stats {
    /// Requests that have become connections.
    pub upgraded: AtomicU64,
    /// Requests that have been refused, plain HTTP requests and those that did not come in time included.
    pub refused: AtomicU64,
    /// Connections closed because the client broke the rules of WebSocket.
    pub failed: AtomicU64,
}

impl Stats {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
