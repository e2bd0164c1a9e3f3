//! One subscription.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Protocol;
use crate::arn::Arn;
use crate::sns::limits::TOKEN_S;

/// How far a subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Nobody has said yet that the endpoint wants the messages.
    Pending,
    /// It gets messages.
    Confirmed,
    /// It was ended by somebody who did not say who it is, and whoever is at the endpoint may take that back for a while.
    Gone,
}

/// What confirms a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    /// What nobody can guess, in hexadecimal digits.
    pub(crate) text: Box<str>,
    /// Until when it is good.
    pub(crate) until_ms: u64,
    /// When the endpoint was asked with it last, in milliseconds since the epoch of Unix; 0 where it was not.
    #[serde(default)]
    pub(crate) asked_ms: u64,
}

impl Token {
    /// When it was made, in milliseconds since the epoch of Unix.
    pub(crate) fn made_ms(&self) -> u64 {
        self.until_ms.saturating_sub(TOKEN_S * 1000)
    }
}

/// What the names of subscriptions' own queues begin with, before their ids.
const OWN_QUEUE: &str = "sns-subscription-";

/// The id of the subscription whose own queue this is.
pub(crate) fn subscription_of_queue(queue: &str) -> Option<&str> {
    queue.strip_prefix(OWN_QUEUE)
}

/// A subscription. It never changes: another one takes its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subscription {
    /// A UUID, which is the end of its ARN.
    #[serde(skip)]
    pub(crate) id: Arc<str>,
    /// Its ARN.
    #[serde(skip)]
    pub(crate) arn: Arc<str>,
    /// The name of its topic.
    pub(crate) topic: Arc<str>,
    /// The ARN of its topic.
    pub(crate) topic_arn: Arc<str>,
    /// The number of the topic's exchange: a topic of the same name that is made later is another one.
    pub(crate) topic_id: u64,
    /// The virtual host of its topic.
    pub(crate) vhost: Arc<str>,
    /// The account of its topic.
    pub(crate) account: Arc<str>,
    /// The account of whoever has made it.
    pub(crate) owner: Arc<str>,
    /// The ARN of whoever has made it.
    pub(crate) principal: Arc<str>,
    /// How messages are sent.
    pub(crate) protocol: Protocol,
    /// Where they are sent: a URL, an ARN, an address, a number.
    pub(crate) endpoint: Arc<str>,
    pub(crate) state: State,
    /// Whoever confirmed it has said who it is, or did not need to.
    pub(crate) is_authenticated: bool,
    /// Only who says who it is may end it.
    #[serde(default)]
    pub(crate) needs_signature: bool,
    /// Scheme and host, without a slash at the end, by which its maker has come here: URLs in its messages begin so.
    #[serde(default)]
    pub(crate) base_url: Arc<str>,
    /// It was made from this machine.
    #[serde(default)]
    pub(crate) is_from_loopback: bool,
    /// Attributes as they are kept, by AWS's names.
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, String>,
    /// What confirms it, or brings it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<Token>,
    /// Messages leave as they came, without the JSON document around them.
    #[serde(skip)]
    pub(crate) is_raw: bool,
}

impl Subscription {
    /// What the table has.
    pub(super) fn read(id: &str, row: &[u8]) -> Option<Self> {
        let subscription: Self = serde_json::from_slice(row).ok()?;
        Some(subscription.named(id))
    }

    /// What the table gets.
    pub(super) fn written(&self) -> Result<Vec<u8>, gantry_broker::Error> {
        serde_json::to_vec(self).map_err(|error| gantry_broker::Error::Storage(error.to_string()))
    }

    /// With this id, and what follows from it and from attributes.
    pub(crate) fn named(mut self, id: &str) -> Self {
        self.id = Arc::from(id);
        self.arn = Arc::from(format!("{}:{id}", self.topic_arn));
        self.is_raw = self.attribute("RawMessageDelivery") == Some("true");
        self
    }

    /// An attribute, by AWS's name for it; none where nobody has set it.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// The ARN of the queue that gets what cannot be delivered.
    pub(crate) fn dead_letter_arn(&self) -> Option<String> {
        dead_letter_arn(self.attributes.get("RedrivePolicy"))
    }

    /// The names of queues of SQS that get its messages or its dead letters.
    pub(super) fn queues(&self) -> Vec<Box<str>> {
        let name = |arn: &str| Arn::parse(arn).filter(|arn| arn.service == "sqs").map(|arn| arn.resource.into());
        let dead_letters = self.dead_letter_arn();
        let arns = [Some(&*self.endpoint).filter(|_| self.protocol == Protocol::Sqs), dead_letters.as_deref()];
        arns.into_iter().flatten().filter_map(name).collect()
    }

    /// The name of the queue that is its own, from which messages are delivered.
    pub(crate) fn queue_name(&self) -> String {
        format!("{OWN_QUEUE}{}", self.id)
    }

    pub(super) fn endpoint_key(&self) -> (u64, Protocol, Arc<str>) {
        (self.topic_id, self.protocol, Arc::clone(&self.endpoint))
    }
}

/// The ARN of the queue that a `RedrivePolicy` names, which was checked when it was set.
pub(crate) fn dead_letter_arn(policy: Option<&String>) -> Option<String> {
    #[derive(Deserialize)]
    struct Redrive {
        #[serde(rename = "deadLetterTargetArn")]
        target: String,
    }
    let redrive: Redrive = serde_json::from_str(policy?).ok()?;
    Some(redrive.target)
}
