//! Conditions of a statement: an operator, a key of the context, and values one of which has to be the right one.

use std::borrow::Cow;

use serde_json::Value;

use super::operator::{Comparison, Operator};
use super::policy::Invalid;

/// Conditions of a statement.
const CONDITIONS_MAX: usize = 100;

/// What a request is made under: keys such as `aws:SourceArn`, in any case, and their values.
#[derive(Clone, Debug, Default)]
pub struct Context<'a> {
    entries: Vec<(&'a str, Vec<Cow<'a, str>>)>,
}

impl<'a> Context<'a> {
    /// Adds a value of a key. A key may have several.
    pub fn add(&mut self, key: &'a str, value: impl Into<Cow<'a, str>>) {
        let value = value.into();
        match self.entries.iter_mut().find(|(other, _)| other.eq_ignore_ascii_case(key)) {
            Some((_, values)) => values.push(value),
            None => self.entries.push((key, vec![value])),
        }
    }

    /// The values of a key; none where there is no such key.
    pub fn get(&self, key: &str) -> Option<&[Cow<'a, str>]> {
        self.entries.iter().find(|(other, _)| other.eq_ignore_ascii_case(key)).map(|(_, values)| values.as_slice())
    }
}

/// How many of a key's values have to be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantity {
    /// Its value.
    One,
    /// At least one of its values.
    Any,
    /// All of its values, also where it has none.
    All,
}

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    quantity: Quantity,
    comparison: Comparison,
    is_negated: bool,
    /// It holds where there is no such key.
    if_exists: bool,
    key: Box<str>,
}

impl Condition {
    pub(super) fn holds(&self, context: &Context<'_>) -> bool {
        let values = context.get(&self.key);
        if let Comparison::Null(is_null) = &self.comparison {
            return is_null.contains(&values.is_none());
        }
        let Some(values) = values.filter(|values| !values.is_empty()) else {
            return self.if_exists
                || match self.quantity {
                    Quantity::One => self.is_negated,
                    Quantity::Any => false,
                    Quantity::All => true,
                };
        };
        let is_right = |value: &Cow<'_, str>| self.comparison.is_one(value) != self.is_negated;
        match (self.quantity, self.is_negated) {
            // None of them may be what is excluded.
            (Quantity::All, _) | (Quantity::One, true) => values.iter().all(is_right),
            (Quantity::Any, _) | (Quantity::One, false) => values.iter().any(is_right),
        }
    }
}

/// Reads `{"StringEquals": {"aws:SourceAccount": "..."}}`.
pub(super) fn read(value: &Value) -> Result<Vec<Condition>, Invalid> {
    let Value::Object(operators) = value else { return Err(Invalid("A Condition is not an object".into())) };
    let mut conditions = Vec::new();
    for (name, keys) in operators {
        let unknown = || Invalid(format!("There is no condition operator {name:.64}").into());
        let (quantity, rest) = match name.split_once(':') {
            None => (Quantity::One, name.as_str()),
            Some(("ForAnyValue", rest)) => (Quantity::Any, rest),
            Some(("ForAllValues", rest)) => (Quantity::All, rest),
            Some(_) => return Err(unknown()),
        };
        let (rest, if_exists) = rest.strip_suffix("IfExists").map_or((rest, false), |rest| (rest, true));
        let (operator, is_negated) = Operator::named(rest).ok_or_else(unknown)?;
        if operator == Operator::Null && (if_exists || quantity != Quantity::One) {
            return Err(unknown());
        }
        let Value::Object(keys) = keys else {
            return Err(Invalid(format!("The condition {name:.64} is not an object").into()));
        };
        for (key, values) in keys {
            let invalid =
                || Invalid(format!("The condition {name:.64} on {key:.64} has a value that it cannot have").into());
            let comparison = operator.with(&scalars(values).ok_or_else(invalid)?).ok_or_else(invalid)?;
            if conditions.len() >= CONDITIONS_MAX {
                return Err(Invalid(format!("A statement has more than {CONDITIONS_MAX} conditions").into()));
            }
            conditions.push(Condition { quantity, comparison, is_negated, if_exists, key: key.as_str().into() });
        }
    }
    Ok(conditions)
}

/// One value or several, as texts.
fn scalars(value: &Value) -> Option<Vec<Box<str>>> {
    let scalar = |value: &Value| match value {
        Value::String(text) if !text.contains("${") => Some(Box::from(text.as_str())),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Bool(value) => Some(value.to_string().into()),
        _ => None,
    };
    match value {
        Value::Array(values) if !values.is_empty() => values.iter().map(scalar).collect(),
        value => scalar(value).map(|value| vec![value]),
    }
}
