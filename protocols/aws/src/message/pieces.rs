//! The pieces that stored heads are made of.

use bytes::{BufMut, BytesMut};

/// Takes what is written in a head, piece by piece.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn long_bytes(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.array()?);
        self.bytes(length as usize)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = u16::from_be_bytes(self.array()?);
        str::from_utf8(self.bytes(usize::from(length))?).ok()
    }
}

/// Writes a text. What is longer than 65,535 bytes is cut: nothing that comes here is.
pub(crate) fn put_text(text: &str, out: &mut BytesMut) {
    let bytes_max = usize::from(u16::MAX);
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.put_u16(end as u16);
    out.put_slice(&text.as_bytes()[..end]);
}
