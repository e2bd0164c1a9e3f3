//! Access keys: pairs of an id and a secret by which programs sign requests on behalf of a user.

use std::fmt;

use base64::Engine;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::message::now_ms;

/// Access keys that one user has at most.
pub const ACCESS_KEYS_MAX: usize = 64;

/// Longest id, in bytes.
const ID_BYTES_MAX: usize = 128;
/// Longest secret, in bytes.
const SECRET_BYTES_MAX: usize = 256;

/// What ids that are made here begin with.
const ID_PREFIX: &str = "GMQA";
/// Random letters and digits behind it: 80 bits.
const ID_RANDOM_LEN: usize = 16;
/// So many bytes of randomness are 40 characters of secret.
const SECRET_RANDOM_BYTES: usize = 30;

/// An access key of a user. The secret is kept as it is, since a signature cannot be checked with less.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// Which key it is: unique in the broker, and told in each request.
    pub id: String,
    /// What requests are signed with. Never told again, and never logged.
    pub secret: String,
    /// Whose key it is.
    pub user: String,
    /// When it was made, in milliseconds since the epoch of Unix.
    pub created_ms: u64,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, user, created_ms, .. } = self;
        f.debug_struct("AccessKey")
            .field("id", id)
            .field("user", user)
            .field("created_ms", created_ms)
            .finish_non_exhaustive()
    }
}

/// Why an access key was not set.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AccessKeyRefused {
    /// There is no such user.
    #[error("there is no such user")]
    NoUser,
    /// Another user has a key of this id.
    #[error("the id is another user's")]
    Taken,
    /// The id or the secret cannot be one.
    #[error("{0}")]
    Invalid(&'static str),
    /// The user has as many as it may have.
    #[error("a user has at most {ACCESS_KEYS_MAX} access keys")]
    TooMany,
    /// There is no randomness to make one of, or it could not be stored.
    #[error(transparent)]
    Broker(#[from] Error),
}

impl AccessKey {
    /// A new key for a user, of random parts.
    ///
    /// # Errors
    /// The system has no random numbers to give.
    pub(crate) fn generate(user: &str) -> Result<Self, Error> {
        const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let mut random = [0; ID_RANDOM_LEN + SECRET_RANDOM_BYTES];
        getrandom::fill(&mut random).map_err(|error| Error::Storage(error.to_string()))?;
        let (id, secret) = random.split_at(ID_RANDOM_LEN);
        let id = id.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
        Ok(Self {
            id: ID_PREFIX.chars().chain(id).collect(),
            secret: base64::engine::general_purpose::STANDARD.encode(secret),
            user: user.to_owned(),
            created_ms: now_ms(),
        })
    }

    /// A key whose parts were chosen elsewhere.
    ///
    /// # Errors
    /// They cannot be told in a request.
    pub(crate) fn given(user: &str, id: &str, secret: &str) -> Result<Self, AccessKeyRefused> {
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(is_id) {
            let what = "an id has 1 to 128 letters, digits, '-', '_' or '.'";
            return Err(AccessKeyRefused::Invalid(what));
        }
        if secret.is_empty() || secret.len() > SECRET_BYTES_MAX || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AccessKeyRefused::Invalid("a secret has 1 to 256 visible characters of ASCII"));
        }
        Ok(Self { id: id.to_owned(), secret: secret.to_owned(), user: user.to_owned(), created_ms: now_ms() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_and_no_two_are_the_same() {
        let (one, other) = (AccessKey::generate("u").unwrap(), AccessKey::generate("u").unwrap());
        assert_ne!(one.id, other.id);
        assert_ne!(one.secret, other.secret);
        assert_eq!((one.id.len(), one.secret.len()), (20, 40));
        assert!(!format!("{one:?}").contains(&one.secret));
        AccessKey::given("u", &one.id, &one.secret).unwrap();
    }

    #[test]
    fn what_cannot_stand_in_a_request_is_no_id() {
        for id in ["", "a/b", "a b", "ä", "a,b", "a\n"] {
            assert!(matches!(AccessKey::given("u", id, "s"), Err(AccessKeyRefused::Invalid(_))), "{id}");
        }
        let long = "x".repeat(300);
        for (id, secret) in [(long.as_str(), "s"), ("id", long.as_str()), ("id", ""), ("id", "a b")] {
            assert!(matches!(AccessKey::given("u", id, secret), Err(AccessKeyRefused::Invalid(_))), "{id} {secret}");
        }
    }
}
