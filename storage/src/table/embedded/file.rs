//! The file below the database. It takes its blocks when it grows, so that a disk that fills up refuses the growth and not
//! some write in the middle of a commit; and where nothing can be written at all it keeps what is written in memory, so that
//! a database can be read on a full disk although opening it means writing to it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use parking_lot::Mutex;
use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};
use rustix::fs::FallocateFlags;

use crate::journal::{Faults, is_full};

const BLOCK_BYTES: u64 = 4096;

/// What is known of the file, whatever becomes of the database on it.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// A sync failed: nobody knows what is on the disk, and the system may say otherwise from now on.
    pub(super) sync_failed: AtomicBool,
    /// Bytes that were missing when the disk was last found full.
    pub(super) wanted_bytes: AtomicU64,
}

/// What is written goes here instead of the file.
#[derive(Debug)]
struct Overlay {
    blocks: BTreeMap<u64, Box<[u8; BLOCK_BYTES as usize]>>,
    /// Length that the database believes the file to have.
    length: u64,
    /// Bytes of the file, from its begin, that are still part of it.
    on_file: u64,
}

/// A file, with or without an overlay.
#[derive(Debug)]
pub(super) struct TableFile {
    file: FileBackend,
    raw: File,
    overlay: Option<Mutex<Overlay>>,
    health: Arc<Health>,
    faults: Faults,
}

impl TableFile {
    /// Over an open file. In memory, nothing reaches it.
    pub(super) fn new(raw: File, in_memory: bool, health: Arc<Health>, faults: Faults) -> Result<Self, redb::Error> {
        let file = FileBackend::new(raw.try_clone()?)?;
        let length = raw.metadata()?.len();
        let overlay = in_memory.then(|| Mutex::new(Overlay { blocks: BTreeMap::new(), length, on_file: length }));
        Ok(TableFile { file, raw, overlay, health, faults })
    }

    fn full(&self) -> io::Result<()> {
        if self.faults.full() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    /// Remembers how much was missing.
    fn note(&self, bytes: u64, outcome: io::Result<()>) -> io::Result<()> {
        outcome.inspect_err(|error| {
            if is_full(error) {
                self.health.wanted_bytes.store(bytes, SeqCst);
            }
        })
    }

    fn grow(&self, from: u64, to: u64) -> io::Result<()> {
        self.full()?;
        match rustix::fs::fallocate(&self.raw, FallocateFlags::empty(), 0, to) {
            Err(rustix::io::Errno::OPNOTSUPP) => self.file.set_len(to),
            // Some file systems keep what they could reserve.
            Err(error) => self.file.set_len(from).and(Err(error.into())),
            Ok(()) => Ok(()),
        }
    }
}

impl Overlay {
    fn block(&self, file: &FileBackend, at: u64) -> io::Result<Box<[u8; BLOCK_BYTES as usize]>> {
        if let Some(block) = self.blocks.get(&at) {
            return Ok(block.clone());
        }
        let mut block = Box::new([0; BLOCK_BYTES as usize]);
        let begin = at * BLOCK_BYTES;
        let length = self.on_file.saturating_sub(begin).min(BLOCK_BYTES) as usize;
        file.read(begin, &mut block[..length])?;
        Ok(block)
    }

    /// Visits the blocks of a range: number, where the part begins in the block and in the range, and the length of the part.
    fn each(
        offset: u64,
        length: usize,
        visit: &mut dyn FnMut(u64, usize, usize, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut done = 0;
        while done < length {
            let at = offset + done as u64;
            let inside = (at % BLOCK_BYTES) as usize;
            let part = (BLOCK_BYTES as usize - inside).min(length - done);
            visit(at / BLOCK_BYTES, inside, done, part)?;
            done += part;
        }
        Ok(())
    }

    fn read(&self, file: &FileBackend, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Overlay::each(offset, out.len(), &mut |at, inside, from, length| {
            out[from..from + length].copy_from_slice(&self.block(file, at)?[inside..inside + length]);
            Ok(())
        })
    }

    fn write(&mut self, file: &FileBackend, offset: u64, data: &[u8]) -> io::Result<()> {
        self.length = self.length.max(offset + data.len() as u64);
        Overlay::each(offset, data.len(), &mut |at, inside, from, length| {
            let mut block = self.block(file, at)?;
            block[inside..inside + length].copy_from_slice(&data[from..from + length]);
            self.blocks.insert(at, block);
            Ok(())
        })
    }

    fn set_len(&mut self, length: u64) {
        self.blocks.retain(|at, _| at * BLOCK_BYTES < length);
        if let Some(block) = self.blocks.get_mut(&(length / BLOCK_BYTES)) {
            block[(length % BLOCK_BYTES) as usize..].fill(0);
        }
        self.on_file = self.on_file.min(length);
        self.length = length;
    }
}

impl StorageBackend for TableFile {
    fn len(&self) -> io::Result<u64> {
        match &self.overlay {
            Some(overlay) => Ok(overlay.lock().length),
            None => self.file.len(),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match &self.overlay {
            Some(overlay) => overlay.lock().read(&self.file, offset, out),
            None => self.file.read(offset, out),
        }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        if let Some(overlay) = &self.overlay {
            overlay.lock().set_len(length);
            return Ok(());
        }
        let now = self.file.len()?;
        if length <= now {
            return self.file.set_len(length);
        }
        self.note(length - now, self.grow(now, length))
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.overlay.is_some() {
            return Ok(());
        }
        self.faults.sync().and_then(|()| self.file.sync_data()).inspect_err(|_| {
            self.health.sync_failed.store(true, SeqCst);
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if let Some(overlay) = &self.overlay {
            return overlay.lock().write(&self.file, offset, data);
        }
        let outcome = self.full().and_then(|()| self.faults.write()).and_then(|()| self.file.write(offset, data));
        self.note(data.len() as u64, outcome)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
