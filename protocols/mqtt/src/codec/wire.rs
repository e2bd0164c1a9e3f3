//! The elementary types (1.5): integers, variable byte integers, strings and binary data.

use bytes::BytesMut;

use super::error::{Result, malformed, protocol_error};

/// The largest variable byte integer (1.5.5).
pub const VARIABLE_MAX: u32 = 268_435_455;

/// What a variable byte integer at the front of some bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    /// More bytes are needed.
    Incomplete,
    /// The value, and the bytes that it took.
    Is(u32, usize),
    /// It goes on after four bytes (1.5.5).
    TooLong,
}

/// Reads a variable byte integer; also one that takes more bytes than it needs.
pub(super) fn variable(bytes: &[u8]) -> Variable {
    // Nearly all packets are shorter than 128 bytes.
    if let Some(&first) = bytes.first()
        && first < 0x80
    {
        return Variable::Is(u32::from(first), 1);
    }
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Variable::Is(value, index + 1);
        }
    }
    if bytes.len() < 4 { Variable::Incomplete } else { Variable::TooLong }
}

/// Bytes that the value takes as a variable byte integer.
pub(super) const fn variable_bytes(value: u32) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// Reads the body of a packet from the front to the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) const fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(super) const fn is_empty(self) -> bool {
        self.rest.is_empty()
    }

    /// Nothing may follow.
    pub(super) const fn end(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { malformed("bytes follow the end of the packet's contents") }
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let Some((bytes, rest)) = self.rest.split_at_checked(length) else {
            return malformed("the packet ends inside of a field");
        };
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else {
            return malformed("the packet ends inside of a field");
        };
        self.rest = rest;
        Ok(*bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// A variable byte integer inside of a packet: only 5.0 has these, so only in the fewest bytes [MQTT-1.5.5-1].
    pub(super) fn variable(&mut self) -> Result<u32> {
        match variable(self.rest) {
            Variable::Is(value, bytes) if bytes == variable_bytes(value) => {
                self.rest = &self.rest[bytes..];
                Ok(value)
            }
            Variable::Is(..) => malformed("a variable byte integer takes more bytes than it needs"),
            Variable::TooLong => malformed("a variable byte integer of more than four bytes"),
            Variable::Incomplete => malformed("the packet ends inside of a variable byte integer"),
        }
    }

    /// Binary data (1.5.6).
    pub(super) fn binary(&mut self) -> Result<&'a [u8]> {
        let length = self.u16()?;
        self.bytes(usize::from(length))
    }

    /// A string: UTF-8 without surrogates [MQTT-1.5.4-1] and without U+0000 [MQTT-1.5.4-2].
    #[inline]
    pub(super) fn text(&mut self) -> Result<&'a str> {
        let bytes = self.binary()?;
        match str::from_utf8(bytes) {
            // To the end in any case, as in `has_wildcard`.
            Ok(_) if bytes.iter().fold(false, |found, &byte| found | (byte == 0)) => {
                malformed("a string with U+0000 in it")
            }
            Ok(text) => Ok(text),
            Err(_) => malformed("a string is not UTF-8"),
        }
    }

    /// A packet identifier (2.2.1).
    pub(super) fn packet_id(&mut self) -> Result<u16> {
        match self.u16()? {
            0 => protocol_error("packet identifier 0"),
            id => Ok(id),
        }
    }
}

/// Takes encoded bytes: a buffer, or what only counts them.
pub trait Output {
    /// Adds the bytes.
    fn put(&mut self, bytes: &[u8]);
}

impl Output for BytesMut {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Output for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts what would be written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count(pub(super) usize);

impl Output for Count {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// Writes a variable byte integer; a value above [`VARIABLE_MAX`] as that.
pub(super) fn put_variable(value: u32, out: &mut impl Output) {
    let mut rest = value.min(VARIABLE_MAX);
    while rest >= 0x80 {
        out.put(&[(rest & 0x7F) as u8 | 0x80]);
        rest >>= 7;
    }
    out.put(&[rest as u8]);
}

/// Writes binary data, of which what is beyond 65,535 bytes is left out: the packet stays one that can be read.
pub(super) fn put_binary(bytes: &[u8], out: &mut impl Output) {
    let bytes = bytes.get(..usize::from(u16::MAX)).unwrap_or(bytes);
    out.put(&(bytes.len() as u16).to_be_bytes());
    out.put(bytes);
}

/// Bytes of the string that are written: whole characters, up to 65,535 bytes.
pub(super) fn text_bytes(text: &str) -> usize {
    let mut end = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

/// Writes a string, of which whole characters beyond 65,535 bytes are left out.
pub(super) fn put_text(text: &str, out: &mut impl Output) {
    put_binary(&text.as_bytes()[..text_bytes(text)], out);
}
