//! One message in one queue.

use std::sync::Arc;

use gantry_storage::Position;

use crate::message::Message;

/// A message that waits or is leased: some tens of bytes once its body has left memory.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its place in the queue; kept for as long as it is there.
    pub(crate) seq: u64,
    /// The message, unless memory is scarce.
    pub(crate) message: Option<Arc<Message>>,
    /// Where it is stored, if it is.
    pub(crate) position: Place,
    /// Bytes of head and body.
    pub(crate) bytes: u32,
    /// When it expires, in milliseconds since the epoch of Unix; `u64::MAX` for never.
    pub(crate) expires_ms: u64,
    /// How often it has been given back as failed.
    pub(crate) attempts: u32,
    /// It may have been delivered before.
    pub(crate) redelivered: bool,
}

/// An optional position in the size of a position: segments are numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(Position);

impl Place {
    /// Not stored.
    pub(crate) const NONE: Self = Self(Position { segment: 0, offset: 0, slot: 0 });

    pub(crate) fn get(self) -> Option<Position> {
        (self.0.segment != 0).then_some(self.0)
    }
}

impl From<Position> for Place {
    fn from(position: Position) -> Self {
        debug_assert!(position.segment != 0);
        Self(position)
    }
}

/// A message that has to be read from the journal.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    /// Where it is.
    pub(crate) position: Position,
    /// Bytes of head and body.
    pub(crate) bytes: u32,
    /// It is settled once it has been read.
    pub(crate) settle: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_message_without_its_body_takes_tens_of_bytes() {
        assert!(size_of::<Entry>() <= 48, "{}", size_of::<Entry>());
    }
}
