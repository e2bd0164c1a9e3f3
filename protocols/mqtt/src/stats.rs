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
    /// Clients that have logged in.
    pub connections: AtomicU64,
    /// Packets of clients that have logged in.
    pub packets_received: AtomicU64,
    /// Packets to them.
    pub packets_sent: AtomicU64,
    /// Bytes of packets from them, and what was still to be handled when they went.
    pub bytes_received: AtomicU64,
    /// Bytes written to them.
    pub bytes_sent: AtomicU64,
    /// Bytes of the payloads that they have published.
    pub payload_bytes_received: AtomicU64,
    /// Bytes of the payloads that were sent to them.
    pub payload_bytes_sent: AtomicU64,
}

impl Stats {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        if n > 0 {
            counter.fetch_add(n, Ordering::Relaxed);
        }
    }
}
