//! The request as both sides sign it: method, path, query, headers and digest of the body, each on its line.

use super::{Claim, Signed};
use crate::wire::form::hex;

/// None where a header that is said to be signed is not there.
pub(super) fn request(claim: &Claim<'_>, request: Signed<'_>, body_digest: &[u8; 64]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(512);
    text.extend_from_slice(request.method.as_bytes());
    text.push(b'\n');
    path(&mut text, request.path);
    text.push(b'\n');
    query(&mut text, request.query, claim.expires_s.is_some());
    text.push(b'\n');
    for name in claim.signed_headers.split(';') {
        header(&mut text, name, request)?;
    }
    text.push(b'\n');
    text.extend_from_slice(claim.signed_headers.as_bytes());
    text.push(b'\n');
    text.extend_from_slice(body_digest);
    Some(text)
}

/// A path without `.`, `..` and doubled slashes, and escaped once more than it came.
fn path(text: &mut Vec<u8>, path: &str) {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    for segment in &segments {
        text.push(b'/');
        for byte in segment.bytes() {
            escape(text, byte);
        }
    }
    let is_folder = matches!(path.rsplit('/').next(), Some("" | "." | ".."));
    if segments.is_empty() || is_folder {
        text.push(b'/');
    }
}

/// Names and values, escaped in one way only, in order. The signature of a URL that was signed beforehand is not part of it.
fn query(text: &mut Vec<u8>, query: &str, is_presigned: bool) {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| !is_presigned || *name != "X-Amz-Signature")
        .map(|(name, value)| (escaped_once(name), escaped_once(value)))
        .collect();
    pairs.sort_unstable();
    for (at, (name, value)) in pairs.iter().enumerate() {
        if at > 0 {
            text.push(b'&');
        }
        text.extend_from_slice(name);
        text.push(b'=');
        text.extend_from_slice(value);
    }
}

/// Undoes escapes and does them again: the same bytes are the same text, however the client has written them.
fn escaped_once(part: &str) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        let byte = match byte {
            b'+' => b' ',
            b'%' => match rest {
                [high, low, behind @ ..] => match (hex(*high), hex(*low)) {
                    (Some(high), Some(low)) => {
                        rest = behind;
                        high << 4 | low
                    }
                    _ => b'%',
                },
                _ => b'%',
            },
            byte => *byte,
        };
        escape(&mut escaped, byte);
    }
    escaped
}

fn escape(text: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
        text.push(byte);
    } else {
        text.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
    }
}

/// A header and all its values, without spaces around them and with single ones within.
fn header(text: &mut Vec<u8>, name: &str, request: Signed<'_>) -> Option<()> {
    let mut values = request.headers.get_all(name).iter().peekable();
    values.peek()?;
    text.extend_from_slice(name.as_bytes());
    for (at, value) in values.enumerate() {
        text.push(if at == 0 { b':' } else { b',' });
        let words = value.as_bytes().split(|byte| *byte == b' ' || *byte == b'\t').filter(|word| !word.is_empty());
        for (at, word) in words.enumerate() {
            if at > 0 {
                text.push(b' ');
            }
            text.extend_from_slice(word);
        }
    }
    text.push(b'\n');
    Some(())
}
