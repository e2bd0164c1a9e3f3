//! STOMP 1.0, 1.1 and 1.2, in RabbitMQ's and in ActiveMQ's manner.
//!
//! | room | |
//! | --- | --- |
//! | [`codec`] | bytes <-> frames; pure |
//! | [`destinations`] | the texts of destinations, and what they mean; pure |
//! | `error` | the broker's errors -> ERROR frames |

pub mod codec;
pub mod destinations;
mod error;
