//! What is told of a virtual host's queues, exchanges and bindings. See [`crate::events`].

use super::VirtualHost;
use super::exchange::{Destination, Exchange};
use crate::events::{PERFORMED_BY, terms};
use crate::queue::Queue;
use crate::value::{Table, Value};

impl VirtualHost {
    pub(super) fn tell_queue_created(&self, queue: &Queue, connection: u64) {
        self.shared.events.tell("queue.created", |said| {
            self.say_who(said, connection);
            let options = queue.options();
            said.push("name", &**queue.name());
            said.push("vhost", &*self.name);
            said.push("durable", options.durable);
            said.push("auto_delete", options.auto_delete);
            said.push("arguments", terms(&options.arguments));
            said.push("exclusive", options.exclusive);
        });
    }

    pub(super) fn tell_queue_deleted(&self, queue: &Queue) {
        self.shared.events.tell("queue.deleted", |said| {
            said.push("name", &**queue.name());
            said.push("vhost", &*self.name);
        });
    }

    pub(super) fn tell_exchange_created(&self, exchange: &Exchange) {
        self.shared.events.tell("exchange.created", |said| {
            let options = &exchange.options;
            said.push("name", &*exchange.name);
            said.push("vhost", &*self.name);
            said.push("type", options.kind.name());
            said.push("durable", options.durable);
            said.push("auto_delete", options.auto_delete);
            said.push("internal", options.internal);
            said.push("arguments", terms(&options.arguments));
        });
    }

    pub(super) fn tell_exchange_deleted(&self, exchange: &Exchange) {
        self.shared.events.tell("exchange.deleted", |said| {
            said.push("name", &*exchange.name);
            said.push("vhost", &*self.name);
        });
    }

    /// `key` is `binding.created` or `binding.deleted`.
    pub(super) fn tell_binding(
        &self,
        event: &'static str,
        source: &Exchange,
        destination: &Destination,
        key: &[u8],
        arguments: &Table,
    ) {
        self.shared.events.tell(event, |said| {
            let kind = if matches!(destination, Destination::Queue(_)) { "queue" } else { "exchange" };
            said.push("source_name", &*source.name);
            said.push("source_kind", "exchange");
            said.push("destination_name", &**destination.name());
            said.push("destination_kind", kind);
            said.push("routing_key", &*String::from_utf8_lossy(key));
            said.push("arguments", terms(arguments));
            said.push("vhost", &*self.name);
        });
    }

    fn say_who(&self, said: &mut Table, connection: u64) {
        if let Some(user) = self.shared.user_of(connection) {
            said.push(PERFORMED_BY, Value::from(&*user));
        }
    }
}
