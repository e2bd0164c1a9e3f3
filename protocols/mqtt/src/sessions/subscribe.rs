//! Subscribing and unsubscribing (3.8, 3.10).
//!
//! Rights are those that RabbitMQ asks for: to make, bind and read the session's queue, whichever queue it is that a QoS needs
//! here, to read the exchange, and to read the topic.

use gantry_broker::rights::{Access, TopicAccess};
use gantry_broker::{Error, Kind, Pending, Session, Wakes};
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::groups::shared_queue_name;
use super::held::Held;
use super::queues::{exchange_of, own_queue_name};
use super::rows::{self, SubscriptionRow};
use crate::codec::packet::{Filter, SubscribeOptions};
use crate::codec::reason::Reason;
use crate::subscriptions::{Subscription, wants_retained};
use crate::topics;

/// The answer to SUBSCRIBE.
#[derive(Debug, Default)]
pub(crate) struct Subscribed {
    /// One for each filter: the granted QoS, or why not.
    pub(crate) reasons: SmallVec<[Reason; 4]>,
    /// Subscriptions that want retained messages, which go behind SUBACK: for
    /// [`RetainedWork::add`](crate::retained::RetainedWork::add).
    pub(crate) retained: Vec<Subscription>,
}

/// A SUBSCRIBE on its way to the disk.
#[derive(Debug, Default)]
struct Subscribing {
    reasons: SmallVec<[Reason; 4]>,
    changes: Vec<Change>,
}

impl Subscribing {
    /// Waits until all of it is on stable storage, as far as the session is.
    async fn wait(&mut self) {
        for change in &mut self.changes {
            for pending in std::mem::take(&mut change.waits) {
                if let Err(error) = pending.wait().await {
                    self.reasons[change.at] = refusal(&error);
                }
            }
        }
    }
}

/// An UNSUBSCRIBE on its way to the disk.
#[derive(Debug, Default)]
struct Unsubscribing {
    reasons: SmallVec<[Reason; 4]>,
    waits: Vec<(usize, Pending)>,
}

impl Unsubscribing {
    /// Waits until all of it is on stable storage, as far as the session is. One reason for each filter.
    async fn wait(mut self) -> SmallVec<[Reason; 4]> {
        for (at, pending) in self.waits {
            if let Err(error) = pending.wait().await {
                // It is gone until the next restart, and the client is told that this may not be for good.
                self.reasons[at] = refusal(&error);
            }
        }
        self.reasons
    }
}

/// What is done for one filter.
#[derive(Debug)]
struct Change {
    /// Where its reason stands.
    at: usize,
    new: Subscription,
    /// What was subscribed to before.
    old: Option<Subscription>,
    waits: Vec<Pending>,
}

impl Change {
    /// Messages come by another queue than before.
    fn moves(&self) -> bool {
        self.old.as_ref().is_some_and(|old| old.is_queued() != self.new.is_queued())
    }
}

impl Held {
    /// Subscribes, and returns when that is on stable storage as far as the session is. `id` is the subscription identifier.
    pub(crate) async fn subscribe(
        &mut self,
        session: &mut Session,
        filters: &[(Filter<'_>, SubscribeOptions)],
        id: Option<u32>,
        wakes: &mut Wakes,
    ) -> Subscribed {
        let mut subscribing = self.begin_subscribe(session, filters, id, wakes);
        subscribing.wait().await;
        self.finish_subscribe(subscribing, wakes)
    }

    /// Unsubscribes, and returns when that is on stable storage as far as the session is. One reason for each filter.
    pub(crate) async fn unsubscribe(&mut self, filters: &[Filter<'_>]) -> SmallVec<[Reason; 4]> {
        self.begin_unsubscribe(filters).wait().await
    }

    /// Subscribes: everything that leads messages to the session is there when this returns, as far as queues that are new are
    /// on stable storage. [`Held::finish_subscribe`] follows when what has to be waited for has come. `id` is the subscription
    /// identifier.
    ///
    /// A filter that is subscribed to already gets the new options, and misses no message meanwhile [MQTT-3.8.4-4].
    fn begin_subscribe(
        &mut self,
        session: &mut Session,
        filters: &[(Filter<'_>, SubscribeOptions)],
        id: Option<u32>,
        wakes: &mut Wakes,
    ) -> Subscribing {
        let mut subscribing = Subscribing::default();
        // Where in the changes a filter has come last: a packet may have tens of thousands.
        let mut changed: HashMap<(Option<&str>, &str), usize> = HashMap::new();
        for (at, (filter, options)) in filters.iter().enumerate() {
            let reason = match self.may_subscribe(session, filter) {
                Ok(()) => {
                    let new = Subscription {
                        group: filter.group.map(Box::from),
                        filter: Box::from(filter.filter),
                        options: *options,
                        id,
                        token: 0,
                    };
                    // The filter may have come earlier in the same packet, and that still be under way.
                    let earlier = changed.get(&(filter.group, filter.filter));
                    let under_way = earlier.map(|place| subscribing.changes[*place].new.clone());
                    match self.make(at, new, under_way, wakes) {
                        Ok(change) => {
                            changed.insert((filter.group, filter.filter), subscribing.changes.len());
                            subscribing.changes.push(change);
                            Reason(options.qos as u8)
                        }
                        Err(error) => refusal(&error),
                    }
                }
                Err(reason) => reason,
            };
            subscribing.reasons.push(reason);
        }
        subscribing
    }

    /// Goes over to what was subscribed to, or back to what was before where that has failed.
    fn finish_subscribe(&mut self, subscribing: Subscribing, wakes: &mut Wakes) -> Subscribed {
        let Subscribing { mut reasons, changes } = subscribing;
        let mut retained = Vec::new();
        if let Err(error) = self.consume_own(wakes) {
            for change in changes.iter().filter(|change| change.new.group.is_none() && change.new.is_queued()) {
                reasons[change.at] = refusal(&error);
            }
        }
        for change in changes {
            if reasons[change.at].is_error() {
                self.undo(change);
                continue;
            }
            if change.moves() {
                self.kept.subscriptions.insert(change.new.clone());
                if let Some(old) = &change.old {
                    // Durable or not: a binding that is left after a crash is one that nobody misses.
                    self.unbind_logged(old);
                }
            }
            if change.new.group.is_none() && wants_retained(change.new.options, change.old.is_none()) {
                retained.push(change.new);
            }
        }
        Subscribed { reasons, retained }
    }

    /// Unsubscribes.
    fn begin_unsubscribe(&mut self, filters: &[Filter<'_>]) -> Unsubscribing {
        let mut unsubscribing = Unsubscribing::default();
        for filter in filters {
            if filter.group.is_none() {
                self.retained.forget(filter.filter);
            }
            let reason = match self.kept.subscriptions.remove(filter.group, filter.filter) {
                None => Reason::NO_SUBSCRIPTION_EXISTED,
                Some(gone) => match self.unmake(&gone) {
                    Ok(waits) => {
                        let at = unsubscribing.reasons.len();
                        unsubscribing.waits.extend(waits.into_iter().map(|pending| (at, pending)));
                        Reason::SUCCESS
                    }
                    Err(error) => {
                        self.kept.subscriptions.insert(gone);
                        refusal(&error)
                    }
                },
            };
            unsubscribing.reasons.push(reason);
        }
        unsubscribing
    }

    fn may_subscribe(&mut self, session: &mut Session, filter: &Filter<'_>) -> Result<(), Reason> {
        let settings = &self.sessions.settings;
        if !filter.is_valid || filter.whole.len() > settings.filter_bytes_max {
            return Err(Reason::TOPIC_FILTER_INVALID);
        }
        let subscriptions = &self.kept.subscriptions;
        let is_new = subscriptions.get(filter.group, filter.filter).is_none();
        // Those of the same packet are counted when they are put in; a packet has a bound of its own.
        if is_new && subscriptions.len() >= settings.subscriptions_max {
            return Err(Reason::QUOTA_EXCEEDED);
        }
        self.check(session, filter.group, filter.filter).map_err(|error| refusal(&error))
    }

    fn check(&self, session: &mut Session, group: Option<&str>, filter: &str) -> Result<(), Error> {
        let client = &self.place.id.client;
        let queue = group.map_or_else(|| own_queue_name(client), |group| shared_queue_name(group, filter));
        let exchange = exchange_of(&self.sessions.settings, filter);
        for access in [Access::Configure, Access::Write, Access::Read] {
            session.check(access, Kind::Queue, &queue)?;
        }
        session.check(Access::Read, Kind::Exchange, exchange)?;
        session.check_topic(TopicAccess::Read, exchange, &topics::key(filter), Some(client))
    }

    /// Makes what leads messages of a filter here: row, queue, binding, in this order. Where they come by another queue than
    /// before, the old way stays open until the new one is.
    fn make(
        &mut self,
        at: usize,
        new: Subscription,
        under_way: Option<Subscription>,
        wakes: &mut Wakes,
    ) -> Result<Change, Error> {
        let old = under_way.or_else(|| self.kept.subscriptions.get(new.group.as_deref(), &new.filter).cloned());
        let mut change = Change { at, waits: vec![self.put_row(&new, old.as_ref())?], old, new };
        let made = if change.new.group.is_some() {
            self.consume_shared(change.new.clone(), wakes).map(|waits| change.waits.extend(waits))
        } else {
            self.lead(&mut change)
        };
        if let Err(error) = made {
            self.undo(change);
            return Err(error);
        }
        if change.new.group.is_none() && !change.moves() {
            self.kept.subscriptions.insert(change.new.clone());
        }
        if let Some(old) = &change.old {
            self.sessions.numbers.remove(old);
        }
        self.sessions.numbers.add(&change.new);
        Ok(change)
    }

    /// Binds the queue that a filter's messages are to come by, if it is not the one they come by.
    fn lead(&mut self, change: &mut Change) -> Result<(), Error> {
        let was_queued = change.old.as_ref().map(Subscription::is_queued);
        if change.new.is_queued() {
            change.waits.push(self.make_queue()?);
            if was_queued != Some(true) {
                change.waits.push(self.own_bound(&change.new.filter).bind()?);
            }
        } else if was_queued != Some(false) {
            self.open_direct()?;
            change.waits.push(self.direct_bound(&change.new.filter).bind()?);
        }
        Ok(())
    }

    /// Takes back what has not got to the disk, or was refused on the way.
    fn undo(&mut self, change: Change) {
        let Change { new, old, .. } = change;
        let in_list = self.kept.subscriptions.get(new.group.as_deref(), &new.filter).cloned();
        let was_made =
            in_list.as_ref() != old.as_ref() || old.as_ref().is_some_and(|old| old.is_queued() != new.is_queued());
        match &old {
            Some(old) => {
                if new.group.is_none() && old.is_queued() != new.is_queued() {
                    self.unbind_logged(&new);
                }
                let token = in_list.map_or(0, |in_list| in_list.token);
                self.kept.subscriptions.insert(Subscription { token, ..old.clone() });
            }
            None => {
                if let Some(put) = self.kept.subscriptions.remove(new.group.as_deref(), &new.filter) {
                    self.unbind_logged(&put);
                }
            }
        }
        if was_made {
            self.sessions.numbers.remove(&new);
            if let Some(old) = &old {
                self.sessions.numbers.add(old);
            }
        }
        self.restore_row(&new, old.as_ref());
    }

    fn unbind_logged(&mut self, gone: &Subscription) {
        match self.unbind(gone) {
            Ok(pending) => drop(pending),
            Err(error) => tracing::warn!(filter = &*gone.filter, %error, "a subscription could not be unbound"),
        }
    }

    /// Everything that makes a subscription goes; it is out of the list already. Its row goes last.
    fn unmake(&mut self, gone: &Subscription) -> Result<Vec<Pending>, Error> {
        let mut waits = vec![self.unbind(gone)?];
        if self.kept.survives {
            let id = &self.place.id;
            let key = rows::subscription_key(&id.vhost, &id.client, gone.group.as_deref(), &gone.filter);
            waits.push(self.sessions.broker.keep_row(rows::SUBSCRIPTIONS, key, None));
        }
        self.sessions.numbers.remove(gone);
        Ok(waits)
    }

    fn unbind(&mut self, gone: &Subscription) -> Result<Pending, Error> {
        if gone.group.is_some() {
            self.leave_shared(gone);
            return Ok(Pending::nothing());
        }
        if gone.is_queued() { self.own_bound(&gone.filter).unbind() } else { self.direct_bound(&gone.filter).unbind() }
    }

    /// Puts the row of a subscription, where the session has rows, and it is not there as it is.
    fn put_row(&mut self, new: &Subscription, old: Option<&Subscription>) -> Result<Pending, Error> {
        if !self.kept.survives {
            return Ok(Pending::nothing());
        }
        let id = &self.place.id;
        let (key, value) = SubscriptionRow::new(id, new).encode()?;
        if let Some(old) = old
            && SubscriptionRow::new(id, old).encode()?.1 == value
        {
            return Ok(Pending::nothing());
        }
        Ok(self.sessions.broker.keep_row(rows::SUBSCRIPTIONS, key, Some(value)))
    }

    /// Has the row say what it said before, as far as the disk takes it.
    fn restore_row(&mut self, new: &Subscription, old: Option<&Subscription>) {
        if !self.kept.survives {
            return;
        }
        let id = &self.place.id;
        let key = rows::subscription_key(&id.vhost, &id.client, new.group.as_deref(), &new.filter);
        let value = old.and_then(|old| SubscriptionRow::new(id, old).encode().ok()).map(|(_, value)| value);
        drop(self.sessions.broker.keep_row(rows::SUBSCRIPTIONS, key, value));
    }
}

/// What a client is told of an error when it subscribes.
fn refusal(error: &Error) -> Reason {
    match error {
        Error::Refused { .. } | Error::TopicRefused { .. } => Reason::NOT_AUTHORIZED,
        Error::Full | Error::LimitReached { .. } => Reason::QUOTA_EXCEEDED,
        Error::Locked(_) | Error::InExclusiveUse(_) | Error::Differs { .. } | Error::NotFound(_) => {
            Reason::IMPLEMENTATION_SPECIFIC_ERROR
        }
        _ => Reason::UNSPECIFIED_ERROR,
    }
}
