//! One timer for all queues: each says when it wants to be looked at.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::message::now_ms;
use crate::queue::Queue;

/// The earliest first.
#[derive(Debug)]
struct Wake {
    at_ms: u64,
    queue: Weak<Queue>,
}

impl PartialEq for Wake {
    fn eq(&self, other: &Self) -> bool {
        self.at_ms == other.at_ms
    }
}

impl Eq for Wake {}

impl PartialOrd for Wake {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Wake {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at_ms.cmp(&self.at_ms)
    }
}

/// When which queue wants to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    wakes: Mutex<BinaryHeap<Wake>>,
    earlier: Notify,
}

/// Nothing is waited for longer than this, so that a clock that was set is noticed.
const SLEEP_MS_MAX: u64 = 60_000;

impl Timer {
    /// Notes a wake-up, in milliseconds since the epoch of Unix.
    pub(crate) fn add(&self, at_ms: u64, queue: &Arc<Queue>) {
        let mut wakes = self.wakes.lock();
        let first = wakes.peek().is_none_or(|first| at_ms < first.at_ms);
        wakes.push(Wake { at_ms, queue: Arc::downgrade(queue) });
        drop(wakes);
        if first {
            self.earlier.notify_one();
        }
    }

    /// Waits until queues want to be looked at, and tells which.
    pub(crate) async fn due(&self) -> Vec<Arc<Queue>> {
        loop {
            let now_ms = now_ms();
            let mut due = Vec::new();
            let sleep_ms = {
                let mut wakes = self.wakes.lock();
                while wakes.peek().is_some_and(|first| first.at_ms <= now_ms) {
                    due.extend(wakes.pop().and_then(|wake| wake.queue.upgrade()));
                }
                wakes.peek().map_or(SLEEP_MS_MAX, |first| (first.at_ms - now_ms).min(SLEEP_MS_MAX))
            };
            if !due.is_empty() {
                return due;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(sleep_ms)) => {}
                () = self.earlier.notified() => {}
            }
        }
    }
}
