//! Bytes to packets. What is decoded borrows from the input.
//!
//! | file | about |
//! | --- | --- |
//! | `connect` | CONNECT, whose version is found in it, and CONNACK |
//! | `publish` | PUBLISH |
//! | `acks` | PUBACK, PUBREC, PUBREL, PUBCOMP |
//! | `subscriptions` | SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK |
//! | `ends` | DISCONNECT and AUTH |

mod acks;
mod connect;
mod ends;
mod publish;
mod subscriptions;

pub use subscriptions::FILTERS_MAX;

use super::error::{DecodeError, Result, protocol_error};
use super::header::{self, Frame, Kind, Side};
use super::packet::{Connect, Packet, Version};

/// What decoding has to know of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What CONNECT asked for.
    pub version: Version,
    /// The longest packet that is taken, in bytes with its fixed header.
    pub packet_bytes_max: u32,
}

/// The first packet of a connection, which must be CONNECT [MQTT-3.1.0-1], and the bytes that it took. `None`: it is not all
/// there yet.
///
/// # Errors
/// What a server has to refuse. [`DecodeError::version`] says in what form it can be told.
pub fn decode_connect(input: &[u8], packet_bytes_max: u32) -> Result<Option<(Connect<'_>, usize)>> {
    let frame = match header::cut_connect(input, packet_bytes_max) {
        Ok(Some(frame)) => frame,
        Ok(None) => return Ok(None),
        Err(error) => return Err(DecodeError { version: connect::peek_version(input), ..error }),
    };
    connect::connect(&frame).map(|connect| Some((connect, frame.bytes)))
}

/// The next packet from a client after its CONNECT, and the bytes that it took. `None`: it is not all there yet.
///
/// # Errors
/// What a server has to refuse; a packet that is too large as soon as its fixed header is there.
pub fn decode(input: &[u8], settings: Settings) -> Result<Option<(Packet<'_>, usize)>> {
    next(input, settings, Side::Client)
}

/// The next packet from a server, and the bytes that it took. `None`: it is not all there yet.
///
/// # Errors
/// What a client has to refuse.
pub fn decode_from_server(input: &[u8], settings: Settings) -> Result<Option<(Packet<'_>, usize)>> {
    next(input, settings, Side::Server)
}

#[inline]
fn next(input: &[u8], settings: Settings, side: Side) -> Result<Option<(Packet<'_>, usize)>> {
    let Some(frame) = header::cut(input, settings.version, settings.packet_bytes_max, side)? else { return Ok(None) };
    if frame.kind == Kind::Publish {
        let publish = publish::publish(&frame, settings.version, side)?;
        return Ok(Some((Packet::Publish(publish), frame.bytes)));
    }
    packet(&frame, settings.version, side).map(|packet| Some((packet, frame.bytes)))
}

/// Every kind but PUBLISH, the hot path, which is read before.
#[inline(never)]
fn packet<'a>(frame: &Frame<'a>, version: Version, side: Side) -> Result<Packet<'a>> {
    let body = frame.body;
    Ok(match frame.kind {
        // The fixed header is refused already: CONNECT is read by `decode_connect`.
        Kind::Connect => return protocol_error("a second CONNECT"),
        Kind::ConnAck => Packet::ConnAck(Box::new(connect::connack(body, version)?)),
        Kind::Publish => Packet::Publish(publish::publish(frame, version, side)?),
        Kind::PubAck => Packet::PubAck(acks::ack(frame, version, side)?),
        Kind::PubRec => Packet::PubRec(acks::ack(frame, version, side)?),
        Kind::PubRel => Packet::PubRel(acks::ack(frame, version, side)?),
        Kind::PubComp => Packet::PubComp(acks::ack(frame, version, side)?),
        Kind::Subscribe => Packet::Subscribe(subscriptions::subscribe(body, version)?),
        Kind::SubAck => Packet::SubAck(subscriptions::suback(frame, version)?),
        Kind::Unsubscribe => Packet::Unsubscribe(subscriptions::unsubscribe(body, version)?),
        Kind::UnsubAck => Packet::UnsubAck(subscriptions::suback(frame, version)?),
        Kind::PingReq => Packet::PingReq,
        Kind::PingResp => Packet::PingResp,
        Kind::Disconnect => Packet::Disconnect(ends::disconnect(body, version, side)?),
        Kind::Auth => Packet::Auth(ends::auth(body, side)?),
    })
}
