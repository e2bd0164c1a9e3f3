//! What must hold for any bytes: nothing panics, a frame is there when its last byte is and not before, it does not matter in
//! which pieces it comes, and what was read means the same when it is written and read again.

use gantry_stomp::codec::*;
use gantry_stomp::destinations::{Destination, Dialect, rabbitmq};

/// Small, so that they are reached.
const LIMITS: Limits = Limits { header_bytes_max: 1024, headers_max: 16, body_bytes_max: 2048 };

/// Takes the bytes for all that a client sends; the first picks the version.
pub fn check_frames(bytes: &[u8]) {
    let Some((&first, mut rest)) = bytes.split_first() else { return };
    let version = match first % 3 {
        0 => Version::V1_2,
        1 => Version::V1_1,
        _ => Version::V1_0,
    };
    loop {
        let mut progress = Progress::default();
        match decode(rest, &mut progress, version, &LIMITS) {
            Ok(Decoded::Frame(frame, taken)) => {
                assert!(taken >= 5 && taken <= LIMITS.header_bytes_max + LIMITS.body_bytes_max + 1);
                assert_eq!(rest[taken - 1], 0);
                check_pieces(&rest[..taken], version);
                check_again(&frame);
                rest = &rest[taken..];
            }
            Ok(Decoded::Skipped(taken)) => {
                assert!(rest[..taken].iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)));
                rest = &rest[taken..];
            }
            Ok(Decoded::Incomplete) => {
                assert!(rest.len() <= LIMITS.header_bytes_max + LIMITS.body_bytes_max);
                return;
            }
            Err(error) => {
                assert!(error.to_string().len() < 256);
                return;
            }
        }
    }
}

/// A frame that comes slowly is not there before its end.
fn check_pieces(bytes: &[u8], version: Version) {
    let mut progress = Progress::default();
    for end in (0..bytes.len()).step_by(bytes.len() / 16 + 1) {
        assert!(matches!(decode(&bytes[..end], &mut progress, version, &LIMITS), Ok(Decoded::Incomplete)));
    }
    let whole = decode(bytes, &mut progress, version, &LIMITS);
    assert!(matches!(whole, Ok(Decoded::Frame(_, taken)) if taken == bytes.len()));
}

fn check_again(frame: &Frame<'_>) {
    let mut lines = Vec::new();
    for header in frame.headers.first_lines() {
        escape(&frame.headers.meaning(header.name), &mut lines);
        lines.push(b':');
        escape(&frame.headers.meaning(header.value), &mut lines);
        lines.push(b'\n');
    }
    let again = Headers::escaped(&lines);
    assert!(again.iter().eq(frame.headers.iter()));
    for (name, value) in frame.headers.iter() {
        if !name.contains('\u{FFFD}') {
            assert_eq!(again.get(&name).as_deref(), Some(&*value));
        }
    }
    for version in [Version::V1_0, Version::V1_1, Version::V1_2] {
        let mut out = Vec::new();
        let mut writer = FrameWriter::new(&mut out, version, Answer::Message);
        writer.lines(&lines);
        writer.body(b"");
        // As many lines as headers, whatever is in them.
        let ends = out.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(ends, again.lines().count() + 3);
        assert_eq!(out.iter().position(|byte| *byte == 0), Some(out.len() - 2));
    }
}

/// Takes the bytes for a destination in both dialects.
pub fn check_destination(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for dialect in [Dialect::RabbitMq, Dialect::ActiveMq] {
        match Destination::parse(dialect, &text) {
            Ok(Destination::Composite(parts)) => {
                assert!(dialect == Dialect::ActiveMq && parts.len() > 1);
                parts.iter().for_each(check_names);
            }
            Ok(destination) => check_names(&destination),
            Err(_) => {}
        }
    }
    assert!(rabbitmq::durable_queue(&text, &text).len() < 64);
}

fn check_names(destination: &Destination<'_>) {
    match destination {
        Destination::Queue(name)
        | Destination::AmqQueue(name)
        | Destination::Topic(name)
        | Destination::TempQueue(name)
        | Destination::TempTopic(name)
        | Destination::ReplyQueue(name)
        | Destination::ReplyTopic(name)
        | Destination::Exchange { exchange: name, .. } => assert!(!name.is_empty()),
        Destination::Composite(_) => panic!("a part that is composite itself"),
    }
}
