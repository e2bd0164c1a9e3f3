//! Consuming.

use std::sync::Arc;

use super::VirtualHost;
use crate::error::Error;
use crate::inbox::{Outlet, Wakes};
use crate::queue::{ConsumerId, ConsumerOptions, Queue, Selection, SubscribeError, resource};
use crate::stream::ReaderOptions;

/// A consumer of a queue, as its session holds it. Dropping it does not cancel: a session says what becomes of its leases
/// first.
#[derive(Debug)]
pub struct Subscription {
    queue: Arc<Queue>,
    id: ConsumerId,
    vhost: Arc<VirtualHost>,
}

impl VirtualHost {
    /// Starts to consume. Deliveries come to the outlet's inbox.
    ///
    /// # Errors
    /// There is no such queue (it may just have been deleted), or it is in exclusive use.
    pub fn subscribe(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        outlet: Outlet,
        options: ConsumerOptions,
        wakes: &mut Wakes,
    ) -> Result<Subscription, Error> {
        self.subscribe_with(queue, outlet, options, Selection::default(), wakes)
    }

    /// As [`VirtualHost::subscribe`], for some of the messages: deliveries that come to the inbox are of that kind. Not for
    /// streams.
    ///
    /// # Errors
    /// As there; the queue is ordered, where nobody passes messages over.
    pub fn subscribe_with(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        outlet: Outlet,
        options: ConsumerOptions,
        selection: Selection,
        wakes: &mut Wakes,
    ) -> Result<Subscription, Error> {
        let id = queue.subscribe(outlet, options, selection, wakes).map_err(|error| {
            let resource = resource(queue.name(), queue.vhost());
            match error {
                SubscribeError::InExclusiveUse => Error::InExclusiveUse(resource),
                SubscribeError::Closed => Error::NotFound(resource),
                SubscribeError::CannotChoose => Error::InvalidProperty { resource, property: "selector" },
            }
        })?;
        Ok(Subscription { queue: Arc::clone(queue), id, vhost: Arc::clone(self) })
    }
}

impl VirtualHost {
    /// Starts to read a stream. Deliveries come to the outlet's inbox, whose connection has to load them; the outlet's shared
    /// credit should be none: a stream's messages are granted by its own prefetch.
    ///
    /// # Errors
    /// The queue is no stream, or has just been deleted; a time cannot be looked up.
    pub async fn read(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        outlet: Outlet,
        options: ReaderOptions,
        wakes: &mut Wakes,
    ) -> Result<Subscription, Error> {
        let id = queue.read_from(outlet, options, wakes).await?;
        let id = id.ok_or_else(|| Error::NotFound(resource(queue.name(), queue.vhost())))?;
        Ok(Subscription { queue: Arc::clone(queue), id, vhost: Arc::clone(self) })
    }
}

impl Subscription {
    /// What it consumes from.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Says that its outlet has room again.
    pub fn resume(&self, wakes: &mut Wakes) {
        self.queue.resume(self.id, wakes);
    }

    /// Ends it: nothing more is put into its inbox. Its leases stay until their outcomes are said. An auto-delete queue goes
    /// with its last consumer.
    pub fn cancel(self) {
        self.end(false);
    }

    /// As [`Subscription::cancel`], where everything that the consumer has is given back right afterwards: whoever follows a
    /// single active consumer gets it in order.
    pub fn leave(self) {
        self.end(true);
    }

    fn end(self, leaves: bool) {
        if self.queue.unsubscribe(self.id, leaves) {
            self.vhost.drop_queue(&self.queue);
        }
    }
}
