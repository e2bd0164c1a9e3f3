//! Where a message goes: one matcher an exchange, from routing key and headers to destinations.
//!
//! | file | |
//! | --- | --- |
//! | `kind` | the types of exchanges, and how each routes |
//! | `direct`, `fanout`, `topic`, `headers` | the routes of one type of exchange each |
//! | `filtered` | bindings with filter policies |
//! | `hash`, `pick` | the types that choose one destination for a message |
//! | `duplicates`, `history` | what an exchange may remember of its messages |
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
mod duplicates;
mod error;
mod fanout;
mod filtered;
mod hash;
mod headers;
mod history;
mod kind;
mod matcher;
mod pick;
mod room;
mod topic;
pub mod trie;

#[cfg(test)]
mod tests;

pub use bindings::Binding;
pub(crate) use duplicates::{Duplicates, deduplication_key, text_key};
pub use error::BindError;
pub(crate) use error::{Term, field_term};
pub use hash::{BUCKETS_MAX, HashOn, HashProperty, WEIGHT_MAX};
pub(crate) use history::{HISTORY_MESSAGES, History};
pub use kind::{ExchangeKind, Routing, UnknownKind};
pub use matcher::Matcher;
