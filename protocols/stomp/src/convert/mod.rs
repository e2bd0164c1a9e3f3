//! Messages of this protocol <-> the container.
//!
//! | file | about |
//! | --- | --- |
//! | `head` | what is stored of a SEND beside its body |
//! | `incoming` | SEND -> message |
//! | `outgoing` | message -> MESSAGE |
//! | `source` | a stored SEND as other protocols see it |

mod head;
mod incoming;
mod outgoing;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use incoming::{Sent, message, of_broker};
pub(crate) use outgoing::{Delivered, write_message};
pub use source::SOURCE;

/// The number of this source in stored messages.
const SOURCE_ID: u8 = 4;

/// Headers that are typed properties of a message, by their names in frames.
mod names {
    pub(super) const CONTENT_TYPE: &str = "content-type";
    pub(super) const CONTENT_ENCODING: &str = "content-encoding";
    pub(super) const CORRELATION_ID: &str = "correlation-id";
    pub(super) const REPLY_TO: &str = "reply-to";
    /// The publisher's own: `message-id` of a MESSAGE is the broker's.
    pub(super) const MESSAGE_ID: &str = "amqp-message-id";
    pub(super) const TIMESTAMP: &str = "timestamp";
    pub(super) const TYPE: &str = "type";
    pub(super) const USER_ID: &str = "user-id";
    pub(super) const APP_ID: &str = "app-id";
    pub(super) const PERSISTENT: &str = "persistent";
    pub(super) const PRIORITY: &str = "priority";
    /// Time to live in milliseconds, in RabbitMQ's manner.
    pub(super) const EXPIRATION: &str = "expiration";
    /// When it expires, in milliseconds since the epoch of Unix, in ActiveMQ's manner; 0 for never.
    pub(super) const EXPIRES: &str = "expires";
    /// Messages of a group go to one consumer at a time.
    pub(super) const GROUP: &str = "JMSXGroupID";
    /// Below 0, the group ends with its message.
    pub(super) const GROUP_SEQUENCE: &str = "JMSXGroupSeq";
    /// How all headers begin that say when a message is due: they are obeyed, and not passed on.
    pub(super) const SCHEDULED: &str = "AMQ_SCHEDULED_";
}

/// Whether a header says something of one frame, and not of the message. Those that only the broker may say of a MESSAGE are
/// among them: a publisher could name another subscription there, or make a consumer acknowledge what it never got.
const fn is_of_frame(name: &[u8]) -> bool {
    matches!(
        name,
        b"destination" | b"content-length" | b"transaction" | b"subscription" | b"message-id" | b"redelivered" | b"ack"
    )
}
