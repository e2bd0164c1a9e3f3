//! In which form what waits in a queue leaves it: the one in which its subscription had messages delivered when it came.
//!
//! Messages are stored once and without a form. So each change of a subscription is remembered by the number that the queue's
//! next message would have had, until the queue has gone.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use gantry_broker::vhost::Pending;
use gantry_broker::{Broker, Error, Queue};
use hashbrown::{Equivalent, HashMap};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use super::Subscription;

/// The space of the table that former forms are in, by virtual host, topic and queue.
const FORMS: &str = "sns.forms";
/// So many changes are remembered of a way; of more, the earliest are forgotten.
const CHANGES_MAX: usize = 16;
/// So many ways by which no messages come any more are remembered.
const FORMER_WAYS_MAX: usize = 10_000;

/// In which form a message leaves a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Form {
    /// As it came, without the JSON document around it.
    pub(crate) is_raw: bool,
    /// The ARN of the subscription that it came by.
    pub(crate) subscription_arn: Arc<str>,
    /// The ARN of the topic.
    pub(crate) topic_arn: Arc<str>,
    /// What URLs begin with that come back here.
    pub(crate) base_url: Arc<str>,
    /// The ARN of whoever has subscribed.
    pub(crate) principal: Arc<str>,
}

impl Form {
    /// In which form messages leave by a subscription now.
    pub(crate) fn of(subscription: &Subscription) -> Self {
        Self {
            is_raw: subscription.is_raw,
            subscription_arn: Arc::clone(&subscription.arn),
            topic_arn: Arc::clone(&subscription.topic_arn),
            base_url: Arc::clone(&subscription.base_url),
            principal: Arc::clone(&subscription.principal),
        }
    }
}

/// From which topic into which queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Way {
    vhost: Arc<str>,
    topic: Arc<str>,
    queue: Arc<str>,
}

struct WayOf<'a>(&'a str, &'a str, &'a str);

impl Hash for WayOf<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0, self.1, self.2).hash(state);
    }
}

impl Equivalent<Way> for WayOf<'_> {
    fn equivalent(&self, way: &Way) -> bool {
        (self.0, self.1, self.2) == (&*way.vhost, &*way.topic, &*way.queue)
    }
}

/// What was so before, until a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Former {
    /// The first message that it does not hold for.
    until: u64,
    form: Form,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// The number of the queue: another one of its name begins anew.
    queue_id: u64,
    /// In their order.
    former: Vec<Former>,
    /// What holds now; none where no messages come by this way.
    #[serde(skip)]
    now: Option<Form>,
}

/// The forms of all queues that have messages by a subscription.
#[derive(Debug, Default)]
pub(super) struct Forms {
    ways: RwLock<HashMap<Way, Known>>,
}

impl Forms {
    /// Reads what is kept. Blocks on the disk.
    pub(super) fn open(broker: &Broker) -> Result<Self, Error> {
        let mut ways = HashMap::new();
        for (key, row) in broker.kept_rows(FORMS)? {
            let damaged = || Error::Storage("what is known of messages of SNS is damaged".to_owned());
            let way = Way::read(&key).ok_or_else(damaged)?;
            let forms: Known = serde_json::from_slice(&row).map_err(|_| damaged())?;
            ways.insert(way, forms);
        }
        Ok(Self { ways: RwLock::new(ways) })
    }

    /// Whether there is any.
    pub(super) fn are_any(&self) -> bool {
        !self.ways.read().is_empty()
    }

    /// The form of a message by its number in the queue.
    pub(super) fn of(&self, vhost: &str, topic: &str, queue: &str, seq: u64) -> Option<Form> {
        let ways = self.ways.read();
        let forms = ways.get(&WayOf(vhost, topic, queue))?;
        let former = forms.former.iter().find(|former| seq < former.until);
        let last = || forms.former.last().map(|former| &former.form);
        former.map(|former| &former.form).or(forms.now.as_ref()).or_else(last).cloned()
    }

    /// Messages come by this subscription from now on. Where they come by another one already, their form stays that one's for as
    /// long as they do: a queue gets a message of a topic once.
    pub(super) fn begin(&self, broker: &Broker, subscription: &Subscription, queue: &Queue) -> Pending {
        let form = Form::of(subscription);
        let way = Way::new(subscription, queue.name());
        let is_anothers = |now: &Form| *now == form || now.subscription_arn != form.subscription_arn;
        let is_same = |forms: &Known| forms.queue_id == queue.id() && forms.now.as_ref().is_some_and(is_anothers);
        if self.ways.read().get(&way).is_some_and(is_same) {
            return Pending::nothing();
        }
        let mut ways = self.ways.write();
        let forms = ways.entry(way.clone()).or_default();
        if forms.queue_id != queue.id() {
            *forms = Known { queue_id: queue.id(), ..Known::default() };
        }
        if forms.now.as_ref().is_some_and(is_anothers) {
            return Pending::nothing();
        }
        let before = forms.now.replace(form);
        forms.note(before, queue.next_number());
        way.keep(broker, forms)
    }

    /// No messages come by this subscription any more. `queue` is the queue, while it is there.
    pub(super) fn end(
        &self,
        broker: &Broker,
        subscription: &Subscription,
        name: &str,
        queue: Option<&Queue>,
    ) -> Pending {
        let mut ways = self.ways.write();
        let way = Way::new(subscription, name);
        let Some(forms) = ways.get_mut(&way) else { return Pending::nothing() };
        let is_this = |form: &mut Form| form.subscription_arn == subscription.arn;
        let Some(before) = forms.now.take_if(is_this) else { return Pending::nothing() };
        match queue.filter(|queue| queue.id() == forms.queue_id) {
            Some(queue) => {
                forms.note(Some(before), queue.next_number());
                let pending = way.keep(broker, forms);
                forget_some(&mut ways, broker);
                pending
            }
            // What waited has gone with it.
            None => {
                ways.remove(&way);
                broker.keep_row(FORMS, way.written(), None)
            }
        }
    }
}

impl Known {
    fn note(&mut self, form: Option<Form>, until: u64) {
        let Some(form) = form else { return };
        if self.former.len() >= CHANGES_MAX {
            self.former.remove(0);
        }
        self.former.push(Former { until, form });
    }
}

/// Keeps the number of former ways bounded: which of them go does not matter much, they are thousands.
fn forget_some(ways: &mut HashMap<Way, Known>, broker: &Broker) {
    if ways.len() <= FORMER_WAYS_MAX || ways.values().filter(|forms| forms.now.is_none()).count() <= FORMER_WAYS_MAX {
        return;
    }
    if let Some(way) = ways.iter().find(|(_, forms)| forms.now.is_none()).map(|(way, _)| way.clone()) {
        ways.remove(&way);
        // It is forgotten after a restart, too, and nobody has to wait for that.
        drop(broker.keep_row(FORMS, way.written(), None));
    }
}

impl Way {
    fn new(subscription: &Subscription, queue: &str) -> Self {
        let (vhost, topic) = (Arc::clone(&subscription.vhost), Arc::clone(&subscription.topic));
        Self { vhost, topic, queue: Arc::from(queue) }
    }

    fn keep(&self, broker: &Broker, forms: &Known) -> Pending {
        if forms.former.is_empty() {
            return Pending::nothing();
        }
        match serde_json::to_vec(forms) {
            Ok(row) => broker.keep_row(FORMS, self.written(), Some(row)),
            Err(error) => {
                tracing::error!(queue = %self.queue, %error, "the form of messages that wait is not kept");
                Pending::nothing()
            }
        }
    }

    /// The names behind their lengths: they may have any characters.
    fn written(&self) -> Vec<u8> {
        let mut key = Vec::new();
        for name in [&self.vhost, &self.topic, &self.queue] {
            key.extend_from_slice(&u32::try_from(name.len()).unwrap_or(u32::MAX).to_be_bytes());
            key.extend_from_slice(name.as_bytes());
        }
        key
    }

    fn read(mut key: &[u8]) -> Option<Self> {
        let mut name = || {
            let (bytes, rest) = key.split_first_chunk::<4>()?;
            let (name, rest) = rest.split_at_checked(u32::from_be_bytes(*bytes) as usize)?;
            key = rest;
            std::str::from_utf8(name).ok().map(Arc::from)
        };
        Some(Self { vhost: name()?, topic: name()?, queue: name()? })
    }
}
