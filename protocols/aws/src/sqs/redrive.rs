//! Which queue gets a queue's dead letters, as a `RedrivePolicy` names it.

use std::sync::Arc;

use gantry_broker::rights::Access;

use super::attributes::RedrivePolicy;
use super::names::FIFO_SUFFIX;
use super::place::Place;
use crate::arn::Arn;
use crate::call::{Call, QueueAt};
use crate::error::Error;
use crate::iam::Decision;

/// The queue that a policy of a queue names. `text` is the policy as it was written.
///
/// # Errors
/// It is not there, or cannot be used for this.
pub(crate) fn target(
    call: &Call,
    account: &str,
    source: &str,
    is_fifo: bool,
    (text, policy): &(String, RedrivePolicy),
) -> Result<Arc<str>, Error> {
    let invalid = |reason: &str| RedrivePolicy::invalid(text, reason);
    let arn = Arn::parse(&policy.target).ok_or_else(|| invalid("Invalid value for deadLetterTargetArn."))?;
    if arn.service != "sqs" {
        return Err(invalid("Only SQS queues are valid resources for deadLetterTargetArn."));
    }
    if arn.resource.ends_with(FIFO_SUFFIX) != is_fifo {
        // Two points, as AWS has them.
        return Err(invalid("Dead-letter queue must be same type of queue as the source.."));
    }
    let not_there = || invalid("Dead letter target does not exist.");
    if arn.account != account {
        return Err(not_there());
    }
    let target = Place::there(call, arn.account, arn.resource).map_err(|_| not_there())?;
    if target.profile.is_fifo != is_fifo {
        return Err(invalid("Dead-letter queue must be same type of queue as the source.."));
    }
    if !target.profile.redrive_allow.allows(&call.queue_arn(account, source)) {
        return Err(invalid("The dead-letter queue's redrive allow policy does not allow this queue as a source."));
    }
    // As where an exchange for dead letters is declared: the letters are read there and written here.
    if !call.caller.may(Access::Read, source) || !call.caller.may(Access::Write, target.queue.name()) {
        return Err(call.denied("sqs:SendMessage", &QueueAt { account, name: arn.resource }, Decision::Silent));
    }
    Ok(Arc::clone(target.queue.name()))
}
