//! AWS Query: the parameters of a form become the value that the same request has in JSON.
//!
//! `Entries` of JSON are `SendMessageBatchRequestEntry.1.Id`, `SendMessageBatchRequestEntry.1.MessageBody`, ... here. A list or a
//! map of one may do without its number. SNS has them in one part more: `PublishBatchRequestEntries.member.1.Id`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::form::Form;
use super::shapes::{Member, Shape};
use crate::error::{Error, faults};

/// Parts of a parameter's name, the deepest of which is
/// `PublishBatchRequestEntries.member.1.MessageAttributes.entry.1.Value.StringValue`.
const DEPTH_MAX: usize = 8;

/// Parameters by the parts of their names.
#[derive(Default)]
struct Node<'a> {
    value: Option<&'a str>,
    children: BTreeMap<&'a str, Node<'a>>,
}

/// What the parameters of a form come to by the shape of an input. Those that the shape does not know are passed over.
///
/// # Errors
/// A value is not what its shape says.
pub(crate) fn value(form: &Form<'_>, input: &Shape) -> Result<Value, Error> {
    let mut root = Node::default();
    for (name, value) in form.iter() {
        let mut node = &mut root;
        for part in name.splitn(DEPTH_MAX, '.') {
            node = node.children.entry(part).or_default();
        }
        // The first one counts.
        node.value.get_or_insert(value);
    }
    root.of(input, "")
}

impl Node<'_> {
    fn of(&self, shape: &Shape, name: &str) -> Result<Value, Error> {
        let text = self.value.unwrap_or_default();
        let invalid = |kind: &str| {
            let shown: String = text.chars().take(64).collect();
            Error::new(&faults::SERIALIZATION, format!("Value ({shown}) for parameter {name} is not {kind}."))
        };
        match shape {
            Shape::String | Shape::Blob | Shape::Timestamp => Ok(Value::from(text)),
            Shape::Integer => text.parse::<i64>().map(Value::from).map_err(|_| invalid("an integer")),
            Shape::Boolean => match text {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err(invalid("a boolean")),
            },
            Shape::Structure(members) => self.structure(members),
            Shape::Within(part, shape) => match self.children.get(part) {
                Some(node) => node.of(shape, name),
                None => Self::default().of(shape, name),
            },
            Shape::List(item) => self.numbered().into_iter().map(|node| node.of(item, name)).collect(),
            Shape::Map { key, value, shape } => {
                let mut map = Map::new();
                for node in self.numbered() {
                    let key = node.children.get(key).and_then(|node| node.value);
                    let Some(key) = key else {
                        return Err(Error::new(
                            &faults::SERIALIZATION,
                            format!("An entry of parameter {name} has no name."),
                        ));
                    };
                    let value = match node.children.get(value) {
                        Some(node) => node.of(shape, name)?,
                        None => Node::default().of(shape, name)?,
                    };
                    map.entry(key).or_insert(value);
                }
                Ok(Value::Object(map))
            }
        }
    }

    fn structure(&self, members: &[Member]) -> Result<Value, Error> {
        let mut map = Map::new();
        for member in members {
            if let Some(node) = self.children.get(member.query_name) {
                map.insert(member.name.to_owned(), node.of(&member.shape, member.query_name)?);
            }
        }
        Ok(Value::Object(map))
    }

    /// Items of a list or entries of a map, by their numbers: gaps do not count. Without any, it is the only one itself.
    fn numbered(&self) -> Vec<&Self> {
        let mut numbered: Vec<_> =
            self.children.iter().filter_map(|(part, node)| Some((part.parse::<u32>().ok()?, node))).collect();
        if numbered.is_empty() && (self.value.is_some_and(|value| !value.is_empty()) || !self.children.is_empty()) {
            return vec![self];
        }
        numbered.sort_by_key(|(number, _)| *number);
        numbered.into_iter().map(|(_, node)| node).collect()
    }
}

/// Reads the input of an action.
pub(super) fn read<'a, T: Deserialize<'a>>(value: &'a Value) -> Result<T, Error> {
    T::deserialize(value).map_err(|error| {
        // What the shapes say is what actions ask for, so it is a member that is missing.
        Error::new(&faults::SERIALIZATION, error.to_string())
    })
}

#[cfg(test)]
mod tests;
