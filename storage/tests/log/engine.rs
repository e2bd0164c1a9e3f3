//! The engines under test, behind what the suite needs of them.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use gantry_storage::{
    EmbeddedLogs, Faults, Log, LogCursor, LogEntry, LogError, LogFilter, LogOptions, LogReading, LogRecord, Logs,
    LogsOptions, MemoryLogs,
};
use tempfile::TempDir;

/// The log that tests use.
pub(crate) const ID: u64 = 0x1_0000_0007;

/// Segments of this length fill up soon.
pub(crate) const OPTIONS: LogOptions = LogOptions { segment_bytes: 4096 };

/// An engine whose log can be opened again after a crash.
pub(crate) trait Engine {
    fn log(&self) -> &dyn Log;
    fn logs(&self) -> &dyn Logs;
    /// As a process finds it that starts after this one was killed. The memory engine forgets what was not synced; of files
    /// it is still there, as the system writes it sooner or later.
    fn crash(&mut self) -> Result<(), LogError>;
}

pub(crate) struct Embedded {
    pub(crate) dir: Arc<TempDir>,
    logs: EmbeddedLogs,
    log: Option<Arc<dyn Log>>,
    options: LogOptions,
}

impl Embedded {
    pub(crate) fn new(faults: Faults) -> Embedded {
        Embedded::with(faults, OPTIONS)
    }

    pub(crate) fn with(faults: Faults, options: LogOptions) -> Embedded {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let logs = EmbeddedLogs::new(&dir.path().join("logs"), LogsOptions { faults, ..LogsOptions::default() });
        let log = Some(logs.open(ID, options).unwrap());
        Embedded { dir, logs, log, options }
    }

    /// The files of the log.
    pub(crate) fn files(&self) -> PathBuf {
        self.dir.path().join("logs").join(format!("{ID:016x}"))
    }
}

impl Engine for Embedded {
    fn log(&self) -> &dyn Log {
        self.log.as_deref().unwrap()
    }

    fn logs(&self) -> &dyn Logs {
        &self.logs
    }

    fn crash(&mut self) -> Result<(), LogError> {
        drop(self.log.take());
        self.log = Some(self.logs.open(ID, self.options)?);
        Ok(())
    }
}

pub(crate) struct Memory {
    logs: MemoryLogs,
    log: Arc<dyn Log>,
}

impl Memory {
    pub(crate) fn new(faults: Faults) -> Memory {
        let logs = MemoryLogs::new(faults);
        let log = logs.open(ID, OPTIONS).unwrap();
        Memory { logs, log }
    }
}

impl Engine for Memory {
    fn log(&self) -> &dyn Log {
        &*self.log
    }

    fn logs(&self) -> &dyn Logs {
        &self.logs
    }

    fn crash(&mut self) -> Result<(), LogError> {
        self.logs = self.logs.reopen();
        self.log = self.logs.open(ID, OPTIONS)?;
        Ok(())
    }
}

pub(crate) fn put(log: &dyn Log, offset: u64, timestamp_ms: u64, tag: Option<&[u8]>, payload: &[u8]) {
    log.append(&[LogRecord { offset, timestamp_ms, tag, payload: &[payload] }]).unwrap();
}

/// Everything from an offset on, in steps of so many records.
pub(crate) fn read_all(log: &dyn Log, from: u64, filter: Option<&LogFilter>, records_max: usize) -> Vec<LogEntry> {
    let mut cursor = LogCursor::at(from);
    let mut all = Vec::new();
    while cursor.offset < log.range().next {
        let before = cursor.offset;
        let entries = log.read(&mut cursor, LogReading { records_max, bytes_max: 1 << 20, filter }).unwrap();
        assert!(entries.len() <= records_max);
        assert!(cursor.offset > before, "a reading gets on");
        all.extend(entries);
    }
    let reading = LogReading { records_max, bytes_max: 1 << 20, filter };
    assert_eq!(log.read(&mut cursor, reading).unwrap(), [], "nothing follows the end");
    all
}

pub(crate) fn offsets(entries: &[LogEntry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.offset).collect()
}

pub(crate) fn wanting(tags: &[&'static str], untagged: bool) -> LogFilter {
    LogFilter { tags: tags.iter().map(|tag| Bytes::from_static(tag.as_bytes())).collect(), untagged }
}
