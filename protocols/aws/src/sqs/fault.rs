//! Errors of SQS, each with the codes and the words that AWS has for it.
//!
//! The code of the JSON protocol and that of the Query protocol differ for many of them; SDKs of either kind look for their own.

use std::borrow::Cow;

use crate::error::Error;

use self::codes::*;

type Words = Cow<'static, str>;

/// Which errors there are: their codes in JSON and in Query, and their status.
mod codes {
    use crate::error::Fault;

    const fn fault(json_type: &'static str, query_code: &'static str, status: u16) -> Fault {
        Fault { json_type, query_code, status, is_sender: true }
    }

    macro_rules! codes {
        ($($name:ident = $json_type:literal, $query_code:literal, $status:literal;)*) => {
            $(pub(super) static $name: Fault = fault($json_type, $query_code, $status);)*
        };
    }

    codes! {
        INVALID_PARAMETER_VALUE = "com.amazon.coral.service#InvalidParameterValueException", "InvalidParameterValue", 400;
        MISSING_REQUIRED_PARAMETER = "com.amazon.coral.service#MissingRequiredParameterException", "MissingParameter", 400;
        INVALID_ATTRIBUTE_NAME = "com.amazonaws.sqs#InvalidAttributeName", "InvalidAttributeName", 400;
        INVALID_ATTRIBUTE_VALUE = "com.amazonaws.sqs#InvalidAttributeValue", "InvalidAttributeValue", 400;
        INVALID_MESSAGE_CONTENTS = "com.amazonaws.sqs#InvalidMessageContents", "InvalidMessageContents", 400;
        QUEUE_DOES_NOT_EXIST = "com.amazonaws.sqs#QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", 400;
        QUEUE_NAME_EXISTS = "com.amazonaws.sqs#QueueNameExists", "QueueAlreadyExists", 400;
        QUEUE_DELETED_RECENTLY = "com.amazonaws.sqs#QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently", 400;
        PURGE_QUEUE_IN_PROGRESS = "com.amazonaws.sqs#PurgeQueueInProgress", "AWS.SimpleQueueService.PurgeQueueInProgress", 403;
        RECEIPT_HANDLE_IS_INVALID = "com.amazonaws.sqs#ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", 400;
        MESSAGE_NOT_INFLIGHT = "com.amazonaws.sqs#MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight", 400;
        OVER_LIMIT = "com.amazonaws.sqs#OverLimit", "OverLimit", 403;
        UNSUPPORTED_OPERATION = "com.amazonaws.sqs#UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation", 400;
        RESOURCE_NOT_FOUND = "com.amazonaws.sqs#ResourceNotFoundException", "ResourceNotFoundException", 404;
        EMPTY_BATCH_REQUEST = "com.amazonaws.sqs#EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest", 400;
        TOO_MANY_ENTRIES_IN_BATCH_REQUEST = "com.amazonaws.sqs#TooManyEntriesInBatchRequest", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", 400;
        BATCH_ENTRY_IDS_NOT_DISTINCT = "com.amazonaws.sqs#BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", 400;
        INVALID_BATCH_ENTRY_ID = "com.amazonaws.sqs#InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId", 400;
        BATCH_REQUEST_TOO_LONG = "com.amazonaws.sqs#BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong", 400;
        REQUEST_THROTTLED = "com.amazonaws.sqs#RequestThrottled", "RequestThrottled", 400;
    }
}

/// A parameter has a value that it cannot have; the words are the whole of them.
pub(crate) fn invalid_parameter(message: impl Into<Words>) -> Error {
    Error::new(&INVALID_PARAMETER_VALUE, message)
}

/// A parameter has a value that it cannot have, for a reason.
pub(crate) fn invalid_value(value: impl std::fmt::Display, parameter: &str, reason: &str) -> Error {
    invalid_parameter(format!("Value {value} for parameter {parameter} is invalid. Reason: {reason}"))
}

/// A parameter that must be there is not.
pub(crate) fn missing_parameter(parameter: impl std::fmt::Display) -> Error {
    let message = format!("The request must contain the parameter {parameter}.");
    Error::new(&MISSING_REQUIRED_PARAMETER, message)
}

/// There is no such attribute, or not on a queue of this kind.
pub(crate) fn unknown_attribute(name: &str) -> Error {
    invalid_attribute_name(format!("Unknown Attribute {name}."))
}

/// An attribute that cannot be there; the words are the whole of them.
pub(crate) fn invalid_attribute_name(message: impl Into<Words>) -> Error {
    Error::new(&INVALID_ATTRIBUTE_NAME, message)
}

/// An attribute has a value that it cannot have.
pub(crate) fn invalid_attribute_value(name: &str) -> Error {
    Error::new(&INVALID_ATTRIBUTE_VALUE, format!("Invalid value for the parameter {name}."))
}

/// As [`invalid_attribute_value`], and why.
pub(crate) fn invalid_attribute_value_because(name: &str, reason: &str) -> Error {
    let message = format!("Invalid value for the parameter {name}. Reason: {reason}");
    Error::new(&INVALID_ATTRIBUTE_VALUE, message)
}

/// A body has characters that XML has not.
pub(crate) fn invalid_message_contents() -> Error {
    Error::new(&INVALID_MESSAGE_CONTENTS, INVALID_CHARACTERS)
}

/// What is said of text with characters that XML has not.
pub(crate) const INVALID_CHARACTERS: &str = "Invalid characters found. Valid unicode characters are \
     #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF";

/// There is no such queue.
pub(crate) fn queue_does_not_exist() -> Error {
    Error::new(&QUEUE_DOES_NOT_EXIST, "The specified queue does not exist.")
}

/// A queue is there, and is not what was asked for.
pub(crate) fn queue_name_exists(attribute: &str) -> Error {
    let message = format!("A queue already exists with the same name and a different value for attribute {attribute}");
    Error::new(&QUEUE_NAME_EXISTS, message)
}

/// A queue of this name was deleted a moment ago.
pub(crate) fn queue_deleted_recently(wait_s: u64) -> Error {
    let message = format!(
        "You must wait {wait_s} seconds after deleting a queue before you can create another with the same name."
    );
    Error::new(&QUEUE_DELETED_RECENTLY, message)
}

/// The queue was purged a moment ago.
pub(crate) fn purge_in_progress(queue: &str) -> Error {
    let message = format!("Only one PurgeQueue operation on {queue} is allowed every 60 seconds.");
    Error::new(&PURGE_QUEUE_IN_PROGRESS, message)
}

/// A receipt handle is none of this queue's.
pub(crate) fn receipt_handle_is_invalid(handle: &str) -> Error {
    let message = format!("The input receipt handle \"{}\" is not a valid receipt handle.", shown(handle));
    Error::new(&RECEIPT_HANDLE_IS_INVALID, message)
}

/// The message is not in flight.
pub(crate) fn message_not_in_flight() -> Error {
    Error::new(&MESSAGE_NOT_INFLIGHT, "The specified message isn't in flight.")
}

/// A limit is reached.
pub(crate) fn over_limit(message: impl Into<Words>) -> Error {
    Error::new(&OVER_LIMIT, message)
}

/// The queue cannot do this.
pub(crate) fn unsupported(message: impl Into<Words>) -> Error {
    Error::new(&UNSUPPORTED_OPERATION, message)
}

/// What an ARN or a handle names is not there.
pub(crate) fn resource_not_found(message: impl Into<Words>) -> Error {
    Error::new(&RESOURCE_NOT_FOUND, message)
}

/// A batch without entries. `entry` is the name of their type.
pub(crate) fn empty_batch(entry: &str) -> Error {
    let message = format!("There should be at least one {entry} in the request.");
    Error::new(&EMPTY_BATCH_REQUEST, message)
}

/// A batch with too many entries.
pub(crate) fn too_many_entries(entries_max: usize, entries: usize) -> Error {
    let message = format!("Maximum number of entries per request are {entries_max}. You have sent {entries}.");
    Error::new(&TOO_MANY_ENTRIES_IN_BATCH_REQUEST, message)
}

/// Two entries of a batch have one id.
pub(crate) fn entry_ids_not_distinct(id: &str) -> Error {
    let message = format!("Id {} repeated.", shown(id));
    Error::new(&BATCH_ENTRY_IDS_NOT_DISTINCT, message)
}

/// The id of an entry of a batch is none.
pub(crate) fn invalid_entry_id() -> Error {
    let message = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. \
                   It can be at most 80 letters long.";
    Error::new(&INVALID_BATCH_ENTRY_ID, message)
}

/// The messages of a batch are too long together.
pub(crate) fn batch_too_long(bytes_max: usize, bytes: usize) -> Error {
    let message = format!("Batch requests cannot be longer than {bytes_max} bytes. You have sent {bytes} bytes.");
    Error::new(&BATCH_REQUEST_TOO_LONG, message)
}

/// The broker takes nothing just now; SDKs try again.
pub(crate) fn throttled() -> Error {
    Error::new(&REQUEST_THROTTLED, "Rate exceeded")
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
