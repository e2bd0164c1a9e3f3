//! The log in segment files, a folder for each log.
//!
//! | file | about |
//! | --- | --- |
//! | `block` | how records are framed and checked |
//! | `segment` | files of segments, and what is known of each |
//! | `writer` | appending, and ending segments |
//! | `reader` | reading from a cursor, finding a time |
//! | `recovery` | opening a folder |

mod block;
mod reader;
mod recovery;
mod segment;
mod writer;

use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use self::segment::{HEADER_BYTES, Segment};
use self::writer::Writer;
use super::{
    Log, LogCursor, LogEntry, LogError, LogOptions, LogRange, LogReading, LogRecord, LogRetention, Logs,
    SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN,
};
use crate::journal::{Faults, OnFatal};

/// How [`EmbeddedLogs`] are to be.
#[derive(Clone, Default)]
pub struct LogsOptions {
    /// Called when a write or a sync has failed. The program stops the process there.
    pub on_fatal: Option<OnFatal>,
    /// What is to go wrong, in tests.
    pub faults: Faults,
}

impl fmt::Debug for LogsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogsOptions").finish_non_exhaustive()
    }
}

/// Logs in folders of one folder. See the crate's page for the format.
#[derive(Debug)]
pub struct EmbeddedLogs {
    dir: PathBuf,
    options: LogsOptions,
}

impl EmbeddedLogs {
    /// The logs in this folder, which is made when the first of them is.
    pub fn new(dir: &Path, options: LogsOptions) -> EmbeddedLogs {
        EmbeddedLogs { dir: dir.to_owned(), options }
    }

    fn log_dir(&self, id: u64) -> PathBuf {
        self.dir.join(format!("{id:016x}"))
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> LogError {
    let what = format!("log: {}", path.display());
    move |source| LogError::Io { what, source }
}

fn missing_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Makes what was done to the names in a folder last.
fn sync_dir(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

impl Logs for EmbeddedLogs {
    fn open(&self, id: u64, options: LogOptions) -> Result<Arc<dyn Log>, LogError> {
        let dir = self.log_dir(id);
        if !dir.exists() {
            fs::create_dir_all(&dir).map_err(io_error(&dir))?;
            sync_dir(&self.dir).map_err(io_error(&self.dir))?;
            if let Some(parent) = self.dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                sync_dir(parent).map_err(io_error(parent))?;
            }
        }
        let segments = recovery::recover(&dir)?;
        let segment_bytes = options.segment_bytes.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        let log = EmbeddedLog {
            dir,
            segment_bytes,
            options: self.options.clone(),
            segments: RwLock::new(segments),
            writer: Mutex::new(Writer::default()),
        };
        Ok(Arc::new(log))
    }

    fn delete(&self, id: u64) -> Result<(), LogError> {
        let dir = self.log_dir(id);
        fs::remove_dir_all(&dir).or_else(missing_is_fine).map_err(io_error(&dir))
    }

    fn list(&self) -> Result<Vec<u64>, LogError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error(&self.dir)(error)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(io_error(&self.dir))?.file_name();
            ids.extend(name.to_str().and_then(|name| u64::from_str_radix(name, 16).ok()));
        }
        Ok(ids)
    }
}

/// One log in segment files.
#[derive(Debug)]
struct EmbeddedLog {
    dir: PathBuf,
    segment_bytes: u64,
    options: LogsOptions,
    /// In order; only the last one is written to. Readers take a segment out of here and read without the lock.
    segments: RwLock<VecDeque<Arc<Segment>>>,
    /// Held over I/O, which nobody waits for: only the one caller that may append takes it, and readers do not.
    writer: Mutex<Writer>,
}

impl Log for EmbeddedLog {
    fn append(&self, records: &[LogRecord<'_>]) -> Result<(), LogError> {
        self.writer.lock().append(self, records)
    }

    fn sync(&self) -> Result<(), LogError> {
        self.writer.lock().sync(self)
    }

    fn read(&self, cursor: &mut LogCursor, reading: LogReading<'_>) -> Result<Vec<LogEntry>, LogError> {
        reader::read(self, cursor, reading)
    }

    fn find_time(&self, timestamp_ms: u64) -> Result<u64, LogError> {
        reader::find_time(self, timestamp_ms)
    }

    fn range(&self) -> LogRange {
        let segments = self.segments.read();
        let mut range = LogRange { segments: segments.len() as u64, ..LogRange::default() };
        let mut first = None;
        for segment in &*segments {
            let known = segment.known.read();
            range.records += known.records;
            range.bytes += known.end;
            range.next = known.next(segment.identity.base);
            first = first.or(known.marks.first().map(|mark| mark.offset));
        }
        range.first = first.unwrap_or(range.next);
        range
    }

    fn retain(&self, retention: LogRetention) -> Result<u64, LogError> {
        let writer = self.writer.lock();
        if !writer.is_synced() {
            // What is to stay may not have reached the disk, and with it where the log goes on.
            return Ok(0);
        }
        let mut gone = Vec::new();
        {
            let mut segments = self.segments.write();
            let mut bytes: u64 = segments.iter().map(|segment| segment.known.read().end).sum();
            while segments.len() > 1 {
                let Some(first) = segments.front() else { break };
                let (end, last_ms) = {
                    let known = first.known.read();
                    (known.end, known.last_timestamp_ms)
                };
                let too_much = retention.bytes_max.is_some_and(|max| bytes > max);
                let too_old = retention.before_ms.is_some_and(|before| last_ms < before);
                if !too_much && !too_old {
                    break;
                }
                bytes -= end;
                gone.extend(segments.pop_front());
            }
        }
        // The oldest first: after a crash in between, what is left has no hole.
        for segment in &gone {
            let number = segment.identity.number;
            for path in [segment::segment_path(&self.dir, number), segment::index_path(&self.dir, number)] {
                fs::remove_file(&path).or_else(missing_is_fine).map_err(io_error(&path))?;
            }
        }
        Ok(gone.len() as u64)
    }
}

/// Whether a position can be that of a block.
fn is_aligned(position: u64) -> bool {
    position >= HEADER_BYTES && position.is_multiple_of(block::ALIGN_BYTES as u64)
}
