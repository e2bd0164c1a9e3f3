//! Files for segments: spare ones are kept ready, written full of zeroes or with records of former times, because a sync of
//! blocks that were written before costs a third of one that has to grow a file.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

/// Freed segments beyond this number are removed.
pub(super) const SPARES_MAX: usize = 4;
/// Appends are refused where there are fewer and no space for more: one for the records, and one for the settlements that make
/// space again.
pub(super) const SPARES_LEAST: usize = 2;
static ZEROES: [u8; 256 << 10] = [0; 256 << 10];
/// Zeroes are synced every so many bytes, so that they never make a sync of the journal wait for long.
const GENTLE_BYTES: u64 = 4 << 20;

/// Files that wait for a segment, all of the length that segments have.
#[derive(Debug, Default)]
pub(super) struct Spares {
    files: VecDeque<PathBuf>,
    named: u64,
}

/// Whether the operating system says that there is no space.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Bytes that may still be written to the file system of a folder.
pub(crate) fn free_bytes(dir: &Path) -> io::Result<u64> {
    let space = rustix::fs::statvfs(dir)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

/// Reserves the blocks of a file. File systems that cannot do it are left alone.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(bytes),
        other => other.map_err(io::Error::from),
    }
}

impl Spares {
    /// Takes over spare files from before, where they have the right length.
    pub(super) fn adopt(&mut self, path: PathBuf, segment_bytes: u64) -> io::Result<()> {
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.strip_prefix("spare-"));
        self.named = self.named.max(number.and_then(|number| number.parse().ok()).unwrap_or(0));
        if self.files.len() < SPARES_MAX && fs::metadata(&path)?.len() == segment_bytes {
            self.files.push_back(path);
            Ok(())
        } else {
            fs::remove_file(path)
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.files.len()
    }

    /// A name that no spare has.
    pub(super) fn name(&mut self, dir: &Path) -> PathBuf {
        self.named += 1;
        dir.join(format!("spare-{:08}.seg", self.named))
    }

    /// Adds a file that lies under a name from [`Spares::name`].
    pub(super) fn put(&mut self, path: PathBuf) {
        self.files.push_back(path);
    }

    /// Takes the oldest one.
    pub(super) fn take(&mut self) -> Option<PathBuf> {
        self.files.pop_front()
    }
}

/// Makes a file of zeroes that are on the disk, gently. On failure nothing is left behind.
pub(super) fn make_spare(path: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let fill = || {
        reserve(&file, bytes)?;
        let mut at = 0;
        while at < bytes {
            let length = (bytes - at).min(ZEROES.len() as u64);
            file.write_all_at(&ZEROES[..length as usize], at)?;
            at += length;
            if at.is_multiple_of(GENTLE_BYTES) {
                file.sync_data()?;
            }
        }
        file.sync_all()
    };
    fill().inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}

/// Opens a file for a segment: the spare given, renamed, or a new one whose blocks are reserved.
pub(super) fn open_segment(path: &Path, bytes: u64, spare: Option<&Path>) -> io::Result<File> {
    if let Some(spare) = spare {
        fs::rename(spare, path)?;
        return OpenOptions::new().read(true).write(true).open(path);
    }
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    reserve(&file, bytes).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })?;
    Ok(file)
}
