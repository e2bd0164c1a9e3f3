//! `SetSubscriptionAttributes`: changes one thing that is set on a subscription. It holds at once.

use std::borrow::Cow;

use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::attributes::subscription::{FILTER_POLICY, Of, REDRIVE_POLICY, REPLAY_POLICY};
use crate::sns::subscribing::{authorized, check_dead_letters, keep, wait};
use crate::sns::subscriptions::{Subscription, dead_letter_arn};
use crate::sns::{fault, reconcile, replay};
use crate::sqs::pairs::Text;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetSubscriptionAttributes<'a> {
    #[serde(borrow, default)]
    subscription_arn: Cow<'a, str>,
    #[serde(borrow, default)]
    attribute_name: Cow<'a, str>,
    #[serde(borrow, default)]
    attribute_value: Option<Text<'a>>,
}

impl<'a> Action<'a> for SetSubscriptionAttributes<'a> {
    const NAME: &'static str = "SetSubscriptionAttributes";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        loop {
            let change = {
                let sns = &call.edge.sns;
                let _one = sns.changes.lock();
                let subscription = authorized(call, &self.subscription_arn, "SNS:SetSubscriptionAttributes")?;
                let name = &*self.attribute_name;
                let edge = &call.edge;
                let vhost = edge.broker.vhost(&subscription.vhost);
                let topic =
                    vhost.and_then(|vhost| sns.topic(&vhost, &subscription.account, &edge.region, &subscription.topic));
                let of = Of {
                    is_fifo_topic: topic.is_some_and(|topic| topic.is_fifo),
                    protocol: subscription.protocol,
                    endpoint: &subscription.endpoint,
                    is_new: false,
                };
                let mut attributes = subscription.attributes.clone();
                of.apply(name, self.attribute_value.as_deref().unwrap_or_default(), &mut attributes)?;
                of.check(&attributes)?;
                if let Some(letters) =
                    dead_letter_arn(attributes.get(REDRIVE_POLICY)).filter(|_| name == REDRIVE_POLICY)
                {
                    check_dead_letters(call, &letters)?;
                }
                if attributes == subscription.attributes {
                    // It was said before, and may have failed half way.
                    Ok(reconcile::follow(edge, &subscription).map_err(fault::of_broker)?)
                } else {
                    if name == FILTER_POLICY && subscription.attribute(name).is_none() {
                        sns.check_filters(subscription.topic_id)?;
                    }
                    let id = subscription.id.to_string();
                    let changed = Subscription { attributes, ..Subscription::clone(&subscription) };
                    let changed = changed.named(&id);
                    match name {
                        REPLAY_POLICY => Err((subscription, changed)),
                        _ => Ok(keep(edge, changed)?.1),
                    }
                }
            };
            match change {
                Ok(pending) => wait(pending).await?,
                // It takes several steps; whoever has changed something else meanwhile is heard.
                Err((base, changed)) => {
                    if !replay::begin(&call.edge, &base, changed).await? {
                        continue;
                    }
                }
            }
            return Ok(Reply::Now(()));
        }
    }
}
