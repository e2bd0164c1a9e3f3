//! Values as text, for protocols that know no other kind of value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Value;

impl Value {
    /// The value as text: numbers in decimal, bytes in base64, what has parts as JSON. A text that is not UTF-8 has U+FFFD for what
    /// is not.
    pub fn to_text(&self) -> String {
        match self {
            Value::Null => String::new(),
            Value::Text(text) => text.to_str_lossy().into_owned(),
            Value::Bool(value) => value.to_string(),
            Value::F32(value) => value.to_string(),
            Value::F64(value) => value.to_string(),
            Value::Timestamp(seconds) => seconds.to_string(),
            Value::Binary(bytes) => STANDARD.encode(bytes),
            value => match value.as_integer() {
                Some(number) => number.to_string(),
                None => json_of(value).to_string(),
            },
        }
    }
}

/// A value as plain JSON.
fn json_of(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::F32(value) => f64::from(*value).into(),
        Value::F64(value) => (*value).into(),
        Value::Decimal { scale, value } => {
            let number = format!("{value}e-{scale}");
            number.parse::<f64>().map_or(serde_json::Value::String(number), serde_json::Value::from)
        }
        Value::Timestamp(seconds) => (*seconds).into(),
        Value::Text(text) => text.to_str_lossy().into(),
        Value::Binary(bytes) => STANDARD.encode(bytes).into(),
        Value::Array(values) => values.iter().map(json_of).collect(),
        Value::Table(table) => {
            let entries = table.iter().map(|(name, value)| (name.to_str_lossy().into_owned(), json_of(value)));
            serde_json::Value::Object(entries.collect())
        }
        integer => {
            let number = integer.as_integer().unwrap_or_default();
            i64::try_from(number)
                .map(serde_json::Value::from)
                .or_else(|_| u64::try_from(number).map(serde_json::Value::from))
                .unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_can_be_had_back_from_their_text() {
        let bytes = || Value::Binary([0, 0xff].into());
        assert_eq!(bytes().to_text(), "AP8=");
        assert_eq!(Value::Array(vec![bytes()]).to_text(), r#"["AP8="]"#);
    }
}
