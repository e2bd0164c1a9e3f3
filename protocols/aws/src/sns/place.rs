//! The topic that a request is about, and whether the caller may do to it what it asks.

use std::sync::Arc;

use gantry_broker::rights::Access;
use gantry_broker::vhost::Pending;
use gantry_broker::{ExchangeSettings, VirtualHost};

use super::policy::ACTIONS;
use super::topics::Topic;
use super::{fault, faults};
use crate::arn::Arn;
use crate::call::Call;
use crate::error::Error;
use crate::iam::Decision;

/// What is to be done to a topic: the action, by its name in policies, and the right that it needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intent {
    /// With `SNS:` before it.
    pub(crate) action: &'static str,
    /// None where any right is enough: to be told that a topic is there, and what is set on it.
    pub(crate) access: Option<Access>,
}

impl Intent {
    pub(crate) const fn look(action: &'static str) -> Self {
        Self { action, access: None }
    }

    pub(crate) const fn read(action: &'static str) -> Self {
        Self { action, access: Some(Access::Read) }
    }

    pub(crate) const fn write(action: &'static str) -> Self {
        Self { action, access: Some(Access::Write) }
    }

    pub(crate) const fn configure(action: &'static str) -> Self {
        Self { action, access: Some(Access::Configure) }
    }
}

/// A topic that a request is about.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) vhost: Arc<VirtualHost>,
    pub(crate) topic: Arc<Topic>,
}

impl Place {
    /// The topic of an ARN. `parameter` is what the request calls it, such as `TopicArn`.
    ///
    /// # Errors
    /// There is none, or the caller may not.
    pub(crate) fn find(call: &Call, arn: &str, parameter: &str, intent: Intent) -> Result<Self, Error> {
        let place = Self::there(call, arn, parameter)?;
        place.check(call, intent)?;
        Ok(place)
    }

    /// The topic of an ARN that tags are about.
    ///
    /// # Errors
    /// As [`Place::find`], in other words.
    pub(crate) fn tagged(call: &Call, arn: &str, intent: Intent) -> Result<Self, Error> {
        Self::find(call, arn, "ResourceArn", intent).map_err(|error| {
            if std::ptr::eq(error.fault, &raw const faults::NOT_FOUND) {
                Error::new(&faults::RESOURCE_NOT_FOUND, "Resource does not exist")
            } else {
                error
            }
        })
    }

    /// The topic of an ARN, whoever asks.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn there(call: &Call, arn: &str, parameter: &str) -> Result<Self, Error> {
        let arn = topic_arn(arn, parameter)?;
        let vhost = vhost_of(call, arn.account).ok_or_else(|| fault::not_found("Topic"))?;
        let edge = &call.edge;
        let topic = edge.sns.topic(&vhost, arn.account, &edge.region, arn.resource);
        Ok(Self { vhost, topic: topic.ok_or_else(|| fault::not_found("Topic"))? })
    }

    /// Whether the caller may: by the user's permissions in the virtual host or the topic's policy, unless that denies it; to the
    /// topics of another account, and where nobody has said who it is, only as the topic's policy allows.
    ///
    /// # Errors
    /// It may not.
    pub(crate) fn check(&self, call: &Call, intent: Intent) -> Result<(), Error> {
        let topic = &*self.topic;
        let Intent { action, access } = intent;
        let is_own = *call.caller.account == *topic.account;
        let name = action.split_once(':').map_or(action, |(_, name)| name);
        if !is_own && !ACTIONS.contains(&name) {
            return Err(denied(call, action, &topic.arn, Decision::Silent));
        }
        let policy = match &topic.policy {
            None => None,
            Some(Ok(policy)) => Some(policy),
            // Nobody can say what it denies, so it denies all, but that its owner sets another one.
            Some(Err(_)) if is_own && intent.access == Some(Access::Configure) => None,
            Some(Err(_)) => return Err(denied(call, action, &topic.arn, Decision::Denied)),
        };
        match call.decide(action, access, (&topic.account, topic.name()), || &*topic.arn, policy) {
            Decision::Allowed => Ok(()),
            decision => Err(denied(call, action, &topic.arn, decision)),
        }
    }

    /// Changes what is set on the topic; one at a time. What to wait for until it is on stable storage.
    ///
    /// # Errors
    /// The change cannot be made, and nothing is changed; the topic is gone.
    pub(crate) fn change(
        &self,
        call: &Call,
        change: impl FnOnce(&mut ExchangeSettings) -> Result<(), Error>,
    ) -> Result<Pending, Error> {
        let _one = call.edge.sns.changes.lock();
        let mut settings = ExchangeSettings::clone(&self.topic.exchange.settings());
        change(&mut settings)?;
        self.vhost.set_exchange_settings(&self.topic.exchange, settings).map_err(fault::of_broker)
    }
}

/// The parts of the ARN of a topic.
///
/// # Errors
/// It is none.
pub(crate) fn topic_arn<'a>(text: &'a str, parameter: &str) -> Result<Arn<'a>, Error> {
    let Some(arn) = Arn::parse(text) else {
        let parts = text.split(':').count();
        let reason = if parts < 6 {
            format!("An ARN must have at least 6 elements, not {parts}")
        } else {
            "An ARN must begin with arn:".to_owned()
        };
        return Err(fault::invalid_parameter(format_args!("{parameter} Reason: {reason}")));
    };
    if arn.service != "sns" || arn.resource.contains([':', '/']) {
        return Err(fault::invalid_parameter(parameter));
    }
    Ok(arn)
}

/// The virtual host of an account.
pub(crate) fn vhost_of(call: &Call, account: &str) -> Option<Arc<VirtualHost>> {
    if *call.caller.account == *account
        && let Some(vhost) = call.caller.vhost()
    {
        return Some(vhost);
    }
    call.edge.settings.vhost_of(account).and_then(|vhost| call.edge.broker.vhost(vhost))
}

/// What is said where it may not be done.
pub(crate) fn denied(call: &Call, action: &str, resource: &str, decision: Decision) -> Error {
    let caller = &*call.caller;
    let user = caller.user.as_deref().unwrap_or_default();
    tracing::info!(user, peer = %caller.peer, action, %resource, ?decision, "refused");
    let who = if caller.user.is_some() { &*caller.arn } else { "anonymous" };
    let why = match decision {
        Decision::Denied => "with an explicit deny in a resource-based policy".to_owned(),
        _ if Arn::parse(resource).is_some_and(|arn| *arn.account == *caller.account) => {
            format!("because no identity-based policy allows the {action} action")
        }
        _ => format!("because no resource-based policy allows the {action} action"),
    };
    fault::denied(format!("User: {who} is not authorized to perform: {action} on resource: {resource} {why}"))
}
