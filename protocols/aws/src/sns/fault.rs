//! The words of errors, as AWS has them.

use std::borrow::Cow;

use super::faults;
use crate::error::{self, Error};

type Words = Cow<'static, str>;

/// So many characters of what a client sent are shown in an error.
const SHOWN_CHARACTERS_MAX: usize = 256;

/// What a client sent, short enough to be shown in an error.
pub(crate) fn shown(text: &str) -> &str {
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((at, _)) => &text[..at],
        None => text,
    }
}

/// There is no such action.
pub(crate) fn invalid_action(action: &str) -> Error {
    let message = format!("Could not find operation {} for version 2010-03-31", shown(action));
    Error::new(&error::faults::INVALID_ACTION, message)
}

/// A parameter has a value that it cannot have: `what` is its name, and why where there is something to say.
pub(crate) fn invalid_parameter(what: impl std::fmt::Display) -> Error {
    Error::new(&faults::INVALID_PARAMETER, format!("Invalid parameter: {what}"))
}

/// As [`invalid_parameter`], and the words are the whole of them.
pub(crate) fn invalid(message: impl Into<Words>) -> Error {
    Error::new(&faults::INVALID_PARAMETER, message)
}

/// A parameter that must be there is not. `member` is its path, as `topicArn`.
pub(crate) fn missing(member: &str) -> Error {
    let message = format!(
        "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
    );
    Error::new(&VALIDATION_ERROR, message)
}

/// What AWS's frameworks say of a request before the service sees it.
pub(crate) static VALIDATION_ERROR: error::Fault = error::Fault {
    json_type: "com.amazon.coral.validate#ValidationException",
    query_code: "ValidationError",
    status: 400,
    is_sender: true,
};

/// The resource is not there: `what` is `Topic`, `Subscription`, `PlatformApplication` or `Endpoint`.
pub(crate) fn not_found(what: &str) -> Error {
    Error::new(&faults::NOT_FOUND, format!("{what} does not exist"))
}

/// The caller may not do this.
pub(crate) fn denied(message: impl Into<Words>) -> Error {
    Error::new(&faults::AUTHORIZATION_ERROR, message)
}

/// The broker takes nothing just now; SDKs try again.
pub(crate) fn throttled() -> Error {
    Error::new(&faults::THROTTLED, "Rate exceeded")
}

/// What the broker says, as SNS says it.
pub(crate) fn of_broker(error: gantry_broker::Error) -> Error {
    use gantry_broker::Error as Broker;
    match error {
        Broker::NotFound(_) | Broker::Locked(_) => not_found("Topic"),
        Broker::Refused { .. } | Broker::TopicRefused { .. } => denied("Access to the resource is denied."),
        Broker::Full | Broker::LimitReached { .. } => throttled(),
        Broker::Forbidden { .. } => invalid_parameter("Topic Name"),
        other => Error::internal(&other),
    }
}
