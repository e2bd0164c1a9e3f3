//! Queues that frames declare: the one that a SEND or SUBSCRIBE names, and those of subscriptions to topics and exchanges.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gantry_broker::rights::Access;
use gantry_broker::value::{Table, Value};
use gantry_broker::{Error, Kind, Queue, QueueName, QueueOptions};

use crate::client::Client;
use crate::codec::Headers;
use crate::destinations::Dialect;
use crate::destinations::rabbitmq::{SUBSCRIPTION_QUEUE, durable_queue};
use crate::error::Failure;
use crate::limits::DESTINATIONS_KNOWN_MAX;

/// What a header's value is as an argument of a queue.
#[derive(Clone, Copy)]
enum Type {
    Number,
    Text,
    Bool,
}

/// Headers of SEND and SUBSCRIBE that are arguments of the queue.
const ARGUMENTS: &[(&str, Type)] = &[
    ("x-dead-letter-exchange", Type::Text),
    ("x-dead-letter-routing-key", Type::Text),
    ("x-dead-letter-strategy", Type::Text),
    ("x-delivery-limit", Type::Number),
    ("x-expires", Type::Number),
    ("x-max-age", Type::Text),
    ("x-max-length", Type::Number),
    ("x-max-length-bytes", Type::Number),
    ("x-max-priority", Type::Number),
    ("x-message-ttl", Type::Number),
    ("x-overflow", Type::Text),
    ("x-queue-type", Type::Text),
    ("x-quorum-initial-group-size", Type::Number),
    ("x-single-active-consumer", Type::Bool),
    ("x-stream-filter-size-bytes", Type::Number),
    ("x-stream-max-segment-size-bytes", Type::Number),
];

/// Whether a header is there and says yes or no.
pub(crate) fn flag(headers: Headers<'_>, name: &str) -> Option<bool> {
    match &*headers.get_bytes(name)? {
        b"true" | b"True" => Some(true),
        b"false" | b"False" => Some(false),
        _ => None,
    }
}

/// A number in a header; none where it is not there.
pub(crate) fn number<N: std::str::FromStr>(headers: Headers<'_>, name: &str) -> Result<Option<N>, Failure> {
    let Some(text) = headers.get(name) else { return Ok(None) };
    let number = text.trim().parse().map_err(|_| {
        // As RabbitMQ calls it; it does not say what is wrong.
        Failure::soft("Processing error", format!("'{name}' is not a number that it can be\n"))
    })?;
    Ok(Some(number))
}

/// Whether what is asked for is to outlive the connection: `persistent` is what 1.0 had for it.
pub(super) fn is_durable(headers: Headers<'_>) -> Option<bool> {
    flag(headers, "durable").or_else(|| flag(headers, "persistent"))
}

fn arguments(headers: Headers<'_>) -> Result<Table, Failure> {
    let mut table = Table::new();
    // Frames with arguments are few, and there is no need to look for each of them in the others.
    if !headers.lines().any(|header| header.name.starts_with(b"x-")) {
        return Ok(table);
    }
    for (name, kind) in ARGUMENTS {
        let value = match kind {
            Type::Number => number::<i64>(headers, name)?.map(Value::I64),
            Type::Text => headers.get_bytes(name).map(|text| Value::Text(text[..].into())),
            Type::Bool => flag(headers, name).map(Value::Bool),
        };
        if let Some(value) = value {
            table.push(*name, value);
        }
    }
    Ok(table)
}

impl Client {
    /// The queue that a frame names: durable unless it says otherwise, and else gone with the connection.
    pub(crate) async fn declare(&mut self, name: &str, headers: Headers<'_>) -> Result<Arc<Queue>, Failure> {
        let mut arguments = arguments(headers)?;
        if self.settings.dialect == Dialect::RabbitMq
            && self.declared.contains(name)
            && let Ok(queue) = self.session.vhost().queue(name, self.session.connection())
        {
            // As in RabbitMQ, what is said of a queue counts where a connection uses it for the first time.
            return Ok(queue);
        }
        if self.settings.dialect == Dialect::ActiveMq {
            // There a queue is what it is, whatever those who use it would have it be.
            match self.session.vhost().queue(name, self.session.connection()) {
                Ok(queue) => return Ok(queue),
                Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
            if flag(headers, "activemq.exclusive") == Some(true) {
                arguments.push("x-single-active-consumer", true);
            }
        }
        let durable = is_durable(headers).unwrap_or(true);
        let options = QueueOptions {
            durable,
            auto_delete: flag(headers, "auto-delete").unwrap_or(!durable),
            exclusive: flag(headers, "exclusive").unwrap_or(!durable),
            arguments,
        };
        let queue = self.declare_with(name, options).await?;
        if self.declared.len() >= DESTINATIONS_KNOWN_MAX {
            self.declared.clear();
        }
        self.declared.insert(name.into());
        Ok(queue)
    }

    /// The queue of a subscription to a topic or an exchange: gone with its last consumer unless it says otherwise.
    pub(super) async fn declare_for(&mut self, key: &str, headers: Headers<'_>) -> Result<Arc<Queue>, Failure> {
        let durable = is_durable(headers).unwrap_or(false);
        let given = headers.get("x-queue-name");
        // Nobody else is told the other names.
        let is_shared = durable || given.is_some();
        let name = match given {
            Some(name) => name.into_owned(),
            None if durable => durable_queue(key, &headers.get("id").unwrap_or_default()),
            None => random_name()?,
        };
        let options = QueueOptions {
            durable,
            auto_delete: flag(headers, "auto-delete").unwrap_or(true),
            exclusive: flag(headers, "exclusive").unwrap_or(!is_shared),
            arguments: arguments(headers)?,
        };
        self.declare_with(&name, options).await
    }

    pub(crate) async fn declare_with(&mut self, name: &str, options: QueueOptions) -> Result<Arc<Queue>, Failure> {
        self.session.check(Access::Configure, Kind::Queue, name)?;
        let (vhost, connection) = (Arc::clone(self.session.vhost()), self.session.connection());
        if let Some((queue, pending)) = vhost.declared_queue(name, &options, connection)? {
            pending.wait().await?;
            return Ok(queue);
        }
        // Messages of a new queue will be read from it and written to its dead-letter exchange on the user's behalf.
        if let Some(exchange) = options.arguments.get("x-dead-letter-exchange").and_then(Value::as_str) {
            self.session.check(Access::Read, Kind::Queue, name)?;
            self.session.check(Access::Write, Kind::Exchange, exchange)?;
        }
        let (queue, pending) = vhost.define_queue(QueueName::Given(name), options, connection)?;
        pending.wait().await?;
        Ok(queue)
    }
}

fn random_name() -> Result<String, Failure> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Error::Storage(error.to_string()))?;
    Ok(format!("{SUBSCRIPTION_QUEUE}{}", URL_SAFE_NO_PAD.encode(random)))
}
