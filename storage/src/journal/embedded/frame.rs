//! How records are framed. Every frame starts with a header of 24 bytes (numbers are little endian):
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..4 | check: crc32c of the checked body, xor crc32c of bytes 4..24 seeded with the segment's own number |
//! | 4..8 | length of the body, without padding |
//! | 8..12 | logical offset of the frame in its segment |
//! | 12..16 | where its batch starts in this segment: everything before was on stable storage when this was written |
//! | 16..20 | first slot that an entry takes |
//! | 20..24 | kind, and how many of the body's bytes are the head (24 bits) |
//!
//! Frames are padded with zeroes to a multiple of [`ALIGN_BYTES`], so that the search for what follows a hole need not look
//! at every byte. The seed is different for each use of a file, which is why old records in a recycled file never match.

use super::varint;
use crate::journal::{META_BYTES_MAX, Ref};

/// Length of a frame's header.
pub(super) const HEADER_BYTES: usize = 24;
/// Frames start at multiples of this.
pub(super) const ALIGN_BYTES: usize = 8;
/// Longest head of a frame.
pub(super) const HEAD_BYTES_MAX: usize = (1 << 24) - 1;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A record: references and meta in the head, then the payload.
    Entry = 1,
    /// Ranges of slots that are done.
    Settle = 2,
    /// Values of references.
    Mark = 3,
    /// Values of lanes.
    Note = 4,
    /// A transaction: number of entries and settled ranges in the head, then the entries as frames of their own.
    Group = 5,
    /// Nothing follows in this segment.
    End = 6,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        Some(match byte {
            1 => Kind::Entry,
            2 => Kind::Settle,
            3 => Kind::Mark,
            4 => Kind::Note,
            5 => Kind::Group,
            6 => Kind::End,
            _ => return None,
        })
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Length of the body, without padding.
    pub(super) body_bytes: u32,
    /// Logical offset in the segment.
    pub(super) offset: u32,
    /// Start of the batch in the segment.
    pub(super) batch_start: u32,
    /// First slot.
    pub(super) slot: u32,
    /// What it is.
    pub(super) kind: Kind,
    /// Length of the head, the first part of the body.
    pub(super) head_bytes: u32,
}

/// Length of a frame with a body of this length: header and padding included.
pub(super) const fn frame_bytes(body_bytes: usize) -> usize {
    (HEADER_BYTES + body_bytes + ALIGN_BYTES - 1) & !(ALIGN_BYTES - 1)
}

impl Header {
    /// The header's bytes. `body_crc` is that of the checked part of the body.
    pub(super) fn encode(&self, body_crc: u32, seed: u32) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[4..8].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[8..12].copy_from_slice(&self.offset.to_le_bytes());
        out[12..16].copy_from_slice(&self.batch_start.to_le_bytes());
        out[16..20].copy_from_slice(&self.slot.to_le_bytes());
        out[20..24].copy_from_slice(&(self.kind as u32 | self.head_bytes << 8).to_le_bytes());
        let check = body_crc ^ crc32c::crc32c_append(seed, &out[4..]);
        out[..4].copy_from_slice(&check.to_le_bytes());
        out
    }

    /// Reads a header without checking its checksum.
    pub(super) fn decode(bytes: &[u8]) -> Option<Header> {
        let bytes: &[u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let header = Header {
            body_bytes: word(4),
            offset: word(8),
            batch_start: word(12),
            slot: word(16),
            kind: Kind::of(bytes[20])?,
            head_bytes: word(20) >> 8,
        };
        (header.head_bytes <= header.body_bytes).then_some(header)
    }

    /// Length of the whole frame.
    pub(super) fn frame_bytes(&self) -> usize {
        frame_bytes(self.body_bytes as usize)
    }
}

/// A frame whose checksum was right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// Its header.
    pub(super) header: Header,
    /// Its body, without padding.
    pub(super) body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the start of `bytes`, if there is a whole one and its checksum is right. The entries of a group are
    /// frames of their own and are not looked at here.
    pub(super) fn read(bytes: &'a [u8], seed: u32) -> Option<Frame<'a>> {
        let header = Header::decode(bytes)?;
        let body = bytes.get(HEADER_BYTES..HEADER_BYTES.checked_add(header.body_bytes as usize)?)?;
        let checked = if header.kind == Kind::Group { &body[..header.head_bytes as usize] } else { body };
        let check = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let right = crc32c::crc32c(checked) ^ crc32c::crc32c_append(seed, &bytes[4..HEADER_BYTES]);
        // The fuzzer cannot guess checksums, and is to get behind them.
        (check == right || cfg!(fuzzing)).then_some(Frame { header, body })
    }

    /// The first part of the body.
    pub(super) fn head(&self) -> &'a [u8] {
        &self.body[..self.header.head_bytes as usize]
    }

    /// What follows the head. In a group it starts at the next multiple of [`ALIGN_BYTES`].
    pub(super) fn tail(&self) -> &'a [u8] {
        let head = self.header.head_bytes as usize;
        let from = if self.header.kind == Kind::Group { head.next_multiple_of(ALIGN_BYTES) } else { head };
        self.body.get(from..).unwrap_or_default()
    }
}

/// Appends the head of an entry: who refers to it, and the meta bytes.
pub(super) fn put_head(out: &mut Vec<u8>, refs: &[Ref], meta: &[u8]) {
    varint::put(out, refs.len() as u64);
    let mut lane = 0u64;
    for reference in refs {
        varint::put(out, varint::zigzag(reference.lane.wrapping_sub(lane) as i64));
        varint::put(out, reference.seq);
        lane = reference.lane;
    }
    varint::put(out, meta.len() as u64);
    out.extend_from_slice(meta);
}

/// A head read back: the references one by one, then the meta bytes.
#[derive(Clone, Debug)]
pub(super) struct Head<'a> {
    refs: u32,
    left: u32,
    lane: u64,
    rest: &'a [u8],
}

impl<'a> Head<'a> {
    /// Begins with the number of references.
    pub(super) fn read(mut head: &'a [u8]) -> Option<Head<'a>> {
        let refs = varint::take_u32(&mut head)?;
        // Two bytes a reference at the least: a claimed number never costs more than what is there.
        (refs > 0 && refs as usize <= head.len() / 2).then_some(Head { refs, left: refs, lane: 0, rest: head })
    }

    /// How many references there are.
    pub(super) fn refs(&self) -> u32 {
        self.refs
    }

    /// The next reference. `None` when there is none or it is malformed.
    pub(super) fn next_ref(&mut self) -> Option<Ref> {
        self.left = self.left.checked_sub(1)?;
        let difference = varint::unzigzag(varint::take(&mut self.rest)?);
        self.lane = self.lane.wrapping_add(difference as u64);
        Some(Ref { lane: self.lane, seq: varint::take(&mut self.rest)? })
    }

    /// The meta bytes, after all references were read.
    pub(super) fn meta(mut self) -> Option<&'a [u8]> {
        while self.left > 0 {
            self.next_ref()?;
        }
        let length = varint::take(&mut self.rest)?;
        (length == self.rest.len() as u64 && self.rest.len() <= META_BYTES_MAX).then_some(self.rest)
    }
}
