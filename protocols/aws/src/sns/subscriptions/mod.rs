//! Subscriptions: their rows, who has which, and in which form what waits in a queue leaves it.
//!
//! | file | about |
//! | --- | --- |
//! | `subscription` | one of them |
//! | `protocol` | how endpoints are reached |
//! | `forms` | in which form what waits in a queue leaves it |

mod forms;
mod protocol;
mod subscription;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use gantry_broker::vhost::Pending;
use gantry_broker::{Broker, Error, Queue};
use hashbrown::HashMap;
use parking_lot::RwLock;

pub(crate) use self::forms::Form;
use self::forms::Forms;
pub(crate) use self::protocol::Protocol;
pub(crate) use self::subscription::{State, Subscription, Token, dead_letter_arn, subscription_of_queue};

/// The space of the table that subscriptions are in, by their ids.
const SUBSCRIPTIONS: &str = "sns.subscriptions";

/// All subscriptions.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    known: RwLock<Known>,
    forms: Forms,
}

/// How many subscriptions a topic has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) all: usize,
    /// Of those, the ones that nobody has confirmed.
    pub(crate) pending: usize,
    /// Of all, the ones with a filter policy.
    pub(crate) filtered: usize,
    /// How many there have been since the program started that are gone.
    pub(crate) deleted: u64,
    /// How many were ended and may come back.
    pub(crate) gone: usize,
}

impl Counts {
    fn change(&mut self, subscription: &Subscription, change: fn(&mut usize)) {
        if subscription.state == State::Gone {
            change(&mut self.gone);
            return;
        }
        change(&mut self.all);
        if subscription.state == State::Pending {
            change(&mut self.pending);
        }
        if subscription.attribute("FilterPolicy").is_some() {
            change(&mut self.filtered);
        }
    }
}

#[derive(Debug, Default)]
struct Known {
    by_id: BTreeMap<Arc<str>, Arc<Subscription>>,
    /// By the number of the topic's exchange and the id.
    by_topic: BTreeMap<(u64, Arc<str>), Arc<Subscription>>,
    /// The id by the number of the topic's exchange and the endpoint, while it is one.
    by_endpoint: HashMap<(u64, Protocol, Arc<str>), Arc<str>>,
    /// By the name of a queue that gets its messages, or its dead letters, and the id.
    by_queue: BTreeSet<(Box<str>, Arc<str>)>,
    /// How many there are and were, by the number of the topic's exchange.
    counts: HashMap<u64, Counts>,
}

impl Known {
    fn insert(&mut self, subscription: Arc<Subscription>) {
        let id = &subscription.id;
        if let Some(old) = self.by_id.get(id).cloned() {
            self.remove(&old);
        }
        for queue in subscription.queues() {
            self.by_queue.insert((queue, Arc::clone(id)));
        }
        self.counts.entry(subscription.topic_id).or_default().change(&subscription, |count| *count += 1);
        if subscription.state == State::Gone {
            // Nobody is told of it, and another one may have its endpoint.
        } else {
            self.by_topic.insert((subscription.topic_id, Arc::clone(id)), Arc::clone(&subscription));
            self.by_endpoint.insert(subscription.endpoint_key(), Arc::clone(id));
        }
        self.by_id.insert(Arc::clone(id), subscription);
    }

    fn remove(&mut self, subscription: &Subscription) {
        // As it is known, which whoever has it removed may have missed a change of.
        let Some(subscription) = self.by_id.remove(&subscription.id) else { return };
        if let Some(counts) = self.counts.get_mut(&subscription.topic_id) {
            counts.change(&subscription, |count| *count = count.saturating_sub(1));
        }
        self.by_topic.remove(&(subscription.topic_id, Arc::clone(&subscription.id)));
        for queue in subscription.queues() {
            self.by_queue.remove(&(queue, Arc::clone(&subscription.id)));
        }
        // Another one may have the endpoint by now.
        let key = subscription.endpoint_key();
        if self.by_endpoint.get(&key) == Some(&subscription.id) {
            self.by_endpoint.remove(&key);
        }
    }
}

impl Subscriptions {
    /// Reads what is kept. Blocks on the disk.
    pub(super) fn open(broker: &Broker) -> Result<Self, Error> {
        let mut known = Known::default();
        for (id, row) in broker.kept_rows(SUBSCRIPTIONS)? {
            let damaged = || Error::Storage("a subscription of SNS is damaged".to_owned());
            let id = String::from_utf8(id).map_err(|_| damaged())?;
            known.insert(Arc::new(Subscription::read(&id, &row).ok_or_else(damaged)?));
        }
        Ok(Self { known: RwLock::new(known), forms: Forms::open(broker)? })
    }

    /// A subscription by its id; also one that is gone and may come back.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Subscription>> {
        self.known.read().by_id.get(id).cloned()
    }

    /// Those of a topic, by the number of its exchange, in the order of their ids.
    pub(crate) fn of_topic(&self, topic_id: u64) -> Vec<Arc<Subscription>> {
        let known = self.known.read();
        let from = (topic_id, Arc::from(""));
        let of_topic = known.by_topic.range(from..).take_while(|((topic, _), _)| *topic == topic_id);
        of_topic.map(|(_, subscription)| Arc::clone(subscription)).collect()
    }

    /// How many of a topic's there are, and how many of those have a filter policy.
    pub(crate) fn counts(&self, topic_id: u64) -> Counts {
        self.known.read().counts.get(&topic_id).copied().unwrap_or_default()
    }

    /// All of them in the order of their ids, but those that are gone.
    #[cfg(test)]
    pub(crate) fn all(&self) -> Vec<Arc<Subscription>> {
        self.some(None, usize::MAX, |_| true)
    }

    /// The first ones behind an id, in the order of their ids, that are as somebody wants them; none that is gone.
    pub(crate) fn some(
        &self,
        after: Option<&str>,
        entries_max: usize,
        is_wanted: impl Fn(&Subscription) -> bool,
    ) -> Vec<Arc<Subscription>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let known = self.known.read();
        let there = known.by_id.range::<str, _>((from, Bound::Unbounded)).map(|(_, subscription)| subscription);
        let wanted = there.filter(|subscription| subscription.state != State::Gone && is_wanted(subscription));
        wanted.take(entries_max).cloned().collect()
    }

    /// The first ones of a topic behind an id, in the order of their ids.
    pub(crate) fn some_of_topic(
        &self,
        topic_id: u64,
        after: Option<&str>,
        entries_max: usize,
    ) -> Vec<Arc<Subscription>> {
        let key = |id: &str| (topic_id, Arc::from(id));
        let from = after.map_or_else(|| Bound::Included(key("")), |after| Bound::Excluded(key(after)));
        let known = self.known.read();
        let of_topic = known.by_topic.range((from, Bound::Unbounded)).take_while(|((topic, _), _)| *topic == topic_id);
        of_topic.take(entries_max).map(|(_, subscription)| Arc::clone(subscription)).collect()
    }

    /// Those of a virtual host's topics, also those that are gone and may come back.
    pub(crate) fn of_vhost(&self, vhost: &str) -> Vec<Arc<Subscription>> {
        let known = self.known.read();
        known.by_id.values().filter(|subscription| *subscription.vhost == *vhost).cloned().collect()
    }

    /// Of those the ones whose messages, or dead letters, a queue of this name gets.
    pub(crate) fn of_queue(&self, vhost: &str, queue: &str) -> Vec<Arc<Subscription>> {
        let known = self.known.read();
        let from = (Box::from(queue), Arc::from(""));
        let of_queue = known.by_queue.range(from..).take_while(|(name, _)| **name == *queue);
        let of_queue = of_queue.filter_map(|(_, id)| known.by_id.get(id));
        of_queue.filter(|subscription| *subscription.vhost == *vhost).cloned().collect()
    }

    /// The subscription of an endpoint to a topic.
    pub(crate) fn of_endpoint(&self, topic_id: u64, protocol: Protocol, endpoint: &str) -> Option<Arc<Subscription>> {
        let known = self.known.read();
        let id = known.by_endpoint.get(&(topic_id, protocol, Arc::from(endpoint)))?;
        known.by_id.get(id).cloned()
    }

    /// Keeps a subscription, in place of the one of its id. What to wait for until it is on stable storage.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn keep(&self, broker: &Broker, subscription: Arc<Subscription>) -> Result<Pending, Error> {
        let row = subscription.written()?;
        let mut known = self.known.write();
        let key = subscription.id.as_bytes().to_vec();
        known.insert(subscription);
        // Under the lock, so that rows are written in the order of changes.
        Ok(broker.keep_row(SUBSCRIPTIONS, key, Some(row)))
    }

    /// Writes a subscription as it is about to be, where `base` is still how it is, and goes on to be. None where it is not.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn announce(
        &self,
        broker: &Broker,
        base: &Arc<Subscription>,
        changed: &Subscription,
    ) -> Result<Option<Pending>, Error> {
        let row = changed.written()?;
        // As for keep: rows are written in the order of changes.
        let known = self.known.write();
        let is_still = known.by_id.get(&base.id).is_some_and(|now| Arc::ptr_eq(now, base));
        Ok(is_still.then(|| broker.keep_row(SUBSCRIPTIONS, base.id.as_bytes().to_vec(), Some(row))))
    }

    /// Forgets a subscription.
    pub(crate) fn forget(&self, broker: &Broker, subscription: &Subscription) -> Pending {
        let mut known = self.known.write();
        known.remove(subscription);
        known.counts.entry(subscription.topic_id).or_default().deleted += 1;
        broker.keep_row(SUBSCRIPTIONS, subscription.id.as_bytes().to_vec(), None)
    }

    /// A topic is gone. What is known of it is forgotten with its last subscription.
    pub(crate) fn forget_topic(&self, topic_id: u64) {
        let mut known = self.known.write();
        if known.counts.get(&topic_id).is_some_and(|counts| counts.all == 0 && counts.gone == 0) {
            known.counts.remove(&topic_id);
        }
    }

    /// See [`super::Sns::has_forms`].
    pub(crate) fn has_forms(&self) -> bool {
        self.forms.are_any()
    }

    /// See [`super::Sns::form`].
    pub(crate) fn form(&self, vhost: &str, topic: &str, queue: &str, seq: u64) -> Option<Form> {
        self.forms.of(vhost, topic, queue, seq)
    }

    /// Messages come into a queue by this subscription from now on.
    pub(crate) fn open_form(&self, broker: &Broker, subscription: &Subscription, queue: &Queue) -> Pending {
        self.forms.begin(broker, subscription, queue)
    }

    /// They do not any more.
    pub(crate) fn close_form(
        &self,
        broker: &Broker,
        subscription: &Subscription,
        queue: &str,
        next: Option<&Queue>,
    ) -> Pending {
        self.forms.end(broker, subscription, queue, next)
    }
}
