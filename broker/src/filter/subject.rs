//! What a message has to be compared.
//!
//! Attributes are headers and the properties that have names in SQS and SNS (docs/sqs.md has the list). Bytes are none, as in AWS. A
//! text is a number where the message says so (`x-sqs-attribute-types`), as for those that came by protocols whose headers are text.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::arrays::{Element, Elements};
use super::condition::Scalar;
use super::json::{Reader, Token};
use super::limits::{BODY_BYTES_MAX, BODY_DEPTH_MAX, BODY_VALUES_MAX};
use super::{Scope, body};
use crate::message::{Message, Properties};
use crate::value::Value as Header;

/// An attribute, as a source of messages has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Attribute<'a> {
    /// A text.
    Text(&'a str),
    /// A number, as it is written.
    Number(&'a str),
    /// A `String.Array`: a JSON array, of which each value counts for itself.
    Array(&'a str),
}

/// Numbers of the names that some policy asks for.
pub(super) trait Names {
    /// None where nobody asks for it.
    fn number(&self, name: &str) -> Option<u32>;
    /// Bytes of the longest.
    fn bytes_max(&self) -> usize;
}

/// A value of a name that some policy asks for.
#[derive(Clone, Debug)]
pub(super) struct Value<'m> {
    pub(super) name: u32,
    pub(super) scalar: Scalar<'m>,
    /// The element of an array that it is in.
    pub(super) element: Element,
}

/// A message, as policies see it.
#[derive(Debug, Default)]
pub(super) struct Subject<'m> {
    /// By name.
    values: SmallVec<[Value<'m>; 12]>,
    pub(super) elements: Elements,
}

impl<'m> Subject<'m> {
    /// None where no policy can be met: its body is no JSON object, or there is too much of it.
    pub(super) fn of(message: &'m Message, scope: Scope, names: &impl Names) -> Option<Self> {
        let mut subject = Self::default();
        match scope {
            Scope::MessageAttributes => subject.add_attributes(message, names),
            Scope::MessageBody => {
                let body = Some(message.body()).filter(|body| body.len() <= BODY_BYTES_MAX)?;
                body::read(str::from_utf8(body).ok()?, names, &mut subject).ok()?;
            }
        }
        if subject.values.len() > BODY_VALUES_MAX {
            return None;
        }
        subject.values.sort_by_key(|value| value.name);
        Some(subject)
    }

    /// All values.
    pub(super) fn values(&self) -> &[Value<'m>] {
        &self.values
    }

    /// Those of one name.
    pub(super) fn named(&self, name: u32) -> &[Value<'m>] {
        let start = self.values.partition_point(|value| value.name < name);
        let count = self.values[start..].partition_point(|value| value.name == name);
        &self.values[start..start + count]
    }

    /// Whether there is room for one more.
    pub(super) fn add(&mut self, name: u32, scalar: Scalar<'m>, element: Element) -> bool {
        // One more than may be, so that it shows.
        let has_room = self.values.len() <= BODY_VALUES_MAX;
        if has_room {
            self.values.push(Value { name, scalar, element });
        }
        has_room
    }

    fn add_attributes(&mut self, message: &'m Message, names: &impl Names) {
        let mut visit = |name: &str, attribute: Attribute<'m>| {
            if let Some(name) = names.number(name) {
                self.add_attribute(name, attribute);
            }
        };
        if message.source().attributes(message.head(), &mut visit) {
            return;
        }
        let properties = message.properties();
        self.add_properties(properties, names);
        if let Some(name) = names.number("priority").filter(|_| message.essentials().priority > 0) {
            self.add(name, Scalar::Number(message.essentials().priority.into()), 0);
        }
        let types = properties.headers.as_ref().and_then(|headers| headers.get(TYPES)?.as_str()).unwrap_or_default();
        for (name, value) in properties.headers.iter().flatten() {
            let Some(name) = name.as_str() else { continue };
            let Some(number) = names.number(name) else { continue };
            // Of a name that comes twice the first counts.
            if self.values.iter().all(|value| value.name != number) {
                self.add_header(number, value, data_type(types, name));
            }
        }
    }

    fn add_properties(&mut self, properties: &'m Properties, names: &impl Names) {
        let texts = [
            ("content-type", &properties.content_type),
            ("content-encoding", &properties.content_encoding),
            ("correlation-id", &properties.correlation_id),
            ("reply-to", &properties.reply_to),
            ("type", &properties.kind),
            ("app-id", &properties.app_id),
            ("message-id", &properties.message_id),
            ("user-id", &properties.user_id),
        ];
        for (name, text) in texts {
            let Some(text) = text.as_ref().and_then(|text| str::from_utf8(text).ok()) else { continue };
            if let Some(name) = names.number(name) {
                self.add(name, Scalar::Text(Cow::Borrowed(text)), 0);
            }
        }
        if let (Some(timestamp_s), Some(name)) = (properties.timestamp_s, names.number("timestamp")) {
            self.add(name, Scalar::Number(timestamp_s as f64), 0);
        }
    }

    fn add_header(&mut self, name: u32, value: &'m Header, data_type: Option<&str>) {
        let scalar = match value {
            Header::Text(text) => {
                let Some(text) = text.as_str() else { return };
                let attribute = match data_type.map(|data_type| data_type.split_once('.').unwrap_or((data_type, ""))) {
                    Some(("Number", _)) => Attribute::Number(text),
                    Some(("String", "Array")) => Attribute::Array(text),
                    _ => Attribute::Text(text),
                };
                return self.add_attribute(name, attribute);
            }
            Header::Binary(_) => return,
            Header::Array(items) => {
                for item in items {
                    if let Some(scalar) = scalar(item) {
                        self.add(name, scalar, 0);
                    }
                }
                return;
            }
            other => scalar(other),
        };
        if let Some(scalar) = scalar {
            self.add(name, scalar, 0);
        }
    }

    fn add_attribute(&mut self, name: u32, attribute: Attribute<'m>) {
        let text = match attribute {
            Attribute::Text(text) => text,
            Attribute::Number(text) => {
                if let Ok(number) = text.trim().parse() {
                    self.add(name, Scalar::Number(number), 0);
                    return;
                }
                text
            }
            Attribute::Array(text) => {
                // What is no array has no values.
                let _ = self.add_array(name, text);
                return;
            }
        };
        self.add(name, Scalar::Text(Cow::Borrowed(text)), 0);
    }

    fn add_array(&mut self, name: u32, text: &'m str) -> Option<()> {
        let before = self.values.len();
        let mut reader = Reader::new(text, BODY_DEPTH_MAX);
        if reader.next().ok()? != Token::ArrayStart {
            return None;
        }
        let mut depth = 1_usize;
        loop {
            let scalar = match reader.next() {
                Ok(Token::End) => return Some(()),
                Ok(Token::ArrayStart | Token::ObjectStart) => {
                    depth += 1;
                    continue;
                }
                Ok(Token::ArrayEnd | Token::ObjectEnd) => {
                    depth -= 1;
                    continue;
                }
                Ok(Token::Key(_)) => continue,
                Ok(token) => scalar_of(token)?,
                Err(_) => {
                    self.values.truncate(before);
                    return None;
                }
            };
            if depth == 1 && !self.add(name, scalar, 0) {
                return None;
            }
        }
    }
}

/// The header that says of which data types attributes are: `name=Number,other=String.Array`.
const TYPES: &str = "x-sqs-attribute-types";

fn data_type<'t>(types: &'t str, name: &str) -> Option<&'t str> {
    types.split(',').find_map(|one| one.trim().strip_prefix(name)?.strip_prefix('='))
}

/// A token that is a value by itself.
pub(super) fn scalar_of(token: Token<'_>) -> Option<Scalar<'_>> {
    match token {
        Token::Text(text) => Some(Scalar::Text(text)),
        Token::Number(text) => text.parse().ok().map(Scalar::Number),
        Token::Bool(value) => Some(Scalar::Bool(value)),
        Token::Null => Some(Scalar::Null),
        _ => None,
    }
}

fn scalar(value: &Header) -> Option<Scalar<'_>> {
    match value {
        Header::Text(text) => text.as_str().map(|text| Scalar::Text(Cow::Borrowed(text))),
        Header::Bool(value) => Some(Scalar::Bool(*value)),
        Header::Null => Some(Scalar::Null),
        Header::Timestamp(seconds) => Some(Scalar::Number(*seconds as f64)),
        Header::Decimal { scale, value } => Some(Scalar::Number(f64::from(*value) / 10_f64.powi(i32::from(*scale)))),
        Header::Binary(_) | Header::Array(_) => None,
        Header::Table(_) => Some(Scalar::Text(Cow::Owned(value.to_text()))),
        number => match number.as_integer() {
            Some(number) => Some(Scalar::Number(number as f64)),
            None => number.as_float().map(Scalar::Number),
        },
    }
}
