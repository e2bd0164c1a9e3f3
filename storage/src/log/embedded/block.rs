//! How records are framed. Those that come together lie in one block. It starts with a header of 48 bytes (numbers are little
//! endian):
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..4 | check: crc32c of the rest of the block, padding not included, seeded with the segment's own number |
//! | 4..8 | length of the body, without padding |
//! | 8..16 | position of the block in its segment |
//! | 16..24 | where this segment was synced up to when the block was written |
//! | 24..32 | offset of the first record |
//! | 32..40 | timestamp of the first record, in milliseconds since the epoch of Unix |
//! | 40..44 | number of records |
//! | 44..48 | length of the heads, the first part of the body |
//!
//! The heads of all records come first, so that one can be looked at without touching a payload: offset and timestamp as
//! differences to the record before, length of the tag plus one or 0 for none, the tag, length of the payload. Then the payloads.
//! Blocks are padded with zeroes to a multiple of [`ALIGN_BYTES`].

use crate::journal::varint;
use crate::log::{LogRecord, TAG_BYTES_MAX};

/// Length of a block's header.
pub(super) const HEADER_BYTES: usize = 48;
/// Blocks start at multiples of this.
pub(super) const ALIGN_BYTES: usize = 8;
/// A block takes no further record once its payloads have this length: who reads one record reads its block.
const BLOCK_BYTES: usize = 32 << 10;
/// Records of a block.
const BLOCK_RECORDS_MAX: usize = 1 << 12;
/// Bytes that the head of a record takes at least.
const HEAD_BYTES_MIN: usize = 4;

/// The header of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Length of the body, without padding.
    pub(super) body_bytes: u32,
    /// Where the block is in its segment.
    pub(super) position: u64,
    /// Up to where the segment was synced.
    pub(super) synced: u64,
    /// Offset of the first record.
    pub(super) offset: u64,
    /// Timestamp of the first record.
    pub(super) timestamp_ms: u64,
    /// Number of records.
    pub(super) records: u32,
    /// Length of the heads.
    pub(super) head_bytes: u32,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[4..8].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[8..16].copy_from_slice(&self.position.to_le_bytes());
        out[16..24].copy_from_slice(&self.synced.to_le_bytes());
        out[24..32].copy_from_slice(&self.offset.to_le_bytes());
        out[32..40].copy_from_slice(&self.timestamp_ms.to_le_bytes());
        out[40..44].copy_from_slice(&self.records.to_le_bytes());
        out[44..48].copy_from_slice(&self.head_bytes.to_le_bytes());
        out
    }

    /// Reads a header without checking its checksum.
    pub(super) fn decode(bytes: &[u8]) -> Option<Header> {
        let bytes: &[u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let header = Header {
            body_bytes: word(4),
            position: long(8),
            synced: long(16),
            offset: long(24),
            timestamp_ms: long(32),
            records: word(40),
            head_bytes: word(44),
        };
        let sound = header.head_bytes <= header.body_bytes
            && header.records > 0
            && header.records as usize <= header.head_bytes as usize / HEAD_BYTES_MIN;
        sound.then_some(header)
    }

    /// Length of the whole block.
    pub(super) fn block_bytes(&self) -> usize {
        block_bytes(self.body_bytes as usize)
    }
}

const fn block_bytes(body_bytes: usize) -> usize {
    (HEADER_BYTES + body_bytes + ALIGN_BYTES - 1) & !(ALIGN_BYTES - 1)
}

/// A block whose checksum was right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    /// Its header.
    pub(super) header: Header,
    body: &'a [u8],
}

impl<'a> Block<'a> {
    /// The block at the start of `bytes`, if there is a whole one, its checksum is right, and it belongs at `position`.
    pub(super) fn read(bytes: &'a [u8], seed: u32, position: u64) -> Option<Block<'a>> {
        let header = Header::decode(bytes)?;
        let end = HEADER_BYTES.checked_add(header.body_bytes as usize)?;
        let body = bytes.get(HEADER_BYTES..end)?;
        let check = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        // The fuzzer cannot guess checksums, and is to get behind them.
        let right = check == crc32c::crc32c_append(seed, &bytes[4..end]) || cfg!(fuzzing);
        (right && header.position == position).then_some(Block { header, body })
    }

    /// The records, one by one.
    pub(super) fn records(&self) -> Records<'a> {
        let (heads, payloads) = self.body.split_at(self.header.head_bytes as usize);
        let Header { offset, timestamp_ms, records, .. } = self.header;
        Records { heads, payloads, left: records, offset, timestamp_ms }
    }
}

/// A record of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) offset: u64,
    pub(super) timestamp_ms: u64,
    pub(super) tag: Option<&'a [u8]>,
    pub(super) payload: &'a [u8],
}

/// The records of a block that are still to come.
#[derive(Clone, Debug)]
pub(super) struct Records<'a> {
    heads: &'a [u8],
    payloads: &'a [u8],
    left: u32,
    offset: u64,
    timestamp_ms: u64,
}

impl<'a> Records<'a> {
    /// The next record; an error where its head makes no sense.
    pub(super) fn next(&mut self) -> Option<Result<Record<'a>, Malformed>> {
        self.left = self.left.checked_sub(1)?;
        Some(self.take().ok_or(Malformed))
    }

    fn take(&mut self) -> Option<Record<'a>> {
        self.offset = self.offset.checked_add(varint::take(&mut self.heads)?)?;
        self.timestamp_ms = self.timestamp_ms.checked_add(varint::take(&mut self.heads)?)?;
        let tag = match varint::take(&mut self.heads)? {
            0 => None,
            length => {
                let (tag, rest) = self.heads.split_at_checked(usize::try_from(length - 1).ok()?)?;
                self.heads = rest;
                Some(tag)
            }
        };
        let length = usize::try_from(varint::take(&mut self.heads)?).ok()?;
        let (payload, rest) = self.payloads.split_at_checked(length)?;
        self.payloads = rest;
        Some(Record { offset: self.offset, timestamp_ms: self.timestamp_ms, tag, payload })
    }
}

/// A record's head makes no sense although its checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Which tags there may be among some records: a bit for each tag's hash, and one for records without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tags(pub(super) u64);

const UNTAGGED: u64 = 1 << 63;

impl Tags {
    pub(super) fn of(tag: Option<&[u8]>) -> Tags {
        match tag {
            None => Tags(UNTAGGED),
            Some(tag) => Tags(1 << (crc32c::crc32c(tag) % 63)),
        }
    }

    /// Adds those of others.
    pub(super) fn add(&mut self, other: Tags) {
        self.0 |= other.0;
    }

    /// What a filter looks for.
    pub(super) fn wanted(filter: &crate::log::LogFilter) -> Tags {
        let mut wanted = if filter.untagged { Tags(UNTAGGED) } else { Tags::default() };
        for tag in &filter.tags {
            wanted.add(Tags::of(Some(tag)));
        }
        wanted
    }

    /// Whether there may be something of both.
    pub(super) fn meets(self, other: Tags) -> bool {
        self.0 & other.0 != 0
    }
}

/// What was put into a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Put {
    pub(super) header: Header,
    /// How many of the records.
    pub(super) records: usize,
    pub(super) tags: Tags,
    pub(super) last_offset: u64,
    pub(super) last_timestamp_ms: u64,
}

/// Splits off as many records as go into one block; at least one.
pub(super) fn first_block<'r, 'a>(records: &'r [LogRecord<'a>]) -> &'r [LogRecord<'a>] {
    let mut bytes = 0;
    let mut count = 0;
    for record in records.iter().take(BLOCK_RECORDS_MAX) {
        let payload = payload_bytes(record);
        if count > 0 && bytes + payload > BLOCK_BYTES as u64 {
            break;
        }
        bytes += payload;
        count += 1;
    }
    &records[..count]
}

/// Length of a record's payload.
pub(super) fn payload_bytes(record: &LogRecord<'_>) -> u64 {
    record.payload.iter().map(|part| part.len() as u64).sum()
}

/// An upper bound for the length of a block of these records.
pub(super) fn block_bytes_max(records: &[LogRecord<'_>]) -> u64 {
    let heads = |record: &LogRecord<'_>| 40 + record.tag.map_or(0, <[u8]>::len) as u64;
    let body: u64 = records.iter().map(|record| heads(record) + payload_bytes(record)).sum();
    body + (HEADER_BYTES + ALIGN_BYTES) as u64
}

/// Appends a block of all of `records`, which are not empty and as [`first_block`] gives them. No timestamp is below
/// `floor_ms`.
pub(super) fn put(
    out: &mut Vec<u8>,
    records: &[LogRecord<'_>],
    seed: u32,
    position: u64,
    synced: u64,
    floor_ms: u64,
) -> Put {
    let start = out.len();
    let first_offset = records[0].offset;
    let first_ms = records[0].timestamp_ms.max(floor_ms);
    out.extend_from_slice(&[0; HEADER_BYTES]);
    let (mut offset, mut timestamp_ms) = (first_offset, first_ms);
    let mut tags = Tags::default();
    for record in records {
        varint::put(out, record.offset - offset);
        offset = record.offset;
        let ms = record.timestamp_ms.max(timestamp_ms);
        varint::put(out, ms - timestamp_ms);
        timestamp_ms = ms;
        debug_assert!(record.tag.is_none_or(|tag| tag.len() <= TAG_BYTES_MAX));
        varint::put(out, record.tag.map_or(0, |tag| tag.len() as u64 + 1));
        out.extend_from_slice(record.tag.unwrap_or_default());
        varint::put(out, payload_bytes(record));
        tags.add(Tags::of(record.tag));
    }
    let head_bytes = out.len() - start - HEADER_BYTES;
    for part in records.iter().flat_map(|record| record.payload) {
        out.extend_from_slice(part);
    }
    let body_bytes = out.len() - start - HEADER_BYTES;
    let header = Header {
        body_bytes: body_bytes as u32,
        position,
        synced,
        offset: first_offset,
        timestamp_ms: first_ms,
        records: records.len() as u32,
        head_bytes: head_bytes as u32,
    };
    out[start..start + HEADER_BYTES].copy_from_slice(&header.encode());
    let check = crc32c::crc32c_append(seed, &out[start + 4..]);
    out[start..start + 4].copy_from_slice(&check.to_le_bytes());
    out.resize(start + block_bytes(body_bytes), 0);
    Put { header, records: records.len(), tags, last_offset: offset, last_timestamp_ms: timestamp_ms }
}
