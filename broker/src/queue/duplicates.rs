//! `x-message-deduplication`: a message does not come into a queue in which one with the same deduplication header is
//! already, waiting or delivered and not yet settled.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use parking_lot::Mutex;

/// The keys of the messages in one queue. It has its own lock, which is held for a moment, since a message is claimed before
/// it is stored and the queue's own lock is taken afterwards.
#[derive(Debug, Default)]
pub(super) struct Present(Mutex<Keys>);

#[derive(Debug, Default)]
struct Keys {
    present: HashMap<u64, u64>,
    by_seq: HashMap<u64, u64>,
}

impl Present {
    /// Notes that a message has this key; false where another one has it.
    pub(super) fn claim(&self, key: u64, seq: u64) -> bool {
        let mut keys = self.0.lock();
        let Keys { present, by_seq } = &mut *keys;
        match present.entry(key) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(seq);
                by_seq.insert(seq, key);
                true
            }
        }
    }

    /// The message has left, or never came.
    pub(super) fn release(&self, seq: u64) {
        let mut keys = self.0.lock();
        if let Some(key) = keys.by_seq.remove(&seq) {
            keys.present.remove(&key);
        }
    }
}
