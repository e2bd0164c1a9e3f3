//! The queues behind a session, and what they are bound by.

use std::sync::Arc;

use gantry_broker::value::Table;
use gantry_broker::{DeleteQueue, Error, Kind, Pending, Queue, QueueName, QueueOptions, VirtualHost};

use super::SessionSettings;
use super::groups::{Membership, shared_queue_name};
use super::kept::Kept;
use super::place::Id;
use super::registry::Sessions;
use crate::topics;

/// The internal exchange of what the broker says of itself.
pub(crate) const SYSTEM_EXCHANGE: &str = "amq.mqtt.sys";

/// What every name of a session's queue begins with.
pub(super) const SESSION_QUEUE: &str = "mqtt-subscription-";

/// The queue of a session's messages of QoS 1 and 2, and the name of its marks.
pub(crate) fn own_queue_name(client: &str) -> String {
    format!("{SESSION_QUEUE}{client}")
}

/// Makes the queue of a session where there is none.
pub(super) fn define_own(
    vhost: &Arc<VirtualHost>,
    name: &str,
    survives: bool,
    connection: u64,
) -> Result<(Arc<Queue>, Pending), Error> {
    let options = QueueOptions { durable: survives, exclusive: !survives, ..QueueOptions::default() };
    vhost.define_queue(QueueName::Given(name), options, connection)
}

/// The direct queue of a session's messages of QoS 0.
pub(super) fn direct_queue_name(client: &str) -> String {
    format!("mqtt-qos0-subscription-{client}")
}

/// Whether a filter is for what the broker says of itself.
pub(crate) fn is_system(filter: &str) -> bool {
    filter == "$SYS" || filter.starts_with("$SYS/")
}

/// The exchange that a filter is bound to.
pub(super) fn exchange_of<'a>(settings: &'a SessionSettings, filter: &str) -> &'a str {
    if is_system(filter) { SYSTEM_EXCHANGE } else { &settings.exchange }
}

/// A queue of a session, and the filter that it is bound by.
pub(super) struct Bound<'a> {
    pub(super) vhost: &'a VirtualHost,
    pub(super) settings: &'a SessionSettings,
    pub(super) queue: &'a str,
    pub(super) filter: &'a str,
    /// The connection that the queue belongs to, where it belongs to one.
    pub(super) connection: u64,
}

impl Bound<'_> {
    pub(super) fn bind(&self) -> Result<Pending, Error> {
        if is_system(self.filter) {
            // There is one from the first who listens.
            self.vhost.internal_exchange(SYSTEM_EXCHANGE)?;
        }
        let exchange = exchange_of(self.settings, self.filter);
        let pattern = topics::key(self.filter);
        self.vhost.define_binding(exchange, (Kind::Queue, self.queue), &pattern, &Table::new(), self.connection)
    }

    pub(super) fn unbind(&self) -> Result<Pending, Error> {
        let exchange = exchange_of(self.settings, self.filter);
        let pattern = topics::key(self.filter);
        self.vhost.remove_binding(exchange, (Kind::Queue, self.queue), &pattern, &Table::new(), self.connection)
    }

    pub(super) fn is_bound(&self) -> bool {
        let exchange = exchange_of(self.settings, self.filter);
        self.vhost.is_bound(exchange, self.queue, &topics::key(self.filter), &Table::new())
    }
}

/// Deletes a queue without waiting for the disk.
pub(super) fn end_queue(vhost: &VirtualHost, name: &str, connection: u64) {
    // What comes after it in the table is behind it.
    match vhost.start_deletion(name, DeleteQueue::default(), connection) {
        Ok(pending) => drop(pending),
        Err(error) => tracing::warn!(queue = name, %error, "the queue of a session could not be deleted"),
    }
}

/// Everything in the broker that belongs to a session goes.
pub(super) fn end_all(sessions: &Sessions, vhost: &Arc<VirtualHost>, id: &Id, kept: &Kept) {
    for subscription in kept.subscriptions.iter() {
        if let Some(group) = &subscription.group {
            let name = shared_queue_name(group, &subscription.filter);
            sessions.groups.leave(&Membership { vhost, name: &name, client: &id.client });
        }
    }
    let name = own_queue_name(&id.client);
    if let Some(queue) = &kept.queue {
        end_queue(vhost, &name, queue.owner().unwrap_or(0));
    }
    if kept.survives {
        drop(vhost.delete_marks(&name));
    }
}
