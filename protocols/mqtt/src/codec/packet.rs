//! The packets of MQTT 3.1, 3.1.1 and 5.0, as borrowed from the bytes that they came in (chapter 3 of each).
//!
//! One type serves all versions: what a version does not have is empty or absent. A value that is here has been checked as far
//! as the codec can: UTF-8 without U+0000, topic names without wildcards, filters that are well formed, properties that belong
//! into the packet and come once.

use std::borrow::Cow;
use std::num::NonZeroU16;

use smallvec::SmallVec;

use super::reason::{ConnectReturn, Reason};

/// The version of the protocol that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// MQTT 3.1: protocol name `MQIsdp`, level 3.
    V31,
    /// MQTT 3.1.1: protocol name `MQTT`, level 4.
    V311,
    /// MQTT 5.0: protocol name `MQTT`, level 5.
    V5,
}

/// Quality of service (4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum QoS {
    /// At most once.
    #[default]
    AtMostOnce = 0,
    /// At least once.
    AtLeastOnce = 1,
    /// Exactly once.
    ExactlyOnce = 2,
}

/// User properties, in order: the encoded properties, each with its identifier 0x26, as they came or are to go. They are read
/// by [`super::properties`].
pub type UserProperties<'a> = Cow<'a, [u8]>;

/// No properties.
pub const NO_PROPERTIES: UserProperties<'static> = Cow::Borrowed(&[]);

/// Any packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// 3.1
    Connect(Box<Connect<'a>>),
    /// 3.2
    ConnAck(Box<ConnAck<'a>>),
    /// 3.3
    Publish(Publish<'a>),
    /// 3.4
    PubAck(Ack<'a>),
    /// 3.5
    PubRec(Ack<'a>),
    /// 3.6
    PubRel(Ack<'a>),
    /// 3.7
    PubComp(Ack<'a>),
    /// 3.8
    Subscribe(Subscribe<'a>),
    /// 3.9
    SubAck(SubAck<'a>),
    /// 3.10
    Unsubscribe(Unsubscribe<'a>),
    /// 3.11
    UnsubAck(SubAck<'a>),
    /// 3.12
    PingReq,
    /// 3.13
    PingResp,
    /// 3.14
    Disconnect(Disconnect<'a>),
    /// 3.15; only in 5.0.
    Auth(Auth<'a>),
}

/// CONNECT (3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// What the client speaks.
    pub version: Version,
    /// A new session (clean session before 5.0).
    pub clean_start: bool,
    /// In seconds; 0 for none.
    pub keep_alive_s: u16,
    /// May be empty: then the server assigns one.
    pub client_id: &'a str,
    /// What is published when the connection is lost.
    pub will: Option<Will<'a>>,
    /// Any bytes of UTF-8.
    pub user_name: Option<&'a str>,
    /// Any bytes.
    pub password: Option<&'a [u8]>,
    /// 5.0 only.
    pub properties: ConnectProperties<'a>,
}

/// Properties of CONNECT (3.1.2.11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectProperties<'a> {
    /// 0x11, in seconds; absent is 0, 0xFFFFFFFF for ever.
    pub session_expiry_s: Option<u32>,
    /// 0x21: QoS 1 and 2 publishes that the client takes at the same time; absent is 65,535.
    pub receive_max: Option<NonZeroU16>,
    /// 0x27, in bytes; never 0.
    pub packet_bytes_max: Option<u32>,
    /// 0x22: topic aliases that the client takes; absent is 0.
    pub topic_alias_max: Option<u16>,
    /// 0x19
    pub request_response_information: Option<bool>,
    /// 0x17; absent is true.
    pub request_problem_information: Option<bool>,
    /// 0x15
    pub authentication_method: Option<&'a str>,
    /// 0x16; only beside a method.
    pub authentication_data: Option<&'a [u8]>,
    /// 0x26
    pub user_properties: UserProperties<'a>,
}

/// The will in a CONNECT (3.1.2.5, 3.1.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// Of its message.
    pub qos: QoS,
    /// It is retained.
    pub retain: bool,
    /// A topic name.
    pub topic: &'a str,
    /// Any bytes.
    pub payload: &'a [u8],
    /// 0x18, in seconds (5.0).
    pub delay_s: u32,
    /// 0x02, in seconds (5.0).
    pub message_expiry_s: Option<u32>,
    /// The other properties, as in [`Publish::application`].
    pub application: Cow<'a, [u8]>,
}

/// CONNACK (3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// The server has a session of this client.
    pub session_present: bool,
    /// 5.0: the reason.
    pub reason: Reason,
    /// Before 5.0: the return code.
    pub return_code: ConnectReturn,
    /// 5.0 only.
    pub properties: ConnAckProperties<'a>,
}

/// Properties of CONNACK (3.2.2.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnAckProperties<'a> {
    /// 0x11, in seconds, where it is not what the client asked for.
    pub session_expiry_s: Option<u32>,
    /// 0x21
    pub receive_max: Option<NonZeroU16>,
    /// 0x24, where it is less than 2.
    pub qos_max: Option<QoS>,
    /// 0x25; absent is true.
    pub retain_available: Option<bool>,
    /// 0x27, in bytes.
    pub packet_bytes_max: Option<u32>,
    /// 0x12
    pub assigned_client_id: Option<&'a str>,
    /// 0x22
    pub topic_alias_max: Option<u16>,
    /// 0x1F
    pub reason_string: Option<&'a str>,
    /// 0x26
    pub user_properties: UserProperties<'a>,
    /// 0x28; absent is true.
    pub wildcard_available: Option<bool>,
    /// 0x29; absent is true.
    pub subscription_ids_available: Option<bool>,
    /// 0x2A; absent is true.
    pub shared_available: Option<bool>,
    /// 0x13, in seconds.
    pub server_keep_alive_s: Option<u16>,
    /// 0x1A
    pub response_information: Option<&'a str>,
    /// 0x1C
    pub server_reference: Option<&'a str>,
    /// 0x15
    pub authentication_method: Option<&'a str>,
    /// 0x16
    pub authentication_data: Option<&'a [u8]>,
}

/// PUBLISH (3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// It may have been sent before. Never with QoS 0.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// Retain it; on the way out: it was retained.
    pub retain: bool,
    /// Topic name; empty only beside a topic alias.
    pub topic: &'a str,
    /// 0 only with QoS 0.
    pub packet_id: u16,
    /// 0x23
    pub topic_alias: Option<NonZeroU16>,
    /// 0x02, in seconds.
    pub message_expiry_s: Option<u32>,
    /// 0x0B; only from server to client. Each 1 to 268,435,455.
    pub subscription_ids: SmallVec<[u32; 1]>,
    /// All other properties, encoded and in order: payload format, content type, response topic, correlation data, user
    /// properties. This is what a message keeps and a subscriber gets, unchanged.
    pub application: Cow<'a, [u8]>,
    /// Any bytes.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// A message of QoS 0 without anything else.
    pub fn new(topic: &'a str, payload: &'a [u8]) -> Self {
        Self {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic,
            packet_id: 0,
            topic_alias: None,
            message_expiry_s: None,
            subscription_ids: SmallVec::new(),
            application: NO_PROPERTIES,
            payload,
        }
    }
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP (3.4 to 3.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Never 0.
    pub packet_id: u16,
    /// [`Reason::SUCCESS`] before 5.0.
    pub reason: Reason,
    /// 0x1F
    pub reason_string: Option<&'a str>,
    /// 0x26
    pub user_properties: UserProperties<'a>,
}

impl Ack<'_> {
    /// Without properties.
    pub const fn new(packet_id: u16, reason: Reason) -> Self {
        Self { packet_id, reason, reason_string: None, user_properties: NO_PROPERTIES }
    }
}

/// SUBSCRIBE (3.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Never 0.
    pub packet_id: u16,
    /// 0x0B, 1 to 268,435,455.
    pub subscription_id: Option<u32>,
    /// 0x26
    pub user_properties: UserProperties<'a>,
    /// At least one.
    pub filters: SmallVec<[(Filter<'a>, SubscribeOptions); 1]>,
}

/// A topic filter (4.7), and the group that shares it (4.8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter<'a> {
    /// As it was sent, `$share/group/` included.
    pub whole: &'a str,
    /// The share name, in a shared subscription (5.0, and taken from 3.1.1 clients, too).
    pub group: Option<&'a str>,
    /// The filter itself.
    pub filter: &'a str,
    /// It is not well formed (4.7.1, 4.8.2-1 and 2): the subscription is refused with 0x8F (0x80 before 5.0), the connection
    /// lives on.
    pub is_valid: bool,
}

/// Options of a subscription (3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Highest QoS.
    pub qos: QoS,
    /// What this client publishes does not come back to it. Never in a shared subscription.
    pub no_local: bool,
    /// Messages keep their retain flag.
    pub retain_as_published: bool,
    /// What becomes of retained messages when it subscribes.
    pub retain_handling: RetainHandling,
}

/// Retain handling (3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum RetainHandling {
    /// They are sent.
    #[default]
    Send = 0,
    /// They are sent where the subscription is new.
    SendIfNew = 1,
    /// They are not sent.
    DoNotSend = 2,
}

/// SUBACK or UNSUBACK (3.9, 3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// Of the request.
    pub packet_id: u16,
    /// One for each filter; none in UNSUBACK before 5.0.
    pub reasons: SmallVec<[Reason; 4]>,
    /// 0x1F
    pub reason_string: Option<&'a str>,
    /// 0x26
    pub user_properties: UserProperties<'a>,
}

impl SubAck<'_> {
    /// Without properties.
    pub const fn new(packet_id: u16, reasons: SmallVec<[Reason; 4]>) -> Self {
        Self { packet_id, reasons, reason_string: None, user_properties: NO_PROPERTIES }
    }
}

/// UNSUBSCRIBE (3.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// Never 0.
    pub packet_id: u16,
    /// 0x26
    pub user_properties: UserProperties<'a>,
    /// At least one.
    pub filters: SmallVec<[Filter<'a>; 1]>,
}

/// DISCONNECT (3.14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// [`Reason::NORMAL_DISCONNECTION`] before 5.0.
    pub reason: Reason,
    /// 0x11, in seconds; only from client to server.
    pub session_expiry_s: Option<u32>,
    /// 0x1F
    pub reason_string: Option<&'a str>,
    /// 0x26
    pub user_properties: UserProperties<'a>,
    /// 0x1C; only from server to client.
    pub server_reference: Option<&'a str>,
}

impl Disconnect<'_> {
    /// Without properties.
    pub const fn new(reason: Reason) -> Self {
        Self {
            reason,
            session_expiry_s: None,
            reason_string: None,
            user_properties: NO_PROPERTIES,
            server_reference: None,
        }
    }
}

/// AUTH (3.15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success, continue or re-authenticate.
    pub reason: Reason,
    /// 0x15
    pub method: Option<&'a str>,
    /// 0x16
    pub data: Option<&'a [u8]>,
    /// 0x1F
    pub reason_string: Option<&'a str>,
    /// 0x26
    pub user_properties: UserProperties<'a>,
}
