//! The index beside a sealed segment: what recovery has to know of each record, without the payloads.
//!
//! It is grown as records are appended, so that sealing costs one small write. It is never synced: a damaged or missing one is
//! replaced by reading the segment.

use std::fs;
use std::path::Path;

use super::frame::{self, Head};
use super::segment::{self, FORMAT_VERSION, Identity};
use super::varint;

const MAGIC: &[u8; 8] = b"GANTRYix";
const HEADER_BYTES: usize = 44;

/// Grows with the records of a segment.
#[derive(Debug, Default)]
pub(super) struct Index {
    bytes: Vec<u8>,
    end: u32,
    slot: u32,
    records: u32,
}

/// One record of an index.
#[derive(Debug)]
pub(super) struct IndexRecord<'a> {
    /// Logical offset.
    pub(super) offset: u32,
    /// First slot.
    pub(super) slot: u32,
    /// Length of the frame.
    pub(super) frame_bytes: u32,
    /// Length of the payload.
    pub(super) payload_bytes: u32,
    /// References and meta.
    pub(super) head: Head<'a>,
}

impl Index {
    /// Adds a record. Offsets and slots rise.
    pub(super) fn push(&mut self, offset: u32, slot: u32, refs: u32, head: &[u8], payload_bytes: u32) {
        varint::put(&mut self.bytes, u64::from(offset - self.end));
        varint::put(&mut self.bytes, u64::from(slot - self.slot));
        varint::put(&mut self.bytes, u64::from(payload_bytes));
        varint::put(&mut self.bytes, head.len() as u64);
        self.bytes.extend_from_slice(head);
        self.end = offset + frame::frame_bytes(head.len() + payload_bytes as usize) as u32;
        self.slot = slot + refs;
        self.records += 1;
    }

    /// Visits the records. `Err` where the index is malformed.
    pub(super) fn each<'a>(
        &'a self,
        visit: &mut dyn FnMut(IndexRecord<'a>) -> Result<(), String>,
    ) -> Result<(), String> {
        let malformed = || "a record of the index is malformed".to_owned();
        let mut from = self.bytes.as_slice();
        let (mut end, mut next_slot) = (0u32, 0u32);
        for _ in 0..self.records {
            let mut take = || varint::take_u32(&mut from);
            let fields = (take(), take(), take(), take());
            let (Some(gap), Some(slot_gap), Some(payload_bytes), Some(head_bytes)) = fields else {
                return Err(malformed());
            };
            let head = from.get(..head_bytes as usize).and_then(Head::read).ok_or_else(malformed)?;
            from = &from[head_bytes as usize..];
            let offset = end.checked_add(gap).ok_or_else(malformed)?;
            let slot = next_slot.checked_add(slot_gap).ok_or_else(malformed)?;
            let frame_bytes = u32::try_from(frame::frame_bytes(head_bytes as usize + payload_bytes as usize))
                .map_err(|_| malformed())?;
            end = offset.checked_add(frame_bytes).ok_or_else(malformed)?;
            next_slot = slot.checked_add(head.refs()).ok_or_else(malformed)?;
            visit(IndexRecord { offset, slot, frame_bytes, payload_bytes, head })?;
        }
        if from.is_empty() { Ok(()) } else { Err(malformed()) }
    }

    /// The file's bytes.
    fn encode(&self, identity: &Identity) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + self.bytes.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&identity.number.to_le_bytes());
        out.extend_from_slice(&identity.generation.to_le_bytes());
        out.extend_from_slice(&identity.variant.to_le_bytes());
        out.extend_from_slice(&self.records.to_le_bytes());
        out.extend_from_slice(&(self.bytes.len() as u64).to_le_bytes());
        let check = crc32c::crc32c_append(crc32c::crc32c(&out), &self.bytes);
        out.extend_from_slice(&check.to_le_bytes());
        out.extend_from_slice(&self.bytes);
        out
    }

    /// Reads a file's bytes; `None` when it is damaged or belongs to another use of the segment.
    fn decode(mut bytes: Vec<u8>, identity: &Identity) -> Option<Index> {
        let header = bytes.get(..HEADER_BYTES)?;
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let expected = Index { bytes: Vec::new(), end: 0, slot: 0, records: word(28) };
        let body = &bytes[HEADER_BYTES..];
        let check = crc32c::crc32c_append(crc32c::crc32c(&header[..40]), body);
        let right = (word(40) == check || cfg!(fuzzing))
            && header[..28] == expected.encode(identity)[..28]
            && u64::from(word(32)) | u64::from(word(36)) << 32 == body.len() as u64;
        if !right {
            return None;
        }
        bytes.drain(..HEADER_BYTES);
        Some(Index { bytes, ..expected })
    }

    /// Writes it beside its segment. Says how long it is.
    pub(super) fn save(&self, dir: &Path, identity: &Identity) -> std::io::Result<u64> {
        let bytes = self.encode(identity);
        fs::write(segment::index_path(dir, identity.number), &bytes)?;
        Ok(bytes.len() as u64)
    }

    /// Reads the one beside a segment, with its length in bytes; `None` when there is none that can be used.
    pub(super) fn load(dir: &Path, identity: &Identity) -> Option<(Index, u64)> {
        let bytes = fs::read(segment::index_path(dir, identity.number)).ok()?;
        let length = bytes.len() as u64;
        Some((Index::decode(bytes, identity)?, length))
    }
}
