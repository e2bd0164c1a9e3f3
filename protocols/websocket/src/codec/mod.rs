//! Frames (RFC 6455, section 5), as a filter over bytes that are in somebody else's buffer: nothing here holds a payload.

mod close;
mod deflate;
mod incoming;
mod mask;
mod outgoing;
mod utf8;

#[cfg(test)]
mod tests;

pub(crate) use self::close::Violation;
pub(crate) use self::deflate::{Inflate, deflate};
pub(crate) use self::incoming::{End, Incoming, IncomingLimits, Step};
pub(crate) use self::outgoing::{ControlFrame, DataHead};
pub(crate) use self::utf8::Utf8;

/// Longest payload of a control frame (section 5.5).
pub(crate) const CONTROL_BYTES_MAX: usize = 125;

/// Longest head of a frame that a client sends.
const HEAD_BYTES_MAX: usize = 14;
