//! What is delivered, and what became of it.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use gantry_broker::Message;
use serde::{Deserialize, Serialize};

use super::errand::Errand;
use super::notice::Notice;
use crate::Edge;

/// What a parcel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sort {
    /// Something that was published.
    Notification,
    /// The question whether an endpoint wants to have what is published.
    SubscriptionConfirmation,
    /// The news that it gets nothing any more.
    UnsubscribeConfirmation,
}

impl Sort {
    /// As it is called on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Notification => "Notification",
            Self::SubscriptionConfirmation => "SubscriptionConfirmation",
            Self::UnsubscribeConfirmation => "UnsubscribeConfirmation",
        }
    }
}

/// A message on its way to an endpoint.
#[derive(Clone)]
pub(crate) struct Parcel {
    /// Where everything is that a kind may need: settings, the client for requests, the signatures.
    pub(crate) edge: Arc<Edge>,
    /// To whom, and how. As it was when this attempt began.
    pub(crate) errand: Arc<Errand>,
    /// What it is.
    pub(crate) sort: Sort,
    /// The message, in memory.
    pub(crate) message: Arc<Message>,
    /// Where it is no notification, what it says; its text is the message's body.
    pub(crate) notice: Option<Notice>,
    /// Its place in the queue that it comes from: it keeps that for all attempts, restarts included.
    pub(crate) seq: u64,
    /// When it was received for the first time, in milliseconds since the epoch of Unix.
    pub(crate) first_received_ms: u64,
    /// How often it failed before.
    pub(crate) attempts: u32,
}

/// What became of an attempt to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The endpoint has it.
    Delivered(Told),
    /// It failed, and may work later.
    Retry(Failure),
    /// It failed, and would fail again: no further attempt.
    Rejected(Failure),
}

/// What the other side said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Its status, where the protocol has one.
    pub(crate) status: Option<u16>,
    /// The first bytes of what it said, for the log of deliveries.
    pub(crate) said: Bytes,
}

/// Why an attempt failed: it is in the log, and in the attributes of what goes to the queue for dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The status that was answered, where there was an answer.
    pub(crate) status: Option<u16>,
    /// A word for the reason, such as `ServiceUnavailable`.
    pub(crate) code: Cow<'static, str>,
    /// The reason. No secret is in it.
    pub(crate) reason: String,
}

impl Failure {
    /// A failure without an answer.
    pub(crate) fn new(code: &'static str, reason: impl Into<String>) -> Self {
        Self { status: None, code: Cow::Borrowed(code), reason: reason.into() }
    }
}
