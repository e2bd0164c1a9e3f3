//! Opening a folder: the indexes of the segments that are whole, and a look at every block of the last one.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{ALIGN_BYTES, Block, HEADER_BYTES, Header, Put, Tags};
use super::segment::{self, Identity, Known, Segment};
use super::{io_error, missing_is_fine};
use crate::log::LogError;

/// Bytes read at a time.
const WINDOW_BYTES: usize = 1 << 20;

fn unusable(path: &Path, what: impl std::fmt::Display) -> LogError {
    LogError::Unusable(format!("the log cannot be opened: {}: {what}", path.display()))
}

pub(super) fn recover(dir: &Path) -> Result<VecDeque<Arc<Segment>>, LogError> {
    let mut paths: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let mut indexes: BTreeMap<u64, PathBuf> = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(io_error(dir))? {
        let path = entry.map_err(io_error(dir))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let number = |suffix| name.strip_suffix(suffix).and_then(|number| number.parse().ok());
        if name.ends_with(".new") {
            // Was never put in place.
            fs::remove_file(&path).map_err(io_error(&path))?;
        } else if let Some(number) = number(".log") {
            paths.insert(number, path);
        } else if let Some(number) = number(".idx") {
            indexes.insert(number, path);
        }
    }
    let mut segments: VecDeque<Arc<Segment>> = VecDeque::new();
    let last = paths.keys().next_back().copied();
    for (&number, path) in &paths {
        if let Some(before) = segments.back()
            && before.identity.number + 1 != number
        {
            return Err(unusable(path, format_args!("segment {} before it is missing", before.identity.number + 1)));
        }
        let is_last = Some(number) == last;
        let Some(segment) = open_segment(dir, path, number, is_last)? else {
            if segments.is_empty() && number > 1 {
                // What was before it went only once this one was on stable storage.
                return Err(unusable(path, "it has no header, and the segments before it are gone"));
            }
            // A name was given to a file, and nothing reached it.
            fs::remove_file(path).map_err(io_error(path))?;
            break;
        };
        let floor = segments.back().map_or((0, 0), |before| (before.next(), before.known.read().last_timestamp_ms));
        let known = segment.known.read();
        let first =
            known.marks.first().map_or((segment.identity.base, floor.1), |mark| (mark.offset, mark.timestamp_ms));
        if segment.identity.base < floor.0 || first.0 < floor.0 || first.1 < floor.1 {
            return Err(unusable(path, "it does not follow the segment before it"));
        }
        drop(known);
        segments.push_back(Arc::new(segment));
    }
    for (number, path) in indexes {
        if !segments.iter().any(|segment| segment.identity.number == number) {
            fs::remove_file(&path).or_else(missing_is_fine).map_err(io_error(&path))?;
        }
    }
    Ok(segments)
}

/// `None` where it was never begun, which only the last one can be.
fn open_segment(dir: &Path, path: &Path, number: u64, is_last: bool) -> Result<Option<Segment>, LogError> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(io_error(path))?;
    let file_bytes = file.metadata().map_err(io_error(path))?.len();
    let mut header = vec![0; (segment::HEADER_BYTES).min(file_bytes) as usize];
    file.read_exact_at(&mut header, 0).map_err(io_error(path))?;
    let identity = match Identity::decode(&header) {
        Ok(Some(identity)) if identity.number == number => identity,
        Ok(Some(identity)) => return Err(unusable(path, format_args!("it is segment {}", identity.number))),
        Ok(None) if is_last => return Ok(None),
        // The header shares a page with the first blocks: it is torn only where nothing of the page was ever synced.
        Err(_) if is_last && file_bytes <= segment::HEADER_BYTES => return Ok(None),
        Ok(None) => return Err(unusable(path, "it has no header, and a later segment follows")),
        Err(what) => return Err(unusable(path, what)),
    };
    if !is_last && let Some(known) = Known::load(dir, &identity, file_bytes) {
        return Ok(Some(Segment::new(identity, file, known)));
    }
    let mut window = Window { file: &file, file_bytes, start: 0, bytes: Vec::new() };
    let known = scan(&mut window, &identity).map_err(|what| unusable(path, what))?;
    if known.end < file_bytes {
        if !is_last {
            return Err(unusable(path, format_args!("bad block at {}, and a later segment follows", known.end)));
        }
        if let Some(good) = good_after(&mut window, known.end, &identity).map_err(|what| unusable(path, what))? {
            return Err(unusable(path, format_args!("bad block at {}, and a good one follows at {good}", known.end)));
        }
        tracing::info!(path = %path.display(), bytes = file_bytes - known.end, "the torn tail of a log is cut off");
        // Before anything is written there: what is left of the old tail must not follow a new block.
        file.set_len(known.end).and_then(|()| file.sync_all()).map_err(io_error(path))?;
    }
    if !is_last && let Err(error) = known.save(dir, &identity) {
        // It only saves time.
        tracing::debug!(%error, path = %path.display(), "the index of a segment was not written");
    }
    Ok(Some(Segment::new(identity, file, known)))
}

/// A part of a file in memory.
struct Window<'a> {
    file: &'a File,
    file_bytes: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// At least so many bytes from a position on, or as many as there are.
    fn at(&mut self, position: u64, bytes: u64) -> Result<&[u8], String> {
        let end = position.saturating_add(bytes).min(self.file_bytes);
        if position < self.start || end > self.start + self.bytes.len() as u64 {
            let length = (self.file_bytes.saturating_sub(position)).min(bytes.max(WINDOW_BYTES as u64));
            self.bytes.resize(length as usize, 0);
            self.start = position;
            self.file.read_exact_at(&mut self.bytes, position).map_err(|error| error.to_string())?;
        }
        let from = (position - self.start).min(self.bytes.len() as u64) as usize;
        Ok(&self.bytes[from..])
    }
}

/// The block at a position, if there is a good one.
fn block_at<'w>(window: &'w mut Window<'_>, position: u64, seed: u32) -> Result<Option<Block<'w>>, String> {
    let file_bytes = window.file_bytes;
    let Some(header) = Header::decode(window.at(position, HEADER_BYTES as u64)?) else { return Ok(None) };
    let length = header.block_bytes() as u64;
    // A length that the file does not have is not asked for.
    if header.position != position || length > file_bytes.saturating_sub(position) {
        return Ok(None);
    }
    Ok(Block::read(window.at(position, length)?, seed, position))
}

/// Looks at every block up to the first bad one. An error says what is wrong with one whose checksum is right.
fn scan(window: &mut Window<'_>, identity: &Identity) -> Result<Known, String> {
    let seed = identity.seed();
    let mut known = Known::empty();
    loop {
        let position = known.end;
        let Some(block) = block_at(window, position, seed)? else { return Ok(known) };
        let follows =
            block.header.offset >= known.next(identity.base) && block.header.timestamp_ms >= known.last_timestamp_ms;
        if !follows {
            return Err(format!("the block at {position} does not follow the one before it"));
        }
        let put = summary(&block).ok_or_else(|| format!("the block at {position} is malformed"))?;
        known.push(&put);
    }
}

fn summary(block: &Block<'_>) -> Option<Put> {
    let mut put = Put { header: block.header, records: 0, tags: Tags::default(), last_offset: 0, last_timestamp_ms: 0 };
    let mut records = block.records();
    while let Some(record) = records.next() {
        let record = record.ok()?;
        if record.offset == u64::MAX || put.records > 0 && record.offset <= put.last_offset {
            return None;
        }
        put.records += 1;
        put.last_offset = record.offset;
        put.last_timestamp_ms = record.timestamp_ms;
        put.tags.add(Tags::of(record.tag));
    }
    Some(put)
}

/// Looks behind a bad block for a good one that was written after the bad one had been synced: then what is there is no torn
/// tail but a hole. Says where the good one is.
fn good_after(window: &mut Window<'_>, bad: u64, identity: &Identity) -> Result<Option<u64>, String> {
    let seed = identity.seed();
    let mut position = bad + ALIGN_BYTES as u64;
    while position + HEADER_BYTES as u64 <= window.file_bytes {
        let head = window.at(position, HEADER_BYTES as u64)?;
        let may_be = Header::decode(head)
            .is_some_and(|header| header.position == position && header.synced > bad && header.synced <= position);
        if may_be && block_at(window, position, seed)?.is_some() {
            return Ok(Some(position));
        }
        position += ALIGN_BYTES as u64;
    }
    Ok(None)
}
