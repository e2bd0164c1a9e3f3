//! The texts of `destination` headers, and what they mean.
//!
//! | file | about |
//! | --- | --- |
//! | `rabbitmq` | the manner of RabbitMQ's plugin |
//! | `activemq` | the manner of ActiveMQ |

pub mod activemq;
pub mod rabbitmq;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use gantry_broker::Address;
use smallvec::SmallVec;

/// Whose manner destinations are read and written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// That of RabbitMQ's plugin.
    #[default]
    RabbitMq,
    /// That of ActiveMQ.
    ActiveMq,
}

/// The exchange of all topics.
pub const TOPIC_EXCHANGE: &str = "amq.topic";

/// Where a message goes, or what a subscription is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination<'a> {
    /// A queue that is declared by using it.
    Queue(Cow<'a, str>),
    /// A queue that must be there.
    AmqQueue(Cow<'a, str>),
    /// A routing key of [`TOPIC_EXCHANGE`], or a pattern with `*` and `#`.
    Topic(Cow<'a, str>),
    /// An exchange, and a routing key or pattern.
    Exchange {
        /// Not the default exchange.
        exchange: Cow<'a, str>,
        /// None is not the same as an empty one: see `destination` of messages.
        key: Option<Cow<'a, str>>,
    },
    /// A queue that belongs to a connection, by the connection's own name for it.
    TempQueue(Cow<'a, str>),
    /// A topic that belongs to a connection, by the connection's own name for it.
    TempTopic(Cow<'a, str>),
    /// The queue in which somebody waits for an answer.
    ReplyQueue(Cow<'a, str>),
    /// The topic on which somebody waits for an answer.
    ReplyTopic(Cow<'a, str>),
    /// Several, none of which is composite itself.
    Composite(Vec<Destination<'a>>),
}

/// Why a text is no destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DestinationError {
    /// There is no text.
    Blank,
    /// It begins like a destination of a kind, and is none.
    Invalid {
        /// What RabbitMQ calls the kind.
        kind: &'static str,
        /// What stands behind the kind, cut.
        rest: String,
    },
    /// It begins like none; the text, cut.
    Unknown(String),
    /// A composite destination of more parts than allowed.
    TooManyParts(usize),
}

/// Longest destination that is shown in an error, in bytes.
const SHOWN_BYTES_MAX: usize = 512;

/// A text of a client, no longer than an error should be.
pub(crate) fn shown(text: &str) -> String {
    let mut end = text.len().min(SHOWN_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

impl<'a> Destination<'a> {
    /// Reads the value of a `destination` header.
    ///
    /// # Errors
    /// It is none in this dialect.
    pub fn parse(dialect: Dialect, text: &'a str) -> Result<Self, DestinationError> {
        match dialect {
            _ if text.is_empty() => Err(DestinationError::Blank),
            Dialect::RabbitMq => rabbitmq::parse(text),
            Dialect::ActiveMq => activemq::parse(text),
        }
    }
}

/// The text of a destination while it is written.
pub type Text = SmallVec<[u8; 96]>;

/// Writes what the `destination` header of a message says: where the message was published.
pub fn of_message(dialect: Dialect, address: &Address, text: &mut Text) {
    let put = |bytes: &[u8], text: &mut Text| match dialect {
        Dialect::RabbitMq => rabbitmq::percent_encode(bytes, text),
        Dialect::ActiveMq => text.extend_from_slice(bytes),
    };
    text.clear();
    match &*address.exchange {
        "" => text.extend_from_slice(b"/queue/"),
        TOPIC_EXCHANGE => text.extend_from_slice(b"/topic/"),
        exchange => {
            text.extend_from_slice(b"/exchange/");
            put(exchange.as_bytes(), text);
            if address.routing_key.is_empty() {
                return;
            }
            text.push(b'/');
        }
    }
    put(&address.routing_key, text);
}
