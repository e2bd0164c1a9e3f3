//! Messages on their way out of one queue and into others: dead letters.
//!
//! A queue decides under its lock that a message has to go on; everything else (its body may have to be read, the exchange
//! has to be asked, other queues have to be locked) happens here, later. Until then the journal keeps the message where it
//! was; then one record takes it out of there and puts it into the others.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::queue::{DeadLetter, Departure, Entry, Queue};

/// A message that has left a queue and is not yet anywhere else.
#[derive(Debug)]
pub(crate) struct Letter {
    /// Where it was.
    pub(crate) queue: Arc<Queue>,
    /// The message, as it was there.
    pub(crate) entry: Entry,
    /// Why it left.
    pub(crate) why: Departure,
    /// Where it goes.
    pub(crate) to: Arc<DeadLetter>,
}

/// The letters that wait to be carried on, in the order in which their queues gave them up.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Vec<Letter>>,
    arrived: Notify,
}

impl Outbox {
    /// Takes letters. Touches memory only.
    pub(crate) fn push(&self, letters: Vec<Letter>) {
        let mut waiting = self.waiting.lock();
        let first = waiting.is_empty();
        if first {
            *waiting = letters
        } else {
            waiting.extend(letters)
        }
        drop(waiting);
        if first {
            self.arrived.notify_one();
        }
    }

    /// Waits until there are letters, and takes all of them.
    pub(crate) async fn take(&self) -> Vec<Letter> {
        loop {
            let taken = std::mem::take(&mut *self.waiting.lock());
            if !taken.is_empty() {
                return taken;
            }
            self.arrived.notified().await;
        }
    }
}
