//! MQTT 3.1, 3.1.1 and 5.0.
//!
//! | room | |
//! | --- | --- |
//! | [`codec`] | bytes <-> packets; pure |

pub mod codec;
