//! What each frame does: one file a kind.

mod acknowledge;
mod declare;
mod replies;
mod send;
mod subscribe;
mod transaction;

pub(crate) use self::declare::{flag, number};
pub(crate) use self::replies::ReplyQueues;
pub(crate) use self::send::Targets;
pub(crate) use self::transaction::Transactions;
