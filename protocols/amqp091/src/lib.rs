//! AMQP 0-9-1 as RabbitMQ speaks it.
//!
//! | room | |
//! | --- | --- |
//! | [`codec`] | bytes <-> frames, methods, properties, tables; pure |
//! | `handshake` | from the first byte to an open virtual host |
//! | `connection` | one task, one select loop, one write for all that is ready |
//! | `output` | bodies as frames |
//! | `channel`, `unacked` | what a client has going on a channel |
//! | `session`, `methods` | what the client may do now: the content of publishes, then one file a class of methods |
//! | `deliver` | what queues grant -> frames |
//! | `convert`, `copies` | messages <-> the container; `CC` and `BCC` |
//! | `error` | the broker's errors -> codes and texts |

mod channel;
pub mod codec;
mod connection;
mod convert;
mod copies;
mod deliver;
mod error;
mod handshake;
mod limits;
mod methods;
mod output;
mod session;
mod stats;
mod told;
mod unacked;

use std::sync::Arc;

use async_trait::async_trait;
use gantry_broker::Broker;
use gantry_broker::protocol::{Connection, Protocol};

pub use self::convert::SOURCE;
pub use self::limits::Limits;
pub use self::stats::Stats;

/// The protocol, serving the clients of one broker.
#[derive(Debug)]
pub struct Amqp091 {
    broker: Arc<Broker>,
    limits: Limits,
    stats: Arc<Stats>,
}

impl Amqp091 {
    /// Serves `broker` within `limits`, and counts in `stats`.
    pub fn new(broker: Arc<Broker>, limits: Limits, stats: Arc<Stats>) -> Self {
        Self { broker, limits, stats }
    }
}

#[async_trait]
impl Protocol for Amqp091 {
    fn name(&self) -> &'static str {
        "amqp091"
    }

    async fn serve(&self, connection: Connection) {
        connection::serve(&self.broker, self.limits, &self.stats, connection).await;
    }
}
