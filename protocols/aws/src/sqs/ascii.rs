//! Short texts of replies, on the stack: ids, sums, numbers. There are several of them for each message, and none is worth an
//! allocation.

use std::fmt;
use std::ops::Deref;

use serde::{Serialize, Serializer};
use smallvec::SmallVec;

/// ASCII characters, so many.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ascii<const N: usize>([u8; N]);

impl<const N: usize> Ascii<N> {
    /// Bytes as text; characters of ASCII, or it is no text at all.
    pub(crate) fn new(bytes: [u8; N]) -> Self {
        debug_assert!(bytes.is_ascii());
        Self(bytes)
    }
}

impl<const N: usize> Deref for Ascii<N> {
    type Target = str;

    fn deref(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl<const N: usize> fmt::Debug for Ascii<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl<const N: usize> Serialize for Ascii<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

/// A number that is a text in replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digits(pub(crate) u64);

impl Serialize for Digits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The id of an entry of a batch, given back. Most are short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryId(SmallVec<[u8; 40]>);

impl From<&str> for EntryId {
    fn from(id: &str) -> Self {
        Self(SmallVec::from_slice(id.as_bytes()))
    }
}

impl Serialize for EntryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(str::from_utf8(&self.0).unwrap_or_default())
    }
}

/// Bytes in hexadecimal digits, two each: `N` is twice as many as there are.
pub(crate) fn hex<const N: usize>(bytes: &[u8]) -> Ascii<N> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'0'; N];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    Ascii(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_them_are_texts_in_replies() {
        assert_eq!(&*hex::<6>(&[0x00, 0x9F, 0xA0]), "009fa0");
        let long = "x".repeat(80);
        let told = (hex::<4>(b"\x01\xff"), Digits(u64::MAX), EntryId::from("a-1"), EntryId::from(&*long));
        let json = serde_json::to_string(&told).unwrap();
        assert_eq!(json, format!(r#"["01ff","18446744073709551615","a-1","{long}"]"#));
    }
}
