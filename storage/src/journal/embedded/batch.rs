//! What gathers between two syncs.

use std::sync::Arc;

use super::segment::{HEADER_BYTES, PAGE_BYTES, SegmentFile};

/// Buffers up to this length are kept for the next batch.
const KEPT_BYTES_MAX: usize = 16 << 20;

/// Bytes for one segment, contiguous.
#[derive(Debug)]
pub(super) struct Part {
    /// Where they go.
    pub(super) segment: Arc<SegmentFile>,
    /// Offset of the first one.
    pub(super) start: u32,
    /// The bytes.
    pub(super) bytes: Vec<u8>,
}

impl Part {
    /// The bytes from a logical offset on, where they are in here.
    pub(super) fn at(&self, number: u32, offset: u32, length: u32) -> Option<&[u8]> {
        if self.segment.identity.number != number {
            return None;
        }
        let from = offset.checked_sub(self.start)? as usize;
        self.bytes.get(from..from + length as usize)
    }
}

/// Parts for one segment or more, in order.
#[derive(Debug)]
pub(super) struct Batch {
    /// Never empty.
    pub(super) parts: Vec<Part>,
    /// Everything up to this ticket is in it or before it.
    pub(super) ticket: u64,
    /// Bytes of the records in it: what the backlog shrinks by when it is written.
    pub(super) bytes: u64,
}

impl Batch {
    /// One that goes on at the given place.
    pub(super) fn new(segment: Arc<SegmentFile>, start: u32, bytes: Vec<u8>) -> Batch {
        Batch { parts: vec![Part { segment, start, bytes }], ticket: 0, bytes: 0 }
    }

    /// One that begins a segment.
    pub(super) fn begin(segment: Arc<SegmentFile>, mut bytes: Vec<u8>) -> Part {
        bytes.extend_from_slice(&segment.identity.encode());
        Part { segment, start: 0, bytes }
    }

    /// Fills the last page of each part with zeroes: overwriting whole pages spares the kernel from reading them first.
    pub(super) fn pad(&mut self) {
        for part in &mut self.parts {
            let end = (part.start as usize + part.bytes.len()).next_multiple_of(PAGE_BYTES);
            part.bytes.resize(end - part.start as usize, 0);
        }
    }

    /// The bytes from a logical offset on, where they are in here.
    pub(super) fn at(&self, number: u32, offset: u32, length: u32) -> Option<&[u8]> {
        self.parts.iter().find_map(|part| part.at(number, offset, length))
    }

    /// The largest buffer, to be used again.
    pub(super) fn into_buffer(self) -> Option<Vec<u8>> {
        let mut buffer = self.parts.into_iter().map(|part| part.bytes).max_by_key(Vec::capacity)?;
        buffer.clear();
        buffer.shrink_to(KEPT_BYTES_MAX);
        Some(buffer)
    }
}

impl Part {
    /// Nothing but the header of a segment that nobody has written to.
    pub(super) fn is_only_header(&self) -> bool {
        self.start == 0 && self.bytes.len() == HEADER_BYTES
    }
}
