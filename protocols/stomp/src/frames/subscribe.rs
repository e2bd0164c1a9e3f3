//! SUBSCRIBE and UNSUBSCRIBE.

use std::sync::Arc;

use bytes::Bytes;
use gantry_broker::rights::{Access, TopicAccess};
use gantry_broker::value::{Table, Value};
use gantry_broker::{
    ConsumerOptions, Credit, DeleteQueue, Kind, LogFilter, Outlet, Queue, ReaderOptions, StreamOffset, Subscription,
};

use super::declare::{flag, is_durable, number};
use super::send::{invalid_destination, missing_destination};
use crate::client::{Client, Next};
use crate::codec::{Frame, Headers};
use crate::destinations::{Destination, TOPIC_EXCHANGE};
use crate::error::Failure;
use crate::limits::FILTER_VALUES_MAX;
use crate::subscriptions::{AckMode, Subscribed, Tag};

/// What a subscription asks for beside its destination.
struct Wanted<'a> {
    ack: AckMode,
    /// Messages that it may have and not have acknowledged; 0 for any number.
    prefetch: u16,
    token: u64,
    headers: Headers<'a>,
}

impl Client {
    pub(crate) async fn subscribe(&mut self, frame: &Frame<'_>) -> Result<Next, Failure> {
        let headers = frame.headers;
        check_durable_id(headers)?;
        let Some(text) = headers.get("destination") else { return Err(missing_destination(frame)) };
        let destination = Destination::parse(self.settings.dialect, &text)?;
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
        let prefetch = number(headers, "prefetch-count")?.unwrap_or(0);
        let token = self.subscriptions.next_token();
        let wanted = Wanted { ack, prefetch, token, headers };
        let queue = match &destination {
            Destination::Queue(name) => self.declare(name, headers).await?,
            Destination::AmqQueue(name) | Destination::ReplyQueue(name) => {
                self.session.check(Access::Read, Kind::Queue, name)?;
                self.session.vhost().queue(name, self.session.connection())?
            }
            Destination::Topic(key) => self.queue_bound_to(TOPIC_EXCHANGE, key, headers).await?,
            Destination::Exchange { exchange, key } => {
                // Before anything is made for it.
                self.session.vhost().exchange(exchange)?;
                self.queue_bound_to(exchange, key.as_deref().unwrap_or(""), headers).await?
            }
            _ => return Err(invalid_destination(text.as_bytes(), frame)),
        };
        let consumer = self.consume(&queue, &wanted).await?;
        let subscribed = Subscribed {
            tag,
            ack,
            consumers: [consumer].into_iter().collect(),
            is_topic: matches!(destination, Destination::Topic(_)),
        };
        self.tell_subscribed(&subscribed, prefetch);
        self.subscriptions.insert(token, subscribed);
        Ok(Next::Continue)
    }

    /// A queue for one subscription, bound.
    async fn queue_bound_to(&mut self, exchange: &str, key: &str, headers: Headers<'_>) -> Result<Arc<Queue>, Failure> {
        // First, so that nothing is left behind by one that is refused.
        self.session.check(Access::Read, Kind::Exchange, exchange)?;
        self.session.check_topic(TopicAccess::Read, exchange, key.as_bytes(), None)?;
        let queue = self.declare_for(key, headers).await?;
        self.session.check(Access::Write, Kind::Queue, queue.name())?;
        let (vhost, connection) = (Arc::clone(self.session.vhost()), self.session.connection());
        let destination = (Kind::Queue, &**queue.name());
        vhost.bind(exchange, destination, key.as_bytes(), &Table::new(), connection).await?;
        Ok(queue)
    }

    async fn consume(&mut self, queue: &Arc<Queue>, wanted: &Wanted<'_>) -> Result<Subscription, Failure> {
        self.session.check(Access::Read, Kind::Queue, queue.name())?;
        if queue.is_stream() {
            return self.read_stream(queue, wanted).await;
        }
        let acknowledges = wanted.ack != AckMode::Auto;
        let credit = match wanted.prefetch {
            0 => Credit::Unlimited,
            _ if !acknowledges => Credit::Unlimited,
            prefetch => Credit::Window(u32::from(prefetch)),
        };
        let shared_credit = acknowledges.then(|| Arc::clone(&self.credit));
        let outlet = Outlet { inbox: Arc::clone(&self.inbox), token: wanted.token, shared_credit };
        let priority = number(wanted.headers, "x-priority")?.unwrap_or(0);
        let options = ConsumerOptions { credit, acknowledges, exclusive: false, priority };
        let vhost = self.session.vhost();
        Ok(vhost.subscribe(queue, outlet, options, &mut self.wakes)?)
    }

    async fn read_stream(&mut self, queue: &Arc<Queue>, wanted: &Wanted<'_>) -> Result<Subscription, Failure> {
        if wanted.prefetch == 0 {
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
        let options = ReaderOptions { prefetch: u32::from(wanted.prefetch), start, filter: filter(wanted.headers)? };
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
        let Some(token) = self.subscriptions.token(&tag) else {
            let detail =
                format!("UNSUBSCRIBE must refer to an existing subscription.\nSubscription to \"{tag}\" not found.\n");
            return Err(Failure::soft("No subscription found", detail));
        };
        self.flush_accepted();
        if let Some(subscribed) = self.subscriptions.get(token) {
            self.tell_unsubscribed(subscribed);
        }
        let consumers = self.subscriptions.take_consumers(token);
        let queues: smallvec::SmallVec<[Arc<Queue>; 1]> =
            consumers.iter().map(|consumer| Arc::clone(consumer.queue())).collect();
        for consumer in consumers {
            consumer.cancel();
        }
        // What had been granted is sent before the receipt: nothing comes after it, and what wants no acknowledgement would be lost.
        self.deliver_all().await;
        let Some(subscribed) = self.subscriptions.remove(token) else { return Ok(Next::Continue) };
        if subscribed.is_topic && is_durable(headers) == Some(true) {
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
