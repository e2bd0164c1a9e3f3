//! Values in the words of Erlang, of which the texts of RabbitMQ's errors are made.

use std::fmt::Write;

use gantry_broker::value::{Table, Value};

/// A value.
pub(super) fn of(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

/// Names and values, as a list of pairs.
pub(super) fn pairs(table: &Table) -> String {
    let mut out = String::from("[");
    for (index, (name, value)) in table.iter().enumerate() {
        out.push_str(if index == 0 { "{" } else { ",{" });
        binary(&mut out, name.as_bytes());
        out.push(',');
        write(&mut out, value);
        out.push('}');
    }
    out.push(']');
    out
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::F32(number) => float(out, f64::from(*number)),
        Value::F64(number) => float(out, *number),
        Value::Text(text) => binary(out, text.as_bytes()),
        Value::Binary(bytes) => binary(out, bytes),
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(out, value);
            }
            out.push(']');
        }
        Value::Table(table) => {
            out.push_str("#{");
            for (index, (name, value)) in table.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                binary(out, name.as_bytes());
                out.push_str(" => ");
                write(out, value);
            }
            out.push('}');
        }
        other => match other.as_integer() {
            Some(number) => {
                let _ = write!(out, "{number}");
            }
            None => out.push_str(other.type_name()),
        },
    }
}

/// With a point, always.
fn float(out: &mut String, number: f64) {
    let _ = write!(out, "{number:?}");
}

fn binary(out: &mut String, bytes: &[u8]) {
    out.push_str("<<");
    if bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        if !bytes.is_empty() {
            out.push('"');
            for byte in bytes {
                if matches!(byte, b'"' | b'\\') {
                    out.push('\\');
                }
                out.push(char::from(*byte));
            }
            out.push('"');
        }
    } else {
        for (index, byte) in bytes.iter().enumerate() {
            let _ = write!(out, "{}{byte}", if index > 0 { "," } else { "" });
        }
    }
    out.push_str(">>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_look_as_erlang_prints_them() {
        let nested: Table = [("a", Value::I64(1)), ("b", "x\"y".into())].into_iter().collect();
        let values = [
            (Value::Null, "null"),
            (true.into(), "true"),
            (Value::I64(-1), "-1"),
            (Value::F64(1.5), "1.5"),
            (Value::F64(2.0), "2.0"),
            ("x".into(), "<<\"x\">>"),
            ("".into(), "<<>>"),
            ("\u{e4}".into(), "<<195,164>>"),
            (Value::Array(vec![Value::I64(1), "x".into()]), "[1,<<\"x\">>]"),
            (Value::Table(nested.clone()), "#{<<\"a\">> => 1,<<\"b\">> => <<\"x\\\"y\">>}"),
        ];
        for (value, expected) in values {
            assert_eq!(of(&value), expected);
        }
        assert_eq!(pairs(&nested), "[{<<\"a\">>,1},{<<\"b\">>,<<\"x\\\"y\">>}]");
    }
}
