//! Packets to bytes.
//!
//! Encoding does not fail. What is too long for its length field (a string or binary data beyond 65,535 bytes) loses its end.
//! A packet must not be longer than [`PACKET_BYTES_MAX`](super::PACKET_BYTES_MAX), nor than what the peer takes: whoever sends a
//! payload or texts of others asks [`publish_bytes`] or [`encoded_bytes`] first.

use bytes::{BufMut, BytesMut};

use super::header::Kind;
use super::packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, Publish, QoS, SubAck, Subscribe, SubscribeOptions, Unsubscribe,
    Version,
};
use super::properties::{Property, property_bytes, put};
use super::reason::Reason;
use super::wire::{Count, Output, VARIABLE_MAX, put_binary, put_text, put_variable, text_bytes, variable_bytes};

/// Writes the packet as this version has it. What the version does not have is left out.
pub fn encode(packet: &Packet<'_>, version: Version, out: &mut BytesMut) {
    match packet {
        Packet::Publish(publish) => {
            encode_publish_head(publish, version, out);
            out.extend_from_slice(publish.payload);
        }
        Packet::PubAck(ack) => encode_ack(Kind::PubAck, ack, version, out),
        Packet::PubRec(ack) => encode_ack(Kind::PubRec, ack, version, out),
        Packet::PubRel(ack) => encode_ack(Kind::PubRel, ack, version, out),
        Packet::PubComp(ack) => encode_ack(Kind::PubComp, ack, version, out),
        Packet::PingReq => out.extend_from_slice(&[Kind::PingReq.first_byte(), 0]),
        Packet::PingResp => out.extend_from_slice(&[Kind::PingResp.first_byte(), 0]),
        _ => {
            let length = body_bytes(packet, version);
            debug_assert!(length <= VARIABLE_MAX as usize);
            out.reserve(5 + length);
            out.put_u8(kind(packet).first_byte());
            put_variable(length as u32, out);
            body(packet, version, out);
        }
    }
}

/// As [`encode`], if the packet has no more than so many bytes; whether it was written.
#[must_use]
pub fn encode_within(packet: &Packet<'_>, version: Version, bytes_max: u32, out: &mut BytesMut) -> bool {
    let fits = encoded_bytes(packet, version) as u64 <= u64::from(bytes_max);
    if fits {
        encode(packet, version, out);
    }
    fits
}

/// Bytes that [`encode`] writes for it.
pub fn encoded_bytes(packet: &Packet<'_>, version: Version) -> usize {
    match packet {
        Packet::Publish(publish) => publish_bytes(publish, version),
        _ => whole_bytes(body_bytes(packet, version)),
    }
}

/// Writes a PUBLISH up to where its payload begins. The payload has to follow; its length is in the head already.
pub fn encode_publish_head(publish: &Publish<'_>, version: Version, out: &mut BytesMut) {
    let properties = publish_properties_bytes(publish, version);
    let head = publish_head_bytes(publish, properties);
    let length = head + publish.payload.len();
    debug_assert!(length <= VARIABLE_MAX as usize);
    out.reserve(5 + head);
    let dup = u8::from(publish.dup && publish.qos > QoS::AtMostOnce);
    out.put_u8((Kind::Publish as u8) << 4 | dup << 3 | (publish.qos as u8) << 1 | u8::from(publish.retain));
    put_variable(length as u32, out);
    put_text(publish.topic, out);
    if publish.qos > QoS::AtMostOnce {
        out.put_u16(publish.packet_id);
    }
    let Some(properties) = properties else { return };
    put_variable(properties as u32, out);
    if properties == 0 {
        return;
    }
    if let Some(alias) = publish.topic_alias {
        put(&Property::TopicAlias(alias), out);
    }
    if let Some(seconds) = publish.message_expiry_s {
        put(&Property::MessageExpiry(seconds), out);
    }
    for &id in &publish.subscription_ids {
        put(&Property::SubscriptionId(id), out);
    }
    out.extend_from_slice(&publish.application);
}

/// Bytes of the whole PUBLISH: what [`encode_publish_head`] writes and the payload.
pub fn publish_bytes(publish: &Publish<'_>, version: Version) -> usize {
    let head = publish_head_bytes(publish, publish_properties_bytes(publish, version));
    whole_bytes(head + publish.payload.len())
}

/// Bytes of the properties of a PUBLISH; `None` where the version has none.
fn publish_properties_bytes(publish: &Publish<'_>, version: Version) -> Option<usize> {
    let ids =
        || publish.subscription_ids.iter().map(|&id| property_bytes(&Property::SubscriptionId(id))).sum::<usize>();
    (version == Version::V5).then(|| {
        let alias = if publish.topic_alias.is_some() { 3 } else { 0 };
        let expiry = if publish.message_expiry_s.is_some() { 5 } else { 0 };
        alias + expiry + ids() + publish.application.len()
    })
}

/// Bytes of a PUBLISH between its fixed header and its payload.
fn publish_head_bytes(publish: &Publish<'_>, properties: Option<usize>) -> usize {
    let id = if publish.qos > QoS::AtMostOnce { 2 } else { 0 };
    let properties = properties.map_or(0, |bytes| variable_bytes(bytes as u32) + bytes);
    2 + text_bytes(publish.topic) + id + properties
}

const fn whole_bytes(body_bytes: usize) -> usize {
    1 + variable_bytes(body_bytes as u32) + body_bytes
}

fn encode_ack(kind: Kind, ack: &Ack<'_>, version: Version, out: &mut BytesMut) {
    let mut length = Count::default();
    ack_body(ack, version, &mut length);
    out.put_u8(kind.first_byte());
    put_variable(length.0 as u32, out);
    ack_body(ack, version, out);
}

fn body_bytes(packet: &Packet<'_>, version: Version) -> usize {
    let mut count = Count::default();
    body(packet, version, &mut count);
    count.0
}

const fn kind(packet: &Packet<'_>) -> Kind {
    match packet {
        Packet::Connect(_) => Kind::Connect,
        Packet::ConnAck(_) => Kind::ConnAck,
        Packet::Publish(_) => Kind::Publish,
        Packet::PubAck(_) => Kind::PubAck,
        Packet::PubRec(_) => Kind::PubRec,
        Packet::PubRel(_) => Kind::PubRel,
        Packet::PubComp(_) => Kind::PubComp,
        Packet::Subscribe(_) => Kind::Subscribe,
        Packet::SubAck(_) => Kind::SubAck,
        Packet::Unsubscribe(_) => Kind::Unsubscribe,
        Packet::UnsubAck(_) => Kind::UnsubAck,
        Packet::PingReq => Kind::PingReq,
        Packet::PingResp => Kind::PingResp,
        Packet::Disconnect(_) => Kind::Disconnect,
        Packet::Auth(_) => Kind::Auth,
    }
}

/// What follows the fixed header. PUBLISH has its own way.
fn body(packet: &Packet<'_>, version: Version, out: &mut impl Output) {
    match packet {
        Packet::Connect(connect) => connect_body(connect, out),
        Packet::ConnAck(connack) => connack_body(connack, version, out),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            ack_body(ack, version, out);
        }
        Packet::Subscribe(subscribe) => subscribe_body(subscribe, version, out),
        Packet::SubAck(suback) => suback_body(suback, version, out),
        Packet::UnsubAck(unsuback) if version == Version::V5 => suback_body(unsuback, version, out),
        Packet::UnsubAck(unsuback) => out.put(&unsuback.packet_id.to_be_bytes()),
        Packet::Unsubscribe(unsubscribe) => unsubscribe_body(unsubscribe, version, out),
        Packet::Disconnect(disconnect) => disconnect_body(disconnect, version, out),
        Packet::Auth(auth) => auth_body(auth, out),
        Packet::Publish(_) | Packet::PingReq | Packet::PingResp => {}
    }
}

/// Length of the properties, and the properties: those that are there, then the encoded ones.
fn section(properties: &[Option<Property<'_>>], encoded: &[u8], out: &mut impl Output) {
    let bytes = properties.iter().flatten().map(property_bytes).sum::<usize>() + encoded.len();
    put_variable(bytes as u32, out);
    for property in properties.iter().flatten() {
        put(property, out);
    }
    out.put(encoded);
}

fn connect_body(connect: &Connect<'_>, out: &mut impl Output) {
    let (name, level) = match connect.version {
        Version::V31 => ("MQIsdp", 3),
        Version::V311 => ("MQTT", 4),
        Version::V5 => ("MQTT", 5),
    };
    put_text(name, out);
    let will = connect.will.as_ref();
    let flags = u8::from(connect.clean_start) << 1
        | will.map_or(0, |will| 0x04 | (will.qos as u8) << 3 | u8::from(will.retain) << 5)
        | u8::from(connect.password.is_some()) << 6
        | u8::from(connect.user_name.is_some()) << 7;
    out.put(&[level, flags]);
    out.put(&connect.keep_alive_s.to_be_bytes());
    if connect.version == Version::V5 {
        let p = &connect.properties;
        let list = [
            p.session_expiry_s.map(Property::SessionExpiry),
            p.receive_max.map(Property::ReceiveMax),
            p.packet_bytes_max.map(Property::PacketBytesMax),
            p.topic_alias_max.map(Property::TopicAliasMax),
            p.request_response_information.map(Property::RequestResponseInformation),
            p.request_problem_information.map(Property::RequestProblemInformation),
            p.authentication_method.map(Property::AuthenticationMethod),
            p.authentication_data.map(Property::AuthenticationData),
        ];
        section(&list, &p.user_properties, out);
    }
    put_text(connect.client_id, out);
    if let Some(will) = will {
        if connect.version == Version::V5 {
            let delay = (will.delay_s > 0).then_some(Property::WillDelay(will.delay_s));
            section(&[delay, will.message_expiry_s.map(Property::MessageExpiry)], &will.application, out);
        }
        put_text(will.topic, out);
        put_binary(will.payload, out);
    }
    if let Some(user_name) = connect.user_name {
        put_text(user_name, out);
    }
    if let Some(password) = connect.password {
        put_binary(password, out);
    }
}

fn connack_body(connack: &ConnAck<'_>, version: Version, out: &mut impl Output) {
    let session_present = u8::from(connack.session_present);
    match version {
        // The byte has no meaning in 3.1, where clients know nothing of it.
        Version::V31 => return out.put(&[0, connack.return_code as u8]),
        Version::V311 => return out.put(&[session_present, connack.return_code as u8]),
        Version::V5 => out.put(&[session_present, connack.reason.0]),
    }
    let p = &connack.properties;
    let list = [
        p.session_expiry_s.map(Property::SessionExpiry),
        p.receive_max.map(Property::ReceiveMax),
        p.qos_max.map(Property::QosMax),
        p.retain_available.map(Property::RetainAvailable),
        p.packet_bytes_max.map(Property::PacketBytesMax),
        p.assigned_client_id.map(Property::AssignedClientId),
        p.topic_alias_max.map(Property::TopicAliasMax),
        p.reason_string.map(Property::ReasonString),
        p.wildcard_available.map(Property::WildcardAvailable),
        p.subscription_ids_available.map(Property::SubscriptionIdsAvailable),
        p.shared_available.map(Property::SharedAvailable),
        p.server_keep_alive_s.map(Property::ServerKeepAlive),
        p.response_information.map(Property::ResponseInformation),
        p.server_reference.map(Property::ServerReference),
        p.authentication_method.map(Property::AuthenticationMethod),
        p.authentication_data.map(Property::AuthenticationData),
    ];
    section(&list, &p.user_properties, out);
}

fn ack_body(ack: &Ack<'_>, version: Version, out: &mut impl Output) {
    out.put(&ack.packet_id.to_be_bytes());
    let has_properties = ack.reason_string.is_some() || !ack.user_properties.is_empty();
    if version != Version::V5 || (ack.reason == Reason::SUCCESS && !has_properties) {
        return;
    }
    out.put(&[ack.reason.0]);
    if has_properties {
        section(&[ack.reason_string.map(Property::ReasonString)], &ack.user_properties, out);
    }
}

fn options_byte(options: SubscribeOptions, version: Version) -> u8 {
    let qos = options.qos as u8;
    if version != Version::V5 {
        return qos;
    }
    let (no_local, as_published) = (u8::from(options.no_local), u8::from(options.retain_as_published));
    qos | no_local << 2 | as_published << 3 | (options.retain_handling as u8) << 4
}

fn subscribe_body(subscribe: &Subscribe<'_>, version: Version, out: &mut impl Output) {
    out.put(&subscribe.packet_id.to_be_bytes());
    if version == Version::V5 {
        section(&[subscribe.subscription_id.map(Property::SubscriptionId)], &subscribe.user_properties, out);
    }
    for (filter, options) in &subscribe.filters {
        put_text(filter.whole, out);
        out.put(&[options_byte(*options, version)]);
    }
}

fn suback_body(suback: &SubAck<'_>, version: Version, out: &mut impl Output) {
    out.put(&suback.packet_id.to_be_bytes());
    if version == Version::V5 {
        section(&[suback.reason_string.map(Property::ReasonString)], &suback.user_properties, out);
    }
    for reason in &suback.reasons {
        // Before 5.0 there is one code for all that goes wrong.
        let before_5 = if reason.is_error() { Reason::UNSPECIFIED_ERROR } else { *reason };
        out.put(&[if version == Version::V5 { reason.0 } else { before_5.0 }]);
    }
}

fn unsubscribe_body(unsubscribe: &Unsubscribe<'_>, version: Version, out: &mut impl Output) {
    out.put(&unsubscribe.packet_id.to_be_bytes());
    if version == Version::V5 {
        section(&[], &unsubscribe.user_properties, out);
    }
    for filter in &unsubscribe.filters {
        put_text(filter.whole, out);
    }
}

fn disconnect_body(disconnect: &Disconnect<'_>, version: Version, out: &mut impl Output) {
    let list = [
        disconnect.session_expiry_s.map(Property::SessionExpiry),
        disconnect.reason_string.map(Property::ReasonString),
        disconnect.server_reference.map(Property::ServerReference),
    ];
    let has_properties = list.iter().any(Option::is_some) || !disconnect.user_properties.is_empty();
    if version != Version::V5 || (disconnect.reason == Reason::NORMAL_DISCONNECTION && !has_properties) {
        return;
    }
    out.put(&[disconnect.reason.0]);
    if has_properties {
        section(&list, &disconnect.user_properties, out);
    }
}

fn auth_body(auth: &Auth<'_>, out: &mut impl Output) {
    let list = [
        auth.method.map(Property::AuthenticationMethod),
        auth.data.map(Property::AuthenticationData),
        auth.reason_string.map(Property::ReasonString),
    ];
    let has_properties = list.iter().any(Option::is_some) || !auth.user_properties.is_empty();
    if auth.reason == Reason::SUCCESS && !has_properties {
        return;
    }
    out.put(&[auth.reason.0]);
    section(&list, &auth.user_properties, out);
}
