//! What `Subscribe`, `ConfirmSubscription`, `Unsubscribe` and the attributes of subscriptions share.

use std::sync::Arc;

use gantry_broker::Ticket;
use gantry_broker::rights::Access;
use gantry_broker::vhost::Pending;

use super::place::denied;
use super::platform::endpoint::application_of;
use super::platform::place;
use super::reconcile;
use super::subscriptions::{Protocol, State, Subscription};
use super::topics::Topic;
use super::{Sns, fault};
use crate::Edge;
use crate::arn::Arn;
use crate::call::Call;
use crate::error::Error;
use crate::iam::Decision;
use crate::waits;

/// The subscription of an ARN. None where there is none of it any more.
///
/// # Errors
/// It is no ARN of a subscription.
pub(crate) fn find(sns: &Sns, arn: &str) -> Result<Option<Arc<Subscription>>, Error> {
    let Some(parsed) = Arn::parse(arn) else {
        let parts = arn.split(':').count();
        let message = format!("SubscriptionArn Reason: An ARN must have at least 6 elements, not {parts}");
        return Err(fault::invalid_parameter(message));
    };
    let id = parsed.resource.split_once(':').filter(|_| parsed.service == "sns");
    let (_, id) = id.ok_or_else(|| fault::invalid_parameter("SubscriptionId"))?;
    let found = sns.subscriptions.get(id);
    Ok(found.filter(|subscription| subscription.state != State::Gone && *subscription.arn == *arn))
}

/// As [`find`], and the caller may do something to it that needs this right to the topic: its owner, and the topic's.
///
/// # Errors
/// There is none, or the caller may not.
pub(crate) fn authorized(call: &Call, arn: &str, action: &str) -> Result<Arc<Subscription>, Error> {
    let subscription = find(&call.edge.sns, arn)?.ok_or_else(|| fault::not_found("Subscription"))?;
    check(call, &subscription, action)?;
    Ok(subscription)
}

/// Whether the caller may do something to a subscription: the topic's account and the one of whoever subscribed, as far as the
/// user may read from the topic, and whoever subscribed.
///
/// # Errors
/// It may not.
pub(crate) fn check(call: &Call, subscription: &Subscription, action: &str) -> Result<(), Error> {
    let caller = &call.caller;
    let is_owner = caller.user.is_some() && (*caller.account == *subscription.owner);
    let is_topics = caller.user.is_some() && *caller.account == *subscription.account;
    let is_own = is_owner && *caller.arn == *subscription.principal;
    if is_own || is_topics && caller.may(Access::Read, &subscription.topic) {
        return Ok(());
    }
    Err(denied(call, action, &subscription.arn, Decision::Silent))
}

/// Whether the caller may have messages put into a queue of its own account. Others are asked, by their policies.
///
/// # Errors
/// It may not.
pub(crate) fn check_queue(call: &Call, arn: &str) -> Result<(), Error> {
    let Some(queue) = Arn::parse(arn).filter(|arn| arn.service == "sqs") else { return Ok(()) };
    if *queue.account == *call.caller.account && !call.caller.may(Access::Write, queue.resource) {
        return Err(denied(call, "sqs:SendMessage", arn, Decision::Silent));
    }
    Ok(())
}

/// Whether the caller may have dead letters put into a queue, which has to be of the caller's own account.
///
/// # Errors
/// It may not.
pub(crate) fn check_dead_letters(call: &Call, arn: &str) -> Result<(), Error> {
    if Arn::parse(arn).is_none_or(|queue| *queue.account != *call.caller.account) {
        return Err(denied(call, "sqs:SendMessage", arn, Decision::Silent));
    }
    check_queue(call, arn)
}

/// Whether the caller may have something asked for with what the program has of keys and money: short messages, devices, functions
/// and delivery streams need the right to write to them, as if they were published to.
///
/// # Errors
/// It may not.
pub(crate) fn check_means(call: &Call, protocol: Protocol, endpoint: &str) -> Result<(), Error> {
    let resource = |arn: &str| Arn::parse(arn).map(|arn| arn.resource.to_owned()).unwrap_or_default();
    let (action, name) = match protocol {
        Protocol::Sms => ("SNS:Publish", "sms".to_owned()),
        Protocol::Application => ("SNS:Publish", resource(&application_of(endpoint).unwrap_or_default())),
        Protocol::Lambda => {
            let resource = resource(endpoint);
            let function = resource.strip_prefix("function:").unwrap_or(&resource);
            // Of a version or an alias, too.
            let function = function.split(':').next().unwrap_or_default();
            ("lambda:InvokeFunction", format!("lambda/{function}"))
        }
        Protocol::Firehose => {
            let resource = resource(endpoint);
            let stream = resource.strip_prefix("deliverystream/").unwrap_or(&resource);
            ("firehose:PutRecord", format!("firehose/{stream}"))
        }
        Protocol::Http | Protocol::Https | Protocol::Sqs | Protocol::Email | Protocol::EmailJson => return Ok(()),
    };
    place::check(call, action, Some(Access::Write), endpoint, &name)
}

/// Keeps a subscription as it is now, and has the broker follow it. What to wait for until it is on stable storage.
///
/// # Errors
/// It cannot be written, or the broker has no room for what it needs: then it is kept, and tried again.
pub(crate) fn keep(edge: &Arc<Edge>, subscription: Subscription) -> Result<(Arc<Subscription>, Vec<Pending>), Error> {
    let subscription = Arc::new(subscription);
    let noted = reconcile::note_form(edge, &subscription);
    let kept = edge.sns.subscriptions.keep(&edge.broker, Arc::clone(&subscription)).map_err(fault::of_broker)?;
    let mut pending = vec![noted, kept];
    pending.extend(reconcile::follow(edge, &subscription).map_err(fault::of_broker)?);
    Ok((subscription, pending))
}

/// Puts a question, with this token and links that begin with this, in line for the endpoint of a subscription.
type Asking = fn(&Edge, &Subscription, &str, &str) -> Result<Option<Ticket>, gantry_broker::Error>;

/// Has whoever is at the endpoint of a subscription asked, or told, something with its token, as durably as messages are. Its links
/// lead to where whoever subscribed is: others may say of a host what they like.
///
/// # Errors
/// It is not certain that it will be.
pub(crate) async fn ask(call: &Call, subscription: &Subscription, ask: Asking) -> Result<(), Error> {
    let Some(token) = &subscription.token else { return Ok(()) };
    let edge = &call.edge;
    let ticket = ask(edge, subscription, &token.text, &subscription.base_url).map_err(fault::of_broker)?;
    waits::durable(&edge.broker, ticket).await
}

/// Has whoever delivers to the subscriptions of a topic see that something else is set on it.
///
/// # Errors
/// What follows from it is never on stable storage.
pub(crate) async fn follow_topic(edge: &Arc<Edge>, topic: &Topic) -> Result<(), Error> {
    for subscription in edge.sns.subscriptions.of_topic(topic.exchange.id()) {
        // Nobody delivers to a queue of this broker.
        if subscription.protocol != Protocol::Sqs {
            wait(reconcile::follow(edge, &subscription).map_err(fault::of_broker)?).await?;
        }
    }
    Ok(())
}

/// Waits until all of it is on stable storage.
///
/// # Errors
/// Some of it never is.
pub(crate) async fn wait(pending: Vec<Pending>) -> Result<(), Error> {
    for written in pending {
        written.wait().await.map_err(fault::of_broker)?;
    }
    Ok(())
}
