//! What is there again after a restart.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gantry_storage::{Position, Recovered};

use super::incoming::expiry_ms;
use super::state::AT_ONCE_MS;
use super::tally::Tally;
use super::{Departure, Entry, Queue};
use crate::error::Error;
use crate::message::{Meta, Unreadable, now_ms};
use crate::outbox::Letter;

/// A message that was found at recovery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restored {
    seq: u64,
    position: Position,
    bytes: u32,
    head_bytes: u16,
    meta: Meta,
    tally: Tally,
}

impl Restored {
    pub(crate) fn new(found: &Recovered<'_>) -> Result<Self, Unreadable> {
        let (meta, lengths) = Meta::decode(found.meta)?;
        Ok(Self {
            seq: found.reference.seq,
            position: found.position,
            bytes: found.payload_bytes.saturating_sub(lengths.prefix_bytes),
            head_bytes: lengths.head_bytes,
            meta,
            tally: Tally::of(found.mark),
        })
    }

    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Its place in its queue.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// Bytes of head and body.
    pub(crate) fn bytes(&self) -> u32 {
        self.bytes
    }

    /// When it was published, in milliseconds since the epoch of Unix.
    pub(crate) fn published_ms(&self) -> u64 {
        self.meta.published_ms
    }

    /// When it is to be routed on; at once where it does not say.
    pub(crate) fn due_ms(&self) -> u64 {
        self.meta.due_ms.unwrap_or(0)
    }

    /// As its queue has it. What was there up to `delivered_to` may have been delivered.
    fn entry(&self, delivered_to: u64) -> Entry {
        let Self { seq, position, bytes, head_bytes, meta, tally } = *self;
        Entry {
            seq,
            message: None,
            position: position.into(),
            bytes,
            expires_ms: expiry_ms(meta.essentials.ttl_ms, meta.published_ms),
            attempts: tally.attempts,
            head_bytes,
            priority: meta.essentials.priority,
            redelivered: tally.attempts > 0 || seq < delivered_to,
        }
    }
}

impl Queue {
    /// Puts back what was found at recovery. `delivered_to`: up to there messages have been delivered; none where nobody
    /// wrote it down. Then all of them may have been, since a delivery does not wait for the disk. `refused`: what it did not
    /// take and was sending on.
    pub(crate) fn restore(
        self: &Arc<Self>,
        delivered_to: Option<u64>,
        mut entries: Vec<Restored>,
        mut refused: Vec<Restored>,
    ) {
        let to = self.state.lock().rules().dead_letter.clone();
        if to.is_none() {
            // The rules were others then. Of one message too many and none at all, this is the lesser evil.
            entries.append(&mut refused);
        }
        // Publishers race to the journal; the queue's order is its own.
        entries.sort_unstable_by_key(|entry| entry.seq);
        refused.sort_unstable_by_key(|entry| entry.seq);
        let next = entries.last().into_iter().chain(refused.last()).map(|last| last.seq + 1).max().unwrap_or(0);
        if delivered_to.is_none() {
            self.unsure_before.store(next, Ordering::Relaxed);
        }
        let delivered_to = delivered_to.unwrap_or(next);
        // What has left may still be known to somebody by its number, also where nothing is left.
        let seq = self.shared.first_seq(next.max(delivered_to));
        self.seq.store(seq, Ordering::Relaxed);
        let mut orphans = Vec::new();
        let now_ms = now_ms();
        let mut state = self.state.lock();
        state.restore_delivered_to(delivered_to);
        for restored in entries {
            let Restored { seq, position, meta, tally, .. } = restored;
            if let Some(key) = meta.duplicate_key {
                self.claim_present(key, seq);
            }
            if !meta.essentials.durable && !self.keeps_all {
                orphans.push(position);
                continue;
            }
            state.restore(restored.entry(delivered_to), tally, meta.published_ms, &meta.essentials, now_ms);
        }
        // What is too much goes as soon as the timers run: there may be more of it than rules said before the restart.
        let wake_ms = if state.rules().may_drop() { Some(AT_ONCE_MS) } else { state.next_ms() };
        drop(state);
        // Stored for the sake of memory only.
        if !orphans.is_empty() {
            self.forget_stored(&orphans);
        }
        if let Some(to) = to.filter(|_| !refused.is_empty()) {
            let letter = |restored: &Restored| Letter {
                queue: Arc::clone(self),
                entry: restored.entry(0),
                why: Departure::Overflowed,
                to: Arc::clone(&to),
                redriving: None,
            };
            self.shared.outbox.push(refused.iter().map(letter).collect());
        }
        if let Some(wake_ms) = wake_ms {
            self.wake_at(wake_ms);
        }
    }

    /// As [`Queue::restore`], for a stream. Blocks.
    ///
    /// # Errors
    /// Its log cannot be opened.
    pub(crate) fn restore_stream(self: &Arc<Self>, entries: Vec<Restored>) -> Result<(), Error> {
        if let Some(stream) = &self.stream {
            self.seq.store(stream.restore(self, entries)?, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether a message that goes on from here may have gone on before, and have been delivered there: that it left here was
    /// not on stable storage when the process was killed, or that was so where it came from. A message that came back from a
    /// consumer has an attempt.
    pub(crate) fn may_have_gone_on(&self, entry: &Entry) -> bool {
        self.is_unsure(entry.seq, entry.redelivered, entry.attempts)
    }

    /// As [`Queue::may_have_gone_on`], by what is told of a delivery.
    pub(crate) fn is_unsure(&self, seq: u64, redelivered: bool, attempts: u32) -> bool {
        seq < self.unsure_before.load(Ordering::Relaxed) || redelivered && attempts == 0
    }

    /// Has the journal remember how far it has been delivered; for an orderly stop.
    pub(crate) fn note_delivered(&self) {
        let delivered_to = self.state.lock().delivered_to();
        if self.survives() && delivered_to > 0 {
            self.note(Some(delivered_to));
        }
    }
}
