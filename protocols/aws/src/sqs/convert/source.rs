//! A stored message as other protocols see it, and what the broker changes in it.

use std::fmt::Write;

use bytes::{Bytes, BytesMut};
use gantry_broker::message::Edit;
use gantry_broker::value::{Table, Value as Header};
use gantry_broker::{Properties, Source};

use super::head::{Head, put_attributes};
use super::{SOURCE_ID, names, number};
use crate::sqs::message_attributes::{Attribute, Value};
use crate::sqs::message_id;

/// SQS as a source of messages.
#[derive(Debug)]
pub struct SqsSource;

/// The source, for [`gantry_broker::Sources`].
pub static SOURCE: SqsSource = SqsSource;

/// Attributes of type `String` that are properties of the message for other protocols.
fn property<'p>(properties: &'p mut Properties, name: &str) -> Option<&'p mut Option<Bytes>> {
    Some(match name {
        names::CONTENT_TYPE => &mut properties.content_type,
        names::CONTENT_ENCODING => &mut properties.content_encoding,
        names::CORRELATION_ID => &mut properties.correlation_id,
        names::REPLY_TO => &mut properties.reply_to,
        names::TYPE => &mut properties.kind,
        names::APP_ID => &mut properties.app_id,
        _ => return None,
    })
}

/// Whether an attribute is a property, and not a header.
fn is_property(attribute: &Attribute<'_>) -> bool {
    attribute.data_type == "String" && property(&mut Properties::default(), attribute.name).is_some()
}

/// The header that an attribute is for other protocols, and whether its type says all that was said of it.
fn header(attribute: &Attribute<'_>) -> (Header, bool) {
    match attribute.value {
        Value::Binary(bytes) => (Header::Binary(bytes.into()), attribute.data_type == "Binary"),
        Value::Text(text) if attribute.data_type.split('.').next() == Some("Number") => match number::parsed(text) {
            Some(number) => (number, attribute.data_type == "Number"),
            None => (Header::from(text), false),
        },
        Value::Text(text) => (Header::from(text), attribute.data_type == "String"),
    }
}

/// The headers of a head: what the system knows, attributes, their types where headers have none for them, and what the broker
/// has set.
fn headers(head: &Head<'_>, properties: &mut Properties) -> Table {
    let mut headers = Table::new();
    let known = [(names::GROUP, head.group), (names::DEDUPLICATION, head.deduplication), (names::TRACE, head.trace)];
    for (name, text) in known {
        if let Some(text) = text {
            headers.push(name, text);
        }
    }
    let mut types = String::new();
    for attribute in head.attributes() {
        if attribute.data_type == "String"
            && let (Some(property), Value::Text(text)) = (property(properties, attribute.name), attribute.value)
        {
            *property = Some(Bytes::copy_from_slice(text.as_bytes()));
            continue;
        }
        let (value, is_whole) = header(&attribute);
        if !is_whole {
            let comma = if types.is_empty() { "" } else { "," };
            // Writing to a string does not fail.
            let _ = write!(types, "{comma}{}={}", attribute.name, attribute.data_type);
        }
        headers.push(attribute.name, value);
    }
    if !types.is_empty() {
        headers.push(names::TYPES, types);
    }
    for (name, value) in head.headers_set().iter() {
        headers.set(name.clone(), value.clone());
    }
    headers
}

impl Source for SqsSource {
    fn id(&self) -> u8 {
        SOURCE_ID
    }

    fn properties(&self, head: &[u8]) -> Properties {
        // It was made here; of a damaged one nothing can be said.
        let Some(head) = Head::read(head) else { return Properties::default() };
        let mut properties = Properties {
            message_id: Some(Bytes::copy_from_slice(message_id::text(&head.id).as_bytes())),
            timestamp_s: Some(head.sent_ms / 1000),
            ..Properties::default()
        };
        let headers = headers(&head, &mut properties);
        properties.headers = Some(headers).filter(|headers| !headers.is_empty());
        properties
    }

    fn header(&self, head: &[u8], name: &str) -> Option<Header> {
        let head = Head::read(head)?;
        if !head.set.is_empty() || name == names::TYPES {
            return headers(&head, &mut Properties::default()).remove(name);
        }
        let known = match name {
            names::GROUP => head.group,
            names::DEDUPLICATION => head.deduplication,
            names::TRACE => head.trace,
            _ => None,
        };
        if let Some(text) = known {
            return Some(Header::from(text));
        }
        let attribute = head.attributes().find(|attribute| attribute.name == name)?;
        if is_property(&attribute) { None } else { Some(header(&attribute).0) }
    }

    fn edited(&self, head: &[u8], edit: &Edit<'_>, out: &mut BytesMut) {
        // It was made here; a damaged one is left as it is.
        let whole = head;
        let Some(head) = Head::read(whole) else { return out.extend_from_slice(whole) };
        let mut set = head.headers_set();
        for name in edit.remove {
            set.remove(name);
        }
        for (name, value) in edit.set {
            set.set(*name, value.clone());
        }
        let set = match serde_json::to_vec(&set) {
            Ok(_) if set.is_empty() => Vec::new(),
            Ok(bytes) => bytes,
            Err(error) => {
                // Only a value that is set could be at fault, and those are the broker's own.
                tracing::error!(%error, "headers cannot be encoded");
                return out.extend_from_slice(whole);
            }
        };
        let goes = |name: &str| edit.remove.contains(&name) || edit.set.iter().any(|(set, _)| *set == name);
        let stays = |attribute: &Attribute<'_>| !goes(attribute.name);
        // The sum is of the attributes as they were sent. What goes was never an attribute that a client could send but once: the
        // sum is worked out again.
        let attributes_sum = match head.attributes_sum {
            Some(_) if head.attributes().any(|attribute| goes(attribute.name)) => {
                crate::sqs::md5::of_attributes(head.attributes().filter(stays))
            }
            sum => sum,
        };
        Head { set: &set, attributes_sum, ..head }.put(out);
        put_attributes(head.attributes().filter(stays), out);
    }
}
