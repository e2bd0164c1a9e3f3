//! A message of another protocol as attributes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gantry_broker::Message;
use gantry_broker::value::Value as Header;

use super::attribute::{Attribute, Value, is_wanted};
use super::text::is_text;
use super::{names, number};

/// What the system tells of a message as it is: nothing where it has characters that XML has not.
pub(crate) fn text_of(value: &Header) -> Option<String> {
    Some(value.to_text()).filter(|text| is_text(text))
}

/// A number of receives.
pub(crate) fn count(value: &Header) -> u64 {
    value.as_integer().and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}

/// A property or a header of another protocol as an attribute.
#[derive(Clone, Debug)]
pub(crate) struct Foreign {
    name: String,
    data_type: String,
    value: ForeignValue,
}

#[derive(Clone, Debug)]
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

    /// As an attribute.
    pub(crate) fn attribute(&self) -> Attribute<'_> {
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

/// What a message of another protocol says, as SQS and SNS say it.
#[derive(Clone, Debug)]
pub(crate) struct ForeignMessage {
    /// The body in base64, where it is no text that they can carry as it is.
    pub(crate) encoded: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) deduplication: Option<String>,
    pub(crate) trace: Option<String>,
    /// The queue that it was in before it was given up.
    pub(crate) dead_letter_source: Option<String>,
    /// How often it was received there, and in those before.
    pub(crate) receives_before: u64,
    /// The attributes that were asked for, in order.
    pub(crate) attributes: Vec<Foreign>,
}

impl ForeignMessage {
    /// Of a message. `wanted`: names of attributes, as a receiver gives them. What kind of message it is may be said elsewhere, and
    /// is no attribute then.
    pub(crate) fn of(message: &Message, wanted: &[&str], without_kind: bool) -> Self {
        let properties = message.properties();
        let is_carried = str::from_utf8(message.body()).is_ok_and(is_text);
        let encoded = (!is_carried).then(|| STANDARD.encode(message.body()));
        let mut all = Foreigners { wanted, all: Vec::new() };
        let kind = if without_kind { &None } else { &properties.kind };
        let texts = [
            (names::CONTENT_TYPE, &properties.content_type),
            (names::CONTENT_ENCODING, &properties.content_encoding),
            (names::CORRELATION_ID, &properties.correlation_id),
            (names::REPLY_TO, &properties.reply_to),
            (names::MESSAGE_ID, &properties.message_id),
            (names::TYPE, kind),
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
        if encoded.is_some() {
            all.add(names::TRANSFER_ENCODING, |name| Foreign::text(name, "base64".to_owned()));
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
        let mut attributes = all.all;
        for (name, data_type) in types.split(',').filter_map(|entry| entry.split_once('=')) {
            if let Some(known) = attributes.iter_mut().find(|known| known.name == name)
                && is_text(data_type)
                && data_type.split('.').next() == known.data_type.split('.').next()
            {
                data_type.clone_into(&mut known.data_type);
            }
        }
        let user = properties.user_id.as_deref().and_then(|user| str::from_utf8(user).ok());
        let user = user.filter(|user| is_text(user)).map(str::to_owned);
        Self { encoded, user, group, deduplication, trace, dead_letter_source, receives_before, attributes }
    }
}
