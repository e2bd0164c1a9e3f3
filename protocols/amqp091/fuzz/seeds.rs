//! Writes the seed corpus into `corpus/frame` and `corpus/method`: every method once, properties and tables of every
//! type, and the shapes that have broken brokers. Run by `run.sh seeds`; the result is checked in.

use bytes::BytesMut;
use gantry_amqp091::codec::{FrameKind, Method, Properties, RawProperties, RawTable, ShortStr, delivery, frame};
use std::error::Error;
use std::fs;
use std::path::Path;

/// Contents of a table with a value of every type, and the same again one level down.
fn every_type() -> Vec<u8> {
    let values: [&[u8]; 18] = [
        b"t\x01",
        b"b\xff",
        b"B\xff",
        b"s\xff\xfe",
        b"u\xff\xfe",
        b"I\xff\xff\xff\xfe",
        b"i\xff\xff\xff\xfe",
        b"l\xff\xff\xff\xff\xff\xff\xff\xfe",
        b"L\xff\xff\xff\xff\xff\xff\xff\xfe",
        b"f\x7f\xc0\0\x01",
        b"d\x7f\xf8\0\0\0\0\0\x01",
        b"D\x02\0\0\x01\x3a",
        b"T\0\0\0\0\x65\x92\0\x80",
        b"S\0\0\0\x02\xff\xfe",
        b"x\0\0\0\x02\0\x01",
        b"A\0\0\0\x03VB\x01",
        b"F\0\0\0\x03\x01nV",
        b"V",
    ];
    let mut table = Vec::new();
    for value in values {
        table.extend_from_slice(b"\x01k");
        table.extend_from_slice(value);
    }
    let inner = table.clone();
    table.extend_from_slice(b"\x05innerF");
    table.extend_from_slice(&(inner.len() as u32).to_be_bytes());
    table.extend_from_slice(&inner);
    table
}

fn nested(octet: u8, name: &[u8], levels: usize) -> Vec<u8> {
    let mut contents = b"\x01zV".to_vec();
    if octet == b'A' {
        contents = b"V".to_vec();
    }
    for _ in 0..levels {
        let mut outer = name.to_vec();
        outer.push(octet);
        outer.extend_from_slice(&(contents.len() as u32).to_be_bytes());
        outer.extend_from_slice(&contents);
        contents = outer;
    }
    if octet == b'A' { [b"\x01a", &contents[..]].concat() } else { contents }
}

/// Shortest run of zeros that is a valid list of fields.
fn emptiest(class_id: u16, method_id: u16) -> Option<Vec<u8>> {
    let mut payload = [class_id.to_be_bytes(), method_id.to_be_bytes()].concat();
    while payload.len() < 64 {
        if Method::decode(&payload).is_ok() {
            return Some(payload);
        }
        payload.push(0);
    }
    None
}

fn queue_declare(arguments: &[u8]) -> Vec<u8> {
    let mut payload = b"\0\x32\0\x0a\0\0\x05queue\x12".to_vec();
    payload.extend_from_slice(&(arguments.len() as u32).to_be_bytes());
    payload.extend_from_slice(arguments);
    payload
}

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in ["frame", "method"] {
        fs::create_dir_all(root.join(target))?;
    }
    let write = |target: &str, name: &str, bytes: &[u8]| fs::write(root.join(target).join(name), bytes);

    let mut all = BytesMut::new();
    for (class_id, method_id, name) in Method::ALL {
        let payload = emptiest(*class_id, *method_id).ok_or_else(|| format!("no empty {name}"))?;
        Method::decode(&payload).map_err(|e| e.to_string())?.encode_frame(1, &mut all);
        write("method", name, &payload)?;
    }
    write("frame", "every-method", &all)?;

    let table = every_type();
    write("method", "table", &table)?;
    write("method", "queue.declare-arguments", &queue_declare(&table))?;

    let text = ShortStr::new(b"text");
    let properties = Properties {
        content_type: text,
        content_encoding: text,
        headers: Some(RawTable::new(&table)),
        delivery_mode: Some(2),
        priority: Some(9),
        correlation_id: text,
        reply_to: text,
        expiration: ShortStr::new(b"60000"),
        message_id: text,
        timestamp: Some(1_700_000_000),
        kind: text,
        user_id: text,
        app_id: text,
        cluster_id: text,
    };
    let mut list = BytesMut::new();
    properties.encode(&mut list);
    let mut content = BytesMut::from(&b"\x01\0\x01\0\0\0\x0e\0\x3c\0\x28\0\0\x02ex\x03key\x01\xCE"[..]);
    delivery::encode_content_header(&mut content, 1, 60, 5, RawProperties::new(&list));
    frame::encode_body(&mut content, 1, b"hello", frame::FRAME_BYTES_MIN);
    content.extend_from_slice(&frame::HEARTBEAT);
    write("frame", "publish", &content)?;
    write("method", "content-header", &[&b"\0\x3c\0\0\0\0\0\0\0\0\0\x05"[..], &list].concat())?;

    for levels in [30, 31, 32, 400] {
        write("method", &format!("nested-tables-{levels}"), &nested(b'F', b"\x01a", levels))?;
        write("method", &format!("nested-arrays-{levels}"), &nested(b'A', b"", levels))?;
    }
    write("method", "table-length-4-gib", b"\x01aS\xff\xff\xff\xff")?;
    write("method", "arguments-length-4-gib", b"\0\x32\0\x0a\0\0\x01q\0\xff\xff\xff\xff")?;
    write("method", "flags-continued", b"\0\x3c\0\0\0\0\0\0\0\0\0\0\x80\x01\0\0\x01x")?;
    write("frame", "length-4-gib", &frame::frame_head(FrameKind::Method, 1, u32::MAX))?;
    write("frame", "unknown-type", b"\x09\0\0\0\0\0\x03abc\xCE")?;
    write("frame", "bad-end", b"\x01\0\x01\0\0\0\x04\0\x3c\0\x50\0")?;
    write("frame", "heartbeat-on-a-channel", b"\x08\0\x01\0\0\0\0\xCE")?;
    Ok(())
}
