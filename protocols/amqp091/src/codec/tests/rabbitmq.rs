//! Codes and texts that RabbitMQ 3.10.8 answered to the same bytes, and where this codec answers otherwise and why.

use crate::codec::*;

fn frame(kind: u8, channel: u16, payload: &[u8], end: u8) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
    out.push(end);
    out
}

fn answer(bytes: &[u8], frame_bytes_max: u32) -> (u16, String, (u16, u16)) {
    let error: CodecError = match next_frame(bytes, frame_bytes_max) {
        Err(error) => error.into(),
        Ok(None) => panic!("frame is not whole"),
        Ok(Some((frame, _))) => match frame.kind {
            FrameKind::Method => Method::decode(frame.payload).unwrap_err().into(),
            FrameKind::Header => {
                let header = ContentHeader::decode(frame.payload);
                header.and_then(|header| header.properties.validate()).unwrap_err().into()
            }
            other => panic!("{other:?} frame is fine"),
        },
    };
    (error.reply_code().code(), error.reply_text(), error.method_ids())
}

fn assert_answer(bytes: &[u8], code: u16, text: &str, method_ids: (u16, u16)) {
    assert_eq!(answer(bytes, 131_072), (code, text.to_string(), method_ids));
}

#[test]
fn frames() {
    let text = "FRAME_ERROR - type 9, all octets = <<\"abc\">>: unknown_frame";
    assert_answer(&frame(9, 0, b"abc", 0xCE), 501, text, (0, 0));
    let text = "FRAME_ERROR - type 9, first 16 octets = <<\"abcdefghijklmnop\">>: unknown_frame";
    assert_answer(&frame(9, 1, b"abcdefghijklmnopqrstuvw", 0xCE), 501, text, (0, 0));
    let text = "FRAME_ERROR - type 9, all octets = <<>>: unknown_frame";
    assert_answer(&frame(9, 7, b"", 0xCE), 501, text, (0, 0));
    let text = "FRAME_ERROR - type 1, all octets = <<\"abcd\">>: {invalid_frame_end_marker,0}";
    assert_answer(&frame(1, 1, b"abcd", 0), 501, text, (0, 0));
    let text = "FRAME_ERROR - type 3, all octets = <<1,2>>: {invalid_frame_end_marker,65}";
    assert_answer(&frame(3, 1, b"\x01\x02", 65), 501, text, (0, 0));
    let text = "FRAME_ERROR - type 3, all octets = <<\"a\\n\\\"\\\\z\">>: {invalid_frame_end_marker,65}";
    assert_answer(&frame(3, 1, b"a\n\"\\z", 65), 501, text, (0, 0));
    let text = "FRAME_ERROR - type 8, all octets = <<\"xyz\">>: unknown_frame";
    assert_answer(&frame(8, 0, b"xyz", 0xCE), 501, text, (0, 0));
    let text = "UNEXPECTED_FRAME - type 8, all octets = <<>>";
    assert_answer(&frame(8, 1, b"", 0xCE), 505, text, (0, 0));
    let text = "UNEXPECTED_FRAME - type 3, all octets = <<\"abc\">>";
    assert_answer(&frame(3, 0, b"abc", 0xCE), 505, text, (0, 0));
    let text = "UNEXPECTED_FRAME - type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,0,0,0>>";
    assert_answer(&frame(2, 0, b"\0\x3c\0\0\0\0\0\0\0\0\0\0\0\0", 0xCE), 505, text, (0, 0));
}

#[test]
fn frames_that_are_too_large() {
    let text = "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,200000,131064}";
    assert_answer(&frame::frame_head(FrameKind::Body, 1, 200_000), 501, text, (0, 0));
    let text = "FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,4294967295,131064}";
    assert_answer(&frame::frame_head(FrameKind::Method, 0, u32::MAX), 501, text, (0, 0));
    let text = "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4097,4088}".to_string();
    assert_eq!(answer(&frame(3, 1, &[b'x'; 4097], 0xCE), 4096), (501, text, (0, 0)));
    let payload = [b'x'; 4096];
    let largest = frame(3, 1, &payload, 0xCE);
    let (taken, _) = next_frame(&largest, 4096).unwrap().unwrap();
    assert_eq!(taken.payload, payload, "8 bytes more than frame-max says");
}

#[test]
fn methods() {
    let text = "FRAME_ERROR - type 1, all octets = <<0,50,0>>: unknown_frame";
    assert_answer(&frame(1, 1, &[0, 50, 0], 0xCE), 501, text, (0, 0));
    let text = "FRAME_ERROR - type 1, all octets = <<>>: unknown_frame";
    assert_answer(&frame(1, 1, b"", 0xCE), 501, text, (0, 0));
    let text = "FRAME_ERROR - cannot decode <<0,0,5,97,98>>";
    assert_answer(&frame(1, 1, b"\0\x32\0\x0a\0\0\x05ab", 0xCE), 501, text, (50, 10));
    let text = "FRAME_ERROR - cannot decode <<0,0,6,99,111,100,101,99,113,16,0,0,0,0,122,122>>";
    assert_answer(&frame(1, 1, b"\0\x32\0\x0a\0\0\x06codecq\x10\0\0\0\0zz", 0xCE), 501, text, (50, 10));
    let text = "FRAME_ERROR - cannot decode <<0,0>>";
    assert_answer(&frame(1, 1, b"\0\x3c\0\x50\0\0", 0xCE), 501, text, (60, 80));
    let text = "FRAME_ERROR - Malformed UTF-8 in shortstr";
    assert_answer(&frame(1, 1, b"\0\x32\0\x0a\0\0\x02\xff\xfe\x10\0\0\0\0", 0xCE), 501, text, (0, 0));
    assert_answer(&frame(1, 1, b"\0\x3c\0\x14\0\0\x01q\x02\xff\xfe\0\0\0\0\0", 0xCE), 501, text, (0, 0));

    let long = [b"\0\x32\0\x0a", &[50u8; 600][..]].concat();
    let (_, text, _) = answer(&frame(1, 1, &long, 0xCE), 131_072);
    assert!(text.len() == 255 && text.ends_with("..."), "{text}");
}

#[test]
fn what_rabbitmq_takes_this_takes() {
    let publish = Method::decode(b"\0\x3c\0\x28\0\0\0\x02\xff\xfe\x01").unwrap();
    assert!(matches!(publish, Method::BasicPublish(p) if p.routing_key.as_bytes() == b"\xff\xfe" && p.mandatory));
    let unused_bits = Method::decode(b"\0\x32\0\x0a\0\0\x01q\xf0\0\0\0\0").unwrap();
    assert!(matches!(unused_bits, Method::QueueDeclare(d) if d.no_wait && !d.durable));
    let content_type = RawProperties::new(b"\x80\0\x02\xff\xfe").validate().unwrap().content_type.unwrap();
    assert_eq!(content_type.as_bytes(), b"\xff\xfe");
    let table = b"\x02\xff\xfeI\0\0\0\x01\x01zI\0\0\0\x01\x01zI\0\0\0\x02";
    assert_eq!(RawTable::new(table).decode().unwrap().len(), 3);
}

/// RabbitMQ drops the connection without a word, or answers 541 INTERNAL_ERROR, where it should have said what is
/// wrong: nothing was wrong inside the broker.
#[test]
fn where_rabbitmq_fails_this_tells_why() {
    assert_answer(&frame(1, 1, b"\0\x32\0\x63", 0xCE), 503, "COMMAND_INVALID - unimplemented method", (50, 99));
    assert_answer(&frame(1, 1, b"\0\x4d\0\x0a", 0xCE), 503, "COMMAND_INVALID - unimplemented method", (77, 10));
    let header = |list: &[u8]| frame(2, 1, &[&b"\0\x3c\0\0\0\0\0\0\0\0\0\0"[..], list].concat(), 0xCE);
    let text = "SYNTAX_ERROR - malformed content header: more property flags than class basic has";
    assert_answer(&header(b"\0\x01\0\0"), 502, text, (0, 0));
    let text = "SYNTAX_ERROR - malformed content header: bytes behind the last property";
    assert_answer(&header(b"\0\0zz"), 502, text, (0, 0));
    assert_answer(&header(b"\x80\0\x05a"), 502, "SYNTAX_ERROR - malformed content header", (0, 0));
    let text = "SYNTAX_ERROR - malformed headers: unknown field type 81";
    assert_answer(&header(b"\x20\0\0\0\0\x04\x01xQ\0"), 502, text, (0, 0));
}

#[test]
fn names_of_reply_codes() {
    assert_eq!(ReplyCode::ALL.len(), 19);
    for code in ReplyCode::ALL {
        assert_eq!(code.closes_connection(), matches!(code.code(), 320 | 402 | 501..=506 | 530 | 540 | 541));
    }
    assert_eq!(
        (ReplyCode::PreconditionFailed.code(), ReplyCode::PreconditionFailed.name()),
        (406, "PRECONDITION_FAILED")
    );
}
