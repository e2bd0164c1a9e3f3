//! Delivery policies: when what failed is tried again, how many deliveries a second there are, and what is said of their
//! content.
//!
//! Only webhooks have policies that users set; those of all other kinds are fixed.

mod document;
mod retries;
#[cfg(test)]
mod tests;

pub(crate) use self::document::{
    CONTENT_TYPE, SubscriptionPolicy, TopicPolicy, effective_for_subscription, effective_for_topic,
};
pub(crate) use self::retries::Retries;
use super::errand::Means;

/// What holds for the deliveries of one errand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// When what failed is tried again.
    pub(crate) retries: Retries,
    /// Deliveries a second, at most; none for as many as there are.
    pub(crate) receives_per_second_max: Option<u32>,
    /// What webhooks are told of the content of notifications.
    pub(crate) content_type: Option<Box<str>>,
}

impl Policy {
    /// That of a kind of endpoint for which nothing can be set.
    pub(crate) fn of(means: Means) -> Self {
        let retries = match means {
            Means::Http => Retries::WEBHOOK,
            Means::Sqs | Means::Lambda | Means::Firehose => Retries::MANAGED,
            Means::Email | Means::EmailJson | Means::Sms | Means::Application => Retries::FOR_PEOPLE,
        };
        Self { retries, receives_per_second_max: None, content_type: None }
    }

    /// That of a webhook, by what is set on its topic and on itself.
    pub(crate) fn of_webhook(topic: Option<&TopicPolicy>, own: Option<&SubscriptionPolicy>) -> Self {
        let http = topic.and_then(|topic| topic.http.as_ref());
        let may_override = !http.is_some_and(|http| http.disable_subscription_overrides.unwrap_or(false));
        let own = own.filter(|_| may_override);
        let retries = own.and_then(|own| own.healthy_retry_policy.as_ref());
        let retries = retries.or_else(|| http?.default_healthy_retry_policy.as_ref());
        let throttle = own.and_then(|own| own.throttle_policy.as_ref());
        let throttle = throttle.or_else(|| http?.default_throttle_policy.as_ref());
        let request = own.and_then(|own| own.request_policy.as_ref());
        let request = request.or_else(|| http?.default_request_policy.as_ref());
        let per_second = throttle.and_then(|throttle| throttle.max_receives_per_second);
        Self {
            retries: retries.map_or(Retries::WEBHOOK, document::RetryPolicy::retries),
            receives_per_second_max: per_second.and_then(|max| u32::try_from(max).ok()).filter(|max| *max > 0),
            content_type: request.and_then(|request| request.header_content_type.as_deref()).map(Box::from),
        }
    }
}
