//! Attributes of type `Number` <-> typed numbers.

use gantry_broker::value::Value;

/// The number that a text stands for, where that is exact: written again, it is the same text.
pub(super) fn parsed(text: &str) -> Option<Value> {
    if let Ok(number) = text.parse::<i64>() {
        return (number.to_string() == text).then_some(Value::I64(number));
    }
    let number: f64 = text.parse().ok()?;
    (number.is_finite() && number.to_string() == text).then_some(Value::F64(number))
}

/// A number as text; none of what is no number, and of what is no number of decimal digits.
pub(super) fn written(value: &Value) -> Option<String> {
    match value {
        Value::F32(number) if number.is_finite() => Some(number.to_string()),
        Value::F64(number) if number.is_finite() => Some(number.to_string()),
        Value::Timestamp(seconds) => Some(seconds.to_string()),
        Value::Decimal { scale, value } => Some(decimal(*scale, *value)),
        value => value.as_integer().map(|number| number.to_string()),
    }
}

fn decimal(scale: u8, value: i32) -> String {
    let scale = usize::from(scale);
    let sign = if value < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_exact_becomes_a_number() {
        for (text, number) in [("5", 5), ("-9223372036854775808", i64::MIN), ("0", 0)] {
            assert_eq!(parsed(text), Some(Value::I64(number)));
        }
        assert_eq!(parsed("1.5"), Some(Value::F64(1.5)));
        for text in
            ["05", "+5", " 5", "9223372036854775808", "1e10", "1.50", "-0", "inf", "NaN", "0.1000000000000000055"]
        {
            let value = parsed(text);
            assert_eq!(value, None, "{text}");
        }
    }

    #[test]
    fn numbers_are_written_in_decimal_digits() {
        for (value, text) in [
            (Value::U8(200), "200"),
            (Value::I64(-5), "-5"),
            (Value::U64(u64::MAX), "18446744073709551615"),
            (Value::F32(0.5), "0.5"),
            (Value::Timestamp(7), "7"),
            (Value::Decimal { scale: 2, value: -5 }, "-0.05"),
            (Value::Decimal { scale: 0, value: 12 }, "12"),
            (Value::Decimal { scale: 1, value: 123 }, "12.3"),
        ] {
            assert_eq!(written(&value).as_deref(), Some(text));
        }
        for value in [Value::F64(f64::NAN), Value::Bool(true), Value::from("5"), Value::Null] {
            assert_eq!(written(&value), None);
        }
    }
}
