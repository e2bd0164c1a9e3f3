//! One timer for all queues, and one for all delayed exchanges: each says when it wants to be looked at.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::message::now_ms;

/// What can be waited for.
pub(crate) trait Sleeper {
    /// A number that no other has.
    fn lane(&self) -> u64;

    /// When the timer looks at it next; only the timer sets it, under its lock.
    fn wake_ms(&self) -> &AtomicU64;
}

/// When which queue wants to be looked at: each stands here once at most, however often it changes its mind, and leaves when
/// it is deleted.
#[derive(Debug)]
pub(crate) struct Timer<T> {
    /// By time and lane.
    wakes: Mutex<BTreeMap<(u64, u64), Weak<T>>>,
    earlier: Notify,
}

impl<T> Default for Timer<T> {
    fn default() -> Self {
        Self { wakes: Mutex::default(), earlier: Notify::new() }
    }
}

/// What a queue that is not waited for has instead of a time.
const NEVER_MS: u64 = u64::MAX;
/// What a queue that is gone has: nothing is earlier, so that it never comes back.
const GONE_MS: u64 = 0;

/// Nothing is waited for longer than this, so that a clock that was set is noticed.
const SLEEP_MS_MAX: u64 = 60_000;

impl<T: Sleeper> Timer<T> {
    /// Notes a wake-up, in milliseconds since the epoch of Unix, unless an earlier one is noted.
    pub(crate) fn add(&self, at_ms: u64, queue: &Arc<T>) {
        let mut wakes = self.wakes.lock();
        let noted_ms = queue.wake_ms().load(Ordering::Relaxed);
        if at_ms >= noted_ms {
            return;
        }
        wakes.remove(&(noted_ms, queue.lane()));
        queue.wake_ms().store(at_ms, Ordering::Relaxed);
        let first = wakes.first_key_value().is_none_or(|(first, _)| at_ms < first.0);
        wakes.insert((at_ms, queue.lane()), Arc::downgrade(queue));
        drop(wakes);
        if first {
            self.earlier.notify_one();
        }
    }

    /// Queues that are waited for.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.wakes.lock().len()
    }

    /// Forgets a queue that is gone.
    pub(crate) fn forget(&self, queue: &T) {
        let mut wakes = self.wakes.lock();
        let noted_ms = queue.wake_ms().swap(GONE_MS, Ordering::Relaxed);
        wakes.remove(&(noted_ms, queue.lane()));
    }

    /// Queues that want to be looked at by now, and how long it is until the next one does.
    pub(crate) fn take_due(&self) -> (Vec<Arc<T>>, Duration) {
        let now_ms = now_ms();
        let mut due = Vec::new();
        let mut wakes = self.wakes.lock();
        while let Some(first) = wakes.first_entry().filter(|first| first.key().0 <= now_ms) {
            if let Some(queue) = first.remove().upgrade() {
                queue.wake_ms().store(NEVER_MS, Ordering::Relaxed);
                due.push(queue);
            }
        }
        let sleep_ms = wakes.first_key_value().map_or(SLEEP_MS_MAX, |(first, _)| (first.0 - now_ms).min(SLEEP_MS_MAX));
        (due, Duration::from_millis(sleep_ms))
    }

    /// Waits until queues want to be looked at, and tells which.
    pub(crate) async fn due(&self) -> Vec<Arc<T>> {
        loop {
            let (due, sleep) = self.take_due();
            if !due.is_empty() {
                return due;
            }
            tokio::select! {
                () = tokio::time::sleep(sleep) => {}
                () = self.earlier.notified() => {}
            }
        }
    }
}
