//! What must hold for any bytes: nothing panics, what was read means the same when it is written and read again, and a packet
//! is there when its last byte is and not before.

use bytes::BytesMut;
use gantry_mqtt::codec::packet::{Filter, Packet, Publish, Version};
use gantry_mqtt::codec::*;

/// Small, so that it is reached.
const PACKET_BYTES_MAX: u32 = 4096;

type Read<'a> = Result<Option<(Packet<'a>, usize)>, DecodeError>;

fn settings(version: Version) -> Settings {
    Settings { version, packet_bytes_max: PACKET_BYTES_MAX }
}

fn connect(bytes: &[u8], _: Version) -> Read<'_> {
    let whole = decode_connect(bytes, PACKET_BYTES_MAX)?;
    Ok(whole.map(|(connect, taken)| (Packet::Connect(Box::new(connect)), taken)))
}

fn from_client(bytes: &[u8], version: Version) -> Read<'_> {
    decode(bytes, settings(version))
}

fn from_server(bytes: &[u8], version: Version) -> Read<'_> {
    decode_from_server(bytes, settings(version))
}

/// Takes the bytes for all that a client sends. Where they begin with no CONNECT, the first byte picks the version.
pub fn check_client(bytes: &[u8]) {
    match connect(bytes, Version::V5) {
        Ok(Some((Packet::Connect(first), taken))) => {
            check_packet(bytes, first.version, connect);
            check_stream(&bytes[taken..], first.version, from_client);
        }
        Ok(_) => {}
        Err(error) => {
            check_error(&error);
            let Some((&first, rest)) = bytes.split_first() else { return };
            check_stream(rest, version(first), from_client);
        }
    }
}

/// Takes the bytes for all that a server sends.
pub fn check_server(bytes: &[u8]) {
    let Some((&first, rest)) = bytes.split_first() else { return };
    check_stream(rest, version(first), from_server);
}

fn version(byte: u8) -> Version {
    match byte % 3 {
        0 => Version::V5,
        1 => Version::V311,
        _ => Version::V31,
    }
}

fn check_stream(bytes: &[u8], version: Version, read: fn(&[u8], Version) -> Read<'_>) {
    let mut rest = bytes;
    while let Some(taken) = check_packet(rest, version, read) {
        rest = &rest[taken..];
    }
}

/// Bytes that the packet at the front takes, if there is one.
fn check_packet(bytes: &[u8], version: Version, read: fn(&[u8], Version) -> Read<'_>) -> Option<usize> {
    let (packet, taken) = match read(bytes, version) {
        Ok(whole) => whole?,
        Err(error) => {
            check_error(&error);
            return None;
        }
    };
    assert!(taken >= 2 && taken <= PACKET_BYTES_MAX as usize);
    assert_eq!(packet_bytes(bytes), Some(taken));
    assert_eq!(read(&bytes[..taken - 1], version), Ok(None));
    assert_eq!(read(&bytes[..taken], version), Ok(Some((packet.clone(), taken))));

    let mut again = BytesMut::new();
    encode(&packet, version, &mut again);
    assert_eq!(encoded_bytes(&packet, version), again.len());
    // The shortest form: what was read took as many bytes or more.
    assert!(again.len() <= taken);
    check_again(&bytes[..taken], &again, version, read);
    match &packet {
        Packet::Publish(publish) => check_publish(publish, version),
        Packet::Subscribe(subscribe) => subscribe.filters.iter().for_each(|(filter, _)| check_filter(filter)),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.filters.iter().for_each(check_filter),
        Packet::Connect(connect) => {
            if let Some(will) = &connect.will {
                assert!(topic::is_topic_name(will.topic));
                check_application(&will.application);
            }
        }
        _ => {}
    }
    Some(taken)
}

/// Packets can only be compared where they borrow for the same time.
fn check_again<'a>(bytes: &'a [u8], again: &'a [u8], version: Version, read: fn(&'a [u8], Version) -> Read<'a>) {
    let read = |bytes: &'a [u8]| read(bytes, version).map(|whole| whole.map(|(packet, _)| packet));
    assert_eq!(read(again), read(bytes));
}

fn check_publish(publish: &Publish<'_>, version: Version) {
    assert!(topic::is_topic_name(publish.topic) || (publish.topic.is_empty() && publish.topic_alias.is_some()));
    let mut head = BytesMut::new();
    encode_publish_head(publish, version, &mut head);
    assert_eq!(publish_bytes(publish, version), head.len() + publish.payload.len());
    check_application(&publish.application);
}

/// What a message keeps can be read to its end.
fn check_application(bytes: &[u8]) {
    let mut out = Vec::new();
    for property in properties::application(bytes) {
        let before = out.len();
        properties::put(&property, &mut out);
        assert_eq!(out.len() - before, properties::property_bytes(&property));
    }
    assert_eq!(out, bytes);
}

fn check_filter(filter: &Filter<'_>) {
    assert!(filter.whole.ends_with(filter.filter));
    assert!(!filter.is_valid || !filter.filter.is_empty());
    assert!(!filter.group.is_some_and(|group| group.is_empty() || group.contains(['/', '+', '#'])));
}

fn check_error(error: &DecodeError) {
    assert!(error.reason.is_error());
    assert!(!error.what.is_empty() && error.to_string().len() < 128);
}
