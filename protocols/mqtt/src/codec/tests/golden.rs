//! Packets byte for byte, written by hand from the specification: what is read and written alike could be wrong alike.

use std::num::NonZeroU16;

use bytes::BytesMut;
use smallvec::smallvec;

use super::samples::encoded;
use super::{MAX, from_client};
use crate::codec::packet::*;
use crate::codec::properties::Property;
use crate::codec::reason::{ConnectReturn, Reason};
use crate::codec::*;
use Version::{V5, V31, V311};

#[track_caller]
fn written(packet: Packet<'_>, version: Version, expected: &[u8]) {
    let mut out = BytesMut::new();
    encode(&packet, version, &mut out);
    assert_eq!(out[..], *expected, "{packet:?}");
}

/// [MQTT-3.1.2-16] to [MQTT-3.1.2-19], [MQTT-3.1.3-1], [MQTT-3.1.3-3]: the fields of CONNECT are in this order, and only those
/// that a flag announces.
#[test]
fn connect_has_its_fields_in_order() {
    let bytes = b"\x10\x31\0\x04MQTT\x05\xf6\0\x3c\
        \x05\x11\0\0\0\x05\
        \0\x02me\
        \x09\x18\0\0\0\x02\x03\0\x01t\
        \0\x04last\0\x05words\
        \0\x01u\0\x01p";
    let (connect, taken) = decode_connect(bytes, MAX).unwrap().unwrap();
    assert_eq!(taken, bytes.len());
    let will = Will {
        qos: QoS::ExactlyOnce,
        retain: true,
        topic: "last",
        payload: b"words",
        delay_s: 2,
        message_expiry_s: None,
        application: encoded(&[Property::ContentType("t")]),
    };
    let properties = ConnectProperties { session_expiry_s: Some(5), ..Default::default() };
    let expected = Connect {
        version: V5,
        clean_start: true,
        keep_alive_s: 60,
        client_id: "me",
        will: Some(will),
        user_name: Some("u"),
        password: Some(b"p"),
        properties,
    };
    assert_eq!(connect, expected);
    written(Packet::Connect(Box::new(expected)), V5, bytes);

    let bytes = b"\x10\x10\0\x06MQIsdp\x03\x00\0\x0a\0\x02me";
    let (connect, _) = decode_connect(bytes, MAX).unwrap().unwrap();
    assert_eq!((connect.version, connect.clean_start, connect.keep_alive_s), (V31, false, 10));
    assert_eq!((connect.user_name, connect.password, &connect.will), (None, None, &None));
    written(Packet::Connect(Box::new(connect)), V31, bytes);
}

/// [MQTT-2.2.2-1]
#[test]
fn no_properties_are_a_length_of_zero() {
    let (reason, return_code) = (Reason::SUCCESS, ConnectReturn::Accepted);
    let connack = ConnAck { session_present: true, reason, return_code, properties: Default::default() };
    written(Packet::ConnAck(Box::new(connack.clone())), V5, b"\x20\x03\x01\0\0");
    written(Packet::ConnAck(Box::new(connack.clone())), V311, b"\x20\x02\x01\0");
    written(Packet::ConnAck(Box::new(connack)), V31, b"\x20\x02\0\0");
    written(Packet::Publish(Publish::new("a", b"x")), V5, b"\x30\x05\0\x01a\0x");
    written(Packet::SubAck(SubAck::new(5, smallvec![Reason(2), Reason(0x87)])), V5, b"\x90\x05\0\x05\0\x02\x87");
    written(Packet::SubAck(SubAck::new(5, smallvec![Reason(2), Reason(0x87)])), V311, b"\x90\x04\0\x05\x02\x80");
    written(Packet::UnsubAck(SubAck::new(5, smallvec![Reason(0x11)])), V5, b"\xB0\x04\0\x05\0\x11");
    written(Packet::UnsubAck(SubAck::new(5, smallvec![Reason(0x11)])), V311, b"\xB0\x02\0\x05");
}

/// [MQTT-2.2.1-2], [MQTT-3.3.1-2], [MQTT-4.3.1-1]
#[test]
fn publish_of_qos_0_has_neither_packet_identifier_nor_dup() {
    let publish = Publish { dup: true, packet_id: 7, retain: true, ..Publish::new("a", b"x") };
    written(Packet::Publish(publish), V311, b"\x31\x04\0\x01ax");
    let bytes = b"\x30\x06\0\x01a\0\x01x";
    let Ok(Some((Packet::Publish(publish), _))) = from_client(bytes, V311) else { panic!() };
    assert_eq!((publish.packet_id, publish.payload), (0, &b"\0\x01x"[..]));
}

#[test]
fn publish_has_its_fields_in_order() {
    let publish = Publish {
        dup: true,
        qos: QoS::ExactlyOnce,
        retain: true,
        packet_id: 0x0102,
        topic_alias: NonZeroU16::new(3),
        message_expiry_s: Some(4),
        subscription_ids: smallvec![5, 200],
        application: encoded(&[Property::PayloadFormat(true), Property::User("k", "v")]),
        ..Publish::new("t", b"x")
    };
    let bytes = b"\x3D\x1D\0\x01t\x01\x02\x16\x23\0\x03\x02\0\0\0\x04\x0B\x05\x0B\xC8\x01\x01\x01\x26\0\x01k\0\x01vx";
    written(Packet::Publish(publish), V5, bytes);
}

/// The properties are left out where they can be.
#[test]
fn acknowledgements_are_as_short_as_they_can_be() {
    for version in [V31, V311, V5] {
        written(Packet::PubAck(Ack::new(7, Reason::SUCCESS)), version, b"\x40\x02\0\x07");
        written(Packet::PubRec(Ack::new(7, Reason::SUCCESS)), version, b"\x50\x02\0\x07");
        written(Packet::PubRel(Ack::new(7, Reason::SUCCESS)), version, b"\x62\x02\0\x07");
        written(Packet::PubComp(Ack::new(7, Reason::SUCCESS)), version, b"\x70\x02\0\x07");
        written(Packet::PingReq, version, b"\xC0\0");
        written(Packet::PingResp, version, b"\xD0\0");
        written(Packet::Disconnect(Disconnect::new(Reason::NORMAL_DISCONNECTION)), version, b"\xE0\0");
    }
    let unknown = Ack::new(7, Reason::PACKET_IDENTIFIER_NOT_FOUND);
    written(Packet::PubComp(unknown.clone()), V5, b"\x70\x03\0\x07\x92");
    written(Packet::PubComp(unknown), V311, b"\x70\x02\0\x07");
    let told = Ack { reason_string: Some("no"), ..Ack::new(7, Reason::QUOTA_EXCEEDED) };
    written(Packet::PubAck(told), V5, b"\x40\x09\0\x07\x97\x05\x1F\0\x02no");
    written(Packet::Disconnect(Disconnect::new(Reason::SESSION_TAKEN_OVER)), V5, b"\xE0\x01\x8E");
}

#[test]
fn subscribe_and_unsubscribe_have_their_fields_in_order() {
    let options = SubscribeOptions {
        qos: QoS::AtLeastOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::SendIfNew,
    };
    let subscribe = Subscribe {
        packet_id: 9,
        subscription_id: Some(300),
        user_properties: NO_PROPERTIES,
        filters: smallvec![(Filter::new("a/#"), options), (Filter::new("b"), SubscribeOptions::default())],
    };
    written(Packet::Subscribe(subscribe.clone()), V5, b"\x82\x10\0\x09\x03\x0B\xAC\x02\0\x03a/#\x1D\0\x01b\0");
    written(Packet::Subscribe(subscribe), V311, b"\x82\x0C\0\x09\0\x03a/#\x01\0\x01b\0");
    let filters = smallvec![Filter::new("a/#"), Filter::new("b")];
    let unsubscribe = Unsubscribe { packet_id: 9, user_properties: NO_PROPERTIES, filters };
    written(Packet::Unsubscribe(unsubscribe.clone()), V5, b"\xA2\x0B\0\x09\0\0\x03a/#\0\x01b");
    written(Packet::Unsubscribe(unsubscribe), V311, b"\xA2\x0A\0\x09\0\x03a/#\0\x01b");
}

/// [MQTT-1.5.5-1], and the bounds of 2.1.4.
#[test]
fn lengths_take_the_fewest_bytes() {
    for (payload, length) in [
        (127 - 3, &b"\x7F"[..]),
        (128 - 3, b"\x80\x01"),
        (16_383 - 3, b"\xFF\x7F"),
        (16_384 - 3, b"\x80\x80\x01"),
        (2_097_151 - 3, b"\xFF\xFF\x7F"),
        (2_097_152 - 3, b"\x80\x80\x80\x01"),
    ] {
        let payload = vec![0; payload];
        let publish = Publish::new("a", &payload);
        let mut out = BytesMut::new();
        encode(&Packet::Publish(publish.clone()), V311, &mut out);
        assert_eq!(out[1..=length.len()], *length);
        assert_eq!(publish_bytes(&publish, V311), out.len());
        let settings = Settings { version: V311, packet_bytes_max: PACKET_BYTES_MAX };
        assert!(decode(&out, settings).is_ok_and(|whole| whole.is_some_and(|(_, taken)| taken == out.len())));
        assert_eq!(decode(&out[..out.len() - 1], settings), Ok(None));
    }
}
