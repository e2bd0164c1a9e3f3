//! Shared subscriptions (4.8.2): a queue for each group and filter, which goes with its last member.
//!
//! The queue balances by credit: each connected member consumes with its receive maximum. A member of QoS 0 is one while it is
//! connected; the others are until their session ends, and messages wait for them in the queue. They are stored only while one of
//! those has a session that outlives its connection: after a crash nobody else would be left to take them.

use std::sync::Arc;

use gantry_broker::{Error, Kind, Pending, Queue, QueueName, QueueOptions, VirtualHost};
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::queues::{SYSTEM_EXCHANGE, end_queue, is_system};
use crate::codec::packet::QoS;
use crate::subscriptions::Subscription;

/// What every name of such a queue begins with.
pub(super) const SHARED_QUEUE: &str = "mqtt-shared-subscription-";

/// All groups. One lock for all of them, so that the last member that goes and the first that comes do not meet half-way;
/// nobody asks for it while messages flow.
#[derive(Debug, Default)]
pub(super) struct Groups(Mutex<HashMap<Name, Group>>);

/// Virtual host and name of the queue.
type Name = (Arc<str>, Box<str>);

#[derive(Debug)]
struct Group {
    queue: Arc<Queue>,
    /// Members by client id.
    members: HashMap<Arc<str>, Member>,
}

/// What a member has its group do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) qos: QoS,
    /// Its session outlives its connection.
    pub(super) stays: bool,
}

impl Member {
    /// A session of this expiry with this subscription.
    pub(super) fn new(subscription: &Subscription, expiry_s: u32) -> Self {
        Self { qos: member_qos(subscription), stays: expiry_s > 0 }
    }

    /// It would miss messages that are gone after a crash.
    fn misses(self) -> bool {
        self.stays && self.qos > QoS::AtMostOnce
    }
}

impl Group {
    fn set_keeping(&self) {
        self.queue.keep_messages(self.members.values().any(|member| member.misses()));
    }
}

/// What a member has its group keep. Nothing of the broker's own numbers: those of then are of no use to who was away.
pub(super) fn member_qos(subscription: &Subscription) -> QoS {
    if is_system(&subscription.filter) { QoS::AtMostOnce } else { subscription.options.qos }
}

/// The queue of a group.
pub(super) fn shared_queue_name(group: &str, filter: &str) -> String {
    format!("{SHARED_QUEUE}{group}/{filter}")
}

/// Whose queue is asked for.
pub(super) struct Membership<'a> {
    pub(super) vhost: &'a Arc<VirtualHost>,
    /// Of the queue.
    pub(super) name: &'a str,
    pub(super) client: &'a Arc<str>,
}

impl Groups {
    /// Makes a client a member, or another kind of one. `exchange` and `pattern` are what the queue is bound by.
    pub(super) fn join(
        &self,
        of: &Membership<'_>,
        member: Member,
        (exchange, pattern): (&str, &[u8]),
    ) -> Result<(Arc<Queue>, [Pending; 2]), Error> {
        let Membership { vhost, name, client } = of;
        if exchange == SYSTEM_EXCHANGE {
            vhost.internal_exchange(SYSTEM_EXCHANGE)?;
        }
        let mut groups = self.0.lock();
        let key = (Arc::clone(vhost.name()), Box::from(*name));
        if let Some(group) = groups.get(&key)
            && group.members.get(*client) == Some(&member)
            && vhost.queue(name, 0).is_ok_and(|queue| Arc::ptr_eq(&queue, &group.queue))
        {
            // A member that comes back changes nothing, and writes nothing.
            return Ok((Arc::clone(&group.queue), [Pending::nothing(), Pending::nothing()]));
        }
        let options = QueueOptions { durable: true, ..QueueOptions::default() };
        let (queue, declared) = vhost.define_queue(QueueName::Given(name), options, 0)?;
        let bound =
            vhost.define_binding(exchange, (Kind::Queue, name), pattern, &gantry_broker::value::Table::new(), 0);
        let bound = match bound {
            Ok(bound) => bound,
            Err(error) => {
                if !groups.contains_key(&key) {
                    end_queue(vhost, name, 0);
                }
                return Err(error);
            }
        };
        let group =
            groups.entry(key).or_insert_with(|| Group { queue: Arc::clone(&queue), members: HashMap::default() });
        // It may have been deleted and made again by somebody else's hand.
        group.queue = Arc::clone(&queue);
        group.members.insert(Arc::clone(client), member);
        group.set_keeping();
        Ok((queue, [declared, bound]))
    }

    /// A client is no member any more. The queue goes with the last one.
    pub(super) fn leave(&self, of: &Membership<'_>) {
        let mut groups = self.0.lock();
        let key = (Arc::clone(of.vhost.name()), Box::from(of.name));
        let Some(group) = groups.get_mut(&key) else { return };
        group.members.remove(of.client);
        if group.members.is_empty() {
            groups.remove(&key);
            end_queue(of.vhost, of.name, 0);
        } else {
            group.set_keeping();
        }
    }

    /// The queue of a group.
    pub(super) fn queue(&self, vhost: &VirtualHost, name: &str) -> Option<Arc<Queue>> {
        let groups = self.0.lock();
        groups.get(&(Arc::clone(vhost.name()), Box::from(name))).map(|group| Arc::clone(&group.queue))
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }
}
