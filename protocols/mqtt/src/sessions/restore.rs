//! What is there after a restart: sessions as their rows say, and what belongs to them.
//!
//! Where the process died half-way, this goes the rest of the way: a session whose row says that it is ending is ended, what rows
//! name and is not there is made, and what no row names goes.

use std::sync::Arc;

use gantry_broker::message::now_ms;
use gantry_broker::{Error, VirtualHost};
use hashbrown::{HashMap, HashSet};

use super::groups::{Member, Membership, SHARED_QUEUE, shared_queue_name};
use super::kept::{Kept, Owner};
use super::place::Id;
use super::queues::{Bound, SESSION_QUEUE, end_queue, exchange_of, own_queue_name};
use super::registry::Sessions;
use super::rows::{self, SessionRow, SubscriptionRow};
use crate::codec::packet::QoS;
use crate::subscriptions::{Subscription, Subscriptions};
use crate::topics;

impl Sessions {
    /// Makes the sessions again that have rows.
    pub(super) fn restore(self: &Arc<Self>) -> Result<(), Error> {
        let now_ms = now_ms();
        let mut subscriptions: HashMap<Id, Subscriptions> = HashMap::new();
        for (_, _, row) in rows::read::<SubscriptionRow>(&self.broker, rows::SUBSCRIPTIONS)? {
            let id = Id { vhost: Arc::from(row.vhost.as_str()), client: Arc::from(row.client.as_str()) };
            subscriptions.entry(id).or_default().insert(row.subscription());
        }
        let mut owned: HashSet<(Arc<str>, String)> = HashSet::new();
        let mut restored = 0;
        for (key, value, row) in rows::read::<SessionRow>(&self.broker, rows::SESSIONS)? {
            let id = Id { vhost: Arc::from(row.vhost.as_str()), client: Arc::from(row.client.as_str()) };
            let Some(vhost) = self.broker.vhost(&row.vhost) else {
                tracing::warn!(client = row.client, vhost = row.vhost, "a session of a virtual host that is gone");
                drop(self.broker.keep_row(rows::SESSIONS, key, None));
                continue;
            };
            let ending = row.ending;
            let mut kept = self.kept_of(row, &vhost, subscriptions.remove(&id).unwrap_or_default(), now_ms)?;
            kept.note_written(&value);
            for subscription in kept.subscriptions.iter() {
                self.numbers.add(subscription);
            }
            if ending {
                kept.will = None;
                self.end(&vhost, &id, kept);
                continue;
            }
            if let Err(error) = self.mend(&vhost, &id, &mut kept) {
                // Somebody has made or deleted what it needs; its client is told when it comes.
                tracing::warn!(client = &*id.client, %error, "a session has not all that it had");
            }
            owned.insert((Arc::clone(&id.vhost), own_queue_name(&id.client)));
            // What was connected when the process ended was not noted: it is as if it had been lost now.
            kept.disconnected_ms = Some(kept.disconnected_ms.unwrap_or(now_ms));
            restored += 1;
            let place = self.place_restored(&id);
            self.give_back(&place, Some(Box::new(kept)));
        }
        // Rows of subscriptions without a session.
        for (id, gone) in subscriptions {
            for subscription in gone.iter() {
                let (group, filter) = (subscription.group.as_deref(), &*subscription.filter);
                let key = rows::subscription_key(&id.vhost, &id.client, group, filter);
                drop(self.broker.keep_row(rows::SUBSCRIPTIONS, key, None));
            }
        }
        self.drop_orphans(&owned);
        if restored > 0 {
            tracing::info!(sessions = restored, "MQTT sessions recovered");
        }
        Ok(())
    }

    fn kept_of(
        &self,
        row: SessionRow,
        vhost: &VirtualHost,
        subscriptions: Subscriptions,
        now_ms: u64,
    ) -> Result<Kept, Error> {
        let mut kept = Kept::new(Owner::Named(Arc::from(row.user.as_str())), row.expiry_s);
        kept.survives = true;
        kept.subscriptions = subscriptions;
        kept.will = row.will.map(Box::new);
        // A clock that was set back must not have a session wait for it.
        kept.disconnected_ms = row.disconnected_ms.map(|ms| ms.min(now_ms));
        let name = own_queue_name(&row.client);
        kept.queue = vhost.queue(&name, 0).ok();
        // What it waits for is waited for when the session is opened.
        kept.marks = vhost.marks(&name)?.0;
        Ok(kept)
    }

    /// Makes what rows name and is not there.
    fn mend(&self, vhost: &Arc<VirtualHost>, id: &Id, kept: &mut Kept) -> Result<(), Error> {
        let all: Vec<Subscription> = kept.subscriptions.iter().cloned().collect();
        for subscription in all {
            if let Some(group) = &subscription.group {
                let member = Member::new(&subscription, kept.expiry_s);
                if member.qos > QoS::AtMostOnce {
                    let name = shared_queue_name(group, &subscription.filter);
                    let of = Membership { vhost, name: &name, client: &id.client };
                    let exchange = exchange_of(&self.settings, &subscription.filter);
                    let pattern = topics::key(&subscription.filter);
                    drop(self.groups.join(&of, member, (exchange, &pattern))?);
                }
                continue;
            }
            if !subscription.is_queued() {
                continue;
            }
            let name = own_queue_name(&id.client);
            if kept.queue.is_none() {
                let (queue, pending) = super::queues::define_own(vhost, &name, true, 0)?;
                drop(pending);
                kept.queue = Some(queue);
            }
            let bound =
                Bound { vhost, settings: &self.settings, queue: &name, filter: &subscription.filter, connection: 0 };
            if !bound.is_bound() {
                drop(bound.bind()?);
            }
        }
        Ok(())
    }

    /// Deletes shared queues without a member, and marks without a session.
    fn drop_orphans(&self, owned: &HashSet<(Arc<str>, String)>) {
        for vhost in self.broker.vhosts() {
            for queue in vhost.queues() {
                let is_shared = queue.name().starts_with(SHARED_QUEUE) && queue.options().durable;
                if is_shared && self.groups.queue(&vhost, queue.name()).is_none() {
                    end_queue(&vhost, queue.name(), 0);
                }
            }
            for name in vhost.marks_names() {
                let is_session = name.starts_with(SESSION_QUEUE);
                if is_session && !owned.contains(&(Arc::clone(vhost.name()), name.to_string())) {
                    drop(vhost.delete_marks(&name));
                }
            }
        }
    }
}
