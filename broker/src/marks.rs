//! Marks: durable sets of numbers, kept in the journal beside the messages that they are about.
//!
//! A protocol that promises to do something exactly once has to remember what it has done. If it wrote that down by itself,
//! there would be a moment at which the message is stored and the note is not. So a set of marks has a lane of the journal of
//! its own, and a mark is one more reference of the record that it goes with: of a message that is published, or of the
//! settlement of one that was delivered. After a crash both are there or neither is.
//!
//! A set has a name in its virtual host and a row in the table, which ties its lane to it. What is found in a lane that no row
//! names belongs to a set that was deleted, and is cleaned away at the next start.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gantry_storage::{Append, Appended, JournalError, Position, Ref, Ticket, Transaction};
use hashbrown::HashMap;
use parking_lot::Mutex;
use smallvec::{Array, SmallVec};

use crate::error::Error;
use crate::message::{Essentials, Meta, now_ms};
use crate::queue::{Place, Restored};
use crate::shared::Shared;

/// Numbers that one set has at most. Far more than any protocol has ids for; whoever gets here has lost count.
const NUMBERS_MAX: usize = 1 << 20;

/// Settlements that are handed to the journal at once when a set is deleted.
const SETTLED_AT_ONCE: usize = 4096;

/// A set of numbers. Where it has a name (see [`VirtualHost::marks`](crate::VirtualHost::marks)), what is put in is there after a
/// restart once its ticket has resolved, and what is taken out is not, once that one has.
pub struct Marks {
    lane: u64,
    /// Its row is on stable storage.
    row_is_durable: AtomicBool,
    held: Mutex<Held>,
    /// None where the set lives in memory only.
    shared: Option<Arc<Shared>>,
}

#[derive(Debug, Default)]
struct Held {
    numbers: HashMap<u64, Mark>,
    /// Counts what was put in, so that numbers can be told in that order.
    put: u64,
    /// The set was deleted: it goes on in memory.
    deleted: bool,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    order: u64,
    place: Place,
    ticket: Ticket,
}

/// What became of a mark that was to be put with something else.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MarkPut {
    /// It is in the set. The position of the first of the references, where there were any, and what it waits for.
    New { first: Option<Position>, ticket: Ticket },
    /// It was there before, and waits for this.
    Known(Ticket),
}

impl Marks {
    /// A set that lives in memory only, for a session that ends with its connection. Its tickets have resolved.
    pub fn in_memory() -> Arc<Self> {
        Arc::new(Self { lane: 0, row_is_durable: AtomicBool::new(true), held: Mutex::default(), shared: None })
    }

    pub(crate) fn new(shared: Arc<Shared>, lane: u64) -> Arc<Self> {
        let row_is_durable = AtomicBool::new(false);
        Arc::new(Self { lane, row_is_durable, held: Mutex::default(), shared: Some(shared) })
    }

    /// Puts back what was found at recovery.
    pub(crate) fn restore(&self, mut entries: Vec<Restored>) {
        self.row_is_durable.store(true, Ordering::Relaxed);
        // Positions rise in the order in which records were written.
        entries.sort_unstable_by_key(Restored::position);
        let mut again = Vec::new();
        let mut held = self.held.lock();
        for entry in entries {
            let (order, place) = (held.put, Place::from(entry.position()));
            held.put += 1;
            let mark = Mark { order, place, ticket: Ticket::default() };
            again.extend(held.numbers.insert(entry.seq(), mark).and_then(|before| before.place.get()));
        }
        drop(held);
        self.settle(&again);
    }

    pub(crate) fn lane(&self) -> u64 {
        self.lane
    }

    pub(crate) fn row_is_durable(&self) -> bool {
        self.row_is_durable.load(Ordering::Acquire)
    }

    pub(crate) fn set_row_durable(&self) {
        self.row_is_durable.store(true, Ordering::Release);
    }

    /// Whether the number is in the set; from the moment that whatever puts it there has been called.
    pub fn contains(&self, number: u64) -> bool {
        self.held.lock().numbers.contains_key(&number)
    }

    /// What the mark waits for, if the number is in the set: before this has resolved, nobody may be told of it.
    pub fn ticket(&self, number: u64) -> Option<Ticket> {
        self.held.lock().numbers.get(&number).map(|mark| mark.ticket)
    }

    /// All numbers, in the order in which they were put in.
    pub fn numbers(&self) -> Vec<u64> {
        let held = self.held.lock();
        let mut numbers: Vec<(u64, u64)> = held.numbers.iter().map(|(number, mark)| (mark.order, *number)).collect();
        drop(held);
        numbers.sort_unstable();
        numbers.into_iter().map(|(_, number)| number).collect()
    }

    /// How many numbers are in the set.
    pub fn len(&self) -> usize {
        self.held.lock().numbers.len()
    }

    /// Whether no number is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a number in, alone. What to wait for; where it is in already, what that waits for.
    ///
    /// # Errors
    /// The disk is full, the journal has failed, or the set is: then the number is not in it.
    pub fn put(&self, number: u64) -> Result<Ticket, Error> {
        match self.put_alone(number)? {
            MarkPut::New { ticket, .. } | MarkPut::Known(ticket) => Ok(ticket),
        }
    }

    /// As [`Marks::put`], and tells whether it was there.
    pub(crate) fn put_alone(&self, number: u64) -> Result<MarkPut, Error> {
        let meta = mark_meta();
        let append = |refs: &[Ref]| match &self.shared {
            Some(shared) => shared.journal.append(Append { refs, meta: &meta, payload: &[] }),
            // There is no reference then.
            None => Err(JournalError::Failed("a set in memory has no journal".to_owned())),
        };
        self.put_with(number, &mut SmallVec::<[Ref; 1]>::new(), append)
    }

    /// Puts a number in by a record that says more. `refs` are its other references, to which that of the mark is added as the
    /// last one; `append` hands the record to the journal, and is not asked to where it would have no references at all.
    ///
    /// The set is locked until the record is in the journal's memory, so that two who put the same number write it once.
    pub(crate) fn put_with<A: Array<Item = Ref>>(
        &self,
        number: u64,
        refs: &mut SmallVec<A>,
        append: impl FnOnce(&[Ref]) -> Result<Appended, JournalError>,
    ) -> Result<MarkPut, Error> {
        let mut held = self.held.lock();
        if let Some(mark) = held.numbers.get(&number) {
            return Ok(MarkPut::Known(mark.ticket));
        }
        held.check_room()?;
        let stored = self.stores(&held);
        let slot = refs.len() as u32;
        if stored {
            refs.push(Ref { lane: self.lane, seq: number });
        }
        if refs.is_empty() {
            let ticket = held.insert(number, Place::NONE, Ticket::default());
            return Ok(MarkPut::New { first: None, ticket });
        }
        let Appended { position, ticket } = append(refs)?;
        let place = if stored { Place::from(Position { slot: position.slot + slot, ..position }) } else { Place::NONE };
        held.insert(number, place, ticket);
        Ok(MarkPut::New { first: Some(position), ticket })
    }

    /// Puts a number in and settles a message, as one record; on a full disk the message is settled and the number is in memory
    /// only. `position` is where the message is stored, if it is.
    pub(crate) fn put_and_settle(
        &self,
        shared: &Shared,
        number: u64,
        position: Option<Position>,
    ) -> Result<Ticket, Error> {
        let mut held = self.held.lock();
        let known = held.numbers.get(&number).map(|mark| mark.ticket);
        if known.is_none() {
            held.check_room()?;
        }
        if known.is_some() || !self.stores(&held) {
            let settled = match position {
                Some(position) => shared.journal.settle(&[position])?,
                None => Ticket::default(),
            };
            return Ok(match known {
                Some(ticket) => ticket.max(settled),
                None => held.insert(number, Place::NONE, settled),
            });
        }
        let (refs, meta) = ([Ref { lane: self.lane, seq: number }], mark_meta());
        let append = Append { refs: &refs, meta: &meta, payload: &[] };
        let record = Transaction { appends: vec![append], settles: position.into_iter().collect() };
        match shared.journal.transact(&record) {
            Ok((appended, ticket)) => {
                let place = appended.first().map_or(Place::NONE, |appended| Place::from(appended.position));
                Ok(held.insert(number, place, ticket))
            }
            // What takes messages away is what makes room again, and must not wait for room. The number is in memory only: lost
            // in a crash, its client is not told of the end of a message that it has had.
            Err(JournalError::Full) => {
                let settled = position.map(|position| shared.journal.settle(&[position])).transpose()?;
                Ok(held.insert(number, Place::NONE, settled.unwrap_or_default()))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn stores(&self, held: &Held) -> bool {
        self.shared.is_some() && !held.deleted
    }

    /// Takes a number out. What to wait for until that is on stable storage; none where it was not in the set.
    pub fn remove(&self, number: u64) -> Option<Ticket> {
        let mut held = self.held.lock();
        let mark = held.numbers.remove(&number)?;
        if held.numbers.is_empty() {
            // Nobody has something under way for long.
            held.numbers = HashMap::new();
        }
        let Some(position) = mark.place.get() else { return Some(mark.ticket) };
        // A failed journal stops the process by itself, and its watermark does not reach any ticket any more.
        let settled = self.shared.as_ref().and_then(|shared| shared.journal.settle(&[position]).ok());
        Some(settled.unwrap_or(Ticket(u64::MAX)))
    }

    /// The set was deleted: nothing of it is stored any more.
    pub(crate) fn delete(&self) {
        let mut held = self.held.lock();
        held.deleted = true;
        let positions: Vec<Position> = held
            .numbers
            .values_mut()
            .filter_map(|mark| std::mem::replace(&mut mark.place, Place::NONE).get())
            .collect();
        drop(held);
        self.settle(&positions);
    }

    fn settle(&self, positions: &[Position]) {
        let Some(shared) = &self.shared else { return };
        for some in positions.chunks(SETTLED_AT_ONCE) {
            // A failed journal stops the process by itself.
            let _ = shared.journal.settle(some);
        }
    }
}

impl Held {
    fn check_room(&self) -> Result<(), Error> {
        if self.numbers.len() < NUMBERS_MAX {
            return Ok(());
        }
        Err(Error::LimitReached { what: "the number of marks in a set", limit: NUMBERS_MAX as u64 })
    }

    /// Takes note of a number that is not in the set.
    fn insert(&mut self, number: u64, place: Place, ticket: Ticket) -> Ticket {
        self.numbers.insert(number, Mark { order: self.put, place, ticket });
        self.put += 1;
        ticket
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marks").field("lane", &self.lane).finish_non_exhaustive()
    }
}

/// What the journal keeps of a mark that stands alone: enough for recovery to read it like everything else.
fn mark_meta() -> SmallVec<[u8; 24]> {
    Meta::new(now_ms(), Essentials::default()).encode(0, 0)
}
