//! The end of messages all at once, and of the queue.

use super::State;
use crate::queue::entry::Entry;
use crate::queue::ordered::Ordered;
use crate::queue::receipts;
use hashbrown::HashSet;

/// What has to hold for a queue to be closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SealIf {
    /// It has no consumers.
    pub(crate) unused: bool,
    /// No messages wait.
    pub(crate) empty: bool,
}

/// Why a queue was not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSealed {
    /// It has consumers.
    InUse,
    /// Messages wait.
    NotEmpty,
}

/// Messages that leave a queue all at once. Walking through them takes no lock, however many there are.
pub(crate) type Discarded = Box<dyn Iterator<Item = Entry> + Send>;

impl<O> State<O> {
    /// Takes nothing and nobody any more: [`State::close`] follows. Where a condition is not met, nothing happens; asking and
    /// closing are one step, so that nothing can come in between and be lost.
    pub(crate) fn seal(&mut self, conditions: SealIf) -> Result<(), NotSealed> {
        if conditions.unused && self.consumers.len() > 0 {
            return Err(NotSealed::InUse);
        }
        if conditions.empty && self.ready_len() > 0 {
            return Err(NotSealed::NotEmpty);
        }
        self.closed = true;
        Ok(())
    }

    /// Discards what waits; leased messages stay. How many there were.
    pub(crate) fn purge(&mut self) -> (usize, Discarded) {
        let waiting = self.ready_len();
        let mut ready = self.ready.take();
        let later = self.later.take().map(|mut later| later.entries.drain());
        if let Some(ordered) = &mut self.ordered {
            **ordered = ordered.only(self.leases.iter().map(|leased| (leased.entry.seq, leased.consumer)));
        }
        if self.groups.is_some() || self.receipts.is_some() {
            let leased: HashSet<u64> = self.leases.iter().map(|leased| leased.entry.seq).collect();
            receipts::forget_others(&mut self.receipts, &leased);
            if let Some(groups) = &mut self.groups {
                groups.keep(|seq| leased.contains(&seq));
                if groups.is_empty() {
                    self.groups = None;
                }
                self.set_seeks();
            }
        }
        let all = std::iter::from_fn(move || ready.pop_first()).chain(later.into_iter().flatten());
        (waiting, Box::new(all))
    }

    /// The end of the queue: discards everything. The outlets of its consumers, and how many messages waited.
    pub(crate) fn close(&mut self) -> (Vec<O>, usize, Discarded) {
        self.closed = true;
        let (waiting, discarded) = self.purge();
        let leased = self.leases.drain().map(|leased| leased.entry);
        self.receipts = None;
        let outlets = self.consumers.drain().map(|consumer| consumer.outlet).collect();
        self.groups = None;
        if let Some(ordered) = &mut self.ordered {
            **ordered = Ordered::default();
        }
        self.set_seeks();
        (outlets, waiting, Box::new(discarded.chain(leased)))
    }

    /// Whether it has been closed, or is about to be.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }
}
