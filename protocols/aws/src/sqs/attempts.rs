//! Receives that a client may ask for once more, by the id that it gave them: it gets the same messages.
//!
//! Only for queues with order, only where a client gives an id, and only for five minutes. In memory: after a restart a client
//! that asks once more gets other messages, or waits until those are visible again.

use gantry_broker::Receipt;
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::limits::DEDUPLICATION_MS;
use super::receiving::Message;

/// Above so many attempts the older half is forgotten.
const ATTEMPTS_MAX: usize = 10_000;

/// Above so many bytes of messages, too.
const BYTES_MAX: usize = 64 << 20;

/// What was answered to an attempt.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    /// When, in milliseconds since the epoch of Unix.
    answered_ms: u64,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) messages: Vec<Message>,
    bytes: usize,
}

/// The attempts of the last five minutes, by queue and id.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_id: HashMap<(u64, Box<str>), Answered>,
    bytes: usize,
}

impl Kept {
    fn retain(&mut self, mut stays: impl FnMut(u64, &Answered) -> bool) {
        let bytes = &mut self.bytes;
        self.by_id.retain(|(queue, _), answered| {
            let stays = stays(*queue, answered);
            if !stays {
                *bytes -= answered.bytes;
            }
            stays
        });
    }

    fn remove(&mut self, key: &(u64, Box<str>)) -> Option<Answered> {
        let answered = self.by_id.remove(key)?;
        self.bytes -= answered.bytes;
        Some(answered)
    }

    fn is_full(&self) -> bool {
        self.by_id.len() >= ATTEMPTS_MAX || self.bytes >= BYTES_MAX
    }

    /// Forgets what is too long ago, and if that is not enough the older half.
    fn make_room(&mut self, now_ms: u64) {
        if !self.is_full() {
            return;
        }
        self.retain(|_, answered| answered.answered_ms.saturating_add(DEDUPLICATION_MS) > now_ms);
        if !self.is_full() {
            return;
        }
        let mut times: Vec<u64> = self.by_id.values().map(|answered| answered.answered_ms).collect();
        let middle = times.len() / 2;
        let middle_ms = *times.select_nth_unstable(middle).1;
        self.retain(|_, answered| answered.answered_ms > middle_ms);
    }
}

impl Attempts {
    /// Notes what was answered.
    pub(crate) fn keep(&self, queue: u64, id: &str, receipts: Vec<Receipt>, messages: Vec<Message>, now_ms: u64) {
        let key = (queue, Box::from(id));
        let bytes = messages.iter().map(Message::bytes).sum();
        let mut kept = self.0.lock();
        kept.remove(&key);
        kept.make_room(now_ms);
        kept.bytes += bytes;
        kept.by_id.insert(key, Answered { answered_ms: now_ms, receipts, messages, bytes });
    }

    /// What was answered to an attempt, where it is not too long ago. It is forgotten with this.
    pub(crate) fn take(&self, queue: u64, id: &str, now_ms: u64) -> Option<Answered> {
        let answered = self.0.lock().remove(&(queue, Box::from(id)))?;
        (answered.answered_ms.saturating_add(DEDUPLICATION_MS) > now_ms).then_some(answered)
    }

    /// Forgets the attempts of a queue that is gone.
    pub(crate) fn forget(&self, queue: u64) {
        self.0.lock().retain(|of, _| of != queue);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_remembered_for_five_minutes_and_never_without_end() {
        let attempts = Attempts::default();
        attempts.keep(1, "a", Vec::new(), Vec::new(), 1000);
        assert!(attempts.take(2, "a", 1000).is_none() && attempts.take(1, "b", 1000).is_none());
        assert!(attempts.take(1, "a", 1000 + DEDUPLICATION_MS - 1).is_some());
        attempts.keep(1, "a", Vec::new(), Vec::new(), 1000);
        assert!(attempts.take(1, "a", 1000 + DEDUPLICATION_MS).is_none());
        for number in 0..3 * ATTEMPTS_MAX {
            attempts.keep(1, &number.to_string(), Vec::new(), Vec::new(), number as u64);
            assert!(attempts.0.lock().by_id.len() <= ATTEMPTS_MAX);
        }
        assert!(attempts.take(1, &(3 * ATTEMPTS_MAX - 1).to_string(), 3 * ATTEMPTS_MAX as u64).is_some());
        attempts.forget(1);
        let kept = attempts.0.lock();
        assert_eq!((kept.by_id.len(), kept.bytes), (0, 0));
    }
}
