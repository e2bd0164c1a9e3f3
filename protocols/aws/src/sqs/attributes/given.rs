//! Attributes of a request, checked and put into settings.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use gantry_broker::{Ordered, QueueSettings};

use super::names;
use super::redrive::{RedriveAllowPolicy, RedrivePolicy};
use super::{annotation, told};
use crate::error::Error;
use crate::iam::Policy;
use crate::sqs::fault;
use crate::sqs::limits::{
    DEDUPLICATION_MS, DELAY_S_MAX, KMS_REUSE_S, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MIN, POLICY_BYTES_MAX,
    POLICY_STATEMENTS_MAX, RETENTION_S, RETENTION_S_MAX, RETENTION_S_MIN, VISIBILITY_S, VISIBILITY_S_MAX, WAIT_S_MAX,
};
use crate::sqs::pairs::{Pairs, Text};

/// Attributes of a request.
pub(crate) type Given<'a> = Pairs<'a, Text<'a>>;

/// Whether a queue with order is asked for.
pub(crate) fn is_fifo(given: &Given<'_>) -> Result<bool, Error> {
    match given.get(names::FIFO_QUEUE) {
        None => Ok(false),
        Some(value) if value.eq_ignore_ascii_case("true") => Ok(true),
        // As AWS: who wants a queue without order does not say so.
        Some(_) => Err(fault::unknown_attribute(names::FIFO_QUEUE)),
    }
}

/// What is asked of a queue that is new: AWS's usual settings.
pub(crate) fn usual(is_fifo: bool) -> QueueSettings {
    QueueSettings {
        retention_ms: Some(RETENTION_S * 1000),
        lease_ms: Some(VISIBILITY_S * 1000),
        ordered: is_fifo.then_some(Ordered { deduplication_ms: DEDUPLICATION_MS, per_group: false }),
        fair: !is_fifo,
        ..QueueSettings::default()
    }
}

/// Puts attributes into settings. The target of a `RedrivePolicy` is given back: the caller knows whether there is such a queue,
/// and sets it.
pub(crate) fn apply(
    given: &Given<'_>,
    settings: &mut QueueSettings,
    is_new: bool,
) -> Result<Option<(String, RedrivePolicy)>, Error> {
    let is_fifo = settings.ordered.is_some();
    let mut redrive = None;
    for (name, value) in given.iter() {
        apply_one(name, value, settings, is_fifo, is_new, &mut redrive)?;
    }
    check_encryption(given, settings)?;
    check_throughput(settings)?;
    Ok(redrive)
}

fn apply_one(
    name: &str,
    value: &str,
    settings: &mut QueueSettings,
    is_fifo: bool,
    is_new: bool,
    redrive: &mut Option<(String, RedrivePolicy)>,
) -> Result<(), Error> {
    let mut keep = |text: Cow<'_, str>| {
        settings.annotations.insert(annotation(name), text.into_owned());
    };
    match name {
        names::DELAY_SECONDS => {
            let ms = seconds(name, value, 0..=DELAY_S_MAX)? * 1000;
            settings.delay_ms = Some(ms).filter(|ms| *ms > 0);
        }
        names::MESSAGE_RETENTION_PERIOD => {
            settings.retention_ms = Some(seconds(name, value, RETENTION_S_MIN..=RETENTION_S_MAX)? * 1000);
        }
        names::VISIBILITY_TIMEOUT => settings.lease_ms = Some(seconds(name, value, 0..=VISIBILITY_S_MAX)? * 1000),
        names::MAXIMUM_MESSAGE_SIZE => {
            keep(number(name, value, MESSAGE_BYTES_MIN..=MESSAGE_BYTES_MAX)?.to_string().into())
        }
        names::RECEIVE_MESSAGE_WAIT_TIME_SECONDS => keep(number(name, value, 0..=WAIT_S_MAX)?.to_string().into()),
        names::POLICY => set_policy(settings, value)?,
        names::REDRIVE_POLICY if value.is_empty() => {
            settings.redrive = None;
            settings.annotations.remove(&annotation(name));
            *redrive = None;
        }
        names::REDRIVE_POLICY => *redrive = Some((value.to_owned(), RedrivePolicy::parse(value)?)),
        names::REDRIVE_ALLOW_POLICY if value.is_empty() => {
            settings.annotations.remove(&annotation(name));
        }
        names::REDRIVE_ALLOW_POLICY => {
            RedriveAllowPolicy::parse(value)?;
            keep(compact(value).into());
        }
        names::KMS_MASTER_KEY_ID if value.is_empty() => {
            settings.annotations.remove(&annotation(name));
            settings.annotations.remove(&annotation(names::KMS_DATA_KEY_REUSE_PERIOD_SECONDS));
        }
        names::KMS_MASTER_KEY_ID => keep(value.into()),
        names::KMS_DATA_KEY_REUSE_PERIOD_SECONDS => keep(number(name, value, KMS_REUSE_S)?.to_string().into()),
        names::SQS_MANAGED_SSE_ENABLED => keep(boolean(name, value)?.into()),
        names::CONTENT_BASED_DEDUPLICATION if is_fifo => keep(boolean(name, value)?.into()),
        names::DEDUPLICATION_SCOPE if is_fifo => {
            let per_group = choice(name, value, "queue", "messageGroup")?;
            if let Some(ordered) = &mut settings.ordered {
                ordered.per_group = per_group;
            }
        }
        names::FIFO_THROUGHPUT_LIMIT if is_fifo => {
            choice(name, value, "perQueue", "perMessageGroupId")?;
            keep(value.into());
        }
        names::FIFO_QUEUE if is_fifo && is_new => {}
        names::FIFO_QUEUE if is_fifo && !value.eq_ignore_ascii_case("true") => {
            return Err(fault::invalid_attribute_value_because(name, "Modifying queue type is not supported."));
        }
        names::FIFO_QUEUE if is_fifo => {}
        names::DEDUPLICATION_SCOPE | names::FIFO_THROUGHPUT_LIMIT => {
            let message = format!("You can specify the {name} only when FifoQueue is set to true.");
            return Err(fault::invalid_attribute_name(message));
        }
        _ => return Err(fault::unknown_attribute(fault::shown(name))),
    }
    Ok(())
}

/// Keeps a policy; an empty one is none.
pub(crate) fn set_policy(settings: &mut QueueSettings, text: &str) -> Result<(), Error> {
    if text.is_empty() {
        settings.annotations.remove(&annotation(names::POLICY));
        return Ok(());
    }
    let invalid = || fault::invalid_attribute_value(names::POLICY);
    if text.len() > POLICY_BYTES_MAX {
        return Err(invalid());
    }
    let policy = Policy::parse(text).map_err(|_| invalid())?;
    let statements = policy.statements.len();
    if statements > POLICY_STATEMENTS_MAX {
        let message = format!(
            "{statements} statements were found in the submitted policy, max allowed is {POLICY_STATEMENTS_MAX}"
        );
        return Err(fault::over_limit(message));
    }
    settings.annotations.insert(annotation(names::POLICY), compact(text));
    Ok(())
}

/// A queue is encrypted in one way, or not at all: who asks for one way ends the other.
fn check_encryption(given: &Given<'_>, settings: &mut QueueSettings) -> Result<(), Error> {
    let by_kms = given.get(names::KMS_MASTER_KEY_ID).is_some_and(|key| !key.is_empty());
    let by_sqs = given.get(names::SQS_MANAGED_SSE_ENABLED).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if by_kms && by_sqs {
        return Err(fault::invalid_attribute_name(
            "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE.",
        ));
    }
    if by_kms {
        settings.annotations.insert(annotation(names::SQS_MANAGED_SSE_ENABLED), "false".to_owned());
    }
    if by_sqs {
        settings.annotations.remove(&annotation(names::KMS_MASTER_KEY_ID));
        settings.annotations.remove(&annotation(names::KMS_DATA_KEY_REUSE_PERIOD_SECONDS));
    }
    Ok(())
}

fn check_throughput(settings: &QueueSettings) -> Result<(), Error> {
    let limit = settings.annotations.get(&annotation(names::FIFO_THROUGHPUT_LIMIT)).map(String::as_str);
    if limit == Some("perMessageGroupId") && settings.ordered.is_some_and(|ordered| !ordered.per_group) {
        return Err(fault::invalid_attribute_value_because(
            names::FIFO_THROUGHPUT_LIMIT,
            "perMessageGroupId is allowed only when the value for DeduplicationScope is messageGroup.",
        ));
    }
    Ok(())
}

/// Checks that a queue that is there has what is asked for.
pub(crate) fn check_same(given: &Given<'_>, settings: &QueueSettings) -> Result<(), Error> {
    let mut wanted = settings.clone();
    let redrive = apply(given, &mut wanted, true)?;
    for (name, value) in given.iter() {
        let is_same = match (name, &redrive) {
            (names::REDRIVE_POLICY, Some((_, policy))) => {
                settings.annotations.get(&annotation(name)).is_some_and(|text| *text == policy.text())
            }
            (names::POLICY | names::REDRIVE_ALLOW_POLICY, _) if !value.is_empty() => {
                let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
                let current = settings.annotations.get(&annotation(name)).and_then(|text| parsed(text));
                current.is_some() && current == parsed(value)
            }
            _ => told::value(name, settings) == told::value(name, &wanted),
        };
        if !is_same {
            return Err(fault::queue_name_exists(name));
        }
    }
    Ok(())
}

/// Keeps a `RedrivePolicy` whose target is there.
pub(crate) fn set_redrive(settings: &mut QueueSettings, policy: &RedrivePolicy, queue: std::sync::Arc<str>) {
    settings.redrive = Some(gantry_broker::Redrive { queue, receives_max: policy.receives_max });
    settings.annotations.insert(annotation(names::REDRIVE_POLICY), policy.text());
}

fn number(name: &str, value: &str, range: RangeInclusive<u64>) -> Result<u64, Error> {
    let is_plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = if is_plain { value.parse().ok() } else { None };
    number.filter(|number| range.contains(number)).ok_or_else(|| fault::invalid_attribute_value(name))
}

fn seconds(name: &str, value: &str, range: RangeInclusive<u64>) -> Result<u64, Error> {
    number(name, value, range)
}

fn boolean(name: &str, value: &str) -> Result<&'static str, Error> {
    if value.eq_ignore_ascii_case("true") {
        Ok("true")
    } else if value.eq_ignore_ascii_case("false") {
        Ok("false")
    } else {
        Err(fault::invalid_attribute_value(name))
    }
}

/// Whether it is the second of two.
fn choice(name: &str, value: &str, first: &str, second: &str) -> Result<bool, Error> {
    if value == second {
        Ok(true)
    } else if value == first {
        Ok(false)
    } else {
        Err(fault::invalid_attribute_value(name))
    }
}

/// JSON without what stands between its parts: names stay in their order.
fn compact(json: &str) -> String {
    let (mut in_text, mut is_escaped) = (false, false);
    let keep = move |character: &char| {
        if in_text {
            let ends = *character == '"' && !is_escaped;
            is_escaped = *character == '\\' && !is_escaped;
            in_text = !ends;
            return true;
        }
        in_text = *character == '"';
        !character.is_ascii_whitespace()
    };
    json.chars().filter(keep).collect()
}
