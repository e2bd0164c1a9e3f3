//! The deliveries of a channel that wait for an acknowledgement, by delivery tag.

use std::collections::VecDeque;
use std::sync::Arc;

use gantry_broker::{Lease, Queue};

/// A delivery that wants an outcome.
#[derive(Clone, Debug)]
pub(crate) struct Unacked {
    pub(crate) tag: u64,
    pub(crate) queue: Arc<Queue>,
    pub(crate) lease: Lease,
    /// It went to a consumer and counts against the channel's shared credit.
    pub(crate) consumed: bool,
}

/// What is acknowledged in order costs a look at the front; what is acknowledged out of order leaves a hole, and holes are
/// swept out before they outnumber what is left.
#[derive(Debug, Default)]
pub(crate) struct UnackedList {
    entries: VecDeque<Option<Unacked>>,
    /// Tags of `entries`, holes included; rising.
    tags: VecDeque<u64>,
    live: usize,
}

/// Holes that are not worth a sweep.
const HOLES_MIN: usize = 64;

impl UnackedList {
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn push(&mut self, unacked: Unacked) {
        debug_assert!(self.tags.back().is_none_or(|last| *last < unacked.tag));
        self.tags.push_back(unacked.tag);
        self.entries.push_back(Some(unacked));
        self.live += 1;
    }

    pub(crate) fn take(&mut self, tag: u64) -> Option<Unacked> {
        let index = if self.tags.front() == Some(&tag) { 0 } else { self.tags.binary_search(&tag).ok()? };
        let taken = self.entries.get_mut(index)?.take()?;
        self.live -= 1;
        self.sweep();
        Some(taken)
    }

    /// Takes everything up to `tag`, in order; `tag` itself must be there, or be 0 for everything.
    pub(crate) fn take_up_to(&mut self, tag: u64, mut each: impl FnMut(Unacked)) -> bool {
        let last = if tag == 0 {
            self.entries.len()
        } else {
            match self.tags.binary_search(&tag) {
                Ok(index) if self.entries[index].is_some() => index + 1,
                _ => return false,
            }
        };
        self.tags.drain(..last);
        for unacked in self.entries.drain(..last).flatten() {
            self.live -= 1;
            each(unacked);
        }
        self.sweep();
        true
    }

    fn sweep(&mut self) {
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.tags.pop_front();
        }
        if self.entries.is_empty() {
            if self.entries.capacity() > 1024 {
                *self = Self::default();
            }
        } else if self.entries.len() > 2 * self.live + HOLES_MIN {
            self.entries.retain(Option::is_some);
            self.tags = self.entries.iter().flatten().map(|unacked| unacked.tag).collect();
        }
    }
}
