//! Data protection policies: what may not be in a message, and what is made unreadable in it.
//!
//! | file | about |
//! | --- | --- |
//! | `document` | a policy as AWS writes it, read and checked |
//! | `identifier` | what sensitive data looks like |
//! | `managed` | the identifiers that AWS has names for |
//!
//! All patterns take time in proportion to the text, whatever it is: those of our own by how they are made, others because what they
//! stand for has a longest length. Long texts are looked at beside the tasks of the thread.

mod document;
mod identifier;
mod managed;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;

use self::document::{Action, Statement};
use super::fault;
use crate::arn::Arn;
use crate::error::Error;

/// Most bytes of a policy.
pub(crate) const POLICY_BYTES_MAX: usize = 30_720;
/// Texts of more bytes take so long that other tasks leave the thread before.
const LONG_BYTES: usize = 16 * 1024;

/// A policy, ready to be applied. Statements that only watch are checked, and have no part in it.
#[derive(Debug)]
pub(crate) struct Protection {
    inbound: Vec<Statement>,
    outbound: Vec<Statement>,
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Into a topic.
    Inbound,
    /// To a subscription.
    Outbound,
}

/// It has what may not be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Denied;

/// Checks a policy that somebody sets.
///
/// # Errors
/// It is none, or asks for what is not known here.
pub(crate) fn check(policy: &str) -> Result<(), Error> {
    Protection::parse(policy).map(|_| ())
}

impl Protection {
    /// Reads a policy.
    ///
    /// # Errors
    /// As [`check`].
    pub(crate) fn parse(policy: &str) -> Result<Self, Error> {
        document::parse(policy)
            .map_err(|reason| fault::invalid_parameter(format_args!("DataProtectionPolicy Reason: {reason}")))
    }

    /// Whether anything is done to messages of a direction.
    pub(crate) fn is_about(&self, direction: Direction) -> bool {
        !self.statements(direction).is_empty()
    }

    fn statements(&self, direction: Direction) -> &[Statement] {
        match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        }
    }

    /// What is left of a text that a principal publishes, or gets; none where it stays as it is. `principal` is an ARN, empty for
    /// nobody in particular.
    ///
    /// # Errors
    /// It may not go there.
    pub(crate) fn apply(&self, direction: Direction, principal: &str, text: &str) -> Result<Option<String>, Denied> {
        let is_threaded = || {
            let runtime = tokio::runtime::Handle::try_current();
            runtime.is_ok_and(|runtime| runtime.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread)
        };
        if text.len() > LONG_BYTES && is_threaded() {
            tokio::task::block_in_place(|| self.look(direction, principal, text))
        } else {
            self.look(direction, principal, text)
        }
    }

    fn look(&self, direction: Direction, principal: &str, text: &str) -> Result<Option<String>, Denied> {
        let mut left: Cow<'_, str> = text.into();
        for statement in self.statements(direction) {
            if !statement.principals.iter().any(|named| is_meant(named, principal)) {
                continue;
            }
            let found = ranges(statement, &left);
            if found.is_empty() {
                continue;
            }
            let replacement = match statement.action {
                Action::Deny => return Err(Denied),
                Action::Mask(with) => Some(with),
                Action::Redact => None,
            };
            left = rewritten(&left, &found, replacement).into();
        }
        Ok(match left {
            Cow::Borrowed(_) => None,
            Cow::Owned(left) => Some(left),
        })
    }
}

/// Whether a principal of a statement is this one.
fn is_meant(named: &str, principal: &str) -> bool {
    if named == "*" || named == principal {
        return true;
    }
    let account = |arn: &str| Arn::parse(arn).map(|arn| arn.account.to_owned());
    let is_whole = |named: &str| Arn::parse(named).is_some_and(|arn| arn.service == "iam" && arn.resource == "root");
    is_whole(named) && account(named) == account(principal)
}

/// What a statement finds, in order, without overlaps.
fn ranges(statement: &Statement, text: &str) -> Vec<Range<usize>> {
    let mut all: Vec<_> = statement.identifiers.iter().flat_map(|identifier| identifier.find(text)).collect();
    all.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(all.len());
    for range in all {
        match merged.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// A text in which each character of what was found is another one, or is not there.
fn rewritten(text: &str, found: &[Range<usize>], with: Option<char>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for range in found {
        out.push_str(&text[from..range.start]);
        if let Some(with) = with {
            out.extend(text[range.clone()].chars().map(|_| with));
        }
        from = range.end;
    }
    out.push_str(&text[from..]);
    out
}
