//! What a queue is declared with.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{ArgumentProblem, Differing, Error, Kind, Resource};
use crate::value::{Table, Value};

/// Longest time that an argument or a message may ask for, in milliseconds: ten years, as in RabbitMQ.
pub const ARGUMENT_MS_MAX: u64 = 315_360_000_000;

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

/// The arguments as the engine wants them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// `x-message-ttl`: how long a message waits at most, in milliseconds.
    pub(crate) ttl_ms: Option<u64>,
    /// `x-expires`: how long the queue lives unused, in milliseconds.
    pub(crate) expires_ms: Option<u64>,
}

/// Arguments that ask for a rule which does not exist yet. Taking them in silence would be a promise; a name that no broker
/// knows is taken, as in RabbitMQ.
const UNSUPPORTED: &[&str] = &[
    "x-max-length",
    "x-max-length-bytes",
    "x-overflow",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-max-priority",
    "x-single-active-consumer",
    "x-delivery-limit",
    "x-consumer-timeout",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-stream-filter-size-bytes",
    "x-initial-cluster-size",
];

impl Rules {
    pub(crate) fn of(resource: &Resource, arguments: &Table) -> Result<Self, Error> {
        let invalid = |name: &str, value: &Value, problem| Error::InvalidArgument {
            resource: resource.clone(),
            name: name.to_owned(),
            value: Box::new(value.clone()),
            problem,
        };
        let duration = |name: &str, zero_is_fine: bool| -> Result<Option<u64>, Error> {
            let Some(value) = arguments.get(name) else { return Ok(None) };
            let Some(number) = value.as_integer() else {
                return Err(invalid(name, value, ArgumentProblem::WrongType));
            };
            match u64::try_from(number) {
                Err(_) => Err(invalid(name, value, ArgumentProblem::Negative)),
                Ok(0) if !zero_is_fine => Err(invalid(name, value, ArgumentProblem::Zero)),
                Ok(ms) if ms > ARGUMENT_MS_MAX => {
                    Err(invalid(name, value, ArgumentProblem::TooLarge { max: ARGUMENT_MS_MAX }))
                }
                Ok(ms) => Ok(Some(ms)),
            }
        };
        for name in UNSUPPORTED {
            if let Some(value) = arguments.get(name) {
                return Err(invalid(name, value, ArgumentProblem::Unsupported));
            }
        }
        if let Some(value) = arguments.get("x-queue-type") {
            match value.as_str() {
                Some("classic") => {}
                Some("quorum" | "stream") => return Err(invalid("x-queue-type", value, ArgumentProblem::Unsupported)),
                Some(_) => {
                    return Err(invalid("x-queue-type", value, ArgumentProblem::Other("unknown queue type".into())));
                }
                None => return Err(invalid("x-queue-type", value, ArgumentProblem::WrongType)),
            }
        }
        if let Some(value) = arguments.get("x-queue-mode")
            && !matches!(value.as_str(), Some("default" | "lazy"))
        {
            return Err(invalid("x-queue-mode", value, unknown_choice("mode", value)));
        }
        if let Some(value) = arguments.get("x-queue-version")
            && !matches!(value.as_integer(), Some(1 | 2))
        {
            return Err(invalid("x-queue-version", value, unknown_choice("version", value)));
        }
        Ok(Self { ttl_ms: duration("x-message-ttl", true)?, expires_ms: duration("x-expires", false)? })
    }
}

/// The words for a setting of classic queues that means nothing here, where all queues are one engine, but has to be a known one.
fn unknown_choice(what: &str, value: &Value) -> ArgumentProblem {
    let shown = value.as_str().map(str::to_owned).or_else(|| value.as_integer().map(|number| number.to_string()));
    ArgumentProblem::Other(format!("\"unsupported queue {what} '{}'\"", shown.unwrap_or_default()))
}

/// Arguments whose value must be the same when a queue is declared once more, as in RabbitMQ.
const COMPARED: &[&str] = &["x-expires", "x-message-ttl", "x-queue-type"];

impl QueueOptions {
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
        for name in COMPARED {
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
