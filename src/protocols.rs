//! The protocols that are built in: one line each.

use std::sync::Arc;

use gantry_amqp091::Amqp091;
use gantry_broker::protocol::Protocol;
use gantry_broker::{Broker, Sources};

use crate::config::Limits;

/// What a protocol is made of.
pub(crate) struct Parts {
    /// The bounds that the configuration sets.
    pub(crate) limits: Limits,
    /// The broker that it serves.
    pub(crate) broker: Arc<Broker>,
    /// Where AMQP 0-9-1 counts.
    pub(crate) amqp091_stats: Arc<gantry_amqp091::Stats>,
}

/// The name of the listener whose clients it serves, with and without TLS, and how it is made.
pub(crate) type Entry = (&'static str, fn(&Parts) -> Arc<dyn Protocol>);

/// All of them. A listener that has none is not bound.
pub(crate) const PROTOCOLS: &[Entry] = &[("amqp", amqp091)];

/// The protocols that stored messages may have come by.
pub(crate) fn sources() -> Sources {
    Sources::new(vec![&gantry_amqp091::SOURCE])
}

fn amqp091(parts: &Parts) -> Arc<dyn Protocol> {
    let Limits { message_bytes_max, channel_max, frame_max, heartbeat_s, handshake_timeout_s, .. } = parts.limits;
    // The ranges of the configuration are narrower than these types.
    let limits = gantry_amqp091::Limits {
        message_bytes_max,
        channel_max: u16::try_from(channel_max).unwrap_or(u16::MAX),
        frame_bytes_max: u32::try_from(frame_max).unwrap_or(u32::MAX),
        heartbeat_s: u16::try_from(heartbeat_s).unwrap_or(u16::MAX),
        handshake_timeout: std::time::Duration::from_secs(handshake_timeout_s),
    };
    Arc::new(Amqp091::new(Arc::clone(&parts.broker), limits, Arc::clone(&parts.amqp091_stats)))
}
