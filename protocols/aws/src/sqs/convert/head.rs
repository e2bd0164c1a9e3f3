//! What is stored of a message beside its body.
//!
//! Version, flags, id, when it was sent, the MD5 sums of its body and of its attributes, and then what the flags say: who sent it,
//! its group, its deduplication id, its trace, headers that the broker has set since (as JSON, because they have types that
//! attributes have not), and its attributes, in order, with their types as they came.

use bytes::{BufMut, BytesMut};

use crate::message::pieces::{Reader, put_text};
use crate::message::{Attribute, Common, MessageId, Sum, attributes};

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
    /// As [`crate::message::put_attributes`] writes them.
    pub(super) attributes: &'a [u8],
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

    /// What it has in common with heads of other services.
    pub(super) fn common(&self) -> Common<'a> {
        let Self { group, deduplication, trace, set, attributes, .. } = *self;
        Common { group, deduplication, trace, has_kind: false, set, attributes }
    }

    /// The attributes, in the order in which they came; as far as they can be read.
    pub(super) fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        attributes(self.attributes)
    }
}
