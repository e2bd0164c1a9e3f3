//! What a message costs in the codec, on one core, next to rmqtt-codec and mqttbytes in the same run.
//!
//! `cargo run --release -p gantry-mqtt --example codec_speed`

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use gantry_mqtt::codec::packet::{Ack, Packet, Publish, QoS, Version};
use gantry_mqtt::codec::properties::{Property, put};
use gantry_mqtt::codec::reason::Reason;
use gantry_mqtt::codec::*;
use tokio_util::codec::Decoder;

const BATCH_MESSAGES: usize = 1000;
const ROUND: Duration = Duration::from_millis(400);
const ROUNDS: usize = 5;
const TOPIC: &str = "plant/7/line/3/temperature";

/// Time that this thread has had a core for: what else the machine does counts for little. Where the system does not tell, the
/// time that has passed.
fn core_time(start: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|text| text.split_whitespace().next().and_then(|first| first.parse().ok()));
    nanoseconds.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

/// The best of some rounds, in million messages a second of one core.
fn measure(name: &str, mut batch: impl FnMut()) -> f64 {
    let mut best = 0f64;
    for _ in 0..ROUNDS {
        let (start, mut messages) = (Instant::now(), 0);
        let before = core_time(start);
        while start.elapsed() < ROUND {
            batch();
            messages += BATCH_MESSAGES;
        }
        let taken = core_time(start).saturating_sub(before);
        best = best.max(messages as f64 / taken.as_secs_f64() / 1e6);
    }
    println!("{name:<58} {best:>8.2} M messages/s {:>8.1} ns", 1000.0 / best);
    best
}

fn publishes(publish: &Publish<'_>, version: Version) -> Bytes {
    let mut out = BytesMut::new();
    for _ in 0..BATCH_MESSAGES {
        encode(&Packet::Publish(publish.clone()), version, &mut out);
    }
    out.freeze()
}

/// Cuts all packets and keeps a share of each payload: what a connection does.
fn decode_ours(input: &Bytes, version: Version) {
    let settings = Settings { version, packet_bytes_max: 1 << 20 };
    let mut rest = &input[..];
    while let Ok(Some((packet, taken))) = decode(rest, settings) {
        if let Packet::Publish(publish) = &packet {
            drop(black_box(input.slice_ref(publish.payload)));
        }
        black_box(&packet);
        rest = &rest[taken..];
    }
    assert!(rest.is_empty());
}

fn decode_rmqtt(input: &Bytes, version: Version) {
    let mut input = BytesMut::from(&input[..]);
    let mut messages = 0;
    if version == Version::V5 {
        let mut codec = rmqtt_codec::v5::Codec::new(1 << 20, 0);
        while let Ok(Some(packet)) = codec.decode(&mut input) {
            black_box(packet);
            messages += 1;
        }
    } else {
        let mut codec = rmqtt_codec::v3::Codec::new(1 << 20);
        while let Ok(Some(packet)) = codec.decode(&mut input) {
            black_box(packet);
            messages += 1;
        }
    }
    assert_eq!(messages, BATCH_MESSAGES);
}

fn decode_mqttbytes(input: &Bytes, version: Version) {
    let mut input = BytesMut::from(&input[..]);
    for _ in 0..BATCH_MESSAGES {
        if version == Version::V5 {
            black_box(mqttbytes::v5::read(&mut input, 1 << 20).is_ok());
        } else {
            black_box(mqttbytes::v4::read(&mut input, 1 << 20).is_ok());
        }
    }
    assert!(input.is_empty());
}

fn encode_ours(out: &mut BytesMut, publish: &Publish<'_>, version: Version) {
    out.clear();
    for _ in 0..BATCH_MESSAGES {
        encode_publish_head(publish, version, out);
        out.extend_from_slice(publish.payload);
    }
    black_box(&out);
}

fn main() {
    let payload = [b'x'; 64];
    let plain = Publish::new(TOPIC, &payload);
    let qos_1 = Publish { qos: QoS::AtLeastOnce, packet_id: 7, ..plain.clone() };
    let mut application = Vec::new();
    put(&Property::ContentType("application/octet-stream"), &mut application);
    put(&Property::User("tenant", "acme"), &mut application);
    put(&Property::User("trace", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), &mut application);
    let with_properties = Publish { message_expiry_s: Some(60), application: application.into(), ..plain.clone() };

    println!(
        "64 B payloads, {TOPIC}, batches of {BATCH_MESSAGES}, best of {ROUNDS} rounds of {} ms",
        ROUND.as_millis()
    );
    println!("rmqtt-codec and mqttbytes get a copy of the batch, which they take apart\n");
    for (name, publish, version) in [
        ("decode PUBLISH, 3.1.1, QoS 0", &plain, Version::V311),
        ("decode PUBLISH, 5.0, QoS 0", &plain, Version::V5),
        ("decode PUBLISH, 5.0, QoS 1", &qos_1, Version::V5),
        ("decode PUBLISH, 5.0, expiry and 3 properties", &with_properties, Version::V5),
    ] {
        let input = publishes(publish, version);
        let ours = measure(name, || decode_ours(&input, version));
        let theirs = measure("  rmqtt-codec", || decode_rmqtt(&input, version));
        println!("  ratio {:.1}", ours / theirs);
        let theirs = measure("  mqttbytes", || decode_mqttbytes(&input, version));
        println!("  ratio {:.1}", ours / theirs);
    }

    let mut out = BytesMut::new();
    measure("encode PUBLISH, 3.1.1, QoS 0", || encode_ours(&mut out, &plain, Version::V311));
    measure("encode PUBLISH, 5.0, QoS 0", || encode_ours(&mut out, &plain, Version::V5));
    measure("encode PUBLISH, 5.0, QoS 1", || encode_ours(&mut out, &qos_1, Version::V5));
    measure("encode PUBLISH, 5.0, expiry and 3 properties", || encode_ours(&mut out, &with_properties, Version::V5));
    let theirs = mqttbytes::v5::Publish::new(TOPIC, mqttbytes::QoS::AtMostOnce, payload.to_vec());
    measure("  mqttbytes, 5.0, QoS 0", || {
        out.clear();
        for _ in 0..BATCH_MESSAGES {
            black_box(theirs.write(&mut out).is_ok());
        }
    });
    measure("encode PUBACK", || {
        out.clear();
        for id in 0..BATCH_MESSAGES as u16 {
            encode(&Packet::PubAck(Ack::new(id | 1, Reason::SUCCESS)), Version::V5, &mut out);
        }
        black_box(&out);
    });
}
