//! Deduplication windows: what an ordered queue was sent lately, so that what is sent once more does not come in twice.
//!
//! A key stands for the id that a message was sent with. It is remembered for some minutes, whatever becomes of the message,
//! and over restarts: beside the message's own record, and in one transaction with it, there is a tiny one in a lane that
//! belongs to the queue's ([`lane`]), which says when the message was sent and where its place was. After a crash both are there
//! or neither is. When the time of a key is over its record is settled. (A second reference of the message's own record would be
//! simpler, and would keep the body of each message for minutes after somebody has dealt with it.)
//!
//! * [`seen`]: the keys, without a lock and a journal; [`record`]: what is written of one.
//! * this file: the lock around them, and the way from one to the other.
//!
//! Whoever sends one message holds the lock from the question whether the key is known until the message is in the queue, so
//! that numbers, the journal and the queue have one order ([`Window::open`]). Whoever publishes to several queues in one record
//! must not hold several locks: it notes that it is about to come ([`Window::claim`]), and whoever sends the same meanwhile waits
//! for it for a moment.

mod record;
mod seen;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use gantry_storage::{Append, Appended, Position, Ref, Ticket};
use parking_lot::{Condvar, Mutex, MutexGuard};

use self::record::META_BYTES;
pub(crate) use self::record::Remembered;
use self::seen::{Known, Seen};
use crate::broker::Broker;
use crate::error::Error;
use crate::queue::{Ordered, Place};
use crate::shared::Shared;
use crate::timer::Sleeper;

/// Keys that are forgotten before others have their turn.
const FORGOTTEN_AT_ONCE: usize = 4096;

/// A key may stay for an eighth of its time longer, but not for longer than this, in milliseconds, so that many are forgotten
/// at once.
const SLACK_MS_MAX: u64 = 1_000;

/// How many keys all windows may remember, and how many they do.
#[derive(Debug)]
pub(crate) struct WindowRoom {
    entries_max: usize,
    taken: AtomicUsize,
}

impl WindowRoom {
    pub(crate) const fn new(entries_max: usize) -> Self {
        Self { entries_max, taken: AtomicUsize::new(0) }
    }

    fn take(&self) -> Result<(), Error> {
        if self.taken.fetch_add(1, Ordering::Relaxed) < self.entries_max {
            return Ok(());
        }
        self.give_back(1);
        Err(Error::LimitReached {
            what: "the number of deduplication ids that are remembered",
            limit: self.entries_max as u64,
        })
    }

    fn give_back(&self, count: usize) {
        self.taken.fetch_sub(count, Ordering::Relaxed);
    }

    /// Keys that are remembered.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// The keys of one queue.
pub(crate) struct Window {
    lane: u64,
    seen: Mutex<Seen>,
    /// A claim has been kept or given up.
    claims_changed: Condvar,
    /// How long a key is remembered, in milliseconds.
    ms: AtomicU64,
    /// Keys are those of a group.
    per_group: AtomicBool,
    wake_ms: AtomicU64,
    shared: Arc<Shared>,
}

/// A message that another one is a duplicate of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct First {
    pub(crate) seq: u64,
    pub(crate) sent_ms: u64,
    /// What its record waits for, if it is stored; none where it is about to come.
    pub(crate) ticket: Option<Ticket>,
}

impl Window {
    /// `lane` is that of the queue's window.
    pub(crate) fn new(shared: &Arc<Shared>, lane: u64, ordered: Ordered) -> Arc<Self> {
        Arc::new(Self {
            lane,
            seen: Mutex::default(),
            claims_changed: Condvar::new(),
            ms: AtomicU64::new(ordered.deduplication_ms),
            per_group: AtomicBool::new(ordered.per_group),
            wake_ms: AtomicU64::new(u64::MAX),
            shared: Arc::clone(shared),
        })
    }

    /// Does as the queue's settings say from now on.
    pub(crate) fn follow(self: &Arc<Self>, ordered: Ordered) {
        self.per_group.store(ordered.per_group, Ordering::Relaxed);
        self.ms.store(ordered.deduplication_ms, Ordering::Relaxed);
        let first = self.seen.lock().first_sent_ms();
        if let Some(sent_ms) = first {
            self.wake_for(sent_ms);
        }
    }

    pub(crate) fn is_per_group(&self) -> bool {
        self.per_group.load(Ordering::Relaxed)
    }

    fn ms(&self) -> u64 {
        self.ms.load(Ordering::Relaxed)
    }

    /// Puts back what was found at recovery. What is over by now is settled.
    pub(crate) fn restore(self: &Arc<Self>, mut found: Vec<Remembered>, now_ms: u64) {
        found.sort_unstable_by_key(|one| (one.sent_ms, one.seq));
        let ms = self.ms();
        let mut over = Vec::new();
        let mut seen = self.seen.lock();
        for one in found {
            if one.sent_ms.saturating_add(ms) <= now_ms {
                over.push(one.position);
                continue;
            }
            // Whatever the limit is now: these were promised.
            self.shared.window_room.taken.fetch_add(1, Ordering::Relaxed);
            let number = seen.insert(one.key, one.seq, one.sent_ms);
            seen.keep(number, Place::from(one.position), Ticket::default());
        }
        let first = seen.first_sent_ms();
        drop(seen);
        self.settle(&over);
        if let Some(sent_ms) = first {
            self.wake_for(sent_ms);
        }
    }

    /// Keeps others out until the guard goes: what it is asked stays so until then.
    pub(crate) fn open(self: &Arc<Self>) -> Open<'_> {
        Open { window: self, seen: self.seen.lock() }
    }

    /// Notes that a message with this key is about to come. `stored`: it is going to be in the journal. Where another one with
    /// the key is about to come, this waits until it has, if it may: whoever has a claim already must not, or two could wait
    /// for one another.
    pub(crate) fn claim(self: &Arc<Self>, key: u64, seq: u64, now_ms: u64, stored: bool, may_wait: bool) -> Claimed {
        let mut seen = self.seen.lock();
        loop {
            match seen.find(key, now_ms, self.ms()) {
                Known::No => break,
                Known::Kept(first) => return Claimed::Duplicate(first.ticket),
                Known::Pending(_) if may_wait => self.claims_changed.wait(&mut seen),
                Known::Pending(first) => return Claimed::Pending(first.seq),
            }
        }
        if seen.is_closed() {
            return Claimed::Gone;
        }
        if self.shared.window_room.take().is_err() {
            return Claimed::Full;
        }
        let number = seen.insert(key, seq, now_ms);
        drop(seen);
        let record = Record::new(self.lane, key, seq, now_ms);
        Claimed::New(Claim { window: Arc::clone(self), number, sent_ms: now_ms, record, stored, is_kept: false })
    }

    /// Forgets some of what is over. True where there may be more.
    fn forget(self: &Arc<Self>, now_ms: u64) -> bool {
        let mut over = Vec::new();
        let mut seen = self.seen.lock();
        let forgotten = seen.forget(now_ms, self.ms(), FORGOTTEN_AT_ONCE, &mut over);
        let first = seen.first_sent_ms();
        drop(seen);
        self.shared.window_room.give_back(forgotten);
        self.settle(&over);
        let more = forgotten == FORGOTTEN_AT_ONCE;
        if let Some(sent_ms) = first.filter(|_| !more) {
            self.wake_for(sent_ms);
        }
        more
    }

    /// The queue is gone: nothing is remembered any more.
    pub(crate) fn close(&self) {
        let (positions, count) = self.seen.lock().close();
        self.shared.window_room.give_back(count);
        self.shared.windows.forget(self);
        for some in positions.chunks(FORGOTTEN_AT_ONCE) {
            self.settle(some);
        }
    }

    fn settle(&self, positions: &[Position]) {
        if !positions.is_empty() {
            // A failed journal stops the process by itself.
            let _ = self.shared.journal.settle(positions);
        }
    }

    /// Has the timer come when what was sent then is over.
    fn wake_for(self: &Arc<Self>, sent_ms: u64) {
        let ms = self.ms();
        let at_ms = sent_ms.saturating_add(ms).saturating_add((ms / 8).min(SLACK_MS_MAX));
        if at_ms < self.wake_ms.load(Ordering::Relaxed) {
            // Zero is what those have that are gone.
            self.shared.windows.add(at_ms.max(1), self);
        }
    }
}

impl Sleeper for Window {
    fn lane(&self) -> u64 {
        self.lane
    }

    fn wake_ms(&self) -> &AtomicU64 {
        &self.wake_ms
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window").field("lane", &self.lane).finish_non_exhaustive()
    }
}

/// A window that one sender has to itself.
pub(crate) struct Open<'a> {
    window: &'a Arc<Window>,
    seen: MutexGuard<'a, Seen>,
}

impl Open<'_> {
    /// Whether it is this one that is open.
    pub(crate) fn is_of(&self, window: &Arc<Window>) -> bool {
        Arc::ptr_eq(self.window, window)
    }

    /// The message that had this key, if its time is not over. Where one is about to come, this waits until it has.
    pub(crate) fn find(&mut self, key: u64, now_ms: u64) -> Option<First> {
        loop {
            match self.seen.find(key, now_ms, self.window.ms()) {
                Known::No => return None,
                Known::Kept(first) => return Some(first),
                Known::Pending(_) => self.window.claims_changed.wait(&mut self.seen),
            }
        }
    }

    /// Room for one more key; it is given back where nothing is remembered by it.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn take_room(&self) -> Result<Room, Error> {
        Room::take(&self.window.shared)
    }

    /// What is to be written of a key.
    pub(crate) fn record(&self, key: u64, seq: u64, sent_ms: u64) -> Record {
        Record::new(self.window.lane, key, seq, sent_ms)
    }

    /// Remembers a key that was not known. `appended` is what the journal said of its message and then of its record; nothing
    /// where they are not stored.
    pub(crate) fn remember(&mut self, room: Room, record: &Record, sent_ms: u64, appended: &[Appended]) {
        let place = appended.get(1).map(|appended| appended.position);
        if self.seen.is_closed() {
            return self.window.settle(place.as_slice());
        }
        room.keep();
        let ticket = appended.first().map_or(Ticket::default(), |appended| appended.ticket);
        let number = self.seen.insert(record.key(), record.message_seq, sent_ms);
        self.seen.keep(number, place.map_or(Place::NONE, Place::from), ticket);
        self.window.wake_for(sent_ms);
    }
}

/// Room for one key that is not remembered yet.
#[derive(Debug)]
pub(crate) struct Room {
    shared: Arc<Shared>,
    is_kept: bool,
}

impl Room {
    fn take(shared: &Arc<Shared>) -> Result<Self, Error> {
        shared.window_room.take()?;
        Ok(Self { shared: Arc::clone(shared), is_kept: false })
    }

    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if !self.is_kept {
            self.shared.window_room.give_back(1);
        }
    }
}

/// What is written of one key.
#[derive(Debug)]
pub(crate) struct Record {
    reference: [Ref; 1],
    message_seq: u64,
    meta: [u8; META_BYTES],
}

impl Record {
    fn new(lane: u64, key: u64, seq: u64, sent_ms: u64) -> Self {
        Self { reference: [Ref { lane, seq: key }], message_seq: seq, meta: record::encode(seq, sent_ms) }
    }

    const fn key(&self) -> u64 {
        self.reference[0].seq
    }

    pub(crate) fn append(&self) -> Append<'_> {
        Append { refs: &self.reference, meta: &self.meta, payload: &[] }
    }
}

/// What becomes of a message that is about to come.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// It may come. Until the claim is kept or dropped, others with its key wait, or are not taken.
    New(Claim),
    /// One with its key has come. What that waits for, where it is known.
    Duplicate(Option<Ticket>),
    /// One with its key is about to come to this place, or not to come after all.
    Pending(u64),
    /// No more keys can be remembered.
    Full,
    /// The queue is gone.
    Gone,
}

/// The place of a message that is about to come.
#[derive(Debug)]
pub(crate) struct Claim {
    window: Arc<Window>,
    number: u64,
    sent_ms: u64,
    record: Record,
    stored: bool,
    is_kept: bool,
}

impl Claim {
    /// Its part of the record that has the message, where that is stored.
    pub(crate) fn append(&self) -> Option<Append<'_>> {
        self.stored.then(|| self.record.append())
    }

    /// The message has come. `position` is that of this part.
    pub(crate) fn keep(mut self, position: Option<Position>, ticket: Option<Ticket>) {
        self.is_kept = true;
        let mut seen = self.window.seen.lock();
        let place = position.map_or(Place::NONE, Place::from);
        let is_there = seen.keep(self.number, place, ticket.unwrap_or_default());
        drop(seen);
        self.window.claims_changed.notify_all();
        if is_there {
            self.window.wake_for(self.sent_ms);
        } else {
            // The queue went meanwhile.
            self.window.settle(position.as_slice());
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let mut seen = self.window.seen.lock();
        seen.take_back(self.number);
        let first = seen.first_sent_ms();
        drop(seen);
        self.window.claims_changed.notify_all();
        // It is over, and goes as what is over does.
        if let Some(sent_ms) = first {
            self.window.wake_for(sent_ms);
        }
    }
}

/// Forgets what is over, for as long as the broker runs.
pub(crate) async fn run(broker: Arc<Broker>) {
    loop {
        for window in broker.shared().windows.due().await {
            while window.forget(crate::message::now_ms()) {
                tokio::task::yield_now().await;
            }
        }
    }
}
