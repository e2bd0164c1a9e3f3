//! SUBSCRIBE and UNSUBSCRIBE.

use std::borrow::Cow;
use std::slice;
use std::sync::Arc;

use bytes::Bytes;
use gantry_broker::rights::{Access, TopicAccess};
use gantry_broker::value::{Table, Value};
use gantry_broker::{
    ConsumerOptions, Credit, DeleteQueue, Kind, LogFilter, Outlet, Queue, ReaderOptions, Selection, StreamOffset,
    Subscription,
};
use smallvec::SmallVec;

use super::declare::{flag, is_durable};
use super::send::{invalid_destination, missing_destination, utf8};
use crate::activemq::{Advised, Asked, TemporaryKind, virtual_topics};
use crate::client::{Client, Next};
use crate::codec::{Frame, Headers};
use crate::destinations::{Destination, Dialect, TOPIC_EXCHANGE};
use crate::error::Failure;
use crate::limits::FILTER_VALUES_MAX;
use crate::subscriptions::{AckMode, Subscribed, Tag};

/// What a subscription asks for beside its destination.
struct Wanted<'a> {
    ack: AckMode,
    asked: Asked,
    token: u64,
    headers: Headers<'a>,
}

impl Client {
    pub(crate) async fn subscribe(&mut self, frame: &Frame<'_>) -> Result<Next, Failure> {
        let headers = frame.headers;
        check_durable_id(headers)?;
        let Some(text) = headers.get_bytes("destination") else { return Err(missing_destination(frame)) };
        let text = utf8(&text)?;
        let destination = Destination::parse(self.settings.dialect, text)?;
        // There is a destination, and so there is a tag.
        let Some(tag) = Tag::of(headers) else { return Err(missing_destination(frame)) };
        if tag.is_reserved() {
            return Err(Failure::soft("Invalid id", "SUBSCRIBE 'id' may not start with /temp-queue/\n"));
        }
        if self.subscriptions.contains(&tag) {
            let detail = format!("A subscription identified by '{}' already exists.", tag.as_str());
            return Err(Failure::hard("Duplicated subscription identifier", detail));
        }
        let max = self.settings.subscriptions_max;
        if self.subscriptions.len() >= max {
            let detail = format!("Too many subscriptions of this connection (limit {max})");
            return Err(Failure::soft("Subscription limit exceeded", detail));
        }
        let Some(ack) = AckMode::of(headers.get("ack").as_deref()) else {
            return Err(Failure::soft("Processing error", "'ack' is none of auto, client and client-individual\n"));
        };
        let asked = Asked::of(headers, self.settings.dialect, self.session.connection())?;
        let prefetch = asked.prefetch;
        let token = self.subscriptions.next_token();
        let wanted = Wanted { ack, asked, token, headers };
        let parts =
            if let Destination::Composite(parts) = &destination { parts } else { slice::from_ref(&destination) };
        let mut consumers = SmallVec::new();
        let mut failed = None;
        for part in parts {
            match self.consume_from(part, text, frame, &wanted).await {
                Ok(consumer) => consumers.push(consumer),
                Err(failure) => {
                    failed = Some(failure);
                    break;
                }
            }
        }
        let is_topic = matches!(destination, Destination::Topic(_));
        let shown = match &destination {
            Destination::TempQueue(name) => Some(format!("/temp-queue/{name}").into()),
            // It was published on the topic.
            Destination::Queue(name) if virtual_topics::topic_of(name).is_some() => {
                Some(format!("/queue/{name}").into())
            }
            Destination::TempTopic(name) => Some(format!("/temp-topic/{name}").into()),
            _ => None,
        };
        let subscribed = Subscribed { tag, ack, consumers, shown, advised: Advised::of(&destination), is_topic };
        if let Some(failure) = failed {
            return self.undo(token, subscribed, failure).await;
        }
        self.tell_subscribed(&subscribed, prefetch);
        let queues: SmallVec<[_; 1]> = subscribed.consumers.iter().map(|by| Arc::clone(by.queue())).collect();
        self.advise_consumers(&subscribed, &queues, true);
        self.subscriptions.insert(token, subscribed);
        Ok(Next::Continue)
    }

    /// Ends a subscription of which a part cannot be had. What its other queues have granted is sent all the same: where it wants no
    /// acknowledgement, it is nowhere else any more.
    async fn undo(&mut self, token: u64, mut subscribed: Subscribed, failure: Failure) -> Result<Next, Failure> {
        let consumers = std::mem::take(&mut subscribed.consumers);
        if consumers.is_empty() {
            return Err(failure);
        }
        // What wants an acknowledgement goes back.
        if subscribed.ack == AckMode::Auto {
            self.subscriptions.insert(token, subscribed);
        }
        consumers.into_iter().for_each(Subscription::cancel);
        self.deliver_all().await;
        self.subscriptions.remove(token);
        Err(failure)
    }

    /// Consumes from what one destination stands for.
    async fn consume_from(
        &mut self,
        destination: &Destination<'_>,
        text: &str,
        frame: &Frame<'_>,
        wanted: &Wanted<'_>,
    ) -> Result<Subscription, Failure> {
        let headers = wanted.headers;
        let is_activemq = self.settings.dialect == Dialect::ActiveMq;
        let (exchange, key) = match destination {
            Destination::Queue(name) => {
                let queue = self.declare(name, headers).await?;
                if is_activemq && let Some(topic) = virtual_topics::topic_of(name) {
                    self.bind(&queue, TOPIC_EXCHANGE, &topic).await?;
                }
                return self.consume(&queue, wanted).await;
            }
            Destination::AmqQueue(name) | Destination::ReplyQueue(name) => {
                self.session.check(Access::Read, Kind::Queue, name)?;
                let queue = self.session.vhost().queue(name, self.session.connection())?;
                return self.consume(&queue, wanted).await;
            }
            Destination::TempQueue(name) if is_activemq => {
                let queue = self.temporary(TemporaryKind::Queue, name)?;
                return self.consume(&queue, wanted).await;
            }
            Destination::TempTopic(name) if is_activemq => {
                let queue = self.temporary(TemporaryKind::Topic, name)?;
                if queue.status().consumers > 0 {
                    let detail = format!("'{text}' has a subscription of this connection already\n");
                    return Err(Failure::soft("Invalid destination", detail));
                }
                return self.consume(&queue, wanted).await;
            }
            Destination::Topic(key) => (TOPIC_EXCHANGE, key),
            Destination::Exchange { exchange, key } => {
                // Before anything is made for it.
                self.session.vhost().exchange(exchange)?;
                (&**exchange, key.as_ref().unwrap_or(&Cow::Borrowed("")))
            }
            _ => return Err(invalid_destination(text.as_bytes(), frame)),
        };
        if let Some(name) = self.durable_subscription(headers)? {
            let queue = self.durable_queue(&name, exchange, key).await?;
            let selection = Selection { discards: true, ..wanted.asked.selection.clone() };
            let asked = Asked { exclusive: true, selection, ..wanted.asked.clone() };
            return self.consume(&queue, &Wanted { asked, ..*wanted }).await;
        }
        let queue = self.queue_bound_to(exchange, key, headers).await?;
        // Of a topic what is not wanted is gone, unless another consumer of the queue may want it. Where the queue has a name that
        // others can know, it is only for them to say that they are several.
        let is_alone = !wanted.asked.is_for_all() && headers.get_bytes("x-queue-name").is_none();
        let selection = Selection { discards: is_alone, ..wanted.asked.selection.clone() };
        let asked = Asked { exclusive: wanted.asked.exclusive || is_alone, selection, ..wanted.asked.clone() };
        self.consume(&queue, &Wanted { asked, ..*wanted }).await
    }

    /// A queue for one subscription, bound.
    async fn queue_bound_to(&mut self, exchange: &str, key: &str, headers: Headers<'_>) -> Result<Arc<Queue>, Failure> {
        // First, so that nothing is left behind by one that is refused.
        self.session.check(Access::Read, Kind::Exchange, exchange)?;
        self.session.check_topic(TopicAccess::Read, exchange, key.as_bytes(), None)?;
        let queue = self.declare_for(key, headers).await?;
        self.bind(&queue, exchange, key).await?;
        Ok(queue)
    }

    async fn bind(&mut self, queue: &Arc<Queue>, exchange: &str, key: &str) -> Result<(), Failure> {
        self.session.check(Access::Read, Kind::Exchange, exchange)?;
        self.session.check_topic(TopicAccess::Read, exchange, key.as_bytes(), None)?;
        self.session.check(Access::Write, Kind::Queue, queue.name())?;
        let (vhost, connection) = (Arc::clone(self.session.vhost()), self.session.connection());
        let destination = (Kind::Queue, &**queue.name());
        vhost.bind(exchange, destination, key.as_bytes(), &Table::new(), connection).await?;
        Ok(())
    }

    async fn consume(&mut self, queue: &Arc<Queue>, wanted: &Wanted<'_>) -> Result<Subscription, Failure> {
        self.session.check(Access::Read, Kind::Queue, queue.name())?;
        if queue.is_stream() {
            return self.read_stream(queue, wanted).await;
        }
        let acknowledges = wanted.ack != AckMode::Auto;
        let credit = match wanted.asked.prefetch {
            0 => Credit::Unlimited,
            _ if !acknowledges => Credit::Unlimited,
            prefetch => Credit::Window(u32::from(prefetch)),
        };
        let shared_credit = acknowledges.then(|| Arc::clone(&self.credit));
        let outlet = Outlet { inbox: Arc::clone(&self.inbox), token: wanted.token, shared_credit };
        let Asked { exclusive, priority, .. } = wanted.asked;
        // Where the queue sees to it, the others wait for their turn.
        let is_single = queue.options().arguments.get("x-single-active-consumer").and_then(Value::as_bool);
        let exclusive = exclusive && is_single != Some(true);
        let options = ConsumerOptions { credit, acknowledges, exclusive, priority };
        let vhost = self.session.vhost();
        Ok(vhost.subscribe_with(queue, outlet, options, wanted.asked.selection.clone(), &mut self.wakes)?)
    }

    async fn read_stream(&mut self, queue: &Arc<Queue>, wanted: &Wanted<'_>) -> Result<Subscription, Failure> {
        if !wanted.asked.is_for_all() {
            let detail = format!("'selector' and 'no-local' are not for {}, which is a stream\n", named(queue));
            return Err(Failure::soft("Invalid header", detail));
        }
        if wanted.asked.prefetch == 0 {
            let detail = format!("PRECONDITION_FAILED - consumer prefetch count is not set for '{}'", named(queue));
            return Err(Failure::hard("precondition_failed", detail));
        }
        if wanted.ack == AckMode::Auto {
            let detail =
                format!("NOT_IMPLEMENTED - automatic acknowledgement not supported by stream queues {}", named(queue));
            return Err(Failure::hard("not_implemented", detail));
        }
        let start = match wanted.headers.get("x-stream-offset") {
            None => StreamOffset::Next,
            Some(text) => stream_offset(&text).ok_or_else(|| {
                let detail = format!(
                    "PRECONDITION_FAILED - invalid arg 'x-stream-offset' for {}: '{text}' says no place in a stream",
                    named(queue)
                );
                Failure::hard("precondition_failed", detail)
            })?,
        };
        let options =
            ReaderOptions { prefetch: u32::from(wanted.asked.prefetch), start, filter: filter(wanted.headers)? };
        let outlet = Outlet { inbox: Arc::clone(&self.inbox), token: wanted.token, shared_credit: None };
        let vhost = Arc::clone(self.session.vhost());
        Ok(vhost.read(queue, outlet, options, &mut self.wakes).await?)
    }

    pub(crate) async fn unsubscribe(&mut self, frame: &Frame<'_>) -> Result<Next, Failure> {
        let headers = frame.headers;
        check_durable_id(headers)?;
        let Some(tag) = Tag::of(headers) else {
            let detail = "UNSUBSCRIBE must include a 'destination' or 'id' header";
            return Err(Failure::soft("Missing destination or id", detail));
        };
        if tag.is_reserved() {
            return Err(Failure::soft("Invalid id", "UNSUBSCRIBE 'id' may not start with /temp-queue/\n"));
        }
        let durable = self.durable_subscription(headers)?;
        let Some(token) = self.subscriptions.token(&tag) else {
            if let Some(name) = durable {
                // Nobody is there for it now, and it ends for good.
                self.delete_durable(&name).await?;
                return Ok(Next::Continue);
            }
            let detail =
                format!("UNSUBSCRIBE must refer to an existing subscription.\nSubscription to \"{tag}\" not found.\n");
            return Err(Failure::soft("No subscription found", detail));
        };
        self.flush_accepted();
        if let Some(subscribed) = self.subscriptions.get(token) {
            self.tell_unsubscribed(subscribed);
        }
        let consumers = self.subscriptions.take_consumers(token);
        let queues: SmallVec<[Arc<Queue>; 1]> = consumers.iter().map(|consumer| Arc::clone(consumer.queue())).collect();
        for consumer in consumers {
            consumer.cancel();
        }
        // What had been granted is sent before the receipt: nothing comes after it, and what wants no acknowledgement would be lost.
        self.deliver_all().await;
        let Some(subscribed) = self.subscriptions.remove(token) else { return Ok(Next::Continue) };
        self.advise_consumers(&subscribed, &queues, false);
        if let Some(name) = durable {
            self.delete_durable(&name).await?;
        } else if subscribed.is_topic && is_durable(headers) == Some(true) {
            for queue in queues {
                self.session.check(Access::Configure, Kind::Queue, queue.name())?;
                let (vhost, connection) = (Arc::clone(self.session.vhost()), self.session.connection());
                vhost.delete_queue(queue.name(), DeleteQueue::default(), connection).await?;
            }
        }
        Ok(Next::Continue)
    }
}

/// A durable subscription is found again by its id.
fn check_durable_id(headers: Headers<'_>) -> Result<(), Failure> {
    if is_durable(headers) == Some(true) && headers.get_bytes("id").is_none() {
        return Err(Failure::soft("Missing Header", "Header 'id' is required for durable subscriptions"));
    }
    Ok(())
}

fn named(queue: &Queue) -> String {
    format!("queue '{}' in vhost '{}'", queue.name(), queue.vhost())
}

/// Reads `x-stream-offset`: a word or an interval as everywhere, `offset=` and a number, `timestamp=` and seconds.
fn stream_offset(text: &str) -> Option<StreamOffset> {
    let number = |text: &str| text.parse::<u64>().ok();
    if let Some(offset) = text.strip_prefix("offset=") {
        return number(offset).map(StreamOffset::Offset);
    }
    if let Some(seconds) = text.strip_prefix("timestamp=") {
        return number(seconds).map(|seconds| StreamOffset::Time(seconds.saturating_mul(1_000)));
    }
    StreamOffset::of(&Value::from(text)).ok()
}

/// Which messages of a stream are wanted; all where the headers do not say.
fn filter(headers: Headers<'_>) -> Result<Option<LogFilter>, Failure> {
    let Some(values) = headers.get("x-stream-filter") else { return Ok(None) };
    let tags: Vec<Bytes> =
        values.split(',').take(FILTER_VALUES_MAX + 1).map(|tag| Bytes::copy_from_slice(tag.as_bytes())).collect();
    if tags.len() > FILTER_VALUES_MAX {
        let detail = format!("'x-stream-filter' has more than {FILTER_VALUES_MAX} values\n");
        return Err(Failure::soft("Processing error", detail));
    }
    let untagged = flag(headers, "x-stream-match-unfiltered").unwrap_or(false);
    Ok(Some(LogFilter { tags, untagged }))
}
