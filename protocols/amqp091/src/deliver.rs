//! What queues grant -> frames.

use std::sync::Arc;

use gantry_broker::value::Value;
use gantry_broker::{Content, Delivery, Item, Message, Reply};

use crate::channel::channel_of;
use crate::codec::methods as m;
use crate::codec::{Method, ReplyCode, ShortStr, ShortText, delivery};
use crate::convert::{self, Annotations};
use crate::error::Failure;
use crate::limits::OUTPUT_BYTES_HIGH;
use crate::session::Client;
use crate::unacked::Unacked;

/// What a content header frame has beside the properties.
const HEADER_OVERHEAD_BYTES: usize = 8 + 12;

impl Client {
    /// Sends what waits in the inbox, unless the client does not keep up.
    pub(crate) async fn deliver(&mut self) {
        if self.out.len() <= OUTPUT_BYTES_HIGH {
            self.deliver_all().await;
        }
    }

    /// Sends what waits in the inbox, however much waits to be written: no more than the inbox holds.
    pub(crate) async fn deliver_all(&mut self) {
        self.inbox.take(&mut self.taken);
        if self.taken.iter().any(Item::is_stored) {
            let broker = Arc::clone(self.session.broker());
            for token in Box::pin(broker.load(&mut self.taken)).await {
                let channel = channel_of(token);
                if let Some(open) = self.channels.get_mut(&channel) {
                    open.credit.add(1);
                    self.resume_starved(channel);
                }
            }
        }
        let mut items = std::mem::take(&mut self.taken);
        for item in items.drain(..) {
            match item {
                Item::Delivery(delivery) => self.deliver_one(delivery),
                Item::Reply(reply) => self.deliver_reply(&reply),
                // `load` leaves none.
                Item::Run(_) => {}
                Item::Cancelled(token) => self.cancelled(token),
            }
        }
        self.taken = items;
        if self.inbox.was_starved() {
            self.resume_all();
        }
        self.wakes.wake();
    }

    fn resume_all(&mut self) {
        for channel in self.channels.values() {
            for consumer in channel.consumers.values() {
                consumer.subscription.resume(&mut self.wakes);
            }
        }
    }

    fn deliver_one(&mut self, granted: Delivery) {
        let channel = channel_of(granted.token);
        let message = match &granted.content {
            Content::Loaded(message) => Arc::clone(message),
            // `load` leaves none.
            Content::Stored(_) => return self.release(Item::Delivery(granted)),
        };
        let Some(open) = self.channels.get_mut(&channel) else { return self.release(Item::Delivery(granted)) };
        let Some(tag) = open.tags.get(&granted.token) else {
            // The consumer was cancelled while this was on its way; its share of the channel's credit comes back.
            if granted.lease.is_some() && granted.offset.is_none() {
                open.credit.add(1);
            }
            self.release(Item::Delivery(granted));
            return self.resume_starved(channel);
        };
        let annotations = annotations(&granted);
        if !fits(&message, &annotations, self.frame_bytes_max) {
            self.release(Item::Delivery(granted));
            self.fail_channel(channel, &does_not_fit());
            return;
        }
        let traced = self.session.vhost().is_traced().then(|| Arc::clone(&granted.queue));
        open.last_delivery_tag += 1;
        let delivery_tag = open.last_delivery_tag;
        let (exchange, routing_key) = address(&message);
        let Some(consumer_tag) = ShortStr::new(tag.as_bytes()) else { return };
        let out = self.out.tail();
        delivery::encode_deliver(out, channel, consumer_tag, delivery_tag, granted.redelivered, exchange, routing_key);
        if let Some(lease) = granted.lease {
            // A stream grants by the reader's own prefetch, and takes nothing of what the channel's consumers share.
            let consumed = granted.offset.is_none();
            open.unacked.push(Unacked { tag: delivery_tag, queue: granted.queue, lease, consumed });
        }
        self.send_content(channel, &message, &annotations);
        if let Some(queue) = traced {
            self.trace_delivery(channel, &message, queue.name(), granted.redelivered);
        }
    }

    fn deliver_reply(&mut self, reply: &Reply) {
        let channel = channel_of(reply.token);
        // Who has cancelled or closed the channel meanwhile gets nothing more.
        let Some(open) = self.channels.get_mut(&channel) else { return };
        let Some(tag) = open.tags.get(&reply.token) else { return };
        let annotations = Annotations::new();
        if !fits(&reply.message, &annotations, self.frame_bytes_max) {
            return self.fail_channel(channel, &does_not_fit());
        }
        open.last_delivery_tag += 1;
        let Some(consumer_tag) = ShortStr::new(tag.as_bytes()) else { return };
        let (exchange, key) = address(&reply.message);
        delivery::encode_deliver(self.out.tail(), channel, consumer_tag, open.last_delivery_tag, false, exchange, key);
        self.send_content(channel, &reply.message, &annotations);
    }

    /// A queue was deleted under its consumer.
    fn cancelled(&mut self, token: u64) {
        let channel = channel_of(token);
        let Some(open) = self.channels.get_mut(&channel) else { return };
        let Some(tag) = open.tags.remove(&token) else { return };
        // The queue has forgotten its consumers.
        open.consumers.remove(&tag);
        if self.capabilities.consumer_cancel_notify {
            let cancel = m::BasicCancel { consumer_tag: ShortText::cut(&tag), no_wait: true };
            self.send(channel, Method::from(cancel));
        }
    }

    /// Answers basic.get with a message.
    pub(crate) fn send_get_ok(&mut self, channel: u16, granted: Delivery, message_count: usize) {
        let Content::Loaded(message) = &granted.content else { return self.release(Item::Delivery(granted)) };
        let message = Arc::clone(message);
        let annotations = annotations(&granted);
        if !fits(&message, &annotations, self.frame_bytes_max) {
            self.release(Item::Delivery(granted));
            self.fail_channel(channel, &does_not_fit());
            return;
        }
        let Some(open) = self.channels.get_mut(&channel) else { return self.release(Item::Delivery(granted)) };
        let traced = self.session.vhost().is_traced().then(|| Arc::clone(&granted.queue));
        open.last_delivery_tag += 1;
        let tag = open.last_delivery_tag;
        let (exchange, routing_key) = address(&message);
        let count = u32::try_from(message_count).unwrap_or(u32::MAX);
        delivery::encode_get_ok(self.out.tail(), channel, tag, granted.redelivered, exchange, routing_key, count);
        if let Some(lease) = granted.lease {
            open.unacked.push(Unacked { tag, queue: granted.queue, lease, consumed: false });
        }
        self.send_content(channel, &message, &annotations);
        if let Some(queue) = traced {
            self.trace_delivery(channel, &message, queue.name(), granted.redelivered);
        }
    }
}

fn does_not_fit() -> Failure {
    let text = "the properties of a message do not fit into a frame of the size that was negotiated";
    Failure::new(ReplyCode::ContentTooLarge, text)
}

/// What is said of this delivery and not of the message.
fn annotations(granted: &Delivery) -> Annotations {
    let mut annotations = Annotations::new();
    if let Some(offset) = granted.offset {
        annotations.push(("x-stream-offset", Value::I64(offset as i64)));
    }
    if granted.attempts > 0 && granted.queue.tells_attempts() {
        // Whatever this protocol can say of a delivery counts as failed: a message has failed as often as somebody had it.
        let attempts = Value::I64(i64::from(granted.attempts));
        annotations.push(("x-delivery-count", attempts.clone()));
        annotations.push(("x-acquired-count", attempts));
    }
    annotations
}

/// Properties cannot be split over frames.
fn fits(message: &Message, annotations: &Annotations, frame_bytes_max: u32) -> bool {
    let fits = |head_bytes: usize| head_bytes + HEADER_OVERHEAD_BYTES <= frame_bytes_max as usize;
    // Converted properties are far below any frame unless they carry headers; these are measured.
    let head_bytes = convert::with_head(message, <[u8]>::len);
    if annotations.is_empty() {
        return fits(head_bytes);
    }
    // Close to the limit it is worth knowing exactly; four bytes are the length of headers where there were none.
    fits(head_bytes + 4 + convert::annotation_bytes_max(annotations))
        || fits(convert::with_annotated_head(message, annotations, <[u8]>::len))
}

/// Exchange and routing key as short strings. Other protocols may have longer ones, which are cut.
fn address(message: &Message) -> (ShortStr<'_>, ShortStr<'_>) {
    fn short(bytes: &[u8]) -> ShortStr<'_> {
        ShortStr::new(&bytes[..bytes.len().min(255)]).unwrap_or_default()
    }
    let address = message.address();
    (short(address.exchange.as_bytes()), short(&address.routing_key))
}
