//! Amazon SQS.

mod actions;

pub(crate) use self::actions::ACTIONS;

/// What SQS knows beside its queues.
#[derive(Debug, Default)]
pub struct Sqs {}
