//! From queue to queue: what a message left one queue for is done as one record of the journal.

use std::sync::Arc;

use gantry_storage::{Append, Position};

use super::VirtualHost;
use super::publish::{Prefix, enqueue_all, targets_of};
use super::route::Queues;
use crate::error::Error;
use crate::inbox::Wakes;
use crate::message::{Message, Meta};
use crate::queue::Arrival;

/// A message that is to be in other queues, and no more in the one that it comes from.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// Where the journal has it, for the queue it comes from.
    pub(crate) taken_from: Option<Position>,
    /// As it is from now on.
    pub(crate) message: Arc<Message>,
    /// The queues that it goes to; where there are none, it ends here.
    pub(crate) queues: Queues,
    /// It stays where it is while all of those are full; otherwise it is lost to them.
    pub(crate) waits_for_room: bool,
}

impl VirtualHost {
    /// Carries parcels: after a crash each is in the queue that it comes from or in those that it goes to, never in both and
    /// never in none. Which of them, by their place, stay where they are for want of room.
    ///
    /// # Errors
    /// The disk is full: then nothing has happened. The journal has failed.
    pub(crate) fn relay(&self, parcels: &[Parcel], now_ms: u64, wakes: &mut Wakes) -> Result<Vec<usize>, Error> {
        let mut prepared = Vec::with_capacity(parcels.len());
        let mut staying = Vec::new();
        for (index, parcel) in parcels.iter().enumerate() {
            let targets = targets_of(&parcel.queues, &parcel.message, !parcel.waits_for_room);
            if parcel.waits_for_room && targets.refused > 0 && targets.is_empty() {
                staying.push(index);
            }
            let mut prefix = Prefix::new();
            prefix.fill(&parcel.message, &Meta { published_ms: now_ms, essentials: parcel.message.essentials() });
            prepared.push((targets, prefix));
        }
        let payloads: Vec<[&[u8]; 2]> = prepared
            .iter()
            .zip(parcels)
            .map(|((_, prefix), parcel)| [prefix.prefix.as_slice(), parcel.message.data()])
            .collect();
        let mut record = gantry_storage::Transaction::default();
        for ((targets, prefix), payload) in prepared.iter().zip(&payloads) {
            if !targets.refs.is_empty() {
                record.appends.push(Append { refs: &targets.refs, meta: &prefix.meta, payload });
            }
        }
        let leaving = parcels.iter().enumerate().filter(|(index, _)| staying.binary_search(index).is_err());
        record.settles.extend(leaving.filter_map(|(_, parcel)| parcel.taken_from));
        let (mut appended, mut durable) = (Vec::new(), None);
        if !record.appends.is_empty() {
            let (all, ticket) = self.shared.journal.transact(&record)?;
            (appended, durable) = (all, Some(ticket));
        } else if !record.settles.is_empty() {
            // Nothing needs room: a full disk is no reason to wait.
            self.shared.journal.settle(&record.settles)?;
        }
        let mut appended = appended.into_iter();
        for ((targets, _), parcel) in prepared.iter_mut().zip(parcels) {
            let first = if targets.refs.is_empty() { None } else { appended.next().map(|appended| appended.position) };
            enqueue_all(targets, Arrival { message: &parcel.message, now_ms, ticket: durable }, first, wakes);
        }
        Ok(staying)
    }
}
