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

/// All of them.
pub mod faults {
    use super::Fault;

    const fn fault(json_type: &'static str, query_code: &'static str, status: u16, is_sender: bool) -> Fault {
        Fault { json_type, query_code, status, is_sender }
    }

    /// The queue is not there, or not any more.
    pub static QUEUE_DOES_NOT_EXIST: Fault =
        fault("com.amazonaws.sqs#QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", 400, true);
    /// The caller may not do this.
    pub static ACCESS_DENIED: Fault =
        fault("com.amazon.coral.service#AccessDeniedException", "AccessDenied", 403, true);
    /// There is no such action.
    pub static UNKNOWN_OPERATION: Fault =
        fault("com.amazon.coral.service#UnknownOperationException", "InvalidAction", 400, true);
    /// The body cannot be read.
    pub static SERIALIZATION: Fault =
        fault("com.amazon.coral.service#SerializationException", "MalformedInput", 400, true);
    /// A parameter cannot be read.
    pub static MALFORMED_INPUT: Fault =
        fault("com.amazon.coral.service#SerializationException", "MalformedInput", 400, true);
    /// The body is larger than any request may be.
    pub static REQUEST_TOO_LARGE: Fault =
        fault("com.amazon.coral.service#RequestEntityTooLargeException", "RequestEntityTooLarge", 413, true);
    /// The request did not come in time.
    pub static REQUEST_TIMEOUT: Fault =
        fault("com.amazon.coral.service#RequestTimeoutException", "RequestTimeout", 408, true);
    /// The program stops, or has no room.
    pub static SERVICE_UNAVAILABLE: Fault =
        fault("com.amazon.coral.service#ServiceUnavailableException", "ServiceUnavailable", 503, false);
    /// Something broke here.
    pub static INTERNAL_FAILURE: Fault =
        fault("com.amazon.coral.service#InternalFailure", "InternalFailure", 500, false);
}
