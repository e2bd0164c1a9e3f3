//! Messages about connections and consumers, on the topics that ActiveMQ has for them. One is made where somebody listens, and only
//! about clients that speak this dialect.

use std::sync::Arc;

use gantry_broker::{Queue, RouteCache, Wakes};
use serde_json::json;

use crate::client::Client;
use crate::convert;
use crate::destinations::{Destination, Dialect, TOPIC_EXCHANGE};
use crate::subscriptions::Subscribed;

const CONNECTIONS: &str = "ActiveMQ.Advisory.Connection";

/// In front of `Queue.` or `Topic.` and a name.
const CONSUMERS: &str = "ActiveMQ.Advisory.Consumer.";

/// How the topics of advisories begin. Nobody is told of those who consume from them.
const ADVISORIES: &str = "ActiveMQ.Advisory.";

/// What others are told that a subscription consumes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Advised {
    /// Its queues.
    Queues,
    /// A topic, by its pattern.
    Topic(Box<str>),
    /// Nothing.
    Nothing,
}

impl Advised {
    pub(crate) fn of(destination: &Destination<'_>) -> Self {
        match destination {
            Destination::Queue(_) | Destination::AmqQueue(_) | Destination::Composite(_) => Self::Queues,
            Destination::Topic(key) if !key.starts_with(ADVISORIES) => Self::Topic((&**key).into()),
            _ => Self::Nothing,
        }
    }
}

impl Client {
    /// The client is there.
    pub(crate) fn advise_connected(&self) {
        self.advise(CONNECTIONS, || {
            let info = json!({
                "connectionId": &*self.session_id,
                "clientId": self.client_id.as_ref().map(|id| id.as_str()),
                "clientIp": self.ends.peer.to_string(),
                "userName": self.session.user().name,
            });
            ("ConnectionInfo", info, None)
        });
    }

    /// The client has gone.
    pub(crate) fn advise_disconnected(&self) {
        self.advise(CONNECTIONS, || ("RemoveInfo", json!({ "objectId": &*self.session_id }), None));
    }

    /// The client consumes from queues or a topic, or does so no more. After the fact: consumers are counted.
    pub(crate) fn advise_consumers(&self, subscribed: &Subscribed, queues: &[Arc<Queue>], is_new: bool) {
        let about = |destination: String, count: Option<usize>| {
            let consumer = format!("{}:{}", self.session_id, subscribed.tag.as_str());
            if is_new {
                ("ConsumerInfo", json!({ "consumerId": consumer, "destination": destination }), count)
            } else {
                ("RemoveInfo", json!({ "objectId": consumer }), count)
            }
        };
        match &subscribed.advised {
            Advised::Nothing => {}
            Advised::Topic(key) => {
                self.advise(&format!("{CONSUMERS}Topic.{key}"), || about(format!("topic://{key}"), None));
            }
            Advised::Queues => {
                for queue in queues {
                    let name = queue.name();
                    let count = || Some(queue.status().consumers);
                    self.advise(&format!("{CONSUMERS}Queue.{name}"), || about(format!("queue://{name}"), count()));
                }
            }
        }
    }

    fn advise(&self, topic: &str, about: impl FnOnce() -> (&'static str, serde_json::Value, Option<usize>)) {
        if self.settings.dialect != Dialect::ActiveMq {
            return;
        }
        let vhost = self.session.vhost();
        // The exchange can be deleted by nobody.
        let Ok(route) = vhost.route(&mut RouteCache::default(), TOPIC_EXCHANGE, topic.as_bytes()) else { return };
        if route.leads_nowhere() {
            return;
        }
        let (what, info, consumers) = about();
        let mut lines = String::from("type:Advisory\ncontent-type:application/json\n");
        if let Some(consumers) = consumers {
            lines.push_str(&format!("consumerCount:{consumers}\n"));
        }
        let body = json!({ what: info }).to_string();
        let message = convert::of_broker(route.address(), &lines, body.as_bytes(), self.now_ms);
        let mut wakes = Wakes::new();
        if let Err(error) = vhost.publish(&route, &message, self.now_ms, &mut wakes) {
            // Nobody was promised one.
            tracing::debug!(topic, %error, "advisory not published");
        }
        wakes.wake();
    }
}
