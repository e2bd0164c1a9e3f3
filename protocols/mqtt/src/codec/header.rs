//! The fixed header (2.1): what kind of packet comes, who may send it, and how long it is.

use super::error::{DecodeError, Result, malformed, protocol_error};
use super::packet::Version;
use super::reason::Reason;
use super::wire::{VARIABLE_MAX, Variable, variable, variable_bytes};

/// The longest packet that there is, in bytes with its fixed header.
pub const PACKET_BYTES_MAX: u32 = VARIABLE_MAX + 5;

/// Packet types (2.1.2), in the high half of the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Connect = 1,
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    PingReq,
    PingResp,
    Disconnect,
    Auth,
}

impl Kind {
    fn of(first: u8) -> Option<Self> {
        Some(match first >> 4 {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The low half of the first byte (2.1.3); of PUBLISH it is not fixed.
    const fn flags(self) -> u8 {
        match self {
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        }
    }

    /// The first byte of a packet of this kind, except PUBLISH.
    pub(super) const fn first_byte(self) -> u8 {
        (self as u8) << 4 | self.flags()
    }
}

/// Who sent the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// A packet that is there as a whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    pub(super) first: u8,
    /// What follows the fixed header.
    pub(super) body: &'a [u8],
    /// Fixed header and body.
    pub(super) bytes: usize,
}

/// The length of the body, and the bytes of the fixed header.
fn length(input: &[u8], version: Option<Version>) -> Result<Option<(u32, usize)>> {
    match variable(input.get(1..).unwrap_or_default()) {
        Variable::Incomplete => Ok(None),
        Variable::TooLong => malformed("a remaining length of more than four bytes"),
        // Only 5.0 forbids it [MQTT-1.5.5-1]; small clients of 3.1.1 always send the same number of length bytes.
        Variable::Is(length, bytes) if version == Some(Version::V5) && bytes != variable_bytes(length) => {
            malformed("the remaining length takes more bytes than it needs")
        }
        Variable::Is(length, bytes) => Ok(Some((length, 1 + bytes))),
    }
}

/// Cuts the packet at the front. All that the fixed header says is checked before the packet has to be there.
///
/// Inlined: a frame that is returned through memory costs as much as the rest of reading a short PUBLISH.
#[inline(always)]
pub(super) fn cut(input: &[u8], version: Version, packet_bytes_max: u32, side: Side) -> Result<Option<Frame<'_>>> {
    let Some(&first) = input.first() else { return Ok(None) };
    let Some(kind) = Kind::of(first) else { return malformed("packet type 0") };
    check_sender(kind, side, version)?;
    check_flags(kind, first & 0x0F, version)?;
    let Some((length, header_bytes)) = length(input, Some(version))? else { return Ok(None) };
    if length > packet_bytes_max.saturating_sub(header_bytes as u32) {
        return Err(DecodeError::new(Reason::PACKET_TOO_LARGE, "a packet is larger than allowed"));
    }
    if length > 0 && matches!(kind, Kind::PingReq | Kind::PingResp) {
        return malformed("a ping has contents");
    }
    let bytes = header_bytes + length as usize;
    Ok(input.get(header_bytes..bytes).map(|body| Frame { kind, first, body, bytes }))
}

/// Cuts the first packet of a connection, whose version is not known yet: flags and the way the length is written are left to
/// [`check_connect`].
pub(super) fn cut_connect(input: &[u8], packet_bytes_max: u32) -> Result<Option<Frame<'_>>> {
    let Some(&first) = input.first() else { return Ok(None) };
    let kind = Kind::Connect;
    if Kind::of(first) != Some(kind) {
        return protocol_error("the first packet is not CONNECT");
    }
    let Some((length, header_bytes)) = length(input, None)? else { return Ok(None) };
    if length > packet_bytes_max.saturating_sub(header_bytes as u32) {
        return Err(DecodeError::new(Reason::PACKET_TOO_LARGE, "CONNECT is larger than allowed"));
    }
    let bytes = header_bytes + length as usize;
    Ok(input.get(header_bytes..bytes).map(|body| Frame { kind, first, body, bytes }))
}

/// The rules for the fixed header of a CONNECT once its version is known.
pub(super) fn check_connect(frame: &Frame<'_>, version: Version) -> Result<()> {
    check_flags(frame.kind, frame.first & 0x0F, version)?;
    let shortest = 1 + variable_bytes(frame.body.len() as u32) + frame.body.len();
    if version == Version::V5 && shortest != frame.bytes {
        return malformed("the remaining length takes more bytes than it needs");
    }
    Ok(())
}

fn check_sender(kind: Kind, side: Side, version: Version) -> Result<()> {
    match (kind, side) {
        (Kind::Auth, _) if version != Version::V5 => malformed("packet type 15 before MQTT 5.0"),
        (Kind::Connect, Side::Client) => protocol_error("a second CONNECT"),
        (Kind::ConnAck | Kind::SubAck | Kind::UnsubAck | Kind::PingResp, Side::Client) => {
            protocol_error("a packet that only servers send")
        }
        (Kind::Connect | Kind::Subscribe | Kind::Unsubscribe | Kind::PingReq, Side::Server) => {
            protocol_error("a packet that only clients send")
        }
        (Kind::Disconnect, Side::Server) if version != Version::V5 => {
            protocol_error("DISCONNECT of a server before MQTT 5.0")
        }
        _ => Ok(()),
    }
}

/// [MQTT-2.1.3-1]. In 3.1 the flags of other packets than PUBLISH have no meaning or are DUP and QoS (3.1, 2.1).
fn check_flags(kind: Kind, flags: u8, version: Version) -> Result<()> {
    if kind == Kind::Publish {
        return match flags >> 1 {
            0b011 | 0b111 => malformed("PUBLISH with QoS 3"),
            0b100 if version != Version::V31 => malformed("DUP in a PUBLISH of QoS 0"),
            _ => Ok(()),
        };
    }
    if flags != kind.flags() && version != Version::V31 {
        return malformed("reserved flags of the fixed header");
    }
    Ok(())
}

/// Bytes that the packet at the front takes with its fixed header, as soon as that is known. `None` also where its length cannot
/// be read, which decoding tells apart.
pub fn packet_bytes(input: &[u8]) -> Option<usize> {
    match length(input, None) {
        Ok(Some((length, header_bytes))) => Some(length as usize + header_bytes),
        _ => None,
    }
}
