//! Room that all exchanges share for what they remember.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes or entries for all of a kind together: one client must not fill the memory of all by declaring many.
#[derive(Debug)]
pub(super) struct Room {
    used: AtomicUsize,
    max: usize,
}

impl Room {
    pub(super) const fn new(max: usize) -> Self {
        Self { used: AtomicUsize::new(0), max }
    }

    pub(super) fn take(&self, amount: usize) {
        self.used.fetch_add(amount, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, amount: usize) {
        self.used.fetch_sub(amount, Ordering::Relaxed);
    }

    /// More is used than there should be.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.max
    }
}
