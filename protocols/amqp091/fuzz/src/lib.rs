//! What must hold for any bytes: nothing panics, and what was decoded means the same when it is written and read again.

use bytes::BytesMut;
use gantry_amqp091::codec::table::encode_table;
use gantry_amqp091::codec::{ContentHeader, FrameKind, Method, RawProperties, RawTable, frame, next_frame};

/// Takes the bytes for what a connection received.
pub fn check_frames(bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        match next_frame(rest, frame::FRAME_BYTES_MIN) {
            Ok(Some((frame, consumed))) => {
                assert_eq!(consumed, frame.payload.len() + frame::FRAME_OVERHEAD_BYTES);
                assert_eq!(next_frame(&rest[..consumed], frame::FRAME_BYTES_MIN), Ok(Some((frame, consumed))));
                assert_eq!(next_frame(&rest[..consumed - 1], frame::FRAME_BYTES_MIN), Ok(None));
                match frame.kind {
                    FrameKind::Method => check_method(frame.payload),
                    FrameKind::Header => check_header(frame.payload),
                    FrameKind::Body | FrameKind::Heartbeat => {}
                }
                rest = &rest[consumed..];
            }
            Ok(None) => return,
            Err(error) => return check_error(error.into()),
        }
    }
}

/// Takes the bytes for the payload of a method frame.
pub fn check_method(payload: &[u8]) {
    let method = match Method::decode(payload) {
        Ok(method) => method,
        Err(error) => return check_error(error.into()),
    };
    let mut out = BytesMut::new();
    method.encode_frame(1, &mut out);
    let Ok(Some((again, consumed))) = next_frame(&out, u32::MAX) else { panic!("{method:?} makes no frame") };
    assert_eq!(consumed, out.len());
    assert_eq!(Method::decode(again.payload), Ok(method));
    match method {
        Method::ConnectionStartOk(m) => check_table(m.client_properties),
        Method::QueueDeclare(m) => check_table(m.arguments),
        Method::QueueBind(m) => check_table(m.arguments),
        Method::ExchangeDeclare(m) => check_table(m.arguments),
        Method::BasicConsume(m) => check_table(m.arguments),
        _ => {}
    }
}

/// Takes the bytes for the payload of a content header frame.
pub fn check_header(payload: &[u8]) {
    let header = match ContentHeader::decode(payload) {
        Ok(header) => header,
        Err(error) => return check_error(error.into()),
    };
    match header.properties.validate() {
        Ok(properties) => {
            let mut out = BytesMut::new();
            properties.encode(&mut out);
            assert_eq!(RawProperties::new(&out).validate(), Ok(properties));
            if let Some(headers) = properties.headers {
                check_table(headers);
            }
        }
        Err(error) => check_error(error.into()),
    }
}

/// Takes the bytes for the contents of a field table.
pub fn check_table(raw: RawTable<'_>) {
    let table = match (raw.validate(), raw.decode()) {
        (Ok(()), Ok(table)) => table,
        (Err(one), Err(other)) => {
            assert_eq!(one, other);
            return check_error(one.into());
        }
        (validated, decoded) => panic!("{validated:?}, but {decoded:?}"),
    };
    let mut out = BytesMut::new();
    if let Err(error) = encode_table(&table, &mut out) {
        panic!("{table:?}: {error}");
    }
    // A truth value is any octet but is written as 0 or 1: nothing else may change.
    assert_eq!(out.len(), raw.as_bytes().len());
    assert_eq!(RawTable::new(&out).decode(), Ok(table));
}

fn check_error(error: gantry_amqp091::codec::CodecError) {
    assert!(error.reply_code().closes_connection());
    assert!(error.reply_text().len() <= 255);
}
