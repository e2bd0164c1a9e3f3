//! What the codec does with single frames and values. Generated input, the oracle and hostile input are below.

mod hostile;
mod oracle;
mod rabbitmq;
mod round_trip;
pub(super) mod samples;

use super::*;
use bytes::BytesMut;
use gantry_broker::value::{Table, Value};

#[test]
fn ids_and_names_of_methods_are_unique() {
    for (index, one) in Method::ALL.iter().enumerate() {
        assert!(Method::ALL[index + 1..].iter().all(|other| (one.0, one.1) != (other.0, other.1) && one.2 != other.2));
    }
    assert_eq!(Method::ALL.len(), 66);
}

#[test]
fn a_method_is_written_as_rabbitmq_writes_it() {
    let mut out = BytesMut::new();
    let method = methods::QueueDeclare {
        queue: ShortText::new("q").unwrap(),
        durable: true,
        no_wait: true,
        ..Default::default()
    };
    Method::from(method).encode_frame(7, &mut out);
    assert_eq!(&out[..], b"\x01\0\x07\0\0\0\x0d\0\x32\0\x0a\0\0\x01q\x12\0\0\0\0\xCE");
    let (frame, consumed) = next_frame(&out, 4096).unwrap().unwrap();
    assert_eq!(consumed, out.len());
    assert_eq!(Method::decode(frame.payload), Ok(Method::QueueDeclare(method)));
}

#[test]
fn bits_share_octets_until_another_field_comes() {
    let mut out = BytesMut::new();
    let consume = methods::BasicConsume { exclusive: true, no_local: true, ..Default::default() };
    Method::from(consume).encode_frame(1, &mut out);
    assert_eq!(out[14..16], [0, 0b0101], "empty consumer tag, then the four bits");
    let request = methods::AccessRequest { read: true, exclusive: true, ..Default::default() };
    out.clear();
    Method::from(request).encode_frame(1, &mut out);
    assert_eq!(out[11..13], [0, 0b1_0001]);
}

#[test]
fn the_protocol_header_is_told_as_early_as_possible() {
    let header = frame::PROTOCOL_HEADER;
    for length in 0..8 {
        assert_eq!(parse_protocol_header(&header[..length]), ProtocolHeader::Incomplete);
    }
    assert_eq!(parse_protocol_header(&header), ProtocolHeader::Amqp091);
    assert_eq!(parse_protocol_header(b"AMQP\0\0\x09\x01\x01\0"), ProtocolHeader::Amqp091);
    assert_eq!(parse_protocol_header(b"AMQP\x01\x01\0\x09"), ProtocolHeader::Amqp091);
    assert_eq!(parse_protocol_header(b"AMQP\x01\x01\x09\x01"), ProtocolHeader::Other(*b"AMQP\x01\x01\x09\x01"));
    assert_eq!(parse_protocol_header(b"AMQP\0\x01\0\0"), ProtocolHeader::Other(*b"AMQP\0\x01\0\0"));
    assert_eq!(parse_protocol_header(b"GET"), ProtocolHeader::Other(*b"GET\0\0\0\0\0"));
}

#[test]
fn a_body_is_cut_to_frame_max() {
    let body: Vec<u8> = (0..20_000u32).map(|n| n as u8).collect();
    let mut out = BytesMut::new();
    frame::encode_body(&mut out, 9, &body, 4096);
    let (mut rest, mut joined) = (&out[..], Vec::new());
    while let Some((frame, consumed)) = next_frame(rest, 4096).unwrap() {
        assert_eq!((frame.kind, frame.channel), (FrameKind::Body, 9));
        assert!(consumed <= 4096);
        joined.extend_from_slice(frame.payload);
        rest = &rest[consumed..];
    }
    assert!(rest.is_empty());
    assert_eq!(joined, body);
    assert_eq!(out.len(), body.len() + 8 * body.len().div_ceil(4088));

    out.clear();
    frame::encode_body(&mut out, 9, b"", 4096);
    assert!(out.is_empty());
}

#[test]
fn a_frame_is_judged_by_its_head() {
    let mut buf = frame::frame_head(FrameKind::Body, 1, 4097).to_vec();
    assert_eq!(next_frame(&buf[..6], 4096), Ok(None));
    assert!(matches!(
        next_frame(&buf, 4096),
        Err(FrameError::TooLarge { kind: 3, payload_bytes: 4097, payload_bytes_max: 4088 })
    ));
    buf[6] = 0;
    assert_eq!(next_frame(&buf, 4096), Ok(None), "a payload of frame-max passes, once it is there");
    buf[0] = b'G';
    assert!(matches!(next_frame(&buf, 4096), Err(FrameError::Unknown { kind: b'G', .. })));
}

#[test]
fn the_first_frame_is_cut_off_and_the_next_left() {
    let mut buf = BytesMut::from(&frame::HEARTBEAT[..]);
    delivery::encode_ack(&mut buf, 3, 77, true);
    let (frame, consumed) = next_frame(&buf, 4096).unwrap().unwrap();
    assert_eq!((frame.kind, frame.channel, frame.payload, consumed), (FrameKind::Heartbeat, 0, &[][..], 8));
    let (frame, _) = next_frame(&buf[consumed..], 4096).unwrap().unwrap();
    let ack = methods::BasicAck { delivery_tag: 77, multiple: true };
    assert_eq!((frame.channel, Method::decode(frame.payload)), (3, Ok(Method::BasicAck(ack))));
}

#[test]
fn lookup_in_a_raw_table_takes_the_first_of_a_name() {
    let table: Table = [("a", Value::I8(1)), ("b", Value::from("x")), ("a", Value::I8(2))].into_iter().collect();
    let mut out = BytesMut::new();
    table::encode_table(&table, &mut out).unwrap();
    let raw = RawTable::new(&out);
    assert_eq!(raw.get(b"a"), Ok(Some(table::RawValue::I8(1))));
    assert_eq!(raw.get(b"b"), Ok(Some(table::RawValue::Text(b"x"))));
    assert_eq!(raw.get(b"c"), Ok(None));
    assert_eq!(raw.get(b"b").unwrap().unwrap().decode(), Ok(Value::from("x")));
}

#[test]
fn a_table_that_cannot_be_written_leaves_nothing_behind() {
    let mut out = BytesMut::from(&b"before"[..]);
    let table: Table = [("ok".to_string(), Value::Null), ("n".repeat(256), Value::Null)].into_iter().collect();
    assert_eq!(table::encode_table(&table, &mut out), Err(table::EncodeTableError::NameTooLong));
    let mut deep = Value::Null;
    for _ in 0..gantry_broker::value::NESTING_MAX {
        deep = Value::Array(vec![deep]);
    }
    let table: Table = [("deep", deep)].into_iter().collect();
    assert_eq!(table::encode_table(&table, &mut out), Err(table::EncodeTableError::TooDeep));
    assert_eq!(&out[..], b"before");
}

#[test]
fn short_strings_never_exceed_what_fits() {
    let long = "ä".repeat(200);
    assert_eq!(ShortText::new(&long), None);
    assert_eq!(ShortStr::new(long.as_bytes()), None);
    assert_eq!(ShortText::cut(&long).len(), 254, "no character is cut in half");
    let text = ReplyCode::NotFound.text(&long);
    assert!(text.len() <= 255 && text.ends_with("ä..."), "{text}");
    assert_eq!(ReplyCode::NotFound.text("no queue"), "NOT_FOUND - no queue");
}
