//! Appending, and ending segments.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::block::{self, Put};
use super::segment::{self, HEADER_BYTES, Identity, Known, Segment};
use super::{EmbeddedLog, io_error, sync_dir};
use crate::journal::is_full;
use crate::log::{LOG_RECORD_BYTES_MAX, LogError, LogRecord, TAG_BYTES_MAX};

/// Blocks are written together up to this length.
const WRITE_BYTES: usize = 1 << 20;
/// A buffer that grew beyond this is given back.
const BUFFER_BYTES_KEPT: usize = 2 << 20;

/// What appending needs to know beside the segments.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// Blocks on their way into the active segment.
    buffer: Vec<u8>,
    puts: Vec<Put>,
    /// The active segment is on stable storage up to here.
    synced: u64,
    /// Something was written, or was there when the log was opened, and has not been synced since.
    unsynced: bool,
    /// The log was synced since it was opened: until then nobody knows what of it is on stable storage.
    was_synced: bool,
    failure: Option<String>,
}

impl Writer {
    /// Whether everything that was ever appended is on stable storage.
    pub(super) fn is_synced(&self) -> bool {
        self.was_synced && !self.unsynced && self.failure.is_none()
    }

    fn check(&self) -> Result<(), LogError> {
        self.failure.as_ref().map_or(Ok(()), |failure| Err(LogError::Failed(failure.clone())))
    }

    /// Nothing is appended any more.
    fn fail(&mut self, log: &EmbeddedLog, what: String) -> LogError {
        tracing::error!(error = what, "a log has failed");
        self.failure = Some(what.clone());
        if let Some(on_fatal) = &log.options.on_fatal {
            on_fatal(&what);
        }
        LogError::Failed(what)
    }

    pub(super) fn append(&mut self, log: &EmbeddedLog, records: &[LogRecord<'_>]) -> Result<(), LogError> {
        self.check()?;
        if records.is_empty() {
            return Ok(());
        }
        if log.options.faults.full() {
            return Err(LogError::Full);
        }
        let active = log.segments.read().back().cloned();
        let mut next = active.as_ref().map_or(0, |active| active.next());
        for record in records {
            check_record(record, next)?;
            next = record.offset + 1;
        }
        let mut active = match active {
            Some(active) => active,
            None => self.begin(log, 1, 0)?,
        };
        let mut rest = records;
        let (mut end, mut last_ms) = {
            let known = active.known.read();
            (known.end, known.last_timestamp_ms)
        };
        while !rest.is_empty() {
            let block = block::first_block(rest);
            if end > HEADER_BYTES && end + block::block_bytes_max(block) > log.segment_bytes {
                self.write(log, &active)?;
                let (number, base) = (active.identity.number + 1, active.next());
                self.end_segment(log, &active)?;
                active = self.begin(log, number, base)?;
                end = HEADER_BYTES;
            }
            let put = block::put(&mut self.buffer, block, active.seed, end, self.synced, last_ms);
            end += put.header.block_bytes() as u64;
            last_ms = put.last_timestamp_ms;
            self.puts.push(put);
            rest = &rest[block.len()..];
            if self.buffer.len() >= WRITE_BYTES {
                self.write(log, &active)?;
            }
        }
        self.write(log, &active)
    }

    /// Writes the blocks that were put together. Where that fails for want of space, they are forgotten, and what was there
    /// before goes on.
    fn write(&mut self, log: &EmbeddedLog, active: &Segment) -> Result<(), LogError> {
        let Some(first) = self.puts.first() else { return Ok(()) };
        let position = first.header.position;
        let written = log.options.faults.write().and_then(|()| active.file.write_all_at(&self.buffer, position));
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        self.unsynced = true;
        match written {
            Ok(()) => {
                let mut known = active.known.write();
                self.puts.drain(..).for_each(|put| known.push(&put));
                Ok(())
            }
            Err(error) => {
                self.puts.clear();
                if is_full(&error) {
                    return Err(LogError::Full);
                }
                let path = segment::segment_path(&log.dir, active.identity.number);
                Err(self.fail(log, format!("writing {}: {error}", path.display())))
            }
        }
    }

    pub(super) fn sync(&mut self, log: &EmbeddedLog) -> Result<(), LogError> {
        self.check()?;
        if self.was_synced && !self.unsynced {
            return Ok(());
        }
        let active = log.segments.read().back().cloned();
        if let Some(active) = active {
            self.sync_segment(log, &active)?;
        }
        self.was_synced = true;
        Ok(())
    }

    fn sync_segment(&mut self, log: &EmbeddedLog, active: &Segment) -> Result<(), LogError> {
        let synced = log.options.faults.sync().and_then(|()| active.file.sync_data());
        if let Err(error) = synced {
            let path = segment::segment_path(&log.dir, active.identity.number);
            return Err(self.fail(log, format!("syncing {}: {error}", path.display())));
        }
        self.synced = active.known.read().end;
        self.unsynced = false;
        Ok(())
    }

    /// Makes a segment whole: it is on stable storage, and nothing follows its last block, before the next one is there. So
    /// only the last segment can have a torn tail.
    fn end_segment(&mut self, log: &EmbeddedLog, active: &Segment) -> Result<(), LogError> {
        let known = active.known.read().clone();
        let path = segment::segment_path(&log.dir, active.identity.number);
        active.file.set_len(known.end).map_err(io_error(&path))?;
        self.sync_segment(log, active)?;
        if let Err(error) = known.save(&log.dir, &active.identity) {
            // It only saves time.
            tracing::debug!(%error, path = %path.display(), "the index of a segment was not written");
        }
        Ok(())
    }

    /// Makes the next segment.
    fn begin(&mut self, log: &EmbeddedLog, number: u64, base: u64) -> Result<Arc<Segment>, LogError> {
        let identity = Identity::new(number, base);
        let path = segment::segment_path(&log.dir, number);
        let make = || {
            log.options.faults.write()?;
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
            file.write_all_at(&identity.encode(), 0)?;
            sync_dir(&log.dir)?;
            io::Result::Ok(file)
        };
        let file = match make() {
            Ok(file) => file,
            Err(error) if is_full(&error) => return Err(LogError::Full),
            Err(error) => return Err(self.fail(log, format!("making {}: {error}", path.display()))),
        };
        let segment = Arc::new(Segment::new(identity, file, Known::empty()));
        log.segments.write().push_back(Arc::clone(&segment));
        self.synced = 0;
        self.unsynced = true;
        Ok(segment)
    }
}

fn check_record(record: &LogRecord<'_>, next: u64) -> Result<(), LogError> {
    let too_large = |bytes: u64, limit: u64| Err(LogError::TooLarge { bytes, limit });
    if record.offset < next || record.offset == u64::MAX {
        return Err(LogError::OutOfOrder { offset: record.offset, next });
    }
    let payload_bytes = block::payload_bytes(record);
    if payload_bytes > LOG_RECORD_BYTES_MAX {
        return too_large(payload_bytes, LOG_RECORD_BYTES_MAX);
    }
    match record.tag {
        Some(tag) if tag.len() > TAG_BYTES_MAX => too_large(tag.len() as u64, TAG_BYTES_MAX as u64),
        _ => Ok(()),
    }
}
