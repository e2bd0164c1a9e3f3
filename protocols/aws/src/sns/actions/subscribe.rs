//! `Subscribe`: has messages of a topic delivered to an endpoint.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_broker::message::now_ms;
use gantry_broker::vhost::Pending;
use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::arn::Arn;
use crate::call::Call;
use crate::error::Error;
use crate::sns::attributes::subscription::{FILTER_POLICY, Of, REDRIVE_POLICY};
use crate::sns::place::{Intent, Place};
use crate::sns::subscribing::{ask, check_dead_letters, check_means, check_queue, keep, wait};
use crate::sns::subscriptions::{Protocol, State, Subscription, Token, dead_letter_arn};
use crate::sns::{delivery, endpoints, fault, faults, reconcile, replay, tokens};
use crate::sqs::pairs::{Pairs, Text};

/// What is answered in place of the ARN of a subscription that nobody has confirmed.
const PENDING: &str = "pending confirmation";

/// An endpoint is asked again at the earliest after so many milliseconds; somebody who reads mails after more.
const AGAIN_MS: u64 = 5_000;
const MAIL_AGAIN_MS: u64 = 60_000;
/// A token that is good for longer, in milliseconds, is not replaced.
const TOKEN_LEFT_MS: u64 = 24 * 60 * 60 * 1000;

/// A subscription, and what is still to be done for it.
struct Subscribed {
    subscription: Arc<Subscription>,
    pending: Vec<Pending>,
    /// Its endpoint is to be asked.
    asks: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Subscribe<'a> {
    #[serde(borrow, default)]
    topic_arn: Cow<'a, str>,
    #[serde(borrow, default)]
    protocol: Cow<'a, str>,
    #[serde(borrow, default)]
    endpoint: Cow<'a, str>,
    #[serde(borrow, default)]
    attributes: Option<Pairs<'a, Text<'a>>>,
    #[serde(default)]
    return_subscription_arn: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    subscription_arn: String,
}

impl<'a> Action<'a> for Subscribe<'a> {
    const NAME: &'static str = "Subscribe";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let place = Place::find(call, &self.topic_arn, "TopicArn", Intent::read("SNS:Subscribe"))?;
        let (protocol, endpoint) = (self.protocol(&place)?, &*self.endpoint);
        check_queue(call, endpoint)?;
        check_means(call, protocol, endpoint)?;
        let Subscribed { subscription, pending, asks } = self.subscribe(call, &place, protocol, endpoint)?;
        wait(pending).await?;
        let is_pending = subscription.state == State::Pending;
        if asks {
            ask(call, &subscription, delivery::ask).await?;
        }
        let is_told = !is_pending || self.return_subscription_arn == Some(true);
        let subscription_arn = if is_told { subscription.arn.to_string() } else { PENDING.to_owned() };
        Ok(Reply::Now(Output { subscription_arn }))
    }
}

impl Subscribe<'_> {
    fn protocol(&self, place: &Place) -> Result<Protocol, Error> {
        let protocol = Protocol::named(&self.protocol).ok_or_else(|| {
            let name = fault::shown(&self.protocol);
            fault::invalid_parameter(format_args!("Amazon SNS does not support this protocol string: {name}"))
        })?;
        if self.endpoint.is_empty() {
            return Err(Error::new(&faults::NOT_FOUND, "Endpoint not specified in subscription"));
        }
        endpoints::check(protocol, &self.endpoint, place.topic.is_fifo)?;
        Ok(protocol)
    }

    /// The subscription of the endpoint, which may be there already.
    fn subscribe(&self, call: &Call, place: &Place, protocol: Protocol, endpoint: &str) -> Result<Subscribed, Error> {
        let (edge, topic, caller) = (&call.edge, &place.topic, &call.caller);
        let of = Of { is_fifo_topic: topic.is_fifo, protocol, endpoint, is_new: true };
        let mut attributes = BTreeMap::new();
        for (name, value) in self.attributes.iter().flat_map(Pairs::iter) {
            of.apply(name, value, &mut attributes)?;
        }
        of.check(&attributes)?;
        if let Some(letters) = dead_letter_arn(attributes.get(REDRIVE_POLICY)) {
            check_dead_letters(call, &letters)?;
        }
        let sns = &edge.sns;
        // Of several who subscribe an endpoint at once, the first one does.
        let _one = sns.changes.lock();
        let topic_id = topic.exchange.id();
        if let Some(known) = sns.subscriptions.of_endpoint(topic_id, protocol, endpoint) {
            self.check_same(&known, &attributes)?;
            return self.again(call, &known);
        }
        sns.check_limits(topic_id, attributes.contains_key(FILTER_POLICY))?;
        let id = tokens::id()?;
        let is_confirmed = !protocol.asks_endpoint() && owns(call, protocol, endpoint);
        let token = if is_confirmed { None } else { Some(tokens::token(&id, now_ms())?) };
        let subscription = Subscription {
            id: Arc::from(""),
            arn: Arc::from(""),
            topic: Arc::clone(topic.name()),
            topic_arn: Arc::clone(&topic.arn),
            topic_id,
            vhost: Arc::clone(place.vhost.name()),
            account: Arc::clone(&topic.account),
            owner: Arc::clone(&caller.account),
            principal: Arc::from(&*caller.arn),
            protocol,
            endpoint: Arc::from(endpoint),
            state: if is_confirmed { State::Confirmed } else { State::Pending },
            is_authenticated: is_confirmed,
            needs_signature: false,
            base_url: Arc::from(call.base_url()),
            is_from_loopback: call.is_near,
            attributes,
            token,
            is_raw: false,
        };
        let subscription = subscription.named(&id);
        let (subscription, pending) =
            if is_confirmed { replay::keep_first(edge, subscription)? } else { keep(edge, subscription)? };
        Ok(Subscribed { subscription, pending, asks: !is_confirmed })
    }

    /// Whoever subscribes an endpoint once more may only say of it what it is.
    fn check_same(&self, known: &Subscription, attributes: &BTreeMap<String, String>) -> Result<(), Error> {
        let given = self.attributes.iter().flat_map(Pairs::iter);
        for (name, _) in given {
            if known.attribute(name) != attributes.get(name).map(String::as_str) {
                let reason = "Attributes Reason: Subscription already exists with different attributes";
                return Err(fault::invalid_parameter(reason));
            }
        }
        Ok(())
    }

    /// One that is there. Where it still waits for its endpoint that is asked again, as the first time may have got lost, but not
    /// as often as somebody likes; links that it was sent before stay good.
    fn again(&self, call: &Call, known: &Arc<Subscription>) -> Result<Subscribed, Error> {
        // The first time it may have failed half way.
        let pending = reconcile::follow(&call.edge, known).map_err(fault::of_broker)?;
        let nothing = Subscribed { subscription: Arc::clone(known), pending, asks: false };
        let now_ms = now_ms();
        let wait_ms = if known.protocol.is_mail() { MAIL_AGAIN_MS } else { AGAIN_MS };
        let is_early = |token: &&Token| now_ms < token.asked_ms.saturating_add(wait_ms);
        if known.state != State::Pending
            || known.token.as_ref().is_some_and(|token| is_early(&token))
            || reconcile::has_waiting(&call.edge, known)
        {
            return Ok(nothing);
        }
        let token = match known.token.clone() {
            Some(token) if now_ms + TOKEN_LEFT_MS < token.until_ms => Token { asked_ms: now_ms, ..token },
            _ => tokens::token(&known.id, now_ms)?,
        };
        // Somebody elsewhere may have asked first for what only clients on this machine may.
        let is_from_loopback = known.is_from_loopback || call.is_near && *call.caller.account == *known.owner;
        let again = Subscription { token: Some(token), is_from_loopback, ..Subscription::clone(known) };
        let (subscription, pending) = keep(&call.edge, again)?;
        Ok(Subscribed { subscription, pending, asks: true })
    }
}

/// Whether an endpoint belongs to the caller, who then need not be asked. A phone number belongs to nobody, and is not asked.
fn owns(call: &Call, protocol: Protocol, endpoint: &str) -> bool {
    protocol == Protocol::Sms || Arn::parse(endpoint).is_some_and(|arn| *arn.account == *call.caller.account)
}
