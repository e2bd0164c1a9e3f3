//! Messages that are only on the disk are read for consumers to look at.
//!
//! A message stays at its place in the queue until it is known who it is for: it is read, looked at, and handed out or forgotten
//! again, so that nothing is granted to a consumer that it is not for, and the order is that of messages in memory.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use gantry_storage::Reading;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Queue;
use super::seek::Key;
use crate::broker::Broker;
use crate::inbox::Wakes;
use crate::load::{PREFIX_BYTES_USUAL, restored};

/// Steps by which consumers look at what was read at once.
const STEPS_MAX: usize = 16;

/// Queues that want messages to be read.
#[derive(Debug, Default)]
pub(crate) struct Scouts {
    /// Each once.
    queues: Mutex<Vec<Weak<Queue>>>,
    some: Notify,
}

impl Scouts {
    fn add(&self, queue: &Arc<Queue>) {
        self.queues.lock().push(Arc::downgrade(queue));
        self.some.notify_one();
    }
}

impl Queue {
    /// Asks for messages to be read.
    pub(super) fn have_read(self: &Arc<Self>) {
        if !self.is_scouted.swap(true, Ordering::AcqRel) {
            self.shared.scouts.add(self);
        }
    }

    /// Reads what consumers have to look at, and has them look. Blocks on the disk.
    fn scout(self: &Arc<Self>) {
        // What is asked for from here on is asked for again.
        self.is_scouted.store(false, Ordering::Release);
        // Nothing, where what was wanted has expired meanwhile; what is behind it is to be looked at all the same.
        let wanted = self.state.lock().wanted();
        let readings: Vec<Reading> = wanted
            .iter()
            .map(|(_, position, bytes)| Reading {
                position: *position,
                payload_bytes: bytes.saturating_add(PREFIX_BYTES_USUAL),
            })
            .collect();
        let read = if readings.is_empty() { Vec::new() } else { self.shared.journal.read(&readings) };
        let read: Vec<_> = read.into_iter().map(|read| restored(&self.shared, read)).collect();
        let lent: Vec<Key> = wanted.iter().map(|(key, ..)| *key).collect();
        let mut wakes = Wakes::new();
        self.with_grant(&mut wakes, |state, effects| {
            for ((key, position, _), read) in wanted.into_iter().zip(read) {
                match read {
                    Ok(message) => state.lend(key, position, message),
                    // Settled meanwhile, it is not where it was, and that is no damage.
                    Err(error) => {
                        if state.give_up(key, position, effects) {
                            tracing::error!(queue = %self.name, error, "a stored message cannot be read and is lost");
                        }
                    }
                }
            }
        });
        for _ in 1..STEPS_MAX {
            if !self.state.lock().is_unfinished() {
                break;
            }
            self.with_grant(&mut wakes, |_, _| ());
        }
        // Memory need not be scarce for that: a backlog that nobody takes would fill it.
        let mut state = self.state.lock();
        lent.into_iter().for_each(|key| state.take_back(key));
    }
}

/// Has queues read what they ask for, for as long as the broker runs.
pub(crate) async fn run(broker: Arc<Broker>) {
    let scouts = &broker.shared().scouts;
    loop {
        let queues = std::mem::take(&mut *scouts.queues.lock());
        if queues.is_empty() {
            scouts.some.notified().await;
            continue;
        }
        for queue in queues {
            let Some(queue) = queue.upgrade() else { continue };
            let name = Arc::clone(queue.name());
            if let Err(error) = tokio::task::spawn_blocking(move || queue.scout()).await {
                if !error.is_panic() {
                    // The runtime is going down.
                    return;
                }
                tracing::error!(queue = %name, "messages were not read for consumers to look at");
            }
        }
    }
}
