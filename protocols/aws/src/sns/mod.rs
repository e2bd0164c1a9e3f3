//! Amazon SNS, on the broker's exchanges: a topic is an exchange of type `x-sns`, a subscription is a row of the table and a
//! binding.
//!
//! | file | about |
//! | --- | --- |
//! | `actions` | one file an action, which reads as its page in AWS's reference does |
//! | `place` | the topic that a request is about, and whether the caller may |
//! | `topics` | how SNS reads an exchange and its settings, worked out once for each change |
//! | `subscriptions` | subscriptions: their rows, who has which, in which form what waits in a queue leaves it |
//! | `reconcile` | bindings follow subscriptions |
//! | `archive`, `replay` | what topics keep, and how subscriptions get it once more |
//! | `attributes`, `names`, `limits`, `page`, `tags`, `policy`, `tokens` | what may be said, and how; pure |
//! | `publishing`, `message_attributes`, `structure` | what Publish and PublishBatch share |
//! | `convert`, `envelope`, `protection` | what a publish becomes, and in which form it leaves |
//! | `signing`, `delivery` | signatures, and who carries messages to endpoints |
//! | `direct` | messages for one endpoint, and for no topic |
//! | `mail` | the way to the SMTP server |
//! | `platform`, `sms` | mobile push and short messages |
//! | `given` | maps of requests as they are kept |
//! | `fault`, `faults` | errors, with AWS's codes and words |

mod actions;
mod archive;
mod attributes;
pub(crate) mod convert;
mod delivery;
pub(crate) mod direct;
mod endpoints;
pub(crate) mod envelope;
pub(crate) mod fault;
pub mod faults;
mod given;
mod limits;
mod listed;
mod mail;
mod message_attributes;
mod names;
mod page;
mod place;
mod platform;
mod policy;
pub(crate) mod protection;
mod publishing;
pub(crate) mod reconcile;
mod replay;
mod settings;
pub(crate) mod signing;
mod sms;
mod structure;
mod subscribing;
mod subscriptions;
mod tags;
mod tokens;
mod topics;

use std::sync::Arc;

use gantry_broker::vhost::Pending;
use gantry_broker::{Broker, VirtualHost};
use parking_lot::Mutex;

use crate::error::Error;

pub(crate) use self::actions::ACTIONS;
pub use self::convert::SOURCE;
pub(crate) use self::convert::SOURCE_ID;
use self::delivery::Deliveries;
pub(crate) use self::delivery::escaped;
pub use self::delivery::{DeliveryCount, NOTICE_SOURCE};
use self::platform::Platforms;
#[cfg(test)]
pub(crate) use self::platform::testing as platform_testing;
use self::reconcile::Bindings;
use self::replay::Replays;
pub use self::settings::{Mail, Push, Services, Settings};
pub(crate) use self::signing::Signing;
use self::sms::ShortMessages;
pub use self::sms::{Gateway, Settings as SmsSettings};
#[cfg(test)]
pub(crate) use self::subscriptions::State as SubscriptionState;
use self::subscriptions::Subscriptions;
pub(crate) use self::subscriptions::{Form, Subscription, subscription_of_queue};
pub(crate) use self::topics::Topic;
use self::topics::Topics;
use crate::outbound;

/// What SNS knows beside its topics.
#[derive(Debug)]
pub struct Sns {
    settings: Settings,
    topics: Topics,
    subscriptions: Subscriptions,
    bindings: Bindings,
    deliveries: Deliveries,
    platforms: Platforms,
    short_messages: ShortMessages,
    replays: Replays,
    /// Signatures of what leaves.
    pub(crate) signing: Signing,
    /// Requests to endpoints.
    pub(crate) outbound: outbound::Client,
    /// The way to the SMTP server, made for the first mail.
    mailer: std::sync::OnceLock<Result<mail::Mailer, String>>,
    /// One at a time changes what is set on topics: what is read is what is changed.
    changes: Mutex<()>,
}

impl Sns {
    /// Opens what is kept in the broker's table. Blocks on the disk. What to wait for before anybody is served.
    ///
    /// # Errors
    /// The table cannot be read, or what is in it is damaged.
    pub fn open(broker: &Arc<Broker>, settings: Settings) -> Result<(Self, Vec<Pending>), gantry_broker::Error> {
        let sns = Self {
            outbound: outbound::Client::new(settings.outbound.clone()),
            settings,
            topics: Topics::default(),
            subscriptions: Subscriptions::open(broker)?,
            bindings: Bindings::default(),
            deliveries: Deliveries::default(),
            platforms: Platforms::open(broker)?,
            short_messages: ShortMessages::open(broker)?,
            replays: Replays::default(),
            signing: Signing::open(broker)?,
            mailer: std::sync::OnceLock::new(),
            changes: Mutex::default(),
        };
        Ok((sns, Vec::new()))
    }

    /// The topic of a virtual host by its name; none where there is no such exchange, or one of another type.
    pub(crate) fn topic(&self, vhost: &VirtualHost, account: &str, region: &str, name: &str) -> Option<Arc<Topic>> {
        let exchange = vhost.exchange(name).ok()?;
        self.topics.of(&exchange, account, region)
    }

    /// All subscriptions, in the order of their ids.
    #[cfg(test)]
    pub(crate) fn all_subscriptions(&self) -> Vec<Arc<Subscription>> {
        self.subscriptions.all()
    }

    /// Begins no further deliveries to endpoints.
    pub(crate) fn stop(&self) {
        self.deliveries.stop_all();
    }

    /// The way to the SMTP server.
    ///
    /// # Errors
    /// What is configured of it is wrong.
    fn mailer(&self) -> Result<&mail::Mailer, String> {
        let made =
            self.mailer.get_or_init(|| mail::mailer(&self.settings.mail, self.settings.outbound.ca_file.as_deref()));
        made.as_ref().map_err(Clone::clone)
    }

    /// What became of the deliveries of each subscription.
    pub(crate) fn delivery_counts(&self) -> Vec<DeliveryCount> {
        self.deliveries.counts()
    }

    /// Whether one more subscription to a topic may be made.
    ///
    /// # Errors
    /// There are as many as there may be.
    fn check_limits(&self, topic_id: u64, has_filter: bool) -> Result<(), Error> {
        // Those that may come back take as much room.
        let counts = self.subscriptions.counts(topic_id);
        if counts.all + counts.gone >= self.settings.subscriptions_max {
            let message = "Subscription limit exceeded";
            return Err(Error::new(&faults::SUBSCRIPTION_LIMIT_EXCEEDED, message));
        }
        if has_filter { self.check_filters(topic_id) } else { Ok(()) }
    }

    /// Whether one more filter policy may be set on subscriptions to a topic.
    ///
    /// # Errors
    /// There are as many as there may be.
    fn check_filters(&self, topic_id: u64) -> Result<(), Error> {
        if self.subscriptions.counts(topic_id).filtered >= self.settings.filter_policies_max {
            let message = "Filter policy limit exceeded";
            return Err(Error::new(&faults::FILTER_POLICY_LIMIT_EXCEEDED, message));
        }
        Ok(())
    }

    /// The subscription of this id.
    pub(crate) fn subscription(&self, id: &str) -> Option<Arc<Subscription>> {
        self.subscriptions.get(id)
    }

    /// Whether any queue has, or has had, a subscription: messages of all others leave as they came.
    pub(crate) fn has_forms(&self) -> bool {
        self.subscriptions.has_forms()
    }

    /// In which form a message leaves a queue that came into it by a topic, as number `seq` of the queue. None where the topic
    /// has no subscription that leads there, and had none when the message came.
    pub(crate) fn form(&self, vhost: &str, topic: &str, queue: &str, seq: u64) -> Option<Form> {
        self.subscriptions.form(vhost, topic, queue, seq)
    }
}
