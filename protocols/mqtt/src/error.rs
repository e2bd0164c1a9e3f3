//! The broker's errors -> reason codes, and return codes before 5.0. The one place.

use std::borrow::Cow;

use gantry_broker::rights::Denied;
use gantry_broker::{Error, OpenRefused};

use crate::codec::DecodeError;
use crate::codec::reason::{ConnectReturn, Reason};

/// Something that ends the connection, or that a packet is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What a client of 5.0 is told.
    pub(crate) reason: Reason,
    /// In words, as reason string and for the log.
    pub(crate) what: Cow<'static, str>,
}

impl Failure {
    pub(crate) fn new(reason: Reason, what: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, what: what.into() }
    }

    /// The client breaks the rules.
    pub(crate) fn protocol(what: &'static str) -> Self {
        Self::new(Reason::PROTOCOL_ERROR, what)
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::new(error.reason, error.what)
    }
}

/// What a broker's error is called.
pub(crate) fn reason_of(error: &Error) -> Reason {
    match error {
        Error::Refused { .. } | Error::TopicRefused { .. } => Reason::NOT_AUTHORIZED,
        Error::Full | Error::TransactionRefused | Error::LimitReached { .. } => Reason::QUOTA_EXCEEDED,
        Error::NotFound(_)
        | Error::Differs { .. }
        | Error::Forbidden { .. }
        | Error::Locked(_)
        | Error::InExclusiveUse(_)
        | Error::InUse(_)
        | Error::NotEmpty(_)
        | Error::InvalidArgument { .. }
        | Error::InvalidProperty { .. }
        | Error::UnknownExchangeType(_) => Reason::IMPLEMENTATION_SPECIFIC_ERROR,
        Error::Storage(_) => Reason::UNSPECIFIED_ERROR,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(reason_of(&error), error.to_string())
    }
}

impl From<Denied> for Failure {
    fn from(_: Denied) -> Self {
        // A client is told no more than that it was refused.
        Self::new(Reason::BAD_USER_NAME_OR_PASSWORD, "bad user name or password")
    }
}

impl From<OpenRefused> for Failure {
    fn from(refused: OpenRefused) -> Self {
        match refused {
            // As RabbitMQ: who may enter nowhere need not learn what there is.
            OpenRefused::NotFound(_) => Self::new(Reason::BAD_USER_NAME_OR_PASSWORD, "bad user name or password"),
            OpenRefused::Refused { .. } => Self::new(Reason::NOT_AUTHORIZED, "not authorized"),
        }
    }
}

/// The return code of a CONNACK before 5.0 (MQTT 3.1.1, 3.2.2.3).
pub(crate) fn connect_return(reason: Reason) -> ConnectReturn {
    match reason {
        Reason::SUCCESS => ConnectReturn::Accepted,
        Reason::UNSUPPORTED_PROTOCOL_VERSION => ConnectReturn::UnacceptableVersion,
        Reason::CLIENT_IDENTIFIER_NOT_VALID => ConnectReturn::IdentifierRejected,
        Reason::BAD_USER_NAME_OR_PASSWORD => ConnectReturn::BadCredentials,
        Reason::NOT_AUTHORIZED | Reason::BANNED | Reason::BAD_AUTHENTICATION_METHOD => ConnectReturn::NotAuthorized,
        _ => ConnectReturn::ServerUnavailable,
    }
}
