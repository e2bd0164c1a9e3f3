//! Values of the broker as JSON, as RabbitMQ shows them, and back.

use gantry_broker::value::{Table, Value};
use serde_json::{Map, Number, Value as Json};

/// A table as an object, its names in order.
pub(super) fn of_table(table: &Table) -> Json {
    let entry = |(name, value): &(_, Value)| (gantry_broker::value::Text::to_str_lossy(name).into_owned(), of(value));
    Json::Object(table.iter().map(entry).collect::<Map<_, _>>())
}

fn of(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::F32(number) => float(f64::from(*number)),
        Value::F64(number) => float(*number),
        Value::Decimal { scale, value } => float(f64::from(*value) / 10_f64.powi(i32::from(*scale))),
        Value::Timestamp(seconds) => Json::from(*seconds),
        Value::Text(text) => Json::String(text.to_str_lossy().into_owned()),
        Value::Binary(bytes) => Json::String(String::from_utf8_lossy(bytes).into_owned()),
        Value::Array(values) => Json::Array(values.iter().map(of).collect()),
        Value::Table(table) => of_table(table),
        integer => integer.as_integer().and_then(Number::from_i128).map_or(Json::Null, Json::Number),
    }
}

/// JSON has neither infinities nor what is not a number.
fn float(number: f64) -> Json {
    Number::from_f64(number).map_or(Json::Null, Json::Number)
}

/// An object as a table, its names in order.
pub(super) fn to_table(object: &Map<String, Json>) -> Table {
    let mut table: Table = object.iter().map(|(name, value)| (name.as_str(), to(value))).collect();
    table.sort();
    table
}

pub(super) fn to(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::I64(number),
            (None, Some(number)) => Value::U64(number),
            // Integers beyond 64 bits too: nothing has so many of anything.
            (None, None) => Value::F64(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::Text(text.as_str().into()),
        Json::Array(values) => Value::Array(values.iter().map(to).collect()),
        Json::Object(object) => Value::Table(to_table(object)),
    }
}
