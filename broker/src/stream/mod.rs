//! Streams: queues that nobody takes anything out of. Many read one, each at a place of its own.
//!
//! A message goes into the journal as to any queue: one record, whatever else it goes to, and a place in the stream, its
//! offset, which is never given to another message. Behind that it is copied into the stream's own log, and the journal may
//! forget it. Readers see what is durable in the journal and nothing else.
//!
//! * [`state`]: the rules, without clock and I/O; [`recent`]: messages that are still in memory; [`reader`]: who reads, and where.
//! * [`options`]: what a stream is declared with; [`start`]: where a reader begins.
//! * [`run`]: older messages, which the reader's connection reads from the log.
//! * [`copier`]: from the journal's memory into the log, and what becomes too old.
//! * this file: the lock, the journal, the wake-ups.

mod copier;
mod options;
mod reader;
mod recent;
mod run;
mod start;
mod state;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use gantry_storage::{Log, LogFilter, LogOptions, Position, Reading, TAG_BYTES_MAX, Ticket};
use parking_lot::Mutex;

pub(crate) use self::copier::{Streams, follow, run};
pub(crate) use self::options::StreamRules;
pub use self::options::{Retention, STREAM_SEGMENT_BYTES_MAX};
use self::reader::Reader;
use self::recent::Recent;
pub use self::run::Run;
pub(crate) use self::run::{RUN_BYTES_MAX, RunRead, RunReading};
pub use self::start::{InvalidOffset, StreamOffset};
use self::state::{Effects, Grant, State};
use crate::error::Error;
use crate::inbox::{Content, Delivery, Item, Outlet, Wakes};
use crate::load::{PREFIX_BYTES_USUAL, restored};
use crate::message::{Message, now_ms};
use crate::queue::{Arrival, ConsumerId, Lease, Outcome, Place, Queue, QueueStatus, Restored};

/// The header of a message that readers may select it by.
const FILTER_VALUE: &str = "x-stream-filter-value";

/// Messages read from the journal at a time, when a stream is recovered.
const RECOVERED_AT_ONCE: usize = 256;

/// What a reader asks for.
#[derive(Clone, Debug)]
pub struct ReaderOptions {
    /// So many messages may be with it whose outcome it has not said.
    pub prefetch: u32,
    /// Where it begins.
    pub start: StreamOffset,
    /// Which messages it wants; all where there is none.
    pub filter: Option<LogFilter>,
}

/// The part of a queue that makes it a stream.
pub(crate) struct Stream {
    state: Mutex<State<Outlet>>,
    /// There is none before the first message is copied.
    log: OnceLock<Arc<dyn Log>>,
    segment_bytes: u64,
    retention: Mutex<Retention>,
    /// It stands among those that wait for the journal.
    waits: AtomicBool,
    /// It stands among those that the copier has to look at.
    is_queued: AtomicBool,
    /// What is too old has to be looked for.
    retention_due: AtomicBool,
}

impl Stream {
    pub(crate) fn new(rules: &StreamRules) -> Self {
        Self {
            state: Mutex::new(State::new(rules.single_active)),
            log: OnceLock::new(),
            segment_bytes: rules.segment_bytes,
            retention: Mutex::new(rules.retention),
            waits: AtomicBool::new(false),
            is_queued: AtomicBool::new(false),
            retention_due: AtomicBool::new(false),
        }
    }

    /// The log, opened where this is the first use of it. Blocks.
    fn log(&self, queue: &Queue) -> Result<&Arc<dyn Log>, gantry_storage::LogError> {
        if let Some(log) = self.log.get() {
            return Ok(log);
        }
        // Only the copier and recovery come here, and not at the same time.
        let options = LogOptions { segment_bytes: self.segment_bytes };
        let log = queue.shared().streams.logs.open(queue.lane(), options)?;
        Ok(self.log.get_or_init(|| log))
    }

    pub(crate) fn status(&self) -> QueueStatus {
        self.state.lock().status()
    }

    /// Puts the stream together again from its log and from what the journal still has of it. Blocks.
    pub(crate) fn restore(&self, queue: &Arc<Queue>, mut entries: Vec<Restored>) -> Result<u64, Error> {
        let failed = |error: gantry_storage::LogError| Error::Storage(format!("stream '{}': {error}", queue.name()));
        let log = Arc::clone(self.log(queue).map_err(failed)?);
        let range = log.range();
        entries.sort_unstable_by_key(Restored::seq);
        let next = entries.last().map_or(0, |last| last.seq() + 1).max(range.next);
        // What was copied before the end need only be forgotten, once it is certain that it is on stable storage.
        let copied = entries.partition_point(|entry| entry.seq() < range.next);
        let rest = entries.split_off(copied);
        if !entries.is_empty() {
            log.sync().map_err(failed)?;
            let positions: Vec<Position> = entries.iter().map(Restored::position).collect();
            queue.shared().journal.settle(&positions)?;
        }
        let mut left = Vec::with_capacity(rest.len());
        for batch in rest.chunks(RECOVERED_AT_ONCE) {
            left.extend(recovered(queue, batch));
        }
        let mut state = self.state.lock();
        state.restore(&range);
        left.into_iter().for_each(|recent| state.restore_recent(recent));
        state.restored(next);
        drop(state);
        self.queue_up(queue);
        Ok(next)
    }

    /// Takes a message. False where the stream was deleted meanwhile; then nothing has happened.
    pub(crate) fn enqueue(
        &self,
        queue: &Arc<Queue>,
        arrival: Arrival<'_>,
        offset: u64,
        stored: Option<Position>,
        wakes: &mut Wakes,
    ) -> bool {
        let recent = Recent {
            offset,
            timestamp_ms: arrival.now_ms,
            tag: filter_value(arrival.message),
            message: Arc::clone(arrival.message),
            place: stored.map_or(Place::NONE, Place::from),
            ticket: arrival.ticket.unwrap_or_default(),
        };
        if self.arrive(queue, offset, Some(recent), wakes) {
            return true;
        }
        if let Some(position) = stored {
            queue.forget_stored(&[position]);
        }
        false
    }

    /// No message will come for this offset.
    pub(crate) fn give_up(&self, queue: &Arc<Queue>, offset: u64) {
        self.arrive(queue, offset, None, &mut Wakes::new());
    }

    /// Takes note of what became of an offset. Has the stream looked at when the journal gets on, and looks at once at what
    /// needs no waiting. False where the stream was deleted.
    fn arrive(&self, queue: &Arc<Queue>, offset: u64, recent: Option<Recent>, wakes: &mut Wakes) -> bool {
        let mut state = self.state.lock();
        let arrived = state.arrive(offset, recent);
        let waits_for = state.waits_for();
        drop(state);
        // First this and then the watermark: whoever moves that looks here afterwards.
        if !self.waits.swap(true, Ordering::SeqCst) {
            queue.shared().streams.wait(queue);
        }
        if waits_for.is_some_and(|ticket| ticket <= queue.shared().journal.durable()) {
            self.advance(queue, wakes);
        }
        arrived
    }

    /// The journal has got on: what is durable now can be read.
    fn advance(&self, queue: &Arc<Queue>, wakes: &mut Wakes) {
        let durable = queue.shared().journal.durable();
        let mut shell = Shell { queue, wakes, log: self.log.get() };
        let mut state = self.state.lock();
        let advanced = state.advance(durable);
        if advanced {
            state.grant_all(&mut shell);
        }
        let waits = state.waits_for().is_some();
        drop(state);
        if advanced {
            self.queue_up(queue);
        }
        if waits && !self.waits.swap(true, Ordering::SeqCst) {
            queue.shared().streams.wait(queue);
        }
    }

    /// Has the copier look at it.
    fn queue_up(&self, queue: &Arc<Queue>) {
        if !self.is_queued.swap(true, Ordering::SeqCst) {
            queue.shared().streams.push(queue);
        }
    }

    /// What may go from now on.
    pub(crate) fn set_retention(&self, queue: &Arc<Queue>, retention: Retention) {
        *self.retention.lock() = retention;
        self.look_for_old(queue);
    }

    /// Has what is too old let go of. When to look again, in milliseconds from now; none where nothing gets old.
    pub(crate) fn look_for_old(&self, queue: &Arc<Queue>) -> Option<u64> {
        self.retention_due.store(true, Ordering::SeqCst);
        self.queue_up(queue);
        self.retention.lock().period_ms()
    }

    /// When to look for what is too old, in milliseconds from now.
    pub(crate) fn retention_period_ms(&self) -> Option<u64> {
        self.retention.lock().period_ms()
    }

    /// Adds a reader. None where the stream was deleted.
    fn subscribe(
        &self,
        queue: &Arc<Queue>,
        outlet: Outlet,
        prefetch: u32,
        filter: Option<LogFilter>,
        start: Begin,
        wakes: &mut Wakes,
    ) -> Option<ConsumerId> {
        let mut shell = Shell { queue, wakes, log: self.log.get() };
        let mut state = self.state.lock();
        let position = match start {
            Begin::First => 0,
            Begin::Last => state.last(),
            Begin::Next => state.next(),
            Begin::Offset(offset) => offset,
        };
        let number = state.subscribe(Reader::new(outlet, prefetch, position, filter.map(Arc::new)))?;
        state.grant(number, &mut shell);
        Some(ConsumerId::of_reader(number))
    }

    pub(crate) fn unsubscribe(&self, queue: &Arc<Queue>, id: ConsumerId) -> bool {
        let mut wakes = Wakes::new();
        let mut shell = Shell { queue, wakes: &mut wakes, log: self.log.get() };
        let mut state = self.state.lock();
        let removed = state.unsubscribe(id.reader());
        if removed {
            // Where only one is active, the next one is now.
            state.grant_all(&mut shell);
        }
        removed
    }

    pub(crate) fn resume(&self, queue: &Arc<Queue>, id: ConsumerId, wakes: &mut Wakes) {
        let mut shell = Shell { queue, wakes, log: self.log.get() };
        self.state.lock().grant(id.reader(), &mut shell);
    }

    /// Says outcomes of deliveries. Whatever they are, the message stays where it is: they give credit.
    pub(crate) fn settle(&self, queue: &Arc<Queue>, leases: &[Lease], outcome: Outcome, wakes: &mut Wakes) {
        let mut shell = Shell { queue, wakes, log: self.log.get() };
        let mut state = self.state.lock();
        let mut last = None;
        for lease in leases {
            let reader = lease.reader();
            if let Some(before) = last.replace(reader)
                && before != reader
            {
                state.grant(before, &mut shell);
            }
            state.settle(reader, outcome);
        }
        if let Some(reader) = last {
            state.grant(reader, &mut shell);
        }
    }

    /// Takes nothing and nobody any more: [`Stream::close`] follows.
    pub(crate) fn seal(&self) {
        self.state.lock().seal();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().is_closed()
    }

    /// The end of the stream: its log goes with it.
    pub(crate) fn close(&self, queue: &Arc<Queue>, wakes: &mut Wakes) {
        for outlet in self.state.lock().close() {
            wakes.push(&outlet.inbox, Item::Cancelled(outlet.token));
        }
        self.queue_up(queue);
    }
}

/// Where a reader begins, once a time was looked up.
#[derive(Clone, Copy, Debug)]
enum Begin {
    First,
    Last,
    Next,
    Offset(u64),
}

impl Queue {
    /// Adds a reader of a stream, and grants it what there is. None where the stream was deleted, or the queue is none.
    pub(crate) async fn read_from(
        self: &Arc<Self>,
        outlet: Outlet,
        options: ReaderOptions,
        wakes: &mut Wakes,
    ) -> Result<Option<ConsumerId>, Error> {
        let Some(stream) = self.stream() else { return Ok(None) };
        let begin = match options.start {
            StreamOffset::First => Begin::First,
            StreamOffset::Last => Begin::Last,
            StreamOffset::Next => Begin::Next,
            StreamOffset::Offset(offset) => Begin::Offset(offset),
            StreamOffset::Time(at_ms) => Begin::Offset(self.find_time(at_ms).await?),
            StreamOffset::Interval(ms) => Begin::Offset(self.find_time(now_ms().saturating_sub(ms)).await?),
        };
        Ok(stream.subscribe(self, outlet, options.prefetch, options.filter, begin, wakes))
    }

    /// Offset of the first message of a stream that is still there; of the next one where none is, and 0 for other queues.
    pub fn first_offset(&self) -> u64 {
        let Some(stream) = self.stream() else { return 0 };
        // What is not in the log yet is behind all that is.
        let first = stream.state.lock().first_recent();
        stream.log.get().map_or(first, |log| log.range().first.min(first))
    }

    /// Offset of the first message of a stream that came at this time or later, in milliseconds since the epoch of Unix; of the
    /// next one where there is none. 0 for what is no stream.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn offset_at(&self, at_ms: u64) -> Result<u64, Error> {
        self.find_time(at_ms).await
    }

    /// Offset of the first message that came at this time or later; the next one where there is none.
    async fn find_time(&self, at_ms: u64) -> Result<u64, Error> {
        let Some(stream) = self.stream() else { return Ok(0) };
        let (recent, is_first, next) = {
            let state = stream.state.lock();
            let (recent, is_first) = state.find_recent_time(at_ms);
            (recent, is_first, state.next())
        };
        // Where it is the first in memory, there may be another one before it.
        if let Some(offset) = recent.filter(|_| !is_first) {
            return Ok(offset);
        }
        let recent = recent.unwrap_or(next);
        let Some(log) = stream.log.get().cloned() else { return Ok(recent) };
        let written = log.range().next;
        let found = tokio::task::spawn_blocking(move || log.find_time(at_ms)).await;
        match found {
            Ok(Ok(offset)) if offset < written => Ok(offset),
            Ok(Ok(_)) => Ok(recent),
            Ok(Err(error)) => Err(Error::Storage(error.to_string())),
            Err(error) => Err(Error::Storage(error.to_string())),
        }
    }

    /// Changes what a stream lets go of. Does nothing to any other queue.
    pub fn set_retention(self: &Arc<Self>, retention: Retention) {
        if let Some(stream) = self.stream() {
            stream.set_retention(self, retention);
            self.start_expiry();
        }
    }
}

/// What the journal has of a stream that its log does not have. Blocks.
fn recovered(queue: &Arc<Queue>, entries: &[Restored]) -> Vec<Recent> {
    let reading = |entry: &Restored| Reading {
        position: entry.position(),
        payload_bytes: entry.bytes().saturating_add(PREFIX_BYTES_USUAL),
    };
    let read = queue.shared().journal.read(&entries.iter().map(reading).collect::<Vec<_>>());
    let recent = |(entry, read): (&Restored, _)| match restored(queue.shared(), read) {
        Ok(message) => Some(Recent {
            offset: entry.seq(),
            timestamp_ms: entry.published_ms(),
            tag: filter_value(&message),
            message,
            place: entry.position().into(),
            ticket: Ticket::default(),
        }),
        Err(error) => {
            tracing::error!(queue = %queue.name(), error, "a stored message cannot be read and is lost");
            queue.forget_stored(&[entry.position()]);
            None
        }
    };
    entries.iter().zip(read).filter_map(recent).collect()
}

/// The value that readers may select a message by.
fn filter_value(message: &Message) -> Option<Bytes> {
    let value = message.source().header(message.head(), FILTER_VALUE)?;
    let value = value.as_str()?.as_bytes();
    // A longer one nobody can ask for.
    (value.len() <= TAG_BYTES_MAX).then(|| Bytes::copy_from_slice(value))
}

/// Puts what is granted where readers find it.
struct Shell<'a> {
    queue: &'a Arc<Queue>,
    wakes: &'a mut Wakes,
    log: Option<&'a Arc<dyn Log>>,
}

fn delivery(queue: &Arc<Queue>, token: u64, reader: u32, offset: u64, message: Arc<Message>) -> Item {
    Item::Delivery(Delivery {
        token,
        queue: Arc::clone(queue),
        lease: Some(Lease::of_reader(reader, offset)),
        content: Content::Loaded(message),
        redelivered: false,
        attempts: 0,
        offset: Some(offset),
        seq: offset,
        expires_ms: u64::MAX,
        first_received_ms: 0,
    })
}

impl Effects<Outlet> for Shell<'_> {
    fn take_room(&mut self, outlet: &Outlet) -> bool {
        outlet.take_room()
    }

    fn deliver(&mut self, outlet: &Outlet, reader: u32, recent: &Recent) {
        let item = delivery(self.queue, outlet.token, reader, recent.offset, Arc::clone(&recent.message));
        self.wakes.push(&outlet.inbox, item);
    }

    fn read(&mut self, outlet: &Outlet, grant: Grant) -> bool {
        let Some(log) = self.log else { return false };
        let run = Run::new(self.queue, log, outlet.token, grant);
        self.wakes.push(&outlet.inbox, Item::Run(run));
        true
    }
}
