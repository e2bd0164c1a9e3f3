//! From the journal's memory into the logs, and what is too old out of them.
//!
//! What is copied is durable already, so there is no hurry: it is written at once, which frees memory, but synced only now and
//! then, which costs the journal's own syncs the least; after that the journal is told that it may forget. A crash anywhere
//! in between leaves the message in one place or in both, and recovery goes by the offset.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gantry_storage::{Log, LogError, LogRecord, LogRetention, Logs, Position};
use hashbrown::HashMap;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::Stream;
use super::recent::Recent;
use crate::broker::Broker;
use crate::inbox::Wakes;
use crate::message::{Meta, now_ms};
use crate::queue::Queue;
use crate::shared::Shared;

/// Messages are copied so many bytes at a time.
const COPY_BYTES: u64 = 1 << 20;

/// A log is synced when so many bytes were copied into it.
const SYNC_BYTES: u64 = 8 << 20;

/// A log is synced when something was copied into it so long ago.
const SYNC_PERIOD: Duration = Duration::from_millis(250);

/// A stream that got nothing for so long is taken not to be written to just now.
const IDLE_AFTER: Duration = Duration::from_millis(100);

/// How long to wait before what could not be copied is tried again.
const RETRY_PERIOD: Duration = Duration::from_millis(500);

/// So many bytes of what is in the log stay in memory, for readers that follow closely.
const RECENT_BYTES_MAX: u64 = 4 << 20;

/// The same, of a stream that nobody writes to just now.
const RECENT_IDLE_BYTES_MAX: u64 = 256 << 10;

/// What all streams of a broker share.
pub(crate) struct Streams {
    pub(crate) logs: Arc<dyn Logs>,
    /// Those with messages that are not durable yet.
    waiting: Mutex<Vec<Arc<Queue>>>,
    /// Those that the copier has to look at.
    work: Mutex<Vec<Arc<Queue>>>,
    arrived: Notify,
    /// Whoever copies has it, over I/O: one at a time, and nobody else waits for it.
    copier: Mutex<Copier>,
}

impl Streams {
    pub(crate) fn new(logs: Arc<dyn Logs>) -> Self {
        Self {
            logs,
            waiting: Mutex::default(),
            work: Mutex::default(),
            arrived: Notify::new(),
            copier: Mutex::default(),
        }
    }

    /// Has a stream looked at when the journal gets on.
    pub(super) fn wait(&self, queue: &Arc<Queue>) {
        self.waiting.lock().push(Arc::clone(queue));
    }

    /// Has the copier look at a stream.
    pub(super) fn push(&self, queue: &Arc<Queue>) {
        let mut work = self.work.lock();
        work.push(Arc::clone(queue));
        let first = work.len() == 1;
        drop(work);
        if first {
            self.arrived.notify_one();
        }
    }

    /// Lets the streams that wait see how far the journal has come.
    fn advance(&self) {
        let waiting = mem::take(&mut *self.waiting.lock());
        let mut wakes = Wakes::new();
        for queue in waiting {
            if let Some(stream) = queue.stream() {
                stream.waits.store(false, Ordering::SeqCst);
                stream.advance(&queue, &mut wakes);
            }
        }
    }

    /// Forgets all streams: who was in a list would keep the storage open after the broker is gone.
    pub(crate) fn abandon(&self) {
        self.waiting.lock().clear();
        self.work.lock().clear();
        let mut copier = self.copier.lock();
        copier.unsynced.clear();
        copier.stalled.clear();
    }

    /// Copies what there is, and syncs it; for an orderly stop. What cannot be copied stays in the journal. Blocks.
    pub(crate) fn drain(&self, shared: &Shared) {
        self.advance();
        let work = mem::take(&mut *self.work.lock());
        let mut copier = self.copier.lock();
        copier.pass(shared, work, true);
    }
}

/// Lets readers see what has become durable, for as long as the broker runs.
pub(crate) async fn follow(broker: Arc<Broker>) {
    let mut durable = broker.watch_durable();
    while durable.changed().await.is_ok() {
        broker.shared().streams.advance();
    }
}

/// Copies, for as long as the broker runs.
pub(crate) async fn run(broker: Arc<Broker>) {
    let streams = &broker.shared().streams;
    let mut again: Option<Duration> = None;
    loop {
        tokio::select! {
            () = streams.arrived.notified() => {}
            () = tokio::time::sleep(again.unwrap_or(RETRY_PERIOD)), if again.is_some() => {}
        }
        let work = mem::take(&mut *streams.work.lock());
        let (copying, looked_at) = (Arc::clone(&broker), work.clone());
        let passed = tokio::task::spawn_blocking(move || {
            let shared = copying.shared();
            shared.streams.copier.lock().pass(shared, work, false)
        });
        again = match passed.await {
            Ok(next) => next,
            // What was not copied is still in the journal; each of them stands in line again with its next message.
            Err(error) if error.is_panic() => {
                tracing::error!(streams = looked_at.len(), "streams were not copied into their logs");
                for queue in &looked_at {
                    if let Some(stream) = queue.stream() {
                        stream.is_queued.store(false, Ordering::SeqCst);
                    }
                }
                Some(RETRY_PERIOD)
            }
            // The runtime is going down: what was not copied is still in the journal.
            Err(_) => return,
        };
    }
}

/// What has been copied of one stream and not yet been synced.
struct Unsynced {
    queue: Arc<Queue>,
    positions: Vec<Position>,
    bytes: u64,
    /// When the first of it was copied, and the last.
    since: Instant,
    last: Instant,
}

/// Copies streams into their logs.
#[derive(Default)]
struct Copier {
    /// By lane.
    unsynced: HashMap<u64, Unsynced>,
    /// Those that could not be copied.
    stalled: Vec<Arc<Queue>>,
}

impl Copier {
    /// Does what there is to do. How long to wait with the next pass, where there is something left. Blocks.
    fn pass(&mut self, shared: &Shared, mut work: Vec<Arc<Queue>>, is_last: bool) -> Option<Duration> {
        work.append(&mut self.stalled);
        for queue in work {
            let Some(stream) = queue.stream() else { continue };
            // First this: what comes from now on stands in line again.
            stream.is_queued.store(false, Ordering::SeqCst);
            if stream.is_closed() {
                self.end(shared, &queue, stream);
                continue;
            }
            match self.copy(shared, &queue, stream) {
                Ok(()) => {}
                Err(error) => {
                    if matches!(error, LogError::Full) {
                        tracing::debug!(queue = %queue.name(), "no room to copy into the log of a stream");
                    } else {
                        tracing::error!(queue = %queue.name(), %error, "a stream was not copied into its log");
                    }
                    self.stalled.push(queue);
                }
            }
        }
        let now = Instant::now();
        let is_due = |unsynced: &Unsynced| {
            is_last || unsynced.bytes >= SYNC_BYTES || now.duration_since(unsynced.since) >= SYNC_PERIOD
        };
        let due: Vec<u64> =
            self.unsynced.iter().filter(|(_, unsynced)| is_due(unsynced)).map(|(lane, _)| *lane).collect();
        for lane in due {
            if let Some(unsynced) = self.unsynced.remove(&lane) {
                sync(shared, &unsynced);
            }
        }
        let next = self.unsynced.values().map(|unsynced| SYNC_PERIOD.saturating_sub(unsynced.since.elapsed())).min();
        let retry = (!self.stalled.is_empty()).then_some(RETRY_PERIOD);
        next.into_iter().chain(retry).min()
    }

    /// Copies what is durable of one stream.
    fn copy(&mut self, shared: &Shared, queue: &Arc<Queue>, stream: &Stream) -> Result<(), LogError> {
        let log = Arc::clone(stream.log(queue)?);
        let segments_before = log.range().segments;
        loop {
            let batch = stream.state.lock().to_copy(COPY_BYTES);
            if batch.is_empty() {
                break;
            }
            let appended = append(&*log, &batch);
            // Where it failed, the first ones may be there all the same.
            let range = log.range();
            let keep_bytes = if shared.memory_is_scarce() { 0 } else { RECENT_BYTES_MAX };
            stream.state.lock().copied(range, keep_bytes);
            let unsynced = self.unsynced.entry(queue.lane()).or_insert_with(|| Unsynced {
                queue: Arc::clone(queue),
                positions: Vec::new(),
                bytes: 0,
                since: Instant::now(),
                last: Instant::now(),
            });
            unsynced.last = Instant::now();
            for recent in batch.iter().filter(|recent| recent.offset < range.next) {
                unsynced.bytes += u64::from(recent.message.bytes());
                unsynced.positions.extend(recent.place.get());
            }
            appended?;
            if unsynced.bytes >= SYNC_BYTES
                && let Some(unsynced) = self.unsynced.remove(&queue.lane())
            {
                sync(shared, &unsynced);
            }
        }
        let has_rolled = log.range().segments > segments_before;
        if stream.retention_due.swap(false, Ordering::SeqCst) || has_rolled {
            self.retain(shared, queue, stream, &*log)?;
        }
        Ok(())
    }

    /// Lets go of what is too old, or too much.
    fn retain(&mut self, shared: &Shared, queue: &Arc<Queue>, stream: &Stream, log: &dyn Log) -> Result<(), LogError> {
        let retention = *stream.retention.lock();
        let before_ms = retention.age_max_ms.map(|age_ms| now_ms().saturating_sub(age_ms));
        let retention = LogRetention { bytes_max: retention.bytes_max, before_ms };
        if retention == LogRetention::default() || log.range().segments < 2 {
            return Ok(());
        }
        // Nothing goes while something behind it might be lost.
        match self.unsynced.remove(&queue.lane()) {
            Some(unsynced) => sync(shared, &unsynced),
            None => log.sync()?,
        }
        log.retain(retention)?;
        stream.state.lock().copied(log.range(), RECENT_BYTES_MAX);
        Ok(())
    }

    /// A stream was deleted: nothing of it stays.
    fn end(&mut self, shared: &Shared, queue: &Arc<Queue>, stream: &Stream) {
        let mut positions = stream.state.lock().drain();
        positions.extend(self.unsynced.remove(&queue.lane()).into_iter().flat_map(|unsynced| unsynced.positions));
        if !positions.is_empty() {
            queue.forget_stored(&positions);
        }
        if let Err(error) = shared.streams.logs.delete(queue.lane()) {
            tracing::error!(queue = %queue.name(), %error, "the log of a deleted stream was not removed");
        }
    }
}

fn append(log: &dyn Log, batch: &[Recent]) -> Result<(), LogError> {
    let prefixes: Vec<SmallVec<[u8; 128]>> = batch
        .iter()
        .map(|recent| {
            let mut prefix = SmallVec::new();
            let meta = Meta::new(recent.timestamp_ms, recent.message.essentials());
            recent.message.stored_prefix(&meta, &mut prefix);
            prefix
        })
        .collect();
    let payloads: Vec<[&[u8]; 2]> =
        prefixes.iter().zip(batch).map(|(prefix, recent)| [prefix.as_slice(), recent.message.data()]).collect();
    let records: Vec<LogRecord<'_>> = batch
        .iter()
        .zip(&payloads)
        .map(|(recent, payload)| LogRecord {
            offset: recent.offset,
            timestamp_ms: recent.timestamp_ms,
            tag: recent.tag.as_deref(),
            payload,
        })
        .collect();
    log.append(&records)
}

/// Makes what was copied safe, and lets the journal forget it.
fn sync(shared: &Shared, unsynced: &Unsynced) {
    let Unsynced { queue, positions, .. } = unsynced;
    let Some(stream) = queue.stream() else { return };
    let Some(log) = stream.log.get() else { return };
    match log.sync() {
        Ok(()) => {
            queue.forget_stored(positions);
            let is_idle = unsynced.last.elapsed() >= IDLE_AFTER;
            let keep_bytes = match (shared.memory_is_scarce(), is_idle) {
                (true, _) => 0,
                (false, true) => RECENT_IDLE_BYTES_MAX,
                (false, false) => RECENT_BYTES_MAX,
            };
            stream.state.lock().copied(log.range(), keep_bytes);
        }
        // The process is about to stop, and the journal still has it all.
        Err(error) => tracing::error!(queue = %queue.name(), %error, "the log of a stream was not synced"),
    }
}
