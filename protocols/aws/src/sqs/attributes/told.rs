//! What a client is told of a queue's attributes.

use gantry_broker::QueueSettings;

use super::{annotation, names};
use crate::error::Error;
use crate::sqs::fault;
use crate::sqs::limits::{MESSAGE_BYTES_MAX, RETENTION_S, VISIBILITY_S};

/// How full a queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Messages that may be received.
    pub(crate) visible: usize,
    /// Messages in flight.
    pub(crate) in_flight: usize,
    /// Messages that wait for their time.
    pub(crate) delayed: usize,
}

/// Every name of an attribute, in AWS's order.
const NAMES: &[&str] = &[
    names::QUEUE_ARN,
    names::MESSAGES,
    names::MESSAGES_NOT_VISIBLE,
    names::MESSAGES_DELAYED,
    names::CREATED_TIMESTAMP,
    names::LAST_MODIFIED_TIMESTAMP,
    names::VISIBILITY_TIMEOUT,
    names::MAXIMUM_MESSAGE_SIZE,
    names::MESSAGE_RETENTION_PERIOD,
    names::DELAY_SECONDS,
    names::POLICY,
    names::RECEIVE_MESSAGE_WAIT_TIME_SECONDS,
    names::REDRIVE_POLICY,
    names::REDRIVE_ALLOW_POLICY,
    names::KMS_MASTER_KEY_ID,
    names::KMS_DATA_KEY_REUSE_PERIOD_SECONDS,
    names::SQS_MANAGED_SSE_ENABLED,
    names::FIFO_QUEUE,
    names::CONTENT_BASED_DEDUPLICATION,
    names::DEDUPLICATION_SCOPE,
    names::FIFO_THROUGHPUT_LIMIT,
];

/// Whether there is an attribute of this name, on whatever queue.
pub(crate) fn is_name(name: &str) -> bool {
    name == names::ALL || NAMES.contains(&name)
}

/// The value of an attribute that follows from settings; none where the queue has none of it.
pub(crate) fn value(name: &str, settings: &QueueSettings) -> Option<String> {
    let kept = || settings.annotations.get(&annotation(name)).cloned();
    let or = |usual: &str| Some(kept().unwrap_or_else(|| usual.to_owned()));
    let seconds = |ms: Option<u64>, usual_s: u64| Some(ms.map_or(usual_s, |ms| ms / 1000).to_string());
    let ordered = settings.ordered;
    match name {
        names::CREATED_TIMESTAMP | names::LAST_MODIFIED_TIMESTAMP => or("0"),
        names::VISIBILITY_TIMEOUT => seconds(settings.lease_ms, VISIBILITY_S),
        names::MESSAGE_RETENTION_PERIOD => seconds(settings.retention_ms, RETENTION_S),
        names::DELAY_SECONDS => seconds(settings.delay_ms, 0),
        names::MAXIMUM_MESSAGE_SIZE => or(&MESSAGE_BYTES_MAX.to_string()),
        names::RECEIVE_MESSAGE_WAIT_TIME_SECONDS => or("0"),
        names::SQS_MANAGED_SSE_ENABLED => or("true"),
        names::KMS_DATA_KEY_REUSE_PERIOD_SECONDS => {
            let is_used = settings.annotations.contains_key(&annotation(names::KMS_MASTER_KEY_ID));
            if is_used { or("300") } else { None }
        }
        names::FIFO_QUEUE => ordered.map(|_| "true".to_owned()),
        names::CONTENT_BASED_DEDUPLICATION => ordered.and_then(|_| or("false")),
        names::DEDUPLICATION_SCOPE => {
            ordered.map(|ordered| if ordered.per_group { "messageGroup" } else { "queue" }.to_owned())
        }
        names::FIFO_THROUGHPUT_LIMIT => ordered.and_then(|_| or("perQueue")),
        names::POLICY | names::REDRIVE_POLICY | names::REDRIVE_ALLOW_POLICY | names::KMS_MASTER_KEY_ID => kept(),
        _ => None,
    }
}

/// The attributes that were asked for, in AWS's order. `counts` is asked where somebody wants to know.
pub(crate) fn told<'n>(
    wanted: impl Iterator<Item = &'n str> + Clone,
    settings: &QueueSettings,
    arn: &str,
    counts: impl FnOnce() -> Counts,
) -> Result<Vec<(&'static str, String)>, Error> {
    if let Some(unknown) = wanted.clone().find(|name| !is_name(name)) {
        return Err(fault::unknown_attribute(fault::shown(unknown)));
    }
    let all = wanted.clone().any(|name| name == names::ALL);
    let is_wanted = |name: &str| all || wanted.clone().any(|wanted| wanted == name);
    let numbers = [names::MESSAGES, names::MESSAGES_NOT_VISIBLE, names::MESSAGES_DELAYED];
    let counts = if numbers.iter().any(|name| is_wanted(name)) { counts() } else { Counts::default() };
    let told = NAMES.iter().filter(|name| is_wanted(name)).filter_map(|name| {
        let value = match *name {
            names::QUEUE_ARN => Some(arn.to_owned()),
            names::MESSAGES => Some(counts.visible.to_string()),
            names::MESSAGES_NOT_VISIBLE => Some(counts.in_flight.to_string()),
            names::MESSAGES_DELAYED => Some(counts.delayed.to_string()),
            name => value(name, settings),
        };
        Some((*name, value?))
    });
    Ok(told.collect())
}
