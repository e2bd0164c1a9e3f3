//! Bytes <-> packets: pure, and it allocates nothing by a length that a peer claims.
//!
//! * [`packet`]: the packets; [`reason`]: reason codes.

pub mod packet;
pub mod reason;
