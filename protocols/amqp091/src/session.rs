//! A client that has logged in: its channels, and the content of its publishes. What each method does is in [`crate::methods`].

use std::collections::BTreeSet;
use std::sync::Arc;

use gantry_broker::protocol::Output;
use gantry_broker::rights::{Access, TopicAccess};
use gantry_broker::{
    Accepts, Error, Inbox, Item, Kind, Lease, Message, Outcome, Queue, RouteCache, Session, Ticket, TracedBy, Wakes,
};
use hashbrown::HashMap;

use crate::channel::{Body, Channel, Confirmed, Content, Mode, Stalled, Tokens, Tx};
use crate::codec::methods as m;
use crate::codec::properties::CLASS_BASIC;
use crate::codec::{ContentHeader, Frame, FrameKind, Method, RawProperties, ReplyCode, ShortStr, ShortText, delivery};
use crate::convert::{self, Annotations, SOURCE};
use crate::copies::Copies;
use crate::error::Failure;
use crate::handshake::{Agreed, Capabilities};
use crate::limits::{INBOX_BYTES_MAX, Limits, TX_BYTES_MAX, TX_PUBLISHES_MAX, UNFINISHED_BYTES_MAX};
use crate::methods::Definitions;
use crate::methods::address_for;
use crate::output::put_body;

use crate::stats::Stats;
use crate::told::Ends;

/// A body up to this size is allocated as soon as its header says so; a larger one as it comes.
const BODY_TRUSTED_BYTES: usize = 128 * 1024;

/// A client that has logged in.
pub(crate) struct Client {
    pub(crate) session: Session,
    /// When what it has logged in with ends, in milliseconds since the epoch of Unix.
    pub(crate) expires_ms: Option<u64>,
    pub(crate) limits: Limits,
    pub(crate) stats: Arc<Stats>,
    pub(crate) ends: Ends,
    pub(crate) frame_bytes_max: u32,
    pub(crate) channel_max: u16,
    pub(crate) capabilities: Capabilities,
    pub(crate) channels: HashMap<u16, Channel>,
    pub(crate) out: Output,
    pub(crate) inbox: Arc<Inbox>,
    /// Items taken out of the inbox or fetched, on their way to the client. Kept here, and not by whoever waits for the disk
    /// to read them, so that they are given back where that never ends.
    pub(crate) taken: Vec<Item>,
    /// What it has declared and bound, on its way to the disk.
    pub(crate) definitions: Definitions,
    pub(crate) wakes: Wakes,
    pub(crate) tokens: Tokens,
    routes: RouteCache,
    /// Channels with publishes to confirm.
    unconfirmed: BTreeSet<u16>,
    /// Acknowledgements of the frames being read, to be told to their queue in one go.
    accepted: Accepts,
    /// The time, as of when the bytes being handled were read, in milliseconds since the epoch of Unix.
    pub(crate) now_ms: u64,
    /// It publishes, and is held back when there is an alarm.
    pub(crate) publishes: bool,
    pub(crate) stalled: Option<Stalled>,
    /// Bytes of the messages in transactions of all its channels.
    pub(crate) tx_bytes: u64,
    published: u64,
}

/// What to do after a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Read on.
    Continue,
    /// The client has closed the connection.
    Close,
}

impl Client {
    pub(crate) fn new(agreed: Agreed, limits: Limits, stats: Arc<Stats>) -> Self {
        Self {
            session: agreed.session,
            expires_ms: agreed.expires_ms,
            ends: agreed.ends,
            limits,
            stats,
            frame_bytes_max: agreed.frame_bytes_max,
            channel_max: agreed.channel_max,
            capabilities: agreed.capabilities,
            channels: HashMap::new(),
            out: Output::default(),
            inbox: Inbox::new(INBOX_BYTES_MAX),
            taken: Vec::new(),
            definitions: Definitions::default(),
            wakes: Wakes::new(),
            tokens: Tokens::default(),
            routes: RouteCache::default(),
            unconfirmed: BTreeSet::new(),
            accepted: Accepts::default(),
            now_ms: 0,
            publishes: false,
            stalled: None,
            tx_bytes: 0,
            published: 0,
        }
    }

    pub(crate) fn send<'m>(&mut self, channel: u16, method: impl Into<Method<'m>>) {
        method.into().encode_frame(channel, self.out.tail());
    }

    /// Handles a frame. A failure of a channel has been answered; one of the connection is returned.
    pub(crate) async fn frame(&mut self, frame: Frame<'_>) -> Result<Next, Failure> {
        let result = match frame.kind {
            FrameKind::Heartbeat => return Ok(Next::Continue),
            FrameKind::Body => self.body(frame.channel, frame.payload),
            FrameKind::Header => self.header(frame.channel, frame.payload),
            FrameKind::Method => {
                let method = Method::decode(frame.payload)?;
                if !self.definitions.is_empty() && !self.may_follow_definitions(&method) {
                    self.settle_definitions().await;
                }
                let result = match method {
                    // The frequent ones need no future of their own.
                    Method::BasicPublish(publish) => self.publish(frame.channel, &publish),
                    Method::BasicAck(ack) => self.ack(frame.channel, &ack),
                    _ => match Box::pin(self.method(frame.channel, method)).await {
                        Ok(Next::Close) => return Ok(Next::Close),
                        Ok(Next::Continue) => Ok(()),
                        Err(failure) => Err(failure),
                    },
                };
                result.map_err(|failure| if failure.method == (0, 0) { failure.of(&method) } else { failure })
            }
        };
        match result {
            Ok(()) => Ok(Next::Continue),
            Err(failure) if failure.hard || frame.channel == 0 => Err(failure),
            Err(failure) => {
                // What was asked for before is answered before.
                self.settle_definitions().await;
                self.fail_channel(frame.channel, &failure);
                Ok(Next::Continue)
            }
        }
    }

    /// The channel, if it is open and has not failed. A failed one ignores what the client sent before it knew.
    pub(crate) fn open_channel(&mut self, channel: u16) -> Result<Option<&mut Channel>, Failure> {
        match self.channels.get_mut(&channel) {
            None => Err(Failure::new(ReplyCode::ChannelError, "expected 'channel.open'")),
            Some(open) if open.closing => Ok(None),
            Some(open) => Ok(Some(open)),
        }
    }

    /// As [`Client::open_channel`], for a method, which must not come where content is expected.
    pub(crate) fn idle_channel(&mut self, channel: u16) -> Result<Option<&mut Channel>, Failure> {
        let Some(open) = self.open_channel(channel)? else { return Ok(None) };
        match &open.content {
            None => Ok(Some(open)),
            Some(content) => {
                let wanted = match content.body {
                    None => "content header for class 60, got non content header frame",
                    Some(_) => "content body, got non content body frame",
                };
                let ids = (CLASS_BASIC, m::BasicPublish::METHOD_ID);
                Err(Failure::new(ReplyCode::UnexpectedFrame, format!("expected {wanted} instead")).of_ids(ids))
            }
        }
    }

    /// Ends a channel for an error, and tells the client.
    pub(crate) fn fail_channel(&mut self, channel: u16, failure: &Failure) {
        tracing::info!(channel, reply = failure.reply_text(), "channel closed for an error");
        self.end_channel(channel);
        if let Some(open) = self.channels.get_mut(&channel) {
            open.closing = true;
        }
        let text = failure.reply_text();
        let (class_id, method_id) = failure.method;
        let close =
            m::ChannelClose { reply_code: failure.code.code(), reply_text: ShortText::cut(&text), class_id, method_id };
        self.send(channel, close);
    }

    /// Gives back what a channel has: its consumers, its deliveries, its transaction. It stays in the list.
    pub(crate) fn end_channel(&mut self, channel: u16) {
        self.flush_accepted();
        self.unconfirmed.remove(&channel);
        let Some(open) = self.channels.get_mut(&channel) else { return };
        let ended = std::mem::replace(open, Channel::new());
        for (tag, consumer) in ended.consumers {
            self.tell_consumer_deleted(channel, consumer.subscription.queue().name(), &tag);
            consumer.subscription.leave();
        }
        let mut unacked = ended.unacked;
        let mut back: Vec<(Arc<Queue>, Vec<Lease>)> = Vec::new();
        let mut give_back =
            |queue: Arc<Queue>, lease| match back.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &queue)) {
                Some((_, leases)) => leases.push(lease),
                None => back.push((queue, vec![lease])),
            };
        unacked.take_up_to(0, |unacked| give_back(unacked.queue, unacked.lease));
        if let Mode::Tx(tx) = ended.mode {
            self.tx_bytes -= tx.bytes;
            for unacked in tx.accepted.into_iter().chain(tx.refusals.into_iter().map(|(unacked, _)| unacked)) {
                give_back(unacked.queue, unacked.lease);
            }
        }
        for (queue, leases) in back {
            queue.settle(&leases, Outcome::Retry, &mut self.wakes);
        }
    }

    /// Gives back everything; the connection is gone. Again does nothing.
    pub(crate) fn end(&mut self) {
        self.flush_accepted();
        let channels: Vec<u16> = self.channels.keys().copied().collect();
        for channel in channels {
            self.end_channel(channel);
            self.remove_channel(channel);
        }
        // What was granted and never sent.
        for item in std::mem::take(&mut self.taken) {
            self.release(item);
        }
        let mut items = Vec::new();
        self.inbox.take(&mut items);
        for item in items {
            self.release(item);
        }
        self.wakes.wake();
        self.flush_stats();
    }

    pub(crate) fn add_channel(&mut self, channel: u16) {
        self.channels.insert(channel, Channel::new());
        self.tell_channel_opened(channel);
        Stats::add(&self.stats.channels, 1);
    }

    pub(crate) fn remove_channel(&mut self, channel: u16) {
        if self.channels.remove(&channel).is_some() {
            self.tell_channel_closed(channel);
            self.stats.channels.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Gives back a delivery that never got to the client.
    pub(crate) fn release(&mut self, item: Item) {
        if let Item::Delivery(delivery) = item
            && let Some(lease) = delivery.lease
        {
            delivery.queue.settle(&[lease], Outcome::Release, &mut self.wakes);
        }
    }

    fn publish(&mut self, channel: u16, publish: &m::BasicPublish<'_>) -> Result<(), Failure> {
        if self.idle_channel(channel)?.is_none() {
            return Ok(());
        }
        if publish.immediate {
            return Err(Failure::new(ReplyCode::NotImplemented, "immediate=true"));
        }
        let exchange = publish
            .exchange
            .as_str()
            .map_err(|_| Failure::new(ReplyCode::FrameError, "Malformed UTF-8 in shortstr"))?;
        self.session.check(Access::Write, Kind::Exchange, exchange)?;
        let vhost = self.session.vhost();
        let routing_key = publish.routing_key.as_bytes();
        let route = vhost.route(&mut self.routes, exchange, routing_key)?;
        self.session.check_topic(TopicAccess::Write, exchange, routing_key, None)?;
        if let Some(open) = self.channels.get_mut(&channel) {
            open.content = Some(Content { route, mandatory: publish.mandatory, body: None });
        }
        self.publishes = true;
        Ok(())
    }

    fn header(&mut self, channel: u16, payload: &[u8]) -> Result<(), Failure> {
        let message_bytes_max = self.limits.message_bytes_max;
        let user = self.session.user();
        // Not by `open_channel`: the user and the virtual host are needed beside the channel.
        let Some(open) = self.channels.get_mut(&channel) else {
            return Err(Failure::new(ReplyCode::ChannelError, "expected 'channel.open'"));
        };
        if open.closing {
            return Ok(());
        }
        let publish = (CLASS_BASIC, m::BasicPublish::METHOD_ID);
        let unexpected = |text: String| Err(Failure::new(ReplyCode::UnexpectedFrame, text).of_ids(publish));
        let Some(content) = &mut open.content else {
            let text = "expected method frame, got non method frame instead";
            return Err(Failure::new(ReplyCode::UnexpectedFrame, text));
        };
        if content.body.is_some() {
            return unexpected("expected content body, got non content body frame instead".to_owned());
        }
        let header = ContentHeader::decode(payload)?;
        if header.class_id != CLASS_BASIC {
            return unexpected(format!(
                "expected content header for class {CLASS_BASIC}, got one for class {} instead",
                header.class_id
            ));
        }
        if header.weight != 0 {
            return unexpected(format!(
                "expected content header for class {CLASS_BASIC}, got non content header frame instead"
            ));
        }
        let refuse = |text: String| Err(Failure::new(ReplyCode::PreconditionFailed, text).of_ids(publish));
        if header.body_bytes > message_bytes_max {
            return refuse(format!(
                "message size {} is larger than configured max size {message_bytes_max}",
                header.body_bytes
            ));
        }
        let mut properties = header.properties.validate()?;
        let essentials = match convert::essentials(&properties) {
            Ok(essentials) => essentials,
            Err(invalid) => return refuse(invalid.0),
        };
        if let Some(user_id) = properties.user_id
            && user_id.as_bytes() != user.name.as_bytes()
        {
            return refuse(format!(
                "user_id property set to '{}' but authenticated user was '{}'",
                String::from_utf8_lossy(user_id.as_bytes()),
                user.name
            ));
        }
        let reply_to = address_for(open.replies.as_ref(), &properties).map_err(|failure| failure.of_ids(publish))?;
        if let Some(reply_to) = &reply_to {
            properties.reply_to = ShortStr::new(reply_to);
        }
        let copies = Copies::of(&properties).map_err(|wrong| Failure::new(ReplyCode::PreconditionFailed, wrong))?;
        let mut edited = None;
        if let Some(copies) = &copies {
            for key in &copies.keys {
                let checked =
                    self.session.check_topic(TopicAccess::Write, &content.route.address().exchange, key, None);
                checked.map_err(|refused| Failure::from(refused).of_ids(publish))?;
            }
            content.route = self.session.vhost().route_copies(&content.route, copies.keys.clone());
            edited = copies.head(&properties);
        }
        if reply_to.is_some() && edited.is_none() {
            edited = Some(properties.encoded());
        }
        let head = edited.as_deref().unwrap_or(header.properties.as_bytes());
        let trusted = (header.body_bytes as usize).min(BODY_TRUSTED_BYTES);
        let data = gantry_broker::message::assemble(head, trusted, &[]);
        let body = Body { essentials, head_bytes: head.len() as u32, data, missing_bytes: header.body_bytes };
        if body.missing_bytes == 0 {
            return self.complete(channel, body);
        }
        content.body = Some(body);
        Ok(())
    }

    fn body(&mut self, channel: u16, payload: &[u8]) -> Result<(), Failure> {
        let Some(open) = self.open_channel(channel)? else { return Ok(()) };
        let Some(content) = &mut open.content else {
            let text = "expected method frame, got non method frame instead";
            return Err(Failure::new(ReplyCode::UnexpectedFrame, text));
        };
        let publish = (CLASS_BASIC, m::BasicPublish::METHOD_ID);
        let Some(body) = &mut content.body else {
            let text = "expected content header for class 60, got non content header frame instead";
            return Err(Failure::new(ReplyCode::UnexpectedFrame, text).of_ids(publish));
        };
        let Some(missing_bytes) = body.missing_bytes.checked_sub(payload.len() as u64) else {
            let text = "content body is longer than its header says";
            return Err(Failure::new(ReplyCode::FrameError, text).of_ids(publish));
        };
        let room = body.data.capacity() - body.data.len();
        let grows = room < payload.len();
        if grows {
            // Twice what has come, but never more than there will be.
            let more = (body.data.len() + payload.len()).min(body.missing_bytes as usize);
            body.data.reserve(more.max(payload.len()));
        }
        body.data.extend_from_slice(payload);
        body.missing_bytes = missing_bytes;
        if missing_bytes > 0 {
            // Seldom, since what there is room for doubles.
            return if grows { self.check_unfinished() } else { Ok(()) };
        }
        match content.body.take() {
            Some(body) => self.complete(channel, body),
            None => Ok(()),
        }
    }

    /// Refuses a client whose messages that are still coming take too much room together.
    fn check_unfinished(&self) -> Result<(), Failure> {
        let bodies = self.channels.values().filter_map(|open| open.content.as_ref()?.body.as_ref());
        let bytes: u64 = bodies.map(|body| body.data.capacity() as u64).sum();
        let bytes_max = self.limits.message_bytes_max.saturating_add(UNFINISHED_BYTES_MAX);
        if bytes <= bytes_max {
            return Ok(());
        }
        let text = format!("messages that are not yet complete take more than {bytes_max} bytes on this connection");
        Err(Failure::new(ReplyCode::ResourceError, text))
    }

    /// The message is whole.
    fn complete(&mut self, channel: u16, body: Body) -> Result<(), Failure> {
        let Some(open) = self.channels.get_mut(&channel) else { return Ok(()) };
        let Some(Content { route, mandatory, .. }) = open.content.take() else { return Ok(()) };
        let address = Arc::clone(route.address());
        let message = Message::new(&SOURCE, address, body.essentials, body.head_bytes, body.data.freeze());
        self.published += 1;
        if let Mode::Tx(tx) = &mut open.mode {
            self.tx_bytes += u64::from(message.bytes());
            if self.tx_bytes > TX_BYTES_MAX || tx.transaction.publishes.len() >= TX_PUBLISHES_MAX {
                self.tx_bytes -= u64::from(message.bytes());
                let text = format!(
                    "the transactions of a connection hold at most {TX_BYTES_MAX} bytes, and each {TX_PUBLISHES_MAX} publishes"
                );
                return Err(Failure::new(ReplyCode::PreconditionFailed, text));
            }
            gather(tx, route, message, mandatory);
            return Ok(());
        }
        self.deliver_to_queues(Stalled { channel, route, mandatory, message })
    }

    /// Publishes, and notes what the publisher is to be told. Where the disk is full, the message waits, and nothing is read
    /// from this client until there is room: it is neither lost nor confirmed.
    fn deliver_to_queues(&mut self, publish: Stalled) -> Result<(), Failure> {
        let Stalled { channel, route, mandatory, message } = &publish;
        let vhost = self.session.vhost();
        let published = if vhost.is_traced() {
            let connection = self.ends.name();
            let by = TracedBy { connection: &connection, channel: *channel, user: &self.session.user().name };
            vhost.publish_traced(route, message, self.now_ms, &mut self.wakes, by)
        } else {
            vhost.publish(route, message, self.now_ms, &mut self.wakes)
        };
        let published = match published {
            Ok(published) => published,
            Err(Error::Full) => {
                self.stalled = Some(publish);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let refused = published.refused > 0;
        if published.routed == 0 && !refused && *mandatory {
            self.give_back(*channel, message);
        }
        self.note_confirm(*channel, published.durable, refused);
        Ok(())
    }

    /// Tries again what the disk had no room for.
    pub(crate) fn retry_stalled(&mut self) -> Result<(), Failure> {
        match self.stalled.take() {
            // The channel may have been closed by then; its message is published all the same.
            Some(publish) => self.deliver_to_queues(publish),
            None => Ok(()),
        }
    }

    fn note_confirm(&mut self, channel: u16, ticket: Option<Ticket>, refused: bool) {
        if let Some(Channel { mode: Mode::Confirm { confirms, .. }, .. }) = self.channels.get_mut(&channel) {
            confirms.add(ticket, refused);
            self.unconfirmed.insert(channel);
        }
    }

    /// Returns a mandatory message that no queue took.
    pub(crate) fn give_back(&mut self, channel: u16, message: &Message) {
        // A message may have waited for the disk until its channel had failed; nothing comes behind channel.close.
        if self.channels.get(&channel).is_none_or(|open| open.closing) {
            return;
        }
        Stats::add(&self.stats.returned, 1);
        let exchange = ShortStr::new(message.address().exchange.as_bytes());
        let routing_key = ShortStr::new(&message.address().routing_key);
        // Both came in short strings of this protocol.
        if let (Some(exchange), Some(routing_key)) = (exchange, routing_key) {
            let (code, text) = (ReplyCode::NoRoute.code(), ShortText::cut(ReplyCode::NoRoute.name()));
            delivery::encode_return(self.out.tail(), channel, code, text, exchange, routing_key);
            self.send_content(channel, message, &Annotations::new());
        }
    }

    /// Appends content header and body of a message. `annotations` are headers that are said with this delivery only.
    pub(crate) fn send_content(&mut self, channel: u16, message: &Message, annotations: &Annotations) {
        let body = message.body();
        let tail = self.out.tail();
        convert::with_annotated_head(message, annotations, |head| {
            delivery::encode_content_header(tail, channel, CLASS_BASIC, body.len() as u64, RawProperties::new(head));
        });
        put_body(&mut self.out, channel, body, || message.body_shared(), self.frame_bytes_max);
    }

    /// Whether a channel has gathered messages that it has not committed.
    pub(crate) fn has_open_transaction(&self) -> bool {
        self.tx_bytes > 0
    }

    /// Whether some publish waits for the journal.
    pub(crate) fn awaits_durability(&self) -> bool {
        !self.unconfirmed.is_empty()
    }

    /// Confirms what can be confirmed.
    pub(crate) fn send_confirms(&mut self) {
        if self.unconfirmed.is_empty() {
            return;
        }
        let durable = self.session.broker().durable();
        let Self { channels, unconfirmed, out, stats, .. } = self;
        unconfirmed.retain(|channel| {
            let Some(Channel { mode: Mode::Confirm { confirms, confirmed_to }, .. }) = channels.get_mut(channel) else {
                return false;
            };
            while let Some(Confirmed { tag, count, refused }) = confirms.take(durable, confirmed_to) {
                let multiple = count > 1;
                if refused {
                    let nack = m::BasicNack { delivery_tag: tag, multiple, requeue: true };
                    Method::from(nack).encode_frame(*channel, out.tail());
                } else {
                    delivery::encode_ack(out.tail(), *channel, tag, multiple);
                    Stats::add(&stats.confirmed, count);
                }
            }
            !confirms.is_empty()
        });
    }

    /// Says that a delivery is done; queues hear of it together with its neighbours.
    pub(crate) fn accept(&mut self, queue: Arc<Queue>, lease: Lease) {
        self.accepted.add(queue, lease, &mut self.wakes);
    }

    /// Tells the queue what was acknowledged. Due before anything else is done with queues, and after each read.
    pub(crate) fn flush_accepted(&mut self) {
        self.accepted.flush(&mut self.wakes);
    }

    /// What is due after the frames of one read.
    pub(crate) fn flush(&mut self) {
        self.flush_accepted();
        self.wakes.wake();
        self.send_confirms();
        self.flush_stats();
    }

    fn flush_stats(&mut self) {
        Stats::add(&self.stats.published, std::mem::take(&mut self.published));
    }

    /// Gives memory back; for when the connection is quiet.
    pub(crate) fn shrink(&mut self) {
        self.out.shrink();
        self.accepted.shrink();
        if self.taken.capacity() > 0 {
            self.taken = Vec::new();
        }
    }
}

/// Also where the task of the connection was dropped in the middle of something, or has panicked: its consumers and leases
/// would otherwise stay with their queues for as long as the process lives.
impl Drop for Client {
    fn drop(&mut self) {
        self.end();
    }
}

fn gather(tx: &mut Tx, route: Arc<gantry_broker::Route>, message: Arc<Message>, mandatory: bool) {
    tx.bytes += u64::from(message.bytes());
    if mandatory {
        tx.mandatory.push(tx.transaction.publishes.len());
    }
    tx.transaction.publishes.push((route, message));
}
