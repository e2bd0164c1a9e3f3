//! The stream as a state machine: what happens to it goes in, what is to be done comes out through [`Effects`].
//!
//! No clock, no randomness, no I/O, no await.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_storage::{LogCursor, LogFilter, LogRange, Position, Ticket};

use super::reader::Reader;
use super::recent::{Recent, RecentMessages};
use crate::queue::{Outcome, QueueCounters, QueueStatus};

/// Most messages that a reader is granted at once from the log.
const RUN_RECORDS_MAX: u32 = 2048;

/// Messages that a reader may have read from the log.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    /// The reader.
    pub(crate) reader: u32,
    /// Where it goes on.
    pub(crate) cursor: LogCursor,
    /// How many at most.
    pub(crate) records_max: u32,
    /// Which of them it wants.
    pub(crate) filter: Option<Arc<LogFilter>>,
}

/// What a step asks to be done. Called while the stream is locked.
pub(super) trait Effects<O> {
    /// Takes room for one delivery, if there is some.
    fn take_room(&mut self, outlet: &O) -> bool;

    /// Hands a message to a reader.
    fn deliver(&mut self, outlet: &O, reader: u32, recent: &Recent);

    /// Has a reader's connection read from the log. False where there is none.
    fn read(&mut self, outlet: &O, grant: Grant) -> bool;
}

/// A stream.
#[derive(Debug)]
pub(super) struct State<O> {
    recent: RecentMessages,
    /// Everything below this offset is durable, and can be read.
    visible: u64,
    /// What is in the log: everything below its `next`.
    log: LogRange,
    /// By the order in which they came.
    readers: BTreeMap<u32, Reader<O>>,
    last_reader: u32,
    /// Only the first reader gets anything.
    single_active: bool,
    closed: bool,
    counters: QueueCounters,
}

impl<O> State<O> {
    pub(super) fn new(single_active: bool) -> Self {
        Self {
            recent: RecentMessages::default(),
            visible: 0,
            log: LogRange::default(),
            readers: BTreeMap::new(),
            last_reader: 0,
            single_active,
            closed: false,
            counters: QueueCounters::default(),
        }
    }

    /// Begins with what is in the log.
    pub(super) fn restore(&mut self, range: &LogRange) {
        self.log = *range;
        self.visible = range.next;
        self.recent.start_at(range.next);
    }

    /// Puts back a message that the log does not have yet. Their offsets rise.
    pub(super) fn restore_recent(&mut self, recent: Recent) {
        self.recent.skip_to(recent.offset);
        self.recent.arrive(recent.offset, Some(recent));
    }

    /// All is there; the next message gets this offset.
    pub(super) fn restored(&mut self, next: u64) {
        self.recent.skip_to(next);
        self.visible = next;
    }

    /// What became of an offset: a message, or none, because it could not be stored. False where the stream is closed.
    pub(super) fn arrive(&mut self, offset: u64, recent: Option<Recent>) -> bool {
        if self.closed {
            return false;
        }
        self.counters.enqueued += u64::from(recent.is_some());
        self.recent.arrive(offset, recent);
        true
    }

    /// Offset of the first message in memory; of the next one where none is.
    pub(super) fn first_recent(&self) -> u64 {
        self.recent.get(0).map_or(self.recent.next(), |first| first.offset)
    }

    /// How far the journal has to come before there is more to be read. Nothing where everything can be read.
    pub(super) fn waits_for(&self) -> Option<Ticket> {
        if self.visible == self.recent.next() {
            return None;
        }
        let first = self.recent.get(self.recent.index_of(self.visible));
        // Offsets that were given up wait for nothing.
        Some(first.map_or(Ticket::default(), |first| first.ticket))
    }

    /// The journal has come so far. Whether there is more to be read. [`State::grant_all`] is due then.
    pub(super) fn advance(&mut self, durable: Ticket) -> bool {
        let before = self.visible;
        let mut index = self.recent.index_of(self.visible);
        loop {
            match self.recent.get(index) {
                // What comes behind must not be seen first: an offset belongs to nobody before it is durable.
                Some(recent) if recent.ticket > durable => break self.visible = self.visible.max(recent.offset),
                Some(_) => index += 1,
                None => break self.visible = self.recent.next(),
            }
        }
        self.visible > before
    }

    /// Grants all readers what they can take.
    pub(super) fn grant_all(&mut self, effects: &mut impl Effects<O>) {
        let Self { recent, visible, readers, single_active, counters, .. } = self;
        let active = if *single_active { 1 } else { usize::MAX };
        for (number, reader) in readers.iter_mut().take(active) {
            grant(recent, *visible, counters, *number, reader, effects);
        }
    }

    /// Grants one reader what it can take.
    pub(super) fn grant(&mut self, number: u32, effects: &mut impl Effects<O>) {
        let Self { recent, visible, readers, single_active, counters, .. } = self;
        if *single_active && readers.first_key_value().is_some_and(|(first, _)| *first != number) {
            return;
        }
        if let Some(reader) = readers.get_mut(&number) {
            grant(recent, *visible, counters, number, reader, effects);
        }
    }

    /// Adds a reader. [`State::grant`] is due afterwards. None where the stream is closed.
    pub(super) fn subscribe(&mut self, reader: Reader<O>) -> Option<u32> {
        if self.closed {
            return None;
        }
        self.last_reader += 1;
        self.readers.insert(self.last_reader, reader);
        Some(self.last_reader)
    }

    /// Removes a reader. [`State::grant_all`] is due afterwards.
    pub(super) fn unsubscribe(&mut self, number: u32) -> bool {
        self.readers.remove(&number).is_some()
    }

    /// Removes a reader, to tell it.
    pub(super) fn take_reader(&mut self, number: u32) -> Option<Reader<O>> {
        self.readers.remove(&number)
    }

    /// Says an outcome of a delivery to this reader. [`State::grant`] is due afterwards.
    pub(super) fn settle(&mut self, number: u32, outcome: Outcome) {
        let Some(reader) = self.readers.get_mut(&number) else { return };
        if reader.give_back() {
            match outcome {
                Outcome::Accept => self.counters.accepted += 1,
                Outcome::Reject => self.counters.rejected += 1,
                _ => {}
            }
        }
    }

    /// A reader's connection has read from the log what it was granted, and goes on behind it. None where the reader is gone;
    /// otherwise its outlet. [`State::grant`] is due afterwards.
    pub(super) fn has_read(&mut self, number: u32, cursor: LogCursor, messages: u32) -> Option<&O> {
        let reader = self.readers.get_mut(&number)?;
        reader.is_reading = false;
        reader.cursor = cursor;
        reader.take(messages);
        self.counters.delivered += u64::from(messages);
        Some(&reader.outlet)
    }

    /// The next messages to be copied into the log: no more than so many bytes, but at least one.
    pub(super) fn to_copy(&self, bytes_max: u64) -> Vec<Recent> {
        let first = self.recent.index_of(self.log.next);
        let end = self.recent.index_of(self.visible);
        let mut bytes = 0;
        self.recent
            .range(first..end)
            .take_while(|recent| {
                let goes_on = bytes < bytes_max;
                bytes += u64::from(recent.message.bytes());
                goes_on
            })
            .cloned()
            .collect()
    }

    /// What is in the log now. What has gone from there goes from memory, and no more than so many bytes stay of what is there.
    pub(super) fn copied(&mut self, range: LogRange, recent_bytes_max: u64) {
        self.log = range;
        let first = if range.records > 0 { range.first } else { 0 };
        self.recent.trim(first, range.next, recent_bytes_max);
    }

    /// The offset that comes next.
    pub(super) fn next(&self) -> u64 {
        self.recent.next()
    }

    /// The offset of the last message that can be read; of the next one where there is none.
    pub(super) fn last(&self) -> u64 {
        match self.recent.index_of(self.visible).checked_sub(1).and_then(|index| self.recent.get(index)) {
            Some(last) => last.offset,
            None if self.log.records > 0 => self.log.next - 1,
            None => self.recent.next(),
        }
    }

    /// Offset of the first message in memory that came at this time or later, and whether it is the first of all in memory.
    pub(super) fn find_recent_time(&self, at_ms: u64) -> (Option<u64>, bool) {
        let mut messages = self.recent.range(0..self.recent.len()).enumerate();
        match messages.find(|(_, recent)| recent.timestamp_ms >= at_ms) {
            Some((index, found)) => (Some(found.offset), index == 0),
            None => (None, true),
        }
    }

    /// Takes nothing and nobody any more.
    pub(super) fn seal(&mut self) {
        self.closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The end: the outlets of its readers.
    pub(super) fn close(&mut self) -> Vec<O> {
        self.closed = true;
        std::mem::take(&mut self.readers).into_values().map(|reader| reader.outlet).collect()
    }

    /// After the end: where the journal has messages that the log never got.
    pub(super) fn drain(&mut self) -> Vec<Position> {
        let log_next = self.log.next;
        let rest = self.recent.drain();
        rest.iter().filter(|recent| recent.offset >= log_next).filter_map(|recent| recent.place.get()).collect()
    }

    pub(super) fn status(&self) -> QueueStatus {
        let uncopied = self.recent.index_of(self.visible) - self.recent.index_of(self.log.next);
        let ready = usize::try_from(self.log.records).unwrap_or(usize::MAX).saturating_add(uncopied);
        QueueStatus {
            ready,
            unacked: self.readers.values().map(|reader| reader.held as usize).sum(),
            ready_bytes: self.log.bytes + if uncopied > 0 { self.recent.bytes() } else { 0 },
            consumers: self.readers.len(),
            counters: self.counters,
            ..QueueStatus::default()
        }
    }

    /// Messages in memory.
    #[cfg(test)]
    pub(super) fn recent_len(&self) -> usize {
        self.recent.len()
    }
}

/// Grants a reader what it can take.
fn grant<O>(
    messages: &RecentMessages,
    visible: u64,
    counters: &mut QueueCounters,
    number: u32,
    reader: &mut Reader<O>,
    effects: &mut impl Effects<O>,
) {
    if reader.is_reading || reader.available == 0 || reader.cursor.offset >= visible {
        return;
    }
    if reader.cursor.offset < messages.from() {
        if !effects.take_room(&reader.outlet) {
            return;
        }
        let (cursor, filter) = (reader.cursor, reader.filter.clone());
        let records_max = reader.available.min(RUN_RECORDS_MAX);
        reader.is_reading = effects.read(&reader.outlet, Grant { reader: number, cursor, records_max, filter });
        return;
    }
    let mut index = messages.index_of(reader.cursor.offset);
    while let Some(recent) = messages.get(index).filter(|recent| recent.offset < visible) {
        if reader.filter.as_ref().is_none_or(|filter| filter.wants(recent.tag.as_deref())) {
            if reader.available == 0 || !effects.take_room(&reader.outlet) {
                return;
            }
            effects.deliver(&reader.outlet, number, recent);
            reader.take(1);
            counters.delivered += 1;
        }
        reader.cursor = LogCursor::at(recent.offset + 1);
        index += 1;
    }
}
