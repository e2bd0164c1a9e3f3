//! To one queue, and not twice.

use std::sync::Arc;

use gantry_storage::Ticket;

use super::VirtualHost;
use super::publish::{One, Written};
use crate::error::Error;
use crate::exchange::text_key;
use crate::group::Group;
use crate::inbox::Wakes;
use crate::message::Message;
use crate::queue::{Queue, resource};
use crate::window::First;

/// What a message is told from others by that are sent to the same queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deduplication {
    /// Stands for the id that the publisher gave, and for its group where ids are those of a group.
    pub key: u64,
}

/// What became of a message that was sent to one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its place in the queue; that of its original, where it is a duplicate; 0 where it was refused.
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
        let (Some(window), Some(Deduplication { key })) = (queue.window(), deduplication) else {
            let one = One::asked(queue, message, now_ms);
            let (seq, refused) = (one.seq().unwrap_or(0), one.is_refused());
            let appended = one.write(&self.shared, None)?;
            let durable = one.arrive(appended, wakes)?;
            return Ok(Sent { seq, original: None, refused, durable });
        };
        let mut open = window.open();
        if let Some(First { seq, sent_ms, ticket }) = open.find(key, now_ms) {
            return Ok(Sent { seq, original: Some(Original { seq, sent_ms }), refused: false, durable: ticket });
        }
        let room = open.take_room()?;
        let one = One::new(queue, message, now_ms);
        let Some(seq) = one.seq() else {
            return Ok(Sent {
                seq: 0,
                original: None,
                refused: one.is_refused(),
                durable: one.arrive(Written::new(), wakes)?,
            });
        };
        let record = open.record(key, seq, now_ms);
        let appended = one.write(&self.shared, Some(record.append()))?;
        open.remember(room, &record, now_ms, &appended);
        // Still under the window's lock, so that messages come into the queue in the order of their numbers.
        let durable = one.arrive(appended, wakes)?;
        Ok(Sent { seq, original: None, refused: false, durable })
    }
}
