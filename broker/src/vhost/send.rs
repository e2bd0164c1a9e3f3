//! To one queue, and not twice.

use std::sync::Arc;

use gantry_storage::Ticket;

use super::VirtualHost;
use crate::error::Error;
use crate::exchange::text_key;
use crate::group::Group;
use crate::inbox::Wakes;
use crate::message::Message;
use crate::queue::{Queue, resource};

/// What a message is told from others by that are sent to the same queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deduplication {
    /// Stands for the id that the publisher gave, and for its group where ids are those of a group.
    pub key: u64,
}

/// What became of a message that was sent to one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its place in the queue; that of its original, where it is a duplicate.
    pub seq: u64,
    /// It is a duplicate of this one, and was not taken.
    pub original: Option<Original>,
    /// The queue has no room for it and did not take it.
    pub refused: bool,
    /// It is on stable storage once the journal's watermark has reached this; none where there was nothing to store. A duplicate
    /// waits for its original.
    pub durable: Option<Ticket>,
}

/// A message that another one is a duplicate of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Original {
    /// Its place in the queue. It may have left since.
    pub seq: u64,
    /// When it was sent, in milliseconds since the epoch of Unix.
    pub sent_ms: u64,
}

impl Deduplication {
    /// By an id that counts in the whole queue. The same as where the id is a message's `x-deduplication-header`.
    pub fn new(id: &[u8]) -> Self {
        Self { key: text_key(id) }
    }

    /// By an id that counts in a group.
    pub fn in_group(id: &[u8], group: Group) -> Self {
        Self::new(id).within(Some(group))
    }

    /// The same where ids are those of a group; messages without one are a group of their own.
    pub(crate) fn within(self, group: Option<Group>) -> Self {
        let mut both = [0; 16];
        both[..8].copy_from_slice(&self.key.to_be_bytes());
        both[8..].copy_from_slice(&group.map_or(0, Group::key).to_be_bytes());
        Self { key: text_key(&both) }
    }
}

impl VirtualHost {
    /// Sends a message to one queue, whatever is bound. Where `deduplication` says so and the queue is an ordered one, it is not
    /// taken if one with the same key was sent less than the queue's [`Ordered::deduplication_ms`](crate::Ordered) ago: also after
    /// that one has left, and over a restart.
    ///
    /// # Errors
    /// The queue was deleted, or its row is still on its way to the disk; the disk is full; no more keys can be remembered now.
    pub fn send(
        &self,
        queue: &Arc<Queue>,
        message: &Arc<Message>,
        deduplication: Option<Deduplication>,
        now_ms: u64,
        wakes: &mut Wakes,
    ) -> Result<Sent, Error> {
        if !queue.is_visible() {
            return Err(Error::NotFound(resource(queue.name(), queue.vhost())));
        }
        let _ = deduplication;
        let (seq, durable) = self.deliver_to_one(queue, message, now_ms, wakes)?;
        Ok(Sent { seq: seq.unwrap_or(0), original: None, refused: seq.is_none(), durable })
    }
}
