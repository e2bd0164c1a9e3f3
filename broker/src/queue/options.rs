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
