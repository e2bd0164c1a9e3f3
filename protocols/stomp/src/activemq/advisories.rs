//! Messages about connections and consumers, on the topics that ActiveMQ has for them. One is made where somebody listens, and only
//! about clients that speak this dialect.

use gantry_broker::{RouteCache, Wakes};
use serde_json::json;

use crate::client::Client;
use crate::convert;
use crate::destinations::{Dialect, TOPIC_EXCHANGE};
use crate::subscriptions::Subscribed;

const CONNECTIONS: &str = "ActiveMQ.Advisory.Connection";

/// In front of the name of a queue.
const CONSUMERS: &str = "ActiveMQ.Advisory.Consumer.Queue.";

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

    /// The client consumes from queues, or does so no more. After the fact: consumers are counted.
    pub(crate) fn advise_consumers(
        &self,
        subscribed: &Subscribed,
        queues: &[std::sync::Arc<gantry_broker::Queue>],
        is_new: bool,
    ) {
        for queue in queues {
            let consumer = format!("{}:{}", self.session_id, subscribed.tag.as_str());
            self.advise(&format!("{CONSUMERS}{}", queue.name()), || {
                let count = queue.status().consumers;
                if is_new {
                    let info = json!({ "consumerId": consumer, "destination": format!("queue://{}", queue.name()) });
                    ("ConsumerInfo", info, Some(count))
                } else {
                    ("RemoveInfo", json!({ "objectId": consumer }), Some(count))
                }
            });
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
