//! Whether a name and a password are let in.

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::password::PasswordHash;
use super::token::TokenError;
use super::user::User;

/// Why somebody is not let in. For the log: a client is told no more than that it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No such user, no password to compare with, or another one. Which of them is not told.
    #[error("invalid credentials")]
    Credentials,
    /// An empty password is never the right one.
    #[error("blank password")]
    BlankPassword,
    /// The user may come from this machine only.
    #[error("can only connect via localhost")]
    LoopbackOnly,
    /// The token that came in place of a password is not believed.
    #[error("{0}")]
    Token(#[from] TokenError),
}

/// Somebody who has been let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// Who it is.
    pub user: Arc<User>,
    /// When what was shown ends to be valid, in milliseconds since the epoch of Unix: the connection is to be closed then.
    /// None for ever.
    pub expires_ms: Option<u64>,
}

/// The rules for logging in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// Users whose password is so well known that they are let in from this machine only.
    pub loopback_users: HashSet<String>,
}

impl Default for Login {
    /// As RabbitMQ out of the box: `guest` comes from loopback only.
    fn default() -> Self {
        Self { loopback_users: HashSet::from(["guest".to_owned()]) }
    }
}

impl Login {
    /// Lets a user in by name and password. `find` gets the user, by reference or as an `Arc`.
    ///
    /// An unknown user takes as long to refuse as a wrong password.
    ///
    /// # Errors
    /// Why not.
    pub fn authenticate<U: Deref<Target = User>>(
        &self,
        find: impl FnOnce(&str) -> Option<U>,
        name: &str,
        password: &[u8],
        peer_is_loopback: bool,
    ) -> Result<U, Denied> {
        if password.is_empty() {
            return Err(Denied::BlankPassword);
        }
        let user = find(name);
        let hash = user.as_ref().and_then(|user| user.password.as_ref());
        let right = hash.unwrap_or(&NOBODY).verify(password);
        // Whoever hits the digest of nobody has still not named a user with a password.
        let known = hash.is_some();
        match user {
            Some(user) if right & known => self.admit(user, peer_is_loopback),
            _ => Err(Denied::Credentials),
        }
    }

    /// Lets in a user whom something other than a password has vouched for, such as a certificate.
    ///
    /// # Errors
    /// Why not.
    pub fn admit<U: Deref<Target = User>>(&self, user: U, peer_is_loopback: bool) -> Result<U, Denied> {
        if !peer_is_loopback && self.loopback_users.contains(&user.name) {
            return Err(Denied::LoopbackOnly);
        }
        Ok(user)
    }
}

/// What the password of an unknown user is compared with.
static NOBODY: PasswordHash = PasswordHash::NOBODY;
