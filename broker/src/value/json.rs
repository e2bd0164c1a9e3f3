//! How values are written as JSON: exactly, whatever they are.

use super::Text;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Bytes as base64.
pub(super) mod bytes {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[u8]>, D::Error> {
        let encoded = String::deserialize(deserializer)?;
        STANDARD.decode(encoded).map(Into::into).map_err(D::Error::custom)
    }
}

macro_rules! float {
    ($name:ident, $float:ty, $bits:ty) => {
        /// A float as its shortest decimal form, which reads back to the same bits, or `nan:` and its bits.
        pub(super) mod $name {
            use super::*;

            pub(crate) fn serialize<S: Serializer>(value: &$float, serializer: S) -> Result<S::Ok, S::Error> {
                if value.is_nan() {
                    serializer.collect_str(&format_args!("nan:{:x}", value.to_bits()))
                } else {
                    serializer.collect_str(value)
                }
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$float, D::Error> {
                let text = String::deserialize(deserializer)?;
                match text.strip_prefix("nan:") {
                    Some(bits) => <$bits>::from_str_radix(bits, 16).map(<$float>::from_bits).map_err(D::Error::custom),
                    None => text.parse().map_err(D::Error::custom),
                }
            }
        }
    };
}

float!(float32, f32, u32);
float!(float64, f64, u64);

const BASE64: &str = "base64";

/// A string where the text is UTF-8, else `{"base64": "..."}`.
impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_str() {
            Some(text) => serializer.serialize_str(text),
            None => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(BASE64, &STANDARD.encode(self.as_bytes()))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a string or {{\"{BASE64}\": string}}")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(text.into())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Text, E> {
        Ok(text.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        match map.next_entry::<String, String>()? {
            Some((key, encoded)) if key == BASE64 => {
                let bytes = STANDARD.decode(encoded).map_err(A::Error::custom)?;
                Ok(Text::from(bytes))
            }
            Some((key, _)) => Err(A::Error::unknown_field(&key, &[BASE64])),
            None => Err(A::Error::missing_field(BASE64)),
        }
    }
}
