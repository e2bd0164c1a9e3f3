//! Subscriptions to topics that outlive their connection, as JMS has them: `client-id` of the CONNECT and
//! `activemq.subscriptionName` of the SUBSCRIBE name one, its queue keeps what comes while nobody is there, and an UNSUBSCRIBE
//! with `activemq.subscriptionName` deletes it.

use std::sync::Arc;

use gantry_broker::rights::{Access, TopicAccess};
use gantry_broker::value::Table;
use gantry_broker::{DeleteQueue, Error, Kind, Queue, QueueOptions};

use crate::client::Client;
use crate::codec::Headers;
use crate::error::Failure;

/// Longest name of a queue, in bytes.
const QUEUE_NAME_BYTES_MAX: usize = 255;

impl Client {
    /// The name of the queue of the durable subscription that a frame names; none where it names none.
    pub(crate) fn durable_subscription(&self, headers: Headers<'_>) -> Result<Option<String>, Failure> {
        let Some(subscription) = headers.get("activemq.subscriptionName") else { return Ok(None) };
        let Some(client_id) = &self.client_id else {
            let detail = "'activemq.subscriptionName' needs a 'client-id' in CONNECT: it would not be found again.\n";
            return Err(Failure::soft("Missing header", detail));
        };
        // The colon between them is the only one in front of the name.
        let client_id = client_id.as_str().replace('%', "%25").replace(':', "%3A");
        let name = format!("activemq-subscription-{client_id}:{subscription}");
        if name.len() > QUEUE_NAME_BYTES_MAX {
            let detail = format!(
                "'client-id' and 'activemq.subscriptionName' make a name of more than {QUEUE_NAME_BYTES_MAX} bytes\n"
            );
            return Err(Failure::soft("Invalid header", detail));
        }
        Ok(Some(name))
    }

    /// The queue of a durable subscription. One that was to another topic ends, as JMS says.
    pub(crate) async fn durable_queue(&mut self, name: &str, exchange: &str, key: &str) -> Result<Arc<Queue>, Failure> {
        // First, so that nothing is left behind by one that is refused.
        self.session.check(Access::Read, Kind::Exchange, exchange)?;
        self.session.check_topic(TopicAccess::Read, exchange, key.as_bytes(), None)?;
        self.session.check(Access::Configure, Kind::Queue, name)?;
        self.session.check(Access::Write, Kind::Queue, name)?;
        let (vhost, connection) = (Arc::clone(self.session.vhost()), self.session.connection());
        let is_another = match vhost.queue(name, connection) {
            Ok(_) => !vhost.is_bound(exchange, name, key.as_bytes(), &Table::new()),
            Err(Error::NotFound(_)) => false,
            Err(error) => return Err(error.into()),
        };
        if is_another {
            vhost.delete_queue(name, DeleteQueue { if_unused: true, ..DeleteQueue::default() }, connection).await?;
        }
        let options = QueueOptions { durable: true, ..QueueOptions::default() };
        let queue = self.declare_with(name, options).await?;
        vhost.bind(exchange, (Kind::Queue, name), key.as_bytes(), &Table::new(), connection).await?;
        Ok(queue)
    }

    /// Ends a durable subscription for good, whether or not there is one.
    pub(crate) async fn delete_durable(&mut self, name: &str) -> Result<(), Failure> {
        self.session.check(Access::Configure, Kind::Queue, name)?;
        let (vhost, connection) = (Arc::clone(self.session.vhost()), self.session.connection());
        match vhost.delete_queue(name, DeleteQueue { if_unused: true, ..DeleteQueue::default() }, connection).await {
            Ok(_) | Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
