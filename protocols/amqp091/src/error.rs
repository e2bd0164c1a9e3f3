//! The broker's errors -> the protocol's codes and RabbitMQ's words. The one place.

use gantry_broker::error::{ArgumentProblem, Differing, Forbidden};
use gantry_broker::value::Value;
use gantry_broker::{Error, Kind};

use crate::codec::{CodecError, Method, ReplyCode};

/// Something that ends a channel or the connection, as its code says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: ReplyCode,
    /// Behind the code's name.
    pub(crate) text: String,
    /// Class and method to blame, or zeros.
    pub(crate) method: (u16, u16),
    /// It ends the connection, whatever the code says.
    pub(crate) hard: bool,
}

impl Failure {
    pub(crate) fn new(code: ReplyCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), method: (0, 0), hard: code.closes_connection() }
    }

    /// Says which method is to blame.
    pub(crate) fn of(mut self, method: &Method<'_>) -> Self {
        self.method = (method.class_id(), method.method_id());
        self
    }

    pub(crate) fn of_ids(mut self, ids: (u16, u16)) -> Self {
        self.method = ids;
        self
    }

    /// Ends the connection.
    pub(crate) fn hard(mut self) -> Self {
        self.hard = true;
        self
    }

    pub(crate) fn reply_text(&self) -> String {
        self.code.text(&self.text)
    }
}

impl From<CodecError> for Failure {
    fn from(error: CodecError) -> Self {
        Self { code: error.reply_code(), text: error.to_string(), method: error.method_ids(), hard: true }
    }
}

macro_rules! through_codec_error {
    ($($error:ident),*) => {
        $(impl From<crate::codec::$error> for Failure {
            fn from(error: crate::codec::$error) -> Self {
                CodecError::from(error).into()
            }
        })*
    };
}

through_codec_error!(FrameError, MethodError, HeaderError, TableError);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (code, text) = match error {
            Error::NotFound(resource) => (ReplyCode::NotFound, format!("no {resource}")),
            Error::Differs { resource, property, differing } => (
                ReplyCode::PreconditionFailed,
                format!("inequivalent arg '{property}' for {resource}: {}", differing_words(&differing)),
            ),
            Error::Refused { resource, user } => {
                (ReplyCode::AccessRefused, format!("access to {resource} refused for user '{user}'"))
            }
            Error::TopicRefused { routing_key, exchange, user } => {
                let key = String::from_utf8_lossy(&routing_key);
                (ReplyCode::AccessRefused, format!("access to topic '{key}' in {exchange} refused for user '{user}'"))
            }
            Error::Forbidden { resource, what } => {
                let text = match what {
                    Forbidden::ReservedName => {
                        format!("{} name '{}' contains reserved prefix 'amq.*'", resource.kind, resource.name)
                    }
                    Forbidden::Predeclared if resource.name.is_empty() => {
                        "operation not permitted on the default exchange".to_owned()
                    }
                    Forbidden::Predeclared => format!("deletion of system {resource} not allowed"),
                    Forbidden::DefaultExchange => "operation not permitted on the default exchange".to_owned(),
                    Forbidden::Internal => format!("cannot publish to internal {resource}"),
                };
                (ReplyCode::AccessRefused, text)
            }
            Error::Locked(resource) => (
                ReplyCode::ResourceLocked,
                format!(
                    "cannot obtain exclusive access to locked {resource}. It could be originally declared on another \
                     connection or the exclusive property value does not match that of the original declaration."
                ),
            ),
            Error::InExclusiveUse(resource) => (ReplyCode::AccessRefused, format!("{resource} in exclusive use")),
            Error::InUse(resource) => (ReplyCode::PreconditionFailed, format!("{resource} in use")),
            Error::NotEmpty(resource) => (ReplyCode::PreconditionFailed, format!("{resource} not empty")),
            Error::InvalidArgument { resource, name, value, problem } => {
                let text = match problem {
                    ArgumentProblem::Other(words) if resource.kind == Kind::Exchange => words,
                    ArgumentProblem::WrongType if resource.kind == Kind::Exchange => {
                        format!("invalid type '{}' for arg '{name}' in {resource}", value.type_name())
                    }
                    ArgumentProblem::UnacceptableType if name == "x-dead-letter-exchange" => {
                        format!("invalid type '{}' for arg '{name}' in {resource}", value.type_name())
                    }
                    ArgumentProblem::TooLarge { .. } if name == "x-stream-max-segment-size-bytes" => {
                        format!("Exceeded max value for {name}")
                    }
                    ArgumentProblem::Other(words) if name == "x-stream-filter-size-bytes" => words,
                    ArgumentProblem::NotOfType(kind) => {
                        format!("invalid arg '{name}' for {resource} of queue type {kind}")
                    }
                    problem => {
                        format!("invalid arg '{name}' for {resource}: {}", problem_words(&problem, &value))
                    }
                };
                (ReplyCode::PreconditionFailed, text)
            }
            Error::InvalidProperty { resource, property } => {
                (ReplyCode::PreconditionFailed, format!("invalid property '{property}' for {resource}"))
            }
            Error::UnknownExchangeType(kind) => (ReplyCode::CommandInvalid, format!("unknown exchange type '{kind}'")),
            Error::Full => (ReplyCode::ResourceError, "the disk is full".to_owned()),
            Error::TransactionRefused => (ReplyCode::PreconditionFailed, "partial tx completion".to_owned()),
            Error::LimitReached { what, limit } => (ReplyCode::ResourceError, format!("{what} of {limit} reached")),
            Error::Storage(problem) => {
                tracing::error!(problem, "storage failed");
                (ReplyCode::InternalError, "storage failed".to_owned())
            }
        };
        Self::new(code, text)
    }
}

fn differing_words(differing: &Differing) -> String {
    match differing {
        Differing::Flag { received, current } => format!("received '{received}' but current is '{current}'"),
        Differing::Word { received, current } => format!("received '{received}' but current is '{current}'"),
        Differing::Argument { received: Some(received), current: Some(current) } => {
            format!("received '{}' but current is '{}'", plain(received), plain(current))
        }
        Differing::Argument { received, current } => {
            format!("received {} but current is {}", argument_words(received), argument_words(current))
        }
    }
}

fn argument_words(value: &Option<Value>) -> String {
    match value {
        None => "none".to_owned(),
        Some(value) => format!("the value '{}' of type '{}'", plain(value), value.type_name()),
    }
}

fn problem_words(problem: &ArgumentProblem, value: &Value) -> String {
    match problem {
        ArgumentProblem::WrongType => format!("\"expected integer, got {}\"", value.type_name()),
        ArgumentProblem::UnacceptableType => format!("{{unacceptable_type,{}}}", value.type_name()),
        ArgumentProblem::NotOfType(kind) => format!("not of queue type {kind}"),
        ArgumentProblem::Negative => format!("{{value_negative,{}}}", plain(value)),
        ArgumentProblem::Zero => format!("{{value_zero,{}}}", plain(value)),
        ArgumentProblem::TooLarge { .. } => format!("{{value_too_large,{}}}", plain(value)),
        ArgumentProblem::Unsupported => "not supported".to_owned(),
        ArgumentProblem::Other(words) => words.clone(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_str_lossy().into_owned(),
        Value::Bool(value) => value.to_string(),
        Value::F32(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
        value => value.as_integer().map_or_else(|| value.type_name().to_owned(), |number| number.to_string()),
    }
}
