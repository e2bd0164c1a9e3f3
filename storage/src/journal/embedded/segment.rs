//! Segment files: their names, their header, and what is known of each while the journal is open.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::live::Live;

/// Length of a segment's header.
pub(super) const HEADER_BYTES: usize = 64;
/// Version of segments, indexes and checkpoints.
pub(super) const FORMAT_VERSION: u32 = 1;
/// Files are written in multiples of this, so that the kernel never has to read a page to fill it up.
pub(super) const PAGE_BYTES: usize = 4096;
const MAGIC: &[u8; 8] = b"GANTRYsg";

/// Tells one use of a file from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Number of the segment.
    pub(super) number: u32,
    /// Random: nobody outside can write a payload that passes for a frame.
    pub(super) generation: u64,
    /// How often the segment was compacted.
    pub(super) variant: u32,
}

impl Identity {
    /// A new one, for a segment that is about to be written.
    pub(super) fn new(number: u32) -> Identity {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u32(number);
        Identity { number, generation: hasher.finish(), variant: 0 }
    }

    /// What checksums of this segment start from.
    pub(super) fn seed(&self) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.number.to_le_bytes()), &self.generation.to_le_bytes())
    }

    /// The header of the file.
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&self.number.to_le_bytes());
        out[16..24].copy_from_slice(&self.generation.to_le_bytes());
        out[24..28].copy_from_slice(&self.variant.to_le_bytes());
        let check = crc32c::crc32c(&out[..60]);
        out[60..].copy_from_slice(&check.to_le_bytes());
        out
    }

    /// Reads a header. An error says what is wrong with it; a file that was never begun is all zeroes and gives `None`.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<Identity>, String> {
        let Some(bytes) = bytes.get(..HEADER_BYTES) else { return Ok(None) };
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if &bytes[..8] != MAGIC {
            return Err("it does not begin like a segment".to_owned());
        }
        if word(60) != crc32c::crc32c(&bytes[..60]) && !cfg!(fuzzing) {
            return Err("the checksum of its header is wrong".to_owned());
        }
        if word(8) != FORMAT_VERSION {
            return Err(format!("it has format version {}, known is {FORMAT_VERSION}", word(8)));
        }
        let generation = u64::from(word(16)) | u64::from(word(20)) << 32;
        Ok(Some(Identity { number: word(12), generation, variant: word(24) }))
    }
}

/// The file of a segment. It is opened by the writer, when the first bytes reach it.
#[derive(Debug)]
pub(super) struct SegmentFile {
    /// Which use of the file this is.
    pub(super) identity: Identity,
    /// See [`Identity::seed`].
    pub(super) seed: u32,
    /// Length that the file is to have, in bytes.
    pub(super) capacity: u64,
    /// The file, once it is there.
    pub(super) file: OnceLock<File>,
}

impl SegmentFile {
    /// One that is not there yet.
    pub(super) fn new(identity: Identity, capacity: u64) -> SegmentFile {
        SegmentFile { identity, seed: identity.seed(), capacity, file: OnceLock::new() }
    }

    /// One that is open.
    pub(super) fn with(identity: Identity, capacity: u64, file: File) -> SegmentFile {
        let segment = SegmentFile::new(identity, capacity);
        let _ = segment.file.set(file);
        segment
    }
}

/// One segment, as the open journal knows it.
#[derive(Debug)]
pub(super) struct Segment {
    /// Its file; another one after compaction. Readers keep the one that they began with.
    pub(super) file: Arc<SegmentFile>,
    /// Logical end, in bytes.
    pub(super) end: u32,
    /// Slots given out.
    pub(super) slots: u32,
    /// What is alive.
    pub(super) live: Live,
    /// Values of references that are alive.
    pub(super) marks: HashMap<u32, u64>,
    /// Length of the index beside it, in bytes.
    pub(super) index_bytes: u64,
    /// Nothing in it is alive, once this ticket is durable.
    pub(super) dead: Option<u64>,
}

impl Segment {
    /// A new one that ends behind its header.
    pub(super) fn new(number: u32, capacity: u64) -> Segment {
        Segment {
            file: Arc::new(SegmentFile::new(Identity::new(number), capacity)),
            end: HEADER_BYTES as u32,
            slots: 0,
            live: Live::default(),
            marks: HashMap::new(),
            index_bytes: 0,
            dead: None,
        }
    }

    /// Its number.
    pub(super) fn number(&self) -> u32 {
        self.file.identity.number
    }
}

/// Path of a segment.
pub(super) fn segment_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.seg"))
}

/// Path of a segment's index.
pub(super) fn index_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.idx"))
}
