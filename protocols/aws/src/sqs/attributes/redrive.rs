//! `RedrivePolicy`: where a queue's messages go that nobody has managed to handle. `RedriveAllowPolicy`: which queues may name a
//! queue there.

use serde::Deserialize;
use serde_json::Value;

use super::names::{REDRIVE_ALLOW_POLICY, REDRIVE_POLICY};
use crate::error::Error;
use crate::sqs::fault;
use crate::sqs::limits::{ALLOWED_SOURCES_MAX, RECEIVES_MAX};

/// A `RedrivePolicy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedrivePolicy {
    pub(crate) target: String,
    pub(crate) receives_max: u32,
}

impl RedrivePolicy {
    /// Reads one, as a client writes it.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let not_a_map =
            || fault::invalid_attribute_value_because(REDRIVE_POLICY, "Redrive policy is not a valid JSON map.");
        let invalid = |reason: &str| Self::invalid(text, reason);
        let Ok(Value::Object(map)) = serde_json::from_str(text) else { return Err(not_a_map()) };
        let mandatory = |name: &str| invalid(&format!("Redrive policy does not contain mandatory attribute: {name}."));
        let receives_max = map.get("maxReceiveCount").ok_or_else(|| mandatory("maxReceiveCount"))?;
        let target = map.get("deadLetterTargetArn").ok_or_else(|| mandatory("deadLetterTargetArn"))?;
        if map.len() > 2 {
            return Err(invalid("Only following attributes are supported: [maxReceiveCount, deadLetterTargetArn]."));
        }
        // Written as a number or as a text of one.
        let shown = match receives_max {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let number = shown.parse::<u64>().ok().filter(|number| RECEIVES_MAX.contains(number));
        let Some(receives_max) = number else {
            let shown = fault::shown(&shown);
            return Err(invalid(&format!(
                "Invalid value for maxReceiveCount: {shown}, valid values are from 1 to 1000 both inclusive."
            )));
        };
        let Some(target) = target.as_str() else { return Err(invalid("Invalid value for deadLetterTargetArn.")) };
        Ok(Self { target: target.to_owned(), receives_max: receives_max as u32 })
    }

    /// What is said of one that cannot be.
    pub(crate) fn invalid(text: &str, reason: &str) -> Error {
        fault::invalid_value(fault::shown(text), REDRIVE_POLICY, reason)
    }

    /// As AWS gives it back.
    pub(crate) fn text(&self) -> String {
        let target = Value::from(self.target.as_str());
        format!("{{\"deadLetterTargetArn\":{target},\"maxReceiveCount\":{}}}", self.receives_max)
    }
}

/// A `RedriveAllowPolicy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum RedriveAllowPolicy {
    /// Any queue of the account.
    #[default]
    All,
    None,
    /// These, by their ARNs.
    ByQueue(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    redrive_permission: String,
    source_queue_arns: Option<Vec<String>>,
}

impl RedriveAllowPolicy {
    /// Reads one, as a client writes it.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let unsupported = || {
            let reason = "Amazon SQS can't create the redrive allow policy, as it’s in an unsupported format.";
            fault::invalid_attribute_value_because(REDRIVE_ALLOW_POLICY, reason)
        };
        let invalid = |reason: &str| {
            let reason = format!("Amazon SQS can't create the redrive allow policy. {reason}");
            Err(fault::invalid_value(fault::shown(text), REDRIVE_ALLOW_POLICY, &reason))
        };
        let written: Written = serde_json::from_str(text).map_err(|_| unsupported())?;
        let sources = written.source_queue_arns;
        let policy = match (&*written.redrive_permission, sources) {
            ("allowAll", None) => Self::All,
            ("denyAll", None) => Self::None,
            ("allowAll" | "denyAll", Some(_)) => {
                return invalid("To specify one or more source queue ARNs, you must set redrivePermission to byQueue.");
            }
            ("byQueue", Some(sources)) if sources.len() > ALLOWED_SOURCES_MAX => {
                return invalid("The maximum number of source queue ARNs you can specify is 10.");
            }
            ("byQueue", Some(sources)) if !sources.is_empty() => Self::ByQueue(sources),
            ("byQueue", _) => {
                return invalid(
                    "When you specify the byQueue permission type, you must also specify one or more sourceQueueArns \
                     values.",
                );
            }
            _ => return Err(unsupported()),
        };
        Ok(policy)
    }

    /// Whether a queue may send its dead letters here.
    pub(crate) fn allows(&self, source_arn: &str) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::ByQueue(sources) => sources.iter().any(|source| source == source_arn),
        }
    }
}
