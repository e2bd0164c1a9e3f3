//! What must be taken although it looks odd: 3.1 is looser than its successors, and some strange values are legal.

use super::illegal::{connect, packet};
use super::{MAX, from_client, from_server};
use crate::codec::packet::*;
use crate::codec::*;
use Version::{V5, V31, V311};

fn taken(bytes: &[u8], version: Version) -> Packet<'_> {
    match from_client(bytes, version) {
        Ok(Some((packet, taken))) if taken == bytes.len() => packet,
        other => panic!("{bytes:02x?}: {other:?}"),
    }
}

fn connected(bytes: &[u8]) -> Connect<'_> {
    match decode_connect(bytes, MAX) {
        Ok(Some((connect, taken))) if taken == bytes.len() => connect,
        other => panic!("{bytes:02x?}: {other:?}"),
    }
}

fn filter<'a>(packet: &Packet<'a>) -> Filter<'a> {
    match packet {
        Packet::Subscribe(subscribe) => subscribe.filters[0].0,
        Packet::Unsubscribe(unsubscribe) => unsubscribe.filters[0],
        other => panic!("{other:?}"),
    }
}

/// DUP and QoS are set in 3.1's PUBREL, SUBSCRIBE and UNSUBSCRIBE, and flags of other packets have no meaning.
#[test]
fn flags_of_the_fixed_header_are_passed_over_in_3_1() {
    for flags in 0..16 {
        assert!(matches!(taken(&packet(0x60 | flags, b"\0\x01"), V31), Packet::PubRel(_)));
        assert!(matches!(taken(&packet(0x80 | flags, b"\0\x01\0\x01t\x01"), V31), Packet::Subscribe(_)));
        assert!(matches!(taken(&packet(0xA0 | flags, b"\0\x01\0\x01t"), V31), Packet::Unsubscribe(_)));
        assert!(matches!(taken(&packet(0x40 | flags, b"\0\x01"), V31), Packet::PubAck(_)));
        assert_eq!(taken(&packet(0xC0 | flags, b""), V31), Packet::PingReq);
        let mut bytes = connect(b"MQIsdp\x03", 2, b"\0\x01c");
        bytes[0] |= flags;
        assert_eq!(connected(&bytes).version, V31);
    }
}

#[test]
fn dup_without_qos_has_no_meaning_in_3_1() {
    let bytes = packet(0x38, b"\0\x01tx");
    assert_eq!(taken(&bytes, V31), Packet::Publish(Publish::new("t", b"x")));
}

#[test]
fn connect_flags_without_meaning_are_passed_over_in_3_1() {
    assert_eq!(connected(&connect(b"MQIsdp\x03", 0x03, b"\0\x01c")).client_id, "c");
    assert_eq!(connected(&connect(b"MQIsdp\x03", 0x3A, b"\0\x01c")).will, None);
}

/// 3.1 lets the remaining length decide whether user name and password are there.
#[test]
fn announced_credentials_may_be_missing_in_3_1() {
    let bytes = connect(b"MQIsdp\x03", 0xC2, b"\0\x01c");
    let connect_ = connected(&bytes);
    assert_eq!((connect_.user_name, connect_.password), (None, None));
    let bytes = connect(b"MQIsdp\x03", 0xC2, b"\0\x01c\0\x01u");
    let connect_ = connected(&bytes);
    assert_eq!((connect_.user_name, connect_.password), (Some("u"), None));
}

#[test]
fn client_identifiers_longer_than_23_characters_are_taken() {
    let long = [b"\0\x20".as_slice(), &[b'c'; 32]].concat();
    for name in [&b"MQIsdp\x03"[..], b"MQTT\x04"] {
        assert_eq!(connected(&connect(name, 0, &long)).client_id.len(), 32);
    }
}

#[test]
fn a_clean_session_needs_no_client_identifier() {
    for name in [&b"MQIsdp\x03"[..], b"MQTT\x04"] {
        assert_eq!(connected(&connect(name, 2, b"\0\0")).client_id, "");
    }
    for flags in [0, 2] {
        assert_eq!(connected(&connect(b"MQTT\x05", flags, b"\0\0\0")).client_id, "");
    }
}

/// [MQTT-3.1.2-22] is gone in 5.0.
#[test]
fn a_password_may_come_alone_in_5() {
    let bytes = connect(b"MQTT\x05", 0x42, b"\0\0\x01c\0\x01p");
    let connect = connected(&bytes);
    assert_eq!((connect.user_name, connect.password), (None, Some(&b"p"[..])));
}

/// Only 5.0 asks for the fewest bytes.
#[test]
fn a_length_may_take_more_bytes_than_it_needs_before_5() {
    for version in [V31, V311] {
        let bytes = b"\x30\x84\x80\x80\0\0\x01tx";
        assert_eq!(taken(bytes, version), Packet::Publish(Publish::new("t", b"x")));
        assert_eq!(packet_bytes(bytes), Some(bytes.len()));
    }
    assert_eq!(connected(b"\x10\x8C\0\0\x04MQTT\x04\x02\0\x3c\0\0").version, V311);
}

#[test]
fn upper_bits_of_a_subscription_have_no_meaning_in_3_1() {
    let bytes = packet(0x82, b"\0\x01\0\x01t\xfe");
    let Packet::Subscribe(subscribe) = taken(&bytes, V31) else { panic!() };
    assert_eq!(subscribe.filters[0].1, SubscribeOptions { qos: QoS::ExactlyOnce, ..Default::default() });
}

/// [MQTT-1.5.4-3], [MQTT-4.7.3-4]: nothing is taken away or made equal.
#[test]
fn strings_are_kept_as_they_came() {
    let text = "\u{FEFF}A\u{1}\u{FFFF}/é/e\u{301}/ ";
    let body = [&[0, text.len() as u8], text.as_bytes(), b"\0x"].concat();
    let bytes = packet(0x30, &body);
    let Packet::Publish(publish) = taken(&bytes, V5) else { panic!() };
    assert_eq!(publish.topic, text);
}

#[test]
fn topic_names_that_look_odd_are_names() {
    for name in ["/", "//", " ", "$SYS", "$share/g/t", "a/", "é", "*", "a.b"] {
        let body = [&[0, name.len() as u8], name.as_bytes(), b"x"].concat();
        let bytes = packet(0x30, &body);
        assert_eq!(taken(&bytes, V311), Packet::Publish(Publish::new(name, b"x")));
    }
}

/// A filter that is not well formed refuses one subscription and not the packet (4.7.1, 4.8.2).
#[test]
fn filters_say_whether_they_are_well_formed() {
    for (whole, is_valid) in [
        ("a", true),
        ("/", true),
        ("+", true),
        ("#", true),
        ("/#", true),
        ("+/+", true),
        ("/+/#", true),
        ("a/+/b", true),
        (" ", true),
        ("$SYS/#", true),
        ("$share", true),
        ("$shared/#", true),
        ("a#", false),
        ("#a", false),
        ("#/a", false),
        ("a/#/b", false),
        ("a/##", false),
        ("++", false),
        ("a+", false),
        ("+a/b", false),
        ("a/b+/c", false),
        ("+#", false),
        ("$share/g", false),
        ("$share/g/", false),
        ("$share//t", false),
        ("$share/+/t", false),
        ("$share/g#/t", false),
        ("$share/", false),
        ("$share/g/a#", false),
        ("$share/g/#", true),
        ("$share/g//", true),
        ("$share/g/$share/h/t", true),
    ] {
        let encoded = [&[0, whole.len() as u8], whole.as_bytes()].concat();
        for version in [V31, V311, V5] {
            let properties: &[u8] = if version == V5 { b"\0" } else { b"" };
            let subscribe = packet(0x82, &[b"\0\x01", properties, &encoded, b"\0"].concat());
            let unsubscribe = packet(0xA2, &[b"\0\x01", properties, &encoded].concat());
            for bytes in [&subscribe, &unsubscribe] {
                let filter = filter(&taken(bytes, version));
                assert_eq!((filter.whole, filter.is_valid), (whole, is_valid), "{version:?}");
                assert_eq!(filter.is_shared(), whole.starts_with("$share/"));
            }
        }
    }
    let shared = Filter::new("$share/group/a/+/#");
    assert_eq!((shared.group, shared.filter), (Some("group"), "a/+/#"));
}

/// 3.8.3.1: only in a shared subscription it is an error.
#[test]
fn options_of_5_are_read() {
    let bytes = packet(0x82, b"\0\x01\x02\x0b\x07\0\x01t\x2d");
    let Packet::Subscribe(subscribe) = taken(&bytes, V5) else { panic!() };
    assert_eq!(subscribe.subscription_id, Some(7));
    assert_eq!(
        subscribe.filters[0].1,
        SubscribeOptions {
            qos: QoS::AtLeastOnce,
            no_local: true,
            retain_as_published: true,
            retain_handling: RetainHandling::DoNotSend
        }
    );
}

/// The bytes that a message keeps are those that came, whatever is between them.
#[test]
fn properties_of_a_message_are_kept_in_order() {
    use properties::Property;
    let expected = [Property::PayloadFormat(false), Property::User("a", "1"), Property::User("a", "2")];
    let (format, first, second) = (b"\x01\0", b"\x26\0\x01a\0\x011", b"\x26\0\x01a\0\x012");
    let (alias, expiry) = (b"\x23\0\x05", b"\x02\0\0\0\x09");
    let together = [&format[..], first, second].concat();
    for (list, is_borrowed) in [
        ([&alias[..], expiry, format, first, second], true),
        ([&format[..], first, second, alias, expiry], true),
        ([&alias[..], format, first, second, expiry], true),
        ([&format[..], alias, first, expiry, second], false),
        ([&format[..], first, alias, second, expiry], false),
    ] {
        let list = list.concat();
        let bytes = packet(0x30, &[b"\0\x01t", &[list.len() as u8][..], &list, b"x"].concat());
        let Packet::Publish(publish) = taken(&bytes, V5) else { panic!() };
        assert_eq!(publish.application, together);
        assert_eq!(matches!(publish.application, std::borrow::Cow::Borrowed(_)), is_borrowed);
        assert!(properties::application(&publish.application).eq(expected));
        assert_eq!((publish.topic_alias.map(|alias| alias.get()), publish.message_expiry_s), (Some(5), Some(9)));
    }
}

/// Reason and properties may be left out of acknowledgements and DISCONNECT, the properties alone, too.
#[test]
fn short_forms_of_5_are_taken() {
    for bytes in [&b"\x40\x02\0\x01"[..], b"\x40\x03\0\x01\0", b"\x40\x04\0\x01\0\0"] {
        assert_eq!(taken(bytes, V5), Packet::PubAck(Ack::new(1, reason::Reason::SUCCESS)));
    }
    for bytes in [&b"\xE0\0"[..], b"\xE0\x01\0", b"\xE0\x02\0\0"] {
        assert_eq!(taken(bytes, V5), Packet::Disconnect(Disconnect::new(reason::Reason::NORMAL_DISCONNECTION)));
    }
    assert!(matches!(from_server(b"\xF0\0", V5), Ok(Some((Packet::Auth(auth), 2))) if auth.method.is_none()));
}

/// Message expiry 0, an empty reason string, empty user properties, a keep alive of 0 and a will without payload are legal.
#[test]
fn empty_and_zero_values_are_taken() {
    taken(&packet(0x30, b"\0\x01t\x05\x02\0\0\0\0"), V5);
    taken(&packet(0x40, b"\0\x01\0\x03\x1f\0\0"), V5);
    taken(&packet(0x30, b"\0\x01t\x0a\x26\0\0\0\0\x26\0\0\0\0x"), V5);
    connected(&connect(b"MQTT\x05", 6, b"\x03\x22\0\0\0\x01c\0\0\x01t\0\0"));
    connected(&connect(b"MQTT\x05", 2, b"\x05\x11\0\0\0\0\0\x01c"));
}

#[test]
fn filters_of_one_packet_are_bounded() {
    let subscribe = |filters: usize| {
        let mut body = b"\0\x01\0".to_vec();
        body.extend(std::iter::repeat_n(b"\0\x01t\0", filters).flatten());
        let mut bytes = vec![0x82];
        let mut rest = body.len();
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        bytes.extend(body);
        bytes
    };
    assert!(from_client(&subscribe(FILTERS_MAX), V5).is_ok());
    assert_eq!(from_client(&subscribe(FILTERS_MAX + 1), V5).map_err(|error| error.reason.0), Err(0x97));
}

/// What is too long for its field loses its end at a whole character, and the packet can be read.
#[test]
fn texts_that_are_too_long_are_cut() {
    let text = "é".repeat(40_000);
    let mut out = bytes::BytesMut::new();
    let refused = Disconnect { reason_string: Some(&text), ..Disconnect::new(reason::Reason::MALFORMED_PACKET) };
    encode(&Packet::Disconnect(refused), V5, &mut out);
    let Ok(Some((Packet::Disconnect(read), _))) = from_server(&out, V5) else { panic!() };
    assert_eq!(read.reason_string, Some(&text[..65_534]));
    out.clear();
    encode(&Packet::Publish(Publish::new(&text, b"x")), V311, &mut out);
    let Ok(Some((Packet::Publish(read), _))) = from_server(&out, V311) else { panic!() };
    assert_eq!((read.topic, read.payload), (&text[..65_534], &b"x"[..]));
}
