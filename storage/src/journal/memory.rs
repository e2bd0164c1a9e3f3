//! The journal in memory, for tests: the same semantics without a disk, with faults and delays on request.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    Append, Appended, Faults, Journal, JournalError, META_BYTES_MAX, Mark, Note, Position, RECORD_BYTES_MAX, Reading,
    Recovered, Recovery, Ref, Ticket, Transaction, Usage,
};

/// Segments have so many records here.
const SEGMENT_RECORDS: u32 = 1 << 20;

/// A reference that is alive.
#[derive(Clone, Debug)]
struct Entry {
    reference: Ref,
    offset: u32,
    meta: Bytes,
    payload: Bytes,
    mark: u64,
}

/// One change, as it would be one record on a disk.
#[derive(Clone, Debug)]
enum Change {
    Appended(u32, Vec<(u32, Entry)>),
    Settled(Position),
    Marked(Mark),
    Noted(Note),
}

#[derive(Clone, Debug, Default)]
struct Store {
    /// By segment and slot.
    entries: BTreeMap<(u32, u32), Entry>,
    notes: HashMap<u64, u64>,
}

impl Store {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Appended(segment, entries) => {
                for (slot, entry) in entries {
                    self.entries.insert((*segment, *slot), entry.clone());
                }
            }
            Change::Settled(position) => drop(self.entries.remove(&(position.segment, position.slot))),
            Change::Marked(mark) => {
                if let Some(entry) = self.entries.get_mut(&(mark.position.segment, mark.position.slot)) {
                    entry.mark = mark.value;
                }
            }
            Change::Noted(Note { lane, value: Some(value) }) => drop(self.notes.insert(*lane, *value)),
            Change::Noted(Note { lane, value: None }) => drop(self.notes.remove(lane)),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    now: Store,
    /// What a crash would leave.
    safe: Store,
    /// What is not durable yet.
    pending: Vec<(u64, Vec<Change>)>,
    held: bool,
    clean: bool,
    closed: bool,
    failure: Option<String>,
    segment: u32,
    records: u32,
    slots: u32,
    ticket: u64,
    durable: u64,
    usage: Usage,
    sender: Option<watch::Sender<Ticket>>,
}

/// The journal in memory. Every change is durable when the call returns, unless durability is held back.
#[derive(Debug)]
pub struct MemoryJournal {
    state: Mutex<State>,
    receiver: watch::Receiver<Ticket>,
    faults: Faults,
}

impl MemoryJournal {
    /// An empty one.
    pub fn new(faults: Faults) -> MemoryJournal {
        MemoryJournal::with(faults, Store::default(), 1)
    }

    fn with(faults: Faults, store: Store, segment: u32) -> MemoryJournal {
        let (sender, receiver) = watch::channel(Ticket(0));
        let state = State { now: store.clone(), safe: store, segment, sender: Some(sender), ..State::default() };
        MemoryJournal { state: Mutex::new(state), receiver, faults }
    }

    /// Holds durability back: tickets do not resolve until [`MemoryJournal::release`].
    pub fn hold(&self) {
        self.state.lock().held = true;
    }

    /// Makes everything durable that was held back, with one sync, and holds nothing back any more.
    pub fn release(&self) {
        let mut state = self.state.lock();
        state.held = false;
        self.sync(&mut state);
    }

    /// What a process would find that starts again: all changes after [`Journal::close`], only the durable ones otherwise.
    pub fn reopen(&self, recovery: &mut dyn Recovery) -> MemoryJournal {
        let state = self.state.lock();
        recovery.clean(state.clean || state.ticket == 0 && state.safe.entries.is_empty());
        for (&(segment, slot), entry) in &state.safe.entries {
            recovery.entry(Recovered {
                reference: entry.reference,
                position: Position { segment, offset: entry.offset, slot },
                payload_bytes: entry.payload.len() as u32,
                meta: &entry.meta,
                mark: entry.mark,
            });
        }
        for (&lane, &value) in &state.safe.notes {
            recovery.note(lane, value);
        }
        MemoryJournal::with(self.faults.clone(), state.safe.clone(), state.segment + 1)
    }

    fn fail(state: &mut State, what: String) {
        state.failure = Some(what);
        state.sender = None;
    }

    fn sync(&self, state: &mut State) {
        if state.held || state.failure.is_some() || state.pending.is_empty() {
            return;
        }
        if let Err(error) = self.faults.sync() {
            return MemoryJournal::fail(state, error.to_string());
        }
        state.usage.syncs += 1;
        for (ticket, changes) in std::mem::take(&mut state.pending) {
            changes.iter().for_each(|change| state.safe.apply(change));
            state.durable = ticket;
        }
        let ticket = Ticket(state.durable);
        if let Some(sender) = &state.sender {
            sender.send_replace(ticket);
        }
    }

    /// Applies changes as one record.
    fn change(&self, state: &mut State, changes: Vec<Change>) -> Result<Ticket, JournalError> {
        if state.closed {
            return Err(JournalError::Failed("it is closed".to_owned()));
        }
        if state.failure.is_none()
            && let Err(error) = self.faults.write()
        {
            MemoryJournal::fail(state, error.to_string());
        }
        if let Some(failure) = &state.failure {
            return Err(JournalError::Failed(failure.clone()));
        }
        state.ticket += 1;
        changes.iter().for_each(|change| state.now.apply(change));
        let ticket = state.ticket;
        state.pending.push((ticket, changes));
        self.sync(state);
        Ok(Ticket(ticket))
    }

    fn place(state: &mut State, record: &Append<'_>, changes: &mut Vec<Change>) -> Result<Position, JournalError> {
        let payload = record.payload.concat();
        let (bytes, limit) = (payload.len() as u64, RECORD_BYTES_MAX);
        if bytes > limit {
            return Err(JournalError::TooLarge { bytes, limit });
        }
        if record.meta.len() > META_BYTES_MAX {
            let (bytes, limit) = (record.meta.len() as u64, META_BYTES_MAX as u64);
            return Err(JournalError::TooLarge { bytes, limit });
        }
        if state.records == SEGMENT_RECORDS {
            (state.segment, state.records, state.slots) = (state.segment + 1, 0, 0);
        }
        let position = Position { segment: state.segment, offset: state.records, slot: state.slots };
        state.records += 1;
        state.slots += record.refs.len() as u32;
        state.usage.written_bytes += bytes;
        let (meta, payload) = (Bytes::copy_from_slice(record.meta), Bytes::from(payload));
        let entry = |&reference| Entry {
            reference,
            offset: position.offset,
            meta: meta.clone(),
            payload: payload.clone(),
            mark: 0,
        };
        let entries = (position.slot..).zip(record.refs.iter().map(entry)).collect();
        changes.push(Change::Appended(position.segment, entries));
        Ok(position)
    }
}

impl Journal for MemoryJournal {
    fn append(&self, record: Append<'_>) -> Result<Appended, JournalError> {
        if self.faults.full() {
            return Err(JournalError::Full);
        }
        let mut state = self.state.lock();
        let mut changes = Vec::new();
        let position = MemoryJournal::place(&mut state, &record, &mut changes)?;
        let ticket = self.change(&mut state, changes)?;
        Ok(Appended { position, ticket })
    }

    fn settle(&self, positions: &[Position]) -> Result<Ticket, JournalError> {
        let changes = positions.iter().copied().map(Change::Settled).collect();
        self.change(&mut self.state.lock(), changes)
    }

    fn mark(&self, marks: &[Mark]) -> Result<Ticket, JournalError> {
        let changes = marks.iter().copied().map(Change::Marked).collect();
        self.change(&mut self.state.lock(), changes)
    }

    fn note(&self, note: Note) -> Result<Ticket, JournalError> {
        self.change(&mut self.state.lock(), vec![Change::Noted(note)])
    }

    fn transact(&self, transaction: &Transaction<'_>) -> Result<(Vec<Appended>, Ticket), JournalError> {
        if self.faults.full() && !transaction.appends.is_empty() {
            return Err(JournalError::Full);
        }
        let mut state = self.state.lock();
        let mut changes: Vec<Change> = transaction.settles.iter().copied().map(Change::Settled).collect();
        let mut positions = Vec::new();
        for record in &transaction.appends {
            positions.push(MemoryJournal::place(&mut state, record, &mut changes)?);
        }
        let ticket = self.change(&mut state, changes)?;
        Ok((positions.into_iter().map(|position| Appended { position, ticket }).collect(), ticket))
    }

    fn read(&self, readings: &[Reading]) -> Vec<Result<Bytes, JournalError>> {
        let state = self.state.lock();
        let read = |reading: &Reading| {
            let at = reading.position;
            let found = state.now.entries.get(&(at.segment, at.slot)).filter(|entry| entry.offset == at.offset);
            let missing = || JournalError::Damaged { what: "there is no live reference".to_owned(), at };
            found.map(|entry| entry.payload.clone()).ok_or_else(missing)
        };
        readings.iter().map(read).collect()
    }

    fn appended(&self) -> Ticket {
        Ticket(self.state.lock().ticket)
    }

    fn durable(&self) -> Ticket {
        Ticket(self.state.lock().durable)
    }

    fn watch(&self) -> watch::Receiver<Ticket> {
        self.receiver.clone()
    }

    fn backlog_bytes(&self) -> u64 {
        let state = self.state.lock();
        let bytes = |change: &Change| match change {
            Change::Appended(_, entries) => entries.first().map_or(0, |(_, entry)| entry.payload.len() as u64),
            _ => 0,
        };
        state.pending.iter().flat_map(|(_, changes)| changes).map(bytes).sum()
    }

    fn usage(&self) -> Usage {
        let backlog_bytes = self.backlog_bytes();
        let state = self.state.lock();
        let mut last = None;
        let mut usage = Usage { segments: 1, backlog_bytes, full: self.faults.full(), ..state.usage };
        for (&(segment, _), entry) in &state.now.entries {
            usage.live_refs += 1;
            if last.replace((segment, entry.offset)) != Some((segment, entry.offset)) {
                usage.live_bytes += entry.payload.len() as u64;
            }
        }
        usage
    }

    fn close(&self) -> Result<(), JournalError> {
        let mut state = self.state.lock();
        state.held = false;
        self.sync(&mut state);
        if let Some(failure) = &state.failure {
            return Err(JournalError::Failed(failure.clone()));
        }
        (state.clean, state.closed) = (true, true);
        Ok(())
    }
}

impl From<MemoryJournal> for Arc<dyn Journal> {
    fn from(journal: MemoryJournal) -> Arc<dyn Journal> {
        Arc::new(journal)
    }
}
