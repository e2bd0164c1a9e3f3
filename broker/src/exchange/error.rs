//! Why a binding is refused.

use std::fmt;

use super::hash::{BUCKETS_MAX, WEIGHT_MAX};
use crate::filter::FilterError;
use crate::value::{Table, Text, Value};

/// A binding that an exchange does not take. The texts are those of RabbitMQ, which clients' logs and tests know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindError {
    /// `x-match` is text, but not one of the four.
    MatchValue(Text),
    /// `x-match` is no text.
    MatchType(Value),
    /// The binding key of a consistent hash is no number.
    WeightNoInteger(Box<[u8]>),
    /// The binding key of a consistent hash is not positive.
    WeightTooSmall,
    /// The binding key of a consistent hash is above [`WEIGHT_MAX`](super::WEIGHT_MAX).
    WeightTooLarge,
    /// All weights of the exchange together would be above [`BUCKETS_MAX`](super::BUCKETS_MAX).
    TooManyBuckets,
    /// A local random exchange has bindings without a key only.
    KeyNotEmpty(Box<[u8]>),
    /// The argument of this name is no filter policy, or no scope of one. Its text is that of AWS.
    Policy(&'static str, FilterError),
    /// The argument of this name is no text.
    PolicyType(&'static str, Value),
}

impl BindError {
    /// The argument that it is about.
    pub fn argument(&self) -> &'static str {
        match self {
            Self::Policy(name, _) | Self::PolicyType(name, _) => name,
            _ => "x-match",
        }
    }
}

impl std::error::Error for BindError {}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MatchValue(text) => write!(
                f,
                "Invalid x-match field value {}; expected all, any, all-with-x, or any-with-x",
                Bytes(text.as_bytes())
            ),
            Self::WeightNoInteger(key) => write!(f, "The binding key must be an integer: {}", Bytes(key)),
            Self::WeightTooSmall => f.write_str("The binding key must be greater than 0"),
            Self::WeightTooLarge => write!(f, "The binding key must be at most {WEIGHT_MAX}"),
            Self::TooManyBuckets => write!(f, "The binding keys of an exchange must be at most {BUCKETS_MAX} together"),
            Self::KeyNotEmpty(key) => {
                write!(f, "Non empty binding '{}' key not permitted", String::from_utf8_lossy(key))
            }
            Self::Policy(_, problem) => write!(f, "Invalid parameter: {problem}"),
            Self::PolicyType(name, value) => {
                write!(f, "Invalid {name} field type {} (value {}); expected longstr", value.type_name(), Term(value))
            }
            Self::MatchType(value) => {
                write!(f, "Invalid x-match field type {} (value {}); expected longstr", value.type_name(), Term(value))
            }
        }
    }
}

/// A value as RabbitMQ prints it.
pub(crate) struct Term<'a>(pub(crate) &'a Value);

impl fmt::Display for Term<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("undefined"),
            Value::Bool(bool) => bool.fmt(f),
            Value::I8(number) => number.fmt(f),
            Value::U8(number) => number.fmt(f),
            Value::I16(number) => number.fmt(f),
            Value::U16(number) => number.fmt(f),
            Value::I32(number) => number.fmt(f),
            Value::U32(number) => number.fmt(f),
            Value::I64(number) => number.fmt(f),
            Value::U64(number) | Value::Timestamp(number) => number.fmt(f),
            // With a point even where the number is whole.
            Value::F32(number) => write!(f, "{:?}", f64::from(*number)),
            Value::F64(number) => write!(f, "{number:?}"),
            Value::Decimal { scale, value } => write!(f, "{{{scale},{value}}}"),
            Value::Text(text) => Bytes(text.as_bytes()).fmt(f),
            Value::Binary(bytes) => Bytes(bytes).fmt(f),
            Value::Array(values) => {
                list(f, values.iter(), |f, value| write!(f, "{{{},{}}}", value.type_name(), Term(value)))
            }
            Value::Table(table) => fields(f, table),
        }
    }
}

fn fields(f: &mut fmt::Formatter<'_>, table: &Table) -> fmt::Result {
    list(f, table.iter(), |f, (name, value)| {
        write!(f, "{{{},{},{}}}", Bytes(name.as_bytes()), value.type_name(), Term(value))
    })
}

fn list<T>(
    f: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = T>,
    mut item: impl FnMut(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    f.write_str("[")?;
    for (index, next) in items.enumerate() {
        if index > 0 {
            f.write_str(",")?;
        }
        item(f, next)?;
    }
    f.write_str("]")
}

/// An argument as RabbitMQ prints it.
pub(crate) fn field_term(name: &Text, value: &Value) -> String {
    format!("{{{},{},{}}}", Bytes(name.as_bytes()), value.type_name(), Term(value))
}

/// A binary as RabbitMQ prints it: text where all of it can be printed, else numbers.
struct Bytes<'a>(&'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text =
            std::str::from_utf8(self.0).ok().filter(|text| !text.is_empty() && !text.chars().any(char::is_control));
        match text {
            Some(text) => {
                f.write_str("<<\"")?;
                for char in text.chars() {
                    if matches!(char, '"' | '\\') {
                        f.write_str("\\")?;
                    }
                    write!(f, "{char}")?;
                }
                f.write_str("\">>")
            }
            None => {
                f.write_str("<<")?;
                for (index, byte) in self.0.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma}{byte}")?;
                }
                f.write_str(">>")
            }
        }
    }
}
