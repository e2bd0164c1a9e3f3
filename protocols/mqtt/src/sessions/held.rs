//! The session in the hands of a connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gantry_broker::message::now_ms;
use gantry_broker::{
    ConsumerOptions, Credit, Error, Inbox, Marks, Message, Outlet, Pending, Queue, SharedCredit,
    Subscription as Consumer, VirtualHost, Wakes,
};

use super::groups::{Member, Membership, member_qos, shared_queue_name};
use super::kept::Kept;
use super::place::{Place, Signals};
use super::queues::{Bound, define_own, direct_queue_name, end_queue, exchange_of, is_system, own_queue_name};
use super::registry::Sessions;
use super::{End, OpenRequest};
use crate::codec::packet::QoS;
use crate::retained::RetainedWork;
use crate::subscriptions::{Subscription, Subscriptions, TOKEN_DIRECT, TOKEN_OWN, TOKEN_SHARED_FIRST};

/// Packet ids of the session's own queue: as many of its messages can be under way.
const OWN_IDS: u32 = 32_767;
/// Packet ids of all shared queues.
const SHARED_IDS: u32 = 32_768;

/// A session, held by one connection. Dropping it counts as a lost connection, unless [`Held::close`] says something else.
///
/// Whoever lets go of it first calls [`Held::stop`] and gives back the leases that are left; then nobody who comes
/// after misses a message, or gets one out of order.
pub(crate) struct Held {
    pub(super) sessions: Arc<Sessions>,
    pub(super) place: Arc<Place>,
    signals: Arc<Signals>,
    pub(super) vhost: Arc<VirtualHost>,
    pub(super) connection: u64,
    inbox: Arc<Inbox>,
    credit: Arc<SharedCredit>,
    pub(super) kept: Box<Kept>,
    own: Option<Consumer>,
    shared: Vec<(u64, Consumer)>,
    direct: bool,
    direct_name: Box<str>,
    next_token: u64,
    /// The client has been told that it has the session, or is about to be.
    is_open: bool,
    end: End,
    /// Retained messages that are still to be sent.
    pub(crate) retained: RetainedWork,
}

impl Held {
    pub(super) fn new(
        sessions: &Arc<Sessions>,
        place: Arc<Place>,
        signals: Arc<Signals>,
        vhost: &Arc<VirtualHost>,
        request: &OpenRequest<'_>,
        kept: Box<Kept>,
    ) -> Self {
        sessions.numbers.connected.fetch_add(1, Ordering::Relaxed);
        Self {
            sessions: Arc::clone(sessions),
            place,
            signals,
            vhost: Arc::clone(vhost),
            connection: request.session.connection(),
            inbox: Arc::clone(&request.inbox),
            credit: Arc::clone(&request.credit),
            kept,
            own: None,
            shared: Vec::new(),
            direct: false,
            direct_name: direct_queue_name(request.client_id).into(),
            next_token: TOKEN_SHARED_FIRST,
            is_open: false,
            end: End::Lost,
            retained: RetainedWork::default(),
        }
    }

    /// What another connection of the same client has to say: see [`Signals::wanted`] and [`Signals::cut`].
    pub(crate) fn signals(&self) -> &Arc<Signals> {
        &self.signals
    }

    /// The subscriptions, to be matched at delivery.
    pub(crate) fn subscriptions_mut(&mut self) -> &mut Subscriptions {
        &mut self.kept.subscriptions
    }

    /// The session's own queue, where it has one: its deliveries come with the token [`TOKEN_OWN`].
    pub(crate) fn queue(&self) -> Option<&Arc<Queue>> {
        self.kept.queue.as_ref()
    }

    /// The packet ids that must not be forgotten; in memory only for a session that ends with its connection.
    pub(crate) fn marks(&self) -> &Arc<Marks> {
        &self.kept.marks
    }

    /// How long the session stays without a connection, in seconds, as the client says when it leaves. Only for a client that
    /// has asked for more than 0 before (3.14.2.2.2).
    pub(crate) fn set_expiry(&mut self, expiry_s: u32) {
        self.kept.expiry_s = expiry_s.min(self.sessions.settings.expiry_s_max);
    }

    /// What the broker says of itself, now, for a filter of `$SYS`; none for other filters.
    pub(crate) fn system_retained(&self, filter: &str) -> Option<Vec<Arc<Message>>> {
        is_system(filter).then(|| self.sessions.system_snapshot(filter))
    }

    /// How long the session stays without a connection, in seconds.
    pub(crate) fn expiry_s(&self) -> u32 {
        self.kept.expiry_s
    }

    /// Says that the connection has room again: to the consumers of all queues.
    pub(crate) fn resume(&self, wakes: &mut Wakes) {
        for consumer in self.own.iter().chain(self.shared.iter().map(|(_, consumer)| consumer)) {
            consumer.resume(wakes);
        }
    }

    /// Nothing more is put into the inbox by the queues that have leases. What is in there, and what the client has, is to be
    /// given back before the session is let go.
    pub(crate) fn stop(&mut self) {
        if let Some(own) = self.own.take() {
            own.leave();
        }
        for (_, consumer) in self.shared.drain(..) {
            consumer.leave();
        }
    }

    /// Lets the session go.
    pub(crate) fn close(mut self, end: End) {
        self.end = end;
    }

    /// Whoever has it now has been told so, or is about to be.
    pub(super) fn set_open(&mut self) {
        self.is_open = true;
    }

    /// The row has not got to the disk.
    pub(super) fn forget_written(&mut self) {
        self.kept.forget_written();
    }

    pub(super) fn write_row(&mut self) -> Result<Pending, Error> {
        self.kept.write(&self.sessions.broker, &self.place.id)
    }

    /// Has everything lead to this connection that was subscribed to before, and makes what somebody has deleted meanwhile.
    pub(super) async fn prepare(&mut self) -> Result<(), Error> {
        let all: Vec<Subscription> = self.kept.subscriptions.iter().cloned().collect();
        let plain = |queued: bool| all.iter().filter(move |one| one.group.is_none() && queued == one.is_queued());
        let mut waits = Vec::new();
        if self.kept.survives {
            let (marks, pending) = self.vhost.marks(&own_queue_name(&self.place.id.client))?;
            self.kept.marks = marks;
            waits.push(pending);
        }
        if plain(true).next().is_some() || self.kept.queue.is_some() {
            let is_there = self.find_queue();
            waits.push(self.make_queue()?);
            if !is_there {
                for subscription in plain(true) {
                    waits.push(self.own_bound(&subscription.filter).bind()?);
                }
            }
        }
        for subscription in plain(false) {
            self.open_direct()?;
            waits.push(self.direct_bound(&subscription.filter).bind()?);
        }
        for subscription in all.iter().filter(|one| one.group.is_some()) {
            waits.extend(self.join(subscription)?.1);
        }
        for pending in waits {
            pending.wait().await?;
        }
        Ok(())
    }

    /// Starts to consume from all queues of the session. What was under way when it was last held comes again first.
    pub(crate) fn start(&mut self, wakes: &mut Wakes) {
        if let Err(error) = self.consume_own(wakes) {
            tracing::warn!(client = &*self.place.id.client, %error, "the queue of a session cannot be consumed");
        }
        let shared: Vec<_> = self.kept.subscriptions.iter().filter(|one| one.group.is_some()).cloned().collect();
        for subscription in shared {
            let filter = subscription.filter.clone();
            if let Err(error) = self.consume_shared(subscription, wakes) {
                tracing::warn!(client = &*self.place.id.client, filter = &*filter, %error, "a shared queue cannot be consumed");
            }
        }
    }

    /// A queue was deleted under its consumer: it delivers nothing more. It is made again when the session is resumed.
    pub(crate) fn lost_queue(&mut self, token: u64) {
        match token {
            TOKEN_OWN => self.own = None,
            TOKEN_DIRECT => self.direct = false,
            token => self.shared.retain(|(other, _)| *other != token),
        }
    }

    /// Whether the session's own queue is still there; somebody else may have deleted it.
    fn find_queue(&self) -> bool {
        let Some(queue) = &self.kept.queue else { return false };
        self.vhost.queue(queue.name(), self.connection).is_ok_and(|found| Arc::ptr_eq(&found, queue))
    }

    /// Makes the session's own queue where there is none.
    pub(super) fn make_queue(&mut self) -> Result<Pending, Error> {
        let name = own_queue_name(&self.place.id.client);
        let (queue, pending) = define_own(&self.vhost, &name, self.kept.survives, self.connection)?;
        self.kept.queue = Some(queue);
        Ok(pending)
    }

    /// Starts to consume from the session's own queue, if it has one that is there.
    pub(super) fn consume_own(&mut self, wakes: &mut Wakes) -> Result<(), Error> {
        let Some(queue) = &self.kept.queue else { return Ok(()) };
        if self.own.as_ref().is_some_and(|own| Arc::ptr_eq(own.queue(), queue)) {
            return Ok(());
        }
        if !self.find_queue() {
            // The disk had no room for its row.
            self.kept.queue = None;
            return Ok(());
        }
        self.own = Some(self.vhost.subscribe(queue, self.outlet(TOKEN_OWN), consumer_options(OWN_IDS), wakes)?);
        Ok(())
    }

    pub(super) fn open_direct(&mut self) -> Result<(), Error> {
        if !self.direct {
            self.vhost.open_direct(&self.direct_name, self.outlet(TOKEN_DIRECT), self.connection)?;
            self.direct = true;
        }
        Ok(())
    }

    /// The consumer of a shared queue.
    pub(super) fn shared_token(&self, queue: &Arc<Queue>) -> Option<u64> {
        self.shared.iter().find(|(_, consumer)| Arc::ptr_eq(consumer.queue(), queue)).map(|(token, _)| *token)
    }

    fn join(&self, subscription: &Subscription) -> Result<(Arc<Queue>, [Pending; 2]), Error> {
        let name = shared_queue_name(subscription.group.as_deref().unwrap_or_default(), &subscription.filter);
        let of = Membership { vhost: &self.vhost, name: &name, client: &self.place.id.client };
        let exchange = exchange_of(&self.sessions.settings, &subscription.filter);
        let pattern = crate::topics::key(&subscription.filter);
        let member = Member::new(subscription, self.kept.expiry_s);
        self.sessions.groups.join(&of, member, (exchange, &pattern))
    }

    /// Makes the session a member of a group, and consumes for it. The subscription is in the list from then on.
    pub(super) fn consume_shared(
        &mut self,
        mut subscription: Subscription,
        wakes: &mut Wakes,
    ) -> Result<[Pending; 2], Error> {
        let (queue, pending) = self.join(&subscription)?;
        subscription.token = match self.shared_token(&queue) {
            Some(token) => token,
            None => {
                let token = self.next_token;
                let options = consumer_options(SHARED_IDS);
                match self.vhost.subscribe(&queue, self.outlet(token), options, wakes) {
                    Ok(consumer) => self.shared.push((token, consumer)),
                    Err(error) => {
                        self.leave_shared(&subscription);
                        return Err(error);
                    }
                }
                self.next_token += 1;
                token
            }
        };
        self.kept.subscriptions.insert(subscription);
        Ok(pending)
    }

    /// Makes the session leave a group.
    pub(super) fn leave_shared(&mut self, subscription: &Subscription) {
        if let Some(at) = self.shared.iter().position(|(token, _)| *token == subscription.token) {
            self.shared.swap_remove(at).1.leave();
        }
        let name = shared_queue_name(subscription.group.as_deref().unwrap_or_default(), &subscription.filter);
        let of = Membership { vhost: &self.vhost, name: &name, client: &self.place.id.client };
        self.sessions.groups.leave(&of);
    }

    pub(super) fn own_bound<'a>(&'a self, filter: &'a str) -> Bound<'a> {
        let queue = self.kept.queue.as_ref().map_or("", |queue| queue.name());
        self.bound(queue, filter)
    }

    pub(super) fn direct_bound<'a>(&'a self, filter: &'a str) -> Bound<'a> {
        self.bound(&self.direct_name, filter)
    }

    fn bound<'a>(&'a self, queue: &'a str, filter: &'a str) -> Bound<'a> {
        Bound { vhost: &self.vhost, settings: &self.sessions.settings, queue, filter, connection: self.connection }
    }

    fn outlet(&self, token: u64) -> Outlet {
        Outlet { inbox: Arc::clone(&self.inbox), token, shared_credit: Some(Arc::clone(&self.credit)) }
    }

    fn release(&mut self) {
        self.stop();
        if self.direct {
            end_queue(&self.vhost, &self.direct_name, self.connection);
        }
        let idle = Kept::new(super::kept::Owner::Named(Arc::from("")), 0);
        let mut kept = std::mem::replace(&mut self.kept, Box::new(idle));
        // Who was never told that the connection stands has left no will.
        if !self.is_open || self.end == End::Normal {
            kept.will = None;
        }
        let now_ms = now_ms();
        kept.disconnected_ms = Some(now_ms);
        kept.noted = false;
        kept.subscriptions.forget();
        let (sessions, id) = (Arc::clone(&self.sessions), &self.place.id);
        sessions.numbers.connected.fetch_sub(1, Ordering::Relaxed);
        if kept.expiry_s == 0 {
            sessions.end(&self.vhost, id, *kept);
            return sessions.give_back(&self.place, None);
        }
        if kept.will_due_ms().is_some_and(|due_ms| due_ms <= now_ms)
            && let Some(will) = kept.will.take()
        {
            sessions.publish_will(&self.vhost, id, &kept.user, &will);
        }
        // Without a connection a member of QoS 0 gets nothing.
        for subscription in kept.subscriptions.iter() {
            if let Some(group) = &subscription.group
                && member_qos(subscription) == QoS::AtMostOnce
            {
                let name = shared_queue_name(group, &subscription.filter);
                sessions.groups.leave(&Membership { vhost: &self.vhost, name: &name, client: &id.client });
            }
        }
        if kept.will_written && kept.will.is_none() {
            // It has been published, or must not be.
            sessions.write_unawaited(id, &mut kept);
        }
        sessions.give_back(&self.place, Some(kept));
    }
}

fn consumer_options(window: u32) -> ConsumerOptions {
    ConsumerOptions { credit: Credit::Window(window), acknowledges: true, exclusive: false, priority: 0 }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("client_id", &self.place.id.client).finish_non_exhaustive()
    }
}
