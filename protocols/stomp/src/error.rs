//! The broker's errors, and those of frames -> ERROR frames, in the words of RabbitMQ's plugin. The one place.

use std::borrow::Cow;

use gantry_broker::Error;
use gantry_broker::error::{Differing, Forbidden};
use gantry_broker::value::Value;

use crate::codec::{Answer, CodecError, FrameWriter, Output, Version};
use crate::destinations::{DestinationError, rabbitmq};

/// What a client is told with an ERROR frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The `message` header.
    pub(crate) message: Cow<'static, str>,
    /// The body.
    pub(crate) detail: Cow<'static, str>,
    /// The connection ends with it. RabbitMQ goes on after an error that is only about its frame.
    pub(crate) closes: bool,
    /// The subscription that ended, where it is about one.
    pub(crate) subscription: Option<Box<str>>,
}

/// The versions that there are, as errors list them.
pub(crate) const VERSIONS: &str = "1.0,1.1,1.2";

impl Failure {
    /// The connection goes on.
    pub(crate) fn soft(message: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), detail: detail.into(), closes: false, subscription: None }
    }

    /// The connection ends.
    pub(crate) fn hard(message: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { closes: true, ..Self::soft(message, detail) }
    }

    /// Writes the frame. `receipt` is what the frame that is to blame asked for.
    pub(crate) fn write<O: Output>(&self, out: &mut O, version: Version, receipt: Option<&str>) {
        let mut frame = FrameWriter::new(out, version, Answer::Error);
        frame.header("message", self.message.as_bytes());
        if let Some(subscription) = &self.subscription {
            frame.header("subscription", subscription.as_bytes());
        }
        frame.header("content-type", "text/plain").header("version", VERSIONS);
        if let Some(receipt) = receipt {
            frame.header("receipt-id", receipt);
        }
        frame.body(self.detail.as_bytes());
    }
}

impl From<CodecError> for Failure {
    fn from(error: CodecError) -> Self {
        // RabbitMQ says nothing to the others, and closes.
        let message = if matches!(error, CodecError::UnknownCommand(_)) { "Bad command" } else { "Invalid frame" };
        Self::hard(message, format!("{error}\n"))
    }
}

impl From<DestinationError> for Failure {
    fn from(error: DestinationError) -> Self {
        match error {
            DestinationError::Blank => Self::soft("Invalid destination", "Destination cannot be blank"),
            DestinationError::Invalid { kind, rest } => {
                Self::soft("Invalid destination", format!("'{rest}' is not a valid {kind} destination\n"))
            }
            DestinationError::Unknown(text) => {
                let kinds = rabbitmq::KINDS;
                let detail = format!("'{text}' is not a valid destination.\nValid destination types are: {kinds}.\n");
                Self::soft("Unknown destination", detail)
            }
            DestinationError::TooManyParts(max) => {
                Self::soft("Invalid destination", format!("more than {max} destinations in one\n"))
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // The names are AMQP's: the plugin passes on what it is told there.
        let (name, text) = match error {
            Error::NotFound(resource) => ("not_found", format!("no {resource}")),
            Error::Differs { resource, property, differing } => (
                "precondition_failed",
                format!("inequivalent arg '{property}' for {resource}: {}", differing_words(&differing)),
            ),
            Error::TopicRefused { routing_key, exchange, user } => {
                let key = String::from_utf8_lossy(&routing_key);
                ("access_refused", format!("access to topic '{key}' in {exchange} refused for user '{user}'"))
            }
            Error::Forbidden { resource, what: Forbidden::ReservedName } => (
                "access_refused",
                format!("{} name '{}' contains reserved prefix 'amq.*'", resource.kind, resource.name),
            ),
            Error::Forbidden { resource, what: Forbidden::Internal } => {
                ("access_refused", format!("cannot publish to internal {resource}"))
            }
            error @ (Error::Refused { .. } | Error::Forbidden { .. } | Error::InExclusiveUse(_)) => {
                ("access_refused", error.to_string())
            }
            Error::Locked(resource) => (
                "resource_locked",
                format!(
                    "cannot obtain exclusive access to locked {resource}. It could be originally declared on another \
                     connection or the exclusive property value does not match that of the original declaration."
                ),
            ),
            Error::Storage(problem) => {
                tracing::error!(problem, "storage failed");
                ("internal_error", "storage failed".to_owned())
            }
            Error::UnknownExchangeType(kind) => ("command_invalid", format!("unknown exchange type '{kind}'")),
            Error::TransactionRefused => ("precondition_failed", "partial tx completion".to_owned()),
            error @ (Error::Full | Error::LimitReached { .. }) => ("resource_error", error.to_string()),
            error @ (Error::InUse(_)
            | Error::NotEmpty(_)
            | Error::InvalidArgument { .. }
            | Error::InvalidProperty { .. }) => ("precondition_failed", error.to_string()),
        };
        Self::hard(name, format!("{} - {text}", name.to_uppercase()))
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

fn plain(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_str_lossy().into_owned(),
        Value::Bool(value) => value.to_string(),
        value => value.as_integer().map_or_else(|| value.type_name().to_owned(), |number| number.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use gantry_broker::Kind;
    use gantry_broker::error::Resource;

    use super::*;

    #[test]
    fn an_error_is_worded_as_rabbitmq_does() {
        let resource = Resource { kind: Kind::Queue, name: "nope".into(), vhost: "/".into() };
        let failure = Failure::from(Error::NotFound(resource));
        let mut out = Vec::new();
        failure.write(&mut out, Version::V1_2, None);
        let expected = "ERROR\nmessage:not_found\ncontent-type:text/plain\nversion:1.0,1.1,1.2\ncontent-length:40\n\n\
                        NOT_FOUND - no queue 'nope' in vhost '/'\0\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert!(failure.closes);
    }

    #[test]
    fn an_error_that_is_about_a_frame_names_its_receipt_and_subscription() {
        let mut failure = Failure::from(DestinationError::Invalid { kind: "queue", rest: "/".into() });
        failure.subscription = Some("a:b".into());
        let mut out = Vec::new();
        failure.write(&mut out, Version::V1_1, Some("r\n1"));
        let expected = "ERROR\nmessage:Invalid destination\nsubscription:a\\cb\ncontent-type:text/plain\n\
                        version:1.0,1.1,1.2\nreceipt-id:r\\n1\ncontent-length:37\n\n\
                        '/' is not a valid queue destination\n\0\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert!(!failure.closes);
    }
}
