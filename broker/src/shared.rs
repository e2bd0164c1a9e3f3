//! What all parts of one broker share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gantry_storage::{Journal, Logs, Table};
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::delays::DelayLane;
use crate::events::Events;
use crate::message::{Sources, resident_bytes};
use crate::outbox::Outbox;
use crate::queue::{Queue, QueueSettings, Rules, Scouts};
use crate::replies::Replies;
use crate::retained::RetainedRoom;
use crate::stream::Streams;
use crate::timer::Timer;
use crate::window::{Window, WindowRoom};

/// How much the parts of a broker may take, of those that look for themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) memory_watermark_bytes: usize,
    pub(crate) retained_bytes_max: usize,
    pub(crate) deduplication_entries_max: usize,
}

/// So many numbers of messages a queue has for one run of the process: a million a second for twelve days take as many, and more
/// than that only come nearer to what the next run begins with.
///
/// It can be divided by 2^15 and by 2^15 - 1, so that the numbers of two runs go on without a jump for whoever looks at what is
/// left of such a division: packet ids of MQTT are made so, and those of neighbours must not be the same.
const RUN_SEQS: u64 = 32_767 << 25;

/// What all parts of one broker share.
pub(crate) struct Shared {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) table: Arc<dyn Table>,
    pub(crate) sources: Sources,
    /// For queues.
    pub(crate) timer: Timer<Queue>,
    /// For delayed exchanges.
    pub(crate) delays: Timer<DelayLane>,
    /// For ordered queues, to forget what they were sent.
    pub(crate) windows: Timer<Window>,
    pub(crate) window_room: WindowRoom,
    /// For queues whose consumers have to look at messages on the disk.
    pub(crate) scouts: Scouts,
    pub(crate) outbox: Outbox,
    pub(crate) events: Events,
    /// Who has which connection.
    users: Mutex<HashMap<u64, Arc<str>>>,
    pub(crate) replies: Replies,
    pub(crate) streams: Streams,
    /// What queues have that have no rules.
    pub(crate) no_rules: Arc<Rules>,
    /// What queues have that nothing is set on.
    pub(crate) no_settings: Arc<QueueSettings>,
    /// Messages that came to direct queues when there was no room, those of queues that are gone included.
    pub(crate) dropped: AtomicU64,
    /// For retained messages.
    pub(crate) retained: RetainedRoom,
    /// Above so many bytes in memory, bodies that are stored leave it.
    pub(crate) memory_watermark_bytes: usize,
    /// Numbers for connections.
    ids: AtomicU64,
    /// The next lane; its upper half is the number of this run of the process.
    lanes: AtomicU64,
    run: u32,
    closing: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        journal: Arc<dyn Journal>,
        table: Arc<dyn Table>,
        logs: Arc<dyn Logs>,
        sources: Sources,
        run: u32,
        limits: &Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            journal,
            table,
            sources,
            timer: Timer::default(),
            delays: Timer::default(),
            windows: Timer::default(),
            window_room: WindowRoom::new(limits.deduplication_entries_max),
            scouts: Scouts::default(),
            outbox: Outbox::default(),
            events: Events::default(),
            users: Mutex::default(),
            replies: Replies::default(),
            streams: Streams::new(logs),
            no_rules: Arc::default(),
            no_settings: Arc::default(),
            dropped: AtomicU64::new(0),
            retained: RetainedRoom::new(limits.retained_bytes_max),
            memory_watermark_bytes: limits.memory_watermark_bytes,
            // Not those of former runs: a message may have been stored with the number of its publisher.
            ids: AtomicU64::new((u64::from(run) << 32) + 1),
            lanes: AtomicU64::new(u64::from(run) << 32),
            run,
            closing: AtomicBool::new(false),
        })
    }

    /// A number that nothing else ever had on this data folder: it is stored with messages, and compared after a restart.
    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes whose connection it is; none when it is gone.
    pub(crate) fn set_user(&self, connection: u64, user: Option<&Arc<str>>) {
        let mut users = self.users.lock();
        match user {
            Some(user) => users.insert(connection, Arc::clone(user)),
            None => users.remove(&connection),
        };
    }

    /// Whose connection it is.
    pub(crate) fn user_of(&self, connection: u64) -> Option<Arc<str>> {
        self.users.lock().get(&connection).cloned()
    }

    /// A lane that nothing else ever had on this data folder.
    pub(crate) fn next_lane(&self) -> u64 {
        self.lanes.fetch_add(1, Ordering::Relaxed)
    }

    /// The number that the next message gets in a queue that was there before this run of the process, and would have gone on with
    /// `next`: none of an earlier run had it, whatever has left since.
    pub(crate) fn first_seq(&self, next: u64) -> u64 {
        next.max(u64::from(self.run) * RUN_SEQS + next % RUN_SEQS)
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
