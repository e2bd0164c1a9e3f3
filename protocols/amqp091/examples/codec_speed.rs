//! What a message costs in the codec, on one core, next to amq-protocol in the same run.
//!
//! `cargo run --release -p gantry-amqp091 --example codec_speed`

use amq_protocol::frame::{AMQPFrame, WriteContext, gen_frame, parse_frame};
use amq_protocol::protocol::basic::{self, AMQPProperties};
use amq_protocol::protocol::{AMQPClass, BasicProperties};
use amq_protocol::types::{AMQPValue, FieldTable};
use bytes::{Bytes, BytesMut};
use gantry_amqp091::codec::methods::BasicPublish;
use gantry_amqp091::codec::table::encode_table;
use gantry_amqp091::codec::*;
use gantry_broker::value::Table;
use std::hint::black_box;
use std::time::{Duration, Instant};

const FRAME_BYTES_MAX: u32 = 131_072;
const BATCH_MESSAGES: usize = 1000;
const ROUND: Duration = Duration::from_millis(400);
const ROUNDS: usize = 5;

/// The best of some rounds, in million messages a second: what the core can do when nothing else wants it.
fn measure(name: &str, mut batch: impl FnMut()) -> f64 {
    let mut best = 0f64;
    for _ in 0..ROUNDS {
        let (start, mut messages) = (Instant::now(), 0);
        while start.elapsed() < ROUND {
            batch();
            messages += BATCH_MESSAGES;
        }
        best = best.max(messages as f64 / start.elapsed().as_secs_f64() / 1e6);
    }
    println!("{name:<58} {best:>8.2} M messages/s {:>8.1} ns", 1000.0 / best);
    best
}

fn short(text: &str) -> ShortStr<'_> {
    ShortStr::new(text.as_bytes()).unwrap_or_default()
}

fn properties(headers: RawTable<'_>) -> BytesMut {
    let mut list = BytesMut::new();
    let headers = (!headers.is_empty()).then_some(headers);
    let content_type = Some(short("application/octet-stream"));
    Properties { content_type, headers, delivery_mode: Some(2), ..Default::default() }.encode(&mut list);
    list
}

fn publishes(list: &[u8], body: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    for _ in 0..BATCH_MESSAGES {
        let publish =
            BasicPublish { exchange: short("amq.direct"), routing_key: short("orders"), ..Default::default() };
        Method::from(publish).encode_frame(1, &mut out);
        delivery::encode_content_header(&mut out, 1, 60, body.len() as u64, RawProperties::new(list));
        frame::encode_body(&mut out, 1, body, FRAME_BYTES_MAX);
    }
    out.freeze()
}

/// Cuts all frames, decodes method and properties and keeps a share of each body: what a connection does.
fn decode_ours(input: &Bytes) {
    let mut rest = &input[..];
    while let Ok(Some((frame, consumed))) = next_frame(rest, FRAME_BYTES_MAX) {
        match frame.kind {
            FrameKind::Method => _ = black_box(Method::decode(frame.payload)),
            FrameKind::Header => {
                let header = ContentHeader::decode(frame.payload);
                _ = black_box(header.and_then(|header| header.properties.validate()));
            }
            FrameKind::Body => drop(black_box(input.slice_ref(frame.payload))),
            FrameKind::Heartbeat => {}
        }
        rest = &rest[consumed..];
    }
    assert!(rest.is_empty());
}

fn decode_theirs(input: &[u8]) {
    let mut rest = input;
    while let Ok((left, frame)) = parse_frame(rest) {
        black_box(frame);
        rest = left;
    }
    assert!(rest.is_empty());
}

fn encode_ours(out: &mut BytesMut, list: &[u8], body: &[u8]) {
    out.clear();
    let (tag, exchange, key) = (short("ctag1.0123456789abcdef"), short("amq.direct"), short("orders"));
    for delivery_tag in 0..BATCH_MESSAGES as u64 {
        delivery::encode_deliver(out, 1, tag, delivery_tag, false, exchange, key);
        delivery::encode_content_header(out, 1, 60, body.len() as u64, RawProperties::new(list));
        frame::encode_body(out, 1, body, FRAME_BYTES_MAX);
    }
    black_box(&out);
}

fn encode_theirs(mut out: Vec<u8>, properties: &AMQPProperties, body: &[u8]) -> Vec<u8> {
    out.clear();
    for delivery_tag in 0..BATCH_MESSAGES as u64 {
        let deliver = basic::Deliver {
            consumer_tag: "ctag1.0123456789abcdef".into(),
            delivery_tag,
            redelivered: false,
            exchange: "amq.direct".into(),
            routing_key: "orders".into(),
        };
        let method = AMQPFrame::Method(1, AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver)));
        let header = amq_protocol::frame::AMQPContentHeader {
            class_id: 60,
            body_size: body.len() as u64,
            properties: properties.clone(),
        };
        for frame in [method, AMQPFrame::Header(1, header), AMQPFrame::Body(1, body.to_vec())] {
            out = match gen_frame(&frame)(WriteContext::from(out)) {
                Ok(context) => context.write,
                Err(error) => panic!("{error:?}"),
            };
        }
    }
    black_box(&out);
    out
}

fn main() {
    let body = [b'x'; 64];
    let plain = properties(RawTable::EMPTY);

    let mut entries = Table::new();
    entries.push("x-retries", 3);
    entries.push("tenant", "acme");
    entries.push("trace", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let mut table = BytesMut::new();
    if let Err(error) = encode_table(&entries, &mut table) {
        panic!("{error}");
    }
    let with_headers = properties(RawTable::new(&table));

    let input = publishes(&plain, &body);
    let input_with_headers = publishes(&with_headers, &body);
    println!("64 B bodies, batches of {BATCH_MESSAGES}, best of {ROUNDS} rounds of {} ms\n", ROUND.as_millis());
    let ours = measure("decode publish, header, body", || decode_ours(&input));
    let theirs = measure("  amq-protocol", || decode_theirs(&input));
    println!("  ratio {:.1}", ours / theirs);
    let ours = measure("decode publish, header with 3 headers, body", || decode_ours(&input_with_headers));
    let theirs = measure("  amq-protocol", || decode_theirs(&input_with_headers));
    println!("  ratio {:.1}", ours / theirs);

    let mut out = BytesMut::new();
    let ours = measure("encode deliver, header, body", || encode_ours(&mut out, &plain, &body));
    let their_properties =
        BasicProperties::default().with_content_type("application/octet-stream".into()).with_delivery_mode(2);
    let mut their_out = Vec::new();
    let theirs = measure("  amq-protocol", || {
        their_out = encode_theirs(std::mem::take(&mut their_out), &their_properties, &body);
    });
    println!("  ratio {:.1}", ours / theirs);
    let ours = measure("encode deliver, header with 3 headers, body", || encode_ours(&mut out, &with_headers, &body));
    let mut headers = FieldTable::default();
    headers.insert("x-retries".into(), AMQPValue::LongInt(3));
    headers.insert("tenant".into(), AMQPValue::LongString("acme".into()));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    headers.insert("trace".into(), AMQPValue::LongString(trace.into()));
    let their_properties = their_properties.with_headers(headers);
    let theirs = measure("  amq-protocol", || {
        their_out = encode_theirs(std::mem::take(&mut their_out), &their_properties, &body);
    });
    println!("  ratio {:.1}", ours / theirs);

    measure("encode confirm (basic.ack)", || {
        out.clear();
        for delivery_tag in 0..BATCH_MESSAGES as u64 {
            delivery::encode_ack(&mut out, 1, delivery_tag, false);
        }
        black_box(&out);
    });
}
