//! What is received of messages that came by a topic: the JSON document around them, or themselves where a subscription asks
//! for that.
//!
//! What did not come by a topic pays for none of it but a look at where it was published, and, where other protocols published it
//! to an exchange, at what is bound to that.

use std::borrow::Cow;
use std::sync::Arc;

use gantry_broker::value::Value;
use gantry_broker::{Delivery, Message};
use tokio::task::JoinHandle;

use super::convert;
use super::place::Place;
use crate::Edge;
use crate::error::Error;

use crate::sns::convert::{At, Notice, topic_of};
use crate::sns::envelope::{self, Signature};
use crate::sns::protection::Denied;
use crate::sns::signing::Unsigned;
use crate::sns::{self, Form, Topic, escaped};

/// As whom subscriptions of queues are told messages.
const PROTOCOL: &str = "sqs";

/// A message that came by a topic.
pub(super) struct Notified<'m> {
    pub(super) notice: Notice<'m>,
    /// The message stands in a JSON document that says whose it is.
    document: Option<Document>,
    /// It may not leave.
    pub(super) is_denied: bool,
}

struct Document {
    form: Form,
    signature: Option<(u8, JoinHandle<Result<Signed, Unsigned>>)>,
}

/// A signature, and the path of its certificate.
struct Signed {
    value: Arc<str>,
    cert_path: Arc<str>,
}

impl<'m> Notified<'m> {
    /// Of a message that a queue has; none of one that came by no topic, and leaves as it came. Where it has to be signed, somebody
    /// begins with it.
    pub(super) fn of(edge: &Arc<Edge>, place: &Place, delivery: &Delivery, message: &'m Message) -> Option<Self> {
        let source = message.source().id();
        if source == convert::SOURCE_ID && message.address().exchange.is_empty() {
            return None;
        }
        let (name, first_queue) = topic_of(message)?;
        // Where it came to first, nobody knows its number any more: what was so last holds for it.
        let (queue, seq) = match &first_queue {
            Some(queue) => (&**queue, u64::MAX),
            None => (&**place.queue.name(), delivery.seq),
        };
        let is_own = source == sns::SOURCE_ID;
        // What was given up in the queue of another subscription stands in what that one would have got.
        let given_up = sns::subscription_of_queue(queue).and_then(|id| edge.sns.subscription(id));
        let protocol = given_up.as_deref().map_or(PROTOCOL, |subscription| subscription.protocol.name());
        let found = match given_up.as_deref() {
            Some(subscription) => Some((Cow::from(subscription.topic.to_string()), Form::of(subscription))),
            None => form(edge, place, message, &name, (queue, seq)),
        };
        let Some((name, form)) = found else {
            // Somebody else has bound the queue: it gets the message as it is.
            return is_own.then(|| Self::raw(Notice::of(message, &[PROTOCOL], &at("", place, delivery))));
        };
        let topic = edge.sns.topic(&place.vhost, &place.account, &edge.region, &name);
        let topic = topic.as_deref();
        if form.is_raw && !is_own && !topic.is_some_and(Topic::protects_outbound) {
            // As it leaves any other queue.
            return None;
        }
        let mut notice = Notice::of(message, &[protocol], &at(&form.topic_arn, place, delivery));
        if let Err(Denied) = topic.map_or(Ok(()), |topic| topic.protect_outbound(&form.principal, &mut notice)) {
            let (topic, subscription) = (&*form.topic_arn, &*form.subscription_arn);
            tracing::info!(
                topic,
                subscription,
                id = &*notice.id,
                "the data protection policy does not let a message out"
            );
            return Some(Self { is_denied: true, ..Self::raw(notice) });
        }
        if form.is_raw {
            return Some(Self::raw(notice));
        }
        let signature = topic.is_none_or(|topic| !topic.is_fifo).then(|| {
            let version = topic.map_or(1, |topic| topic.signature_version);
            let (edge, text) = (Arc::clone(edge), envelope::string_to_sign(&notice));
            let signing = tokio::spawn(async move {
                let value = edge.sns.signing.signature(version, text).await?;
                Ok(Signed { value, cert_path: edge.sns.signing.cert_path().await? })
            });
            (version, signing)
        });
        Some(Self { document: Some(Document { form, signature }), ..Self::raw(notice) })
    }

    fn raw(mut notice: Notice<'m>) -> Self {
        let source = notice.dead_letter_source.as_deref();
        if source.is_some_and(|queue| sns::subscription_of_queue(queue).is_some()) {
            // Who delivers received it from a queue that is nobody else's business: a consumer receives it for the first time.
            (notice.dead_letter_source, notice.receives_before) = (None, 0);
        }
        Self { notice, document: None, is_denied: false }
    }

    /// The text that it stands in; none where it stands for itself. Waits for the signature.
    ///
    /// # Errors
    /// There is no signature.
    pub(super) async fn text(&mut self) -> Result<Option<String>, Error> {
        let Some(Document { form, signature }) = self.document.take() else { return Ok(None) };
        let base = &form.base_url;
        let arn = escaped(&form.subscription_arn);
        let unsubscribe_url = format!("{base}/?Action=Unsubscribe&SubscriptionArn={arn}");
        let Some((version, signing)) = signature else {
            return Ok(Some(envelope::notification(&self.notice, &unsubscribe_url, None)));
        };
        let signed = signing.await.map_err(|error| Error::internal(&error))?;
        let Signed { value, cert_path } = signed.map_err(|error| Error::internal(&error))?;
        let certificate_url = format!("{base}{cert_path}");
        let signature = Signature { version, value: &value, certificate_url: &certificate_url };
        Ok(Some(envelope::notification(&self.notice, &unsubscribe_url, Some(&signature))))
    }
}

/// The form of a message that was published to `exchange`, and the topic that it came by: that exchange, or one that it leads to.
fn form<'e>(
    edge: &Edge,
    place: &Place,
    message: &Message,
    exchange: &'e str,
    (queue, seq): (&str, u64),
) -> Option<(Cow<'e, str>, Form)> {
    let of = |topic: &str| edge.sns.form(place.vhost.name(), topic, queue, seq);
    if let Some(form) = of(exchange) {
        return Some((exchange.into(), form));
    }
    if message.source().id() == sns::SOURCE_ID || !edge.sns.has_forms() {
        return None;
    }
    let key = first_key(message);
    let topics = place.vhost.topics_between(exchange, key.as_deref().unwrap_or_default(), message, queue);
    topics.into_iter().find_map(|topic| of(&topic).map(|form| (Cow::from(topic.to_string()), form)))
}

/// The key by which it was published: its own, but that of one that was given up stands in its first death.
fn first_key(message: &Message) -> Option<Cow<'_, [u8]>> {
    let headers = message.properties().headers.as_ref();
    let Some(deaths) = headers.and_then(|headers| headers.get("x-death")).and_then(Value::as_array) else {
        return Some(Cow::from(&message.address().routing_key[..]));
    };
    let keys = deaths.last()?.as_table()?.get("routing-keys")?.as_array()?;
    Some(Cow::from(keys.first()?.to_text().into_bytes()))
}

fn at<'a>(topic: &'a str, place: &Place, delivery: &Delivery) -> At<'a> {
    At { topic, queue: place.queue.id(), seq: delivery.seq, first_received_ms: delivery.first_received_ms }
}
