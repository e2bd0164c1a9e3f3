//! What is stored of a message beside its body.
//!
//! Version, flags, id, when it was sent, the MD5 sums of its body and of its attributes, and then what the flags say: who sent it,
//! its group, its deduplication id, its trace, headers that the broker has set since (as JSON, because they have types that
//! attributes have not), and its attributes, in order, with their types as they came.

use bytes::{BufMut, BytesMut};
use gantry_broker::value::Table;

use super::super::md5::Sum;
use super::super::message_attributes::{Attribute, Value};
use super::super::message_id::MessageId;

/// Flags of a head.
mod flags {
    pub(super) const GROUP: u8 = 1;
    pub(super) const DEDUPLICATION: u8 = 1 << 1;
    pub(super) const TRACE: u8 = 1 << 2;
    /// The broker has set headers.
    pub(super) const EDITED: u8 = 1 << 3;
    pub(super) const ATTRIBUTES: u8 = 1 << 4;
}

const VERSION: u8 = 1;

/// The head of a message of this protocol, read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) id: MessageId,
    /// When it was sent, in milliseconds since the epoch of Unix.
    pub(super) sent_ms: u64,
    pub(super) body_sum: Sum,
    pub(super) sender: &'a str,
    pub(super) group: Option<&'a str>,
    pub(super) deduplication: Option<&'a str>,
    pub(super) trace: Option<&'a str>,
    /// Headers that the broker has set; none is the usual case.
    pub(super) set: &'a [u8],
    /// Of all attributes, where there are any.
    pub(super) attributes_sum: Option<Sum>,
    /// As written by [`put_attributes`].
    pub(super) attributes: &'a [u8],
}

/// Takes what is written in a head, piece by piece.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn long_bytes(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.array()?);
        self.bytes(length as usize)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = u16::from_be_bytes(self.array()?);
        str::from_utf8(self.bytes(usize::from(length))?).ok()
    }
}

/// Writes a text. What is longer than 65,535 bytes is cut: nothing that comes here is.
fn put_text(text: &str, out: &mut BytesMut) {
    let bytes_max = usize::from(u16::MAX);
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.put_u16(end as u16);
    out.put_slice(&text.as_bytes()[..end]);
}

impl<'a> Head<'a> {
    /// None where it is damaged.
    pub(super) fn read(head: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(head);
        let [version, flags] = reader.array()?;
        if version != VERSION {
            return None;
        }
        let when = |flag: u8, reader: &mut Reader<'a>| {
            if flags & flag == 0 { Some(None) } else { reader.text().map(Some) }
        };
        let id = reader.array()?;
        let sent_ms = u64::from_be_bytes(reader.array()?);
        let body_sum = reader.array()?;
        let sender = reader.text()?;
        let group = when(flags::GROUP, &mut reader)?;
        let deduplication = when(flags::DEDUPLICATION, &mut reader)?;
        let trace = when(flags::TRACE, &mut reader)?;
        let set = if flags & flags::EDITED == 0 { &[] } else { reader.long_bytes()? };
        let attributes_sum = if flags & flags::ATTRIBUTES == 0 { None } else { Some(reader.array()?) };
        let attributes = reader.0;
        Some(Self { id, sent_ms, body_sum, sender, group, deduplication, trace, set, attributes_sum, attributes })
    }

    /// Writes all of it but the attributes, which follow.
    pub(super) fn put(&self, out: &mut BytesMut) {
        let flag = |flag: u8, is_set: bool| if is_set { flag } else { 0 };
        out.put_u8(VERSION);
        out.put_u8(
            flag(flags::GROUP, self.group.is_some())
                | flag(flags::DEDUPLICATION, self.deduplication.is_some())
                | flag(flags::TRACE, self.trace.is_some())
                | flag(flags::EDITED, !self.set.is_empty())
                | flag(flags::ATTRIBUTES, self.attributes_sum.is_some()),
        );
        out.put_slice(&self.id);
        out.put_u64(self.sent_ms);
        out.put_slice(&self.body_sum);
        put_text(self.sender, out);
        for text in [self.group, self.deduplication, self.trace].into_iter().flatten() {
            put_text(text, out);
        }
        if !self.set.is_empty() {
            out.put_u32(self.set.len() as u32);
            out.put_slice(self.set);
        }
        if let Some(sum) = &self.attributes_sum {
            out.put_slice(sum);
        }
    }

    /// So many bytes it takes, but for the attributes.
    pub(super) fn fixed_bytes(&self) -> usize {
        let texts = [Some(self.sender), self.group, self.deduplication, self.trace];
        let texts: usize = texts.into_iter().flatten().map(|text| 2 + text.len()).sum();
        let set = if self.set.is_empty() { 0 } else { 4 + self.set.len() };
        2 + 16 + 8 + 16 + texts + set + if self.attributes_sum.is_some() { 16 } else { 0 }
    }

    pub(super) fn headers_set(&self) -> Table {
        // The broker wrote it; of a damaged one nothing can be said.
        if self.set.is_empty() { Table::new() } else { serde_json::from_slice(self.set).unwrap_or_default() }
    }

    /// The attributes, in the order in which they came; as far as they can be read.
    pub(super) fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        let mut reader = Reader(self.attributes);
        std::iter::from_fn(move || {
            let name = reader.text()?;
            let data_type = reader.text()?;
            let [kind] = reader.array()?;
            let bytes = reader.long_bytes()?;
            let value =
                if kind == KIND_BINARY { Value::Binary(bytes) } else { Value::Text(str::from_utf8(bytes).ok()?) };
            Some(Attribute { name, data_type, value })
        })
    }
}

const KIND_TEXT: u8 = 1;
const KIND_BINARY: u8 = 2;

/// Bytes that an attribute takes beside its name, type and value.
pub(super) const ATTRIBUTE_BYTES: usize = 2 + 2 + 1 + 4;

/// Writes attributes.
pub(super) fn put_attributes<'a>(attributes: impl Iterator<Item = Attribute<'a>>, out: &mut BytesMut) {
    for attribute in attributes {
        put_text(attribute.name, out);
        put_text(attribute.data_type, out);
        let (kind, bytes) = match attribute.value {
            Value::Text(text) => (KIND_TEXT, text.as_bytes()),
            Value::Binary(bytes) => (KIND_BINARY, bytes),
        };
        out.put_u8(kind);
        out.put_u32(bytes.len() as u32);
        out.put_slice(bytes);
    }
}
