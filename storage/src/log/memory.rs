//! Logs in memory, for tests: the same semantics without a disk, with faults on request.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    LOG_RECORD_BYTES_MAX, Log, LogCursor, LogEntry, LogError, LogOptions, LogRange, LogReading, LogRecord,
    LogRetention, Logs, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, TAG_BYTES_MAX,
};
use crate::journal::Faults;

/// What a record takes of a segment beside its payload, in bytes.
const RECORD_OVERHEAD_BYTES: u64 = 16;

#[derive(Clone, Debug)]
struct Record {
    tag: Option<Bytes>,
    entry: LogEntry,
}

#[derive(Clone, Debug, Default)]
struct Segment {
    records: Vec<Record>,
    bytes: u64,
}

#[derive(Clone, Debug, Default)]
struct State {
    segments: VecDeque<Segment>,
    next: u64,
    last_ms: u64,
    segment_bytes: u64,
    failure: Option<String>,
}

impl State {
    fn records(&self) -> impl DoubleEndedIterator<Item = &Record> {
        self.segments.iter().flat_map(|segment| &segment.records)
    }

    fn push(&mut self, record: Record) {
        let bytes = record.entry.payload.len() as u64 + RECORD_OVERHEAD_BYTES;
        let rolls = self.segments.back().is_none_or(|last| last.bytes + bytes > self.segment_bytes && last.bytes > 0);
        if rolls {
            self.segments.push_back(Segment::default());
        }
        self.next = record.entry.offset + 1;
        self.last_ms = record.entry.timestamp_ms;
        if let Some(last) = self.segments.back_mut() {
            last.bytes += bytes;
            last.records.push(record);
        }
    }
}

/// What there is of one log, now and after a crash.
#[derive(Debug, Default)]
struct MemoryLog {
    now: Mutex<State>,
    safe: Mutex<State>,
    faults: Faults,
}

/// Logs in memory.
#[derive(Debug, Default)]
pub struct MemoryLogs {
    logs: Mutex<HashMap<u64, Arc<MemoryLog>>>,
    faults: Faults,
}

impl MemoryLogs {
    /// None yet.
    pub fn new(faults: Faults) -> MemoryLogs {
        MemoryLogs { logs: Mutex::default(), faults }
    }

    /// What a process would find that starts again after a crash: what was synced.
    pub fn reopen(&self) -> MemoryLogs {
        let again = |log: &Arc<MemoryLog>| {
            let safe = log.safe.lock().clone();
            Arc::new(MemoryLog { now: Mutex::new(safe.clone()), safe: Mutex::new(safe), faults: self.faults.clone() })
        };
        let logs = self.logs.lock().iter().map(|(id, log)| (*id, again(log))).collect();
        MemoryLogs { logs: Mutex::new(logs), faults: self.faults.clone() }
    }
}

impl Logs for MemoryLogs {
    fn open(&self, id: u64, options: LogOptions) -> Result<Arc<dyn Log>, LogError> {
        let mut logs = self.logs.lock();
        let log = logs
            .entry(id)
            .or_insert_with(|| Arc::new(MemoryLog { faults: self.faults.clone(), ..MemoryLog::default() }));
        log.now.lock().segment_bytes = options.segment_bytes.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        Ok(Arc::<MemoryLog>::clone(log))
    }

    fn delete(&self, id: u64) -> Result<(), LogError> {
        self.logs.lock().remove(&id);
        Ok(())
    }

    fn list(&self) -> Result<Vec<u64>, LogError> {
        Ok(self.logs.lock().keys().copied().collect())
    }
}

fn check(state: &State) -> Result<(), LogError> {
    state.failure.as_ref().map_or(Ok(()), |failure| Err(LogError::Failed(failure.clone())))
}

impl Log for MemoryLog {
    fn append(&self, records: &[LogRecord<'_>]) -> Result<(), LogError> {
        let mut state = self.now.lock();
        check(&state)?;
        if self.faults.full() && !records.is_empty() {
            return Err(LogError::Full);
        }
        let mut next = state.next;
        for record in records {
            if record.offset < next || record.offset == u64::MAX {
                return Err(LogError::OutOfOrder { offset: record.offset, next });
            }
            next = record.offset + 1;
            let bytes: u64 = record.payload.iter().map(|part| part.len() as u64).sum();
            if bytes > LOG_RECORD_BYTES_MAX {
                return Err(LogError::TooLarge { bytes, limit: LOG_RECORD_BYTES_MAX });
            }
            let tag_bytes = record.tag.map_or(0, <[u8]>::len);
            if tag_bytes > TAG_BYTES_MAX {
                return Err(LogError::TooLarge { bytes: tag_bytes as u64, limit: TAG_BYTES_MAX as u64 });
            }
        }
        if let Err(error) = self.faults.write() {
            state.failure = Some(error.to_string());
            return check(&state);
        }
        for record in records {
            let timestamp_ms = record.timestamp_ms.max(state.last_ms);
            let entry = LogEntry { offset: record.offset, timestamp_ms, payload: Bytes::from(record.payload.concat()) };
            state.push(Record { tag: record.tag.map(Bytes::copy_from_slice), entry });
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), LogError> {
        let mut state = self.now.lock();
        check(&state)?;
        if let Err(error) = self.faults.sync() {
            state.failure = Some(error.to_string());
            return check(&state);
        }
        *self.safe.lock() = state.clone();
        Ok(())
    }

    fn read(&self, cursor: &mut LogCursor, reading: LogReading<'_>) -> Result<Vec<LogEntry>, LogError> {
        let state = self.now.lock();
        let mut entries = Vec::new();
        let mut bytes = 0;
        let from = cursor.offset;
        for record in state.records().filter(|record| record.entry.offset >= from) {
            if entries.len() >= reading.records_max || bytes >= reading.bytes_max {
                return Ok(entries);
            }
            cursor.offset = record.entry.offset + 1;
            if reading.filter.is_some_and(|filter| !filter.wants(record.tag.as_deref())) {
                continue;
            }
            bytes += record.entry.payload.len();
            entries.push(record.entry.clone());
        }
        if entries.len() < reading.records_max && bytes < reading.bytes_max {
            cursor.offset = cursor.offset.max(state.next);
        }
        Ok(entries)
    }

    fn find_time(&self, timestamp_ms: u64) -> Result<u64, LogError> {
        let state = self.now.lock();
        let found = state.records().find(|record| record.entry.timestamp_ms >= timestamp_ms);
        Ok(found.map_or(state.next, |record| record.entry.offset))
    }

    fn range(&self) -> LogRange {
        let state = self.now.lock();
        LogRange {
            first: state.records().next().map_or(state.next, |record| record.entry.offset),
            next: state.next,
            records: state.records().count() as u64,
            bytes: state.segments.iter().map(|segment| segment.bytes).sum(),
            segments: state.segments.len() as u64,
        }
    }

    fn retain(&self, retention: LogRetention) -> Result<u64, LogError> {
        let mut state = self.now.lock();
        let mut safe = self.safe.lock();
        let mut gone = 0;
        // As far as it is safe, or a crash would leave nothing.
        while state.segments.len() > 1 && safe.next == state.next && state.failure.is_none() {
            let bytes: u64 = state.segments.iter().map(|segment| segment.bytes).sum();
            let last_ms = state.segments[0].records.last().map_or(0, |last| last.entry.timestamp_ms);
            let too_much = retention.bytes_max.is_some_and(|max| bytes > max);
            let too_old = retention.before_ms.is_some_and(|before| last_ms < before);
            if !too_much && !too_old {
                break;
            }
            state.segments.pop_front();
            gone += 1;
        }
        if gone > 0 {
            *safe = state.clone();
        }
        Ok(gone)
    }
}
