//! The engines under test, behind what the suite needs of them: to be opened, and to be opened again after a close or a crash.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_storage::{
    EmbeddedJournal, Faults, Journal, JournalError, JournalOptions, MemoryJournal, Position, Recovered, Recovery, Ref,
    Ticket,
};
use tempfile::TempDir;

/// A live reference as recovery told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) reference: Ref,
    pub(crate) payload_bytes: u32,
    pub(crate) meta: Vec<u8>,
    pub(crate) mark: u64,
}

/// Everything that recovery told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) clean: Option<bool>,
    pub(crate) entries: BTreeMap<Position, Found>,
    pub(crate) notes: BTreeMap<u64, u64>,
}

impl Recovery for Told {
    fn clean(&mut self, clean: bool) {
        assert!(self.entries.is_empty() && self.clean.is_none(), "it is told first, and once");
        self.clean = Some(clean);
    }

    fn entry(&mut self, entry: Recovered<'_>) {
        let Recovered { reference, position, payload_bytes, meta, mark } = entry;
        assert!(
            self.entries.keys().next_back().is_none_or(|last| *last < position),
            "told in the order of the journal"
        );
        let found = Found { reference, payload_bytes, meta: meta.to_vec(), mark };
        assert!(self.entries.insert(position, found).is_none(), "{position:?} told twice");
    }

    fn note(&mut self, lane: u64, value: u64) {
        assert!(self.notes.insert(lane, value).is_none(), "the note of {lane} told twice");
    }
}

/// How a journal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Close,
    Crash,
}

/// An engine that can be opened again.
pub(crate) trait Engine {
    fn journal(&self) -> &dyn Journal;
    /// Ends the journal and opens it again.
    fn again(&mut self, end: End) -> Result<Told, JournalError>;
}

pub(crate) struct Embedded {
    pub(crate) dir: Arc<TempDir>,
    pub(crate) options: JournalOptions,
    journal: Option<EmbeddedJournal>,
}

impl Embedded {
    pub(crate) fn new(faults: Faults) -> Embedded {
        let options =
            JournalOptions { segment_bytes: 64 << 10, disk_free_min_bytes: 0, faults, ..JournalOptions::default() };
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let journal = Some(EmbeddedJournal::open(dir.path(), options.clone(), &mut Told::default()).unwrap());
        Embedded { dir, options, journal }
    }
}

impl Engine for Embedded {
    fn journal(&self) -> &dyn Journal {
        self.journal.as_ref().unwrap()
    }

    fn again(&mut self, end: End) -> Result<Told, JournalError> {
        let journal = self.journal.take().unwrap();
        if end == End::Close {
            journal.close()?;
        }
        drop(journal);
        let mut told = Told::default();
        self.journal = Some(EmbeddedJournal::open(self.dir.path(), self.options.clone(), &mut told)?);
        Ok(told)
    }
}

pub(crate) struct Memory(MemoryJournal);

impl Memory {
    pub(crate) fn new(faults: Faults) -> Memory {
        Memory(MemoryJournal::new(faults))
    }
}

impl Engine for Memory {
    fn journal(&self) -> &dyn Journal {
        &self.0
    }

    fn again(&mut self, end: End) -> Result<Told, JournalError> {
        if end == End::Close {
            self.0.close()?;
        }
        let mut told = Told::default();
        self.0 = self.0.reopen(&mut told);
        Ok(told)
    }
}

/// Waits until a ticket is durable. False when the journal fails before.
pub(crate) fn wait(journal: &dyn Journal, ticket: Ticket) -> bool {
    let mut watch = journal.watch();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let reached = runtime.block_on(watch.wait_for(|durable| *durable >= ticket)).is_ok();
    assert!(!reached || journal.durable() >= ticket);
    reached
}
