//! Attributes of messages: names, types and values, as requests have them and as they are stored.

use bytes::{BufMut, BytesMut};
use serde::Deserialize;

use super::pieces::{Reader, put_text};
use crate::sqs::pairs::Text;

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
    pub(crate) fn bytes(&self) -> usize {
        self.name.len() + self.data_type.len() + self.value.len()
    }
}

/// The value of an attribute in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttributeValue<'a> {
    #[serde(borrow, default)]
    pub(crate) string_value: Option<Text<'a>>,
    /// In base64.
    #[serde(borrow, default)]
    pub(crate) binary_value: Option<Text<'a>>,
    #[serde(default)]
    pub(crate) string_list_values: List,
    #[serde(default)]
    pub(crate) binary_list_values: List,
    #[serde(borrow, default)]
    pub(crate) data_type: Option<Text<'a>>,
}

#[cfg(test)]
impl AttributeValue<'_> {
    /// All of its texts are the request's own.
    pub(crate) fn is_borrowed(&self) -> bool {
        let texts = [&self.string_value, &self.binary_value, &self.data_type];
        texts.into_iter().flatten().all(|text| matches!(text.0, std::borrow::Cow::Borrowed(_)))
    }
}

/// Whether a list is there that has something in it. What is in it does not matter: no action takes any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) has_entries: bool,
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
pub(crate) struct Checked<'a>(pub(crate) Vec<(&'a str, &'a str, Owned<'a>)>);

/// A value of a request, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owned<'a> {
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

/// Most digits of a number, those not counted that say nothing but how large it is.
const NUMBER_DIGITS_MAX: usize = 38;
/// How large the first digit of a number may be, as a power of ten.
const NUMBER_EXPONENTS: std::ops::RangeInclusive<i64> = -128..=126;

/// Whether a text is a number in decimal digits, perhaps with a point, an exponent, a sign and spaces around it, of no more
/// digits and no other size than AWS has.
pub(crate) fn is_number(text: &str) -> bool {
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

const KIND_TEXT: u8 = 1;
const KIND_BINARY: u8 = 2;

/// Bytes that a stored attribute takes beside its name, type and value.
pub(crate) const ATTRIBUTE_BYTES: usize = 2 + 2 + 1 + 4;

/// Writes attributes as they are stored.
pub(crate) fn put_attributes<'a>(attributes: impl Iterator<Item = Attribute<'a>>, out: &mut BytesMut) {
    for attribute in attributes {
        put_text(attribute.name, out);
        put_text(attribute.data_type, out);
        let (kind, bytes) = match attribute.value {
            Value::Text(text) => (KIND_TEXT, text.as_bytes()),
            Value::Binary(bytes) => (KIND_BINARY, bytes),
        };
        out.put_u8(kind);
        out.put_u32(bytes.len() as u32);
        out.put_slice(bytes);
    }
}

/// Stored attributes, in the order in which they came; as far as they can be read.
pub(crate) fn attributes(stored: &[u8]) -> impl Iterator<Item = Attribute<'_>> + Clone {
    let mut reader = Reader(stored);
    std::iter::from_fn(move || {
        let name = reader.text()?;
        let data_type = reader.text()?;
        let [kind] = reader.array()?;
        let bytes = reader.long_bytes()?;
        let value = if kind == KIND_BINARY { Value::Binary(bytes) } else { Value::Text(str::from_utf8(bytes).ok()?) };
        Some(Attribute { name, data_type, value })
    })
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
