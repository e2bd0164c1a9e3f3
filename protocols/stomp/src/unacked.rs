//! What a client has been sent and has not said an outcome of, by delivery tag.

use std::collections::VecDeque;
use std::sync::Arc;

use gantry_broker::{Lease, Message, Queue};

/// A delivery that wants an outcome.
#[derive(Clone, Debug)]
pub(crate) struct Unacked {
    pub(crate) tag: u64,
    /// The subscription that it came by.
    pub(crate) token: u64,
    /// An acknowledgement of it covers what came before.
    pub(crate) is_cumulative: bool,
    /// It counts against what the client may have in all.
    pub(crate) took_credit: bool,
    pub(crate) queue: Arc<Queue>,
    pub(crate) lease: Lease,
    /// What is to be kept of it if it is refused, where this connection sees to that.
    pub(crate) message: Option<Arc<Message>>,
}

impl Unacked {
    /// Bytes of the letter that would be made of it.
    pub(crate) fn letter_bytes(&self) -> u64 {
        self.message.as_ref().map_or(0, |message| u64::from(message.bytes()))
    }
}

/// What is acknowledged in order costs a look at the front; what is acknowledged out of order leaves a hole, and holes are swept
/// out before they outnumber what is left.
#[derive(Debug, Default)]
pub(crate) struct UnackedList {
    /// Tags of what was and what is there; rising.
    entries: VecDeque<(u64, Option<Unacked>)>,
    live: usize,
    /// Entries that were looked at or moved since somebody asked.
    toil: usize,
}

/// Holes that are not worth a sweep.
const HOLES_MIN: usize = 64;

/// So many are put back each at its place; of more, the whole list is put in order.
const STRAYS_FEW: usize = 16;

impl UnackedList {
    pub(crate) fn push(&mut self, unacked: Unacked) {
        debug_assert!(self.entries.back().is_none_or(|(last, _)| *last < unacked.tag));
        self.entries.push_back((unacked.tag, Some(unacked)));
        self.live += 1;
    }

    fn index(&self, tag: u64) -> Option<usize> {
        if self.entries.front().is_some_and(|(first, _)| *first == tag) {
            return Some(0);
        }
        self.entries.binary_search_by_key(&tag, |(tag, _)| *tag).ok()
    }

    pub(crate) fn get(&self, tag: u64) -> Option<&Unacked> {
        self.entries.get(self.index(tag)?)?.1.as_ref()
    }

    pub(crate) fn take(&mut self, tag: u64) -> Option<Unacked> {
        let index = self.index(tag)?;
        let taken = self.entries.get_mut(index)?.1.take()?;
        self.live -= 1;
        self.sweep();
        Some(taken)
    }

    /// Takes what came no later than `tag` and is wanted, in order.
    pub(crate) fn take_up_to(&mut self, tag: u64, wanted: impl Fn(&Unacked) -> bool, mut each: impl FnMut(Unacked)) {
        for (_, entry) in self.entries.iter_mut().take_while(|(entry, _)| *entry <= tag) {
            self.toil += 1;
            if let Some(taken) = entry.take_if(|unacked| wanted(unacked)) {
                self.live -= 1;
                each(taken);
            }
        }
        self.sweep();
    }

    /// Puts back what was taken: into the hole that it left, or where that would be.
    pub(crate) fn put_back(&mut self, taken: impl IntoIterator<Item = Unacked>) {
        let mut strays = Vec::new();
        for unacked in taken {
            self.live += 1;
            match self.index(unacked.tag) {
                Some(hole) => self.entries[hole].1 = Some(unacked),
                None => strays.push(unacked),
            }
        }
        if strays.len() > STRAYS_FEW {
            self.entries.extend(strays.into_iter().map(|unacked| (unacked.tag, Some(unacked))));
            self.entries.make_contiguous().sort_by_key(|(tag, _)| *tag);
            self.toil += self.entries.len();
            return;
        }
        for unacked in strays {
            let place = self.entries.partition_point(|(tag, _)| *tag < unacked.tag);
            self.toil += place.min(self.entries.len() - place);
            self.entries.insert(place, (unacked.tag, Some(unacked)));
        }
    }

    /// How many entries were looked at or moved since the last time. One frame can have many of them looked at.
    pub(crate) fn take_toil(&mut self) -> usize {
        std::mem::take(&mut self.toil)
    }

    fn sweep(&mut self) {
        while let Some((_, None)) = self.entries.front() {
            self.entries.pop_front();
        }
        if self.entries.is_empty() {
            if self.entries.capacity() > 1024 {
                self.entries = VecDeque::new();
            }
        } else if self.entries.len() > 2 * self.live + HOLES_MIN {
            self.entries.retain(|(_, entry)| entry.is_some());
        }
    }

    /// Gives memory back; for when the connection is quiet.
    pub(crate) fn shrink(&mut self) {
        if self.entries.is_empty() && self.entries.capacity() > 0 {
            self.entries = VecDeque::new();
        }
    }
}
