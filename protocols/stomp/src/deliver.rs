//! What queues grant -> MESSAGE.

use std::sync::Arc;

use gantry_broker::{Content, Delivery, Item, Message, Queue, Subscription, TracedBy};

use crate::client::Client;
use crate::convert::{self, Delivered};
use crate::destinations::Dialect;
use crate::error::Failure;
use crate::limits::OUTPUT_BYTES_HIGH;
use crate::subscriptions::AckMode;
use crate::unacked::Unacked;

impl Client {
    /// Sends what waits in the inbox, unless the client does not keep up.
    pub(crate) async fn deliver(&mut self) {
        if self.out.len() <= OUTPUT_BYTES_HIGH {
            self.deliver_all().await;
        }
    }

    /// Sends what waits in the inbox, however much waits to be written: no more than the inbox holds.
    pub(crate) async fn deliver_all(&mut self) {
        self.deliver_taken().await;
        while !self.cancelled.is_empty() {
            // What their other queues had granted came before these were cancelled.
            let cancelled = std::mem::take(&mut self.cancelled);
            self.deliver_taken().await;
            for (token, queues) in cancelled {
                self.tell_cancelled(token, &queues);
            }
        }
    }

    async fn deliver_taken(&mut self) {
        self.inbox.take(&mut self.taken);
        if self.taken.iter().any(Item::is_stored) {
            let broker = Arc::clone(self.session.broker());
            for token in Box::pin(broker.load(&mut self.taken)).await {
                let took_credit = self.subscriptions.get(token).is_some_and(|by| by.ack != AckMode::Auto);
                self.credit.add(i64::from(took_credit));
            }
        }
        let mut items = std::mem::take(&mut self.taken);
        for item in items.drain(..) {
            match item {
                Item::Delivery(delivery) => self.deliver_one(delivery),
                Item::Cancelled(token) => self.cancelled(token),
                // `load` leaves no run, and nobody asks for replies without a queue here.
                Item::Run(_) | Item::Reply(_) => {}
            }
        }
        self.taken = items;
        self.resume_starved();
        self.wakes.wake();
    }

    fn deliver_one(&mut self, granted: Delivery) {
        // A stream grants by the reader's own prefetch, and takes nothing of what all subscriptions share.
        let took_credit = granted.lease.is_some() && granted.offset.is_none();
        let Content::Loaded(message) = &granted.content else {
            // `load` leaves none.
            self.credit.add(i64::from(took_credit));
            return self.release(Item::Delivery(granted));
        };
        let Some(by) = self.subscriptions.get(granted.token) else {
            // It has ended while this was on its way.
            self.credit.add(i64::from(took_credit));
            return self.release(Item::Delivery(granted));
        };
        let message = Arc::clone(message);
        self.last_delivery_tag += 1;
        let tag = self.last_delivery_tag;
        let attempts = (granted.attempts > 0 && granted.queue.tells_attempts()).then_some(granted.attempts);
        let delivered = Delivered {
            subscription: by.tag.id(),
            destination: by.shown.as_deref(),
            consumer_tag: by.tag.as_str(),
            session: &self.session_id,
            tag,
            redelivered: granted.redelivered,
            ack: by.ack != AckMode::Auto,
            version: self.version,
            dialect: self.settings.dialect,
            offset: granted.offset,
            attempts,
        };
        convert::write_message(&mut self.out, &message, &delivered);
        let is_cumulative = by.ack == AckMode::Client;
        if self.session.vhost().is_traced() {
            self.trace_delivery(&message, granted.queue.name(), granted.redelivered);
        }
        if let Some(lease) = granted.lease {
            let Delivery { token, queue, .. } = granted;
            let is_kept = self.settings.dialect == Dialect::ActiveMq && message.essentials().durable;
            let message = is_kept.then_some(message);
            self.unacked.push(Unacked { tag, token, is_cumulative, took_credit, queue, lease, message });
        }
    }

    /// Has a copy of a delivery go to whoever traces.
    #[cold]
    fn trace_delivery(&mut self, message: &Message, queue: &str, redelivered: bool) {
        let connection = self.ends.name();
        let by = TracedBy { connection: &connection, channel: 1, user: &self.session.user().name };
        self.session.vhost().trace_delivery(message, queue, redelivered, by, &mut self.wakes);
    }

    /// A queue was deleted under its consumer.
    fn cancelled(&mut self, token: u64) {
        let Some(subscribed) = self.subscriptions.get(token) else { return };
        if subscribed.consumers.is_empty() {
            // Another of its queues was deleted just before.
            return;
        }
        self.tell_unsubscribed(subscribed);
        // Those of its other queues as well, where it had several.
        let consumers = self.subscriptions.take_consumers(token);
        let queues = consumers.iter().map(|consumer| Arc::clone(consumer.queue())).collect();
        consumers.into_iter().for_each(Subscription::cancel);
        self.cancelled.push((token, queues));
    }

    /// Says that there is a subscription less.
    fn tell_cancelled(&mut self, token: u64, queues: &[Arc<Queue>]) {
        let Some(subscribed) = self.subscriptions.remove(token) else { return };
        self.advise_consumers(&subscribed, queues, false);
        let detail = format!(
            "The server has canceled a subscription.\nNo more messages will be delivered for \"{}\".\n",
            subscribed.tag
        );
        let mut failure = Failure::soft("Server cancelled subscription", detail);
        failure.subscription = Some(subscribed.tag.id().unwrap_or(subscribed.tag.as_str()).into());
        self.tell(&failure);
    }
}
