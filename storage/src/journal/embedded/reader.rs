//! Reading records back by position.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::Shared;
use super::batch::Batch;
use super::frame::{Frame, Kind};
use super::front::Unwritten;
use super::segment::SegmentFile;
use crate::journal::{JournalError, Position, Reading};

/// Records are read together when no more than this lies between them.
const GAP_BYTES_MAX: u64 = 16 << 10;
/// Longest read of several records. One record of a read that is kept keeps all of it in memory.
const RUN_BYTES_MAX: u64 = 256 << 10;

/// A record that lies in its file.
#[derive(Debug)]
struct OnDisk {
    /// Which of the readings it is.
    index: usize,
    position: Position,
    file: Arc<SegmentFile>,
    physical: u64,
    frame_bytes: u32,
}

fn damaged(what: &str, at: Position) -> JournalError {
    JournalError::Damaged { what: what.to_owned(), at }
}

/// Reads each, in order of the readings.
pub(super) fn read(shared: &Shared, readings: &[Reading]) -> Vec<Result<Bytes, JournalError>> {
    let mut results: Vec<Option<Result<Bytes, JournalError>>> = readings.iter().map(|_| None).collect();
    let mut on_disk = Vec::new();
    let mut inflight: Vec<(usize, u32, u32, Arc<Batch>)> = Vec::new();
    {
        let front = shared.front.lock();
        for (index, &Reading { position, .. }) in readings.iter().enumerate() {
            let Position { segment, offset, slot } = position;
            let Some(place) = front.segment(segment).and_then(|segment| segment.live.place(slot)) else {
                results[index] = Some(Err(damaged("there is no live reference", position)));
                continue;
            };
            let frame_bytes = place.frame_bytes;
            match front.unwritten(segment, offset, frame_bytes) {
                Some(Unwritten::Gathering(bytes)) => {
                    let seed = front.segment(segment).map_or(0, |segment| segment.file.seed);
                    results[index] = Some(payload(bytes, seed, position).map(Bytes::copy_from_slice));
                }
                Some(Unwritten::Inflight(batch)) => {
                    let seed = front.segment(segment).map_or(0, |segment| segment.file.seed);
                    inflight.push((index, frame_bytes, seed, batch));
                }
                None => {
                    let Some(file) = front.file(segment) else {
                        results[index] = Some(Err(damaged("there is no file", position)));
                        continue;
                    };
                    let physical = u64::from(place.physical.unwrap_or(offset));
                    on_disk.push(OnDisk { index, position, file: Arc::clone(file), physical, frame_bytes });
                }
            }
        }
    }
    for (index, frame_bytes, seed, batch) in inflight {
        let position = readings[index].position;
        results[index] = Some(
            batch
                .at(position.segment, position.offset, frame_bytes)
                .ok_or_else(|| damaged("there is no such record", position))
                .and_then(|bytes| payload(bytes, seed, position))
                .map(Bytes::copy_from_slice),
        );
    }
    on_disk.sort_unstable_by_key(|record| (record.position.segment, record.physical));
    let mut rest = on_disk.as_slice();
    while let Some(first) = rest.first() {
        let (mut end, mut count) = (first.physical + u64::from(first.frame_bytes), 1);
        for record in &rest[1..] {
            let record_end = end.max(record.physical + u64::from(record.frame_bytes));
            let joins = Arc::ptr_eq(&record.file, &first.file)
                && record.physical <= end + GAP_BYTES_MAX
                && record_end - first.physical <= RUN_BYTES_MAX;
            if !joins {
                break;
            }
            (end, count) = (record_end, count + 1);
        }
        let (run, others) = rest.split_at(count);
        read_run(run, (end - first.physical) as usize, &mut results);
        rest = others;
    }
    results
        .into_iter()
        .zip(readings)
        .map(|(result, reading)| result.unwrap_or_else(|| Err(damaged("it was not read", reading.position))))
        .collect()
}

/// Reads neighbours in one go.
fn read_run(run: &[OnDisk], length: usize, results: &mut [Option<Result<Bytes, JournalError>>]) {
    let (first, file) = (&run[0], &run[0].file);
    let mut buffer = vec![0; length];
    let outcome = match file.file.get() {
        Some(open) => open.read_exact_at(&mut buffer, first.physical),
        None => Err(std::io::ErrorKind::NotFound.into()),
    };
    if let Err(error) = outcome {
        for record in run {
            let what = format!("reading segment {}", record.position.segment);
            // An error is not cloneable; the kind and the text are kept.
            let source = std::io::Error::new(error.kind(), error.to_string());
            results[record.index] = Some(Err(JournalError::Io { what, source }));
        }
        return;
    }
    let buffer = Bytes::from(buffer);
    for record in run {
        let from = (record.physical - first.physical) as usize;
        let frame = &buffer[from..from + record.frame_bytes as usize];
        let result = payload(frame, file.seed, record.position).map(|payload| buffer.slice_ref(payload));
        results[record.index] = Some(result);
    }
}

/// The payload of a frame, once it is sure that it is the right one.
fn payload(bytes: &[u8], seed: u32, position: Position) -> Result<&[u8], JournalError> {
    let frame = Frame::read(bytes, seed).ok_or_else(|| damaged("the checksum of the record is wrong", position))?;
    let header = frame.header;
    if header.kind != Kind::Entry || header.offset != position.offset || header.slot > position.slot {
        return Err(damaged("another record is in the place", position));
    }
    Ok(frame.tail())
}
