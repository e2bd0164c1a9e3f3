//! What is stored of a message, as other protocols see it, and what the broker changes in it.

use std::fmt::Write;

use bytes::Bytes;
use gantry_broker::Properties;
use gantry_broker::message::Edit;
use gantry_broker::value::{Table, Value as Header};

use super::attribute::{Attribute, Value, attributes};
use super::{names, number};

/// What heads of both services have, as far as it is a header for other protocols.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Common<'a> {
    pub(crate) group: Option<&'a str>,
    pub(crate) deduplication: Option<&'a str>,
    pub(crate) trace: Option<&'a str>,
    /// What kind of message this is says something else than the attribute `type`, which is a header then.
    pub(crate) has_kind: bool,
    /// Headers that the broker has set, as JSON; empty is the usual case.
    pub(crate) set: &'a [u8],
    /// As stored.
    pub(crate) attributes: &'a [u8],
}

/// What an edit leaves of a head.
pub(crate) struct Edited<'e> {
    /// Headers that the broker has set, as JSON; empty where there are none.
    pub(crate) set: Vec<u8>,
    edit: &'e Edit<'e>,
}

impl Edited<'_> {
    /// Whether an attribute stays.
    pub(crate) fn keeps(&self, attribute: &Attribute<'_>) -> bool {
        let name = attribute.name;
        !self.edit.remove.contains(&name) && !self.edit.set.iter().any(|(set, _)| *set == name)
    }
}

impl<'a> Common<'a> {
    /// The attributes, in the order in which they came.
    fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        attributes(self.attributes)
    }

    /// The property that an attribute of this name is for other protocols, if it is of type `String`.
    fn property<'p>(&self, properties: &'p mut Properties, name: &str) -> Option<&'p mut Option<Bytes>> {
        Some(match name {
            names::CONTENT_TYPE => &mut properties.content_type,
            names::CONTENT_ENCODING => &mut properties.content_encoding,
            names::CORRELATION_ID => &mut properties.correlation_id,
            names::REPLY_TO => &mut properties.reply_to,
            names::TYPE if !self.has_kind => &mut properties.kind,
            names::APP_ID => &mut properties.app_id,
            _ => return None,
        })
    }

    /// Headers that the broker has set.
    pub(crate) fn headers_set(&self) -> Table {
        // The broker wrote it; of a damaged one nothing can be said.
        if self.set.is_empty() { Table::new() } else { serde_json::from_slice(self.set).unwrap_or_default() }
    }

    /// What the system knows, attributes, their types where headers have none for them, and what the broker has set. What is a
    /// property goes there.
    pub(crate) fn headers(&self, properties: &mut Properties) -> Table {
        let mut headers = Table::new();
        let known =
            [(names::GROUP, self.group), (names::DEDUPLICATION, self.deduplication), (names::TRACE, self.trace)];
        for (name, text) in known {
            if let Some(text) = text {
                headers.push(name, text);
            }
        }
        let mut types = String::new();
        for attribute in self.attributes() {
            if attribute.data_type == "String"
                && let (Some(property), Value::Text(text)) =
                    (self.property(properties, attribute.name), attribute.value)
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
        for (name, value) in self.headers_set().iter() {
            headers.set(name.clone(), value.clone());
        }
        headers
    }

    /// One of the headers, without making all of them where that is possible.
    pub(crate) fn header(&self, name: &str) -> Option<Header> {
        if !self.set.is_empty() || name == names::TYPES {
            return self.headers(&mut Properties::default()).remove(name);
        }
        let known = match name {
            names::GROUP => self.group,
            names::DEDUPLICATION => self.deduplication,
            names::TRACE => self.trace,
            _ => None,
        };
        if let Some(text) = known {
            return Some(Header::from(text));
        }
        let attribute = self.attributes().find(|attribute| attribute.name == name)?;
        let is_property =
            attribute.data_type == "String" && self.property(&mut Properties::default(), attribute.name).is_some();
        if is_property { None } else { Some(header(&attribute).0) }
    }

    /// What an edit leaves; none where it cannot be done.
    pub(crate) fn edited<'e>(&self, edit: &'e Edit<'e>) -> Option<Edited<'e>> {
        let mut set = self.headers_set();
        for name in edit.remove {
            set.remove(name);
        }
        for (name, value) in edit.set {
            set.set(*name, value.clone());
        }
        match serde_json::to_vec(&set) {
            Ok(_) if set.is_empty() => Some(Edited { set: Vec::new(), edit }),
            Ok(set) => Some(Edited { set, edit }),
            Err(error) => {
                // Only a value that is set could be at fault, and those are the broker's own.
                tracing::error!(%error, "headers cannot be encoded");
                None
            }
        }
    }
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
