//! The protocols that are built in: one line each.

use std::sync::Arc;

use gantry_broker::protocol::Protocol;

use crate::config::Limits;

/// What a protocol is made of.
pub(crate) struct Parts {
    /// The bounds that the configuration sets.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the first protocol"))]
    pub(crate) limits: Limits,
}

/// The name of the listener whose clients it serves, with and without TLS, and how it is made.
pub(crate) type Entry = (&'static str, fn(&Parts) -> Arc<dyn Protocol>);

/// All of them. A listener that has none is not bound.
pub(crate) const PROTOCOLS: &[Entry] = &[];
