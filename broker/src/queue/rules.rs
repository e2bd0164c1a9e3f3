//! The rules that a queue follows, as the engine wants them.

use std::sync::Arc;

use bytes::Bytes;

use super::arguments::Arguments;
use super::options::{QueueOptions, QueueType};
use super::settings::{Ordered, QueueSettings};
use crate::error::{Error, Resource};
use crate::stream::StreamRules;
use crate::value::Table;

/// Longest time that an argument or a message may ask for, in milliseconds: ten years, as in RabbitMQ.
pub const ARGUMENT_MS_MAX: u64 = 315_360_000_000;

/// How often a message of a quorum queue may fail if nothing else is said, as in RabbitMQ 4.
const QUORUM_DELIVERY_LIMIT: i128 = 20;

/// The highest priority that a quorum queue tells apart, as in RabbitMQ 4.3.
const QUORUM_PRIORITY_MAX: u8 = 31;

/// What a queue does with its messages: what it was declared with, and what policies add. Any of them can be combined; one
/// that is not asked for costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// `x-message-ttl`: how long a message waits at most, in milliseconds.
    pub(crate) ttl_ms: Option<u64>,
    /// `x-expires`: how long the queue lives unused, in milliseconds.
    pub(crate) expires_ms: Option<u64>,
    /// Where messages go that failed here.
    pub(crate) dead_letter: Option<Arc<DeadLetter>>,
    /// `x-max-length`: how many messages wait at most.
    pub(crate) length_max: Option<u64>,
    /// `x-max-length-bytes`: how many bytes of bodies wait at most.
    pub(crate) bytes_max: Option<u64>,
    /// `x-overflow`: what happens to the message that is too many.
    pub(crate) overflow: Overflow,
    /// `x-max-priority`: priorities above it count as it; 0 where all messages are equal.
    pub(crate) priority_max: u8,
    /// `x-single-active-consumer`: one consumer gets everything, the others stand by.
    pub(crate) single_active: bool,
    /// A consumer of a higher priority takes over from the active one.
    pub(crate) takes_over: bool,
    /// `x-delivery-limit`: how often a message may fail and be tried again.
    pub(crate) delivery_limit: Option<u32>,
    /// Consumers are told how often a message has failed.
    pub(crate) tells_attempts: bool,
    /// `x-consumer-timeout`: how long a consumer may have a message, in milliseconds.
    pub(crate) lease_ms: Option<u64>,
    /// `x-delayed-retry-*`: how long a message that failed waits until it is tried again.
    pub(crate) retry_delay: Option<RetryDelay>,
    /// How long a message waits before anybody can have it that does not say so itself, in milliseconds.
    pub(crate) delay_ms: Option<u64>,
    /// How often a message may be handed out; one that comes up once more goes to [`Rules::redrive`] instead. Nothing without
    /// that.
    pub(crate) receives_max: Option<u32>,
    /// Where messages go that were handed out too often, and those rejected where [`Rules::dead_letter`] says nothing.
    pub(crate) redrive: Option<Arc<DeadLetter>>,
    /// Messages of one group come strictly in their order, and while somebody has one of them nobody else gets the next.
    pub(crate) ordered: bool,
    /// Whoever receives gets messages of groups first that have not much more than others in somebody's hands.
    pub(crate) fair: bool,
    /// What it does with messages that are sent once more.
    pub(crate) window: Option<Ordered>,
    /// It is a stream, and none of the others means anything.
    pub(crate) stream: Option<StreamRules>,
}

/// Where messages go that were rejected, expired, did not fit or failed too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadLetter {
    /// `x-dead-letter-exchange`: an exchange of the same virtual host. It need not exist (yet).
    pub(crate) exchange: Arc<str>,
    /// `x-dead-letter-routing-key`: the key they get; otherwise they keep theirs.
    pub(crate) key: Option<Bytes>,
    /// `x-dead-letter-strategy`: a message that no queue takes is kept until one does; otherwise it is dropped.
    pub(crate) at_least_once: bool,
    /// It follows from the queue's settings: what those say when a message goes counts, and a message may come back as often as
    /// somebody receives it.
    pub(crate) is_redrive: bool,
}

impl DeadLetter {
    /// To a queue by its name; what is to go there stays while there is none.
    fn to_queue(name: &str) -> Self {
        let key = Some(Bytes::copy_from_slice(name.as_bytes()));
        Self { exchange: Arc::from(""), key, at_least_once: true, is_redrive: true }
    }
}

/// What happens when a queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// The first message goes.
    #[default]
    DropHead,
    /// The new one is not taken.
    RejectPublish,
    /// The new one is not taken, and goes where failed messages go.
    RejectPublishDeadLetter,
}

/// How long failed messages wait: longer with each attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryDelay {
    /// After the first attempt, in milliseconds; twice as long after the second.
    pub(crate) min_ms: u64,
    /// At most, in milliseconds.
    pub(crate) max_ms: u64,
    /// Which messages wait.
    pub(crate) which: Delayed,
}

/// Which messages wait before they are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delayed {
    /// Whatever counts as an attempt.
    All,
    /// What a consumer handed back in so many words.
    Returned,
}

impl RetryDelay {
    /// How long a message waits that has failed so often, in milliseconds.
    pub(crate) fn after_ms(&self, attempts: u32) -> u64 {
        self.min_ms.saturating_mul(u64::from(attempts)).min(self.max_ms)
    }
}

/// What policies say of a queue: definitions of the policy and of the operator policy that match it, by their keys
/// (`max-length`, `message-ttl`, `dead-letter-exchange` and so on: arguments without `x-`). Their values have been checked
/// when they were set; one that makes no sense here is passed over.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Effective {
    /// The policy; empty where there is none.
    pub(crate) policy: Table,
    /// The operator policy, which can only narrow what others say; empty where there is none.
    pub(crate) operator: Table,
}

impl Rules {
    /// What a queue has to do that was declared with these options, under these policies and with these settings. Of numbers
    /// the smallest counts; otherwise an argument comes before an operator policy, and that before a policy.
    ///
    /// # Errors
    /// An argument has a value that it cannot have, or the type of queue cannot have a property.
    pub(crate) fn of(
        resource: &Resource,
        options: &QueueOptions,
        policy: &Effective,
        settings: &QueueSettings,
    ) -> Result<Self, Error> {
        let arguments = Arguments::new(resource, &options.arguments, policy);
        let kind = arguments.queue_type()?;
        if kind == QueueType::Stream {
            let stream = StreamRules::of(resource, options, policy)?;
            return Ok(Self { stream: Some(stream), ..Self::default() });
        }
        arguments.check_meaningless(kind)?;
        let is_quorum = kind == QueueType::Quorum;
        let (length_max, bytes_max) = (arguments.number("x-max-length")?, arguments.number("x-max-length-bytes")?);
        let overflow = arguments.overflow()?;
        let mut dead_letter = arguments.dead_letter()?;
        // As in RabbitMQ: what is dropped to make room must not be kept elsewhere for as long as nobody takes it.
        if let Some(to) = &mut dead_letter
            && overflow == Overflow::DropHead
            && (length_max.is_some() || bytes_max.is_some())
        {
            to.at_least_once = false;
        }
        let delivery_limit =
            arguments.delivery_limit()?.or(is_quorum.then_some(QUORUM_DELIVERY_LIMIT)).filter(|limit| *limit >= 0);
        let priority_max = arguments.priority_max()?;
        let single_active = arguments.single_active()?;
        let rules = Self {
            ttl_ms: smaller(arguments.duration("x-message-ttl", true)?, settings.retention_ms),
            expires_ms: arguments.duration("x-expires", false)?,
            dead_letter: dead_letter.map(Arc::new),
            length_max,
            bytes_max,
            overflow,
            priority_max: priority_max.unwrap_or(if is_quorum { QUORUM_PRIORITY_MAX } else { 0 }),
            single_active,
            takes_over: single_active && is_quorum,
            delivery_limit: delivery_limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)),
            tells_attempts: is_quorum || delivery_limit.is_some(),
            lease_ms: arguments.duration("x-consumer-timeout", false)?,
            retry_delay: arguments.retry_delay()?,
            delay_ms: settings.delay_ms,
            receives_max: settings.redrive.as_ref().map(|redrive| redrive.receives_max),
            redrive: settings.redrive.as_ref().map(|redrive| Arc::new(DeadLetter::to_queue(&redrive.queue))),
            ordered: settings.ordered.is_some(),
            fair: settings.fair,
            window: settings.ordered,
            ..Self::default()
        };
        if is_quorum {
            check_replicated(resource, options)?;
        }
        Ok(rules)
    }

    /// Whether it may have to refuse a message.
    pub(crate) fn may_refuse(&self) -> bool {
        self.overflow != Overflow::DropHead && (self.length_max.is_some() || self.bytes_max.is_some())
    }

    /// Whether it may have to drop a message for another one.
    pub(crate) fn may_drop(&self) -> bool {
        self.overflow == Overflow::DropHead && (self.length_max.is_some() || self.bytes_max.is_some())
    }
}

/// The smaller one, where both are there.
fn smaller(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

/// What quorum queues and streams cannot be, as in RabbitMQ.
pub(crate) fn check_replicated(resource: &Resource, options: &QueueOptions) -> Result<(), Error> {
    let wrong = if options.auto_delete {
        "auto-delete"
    } else if options.exclusive {
        "exclusive-owner"
    } else if !options.durable {
        "non-durable"
    } else {
        return Ok(());
    };
    Err(Error::InvalidProperty { resource: resource.clone(), property: wrong })
}
