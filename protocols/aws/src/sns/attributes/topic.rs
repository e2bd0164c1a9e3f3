//! Attributes of topics: checked, and kept in the settings of the exchange.

use gantry_broker::{ExchangeSettings, Ordered};
use serde_json::Value;

use crate::error::Error;
use crate::iam::Policy;
use crate::sns::delivery::TopicPolicy;
use crate::sns::fault;
use crate::sns::limits::{
    ARCHIVE_DAYS, DEDUPLICATION_MS, DISPLAY_NAME_CHARACTERS_MAX, MESSAGE_BYTES, POLICY_BYTES_MAX,
    POLICY_STATEMENTS_MAX, REFERENCE_BYTES_MAX,
};
use crate::sns::policy::ACTIONS;
use crate::sns::topics::annotation;
use crate::sqs::pairs::{Pairs, Text};

pub(crate) const ARCHIVE_POLICY: &str = "ArchivePolicy";
pub(crate) const CONTENT_BASED_DEDUPLICATION: &str = "ContentBasedDeduplication";
pub(crate) const DELIVERY_POLICY: &str = "DeliveryPolicy";
pub(crate) const DISPLAY_NAME: &str = "DisplayName";
pub(crate) const FIFO_THROUGHPUT_SCOPE: &str = "FifoThroughputScope";
pub(crate) const FIFO_TOPIC: &str = "FifoTopic";
pub(crate) const KMS_MASTER_KEY_ID: &str = "KmsMasterKeyId";
pub(crate) const MAXIMUM_MESSAGE_SIZE: &str = "MaximumMessageSize";
pub(crate) const POLICY: &str = "Policy";
pub(crate) const SIGNATURE_VERSION: &str = "SignatureVersion";
pub(crate) const TRACING_CONFIG: &str = "TracingConfig";

/// What names of attributes begin with that say which deliveries are told, and what they end with.
const FEEDBACK_OF: [&str; 5] = ["HTTP", "Firehose", "Lambda", "Application", "SQS"];
const FEEDBACK_ROLES: [&str; 2] = ["SuccessFeedbackRoleArn", "FailureFeedbackRoleArn"];
const FEEDBACK_RATE: &str = "SuccessFeedbackSampleRate";

/// Whether a topic with order is asked for.
///
/// # Errors
/// It is neither said nor denied.
pub(crate) fn is_fifo(given: &Pairs<'_, Text<'_>>) -> Result<bool, Error> {
    given.get(FIFO_TOPIC).map_or(Ok(false), |value| boolean(FIFO_TOPIC, value))
}

/// Puts what is usual on a topic that is new.
pub(crate) fn set_usual(settings: &mut ExchangeSettings, is_fifo: bool) {
    if is_fifo {
        settings.ordered = Some(Ordered { deduplication_ms: DEDUPLICATION_MS, per_group: false });
        settings.annotations.insert(annotation(FIFO_TOPIC), "true".to_owned());
    }
}

/// Puts an attribute on a topic. An empty value takes it off, where there need not be one.
///
/// # Errors
/// There is no such attribute, not on a topic of this kind, or it cannot have this value.
pub(crate) fn apply(name: &str, value: &str, settings: &mut ExchangeSettings) -> Result<(), Error> {
    let is_fifo = settings.ordered.is_some();
    let of_fifo = || fault::invalid_parameter(format_args!("Attributes Reason: {name} can only be set on FIFO topics"));
    let kept = match name {
        CONTENT_BASED_DEDUPLICATION | FIFO_THROUGHPUT_SCOPE | ARCHIVE_POLICY if !is_fifo => return Err(of_fifo()),
        CONTENT_BASED_DEDUPLICATION => Some(boolean(name, value)?.to_string()),
        FIFO_THROUGHPUT_SCOPE => {
            let scope = choice(name, value, &["Topic", "MessageGroup"])?;
            if let Some(ordered) = &mut settings.ordered {
                ordered.per_group = scope == "MessageGroup";
            }
            Some(scope)
        }
        DELIVERY_POLICY | POLICY | ARCHIVE_POLICY | KMS_MASTER_KEY_ID | TRACING_CONFIG | DISPLAY_NAME
            if value.trim().is_empty() =>
        {
            None
        }
        ARCHIVE_POLICY => archive_policy(value)?,
        DELIVERY_POLICY => {
            if value.len() > POLICY_BYTES_MAX {
                return Err(fault::invalid_parameter(format_args!(
                    "DeliveryPolicy: must be at most {POLICY_BYTES_MAX} bytes long"
                )));
            }
            TopicPolicy::parse(value)
                .map_err(|error| fault::invalid_parameter(format_args!("DeliveryPolicy: {error}")))?;
            Some(value.to_owned())
        }
        DISPLAY_NAME => Some(display_name(value)?),
        KMS_MASTER_KEY_ID => Some(reference(name, value)?),
        MAXIMUM_MESSAGE_SIZE => Some(number(name, value, MESSAGE_BYTES)?),
        POLICY => {
            check_policy(value)?;
            Some(value.to_owned())
        }
        SIGNATURE_VERSION => Some(choice(name, value, &["1", "2"])?),
        TRACING_CONFIG => Some(choice(name, value, &["PassThrough", "Active"])?),
        name if is_feedback(name) => {
            if name.ends_with(FEEDBACK_RATE) && !value.is_empty() {
                number(name, value, 0..=100)?;
            }
            Some(reference(name, value)?).filter(|value| !value.is_empty())
        }
        _ => return Err(fault::invalid_parameter("AttributeName")),
    };
    match kept {
        Some(value) => settings.annotations.insert(annotation(name), value),
        None => settings.annotations.remove(&annotation(name)),
    };
    Ok(())
}

/// Whether it says which deliveries are told.
pub(crate) fn is_feedback(name: &str) -> bool {
    let of = FEEDBACK_OF.iter().find_map(|of| name.strip_prefix(of));
    of.is_some_and(|rest| rest == FEEDBACK_RATE || FEEDBACK_ROLES.contains(&rest))
}

fn boolean(name: &str, value: &str) -> Result<bool, Error> {
    match value {
        value if value.eq_ignore_ascii_case("true") => Ok(true),
        value if value.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(fault::invalid_parameter(format_args!("Attributes Reason: Invalid value for {name}"))),
    }
}

fn choice(name: &str, value: &str, choices: &[&str]) -> Result<String, Error> {
    if choices.contains(&value) {
        return Ok(value.to_owned());
    }
    let value = fault::shown(value);
    Err(fault::invalid_parameter(format_args!(
        "{name} Reason: Invalid value [{value}]. Please use {}",
        choices.join(" or ")
    )))
}

fn number(name: &str, value: &str, range: std::ops::RangeInclusive<u64>) -> Result<String, Error> {
    let number =
        value.parse().ok().filter(|number| range.contains(number) && value.bytes().all(|byte| byte.is_ascii_digit()));
    let (from, to) = (range.start(), range.end());
    let number = number
        .ok_or_else(|| fault::invalid_parameter(format_args!("{name} Reason: must be a number from {from} to {to}")))?;
    Ok(number.to_string())
}

/// What names something elsewhere: it is kept, and told again.
fn reference(name: &str, value: &str) -> Result<String, Error> {
    if value.len() > REFERENCE_BYTES_MAX {
        return Err(fault::invalid_parameter(format_args!(
            "{name} Reason: must be at most {REFERENCE_BYTES_MAX} bytes long"
        )));
    }
    Ok(value.to_owned())
}

fn display_name(value: &str) -> Result<String, Error> {
    if value.chars().count() > DISPLAY_NAME_CHARACTERS_MAX || value.chars().any(char::is_control) {
        return Err(fault::invalid_parameter(format_args!(
            "DisplayName Reason: at most {DISPLAY_NAME_CHARACTERS_MAX} characters, and no line ends"
        )));
    }
    Ok(value.to_owned())
}

/// Checks who may do what.
///
/// # Errors
/// It is no policy, or says something of what a topic cannot do.
fn check_policy(text: &str) -> Result<(), Error> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(fault::invalid_parameter("Policy Error: policy is too long"));
    }
    let policy =
        Policy::parse(text).map_err(|error| fault::invalid_parameter(format_args!("Policy Error: {error}")))?;
    if policy.statements.len() > POLICY_STATEMENTS_MAX {
        return Err(fault::invalid_parameter("Policy Error: too many statements"));
    }
    let document: Value = serde_json::from_str(text).map_err(|error| Error::internal(&error))?;
    let one;
    let statements = match &document["Statement"] {
        Value::Array(statements) => statements.as_slice(),
        statement => {
            one = [statement.clone()];
            &one
        }
    };
    let is_in_scope = |action: &Value| {
        let Some((service, name)) = action.as_str().and_then(|action| action.split_once(':')) else {
            return action == "*";
        };
        let known = || ACTIONS.iter().any(|known| known.eq_ignore_ascii_case(name));
        service.eq_ignore_ascii_case("sns") && (name.contains(['*', '?']) || known())
    };
    let are_in_scope = |statement: &Value| {
        ["Action", "NotAction"].iter().all(|element| match &statement[*element] {
            Value::Array(actions) => actions.iter().all(is_in_scope),
            Value::Null => true,
            action => is_in_scope(action),
        })
    };
    if !statements.iter().all(are_in_scope) {
        return Err(fault::invalid_parameter("Policy statement action out of service scope!"));
    }
    Ok(())
}

/// `{}` is none.
fn archive_policy(value: &str) -> Result<Option<String>, Error> {
    let invalid = |reason: &str| fault::invalid_parameter(format_args!("ArchivePolicy: {reason}"));
    let parsed: Value = serde_json::from_str(value).map_err(|_| invalid("failed to parse JSON."))?;
    let map = parsed.as_object().ok_or_else(|| invalid("must be a JSON object"))?;
    if map.is_empty() {
        return Ok(None);
    }
    let days = match map.get("MessageRetentionPeriod") {
        Some(Value::Number(days)) => days.as_u64(),
        Some(Value::String(days)) => days.parse().ok(),
        _ => None,
    };
    if map.len() != 1 || !days.is_some_and(|days| ARCHIVE_DAYS.contains(&days)) {
        return Err(invalid("MessageRetentionPeriod must be a number of days from 1 to 365"));
    }
    Ok(Some(value.to_owned()))
}
