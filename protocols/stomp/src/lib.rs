//! STOMP 1.0, 1.1 and 1.2, in RabbitMQ's and in ActiveMQ's manner.
//!
//! | room | |
//! | --- | --- |
//! | [`codec`] | bytes <-> frames; pure |
//! | [`destinations`] | the texts of destinations, and what they mean; pure |
//! | `convert` | SEND <-> the container <-> MESSAGE |
//! | `error` | the broker's errors -> ERROR frames |

pub mod codec;
mod convert;
pub mod destinations;
mod error;

pub use self::convert::{SOURCE, StompSource};
pub use self::destinations::Dialect;
