//! MQTT 3.1, 3.1.1 and 5.0.
//!
//! | room | |
//! | --- | --- |
//! | [`codec`] | bytes <-> packets; pure |
//! | `handshake`, `authentication` | from the first byte to a session |
//! | `connection` | one task, one select loop, one write for all that is ready |
//! | `client`, `packets` | what a client has going, and what each packet does: one file a packet |
//! | `sessions`, `subscriptions` | what outlives connections, and what a message came by |
//! | `deliver`, `inflight` | what queues grant -> PUBLISH, and what of that is not done |
//! | `answers` | acknowledgements, in order and not before the disk |
//! | `retained`, `sys` | what a new subscriber is sent, and the broker's numbers as topics |
//! | `convert`, `topics` | messages <-> the container, topics <-> routing keys |
//! | `error` | the broker's errors -> reason codes |
//! | `scram` | logging in by SCRAM-SHA-256; pure |

mod answers;
mod authentication;
mod client;
pub mod codec;
mod connection;
mod convert;
mod deliver;
mod error;
mod handshake;
mod inflight;
mod limits;
mod packets;
mod retained;
mod scram;
mod sessions;
mod stats;
mod subscriptions;
mod sys;
mod told;
mod topics;

use std::sync::Arc;

use async_trait::async_trait;
use gantry_broker::Broker;
use gantry_broker::protocol::{Connection, Protocol};

pub use self::convert::SOURCE;
pub use self::limits::Settings;
pub use self::stats::Stats;
use crate::sessions::{SessionSettings, Sessions};

/// The protocol, serving the clients of one broker.
pub struct Mqtt {
    broker: Arc<Broker>,
    settings: Arc<Settings>,
    stats: Arc<Stats>,
    sessions: Arc<Sessions>,
}

impl Mqtt {
    /// Serves `broker` as `settings` say, and counts in `stats`. Sessions of before are there again.
    ///
    /// # Errors
    /// What is stored of sessions cannot be read.
    pub fn new(broker: Arc<Broker>, settings: Settings, stats: Arc<Stats>) -> Result<Self, gantry_broker::Error> {
        let of_sessions = SessionSettings {
            exchange: Arc::from(&*settings.exchange),
            sessions_max: settings.sessions_max,
            subscriptions_max: settings.subscriptions_max,
            system_interval: settings.system_interval,
            stats: Arc::clone(&stats),
            expiry_s_max: settings.session_expiry_max_s,
            ..SessionSettings::default()
        };
        let sessions = Sessions::new(Arc::clone(&broker), of_sessions)?;
        Ok(Self { broker, settings: Arc::new(settings), stats, sessions })
    }

    /// Writes down what a restart has to know of sessions. For an orderly stop, once the connections are gone and before the
    /// broker is closed.
    pub fn stop(&self) {
        self.sessions.stop();
    }
}

impl std::fmt::Debug for Mqtt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mqtt").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[async_trait]
impl Protocol for Mqtt {
    fn name(&self) -> &'static str {
        "mqtt"
    }

    async fn serve(&self, connection: Connection) {
        connection::serve(self, connection).await;
    }
}
