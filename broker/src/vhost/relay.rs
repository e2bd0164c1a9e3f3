//! From queue to queue: what a message left one queue for is done as one record of the journal.

use std::sync::Arc;

use gantry_storage::Position;
use smallvec::SmallVec;

use super::VirtualHost;
use super::later::Again;
use super::publish::{ClaimedPlaces, Coming, Prepared, Refusal};
use super::route::Reached;
use crate::error::Error;
use crate::inbox::Wakes;
use crate::message::Message;
use crate::queue::Arrival;

/// A message that is to be in other queues, and no more in the one that it comes from.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// Where the journal has it, for the queue it comes from.
    pub(crate) taken_from: Option<Position>,
    /// As it is from now on.
    pub(crate) message: Arc<Message>,
    /// Where it goes; if nowhere, it ends here.
    pub(crate) reached: Reached,
    /// It stays in the queue of this lane while all of those are full, and so does what comes behind it from there; where there
    /// is none, it is lost to them.
    pub(crate) stays_in: Option<u64>,
    /// It may have gone there before, and nobody knows since a crash.
    pub(crate) redelivered: bool,
    /// It has been in no queue yet: those that know duplicates look at it.
    pub(crate) is_first: bool,
    /// It is stored for times to come, too.
    pub(crate) again: SmallVec<[Again; 1]>,
}

impl VirtualHost {
    /// Carries parcels: after a crash each is in the queue that it comes from or in those that it goes to, never in both and
    /// never in none. One that a full queue sends on is kept for that queue until it is somewhere else. Which of them, by their
    /// place, stay where they are for want of room.
    ///
    /// # Errors
    /// The disk is full: then nothing has happened. The journal has failed.
    pub(crate) fn relay(&self, parcels: &mut [Parcel], now_ms: u64, wakes: &mut Wakes) -> Result<Vec<usize>, Error> {
        let mut prepared = Vec::with_capacity(parcels.len());
        let mut staying = Vec::new();
        let mut messages = Vec::with_capacity(parcels.len());
        let mut held_up: SmallVec<[u64; 4]> = SmallVec::new();
        let mut later: Vec<&Again> = Vec::new();
        let mut claimed = ClaimedPlaces::default();
        let mut record = gantry_storage::Transaction::default();
        for (index, parcel) in parcels.iter_mut().enumerate() {
            let Parcel { taken_from, message, reached, stays_in, redelivered, is_first, again } = parcel;
            // Somebody may make room just now: what comes behind must not overtake.
            let is_behind = stays_in.is_some_and(|lane| held_up.contains(&lane));
            let (queues, aside) = match is_behind {
                true => (&[][..], None),
                false => (&reached.queues[..], reached.aside.as_deref_mut()),
            };
            let refusal = if stays_in.is_some() {
                Refusal::Ends
            } else if taken_from.is_some() {
                Refusal::GoesOnStored
            } else {
                // It is no safer where it comes from.
                Refusal::GoesOn
            };
            let coming = Coming { now_ms, refusal, goes_on: !*is_first, is_behind_claims: !claimed.is_empty() };
            let one = Prepared::new(queues, aside, message, coming);
            if !claimed.has_pending_of(&one) {
                // Its original is somebody else's and not there yet. Whoever brings it comes again, as where the disk is full.
                return Err(Error::Full);
            }
            claimed.add(&one);
            let stays = stays_in.filter(|_| one.refused() > 0);
            held_up.extend(stays);
            if is_behind || stays.is_some() {
                staying.push(index);
            } else {
                record.settles.extend(*taken_from);
                later.extend(again.iter());
            }
            prepared.push(one);
            messages.push((&*message, *redelivered));
        }
        let payloads: Vec<[&[u8]; 2]> = prepared
            .iter()
            .zip(&messages)
            .map(|(prepared, (message, _))| [prepared.prefix.prefix.as_slice(), message.data()])
            .collect();
        for (index, (prepared, payload)) in prepared.iter().zip(&payloads).enumerate() {
            if staying.binary_search(&index).is_err() {
                record.appends.extend(prepared.append(payload));
                record.appends.extend(prepared.claims());
            }
        }
        // Behind all that goes to queues.
        let later_payloads: Vec<[&[u8]; 2]> = later.iter().map(|again| again.payload()).collect();
        record.appends.extend(later.iter().zip(&later_payloads).map(|(again, payload)| again.append(payload)));
        let (mut appended, mut durable) = (Vec::new(), None);
        if !record.appends.is_empty() {
            let (all, ticket) = self.shared.journal.transact(&record)?;
            (appended, durable) = (all, Some(ticket));
        } else if !record.settles.is_empty() {
            // Nothing needs room: a full disk is no reason to wait.
            self.shared.journal.settle(&record.settles)?;
        }
        drop(record);
        drop((payloads, later_payloads));
        let mut appended = appended.into_iter();
        for (index, (prepared, (message, redelivered))) in prepared.iter_mut().zip(messages).enumerate() {
            // What stays is routed once more, and what exchanges noted of it is undone until then.
            if staying.binary_search(&index).is_err() {
                // Nobody else waits for any of it to be durable.
                prepared.arrive(
                    &self.shared,
                    Arrival { message, now_ms, ticket: durable, redelivered },
                    &mut appended,
                    wakes,
                );
            }
        }
        later.iter().zip(appended).for_each(|(again, appended)| again.stored(appended));
        Ok(staying)
    }
}
