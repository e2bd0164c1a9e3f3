//! `GetSubscriptionAttributes`: what is set on a subscription.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::attributes::subscription::told;
use crate::sns::subscribing::authorized;
use crate::sqs::pairs::Pairs;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetSubscriptionAttributes<'a> {
    #[serde(borrow, default)]
    subscription_arn: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    attributes: Pairs<'static, String>,
}

impl<'a> Action<'a> for GetSubscriptionAttributes<'a> {
    const NAME: &'static str = "GetSubscriptionAttributes";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let subscription = authorized(call, &self.subscription_arn, "SNS:GetSubscriptionAttributes")?;
        let edge = &call.edge;
        let vhost = edge.broker.vhost(&subscription.vhost);
        let of_vhost = |vhost| edge.sns.topic(vhost, &subscription.account, &edge.region, &subscription.topic);
        let topic = vhost.as_deref().and_then(of_vhost);
        Ok(Reply::Now(Output { attributes: told(&subscription, topic.as_deref()) }))
    }
}
