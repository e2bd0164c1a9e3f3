//! The words of errors, as AWS has them.

use std::borrow::Cow;

use crate::error::{Error, faults};

type Words = Cow<'static, str>;

/// A parameter has a value that it cannot have; the words are the whole of them.
pub(crate) fn invalid_parameter(message: impl Into<Words>) -> Error {
    Error::new(&faults::INVALID_PARAMETER_VALUE, message)
}

/// A parameter has a value that it cannot have, for a reason.
pub(crate) fn invalid_value(value: impl std::fmt::Display, parameter: &str, reason: &str) -> Error {
    invalid_parameter(format!("Value {value} for parameter {parameter} is invalid. Reason: {reason}"))
}

/// A parameter that must be there is not.
pub(crate) fn missing_parameter(parameter: impl std::fmt::Display) -> Error {
    let message = format!("The request must contain the parameter {parameter}.");
    Error::new(&faults::MISSING_PARAMETER, message)
}

/// There is no such attribute, or not on a queue of this kind.
pub(crate) fn unknown_attribute(name: &str) -> Error {
    invalid_attribute_name(format!("Unknown Attribute {name}."))
}

/// An attribute that cannot be there; the words are the whole of them.
pub(crate) fn invalid_attribute_name(message: impl Into<Words>) -> Error {
    Error::new(&faults::INVALID_ATTRIBUTE_NAME, message)
}

/// An attribute has a value that it cannot have.
pub(crate) fn invalid_attribute_value(name: &str) -> Error {
    Error::new(&faults::INVALID_ATTRIBUTE_VALUE, format!("Invalid value for the parameter {name}."))
}

/// As [`invalid_attribute_value`], and why.
pub(crate) fn invalid_attribute_value_because(name: &str, reason: &str) -> Error {
    let message = format!("Invalid value for the parameter {name}. Reason: {reason}");
    Error::new(&faults::INVALID_ATTRIBUTE_VALUE, message)
}

/// A body has characters that XML has not.
pub(crate) fn invalid_message_contents() -> Error {
    Error::new(&faults::INVALID_MESSAGE_CONTENTS, INVALID_CHARACTERS)
}

/// What is said of text with characters that XML has not.
pub(crate) const INVALID_CHARACTERS: &str = "Invalid characters found. Valid unicode characters are \
     #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF";

/// There is no such queue.
pub(crate) fn queue_does_not_exist() -> Error {
    Error::new(&faults::QUEUE_DOES_NOT_EXIST, "The specified queue does not exist.")
}

/// A queue is there, and is not what was asked for.
pub(crate) fn queue_name_exists(attribute: &str) -> Error {
    let message = format!("A queue already exists with the same name and a different value for attribute {attribute}");
    Error::new(&faults::QUEUE_NAME_EXISTS, message)
}

/// A queue of this name was deleted a moment ago.
pub(crate) fn queue_deleted_recently(wait_s: u64) -> Error {
    let message = format!(
        "You must wait {wait_s} seconds after deleting a queue before you can create another with the same name."
    );
    Error::new(&faults::QUEUE_DELETED_RECENTLY, message)
}

/// The queue was purged a moment ago.
pub(crate) fn purge_in_progress(queue: &str, wait_s: u64) -> Error {
    let message = format!("Only one PurgeQueue operation on {queue} is allowed every {wait_s} seconds.");
    Error::new(&faults::PURGE_QUEUE_IN_PROGRESS, message)
}

/// A receipt handle is none of this queue's.
pub(crate) fn receipt_handle_is_invalid(handle: &str) -> Error {
    let message = format!("The input receipt handle \"{}\" is not a valid receipt handle.", shown(handle));
    Error::new(&faults::RECEIPT_HANDLE_IS_INVALID, message)
}

/// The message is not in flight.
pub(crate) fn message_not_in_flight() -> Error {
    Error::new(&faults::MESSAGE_NOT_INFLIGHT, "The specified message isn't in flight.")
}

/// A limit is reached.
pub(crate) fn over_limit(message: impl Into<Words>) -> Error {
    Error::new(&faults::OVER_LIMIT, message)
}

/// The queue cannot do this.
pub(crate) fn unsupported(message: impl Into<Words>) -> Error {
    Error::new(&faults::UNSUPPORTED_OPERATION, message)
}

/// What an ARN or a handle names is not there.
pub(crate) fn resource_not_found(message: impl Into<Words>) -> Error {
    Error::new(&faults::RESOURCE_NOT_FOUND, message)
}

/// A batch without entries. `entry` is the name of their type.
pub(crate) fn empty_batch(entry: &str) -> Error {
    let message = format!("There should be at least one {entry} in the request.");
    Error::new(&faults::EMPTY_BATCH_REQUEST, message)
}

/// A batch with too many entries.
pub(crate) fn too_many_entries(entries_max: usize, entries: usize) -> Error {
    let message = format!("Maximum number of entries per request are {entries_max}. You have sent {entries}.");
    Error::new(&faults::TOO_MANY_ENTRIES_IN_BATCH_REQUEST, message)
}

/// Two entries of a batch have one id.
pub(crate) fn entry_ids_not_distinct(id: &str) -> Error {
    let message = format!("Id {} repeated.", shown(id));
    Error::new(&faults::BATCH_ENTRY_IDS_NOT_DISTINCT, message)
}

/// The id of an entry of a batch is none.
pub(crate) fn invalid_entry_id() -> Error {
    let message = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. \
                   It can be at most 80 letters long.";
    Error::new(&faults::INVALID_BATCH_ENTRY_ID, message)
}

/// The messages of a batch are too long together.
pub(crate) fn batch_too_long(bytes_max: usize, bytes: usize) -> Error {
    let message = format!("Batch requests cannot be longer than {bytes_max} bytes. You have sent {bytes} bytes.");
    Error::new(&faults::BATCH_REQUEST_TOO_LONG, message)
}

/// The broker takes nothing just now; SDKs try again.
pub(crate) fn throttled() -> Error {
    Error::new(&faults::REQUEST_THROTTLED, "Rate exceeded")
}

/// It is no URL of a queue.
pub(crate) fn invalid_address(url: &str) -> Error {
    Error::new(&faults::INVALID_ADDRESS, format!("The address {} is not valid for this endpoint.", shown(url)))
}

/// The caller may not do this.
pub(crate) fn denied() -> Error {
    Error::new(&faults::ACCESS_DENIED, "Access to the resource is denied.")
}

/// What a client sent, short enough to be shown in an error.
pub(crate) fn shown(text: &str) -> &str {
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((at, _)) => &text[..at],
        None => text,
    }
}

/// So many characters of what a client sent are shown in an error.
const SHOWN_CHARACTERS_MAX: usize = 1024;
