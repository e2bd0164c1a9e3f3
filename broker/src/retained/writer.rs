//! From memory to the table. One commit is under way at a time; what changes meanwhile is the next one, and a key that changes
//! several times is written once, as it is then. So a burst is written as fast as the disk takes it, and what waits is no more
//! than a key for each change.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc;

use bytes::{Buf, Bytes};
use gantry_storage::{Change, TableError};
use hashbrown::HashMap;
use parking_lot::RwLockWriteGuard;
use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::{Kept, Key, RETAINED, Retained, RetainedMessages, State};
use crate::error::Error;
use crate::message::{Message, Meta, Sources};
use crate::vhost::Pending;

/// One commit has so many rows at most, and not many more bytes than that.
const BATCH_ROWS_MAX: usize = 1024;
const BATCH_BYTES: usize = 4 << 20;

/// How a row is written.
const ROW_VERSION: u8 = 1;
const ROW_HEAD_BYTES: usize = 9;

type Waiter = oneshot::Sender<Result<(), TableError>>;

/// A key whose row is not as it should be.
#[derive(Default)]
struct Dirty {
    /// Who waits for it.
    waiters: Vec<Waiter>,
    /// Bytes that are taken until it is written.
    charged: usize,
}

/// What is still to be written.
#[derive(Default)]
pub(super) struct Writer {
    dirty: HashMap<Key, Dirty>,
    /// Which came first.
    order: VecDeque<Key>,
    /// A commit is under way.
    writing: bool,
    /// Somebody wants to know when nothing is left, or cannot be written.
    idle: Vec<mpsc::Sender<()>>,
}

/// What one commit writes.
struct Batch {
    rows: Vec<(Key, Option<Retained>)>,
    dirty: Vec<Dirty>,
}

impl Writer {
    /// Whether anything is not on stable storage yet.
    pub(super) fn is_busy(&self) -> bool {
        self.writing || !self.dirty.is_empty()
    }

    /// Has a key be written, and tells when it is.
    pub(super) fn note(&mut self, key: Key) -> Pending {
        let (sender, receiver) = oneshot::channel();
        let waiters = &mut self.dirty(key).waiters;
        if waiters.len() == waiters.capacity() {
            // Those who do not wait leave theirs behind.
            waiters.retain(|waiter| !waiter.is_closed());
        }
        waiters.push(sender);
        Pending::waiting(receiver)
    }

    /// Counts bytes for a key until it is written.
    pub(super) fn charge(&mut self, key: &Key, bytes: usize) {
        self.dirty(Arc::clone(key)).charged += bytes;
    }

    fn dirty(&mut self, key: Key) -> &mut Dirty {
        let order = &mut self.order;
        self.dirty.entry(key).or_insert_with_key(|key| {
            order.push_back(Arc::clone(key));
            Dirty::default()
        })
    }
}

impl State {
    /// What is to be written next; none while something is.
    fn next_batch(&mut self) -> Option<Batch> {
        if self.writer.writing || self.writer.order.is_empty() {
            return None;
        }
        let mut batch = Batch { rows: Vec::new(), dirty: Vec::new() };
        let mut bytes = 0;
        while batch.rows.len() < BATCH_ROWS_MAX && bytes < BATCH_BYTES {
            let Some(key) = self.writer.order.pop_front() else { break };
            let Some(dirty) = self.writer.dirty.remove(&key) else { continue };
            let kept = self.kept.get(&key).map(Kept::retained);
            bytes += kept.as_ref().map_or(0, |kept| kept.message.bytes() as usize);
            batch.rows.push((key, kept));
            batch.dirty.push(dirty);
        }
        self.writer.writing = true;
        Some(batch)
    }
}

impl RetainedMessages {
    /// Has the table take what waits, unless it is at it.
    pub(super) fn write_next(self: &Arc<Self>, mut state: RwLockWriteGuard<'_, State>) {
        let batch = state.next_batch();
        drop(state);
        if let Some(batch) = batch {
            self.write(batch);
        }
    }

    fn write(self: &Arc<Self>, batch: Batch) {
        let Batch { rows, dirty } = batch;
        let mut keys = Vec::with_capacity(rows.len());
        let mut changes = Vec::with_capacity(rows.len());
        for (key, kept) in rows {
            let row = row_key(&self.vhost, Some(&key));
            changes.push(match kept {
                Some(kept) => Change::Put { space: RETAINED, key: row, value: row_of(&kept) },
                None => Change::Delete { space: RETAINED, key: row },
            });
            keys.push(key);
        }
        let messages = Arc::clone(self);
        self.shared.table.commit(changes, Box::new(move |result| messages.written(keys, dirty, &result)));
    }

    fn written(self: &Arc<Self>, keys: Vec<Key>, dirty: Vec<Dirty>, result: &Result<(), TableError>) {
        let mut state = self.state.write();
        state.writer.writing = false;
        let mut waiters = Vec::new();
        for (key, dirty) in keys.into_iter().zip(dirty) {
            waiters.extend(dirty.waiters);
            if result.is_ok() {
                self.room().give_back(dirty.charged);
            } else {
                // Nobody waits for it any more, but it has to be written all the same.
                state.writer.dirty(key).charged += dirty.charged;
            }
        }
        if let Err(error) = result {
            tracing::warn!(vhost = %self.vhost, %error, "retained messages are not written yet");
        }
        if result.is_err() || state.writer.order.is_empty() {
            // What could not be written is tried again by the sweep, and by whoever changes something.
            for idle in state.writer.idle.drain(..) {
                let _ = idle.send(());
            }
            drop(state);
        } else {
            self.write_next(state);
        }
        for waiter in waiters {
            // Whoever asked may have gone.
            let _ = waiter.send(result.clone());
        }
    }
}

impl RetainedMessages {
    /// Waits until all that has changed is on stable storage, or the table has refused it. Blocks.
    pub(crate) fn flush(self: &Arc<Self>) {
        let (sender, receiver) = mpsc::channel();
        let mut state = self.state.write();
        if !state.writer.is_busy() {
            return;
        }
        state.writer.idle.push(sender);
        self.write_next(state);
        // The sender goes with the table, if that goes.
        let _ = receiver.recv();
    }
}

/// The key of a row, or what the keys of all rows of a virtual host begin with.
pub(super) fn row_key(vhost: &str, key: Option<&[u8]>) -> Vec<u8> {
    let mut row = Vec::with_capacity(4 + vhost.len() + key.map_or(0, <[u8]>::len));
    row.extend_from_slice(&(vhost.len() as u32).to_be_bytes());
    row.extend_from_slice(vhost.as_bytes());
    row.extend_from_slice(key.unwrap_or_default());
    row
}

/// A message as its row has it: when it expires, and what the journal would have of it.
fn row_of(Retained { message, expires_ms }: &Retained) -> Vec<u8> {
    let mut prefix = SmallVec::new();
    message.stored_prefix(&Meta::new(0, message.essentials()), &mut prefix);
    let mut row = Vec::with_capacity(ROW_HEAD_BYTES + prefix.len() + message.data().len());
    row.push(ROW_VERSION);
    row.extend_from_slice(&expires_ms.to_be_bytes());
    row.extend_from_slice(&prefix);
    row.extend_from_slice(message.data());
    row
}

/// The message of a row, and when it expires.
pub(super) fn read_row(mut row: Bytes, sources: &Sources) -> Result<Retained, Error> {
    let unreadable = |error: &dyn std::fmt::Display| Error::Storage(format!("a retained message: {error}"));
    if row.len() < ROW_HEAD_BYTES {
        return Err(unreadable(&"it ends too early"));
    }
    if row.get_u8() != ROW_VERSION {
        return Err(unreadable(&"it was stored by another version"));
    }
    let expires_ms = row.get_u64();
    let message = Message::restore(sources, row).map_err(|error| unreadable(&error))?;
    Ok(Retained { message, expires_ms })
}
