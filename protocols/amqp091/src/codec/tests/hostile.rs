//! Input that has broken other brokers: nesting without end, lengths that lie.

use crate::codec::*;
use gantry_broker::value::NESTING_MAX;

fn nested_tables(levels: usize) -> Vec<u8> {
    let mut contents = Vec::new();
    for _ in 1..levels {
        let mut outer = b"\x01aF".to_vec();
        outer.extend_from_slice(&(contents.len() as u32).to_be_bytes());
        outer.extend_from_slice(&contents);
        contents = outer;
    }
    contents
}

fn nested_arrays(levels: usize) -> Vec<u8> {
    let mut value = b"V".to_vec();
    for _ in 1..levels {
        let mut outer = b"A".to_vec();
        outer.extend_from_slice(&(value.len() as u32).to_be_bytes());
        outer.extend_from_slice(&value);
        value = outer;
    }
    [b"\x01a", &value[..]].concat()
}

#[test]
fn nesting_ends_at_the_limit() {
    for nested in [nested_tables, nested_arrays] {
        let deepest = nested(NESTING_MAX);
        assert_eq!(RawTable::new(&deepest).validate(), Ok(()));
        assert!(RawTable::new(&deepest).decode().is_ok());
        for levels in [NESTING_MAX + 1, 100, 10_000] {
            let deeper = nested(levels);
            assert_eq!(RawTable::new(&deeper).validate(), Err(TableError::TooDeep));
            assert_eq!(RawTable::new(&deeper).decode().err(), Some(TableError::TooDeep));
        }
    }
}

#[test]
fn a_value_taken_out_of_a_table_is_as_deep_as_it_was() {
    let deepest = nested_tables(NESTING_MAX);
    let value = RawTable::new(&deepest).get(b"a").unwrap().unwrap();
    assert!(value.decode().is_ok());
    let deeper = nested_tables(NESTING_MAX + 1);
    let value = RawTable::new(&deeper).get(b"a").unwrap().unwrap();
    assert_eq!(value.decode().err(), Some(TableError::TooDeep));
}

#[test]
fn deep_headers_are_refused_with_the_properties() {
    let table = nested_tables(10_000);
    let mut list = vec![0x20, 0];
    list.extend_from_slice(&(table.len() as u32).to_be_bytes());
    list.extend_from_slice(&table);
    let properties = RawProperties::new(&list);
    assert!(properties.parse().is_ok());
    assert_eq!(properties.validate(), Err(HeaderError::Headers(TableError::TooDeep)));
    assert_eq!(HeaderError::Headers(TableError::TooDeep).reply_code(), ReplyCode::SyntaxError);
}

#[test]
fn lengths_beyond_the_bytes_are_refused() {
    let lies: &[&[u8]] = &[
        b"\x01",
        b"\x05ab",
        b"\x01a",
        b"\x01aS\xff\xff\xff\xff",
        b"\x01ax\xff\xff\xff\xffabc",
        b"\x01aF\xff\xff\xff\xff",
        b"\x01aA\x7f\xff\xff\xff\x01",
        b"\x01aF\0\0\0\x04\x01aI\0",
        b"\x01aA\0\0\0\x02I\0",
        b"\x01al\0\0\0\0\0\0\0",
        b"\x01at",
        b"\x01aD\0\0\0\0",
    ];
    for lie in lies {
        assert_eq!(RawTable::new(lie).validate(), Err(TableError::Short), "{}", lie.escape_ascii());
        assert_eq!(RawTable::new(lie).decode().err(), Some(TableError::Short), "{}", lie.escape_ascii());
        let entries: Vec<_> = RawTable::new(lie).entries().take(3).collect();
        assert!(entries.len() <= 1, "entries end after an error");
    }
    let mut method = b"\0\x32\0\x0a\0\0\x01q\0\xff\xff\xff\xff".to_vec();
    assert!(matches!(Method::decode(&method), Err(MethodError::Malformed { class_id: 50, method_id: 10, .. })));
    method[6] = 255;
    assert!(matches!(Method::decode(&method), Err(MethodError::Malformed { class_id: 50, method_id: 10, .. })));
    assert_eq!(RawProperties::new(b"\x20\0\xff\xff\xff\xff").parse(), Err(HeaderError::Short));
    assert_eq!(RawProperties::new(b"\x80\0\xff").parse(), Err(HeaderError::Short));
}

#[test]
fn types_that_do_not_exist_are_refused() {
    let known = b"tbBsuIilLfdDTSxAFV";
    for octet in 0..=255u8 {
        let table = [&[1, b'a', octet][..], &[0; 16]].concat();
        let unknown = RawTable::new(&table).validate() == Err(TableError::UnknownType(octet));
        assert_eq!(unknown, !known.contains(&octet), "{octet}");
    }
}

#[test]
fn a_claimed_size_of_4_gib_is_refused_by_the_head_alone() {
    let head = frame::frame_head(FrameKind::Header, 1, u32::MAX);
    assert!(matches!(next_frame(&head, 131_072), Err(FrameError::TooLarge { payload_bytes: u32::MAX, .. })));
}

#[test]
fn flags_behind_flags_are_refused_whatever_follows() {
    for list in [&b"\0\x01\0\0"[..], b"\x80\x01\0\0\x01x", b"\xff\xff\xff\xff"] {
        assert_eq!(RawProperties::new(list).parse(), Err(HeaderError::Continuation));
    }
    assert_eq!(RawProperties::new(b"\0\x02").parse(), Ok(Properties::default()), "RabbitMQ ignores bit 1");
    assert_eq!(RawProperties::new(b"\0\0z").parse(), Err(HeaderError::Trailing));
    for short in [&b""[..], b"\0"] {
        assert_eq!(RawProperties::new(short).parse(), Err(HeaderError::Short));
    }
    for length in 0..12 {
        assert_eq!(ContentHeader::decode(&[0; 12][..length]), Err(HeaderError::Short));
    }
}
