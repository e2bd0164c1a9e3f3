//! The lanes of the journal that a queue has beside its own.

use super::Queue;

/// What the number of a lane has beside that of the queue's own. No other lane has these bits: lanes begin with the number of a
/// run of the process, and there are not so many runs.
const REFUSALS: u64 = 1 << 63;
const WINDOW: u64 = 1 << 62;

/// What a lane of a queue is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// What is in the queue. Lanes of all others than queues are such ones, too.
    Messages,
    /// What the queue refused and sends on, until that is somewhere else.
    Refusals,
    /// What it was sent lately; see [`crate::window`].
    Window,
}

/// Whose lane this is, by the number of its own, and what it is for.
pub(crate) fn lane_of(lane: u64) -> (u64, Lane) {
    let own = lane & !(REFUSALS | WINDOW);
    match (lane & REFUSALS != 0, lane & WINDOW != 0) {
        (false, false) => (own, Lane::Messages),
        (true, _) => (own, Lane::Refusals),
        (false, true) => (own, Lane::Window),
    }
}

/// The lane of the window of the queue, or of the exchange, whose own number this is.
pub(crate) const fn window_lane(lane: u64) -> u64 {
    lane | WINDOW
}

impl Queue {
    /// The lane of the journal that its messages are in.
    pub(crate) fn lane(&self) -> u64 {
        self.lane
    }

    /// The lane for messages that it refused and sends on, until they are somewhere else.
    pub(crate) fn refusals_lane(&self) -> u64 {
        self.lane | REFUSALS
    }
}
