//! The protocol header and the frames (AMQP 0-9-1, 4.2.2 and 4.2.3).

use super::error::{ReplyCode, Snippet};
use bytes::{BufMut, BytesMut};

/// The octet that ends every frame.
pub const FRAME_END: u8 = 0xCE;
/// Type, channel and payload length, in bytes.
pub const FRAME_HEAD_BYTES: usize = 7;
/// What a frame has around its payload, in bytes.
pub const FRAME_OVERHEAD_BYTES: usize = FRAME_HEAD_BYTES + 1;
/// The smallest frame-max that may be negotiated, and the largest frame that may be sent before it is.
pub const FRAME_BYTES_MIN: u32 = 4096;
/// What a client sends first, and a server answers when it got something else.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";
/// A whole heartbeat frame.
pub const HEARTBEAT: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, FRAME_END];

/// What the payload of a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// A method with its fields.
    Method = 1,
    /// Size and properties of a content.
    Header = 2,
    /// A part of a content's body.
    Body = 3,
    /// Nothing; the peer is alive.
    Heartbeat = 8,
}

impl FrameKind {
    const fn from_octet(octet: u8) -> Option<FrameKind> {
        match octet {
            1 => Some(FrameKind::Method),
            2 => Some(FrameKind::Header),
            3 => Some(FrameKind::Body),
            8 => Some(FrameKind::Heartbeat),
            _ => None,
        }
    }
}

/// A frame that is whole in the buffer. The payload borrows from it; who owns the buffer as `Bytes` gets a body
/// without copying by `slice_ref`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the payload is.
    pub kind: FrameKind,
    /// The channel; 0 is the connection itself.
    pub channel: u16,
    /// The payload, without frame head and frame end.
    pub payload: &'a [u8],
}

/// Why the bytes are no frame, or none that may be here. Texts are those of RabbitMQ 3.10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The frame type does not exist, or the payload cannot be of it.
    #[error("type {kind}, {payload}: unknown_frame")]
    Unknown {
        /// The type octet.
        kind: u8,
        /// What is there of the payload.
        payload: Snippet,
    },
    /// The octet behind the payload is not [`FRAME_END`].
    #[error("type {kind}, {payload}: {{invalid_frame_end_marker,{end}}}")]
    BadEnd {
        /// The type octet.
        kind: u8,
        /// The first octets of the payload.
        payload: Snippet,
        /// What is in the place of the frame end.
        end: u8,
    },
    /// The payload is said to be longer than frame-max allows.
    #[error("type {kind}, all octets = <<>>: {{frame_too_large,{payload_bytes},{payload_bytes_max}}}")]
    TooLarge {
        /// The type octet.
        kind: u8,
        /// The length that was claimed.
        payload_bytes: u32,
        /// The length that frame-max leaves for a payload.
        payload_bytes_max: u32,
    },
    /// A heartbeat on another channel than 0, or a content on channel 0.
    #[error("type {kind}, {payload}")]
    Unexpected {
        /// The type octet.
        kind: u8,
        /// The first octets of the payload.
        payload: Snippet,
    },
}

impl FrameError {
    /// The code to close the connection with.
    pub const fn reply_code(&self) -> ReplyCode {
        match self {
            FrameError::Unexpected { .. } => ReplyCode::UnexpectedFrame,
            _ => ReplyCode::FrameError,
        }
    }
}

/// Cuts the first frame off the buffer: the frame and how many bytes it took. Nothing, if it is not whole yet.
///
/// `frame_bytes_max` is the negotiated frame-max, or [`FRAME_BYTES_MIN`] before that. It has no value for "without
/// limit". As RabbitMQ does, a *payload* of `frame_bytes_max` is let through, because clients count differently.
/// Type and length are judged as soon as the frame head is there.
#[inline]
pub fn next_frame(buf: &[u8], frame_bytes_max: u32) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some((&[octet, c0, c1, l0, l1, l2, l3], rest)) = buf.split_first_chunk::<FRAME_HEAD_BYTES>() else {
        return Ok(None);
    };
    let channel = u16::from_be_bytes([c0, c1]);
    let payload_bytes = u32::from_be_bytes([l0, l1, l2, l3]);
    if payload_bytes > frame_bytes_max {
        let payload_bytes_max = frame_bytes_max.saturating_sub(FRAME_OVERHEAD_BYTES as u32);
        return Err(FrameError::TooLarge { kind: octet, payload_bytes, payload_bytes_max });
    }
    let length = payload_bytes as usize;
    let Some(kind) = FrameKind::from_octet(octet) else {
        return Err(FrameError::Unknown { kind: octet, payload: Snippet::of(&rest[..length.min(rest.len())]) });
    };
    let (Some(payload), Some(&end)) = (rest.get(..length), rest.get(length)) else {
        return Ok(None);
    };
    if end != FRAME_END {
        return Err(FrameError::BadEnd { kind: octet, payload: Snippet::of(payload), end });
    }
    match kind {
        FrameKind::Heartbeat if channel != 0 => {
            Err(FrameError::Unexpected { kind: octet, payload: Snippet::of(payload) })
        }
        FrameKind::Heartbeat if !payload.is_empty() => {
            Err(FrameError::Unknown { kind: octet, payload: Snippet::of(payload) })
        }
        FrameKind::Header | FrameKind::Body if channel == 0 => {
            Err(FrameError::Unexpected { kind: octet, payload: Snippet::of(payload) })
        }
        FrameKind::Header if payload.len() < CONTENT_HEADER_BYTES_MIN => {
            Err(FrameError::Unknown { kind: octet, payload: Snippet::of(payload) })
        }
        _ => Ok(Some((Frame { kind, channel, payload }, length + FRAME_OVERHEAD_BYTES))),
    }
}

/// Class, weight and size of the body, which every content header starts with.
const CONTENT_HEADER_BYTES_MIN: usize = 12;

/// What the first bytes of a connection ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolHeader {
    /// It may still become [`ProtocolHeader::Amqp091`]; fewer than 8 bytes are there.
    Incomplete,
    /// AMQP 0-9-1. The 8 bytes are to be taken off the buffer.
    Amqp091,
    /// Something else. If fewer than 8 bytes were needed to see it, the others are zero.
    Other([u8; 8]),
}

/// Looks at the first bytes of a connection. As RabbitMQ does, it takes the header of 0-9, `AMQP 1 1 0 9`, for
/// 0-9-1. Those of 0-8, `AMQP 1 1 8 0` and `AMQP 1 1 9 1`, are refused: that protocol is not spoken.
pub fn parse_protocol_header(buf: &[u8]) -> ProtocolHeader {
    const ACCEPTED: [[u8; 8]; 2] = [PROTOCOL_HEADER, *b"AMQP\x01\x01\x00\x09"];
    let seen = &buf[..buf.len().min(8)];
    if ACCEPTED.iter().any(|accepted| accepted == seen) {
        return ProtocolHeader::Amqp091;
    }
    if seen.len() < 8 && ACCEPTED.iter().any(|accepted| accepted.starts_with(seen)) {
        return ProtocolHeader::Incomplete;
    }
    let mut other = [0; 8];
    other[..seen.len()].copy_from_slice(seen);
    ProtocolHeader::Other(other)
}

/// The 7 bytes in front of a payload of that length, for who writes payload and [`FRAME_END`] without copying.
#[inline]
pub const fn frame_head(kind: FrameKind, channel: u16, payload_bytes: u32) -> [u8; FRAME_HEAD_BYTES] {
    let [c0, c1] = channel.to_be_bytes();
    let [l0, l1, l2, l3] = payload_bytes.to_be_bytes();
    [kind as u8, c0, c1, l0, l1, l2, l3]
}

/// Appends the body frames of a content: none for an empty body, else as many as it takes to keep each whole frame
/// within `frame_bytes_max`, which is at least [`FRAME_BYTES_MIN`] by negotiation and treated so if it is not.
#[inline]
pub fn encode_body(out: &mut BytesMut, channel: u16, body: &[u8], frame_bytes_max: u32) {
    let payload_bytes_max = frame_bytes_max.max(FRAME_BYTES_MIN) as usize - FRAME_OVERHEAD_BYTES;
    for payload in body.chunks(payload_bytes_max) {
        out.reserve(payload.len() + FRAME_OVERHEAD_BYTES);
        // A chunk is smaller than `frame_bytes_max`, which is 32 bits.
        out.put_slice(&frame_head(FrameKind::Body, channel, payload.len() as u32));
        out.put_slice(payload);
        out.put_u8(FRAME_END);
    }
}

/// Appends a frame of which `payload` writes the payload.
#[inline]
pub(crate) fn encode_frame(out: &mut BytesMut, kind: FrameKind, channel: u16, payload: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_slice(&frame_head(kind, channel, 0));
    payload(out);
    // Payloads made here are methods and properties of one message: far below 32 bits.
    let payload_bytes = (out.len() - start - FRAME_HEAD_BYTES) as u32;
    out[start + 3..start + FRAME_HEAD_BYTES].copy_from_slice(&payload_bytes.to_be_bytes());
    out.put_u8(FRAME_END);
}
