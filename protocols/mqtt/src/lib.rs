//! MQTT 3.1, 3.1.1 and 5.0.
//!
//! | room | |
//! | --- | --- |
//! | [`codec`] | bytes <-> packets; pure |
//! | [`scram`] | logging in by SCRAM-SHA-256; pure |

pub mod codec;
pub mod scram;
