//! What time brings: when the timer looks at a queue, and what it does then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Queue, SealIf};
use crate::inbox::Wakes;
use crate::message::now_ms;
use crate::timer::Sleeper;

impl Queue {
    /// Counts as a use of the queue, which `x-expires` counts from.
    pub fn touch(&self) {
        self.used_ms.store(now_ms(), Ordering::Relaxed);
    }

    /// Looks at what time has brought. True where the queue has been unused for too long and has to go: then it takes nothing
    /// any more.
    pub(crate) fn tick(self: &Arc<Self>) -> bool {
        if let Some(stream) = &self.stream {
            if let Some(period_ms) = stream.look_for_old(self) {
                self.wake_at(now_ms().saturating_add(period_ms));
            }
            return false;
        }
        let now_ms = self.with_grant(&mut Wakes::new(), |state, effects| {
            state.lapse(effects.now_ms, effects);
            state.shrink();
            effects.now_ms
        });
        let mut state = self.state.lock();
        let Some(expires_ms) = state.rules().expires_ms else { return false };
        if state.is_closed() {
            return false;
        }
        if self.line.is_waiting() || state.is_lent() {
            // Whoever waits for messages, or has received some, uses it as a consumer does.
            self.used_ms.store(now_ms, Ordering::Relaxed);
        }
        let due_ms = self.used_ms.load(Ordering::Relaxed).saturating_add(expires_ms);
        if due_ms <= now_ms {
            // With consumers it goes on when the last of them goes.
            return state.seal(SealIf { unused: true, empty: false }).is_ok();
        }
        drop(state);
        self.wake_at(due_ms);
        false
    }

    /// Starts the clock of `x-expires`, which does not run while there are consumers, or that of a stream's `x-max-age`.
    pub(crate) fn start_expiry(self: &Arc<Self>) {
        if let Some(stream) = &self.stream {
            if let Some(period_ms) = stream.retention_period_ms() {
                self.wake_at(now_ms().saturating_add(period_ms));
            }
            return;
        }
        if self.is_direct() {
            return;
        }
        let expires_ms = self.state.lock().rules().expires_ms;
        if let Some(expires_ms) = expires_ms {
            self.wake_at(self.used_ms.load(Ordering::Relaxed).saturating_add(expires_ms));
        }
    }

    pub(super) fn wake_at(self: &Arc<Self>, at_ms: u64) {
        if at_ms < self.wake_ms.load(Ordering::Relaxed) {
            self.shared.timer.add(at_ms, self);
        }
    }
}

impl Sleeper for Queue {
    fn lane(&self) -> u64 {
        self.lane
    }

    fn wake_ms(&self) -> &AtomicU64 {
        &self.wake_ms
    }
}
