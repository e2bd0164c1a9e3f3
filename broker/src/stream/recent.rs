//! The messages of a stream that are in memory: those that came last, and all that are not in the log yet.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use gantry_storage::Ticket;

use crate::message::Message;
use crate::queue::Place;

/// What a message takes in memory beside its head and body, about, in bytes.
const OVERHEAD_BYTES: u64 = 256;

/// A message in memory.
#[derive(Clone, Debug)]
pub(crate) struct Recent {
    pub(crate) offset: u64,
    /// When it came, in milliseconds since the epoch of Unix.
    pub(crate) timestamp_ms: u64,
    /// What it can be selected by.
    pub(crate) tag: Option<Bytes>,
    pub(crate) message: Arc<Message>,
    /// Where the journal has it.
    pub(crate) place: Place,
    /// It is durable once the journal has come so far.
    pub(crate) ticket: Ticket,
}

/// Messages in the order of their offsets, without a hole that somebody could still fill. Publishers take an offset before
/// they go to the journal, and may come back in another order: those that are early wait for those that are late.
#[derive(Debug, Default)]
pub(super) struct RecentMessages {
    messages: VecDeque<Recent>,
    bytes: u64,
    /// All that there are from this offset on are here.
    from: u64,
    /// The offset that is to come next.
    next: u64,
    /// What came before its turn; none for an offset that was given up.
    early: BTreeMap<u64, Option<Recent>>,
}

impl RecentMessages {
    /// All that there are from this offset on are here.
    pub(super) fn from(&self) -> u64 {
        self.from
    }

    /// The offset that is to come next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Bytes that they take in memory, about.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Begins behind what is in the log.
    pub(super) fn start_at(&mut self, offset: u64) {
        (self.from, self.next) = (offset, offset);
    }

    /// Leaves out the offsets below this one.
    pub(super) fn skip_to(&mut self, offset: u64) {
        self.next = self.next.max(offset);
    }

    /// What became of an offset: a message, or none. Not before its turn, and each once.
    pub(super) fn arrive(&mut self, offset: u64, recent: Option<Recent>) {
        if offset != self.next {
            self.early.insert(offset, recent);
            return;
        }
        self.push(recent);
        while let Some(first) = self.early.first_entry().filter(|first| *first.key() == self.next) {
            let recent = first.remove();
            self.push(recent);
        }
    }

    fn push(&mut self, recent: Option<Recent>) {
        self.next += 1;
        if let Some(recent) = recent {
            self.bytes += u64::from(recent.message.bytes()) + OVERHEAD_BYTES;
            self.messages.push_back(recent);
        }
    }

    /// Place of the first message with this offset or a higher one.
    pub(super) fn index_of(&self, offset: u64) -> usize {
        // Most ask for what came just now.
        match self.messages.back() {
            Some(last) if last.offset < offset => self.messages.len(),
            _ => self.messages.partition_point(|recent| recent.offset < offset),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<&Recent> {
        self.messages.get(index)
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn range(&self, indexes: std::ops::Range<usize>) -> impl Iterator<Item = &Recent> {
        self.messages.range(indexes)
    }

    /// Lets go of those below `first`, and then of the first ones below `written` until no more than so many bytes are left.
    pub(super) fn trim(&mut self, first: u64, written: u64, bytes_max: u64) {
        while let Some(front) = self.messages.front()
            && (front.offset < first || front.offset < written && self.bytes > bytes_max)
        {
            self.from = front.offset + 1;
            self.bytes -= u64::from(front.message.bytes()) + OVERHEAD_BYTES;
            self.messages.pop_front();
        }
        if self.messages.is_empty() && self.messages.capacity() > 1024 {
            self.messages = VecDeque::new();
        }
    }

    /// Takes everything.
    pub(super) fn drain(&mut self) -> Vec<Recent> {
        self.bytes = 0;
        self.from = self.next;
        let early = std::mem::take(&mut self.early);
        std::mem::take(&mut self.messages).into_iter().chain(early.into_values().flatten()).collect()
    }
}
