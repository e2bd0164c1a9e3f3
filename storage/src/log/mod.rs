//! The log: an append-only sequence of records that many read, each at a place of its own, and that nobody takes anything out of.
//!
//! A record has an *offset* that its owner gives it. Offsets rise strictly, and some may be left out. What is old is let go of in
//! whole segments, never the one that is being written. One caller at a time appends, syncs and lets go; any number reads
//! beside it.

mod embedded;
mod memory;

use std::io;
use std::sync::Arc;

use bytes::Bytes;

pub use self::embedded::{EmbeddedLogs, LogsOptions};
pub use self::memory::MemoryLogs;

/// Longest [`LogRecord::tag`], in bytes.
pub const TAG_BYTES_MAX: usize = 255;

/// Longest payload of a record, in bytes.
pub const LOG_RECORD_BYTES_MAX: u64 = 1 << 30;

/// One record to append.
#[derive(Clone, Copy, Debug)]
pub struct LogRecord<'a> {
    /// Its place; higher than that of any record before it.
    pub offset: u64,
    /// When it was made, in milliseconds since the epoch of Unix. Where it is earlier than that of the record before, it is taken
    /// to be the same: time never falls along a log.
    pub timestamp_ms: u64,
    /// What readers select it by, if anything; at most [`TAG_BYTES_MAX`].
    pub tag: Option<&'a [u8]>,
    /// The payload, in parts that are written one behind the other; at most [`LOG_RECORD_BYTES_MAX`] in all.
    pub payload: &'a [&'a [u8]],
}

/// A record read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// As appended.
    pub offset: u64,
    /// As appended, or that of the record before where that is later.
    pub timestamp_ms: u64,
    /// A slice of what was read in one go: who keeps one keeps a few hundred KiB in memory, or as much as the longest record.
    pub payload: Bytes,
}

/// Where a reader is. It remembers where in which file that was, which spares looking for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogCursor {
    /// The next record to read has this offset or a higher one.
    pub offset: u64,
    /// Number of a segment and a position in it, before which there is nothing to read any more.
    place: Option<(u64, u64)>,
}

impl LogCursor {
    /// Begins at an offset. Where it is not there any more, or was left out, the next one that is there comes first.
    pub fn at(offset: u64) -> LogCursor {
        LogCursor { offset, place: None }
    }
}

/// Which records a reader wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Those with one of these tags. Their number is the caller's to bound.
    pub tags: Vec<Bytes>,
    /// Those without a tag as well.
    pub untagged: bool,
}

impl LogFilter {
    /// Whether it wants a record with this tag.
    pub fn wants(&self, tag: Option<&[u8]>) -> bool {
        match tag {
            None => self.untagged,
            Some(tag) => self.tags.iter().any(|wanted| wanted == tag),
        }
    }
}

/// How much to read.
#[derive(Clone, Copy, Debug)]
pub struct LogReading<'a> {
    /// No more records than this.
    pub records_max: usize,
    /// No further record once there are so many bytes of payload; so there may be one record more than that.
    pub bytes_max: usize,
    /// Only these; all where there is none.
    pub filter: Option<&'a LogFilter>,
}

/// What there is in a log, now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogRange {
    /// Offset of the first record; [`LogRange::next`] where there is none.
    pub first: u64,
    /// One more than the highest offset that any record ever had here.
    pub next: u64,
    /// Number of records.
    pub records: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Segments.
    pub segments: u64,
}

/// What may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogRetention {
    /// The oldest segments go while all together take more than this, in bytes.
    pub bytes_max: Option<u64>,
    /// Segments go whose last record was made before this, in milliseconds since the epoch of Unix.
    pub before_ms: Option<u64>,
}

/// How one log is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// A segment ends before it would grow beyond this, in bytes: 4 KiB to 4 GiB. A longer record has one to itself.
    pub segment_bytes: u64,
}

/// Least length of a segment.
const SEGMENT_BYTES_MIN: u64 = 4 << 10;
/// Greatest length of a segment.
const SEGMENT_BYTES_MAX: u64 = 4 << 30;

/// Why a log did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk is full. It can be tried again.
    #[error("the disk is full")]
    Full,
    /// A write or a sync failed: nothing more is appended to this log. The owner stops the process.
    #[error("the log has failed: {0}")]
    Failed(String),
    /// The record cannot be written whatever the space.
    #[error("{bytes} bytes are over the log's limit of {limit}")]
    TooLarge {
        /// What was asked for.
        bytes: u64,
        /// What is possible.
        limit: u64,
    },
    /// Offsets have to rise.
    #[error("offset {offset} does not follow, the next one is {next} or higher")]
    OutOfOrder {
        /// What was asked for.
        offset: u64,
        /// What is possible.
        next: u64,
    },
    /// What was to be read is not what was written.
    #[error("damaged: {0}")]
    Damaged(String),
    /// The folder cannot be used: of another format, or with a hole in the middle.
    #[error("{0}")]
    Unusable(String),
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, with the file's name.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
}

/// One log. All calls but [`Log::range`] block on the disk.
pub trait Log: Send + Sync {
    /// Appends records in order; they can be read at once, and survive a crash after the next [`Log::sync`].
    ///
    /// # Errors
    /// Those records that [`LogRange::next`] has passed are there, and the others are not.
    fn append(&self, records: &[LogRecord<'_>]) -> Result<(), LogError>;

    /// Everything that was appended is on stable storage when this returns.
    ///
    /// # Errors
    /// It is not known what is on the disk, and never will be: nothing more is appended.
    fn sync(&self) -> Result<(), LogError>;

    /// Reads from a cursor and moves it on. Nothing may come of it although there is more behind: a reading whose filter
    /// wants little looks at a few MiB and no more. At the end of the log, `cursor.offset` is [`LogRange::next`] as it was then.
    ///
    /// # Errors
    /// [`LogError::Damaged`] also moves the cursor, behind what cannot be read.
    fn read(&self, cursor: &mut LogCursor, reading: LogReading<'_>) -> Result<Vec<LogEntry>, LogError>;

    /// Offset of the first record made at this time or later, in milliseconds since the epoch of Unix; [`LogRange::next`] where
    /// there is none.
    ///
    /// # Errors
    /// It cannot be read.
    fn find_time(&self, timestamp_ms: u64) -> Result<u64, LogError>;

    /// What there is. Does not block.
    fn range(&self) -> LogRange;

    /// Lets go of the oldest segments, as far as they are on stable storage and one is left. How many went.
    ///
    /// # Errors
    /// A file cannot be removed.
    fn retain(&self, retention: LogRetention) -> Result<u64, LogError>;
}

/// All logs of one data folder, by the numbers that their owner gives them.
pub trait Logs: Send + Sync {
    /// Opens a log, which is made where there is none. A log is open once at a time.
    ///
    /// # Errors
    /// [`LogError::Unusable`] names the file and what is wrong with it.
    fn open(&self, id: u64, options: LogOptions) -> Result<Arc<dyn Log>, LogError>;

    /// Removes a log with everything in it, if it is there. Those who read from it finish with what they have.
    ///
    /// # Errors
    /// A file cannot be removed.
    fn delete(&self, id: u64) -> Result<(), LogError>;

    /// The logs that there are, in no order.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn list(&self) -> Result<Vec<u64>, LogError>;
}
