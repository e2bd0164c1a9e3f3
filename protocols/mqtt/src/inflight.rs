//! What was sent to the client with QoS 1 or 2 and is not done.

use std::collections::VecDeque;
use std::sync::Arc;

use gantry_broker::{Delivery, Lease, Message, Outcome, Queue, Ticket, Wakes};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::subscriptions::TOKEN_OWN;

/// Packet ids of the session's own queue are 1 to this; those of shared queues are above.
const OWN_IDS: u64 = 32_767;

/// Marks of a session for what its client has published with QoS 2: the packet id. For what it has been sent: this, and the
/// packet id.
pub(crate) const MARK_PUBREL: u64 = 0x1_0000;

/// Something that was sent and is not done.
#[derive(Debug)]
pub(crate) enum Sent {
    /// PUBLISH; it waits for PUBACK, or PUBREC.
    Publish(Published),
    /// PUBREC has come, and PUBREL went out or is about to; it waits for PUBCOMP.
    Released {
        /// The session has a mark for it.
        marked: bool,
        /// It took part of what the client takes at the same time.
        took_credit: bool,
    },
}

/// A PUBLISH that waits for an answer.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) queue: Arc<Queue>,
    pub(crate) lease: Lease,
    /// Its place in its queue.
    pub(crate) seq: u64,
    /// The own queue, and no shared one.
    pub(crate) own: bool,
    pub(crate) exactly_once: bool,
    /// What this client alone is sent again; none where it comes from the queue again.
    pub(crate) again: Option<Again>,
}

/// A message of a shared queue, with QoS 2, whose client may come back for it.
#[derive(Clone, Debug)]
pub(crate) struct Again {
    pub(crate) message: Arc<Message>,
    /// As it was when it was first sent; see [`Delivery::expires_ms`].
    pub(crate) expires_ms: u64,
}

impl Published {
    /// Sorts by queue, and by place in it.
    pub(crate) fn order(&self) -> (usize, u64) {
        (Arc::as_ptr(&self.queue) as usize, self.seq)
    }
}

/// Gives back what was sent and not answered, to each queue in order.
pub(crate) fn to_queues(mut sent: Vec<Published>, wakes: &mut Wakes) {
    sent.sort_unstable_by_key(Published::order);
    for of_queue in sent.chunk_by(|one, other| Arc::ptr_eq(&one.queue, &other.queue)) {
        let leases: Vec<Lease> = of_queue.iter().map(|published| published.lease).collect();
        let queue = &of_queue[0].queue;
        // 4.3.3-7: an exchange that was begun is completed.
        let begun: Vec<Lease> = of_queue.iter().filter(|one| one.exactly_once).map(|one| one.lease).collect();
        queue.hold(&begun);
        queue.settle(&leases, Outcome::Retry, wakes);
    }
}

/// By packet id.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    sent: HashMap<u16, Sent>,
    /// Deliveries whose packet id is in use, in order.
    waiting: VecDeque<Delivery>,
    /// Deliveries of QoS 2 that are not on stable storage yet, in order: after a crash nobody would know of them, and their packet
    /// ids would be those of others, which the client would take for the same messages.
    undurable: VecDeque<(Ticket, Delivery)>,
    /// Packet ids of what was begun in an earlier connection and has not been sent in this one yet, in order.
    again: VecDeque<u16>,
    /// Where the search for the next free id of a shared queue begins.
    next_shared: u16,
}

impl InFlight {
    /// The packet id for a delivery; none while it is in use. The same message of the own queue has the same id whenever it is
    /// sent, also after a restart.
    pub(crate) fn id_for(&mut self, delivery: &Delivery) -> Option<u16> {
        if delivery.token == TOKEN_OWN {
            let id = 1 + (delivery.seq % OWN_IDS) as u16;
            return (!self.sent.contains_key(&id)).then_some(id);
        }
        let first = OWN_IDS as u16 + 1;
        // By place, as long as that is free: after a crash a client may remember an id that nobody else does, and take another
        // message for the one that it has.
        let by_place = first + (delivery.seq % (OWN_IDS + 1)) as u16;
        if !self.sent.contains_key(&by_place) {
            return Some(by_place);
        }
        let start = self.next_shared.max(first);
        let id = (start..=u16::MAX).chain(first..start).find(|id| !self.sent.contains_key(id))?;
        self.next_shared = id.checked_add(1).unwrap_or(first);
        Some(id)
    }

    /// Notes what was begun in an earlier connection.
    pub(crate) fn resume(&mut self, id: u16, published: Published) {
        self.sent.insert(id, Sent::Publish(published));
        self.again.push_back(id);
    }

    /// How many deliveries of earlier connections wait to be sent again.
    pub(crate) fn again_len(&self) -> usize {
        self.again.len()
    }

    /// The next of them.
    pub(crate) fn next_again(&mut self) -> Option<(u16, Arc<Queue>, Again)> {
        while let Some(id) = self.again.pop_front() {
            // The client may have answered what it got then.
            if let Some(Sent::Publish(Published { queue, again: Some(again), .. })) = self.sent.get(&id) {
                return Some((id, Arc::clone(queue), again.clone()));
            }
        }
        None
    }

    /// Notes what was sent.
    pub(crate) fn insert(&mut self, id: u16, sent: Sent) {
        self.sent.insert(id, sent);
    }

    /// What was sent with this id.
    pub(crate) fn get(&self, id: u16) -> Option<&Sent> {
        self.sent.get(&id)
    }

    /// It is done, if it is what `done` says.
    pub(crate) fn remove_if(&mut self, id: u16, done: impl FnOnce(&Sent) -> bool) -> Option<Sent> {
        match self.sent.entry(id) {
            Entry::Occupied(entry) if done(entry.get()) => Some(entry.remove()),
            _ => None,
        }
    }

    /// A delivery whose packet id is in use.
    pub(crate) fn wait(&mut self, delivery: Delivery) {
        self.waiting.push_back(delivery);
    }

    /// Whether something waits for its packet id.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What waits, if its packet id is free by now.
    pub(crate) fn next_waiting(&mut self) -> Option<(Delivery, u16)> {
        let place = (0..self.waiting.len()).find_map(|place| {
            let delivery = self.waiting.get(place)?;
            let id = if delivery.token == TOKEN_OWN {
                1 + (delivery.seq % OWN_IDS) as u16
            } else {
                return None;
            };
            (!self.sent.contains_key(&id)).then_some((place, id))
        });
        if let Some((place, id)) = place {
            return Some((self.waiting.remove(place)?, id));
        }
        // Of shared queues any free one will do.
        let place = self.waiting.iter().position(|delivery| delivery.token != TOKEN_OWN)?;
        let delivery = self.waiting.remove(place)?;
        match self.id_for(&delivery) {
            Some(id) => Some((delivery, id)),
            None => {
                self.waiting.insert(place, delivery);
                None
            }
        }
    }

    /// A delivery that has to be on stable storage before it is sent.
    pub(crate) fn wait_for_disk(&mut self, ticket: Ticket, delivery: Delivery) {
        self.undurable.push_back((ticket, delivery));
    }

    /// Whether something waits for the disk.
    pub(crate) fn awaits_disk(&self) -> bool {
        !self.undurable.is_empty()
    }

    /// What has waited for the disk, and need not any more.
    pub(crate) fn next_durable(&mut self, durable: Ticket) -> Option<Delivery> {
        let is_due = self.undurable.front().is_some_and(|(ticket, _)| *ticket <= durable);
        if is_due { self.undurable.pop_front().map(|(_, delivery)| delivery) } else { None }
    }

    /// Everything: what was sent, and what was not.
    pub(crate) fn take(&mut self) -> (Vec<(u16, Published)>, Vec<Delivery>) {
        self.again.clear();
        let sent = std::mem::take(&mut self.sent).into_iter().filter_map(|(id, sent)| match sent {
            Sent::Publish(published) => Some((id, published)),
            Sent::Released { .. } => None,
        });
        let undurable = std::mem::take(&mut self.undurable).into_iter().map(|(_, delivery)| delivery);
        (sent.collect(), std::mem::take(&mut self.waiting).into_iter().chain(undurable).collect())
    }

    /// Gives memory back; for when the connection is quiet.
    pub(crate) fn shrink(&mut self) {
        if self.sent.is_empty() && self.sent.capacity() > 0 {
            self.sent = HashMap::new();
        }
        if self.waiting.is_empty() && self.waiting.capacity() > 0 {
            self.waiting = VecDeque::new();
        }
        if self.again.is_empty() && self.again.capacity() > 0 {
            self.again = VecDeque::new();
        }
        if self.undurable.is_empty() && self.undurable.capacity() > 0 {
            self.undurable = VecDeque::new();
        }
    }
}
