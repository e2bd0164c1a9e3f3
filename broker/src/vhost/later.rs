//! Publishing for later.

use std::sync::Arc;

use gantry_storage::{Append, Appended, Ref};
use smallvec::SmallVec;

use super::VirtualHost;
use super::publish::Published;
use super::route::Route;
use crate::delays::DelayLane;
use crate::error::Error;
use crate::message::{Message, Meta};
use crate::schedule::Schedule;

/// A message that is stored for a time to come.
#[derive(Debug)]
pub(crate) struct Again {
    lane: Arc<DelayLane>,
    message: Arc<Message>,
    due_ms: u64,
    now_ms: u64,
    reference: [Ref; 1],
    meta: SmallVec<[u8; 24]>,
    /// What is stored in front of it: its schedule, and what is in front of every message.
    prefix: Vec<u8>,
}

impl Again {
    pub(crate) fn new(
        lane: &Arc<DelayLane>,
        message: &Arc<Message>,
        schedule: &Schedule,
        due_ms: u64,
        now_ms: u64,
    ) -> Self {
        let meta = Meta { due_ms: Some(due_ms), ..Meta::new(now_ms, message.essentials()) };
        let mut stored = SmallVec::new();
        message.stored_prefix(&meta, &mut stored);
        let mut prefix = schedule.encode();
        prefix.extend_from_slice(&stored);
        let meta = meta.encode(prefix.len(), message.head().len());
        let (lane, message) = (Arc::clone(lane), Arc::clone(message));
        let reference = [Ref { lane: crate::timer::Sleeper::lane(&*lane), seq: lane.next_seq() }];
        Self { lane, message, due_ms, now_ms, reference, meta, prefix }
    }

    pub(super) fn payload(&self) -> [&[u8]; 2] {
        [&self.prefix, self.message.data()]
    }

    /// Its part of a record.
    pub(super) fn append<'a>(&'a self, payload: &'a [&'a [u8]; 2]) -> Append<'a> {
        Append { refs: &self.reference, meta: &self.meta, payload }
    }

    /// The record has been taken.
    pub(super) fn stored(&self, appended: Appended) {
        self.lane.push(self.due_ms, self.now_ms, appended.position, self.message.bytes());
    }
}

impl VirtualHost {
    /// Publishes a message for later: it goes by its route when it is due, to what is bound then. `route` is that of its address,
    /// which must be there now. Whatever the message is, it is stored; one that need not survive a restart may be lost in one.
    ///
    /// # Errors
    /// The disk is full: then nothing has happened.
    pub fn publish_later(
        &self,
        route: &Route,
        message: &Arc<Message>,
        schedule: &Schedule,
        now_ms: u64,
    ) -> Result<Published, Error> {
        debug_assert_eq!(**route.address(), **message.address());
        let again = Again::new(&self.schedules, message, schedule, schedule.first_ms(now_ms), now_ms);
        let appended = self.shared.journal.append(again.append(&again.payload()))?;
        again.stored(appended);
        Ok(Published { routed: 1, refused: 0, durable: Some(appended.ticket) })
    }

    /// Messages that were published for later and wait for their time.
    pub fn scheduled(&self) -> usize {
        self.schedules.len()
    }
}
