//! What is told of a virtual host's queues, exchanges and bindings. See [`crate::events`].

use super::VirtualHost;
use super::exchange::{Destination, Exchange};
use crate::events::{PERFORMED_BY, terms};
use crate::queue::Queue;
use crate::value::{Table, Value};

/// Who does what nobody asked for, as RabbitMQ calls it.
const INTERNAL_USER: &str = "rmq-internal";

impl VirtualHost {
    pub(super) fn tell_queue_created(&self, queue: &Queue, connection: u64) {
        self.shared.events.tell("queue.created", |said| {
            self.say_who(said, Some(connection));
            let options = queue.options();
            said.push("name", &**queue.name());
            said.push("vhost", &*self.name);
            said.push("durable", options.durable);
            said.push("auto_delete", options.auto_delete);
            said.push("arguments", terms(&options.arguments));
            said.push("exclusive", options.exclusive);
        });
    }

    /// `by` is the connection that asked for it, where one did.
    pub(super) fn tell_queue_deleted(&self, queue: &Queue, by: Option<u64>) {
        self.shared.events.tell("queue.deleted", |said| {
            self.say_who(said, by);
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
        (key, arguments): (&[u8], &Table),
        by: Option<u64>,
    ) {
        self.shared.events.tell(event, |said| {
            self.say_who(said, by);
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

    /// The user of a connection; what no connection asked for is the broker's own doing.
    fn say_who(&self, said: &mut Table, connection: Option<u64>) {
        match connection {
            None => said.push(PERFORMED_BY, INTERNAL_USER),
            Some(connection) => {
                if let Some(user) = self.shared.user_of(connection) {
                    said.push(PERFORMED_BY, Value::from(&*user));
                }
            }
        }
    }
}
