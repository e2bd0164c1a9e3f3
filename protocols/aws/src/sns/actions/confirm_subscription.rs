//! `ConfirmSubscription`: whoever has the token says that the endpoint wants the messages.

use std::borrow::Cow;

use gantry_broker::message::now_ms;
use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::arn::Arn;
use crate::call::Call;
use crate::error::Error;
use crate::sns::subscribing::wait;
use crate::sns::subscriptions::{State, Subscription};
use crate::sns::{fault, reconcile, replay, tokens};
use crate::sqs::pairs::Text;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ConfirmSubscription<'a> {
    #[serde(borrow, default)]
    topic_arn: Cow<'a, str>,
    #[serde(borrow, default)]
    token: Cow<'a, str>,
    #[serde(borrow, default)]
    authenticate_on_unsubscribe: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    subscription_arn: String,
}

impl<'a> Action<'a> for ConfirmSubscription<'a> {
    const NAME: &'static str = "ConfirmSubscription";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let topic = Arn::parse(&self.topic_arn).filter(|arn| arn.service == "sns");
        let topic = topic.ok_or_else(|| fault::invalid_parameter("Topic"))?;
        let wants_signature = match self.authenticate_on_unsubscribe.as_deref() {
            Some(value) if value.eq_ignore_ascii_case("true") => true,
            Some(value) if !value.is_empty() && !value.eq_ignore_ascii_case("false") => {
                return Err(fault::invalid_parameter("AuthenticateOnUnsubscribe"));
            }
            _ => false,
        };
        let (edge, is_known) = (&call.edge, call.caller.is_signed());
        let (arn, pending) = {
            let _one = edge.sns.changes.lock();
            let known = tokens::id_of(&self.token).and_then(|id| edge.sns.subscriptions.get(&id));
            let is_meant = |known: &Subscription| {
                let is_good = |token| tokens::is_good(token, &self.token, now_ms());
                *known.account == *topic.account
                    && *known.topic == *topic.resource
                    && known.token.as_ref().is_some_and(is_good)
            };
            let known = known.filter(|known| is_meant(known)).ok_or_else(|| fault::invalid_parameter("Token"))?;
            let there = edge.sns.subscriptions.of_endpoint(known.topic_id, known.protocol, &known.endpoint);
            if known.state == State::Gone && there.is_some() {
                // The endpoint has been subscribed again since.
                return Err(fault::invalid_parameter("Token"));
            }
            if known.state == State::Confirmed {
                // It was said before, and may have failed half way.
                (known.arn.to_string(), reconcile::follow(edge, &known).map_err(fault::of_broker)?)
            } else {
                // The token stays, so that it may be said again.
                let confirmed = Subscription {
                    state: State::Confirmed,
                    is_authenticated: is_known,
                    needs_signature: wants_signature && is_known,
                    ..Subscription::clone(&known)
                };
                let (confirmed, pending) = replay::keep_first(edge, confirmed)?;
                (confirmed.arn.to_string(), pending)
            }
        };
        wait(pending).await?;
        Ok(Reply::Now(Output { subscription_arn: arn }))
    }
}
