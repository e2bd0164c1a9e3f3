//! What the broker says when it does not do what it was asked. It says what happened and to what; the reply code and the
//! words on the wire are made at the edge, by each protocol's own `error.rs`.

use std::fmt;
use std::sync::Arc;

use crate::value::Value;

/// A kind of named thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A queue.
    Queue,
    /// An exchange.
    Exchange,
    /// A virtual host.
    VirtualHost,
    /// A user.
    User,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queue => "queue",
            Self::Exchange => "exchange",
            Self::VirtualHost => "virtual host",
            Self::User => "user",
        })
    }
}

/// A named thing in a virtual host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: Arc<str>,
    /// The virtual host it is in; its own name for a virtual host.
    pub vhost: Arc<str>,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} '{}' in vhost '{}'", self.kind, self.name, self.vhost)
    }
}

/// A property that was declared once more with another value.
#[derive(Clone, Debug, PartialEq)]
pub enum Differing {
    /// A yes or no, such as `durable`.
    Flag {
        /// What was asked for now.
        received: bool,
        /// What it is.
        current: bool,
    },
    /// A word, such as an exchange's type.
    Word {
        /// What was asked for now.
        received: String,
        /// What it is.
        current: String,
    },
    /// One of the arguments.
    Argument {
        /// What was asked for now, if anything.
        received: Option<Value>,
        /// What it is, if anything.
        current: Option<Value>,
    },
}

/// The broker's errors.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// There is no such thing.
    #[error("no {0}")]
    NotFound(Resource),
    /// It exists, and is not what was declared.
    #[error("inequivalent '{property}' for {resource}")]
    Differs {
        /// What was declared.
        resource: Resource,
        /// Which property differs.
        property: String,
        /// In what.
        differing: Box<Differing>,
    },
    /// The user has not the right to do this.
    #[error("access to {resource} refused for user '{user}'")]
    Refused {
        /// To what.
        resource: Resource,
        /// Whom.
        user: Arc<str>,
    },
    /// The user has not the right to use this routing key on a topic exchange.
    #[error("access to topic '{}' in {exchange} refused for user '{user}'", String::from_utf8_lossy(.routing_key))]
    TopicRefused {
        /// Which routing key.
        routing_key: Box<[u8]>,
        /// On which exchange.
        exchange: Resource,
        /// Whom.
        user: Arc<str>,
    },
    /// A right is not enough: nobody may do this to the thing (declare `amq.…`, delete the default exchange, publish to an
    /// internal exchange). The words say what.
    #[error("{what}: {resource}")]
    Forbidden {
        /// To what.
        resource: Resource,
        /// What was tried.
        what: Forbidden,
    },
    /// The queue belongs to another connection.
    #[error("{0} belongs to another connection")]
    Locked(Resource),
    /// The queue has an exclusive consumer, or an exclusive one was asked for and there are others.
    #[error("{0} in exclusive use")]
    InExclusiveUse(Resource),
    /// It was to be deleted if unused, and is in use.
    #[error("{0} in use")]
    InUse(Resource),
    /// It was to be deleted if empty, and is not.
    #[error("{0} not empty")]
    NotEmpty(Resource),
    /// An argument has a value that it cannot have, or one that is not supported.
    #[error("invalid arg '{name}' for {resource}: {problem}")]
    InvalidArgument {
        /// Of what.
        resource: Resource,
        /// Which argument.
        name: String,
        /// What was given.
        value: Box<Value>,
        /// Why not.
        problem: ArgumentProblem,
    },
    /// A queue of its type cannot have a property.
    #[error("invalid property '{property}' for {resource}")]
    InvalidProperty {
        /// Which queue.
        resource: Resource,
        /// Which property, in RabbitMQ's words.
        property: &'static str,
    },
    /// There is no such type of exchange.
    #[error("unknown exchange type '{0}'")]
    UnknownExchangeType(String),
    /// The disk is full: nothing durable can be taken now.
    #[error("the disk is full")]
    Full,
    /// A queue that is full refuses a message of a transaction: nothing of the transaction has happened.
    #[error("a queue has no room for a message of the transaction")]
    TransactionRefused,
    /// A limit of the configuration is reached.
    #[error("{what} of {limit} reached")]
    LimitReached {
        /// Which.
        what: &'static str,
        /// Its value.
        limit: u64,
    },
    /// Storage failed; the process is about to stop.
    #[error("storage failed: {0}")]
    Storage(String),
}

/// What nobody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// Declare a name that starts with `amq.`.
    ReservedName,
    /// Delete, bind or unbind what comes with the broker.
    Predeclared,
    /// Bind to or unbind from the default exchange.
    DefaultExchange,
    /// Publish to an internal exchange.
    Internal,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReservedName => "the name is reserved",
            Self::Predeclared => "it comes with the broker",
            Self::DefaultExchange => "operation not permitted on the default exchange",
            Self::Internal => "the exchange is internal",
        })
    }
}

/// What is wrong with an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgumentProblem {
    /// It should be an integer.
    WrongType,
    /// It should be of another type, and not an integer.
    UnacceptableType,
    /// A queue of this type, in RabbitMQ's words, has no such argument.
    NotOfType(&'static str),
    /// A number that must not be negative is.
    Negative,
    /// A number that must not be zero is.
    Zero,
    /// A number is larger than allowed.
    TooLarge {
        /// The largest allowed.
        max: u64,
    },
    /// This broker does not know how to do what it asks for.
    Unsupported,
    /// Anything else, in words.
    Other(String),
}

impl fmt::Display for ArgumentProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongType | Self::UnacceptableType => f.write_str("it is of the wrong type"),
            Self::NotOfType(kind) => write!(f, "a queue of type {kind} has none"),
            Self::Negative => f.write_str("it is negative"),
            Self::Zero => f.write_str("it is zero"),
            Self::TooLarge { max } => write!(f, "it is larger than {max}"),
            Self::Unsupported => f.write_str("not supported"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl From<gantry_storage::LogError> for Error {
    fn from(error: gantry_storage::LogError) -> Self {
        match error {
            gantry_storage::LogError::Full => Self::Full,
            error => Self::Storage(error.to_string()),
        }
    }
}
