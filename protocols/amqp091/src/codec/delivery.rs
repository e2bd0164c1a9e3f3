//! Encoders of the hot path: what goes out once a message, or once an acknowledgement.
//!
//! They write the same bytes as [`Method::encode_frame`](super::Method::encode_frame), with one reservation of
//! room and the length known beforehand.

use super::frame::{FRAME_END, FRAME_OVERHEAD_BYTES, FrameKind, frame_head};
use super::properties::RawProperties;
use super::wire::{ShortStr, ShortText};
use bytes::{BufMut, BytesMut};

const METHOD_IDS_BYTES: usize = 4;

/// Starts a method frame of class basic: makes room for all of it and writes up to the method's fields.
#[inline]
fn start_basic(out: &mut BytesMut, channel: u16, method_id: u8, fields_bytes: usize) {
    let payload_bytes = METHOD_IDS_BYTES + fields_bytes;
    out.reserve(payload_bytes + FRAME_OVERHEAD_BYTES);
    let [kind, c0, c1, l0, l1, l2, l3] = frame_head(FrameKind::Method, channel, payload_bytes as u32);
    out.put_slice(&[kind, c0, c1, l0, l1, l2, l3, 0, 60, 0, method_id]);
}

#[inline]
fn put_short(out: &mut BytesMut, string: ShortStr<'_>) {
    // The type holds no more than 255 bytes.
    out.put_u8(string.as_bytes().len() as u8);
    out.put_slice(string.as_bytes());
}

#[inline]
fn short_bytes(string: ShortStr<'_>) -> usize {
    1 + string.as_bytes().len()
}

/// Appends basic.deliver.
#[inline]
pub fn encode_deliver(
    out: &mut BytesMut,
    channel: u16,
    consumer_tag: ShortStr<'_>,
    delivery_tag: u64,
    redelivered: bool,
    exchange: ShortStr<'_>,
    routing_key: ShortStr<'_>,
) {
    start_basic(out, channel, 60, short_bytes(consumer_tag) + 9 + short_bytes(exchange) + short_bytes(routing_key));
    put_short(out, consumer_tag);
    put_tag_and_bit(out, delivery_tag, redelivered);
    put_short(out, exchange);
    put_short(out, routing_key);
    out.put_u8(FRAME_END);
}

/// Appends basic.get-ok.
#[inline]
pub fn encode_get_ok(
    out: &mut BytesMut,
    channel: u16,
    delivery_tag: u64,
    redelivered: bool,
    exchange: ShortStr<'_>,
    routing_key: ShortStr<'_>,
    message_count: u32,
) {
    start_basic(out, channel, 71, 9 + short_bytes(exchange) + short_bytes(routing_key) + 4);
    put_tag_and_bit(out, delivery_tag, redelivered);
    put_short(out, exchange);
    put_short(out, routing_key);
    out.put_u32(message_count);
    out.put_u8(FRAME_END);
}

/// Appends basic.return.
#[inline]
pub fn encode_return(
    out: &mut BytesMut,
    channel: u16,
    reply_code: u16,
    reply_text: ShortText<'_>,
    exchange: ShortStr<'_>,
    routing_key: ShortStr<'_>,
) {
    let reply_text = ShortStr::from(reply_text);
    start_basic(out, channel, 50, 2 + short_bytes(reply_text) + short_bytes(exchange) + short_bytes(routing_key));
    out.put_u16(reply_code);
    put_short(out, reply_text);
    put_short(out, exchange);
    put_short(out, routing_key);
    out.put_u8(FRAME_END);
}

/// Appends basic.ack, which confirms to a publisher.
#[inline]
pub fn encode_ack(out: &mut BytesMut, channel: u16, delivery_tag: u64, multiple: bool) {
    start_basic(out, channel, 80, 9);
    put_tag_and_bit(out, delivery_tag, multiple);
    out.put_u8(FRAME_END);
}

/// Appends basic.nack, which tells a publisher of a message that was not taken. `requeue` is unset: it means
/// nothing to a publisher.
#[inline]
pub fn encode_nack(out: &mut BytesMut, channel: u16, delivery_tag: u64, multiple: bool) {
    start_basic(out, channel, 120, 9);
    put_tag_and_bit(out, delivery_tag, multiple);
    out.put_u8(FRAME_END);
}

#[inline]
fn put_tag_and_bit(out: &mut BytesMut, delivery_tag: u64, bit: bool) {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = delivery_tag.to_be_bytes();
    out.put_slice(&[t0, t1, t2, t3, t4, t5, t6, t7, u8::from(bit)]);
}

/// Appends the content header frame of a message, with its properties as they came. The whole frame must not be
/// longer than the connection's frame-max: properties cannot be split.
#[inline]
pub fn encode_content_header(
    out: &mut BytesMut,
    channel: u16,
    class_id: u16,
    body_bytes: u64,
    properties: RawProperties<'_>,
) {
    let properties = properties.as_bytes();
    let payload_bytes = 12 + properties.len();
    out.reserve(payload_bytes + FRAME_OVERHEAD_BYTES);
    // Properties came in a frame, whose length is 32 bits.
    out.put_slice(&frame_head(FrameKind::Header, channel, payload_bytes as u32));
    out.put_u32(u32::from(class_id) << 16);
    out.put_u64(body_bytes);
    out.put_slice(properties);
    out.put_u8(FRAME_END);
}
