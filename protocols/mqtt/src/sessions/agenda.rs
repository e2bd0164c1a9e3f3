//! What is due when, of all sessions: one list by time and one task, however many sessions wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gantry_broker::message::now_ms;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::place::{Inner, Place};

/// Nothing is waited for longer than this, so that a clock that was set is noticed.
const SLEEP_MS_MAX: u64 = 60_000;

/// So many are looked at before others have their turn.
const STEP_PLACES_MAX: usize = 256;

/// When which session is to be looked at. Each stands here once at most.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    list: Mutex<List>,
    earlier: Notify,
}

#[derive(Debug, Default)]
struct List {
    /// By time, in milliseconds since the epoch of Unix, and number.
    due: BTreeMap<(u64, u64), Arc<Place>>,
    last_number: u64,
}

impl Agenda {
    /// Has a session looked at then, and not when it was to be looked at before. `inner` is that of the place.
    pub(super) fn put(&self, place: &Arc<Place>, inner: &mut Inner, due_ms: Option<u64>) {
        let mut list = self.list.lock();
        if let Some(noted) = inner.noted.take() {
            list.due.remove(&noted);
        }
        let Some(due_ms) = due_ms else { return };
        list.last_number += 1;
        let noted = (due_ms, list.last_number);
        let first = list.due.first_key_value().is_none_or(|(first, _)| due_ms < first.0);
        list.due.insert(noted, Arc::clone(place));
        inner.noted = Some(noted);
        drop(list);
        if first {
            self.earlier.notify_one();
        }
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.list.lock().due.len()
    }

    /// Sessions that are due, some of them if there are many; where there is none, how long that stays so.
    fn take_due(&self) -> Result<Vec<Arc<Place>>, Duration> {
        let now_ms = now_ms();
        let mut list = self.list.lock();
        let mut due = Vec::new();
        while due.len() < STEP_PLACES_MAX
            && let Some(first) = list.due.first_entry().filter(|first| first.key().0 <= now_ms)
        {
            due.push(first.remove());
        }
        if due.is_empty() {
            let next_ms = list.due.first_key_value().map_or(u64::MAX, |(first, _)| first.0);
            return Err(Duration::from_millis((next_ms - now_ms).min(SLEEP_MS_MAX)));
        }
        Ok(due)
    }

    /// Waits for sessions that are due.
    pub(super) async fn due(&self) -> Vec<Arc<Place>> {
        loop {
            match self.take_due() {
                Ok(due) => return due,
                Err(sleep) => {
                    tokio::select! {
                        () = self.earlier.notified() => {}
                        () = tokio::time::sleep(sleep) => {}
                    }
                }
            }
        }
    }
}
