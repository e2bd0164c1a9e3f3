//! A queue's settings as SQS reads them.

use std::sync::Arc;

use gantry_broker::message::now_ms;
use gantry_broker::{Address, Queue, QueueSettings};

use super::names::{self, CREATED_TIMESTAMP, LAST_MODIFIED_TIMESTAMP};
use super::{RedriveAllowPolicy, annotation};
use crate::iam::{Invalid, Policy};
use crate::sqs::limits::{MESSAGE_BYTES_MAX, VISIBILITY_S};

/// A queue's settings as SQS reads them: what each message would otherwise be looked up for again. A queue that was made by
/// another protocol has AWS's usual ones.
#[derive(Debug)]
pub(crate) struct Profile {
    /// What it was worked out from.
    pub(crate) settings: Arc<QueueSettings>,
    /// Where messages of the queue are published.
    pub(crate) address: Arc<Address>,
    pub(crate) is_fifo: bool,
    /// Deduplication ids are made of bodies where a sender gives none.
    pub(crate) is_content_based: bool,
    /// Deduplication ids are those of a group.
    pub(crate) is_per_group: bool,
    pub(crate) visibility_ms: u64,
    /// How long a receive waits that does not say, in seconds.
    pub(crate) wait_s: u64,
    pub(crate) message_bytes_max: usize,
    /// Who may do what, where somebody has said. One that cannot be read lets nobody do anything.
    pub(crate) policy: Option<Result<Policy, Invalid>>,
    pub(crate) redrive_allow: RedriveAllowPolicy,
}

impl Profile {
    /// The profile of a queue as it is now.
    pub(crate) fn new(queue: &Queue, settings: Arc<QueueSettings>) -> Self {
        let text = |name: &str| settings.annotations.get(&annotation(name)).map(String::as_str);
        let number = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
        let address = Address { exchange: Arc::from(""), routing_key: queue.name().as_bytes().to_vec().into() };
        // Both were checked when they were set.
        let policy = text(names::POLICY).map(Policy::parse);
        let redrive_allow = text(names::REDRIVE_ALLOW_POLICY).map_or(RedriveAllowPolicy::All, |text| {
            RedriveAllowPolicy::parse(text).unwrap_or(RedriveAllowPolicy::None)
        });
        Self {
            address: Arc::new(address),
            is_fifo: settings.ordered.is_some(),
            is_content_based: text(names::CONTENT_BASED_DEDUPLICATION) == Some("true"),
            is_per_group: settings.ordered.is_some_and(|ordered| ordered.per_group),
            visibility_ms: settings.lease_ms.unwrap_or(VISIBILITY_S * 1000),
            wait_s: number(names::RECEIVE_MESSAGE_WAIT_TIME_SECONDS).unwrap_or(0),
            message_bytes_max: number(names::MAXIMUM_MESSAGE_SIZE).unwrap_or(MESSAGE_BYTES_MAX) as usize,
            policy,
            redrive_allow,
            settings,
        }
    }
}

/// The time, in seconds since the epoch of Unix.
pub(crate) fn now_s() -> u64 {
    now_ms() / 1000
}

/// Notes when a queue was created.
pub(crate) fn set_created(settings: &mut QueueSettings, now_s: u64) {
    settings.annotations.insert(annotation(CREATED_TIMESTAMP), now_s.to_string());
    set_modified(settings, now_s);
}

/// Notes when a queue was last changed.
pub(crate) fn set_modified(settings: &mut QueueSettings, now_s: u64) {
    settings.annotations.insert(annotation(LAST_MODIFIED_TIMESTAMP), now_s.to_string());
}

/// The policy of a queue, as it is kept.
pub(crate) fn policy_of(settings: &QueueSettings) -> Option<&str> {
    settings.annotations.get(&annotation(names::POLICY)).map(String::as_str)
}
