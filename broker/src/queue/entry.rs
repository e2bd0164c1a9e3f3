//! One message in one queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gantry_storage::Position;

use super::Queue;
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
    /// Of `bytes`, those of the head; 65,535 where there are more.
    pub(crate) head_bytes: u16,
    /// Its priority, as far as the queue tells priorities apart.
    pub(crate) priority: u8,
    /// It may have been delivered before.
    pub(crate) redelivered: bool,
}

impl Entry {
    /// A message that comes in and is not stored (yet).
    pub(crate) fn new(seq: u64, message: Arc<Message>, expires_ms: u64) -> Self {
        Self {
            seq,
            position: Place::NONE,
            bytes: message.bytes(),
            expires_ms,
            attempts: 0,
            head_bytes: u16::try_from(message.head().len()).unwrap_or(u16::MAX),
            priority: message.essentials().priority,
            redelivered: false,
            message: Some(message),
        }
    }

    /// Bytes of the body: what limits are about.
    pub(crate) fn body_bytes(&self) -> u32 {
        self.bytes.saturating_sub(u32::from(self.head_bytes))
    }
}

/// Stands for a message that has left its queue for the one that its settings name, and is not there yet: the queue counts it for
/// so long.
#[derive(Debug)]
pub(crate) struct Redriving(Arc<Queue>);

impl Redriving {
    pub(super) fn new(queue: &Arc<Queue>) -> Self {
        queue.redriving.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(queue))
    }
}

impl Drop for Redriving {
    fn drop(&mut self) {
        self.0.redriving.fetch_sub(1, Ordering::Relaxed);
    }
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
#[derive(Debug)]
pub struct Stored {
    /// Where it is.
    pub(crate) position: Position,
    /// Bytes of head and body.
    pub(crate) bytes: u32,
    /// Where no outcome will be said of it.
    pub(crate) end: Option<End>,
}

/// The end of a stored message that nobody will say an outcome of: once it has been read, or will not be any more because its
/// connection is gone, the journal need not keep it.
#[derive(Debug)]
pub(crate) struct End {
    queue: Arc<Queue>,
    position: Option<Position>,
}

impl End {
    pub(crate) fn new(queue: Arc<Queue>, position: Position) -> Self {
        Self { queue, position: Some(position) }
    }

    /// The caller settles it, with others.
    pub(crate) fn take(mut self) -> Option<Position> {
        self.position.take()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(position) = self.position.take() {
            self.queue.forget_stored(&[position]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_message_without_its_body_takes_tens_of_bytes() {
        assert!(size_of::<Entry>() <= 48, "{}", size_of::<Entry>());
    }
}
