//! What is written is read again as the same, from whole packets and from parts of them.

use bytes::BytesMut;

use super::samples::{VERSIONS, all_connects, packets};
use super::{MAX, from_client, from_server};
use crate::codec::packet::{Packet, Version};
use crate::codec::*;

/// For ever: packets can only be compared where they borrow for the same time.
fn written(packet: &Packet<'_>, version: Version) -> &'static [u8] {
    let mut out = BytesMut::new();
    encode(packet, version, &mut out);
    assert_eq!(encoded_bytes(packet, version), out.len(), "{packet:?}");
    assert_eq!(packet_bytes(&out), Some(out.len()));
    out.to_vec().leak()
}

/// Reads a packet of any kind, as whoever gets it.
fn read<'a>(bytes: &'a [u8], version: Version, by_client: bool) -> Result<Option<(Packet<'a>, usize)>, DecodeError> {
    match bytes.first() {
        Some(first) if first >> 4 == 1 => {
            let whole = decode_connect(bytes, MAX)?;
            Ok(whole.map(|(connect, taken)| (Packet::Connect(Box::new(connect)), taken)))
        }
        _ if by_client => from_client(bytes, version),
        _ => from_server(bytes, version),
    }
}

fn every(mut check: impl FnMut(&Packet<'static>, Version, bool)) {
    for version in VERSIONS {
        let (client, server) = packets(version);
        client.iter().chain(&all_connects(version)).for_each(|packet| check(packet, version, true));
        server.iter().for_each(|packet| check(packet, version, false));
    }
}

#[test]
fn every_packet_is_read_as_it_was_written() {
    every(|packet, version, by_client| {
        let bytes = written(packet, version);
        let (again, taken) = read(bytes, version, by_client).unwrap().unwrap();
        assert_eq!(again, *packet, "{version:?}");
        assert_eq!(taken, bytes.len());
    });
}

#[test]
fn a_packet_is_there_when_its_last_byte_is() {
    every(|packet, version, by_client| {
        let bytes = written(packet, version);
        for length in 0..bytes.len() {
            assert_eq!(read(&bytes[..length], version, by_client), Ok(None), "{length} of {packet:?}");
        }
        let followed = [bytes, b"\xff\xff"].concat().leak();
        assert_eq!(read(followed, version, by_client), Ok(Some((packet.clone(), bytes.len()))));
    });
}

#[test]
fn the_head_of_a_publish_and_its_payload_are_the_packet() {
    every(|packet, version, _| {
        let Packet::Publish(publish) = packet else { return };
        let mut head = BytesMut::new();
        encode_publish_head(publish, version, &mut head);
        head.extend_from_slice(publish.payload);
        assert_eq!(head[..], *written(packet, version));
        assert_eq!(publish_bytes(publish, version), head.len());
    });
}
