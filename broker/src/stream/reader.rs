//! Who reads a stream, and where.

use std::sync::Arc;

use gantry_storage::{LogCursor, LogFilter};

/// A reader of a stream.
#[derive(Debug)]
pub(super) struct Reader<O> {
    pub(super) outlet: O,
    /// Where it goes on.
    pub(super) cursor: LogCursor,
    /// Which messages it wants.
    pub(super) filter: Option<Arc<LogFilter>>,
    /// Messages that it may still get.
    pub(super) available: u32,
    /// Messages that it has and has not said an outcome of.
    pub(super) held: u32,
    /// Its connection is about to read from the log for it: it gets nothing until that is done.
    pub(super) is_reading: bool,
}

impl<O> Reader<O> {
    pub(super) fn new(outlet: O, prefetch: u32, position: u64, filter: Option<Arc<LogFilter>>) -> Self {
        Self { outlet, cursor: LogCursor::at(position), filter, available: prefetch, held: 0, is_reading: false }
    }

    /// Takes credit for messages that it has got.
    pub(super) fn take(&mut self, messages: u32) {
        self.available = self.available.saturating_sub(messages);
        self.held += messages;
    }

    /// Gives credit back for one of them. It never comes to more than there was in the beginning.
    pub(super) fn give_back(&mut self) -> bool {
        if self.held == 0 {
            return false;
        }
        self.held -= 1;
        self.available += 1;
        true
    }
}
