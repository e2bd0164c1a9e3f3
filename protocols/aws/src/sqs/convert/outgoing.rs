//! Message -> what is received, of whatever protocol it came by.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gantry_broker::Message;
use serde::{Serialize, Serializer};

use super::SOURCE_ID;
use super::head::Head;
use crate::message::{
    Attribute, Foreign, ForeignMessage, MessageId, Sum, Value, count, id, is_all, is_text, is_wanted, md5, names,
    text_of,
};
use crate::sns::convert::Notice;
use crate::sqs::message_attributes::AttributeAnswer;

/// What is received of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received<'m> {
    pub(crate) id: MessageId,
    pub(crate) body: Body,
    pub(crate) body_sum: Sum,
    /// When it was sent, in milliseconds since the epoch of Unix.
    pub(crate) sent_ms: u64,
    pub(crate) sender: Option<Cow<'m, str>>,
    pub(crate) group: Option<Cow<'m, str>>,
    pub(crate) deduplication: Option<Cow<'m, str>>,
    pub(crate) trace: Option<Cow<'m, str>>,
    /// The queue that it was in before it was given up.
    pub(crate) dead_letter_source: Option<String>,
    /// How often it was received there, and in those before.
    pub(crate) receives_before: u64,
    /// The attributes that were asked for, in order.
    pub(crate) attributes: Vec<(Cow<'static, str>, AttributeAnswer)>,
    /// The sum of these.
    pub(crate) attributes_sum: Option<Sum>,
}

/// The body of a message that is received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// The message's own bytes, which are text.
    Shared(Bytes),
    /// In base64.
    Encoded(String),
}

impl Body {
    /// Its text.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self {
            // A body that was damaged on the disk does not come here; if one did, what is text in it is still told.
            Self::Shared(bytes) => str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed),
            Self::Encoded(text) => Cow::Borrowed(text),
        }
    }

    /// Bytes of its text.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Shared(bytes) => bytes.len(),
            Self::Encoded(text) => text.len(),
        }
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

/// Where a message is that came by another protocol: what its id is made of, and when it may have been sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) queue: u64,
    pub(crate) seq: u64,
    /// When it was received for the first time, in milliseconds since the epoch of Unix.
    pub(crate) first_received_ms: u64,
}

/// What is received of a message. `wanted`: names of attributes, as a receiver gives them.
pub(crate) fn received<'m>(message: &'m Message, wanted: &[&str], place: &Place) -> Received<'m> {
    if message.source().id() == SOURCE_ID
        && let Some(head) = Head::read(message.head())
    {
        return of_head(message, &head, wanted);
    }
    of_foreign(message, wanted, place)
}

fn of_head<'m>(message: &'m Message, head: &Head<'m>, wanted: &[&str]) -> Received<'m> {
    let is_whole = wanted.iter().any(|wanted| is_all(wanted));
    let chosen = || head.attributes().filter(|attribute| is_whole || is_wanted(wanted.iter().copied(), attribute.name));
    let (attributes, attributes_sum) = if wanted.is_empty() {
        (Vec::new(), None)
    } else {
        let sum = if is_whole { head.attributes_sum } else { md5::of_attributes(chosen()) };
        (chosen().map(answer).collect(), sum)
    };
    // Few messages have any.
    let set = head.common().headers_set();
    Received {
        id: head.id,
        // It was text when it came.
        body: Body::Shared(message.body_shared()),
        body_sum: head.body_sum,
        sent_ms: head.sent_ms,
        sender: Some(head.sender.into()),
        group: head.group.map(Cow::from),
        deduplication: head.deduplication.map(Cow::from),
        trace: head.trace.map(Cow::from),
        dead_letter_source: set.get(names::LAST_DEATH_QUEUE).and_then(text_of),
        receives_before: set.get(names::RECEIVE_COUNT).map_or(0, count),
        attributes,
        attributes_sum,
    }
}

fn of_foreign<'m>(message: &'m Message, wanted: &[&str], place: &Place) -> Received<'m> {
    let properties = message.properties();
    let foreign = ForeignMessage::of(message, wanted, false);
    let body = match foreign.encoded {
        None => Body::Shared(message.body_shared()),
        Some(text) => Body::Encoded(text),
    };
    let own = |text: Option<String>| text.map(Cow::from);
    let sent_ms = properties.timestamp_s.map(|seconds| seconds.saturating_mul(1000));
    let all = &foreign.attributes;
    Received {
        id: id::of_foreign(place.queue, place.seq),
        body_sum: md5::of_body(body.text().as_bytes()),
        body,
        sent_ms: sent_ms.unwrap_or(place.first_received_ms),
        sender: foreign.user.map(Cow::from),
        group: own(foreign.group),
        deduplication: own(foreign.deduplication),
        trace: own(foreign.trace),
        dead_letter_source: foreign.dead_letter_source,
        receives_before: foreign.receives_before,
        attributes_sum: md5::of_attributes(all.iter().map(Foreign::attribute)),
        attributes: all.iter().map(Foreign::attribute).map(answer).collect(),
    }
}

/// What is received of a message that came by a topic, as `notice` says it; `document` stands around it, with all that it says, where
/// there is one.
pub(crate) fn notified<'m>(
    message: &Message,
    notice: Notice<'m>,
    document: Option<String>,
    wanted: &[&str],
    place: &Place,
) -> Received<'m> {
    let is_document = document.is_some();
    let (body, encoding) = match document {
        Some(document) => (Body::Encoded(document), None),
        None if !is_text(&notice.message) => (Body::Encoded(STANDARD.encode(&*notice.message)), Some("base64")),
        None => match &notice.message {
            Cow::Borrowed(text) if std::ptr::eq(text.as_bytes(), message.body()) => {
                (Body::Shared(message.body_shared()), None)
            }
            text => (Body::Encoded(text.clone().into_owned()), None),
        },
    };
    let is_told = |name: &str| !is_document && is_wanted(wanted.iter().copied(), name);
    let encoding = encoding.map(|encoding| Attribute {
        name: names::TRANSFER_ENCODING,
        data_type: "String",
        value: Value::Text(encoding),
    });
    let chosen = || encoding.into_iter().chain(notice.attributes()).filter(|attribute| is_told(attribute.name));
    Received {
        id: id::of_foreign(place.queue, place.seq),
        body_sum: md5::of_body(body.text().as_bytes()),
        body,
        sent_ms: notice.published_ms,
        sender: Some(SENDER.into()),
        attributes_sum: md5::of_attributes(chosen()),
        attributes: chosen().map(answer).collect(),
        group: notice.group,
        deduplication: notice.deduplication,
        trace: notice.trace,
        dead_letter_source: notice.dead_letter_source,
        receives_before: notice.receives_before,
    }
}

/// Who sends what comes by a topic.
const SENDER: &str = "sns.amazonaws.com";

fn answer(attribute: Attribute<'_>) -> (Cow<'static, str>, AttributeAnswer) {
    (attribute.name.to_owned().into(), attribute.into())
}
