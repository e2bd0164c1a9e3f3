//! Message -> what is received, of whatever protocol it came by.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gantry_broker::Message;
use gantry_broker::value::Value as Header;
use serde::{Serialize, Serializer};

use super::head::Head;
use super::{SOURCE_ID, names, number};
use crate::sqs::md5::{self, Sum};
use crate::sqs::message_attributes::{Attribute, AttributeAnswer, Value, is_all, is_wanted};
use crate::sqs::message_id::{self, MessageId};
use crate::sqs::names::is_text;

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
        (chosen().map(|attribute| (attribute.name.to_owned().into(), attribute.into())).collect(), sum)
    };
    // Few messages have any.
    let set = head.headers_set();
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

/// What the system tells of a message as it is: nothing where it has characters that XML has not.
fn text_of(value: &Header) -> Option<String> {
    Some(value.to_text()).filter(|text| is_text(text))
}

/// A number of receives.
fn count(value: &Header) -> u64 {
    value.as_integer().and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}

/// A property or a header of another protocol as an attribute.
struct Foreign {
    name: String,
    data_type: String,
    value: ForeignValue,
}

enum ForeignValue {
    Text(String),
    Binary(Vec<u8>),
}

impl Foreign {
    fn text(name: &str, text: String) -> Self {
        Self { name: name.to_owned(), data_type: "String".to_owned(), value: ForeignValue::Text(text) }
    }

    /// Bytes that are meant as text: as they are where they are that.
    fn bytes(name: &str, bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) if is_text(text) => Self::text(name, text.to_owned()),
            _ => Self {
                name: name.to_owned(),
                data_type: "Binary".to_owned(),
                value: ForeignValue::Binary(bytes.to_vec()),
            },
        }
    }

    fn number(name: &str, text: String) -> Self {
        Self { name: name.to_owned(), data_type: "Number".to_owned(), value: ForeignValue::Text(text) }
    }

    fn of_header(name: &str, value: &Header) -> Self {
        match value {
            Header::Text(text) => Self::bytes(name, text.as_bytes()),
            Header::Binary(bytes) => Self {
                name: name.to_owned(),
                data_type: "Binary".to_owned(),
                value: ForeignValue::Binary(bytes.to_vec()),
            },
            value => match number::written(value) {
                Some(text) => Self::number(name, text),
                None => Self::bytes(name, value.to_text().as_bytes()),
            },
        }
    }

    fn attribute(&self) -> Attribute<'_> {
        let value = match &self.value {
            ForeignValue::Text(text) => Value::Text(text),
            ForeignValue::Binary(bytes) => Value::Binary(bytes),
        };
        Attribute { name: &self.name, data_type: &self.data_type, value }
    }
}

/// Most attributes of a message of another protocol. SQS itself has ten; what is beyond this is not told.
const FOREIGN_ATTRIBUTES_MAX: usize = 256;

/// What a message of another protocol says, as attributes, as far as they were asked for. Of a name that comes twice the first
/// value counts, and a name with characters that XML has not is passed over.
struct Foreigners<'w> {
    wanted: &'w [&'w str],
    all: Vec<Foreign>,
}

impl Foreigners<'_> {
    fn add(&mut self, name: &str, make: impl FnOnce(&str) -> Foreign) {
        if self.wanted.is_empty() || self.all.len() >= FOREIGN_ATTRIBUTES_MAX {
            return;
        }
        let is_known = || self.all.iter().any(|known| known.name == name);
        if is_wanted(self.wanted.iter().copied(), name) && is_text(name) && !is_known() {
            self.all.push(make(name));
        }
    }
}

fn of_foreign<'m>(message: &'m Message, wanted: &[&str], place: &Place) -> Received<'m> {
    let properties = message.properties();
    let (body, encoding) = match str::from_utf8(message.body()) {
        Ok(text) if is_text(text) => (Body::Shared(message.body_shared()), None),
        _ => (Body::Encoded(STANDARD.encode(message.body())), Some("base64")),
    };
    let mut all = Foreigners { wanted, all: Vec::new() };
    let texts = [
        (names::CONTENT_TYPE, &properties.content_type),
        (names::CONTENT_ENCODING, &properties.content_encoding),
        (names::CORRELATION_ID, &properties.correlation_id),
        (names::REPLY_TO, &properties.reply_to),
        (names::MESSAGE_ID, &properties.message_id),
        (names::TYPE, &properties.kind),
        (names::USER_ID, &properties.user_id),
        (names::APP_ID, &properties.app_id),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            all.add(name, |name| Foreign::bytes(name, text));
        }
    }
    if let Some(seconds) = properties.timestamp_s {
        all.add(names::TIMESTAMP, |name| Foreign::number(name, seconds.to_string()));
    }
    let priority = message.essentials().priority;
    if priority > 0 {
        all.add(names::PRIORITY, |name| Foreign::number(name, priority.to_string()));
    }
    // Before the headers: what the sender says of the body is not so any more.
    if let Some(encoding) = encoding {
        all.add(names::TRANSFER_ENCODING, |name| Foreign::text(name, encoding.to_owned()));
    }
    let (mut group, mut deduplication, mut trace, mut dead_letter_source) = (None, None, None, None);
    let (mut types, mut receives_before) = (String::new(), 0);
    for (name, value) in properties.headers.iter().flatten() {
        let name = name.to_str_lossy();
        match &*name {
            names::GROUP => group = text_of(value),
            names::DEDUPLICATION => deduplication = text_of(value),
            names::TRACE => trace = text_of(value),
            names::TYPES => types = value.to_text(),
            names::RECEIVE_COUNT => receives_before = count(value),
            names::LAST_DEATH_QUEUE => {
                dead_letter_source = text_of(value);
                all.add(&name, |name| Foreign::of_header(name, value));
            }
            name => all.add(name, |name| Foreign::of_header(name, value)),
        }
    }
    let mut all = all.all;
    for (name, data_type) in types.split(',').filter_map(|entry| entry.split_once('=')) {
        if let Some(known) = all.iter_mut().find(|known| known.name == name)
            && is_text(data_type)
            && data_type.split('.').next() == known.data_type.split('.').next()
        {
            data_type.clone_into(&mut known.data_type);
        }
    }
    Received {
        id: message_id::of_foreign(place.queue, place.seq),
        body_sum: md5::of_body(body.text().as_bytes()),
        body,
        sent_ms: properties.timestamp_s.map_or(place.first_received_ms, |seconds| seconds.saturating_mul(1000)),
        sender: properties
            .user_id
            .as_deref()
            .and_then(|user| str::from_utf8(user).ok())
            .filter(|user| is_text(user))
            .map(|user| user.to_owned().into()),
        group: group.map(Cow::from),
        deduplication: deduplication.map(Cow::from),
        trace: trace.map(Cow::from),
        dead_letter_source,
        receives_before,
        attributes_sum: md5::of_attributes(all.iter().map(Foreign::attribute)),
        attributes: all.iter().map(|known| (known.name.clone().into(), known.attribute().into())).collect(),
    }
}
