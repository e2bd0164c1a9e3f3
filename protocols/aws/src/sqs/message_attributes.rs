//! Attributes of messages: names, types and values, as AWS checks them, and which of them a receiver wants.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::fault;
use super::limits::{
    ATTRIBUTE_NAME_BYTES_MAX, ATTRIBUTE_TYPE_BYTES_MAX, MESSAGE_ATTRIBUTES_MAX, SYSTEM_ATTRIBUTE_BYTES_MAX,
};
use super::names::is_text;
use super::pairs::{Pairs, Text};
use crate::error::Error;

/// An attribute, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attribute<'a> {
    pub(crate) name: &'a str,
    /// `String`, `Number` or `Binary`, and perhaps a point and anything behind it.
    pub(crate) data_type: &'a str,
    pub(crate) value: Value<'a>,
}

/// The value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// Of a `String` or a `Number`.
    Text(&'a str),
    /// Of a `Binary`.
    Binary(&'a [u8]),
}

impl Value<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

impl Attribute<'_> {
    /// What it counts for in the size of its message.
    fn bytes(&self) -> usize {
        self.name.len() + self.data_type.len() + self.value.len()
    }
}

/// The value of an attribute in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttributeValue<'a> {
    #[serde(borrow, default)]
    string_value: Option<Text<'a>>,
    /// In base64.
    #[serde(borrow, default)]
    binary_value: Option<Text<'a>>,
    #[serde(default)]
    string_list_values: List,
    #[serde(default)]
    binary_list_values: List,
    #[serde(borrow, default)]
    data_type: Option<Text<'a>>,
}

#[cfg(test)]
impl AttributeValue<'_> {
    /// All of its texts are the request's own.
    pub(crate) fn is_borrowed(&self) -> bool {
        let texts = [&self.string_value, &self.binary_value, &self.data_type];
        texts.into_iter().flatten().all(|text| matches!(text.0, Cow::Borrowed(_)))
    }
}

/// Whether a list is there that has something in it. What is in it does not matter: no action takes any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct List {
    has_entries: bool,
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> serde::de::Visitor<'de> for Any {
            type Value = List;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E>(self) -> Result<List, E> {
                Ok(List::default())
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<List, A::Error> {
                let mut list = List::default();
                while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {
                    list.has_entries = true;
                }
                Ok(list)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// Attributes of a request, checked. Values that came in base64 are decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked<'a>(Vec<(&'a str, &'a str, Owned<'a>)>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Owned<'a> {
    Text(&'a str),
    Binary(Vec<u8>),
}

impl Checked<'_> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = Attribute<'_>> + Clone {
        self.0.iter().map(|(name, data_type, value)| {
            let value = match value {
                Owned::Text(text) => Value::Text(text),
                Owned::Binary(bytes) => Value::Binary(bytes),
            };
            Attribute { name, data_type, value }
        })
    }

    /// What they count for in the size of their message.
    pub(crate) fn bytes(&self) -> usize {
        self.iter().map(|attribute| attribute.bytes()).sum()
    }
}

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

/// Most digits of a number, those not counted that say nothing but how large it is.
const NUMBER_DIGITS_MAX: usize = 38;
/// How large the first digit of a number may be, as a power of ten.
const NUMBER_EXPONENTS: std::ops::RangeInclusive<i64> = -128..=126;

/// Whether a text is a number in decimal digits, perhaps with a point, an exponent, a sign and spaces around it, of no more
/// digits and no other size than AWS has.
fn is_number(text: &str) -> bool {
    let text = text.trim_matches(' ');
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    if !are_digits(whole) || !are_digits(fraction) || !are_digits(unsigned) || whole.len() + fraction.len() == 0 {
        return false;
    }
    let Ok(exponent) = exponent.parse::<i64>() else { return false };
    let digits = || whole.bytes().chain(fraction.bytes());
    let Some(first) = digits().position(|digit| digit != b'0') else { return true };
    let last = digits().enumerate().filter(|(_, digit)| *digit != b'0').last().map_or(first, |(at, _)| at);
    // The place of the first digit before the point, or behind it below 0.
    let size = (whole.len() as i64 - 1 - first as i64).saturating_add(exponent);
    last - first < NUMBER_DIGITS_MAX && NUMBER_EXPONENTS.contains(&size)
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

/// Whether a receiver that has named these wants an attribute: all (`All`, `.*`, `*`), by its name, or by how it begins
/// (`order.*`).
pub(crate) fn is_wanted<'a>(wanted: impl IntoIterator<Item = &'a str>, name: &str) -> bool {
    wanted.into_iter().any(|wanted| match wanted {
        "All" | ".*" | "*" => true,
        _ => match wanted.strip_suffix(".*") {
            Some(prefix) => name.starts_with(prefix),
            None => name == wanted,
        },
    })
}

/// Whether these are all attributes there can be.
pub(crate) fn is_all(wanted: &str) -> bool {
    matches!(wanted, "All" | ".*" | "*")
}

#[cfg(test)]
mod tests;
