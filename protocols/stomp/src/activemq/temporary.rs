//! Queues and topics that belong to a connection: only it consumes from them, they go with it, and others know them by the address
//! that stands in `reply-to`.
//!
//! Both are exclusive queues with names that cannot be guessed. A topic of one connection has one subscriber, which is all that
//! tells them apart.

use std::sync::Arc;

use gantry_broker::rights::Access;
use gantry_broker::{Kind, Queue, QueueName, QueueOptions};
use hashbrown::HashMap;

use crate::client::Client;
use crate::error::Failure;
use crate::limits::{GENERATED_NAME_SAMPLE, REPLY_QUEUES_MAX};

/// What a temporary destination is for its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TemporaryKind {
    Queue,
    Topic,
}

/// Those of a connection, by its own names for them.
#[derive(Debug, Default)]
pub(crate) struct Temporary(HashMap<(TemporaryKind, Box<str>), Arc<Queue>>);

impl Client {
    /// The queue behind a temporary destination of this connection; made when it is named first.
    pub(crate) fn temporary(&mut self, kind: TemporaryKind, name: &str) -> Result<Arc<Queue>, Failure> {
        let key = (kind, Box::from(name));
        if let Some(queue) = self.temporary.0.get(&key) {
            return Ok(Arc::clone(queue));
        }
        if self.temporary.0.len() >= REPLY_QUEUES_MAX {
            let detail = format!("Too many temporary destinations (limit {REPLY_QUEUES_MAX})");
            return Err(Failure::soft("Temporary destination limit exceeded", detail));
        }
        self.session.check(Access::Configure, Kind::Queue, GENERATED_NAME_SAMPLE)?;
        let options = QueueOptions { exclusive: true, ..QueueOptions::default() };
        let vhost = Arc::clone(self.session.vhost());
        // It does not survive, so there is nothing to wait for.
        let (queue, _nothing) = vhost.define_queue(QueueName::Generated, options, self.session.connection())?;
        self.temporary.0.insert(key, Arc::clone(&queue));
        Ok(queue)
    }

    /// What others are told to send to.
    pub(crate) fn temporary_address(&mut self, kind: TemporaryKind, name: &str) -> Result<Box<str>, Failure> {
        let queue = self.temporary(kind, name)?;
        let word = match kind {
            TemporaryKind::Queue => "queue",
            TemporaryKind::Topic => "topic",
        };
        Ok(format!("/remote-temp-{word}/{}", queue.name()).into())
    }
}
