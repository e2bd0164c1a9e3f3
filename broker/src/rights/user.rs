//! A user.

use serde::{Deserialize, Serialize};

use super::password::PasswordHash;
use super::scram::ScramVerifier;

/// Somebody who may log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name, unique in the broker.
    pub name: String,
    /// Absent for a user who comes in by certificate or token only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordHash>,
    /// The same password for SCRAM-SHA-256. Absent where only its hash was ever known here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scram: Option<ScramVerifier>,
    /// What the user may manage: `administrator`, `monitoring`, `policymaker`, `management`, or others that mean nothing here.
    #[serde(default)]
    pub tags: Vec<String>,
}

impl User {
    /// A user with a password that is hashed with a new salt. Costs a millisecond or a few.
    ///
    /// # Errors
    /// The system has no random numbers to give.
    pub fn with_password(name: impl Into<String>, password: &[u8], tags: &[&str]) -> Result<Self, getrandom::Error> {
        Ok(Self {
            name: name.into(),
            password: Some(PasswordHash::new(password)?),
            // An empty password lets nobody in, and must not do so by another way.
            scram: if password.is_empty() { None } else { Some(ScramVerifier::new(password)?) },
            tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        })
    }

    /// Whether the user has this tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|other| other == tag)
    }
}
