use super::*;
use proptest::prelude::*;

fn json_round_trip(value: &Value) -> Value {
    let text = serde_json::to_string(value).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(Value::I8),
        any::<u8>().prop_map(Value::U8),
        any::<i16>().prop_map(Value::I16),
        any::<u16>().prop_map(Value::U16),
        any::<i32>().prop_map(Value::I32),
        any::<u32>().prop_map(Value::U32),
        any::<i64>().prop_map(Value::I64),
        any::<u64>().prop_map(Value::U64),
        any::<u32>().prop_map(|bits| Value::F32(f32::from_bits(bits))),
        any::<u64>().prop_map(|bits| Value::F64(f64::from_bits(bits))),
        any::<(u8, i32)>().prop_map(|(scale, value)| Value::Decimal { scale, value }),
        any::<u64>().prop_map(Value::Timestamp),
        any::<Vec<u8>>().prop_map(|bytes| Value::Text(bytes.into())),
        any::<String>().prop_map(|text| Value::Text(text.into())),
        any::<Vec<u8>>().prop_map(|bytes| Value::Binary(bytes.into())),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((any::<Vec<u8>>(), inner), 0..6)
                .prop_map(|entries| Value::Table(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn json_keeps_every_value(value in any_value()) {
        prop_assert_eq!(json_round_trip(&value), value);
    }
}

#[test]
fn json_keeps_floats_that_json_cannot_write() {
    for bits in
        [f64::NAN.to_bits(), f64::INFINITY.to_bits(), f64::NEG_INFINITY.to_bits(), 1 << 63, 0x7ff8_0000_dead_beef]
    {
        let value = Value::F64(f64::from_bits(bits));
        assert_eq!(json_round_trip(&value), value);
    }
    for bits in [f32::NAN.to_bits(), f32::INFINITY.to_bits(), f32::NEG_INFINITY.to_bits(), 1 << 31, 0xffc0_beef] {
        let value = Value::F32(f32::from_bits(bits));
        assert_eq!(json_round_trip(&value), value);
    }
}

#[test]
fn json_carries_the_deepest_nesting_allowed() {
    let mut table = Table::new();
    for _ in 1..NESTING_MAX {
        let mut outer = Table::new();
        outer.push("t", table);
        table = outer;
    }
    let value = Value::Table(table);
    assert_eq!(json_round_trip(&value), value);
}

#[test]
fn a_table_keeps_order_and_repeated_names() {
    let mut table: Table = [("b", 1), ("a", 2), ("b", 3)].into_iter().collect();
    assert_eq!(table.get("b"), Some(&Value::I32(1)));
    assert_eq!(table.len(), 3);
    table.set("b", 4u8);
    assert_eq!(table.iter().map(|(n, _)| n.to_string()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(table.remove("b"), Some(Value::U8(4)));
    assert!(!table.contains("b"));
    assert_eq!(table.remove("b"), None);
}

#[test]
fn equality_is_by_kind_and_bits() {
    assert_ne!(Value::I8(1), Value::I16(1));
    assert_eq!(Value::F64(f64::NAN), Value::F64(f64::NAN));
    assert_ne!(Value::F64(0.0), Value::F64(-0.0));
    assert_ne!(Value::Text("a".into()), Value::Binary(b"a".as_slice().into()));
    assert_eq!(Value::I16(-1).as_integer(), Some(-1));
}
