//! Messages that are not in memory any more: a reader's connection reads them from the log, many at once.

use std::fmt;
use std::sync::Arc;

use gantry_storage::{Log, LogCursor, LogError, LogReading};

use super::state::Grant;
use super::{Shell, delivery};
use crate::inbox::{Item, Wakes};
use crate::message::{Address, Message, Sources};
use crate::queue::Queue;

/// Bytes that are read at once, and that a run takes in an inbox.
pub(crate) const RUN_BYTES_MAX: usize = 256 << 10;

/// Messages of a stream that a reader is granted and that are still to be read from the log: see `Broker::load`.
pub struct Run {
    queue: Arc<Queue>,
    log: Arc<dyn Log>,
    token: u64,
    grant: Grant,
}

/// What a run has come to.
pub(crate) struct RunRead {
    /// Where the reader goes on.
    cursor: LogCursor,
    /// With their offsets.
    messages: Vec<(u64, Arc<Message>)>,
    /// Nothing can be read there, nor behind it.
    failed: bool,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("queue", &self.queue).field("grant", &self.grant).finish_non_exhaustive()
    }
}

/// A run on its way to a thread that may block.
pub(crate) struct RunReading {
    log: Arc<dyn Log>,
    grant: Grant,
}

impl Run {
    pub(super) fn new(queue: &Arc<Queue>, log: &Arc<dyn Log>, token: u64, grant: Grant) -> Self {
        Self { queue: Arc::clone(queue), log: Arc::clone(log), token, grant }
    }

    /// What is to be read.
    pub(crate) fn reading(&self) -> RunReading {
        RunReading { log: Arc::clone(&self.log), grant: self.grant.clone() }
    }

    /// Hands over what was read, and grants the reader more. Nothing where the reader is gone.
    pub(crate) fn finish(self, read: RunRead, into: &mut Vec<Item>, wakes: &mut Wakes) {
        let Self { queue, token, grant: Grant { reader, .. }, .. } = self;
        let Some(stream) = queue.stream() else { return };
        let mut state = stream.state.lock();
        if read.failed {
            // It would be granted the same again, and again.
            if let Some(gone) = state.take_reader(reader) {
                wakes.push(&gone.outlet.inbox, Item::Cancelled(token));
            }
            return;
        }
        if state.has_read(reader, read.cursor, read.messages.len() as u32).is_none() {
            return;
        }
        let deliveries = read.messages.into_iter();
        into.extend(deliveries.map(|(offset, message)| delivery(&queue, token, reader, offset, message)));
        state.grant(reader, &mut Shell { queue: &queue, wakes, log: stream.log.get() });
    }
}

impl RunReading {
    /// Reads it. Blocks.
    pub(crate) fn read(&self, sources: &Sources) -> RunRead {
        let Grant { mut cursor, records_max, ref filter, .. } = self.grant;
        let reading =
            LogReading { records_max: records_max as usize, bytes_max: RUN_BYTES_MAX, filter: filter.as_deref() };
        let entries = match self.log.read(&mut cursor, reading) {
            Ok(entries) => entries,
            // It was logged, and the cursor is behind it.
            Err(LogError::Damaged(_)) => Vec::new(),
            Err(error) => {
                tracing::error!(%error, "a stream cannot be read");
                return RunRead { cursor, messages: Vec::new(), failed: true };
            }
        };
        let mut messages = Vec::with_capacity(entries.len());
        let mut address: Option<Arc<Address>> = None;
        for entry in entries {
            match Message::restore_beside(sources, entry.payload, address.as_ref()) {
                Ok(message) => {
                    address = Some(Arc::clone(message.address()));
                    messages.push((entry.offset, message));
                }
                Err(error) => tracing::error!(offset = entry.offset, %error, "a message of a stream cannot be read"),
            }
        }
        RunRead { cursor, messages, failed: false }
    }
}
