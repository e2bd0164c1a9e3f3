//! A message move task, as it is told and kept.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Resource};

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MoveStatus {
    /// It moves messages.
    Running,
    /// It has moved what there was.
    Completed,
    /// It was cancelled, and its last messages are on their way.
    Cancelling,
    /// It was cancelled. What it had moved stays moved.
    Cancelled,
    /// It could not go on; [`MoveTask::failure`] says why.
    Failed,
}

impl MoveStatus {
    /// Whether it has not ended.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Cancelling)
    }
}

/// Why a task could not go on. The message that it met this at stays where it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MoveFailure {
    /// There is no queue of this name any more: the source, the destination, or the one that a message came from.
    NoQueue(Arc<str>),
    /// A message does not say which queue it came from.
    UnknownOrigin,
    /// Storage failed.
    Storage(String),
}

/// A task that moves the messages of a queue to another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveTask {
    /// Which task it is: no other one on this data folder ever had the number.
    pub id: u64,
    /// The queue that messages come from.
    pub source: Arc<str>,
    /// The queue that they go to; none where each goes back to the queue that it came from as a dead letter.
    pub destination: Option<Arc<str>>,
    /// So many messages a second at most.
    pub rate_per_s: Option<u32>,
    /// How far it is.
    pub status: MoveStatus,
    /// Messages that it has moved. After a crash it may be those of a second or so off.
    pub moved: u64,
    /// Messages that were there to be moved when it started.
    pub to_move: u64,
    /// When it was started, in milliseconds since the epoch of Unix.
    pub started_ms: u64,
    /// Why it failed.
    pub failure: Option<MoveFailure>,
}

/// Why a task was not started or cancelled.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NotMoved {
    /// There is no such queue.
    #[error("no {0}")]
    NoQueue(Resource),
    /// Nothing can be taken out of it, or put into it: a stream, a queue of one connection, the same queue twice.
    #[error("{0} cannot be part of a move")]
    NotPossible(Resource),
    /// A task moves messages from there already.
    #[error("a task is running for {0}")]
    Running(Resource),
    /// There is no such task, or it is not running any more.
    #[error("no such task is running")]
    NoTask,
    /// So many tasks run already.
    #[error("{0} tasks are running")]
    TooMany(usize),
    /// It could not be stored.
    #[error(transparent)]
    Broker(#[from] Error),
}
