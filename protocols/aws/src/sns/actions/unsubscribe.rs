//! `Unsubscribe`: ends a subscription. A link in each message does so, too, unless whoever confirmed it did not want that.

use std::borrow::Cow;
use std::sync::Arc;

use gantry_broker::message::now_ms;
use gantry_broker::vhost::Pending;
use serde::Deserialize;

use crate::Edge;
use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::iam::Decision;
use crate::sns::subscribing::{ask, check, find, keep, wait};
use crate::sns::subscriptions::{Protocol, State, Subscription};
use crate::sns::{delivery, fault, place, reconcile, tokens};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Unsubscribe<'a> {
    #[serde(borrow, default)]
    subscription_arn: Cow<'a, str>,
}

impl<'a> Action<'a> for Unsubscribe<'a> {
    const NAME: &'static str = "Unsubscribe";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        if self.subscription_arn.is_empty() {
            return Err(fault::invalid_parameter("SubscriptionArn Reason: no value for required parameter"));
        }
        let edge = &call.edge;
        let (gone, pending) = {
            // What is changed of it meanwhile would bring it back.
            let _one = edge.sns.changes.lock();
            // Whoever asks for what is done already is told that it is.
            let Some(subscription) = find(&edge.sns, &self.subscription_arn)? else { return Ok(Reply::Now(())) };
            may_end(call, &subscription)?;
            let protocol = subscription.protocol;
            let is_web = matches!(protocol, Protocol::Http | Protocol::Https);
            // A webhook hears of it in any case, a reader of mail only where it may not have been meant so.
            let is_told = is_web || protocol.asks_endpoint() && !call.caller.is_signed();
            if is_told && subscription.state == State::Confirmed {
                let (gone, pending) = leave(edge, &subscription)?;
                (Some(gone), pending)
            } else {
                (None, reconcile::end_one(edge, &subscription))
            }
        };
        wait(pending).await?;
        if let Some(gone) = gone {
            ask(call, &gone, delivery::take_leave).await?;
        }
        Ok(Reply::Now(()))
    }
}

/// Whether the caller may end a subscription.
fn may_end(call: &Call, subscription: &Subscription) -> Result<(), Error> {
    if call.caller.is_signed() {
        return check(call, subscription, "SNS:Unsubscribe");
    }
    if subscription.needs_signature {
        return Err(place::denied(call, "SNS:Unsubscribe", &subscription.arn, Decision::Silent));
    }
    Ok(())
}

/// Ends a subscription so that whoever is at its endpoint can take that back.
fn leave(edge: &Arc<Edge>, subscription: &Subscription) -> Result<(Arc<Subscription>, Vec<Pending>), Error> {
    let token = Some(tokens::token(&subscription.id, now_ms())?);
    keep(edge, Subscription { state: State::Gone, token, ..subscription.clone() })
}
