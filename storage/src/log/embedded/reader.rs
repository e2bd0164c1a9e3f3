//! Reading from a cursor, and finding a time.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::block::{Block, HEADER_BYTES, Header, Record, Tags};
use super::segment::{self, Mark, Segment};
use super::{EmbeddedLog, is_aligned};
use crate::log::{LogCursor, LogEntry, LogError, LogReading};

/// Longest read of several blocks.
const RUN_BYTES_MAX: usize = 256 << 10;
/// Least read: what is wanted may be in a block with much else.
const RUN_BYTES_MIN: usize = 64 << 10;
/// A reading whose filter wants little looks at no more than this.
const SCAN_BYTES_MAX: u64 = 4 << 20;

/// What is known of a segment at one moment, as far as a reader needs it.
struct View {
    segment: Arc<Segment>,
    end: u64,
    next: u64,
    is_last: bool,
}

/// The segment that a reader at this offset has to look at, and from where. Otherwise the offset at which it has to wait.
fn locate(log: &EmbeddedLog, cursor: &LogCursor) -> Result<(View, u64), u64> {
    let segments = log.segments.read();
    let index = segments.partition_point(|segment| segment.next() <= cursor.offset);
    let Some(segment) = segments.get(index) else {
        // At the end a moment ago. Where the end is by now would be a step over what has been appended since.
        return Err(cursor.offset);
    };
    let known = segment.known.read();
    if known.records == 0 {
        return Err(known.next(segment.identity.base));
    }
    let position = match cursor.place {
        Some((number, position)) if number == segment.identity.number && position <= known.end => position,
        _ => {
            let mark = known.marks.partition_point(|mark| mark.offset <= cursor.offset);
            known.marks.get(mark.saturating_sub(1)).map_or(segment::HEADER_BYTES, |mark| mark.position)
        }
    };
    let next = known.next(segment.identity.base);
    let (end, is_last) = (known.end, index + 1 == segments.len());
    drop(known);
    Ok((View { segment: Arc::clone(segment), end, next, is_last }, position))
}

/// Moves a position to the first mark whose tags may be wanted, if it is in front of one whose are not.
fn skip_unwanted(segment: &Segment, mut position: u64, end: u64, wanted: Tags) -> u64 {
    let known = segment.known.read();
    let mut mark = known.marks.partition_point(|mark| mark.position <= position).saturating_sub(1);
    while position < end
        && let Some(Mark { tags, .. }) = known.marks.get(mark)
        && !tags.meets(wanted)
    {
        mark += 1;
        position = known.marks.get(mark).map_or(end, |mark| mark.position);
    }
    position.min(end)
}

pub(super) fn read(
    log: &EmbeddedLog,
    cursor: &mut LogCursor,
    reading: LogReading<'_>,
) -> Result<Vec<LogEntry>, LogError> {
    let wanted = reading.filter.map(Tags::wanted);
    let mut found = Found { entries: Vec::new(), bytes: 0, reading };
    let mut scanned = 0;
    while scanned < SCAN_BYTES_MAX && !found.is_enough() {
        let (view, mut position) = match locate(log, cursor) {
            Ok(located) => located,
            Err(next) => {
                // At the end, or where a reader was that asked for what is not there yet.
                cursor.offset = cursor.offset.max(next);
                break;
            }
        };
        if let Some(wanted) = wanted {
            position = skip_unwanted(&view.segment, position, view.end, wanted);
        }
        let number = view.segment.identity.number;
        if position >= view.end {
            cursor.offset = cursor.offset.max(view.next);
            cursor.place = Some((number, view.end));
            if view.is_last && view.segment.next() == view.next {
                break;
            }
            continue;
        }
        let missing = found.reading.bytes_max.saturating_sub(found.bytes);
        let run = match read_run(&view, position, missing.clamp(RUN_BYTES_MIN, RUN_BYTES_MAX)) {
            Ok(run) => run,
            Err(error) => return stop_at_damage(log, cursor, &view, position, found, error),
        };
        scanned += run.len() as u64;
        let mut at = 0;
        loop {
            let rest = &run[at..];
            if rest.is_empty() || found.is_enough() {
                break;
            }
            let block_position = position + at as u64;
            let Some(header) = Header::decode(rest) else {
                if rest.len() < HEADER_BYTES {
                    break;
                }
                let error = damaged(log, &view, block_position, "a bad block");
                return stop_at_damage(log, cursor, &view, block_position, found, error);
            };
            if header.block_bytes() > rest.len() && at > 0 {
                // The next run begins with it.
                break;
            }
            let taken = Block::read(rest, view.segment.seed, block_position)
                .ok_or("the checksum of a block is wrong")
                .and_then(|block| found.take(&block, &run, cursor));
            match taken {
                Ok(Taken::Whole(next)) => {
                    at += header.block_bytes();
                    cursor.offset = cursor.offset.max(next);
                    cursor.place = Some((number, block_position + header.block_bytes() as u64));
                }
                Ok(Taken::Part(next)) => {
                    cursor.offset = cursor.offset.max(next);
                    cursor.place = Some((number, block_position));
                }
                Err(what) => {
                    let error = damaged(log, &view, block_position, what);
                    return stop_at_damage(log, cursor, &view, block_position, found, error);
                }
            }
        }
    }
    Ok(found.entries)
}

/// What was found before a damaged block is handed out first; then the damage is told, and the cursor moved behind it.
fn stop_at_damage(
    log: &EmbeddedLog,
    cursor: &mut LogCursor,
    view: &View,
    position: u64,
    found: Found<'_>,
    error: LogError,
) -> Result<Vec<LogEntry>, LogError> {
    if !found.entries.is_empty() {
        return Ok(found.entries);
    }
    let known = view.segment.known.read();
    let mark = known.marks.partition_point(|mark| mark.position <= position);
    let (offset, place) = match known.marks.get(mark) {
        Some(mark) => (mark.offset, mark.position),
        None => (view.next, view.end),
    };
    cursor.offset = cursor.offset.max(offset);
    cursor.place = Some((view.segment.identity.number, place));
    tracing::error!(%error, dir = %log.dir.display(), "part of a log cannot be read");
    Err(error)
}

fn damaged(log: &EmbeddedLog, view: &View, position: u64, what: &str) -> LogError {
    let path = segment::segment_path(&log.dir, view.segment.identity.number);
    LogError::Damaged(format!("{what}: {} at {position}", path.display()))
}

/// Whole blocks from a position on, as far as they go into so many bytes; the first one whatever its length. What follows the
/// last whole one may be there as well.
fn read_run(view: &View, position: u64, bytes: usize) -> Result<Bytes, LogError> {
    let left = usize::try_from(view.end - position).unwrap_or(usize::MAX);
    let mut length = bytes.min(left);
    loop {
        let mut buffer = vec![0; length];
        let io = |source: io::Error| LogError::Io { what: format!("reading a log at {position}"), source };
        view.segment.file.read_exact_at(&mut buffer, position).map_err(io)?;
        match Header::decode(&buffer) {
            Some(header) if header.position == position && header.block_bytes() > length => {
                if header.block_bytes() > left {
                    return Err(LogError::Damaged(format!("a block at {position} is longer than its segment")));
                }
                length = header.block_bytes();
            }
            _ => return Ok(Bytes::from(buffer)),
        }
    }
}

/// How much of a block was taken, and the offset to go on from.
enum Taken {
    Whole(u64),
    Part(u64),
}

/// What a reading has come to so far.
struct Found<'a> {
    entries: Vec<LogEntry>,
    bytes: usize,
    reading: LogReading<'a>,
}

impl Found<'_> {
    fn is_enough(&self) -> bool {
        self.entries.len() >= self.reading.records_max || self.bytes >= self.reading.bytes_max
    }

    fn take(&mut self, block: &Block<'_>, run: &Bytes, cursor: &LogCursor) -> Result<Taken, &'static str> {
        let mut records = block.records();
        let mut next = block.header.offset;
        while let Some(record) = records.next() {
            let Record { offset, timestamp_ms, tag, payload } =
                record.map_err(|_| "a record of a block is malformed")?;
            if self.is_enough() {
                return Ok(Taken::Part(next));
            }
            next = offset.checked_add(1).ok_or("an offset of a block is too high")?;
            if offset < cursor.offset || self.reading.filter.is_some_and(|filter| !filter.wants(tag)) {
                continue;
            }
            self.bytes += payload.len();
            self.entries.push(LogEntry { offset, timestamp_ms, payload: run.slice_ref(payload) });
        }
        Ok(Taken::Whole(next))
    }
}

pub(super) fn find_time(log: &EmbeddedLog, timestamp_ms: u64) -> Result<u64, LogError> {
    let (view, mut position) = {
        let segments = log.segments.read();
        let index = segments.partition_point(|segment| segment.known.read().last_timestamp_ms < timestamp_ms);
        let Some(segment) = segments.get(index) else {
            return Ok(segments.back().map_or(0, |last| last.next()));
        };
        let known = segment.known.read();
        let mark = known.marks.partition_point(|mark| mark.timestamp_ms < timestamp_ms);
        let position = known.marks.get(mark.saturating_sub(1)).map_or(known.end, |mark| mark.position);
        let (end, next) = (known.end, known.next(segment.identity.base));
        drop(known);
        (View { segment: Arc::clone(segment), end, next, is_last: false }, position)
    };
    while position < view.end {
        debug_assert!(is_aligned(position));
        let run = read_run(&view, position, RUN_BYTES_MAX)?;
        let mut at = 0;
        while let Some(header) = Header::decode(&run[at..]) {
            if header.block_bytes() > run.len() - at && at > 0 {
                break;
            }
            let block_position = position + at as u64;
            let block = Block::read(&run[at..], view.segment.seed, block_position)
                .ok_or_else(|| damaged(log, &view, block_position, "the checksum of a block is wrong"))?;
            let mut records = block.records();
            while let Some(record) = records.next() {
                let record =
                    record.map_err(|_| damaged(log, &view, block_position, "a record of a block is malformed"))?;
                if record.timestamp_ms >= timestamp_ms {
                    return Ok(record.offset);
                }
            }
            at += header.block_bytes();
            if at >= run.len() {
                break;
            }
        }
        if at == 0 {
            return Err(damaged(log, &view, position, "a bad block"));
        }
        position += at as u64;
    }
    Ok(view.next)
}
