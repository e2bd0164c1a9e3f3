//! Messages of SQS <-> the container.
//!
//! | file | about |
//! | --- | --- |
//! | `head` | what is stored of a message beside its body |
//! | `incoming` | what is sent -> message |
//! | `outgoing` | message -> what is received, of whatever protocol it came by |
//! | `source` | a stored message as other protocols see it |

mod head;
mod incoming;
mod outgoing;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use incoming::{Sent, message};
pub(crate) use outgoing::{Body, Place, Received, notified, received};
pub use source::SOURCE;

/// The number of this source in stored messages.
pub(crate) const SOURCE_ID: u8 = 5;
