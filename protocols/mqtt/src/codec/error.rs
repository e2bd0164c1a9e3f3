//! What can be wrong with the bytes of a peer.

use super::packet::Version;
use super::reason::Reason;

/// A packet that is refused. The connection ends with it (4.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} (0x{:02x})", reason.0)]
pub struct DecodeError {
    /// What a DISCONNECT or CONNACK of 5.0 says: 0x81 where the bytes cannot be read as a packet, 0x82 where they say what is not
    /// allowed, and the codes that 5.0 has for single cases.
    pub reason: Reason,
    /// What is wrong, for logs and reason strings; never with bytes of the peer in it.
    pub what: &'static str,
    /// In a CONNECT: the version whose CONNACK the client can read, as far as that is known. `None`: there is nobody to answer,
    /// it is no MQTT or the version was not reached. Elsewhere always `None`.
    pub version: Option<Version>,
}

pub(super) type Result<T> = std::result::Result<T, DecodeError>;

impl DecodeError {
    pub(super) const fn new(reason: Reason, what: &'static str) -> Self {
        Self { reason, what, version: None }
    }
}

/// The bytes cannot be read as a packet (1.2).
pub(super) const fn malformed<T>(what: &'static str) -> Result<T> {
    Err(DecodeError::new(Reason::MALFORMED_PACKET, what))
}

/// The packet says what is not allowed (1.2).
pub(super) const fn protocol_error<T>(what: &'static str) -> Result<T> {
    Err(DecodeError::new(Reason::PROTOCOL_ERROR, what))
}
