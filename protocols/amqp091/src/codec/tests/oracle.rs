//! amq-protocol as the second opinion, both ways: it reads what this codec writes, and this codec reads what it writes.

use super::round_trip::sample_properties;
use super::samples::{Dialect, FORGOTTEN_BY_ORACLE, Source, any_pool, any_table};
use crate::codec::table::encode_table;
use crate::codec::*;
use amq_protocol::frame::{AMQPFrame, WriteContext, gen_frame, parse_frame};
use amq_protocol::protocol::AMQPClass;
use amq_protocol::types::generation::gen_field_table;
use amq_protocol::types::parsing::parse_field_table;
use amq_protocol::types::{AMQPValue, DecimalValue, FieldArray, FieldTable, ShortString};
use bytes::BytesMut;
use gantry_broker::value::{Table, Value};
use proptest::prelude::*;

fn oracle_frame(frame: &AMQPFrame) -> Vec<u8> {
    gen_frame(frame)(WriteContext::from(Vec::new())).unwrap().write
}

fn oracle_reads(bytes: &[u8]) -> AMQPFrame {
    let (rest, frame) = parse_frame(bytes).unwrap_or_else(|e| panic!("{}: {e:?}", bytes.escape_ascii()));
    assert!(rest.is_empty());
    frame
}

fn to_oracle(value: &Value) -> AMQPValue {
    match value {
        Value::Null => AMQPValue::Void,
        Value::Bool(b) => AMQPValue::Boolean(*b),
        Value::I8(n) => AMQPValue::ShortShortInt(*n),
        Value::U8(n) => AMQPValue::ShortShortUInt(*n),
        Value::I16(n) => AMQPValue::ShortInt(*n),
        Value::U16(n) => AMQPValue::ShortUInt(*n),
        Value::I32(n) => AMQPValue::LongInt(*n),
        Value::U32(n) => AMQPValue::LongUInt(*n),
        Value::I64(n) => AMQPValue::LongLongInt(*n),
        Value::U64(_) => panic!("the oracle has no unsigned 64-bit integer"),
        Value::F32(n) => AMQPValue::Float(*n),
        Value::F64(n) => AMQPValue::Double(*n),
        Value::Decimal { scale, value } => {
            AMQPValue::DecimalValue(DecimalValue { scale: *scale, value: value.cast_unsigned() })
        }
        Value::Timestamp(seconds) => AMQPValue::Timestamp(*seconds),
        Value::Text(text) => AMQPValue::LongString(text.as_bytes().to_vec().into()),
        Value::Binary(bytes) => AMQPValue::ByteArray(bytes.to_vec().into()),
        Value::Array(values) => AMQPValue::FieldArray(values.iter().map(to_oracle).collect::<Vec<_>>().into()),
        Value::Table(table) => AMQPValue::FieldTable(table_to_oracle(table)),
    }
}

fn table_to_oracle(table: &Table) -> FieldTable {
    let mut out = FieldTable::default();
    for (name, value) in table {
        out.insert(ShortString::from(name.as_str().unwrap()), to_oracle(value));
    }
    out
}

fn from_oracle(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Void => Value::Null,
        AMQPValue::Boolean(b) => Value::Bool(*b),
        AMQPValue::ShortShortInt(n) => Value::I8(*n),
        AMQPValue::ShortShortUInt(n) => Value::U8(*n),
        AMQPValue::ShortInt(n) => Value::I16(*n),
        AMQPValue::ShortUInt(n) => Value::U16(*n),
        AMQPValue::LongInt(n) => Value::I32(*n),
        AMQPValue::LongUInt(n) => Value::U32(*n),
        AMQPValue::LongLongInt(n) => Value::I64(*n),
        AMQPValue::Float(n) => Value::F32(*n),
        AMQPValue::Double(n) => Value::F64(*n),
        AMQPValue::DecimalValue(d) => Value::Decimal { scale: d.scale, value: d.value.cast_signed() },
        AMQPValue::Timestamp(seconds) => Value::Timestamp(*seconds),
        AMQPValue::ShortString(_) => panic!("never on the wire in a table"),
        AMQPValue::LongString(text) => Value::Text(text.as_bytes().into()),
        AMQPValue::ByteArray(bytes) => Value::Binary(bytes.as_slice().into()),
        AMQPValue::FieldArray(array) => Value::Array(array_from_oracle(array)),
        AMQPValue::FieldTable(table) => Value::Table(table_from_oracle(table)),
    }
}

fn array_from_oracle(array: &FieldArray) -> Vec<Value> {
    array.as_slice().iter().map(from_oracle).collect()
}

fn table_from_oracle(table: &FieldTable) -> Table {
    table.inner().iter().map(|(name, value)| (name.as_str(), from_oracle(value))).collect()
}

/// Names of the fields of the struct whose fields are indented so far in `{:#?}`, with their values where they are
/// numbers or truth values.
fn debug_fields(debug: &str, indent: usize) -> Vec<(String, String)> {
    let field = |line: &str| {
        let line = line.strip_prefix(&" ".repeat(indent))?;
        let (name, value) = line.split_once(": ")?;
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_').then(|| {
            let value = value.trim_end_matches(',');
            let scalar = value.parse::<u64>().is_ok() || value.parse::<bool>().is_ok();
            (name.to_string(), if scalar { value.to_string() } else { String::new() })
        })
    };
    debug.lines().filter_map(field).collect()
}

fn our_fields(method: &Method<'_>) -> Vec<(String, String)> {
    let mut fields = debug_fields(&format!("{method:#?}"), 8);
    fields.retain(|(name, _)| !FORGOTTEN_BY_ORACLE.contains(&name.as_str()));
    for (name, _) in &mut fields {
        if name == "binding_key" {
            *name = "routing_key".to_string();
        }
    }
    fields
}

fn oracle_fields(class: &AMQPClass) -> Vec<(String, String)> {
    let mut fields = debug_fields(&format!("{class:#?}"), 12);
    for (name, _) in &mut fields {
        if name == "nowait" {
            *name = "no_wait".to_string();
        }
    }
    fields
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn methods(pool in any_pool(Dialect::Oracle), channel: u16) {
        let source = Source::new(&pool);
        for (_, _, name) in Method::ALL {
            let method = match Method::sample(name, &source).unwrap() {
                // The oracle knows no other ticket.
                Method::AccessRequestOk(_) => methods::AccessRequestOk { ticket: 1 }.into(),
                method => method,
            };
            let mut out = BytesMut::new();
            method.encode_frame(channel, &mut out);
            let frame = oracle_reads(&out);
            let AMQPFrame::Method(oracle_channel, class) = &frame else { panic!("{frame:?} for {name}") };
            prop_assert_eq!(*oracle_channel, channel);
            prop_assert_eq!(our_fields(&method), oracle_fields(class), "{}", name);
            let theirs = oracle_frame(&frame);
            prop_assert_eq!(&theirs[..], &out[..], "{}", name);
            let (frame, _) = next_frame(&theirs, u32::MAX).unwrap().unwrap();
            prop_assert_eq!(Method::decode(frame.payload), Ok(method));
        }
    }

    #[test]
    fn properties(pool in any_pool(Dialect::Oracle), channel in 1u16.., body_bytes: u64) {
        let ours = sample_properties(&Source::new(&pool));
        let mut list = BytesMut::new();
        ours.encode(&mut list);
        let mut out = BytesMut::new();
        delivery::encode_content_header(&mut out, channel, 60, body_bytes, RawProperties::new(&list));
        let frame = oracle_reads(&out);
        let AMQPFrame::Header(_, header) = &frame else { panic!("{frame:?}") };
        prop_assert_eq!((header.class_id, header.body_size), (60, body_bytes));

        let theirs = &header.properties;
        let text = |s: &Option<ShortStr<'_>>| s.map(|s| s.as_str().unwrap().to_string());
        let oracle_text = |s: &Option<ShortString>| s.as_ref().map(|s| s.as_str().to_string());
        prop_assert_eq!(text(&ours.content_type), oracle_text(theirs.content_type()));
        prop_assert_eq!(text(&ours.content_encoding), oracle_text(theirs.content_encoding()));
        prop_assert_eq!(ours.headers.map(|h| h.decode().unwrap()), theirs.headers().as_ref().map(table_from_oracle));
        prop_assert_eq!(&ours.delivery_mode, theirs.delivery_mode());
        prop_assert_eq!(&ours.priority, theirs.priority());
        prop_assert_eq!(text(&ours.correlation_id), oracle_text(theirs.correlation_id()));
        prop_assert_eq!(text(&ours.reply_to), oracle_text(theirs.reply_to()));
        prop_assert_eq!(text(&ours.expiration), oracle_text(theirs.expiration()));
        prop_assert_eq!(text(&ours.message_id), oracle_text(theirs.message_id()));
        prop_assert_eq!(&ours.timestamp, theirs.timestamp());
        prop_assert_eq!(text(&ours.kind), oracle_text(theirs.kind()));
        prop_assert_eq!(text(&ours.user_id), oracle_text(theirs.user_id()));
        prop_assert_eq!(text(&ours.app_id), oracle_text(theirs.app_id()));
        prop_assert_eq!(text(&ours.cluster_id), oracle_text(theirs.cluster_id()));

        let written = oracle_frame(&frame);
        prop_assert_eq!(&written[..], &out[..]);
        let (frame, _) = next_frame(&written, u32::MAX).unwrap().unwrap();
        prop_assert_eq!(ContentHeader::decode(frame.payload).unwrap().properties.validate(), Ok(ours));
    }

    #[test]
    fn tables(table in any_table(Dialect::Oracle)) {
        let written = gen_field_table(&table_to_oracle(&table))(WriteContext::from(Vec::new()));
        let written = written.unwrap().write;
        prop_assert_eq!(&RawTable::new(&written[4..]).decode().unwrap(), &table);

        let mut contents = BytesMut::new();
        encode_table(&table, &mut contents).unwrap();
        prop_assert_eq!(&contents[..], &written[4..]);
        let with_length = [&(contents.len() as u32).to_be_bytes()[..], &contents].concat();
        let (rest, read) = parse_field_table(&with_length[..]).unwrap();
        prop_assert!(rest.is_empty());
        prop_assert_eq!(table_from_oracle(&read), table);
    }

    #[test]
    fn bodies(body in prop::collection::vec(any::<u8>(), 1..4000), channel in 1u16..) {
        let mut out = BytesMut::new();
        frame::encode_body(&mut out, channel, &body, 4096);
        let frame = AMQPFrame::Body(channel, body.clone());
        prop_assert_eq!(&oracle_reads(&out), &frame);
        let written = oracle_frame(&frame);
        let (frame, _) = next_frame(&written, 4096).unwrap().unwrap();
        prop_assert_eq!(frame, Frame { kind: FrameKind::Body, channel, payload: &body });
    }
}

#[test]
fn heartbeats() {
    assert_eq!(oracle_frame(&AMQPFrame::Heartbeat), frame::HEARTBEAT);
    assert_eq!(oracle_reads(&frame::HEARTBEAT), AMQPFrame::Heartbeat);
}
