//! What a queue is declared with.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Differing, Error, Kind, Resource};
use crate::value::{Table, Value};

/// What a queue is declared with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueOptions {
    /// It survives a restart.
    pub durable: bool,
    /// It goes with its last consumer.
    pub auto_delete: bool,
    /// It belongs to the connection that declares it and goes with it.
    pub exclusive: bool,
    /// Everything else, as declared.
    pub arguments: Table,
}

/// What kind of queue a client asks for. Classic and quorum queues are one engine here, with other defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueType {
    /// `x-queue-type` of `classic`, or none.
    #[default]
    Classic,
    /// `x-queue-type` of `quorum`.
    Quorum,
    /// `x-queue-type` of `stream`.
    Stream,
}

impl QueueType {
    /// What RabbitMQ calls it in texts of errors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classic => "rabbit_classic_queue",
            Self::Quorum => "rabbit_quorum_queue",
            Self::Stream => "rabbit_stream_queue",
        }
    }
}

/// Arguments that are not compared, because they say nothing about a queue of this type.
const fn not_compared(kind: QueueType) -> &'static [&'static str] {
    match kind {
        QueueType::Classic => &[
            "x-max-in-memory-bytes",
            "x-max-in-memory-length",
            "x-queue-leader-locator",
            "x-quorum-initial-group-size",
        ],
        QueueType::Quorum => &["x-queue-master-locator", "x-queue-mode", "x-queue-version"],
        QueueType::Stream => &[],
    }
}

/// Arguments whose value must be the same when a queue is declared once more, in the order in which RabbitMQ compares them.
/// Others may differ: what means nothing here, or came with a version that compares it no more.
const COMPARED: &[&str] = &[
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-delayed-retry-max",
    "x-delayed-retry-min",
    "x-delayed-retry-type",
    "x-delivery-limit",
    "x-expires",
    "x-initial-cluster-size",
    "x-max-age",
    "x-max-in-memory-bytes",
    "x-max-in-memory-length",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-message-ttl",
    "x-overflow",
    "x-queue-leader-locator",
    "x-queue-master-locator",
    "x-queue-mode",
    "x-queue-type",
    "x-queue-version",
    "x-quorum-initial-group-size",
    "x-single-active-consumer",
    "x-stream-filter-size-bytes",
    "x-stream-max-segment-size-bytes",
];

impl QueueOptions {
    /// What kind of queue it is. An argument that names none is refused where the queue is declared.
    pub fn queue_type(&self) -> QueueType {
        match self.arguments.get("x-queue-type").and_then(Value::as_str) {
            Some("quorum") => QueueType::Quorum,
            Some("stream") => QueueType::Stream,
            _ => QueueType::Classic,
        }
    }

    /// Compares with what is declared once more.
    pub(crate) fn check_same(&self, resource: &Resource, again: &Self) -> Result<(), Error> {
        let differs = |property: &str, differing| {
            Err(Error::Differs {
                resource: resource.clone(),
                property: property.to_owned(),
                differing: Box::new(differing),
            })
        };
        if again.exclusive != self.exclusive {
            return Err(Error::Locked(resource.clone()));
        }
        let flags = [("durable", again.durable, self.durable), ("auto_delete", again.auto_delete, self.auto_delete)];
        for (property, received, current) in flags {
            if received != current {
                return differs(property, Differing::Flag { received, current });
            }
        }
        let not_compared = not_compared(self.queue_type());
        for name in COMPARED.iter().filter(|name| !not_compared.contains(name)) {
            let (received, current) = (again.arguments.get(name), self.arguments.get(name));
            if !same_argument(name, received, current) {
                let (received, current) = (received.cloned(), current.cloned());
                return differs(name, Differing::Argument { received, current });
            }
        }
        Ok(())
    }
}

/// Equal, where it does not matter in how many bits a number was sent.
fn same_argument(name: &str, one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => match (one.as_integer(), other.as_integer()) {
            (Some(one), Some(other)) => one == other,
            _ => one == other,
        },
        // The default may be said or left out.
        (Some(value), None) | (None, Some(value)) => name == "x-queue-type" && value.as_str() == Some("classic"),
        (None, None) => true,
    }
}

/// The queue of this name as a resource.
pub(crate) fn resource(name: &Arc<str>, vhost: &Arc<str>) -> Resource {
    Resource { kind: Kind::Queue, name: Arc::clone(name), vhost: Arc::clone(vhost) }
}
