//! Messages of this protocol <-> the container.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gantry_broker::message::Edit;
use gantry_broker::value::{Table, Value};
use gantry_broker::{Address, Essentials, Message, Properties as Neutral, Source};

use crate::codec::packet::{QoS, Version};
use crate::codec::properties::{self, Property};
use crate::topics;

/// MQTT as a source of messages: the head is flags, who published it, and the properties of the PUBLISH that the application
/// made, as they came.
pub struct MqttSource;

/// The source, for [`gantry_broker::Sources`].
pub static SOURCE: MqttSource = MqttSource;

/// The number of this source in stored messages.
const SOURCE_ID: u8 = 3;

/// Flags of a head.
mod flags {
    /// It came by MQTT 5.
    pub(super) const V5: u8 = 1;
    /// Two bits.
    pub(super) const QOS_SHIFT: u8 = 1;
    /// It was published with the retain flag.
    pub(super) const RETAIN: u8 = 1 << 3;
    /// It was retained before its subscriber came.
    pub(super) const RETAINED: u8 = 1 << 4;
    /// The broker has set headers: their length and they come before the properties, as JSON.
    pub(super) const EDITED: u8 = 1 << 5;
    /// It came with the flag that it may have been sent before.
    pub(super) const DUP: u8 = 1 << 6;
}

/// Flags and publisher.
const HEAD_BYTES: usize = 1 + 8;

/// The head of a message of this protocol, read.
#[derive(Clone, Copy, Debug)]
struct Head<'a> {
    flags: u8,
    publisher: u64,
    /// Headers that the broker has set; none is the usual case.
    set: &'a [u8],
    application: &'a [u8],
}

impl<'a> Head<'a> {
    /// None where it is damaged.
    fn read(head: &'a [u8]) -> Option<Self> {
        let (&flags, rest) = head.split_first()?;
        let (publisher, rest) = rest.split_first_chunk::<8>()?;
        let (set, application) = if flags & flags::EDITED == 0 {
            (&[][..], rest)
        } else {
            let (bytes, rest) = rest.split_first_chunk::<4>()?;
            rest.split_at_checked(u32::from_be_bytes(*bytes) as usize)?
        };
        Some(Self { flags, publisher: u64::from_be_bytes(*publisher), set, application })
    }

    fn bytes(&self) -> usize {
        let set = if self.set.is_empty() { 0 } else { 4 + self.set.len() };
        HEAD_BYTES + set + self.application.len()
    }

    fn put(&self, out: &mut BytesMut) {
        let edited = if self.set.is_empty() { 0 } else { flags::EDITED };
        out.extend_from_slice(&[self.flags & !flags::EDITED | edited]);
        out.extend_from_slice(&self.publisher.to_be_bytes());
        if edited != 0 {
            out.extend_from_slice(&(self.set.len() as u32).to_be_bytes());
            out.extend_from_slice(self.set);
        }
        out.extend_from_slice(self.application);
    }

    fn qos(&self) -> QoS {
        match self.flags >> flags::QOS_SHIFT & 3 {
            0 => QoS::AtMostOnce,
            1 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        }
    }

    fn headers_set(&self) -> Table {
        // The broker wrote it; of a damaged one nothing can be said.
        if self.set.is_empty() { Table::new() } else { serde_json::from_slice(self.set).unwrap_or_default() }
    }
}

/// What the broker can be told of in a message that somebody publishes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published<'a> {
    pub(crate) version: Version,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    /// See [`publisher`].
    pub(crate) publisher: u64,
    /// Message expiry interval, in seconds.
    pub(crate) expiry_s: Option<u32>,
    /// [`Publish::application`](crate::codec::packet::Publish::application).
    pub(crate) application: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// Makes the message.
pub(crate) fn message(address: Arc<Address>, published: &Published<'_>) -> Arc<Message> {
    let Published { version, qos, retain, dup, publisher, expiry_s, application, payload } = *published;
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    let flags = flag(version == Version::V5, flags::V5)
        | (qos as u8) << flags::QOS_SHIFT
        | flag(retain, flags::RETAIN)
        | flag(dup, flags::DUP);
    let essentials = Essentials {
        durable: qos > QoS::AtMostOnce,
        priority: 0,
        ttl_ms: expiry_s.map(|seconds| u64::from(seconds) * 1000),
        group: None,
        delay_ms: None,
    };
    with_head(address, essentials, &Head { flags, publisher, set: &[], application }, payload)
}

fn with_head(address: Arc<Address>, essentials: Essentials, head: &Head<'_>, body: &[u8]) -> Arc<Message> {
    let mut data = BytesMut::with_capacity(head.bytes() + body.len());
    head.put(&mut data);
    let head_bytes = data.len() as u32;
    data.extend_from_slice(body);
    Message::new(&SOURCE, address, essentials, head_bytes, data.freeze())
}

/// A retained message for a subscriber that has just come: as it is, and says that it was retained. `left_ms` is the rest of its
/// time to live.
pub(crate) fn as_retained(message: &Message, left_ms: Option<u64>) -> Arc<Message> {
    let outgoing = Outgoing::of(message, Version::V5);
    let flags = flags::V5 | (outgoing.qos as u8) << flags::QOS_SHIFT | flags::RETAIN | flags::RETAINED;
    let head = Head { flags, publisher: outgoing.publisher.unwrap_or(0), set: &[], application: &outgoing.application };
    let essentials = Essentials { ttl_ms: left_ms, ..message.essentials() };
    with_head(Arc::clone(message.address()), essentials, &head, message.body())
}

/// Stands for a client in the messages that it publishes.
pub(crate) fn publisher(vhost: &str, client_id: &str) -> u64 {
    // FNV-1a, because it must be the same after a restart, and in later versions.
    const OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01B3;
    let bytes = vhost.bytes().chain([0]).chain(client_id.bytes());
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// What a message is for a subscriber.
#[derive(Debug)]
pub(crate) struct Outgoing<'m> {
    /// That of the message.
    pub(crate) qos: QoS,
    /// It was published with the retain flag.
    pub(crate) retain: bool,
    /// It was retained before this subscriber came.
    pub(crate) retained: bool,
    /// Who published it, where it came by this protocol.
    pub(crate) publisher: Option<u64>,
    /// The properties of the application. Empty for clients that do not know properties.
    pub(crate) application: Cow<'m, [u8]>,
}

impl<'m> Outgoing<'m> {
    /// For a subscriber that speaks `version`.
    pub(crate) fn of(message: &'m Message, version: Version) -> Self {
        let own = if message.source().id() == SOURCE_ID { Head::read(message.head()) } else { None };
        match own {
            Some(head) => {
                let application = match version {
                    Version::V5 if head.set.is_empty() => Cow::Borrowed(head.application),
                    Version::V5 => Cow::Owned(with_headers(head.application, &head.headers_set())),
                    _ => Cow::default(),
                };
                Self {
                    qos: head.qos(),
                    retain: head.flags & flags::RETAIN != 0,
                    retained: head.flags & flags::RETAINED != 0,
                    publisher: Some(head.publisher),
                    application,
                }
            }
            None => {
                let qos = if message.essentials().durable { QoS::AtLeastOnce } else { QoS::AtMostOnce };
                let application = match version {
                    Version::V5 => Cow::Owned(application_of(message)),
                    _ => Cow::default(),
                };
                Self { qos, retain: false, retained: false, publisher: None, application }
            }
        }
    }
}

/// Properties of an application with headers behind them.
fn with_headers(application: &[u8], headers: &Table) -> Vec<u8> {
    let mut out = application.to_vec();
    for (name, value) in headers.iter() {
        put_user(name.as_bytes(), &value.to_text(), &mut out);
    }
    out
}

/// The properties of a message of another protocol. What has no place of its own is a user property.
fn application_of(message: &Message) -> Vec<u8> {
    let neutral = message.properties();
    let mut out = Vec::new();
    if let Some(content_type) = &neutral.content_type {
        properties::put(&Property::ContentType(&string(content_type)), &mut out);
    }
    let reply_to = neutral.reply_topic.as_ref().or(neutral.reply_to.as_ref());
    if let Some(reply_to) = reply_to.filter(|reply_to| !reply_to.is_empty()) {
        let mut topic = String::new();
        topics::topic_of(reply_to, &mut topic);
        properties::put(&Property::ResponseTopic(&topic), &mut out);
    }
    if let Some(correlation) = &neutral.correlation_id {
        properties::put(&Property::CorrelationData(correlation), &mut out);
    }
    let texts = [
        ("content-encoding", &neutral.content_encoding),
        ("message-id", &neutral.message_id),
        ("type", &neutral.kind),
        ("user-id", &neutral.user_id),
        ("app-id", &neutral.app_id),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            put_user(name.as_bytes(), &string(text), &mut out);
        }
    }
    if let Some(timestamp_s) = neutral.timestamp_s {
        put_user(b"timestamp", &timestamp_s.to_string(), &mut out);
    }
    if message.essentials().priority > 0 {
        put_user(b"priority", &message.essentials().priority.to_string(), &mut out);
    }
    for (name, value) in neutral.headers.iter().flat_map(Table::iter) {
        put_user(name.as_bytes(), &value.to_text(), &mut out);
    }
    out
}

fn put_user(name: &[u8], value: &str, out: &mut Vec<u8>) {
    properties::put(&Property::User(&string(name), &string(value.as_bytes())), out);
}

/// Longest string, in bytes (1.5.4).
const STRING_BYTES_MAX: usize = u16::MAX as usize;

/// Bytes as a string that may be in a packet: UTF-8, without U+0000, and not too long.
fn string(bytes: &[u8]) -> Cow<'_, str> {
    let mut text = String::from_utf8_lossy(bytes);
    if text.contains('\0') {
        text = Cow::Owned(text.replace('\0', "\u{FFFD}"));
    }
    if text.len() > STRING_BYTES_MAX {
        let end = (0..=STRING_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text = Cow::Owned(text[..end].to_owned());
    }
    text
}

/// RabbitMQ's header for the QoS that a message was published with.
const PUBLISH_QOS: &str = "x-mqtt-publish-qos";

/// RabbitMQ's header for the DUP flag that a message was published with.
const PUBLISH_DUP: &str = "x-mqtt-dup";

/// The header that says that the payload is text in UTF-8 (3.3.2.3.2).
const PAYLOAD_FORMAT: &str = "x-mqtt-payload-format-indicator";

impl Source for MqttSource {
    fn id(&self) -> u8 {
        SOURCE_ID
    }

    fn properties(&self, head: &[u8]) -> Neutral {
        // It was made here; of a damaged one nothing can be said.
        let Some(head) = Head::read(head) else { return Neutral::default() };
        let mut neutral = Neutral::default();
        let mut headers = Table::new();
        headers.push(PUBLISH_QOS, Value::I8(head.qos() as i8));
        headers.push(PUBLISH_DUP, head.flags & flags::DUP != 0);
        for property in properties::application(head.application) {
            match property {
                Property::ContentType(text) => neutral.content_type = Some(Bytes::copy_from_slice(text.as_bytes())),
                Property::ResponseTopic(topic) => {
                    neutral.reply_topic = Some(Bytes::copy_from_slice(&topics::key(topic)));
                    neutral.reply_to.clone_from(&neutral.reply_topic);
                }
                Property::CorrelationData(bytes) => neutral.correlation_id = Some(Bytes::copy_from_slice(bytes)),
                Property::PayloadFormat(true) => headers.push(PAYLOAD_FORMAT, Value::U8(1)),
                Property::User(name, value) => headers.push(name, value),
                _ => {}
            }
        }
        for (name, value) in head.headers_set().iter() {
            headers.set(name.clone(), value.clone());
        }
        neutral.headers = Some(headers);
        neutral
    }

    fn header(&self, head: &[u8], name: &str) -> Option<Value> {
        let head = Head::read(head)?;
        if !head.set.is_empty()
            && let Some(value) = head.headers_set().remove(name)
        {
            return Some(value);
        }
        match name {
            PUBLISH_QOS => Some(Value::I8(head.qos() as i8)),
            PUBLISH_DUP => Some(Value::Bool(head.flags & flags::DUP != 0)),
            _ => properties::application(head.application).find_map(|property| match property {
                Property::User(found, value) if found == name => Some(value.into()),
                Property::PayloadFormat(true) if name == PAYLOAD_FORMAT => Some(Value::U8(1)),
                _ => None,
            }),
        }
    }

    fn edited(&self, head: &[u8], edit: &Edit<'_>, out: &mut BytesMut) {
        // It was made here; a damaged one is left as it is.
        let Some(head) = Head::read(head) else { return out.extend_from_slice(head) };
        let mut set = head.headers_set();
        for name in edit.remove {
            set.remove(name);
        }
        for (name, value) in edit.set {
            set.set(*name, value.clone());
        }
        let goes = |name: &str| edit.remove.contains(&name) || edit.set.iter().any(|(set, _)| *set == name);
        let mut left = Vec::new();
        let is_user = |property: &Property<'_>| matches!(property, Property::User(name, _) if goes(name));
        let application = if properties::application(head.application).any(|property| is_user(&property)) {
            properties::application(head.application)
                .filter(|property| !is_user(property))
                .for_each(|property| properties::put(&property, &mut left));
            &left
        } else {
            head.application
        };
        let set = match serde_json::to_vec(&set) {
            Ok(_) if set.is_empty() => Vec::new(),
            Ok(bytes) => bytes,
            Err(error) => {
                // Only a value that is set could be at fault, and those are the broker's own.
                tracing::error!(%error, "headers cannot be encoded");
                return head.put(out);
            }
        };
        Head { set: &set, application, ..head }.put(out);
    }
}

#[cfg(test)]
mod tests;
