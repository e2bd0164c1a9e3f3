//! What messages that were received are known by.
//!
//! Whoever receives a message has no connection that it belongs to: it says what became of it by the message's number and by
//! how often it had been received, from anywhere and at any time. Only a queue that somebody received from has this.

use hashbrown::{HashMap, HashSet};

use super::lease::Lease;

/// Messages that were received and have not left.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    /// By their numbers.
    known: HashMap<u64, Known>,
}

/// A message that was received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// When it was received for the first time, in milliseconds since the epoch of Unix.
    pub(super) first_ms: u64,
    /// When it was received last.
    pub(super) since_ms: u64,
    /// Whoever received it last has it.
    pub(super) lease: Option<Lease>,
}

impl Receipts {
    /// A message is received. When it was for the first time.
    pub(super) fn lend(&mut self, seq: u64, lease: Lease, now_ms: u64) -> u64 {
        let known = self.known.entry(seq).or_insert(Known { first_ms: now_ms, since_ms: now_ms, lease: None });
        (known.since_ms, known.lease) = (now_ms, Some(lease));
        known.first_ms
    }

    /// A message is found after a restart that had been received before.
    pub(super) fn restore(&mut self, seq: u64, first_ms: u64, since_ms: u64, lease: Option<Lease>) {
        self.known.insert(seq, Known { first_ms, since_ms, lease });
    }

    /// What is known of a message.
    pub(super) fn get(&self, seq: u64) -> Option<Known> {
        self.known.get(&seq).copied()
    }

    /// The lease of a message is over. Whether it was received.
    pub(super) fn end(&mut self, seq: u64) -> bool {
        self.known.get_mut(&seq).is_some_and(|known| known.lease.take().is_some())
    }

    /// The leases of all messages that somebody has who received them.
    pub(super) fn leases(&self) -> impl Iterator<Item = Lease> {
        self.known.values().filter_map(|known| known.lease)
    }
}

/// A message has left the queue.
#[inline]
pub(super) fn forget(receipts: &mut Option<Box<Receipts>>, seq: u64) {
    if let Some(known) = receipts {
        known.known.remove(&seq);
        if known.known.is_empty() {
            *receipts = None;
        }
    }
}

/// Of all messages only these have not left the queue.
pub(super) fn forget_others(receipts: &mut Option<Box<Receipts>>, left: &HashSet<u64>) {
    if let Some(known) = receipts {
        known.known.retain(|seq, _| left.contains(seq));
        if known.known.is_empty() {
            *receipts = None;
        }
    }
}

/// When a message was received for the first time, in milliseconds since the epoch of Unix; 0 for never.
pub(super) fn first_ms(receipts: &Option<Box<Receipts>>, seq: u64) -> u64 {
    receipts.as_ref().and_then(|receipts| receipts.get(seq)).map_or(0, |known| known.first_ms)
}
