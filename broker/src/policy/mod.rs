//! Policies: rules for all queues and exchanges whose names match, which can be changed while they are in use.
//!
//! At most one policy and one operator policy apply to a queue or an exchange: of those that match, the one with the highest
//! priority, and of several with the same the one whose name comes first (RabbitMQ does not say which). What a queue
//! makes of them is in [`crate::queue`]; how a change gets to queues and exchanges is in [`crate::vhost`].
//!
//! | file | |
//! | --- | --- |
//! | this one | what a policy is |
//! | `definition` | the settings there are, and the values that they can have |
//! | `list` | the policies of a virtual host, and which of them apply |
//! | `applied` | what applies to one queue or exchange, and what both policies come to |

mod applied;
mod definition;
mod list;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::applied::Applied;
pub use self::definition::{About, Problem};
pub(crate) use self::list::{Matched, Policies};
use crate::rights::Pattern;
use crate::value::Table;

/// Policies of either kind that a virtual host can have. Each may hold a pattern that takes some hundred KiB compiled.
pub const POLICIES_MAX: usize = 1024;

/// Who speaks: the users of a virtual host, or whoever runs the broker and sets them limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyKind {
    /// A policy.
    User,
    /// An operator policy: fewer settings, and the smaller number of both counts.
    Operator,
}

/// What a policy is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplyTo {
    /// Queues of every type, and exchanges.
    #[default]
    All,
    /// Exchanges.
    Exchanges,
    /// Queues of every type.
    Queues,
    /// Queues whose type is classic.
    ClassicQueues,
    /// Queues whose type is quorum.
    QuorumQueues,
    /// Streams.
    Streams,
}

impl ApplyTo {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Exchanges => "exchanges",
            Self::Queues => "queues",
            Self::ClassicQueues => "classic_queues",
            Self::QuorumQueues => "quorum_queues",
            Self::Streams => "streams",
        }
    }

    /// What a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::All, Self::Exchanges, Self::Queues, Self::ClassicQueues, Self::QuorumQueues, Self::Streams]
            .into_iter()
            .find(|apply_to| apply_to.name() == word)
    }
}

/// A policy or an operator policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name, unique among those of its kind in the virtual host.
    pub name: String,
    /// Names of queues and exchanges that it is for.
    pub pattern: Pattern,
    /// Which of them.
    pub apply_to: ApplyTo,
    /// The highest wins.
    pub priority: i64,
    /// Settings: arguments of queues and exchanges without `x-`, each once, in the order of their names.
    pub definition: Table,
}

impl Policy {
    /// Whether settings are known to policies of a kind, and have values that they can have.
    ///
    /// # Errors
    /// The first that is not, in the order of their names.
    pub fn check_definition(kind: PolicyKind, definition: &Table) -> Result<(), Problem> {
        definition::check(kind, definition)
    }
}
