//! A subscription in a list.

use serde::Serialize;

use super::subscriptions::{State, Subscription};

/// What stands in place of the ARN of a subscription that nobody has confirmed.
const PENDING: &str = "PendingConfirmation";

/// A subscription in a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    subscription_arn: String,
    owner: String,
    protocol: &'static str,
    endpoint: String,
    topic_arn: String,
}

impl Listed {
    pub(crate) fn of(subscription: &Subscription) -> Self {
        let is_confirmed = subscription.state == State::Confirmed;
        Self {
            subscription_arn: if is_confirmed { subscription.arn.to_string() } else { PENDING.to_owned() },
            owner: subscription.owner.to_string(),
            protocol: subscription.protocol.name(),
            endpoint: subscription.endpoint.to_string(),
            topic_arn: subscription.topic_arn.to_string(),
        }
    }
}
