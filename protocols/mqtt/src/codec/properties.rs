//! Properties (2.2.2): the values, one by one, and the section of a packet that they are in.

use std::borrow::Cow;
use std::num::NonZeroU16;

use super::error::{DecodeError, Result, malformed, protocol_error};
use super::packet::QoS;
use super::reason::Reason;
use super::topic::is_topic_name;
use super::wire::{Count, Output, Reader, VARIABLE_MAX, put_binary, put_text, put_variable};

/// The identifiers of 2.2.2.2.
#[allow(missing_docs, reason = "each is named as the property that it identifies")]
pub mod id {
    pub const PAYLOAD_FORMAT: u8 = 0x01;
    pub const MESSAGE_EXPIRY: u8 = 0x02;
    pub const CONTENT_TYPE: u8 = 0x03;
    pub const RESPONSE_TOPIC: u8 = 0x08;
    pub const CORRELATION_DATA: u8 = 0x09;
    pub const SUBSCRIPTION_ID: u8 = 0x0B;
    pub const SESSION_EXPIRY: u8 = 0x11;
    pub const ASSIGNED_CLIENT_ID: u8 = 0x12;
    pub const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub const AUTHENTICATION_METHOD: u8 = 0x15;
    pub const AUTHENTICATION_DATA: u8 = 0x16;
    pub const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub const WILL_DELAY: u8 = 0x18;
    pub const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub const RESPONSE_INFORMATION: u8 = 0x1A;
    pub const SERVER_REFERENCE: u8 = 0x1C;
    pub const REASON_STRING: u8 = 0x1F;
    pub const RECEIVE_MAX: u8 = 0x21;
    pub const TOPIC_ALIAS_MAX: u8 = 0x22;
    pub const TOPIC_ALIAS: u8 = 0x23;
    pub const QOS_MAX: u8 = 0x24;
    pub const RETAIN_AVAILABLE: u8 = 0x25;
    pub const USER: u8 = 0x26;
    pub const PACKET_BYTES_MAX: u8 = 0x27;
    pub const WILDCARD_AVAILABLE: u8 = 0x28;
    pub const SUBSCRIPTION_IDS_AVAILABLE: u8 = 0x29;
    pub const SHARED_AVAILABLE: u8 = 0x2A;
}

/// A property, named as in 2.2.2.2. Values that are allowed nowhere cannot be here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property<'a> {
    /// 0x01: the payload is text in UTF-8.
    PayloadFormat(bool),
    /// 0x02, in seconds.
    MessageExpiry(u32),
    /// 0x03
    ContentType(&'a str),
    /// 0x08: a topic name.
    ResponseTopic(&'a str),
    /// 0x09
    CorrelationData(&'a [u8]),
    /// 0x0B, 1 to 268,435,455.
    SubscriptionId(u32),
    /// 0x11, in seconds.
    SessionExpiry(u32),
    /// 0x12
    AssignedClientId(&'a str),
    /// 0x13, in seconds.
    ServerKeepAlive(u16),
    /// 0x15
    AuthenticationMethod(&'a str),
    /// 0x16
    AuthenticationData(&'a [u8]),
    /// 0x17
    RequestProblemInformation(bool),
    /// 0x18, in seconds.
    WillDelay(u32),
    /// 0x19
    RequestResponseInformation(bool),
    /// 0x1A
    ResponseInformation(&'a str),
    /// 0x1C
    ServerReference(&'a str),
    /// 0x1F
    ReasonString(&'a str),
    /// 0x21
    ReceiveMax(NonZeroU16),
    /// 0x22
    TopicAliasMax(u16),
    /// 0x23
    TopicAlias(NonZeroU16),
    /// 0x24: 0 or 1.
    QosMax(QoS),
    /// 0x25
    RetainAvailable(bool),
    /// 0x26: name and value.
    User(&'a str, &'a str),
    /// 0x27, in bytes; not 0.
    PacketBytesMax(u32),
    /// 0x28
    WildcardAvailable(bool),
    /// 0x29
    SubscriptionIdsAvailable(bool),
    /// 0x2A
    SharedAvailable(bool),
}

fn flag(reader: &mut Reader<'_>) -> Result<bool> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => protocol_error("a property that is 0 or 1 has another value"),
    }
}

fn response_topic<'a>(reader: &mut Reader<'a>) -> Result<&'a str> {
    let topic = reader.text()?;
    if is_topic_name(topic) { Ok(topic) } else { protocol_error("the response topic is no topic name") }
}

/// The value of a property whose identifier has been read.
fn value<'a>(id: u8, reader: &mut Reader<'a>) -> Result<Property<'a>> {
    Ok(match id {
        id::PAYLOAD_FORMAT => Property::PayloadFormat(flag(reader)?),
        id::MESSAGE_EXPIRY => Property::MessageExpiry(reader.u32()?),
        id::CONTENT_TYPE => Property::ContentType(reader.text()?),
        id::RESPONSE_TOPIC => Property::ResponseTopic(response_topic(reader)?),
        id::CORRELATION_DATA => Property::CorrelationData(reader.binary()?),
        id::SUBSCRIPTION_ID => match reader.variable()? {
            0 => return protocol_error("subscription identifier 0"),
            id => Property::SubscriptionId(id),
        },
        id::SESSION_EXPIRY => Property::SessionExpiry(reader.u32()?),
        id::ASSIGNED_CLIENT_ID => Property::AssignedClientId(reader.text()?),
        id::SERVER_KEEP_ALIVE => Property::ServerKeepAlive(reader.u16()?),
        id::AUTHENTICATION_METHOD => Property::AuthenticationMethod(reader.text()?),
        id::AUTHENTICATION_DATA => Property::AuthenticationData(reader.binary()?),
        id::REQUEST_PROBLEM_INFORMATION => Property::RequestProblemInformation(flag(reader)?),
        id::WILL_DELAY => Property::WillDelay(reader.u32()?),
        id::REQUEST_RESPONSE_INFORMATION => Property::RequestResponseInformation(flag(reader)?),
        id::RESPONSE_INFORMATION => Property::ResponseInformation(reader.text()?),
        id::SERVER_REFERENCE => Property::ServerReference(reader.text()?),
        id::REASON_STRING => Property::ReasonString(reader.text()?),
        id::RECEIVE_MAX => match NonZeroU16::new(reader.u16()?) {
            Some(max) => Property::ReceiveMax(max),
            None => return protocol_error("receive maximum 0"),
        },
        id::TOPIC_ALIAS_MAX => Property::TopicAliasMax(reader.u16()?),
        id::TOPIC_ALIAS => match NonZeroU16::new(reader.u16()?) {
            Some(alias) => Property::TopicAlias(alias),
            None => return Err(DecodeError::new(Reason::TOPIC_ALIAS_INVALID, "topic alias 0")),
        },
        id::QOS_MAX => match reader.byte()? {
            0 => Property::QosMax(QoS::AtMostOnce),
            1 => Property::QosMax(QoS::AtLeastOnce),
            _ => return protocol_error("maximum QoS is neither 0 nor 1"),
        },
        id::RETAIN_AVAILABLE => Property::RetainAvailable(flag(reader)?),
        id::USER => Property::User(reader.text()?, reader.text()?),
        id::PACKET_BYTES_MAX => match reader.u32()? {
            0 => return protocol_error("maximum packet size 0"),
            bytes => Property::PacketBytesMax(bytes),
        },
        id::WILDCARD_AVAILABLE => Property::WildcardAvailable(flag(reader)?),
        id::SUBSCRIPTION_IDS_AVAILABLE => Property::SubscriptionIdsAvailable(flag(reader)?),
        id::SHARED_AVAILABLE => Property::SharedAvailable(flag(reader)?),
        _ => return malformed("a property that does not exist"),
    })
}

/// Which properties a packet takes, one bit for each identifier.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed(u64);

impl Allowed {
    pub(super) const fn new(ids: &[u8]) -> Self {
        let (mut bits, mut index) = (0, 0);
        while index < ids.len() {
            bits |= 1 << ids[index];
            index += 1;
        }
        Self(bits)
    }

    const fn has(self, id: u32) -> bool {
        id < 64 && self.0 & (1 << id) != 0
    }
}

/// Properties that come any number of times; of the subscription identifier the packet decides.
const REPEATED: Allowed = Allowed::new(&[id::USER, id::SUBSCRIPTION_ID]);

/// The properties of one packet while they are read.
pub(super) struct Section<'a> {
    bytes: &'a [u8],
    reader: Reader<'a>,
    allowed: Allowed,
    seen: u64,
}

impl<'a> Section<'a> {
    /// Takes the length of the properties and the properties off the packet.
    pub(super) fn take(packet: &mut Reader<'a>, allowed: Allowed) -> Result<Self> {
        let length = packet.variable()?;
        let Ok(bytes) = packet.bytes(length as usize) else {
            return malformed("the properties are longer than the packet");
        };
        Ok(Self { bytes, reader: Reader::new(bytes), allowed, seen: 0 })
    }

    fn at(&self) -> usize {
        self.bytes.len() - self.reader.rest().len()
    }

    /// The next property, and from where to where it is.
    pub(super) fn next(&mut self) -> Result<Option<(Property<'a>, Place)>> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let from = self.at();
        let id = self.reader.variable()?;
        if !self.allowed.has(id) {
            return malformed("a property that this packet does not have");
        }
        if self.seen & !REPEATED.0 & (1 << id) != 0 {
            return protocol_error("a property comes twice");
        }
        self.seen |= 1 << id;
        let property = value(id as u8, &mut self.reader)?;
        Ok(Some((property, Place { from, to: self.at() })))
    }

    /// Begins to gather properties of this section as they are encoded.
    pub(super) fn gather(&self) -> Gathered<'a> {
        Gathered { section: self.bytes, run: Place { from: 0, to: 0 }, copied: Vec::new() }
    }
}

/// Where in its section a property is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    from: usize,
    to: usize,
}

/// Encoded properties of a section, in order. They are borrowed as long as nothing is between them.
pub(super) struct Gathered<'a> {
    section: &'a [u8],
    run: Place,
    copied: Vec<u8>,
}

impl<'a> Gathered<'a> {
    pub(super) fn add(&mut self, place: Place) {
        if self.run.to == self.run.from {
            self.run = place;
        } else if self.run.to == place.from && self.copied.is_empty() {
            self.run.to = place.to;
        } else {
            if self.copied.is_empty() {
                self.copied.reserve_exact(self.section.len() - self.run.from);
                self.copied.extend_from_slice(&self.section[self.run.from..self.run.to]);
            }
            self.copied.extend_from_slice(&self.section[place.from..place.to]);
        }
    }

    pub(super) fn into_bytes(self) -> Cow<'a, [u8]> {
        if self.copied.is_empty() {
            Cow::Borrowed(&self.section[self.run.from..self.run.to])
        } else {
            Cow::Owned(self.copied)
        }
    }
}

/// An allowed property that the packet's own code does not know: the two lists disagree.
pub(super) fn unexpected<T>() -> Result<T> {
    malformed("a property that this packet does not have")
}

/// The properties in bytes as [`Publish::application`](super::packet::Publish::application) and
/// [`UserProperties`](super::packet::UserProperties) have them. It ends before the first that cannot be read.
pub fn application(bytes: &[u8]) -> impl Iterator<Item = Property<'_>> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || {
        let id = u8::try_from(reader.variable().ok()?).ok()?;
        value(id, &mut reader).ok()
    })
}

/// Writes a property, its identifier first. What is beyond 65,535 bytes of a string or of binary data is left out.
pub fn put(property: &Property<'_>, out: &mut impl Output) {
    match *property {
        Property::PayloadFormat(is_text) => put_flag(id::PAYLOAD_FORMAT, is_text, out),
        Property::MessageExpiry(seconds) => put_u32(id::MESSAGE_EXPIRY, seconds, out),
        Property::ContentType(text) => put_string(id::CONTENT_TYPE, text, out),
        Property::ResponseTopic(text) => put_string(id::RESPONSE_TOPIC, text, out),
        Property::CorrelationData(bytes) => put_bytes(id::CORRELATION_DATA, bytes, out),
        Property::SubscriptionId(number) => {
            out.put(&[id::SUBSCRIPTION_ID]);
            put_variable(number.clamp(1, VARIABLE_MAX), out);
        }
        Property::SessionExpiry(seconds) => put_u32(id::SESSION_EXPIRY, seconds, out),
        Property::AssignedClientId(text) => put_string(id::ASSIGNED_CLIENT_ID, text, out),
        Property::ServerKeepAlive(seconds) => put_u16(id::SERVER_KEEP_ALIVE, seconds, out),
        Property::AuthenticationMethod(text) => put_string(id::AUTHENTICATION_METHOD, text, out),
        Property::AuthenticationData(bytes) => put_bytes(id::AUTHENTICATION_DATA, bytes, out),
        Property::RequestProblemInformation(yes) => put_flag(id::REQUEST_PROBLEM_INFORMATION, yes, out),
        Property::WillDelay(seconds) => put_u32(id::WILL_DELAY, seconds, out),
        Property::RequestResponseInformation(yes) => put_flag(id::REQUEST_RESPONSE_INFORMATION, yes, out),
        Property::ResponseInformation(text) => put_string(id::RESPONSE_INFORMATION, text, out),
        Property::ServerReference(text) => put_string(id::SERVER_REFERENCE, text, out),
        Property::ReasonString(text) => put_string(id::REASON_STRING, text, out),
        Property::ReceiveMax(max) => put_u16(id::RECEIVE_MAX, max.get(), out),
        Property::TopicAliasMax(max) => put_u16(id::TOPIC_ALIAS_MAX, max, out),
        Property::TopicAlias(alias) => put_u16(id::TOPIC_ALIAS, alias.get(), out),
        // 2 is what its absence says, and must not be sent (3.2.2.3.4).
        Property::QosMax(QoS::ExactlyOnce) => {}
        Property::QosMax(qos) => out.put(&[id::QOS_MAX, qos as u8]),
        Property::RetainAvailable(yes) => put_flag(id::RETAIN_AVAILABLE, yes, out),
        Property::User(name, value) => {
            out.put(&[id::USER]);
            put_text(name, out);
            put_text(value, out);
        }
        Property::PacketBytesMax(bytes) => put_u32(id::PACKET_BYTES_MAX, bytes.max(1), out),
        Property::WildcardAvailable(yes) => put_flag(id::WILDCARD_AVAILABLE, yes, out),
        Property::SubscriptionIdsAvailable(yes) => put_flag(id::SUBSCRIPTION_IDS_AVAILABLE, yes, out),
        Property::SharedAvailable(yes) => put_flag(id::SHARED_AVAILABLE, yes, out),
    }
}

/// Bytes that [`put`] writes for it.
pub fn property_bytes(property: &Property<'_>) -> usize {
    let mut count = Count::default();
    put(property, &mut count);
    count.0
}

fn put_flag(id: u8, value: bool, out: &mut impl Output) {
    out.put(&[id, u8::from(value)]);
}

fn put_u16(id: u8, value: u16, out: &mut impl Output) {
    let [high, low] = value.to_be_bytes();
    out.put(&[id, high, low]);
}

fn put_u32(id: u8, value: u32, out: &mut impl Output) {
    let [a, b, c, d] = value.to_be_bytes();
    out.put(&[id, a, b, c, d]);
}

fn put_string(id: u8, text: &str, out: &mut impl Output) {
    out.put(&[id]);
    put_text(text, out);
}

fn put_bytes(id: u8, bytes: &[u8], out: &mut impl Output) {
    out.put(&[id]);
    put_binary(bytes, out);
}
