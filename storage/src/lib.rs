//! Makes bytes survive. Storage knows no message, no queue and no protocol.
//!
//! Three things, each a small trait with more than one engine and one test suite that every engine passes:
//!
//! * [`Journal`]: append one record for *n* lanes, settle, read back by position, recover.
//! * [`Table`]: small keyed values (definitions, users) that change seldom and must survive.
//! * [`Log`]: an append-only sequence that many read, each at a place of its own.
#![doc = include_str!("../README.md")]

mod data_dir;
pub mod journal;
pub mod log;
pub mod table;

pub use data_dir::{DataDir, DataDirError};
pub use journal::{
    Append, Appended, EmbeddedJournal, Faults, Journal, JournalError, JournalOptions, META_BYTES_MAX, Mark,
    MemoryJournal, Note, OnFatal, Position, RECORD_BYTES_MAX, Reading, Recovered, Recovery, Ref, Ticket, Transaction,
    Usage,
};
pub use log::{
    EmbeddedLogs, LOG_RECORD_BYTES_MAX, Log, LogCursor, LogEntry, LogError, LogFilter, LogOptions, LogRange,
    LogReading, LogRecord, LogRetention, Logs, LogsOptions, MemoryLogs, TAG_BYTES_MAX,
};
pub use table::{Change, Done, EmbeddedTable, MemoryTable, Row, Table, TableError};
