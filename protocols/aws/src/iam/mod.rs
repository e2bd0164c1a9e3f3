//! Policies of resources, as IAM evaluates them: who may do what to which queue under which conditions. Pure: no broker, no
//! clock; what a request is made under comes as a [`Context`].
//!
//! | file | |
//! | --- | --- |
//! | `policy` | documents: from JSON to statements |
//! | `principal` | who: everybody, accounts, users, services |
//! | `condition`, `operator` | under which conditions: set qualifiers, and comparisons of values |
//! | `pattern` | `*` and `?` |
//!
//! What is not known is refused when a policy is set, and not passed over when it counts: operators, elements, and variables
//! (`${...}`), which would mean something else than they say.

mod condition;
mod operator;
mod pattern;
mod policy;
mod principal;

#[cfg(test)]
mod tests;

pub use self::condition::Context;
pub use self::pattern::matches;
pub use self::policy::{Effect, Invalid, Policy, Statement};
pub use self::principal::Principal;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who.
    pub principal: Principal<'a>,
    /// What, such as `sqs:SendMessage`.
    pub action: &'a str,
    /// The ARN of what it is done to.
    pub resource: &'a str,
    /// Under which conditions.
    pub context: &'a Context<'a>,
}

/// What a policy says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A statement denies it, whatever others say.
    Denied,
    /// A statement allows it, and none denies it.
    Allowed,
    /// No statement is about it.
    Silent,
}

impl Policy {
    /// What it says of a request.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        let mut decision = Decision::Silent;
        for statement in &self.statements {
            if !statement.is_about(request) {
                continue;
            }
            match statement.effect {
                Effect::Deny => return Decision::Denied,
                Effect::Allow => decision = Decision::Allowed,
            }
        }
        decision
    }
}
