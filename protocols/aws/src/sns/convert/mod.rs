//! Messages of SNS and the broker's: the container of a publish, and what is read back from it.
//!
//! | file | about |
//! | --- | --- |
//! | `head` | what is stored of a message beside its body |
//! | `incoming` | what is published -> message |
//! | `notice` | message -> what a notification says, of whatever protocol it came by |
//! | `source` | a stored message as other protocols see it |

mod head;
mod incoming;
mod notice;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use incoming::{Published, Variant, message};
pub(crate) use notice::{At, Notice, published_ms, topic_of, variant};
pub use source::SOURCE;

/// The number of this source in stored messages.
pub(crate) const SOURCE_ID: u8 = 6;

/// A header that says of a message that it comes out of its topic's archive.
pub(crate) const REPLAYED: &str = "x-sns-replayed";
