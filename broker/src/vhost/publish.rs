//! The way in: a message is routed once, stored once, and put into each queue.

use std::sync::Arc;

use gantry_storage::{Append, JournalError, Position, Ref, Ticket};
use smallvec::SmallVec;

use super::VirtualHost;
use super::route::{Queues, Route};
use crate::error::Error;
use crate::inbox::Wakes;
use crate::message::{Message, Meta};
use crate::queue::{Admission, Arrival, Lease, Queue};

/// What became of a published message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// How many queues took it.
    pub routed: usize,
    /// How many queues had no room for it and did not take it: its publisher has to be told.
    pub refused: usize,
    /// It is on stable storage once the journal's watermark has reached this; none where there was nothing to store.
    pub durable: Option<Ticket>,
}

/// One queue's part in a message: its place there, whether the journal keeps it.
pub(super) struct Target<'a> {
    queue: &'a Arc<Queue>,
    seq: u64,
    stored: bool,
    /// The message that it has promised room to, or waits for at its place, until that has come.
    promised: Option<&'a Arc<Message>>,
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        if let Some(message) = self.promised.take() {
            self.queue.break_promise(message, self.seq);
        }
    }
}

/// The queues that a message goes to.
#[derive(Default)]
pub(super) struct Targets<'a> {
    taking: SmallVec<[Target<'a>; 4]>,
    /// What the journal is told, of those that keep it.
    pub(super) refs: Refs,
    /// Queues that had no room.
    pub(super) refused: usize,
}

pub(super) type Refs = SmallVec<[Ref; 4]>;

impl VirtualHost {
    /// Publishes a message: a plain function that only touches memory. `now_ms` is the time in milliseconds since the epoch
    /// of Unix; whoever reads many messages at once asks the clock once.
    ///
    /// # Errors
    /// The disk is full and the message would have to be stored: then no queue has it.
    pub fn publish(
        &self,
        route: &Route,
        message: &Arc<Message>,
        now_ms: u64,
        wakes: &mut Wakes,
    ) -> Result<Published, Error> {
        let mut walked = Queues::new();
        let queues = self.queues_of(route, message, &mut walked);
        let mut targets = targets_of(queues, message, true);
        let mut first = None;
        let mut durable = None;
        if !targets.refs.is_empty() {
            let meta = Meta { published_ms: now_ms, essentials: message.essentials() };
            let mut prefix = Prefix::new();
            let (prefix, meta) = prefix.fill(message, &meta);
            let record = Append { refs: &targets.refs, meta, payload: &[prefix, message.data()] };
            let appended = self.shared.journal.append(record)?;
            first = Some(appended.position);
            durable = Some(appended.ticket);
        }
        let arrival = Arrival { message, now_ms, ticket: durable };
        let refused = targets.refused;
        let routed = enqueue_all(&mut targets, arrival, first, wakes) + self.reply(route, message, wakes);
        Ok(Published { routed, refused, durable })
    }

    /// Carries out a transaction: everything in it is one record of the journal, so that after a crash all of it has
    /// happened or nothing. For each publish, how many queues it went to; and the ticket that all of it waits for. A queue
    /// that has no room does not take its message, and as in RabbitMQ nobody is told.
    ///
    /// # Errors
    /// The disk is full, or the transaction is larger than a record can be: then nothing has happened.
    pub fn commit_transaction(
        &self,
        transaction: &Transaction,
        now_ms: u64,
        wakes: &mut Wakes,
    ) -> Result<(Vec<usize>, Option<Ticket>), Error> {
        let mut walked: Vec<Queues> = transaction.publishes.iter().map(|_| Queues::new()).collect();
        let mut prepared = Vec::with_capacity(transaction.publishes.len());
        for ((route, message), walked) in transaction.publishes.iter().zip(&mut walked) {
            let targets = targets_of(self.queues_of(route, message, walked), message, true);
            let meta = Meta { published_ms: now_ms, essentials: message.essentials() };
            let mut prefix = Prefix::new();
            prefix.fill(message, &meta);
            prepared.push((targets, prefix));
        }
        let payloads: Vec<[&[u8]; 2]> = prepared
            .iter()
            .zip(&transaction.publishes)
            .map(|((_, prefix), (_, message))| [prefix.prefix.as_slice(), message.data()])
            .collect();
        let mut record = gantry_storage::Transaction::default();
        for ((targets, prefix), payload) in prepared.iter().zip(&payloads) {
            if !targets.refs.is_empty() {
                record.appends.push(Append { refs: &targets.refs, meta: &prefix.meta, payload });
            }
        }
        for (queue, leases) in &transaction.accepts {
            record.settles.extend(leases.iter().filter_map(|lease| queue.leased_position(*lease)));
        }
        let mut appended = Vec::new();
        let mut durable = None;
        if !record.appends.is_empty() || !record.settles.is_empty() {
            let (all, ticket) = self.shared.journal.transact(&record)?;
            appended = all;
            durable = Some(ticket);
        }
        let mut appended = appended.into_iter();
        let mut routed = Vec::with_capacity(prepared.len());
        for ((targets, _), (route, message)) in prepared.iter_mut().zip(&transaction.publishes) {
            let first = if targets.refs.is_empty() { None } else { appended.next().map(|appended| appended.position) };
            let queues =
                targets.refused + enqueue_all(targets, Arrival { message, now_ms, ticket: durable }, first, wakes);
            routed.push(queues + self.reply(route, message, wakes));
        }
        for (queue, leases) in &transaction.accepts {
            queue.settle_committed(leases, wakes);
        }
        Ok((routed, durable))
    }
}

impl VirtualHost {
    /// Hands a message to the requesters that it is for; how many took it.
    fn reply(&self, route: &Route, message: &Arc<Message>, wakes: &mut Wakes) -> usize {
        let mut taken = 0;
        for address in &route.replies {
            taken += usize::from(self.shared.replies.deliver(&self.name, address, message, wakes));
        }
        taken
    }
}

/// What a session gathered until it commits.
#[derive(Debug, Default)]
pub struct Transaction {
    /// Messages to publish, in order.
    pub publishes: Vec<(Arc<Route>, Arc<Message>)>,
    /// Deliveries that are done.
    pub accepts: Vec<(Arc<Queue>, Vec<Lease>)>,
}

/// The bytes that are stored in front of a message.
pub(super) struct Prefix {
    pub(super) prefix: SmallVec<[u8; 128]>,
    pub(super) meta: SmallVec<[u8; 24]>,
}

impl Prefix {
    pub(super) fn new() -> Self {
        Self { prefix: SmallVec::new(), meta: SmallVec::new() }
    }

    pub(super) fn fill(&mut self, message: &Message, meta: &Meta) -> (&[u8], &[u8]) {
        message.stored_prefix(meta, &mut self.prefix);
        self.meta = meta.encode(self.prefix.len(), message.head().len());
        (&self.prefix, &self.meta)
    }
}

impl Targets<'_> {
    /// No queue takes it.
    pub(super) fn is_empty(&self) -> bool {
        self.taking.is_empty()
    }
}

/// Asks the queues for room and gives the message a place in each that has some. `dead_letters`: what a queue does not take
/// goes where its rules say.
pub(super) fn targets_of<'a>(queues: &'a [Arc<Queue>], message: &'a Arc<Message>, dead_letters: bool) -> Targets<'a> {
    let mut targets = Targets::default();
    for queue in queues {
        let promised = match queue.admit(message, dead_letters) {
            Admission::Open => None,
            Admission::Promised => Some(message),
            Admission::Refused => {
                targets.refused += 1;
                continue;
            }
        };
        let stored = queue.keeps(message);
        let seq = queue.next_seq();
        if stored {
            targets.refs.push(Ref { lane: queue.lane(), seq });
        }
        targets.taking.push(Target { queue, seq, stored, promised });
    }
    targets
}

/// Puts a message into its queues. `first` is the position of the first reference of the record; each queue that keeps the
/// message has one, in the order of the targets. How many took it.
pub(super) fn enqueue_all(
    targets: &mut Targets<'_>,
    arrival: Arrival<'_>,
    first: Option<Position>,
    wakes: &mut Wakes,
) -> usize {
    let mut slot = 0;
    let mut routed = 0;
    for target in &mut targets.taking {
        let stored = if target.stored {
            let position = first.map(|first| Position { slot: first.slot + slot, ..first });
            slot += 1;
            position
        } else {
            None
        };
        let promised = target.promised.take().is_some();
        routed += usize::from(target.queue.enqueue(arrival, target.seq, stored, promised, wakes));
    }
    routed
}

impl From<JournalError> for Error {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Full => Self::Full,
            JournalError::TooLarge { limit, .. } => {
                Self::LimitReached { what: "the largest record of the journal, in bytes,", limit }
            }
            error => Self::Storage(error.to_string()),
        }
    }
}
