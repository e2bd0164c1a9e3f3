//! What all parts of one broker share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gantry_storage::{Journal, Logs, Table};

use crate::message::{Sources, resident_bytes};
use crate::outbox::Outbox;
use crate::replies::Replies;
use crate::stream::Streams;
use crate::timer::Timer;

/// What all parts of one broker share.
pub(crate) struct Shared {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) table: Arc<dyn Table>,
    pub(crate) sources: Sources,
    pub(crate) timer: Timer,
    pub(crate) outbox: Outbox,
    pub(crate) replies: Replies,
    pub(crate) streams: Streams,
    /// Above so many bytes in memory, bodies that are stored leave it.
    pub(crate) memory_watermark_bytes: usize,
    /// Numbers for connections.
    ids: AtomicU64,
    /// The next lane; its upper half is the number of this run of the process.
    lanes: AtomicU64,
    closing: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        journal: Arc<dyn Journal>,
        table: Arc<dyn Table>,
        logs: Arc<dyn Logs>,
        sources: Sources,
        run: u32,
        memory_watermark_bytes: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            journal,
            table,
            sources,
            timer: Timer::default(),
            outbox: Outbox::default(),
            replies: Replies::default(),
            streams: Streams::new(logs),
            memory_watermark_bytes,
            ids: AtomicU64::new(1),
            lanes: AtomicU64::new(u64::from(run) << 32),
            closing: AtomicBool::new(false),
        })
    }

    /// A number that nothing else in this process has.
    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// A lane that nothing else ever had on this data folder.
    pub(crate) fn next_lane(&self) -> u64 {
        self.lanes.fetch_add(1, Ordering::Relaxed)
    }

    /// More is in memory than should be.
    pub(crate) fn memory_is_scarce(&self) -> bool {
        resident_bytes() > self.memory_watermark_bytes
    }

    /// Nothing is deleted for want of users any more: the broker is about to stop, and connections go for that reason.
    pub(crate) fn set_closing(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
