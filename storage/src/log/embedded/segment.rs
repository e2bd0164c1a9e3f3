//! Segment files, and what is known of each: a mark for every so many bytes, kept beside a segment that is not written to any
//! more in a file of its own.

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::RwLock;

use super::block::{Put, Tags};

/// Length of a segment's header.
pub(super) const HEADER_BYTES: u64 = 64;
const FORMAT_VERSION: u32 = 1;
const SEGMENT_MAGIC: &[u8; 8] = b"GANTRYlg";
const INDEX_MAGIC: &[u8; 8] = b"GANTRYli";
/// At least so many bytes lie between two marks.
const MARK_BYTES: u64 = 128 << 10;

/// What is at the start of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Number of the segment; the next one has the next number.
    pub(super) number: u64,
    /// Random: nobody outside can write a payload that passes for a block.
    pub(super) generation: u64,
    /// No record in it or behind it has a lower offset.
    pub(super) base: u64,
}

impl Identity {
    /// A new one.
    pub(super) fn new(number: u64, base: u64) -> Identity {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(number);
        Identity { number, generation: hasher.finish(), base }
    }

    /// What checksums of this segment start from.
    pub(super) fn seed(&self) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.number.to_le_bytes()), &self.generation.to_le_bytes())
    }

    /// The header of the file.
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut out = [0; HEADER_BYTES as usize];
        out[..8].copy_from_slice(SEGMENT_MAGIC);
        out[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        out[16..24].copy_from_slice(&self.number.to_le_bytes());
        out[24..32].copy_from_slice(&self.generation.to_le_bytes());
        out[32..40].copy_from_slice(&self.base.to_le_bytes());
        let check = crc32c::crc32c(&out[..60]);
        out[60..].copy_from_slice(&check.to_le_bytes());
        out
    }

    /// Reads a header. An error says what is wrong with it; a file that was never begun gives `None`.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<Identity>, String> {
        let Some(bytes) = bytes.get(..HEADER_BYTES as usize) else { return Ok(None) };
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let mut rest = Fields(bytes);
        if rest.take(8) != SEGMENT_MAGIC {
            return Err("it does not begin like a segment of a log".to_owned());
        }
        let check = u32::from_le_bytes([bytes[60], bytes[61], bytes[62], bytes[63]]);
        if check != crc32c::crc32c(&bytes[..60]) && !cfg!(fuzzing) {
            return Err("the checksum of its header is wrong".to_owned());
        }
        let version = rest.long() as u32;
        if version != FORMAT_VERSION {
            return Err(format!("it has format version {version}, known is {FORMAT_VERSION}"));
        }
        Ok(Some(Identity { number: rest.long(), generation: rest.long(), base: rest.long() }))
    }
}

/// Fixed fields one behind the other; what is missing is zero.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (first, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        first
    }

    fn long(&mut self) -> u64 {
        self.take(8).iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
    }
}

/// A place in a segment where a block starts, with what is from there to the next mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Where the block is.
    pub(super) position: u64,
    /// Offset of its first record.
    pub(super) offset: u64,
    /// Timestamp of its first record.
    pub(super) timestamp_ms: u64,
    /// Tags of all records up to the next mark.
    pub(super) tags: Tags,
}

/// What is known of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// In order. The first one is at the first block.
    pub(super) marks: Vec<Mark>,
    /// Behind the last block.
    pub(super) end: u64,
    /// Number of records.
    pub(super) records: u64,
    /// Offset of the last record, where there is one.
    pub(super) last_offset: u64,
    /// Timestamp of the last record; 0 where there is none.
    pub(super) last_timestamp_ms: u64,
}

impl Known {
    /// Nothing but a header.
    pub(super) fn empty() -> Known {
        Known { end: HEADER_BYTES, ..Known::default() }
    }

    /// Takes note of a block behind the others.
    pub(super) fn push(&mut self, put: &Put) {
        let header = &put.header;
        match self.marks.last_mut() {
            Some(last) if header.position < last.position + MARK_BYTES => last.tags.add(put.tags),
            _ => self.marks.push(Mark {
                position: header.position,
                offset: header.offset,
                timestamp_ms: header.timestamp_ms,
                tags: put.tags,
            }),
        }
        self.end = header.position + header.block_bytes() as u64;
        self.records += put.records as u64;
        self.last_offset = put.last_offset;
        self.last_timestamp_ms = put.last_timestamp_ms;
    }

    /// One more than the highest offset in it.
    pub(super) fn next(&self, base: u64) -> u64 {
        if self.records == 0 { base } else { self.last_offset + 1 }
    }

    /// Writes the index of a segment. Only saves time at the next start, and is not synced.
    pub(super) fn save(&self, dir: &Path, identity: &Identity) -> io::Result<()> {
        let mut out = Vec::with_capacity(64 + self.marks.len() * 32);
        out.extend_from_slice(INDEX_MAGIC);
        let fields = [
            u64::from(FORMAT_VERSION),
            identity.number,
            identity.generation,
            self.end,
            self.records,
            self.last_offset,
            self.last_timestamp_ms,
        ];
        for field in fields {
            out.extend_from_slice(&field.to_le_bytes());
        }
        for mark in &self.marks {
            for field in [mark.position, mark.offset, mark.timestamp_ms, mark.tags.0] {
                out.extend_from_slice(&field.to_le_bytes());
            }
        }
        let check = crc32c::crc32c(&out);
        out.extend_from_slice(&check.to_le_bytes());
        let path = index_path(dir, identity.number);
        let new = path.with_extension("new");
        fs::write(&new, &out)?;
        fs::rename(&new, &path)
    }

    /// Reads the index beside a segment. `None` where there is none, or it is damaged: then the segment has to be read.
    pub(super) fn load(dir: &Path, identity: &Identity, file_bytes: u64) -> Option<Known> {
        let bytes = fs::read(index_path(dir, identity.number)).ok()?;
        let (body, check) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        if check != crc32c::crc32c(body).to_le_bytes() && !cfg!(fuzzing) {
            return None;
        }
        let mut fields = Fields(body);
        let is_it = fields.take(8) == INDEX_MAGIC
            && fields.long() == u64::from(FORMAT_VERSION)
            && fields.long() == identity.number
            && fields.long() == identity.generation;
        let (end, records, last_offset, last_timestamp_ms) =
            (fields.long(), fields.long(), fields.long(), fields.long());
        let mut marks = Vec::with_capacity(fields.0.len() / 32);
        while fields.0.len() >= 32 {
            let (position, offset, timestamp_ms) = (fields.long(), fields.long(), fields.long());
            marks.push(Mark { position, offset, timestamp_ms, tags: Tags(fields.long()) });
        }
        let rises = marks.windows(2).all(|pair| {
            let (one, next) = (pair[0], pair[1]);
            one.position < next.position && one.offset < next.offset && one.timestamp_ms <= next.timestamp_ms
        });
        let fits = end == file_bytes
            && records > 0
            && marks.first().is_some_and(|first| first.position == HEADER_BYTES && first.offset >= identity.base)
            && marks.last().is_some_and(|last| last.position < end && last.offset <= last_offset);
        (is_it && rises && fits).then_some(Known { marks, end, records, last_offset, last_timestamp_ms })
    }
}

/// One segment of an open log.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) identity: Identity,
    /// See [`Identity::seed`].
    pub(super) seed: u32,
    pub(super) file: File,
    /// Grows while the segment is written to; the bytes are in the file before it says so.
    pub(super) known: RwLock<Known>,
}

impl Segment {
    pub(super) fn new(identity: Identity, file: File, known: Known) -> Segment {
        Segment { identity, seed: identity.seed(), file, known: RwLock::new(known) }
    }

    /// One more than the highest offset in it.
    pub(super) fn next(&self) -> u64 {
        self.known.read().next(self.identity.base)
    }
}

/// Path of a segment.
pub(super) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.log"))
}

/// Path of a segment's index.
pub(super) fn index_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.idx"))
}
