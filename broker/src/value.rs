//! Typed values as clients write them into message headers, declaration arguments and client properties.
//!
//! The kinds are as fine as the finest protocol tells them apart, so that a value leaves by the protocol it came
//! by exactly as it came: a signed 16-bit 5 is not a 64-bit 5, order and repeated names in a table are kept, and
//! text is bytes that usually, not always, are UTF-8. Two values are equal when their kind and bits are.
//!
//! Values are stored as JSON with the definitions they belong to. What JSON cannot carry exactly is written as a
//! string there: floats (NaN, infinities, the sign of zero, the last bit) and bytes.

mod json;
#[cfg(test)]
mod tests;
mod text;

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

/// How deep tables and arrays may be nested; the outermost table is level 1. Whatever makes values from bytes of a
/// peer refuses to go deeper, which bounds the stack of everything that walks a value.
pub const NESTING_MAX: usize = 32;

/// One typed value.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// No value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A signed 8-bit integer.
    I8(i8),
    /// An unsigned 8-bit integer.
    U8(u8),
    /// A signed 16-bit integer.
    I16(i16),
    /// An unsigned 16-bit integer.
    U16(u16),
    /// A signed 32-bit integer.
    I32(i32),
    /// An unsigned 32-bit integer.
    U32(u32),
    /// A signed 64-bit integer.
    I64(i64),
    /// An unsigned 64-bit integer.
    U64(u64),
    /// A 32-bit float, compared by its bits.
    F32(#[serde(with = "json::float32")] f32),
    /// A 64-bit float, compared by its bits.
    F64(#[serde(with = "json::float64")] f64),
    /// `value` divided by ten to the power of `scale`.
    Decimal {
        /// Digits behind the point.
        scale: u8,
        /// The digits, as an integer.
        value: i32,
    },
    /// Seconds since 1970-01-01T00:00:00Z.
    Timestamp(u64),
    /// Text, UTF-8 by intention but not by force.
    Text(Text),
    /// Bytes that were never meant as text.
    Binary(#[serde(with = "json::bytes")] Box<[u8]>),
    /// Values in order, each of its own kind.
    Array(Vec<Value>),
    /// Named values.
    Table(Table),
}

impl Value {
    /// What the kind of value is called in texts for people.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "void",
            Self::Bool(_) => "bool",
            Self::I8(_) => "byte",
            Self::U8(_) => "unsignedbyte",
            Self::I16(_) => "short",
            Self::U16(_) => "unsignedshort",
            Self::I32(_) => "signedint",
            Self::U32(_) => "unsignedint",
            Self::I64(_) => "long",
            Self::U64(_) => "unsignedlong",
            Self::F32(_) => "float",
            Self::F64(_) => "double",
            Self::Decimal { .. } => "decimal",
            Self::Timestamp(_) => "timestamp",
            Self::Text(_) => "longstr",
            Self::Binary(_) => "binary",
            Self::Array(_) => "array",
            Self::Table(_) => "table",
        }
    }

    /// The number, if the value is an integer of any width. Rules that compare arguments by number and not by
    /// width use this.
    pub fn as_integer(&self) -> Option<i128> {
        match *self {
            Value::I8(n) => Some(n.into()),
            Value::U8(n) => Some(n.into()),
            Value::I16(n) => Some(n.into()),
            Value::U16(n) => Some(n.into()),
            Value::I32(n) => Some(n.into()),
            Value::U32(n) => Some(n.into()),
            Value::I64(n) => Some(n.into()),
            Value::U64(n) => Some(n.into()),
            _ => None,
        }
    }

    /// The number, if the value is a float of either width.
    pub fn as_float(&self) -> Option<f64> {
        match *self {
            Value::F32(n) => Some(n.into()),
            Value::F64(n) => Some(n),
            _ => None,
        }
    }

    /// The truth value, if the value is one.
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Value::Bool(b) => Some(b),
            _ => None,
        }
    }

    /// The text, if the value is text and UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => text.as_str(),
            _ => None,
        }
    }

    /// The table, if the value is one.
    pub fn as_table(&self) -> Option<&Table> {
        match self {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The elements, if the value is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(values) => Some(values),
            _ => None,
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::I8(a), Value::I8(b)) => a == b,
            (Value::U8(a), Value::U8(b)) => a == b,
            (Value::I16(a), Value::I16(b)) => a == b,
            (Value::U16(a), Value::U16(b)) => a == b,
            (Value::I32(a), Value::I32(b)) => a == b,
            (Value::U32(a), Value::U32(b)) => a == b,
            (Value::I64(a), Value::I64(b)) => a == b,
            (Value::U64(a), Value::U64(b)) => a == b,
            (Value::F32(a), Value::F32(b)) => a.to_bits() == b.to_bits(),
            (Value::F64(a), Value::F64(b)) => a.to_bits() == b.to_bits(),
            (Value::Decimal { scale: s, value: v }, Value::Decimal { scale, value }) => s == scale && v == value,
            (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Binary(a), Value::Binary(b)) => a == b,
            (Value::Array(a), Value::Array(b)) => a == b,
            (Value::Table(a), Value::Table(b)) => a == b,
            _ => false,
        }
    }
}

// Floats are compared by bits, so NaN equals itself and the relation is an equivalence.
impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Value::Null => {}
            Value::Bool(b) => b.hash(state),
            Value::I8(n) => n.hash(state),
            Value::U8(n) => n.hash(state),
            Value::I16(n) => n.hash(state),
            Value::U16(n) => n.hash(state),
            Value::I32(n) => n.hash(state),
            Value::U32(n) => n.hash(state),
            Value::I64(n) => n.hash(state),
            Value::U64(n) | Value::Timestamp(n) => n.hash(state),
            Value::F32(n) => n.to_bits().hash(state),
            Value::F64(n) => n.to_bits().hash(state),
            Value::Decimal { scale, value } => (scale, value).hash(state),
            Value::Text(text) => text.hash(state),
            Value::Binary(bytes) => bytes.hash(state),
            Value::Array(values) => values.hash(state),
            Value::Table(table) => table.hash(state),
        }
    }
}

macro_rules! value_from {
    ($($kind:ident($from:ty)),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Value {
                Value::$kind(value.into())
            }
        })*
    };
}

value_from!(
    Bool(bool),
    I8(i8),
    U8(u8),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    F32(f32),
    F64(f64),
    Text(&str),
    Text(String),
    Text(Text),
    Array(Vec<Value>),
    Table(Table),
);

/// Bytes that are meant as text. Peers send names and strings that are not UTF-8, and they must come out as they
/// went in.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Box<[u8]>);

impl Text {
    /// The bytes as they came.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The text for people to read, with U+FFFD in place of what is not UTF-8.
    pub fn to_str_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text(text.as_bytes().into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text(text.into_bytes().into())
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Text {
        Text(bytes.into())
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Text {
        Text(bytes.into())
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_str_lossy())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Named values in the order in which they were written. A name may occur more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Table(Vec<(Text, Value)>);

impl Table {
    /// A table without entries.
    pub const fn new() -> Table {
        Table(Vec::new())
    }

    /// Number of entries, repeated names included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first value of that name.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&Value> {
        let name = name.as_ref();
        self.0.iter().find(|(n, _)| n.as_bytes() == name).map(|(_, value)| value)
    }

    /// Whether the name occurs.
    pub fn contains(&self, name: impl AsRef<[u8]>) -> bool {
        self.get(name).is_some()
    }

    /// Appends an entry, whether or not the name is there already.
    pub fn push(&mut self, name: impl Into<Text>, value: impl Into<Value>) {
        self.0.push((name.into(), value.into()));
    }

    /// Makes this the only value of that name, in the place of the first one if there was any.
    pub fn set(&mut self, name: impl Into<Text>, value: impl Into<Value>) {
        let name = name.into();
        let Some(first) = self.0.iter().position(|(n, _)| *n == name) else {
            return self.0.push((name, value.into()));
        };
        self.0[first].1 = value.into();
        let mut index = 0;
        self.0.retain(|(n, _)| {
            index += 1;
            index - 1 <= first || *n != name
        });
    }

    /// Removes every value of that name and gives back the first.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) -> Option<Value> {
        let name = name.as_ref();
        let first = self.0.iter().position(|(n, _)| n.as_bytes() == name)?;
        let (_, value) = self.0.remove(first);
        self.0.retain(|(n, _)| n.as_bytes() != name);
        Some(value)
    }

    /// Puts the entries in the order of their names; those of the same name keep theirs.
    pub fn sort(&mut self) {
        self.0.sort_by(|(one, _), (other, _)| one.cmp(other));
    }

    /// The entries in order.
    pub fn iter(&self) -> std::slice::Iter<'_, (Text, Value)> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Table {
    type Item = &'a (Text, Value);
    type IntoIter = std::slice::Iter<'a, (Text, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl IntoIterator for Table {
    type Item = (Text, Value);
    type IntoIter = std::vec::IntoIter<(Text, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<N: Into<Text>, V: Into<Value>> FromIterator<(N, V)> for Table {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(entries: I) -> Table {
        Table(entries.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
