//! Amazon SQS.

pub mod error;
pub mod sqs;
