//! Which routing keys a user may write and read on a topic exchange.
//!
//! The expressions may name the user: `{username}`, `{vhost}`, `{client_id}`. What is put in their place is taken literally;
//! a user called `.*` gets no more than the others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pattern::{Pattern, PatternError};

/// What the variables of a [`TopicPermission`] stand for in one session.
#[derive(Debug, Clone, Copy)]
pub struct Variables<'a> {
    /// The user who has logged in.
    pub username: &'a str,
    /// The virtual host of the session.
    pub vhost: &'a str,
    /// The client's id, in protocols that have one. Where there is none, `{client_id}` stands for itself.
    pub client_id: Option<&'a str>,
}

/// What is done by routing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TopicAccess {
    /// Publish with the key.
    Write,
    /// Bind with the key.
    Read,
}

impl TopicAccess {
    /// The word for it in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

/// What one user may write and read on the topic exchanges of one virtual host, by the name of the exchange.
pub type TopicPermissions = BTreeMap<String, TopicPermission>;

/// What one user may write and read on one topic exchange of one virtual host. Without one, any key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct TopicPermission {
    exchange: String,
    write: String,
    read: String,
}

#[derive(Deserialize)]
struct Stored {
    exchange: String,
    write: String,
    read: String,
}

impl TryFrom<Stored> for TopicPermission {
    type Error = PatternError;

    fn try_from(stored: Stored) -> Result<Self, PatternError> {
        Self::new(stored.exchange, stored.write, stored.read)
    }
}

impl TopicPermission {
    /// Checks both expressions.
    ///
    /// # Errors
    /// One of them is not taken, whatever the variables stand for.
    pub fn new(
        exchange: impl Into<String>,
        write: impl Into<String>,
        read: impl Into<String>,
    ) -> Result<Self, PatternError> {
        let permission = Self { exchange: exchange.into(), write: write.into(), read: read.into() };
        permission.grant(Variables { username: "u", vhost: "v", client_id: Some("c") })?;
        Ok(permission)
    }

    /// The exchange that it is about.
    pub fn exchange(&self) -> &str {
        &self.exchange
    }

    /// The expression for keys to publish with, variables as they were written.
    pub fn write(&self) -> &str {
        &self.write
    }

    /// The expression for keys to bind with, variables as they were written.
    pub fn read(&self) -> &str {
        &self.read
    }

    /// Compiles the expressions for a session. Costs microseconds: sessions ask a [`TopicCache`](super::TopicCache).
    ///
    /// # Errors
    /// A variable stands for so much that the expression is too long. Nothing is allowed then.
    pub fn grant(&self, variables: Variables<'_>) -> Result<TopicGrant, PatternError> {
        Ok(TopicGrant {
            write: Pattern::new(expand(&self.write, variables))?,
            read: Pattern::new(expand(&self.read, variables))?,
        })
    }
}

/// A [`TopicPermission`] for one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicGrant {
    write: Pattern,
    read: Pattern,
}

impl TopicGrant {
    /// Whether this may be done with the key.
    pub fn may(&self, access: TopicAccess, routing_key: impl AsRef<[u8]>) -> bool {
        match access {
            TopicAccess::Write => &self.write,
            TopicAccess::Read => &self.read,
        }
        .matches(routing_key)
    }
}

/// Puts the variables in, once: what comes in by a variable is not looked through again.
fn expand(template: &str, variables: Variables<'_>) -> String {
    let named = [
        ("{username}", Some(variables.username)),
        ("{vhost}", Some(variables.vhost)),
        ("{client_id}", variables.client_id),
    ];
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(brace) = rest.find('{') {
        out.push_str(&rest[..brace]);
        rest = &rest[brace..];
        let found = named.iter().find_map(|(name, value)| Some((name, (*value)?)).filter(|_| rest.starts_with(name)));
        match found {
            Some((name, value)) => {
                out.push_str(&regex::escape(value));
                rest = &rest[name.len()..];
            }
            None => {
                out.push('{');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}
