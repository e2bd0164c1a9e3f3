//! What is stored of a message beside its body.
//!
//! Version, flags, id, when it was published, its topic's ARN, and then what the flags say: subject, group, deduplication id,
//! trace, number in its topic, headers that the broker has set since (as JSON), what is said to some protocols in place of the
//! body, and its attributes, in order, with their types as they came.

use bytes::{BufMut, BytesMut};

use crate::message::pieces::{Reader, put_text};
use crate::message::{Attribute, Common, MessageId, attributes};

/// Flags of a head.
mod flags {
    pub(super) const SUBJECT: u8 = 1;
    pub(super) const GROUP: u8 = 1 << 1;
    pub(super) const DEDUPLICATION: u8 = 1 << 2;
    pub(super) const TRACE: u8 = 1 << 3;
    pub(super) const SEQUENCE: u8 = 1 << 4;
    /// The broker has set headers.
    pub(super) const EDITED: u8 = 1 << 5;
    pub(super) const VARIANTS: u8 = 1 << 6;
}

const VERSION: u8 = 1;

/// The head of a message of this protocol, read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) id: MessageId,
    /// When it was published, in milliseconds since the epoch of Unix.
    pub(super) published_ms: u64,
    /// The ARN of the topic.
    pub(super) topic: &'a str,
    pub(super) subject: Option<&'a str>,
    pub(super) group: Option<&'a str>,
    pub(super) deduplication: Option<&'a str>,
    pub(super) trace: Option<&'a str>,
    /// Its number in a topic with order.
    pub(super) sequence: Option<u64>,
    /// Headers that the broker has set; none is the usual case.
    pub(super) set: &'a [u8],
    /// As [`put_variant`] writes them; none is the usual case.
    pub(super) variants: &'a [u8],
    /// As [`crate::message::put_attributes`] writes them.
    pub(super) attributes: &'a [u8],
}

/// Bytes that a variant takes beside its protocol and text.
pub(super) const VARIANT_BYTES: usize = 2 + 4;

/// Writes what is said to one protocol in place of the body.
pub(super) fn put_variant(protocol: &str, text: &str, out: &mut BytesMut) {
    put_text(protocol, out);
    out.put_u32(text.len() as u32);
    out.put_slice(text.as_bytes());
}

impl<'a> Head<'a> {
    /// None where it is damaged.
    pub(super) fn read(head: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(head);
        let [version, flags] = reader.array()?;
        if version != VERSION {
            return None;
        }
        let has = |flag: u8| flags & flag != 0;
        let id = reader.array()?;
        let published_ms = u64::from_be_bytes(reader.array()?);
        let topic = reader.text()?;
        let mut text = |flag: u8| if has(flag) { reader.text().map(Some) } else { Some(None) };
        let subject = text(flags::SUBJECT)?;
        let group = text(flags::GROUP)?;
        let deduplication = text(flags::DEDUPLICATION)?;
        let trace = text(flags::TRACE)?;
        let sequence = if has(flags::SEQUENCE) { Some(u64::from_be_bytes(reader.array()?)) } else { None };
        let set = if has(flags::EDITED) { reader.long_bytes()? } else { &[] };
        let variants = if has(flags::VARIANTS) { reader.long_bytes()? } else { &[] };
        let attributes = reader.0;
        Some(Self {
            id,
            published_ms,
            topic,
            subject,
            group,
            deduplication,
            trace,
            sequence,
            set,
            variants,
            attributes,
        })
    }

    /// Writes all of it but the variants and the attributes, which follow. So many bytes of variants there will be.
    pub(super) fn put(&self, variants_bytes: usize, out: &mut BytesMut) {
        let flag = |flag: u8, is_set: bool| if is_set { flag } else { 0 };
        out.put_u8(VERSION);
        out.put_u8(
            flag(flags::SUBJECT, self.subject.is_some())
                | flag(flags::GROUP, self.group.is_some())
                | flag(flags::DEDUPLICATION, self.deduplication.is_some())
                | flag(flags::TRACE, self.trace.is_some())
                | flag(flags::SEQUENCE, self.sequence.is_some())
                | flag(flags::EDITED, !self.set.is_empty())
                | flag(flags::VARIANTS, variants_bytes > 0),
        );
        out.put_slice(&self.id);
        out.put_u64(self.published_ms);
        put_text(self.topic, out);
        for text in self.texts() {
            put_text(text, out);
        }
        if let Some(sequence) = self.sequence {
            out.put_u64(sequence);
        }
        if !self.set.is_empty() {
            out.put_u32(self.set.len() as u32);
            out.put_slice(self.set);
        }
        if variants_bytes > 0 {
            out.put_u32(variants_bytes as u32);
        }
    }

    fn texts(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        [self.subject, self.group, self.deduplication, self.trace].into_iter().flatten()
    }

    /// So many bytes it takes, but for the attributes.
    pub(super) fn fixed_bytes(&self, variants_bytes: usize) -> usize {
        let texts: usize = self.texts().map(|text| 2 + text.len()).sum();
        let sequence = if self.sequence.is_some() { 8 } else { 0 };
        let set = if self.set.is_empty() { 0 } else { 4 + self.set.len() };
        let variants = if variants_bytes == 0 { 0 } else { 4 + variants_bytes };
        2 + 16 + 8 + 2 + self.topic.len() + texts + sequence + set + variants
    }

    /// What it has in common with heads of other services.
    pub(super) fn common(&self) -> Common<'a> {
        let Self { group, deduplication, trace, set, attributes, .. } = *self;
        // What kind of message this is says the subject; the attribute `type` is another thing, whether there is a subject or not.
        Common { group, deduplication, trace, has_kind: true, set, attributes }
    }

    /// The attributes, in the order in which they came; as far as they can be read.
    pub(super) fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        attributes(self.attributes)
    }

    /// What is said to a protocol in place of the body.
    pub(super) fn variant(&self, protocol: &str) -> Option<&'a str> {
        let mut reader = Reader(self.variants);
        loop {
            let name = reader.text()?;
            let text = str::from_utf8(reader.long_bytes()?).ok()?;
            if name == protocol {
                return Some(text);
            }
        }
    }
}
