//! The common internal broker. It knows no protocol.

pub mod protocol;
