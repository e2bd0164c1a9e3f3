//! The queue that a request is about, and whether the caller may do to it what it asks.

use std::sync::Arc;

use gantry_broker::rights::Access;
use gantry_broker::vhost::Pending;
use gantry_broker::{Kind, Queue, QueueSettings, VirtualHost};

use super::attributes::{Profile, now_s, set_modified};
use super::policy::ACTIONS_OF_OWNERS;
use super::{fault, queue_url};
use crate::arn::Arn;
use crate::call::{Call, QueueAt};
use crate::error::Error;
use crate::iam::Decision;
use crate::sns::reconcile;
pub(crate) use crate::waits::durable;

/// What is to be done to a queue: the action, by its name in policies, and the right that it needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intent {
    /// With `sqs:` before it. Batches have no names of their own.
    pub(crate) action: &'static str,
    /// None where any right is enough: to be told that a queue is there, and how full it is.
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

/// A queue that a request is about.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) account: Arc<str>,
    pub(crate) vhost: Arc<VirtualHost>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) profile: Arc<Profile>,
}

impl Place {
    /// The queue of a URL.
    ///
    /// # Errors
    /// There is none, or the caller may not.
    pub(crate) fn find(call: &Call, url: &str, intent: Intent) -> Result<Self, Error> {
        if url.is_empty() {
            return Err(fault::missing_parameter("QueueUrl"));
        }
        let url = queue_url::parse(url).ok_or_else(|| fault::invalid_address(url))?;
        Self::named(call, url.account.unwrap_or(&call.caller.account), &url.name, intent)
    }

    /// The queue of an ARN; none where it is the ARN of no queue at all.
    ///
    /// # Errors
    /// As [`Place::find`].
    pub(crate) fn of_arn(call: &Call, arn: &str, intent: Intent) -> Option<Result<Self, Error>> {
        let arn = Arn::parse(arn).filter(|arn| arn.service == "sqs")?;
        Some(Self::named(call, arn.account, arn.resource, intent))
    }

    /// The queue of an account, by its name.
    ///
    /// # Errors
    /// As [`Place::find`].
    pub(crate) fn named(call: &Call, account: &str, name: &str, intent: Intent) -> Result<Self, Error> {
        let place = Self::there(call, account, name)?;
        place.check(call, intent)?;
        Ok(place)
    }

    /// The queue of an account, by its name, whoever asks.
    pub(crate) fn there(call: &Call, account: &str, name: &str) -> Result<Self, Error> {
        let caller = &call.caller;
        let (account, vhost) = if *caller.account == *account {
            (Arc::clone(&caller.account), caller.vhost())
        } else {
            let vhost = call.edge.settings.vhost_of(account).and_then(|vhost| call.edge.broker.vhost(vhost));
            (Arc::from(account), vhost)
        };
        let vhost = match vhost {
            Some(vhost) => vhost,
            // Nobody in particular: a policy may let even them in.
            None => call
                .edge
                .settings
                .vhost_of(&account)
                .and_then(|vhost| call.edge.broker.vhost(vhost))
                .ok_or_else(fault::queue_does_not_exist)?,
        };
        let queue = vhost.queue_of_anyone(name).map_err(|_| fault::queue_does_not_exist())?;
        if queue.owner().is_some() {
            // It belongs to a connection of another protocol, and goes with it.
            return Err(fault::queue_does_not_exist());
        }
        let profile = call.edge.sqs.profile(&queue);
        Ok(Self { account, vhost, queue, profile })
    }

    /// Another queue of the same virtual host.
    pub(crate) fn beside(&self, call: &Call, queue: &Arc<Queue>) -> Self {
        let profile = call.edge.sqs.profile(queue);
        let (account, vhost) = (Arc::clone(&self.account), Arc::clone(&self.vhost));
        Self { account, vhost, queue: Arc::clone(queue), profile }
    }

    /// Whether the caller may: by the user's permissions in the virtual host or the queue's policy, unless that denies it; in the
    /// queues of another account, and where nobody has said who it is, only as the queue's policy allows.
    ///
    /// # Errors
    /// It may not.
    pub(crate) fn check(&self, call: &Call, intent: Intent) -> Result<(), Error> {
        let queue = QueueAt { account: &self.account, name: self.queue.name() };
        let action = intent.action;
        let is_own = *call.caller.account == *self.account;
        let name = action.strip_prefix("sqs:").unwrap_or(action);
        let is_of_owners = ACTIONS_OF_OWNERS.contains(&name);
        if !is_own && is_of_owners {
            return Err(call.denied(action, &queue, Decision::Silent));
        }
        let policy = match &self.profile.policy {
            None => None,
            Some(Ok(policy)) => Some(policy),
            // Nobody can say what it denies, so it denies all, but that its owner sets another one.
            Some(Err(_)) if is_of_owners && intent.access == Some(Access::Configure) => None,
            Some(Err(_)) => return Err(call.denied(action, &queue, Decision::Denied)),
        };
        call.authorize(action, intent.access, &queue, policy)
    }

    /// Changes what is set on the queue; one at a time. What to wait for until it is on stable storage.
    ///
    /// # Errors
    /// The change cannot be made, and nothing is changed; the queue is gone.
    pub(crate) fn change(
        &self,
        call: &Call,
        change: impl FnOnce(&mut QueueSettings) -> Result<(), Error>,
    ) -> Result<Pending, Error> {
        self.check_not_stream()?;
        let _one = call.edge.sqs.changes.lock();
        let mut settings = QueueSettings::clone(&self.queue.settings());
        change(&mut settings)?;
        set_modified(&mut settings, now_s());
        self.vhost.set_settings(&self.queue, settings).map_err(of_broker)
    }

    /// Has topics see that the queue's policy is another one.
    ///
    /// # Errors
    /// What follows from it is never on stable storage.
    pub(crate) async fn follow(&self, call: &Call) -> Result<(), Error> {
        reconcile::follow_queue_durably(&call.edge, &self.vhost, self.queue.name()).await
    }

    /// The queue's ARN.
    pub(crate) fn arn(&self, call: &Call) -> String {
        call.queue_arn(&self.account, self.queue.name())
    }

    /// The queue's URL.
    pub(crate) fn url(&self, call: &Call) -> String {
        call.queue_url(&self.account, &queue_url::encoded(self.queue.name()))
    }

    /// The queue again, as nothing else than a queue: a stream cannot be received from.
    ///
    /// # Errors
    /// It is one.
    pub(crate) fn check_not_stream(&self) -> Result<(), Error> {
        if self.queue.is_stream() {
            return Err(fault::unsupported(
                "A stream can be sent to, and read by consumers that keep their place in it.",
            ));
        }
        Ok(())
    }
}

/// What the broker says, as AWS says it.
pub(crate) fn of_broker(error: gantry_broker::Error) -> Error {
    use gantry_broker::Error as Broker;
    match error {
        Broker::NotFound(_) | Broker::Locked(_) => fault::queue_does_not_exist(),
        Broker::Refused { .. } | Broker::TopicRefused { .. } => fault::denied(),
        Broker::Full | Broker::LimitReached { .. } => fault::throttled(),
        Broker::Forbidden { resource, .. } if matches!(resource.kind, Kind::Queue) => {
            fault::invalid_parameter("The name of the queue is reserved.")
        }
        other => Error::internal(&other),
    }
}
