//! The journal: one append-only sequence of records for all lanes of a shard.
//!
//! A *lane* is whatever the owner numbers (the broker gives each durable queue one). A record is written once, whatever the
//! number of lanes that refer to it; each reference takes one *slot* of the segment it is written to, and what is done with
//! the reference later (settled, marked) is said of that slot. Slots of neighbouring records are neighbours, so that what a
//! consumer acknowledges in order is written as one range.

mod embedded;
mod faults;
mod memory;

use std::io;

pub use self::embedded::{EmbeddedJournal, JournalOptions, OnFatal};
pub(crate) use self::embedded::{free_bytes, is_full, varint};
pub use self::faults::Faults;
pub use self::memory::MemoryJournal;

use bytes::Bytes;
use tokio::sync::watch;

/// Where a reference of a record lives. Stable for as long as the reference is not settled, compaction included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Number of the segment, rising with time.
    pub segment: u32,
    /// Logical offset of the record in its segment, in bytes.
    pub offset: u32,
    /// Which reference of the segment this is: the first one of a record plus its index in [`Append::refs`].
    pub slot: u32,
}

/// A moment of the journal: everything appended up to it is on stable storage once [`Journal::durable`] has reached it.
///
/// Tickets rise strictly; comparing two is all that can be done with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One lane's interest in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ref {
    /// The lane.
    pub lane: u64,
    /// The owner's own order within the lane; told again at recovery, not interpreted.
    pub seq: u64,
}

/// One record to append.
#[derive(Clone, Copy, Debug)]
pub struct Append<'a> {
    /// Who refers to it; at least one.
    pub refs: &'a [Ref],
    /// A few opaque bytes that recovery hands over without reading the payload; at most [`META_BYTES_MAX`].
    pub meta: &'a [u8],
    /// The payload, in parts that are written one behind the other.
    pub payload: &'a [&'a [u8]],
}

/// Longest [`Append::meta`], in bytes.
pub const META_BYTES_MAX: usize = 64;

/// Longest record, in bytes: references, meta and payload. A transaction may have as much in all.
pub const RECORD_BYTES_MAX: u64 = 1 << 30;

/// What an append gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Position of the first reference; the n-th has the same with `slot + n`.
    pub position: Position,
    /// Resolves when the record is on stable storage.
    pub ticket: Ticket,
}

/// A small value kept for one reference until it is settled (the broker notes in it how often a message has failed, and until
/// when somebody has it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The reference.
    pub position: Position,
    /// Replaces the value before; 0 is what an unmarked reference has.
    pub value: u64,
}

/// A value kept for one lane (the broker notes how far a queue has been delivered). The last one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// The lane.
    pub lane: u64,
    /// Replaces the value before. `None` forgets the lane.
    pub value: Option<u64>,
}

/// Appends and settlements that happen together or not at all. One record.
#[derive(Clone, Debug, Default)]
pub struct Transaction<'a> {
    /// Records to append, in order.
    pub appends: Vec<Append<'a>>,
    /// References that are done.
    pub settles: Vec<Position>,
}

/// One reference that is still alive, as [`Recovery`] hands it over: in journal order, which within a lane need not be the
/// order of `seq`.
#[derive(Clone, Copy, Debug)]
pub struct Recovered<'a> {
    /// Lane and order, as appended.
    pub reference: Ref,
    /// Where to read it.
    pub position: Position,
    /// The payload's length in bytes.
    pub payload_bytes: u32,
    /// As appended.
    pub meta: &'a [u8],
    /// Last mark, or 0.
    pub mark: u64,
}

/// Takes what a journal finds when it is opened.
pub trait Recovery {
    /// Told first: whether the journal was closed in an orderly way when it was last used. If it was not, then anything may
    /// have been done with what is alive and not have been written down.
    fn clean(&mut self, _clean: bool) {}
    /// A reference that is alive.
    fn entry(&mut self, entry: Recovered<'_>);
    /// The last note of a lane.
    fn note(&mut self, lane: u64, value: u64);
}

/// A record to read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Any live reference of the record.
    pub position: Position,
    /// Length of the payload as it was appended or recovered: a hint that saves a second read.
    pub payload_bytes: u32,
}

/// What the journal takes, now. For metrics, alarms and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Segments that hold something alive or are being written.
    pub segments: u64,
    /// Bytes of all files of the journal, spares included.
    pub disk_bytes: u64,
    /// Bytes of records with at least one live reference (headers included).
    pub live_bytes: u64,
    /// References that are alive.
    pub live_refs: u64,
    /// Bytes appended and not yet on stable storage.
    pub backlog_bytes: u64,
    /// Bytes written since the start, settlements and padding included.
    pub written_bytes: u64,
    /// Completed syncs since the start.
    pub syncs: u64,
    /// Appends are refused for want of disk space.
    pub full: bool,
}

/// Why the journal did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Free space fell below the configured minimum, or the disk is full. Settling, marking and reading go on.
    #[error("the disk is full")]
    Full,
    /// A write or a sync failed: nothing will be made durable any more. The owner stops the process.
    #[error("the journal has failed: {0}")]
    Failed(String),
    /// The record cannot be written whatever the space.
    #[error("a record of {bytes} bytes is over the journal's limit of {limit} bytes")]
    TooLarge {
        /// What was asked for.
        bytes: u64,
        /// What is possible.
        limit: u64,
    },
    /// What was to be read is not there, or its checksum does not match.
    #[error("{what} at segment {} offset {}", .at.segment, .at.offset)]
    Damaged {
        /// What is wrong.
        what: String,
        /// Where.
        at: Position,
    },
    /// The folder cannot be used: locked by another process, of another format, or with a hole in the middle.
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

/// The journal. All calls but [`Journal::read`] and [`Journal::close`] only touch memory and return at once; one thread
/// writes and syncs behind them, and while one sync runs the next batch gathers.
pub trait Journal: Send + Sync {
    /// Appends one record.
    fn append(&self, record: Append<'_>) -> Result<Appended, JournalError>;

    /// Says that references are done. Each position is settled once. Never refused for want of space.
    fn settle(&self, positions: &[Position]) -> Result<Ticket, JournalError>;

    /// Keeps values for references; of those for the same one the last counts. One that is settled is passed over.
    fn mark(&self, marks: &[Mark]) -> Result<Ticket, JournalError>;

    /// Keeps a value for a lane.
    fn note(&self, note: Note) -> Result<Ticket, JournalError>;

    /// Appends and settles as one record: after a crash both are there or neither is.
    fn transact(&self, transaction: &Transaction<'_>) -> Result<(Vec<Appended>, Ticket), JournalError>;

    /// Reads payloads back, those not yet written included. Blocks on the disk; neighbours are read in one go.
    /// One result for each reading, in order.
    fn read(&self, readings: &[Reading]) -> Vec<Result<Bytes, JournalError>>;

    /// Everything so far: once [`Journal::durable`] has reached this, whatever was appended before the call is on stable storage.
    fn appended(&self) -> Ticket;

    /// Everything up to this ticket is on stable storage.
    fn durable(&self) -> Ticket;

    /// Changes once per sync (not per record), to the same value as [`Journal::durable`]. When the journal fails, the sender
    /// is dropped.
    fn watch(&self) -> watch::Receiver<Ticket>;

    /// Bytes appended and not yet on stable storage, as in [`Usage::backlog_bytes`]; costs one load.
    fn backlog_bytes(&self) -> u64;

    /// What it takes, now.
    fn usage(&self) -> Usage;

    /// Writes and syncs what is pending, leaves a checkpoint that makes the next start quick, and stops the thread. Blocks.
    fn close(&self) -> Result<(), JournalError>;
}
