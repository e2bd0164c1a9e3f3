//! STOMP 1.0, 1.1 and 1.2, in RabbitMQ's and in ActiveMQ's manner.
//!
//! | room | |
//! | --- | --- |
//! | [`codec`] | bytes <-> frames; pure |

pub mod codec;
