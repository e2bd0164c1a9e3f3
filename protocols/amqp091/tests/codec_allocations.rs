//! Decoding allocates nothing, and what it allocates for a table follows the bytes that are there.

// A global allocator cannot be written without `unsafe`; this one only counts and passes on.
#![allow(unsafe_code)]

use bytes::BytesMut;
use gantry_amqp091::codec::{
    ContentHeader, Method, Properties, RawProperties, RawTable, ShortStr, delivery, frame, methods, next_frame,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

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

fn text(text: &str) -> ShortStr<'_> {
    ShortStr::new(text.as_bytes()).unwrap()
}

#[test]
fn the_hot_path_allocates_nothing() {
    let table = b"\x01aS\0\0\0\x03abc\x01bF\0\0\0\x04\x01cB\x01";
    let (mut list, mut input) = (BytesMut::new(), BytesMut::new());
    Properties { content_type: Some(text("text")), headers: Some(RawTable::new(table)), ..Default::default() }
        .encode(&mut list);
    let publish = methods::BasicPublish { exchange: text("e"), routing_key: text("k"), ..Default::default() };
    Method::from(publish).encode_frame(1, &mut input);
    delivery::encode_content_header(&mut input, 1, 60, 5, RawProperties::new(&list));
    frame::encode_body(&mut input, 1, b"hello", 4096);
    let decoding = allocated_bytes(|| {
        let (method, consumed) = next_frame(&input, 4096).unwrap().unwrap();
        Method::decode(method.payload).unwrap();
        let rest = &input[consumed..];
        let (header, consumed) = next_frame(rest, 4096).unwrap().unwrap();
        let properties = ContentHeader::decode(header.payload).unwrap().properties.validate().unwrap();
        properties.headers.unwrap().get(b"b").unwrap().unwrap();
        next_frame(&rest[consumed..], 4096).unwrap().unwrap();
    });
    assert_eq!(decoding, 0);

    let mut out = BytesMut::with_capacity(4096);
    let encoding = allocated_bytes(|| {
        delivery::encode_deliver(&mut out, 1, text("tag"), 1, false, text("e"), text("k"));
        delivery::encode_content_header(&mut out, 1, 60, 5, RawProperties::new(&list));
        frame::encode_body(&mut out, 1, b"hello", 4096);
        delivery::encode_ack(&mut out, 1, 1, true);
    });
    assert_eq!(encoding, 0);
}

#[test]
fn claimed_lengths_cost_nothing() {
    let claims: [&[u8]; 4] = [
        b"\x01aS\xff\xff\xff\xff",
        b"\x01ax\x7f\xff\xff\xff",
        b"\x01aA\xff\xff\xff\xff",
        b"\x01aF\x40\0\0\0\x01bA\x3f\xff\xff\xff",
    ];
    for claim in claims {
        assert_eq!(allocated_bytes(|| RawTable::new(claim).decode()), 0, "{}", claim.escape_ascii());
    }
    assert_eq!(
        allocated_bytes(|| next_frame(&frame::frame_head(frame::FrameKind::Body, 1, u32::MAX), 4096).is_err()),
        0
    );
    assert_eq!(allocated_bytes(|| ContentHeader::decode(b"\0\x3c\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0")), 0);
}

/// The smallest value takes one byte of an array: the worst that a frame can be blown up to.
#[test]
fn the_densest_array_costs_a_bounded_multiple_of_its_bytes() {
    let elements = 100_000;
    let mut table = b"\x01aA".to_vec();
    table.extend_from_slice(&(elements as u32).to_be_bytes());
    table.extend(std::iter::repeat_n(b'V', elements));
    let bytes = allocated_bytes(|| RawTable::new(&table).decode().unwrap());
    // 32 bytes a value, and a vector that doubles while it grows, all of its sizes added up.
    assert!(bytes <= elements * 32 * 4, "{bytes} bytes");
}
