//! The firehose: while a virtual host is traced, a copy of each message that is published or delivered goes to the exchange
//! `amq.rabbitmq.trace`, by the keys `publish.<exchange>` and `deliver.<queue>`, and says in its headers what it is a copy of.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use gantry_storage::Change;

use super::VirtualHost;
use super::publish::Published;
use super::route::{Reached, Route, RouteCache, further_keys};
use crate::error::Error;
use crate::inbox::Wakes;
use crate::marks::Marks;
use crate::message::{Essentials, Message, now_ms};
use crate::native;
use crate::value::{Table, Value};

/// The exchange that copies go to.
pub const TRACE_EXCHANGE: &str = "amq.rabbitmq.trace";

/// What is kept of it in the table: a row for each virtual host that is traced.
const TRACING: &str = "tracing";

/// What this broker calls itself where RabbitMQ tells the name of its node.
const NODE: &str = "gantry@localhost";

/// Who published or gets a message.
#[derive(Clone, Copy, Debug)]
pub struct TracedBy<'a> {
    /// The connection, as `host:port -> host:port`.
    pub connection: &'a str,
    /// The channel, or 0 where the protocol has none.
    pub channel: u16,
    /// The user.
    pub user: &'a str,
}

impl VirtualHost {
    /// Whether messages are traced. One load.
    pub fn is_traced(&self) -> bool {
        self.traced.load(Ordering::Relaxed)
    }

    /// Starts or stops to trace. It stays so over a restart.
    ///
    /// # Errors
    /// The disk is full; storage failed.
    pub async fn set_tracing(&self, on: bool) -> Result<(), Error> {
        let key = self.name.as_bytes().to_vec();
        let change = match on {
            true => Change::Put { space: TRACING, key, value: b"{}".to_vec() },
            false => Change::Delete { space: TRACING, key },
        };
        self.commit(vec![change]).wait().await?;
        self.traced.store(on, Ordering::Relaxed);
        Ok(())
    }

    /// Whether it was traced before the restart.
    pub(crate) fn restore_tracing(&self) -> Result<(), Error> {
        let traced = self.shared.table.get(TRACING, self.name.as_bytes())?.is_some();
        self.traced.store(traced, Ordering::Relaxed);
        Ok(())
    }

    /// As [`VirtualHost::publish`], and a copy goes to whoever traces.
    ///
    /// # Errors
    /// As there.
    pub fn publish_traced(
        &self,
        route: &Route,
        message: &Arc<Message>,
        now_ms: u64,
        wakes: &mut Wakes,
        by: TracedBy<'_>,
    ) -> Result<Published, Error> {
        let mut reached = Reached::default();
        let published = self.publish_reached(route, message, now_ms, None, &mut reached, wakes)?;
        self.trace_publish(route, &reached, message, by, wakes);
        Ok(published)
    }

    /// As [`VirtualHost::publish_marked`] with a number and its set, and a copy goes to whoever traces: not a second one where
    /// the set has the number.
    ///
    /// # Errors
    /// As there.
    pub fn publish_marked_traced(
        &self,
        route: &Route,
        message: &Arc<Message>,
        now_ms: u64,
        (marks, number): (&Arc<Marks>, u64),
        wakes: &mut Wakes,
        by: TracedBy<'_>,
    ) -> Result<Published, Error> {
        if let Some(ticket) = marks.ticket(number) {
            return Ok(Published { routed: 0, refused: 0, durable: Some(ticket) });
        }
        let mut reached = Reached::default();
        let published = self.publish_reached(route, message, now_ms, Some((marks, number)), &mut reached, wakes)?;
        self.trace_publish(route, &reached, message, by, wakes);
        Ok(published)
    }

    fn trace_publish(&self, route: &Route, reached: &Reached, message: &Message, by: TracedBy<'_>, wakes: &mut Wakes) {
        let mut headers = by.headers(message, &route.copies, &self.name);
        let queues = route.queues.as_deref().unwrap_or(&reached.queues);
        headers.push("routed_queues", Value::Array(queues.iter().map(|queue| Value::from(&**queue.name())).collect()));
        let exchange = &message.address().exchange;
        self.send_copy(&["publish.", exchange], headers, message, wakes);
    }

    /// A message has been delivered: a copy goes to whoever traces.
    pub fn trace_delivery(
        &self,
        message: &Message,
        queue: &str,
        redelivered: bool,
        by: TracedBy<'_>,
        wakes: &mut Wakes,
    ) {
        let mut headers = by.headers(message, &further_keys(message), &self.name);
        headers.push("redelivered", Value::I32(i32::from(redelivered)));
        self.send_copy(&["deliver.", queue], headers, message, wakes);
    }

    fn send_copy(&self, key: &[&str], headers: Table, message: &Message, wakes: &mut Wakes) {
        // Copies are not copied.
        if *message.address().exchange == *TRACE_EXCHANGE {
            return;
        }
        let key = Bytes::from(key.concat());
        let Some(route) = self.route_internally(&mut RouteCache::default(), TRACE_EXCHANGE, &key) else { return };
        let exchange = &route.address().exchange;
        let copy = native::message(exchange, key, Essentials::default(), headers, None, message.body());
        if let Err(error) = self.publish(&route, &copy, now_ms(), wakes) {
            tracing::warn!(%error, "a message was not traced");
        }
    }
}

impl TracedBy<'_> {
    fn headers(&self, message: &Message, further_keys: &[Bytes], vhost: &str) -> Table {
        let address = message.address();
        let text = |bytes: &[u8]| Value::from(&*String::from_utf8_lossy(bytes));
        let keys = std::iter::once(&address.routing_key).chain(further_keys).map(|key| text(key)).collect();
        let mut headers = Table::new();
        headers.push("exchange_name", &*address.exchange);
        headers.push("routing_keys", Value::Array(keys));
        headers.push("properties", properties_of(message));
        headers.push("node", NODE);
        headers.push("vhost", vhost);
        headers.push("connection", self.connection);
        headers.push("channel", Value::I32(i32::from(self.channel)));
        headers.push("user", self.user);
        headers
    }
}

/// The properties that a message has, by the names that AMQP 0-9-1 gives them.
fn properties_of(message: &Message) -> Table {
    let (properties, essentials) = (message.properties(), message.essentials());
    let mut table = Table::new();
    if let Some(headers) = &properties.headers {
        table.push("headers", headers.clone());
    }
    let texts = [
        ("content_type", &properties.content_type),
        ("content_encoding", &properties.content_encoding),
        ("correlation_id", &properties.correlation_id),
        ("reply_to", &properties.reply_to),
        ("message_id", &properties.message_id),
        ("type", &properties.kind),
        ("user_id", &properties.user_id),
        ("app_id", &properties.app_id),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            table.push(name, &*String::from_utf8_lossy(text));
        }
    }
    if essentials.durable {
        table.push("delivery_mode", Value::I32(2));
    }
    if essentials.priority > 0 {
        table.push("priority", Value::I32(i32::from(essentials.priority)));
    }
    if let Some(ttl_ms) = essentials.ttl_ms {
        table.push("expiration", ttl_ms.to_string());
    }
    if let Some(timestamp_s) = properties.timestamp_s {
        table.push("timestamp", Value::I64(timestamp_s as i64));
    }
    table
}
