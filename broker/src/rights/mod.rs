//! Who may come in, and what they may do: users, passwords, permissions. Pure: whoever keeps them stores them, and tells
//! by a version number that they have changed.
//!
//! | file | |
//! | --- | --- |
//! | `user` | a user: name, password, tags |
//! | `password` | salted hashes in RabbitMQ's forms |
//! | `scram` | what SCRAM-SHA-256 checks in place of a password |
//! | `token` | signed tokens in place of passwords |
//! | `login` | whether a name and a password are let in, and from where |
//! | `pattern` | a regular expression over names, in linear time, with RabbitMQ's meaning |
//! | `permission` | what a user may do in a virtual host |
//! | `topic` | which routing keys a user may write and read on a topic exchange |
//! | `access_key` | what programs sign requests with on behalf of a user |
//! | `cache` | decisions that a session has already had |

mod access_key;
mod cache;
mod login;
mod password;
mod pattern;
mod permission;
mod scram;
mod token;
mod topic;
mod user;

#[cfg(test)]
mod tests;

pub use access_key::{ACCESS_KEYS_MAX, AccessKey, AccessKeyRefused};
pub use cache::{AccessCache, TopicCache};
pub use login::{Authenticated, Denied, Login};
pub use password::{PasswordHash, PasswordHashError, Salted};
pub use pattern::{PATTERN_BYTES_MAX, Pattern, PatternError};
pub use permission::{Access, Permission};
pub use scram::{SCRAM_ITERATIONS, ScramVerifier};
pub use token::{Claimed, SECRET_BYTES_MIN, TOKEN_BYTES_MAX, TokenAlgorithm, TokenError, TokenKey, Tokens};
pub use topic::{TopicAccess, TopicGrant, TopicPermission, TopicPermissions, Variables};
pub use user::User;
