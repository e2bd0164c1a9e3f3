//! Which reason codes belong into which packet, by who sends it (tables 3-1, 3-4 to 3-10 and 3-13 of 5.0, and 2.4).

use super::error::{Result, protocol_error};
use super::header::{Kind, Side};
use super::reason::Reason;

/// The code, where it belongs into the packet.
pub(super) fn reason(code: u8, kind: Kind, side: Side) -> Result<Reason> {
    let belongs = match kind {
        Kind::ConnAck => {
            matches!(code, 0 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99 | 0x9A..=0x9D | 0x9F)
        }
        // That nobody got it is something that only servers know.
        Kind::PubAck | Kind::PubRec => match code {
            0x10 => side == Side::Server,
            _ => matches!(code, 0 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99),
        },
        Kind::PubRel | Kind::PubComp => matches!(code, 0 | 0x92),
        Kind::SubAck => matches!(code, 0..=2 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2),
        Kind::UnsubAck => matches!(code, 0 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91),
        Kind::Disconnect => match side {
            Side::Client => matches!(code, 0 | 4 | 0x80..=0x83 | 0x90 | 0x93..=0x99),
            Side::Server => {
                matches!(code, 0 | 0x80..=0x83 | 0x87 | 0x89 | 0x8B..=0x90 | 0x93..=0xA2)
            }
        },
        Kind::Auth => match side {
            Side::Client => matches!(code, 0x18 | 0x19),
            Side::Server => matches!(code, 0 | 0x18),
        },
        Kind::Connect | Kind::Publish | Kind::Subscribe | Kind::Unsubscribe | Kind::PingReq | Kind::PingResp => false,
    };
    if belongs { Ok(Reason(code)) } else { protocol_error("a reason code that does not belong into this packet") }
}
