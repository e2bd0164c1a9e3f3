//! The packets of the hot path are read and written without an allocation, and what is allocated for others follows the bytes
//! that are there.

// A global allocator cannot be written without `unsafe`; this one only counts and passes on.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use bytes::BytesMut;
use gantry_mqtt::codec::packet::{Ack, Filter, Packet, Publish, QoS, Subscribe, Unsubscribe, Version};
use gantry_mqtt::codec::properties::{Property, put};
use gantry_mqtt::codec::reason::Reason;
use gantry_mqtt::codec::*;

struct Counting;

thread_local! {
    static ALLOCATED_BYTES: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    // Memory is still given and taken while a thread ends and its counter is gone.
    _ = ALLOCATED_BYTES.try_with(|allocated| allocated.set(allocated.get() + bytes));
}

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from the system allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        // SAFETY: the pointer came from the system allocator, with this layout.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocated_bytes<T>(work: impl FnOnce() -> T) -> usize {
    let before = ALLOCATED_BYTES.get();
    black_box(work());
    ALLOCATED_BYTES.get() - before
}

fn settings(version: Version) -> Settings {
    Settings { version, packet_bytes_max: 1 << 20 }
}

fn hot_path(application: &[u8]) -> Vec<Packet<'_>> {
    let qos = QoS::ExactlyOnce;
    let filters = [(Filter::new("$share/g/a/+/#"), Default::default())].into_iter().collect();
    vec![
        Packet::Publish(Publish::new("a/b", b"payload")),
        Packet::Publish(Publish { qos, packet_id: 1, application: application.into(), ..Publish::new("a", b"x") }),
        Packet::PubAck(Ack::new(1, Reason::SUCCESS)),
        Packet::PubRec(Ack::new(1, Reason::SUCCESS)),
        Packet::PubRel(Ack::new(1, Reason::SUCCESS)),
        Packet::PubComp(Ack::new(1, Reason::SUCCESS)),
        Packet::PubAck(Ack { reason_string: Some("no"), ..Ack::new(1, Reason::QUOTA_EXCEEDED) }),
        Packet::PingReq,
        Packet::Subscribe(Subscribe { packet_id: 1, subscription_id: Some(1), user_properties: (&[]).into(), filters }),
        Packet::Unsubscribe(Unsubscribe {
            packet_id: 1,
            user_properties: (&[]).into(),
            filters: [Filter::new("a/+")].into_iter().collect(),
        }),
    ]
}

#[test]
fn the_hot_path_allocates_nothing() {
    let mut application = Vec::new();
    put(&Property::ContentType("text"), &mut application);
    put(&Property::User("name", "value"), &mut application);
    for version in [Version::V31, Version::V311, Version::V5] {
        for packet in hot_path(&application) {
            let mut out = BytesMut::with_capacity(4096);
            assert_eq!(allocated_bytes(|| encode(&packet, version, &mut out)), 0, "{packet:?}");
            let decoding = allocated_bytes(|| decode(&out, settings(version)).unwrap().unwrap());
            assert_eq!(decoding, 0, "{packet:?}");
        }
        let mut out = BytesMut::new();
        encode(&Packet::PingResp, version, &mut out);
        assert_eq!(allocated_bytes(|| decode_from_server(&out, settings(version)).unwrap()), 0);
    }
}

#[test]
fn an_unfinished_packet_costs_nothing() {
    for claim in [
        &b"\x30\xff\xff\x3f"[..],
        b"\x30\xff\xff\xff\x7f",
        b"\x10\xff\xff\x3f\0\x04MQTT\x05",
        b"\x82\xff\xff\x3f\0\x01",
    ] {
        assert_eq!(allocated_bytes(|| decode(claim, settings(Version::V5)).is_ok()), 0);
        assert_eq!(allocated_bytes(|| decode_connect(claim, 1 << 20).is_ok()), 0);
    }
}

/// Properties that have others between them are copied, once.
#[test]
fn interleaved_properties_cost_their_bytes() {
    let pair = b"\x26\0\x01a\0\x011\x0B\x01";
    let mut properties = Vec::new();
    for _ in 0..1000 {
        properties.extend_from_slice(pair);
    }
    let mut packet = b"\0\x01t".to_vec();
    packet.extend_from_slice(&[properties.len() as u8 | 0x80, (properties.len() >> 7) as u8]);
    packet.extend(properties);
    let mut bytes = vec![0x30, packet.len() as u8 | 0x80, (packet.len() >> 7) as u8];
    bytes.extend(packet);
    let allocated = allocated_bytes(|| decode_from_server(&bytes, settings(Version::V5)).unwrap().unwrap());
    // The copy, and a thousand identifiers of four bytes in a vector that doubles.
    assert!(allocated <= bytes.len() + 4 * 1024 * 2, "{allocated}");
}

/// The shortest filter takes three bytes of a packet: the worst that a packet can be blown up to.
#[test]
fn the_most_filters_cost_a_bounded_amount() {
    let mut body = b"\0\x01".to_vec();
    body.extend(std::iter::repeat_n(*b"\0\x01t\0", FILTERS_MAX + 1).flatten());
    let mut bytes = vec![0x82];
    let mut rest = body.len();
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes.extend(body);
    let allocated = allocated_bytes(|| decode(&bytes, settings(Version::V311)).is_err());
    assert!(allocated <= FILTERS_MAX * 80 * 2, "{allocated}");
}
