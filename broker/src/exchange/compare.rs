//! When a message's header equals a binding's argument.
//!
//! RabbitMQ compares without regard to the type at the top: any two numbers by their value, a timestamp as its number of
//! seconds, text and bytes alike by their bytes; a truth value only equals itself, and so does a decimal, digit for digit. Inside an array
//! or table the types must agree as well, and a nested table's order counts.

use std::hash::{Hash, Hasher};

use crate::value::Value;

/// What a value is compared as.
enum Term<'a> {
    Null,
    Bool(bool),
    Integer(i128),
    /// Not a whole number that fits in 128 bits.
    Float(f64),
    Decimal(u8, i32),
    Bytes(&'a [u8]),
    Composite(&'a Value, usize),
}

fn float(number: f64) -> Term<'static> {
    // 2^126 is a float and an integer alike; every header integer is far below.
    const WHOLE_MAX: f64 = (1u128 << 126) as f64;
    if number.fract() == 0.0 && number.abs() < WHOLE_MAX { Term::Integer(number as i128) } else { Term::Float(number) }
}

fn term(value: &Value) -> Term<'_> {
    match value {
        Value::Null => Term::Null,
        Value::Bool(bool) => Term::Bool(*bool),
        Value::I8(number) => Term::Integer((*number).into()),
        Value::U8(number) => Term::Integer((*number).into()),
        Value::I16(number) => Term::Integer((*number).into()),
        Value::U16(number) => Term::Integer((*number).into()),
        Value::I32(number) => Term::Integer((*number).into()),
        Value::U32(number) => Term::Integer((*number).into()),
        Value::I64(number) => Term::Integer((*number).into()),
        Value::U64(number) | Value::Timestamp(number) => Term::Integer((*number).into()),
        Value::F32(number) => float((*number).into()),
        Value::F64(number) => float(*number),
        Value::Decimal { scale, value } => Term::Decimal(*scale, *value),
        Value::Text(text) => Term::Bytes(text.as_bytes()),
        Value::Binary(bytes) => Term::Bytes(bytes),
        Value::Array(values) => Term::Composite(value, values.len()),
        Value::Table(table) => Term::Composite(value, table.len()),
    }
}

/// Whether the two are equal at the top of a table.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (term(a), term(b)) {
        (Term::Null, Term::Null) => true,
        (Term::Bool(a), Term::Bool(b)) => a == b,
        (Term::Integer(a), Term::Integer(b)) => a == b,
        (Term::Float(a), Term::Float(b)) => a == b,
        (Term::Decimal(a_scale, a), Term::Decimal(b_scale, b)) => a_scale == b_scale && a == b,
        (Term::Bytes(a), Term::Bytes(b)) => a == b,
        // RabbitMQ holds both as a list, and one empty list equals another.
        (Term::Composite(_, 0), Term::Composite(_, 0)) => true,
        (Term::Composite(Value::Array(a), _), Term::Composite(Value::Array(b), _)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal_nested(a, b))
        }
        (Term::Composite(Value::Table(a), _), Term::Composite(Value::Table(b), _)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && equal_nested(&a.1, &b.1))
        }
        _ => false,
    }
}

fn equal_nested(a: &Value, b: &Value) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b) && equal(a, b)
}

/// Hashes a value so that what is [`equal`] has the same hash. Of an array or table only the length goes in.
pub(super) fn hash(value: &Value, state: &mut impl Hasher) {
    match term(value) {
        Term::Null => state.write_u8(0),
        Term::Bool(bool) => (1u8, bool).hash(state),
        Term::Integer(number) => (2u8, number).hash(state),
        Term::Float(number) => (3u8, number.to_bits()).hash(state),
        Term::Decimal(scale, number) => (4u8, scale, number).hash(state),
        Term::Bytes(bytes) => (5u8, bytes).hash(state),
        Term::Composite(_, len) => (6u8, len).hash(state),
    }
}
