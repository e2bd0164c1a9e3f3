//! Filter policies of Amazon SNS: what a subscription asks of a message, of its attributes or of its body.
//!
//! | file | |
//! | --- | --- |
//! | `json` | text to tokens: for policies, which need places for errors, and for bodies, without a tree and without recursion |
//! | `policy` | a document to rules; `pairs` is its tree, `limits` what it may be at most |
//! | `condition`, `wildcard`, `network` | what is asked of one value, and whether it is so |
//! | `subject`, `body` | what a message has to be compared: its attributes, the values of its body |
//! | `arrays` | whether values come from the same elements of arrays |
//! | `index` | many filters at once |
//! | `error` | why a document is no policy, in the words of AWS |
//!
//! A policy is compiled once. `$or` is multiplied out: a filter is a list of rules of which one has to hold, a rule a list of fields
//! that all have to, a field a list of conditions of which one has to. That is how policies are limited, too, so that the list
//! is short.
//!
//! Pure: a filter looks at nothing but the message.

mod arrays;
mod body;
mod condition;
mod error;
mod index;
mod json;
mod limits;
mod network;
mod pairs;
mod policy;
mod subject;
#[cfg(test)]
mod tests;
mod wildcard;

use std::str::FromStr;
use std::sync::Arc;

use self::condition::Condition;
pub use self::error::FilterError;
pub use self::index::{Filed, Index};
pub use self::limits::{
    BODY_BYTES_MAX, BODY_VALUES_MAX, COMBINATIONS_MAX, FIELDS_MAX, KEYS_MAX, POLICY_BYTES_MAX, WILDCARD_POINTS_MAX,
    WILDCARDS_MAX,
};
pub use self::subject::Attribute;

/// What of a message a filter looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Its attributes: headers and properties.
    #[default]
    MessageAttributes,
    /// Its body, which is a JSON object then.
    MessageBody,
}

impl Scope {
    /// As AWS writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MessageAttributes => "MessageAttributes",
            Self::MessageBody => "MessageBody",
        }
    }
}

impl FromStr for Scope {
    type Err = FilterError;

    fn from_str(name: &str) -> Result<Self, FilterError> {
        [Self::MessageAttributes, Self::MessageBody]
            .into_iter()
            .find(|scope| scope.name() == name)
            .ok_or_else(|| FilterError::scope(name))
    }
}

/// A filter policy, compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    scope: Scope,
    /// One of them has to hold.
    rules: Box<[Rule]>,
}

/// All of its fields have to hold.
#[derive(Clone, Debug, PartialEq)]
struct Rule {
    fields: Box<[Field]>,
}

/// One of its conditions has to hold of one value of this name.
#[derive(Clone, Debug, PartialEq)]
struct Field {
    /// Names of all levels, with dots between them.
    name: Arc<str>,
    /// The same for all rules that a `$or` beside it makes.
    conditions: Arc<[Condition]>,
}

impl Filter {
    /// Compiles a policy: a JSON object. An empty one asks for nothing.
    ///
    /// # Errors
    /// It is no policy, or beyond the limits that AWS has set.
    pub fn parse(text: &str, scope: Scope) -> Result<Self, FilterError> {
        Ok(Self { scope, rules: policy::parse(text, scope)? })
    }

    /// What it looks at.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Whether every message meets it, whatever it is.
    pub fn is_everything(&self) -> bool {
        self.rules.iter().any(|rule| rule.fields.is_empty())
    }
}

impl Field {
    /// Whether it holds where there is no value of this name.
    fn may_be_absent(&self) -> bool {
        self.conditions.contains(&Condition::Absent)
    }
}
