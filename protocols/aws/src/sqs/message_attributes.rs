//! Attributes of messages: names, types and values, as AWS checks them, and which of them a receiver wants.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::fault;
use super::limits::{
    ATTRIBUTE_NAME_BYTES_MAX, ATTRIBUTE_TYPE_BYTES_MAX, MESSAGE_ATTRIBUTES_MAX, SYSTEM_ATTRIBUTE_BYTES_MAX,
};
use super::pairs::Pairs;
use crate::error::Error;
pub(crate) use crate::message::{Attribute, AttributeValue, Checked, Value};
use crate::message::{Owned, is_number, is_text};

/// Who gives an attribute, in words.
const USER: &str = "(user) ";
const SYSTEM: &str = "system ";

/// The one attribute of the system that a sender may set.
pub(crate) const TRACE_HEADER: &str = "AWSTraceHeader";

/// Checks the attributes of a message.
pub(crate) fn check<'a>(attributes: &'a Pairs<'_, AttributeValue<'_>>) -> Result<Checked<'a>, Error> {
    if attributes.len() > MESSAGE_ATTRIBUTES_MAX {
        return Err(fault::invalid_parameter(format!(
            "Number of message attributes [{}] exceeds the allowed maximum [{MESSAGE_ATTRIBUTES_MAX}].",
            attributes.len()
        )));
    }
    let mut checked = Vec::with_capacity(attributes.len());
    for (name, value) in attributes.iter() {
        check_name(name)?;
        checked.push(check_value(name, value, USER)?);
    }
    Ok(Checked(checked))
}

/// Checks the attributes of the system that come with a message: there is one, a text.
pub(crate) fn check_system<'a>(attributes: &'a Pairs<'_, AttributeValue<'_>>) -> Result<Checked<'a>, Error> {
    let mut checked = Vec::new();
    for (name, value) in attributes.iter() {
        if name != TRACE_HEADER {
            let message = format!("Message system attribute name '{}' is invalid.", fault::shown(name));
            return Err(fault::invalid_parameter(message));
        }
        let attribute = check_value(name, value, SYSTEM)?;
        if attribute.1 != "String" {
            let message = format!(
                "The type of message system attribute '{name}' is invalid. You must use only the following supported \
                 type prefixes: String."
            );
            return Err(fault::invalid_parameter(message));
        }
        if matches!(attribute.2, Owned::Text(text) if text.len() > SYSTEM_ATTRIBUTE_BYTES_MAX) {
            let message =
                format!("Message system attribute '{name}' must be shorter than {SYSTEM_ATTRIBUTE_BYTES_MAX} bytes.");
            return Err(fault::invalid_parameter(message));
        }
        checked.push(attribute);
    }
    Ok(Checked(checked))
}

fn check_name(name: &str) -> Result<(), Error> {
    let shown = fault::shown(name);
    let refused = |words: String| Err(fault::invalid_parameter(words));
    if name.is_empty() {
        return refused(format!("The request must contain non-empty message {USER}attribute names."));
    }
    if name.len() > ATTRIBUTE_NAME_BYTES_MAX {
        return refused(format!("Message {USER}attribute name must be shorter than {ATTRIBUTE_NAME_BYTES_MAX} bytes."));
    }
    if !name.chars().all(|character| character.is_alphanumeric() || matches!(character, '_' | '-' | '.')) {
        return refused(format!(
            "The message {USER}attribute name '{shown}' is invalid. Attribute name can contain A-Z, a-z, 0-9, \
             underscore (_), hyphen (-), and period (.) characters."
        ));
    }
    let begins_with = |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if begins_with("aws.") || begins_with("amazon.") {
        return refused(
            "You can't use message attribute names beginning with 'AWS.' or 'Amazon'. These strings are reserved for \
             internal use."
                .to_owned(),
        );
    }
    if name.starts_with('.') {
        return refused(format!("Message {USER}attribute name must not begin with character '.'."));
    }
    if name.ends_with('.') {
        return refused(format!("Message {USER}attribute name must not end with character '.'."));
    }
    if name.contains("..") {
        return refused(format!("Message {USER}attribute name must not have successive '.' characters."));
    }
    Ok(())
}

fn check_value<'a>(
    name: &'a str,
    value: &'a AttributeValue<'_>,
    whose: &str,
) -> Result<(&'a str, &'a str, Owned<'a>), Error> {
    let refused = |words: String| Err(fault::invalid_parameter(words));
    if value.string_list_values.has_entries || value.binary_list_values.has_entries {
        return refused("Message attribute list values in SendMessage operation are not supported.".to_owned());
    }
    let Some(data_type) = value.data_type.as_deref().filter(|data_type| !data_type.is_empty()) else {
        let what = if value.string_value.is_none() && value.binary_value.is_none() { "value" } else { "type" };
        return refused(format!(
            "The message {whose}attribute '{name}' must contain a non-empty message attribute {what}."
        ));
    };
    if data_type.len() > ATTRIBUTE_TYPE_BYTES_MAX {
        return refused(format!(
            "Message {whose}attribute type must be shorter than {ATTRIBUTE_TYPE_BYTES_MAX} bytes."
        ));
    }
    let base = data_type.split('.').next().unwrap_or_default();
    if !matches!(base, "String" | "Number" | "Binary") || !is_text(data_type) {
        return refused(format!(
            "The type of message {whose}attribute '{name}' is invalid. You must use only the following supported type \
             prefixes: Binary, Number, String."
        ));
    }
    if value.string_value.is_some() && value.binary_value.is_some() {
        return refused(format!("Message {whose}attribute '{name}' must have a single value."));
    }
    let empty = || format!("Message {whose}attribute '{name}' must contain a non-empty value of type '{data_type}'.");
    let field = if base == "Binary" { "Binary" } else { "String" };
    let wrong_field = || format!("Message {whose}attribute '{name}' with type '{data_type}' must use field '{field}'.");
    if base == "Binary" {
        let Some(text) = value.binary_value.as_deref() else {
            return refused(if value.string_value.is_some() { wrong_field() } else { empty() });
        };
        let Ok(bytes) = STANDARD.decode(text) else {
            return refused(format!("The value of message {whose}attribute '{name}' is not valid base64."));
        };
        if bytes.is_empty() {
            return refused(empty());
        }
        return Ok((name, data_type, Owned::Binary(bytes)));
    }
    let Some(text) = value.string_value.as_deref() else {
        return refused(if value.binary_value.is_some() { wrong_field() } else { empty() });
    };
    if text.is_empty() {
        return refused(empty());
    }
    if !is_text(text) {
        return refused(fault::INVALID_CHARACTERS.to_owned());
    }
    if base == "Number" && !is_number(text) {
        return refused(format!("Can't cast the value of message {whose}attribute '{name}' to a number."));
    }
    Ok((name, data_type, Owned::Text(text)))
}

/// The value of an attribute in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttributeAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) string_value: Option<String>,
    /// In base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) binary_value: Option<String>,
    pub(crate) data_type: Cow<'static, str>,
}

impl AttributeAnswer {
    /// Bytes of its texts.
    pub(crate) fn bytes(&self) -> usize {
        let texts = [&self.string_value, &self.binary_value];
        self.data_type.len() + texts.into_iter().flatten().map(String::len).sum::<usize>()
    }
}

fn type_of(data_type: &str) -> Cow<'static, str> {
    match data_type {
        "String" => Cow::Borrowed("String"),
        "Number" => Cow::Borrowed("Number"),
        "Binary" => Cow::Borrowed("Binary"),
        other => Cow::Owned(other.to_owned()),
    }
}

impl From<Attribute<'_>> for AttributeAnswer {
    fn from(attribute: Attribute<'_>) -> Self {
        let (string_value, binary_value) = match attribute.value {
            Value::Text(text) => (Some(text.to_owned()), None),
            Value::Binary(bytes) => (None, Some(STANDARD.encode(bytes))),
        };
        Self { string_value, binary_value, data_type: type_of(attribute.data_type) }
    }
}

#[cfg(test)]
mod tests;
