//! Packets that must be refused, each with the statement that forbids it and the reason code that says so.

use super::{MAX, from_client, from_server};
use crate::codec::packet::Version;
use crate::codec::*;

/// Who reads the packet, in which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// A server, as the first packet of a connection.
    First,
    /// A server, later.
    Server(Version),
    /// A client.
    Client(Version),
}
use Reader::{Client, First, Server};
use Version::{V5, V31, V311};

/// A packet that must be refused.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) reader: Reader,
    pub(super) bytes: Vec<u8>,
    reason: u8,
}

fn refusal(reader: Reader, bytes: &[u8]) -> Option<DecodeError> {
    match reader {
        First => decode_connect(bytes, MAX).err(),
        Server(version) => from_client(bytes, version).err(),
        Client(version) => from_server(bytes, version).err(),
    }
}

/// A packet around its body.
pub(super) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    assert!(body.len() < 128);
    [&[first, body.len() as u8], body].concat()
}

/// A CONNECT up to the keep alive, and what follows.
pub(super) fn connect(name_and_level: &[u8], flags: u8, rest: &[u8]) -> Vec<u8> {
    packet(0x10, &[&[0, name_and_level.len() as u8 - 1], name_and_level, &[flags, 0, 60], rest].concat())
}

fn case(reason: u8, name: &'static str, reader: Reader, bytes: impl Into<Vec<u8>>) -> Case {
    Case { name, reader, bytes: bytes.into(), reason }
}

/// A CONNECT of 5.0 with these properties, of which the length is written before them.
fn connect_with(properties: &[u8]) -> Vec<u8> {
    connect(b"MQTT\x05", 2, &[&[properties.len() as u8], properties, b"\0\x01c"].concat())
}

/// The same with properties of a will.
fn will_with(properties: &[u8]) -> Vec<u8> {
    connect(b"MQTT\x05", 6, &[&b"\0\0\x01c"[..], &[properties.len() as u8], properties, b"\0\x01t\0\x01p"].concat())
}

/// A PUBLISH of QoS 0 to `t`.
fn publish_with(properties: &[u8]) -> Vec<u8> {
    packet(0x30, &[&b"\0\x01t"[..], &[properties.len() as u8], properties, b"x"].concat())
}

/// A SUBSCRIBE to `t`.
fn subscribe_with(properties: &[u8]) -> Vec<u8> {
    packet(0x82, &[&b"\0\x01"[..], &[properties.len() as u8], properties, b"\0\x01t\0"].concat())
}

fn connack_with(properties: &[u8]) -> Vec<u8> {
    packet(0x20, &[&b"\0\0"[..], &[properties.len() as u8], properties].concat())
}

fn fixed_headers() -> Vec<Case> {
    let m = |name, reader, bytes: &[u8]| case(0x81, name, reader, bytes);
    let p = |name, reader, bytes: &[u8]| case(0x82, name, reader, bytes);
    let mut cases = vec![
        m("packet type 0", Server(V5), b"\x00\0"),
        m("packet type 0 before 5.0", Server(V311), b"\x00\0"),
        m("AUTH before 5.0", Server(V311), b"\xF0\0"),
        m("AUTH in 3.1", Server(V31), b"\xF0\0"),
        m("3.6.1-1 PUBREL without its flags", Server(V5), b"\x60\x02\0\x01"),
        m("3.6.1-1 PUBREL without its flags in 3.1.1", Server(V311), b"\x60\x02\0\x01"),
        m("2.1.3-1 PUBACK with flags", Server(V5), b"\x42\x02\0\x01"),
        m("2.1.3-1 PUBREC with flags", Server(V5), b"\x51\x02\0\x01"),
        m("2.1.3-1 PUBCOMP with flags", Server(V5), b"\x74\x02\0\x01"),
        m("3.8.1-1 SUBSCRIBE without its flags", Server(V5), b"\x80\x07\0\x01\0\0\x01t\0"),
        m("3.8.1-1 SUBSCRIBE without its flags in 3.1.1", Server(V311), b"\x80\x06\0\x01\0\x01t\0"),
        m("3.10.1-1 UNSUBSCRIBE without its flags", Server(V5), b"\xA0\x06\0\x01\0\0\x01t"),
        m("2.1.3-1 PINGREQ with flags", Server(V5), b"\xC1\0"),
        m("3.14.1-1 DISCONNECT with flags", Server(V5), b"\xE2\0"),
        m("3.15.1-1 AUTH with flags", Server(V5), b"\xF1\0"),
        m("3.3.1-4 PUBLISH of QoS 3", Server(V5), b"\x36\x07\0\x01t\0\x01\0x"),
        m("3.3.1-4 PUBLISH of QoS 3 in 3.1.1", Server(V311), b"\x36\x06\0\x01t\0\x01x"),
        m("3.3.1-4 PUBLISH of QoS 3 in 3.1", Server(V31), b"\x36\x06\0\x01t\0\x01x"),
        m("3.3.1-2 DUP with QoS 0", Server(V5), b"\x38\x05\0\x01t\0x"),
        m("3.3.1-2 DUP with QoS 0 in 3.1.1", Server(V311), b"\x38\x04\0\x01tx"),
        m("1.5.5 remaining length of five bytes", Server(V5), b"\x30\x80\x80\x80\x80\x01"),
        m("2.2.3 remaining length of five bytes in 3.1.1", Server(V311), b"\x30\xff\xff\xff\xff\x7f"),
        m("1.5.5-1 remaining length not minimal", Server(V5), b"\xC0\x80\0"),
        m("1.5.5-1 remaining length not minimal, 3 bytes", Server(V5), b"\x30\x85\x80\0\0\x01t\0x"),
        m("PINGREQ with contents", Server(V5), b"\xC0\x01\0"),
        m("PINGREQ with contents in 3.1.1", Server(V311), b"\xC0\x01\0"),
        m("DISCONNECT with contents in 3.1.1", Server(V311), b"\xE0\x01\0"),
        p("3.1.0-2 a second CONNECT", Server(V5), b"\x10\x0D\0\x04MQTT\x05\x02\0\x3c\0\0\0"),
        p("3.1.0-2 a second CONNECT in 3.1.1", Server(V311), b"\x10\x0C\0\x04MQTT\x04\x02\0\x3c\0\0"),
        p("CONNACK of a client", Server(V5), b"\x20\x03\0\0\0"),
        p("CONNACK of a client in 3.1.1", Server(V311), b"\x20\x02\0\0"),
        p("SUBACK of a client", Server(V5), b"\x90\x04\0\x01\0\0"),
        p("UNSUBACK of a client", Server(V5), b"\xB0\x04\0\x01\0\0"),
        p("PINGRESP of a client", Server(V5), b"\xD0\0"),
        p("CONNECT of a server", Client(V5), b"\x10\x0D\0\x04MQTT\x05\x02\0\x3c\0\0\0"),
        p("SUBSCRIBE of a server", Client(V5), b"\x82\x07\0\x01\0\0\x01t\0"),
        p("UNSUBSCRIBE of a server", Client(V5), b"\xA2\x06\0\x01\0\0\x01t"),
        p("PINGREQ of a server", Client(V5), b"\xC0\0"),
        p("DISCONNECT of a server before 5.0", Client(V311), b"\xE0\0"),
        case(0x95, "3.2.2-15 larger than allowed", Server(V5), *b"\x30\xff\xff\xff\x7f"),
        case(0x95, "larger than allowed in 3.1.1", Server(V311), *b"\x30\xff\xff\xff\x7f"),
        case(0x95, "CONNECT larger than allowed", First, *b"\x10\xff\xff\xff\x7f"),
    ];
    for (name, first) in [
        ("3.1.0-1 PUBLISH before CONNECT", 0x30),
        ("3.1.0-1 PINGREQ before CONNECT", 0xC0),
        ("3.1.0-1 CONNACK before CONNECT", 0x20),
        ("3.1.0-1 AUTH before CONNECT", 0xF0),
        ("3.1.0-1 HTTP", b'G'),
        ("3.1.0-1 AMQP", b'A'),
        ("3.1.0-1 packet type 0 first", 0),
    ] {
        cases.push(p(name, First, &[first, 0]));
    }
    cases
}

fn connects() -> Vec<Case> {
    let m = |name, bytes: Vec<u8>| case(0x81, name, First, bytes);
    let p = |name, bytes: Vec<u8>| case(0x82, name, First, bytes);
    let of = |reason, name, bytes: Vec<u8>| case(reason, name, First, bytes);
    vec![
        of(0x84, "3.1.2-1 another protocol", connect(b"AMQP\x04", 2, b"\0\0")),
        of(0x84, "3.1.2-1 name in lower case", connect(b"mqtt\x04", 2, b"\0\0")),
        of(0x84, "3.1.2-1 empty name", connect(b"\x04", 2, b"\0\0")),
        of(0x84, "3.1.2-2 level 6", connect(b"MQTT\x06", 2, b"\0\0\0")),
        of(0x84, "3.1.2-2 level 0", connect(b"MQTT\x00", 2, b"\0\0")),
        of(0x84, "3.1.2-2 MQTT of level 3", connect(b"MQTT\x03", 2, b"\0\0")),
        of(0x84, "3.1.2-2 MQIsdp of level 4", connect(b"MQIsdp\x04", 2, b"\0\0")),
        of(0x84, "3.1.2-2 MQIsdp of level 5", connect(b"MQIsdp\x05", 2, b"\0\0\0")),
        of(0x84, "bridge of 3.1", connect(b"MQIsdp\x83", 2, b"\0\0")),
        of(0x84, "bridge of 3.1.1", connect(b"MQTT\x84", 2, b"\0\0")),
        m("CONNECT with flags in its fixed header", [&[0x12], &connect(b"MQTT\x05", 2, b"\0\0\0")[1..]].concat()),
        m(
            "CONNECT with flags in its fixed header in 3.1.1",
            [&[0x11], &connect(b"MQTT\x04", 2, b"\0\0")[1..]].concat(),
        ),
        m("1.5.5-1 length of CONNECT not minimal", b"\x10\x8D\0\0\x04MQTT\x05\x02\0\x3c\0\0\0".to_vec()),
        m("length of CONNECT of five bytes", b"\x10\x80\x80\x80\x80\x01".to_vec()),
        m("CONNECT without contents", b"\x10\0".to_vec()),
        m("CONNECT ends in its name", packet(0x10, b"\0\x04MQ")),
        m("CONNECT ends in its keep alive", packet(0x10, b"\0\x04MQTT\x05\x02\0")),
        m("CONNECT ends before its client identifier", packet(0x10, b"\0\x04MQTT\x04\x02\0\0")),
        m("3.1.2-3 reserved flag", connect(b"MQTT\x05", 3, b"\0\0\0")),
        m("3.1.2-3 reserved flag in 3.1.1", connect(b"MQTT\x04", 3, b"\0\0")),
        m("3.1.2-12 will of QoS 3", connect(b"MQTT\x05", 0x1E, b"\0\0\x01c\0\0\x01t\0\x01p")),
        m("3.1.2-12 will of QoS 3 in 3.1.1", connect(b"MQTT\x04", 0x1E, b"\0\x01c\0\x01t\0\x01p")),
        m("3.1.2-12 will of QoS 3 in 3.1", connect(b"MQIsdp\x03", 0x1E, b"\0\x01c\0\x01t\0\x01p")),
        m("3.1.2-11 QoS of a will without a will", connect(b"MQTT\x05", 0x0A, b"\0\0\x01c")),
        m("3.1.2-11 QoS 2 of a will without a will in 3.1.1", connect(b"MQTT\x04", 0x12, b"\0\x01c")),
        m("3.1.2-13 retain of a will without a will", connect(b"MQTT\x05", 0x22, b"\0\0\x01c")),
        m("3.1.2-13 retain of a will without a will in 3.1.1", connect(b"MQTT\x04", 0x22, b"\0\x01c")),
        p("3.1.2-22 of 3.1.1: password without user name", connect(b"MQTT\x04", 0x42, b"\0\x01c\0\x01p")),
        p("password without user name in 3.1", connect(b"MQIsdp\x03", 0x42, b"\0\x01c\0\x01p")),
        m("3.1.2-17 user name announced but not there", connect(b"MQTT\x05", 0x82, b"\0\0\x01c")),
        m("3.1.2-19 password announced but not there", connect(b"MQTT\x05", 0xC2, b"\0\0\x01c\0\x01u")),
        m("3.1.2-16 user name not announced", connect(b"MQTT\x05", 2, b"\0\0\x01c\0\x01u")),
        m("3.1.2-18 password not announced", connect(b"MQTT\x05", 0x82, b"\0\0\x01c\0\x01u\0\x01p")),
        m("bytes after CONNECT's contents in 3.1.1", connect(b"MQTT\x04", 2, b"\0\x01c\0")),
        m("3.1.2-9 will announced but not there", connect(b"MQTT\x05", 6, b"\0\0\x01c")),
        m("3.1.3-4 client identifier not UTF-8", connect(b"MQTT\x05", 2, b"\0\0\x01\xff")),
        m("1.5.4-2 client identifier with U+0000", connect(b"MQTT\x05", 2, b"\0\0\x01\0")),
        m("3.1.3-12 user name not UTF-8", connect(b"MQTT\x05", 0x82, b"\0\0\x01c\0\x02\xc3\x28")),
        m("3.1.3-11 topic of the will not UTF-8", connect(b"MQTT\x05", 6, b"\0\0\x01c\0\0\x01\xff\0\x01p")),
        m("1.5.4-1 surrogate", connect(b"MQTT\x05", 2, b"\0\0\x03\xed\xa0\x80")),
        m("1.5.4-1 overlong", connect(b"MQTT\x05", 2, b"\0\0\x02\xc0\x80")),
        m("1.5.4-1 beyond U+10FFFF", connect(b"MQTT\x05", 2, b"\0\0\x04\xf4\x90\x80\x80")),
        m("1.5.4-1 cut character", connect(b"MQTT\x05", 2, b"\0\0\x02\xe2\x82")),
        m("1.5.4-1 in 3.1.1", connect(b"MQTT\x04", 2, b"\0\x03\xed\xa0\x80")),
        m("client identifier longer than the packet", connect(b"MQTT\x05", 2, b"\0\0\xffc")),
        of(0x85, "3.1.3-8 of 3.1.1: no client identifier and no clean session", connect(b"MQTT\x04", 0, b"\0\0")),
        of(0x85, "no client identifier and no clean session in 3.1", connect(b"MQIsdp\x03", 0, b"\0\0")),
        of(0x90, "4.7.0-1 will to a filter", connect(b"MQTT\x05", 6, b"\0\0\x01c\0\0\x03t/#\0\x01p")),
        of(0x90, "4.7.1-1 will to a filter in 3.1.1", connect(b"MQTT\x04", 6, b"\0\x01c\0\x03t/+\0\x01p")),
        of(0x90, "4.7.3-1 will to an empty topic", connect(b"MQTT\x05", 6, b"\0\0\x01c\0\0\0\0\x01p")),
        m("4.7.3-2 will to a topic with U+0000", connect(b"MQTT\x05", 6, b"\0\0\x01c\0\0\x01\0\0\x01p")),
        m("properties longer than CONNECT", connect(b"MQTT\x05", 2, b"\x7f\0\x01c")),
        m("1.5.5-1 length of properties not minimal", connect(b"MQTT\x05", 2, b"\x80\0\0\x01c")),
        m("1.5.5 length of properties of five bytes", connect(b"MQTT\x05", 2, b"\x80\x80\x80\x80\0\0\x01c")),
        m("length of properties is cut", connect(b"MQTT\x05", 2, b"\x80")),
        m("2.2.2.2 unknown property", connect_with(b"\x7e\0")),
        m("2.2.2.2 property 0", connect_with(b"\0\0")),
        m("2.2.2.2 property beyond a byte", connect_with(b"\x91\x02\0\0\0\0")),
        m("1.5.5-1 identifier of a property not minimal", connect_with(b"\x91\0\0\0\0\0")),
        m("2.2.2.2 property of PUBLISH in CONNECT", connect_with(b"\x23\0\x01")),
        m("2.2.2.2 property of CONNACK in CONNECT", connect_with(b"\x24\0")),
        m("2.2.2.2 property of a will in CONNECT", connect_with(b"\x18\0\0\0\0")),
        m("a property ends behind the properties", connect_with(b"\x11\0\0\0")),
        m("a user property without its value", connect_with(b"\x26\0\x01a")),
        m("1.5.7-1 user property not UTF-8", connect_with(b"\x26\0\x01\xff\0\0")),
        m("1.5.7-1 value of a user property with U+0000", connect_with(b"\x26\0\0\0\x01\0")),
        m("authentication method not UTF-8", connect_with(b"\x15\0\x01\xff")),
        p("3.1.2.11.2 session expiry twice", connect_with(b"\x11\0\0\0\x01\x11\0\0\0\x01")),
        p("3.1.2.11.3 receive maximum 0", connect_with(b"\x21\0\0")),
        p("3.1.2.11.3 receive maximum twice", connect_with(b"\x21\0\x01\x21\0\x01")),
        p("3.1.2.11.4 maximum packet size 0", connect_with(b"\x27\0\0\0\0")),
        p("3.1.2.11.4 maximum packet size twice", connect_with(b"\x27\0\0\0\x01\x27\0\0\0\x01")),
        p("3.1.2.11.5 topic alias maximum twice", connect_with(b"\x22\0\0\x22\0\0")),
        p("3.1.2.11.6 request response information 2", connect_with(b"\x19\x02")),
        p("3.1.2.11.6 request response information twice", connect_with(b"\x19\0\x19\0")),
        p("3.1.2.11.7 request problem information 2", connect_with(b"\x17\x02")),
        p("3.1.2.11.7 request problem information twice", connect_with(b"\x17\0\x17\x01")),
        p("3.1.2.11.9 authentication method twice", connect_with(b"\x15\0\x01a\x15\0\x01a")),
        p("3.1.2.11.10 authentication data twice", connect_with(b"\x15\0\x01a\x16\0\0\x16\0\0")),
        p("3.1.2.11.10 authentication data without a method", connect_with(b"\x16\0\x01a")),
        m("2.2.2.2 property of CONNECT in a will", will_with(b"\x11\0\0\0\0")),
        m("2.2.2.2 topic alias in a will", will_with(b"\x23\0\x01")),
        m("2.2.2.2 subscription identifier in a will", will_with(b"\x0B\x01")),
        p("3.1.3.2.2 will delay twice", will_with(b"\x18\0\0\0\0\x18\0\0\0\0")),
        p("3.1.3.2.3 payload format 2 in a will", will_with(b"\x01\x02")),
        p("3.1.3.2.3 payload format twice in a will", will_with(b"\x01\0\x01\0")),
        p("3.1.3.2.4 message expiry twice in a will", will_with(b"\x02\0\0\0\x01\x02\0\0\0\x01")),
        p("3.1.3.2.5 content type twice in a will", will_with(b"\x03\0\0\x03\0\0")),
        p("3.1.3.2.6 response topic twice in a will", will_with(b"\x08\0\x01a\x08\0\x01a")),
        p("3.3.2-14 response topic with a wildcard in a will", will_with(b"\x08\0\x01#")),
        p("3.1.3.2.7 correlation data twice in a will", will_with(b"\x09\0\0\x09\0\0")),
    ]
}

fn publishes() -> Vec<Case> {
    let m = |name, bytes: Vec<u8>| case(0x81, name, Server(V5), bytes);
    let p = |name, bytes: Vec<u8>| case(0x82, name, Server(V5), bytes);
    let of = |reason, name, bytes: Vec<u8>| case(reason, name, Server(V5), bytes);
    vec![
        m("PUBLISH without contents", packet(0x30, b"")),
        m("PUBLISH ends in its topic", packet(0x30, b"\0\x05t")),
        m("PUBLISH ends before its packet identifier", packet(0x32, b"\0\x01t\0")),
        m("3.3.2-1 topic not UTF-8", packet(0x30, b"\0\x02\xc3\x28\0x")),
        m("4.7.3-2 topic with U+0000", packet(0x30, b"\0\x03a\0b\0x")),
        of(0x90, "3.3.2-2 topic with #", packet(0x30, b"\0\x03a/#\0x")),
        of(0x90, "3.3.2-2 topic with +", packet(0x30, b"\0\x03+/a\0x")),
        of(0x90, "3.3.2-2 topic with # inside of a level", packet(0x30, b"\0\x02a#\0x")),
        p("3.3.2.1 neither topic nor alias", packet(0x30, b"\0\0\0x")),
        p("2.2.1-3 packet identifier 0", packet(0x32, b"\0\x01t\0\0\0x")),
        p("2.2.1-3 packet identifier 0 with QoS 2", packet(0x34, b"\0\x01t\0\0\0x")),
        m("properties longer than PUBLISH", packet(0x30, b"\0\x01t\x05\x01\x01")),
        m("PUBLISH ends before its properties", packet(0x30, b"\0\x01t")),
        m("2.2.2.2 property of CONNECT in PUBLISH", publish_with(b"\x21\0\x01")),
        m("2.2.2.2 will delay in PUBLISH", publish_with(b"\x18\0\0\0\0")),
        m("2.2.2.2 reason string in PUBLISH", publish_with(b"\x1f\0\0")),
        p("payload format 2", publish_with(b"\x01\x02")),
        p("3.3.2.3.2 payload format twice", publish_with(b"\x01\x01\x01\x01")),
        p("3.3.2.3.3 message expiry twice", publish_with(b"\x02\0\0\0\x01\x02\0\0\0\x01")),
        of(0x94, "3.3.2-8 topic alias 0", publish_with(b"\x23\0\0")),
        p("3.3.2.3.4 topic alias twice", publish_with(b"\x23\0\x01\x23\0\x01")),
        p("3.3.2.3.5 response topic twice", publish_with(b"\x08\0\x01a\x08\0\x01b")),
        p("3.3.2-14 response topic with #", publish_with(b"\x08\0\x03a/#")),
        p("3.3.2-14 response topic with +", publish_with(b"\x08\0\x01+")),
        p("4.7.3-1 empty response topic", publish_with(b"\x08\0\0")),
        m("3.3.2-13 response topic not UTF-8", publish_with(b"\x08\0\x01\xff")),
        p("3.3.2.3.6 correlation data twice", publish_with(b"\x09\0\0\x09\0\0")),
        m("1.5.7-1 user property of PUBLISH not UTF-8", publish_with(b"\x26\0\0\0\x01\x80")),
        p("3.3.2.3.9 content type twice", publish_with(b"\x03\0\0\x03\0\0")),
        m("3.3.2-19 content type not UTF-8", publish_with(b"\x03\0\x01\xf8")),
        p("3.3.4-6 subscription identifier of a client", publish_with(b"\x0B\x01")),
        case(0x82, "3.3.2.3.8 subscription identifier 0", Client(V5), publish_with(b"\x0B\0")),
        case(0x81, "1.5.5-1 subscription identifier not minimal", Client(V5), publish_with(b"\x0B\x81\0")),
        case(0x81, "subscription identifier of five bytes", Client(V5), publish_with(b"\x0B\x81\x80\x80\x80\x01")),
        case(0x90, "3.3.2-2 of 3.1.1: topic with #", Server(V311), packet(0x30, b"\0\x01#x")),
        case(0x90, "topic with + in 3.1", Server(V31), packet(0x30, b"\0\x03a/+x")),
        case(0x82, "4.7.3-1 empty topic in 3.1.1", Server(V311), packet(0x30, b"\0\0x")),
        case(0x82, "empty topic in 3.1", Server(V31), packet(0x30, b"\0\0x")),
        case(0x82, "2.3.1-1 packet identifier 0 in 3.1.1", Server(V311), packet(0x32, b"\0\x01t\0\0x")),
        case(0x82, "packet identifier 0 in 3.1", Server(V31), packet(0x32, b"\0\x01t\0\0x")),
    ]
}

fn acks() -> Vec<Case> {
    let m = |name, bytes: Vec<u8>| case(0x81, name, Server(V5), bytes);
    let p = |name, bytes: Vec<u8>| case(0x82, name, Server(V5), bytes);
    vec![
        m("PUBACK without contents", packet(0x40, b"")),
        m("PUBACK of one byte", packet(0x40, b"\0")),
        p("packet identifier 0 in PUBACK", packet(0x40, b"\0\0")),
        p("packet identifier 0 in PUBREC", packet(0x50, b"\0\0")),
        p("packet identifier 0 in PUBREL", packet(0x62, b"\0\0")),
        p("packet identifier 0 in PUBCOMP", packet(0x70, b"\0\0")),
        p("3.4.2-1 reason of SUBACK in PUBACK", packet(0x40, b"\0\x01\x01")),
        p("3.4.2-1 packet identifier not found in PUBACK", packet(0x40, b"\0\x01\x92")),
        p("3.4.2.1 no matching subscribers of a client", packet(0x40, b"\0\x01\x10")),
        p("3.5.2-1 reason that does not exist in PUBREC", packet(0x50, b"\0\x01\xff")),
        p("3.6.2-1 reason of PUBACK in PUBREL", packet(0x62, b"\0\x01\x97")),
        p("3.7.2-1 reason of PUBACK in PUBCOMP", packet(0x70, b"\0\x01\x80")),
        m("bytes after PUBACK", packet(0x40, b"\0\x01\0\0\0")),
        m("bytes after PUBREL's properties", packet(0x62, b"\0\x01\0\x03\x1f\0\0\0")),
        m("properties longer than PUBACK", packet(0x40, b"\0\x01\0\x04\x1f\0\0")),
        m("2.2.2.2 property of PUBLISH in PUBACK", packet(0x40, b"\0\x01\0\x02\x01\0")),
        p("3.4.2.2.2 reason string twice in PUBACK", packet(0x40, b"\0\x01\0\x06\x1f\0\0\x1f\0\0")),
        p("3.5.2.2.2 reason string twice in PUBREC", packet(0x50, b"\0\x01\0\x06\x1f\0\0\x1f\0\0")),
        p("3.6.2.2.2 reason string twice in PUBREL", packet(0x62, b"\0\x01\0\x06\x1f\0\0\x1f\0\0")),
        p("3.7.2.2.2 reason string twice in PUBCOMP", packet(0x70, b"\0\x01\0\x06\x1f\0\0\x1f\0\0")),
        case(0x81, "PUBACK of 3 bytes in 3.1.1", Server(V311), packet(0x40, b"\0\x01\0")),
        case(0x81, "PUBREL of 3 bytes in 3.1", Server(V31), packet(0x62, b"\0\x01\0")),
    ]
}

fn subscriptions() -> Vec<Case> {
    let m = |name, bytes: Vec<u8>| case(0x81, name, Server(V5), bytes);
    let p = |name, bytes: Vec<u8>| case(0x82, name, Server(V5), bytes);
    vec![
        m("SUBSCRIBE without contents", packet(0x82, b"")),
        m("SUBSCRIBE without properties", packet(0x82, b"\0\x01")),
        p("3.8.3-2 SUBSCRIBE without a filter", packet(0x82, b"\0\x01\0")),
        case(0x82, "3.8.3-3 of 3.1.1: SUBSCRIBE without a filter", Server(V311), packet(0x82, b"\0\x01")),
        case(0x82, "SUBSCRIBE without a filter in 3.1", Server(V31), packet(0x82, b"\0\x01")),
        p("2.2.1-3 packet identifier 0 in SUBSCRIBE", packet(0x82, b"\0\0\0\0\x01t\0")),
        p("2.2.1-3 packet identifier 0 in UNSUBSCRIBE", packet(0xA2, b"\0\0\0\0\x01t")),
        m("3.8.3-1 filter not UTF-8", packet(0x82, b"\0\x01\0\0\x01\xff\0")),
        m("4.7.3-2 filter with U+0000", packet(0x82, b"\0\x01\0\0\x01\0\0")),
        m("4.7.3-1 empty filter", packet(0x82, b"\0\x01\0\0\0\0")),
        case(0x81, "4.7.3-1 empty filter in 3.1.1", Server(V311), packet(0x82, b"\0\x01\0\0\0")),
        m("4.7.3-1 empty filter in UNSUBSCRIBE", packet(0xA2, b"\0\x01\0\0\0")),
        m("SUBSCRIBE ends before its options", packet(0x82, b"\0\x01\0\0\x01t")),
        p("3.8.3.1 QoS 3", packet(0x82, b"\0\x01\0\0\x01t\x03")),
        case(0x82, "3-8.3-4 of 3.1.1: QoS 3", Server(V311), packet(0x82, b"\0\x01\0\x01t\x03")),
        case(0x82, "SUBSCRIBE of QoS 3 in 3.1", Server(V31), packet(0x82, b"\0\x01\0\x01t\x03")),
        p("3.8.3.1 retain handling 3", packet(0x82, b"\0\x01\0\0\x01t\x30")),
        m("3.8.3-5 reserved option 0x40", packet(0x82, b"\0\x01\0\0\x01t\x40")),
        m("3.8.3-5 reserved option 0x80", packet(0x82, b"\0\x01\0\0\x01t\x80")),
        case(0x81, "3-8.3-4 of 3.1.1: option of 5.0", Server(V311), packet(0x82, b"\0\x01\0\x01t\x04")),
        p("3.8.3-4 no-local in a shared subscription", packet(0x82, b"\0\x01\0\0\x0a$share/g/t\x04")),
        p("3.8.3-4 no-local in a malformed one", packet(0x82, b"\0\x01\0\0\x08$share/g\x04")),
        p("3.8.2.1.2 subscription identifier 0", subscribe_with(b"\x0B\0")),
        p("3.8.2.1.2 subscription identifier twice", subscribe_with(b"\x0B\x01\x0B\x02")),
        m("1.5.5 subscription identifier of five bytes", subscribe_with(b"\x0B\xff\xff\xff\xff\x01")),
        m("2.2.2.2 property of PUBLISH in SUBSCRIBE", subscribe_with(b"\x01\0")),
        m("2.2.2.2 reason string in SUBSCRIBE", subscribe_with(b"\x1f\0\0")),
        m("UNSUBSCRIBE without contents", packet(0xA2, b"")),
        p("3.10.3-2 UNSUBSCRIBE without a filter", packet(0xA2, b"\0\x01\0")),
        case(0x82, "3.10.3-2 of 3.1.1: UNSUBSCRIBE without a filter", Server(V311), packet(0xA2, b"\0\x01")),
        m("3.10.3-1 filter of UNSUBSCRIBE not UTF-8", packet(0xA2, b"\0\x01\0\0\x01\xc1")),
        m("2.2.2.2 subscription identifier in UNSUBSCRIBE", packet(0xA2, b"\0\x01\x02\x0B\x01\0\x01t")),
        m("UNSUBSCRIBE ends in a filter", packet(0xA2, b"\0\x01\0\0\x02t")),
    ]
}

fn ends() -> Vec<Case> {
    let m = |name, bytes: Vec<u8>| case(0x81, name, Server(V5), bytes);
    let p = |name, bytes: Vec<u8>| case(0x82, name, Server(V5), bytes);
    vec![
        p("3.14.2-1 reason of a server", packet(0xE0, b"\x8e")),
        p("3.14.2-1 reason of PUBACK", packet(0xE0, b"\x10")),
        p("3.14.2.2.4 server reference of a client", packet(0xE0, b"\0\x04\x1c\0\x01s")),
        p("3.14.2.2.2 session expiry twice", packet(0xE0, b"\0\x0a\x11\0\0\0\0\x11\0\0\0\0")),
        p("3.14.2.2.3 reason string twice", packet(0xE0, b"\0\x06\x1f\0\0\x1f\0\0")),
        m("2.2.2.2 receive maximum in DISCONNECT", packet(0xE0, b"\0\x03\x21\0\x01")),
        m("bytes after DISCONNECT", packet(0xE0, b"\0\0\0")),
        m("properties longer than DISCONNECT", packet(0xE0, b"\0\x09")),
        case(0x82, "3.14.2-2 session expiry of a server", Client(V5), packet(0xE0, b"\0\x05\x11\0\0\0\0")),
        case(0x82, "3.14.2-1 reason of a client", Client(V5), packet(0xE0, b"\x04")),
        p("3.15.2-1 reason of a server in AUTH", packet(0xF0, b"")),
        p("3.15.2-1 success of a client", packet(0xF0, b"\0\x04\x15\0\x01m")),
        p("3.15.2-1 reason that does not exist in AUTH", packet(0xF0, b"\x87\x04\x15\0\x01m")),
        p("3.15.2.2.2 AUTH without a method", packet(0xF0, b"\x18\0")),
        p("3.15.2.2.2 AUTH without properties", packet(0xF0, b"\x18")),
        p("3.15.2.2.2 method twice", packet(0xF0, b"\x18\x08\x15\0\x01m\x15\0\x01m")),
        p("3.15.2.2.3 data twice", packet(0xF0, b"\x18\x0a\x15\0\x01m\x16\0\0\x16\0\0")),
        p("3.15.2.2.4 reason string twice in AUTH", packet(0xF0, b"\x18\x0a\x15\0\x01m\x1f\0\0\x1f\0\0")),
        m("2.2.2.2 topic alias in AUTH", packet(0xF0, b"\x18\x03\x23\0\x01")),
        m("bytes after AUTH", packet(0xF0, b"\x18\x04\x15\0\x01m\0")),
        case(0x82, "3.15.2-1 re-authenticate of a server", Client(V5), packet(0xF0, b"\x19\x04\x15\0\x01m")),
    ]
}

fn of_servers() -> Vec<Case> {
    let m = |name, bytes: Vec<u8>| case(0x81, name, Client(V5), bytes);
    let p = |name, bytes: Vec<u8>| case(0x82, name, Client(V5), bytes);
    vec![
        m("3.2.2-1 reserved flags of CONNACK", packet(0x20, b"\x02\0\0")),
        m("3.2.2-1 reserved flags of CONNACK with a session", packet(0x20, b"\x81\0\0")),
        p("3.2.2-6 session present but refused", packet(0x20, b"\x01\x87\0")),
        case(0x82, "3.2.2-4 of 3.1.1: session present but refused", Client(V311), packet(0x20, b"\x01\x05")),
        p("3.2.2-8 reason that does not exist in CONNACK", packet(0x20, b"\0\x01\0")),
        p("3.2.2-8 reason of DISCONNECT in CONNACK", packet(0x20, b"\0\x8e\0")),
        case(0x82, "return code 6", Client(V311), packet(0x20, b"\0\x06")),
        m("CONNACK without properties", packet(0x20, b"\0\0")),
        case(0x81, "CONNACK with properties in 3.1.1", Client(V311), packet(0x20, b"\0\0\0")),
        m("bytes after CONNACK", packet(0x20, b"\0\0\0\0")),
        p("3.2.2.3.3 receive maximum 0", connack_with(b"\x21\0\0")),
        p("3.2.2.3.4 maximum QoS 2", connack_with(b"\x24\x02")),
        p("3.2.2.3.4 maximum QoS twice", connack_with(b"\x24\0\x24\0")),
        p("3.2.2.3.5 retain available 2", connack_with(b"\x25\x02")),
        p("3.2.2.3.6 maximum packet size 0", connack_with(b"\x27\0\0\0\0")),
        p("3.2.2.3.7 assigned client identifier twice", connack_with(b"\x12\0\0\x12\0\0")),
        p("3.2.2.3.9 reason string twice", connack_with(b"\x1f\0\0\x1f\0\0")),
        p("3.2.2.3.11 wildcard available 2", connack_with(b"\x28\x02")),
        p("3.2.2.3.12 subscription identifiers available 2", connack_with(b"\x29\x02")),
        p("3.2.2.3.13 shared available 2", connack_with(b"\x2a\x02")),
        p("3.2.2.3.14 server keep alive twice", connack_with(b"\x13\0\0\x13\0\0")),
        m("2.2.2.2 will delay in CONNACK", connack_with(b"\x18\0\0\0\0")),
        p("packet identifier 0 in SUBACK", packet(0x90, b"\0\0\0\0")),
        p("3.9.3-2 reason that does not exist in SUBACK", packet(0x90, b"\0\x01\0\x03")),
        case(0x82, "3.9.3-2 of 3.1.1: return code 3", Client(V311), packet(0x90, b"\0\x01\x03")),
        case(0x82, "3.9.3-2 of 3.1.1: return code of 5.0", Client(V311), packet(0x90, b"\0\x01\x87")),
        p("3.8.4-6 SUBACK for no filter", packet(0x90, b"\0\x01\0")),
        p("3.11.3-2 reason of SUBACK in UNSUBACK", packet(0xB0, b"\0\x01\0\x01")),
        p("3.11.3-1 UNSUBACK for no filter", packet(0xB0, b"\0\x01\0")),
        case(0x81, "UNSUBACK with contents in 3.1.1", Client(V311), packet(0xB0, b"\0\x01\0")),
        m("2.2.2.2 subscription identifier in SUBACK", packet(0x90, b"\0\x01\x02\x0b\x01\0")),
        m("PINGRESP with contents", packet(0xD0, b"\0")),
    ]
}

/// All of them.
pub(super) fn cases() -> Vec<Case> {
    [fixed_headers(), connects(), publishes(), acks(), subscriptions(), ends(), of_servers()]
        .into_iter()
        .flatten()
        .collect()
}

fn check(cases: Vec<Case>) {
    for Case { name, reader, bytes, reason } in cases {
        let Some(error) = refusal(reader, &bytes) else { panic!("{name}: taken") };
        assert_eq!(error.reason.0, reason, "{name}: {error}");
        assert!(!error.what.contains(char::is_control), "{name}");
    }
}

#[test]
fn illegal_fixed_headers_are_refused() {
    check(fixed_headers());
}

#[test]
fn illegal_connects_are_refused() {
    check(connects());
}

#[test]
fn illegal_publishes_are_refused() {
    check(publishes());
}

#[test]
fn illegal_acknowledgements_are_refused() {
    check(acks());
}

#[test]
fn illegal_subscriptions_are_refused() {
    check(subscriptions());
}

#[test]
fn illegal_disconnects_and_auths_are_refused() {
    check(ends());
}

#[test]
fn what_a_server_must_not_send_is_refused() {
    check(of_servers());
}

#[test]
fn every_illegal_packet_has_a_name_of_its_own() {
    let mut names: Vec<_> = cases().iter().map(|case| case.name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}

/// What a fixed header alone shows to be wrong is refused before memory is needed for the rest.
#[test]
fn a_fixed_header_is_enough_to_refuse() {
    let reader = Server(V5);
    for (bytes, reason) in [
        (&b"\x36"[..], 0x81),
        (b"\x38", 0x81),
        (b"\x60", 0x81),
        (b"\x20", 0x82),
        (b"\x10", 0x82),
        (b"\x30\xff\xff\xff\xff", 0x81),
        (b"\x30\xff\xff\xff\x7f", 0x95),
        (b"\xC0\x05", 0x81),
    ] {
        assert_eq!(refusal(reader, bytes).map(|error| error.reason.0), Some(reason), "{bytes:02x?}");
    }
    assert_eq!(refusal(First, b"G").map(|error| error.reason.0), Some(0x82));
    assert_eq!(refusal(First, b"\x10\x80\x80\x41").map(|error| error.reason.0), Some(0x95));
}

/// The limit counts all bytes of the packet.
#[test]
fn a_packet_may_be_as_large_as_allowed() {
    let publish = packet(0x30, b"\0\x01t\0payload");
    let bytes = publish.len() as u32;
    let with = |packet_bytes_max| decode(&publish, Settings { version: V5, packet_bytes_max });
    assert!(with(bytes).is_ok_and(|packet| packet.is_some()));
    assert_eq!(with(bytes - 1).map_err(|error| error.reason.0), Err(0x95));
    assert_eq!(with(0).map_err(|error| error.reason.0), Err(0x95));
    let first = connect(b"MQTT\x05", 2, b"\0\0\0");
    assert!(decode_connect(&first, first.len() as u32).is_ok());
    assert_eq!(decode_connect(&first, first.len() as u32 - 1).map_err(|error| error.reason.0), Err(0x95));
}

/// A refused CONNECT says in what form it can be answered.
#[test]
fn a_refused_connect_is_answered_in_a_form_that_the_client_knows() {
    let version = |bytes: &[u8]| decode_connect(bytes, 20).map_err(|error| error.version).err().unwrap();
    assert_eq!(version(&connect(b"MQTT\x06", 2, b"\0\0\0")), Some(V5));
    assert_eq!(version(&connect(b"MQTT\x85", 2, b"\0\0\0")), Some(V5));
    for level in [0, 3, 0x83, 0x84] {
        assert_eq!(version(&connect(&[b'M', b'Q', b'T', b'T', level], 2, b"\0\0")), Some(V311), "level {level}");
    }
    assert_eq!(version(&connect(b"MQIsdp\x04", 2, b"\0\0")), Some(V311));
    assert_eq!(version(&connect(b"AMQP\x04", 2, b"\0\0")), None);
    assert_eq!(version(b"GET"), None);
    assert_eq!(version(&connect(b"MQTT\x05", 3, b"\0\0\0")), Some(V5));
    assert_eq!(version(&connect(b"MQTT\x04", 0, b"\0\0")), Some(V311));
    assert_eq!(version(&connect(b"MQIsdp\x03", 0, b"\0\0")), Some(V31));
    let long = connect(b"MQTT\x05", 2, b"\0\0\x10a client id of it");
    assert_eq!(version(&long), Some(V5), "too large, but all there");
    assert_eq!(version(&long[..12]), Some(V5), "too large, and the level is there");
    assert_eq!(version(&long[..7]), None, "too large, and the level is not there");
    assert_eq!(version(b"\x10\xff\xff\xff\x7f\0\x04MQTT\x04"), Some(V311));
}
