//! Bytes to packets and back: pure, borrowed from the input, and nothing is allocated by a length that a peer claims.
//!
//! | file | about |
//! | --- | --- |
//! | `packet` | the packets of all versions |
//! | `reason` | reason codes, return codes; `allowed`: which belong into which packet |
//! | `topic` | topic names, filters, shared subscriptions |
//! | `properties` | properties, one by one and as a section of a packet |
//! | `wire` | integers, strings, binary data |
//! | `header` | the fixed header: type, flags, length |
//! | `decode` | bytes to packets |
//! | `encode` | packets to bytes |
//! | `error` | the one error of decoding |
//!
//! The statements of the specification that these files keep are in docs/mqtt-conformance.md, each with its test.

mod allowed;
mod decode;
mod encode;
mod error;
mod header;
pub mod packet;
pub mod properties;
pub mod reason;
pub mod topic;
mod wire;

#[cfg(test)]
mod tests;

pub use decode::{FILTERS_MAX, Settings, decode, decode_connect, decode_from_server};
pub use encode::{encode, encode_publish_head, encode_within, encoded_bytes, publish_bytes};
pub use error::DecodeError;
pub use header::{PACKET_BYTES_MAX, packet_bytes};
pub use wire::{Output, VARIABLE_MAX};
