//! Who a statement is about.

use serde_json::Value;

use super::pattern::matches;
use super::policy::{Invalid, Texts, texts};
use crate::account::is_account;
use crate::arn::Arn;

/// Who wants something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal<'a> {
    /// Somebody who has not said who it is.
    Anonymous,
    /// A user of an account.
    User {
        /// The account, of 12 digits.
        account: &'a str,
        /// `arn:aws:iam::<account>:user/<name>`.
        arn: &'a str,
    },
    /// A service that acts for a resource, such as `sns.amazonaws.com`.
    Service(&'a str),
}

/// Principals of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Everybody,
    /// All of an account.
    Account(Box<str>),
    /// A user, by its ARN or a pattern of it.
    Arn(Box<str>),
    Service(Box<str>),
    /// A kind of principal that there is not here. It is never who asks.
    Elsewhere,
}

impl Named {
    pub(super) fn is(&self, principal: &Principal<'_>) -> bool {
        match (self, principal) {
            (Self::Everybody, _) => true,
            (Self::Account(account), Principal::User { account: other, .. }) => **account == **other,
            (Self::Arn(pattern), Principal::User { arn, .. }) => matches(pattern, arn),
            (Self::Service(pattern), Principal::Service(name)) => matches(pattern, name),
            _ => false,
        }
    }
}

/// Reads `"*"` or `{"AWS": ..., "Service": ...}`.
pub(super) fn read(value: &Value) -> Result<Vec<Named>, Invalid> {
    let invalid = || Invalid("Invalid principal in policy".into());
    match value {
        Value::String(text) if text == "*" => Ok(vec![Named::Everybody]),
        Value::Object(map) if !map.is_empty() => {
            let mut named = Vec::new();
            for (kind, value) in map {
                let Texts(names) = texts(value).ok_or_else(invalid)?;
                for name in names {
                    named.push(match kind.as_str() {
                        "AWS" => of_aws(&name).ok_or_else(invalid)?,
                        "Service" if *name == *"*" || name.contains('.') => Named::Service(name),
                        "Federated" | "CanonicalUser" => Named::Elsewhere,
                        _ => return Err(invalid()),
                    });
                }
            }
            Ok(named)
        }
        _ => Err(invalid()),
    }
}

fn of_aws(name: &str) -> Option<Named> {
    if name == "*" {
        return Some(Named::Everybody);
    }
    if is_account(name) {
        return Some(Named::Account(name.into()));
    }
    let arn = Arn::parse(name)?;
    let is_root = arn.resource == "root" && is_account(arn.account);
    match arn.service {
        "iam" | "sts" if is_root => Some(Named::Account(arn.account.into())),
        "iam" | "sts" => Some(Named::Arn(name.into())),
        _ => None,
    }
}
