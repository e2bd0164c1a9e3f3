//! CONNECT (3.1) and CONNACK (3.2).

use crate::codec::allowed;
use crate::codec::error::{DecodeError, Result, malformed, protocol_error};
use crate::codec::header::{self, Frame, Kind, Side};
use crate::codec::packet::{ConnAck, ConnAckProperties, Connect, ConnectProperties, NO_PROPERTIES, QoS, Version, Will};
use crate::codec::properties::{Allowed, Property, Section, id, unexpected};
use crate::codec::reason::{ConnectReturn, Reason};
use crate::codec::topic::is_topic_name;
use crate::codec::wire::Reader;

const CONNECT: Allowed = Allowed::new(&[
    id::SESSION_EXPIRY,
    id::RECEIVE_MAX,
    id::PACKET_BYTES_MAX,
    id::TOPIC_ALIAS_MAX,
    id::REQUEST_RESPONSE_INFORMATION,
    id::REQUEST_PROBLEM_INFORMATION,
    id::AUTHENTICATION_METHOD,
    id::AUTHENTICATION_DATA,
    id::USER,
]);

const WILL: Allowed = Allowed::new(&[
    id::PAYLOAD_FORMAT,
    id::MESSAGE_EXPIRY,
    id::CONTENT_TYPE,
    id::RESPONSE_TOPIC,
    id::CORRELATION_DATA,
    id::WILL_DELAY,
    id::USER,
]);

const CONNACK: Allowed = Allowed::new(&[
    id::SESSION_EXPIRY,
    id::ASSIGNED_CLIENT_ID,
    id::SERVER_KEEP_ALIVE,
    id::AUTHENTICATION_METHOD,
    id::AUTHENTICATION_DATA,
    id::RESPONSE_INFORMATION,
    id::SERVER_REFERENCE,
    id::REASON_STRING,
    id::RECEIVE_MAX,
    id::TOPIC_ALIAS_MAX,
    id::QOS_MAX,
    id::RETAIN_AVAILABLE,
    id::USER,
    id::PACKET_BYTES_MAX,
    id::WILDCARD_AVAILABLE,
    id::SUBSCRIPTION_IDS_AVAILABLE,
    id::SHARED_AVAILABLE,
]);

/// The connect flags (3.1.2.3).
mod flags {
    pub(super) const RESERVED: u8 = 0x01;
    pub(super) const CLEAN_START: u8 = 0x02;
    pub(super) const WILL: u8 = 0x04;
    pub(super) const WILL_QOS: u8 = 0x18;
    pub(super) const WILL_RETAIN: u8 = 0x20;
    pub(super) const PASSWORD: u8 = 0x40;
    pub(super) const USER_NAME: u8 = 0x80;
}

pub(super) fn connect<'a>(frame: &Frame<'a>) -> Result<Connect<'a>> {
    let mut reader = Reader::new(frame.body);
    let version = version(&mut reader)?;
    let connect = header::check_connect(frame, version).and_then(|()| rest(reader, version));
    connect.map_err(|error| DecodeError { version: Some(version), ..error })
}

/// Protocol name and level (3.1.2.1, 3.1.2.2).
fn version(reader: &mut Reader<'_>) -> Result<Version> {
    const UNSUPPORTED: DecodeError =
        DecodeError::new(Reason::UNSUPPORTED_PROTOCOL_VERSION, "this version of the protocol is not supported");
    let name = reader.binary()?;
    if name != b"MQTT" && name != b"MQIsdp" {
        return Err(DecodeError::new(Reason::UNSUPPORTED_PROTOCOL_VERSION, "the protocol is not MQTT"));
    }
    match (name, reader.byte()?) {
        (b"MQIsdp", 3) => Ok(Version::V31),
        (b"MQTT", 4) => Ok(Version::V311),
        (b"MQTT", 5) => Ok(Version::V5),
        // Bridges set the highest bit of a version that they speak.
        (b"MQTT", level) if level & 0x7F > 4 => Err(DecodeError { version: Some(Version::V5), ..UNSUPPORTED }),
        _ => Err(DecodeError { version: Some(Version::V311), ..UNSUPPORTED }),
    }
}

/// The version that an unfinished CONNECT names, if it is supported and there already.
pub(super) fn peek_version(input: &[u8]) -> Option<Version> {
    if input.first()? >> 4 != Kind::Connect as u8 {
        return None;
    }
    let header_bytes = 2 + input.get(1..)?.iter().take(3).take_while(|&&byte| byte >= 0x80).count();
    version(&mut Reader::new(input.get(header_bytes..)?)).ok()
}

/// All that follows the level.
fn rest(mut reader: Reader<'_>, version: Version) -> Result<Connect<'_>> {
    let flags = reader.byte()?;
    check_flags(flags, version)?;
    let keep_alive_s = reader.u16()?;
    let properties = if version == Version::V5 { properties(&mut reader)? } else { ConnectProperties::default() };
    let clean_start = flags & flags::CLEAN_START != 0;
    let client_id = reader.text()?;
    if client_id.is_empty() && !clean_start && version != Version::V5 {
        // There is no session to resume without a name [MQTT-3.1.3-8 of 3.1.1].
        return Err(DecodeError::new(
            Reason::CLIENT_IDENTIFIER_NOT_VALID,
            "no client identifier, but no clean session",
        ));
    }
    let will = if flags & flags::WILL != 0 { Some(will(&mut reader, flags, version)?) } else { None };
    // In 3.1 the remaining length takes precedence over these flags (3.1, 3.1).
    let has = |flag: u8, reader: Reader<'_>| flags & flag != 0 && !(version == Version::V31 && reader.is_empty());
    let user_name = if has(flags::USER_NAME, reader) { Some(reader.text()?) } else { None };
    let password = if has(flags::PASSWORD, reader) { Some(reader.binary()?) } else { None };
    reader.end()?;
    Ok(Connect { version, clean_start, keep_alive_s, client_id, will, user_name, password, properties })
}

fn check_flags(flags: u8, version: Version) -> Result<()> {
    let has = |flag: u8| flags & flag != 0;
    if has(flags::PASSWORD) && !has(flags::USER_NAME) && version != Version::V5 {
        return protocol_error("a password without a user name before MQTT 5.0");
    }
    if has(flags::WILL) && flags & flags::WILL_QOS == flags::WILL_QOS {
        return malformed("a will of QoS 3");
    }
    // 3.1 says that the bit has no meaning, and that QoS and retain have none without a will.
    if version == Version::V31 {
        return Ok(());
    }
    if has(flags::RESERVED) {
        return malformed("the reserved connect flag is set");
    }
    if !has(flags::WILL) && has(flags::WILL_QOS | flags::WILL_RETAIN) {
        return malformed("QoS or retain of a will without a will");
    }
    Ok(())
}

fn properties<'a>(reader: &mut Reader<'a>) -> Result<ConnectProperties<'a>> {
    let mut properties = ConnectProperties::default();
    let mut section = Section::take(reader, CONNECT)?;
    let mut user = section.gather();
    while let Some((property, place)) = section.next()? {
        match property {
            Property::SessionExpiry(seconds) => properties.session_expiry_s = Some(seconds),
            Property::ReceiveMax(max) => properties.receive_max = Some(max),
            Property::PacketBytesMax(bytes) => properties.packet_bytes_max = Some(bytes),
            Property::TopicAliasMax(max) => properties.topic_alias_max = Some(max),
            Property::RequestResponseInformation(yes) => properties.request_response_information = Some(yes),
            Property::RequestProblemInformation(yes) => properties.request_problem_information = Some(yes),
            Property::AuthenticationMethod(method) => properties.authentication_method = Some(method),
            Property::AuthenticationData(data) => properties.authentication_data = Some(data),
            Property::User(..) => user.add(place),
            _ => return unexpected(),
        }
    }
    if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
        return protocol_error("authentication data without a method");
    }
    properties.user_properties = user.into_bytes();
    Ok(properties)
}

fn will<'a>(reader: &mut Reader<'a>, flags: u8, version: Version) -> Result<Will<'a>> {
    let qos = match (flags & flags::WILL_QOS) >> 3 {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        2 => QoS::ExactlyOnce,
        _ => return malformed("a will of QoS 3"),
    };
    let retain = flags & flags::WILL_RETAIN != 0;
    let mut will =
        Will { qos, retain, topic: "", payload: &[], delay_s: 0, message_expiry_s: None, application: NO_PROPERTIES };
    if version == Version::V5 {
        let mut section = Section::take(reader, WILL)?;
        let mut application = section.gather();
        while let Some((property, place)) = section.next()? {
            match property {
                Property::WillDelay(seconds) => will.delay_s = seconds,
                Property::MessageExpiry(seconds) => will.message_expiry_s = Some(seconds),
                Property::PayloadFormat(_)
                | Property::ContentType(_)
                | Property::ResponseTopic(_)
                | Property::CorrelationData(_)
                | Property::User(..) => application.add(place),
                _ => return unexpected(),
            }
        }
        will.application = application.into_bytes();
    }
    will.topic = reader.text()?;
    if !is_topic_name(will.topic) {
        return Err(DecodeError::new(
            Reason::TOPIC_NAME_INVALID,
            "the topic of the will is empty or has a wildcard in it",
        ));
    }
    will.payload = reader.binary()?;
    Ok(will)
}

pub(super) fn connack(body: &[u8], version: Version) -> Result<ConnAck<'_>> {
    let mut reader = Reader::new(body);
    let (flags, code) = (reader.byte()?, reader.byte()?);
    // In 3.1 the first byte has no meaning.
    let flags = if version == Version::V31 { 0 } else { flags };
    if flags > 1 {
        return malformed("reserved flags of CONNACK");
    }
    let session_present = flags == 1;
    let (reason, return_code, properties) = if version == Version::V5 {
        let reason = allowed::reason(code, Kind::ConnAck, Side::Server)?;
        (reason, ConnectReturn::from_reason(reason), connack_properties(&mut reader)?)
    } else {
        let Some(return_code) = ConnectReturn::from_byte(code) else {
            return protocol_error("a return code that does not exist");
        };
        (return_code.reason(), return_code, ConnAckProperties::default())
    };
    reader.end()?;
    if session_present && reason != Reason::SUCCESS {
        return protocol_error("a session is present, but the connection is refused");
    }
    Ok(ConnAck { session_present, reason, return_code, properties })
}

fn connack_properties<'a>(reader: &mut Reader<'a>) -> Result<ConnAckProperties<'a>> {
    let mut properties = ConnAckProperties::default();
    let mut section = Section::take(reader, CONNACK)?;
    let mut user = section.gather();
    while let Some((property, place)) = section.next()? {
        match property {
            Property::SessionExpiry(seconds) => properties.session_expiry_s = Some(seconds),
            Property::ReceiveMax(max) => properties.receive_max = Some(max),
            Property::QosMax(qos) => properties.qos_max = Some(qos),
            Property::RetainAvailable(yes) => properties.retain_available = Some(yes),
            Property::PacketBytesMax(bytes) => properties.packet_bytes_max = Some(bytes),
            Property::AssignedClientId(id) => properties.assigned_client_id = Some(id),
            Property::TopicAliasMax(max) => properties.topic_alias_max = Some(max),
            Property::ReasonString(text) => properties.reason_string = Some(text),
            Property::WildcardAvailable(yes) => properties.wildcard_available = Some(yes),
            Property::SubscriptionIdsAvailable(yes) => properties.subscription_ids_available = Some(yes),
            Property::SharedAvailable(yes) => properties.shared_available = Some(yes),
            Property::ServerKeepAlive(seconds) => properties.server_keep_alive_s = Some(seconds),
            Property::ResponseInformation(text) => properties.response_information = Some(text),
            Property::ServerReference(text) => properties.server_reference = Some(text),
            Property::AuthenticationMethod(method) => properties.authentication_method = Some(method),
            Property::AuthenticationData(data) => properties.authentication_data = Some(data),
            Property::User(..) => user.add(place),
            _ => return unexpected(),
        }
    }
    properties.user_properties = user.into_bytes();
    Ok(properties)
}
