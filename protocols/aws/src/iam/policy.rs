//! Documents: from JSON to statements.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::Request;
use super::condition::{self, Condition};
use super::pattern::matches;
use super::principal::{self, Named};

/// A document is at most so large, in bytes.
const DOCUMENT_BYTES_MAX: usize = 64 * 1024;
/// Statements of a document.
const STATEMENTS_MAX: usize = 100;

/// Why a document is not a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub Cow<'static, str>);

/// A policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What it is called, if anything.
    pub id: Option<Box<str>>,
    /// What it says.
    pub statements: Vec<Statement>,
}

/// Whether a statement allows or denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// What it is about may be done.
    Allow,
    /// It may not, whatever other statements say.
    Deny,
}

/// One thing that a policy says.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// What it is called, if anything.
    pub sid: Option<Box<str>>,
    /// Whether it allows or denies.
    pub effect: Effect,
    principals: Listed<Named>,
    actions: Listed<Box<str>>,
    resources: Listed<Box<str>>,
    conditions: Vec<Condition>,
}

/// Those of a list, or all others.
#[derive(Clone, Debug, PartialEq)]
struct Listed<T> {
    are_others: bool,
    list: Vec<T>,
}

impl<T> Listed<T> {
    fn has(&self, is_one: impl FnMut(&T) -> bool) -> bool {
        self.list.iter().any(is_one) != self.are_others
    }
}

impl Policy {
    /// Reads a document.
    ///
    /// # Errors
    /// It is none, or says something that is not known here.
    pub fn parse(document: &str) -> Result<Self, Invalid> {
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(Invalid(format!("The policy is longer than {DOCUMENT_BYTES_MAX} bytes").into()));
        }
        let value: Value = serde_json::from_str(document)
            .map_err(|error| Invalid(format!("The policy is not valid JSON: {error}").into()))?;
        let map = object(&value, "policy", &["Version", "Id", "Statement"])?;
        match map.get("Version") {
            None => {}
            Some(Value::String(version)) if version == "2012-10-17" || version == "2008-10-17" => {}
            Some(_) => return Err(Invalid("The policy's Version is neither 2012-10-17 nor 2008-10-17".into())),
        }
        let one;
        let statements = match map.get("Statement") {
            Some(Value::Array(statements)) => statements.as_slice(),
            Some(statement @ Value::Object(_)) => {
                one = [statement.clone()];
                &one
            }
            _ => return Err(Invalid("The policy has no Statement".into())),
        };
        if statements.len() > STATEMENTS_MAX {
            return Err(Invalid(format!("The policy has more than {STATEMENTS_MAX} statements").into()));
        }
        let statements = statements.iter().map(Statement::read).collect::<Result<_, _>>()?;
        Ok(Self { id: name(map, "Id")?, statements })
    }
}

impl Statement {
    fn read(value: &Value) -> Result<Self, Invalid> {
        const ELEMENTS: [&str; 9] = [
            "Sid",
            "Effect",
            "Principal",
            "NotPrincipal",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Condition",
        ];
        let map = object(value, "statement", &ELEMENTS)?;
        let effect = match map.get("Effect").and_then(Value::as_str) {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            _ => return Err(Invalid("The Effect of a statement is neither Allow nor Deny".into())),
        };
        let patterns = |value: &Value| {
            texts(value).map(|Texts(list)| list).ok_or_else(|| Invalid("A list of texts is expected".into()))
        };
        let actions = listed(map, "Action", "NotAction", patterns)?;
        // `sqs:SendMessage`, or everything.
        if !actions.list.iter().all(|action| **action == *"*" || action.split_once(':').is_some()) {
            return Err(Invalid("An action has no service in front of it".into()));
        }
        let conditions = map.get("Condition").map_or_else(|| Ok(Vec::new()), condition::read)?;
        Ok(Self {
            sid: name(map, "Sid")?,
            effect,
            principals: listed(map, "Principal", "NotPrincipal", principal::read)?,
            actions,
            resources: listed(map, "Resource", "NotResource", patterns)?,
            conditions,
        })
    }

    /// Whether it says anything of a request.
    pub(super) fn is_about(&self, request: &Request<'_>) -> bool {
        self.actions.has(|pattern| is_action(pattern, request.action))
            && self.resources.has(|pattern| is_resource(pattern, request.resource))
            && self.principals.has(|named| named.is(&request.principal))
            && self.conditions.iter().all(|condition| condition.holds(request.context))
    }
}

/// Actions are the same in upper and lower case.
fn is_action(pattern: &str, action: &str) -> bool {
    pattern.eq_ignore_ascii_case(action)
        || (pattern.contains(['*', '?']) && matches(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase()))
}

/// A resource is the same in all regions, and a client signs for whichever it likes: the region is no way around a statement.
fn is_resource(pattern: &str, resource: &str) -> bool {
    matches(pattern, resource)
        || without_region(pattern).zip(without_region(resource)).is_some_and(
            |((pattern, pattern_rest), (resource, resource_rest))| {
                matches(pattern, resource) && matches(pattern_rest, resource_rest)
            },
        )
}

/// What is before the region of an ARN, and what is behind it.
fn without_region(arn: &str) -> Option<(&str, &str)> {
    let (service, _) = arn.match_indices(':').nth(2)?;
    let (_, rest) = arn[service + 1..].split_once(':')?;
    Some((&arn[..service], rest))
}

fn listed<T>(
    map: &Map<String, Value>,
    name: &str,
    others: &str,
    read: impl Fn(&Value) -> Result<Vec<T>, Invalid>,
) -> Result<Listed<T>, Invalid> {
    match (map.get(name), map.get(others)) {
        (Some(value), None) => Ok(Listed { are_others: false, list: read(value)? }),
        (None, Some(value)) => Ok(Listed { are_others: true, list: read(value)? }),
        (Some(_), Some(_)) => Err(Invalid(format!("A statement has both {name} and {others}").into())),
        (None, None) => Err(Invalid(format!("A statement has no {name}").into())),
    }
}

fn object<'a>(value: &'a Value, what: &str, known: &[&str]) -> Result<&'a Map<String, Value>, Invalid> {
    let Value::Object(map) = value else { return Err(Invalid(format!("A {what} is not an object").into())) };
    match map.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(Invalid(format!("A {what} has an element that is not known: {unknown:.64}").into())),
        None => Ok(map),
    }
}

fn name(map: &Map<String, Value>, name: &str) -> Result<Option<Box<str>>, Invalid> {
    match map.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str().into())),
        Some(_) => Err(Invalid(format!("{name} is not a text").into())),
    }
}

/// One text or several, none of which has a variable in it.
pub(super) struct Texts(pub(super) Vec<Box<str>>);

pub(super) fn texts(value: &Value) -> Option<Texts> {
    let text = |value: &Value| match value {
        Value::String(text) if !text.contains("${") => Some(Box::from(text.as_str())),
        _ => None,
    };
    match value {
        Value::Array(values) if !values.is_empty() => values.iter().map(text).collect::<Option<_>>().map(Texts),
        value => text(value).map(|text| Texts(vec![text])),
    }
}
