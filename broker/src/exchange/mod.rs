//! Where a message goes: one matcher an exchange, from routing key and headers to destinations.
//!
//! | file | |
//! | --- | --- |
//! | `direct`, `fanout`, `topic`, `headers` | the routes of one type of exchange each |
//! | `trie` | patterns of words with wildcards, without any word about exchanges |
//! | `bindings` | the list that is authoritative for what is bound, kept beside the routes |
//! | `destinations` | a set that is small when it holds one, and visiting several sets without doubles |
//! | `compare` | when a header equals a binding's argument |
//! | `error` | why a binding is refused |
//!
//! A matcher is a plain data structure: no lock, no I/O. It is generic over the destination, so it needs no queue in its tests.

mod bindings;
mod compare;
mod destinations;
mod direct;
mod error;
mod fanout;
mod headers;
mod matcher;
mod topic;
pub mod trie;

#[cfg(test)]
mod tests;

pub use bindings::Binding;
pub use error::BindError;
pub use matcher::{ExchangeKind, Matcher, UnknownKind};
