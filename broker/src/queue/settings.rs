//! What is set on a queue beside its declaration, and may change at any time.
//!
//! A queue that some protocol set up with more than arguments say must still be declared without any of them by the clients
//! of another protocol. So these are no arguments: they are in the queue's row, and become part of its rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What is set on a queue beside its declaration. A queue that nothing is set on has the default and pays nothing for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueSettings {
    /// How long a message waits before anybody gets it, in milliseconds, unless the message itself says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// How long a message is kept at most, in milliseconds, from when it came. The smallest of this and of what the queue's
    /// arguments and policies say counts, as it was when the message came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_ms: Option<u64>,
    /// How long whoever receives a message has it, in milliseconds, where a receive says nothing else. For the protocol that
    /// receives: consumers that are pushed to keep what they have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// Where messages go that nobody has managed to handle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redrive: Option<Redrive>,
    /// Messages of one group come strictly in order. Set when the queue is declared, and never changed to or from none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordered: Option<Ordered>,
    /// Of messages with groups, those whose group has little under way come first. Means nothing in an ordered queue.
    #[serde(skip_serializing_if = "is_false")]
    pub fair: bool,
    /// What a protocol keeps with the queue. The broker does not read it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Where messages go that were received too often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redrive {
    /// The queue that gets them, in the same virtual host. It need not exist (yet): until it does, messages stay.
    pub queue: Arc<str>,
    /// So often a message is received; when it is to be received once more, it goes.
    pub receives_max: u32,
}

/// What an ordered queue knows of messages that are sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// For so long, in milliseconds, a message with the deduplication id of another one is not taken.
    pub deduplication_ms: u64,
    /// Deduplication ids are those of a group and not of the queue.
    pub per_group: bool,
}

impl QueueSettings {
    /// Whether nothing is set.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_false(value: &bool) -> bool {
    !*value
}
