//! Generated input: values, tables, and methods with fields drawn from a pool.

use crate::codec::table::encode_table;
use crate::codec::{LongStr, RawTable, ShortStr, ShortText};
use bytes::BytesMut;
use gantry_broker::value::{Table, Value};
use proptest::prelude::*;
use proptest::sample::Index;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// What generated input may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::codec) enum Dialect {
    /// Whatever the codec can express.
    Any,
    /// What the oracle can express too: names are UTF-8, sorted and unique; no unsigned 64-bit integers.
    Oracle,
}

/// Fields that the oracle does not have; it writes them as zero.
pub(in crate::codec) const FORGOTTEN_BY_ORACLE: [&str; 4] = ["reserved_1", "reserved_2", "ticket", "prefetch_size"];

pub(in crate::codec) fn any_value(dialect: Dialect) -> BoxedStrategy<Value> {
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
        any::<u64>().prop_map(move |n| if dialect == Dialect::Any { Value::U64(n) } else { Value::Timestamp(n) }),
        any::<u32>().prop_map(|bits| Value::F32(f32::from_bits(bits))),
        any::<u64>().prop_map(|bits| Value::F64(f64::from_bits(bits))),
        any::<(u8, i32)>().prop_map(|(scale, value)| Value::Decimal { scale, value }),
        any::<u64>().prop_map(Value::Timestamp),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Text(bytes.into())),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Binary(bytes.into())),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            table_of(inner, dialect).prop_map(Value::Table),
        ]
    })
    .boxed()
}

fn table_of(value: impl Strategy<Value = Value> + 'static, dialect: Dialect) -> BoxedStrategy<Table> {
    match dialect {
        Dialect::Any => prop::collection::vec((prop::collection::vec(any::<u8>(), 0..12), value), 0..5)
            .prop_map(|entries| entries.into_iter().collect())
            .boxed(),
        Dialect::Oracle => prop::collection::btree_map(".{0,12}", value, 0..5)
            .prop_map(|entries: BTreeMap<String, Value>| entries.into_iter().collect())
            .boxed(),
    }
}

pub(in crate::codec) fn any_table(dialect: Dialect) -> BoxedStrategy<Table> {
    table_of(any_value(dialect), dialect)
}

/// What fields are drawn from.
#[derive(Debug, Clone)]
pub(in crate::codec) struct Pool {
    texts: Vec<String>,
    bytes: Vec<Vec<u8>>,
    tables: Vec<BytesMut>,
    numbers: Vec<u64>,
    picks: Vec<Index>,
    dialect: Dialect,
}

pub(in crate::codec) fn any_pool(dialect: Dialect) -> impl Strategy<Value = Pool> {
    let table = any_table(dialect).prop_map(|table| {
        let mut out = BytesMut::new();
        encode_table(&table, &mut out).unwrap();
        out
    });
    (
        prop::collection::vec(".{0,60}", 3),
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..=255), 3),
        prop::collection::vec(table, 2),
        prop::collection::vec(any::<u64>(), 4),
        prop::collection::vec(any::<Index>(), 1..16),
    )
        .prop_map(move |(texts, bytes, tables, numbers, picks)| Pool {
            texts,
            bytes,
            tables,
            numbers,
            picks,
            dialect,
        })
}

/// Draws fields from a pool, one pick after the other.
#[derive(Debug)]
pub(in crate::codec) struct Source<'a> {
    pool: &'a Pool,
    picks: RefCell<std::iter::Cycle<std::slice::Iter<'a, Index>>>,
}

impl<'a> Source<'a> {
    pub(in crate::codec) fn new(pool: &'a Pool) -> Source<'a> {
        Source { pool, picks: RefCell::new(pool.picks.iter().cycle()) }
    }

    /// A value for a field of that name.
    pub(in crate::codec) fn field<T: Draw<'a>>(&self, name: &str) -> T {
        let forgotten = self.pool.dialect == Dialect::Oracle && FORGOTTEN_BY_ORACLE.contains(&name);
        if forgotten { T::default() } else { T::draw(self) }
    }

    fn pick<T>(&self, from: &'a [T]) -> &'a T {
        self.picks.borrow_mut().next().unwrap().get(from)
    }
}

pub(in crate::codec) trait Draw<'a>: Default {
    fn draw(source: &Source<'a>) -> Self;
}

macro_rules! draw {
    ($($type:ty = |$source:ident| $value:expr;)*) => {
        $(impl<'a> Draw<'a> for $type {
            fn draw($source: &Source<'a>) -> Self {
                $value
            }
        })*
    };
}

draw! {
    bool = |source| source.pick(&source.pool.numbers) & 1 == 1;
    u8 = |source| *source.pick(&source.pool.numbers) as u8;
    u16 = |source| *source.pick(&source.pool.numbers) as u16;
    u32 = |source| *source.pick(&source.pool.numbers) as u32;
    u64 = |source| *source.pick(&source.pool.numbers);
    LongStr<'a> = |source| source.pick::<Vec<u8>>(&source.pool.bytes);
    ShortText<'a> = |source| ShortText::cut(source.pick::<String>(&source.pool.texts));
    ShortStr<'a> = |source| match source.pool.dialect {
        Dialect::Any => ShortStr::new(source.pick::<Vec<u8>>(&source.pool.bytes)).unwrap(),
        Dialect::Oracle => ShortText::draw(source).into(),
    };
    RawTable<'a> = |source| RawTable::new(source.pick::<BytesMut>(&source.pool.tables));
}

impl<'a, T: Draw<'a>> Draw<'a> for Option<T> {
    fn draw(source: &Source<'a>) -> Self {
        bool::draw(source).then(|| T::draw(source))
    }
}
