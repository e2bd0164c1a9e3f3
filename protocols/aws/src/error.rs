//! What AWS says when it does not do what it was asked: a code for JSON, a code for Query, a status, whose fault it is.

use std::borrow::Cow;
use std::fmt;

/// An error that clients know by its codes.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The whole `__type` of JSON, with its namespace.
    pub json_type: &'static str,
    /// The `Code` of Query and of entries of a batch, and the first half of `x-amzn-query-error`.
    pub query_code: &'static str,
    /// The status of HTTP.
    pub status: u16,
    /// Whether the client is to blame, and not the service.
    pub is_sender: bool,
}

/// An error and its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Which.
    pub fault: &'static Fault,
    /// What the client is told.
    pub message: Cow<'static, str>,
}

impl Error {
    /// An error with these words.
    pub fn new(fault: &'static Fault, message: impl Into<Cow<'static, str>>) -> Self {
        Self { fault, message: message.into() }
    }

    /// The code without its namespace, as SDKs that read JSON know it.
    pub fn code(&self) -> &'static str {
        self.fault.json_type.rsplit('#').next().unwrap_or(self.fault.json_type)
    }

    /// The code as Query has it.
    pub fn query_code(&self) -> &'static str {
        self.fault.query_code
    }

    /// The service cannot do it now; the details are for the log and not for the client.
    pub fn internal(details: &dyn fmt::Display) -> Self {
        tracing::error!("a request failed: {details}");
        Self::new(&faults::INTERNAL_FAILURE, "We encountered an internal error. Please try again.")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.query_code(), self.message)
    }
}

impl std::error::Error for Error {}

/// All of them: those of the service model, then those that every service has.
pub mod faults {
    use super::Fault;

    const fn fault(json_type: &'static str, query_code: &'static str, status: u16, is_sender: bool) -> Fault {
        Fault { json_type, query_code, status, is_sender }
    }

    /// Two entries of a batch have one id.
    pub static BATCH_ENTRY_IDS_NOT_DISTINCT: Fault = fault(
        "com.amazonaws.sqs#BatchEntryIdsNotDistinct",
        "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
        400,
        true,
    );

    /// The messages of a batch are too large together.
    pub static BATCH_REQUEST_TOO_LONG: Fault =
        fault("com.amazonaws.sqs#BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong", 400, true);

    /// A batch has no entries.
    pub static EMPTY_BATCH_REQUEST: Fault =
        fault("com.amazonaws.sqs#EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest", 400, true);

    /// It is no URL of a queue.
    pub static INVALID_ADDRESS: Fault = fault("com.amazonaws.sqs#InvalidAddress", "InvalidAddress", 404, true);

    /// There is no such attribute.
    pub static INVALID_ATTRIBUTE_NAME: Fault =
        fault("com.amazonaws.sqs#InvalidAttributeName", "InvalidAttributeName", 400, true);

    /// An attribute cannot have this value.
    pub static INVALID_ATTRIBUTE_VALUE: Fault =
        fault("com.amazonaws.sqs#InvalidAttributeValue", "InvalidAttributeValue", 400, true);

    /// The id of an entry of a batch is not written as one.
    pub static INVALID_BATCH_ENTRY_ID: Fault =
        fault("com.amazonaws.sqs#InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId", 400, true);

    /// A receipt handle is not written as one.
    pub static INVALID_ID_FORMAT: Fault = fault("com.amazonaws.sqs#InvalidIdFormat", "InvalidIdFormat", 400, true);

    /// A body has characters that no message may have.
    pub static INVALID_MESSAGE_CONTENTS: Fault =
        fault("com.amazonaws.sqs#InvalidMessageContents", "InvalidMessageContents", 400, true);

    /// The request has to come over TLS, or to be signed otherwise.
    pub static INVALID_SECURITY: Fault = fault("com.amazonaws.sqs#InvalidSecurity", "InvalidSecurity", 403, true);

    /// The caller may not use the queue's key.
    pub static KMS_ACCESS_DENIED: Fault =
        fault("com.amazonaws.sqs#KmsAccessDenied", "KMS.AccessDeniedException", 400, true);

    /// The queue's key is switched off.
    pub static KMS_DISABLED: Fault = fault("com.amazonaws.sqs#KmsDisabled", "KMS.DisabledException", 400, true);

    /// The queue's key is for something else.
    pub static KMS_INVALID_KEY_USAGE: Fault =
        fault("com.amazonaws.sqs#KmsInvalidKeyUsage", "KMS.InvalidKeyUsageException", 400, true);

    /// The queue's key cannot be used now.
    pub static KMS_INVALID_STATE: Fault =
        fault("com.amazonaws.sqs#KmsInvalidState", "KMS.InvalidStateException", 400, true);

    /// The queue's key is not there.
    pub static KMS_NOT_FOUND: Fault = fault("com.amazonaws.sqs#KmsNotFound", "KMS.NotFoundException", 400, true);

    /// Keys have to be subscribed to.
    pub static KMS_OPT_IN_REQUIRED: Fault = fault("com.amazonaws.sqs#KmsOptInRequired", "KMS.OptInRequired", 403, true);

    /// Keys are asked for too often.
    pub static KMS_THROTTLED: Fault = fault("com.amazonaws.sqs#KmsThrottled", "KMS.ThrottlingException", 400, true);

    /// The message is not held by anybody.
    pub static MESSAGE_NOT_INFLIGHT: Fault =
        fault("com.amazonaws.sqs#MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight", 400, true);

    /// A limit is reached, such as that of messages in flight.
    pub static OVER_LIMIT: Fault = fault("com.amazonaws.sqs#OverLimit", "OverLimit", 403, true);

    /// The queue was purged a moment ago.
    pub static PURGE_QUEUE_IN_PROGRESS: Fault =
        fault("com.amazonaws.sqs#PurgeQueueInProgress", "AWS.SimpleQueueService.PurgeQueueInProgress", 403, true);

    /// A queue of this name was deleted a moment ago.
    pub static QUEUE_DELETED_RECENTLY: Fault =
        fault("com.amazonaws.sqs#QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently", 400, true);

    /// The queue is not there, or not any more.
    pub static QUEUE_DOES_NOT_EXIST: Fault =
        fault("com.amazonaws.sqs#QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", 400, true);

    /// There is a queue of this name, and it is another one.
    pub static QUEUE_NAME_EXISTS: Fault = fault("com.amazonaws.sqs#QueueNameExists", "QueueAlreadyExists", 400, true);

    /// A receipt handle is not one of this queue.
    pub static RECEIPT_HANDLE_IS_INVALID: Fault =
        fault("com.amazonaws.sqs#ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", 404, true);

    /// The caller asks too often.
    pub static REQUEST_THROTTLED: Fault = fault("com.amazonaws.sqs#RequestThrottled", "RequestThrottled", 403, true);

    /// What a task is about is not there.
    pub static RESOURCE_NOT_FOUND: Fault =
        fault("com.amazonaws.sqs#ResourceNotFoundException", "ResourceNotFoundException", 404, true);

    /// A batch has more entries than it may have.
    pub static TOO_MANY_ENTRIES_IN_BATCH_REQUEST: Fault = fault(
        "com.amazonaws.sqs#TooManyEntriesInBatchRequest",
        "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        400,
        true,
    );

    /// It cannot be done to this queue.
    pub static UNSUPPORTED_OPERATION: Fault =
        fault("com.amazonaws.sqs#UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation", 400, true);

    /// A parameter cannot have this value.
    pub static INVALID_PARAMETER_VALUE: Fault =
        fault("com.amazon.coral.service#InvalidParameterValueException", "InvalidParameterValue", 400, true);

    /// Two parameters cannot stand together.
    pub static INVALID_PARAMETER_COMBINATION: Fault = fault(
        "com.amazon.coral.service#InvalidParameterCombinationException",
        "InvalidParameterCombination",
        400,
        true,
    );

    /// A parameter is not there.
    pub static MISSING_PARAMETER: Fault =
        fault("com.amazon.coral.service#MissingRequiredParameterException", "MissingParameter", 400, true);

    /// The request does not say what it wants.
    pub static MISSING_ACTION: Fault =
        fault("com.amazon.coral.service#MissingActionException", "MissingAction", 400, true);

    /// There is no such action, or not here.
    pub static INVALID_ACTION: Fault =
        fault("com.amazon.coral.service#InvalidActionException", "InvalidAction", 400, true);

    /// There is no such action of JSON.
    pub static UNKNOWN_OPERATION: Fault =
        fault("com.amazon.coral.service#UnknownOperationException", "InvalidAction", 400, true);

    /// A request cannot be read.
    pub static SERIALIZATION: Fault =
        fault("com.amazon.coral.service#SerializationException", "MalformedInput", 400, true);

    /// A query string or a form cannot be read.
    pub static MALFORMED_QUERY_STRING: Fault =
        fault("com.amazon.coral.service#MalformedQueryStringException", "MalformedQueryString", 404, true);

    /// The caller may not do this.
    pub static ACCESS_DENIED: Fault =
        fault("com.amazon.coral.service#AccessDeniedException", "AccessDenied", 403, true);

    /// The request is not signed and has to be.
    pub static MISSING_AUTHENTICATION_TOKEN: Fault =
        fault("com.amazon.coral.service#MissingAuthenticationTokenException", "MissingAuthenticationToken", 403, true);

    /// A part of the signature is not there or not written as it has to be.
    pub static INCOMPLETE_SIGNATURE: Fault =
        fault("com.amazon.coral.service#IncompleteSignatureException", "IncompleteSignature", 400, true);

    /// The signature is another one, or too old.
    pub static INVALID_SIGNATURE: Fault =
        fault("com.amazon.coral.service#InvalidSignatureException", "SignatureDoesNotMatch", 403, true);

    /// Nobody has this access key.
    pub static UNRECOGNIZED_CLIENT: Fault =
        fault("com.amazon.coral.service#UnrecognizedClientException", "InvalidClientTokenId", 403, true);

    /// The body is larger than any request may be.
    pub static REQUEST_TOO_LARGE: Fault =
        fault("com.amazon.coral.service#RequestEntityTooLargeException", "RequestEntityTooLarge", 413, true);

    /// The request did not come in time.
    pub static REQUEST_TIMEOUT: Fault =
        fault("com.amazon.coral.service#RequestTimeoutException", "RequestTimeout", 408, true);

    /// The program stops, or has no room. Clients try again.
    pub static SERVICE_UNAVAILABLE: Fault =
        fault("com.amazon.coral.service#ServiceUnavailableException", "ServiceUnavailable", 503, false);

    /// Something broke here.
    pub static INTERNAL_FAILURE: Fault =
        fault("com.amazon.coral.service#InternalFailure", "InternalFailure", 500, false);
}
