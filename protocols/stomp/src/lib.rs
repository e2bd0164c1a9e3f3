//! STOMP 1.0, 1.1 and 1.2, in RabbitMQ's and in ActiveMQ's manner.
//!
//! | room | |
//! | --- | --- |
//! | [`codec`] | bytes <-> frames; pure |
//! | `handshake` | from the first byte to a session |
//! | `connection`, `heartbeat` | one task, one select loop, one write for all that is ready; signs of life |
//! | `client`, `frames` | what a client has going, and what each frame does: one file a kind |
//! | `subscriptions`, `unacked`, `deliver` | what it has subscribed to, what queues grant -> MESSAGE, and what of that is not done |
//! | `receipts` | RECEIPT, in order and not before the disk |
//! | [`destinations`], `convert` | texts of destinations -> what they mean, messages <-> the container; pure |
//! | `error` | the broker's errors -> ERROR frames |

mod activemq;
mod client;
pub mod codec;
mod connection;
mod convert;
mod deliver;
pub mod destinations;
mod error;
mod frames;
mod handshake;
mod heartbeat;
mod limits;
mod receipts;
mod stats;
mod subscriptions;
mod told;
mod unacked;

use std::sync::Arc;

use async_trait::async_trait;
use gantry_broker::Broker;
use gantry_broker::protocol::{Connection, Protocol};

use self::activemq::ClientIds;
pub use self::convert::SOURCE;
pub use self::destinations::Dialect;
pub use self::limits::Settings;
pub use self::stats::Stats;

/// The protocol, serving the clients of one broker.
#[derive(Debug)]
pub struct Stomp {
    broker: Arc<Broker>,
    settings: Arc<Settings>,
    stats: Arc<Stats>,
    client_ids: Arc<ClientIds>,
}

impl Stomp {
    /// Serves `broker` as `settings` say, and counts in `stats`.
    pub fn new(broker: Arc<Broker>, settings: Settings, stats: Arc<Stats>) -> Self {
        Self { broker, settings: Arc::new(settings), stats, client_ids: Arc::default() }
    }
}

#[async_trait]
impl Protocol for Stomp {
    fn name(&self) -> &'static str {
        "stomp"
    }

    async fn serve(&self, connection: Connection) {
        connection::serve(self, connection).await;
    }
}
