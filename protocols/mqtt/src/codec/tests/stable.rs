//! Whatever bytes are taken mean the same when they are written and read again.

use bytes::BytesMut;
use proptest::prelude::*;

use super::samples::{all_connects, packets};
use super::{MAX, from_client, from_server};
use crate::codec::packet::*;
use crate::codec::*;

fn whole(version: Version, by_client: bool) -> impl Fn(&[u8]) -> Result<Option<(Packet<'_>, usize)>, DecodeError> {
    move |bytes| if by_client { from_client(bytes, version) } else { from_server(bytes, version) }
}

fn first(bytes: &[u8]) -> Result<Option<(Packet<'_>, usize)>, DecodeError> {
    let whole = decode_connect(bytes, MAX)?;
    Ok(whole.map(|(connect, taken)| (Packet::Connect(Box::new(connect)), taken)))
}

fn read_again<'a>(
    bytes: &'a [u8],
    again: &'a mut BytesMut,
    version: Option<Version>,
    read: impl Fn(&'a [u8]) -> Result<Option<(Packet<'a>, usize)>, DecodeError>,
) {
    let Ok(Some((packet, taken))) = read(bytes) else { return };
    assert!(taken <= bytes.len() && packet_bytes(bytes) == Some(taken));
    let version = match &packet {
        Packet::Connect(connect) => connect.version,
        _ => version.unwrap(),
    };
    encode(&packet, version, again);
    assert_eq!(encoded_bytes(&packet, version), again.len());
    assert_eq!(read(again), Ok(Some((packet.clone(), again.len()))));
    if let Packet::Publish(publish) = &packet {
        let mut out = Vec::new();
        for property in properties::application(&publish.application) {
            properties::put(&property, &mut out);
        }
        assert_eq!(out, *publish.application);
    }
}

fn check(bytes: &[u8]) {
    read_again(bytes, &mut BytesMut::new(), None, first);
    for version in [Version::V31, Version::V311, Version::V5] {
        for by_client in [true, false] {
            read_again(bytes, &mut BytesMut::new(), Some(version), whole(version, by_client));
        }
    }
}

/// A packet with some of its bytes changed, taken out or put in, its length put right again.
fn changed() -> impl Strategy<Value = Vec<u8>> {
    let versions = [Version::V31, Version::V311, Version::V5];
    let mut all = Vec::new();
    for version in versions {
        let (client, server) = packets(version);
        for packet in client.iter().chain(&server).chain(&all_connects(version)) {
            let mut bytes = BytesMut::new();
            encode(packet, version, &mut bytes);
            all.push(bytes.to_vec());
        }
    }
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..4u8, any::<u8>()), 0..4);
    (prop::sample::select(all), edits, prop::bool::weighted(0.8)).prop_map(|(packet, edits, mend)| {
        let header = if packet[1] < 0x80 { 2 } else { 3 };
        let mut body = packet[header..].to_vec();
        for (at, what, byte) in edits {
            if body.is_empty() {
                body.push(byte);
            }
            let at = at.index(body.len());
            match what {
                0 => body[at] = byte,
                1 => drop(body.remove(at)),
                2 => body.insert(at, byte),
                _ => body[at] ^= 1 << (byte % 8),
            }
        }
        let mut bytes = vec![packet[0]];
        if !mend {
            bytes.extend_from_slice(&packet[1..header]);
        } else if body.len() < 0x80 {
            bytes.push(body.len() as u8);
        } else {
            bytes.extend_from_slice(&[body.len() as u8 | 0x80, (body.len() >> 7) as u8]);
        }
        bytes.extend(body);
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_bytes_are_read_without_panic_and_stably(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        check(&bytes);
    }

    #[test]
    fn changed_packets_that_are_taken_stay_the_same(bytes in changed()) {
        check(&bytes);
    }
}

proptest! {
    // Texts by pattern take long to make.
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_publish_is_read_as_it_was_written(
        topic in "[^+#\0]{1,40}",
        payload in prop::collection::vec(any::<u8>(), 0..300),
        id in 1..=u16::MAX,
        retain: bool,
        dup: bool,
        qos in prop::sample::select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]),
        message_expiry_s: Option<u32>,
        user in prop::collection::vec(("[^\0]{0,9}", "[^\0]{0,9}"), 0..4),
    ) {
        let mut application = Vec::new();
        for (name, value) in &user {
            properties::put(&properties::Property::User(name, value), &mut application);
        }
        let application = application.into();
        let (dup, packet_id) = if qos == QoS::AtMostOnce { (false, 0) } else { (dup, id) };
        let publish = Publish { dup, qos, retain, packet_id, message_expiry_s, application, ..Publish::new(&topic, &payload) };
        let mut out = BytesMut::new();
        encode(&Packet::Publish(publish.clone()), Version::V5, &mut out);
        let read = from_client(&out, Version::V5);
        prop_assert_eq!(read, Ok(Some((Packet::Publish(publish.clone()), out.len()))));
    }
}
