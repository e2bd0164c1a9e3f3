//! A stored SEND as other protocols see it, and what the broker changes in it.

use bytes::{Bytes, BytesMut};
use gantry_broker::message::Edit;
use gantry_broker::value::{Table, Value};
use gantry_broker::{Properties as Neutral, Source};

use super::head::{Head, put_line};
use super::{SOURCE_ID, names};
use crate::codec::unescape;
use crate::destinations::{Destination, Dialect, rabbitmq};

/// STOMP as a source of messages: the head is flags, who published it, and the header lines of the SEND.
#[derive(Debug)]
pub struct StompSource;

/// The source, for [`gantry_broker::Sources`].
pub static SOURCE: StompSource = StompSource;

/// Headers that are no headers of the application, because the message has a property for them.
fn is_property(name: &[u8]) -> bool {
    let properties = [
        names::CONTENT_TYPE,
        names::CONTENT_ENCODING,
        names::CORRELATION_ID,
        names::REPLY_TO,
        names::MESSAGE_ID,
        names::TIMESTAMP,
        names::TYPE,
        names::USER_ID,
        names::APP_ID,
        names::PERSISTENT,
        names::PRIORITY,
        names::EXPIRATION,
    ];
    properties.iter().any(|property| property.as_bytes() == name)
}

/// The name of a queue, where an address says no more than that somebody waits there for an answer.
fn reply_name(address: &[u8]) -> &[u8] {
    let prefixes = [rabbitmq::REPLY_QUEUE, "/remote-temp-queue/"];
    prefixes.iter().find_map(|prefix| address.strip_prefix(prefix.as_bytes())).unwrap_or(address)
}

/// The key of a topic that an address names. It is the same in both dialects but for wildcards, which no address has.
fn reply_topic(address: &[u8]) -> Option<Bytes> {
    match Destination::parse(Dialect::RabbitMq, str::from_utf8(address).ok()?) {
        Ok(Destination::Topic(key)) => Some(Bytes::copy_from_slice(key.as_bytes())),
        _ => None,
    }
}

impl Source for StompSource {
    fn id(&self) -> u8 {
        SOURCE_ID
    }

    fn properties(&self, head: &[u8]) -> Neutral {
        // It was made here; of a damaged one nothing can be said.
        let Some(head) = Head::read(head) else { return Neutral::default() };
        let mut neutral = Neutral::default();
        let mut headers = Table::new();
        for line in head.headers().lines() {
            let value = unescape(line.value);
            let bytes = || Some(Bytes::copy_from_slice(&value));
            match str::from_utf8(line.name).unwrap_or_default() {
                names::CONTENT_TYPE => neutral.content_type = bytes(),
                names::CONTENT_ENCODING => neutral.content_encoding = bytes(),
                names::CORRELATION_ID => neutral.correlation_id = bytes(),
                names::REPLY_TO => {
                    neutral.reply_to = Some(Bytes::copy_from_slice(reply_name(&value)));
                    neutral.reply_topic = reply_topic(&value);
                }
                names::MESSAGE_ID => neutral.message_id = bytes(),
                names::TYPE => neutral.kind = bytes(),
                names::USER_ID => neutral.user_id = bytes(),
                names::APP_ID => neutral.app_id = bytes(),
                names::TIMESTAMP => {
                    let number = str::from_utf8(&value).ok().and_then(|text| text.trim().parse::<u64>().ok());
                    neutral.timestamp_s = number.map(|number| if head.is_activemq() { number / 1000 } else { number });
                }
                _ if is_property(line.name) => {}
                _ => headers.push(&*unescape(line.name), Value::Text((*value).into())),
            }
        }
        for (name, value) in head.headers_set().iter() {
            headers.set(name.clone(), value.clone());
        }
        neutral.headers = Some(headers).filter(|headers| !headers.is_empty());
        neutral
    }

    fn publisher(&self, head: &[u8]) -> Option<u64> {
        Head::read(head).map(|head| head.connection)
    }

    fn header(&self, head: &[u8], name: &str) -> Option<Value> {
        let head = Head::read(head)?;
        if !head.set.is_empty()
            && let Some(value) = head.headers_set().remove(name)
        {
            return Some(value);
        }
        if is_property(name.as_bytes()) {
            return None;
        }
        head.headers().get_bytes(name).map(|value| Value::Text((*value).into()))
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
        Head { set: &set, ..head }.put_fixed(out);
        for line in head.headers().lines() {
            let name = unescape(line.name);
            let goes =
                edit.remove.iter().chain(edit.set.iter().map(|(name, _)| name)).any(|goes| *goes.as_bytes() == *name)
                    || edit.without_ttl
                        && (*name == *names::EXPIRATION.as_bytes() || *name == *names::EXPIRES.as_bytes());
            if !goes {
                put_line(line.name, line.value, out);
            }
        }
    }
}
