//! Messages of SQS <-> the container.
//!
//! | file | about |
//! | --- | --- |
//! | `head` | what is stored of a message beside its body |
//! | `incoming` | what is sent -> message |
//! | `outgoing` | message -> what is received, of whatever protocol it came by |
//! | `source` | a stored message as other protocols see it |
//! | `number` | attributes of type `Number` <-> typed numbers |

mod head;
mod incoming;
mod number;
mod outgoing;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use incoming::{Sent, message};
pub(crate) use outgoing::{Body, Place, Received, received};
pub use source::SOURCE;

/// The number of this source in stored messages.
const SOURCE_ID: u8 = 5;

/// Names of headers and attributes by which one protocol sees what another has said. They are documented for users.
mod names {
    /// The group of a message.
    pub(super) const GROUP: &str = "JMSXGroupID";
    /// The id by which duplicates are known.
    pub(super) const DEDUPLICATION: &str = "x-deduplication-header";
    /// The trace that a message belongs to.
    pub(super) const TRACE: &str = super::super::message_attributes::TRACE_HEADER;
    /// Types of attributes that a header's own type does not tell: `name=Number.int`, one behind the other, with commas.
    pub(super) const TYPES: &str = "x-sqs-attribute-types";
    /// Says `base64` of a body that SQS could not carry as it is.
    pub(super) const TRANSFER_ENCODING: &str = "content-transfer-encoding";

    pub(super) const CONTENT_TYPE: &str = "content-type";
    pub(super) const CONTENT_ENCODING: &str = "content-encoding";
    pub(super) const CORRELATION_ID: &str = "correlation-id";
    pub(super) const REPLY_TO: &str = "reply-to";
    pub(super) const MESSAGE_ID: &str = "message-id";
    pub(super) const TYPE: &str = "type";
    pub(super) const USER_ID: &str = "user-id";
    pub(super) const APP_ID: &str = "app-id";
    pub(super) const TIMESTAMP: &str = "timestamp";
    pub(super) const PRIORITY: &str = "priority";

    /// The queue that a message came from when it was last given up.
    pub(super) const LAST_DEATH_QUEUE: &str = "x-last-death-queue";
    /// How often a message had been received in the queues that it was in before.
    pub(super) const RECEIVE_COUNT: &str = "x-receive-count";
}
