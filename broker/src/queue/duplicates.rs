//! Which messages do not come in once more: in a queue with `x-message-deduplication`, those with the deduplication header of a
//! message that is there, waiting or delivered and not yet settled; in an ordered queue, those with the id of one that was sent
//! lately ([`crate::window`]).

use std::sync::Arc;

use gantry_storage::Ticket;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use parking_lot::Mutex;

use super::{Queue, QueueOptions, Rules, window_lane};
use crate::group::Group;
use crate::shared::Shared;
use crate::value::Value;
use crate::vhost::Deduplication;
use crate::window::{self, Claim, Remembered, Window};

/// The argument by which a queue takes no duplicates of what is there.
const DEDUPLICATION: &str = "x-message-deduplication";

/// How a queue knows duplicates.
pub(super) enum Duplicates {
    /// By what is there.
    Present(Present),
    /// By what was sent lately.
    Window(Arc<Window>),
}

impl Duplicates {
    /// None for a queue that takes everything.
    pub(super) fn of(shared: &Arc<Shared>, lane: u64, options: &QueueOptions, rules: &Rules) -> Option<Self> {
        if rules.stream.is_some() {
            return None;
        }
        if let Some(ordered) = rules.window {
            return Some(Self::Window(Window::new(shared, window_lane(lane), ordered)));
        }
        let asks = options.arguments.get(DEDUPLICATION).and_then(Value::as_bool) == Some(true);
        asks.then(|| Self::Present(Present::default()))
    }
}

/// What a queue says of a message that is about to come.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// It may come, and nothing else with its key until it has.
    New(Kept),
    /// It is there already. What that waits for, where it is known.
    Duplicate(Option<Ticket>),
    /// One with its key is about to come to this place, or not to come after all.
    Pending(u64),
    /// It cannot be taken now: no more can be remembered.
    Full,
}

/// A message with a deduplication key that is about to come in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claiming {
    /// Stands for its deduplication header.
    pub(crate) key: u64,
    pub(crate) group: Option<Group>,
    /// The place that it is to have.
    pub(crate) seq: u64,
    pub(crate) now_ms: u64,
    /// It is going to be in the journal.
    pub(crate) stored: bool,
    /// It was sent to another queue and only goes on here.
    pub(crate) goes_on: bool,
    /// It may wait for another one with its key that is about to come.
    pub(crate) may_wait: bool,
}

/// What is to be said when a message that was claimed has come, or does not.
#[derive(Debug)]
pub(crate) enum Kept {
    /// Nothing, or [`Queue::release_claim`].
    Present,
    /// [`Claim::keep`], or it is dropped.
    Window(Claim),
}

impl Queue {
    /// Whether it takes no duplicates.
    pub(crate) fn deduplicates(&self) -> bool {
        self.duplicates.is_some()
    }

    /// What it was sent lately, where it remembers that.
    pub(crate) fn window(&self) -> Option<&Arc<Window>> {
        match &self.duplicates {
            Some(Duplicates::Window(window)) => Some(window),
            Some(Duplicates::Present(_)) | None => None,
        }
    }

    /// Notes that a message is about to come in. None where the queue does not care: it has not been asked to, or the message
    /// only goes on here.
    pub(crate) fn claim(&self, claiming: Claiming) -> Option<Claimed> {
        let Claiming { key, group, seq, now_ms, stored, goes_on, may_wait } = claiming;
        match self.duplicates.as_ref()? {
            Duplicates::Present(present) => Some(match present.claim(key, seq) {
                true => Claimed::New(Kept::Present),
                false => Claimed::Duplicate(None),
            }),
            Duplicates::Window(_) if goes_on => None,
            Duplicates::Window(window) => {
                let sent = Deduplication { key };
                let sent = if window.is_per_group() { sent.within(group) } else { sent };
                match window.claim(sent.key, seq, now_ms, stored, may_wait) {
                    window::Claimed::New(claim) => Some(Claimed::New(Kept::Window(claim))),
                    window::Claimed::Duplicate(ticket) => Some(Claimed::Duplicate(ticket)),
                    window::Claimed::Pending(first) => Some(Claimed::Pending(first)),
                    window::Claimed::Full => Some(Claimed::Full),
                    window::Claimed::Gone => None,
                }
            }
        }
    }

    /// Notes what was found at recovery.
    pub(super) fn claim_present(&self, key: u64, seq: u64) {
        if let Some(Duplicates::Present(present)) = &self.duplicates {
            present.claim(key, seq);
        }
    }

    /// Settles what was found at recovery and belongs to a queue that remembers nothing.
    pub(crate) fn forget_window(&self, found: &[Remembered]) {
        if !found.is_empty() {
            let positions: Vec<_> = found.iter().map(|one| one.position).collect();
            self.forget_stored(&positions);
        }
    }

    /// A message that was claimed has left, or did not come in.
    pub(crate) fn release_claim(&self, seq: u64) {
        if let Some(Duplicates::Present(present)) = &self.duplicates {
            present.release(seq);
        }
    }
}

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
    fn claim(&self, key: u64, seq: u64) -> bool {
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
    fn release(&self, seq: u64) {
        let mut keys = self.0.lock();
        if let Some(key) = keys.by_seq.remove(&seq) {
            keys.present.remove(&key);
        }
    }
}
