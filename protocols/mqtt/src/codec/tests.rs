//! What the codec does with packets of its own making, with illegal ones and with those of others.

mod golden;
mod illegal;
mod lenient;
mod oracle;
mod round_trip;
pub(crate) mod samples;
mod stable;

use super::packet::{Packet, Version};
use super::*;

/// No packet of these tests is longer.
const MAX: u32 = 1 << 20;

fn from_client(bytes: &[u8], version: Version) -> Result<Option<(Packet<'_>, usize)>, DecodeError> {
    decode(bytes, Settings { version, packet_bytes_max: MAX })
}

fn from_server(bytes: &[u8], version: Version) -> Result<Option<(Packet<'_>, usize)>, DecodeError> {
    decode_from_server(bytes, Settings { version, packet_bytes_max: MAX })
}
