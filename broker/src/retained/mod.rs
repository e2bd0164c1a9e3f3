//! Retained messages: the last one of each key, for whoever subscribes later.
//!
//! All of them are in memory, in the order of their keys, and in the table. A change is in effect at once; a writer brings it
//! to the table (see [`writer`]). Reading goes by pattern, a bounded number of keys at a time, and seeks (see [`pattern`]).
//!
//! What they take is bounded for all virtual hosts together, and does not count as messages that wait: no publisher who waits
//! would make room.

mod pattern;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;

use self::pattern::{Pattern, Step, kept_key};
use self::writer::Writer;
use crate::broker::Broker;
use crate::error::Error;
use crate::message::{Lasting, Message, now_ms};
use crate::shared::Shared;
use crate::vhost::{Pending, VirtualHost};

/// The space of the table that they are kept in.
pub(crate) const RETAINED: &str = "retained";

/// Keys that one call looks at, at most.
const EXAMINED_MAX: usize = 512;

/// Keys that are looked at for what has expired, at a time and at most.
const SWEPT_AT_ONCE: usize = 4096;
const SWEEP_PERIOD: Duration = Duration::from_secs(1);

/// What one takes beside its body, its head and twice its key, about: entry, message and address.
const OVERHEAD_BYTES: usize = 320;

/// A retained message.
#[derive(Clone, Debug)]
pub struct Retained {
    /// As it was published.
    pub message: Arc<Message>,
    /// When it expires, in milliseconds since the epoch of Unix; `u64::MAX` for never.
    pub expires_ms: u64,
}

/// How far somebody has read.
#[derive(Clone, Debug, Default)]
pub struct RetainedCursor {
    /// No key before this one is left to be looked at.
    from: Vec<u8>,
    done: bool,
}

impl RetainedCursor {
    /// Nothing has been read.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing is left.
    pub fn is_done(&self) -> bool {
        self.done
    }
}

/// What retained messages of all virtual hosts take.
#[derive(Debug)]
pub(crate) struct RetainedRoom {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl RetainedRoom {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), bytes_max }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes room for what replaces something that takes `before`. What is no larger always fits.
    fn replace(&self, before: usize, now: usize) -> Result<(), Error> {
        let Some(more) = now.checked_sub(before) else {
            self.give_back(before - now);
            return Ok(());
        };
        let fits = |bytes: usize| bytes.checked_add(more).filter(|sum| more == 0 || *sum <= self.bytes_max);
        let taken = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.map(drop).map_err(|_| Error::LimitReached {
            what: "the limit of bytes of retained messages",
            limit: self.bytes_max as u64,
        })
    }

    fn take(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Shared by all who have to do with a key.
type Key = Arc<[u8]>;

struct Kept {
    message: Lasting,
    expires_ms: u64,
}

impl Kept {
    fn retained(&self) -> Retained {
        Retained { message: Arc::clone(self.message.get()), expires_ms: self.expires_ms }
    }

    fn bytes(&self, key: &[u8]) -> usize {
        bytes_of(key, self.message.get())
    }
}

fn bytes_of(key: &[u8], message: &Message) -> usize {
    OVERHEAD_BYTES + 2 * key.len() + message.bytes() as usize
}

/// What is left behind by a key that is removed, until that is written.
fn bytes_of_removed(key: &[u8]) -> usize {
    OVERHEAD_BYTES + key.len()
}

/// The retained messages of a virtual host.
pub(crate) struct RetainedMessages {
    vhost: Arc<str>,
    shared: Arc<Shared>,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    kept: BTreeMap<Key, Kept>,
    /// How many of them expire.
    expiring: usize,
    /// What has been looked at lately for those that have.
    swept_to: Vec<u8>,
    writer: Writer,
}

impl State {
    fn insert(&mut self, key: Key, kept: Kept) {
        self.expiring += usize::from(kept.expires_ms != u64::MAX);
        self.kept.insert(key, kept);
    }

    fn remove(&mut self, key: &[u8]) -> Option<(Key, Kept)> {
        let (key, kept) = self.kept.remove_entry(key)?;
        self.expiring -= usize::from(kept.expires_ms != u64::MAX);
        Some((key, kept))
    }
}

impl RetainedMessages {
    pub(crate) fn new(shared: Arc<Shared>, vhost: Arc<str>) -> Arc<Self> {
        Arc::new(Self { vhost, shared, state: RwLock::default() })
    }

    fn room(&self) -> &RetainedRoom {
        &self.shared.retained
    }

    pub(crate) fn len(&self) -> usize {
        self.state.read().kept.len()
    }

    /// Puts back what the table has. What has expired since is removed from there in time.
    pub(crate) fn restore(&self) -> Result<(), Error> {
        let rows = self.shared.table.scan(RETAINED, &writer::row_key(&self.vhost, None))?;
        let mut state = self.state.write();
        for (_, row) in rows {
            let read = writer::read_row(Bytes::from(row), &self.shared.sources);
            let Retained { message, expires_ms } = match read {
                Ok(read) => read,
                Err(error) => {
                    tracing::error!(vhost = %self.vhost, %error, "a retained message cannot be read and is left out");
                    continue;
                }
            };
            let key = Key::from(kept_key(&message.address().routing_key));
            // It had room once; a limit that was lowered keeps others out.
            self.room().take(bytes_of(&key, &message));
            state.insert(key, Kept { message: Lasting::new(message), expires_ms });
        }
        Ok(())
    }

    fn retain(self: &Arc<Self>, message: &Arc<Message>, now_ms: u64) -> Result<Pending, Error> {
        let key = kept_key(&message.address().routing_key);
        let mut state = self.state.write();
        let before = state.kept.get(&key[..]).map_or(0, |kept| kept.bytes(&key));
        let key = if message.body().is_empty() {
            match self.remove(&mut state, &key) {
                Some(key) => key,
                // That it is gone may not be on stable storage yet.
                None if state.writer.is_busy() => Key::from(key),
                None => return Ok(Pending::nothing()),
            }
        } else {
            self.room().replace(before, bytes_of(&key, message))?;
            // First the one before: it may be the same message.
            let key = match state.remove(&key) {
                Some((key, _)) => key,
                None => Key::from(key),
            };
            let expires_ms = message.essentials().ttl_ms.map_or(u64::MAX, |ttl_ms| now_ms.saturating_add(ttl_ms));
            state.insert(Arc::clone(&key), Kept { message: Lasting::new(Arc::clone(message)), expires_ms });
            key
        };
        let pending = state.writer.note(key);
        self.write_next(state);
        Ok(pending)
    }

    fn stored(self: &Arc<Self>, key: &[u8]) -> Pending {
        let mut state = self.state.write();
        if !state.writer.is_busy() {
            return Pending::nothing();
        }
        // It may be in the commit that is under way: once more does no harm.
        let pending = state.writer.note(Key::from(kept_key(key)));
        self.write_next(state);
        pending
    }

    /// Takes one out. What is left is the key, until it is gone from the table.
    fn remove(&self, state: &mut State, key: &[u8]) -> Option<Key> {
        let (key, kept) = state.remove(key)?;
        self.room().give_back(kept.bytes(&key));
        self.room().take(bytes_of_removed(&key));
        state.writer.charge(&key, bytes_of_removed(&key));
        Some(key)
    }

    fn read(self: &Arc<Self>, pattern: &[u8], cursor: &mut RetainedCursor, max: usize, now_ms: u64) -> Vec<Retained> {
        let pattern = Pattern::new(pattern);
        let (mut found, mut expired) = (Vec::new(), Vec::new());
        let state = self.state.read();
        for _ in 0..EXAMINED_MAX {
            if cursor.done || found.len() >= max.max(1) {
                break;
            }
            let Some((key, kept)) = state.first_from(&cursor.from) else {
                cursor.done = true;
                break;
            };
            let (matches, step) = pattern.judge(key);
            if matches && kept.expires_ms <= now_ms {
                expired.push(Arc::clone(key));
            } else if matches {
                found.push(kept.retained());
            }
            match step {
                Step::Seek(from) => cursor.from = from,
                Step::End => cursor.done = true,
            }
        }
        drop(state);
        if !expired.is_empty() {
            self.expire(&expired, now_ms);
        }
        found
    }

    /// Removes those that have expired.
    fn expire(self: &Arc<Self>, keys: &[Key], now_ms: u64) {
        let mut state = self.state.write();
        for key in keys {
            if state.kept.get(key).is_some_and(|kept| kept.expires_ms <= now_ms) {
                self.remove(&mut state, key);
                // Nobody waits for it.
                drop(state.writer.note(Arc::clone(key)));
            }
        }
        self.write_next(state);
    }

    /// Looks for some that have expired, and has what could not be written tried again.
    pub(crate) fn sweep(self: &Arc<Self>, now_ms: u64) {
        let mut expired = Vec::new();
        let state = self.state.read();
        let mut swept_to = None;
        if state.expiring > 0 {
            let range = state.kept.range::<[u8], _>((Bound::Included(&state.swept_to[..]), Bound::Unbounded));
            for (count, (key, kept)) in range.enumerate() {
                if count == SWEPT_AT_ONCE {
                    swept_to = Some(key.to_vec());
                    break;
                }
                if kept.expires_ms <= now_ms {
                    expired.push(Arc::clone(key));
                }
            }
        }
        drop(state);
        if !expired.is_empty() {
            self.expire(&expired, now_ms);
        }
        let mut state = self.state.write();
        // At the end it begins anew.
        state.swept_to = swept_to.unwrap_or_default();
        self.write_next(state);
    }
}

impl State {
    fn first_from(&self, from: &[u8]) -> Option<(&Key, &Kept)> {
        self.kept.range::<[u8], _>((Bound::Included(from), Bound::Unbounded)).next()
    }
}

impl VirtualHost {
    /// Keeps a message for its routing key, in place of the one before; a message with an empty body removes that. It is in
    /// effect at once, and on stable storage when what is returned resolves, or a later one for the same key is: many for one
    /// key in a short time may be written once. `now_ms` is the time in milliseconds since the epoch of Unix, from which its
    /// time to live counts.
    ///
    /// # Errors
    /// Retained messages take as much memory as they may ([`BrokerOptions::retained_bytes_max`](crate::BrokerOptions)): then the
    /// one before stays. What takes no more than the one before always has room.
    pub fn retain(&self, message: &Arc<Message>, now_ms: u64) -> Result<Pending, Error> {
        self.retained_messages().retain(message, now_ms)
    }

    /// What is kept for this routing key is written, if it is not on stable storage yet: for whoever was told of
    /// [`VirtualHost::retain`] that the disk is full. Another one that has come in its place meanwhile stands for it.
    pub fn retained_stored(&self, routing_key: &[u8]) -> Pending {
        self.retained_messages().stored(routing_key)
    }

    /// Some of the retained messages whose keys match a pattern (words between dots, of which `*` stands for one and `#` for
    /// any number), behind those that the cursor has seen: `max` at most, and fewer or none where many keys had to be looked
    /// at. It goes on until [`RetainedCursor::is_done`]. A pattern that begins with a wildcard means no key that begins with
    /// `$`. What has expired is left out.
    ///
    /// Whoever changes something meanwhile may be seen or not; what stays as it is is seen once.
    pub fn retained(&self, pattern: &[u8], cursor: &mut RetainedCursor, max: usize, now_ms: u64) -> Vec<Retained> {
        self.retained_messages().read(pattern, cursor, max, now_ms)
    }

    /// How many retained messages there are, those included that have expired and are still to be removed.
    pub fn retained_count(&self) -> usize {
        self.retained_messages().len()
    }
}

/// Removes what has expired, for as long as the broker runs.
pub(crate) async fn run(broker: Arc<Broker>) {
    let mut ticks = tokio::time::interval(SWEEP_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for vhost in broker.vhosts() {
            vhost.retained_messages().sweep(now_ms());
        }
    }
}
