//! To whom a queue is delivered, and how.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use gantry_broker::{Queue, QueueSettings, Redrive, VirtualHost};

use super::log::Feedback;
use super::policy::{Policy, SubscriptionPolicy, TopicPolicy};
use crate::Edge;
use crate::arn::Arn;
use crate::outbound::{Reach, place_of};
use crate::sns::subscriptions::Protocol;
use crate::sns::{Subscription, Topic, reconcile};

/// How an endpoint is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Means {
    /// A POST to a URL, with TLS or without.
    Http,
    /// A queue of SQS that is not one of this broker's.
    Sqs,
    /// A function.
    Lambda,
    /// A delivery stream.
    Firehose,
    /// A mail for people.
    Email,
    /// A mail for programs.
    EmailJson,
    /// A short message.
    Sms,
    /// A device.
    Application,
}

impl Means {
    /// Time for one attempt.
    pub(crate) const fn attempt(self) -> Duration {
        match self {
            // As long as AWS waits for a webhook.
            Self::Http => Duration::from_secs(15),
            _ => Duration::from_secs(30),
        }
    }

    /// For so long a message that is being delivered is nobody else's. After a crash it is tried again when this is over.
    pub(super) const fn lease(self) -> Duration {
        self.attempt().saturating_add(Duration::from_secs(5))
    }
}

/// To whom a queue is delivered, and how: a subscription, or an endpoint that is published to without a topic. Never changed: another
/// one takes its place.
#[derive(Debug)]
pub(crate) struct Errand {
    /// The subscription's id, or another name that no other errand has.
    pub(crate) id: Arc<str>,
    /// Where messages wait.
    pub(crate) queue: Arc<Queue>,
    /// How the endpoint is reached.
    pub(crate) means: Means,
    /// A URL, an address, a number or an ARN.
    pub(crate) endpoint: Arc<str>,
    /// Which addresses the endpoint may have.
    pub(crate) reach: Reach,
    /// The ARN of the topic; none where there is none.
    pub(crate) topic_arn: Option<Arc<str>>,
    /// The ARN of the subscription; none where there is none.
    pub(crate) subscription_arn: Option<Arc<str>>,
    /// The message alone, without the document around it.
    pub(crate) is_raw: bool,
    /// What is signed: 1 or 2.
    pub(crate) signature_version: u8,
    /// When what failed is tried again, and how many a second there are.
    pub(crate) policy: Policy,
    /// The queue of the same virtual host that gets what cannot be delivered.
    pub(crate) dead_letters: Option<Arc<str>>,
    /// What URLs in documents begin with: scheme and host, as whoever subscribed has used them.
    pub(crate) base_url: Arc<str>,
    /// What is told of deliveries.
    pub(crate) feedback: Feedback,
    /// The topic, and the ARN of whoever has subscribed: what data protection goes by.
    pub(crate) protection: Option<(Arc<Topic>, Arc<str>)>,
}

impl Errand {
    /// That of a subscription; none where its queue is not there.
    pub(super) fn of(edge: &Arc<Edge>, subscription: &Subscription) -> Option<Self> {
        let means = match subscription.protocol {
            Protocol::Http | Protocol::Https => Means::Http,
            Protocol::Sqs => Means::Sqs,
            Protocol::Lambda => Means::Lambda,
            Protocol::Firehose => Means::Firehose,
            Protocol::Email => Means::Email,
            Protocol::EmailJson => Means::EmailJson,
            Protocol::Sms => Means::Sms,
            Protocol::Application => Means::Application,
        };
        let vhost = edge.broker.vhost(&subscription.vhost)?;
        let queue = vhost.queue_of_anyone(&subscription.queue_name()).ok()?;
        let topic = edge.sns.topic(&vhost, &subscription.account, &edge.region, &subscription.topic);
        let topic_policy = topic.as_ref().and_then(|topic| topic.attribute("DeliveryPolicy"));
        // Both were checked when they were set.
        let topic_policy = topic_policy.and_then(|text| TopicPolicy::parse(text).ok());
        let own_policy = subscription.attribute("DeliveryPolicy").and_then(|text| SubscriptionPolicy::parse(text).ok());
        let policy = match means {
            Means::Http => Policy::of_webhook(topic_policy.as_ref(), own_policy.as_ref()),
            _ => Policy::of(means),
        };
        let dead_letters = subscription.dead_letter_arn();
        let is_here = |arn: &Arn<'_>| edge.settings.vhost_of(arn.account) == Some(&**vhost.name());
        // One that is not there yet is waited for; one that is there is asked whether it takes them.
        let takes = |arn: &Arn<'_>| {
            vhost.queue_of_anyone(arn.resource).map_or(true, |letters| {
                letters.owner().is_none() && reconcile::may_send(edge, &letters, arn.account, subscription)
            })
        };
        let dead_letters = dead_letters.as_deref().and_then(Arn::parse).filter(is_here).filter(takes);
        let dead_letters = dead_letters.map(|arn| Arc::from(arn.resource));
        set_redrive(&vhost, &queue, dead_letters.as_ref());
        Some(Self {
            id: Arc::clone(&subscription.id),
            queue,
            means,
            endpoint: Arc::clone(&subscription.endpoint),
            reach: if subscription.is_from_loopback { Reach::Loopback } else { Reach::Public },
            topic_arn: Some(Arc::clone(&subscription.topic_arn)),
            subscription_arn: Some(Arc::clone(&subscription.arn)),
            is_raw: subscription.is_raw,
            signature_version: topic.as_ref().map_or(1, |topic| topic.signature_version),
            policy,
            dead_letters,
            base_url: Arc::clone(&subscription.base_url),
            protection: topic.clone().map(|topic| (topic, Arc::clone(&subscription.principal))),
            feedback: topic.as_ref().map_or_else(Feedback::default, |topic| feedback(topic, subscription.protocol)),
        })
    }

    /// Whose deliveries share places: those to one host and port, or to one endpoint that is no URL.
    pub(super) fn place(&self) -> Cow<'_, str> {
        match self.means {
            Means::Http => place_of(&self.endpoint).map_or(Cow::Borrowed(&*self.endpoint), Cow::Owned),
            // Where each message says itself to whom it goes, errands have nothing in common.
            _ if self.endpoint.is_empty() => Cow::Borrowed(&self.id),
            _ => Cow::Borrowed(&self.endpoint),
        }
    }

    /// Whether messages go one at a time, and what is tried again holds up what comes after it: the endpoint keeps their order.
    pub(super) fn is_ordered(&self) -> bool {
        self.means == Means::Sqs && self.endpoint.ends_with(".fifo")
    }

    /// Whether the topic keeps the order of messages.
    pub(super) fn is_of_ordered(&self) -> bool {
        self.protection.as_ref().is_some_and(|(topic, _)| topic.is_fifo)
    }

    /// The endpoint without what may be secret in it: of a URL the host alone, as the path of many says who may post there.
    pub(crate) fn shown(&self) -> &str {
        match (self.means, self.endpoint.split_once("://")) {
            (Means::Http, Some((_, rest))) => {
                let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
                // Behind the user and the password, where there are any.
                let at = host.rfind('@').map_or(0, |at| at + 1);
                &host[at..]
            }
            _ => &self.endpoint,
        }
    }

    /// Where whoever gets messages ends that.
    pub(crate) fn unsubscribe_url(&self) -> String {
        let arn = escaped(self.subscription_arn.as_deref().unwrap_or_default());
        format!("{}/?Action=Unsubscribe&SubscriptionArn={arn}", self.base_url)
    }

    /// Where whoever is at the endpoint says that it wants messages. `base_url`: scheme and host.
    pub(crate) fn confirm_url(&self, base_url: &str, token: &str) -> String {
        let arn = escaped(self.topic_arn.as_deref().unwrap_or_default());
        format!("{base_url}/?Action=ConfirmSubscription&TopicArn={arn}&Token={token}")
    }
}

/// An ARN as it stands in URLs and headers. The name of a topic that AMQP has declared may have any characters.
pub(crate) fn escaped(arn: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:/".contains(&byte);
    if arn.bytes().all(is_plain) {
        return Cow::Borrowed(arn);
    }
    let mut escaped = String::with_capacity(arn.len() + 16);
    for byte in arn.bytes() {
        if is_plain(byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    Cow::Owned(escaped)
}

/// What a topic wants to be told of deliveries by a protocol.
fn feedback(topic: &Topic, protocol: Protocol) -> Feedback {
    let prefix = match protocol {
        Protocol::Http | Protocol::Https => "HTTP",
        Protocol::Sqs => "SQS",
        Protocol::Lambda => "Lambda",
        Protocol::Firehose => "Firehose",
        Protocol::Application => "Application",
        Protocol::Email | Protocol::EmailJson | Protocol::Sms => return Feedback::default(),
    };
    let set = |name: &str| topic.attribute(&format!("{prefix}{name}")).filter(|value| !value.is_empty());
    let percent = || set("SuccessFeedbackSampleRate").and_then(|rate| rate.parse().ok()).unwrap_or(100);
    Feedback {
        success_percent: if set("SuccessFeedbackRoleArn").is_some() { percent() } else { 0 },
        failure: set("FailureFeedbackRoleArn").is_some(),
    }
}

/// What fails for good goes to this queue, or nowhere.
fn set_redrive(vhost: &VirtualHost, queue: &Arc<Queue>, dead_letters: Option<&Arc<str>>) {
    // It goes when it is given up, however often it was tried.
    let redrive = dead_letters.map(|queue| Redrive { queue: Arc::clone(queue), receives_max: u32::MAX });
    let settings = queue.settings();
    if settings.redrive == redrive {
        return;
    }
    // It is set again at the next start, so nobody has to wait until it is on the disk.
    if let Err(error) = vhost.set_settings(queue, QueueSettings { redrive, ..(*settings).clone() }) {
        tracing::warn!(queue = %queue.name(), %error, "what cannot be delivered does not go where it should");
    }
}
