//! Messages of this protocol <-> the container.

use bytes::{Bytes, BytesMut};
use gantry_broker::message::Edit;
use gantry_broker::value::Value;
use gantry_broker::{Essentials, Message, Properties as Neutral, Source};

use crate::codec::table::RawValue;
use smallvec::SmallVec;

use crate::codec::{Properties, RawProperties, RawTable, ShortStr, table};

/// AMQP 0-9-1 as a source of messages: the head is the property flags and values of the content header.
pub struct Amqp091Source;

/// The source, for [`gantry_broker::Sources`].
pub static SOURCE: Amqp091Source = Amqp091Source;

/// The number of this source in stored messages.
const SOURCE_ID: u8 = 1;

impl Source for Amqp091Source {
    fn id(&self) -> u8 {
        SOURCE_ID
    }

    fn properties(&self, head: &[u8]) -> Neutral {
        // They were validated when the message came in; of a damaged head nothing can be said.
        let Ok(properties) = RawProperties::new(head).parse() else { return Neutral::default() };
        let text = |value: Option<ShortStr<'_>>| value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
        Neutral {
            content_type: text(properties.content_type),
            content_encoding: text(properties.content_encoding),
            correlation_id: text(properties.correlation_id),
            reply_to: text(properties.reply_to),
            reply_topic: None,
            message_id: text(properties.message_id),
            kind: text(properties.kind),
            user_id: text(properties.user_id),
            app_id: text(properties.app_id),
            timestamp_s: properties.timestamp,
            headers: properties.headers.and_then(|headers| headers.decode().ok()),
        }
    }

    fn header(&self, head: &[u8], name: &str) -> Option<Value> {
        let headers = RawProperties::new(head).parse().ok()?.headers?;
        match headers.get(name.as_bytes()).ok()?? {
            RawValue::Text(text) => Some(Value::Text(text.into())),
            _ => headers.decode().ok()?.remove(name),
        }
    }

    fn edited(&self, head: &[u8], edit: &Edit<'_>, out: &mut BytesMut) {
        // They were validated when the message came in; a damaged head is left as it is.
        let Ok(properties) = RawProperties::new(head).parse() else { return out.extend_from_slice(head) };
        let headers = properties.headers.and_then(|headers| headers.decode().ok()).unwrap_or_default();
        let goes = |name: &[u8]| {
            let set = edit.set.iter().map(|(name, _)| name);
            edit.remove.iter().chain(set).any(|goes| goes.as_bytes() == name)
        };
        let stays = headers.iter().map(|(name, value)| (name.as_bytes(), value)).filter(|(name, _)| !goes(name));
        let set = edit.set.iter().map(|(name, value)| (name.as_bytes(), value));
        let mut entries: SmallVec<[(&[u8], &Value); 16]> = stays.chain(set).collect();
        // As RabbitMQ does whenever it sets one.
        entries.sort_by_key(|(name, _)| *name);
        let mut contents = BytesMut::with_capacity(EDITED_BYTES_USUAL);
        for (name, value) in &entries {
            if let Err(error) = table::encode_entry(name, value, &mut contents) {
                // Only a value that is set could be at fault, and those are the broker's own.
                tracing::error!(%error, "headers cannot be encoded");
                return out.extend_from_slice(head);
            }
        }
        let headers = (!entries.is_empty()).then(|| RawTable::new(&contents));
        let expiration = if edit.without_ttl { None } else { properties.expiration };
        Properties { headers, expiration, ..properties }.encode(out);
    }
}

/// Headers that the broker has changed are no longer than this, usually.
const EDITED_BYTES_USUAL: usize = 512;

/// `delivery_mode` of a message that survives a restart; everything else is transient.
const PERSISTENT: u8 = 2;

/// Why a message is not taken, as RabbitMQ words it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidExpiration(pub(crate) String);

/// What the broker has to know of a message.
pub(crate) fn essentials(properties: &Properties<'_>) -> Result<Essentials, InvalidExpiration> {
    let ttl_ms = match properties.expiration {
        None => None,
        Some(expiration) => Some(expiration_ms(expiration.as_bytes())?),
    };
    Ok(Essentials {
        durable: properties.delivery_mode == Some(PERSISTENT),
        priority: properties.priority.unwrap_or(0),
        ttl_ms,
        group: None,
        delay_ms: None,
    })
}

/// Milliseconds in decimal digits, no more than RabbitMQ's timers hold.
fn expiration_ms(text: &[u8]) -> Result<u64, InvalidExpiration> {
    let shown = String::from_utf8_lossy(text).into_owned();
    let invalid = |why: String| Err(InvalidExpiration(format!("invalid expiration '{shown}': {why}")));
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        rest => (1, rest),
    };
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    if end == 0 {
        return invalid("no_integer".to_owned());
    }
    let number = std::str::from_utf8(&digits[..end]).ok().and_then(|digits| digits.parse::<i128>().ok());
    let Some(number) = number.map(|number| number * sign) else { return invalid("{value_too_large}".to_owned()) };
    if end < digits.len() {
        return invalid(format!("{{leftover_string,\"{}\"}}", String::from_utf8_lossy(&digits[end..])));
    }
    match u64::try_from(number) {
        Err(_) => invalid(format!("{{value_negative,{number}}}")),
        Ok(ms) if ms > gantry_broker::queue::ARGUMENT_MS_MAX => invalid(format!("{{value_too_large,{ms}}}")),
        Ok(ms) => Ok(ms),
    }
}

/// What a queue has to say about one delivery of a message: headers that are set in the head that is sent.
pub(crate) type Annotations = SmallVec<[(&'static str, Value); 2]>;

/// What an annotation adds to a head at most, in bytes, beside its name: those that there are have numbers.
const ANNOTATION_BYTES_MAX: usize = 16;

/// What annotations add to a head at most, in bytes.
pub(crate) fn annotation_bytes_max(annotations: &Annotations) -> usize {
    annotations.iter().map(|(name, _)| name.len() + ANNOTATION_BYTES_MAX).sum()
}

/// As [`with_head`], with what is said of this delivery only.
pub(crate) fn with_annotated_head<R>(message: &Message, annotations: &Annotations, with: impl FnOnce(&[u8]) -> R) -> R {
    if annotations.is_empty() {
        return with_head(message, with);
    }
    let mut edited = BytesMut::new();
    with_head(message, |head| {
        if append_headers(head, annotations, &mut edited).is_none() {
            edited.clear();
            SOURCE.edited(head, &Edit { set: annotations, ..Edit::default() }, &mut edited);
        }
    });
    with(&edited)
}

/// Appends a head with further headers, without decoding those that there are. None where one of them is there already.
fn append_headers(head: &[u8], annotations: &Annotations, out: &mut BytesMut) -> Option<()> {
    let properties = RawProperties::new(head).parse().ok()?;
    let headers = properties.headers.unwrap_or(RawTable::EMPTY);
    let added_bytes = annotation_bytes_max(annotations);
    let mut contents = BytesMut::with_capacity(headers.as_bytes().len() + added_bytes);
    contents.extend_from_slice(headers.as_bytes());
    for (name, value) in annotations {
        if headers.get(name.as_bytes()) != Ok(None) {
            return None;
        }
        table::encode_entry(name.as_bytes(), value, &mut contents).ok()?;
    }
    out.reserve(head.len() + added_bytes);
    Properties { headers: Some(RawTable::new(&contents)), ..properties }.encode(out);
    Some(())
}

/// Calls `with` with the property flags and values to send a message with: its own, where it came by this protocol.
pub(crate) fn with_head<R>(message: &Message, with: impl FnOnce(&[u8]) -> R) -> R {
    if message.source().id() == SOURCE_ID {
        return with(message.head());
    }
    let neutral = message.properties();
    let essentials = message.essentials();
    fn short(value: &Option<Bytes>) -> Option<ShortStr<'_>> {
        value.as_ref().and_then(|value| ShortStr::new(value))
    }
    let expiration = essentials.ttl_ms.map(|ms| ms.to_string());
    let mut headers = BytesMut::new();
    put_headers(neutral, &mut headers);
    let headers = (!headers.is_empty() || neutral.headers.is_some()).then(|| RawTable::new(&headers));
    let properties = Properties {
        content_type: short(&neutral.content_type),
        content_encoding: short(&neutral.content_encoding),
        headers,
        delivery_mode: Some(if essentials.durable { PERSISTENT } else { 1 }),
        priority: (essentials.priority > 0).then_some(essentials.priority),
        correlation_id: short(&neutral.correlation_id),
        reply_to: short(&neutral.reply_to),
        expiration: expiration.as_deref().and_then(|text| ShortStr::new(text.as_bytes())),
        message_id: short(&neutral.message_id),
        timestamp: neutral.timestamp_s,
        kind: short(&neutral.kind),
        user_id: short(&neutral.user_id),
        app_id: short(&neutral.app_id),
        cluster_id: None,
    };
    let mut head = BytesMut::new();
    properties.encode(&mut head);
    with(&head)
}

/// Longest short string, in bytes.
const SHORT_BYTES_MAX: usize = 255;

/// The headers, and what is too long for the property that it is: that is a header by the name that RabbitMQ's STOMP has for it.
fn put_headers(neutral: &Neutral, out: &mut BytesMut) {
    let texts = [
        ("content-type", &neutral.content_type),
        ("content-encoding", &neutral.content_encoding),
        ("correlation-id", &neutral.correlation_id),
        ("reply-to", &neutral.reply_to),
        ("message-id", &neutral.message_id),
        ("type", &neutral.kind),
        ("user-id", &neutral.user_id),
        ("app-id", &neutral.app_id),
    ];
    for (name, text) in texts {
        if let Some(text) = text
            && text.len() > SHORT_BYTES_MAX
        {
            put_entry(name.as_bytes(), &Value::Text((&**text).into()), out);
        }
    }
    for (name, value) in neutral.headers.iter().flatten() {
        // Of a name that is longer than a table can have one, the beginning.
        let name = name.as_bytes();
        put_entry(&name[..name.len().min(SHORT_BYTES_MAX)], value, out);
    }
}

fn put_entry(name: &[u8], value: &Value, out: &mut BytesMut) {
    let before = out.len();
    if let Err(error) = table::encode_entry(name, value, out) {
        // No source makes values that are nested deeper than any table may be.
        tracing::error!(%error, "a header cannot be encoded");
        out.truncate(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_message_of_another_protocol_is_lost_for_its_length() {
        struct Other;
        impl Source for Other {
            fn id(&self) -> u8 {
                200
            }

            fn properties(&self, _head: &[u8]) -> Neutral {
                let text = |bytes: usize| Some(Bytes::from("x".repeat(bytes)));
                let headers = [("n".repeat(300), Value::from("v")), ("m".to_owned(), Value::I32(1))];
                Neutral {
                    app_id: text(255),
                    correlation_id: text(256),
                    headers: Some(headers.into_iter().collect()),
                    ..Neutral::default()
                }
            }

            fn edited(&self, head: &[u8], _edit: &Edit<'_>, out: &mut BytesMut) {
                out.extend_from_slice(head);
            }
        }
        let address = gantry_broker::Address { exchange: "".into(), routing_key: Bytes::new() };
        let message = Message::new(&Other, address.into(), Essentials::default(), 0, Bytes::new());
        with_head(&message, |head| {
            let found = RawProperties::new(head).validate().unwrap();
            assert_eq!((found.app_id.map(|id| id.as_bytes().len()), found.correlation_id), (Some(255), None));
            let headers = found.headers.unwrap().decode().unwrap();
            let expected: gantry_broker::value::Table = [
                ("correlation-id".to_owned(), Value::from("x".repeat(256))),
                ("n".repeat(255), Value::from("v")),
                ("m".to_owned(), Value::I32(1)),
            ]
            .into_iter()
            .collect();
            assert_eq!(headers, expected);
        });
    }

    #[test]
    fn an_annotation_joins_the_headers_or_takes_the_place_of_one() {
        let annotations: Annotations = smallvec::smallvec![("x-stream-offset", Value::I64(7))];
        let mut plain = gantry_broker::value::Table::new();
        plain.push("a", 1_i64);
        let mut taken = plain.clone();
        taken.push("x-stream-offset", "the client's own");
        for (headers, appended) in [(None, true), (Some(&plain), true), (Some(&taken), false)] {
            let mut contents = BytesMut::new();
            if let Some(headers) = headers {
                table::encode_table(headers, &mut contents).unwrap();
            }
            let properties = Properties {
                headers: headers.map(|_| RawTable::new(&contents)),
                priority: Some(3),
                app_id: ShortStr::new(b"app"),
                ..Properties::default()
            };
            let mut head = BytesMut::new();
            properties.encode(&mut head);
            assert_eq!(append_headers(&head, &annotations, &mut BytesMut::new()).is_some(), appended);
            let address = gantry_broker::Address { exchange: "".into(), routing_key: Bytes::new() };
            let essentials = Essentials::default();
            let message = Message::new(&SOURCE, address.into(), essentials, head.len() as u32, head.freeze());
            let length = with_head(&message, <[u8]>::len);
            with_annotated_head(&message, &annotations, |edited| {
                assert!(edited.len() <= length + 4 + annotation_bytes_max(&annotations));
                let found = RawProperties::new(edited).validate().unwrap();
                assert_eq!((found.priority, found.app_id), (properties.priority, properties.app_id));
                let mut expected = headers.cloned().unwrap_or_default();
                expected.set("x-stream-offset", Value::I64(7));
                assert_eq!(found.headers.unwrap().decode().unwrap(), expected);
            });
            assert_eq!(SOURCE.header(message.head(), "a"), headers.map(|_| Value::I64(1)));
        }
    }

    #[test]
    fn expirations_are_read_and_refused_in_rabbitmqs_words() {
        assert_eq!(expiration_ms(b"0"), Ok(0));
        assert_eq!(expiration_ms(b"60000"), Ok(60_000));
        assert_eq!(expiration_ms(b"4294967296"), Ok(4_294_967_296));
        for (text, why) in [
            ("", "invalid expiration '': no_integer"),
            ("abc", "invalid expiration 'abc': no_integer"),
            ("10x", "invalid expiration '10x': {leftover_string,\"x\"}"),
            ("-1", "invalid expiration '-1': {value_negative,-1}"),
            ("315360000001", "invalid expiration '315360000001': {value_too_large,315360000001}"),
        ] {
            assert_eq!(expiration_ms(text.as_bytes()), Err(InvalidExpiration(why.to_owned())));
        }
        let huge = "9".repeat(255);
        assert!(expiration_ms(huge.as_bytes()).is_err());
    }
}
