//! Messages that say something else to each protocol: `MessageStructure` is `json`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::convert::Variant;
use super::fault;
use crate::error::Error;

/// Protocols and platforms that a message may say something else to. Other names are passed over.
const PROTOCOLS: [&str; 20] = [
    "ADM",
    "APNS",
    "APNS_SANDBOX",
    "APNS_VOIP",
    "APNS_VOIP_SANDBOX",
    "BAIDU",
    "GCM",
    "MACOS",
    "MACOS_SANDBOX",
    "MPNS",
    "WNS",
    "application",
    "email",
    "email-json",
    "firehose",
    "http",
    "https",
    "lambda",
    "sms",
    "sqs",
];

/// What a message says to whom.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Structured<'a> {
    /// To all others.
    pub(crate) default: Option<Cow<'a, str>>,
    /// To some.
    pub(crate) variants: Vec<Variant<'a>>,
}

/// Reads a message. Of a name that comes twice the last value counts.
///
/// # Errors
/// It is no object of JSON.
pub(crate) fn parse(message: &str) -> Result<Structured<'_>, Error> {
    serde_json::from_str(message)
        .map_err(|_| fault::invalid_parameter("Message Structure - JSON message body failed to parse"))
}

/// As [`parse`], and there has to be something that is said to all others.
///
/// # Errors
/// As there; it is missing, or no text.
pub(crate) fn parse_whole(message: &str) -> Result<(Cow<'_, str>, Vec<Variant<'_>>), Error> {
    let Structured { default, variants } = parse(message)?;
    let missing = || fault::invalid_parameter("Message Structure - No default entry in JSON message body");
    Ok((default.ok_or_else(missing)?, variants))
}

/// A text; anything else is not kept.
struct Text<'a>(Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any<'a>(std::marker::PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Any<'a> {
            type Value = Text<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'a>, E> {
                Ok(Text(Some(text.into())))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'a>, E> {
                Ok(Text(Some(text.to_owned().into())))
            }

            fn visit_unit<E>(self) -> Result<Text<'a>, E> {
                Ok(Text(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Text<'a>, E> {
                Ok(Text(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Text<'a>, E> {
                Ok(Text(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Text<'a>, E> {
                Ok(Text(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Text<'a>, E> {
                Ok(Text(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text<'a>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text<'a>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
        }

        deserializer.deserialize_any(Any(std::marker::PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Structured<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<'a>(std::marker::PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Object<'a> {
            type Value = Structured<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Structured<'a>, A::Error> {
                let mut structured = Structured::default();
                while let Some((Text(name), Text(text))) = map.next_entry::<Text<'a>, Text<'a>>()? {
                    let name = name.unwrap_or_default();
                    if name == "default" {
                        structured.default = text;
                        continue;
                    }
                    let Ok(at) = PROTOCOLS.binary_search(&&*name) else { continue };
                    structured.variants.retain(|known| known.protocol != PROTOCOLS[at]);
                    structured.variants.extend(text.map(|text| Variant { protocol: PROTOCOLS[at], text }));
                }
                Ok(structured)
            }
        }

        deserializer.deserialize_map(Object(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(protocol: &'static str, text: &'static str) -> Variant<'static> {
        Variant { protocol, text: text.into() }
    }

    #[test]
    fn what_is_no_text_or_for_nobody_is_passed_over() {
        assert!(PROTOCOLS.is_sorted());
        let json =
            r#"{"sqs":"1","default":"d","sqs":"2","http":[{"a":1}],"APNS":"{\"aps\":{}}","other":"x","sms":null}"#;
        let (default, variants) = parse_whole(json).unwrap();
        assert_eq!(default, "d");
        assert!(matches!(default, Cow::Borrowed(_)));
        assert_eq!(variants, [variant("sqs", "2"), variant("APNS", r#"{"aps":{}}"#)]);
        assert_eq!(parse_whole(r#"{"default":""}"#).unwrap().0, "");
        // However deep it is, nothing is called for each level.
        let deep = format!(r#"{{"default":"x","a":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(parse_whole(&deep).unwrap().0, "x");
    }

    #[test]
    fn without_a_default_it_is_refused() {
        for json in [r#"{"sqs":"x"}"#, r#"{"default":{"a":1}}"#, r#"{"default":7}"#, "{}"] {
            let words = "Invalid parameter: Message Structure - No default entry in JSON message body";
            assert_eq!(parse_whole(json).unwrap_err().message, words, "{json}");
        }
        for json in ["", "x", "[]", r#"{"default": "x""#, "\"default\""] {
            let words = "Invalid parameter: Message Structure - JSON message body failed to parse";
            assert_eq!(parse_whole(json).unwrap_err().message, words);
        }
    }
}
