//! Attributes of subscriptions: checked, kept, told.

use std::collections::BTreeMap;

use gantry_broker::filter::{Filter, FilterError};
use serde_json::Value;

use crate::arn::Arn;
use crate::error::Error;
use crate::sns::delivery::{SubscriptionPolicy, TopicPolicy, effective_for_subscription};
use crate::sns::subscriptions::{Protocol, State, Subscription};
use crate::sns::topics::Topic;
use crate::sns::{fault, replay};
use crate::sqs::pairs::Pairs;

pub(crate) const DELIVERY_POLICY: &str = "DeliveryPolicy";
pub(crate) const FILTER_POLICY: &str = "FilterPolicy";
pub(crate) const FILTER_POLICY_SCOPE: &str = "FilterPolicyScope";
pub(crate) const RAW_MESSAGE_DELIVERY: &str = "RawMessageDelivery";
pub(crate) const REDRIVE_POLICY: &str = "RedrivePolicy";
pub(crate) const SUBSCRIPTION_ROLE_ARN: &str = "SubscriptionRoleArn";
pub(crate) const REPLAY_POLICY: &str = "ReplayPolicy";

/// The scope of a filter policy where nobody says anything.
pub(crate) const USUAL_SCOPE: &str = "MessageAttributes";

/// What attributes are of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Of<'a> {
    pub(crate) is_fifo_topic: bool,
    pub(crate) protocol: Protocol,
    pub(crate) endpoint: &'a str,
    /// Of a `Subscribe`: errors have other words.
    pub(crate) is_new: bool,
}

impl Of<'_> {
    fn invalid(self, reason: impl std::fmt::Display) -> Error {
        if self.is_new {
            fault::invalid_parameter(format_args!("Attributes Reason: {reason}"))
        } else {
            fault::invalid_parameter(reason)
        }
    }

    /// Puts an attribute into those of a subscription. An empty value takes it out, where there need not be one.
    ///
    /// # Errors
    /// There is no such attribute, or it cannot have this value.
    pub(crate) fn apply(self, name: &str, value: &str, kept: &mut BTreeMap<String, String>) -> Result<(), Error> {
        // Filter policies have a bound of their own.
        let bytes_max = crate::sns::limits::POLICY_BYTES_MAX;
        if name != FILTER_POLICY && value.len() > bytes_max {
            return Err(self.invalid(format_args!("{name}: must be at most {bytes_max} bytes long")));
        }
        let value = match name {
            RAW_MESSAGE_DELIVERY => Some(self.raw(value)?),
            FILTER_POLICY_SCOPE => Some(self.scope(value)?),
            FILTER_POLICY | DELIVERY_POLICY | REDRIVE_POLICY | REPLAY_POLICY | SUBSCRIPTION_ROLE_ARN
                if value.trim().is_empty() =>
            {
                None
            }
            FILTER_POLICY => self.filter_policy(value),
            DELIVERY_POLICY => Some(self.delivery_policy(value)?),
            REDRIVE_POLICY => self.redrive_policy(value)?,
            REPLAY_POLICY => self.replay_policy(value)?,
            SUBSCRIPTION_ROLE_ARN => Some(self.role(value)?),
            _ => return Err(self.invalid("AttributeName")),
        };
        match value {
            Some(value) => kept.insert(name.to_owned(), value),
            None => kept.remove(name),
        };
        Ok(())
    }

    /// Checks what only all attributes together say.
    ///
    /// # Errors
    /// One does not fit another, or is missing.
    pub(crate) fn check(self, kept: &BTreeMap<String, String>) -> Result<(), Error> {
        if let Some(policy) = kept.get(FILTER_POLICY) {
            let scope = kept.get(FILTER_POLICY_SCOPE).map_or(USUAL_SCOPE, String::as_str);
            let scope = scope.parse().map_err(|error: FilterError| self.invalid(error))?;
            Filter::parse(policy, scope).map_err(|error| self.invalid(error))?;
        }
        if self.protocol == Protocol::Firehose && !kept.contains_key(SUBSCRIPTION_ROLE_ARN) {
            return Err(self.invalid("SubscriptionRoleArn: a subscription of a Firehose delivery stream needs a role"));
        }
        Ok(())
    }

    fn raw(self, value: &str) -> Result<String, Error> {
        let lower = value.to_ascii_lowercase();
        if lower != "true" && lower != "false" {
            let value = fault::shown(value);
            return Err(
                self.invalid(format_args!("RawMessageDelivery: Invalid value [{value}]. Must be true or false."))
            );
        }
        if lower == "true" && !self.protocol.may_be_raw() {
            let protocol = self.protocol.name();
            return Err(fault::invalid_parameter(format_args!(
                "Delivery protocol [{protocol}] does not support raw message delivery."
            )));
        }
        Ok(lower)
    }

    fn scope(self, value: &str) -> Result<String, Error> {
        if matches!(value, "MessageAttributes" | "MessageBody") {
            return Ok(value.to_owned());
        }
        let value = fault::shown(value);
        Err(self.invalid(format_args!(
            "FilterPolicyScope: Invalid value [{value}]. Please use either MessageBody or MessageAttributes"
        )))
    }

    /// An empty policy is none; any other is looked at when its scope is known.
    fn filter_policy(self, value: &str) -> Option<String> {
        let is_empty = matches!(serde_json::from_str(value), Ok(Value::Object(map)) if map.is_empty());
        (!is_empty).then(|| value.to_owned())
    }

    fn delivery_policy(self, value: &str) -> Result<String, Error> {
        if !matches!(self.protocol, Protocol::Http | Protocol::Https) {
            let protocol = self.protocol.name();
            return Err(self.invalid(format_args!("DeliveryPolicy: not supported by the protocol [{protocol}]")));
        }
        SubscriptionPolicy::parse(value).map_err(|error| self.invalid(format_args!("DeliveryPolicy: {error}")))?;
        Ok(value.to_owned())
    }

    /// `{}` is none, too.
    fn redrive_policy(self, value: &str) -> Result<Option<String>, Error> {
        let parsed: Value =
            serde_json::from_str(value).map_err(|_| self.invalid("RedrivePolicy: failed to parse JSON."))?;
        if parsed.as_object().is_some_and(serde_json::Map::is_empty) {
            return Ok(None);
        }
        let invalid = || self.invalid("RedrivePolicy: deadLetterTargetArn is an invalid arn");
        let target = parsed.get("deadLetterTargetArn").and_then(Value::as_str).ok_or_else(invalid)?;
        let arn = Arn::parse(target).filter(|arn| !arn.resource.is_empty()).ok_or_else(invalid)?;
        if arn.service != "sqs" {
            return Err(invalid());
        }
        let is_fifo = |name: &str| name.ends_with(".fifo");
        if self.is_fifo_topic && is_fifo(self.endpoint) && !is_fifo(arn.resource) {
            return Err(
                self.invalid("RedrivePolicy: must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic.")
            );
        }
        if !self.is_fifo_topic && is_fifo(arn.resource) {
            return Err(
                self.invalid("RedrivePolicy: must use a standard queue as DLQ for a subscription to a standard topic.")
            );
        }
        Ok(Some(value.to_owned()))
    }

    /// `{}` is none.
    fn replay_policy(self, value: &str) -> Result<Option<String>, Error> {
        if !self.is_fifo_topic {
            return Err(self.invalid("ReplayPolicy: replay is only supported for FIFO topics"));
        }
        match replay::Policy::parse(value) {
            Ok(policy) => Ok(policy.map(|_| value.to_owned())),
            Err(reason) => Err(self.invalid(format_args!("ReplayPolicy: {reason}"))),
        }
    }

    fn role(self, value: &str) -> Result<String, Error> {
        let is_role = |arn: Arn<'_>| arn.service == "iam" && arn.resource.starts_with("role/");
        if !Arn::parse(value).is_some_and(is_role) {
            return Err(self.invalid("SubscriptionRoleArn: not the ARN of a role"));
        }
        Ok(value.to_owned())
    }
}

/// What a client is told of a subscription.
pub(crate) fn told(subscription: &Subscription, topic: Option<&Topic>) -> Pairs<'static, String> {
    let boolean = |value: bool| value.to_string();
    let mut told = Pairs::default();
    told.push("SubscriptionArn", subscription.arn.to_string());
    told.push("TopicArn", subscription.topic_arn.to_string());
    told.push("Owner", subscription.owner.to_string());
    told.push("Protocol", subscription.protocol.name().to_owned());
    told.push("Endpoint", subscription.endpoint.to_string());
    told.push("PendingConfirmation", boolean(subscription.state != State::Confirmed));
    told.push("ConfirmationWasAuthenticated", boolean(subscription.is_authenticated));
    told.push("SubscriptionPrincipal", subscription.principal.to_string());
    told.push(RAW_MESSAGE_DELIVERY, boolean(subscription.is_raw));
    if let Some(policy) = subscription.attribute(FILTER_POLICY) {
        told.push(FILTER_POLICY, policy.to_owned());
        told.push(FILTER_POLICY_SCOPE, subscription.attribute(FILTER_POLICY_SCOPE).unwrap_or(USUAL_SCOPE).to_owned());
    }
    if matches!(subscription.protocol, Protocol::Http | Protocol::Https) {
        // Both were checked when they were set.
        let of_topic = topic.and_then(|topic| TopicPolicy::parse(topic.attribute(DELIVERY_POLICY)?).ok());
        let own = subscription.attribute(DELIVERY_POLICY).and_then(|text| SubscriptionPolicy::parse(text).ok());
        told.push("EffectiveDeliveryPolicy", effective_for_subscription(of_topic.as_ref(), own.as_ref()));
    }
    for name in [DELIVERY_POLICY, REDRIVE_POLICY, SUBSCRIPTION_ROLE_ARN, REPLAY_POLICY, replay::STATUS] {
        if let Some(value) = subscription.attribute(name) {
            told.push(name, value.to_owned());
        }
    }
    told
}
