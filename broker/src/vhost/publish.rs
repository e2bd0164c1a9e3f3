//! The way in: a message is routed once, stored once, and put into each queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gantry_storage::{Append, Appended, JournalError, Position, Ref, Ticket};
use hashbrown::HashSet;
use smallvec::SmallVec;

use super::VirtualHost;
use super::aside::Aside;
use super::later::Again;
use super::once::in_turn;
use super::route::{Reached, Route, RouteCache};
use crate::error::{Error, Kind, Resource};
use crate::exchange::deduplication_key;
use crate::inbox::Wakes;
use crate::marks::{MarkPut, Marks};
use crate::message::{Message, Meta};
use crate::outbox::Letter;
use crate::queue::{Admission, Arrival, Claimed, Claiming, Kept, Lease, Offered, Place, Queue, resource};
use crate::schedule::Schedule;
use crate::shared::Shared;
use crate::window::{Claim, Open};

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
struct Target<'a> {
    queue: &'a Arc<Queue>,
    seq: u64,
    stored: bool,
    /// The message that it has promised room to, or waits for at its place, until that has come.
    promised: Option<&'a Arc<Message>>,
    /// Nothing else with its deduplication header comes into the queue from now on; until it has come, it may still not.
    claimed: bool,
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        if let Some(message) = self.promised.take() {
            self.queue.break_promise(message, self.seq);
        }
        if self.claimed {
            self.queue.release_claim(self.seq);
        }
    }
}

/// What becomes of a message that a queue has no room for, where the rules of the queue have it go on as a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It does not go on: whoever brings it keeps it, or gives it up.
    Ends,
    /// It goes on. Its publisher is told that it was not taken, so that nothing else need know of it after a crash.
    GoesOn,
    /// It goes on, and the record has it for the queue that refused it, if that is one that keeps it: nobody else has it any
    /// more.
    GoesOnStored,
}

/// How a message comes to queues.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coming {
    pub(super) now_ms: u64,
    pub(super) refusal: Refusal,
    /// It was published before, to other queues, and only goes on: what queues were sent lately says nothing of it.
    pub(super) goes_on: bool,
    /// It comes with others that have claims already. What has its deduplication id and is about to come may be one of them.
    pub(super) is_behind_claims: bool,
}

impl Coming {
    pub(super) const fn published(now_ms: u64, refusal: Refusal) -> Self {
        Self { now_ms, refusal, goes_on: false, is_behind_claims: false }
    }
}

/// The queues that a message goes to.
#[derive(Default)]
struct Targets<'a> {
    taking: SmallVec<[Target<'a>; 4]>,
    /// What the journal is told: first those of queues that keep it, then those of letters.
    refs: Refs,
    /// Queues that have it already, by its deduplication header.
    duplicates: usize,
    /// What those wait for that have it.
    duplicates_durable: Option<Ticket>,
    /// Lanes and places of those duplicates' originals that are about to come, and may be among what it comes with.
    pending: SmallVec<[(u64, u64); 1]>,
    /// Its place in what queues were sent lately.
    claims: Vec<Claim>,
    /// Stands for that header, where a queue asked for it.
    key: Option<u64>,
    /// Those that only have it handed on; see [`Queue::is_direct`].
    direct: &'a [Arc<Queue>],
    /// Queues that had no room.
    refused: usize,
    /// What some of those send on instead.
    letters: Vec<Letter>,
    /// So many of those, the first ones, are in the record.
    letters_stored: usize,
}

type Refs = SmallVec<[Ref; 4]>;

impl<'a> Targets<'a> {
    /// Asks a queue for room, and gives the message its place there if there is some.
    fn aim(
        &mut self,
        queue: &'a Arc<Queue>,
        message: &'a Arc<Message>,
        seq: u64,
        claim: Option<Kept>,
        refusal: Refusal,
    ) {
        let promised = match queue.admit(message, seq, refusal != Refusal::Ends) {
            Admission::Open => None,
            Admission::Promised => Some(message),
            Admission::Refused(letter) => {
                if let Some(Kept::Present) = claim {
                    queue.release_claim(seq);
                }
                self.refused += 1;
                self.letters.extend(letter);
                return;
            }
        };
        let claimed = match claim {
            None => false,
            Some(Kept::Present) => true,
            Some(Kept::Window(claim)) => {
                self.claims.push(claim);
                false
            }
        };
        let stored = queue.keeps(message);
        if stored {
            self.refs.push(Ref { lane: queue.lane(), seq });
        }
        self.taking.push(Target { queue, seq, stored, promised, claimed });
    }

    /// The record is written that has the message, and these parts of it are about its claims.
    fn keep_claims(&mut self, appended: Vec<Appended>, durable: Option<Ticket>) {
        if !self.claims.is_empty() {
            self.keep_claims_from(&mut appended.into_iter(), durable);
        }
    }

    fn keep_claims_from(&mut self, appended: &mut impl Iterator<Item = Appended>, durable: Option<Ticket>) {
        for claim in self.claims.drain(..) {
            let position = claim.append().and_then(|_| appended.next()).map(|appended| appended.position);
            claim.keep(position, durable);
        }
    }
}

/// What the journal said of a message, and then of what was written beside it.
pub(super) type Written = SmallVec<[Appended; 2]>;

/// A message that is sent to one queue.
pub(super) struct One<'a> {
    targets: Targets<'a>,
    message: &'a Arc<Message>,
    now_ms: u64,
}

impl<'a> One<'a> {
    /// Gives it a place. Whatever the message says of duplicates is not asked.
    pub(super) fn new(queue: &'a Arc<Queue>, message: &'a Arc<Message>, now_ms: u64) -> Self {
        let mut targets = Targets::default();
        targets.aim(queue, message, queue.next_seq(), None, Refusal::GoesOn);
        Self { targets, message, now_ms }
    }

    /// As [`One::new`], for a message that may say itself what it is a duplicate of.
    pub(super) fn asked(queue: &'a Arc<Queue>, message: &'a Arc<Message>, now_ms: u64) -> Self {
        let coming = Coming::published(now_ms, Refusal::GoesOn);
        Self { targets: targets_of(std::slice::from_ref(queue), message, coming), message, now_ms }
    }

    /// Its place; none where the queue has no room, or has it already.
    pub(super) fn seq(&self) -> Option<u64> {
        self.targets.taking.first().map(|target| target.seq)
    }

    /// Whether it is going to be stored.
    pub(super) fn is_stored(&self) -> bool {
        !self.targets.refs.is_empty()
    }

    /// The queue has no room.
    pub(super) fn is_refused(&self) -> bool {
        self.targets.refused > 0
    }

    /// Writes its record, if it is stored, in one with another one.
    pub(super) fn write(&self, shared: &Shared, beside: Option<Append<'_>>) -> Result<Written, Error> {
        if !self.is_stored() {
            return Ok(Written::new());
        }
        let meta = Meta { duplicate_key: self.targets.key, ..Meta::new(self.now_ms, self.message.essentials()) };
        let mut prefix = Prefix::new();
        let (prefix, meta) = prefix.fill(self.message, &meta);
        let payload: &[&[u8]] = &[prefix, self.message.data()];
        let append = Append { refs: &self.targets.refs, meta, payload };
        let claims = self.targets.claims.iter().filter_map(Claim::append);
        if beside.is_none() && self.targets.claims.is_empty() {
            return Ok(Written::from_elem(shared.journal.append(append)?, 1));
        }
        let appends = std::iter::once(append).chain(beside).chain(claims).collect();
        let (appended, _) = shared.journal.transact(&gantry_storage::Transaction { appends, settles: Vec::new() })?;
        Ok(Written::from_vec(appended))
    }

    /// Puts it into the queue. Its ticket, or that of the one that it is a duplicate of.
    ///
    /// # Errors
    /// The queue was deleted meanwhile.
    pub(super) fn arrive(mut self, appended: Written, wakes: &mut Wakes) -> Result<Option<Ticket>, Error> {
        let mut appended = appended.into_iter();
        let first = appended.next();
        let ticket = first.map(|first| first.ticket);
        self.targets.keep_claims_from(&mut appended, ticket);
        let arrival = Arrival { message: self.message, now_ms: self.now_ms, ticket, redelivered: false };
        let queue = self.targets.taking.first().map(|target| target.queue);
        let taken = enqueue_all(&mut self.targets, arrival, first.map(|first| first.position), wakes);
        match queue {
            Some(queue) if taken == 0 => Err(Error::NotFound(resource(queue.name(), queue.vhost()))),
            _ => Ok(ticket.max(self.targets.duplicates_durable)),
        }
    }
}

/// Writes a message and its claims as one record. What the message's part gave, and those of the claims.
#[cold]
fn append_with(
    shared: &Shared,
    message: Append<'_>,
    claims: &[Claim],
) -> Result<(Appended, Vec<Appended>), JournalError> {
    let appends = std::iter::once(message).chain(claims.iter().filter_map(Claim::append)).collect();
    let (appended, _) = shared.journal.transact(&gantry_storage::Transaction { appends, settles: Vec::new() })?;
    let mut appended = appended.into_iter();
    let first = appended.next().ok_or_else(|| JournalError::Failed("it has lost a record".to_owned()))?;
    Ok((first, appended.collect()))
}

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
        let mut reached = Reached::default();
        self.publish_reached(route, message, now_ms, None, &mut reached, wakes)
    }

    /// As [`VirtualHost::publish`] or, with a mark, [`VirtualHost::publish_marked`]. Notes where the message went, but for what
    /// the route says of that. Ordered exchanges take it when nobody else publishes to them.
    #[inline]
    pub(super) fn publish_reached(
        &self,
        route: &Route,
        message: &Arc<Message>,
        now_ms: u64,
        mark: Option<(&Arc<Marks>, u64)>,
        reached: &mut Reached,
        wakes: &mut Wakes,
    ) -> Result<Published, Error> {
        let mut publish = |route: &Route| {
            let to = self.queues_of(route, message, now_ms, reached);
            let mut published = self.deliver(to, message, now_ms, mark, wakes)?;
            published.routed += self.reply(route, message, wakes);
            Ok(published)
        };
        if route.is_ordered() { self.in_order(route, |route, _| publish(route)) } else { publish(route) }
    }

    /// As [`VirtualHost::publish`], and the record carries a mark: after a crash either the message is where it goes and the
    /// number in its set, or neither is. Where nothing is stored for the message, the mark is stored all the same. Where the set
    /// has the number, nothing happens but that the ticket is told which that mark waits for.
    ///
    /// # Errors
    /// As there; and the set is full. Then the number is not in it.
    pub fn publish_marked(
        &self,
        route: &Route,
        message: &Arc<Message>,
        now_ms: u64,
        marks: &Arc<Marks>,
        number: u64,
        wakes: &mut Wakes,
    ) -> Result<Published, Error> {
        let mut reached = Reached::default();
        // Whoever asked twice at once is told below, by the lock of the set.
        if let Some(ticket) = marks.ticket(number) {
            return Ok(Published { routed: 0, refused: 0, durable: Some(ticket) });
        }
        self.publish_reached(route, message, now_ms, Some((marks, number)), &mut reached, wakes)
    }

    /// Publishes to one queue, whatever is bound. Its exchange and key stay those of the message. Where the queue was deleted,
    /// or its row is still on its way to the disk, nobody takes it.
    ///
    /// # Errors
    /// As [`VirtualHost::publish`].
    pub fn publish_to_queue(
        &self,
        queue: &Arc<Queue>,
        message: &Arc<Message>,
        now_ms: u64,
        wakes: &mut Wakes,
    ) -> Result<Published, Error> {
        let queues = if queue.is_visible() { std::slice::from_ref(queue) } else { &[] };
        self.deliver((queues, None), message, now_ms, None, wakes)
    }

    /// Puts a message into a queue that it was published to before, or would have been: the record carries a mark, as in
    /// [`VirtualHost::publish_marked`]. What the queue was sent lately says nothing of it. Where the queue has no room it is told
    /// so, and no mark is put.
    ///
    /// # Errors
    /// As [`VirtualHost::publish_marked`].
    pub(crate) fn forward(
        &self,
        queue: &Arc<Queue>,
        message: &Arc<Message>,
        now_ms: u64,
        (marks, number): (&Arc<Marks>, u64),
        wakes: &mut Wakes,
    ) -> Result<Published, Error> {
        if let Some(ticket) = marks.ticket(number) {
            return Ok(Published { routed: 0, refused: 0, durable: Some(ticket) });
        }
        let coming = Coming { goes_on: true, ..Coming::published(now_ms, Refusal::Ends) };
        let queues = std::slice::from_ref(queue);
        self.deliver_as(coming, (queues, None), message, Some((marks, number)), wakes)
    }

    /// Publishes what the broker's own parts have to say, to the message's exchange: internal ones take it. The cache is one
    /// that nothing else is published with, since it lets through what clients are refused.
    ///
    /// # Errors
    /// As [`VirtualHost::publish`]; the exchange does not exist.
    pub fn publish_internally(
        &self,
        cache: &mut RouteCache,
        message: &Arc<Message>,
        now_ms: u64,
        wakes: &mut Wakes,
    ) -> Result<Published, Error> {
        let address = message.address();
        let route = self.route_internally(cache, &address.exchange, &address.routing_key).ok_or_else(|| {
            let (name, vhost) = (Arc::clone(&address.exchange), Arc::clone(&self.name));
            Error::NotFound(Resource { kind: Kind::Exchange, name, vhost })
        })?;
        self.publish(&route, message, now_ms, wakes)
    }

    #[inline]
    pub(super) fn deliver(
        &self,
        (queues, aside): (&[Arc<Queue>], Option<&mut Aside>),
        message: &Arc<Message>,
        now_ms: u64,
        mark: Option<(&Arc<Marks>, u64)>,
        wakes: &mut Wakes,
    ) -> Result<Published, Error> {
        let coming = Coming::published(now_ms, Refusal::GoesOn);
        self.deliver_as(coming, (queues, aside), message, mark, wakes)
    }

    /// As [`VirtualHost::deliver`], and how it comes.
    #[inline]
    pub(super) fn deliver_as(
        &self,
        coming: Coming,
        (queues, aside): (&[Arc<Queue>], Option<&mut Aside>),
        message: &Arc<Message>,
        mark: Option<(&Arc<Marks>, u64)>,
        wakes: &mut Wakes,
    ) -> Result<Published, Error> {
        let now_ms = coming.now_ms;
        let mut targets = targets_of(queues, message, coming);
        if targets.refused > 0 && coming.goes_on {
            // Whoever brings it comes again.
            return Ok(Published { routed: 0, refused: targets.refused, durable: None });
        }
        let mut first = None;
        let mut durable = None;
        let mut meta = Meta { duplicate_key: targets.key, ..Meta::new(now_ms, message.essentials()) };
        let kept = targets.refs.len() as u32;
        if let Some(aside) = &aside {
            aside.add_refs(&mut targets.refs, &mut meta);
        }
        let claims = &targets.claims;
        let mut claimed = Vec::new();
        let mut record = |refs: &[Ref]| {
            let mut prefix = Prefix::new();
            let (prefix, meta) = prefix.fill(message, &meta);
            let payload: &[&[u8]] = &[prefix, message.data()];
            let append = Append { refs, meta, payload };
            if claims.is_empty() {
                return self.shared.journal.append(append);
            }
            let first;
            (first, claimed) = append_with(&self.shared, append, claims)?;
            Ok(first)
        };
        if let Some((marks, number)) = mark {
            // Nobody else has the message stored: it need not wait in the journal until the mark goes.
            let put = match targets.refs.is_empty() {
                true => marks.put_alone(number)?,
                false => marks.put_with(number, &mut targets.refs, record)?,
            };
            match put {
                MarkPut::New { first: position, ticket } => (first, durable) = (position, Some(ticket)),
                MarkPut::Known(ticket) => {
                    return Ok(Published { routed: 0, refused: 0, durable: Some(ticket) });
                }
            }
        } else if !targets.refs.is_empty() {
            let appended = record(&targets.refs)?;
            first = Some(appended.position);
            durable = Some(appended.ticket);
        }
        targets.keep_claims(claimed, durable);
        let arrival = Arrival { message, now_ms, ticket: durable, redelivered: false };
        let refused = targets.refused;
        let routed = enqueue_all(&mut targets, arrival, first, wakes);
        durable = durable.max(targets.duplicates_durable);
        if let Some(aside) = aside {
            durable = durable.max(aside.published(&self.shared, behind(first, kept)));
        }
        Ok(Published { routed, refused, durable })
    }

    /// Carries out a transaction: everything in it is one record of the journal, so that after a crash all of it has
    /// happened or nothing. For each publish, how many queues it went to; and the ticket that all of it waits for.
    ///
    /// # Errors
    /// The disk is full, a queue refuses a message because it is full itself, or the transaction is larger than a record can
    /// be: then nothing has happened.
    pub fn commit_transaction(
        &self,
        transaction: &Transaction,
        now_ms: u64,
        wakes: &mut Wakes,
    ) -> Result<(Vec<usize>, Option<Ticket>), Error> {
        // All of them before any place is claimed: who waits for a claim must not have to wait for these, too.
        let ordered = transaction.publishes.iter().filter(|(route, _)| route.is_ordered());
        let windows = in_turn(ordered.flat_map(|(route, _)| route.windows()));
        let _open: SmallVec<[Open<'_>; 1]> = windows.iter().map(|window| window.open()).collect();
        let mut newer = Vec::new();
        if !windows.is_empty() {
            let found = transaction.publishes.iter().map(|(route, _)| self.newer(route));
            newer = found.collect::<Result<Vec<_>, _>>()?;
        }
        let newest = |at: usize, route| newer.get(at).and_then(Option::as_ref).unwrap_or(route);
        let mut reached: Vec<Reached> = transaction.publishes.iter().map(|_| Reached::default()).collect();
        let mut prepared = Vec::with_capacity(transaction.publishes.len());
        let mut claimed = ClaimedPlaces::default();
        for (at, ((route, message), reached)) in transaction.publishes.iter().zip(&mut reached).enumerate() {
            let (queues, aside) = self.queues_of(newest(at, route), message, now_ms, reached);
            let coming = Coming { is_behind_claims: !claimed.is_empty(), ..Coming::published(now_ms, Refusal::Ends) };
            let one = Prepared::new(queues, aside, message, coming);
            if one.refused() > 0 || !claimed.has_pending_of(&one) {
                return Err(Error::TransactionRefused);
            }
            claimed.add(&one);
            prepared.push(one);
        }
        let payloads: Vec<[&[u8]; 2]> = prepared
            .iter()
            .zip(&transaction.publishes)
            .map(|(prepared, (_, message))| [prepared.prefix.prefix.as_slice(), message.data()])
            .collect();
        let mut record = gantry_storage::Transaction::default();
        for (prepared, payload) in prepared.iter().zip(&payloads) {
            record.appends.extend(prepared.append(payload));
            record.appends.extend(prepared.claims());
        }
        let later: Vec<Again> = transaction
            .later
            .iter()
            .map(|(_, message, schedule)| {
                Again::new(self.schedules(), message, schedule, schedule.first_ms(now_ms), now_ms)
            })
            .collect();
        let later_payloads: Vec<[&[u8]; 2]> = later.iter().map(Again::payload).collect();
        record.appends.extend(later.iter().zip(&later_payloads).map(|(again, payload)| again.append(payload)));
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
        drop(record);
        drop((payloads, later_payloads));
        let mut appended = appended.into_iter();
        let mut routed = Vec::with_capacity(prepared.len());
        for (prepared, (route, message)) in prepared.iter_mut().zip(&transaction.publishes) {
            let arrival = Arrival { message, now_ms, ticket: durable, redelivered: false };
            let (taken, ticket) = prepared.arrive(&self.shared, arrival, &mut appended, wakes);
            routed.push(taken + self.reply(route, message, wakes));
            durable = durable.max(ticket);
        }
        later.iter().zip(appended).for_each(|(again, appended)| again.stored(appended));
        for (queue, leases) in &transaction.accepts {
            queue.settle_committed(leases, wakes);
        }
        Ok((routed, durable))
    }
}

impl VirtualHost {
    /// Hands a message to the requesters that it is for; how many took it.
    pub(super) fn reply(&self, route: &Route, message: &Arc<Message>, wakes: &mut Wakes) -> usize {
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
    /// Messages to publish for later: see [`VirtualHost::publish_later`].
    pub later: Vec<(Arc<Route>, Arc<Message>, Schedule)>,
}

/// One of several messages that are published together.
pub(super) struct Prepared<'a> {
    targets: Targets<'a>,
    /// References of queues and letters, which come first.
    kept: u32,
    pub(super) prefix: Prefix,
    aside: Option<&'a mut Aside>,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(
        queues: &'a [Arc<Queue>],
        aside: Option<&'a mut Aside>,
        message: &'a Arc<Message>,
        coming: Coming,
    ) -> Self {
        let mut targets = targets_of(queues, message, coming);
        let kept = targets.refs.len() as u32;
        let mut meta = Meta { duplicate_key: targets.key, ..Meta::new(coming.now_ms, message.essentials()) };
        if let Some(aside) = &aside {
            aside.add_refs(&mut targets.refs, &mut meta);
        }
        let mut prefix = Prefix::new();
        prefix.fill(message, &meta);
        Self { targets, kept, prefix, aside }
    }

    /// Queues that had no room.
    pub(super) fn refused(&self) -> usize {
        self.targets.refused
    }

    /// Its part of the record, where it is stored at all.
    pub(super) fn append<'s>(&'s self, payload: &'s [&'s [u8]; 2]) -> Option<Append<'s>> {
        let (refs, meta) = (&self.targets.refs, &self.prefix.meta);
        (!refs.is_empty()).then_some(Append { refs, meta, payload })
    }

    /// What is written beside it of its place in what queues were sent lately: behind its own part.
    pub(super) fn claims(&self) -> impl Iterator<Item = Append<'_>> {
        self.targets.claims.iter().filter_map(Claim::append)
    }

    /// Puts it where it goes, now that the record is written. How many queues took it, and what else has to be durable.
    pub(super) fn arrive(
        &mut self,
        shared: &Shared,
        arrival: Arrival<'_>,
        appended: &mut impl Iterator<Item = Appended>,
        wakes: &mut Wakes,
    ) -> (usize, Option<Ticket>) {
        let stored = !self.targets.refs.is_empty();
        let first = if stored { appended.next().map(|appended| appended.position) } else { None };
        self.targets.keep_claims_from(appended, arrival.ticket);
        let routed = enqueue_all(&mut self.targets, arrival, first, wakes);
        let ticket = self.targets.duplicates_durable;
        let aside = self.aside.as_mut().and_then(|aside| aside.published(shared, behind(first, self.kept)));
        (routed, ticket.max(aside))
    }
}

/// What messages that are published together have claimed: lanes of queues, and places there.
#[derive(Debug, Default)]
pub(super) struct ClaimedPlaces(HashSet<(u64, u64)>);

impl ClaimedPlaces {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all that a message is a duplicate of and that is about to come is among these.
    pub(super) fn has_pending_of(&self, one: &Prepared<'_>) -> bool {
        one.targets.pending.iter().all(|place| self.0.contains(place))
    }

    pub(super) fn add(&mut self, one: &Prepared<'_>) {
        if !one.targets.claims.is_empty() {
            self.0.extend(one.targets.taking.iter().map(|target| (target.queue.lane(), target.seq)));
        }
    }
}

/// The position so many references behind the first one of a record.
fn behind(first: Option<Position>, refs: u32) -> Option<Position> {
    first.map(|first| Position { slot: first.slot + refs, ..first })
}

/// The bytes that are stored in front of a message.
pub(super) struct Prefix {
    pub(super) prefix: SmallVec<[u8; 128]>,
    meta: SmallVec<[u8; 24]>,
}

impl Prefix {
    fn new() -> Self {
        Self { prefix: SmallVec::new(), meta: SmallVec::new() }
    }

    fn fill(&mut self, message: &Message, meta: &Meta) -> (&[u8], &[u8]) {
        message.stored_prefix(meta, &mut self.prefix);
        self.meta = meta.encode(self.prefix.len(), message.head().len());
        (&self.prefix, &self.meta)
    }
}

/// Asks the queues for room and gives the message a place in each that has some. What a queue does not take goes on when the
/// message is put into the others.
fn targets_of<'a>(queues: &'a [Arc<Queue>], message: &'a Arc<Message>, coming: Coming) -> Targets<'a> {
    let mut targets = Targets::default();
    for (index, queue) in queues.iter().enumerate() {
        if queue.is_direct() {
            // They stand last, and there is nothing to be asked of them.
            targets.direct = &queues[index..];
            break;
        }
        let seq = queue.next_seq();
        let mut claim = None;
        if queue.deduplicates() {
            targets.key = targets.key.or_else(|| deduplication_key(message.properties()));
            let claimed = targets.key.and_then(|key| {
                queue.claim(Claiming {
                    key,
                    group: message.essentials().group,
                    seq,
                    now_ms: coming.now_ms,
                    stored: queue.keeps(message),
                    goes_on: coming.goes_on,
                    may_wait: targets.claims.is_empty() && !coming.is_behind_claims,
                })
            });
            match claimed {
                None => {}
                Some(Claimed::New(new)) => claim = Some(new),
                Some(Claimed::Duplicate(durable)) => {
                    targets.duplicates += 1;
                    targets.duplicates_durable = targets.duplicates_durable.max(durable);
                    continue;
                }
                Some(Claimed::Pending(first)) if coming.is_behind_claims => {
                    targets.duplicates += 1;
                    targets.pending.push((queue.lane(), first));
                    continue;
                }
                // Somebody else's is about to come, and may not: it must not be taken for this one.
                Some(Claimed::Pending(_) | Claimed::Full) => {
                    targets.refused += 1;
                    continue;
                }
            }
        }
        targets.aim(queue, message, seq, claim, coming.refusal);
    }
    let refusal = coming.refusal;
    if refusal == Refusal::GoesOnStored {
        // Asked once: what a queue keeps may change at any time.
        let (stored, others): (Vec<_>, _) = targets.letters.into_iter().partition(|letter| letter.queue.keeps(message));
        let reference = |letter: &Letter| Ref { lane: letter.queue.refusals_lane(), seq: letter.entry.seq };
        targets.refs.extend(stored.iter().map(reference));
        targets.letters_stored = stored.len();
        targets.letters = stored;
        targets.letters.extend::<Vec<_>>(others);
    }
    targets
}

/// Puts a message into its queues. `first` is the position of the first reference of the record; each queue that keeps the
/// message has one, in the order of the targets, and then each letter that is stored. How many took it.
fn enqueue_all(targets: &mut Targets<'_>, arrival: Arrival<'_>, first: Option<Position>, wakes: &mut Wakes) -> usize {
    let mut slot = 0;
    let mut routed = targets.duplicates;
    for target in &mut targets.taking {
        let stored = if target.stored {
            let position = behind(first, slot);
            slot += 1;
            position
        } else {
            None
        };
        let promised = target.promised.take().is_some();
        target.claimed = false;
        routed += usize::from(target.queue.enqueue(arrival, target.seq, stored, promised, wakes));
    }
    if let Some(first) = targets.direct.first() {
        routed += offer_all(first.shared(), targets.direct, arrival, wakes);
    }
    if let Some(letter) = targets.letters.first() {
        let shared = Arc::clone(letter.queue.shared());
        for (index, Letter { entry, .. }) in targets.letters.iter_mut().enumerate() {
            entry.redelivered = arrival.redelivered;
            if index < targets.letters_stored {
                entry.position = behind(first, slot).map_or(Place::NONE, Place::from);
                slot += 1;
            }
        }
        shared.outbox.push(std::mem::take(&mut targets.letters));
    }
    routed
}

/// Hands a message to the connections of direct queues. How many queues there are: one that has no room has it all the same,
/// and loses it.
fn offer_all(shared: &Shared, queues: &[Arc<Queue>], arrival: Arrival<'_>, wakes: &mut Wakes) -> usize {
    let (mut there, mut dropped) = (0, 0);
    for queue in queues {
        let offered = queue.offer(arrival, wakes);
        there += usize::from(offered != Offered::Closed);
        dropped += u64::from(offered == Offered::Dropped);
    }
    if dropped > 0 {
        shared.dropped.fetch_add(dropped, Ordering::Relaxed);
    }
    there
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
