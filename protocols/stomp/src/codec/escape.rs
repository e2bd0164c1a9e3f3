//! The escapes of header lines.
//!
//! 1.2 knows `\n`, `\r`, `\c` and `\\`. 1.1 lacks `\r`; RabbitMQ takes and sends it there too, and so does this: a value that
//! ends with a carriage return would otherwise lose it. 1.0 has no escapes. What cannot be in a line of 1.0 at all, because it
//! would begin another line, is sent to clients of 1.0 as its escape.

use std::borrow::Cow;

use super::encode::Output;

/// What a byte is written as, where it cannot stand for itself in a line of 1.1 and 1.2.
const fn escaped(byte: u8) -> Option<&'static [u8]> {
    match byte {
        b'\\' => Some(b"\\\\"),
        b':' => Some(b"\\c"),
        b'\n' => Some(b"\\n"),
        b'\r' => Some(b"\\r"),
        // No version can carry it.
        0 => Some("\u{FFFD}".as_bytes()),
        _ => None,
    }
}

/// What the byte behind a backslash stands for.
const fn unescaped(byte: u8) -> Option<u8> {
    match byte {
        b'\\' => Some(b'\\'),
        b'c' => Some(b':'),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        _ => None,
    }
}

/// Writes a name or a value as it stands in a line of 1.1 and 1.2.
pub fn escape(bytes: &[u8], out: &mut impl Output) {
    put(bytes, out, escaped);
}

/// Writes a name or a value as it stands in a line of 1.0: only what would begin another line, or end the name, is escaped.
pub(super) fn escape_for_1_0(bytes: &[u8], is_name: bool, out: &mut impl Output) {
    put(bytes, out, |byte| match byte {
        b'\\' => None,
        b':' if !is_name => None,
        byte => escaped(byte),
    });
}

fn put(bytes: &[u8], out: &mut impl Output, escaped: impl Fn(u8) -> Option<&'static [u8]>) {
    let mut plain = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if let Some(escape) = escaped(byte) {
            out.put(&bytes[plain..index]);
            out.put(escape);
            plain = index + 1;
        }
    }
    out.put(&bytes[plain..]);
}

/// What an escaped name or value stands for. An escape that is not defined stays as it is; decoding has refused such lines.
pub fn unescape(bytes: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', bytes) else { return Cow::Borrowed(bytes) };
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(&bytes[..first]);
    let mut rest = &bytes[first..];
    while let Some((&byte, behind)) = rest.split_first() {
        let stands_for = behind.first().filter(|_| byte == b'\\').and_then(|&next| unescaped(next));
        out.push(stands_for.unwrap_or(byte));
        rest = if stands_for.is_some() { &behind[1..] } else { behind };
    }
    Cow::Owned(out)
}

/// Whether each backslash begins an escape.
pub(super) fn is_escaped(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        if rest.get(at + 1).is_none_or(|&next| unescaped(next).is_none()) {
            return false;
        }
        rest = &rest[at + 2..];
    }
    true
}
