//! The database, closed and opened again when it asks for it: after a failed write it refuses everything until then.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use parking_lot::RwLock;
use redb::Database;

use super::file::{Health, TableFile};
use crate::journal::{Faults, free_bytes, is_full};
use crate::table::TableError;

/// Nobody but the owner reads and writes it.
#[cfg(unix)]
const OWNERS_MODE: u32 = 0o600;

/// How often work is begun again on a database that was opened again.
const ATTEMPTS_MAX: usize = 3;

/// The database as it was last opened.
#[derive(Debug)]
struct Opened {
    /// `None` when it could not be opened again; the next one who needs it tries.
    database: Option<Database>,
    /// Why it could be opened for reading only: then what it writes itself stays in memory, and nothing is committed.
    refusing: Option<TableError>,
    /// Counts the openings.
    generation: u64,
}

/// A database that outlives its handles.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    health: Arc<Health>,
    faults: Faults,
    opened: RwLock<Opened>,
}

fn failed(error: redb::Error) -> TableError {
    match error {
        redb::Error::Io(error) if is_full(&error) => TableError::Full,
        error => TableError::Failed(error.to_string()),
    }
}

/// Whether the database will do nothing more before it is opened again.
fn is_latched(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::DatabaseClosed)
}

impl Store {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path, faults: Faults) -> Result<Store, TableError> {
        let store = Store {
            path: path.to_owned(),
            health: Arc::default(),
            faults,
            opened: RwLock::new(Opened { database: None, refusing: None, generation: 0 }),
        };
        store.reopen(0)?;
        Ok(store)
    }

    /// Reads, on a database that was opened again where the one before refuses.
    pub(super) fn read<T>(&self, work: impl Fn(&Database) -> Result<T, redb::Error>) -> Result<T, TableError> {
        self.with(false, work)
    }

    /// Writes. When it fails, nothing of it is visible afterwards: the handle that might still know of it is gone before
    /// this returns.
    pub(super) fn write(&self, work: impl Fn(&Database) -> Result<(), redb::Error>) -> Result<(), TableError> {
        let (refusing, generation) = {
            let opened = self.opened.read();
            (opened.refusing.clone(), opened.generation)
        };
        if let Some(cause) = refusing {
            // Opening it costs reading all of it where it has to be repaired, so it is not done without hope.
            let dir = self.path.parent().unwrap_or(Path::new("."));
            let wanted_bytes = self.health.wanted_bytes.load(SeqCst);
            if matches!(cause, TableError::Full) && free_bytes(dir).is_ok_and(|free| free < wanted_bytes) {
                return Err(cause);
            }
            self.reopen(generation)?;
        }
        self.with(true, work)
    }

    fn with<T>(&self, to_write: bool, work: impl Fn(&Database) -> Result<T, redb::Error>) -> Result<T, TableError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (error, generation) = {
                // Held while the work goes on: nobody closes the database under it.
                let opened = self.opened.read();
                if to_write && let Some(cause) = &opened.refusing {
                    return Err(cause.clone());
                }
                let outcome = opened.database.as_ref().map_or(Err(redb::Error::PreviousIo), &work);
                match outcome {
                    Ok(value) => return Ok(value),
                    Err(error) => (error, opened.generation),
                }
            };
            if !is_latched(&error) {
                return Err(failed(error));
            }
            let reopened = self.reopen(generation);
            // What failed first is told; what failed because of it is done again.
            if !matches!(error, redb::Error::PreviousIo | redb::Error::DatabaseClosed) {
                return Err(failed(error));
            }
            reopened?;
            if attempts == ATTEMPTS_MAX {
                return Err(failed(error));
            }
        }
    }

    /// Closes the database and opens it again, unless somebody else has done so meanwhile. Waits for those who read.
    fn reopen(&self, generation: u64) -> Result<(), TableError> {
        let mut opened = self.opened.write();
        if opened.generation != generation {
            return Ok(());
        }
        if self.health.sync_failed.load(SeqCst) {
            // What the system would read back now need not be on the disk.
            let what = "a sync failed, nothing more is written until the next start";
            return Err(TableError::Failed(format!("{}: {what}", self.path.display())));
        }
        drop(opened.database.take());
        opened.refusing = None;
        let database = match self.open_database(false) {
            // What was there can still be read. A file that cannot be written to from the start is another matter.
            Err(redb::Error::Io(error)) if is_full(&error) || generation > 0 => {
                tracing::warn!(path = %self.path.display(), %error, "the table can be read and not be changed");
                opened.refusing = Some(failed(redb::Error::Io(error)));
                self.open_database(true)
            }
            other => other,
        };
        let named = |error: redb::Error| TableError::Failed(format!("{}: {error}", self.path.display()));
        opened.database = Some(database.map_err(named)?);
        opened.generation += 1;
        if opened.refusing.is_none() && generation > 0 {
            tracing::debug!(path = %self.path.display(), "the table was opened again");
        }
        Ok(())
    }

    /// Secrets of users are in the file, and an older program made it as any other.
    #[cfg(unix)]
    fn keep_private(&self, file: &File) {
        use std::os::unix::fs::PermissionsExt;
        let others = |mode: u32| mode & 0o777 & !OWNERS_MODE != 0;
        let kept = file.metadata().and_then(|found| match others(found.permissions().mode()) {
            true => file.set_permissions(std::fs::Permissions::from_mode(OWNERS_MODE)),
            false => Ok(()),
        });
        if let Err(error) = kept {
            tracing::warn!(path = %self.path.display(), %error, "others may read the secrets in this file");
        }
    }

    #[cfg(not(unix))]
    fn keep_private(&self, _: &File) {}

    fn open_database(&self, in_memory: bool) -> Result<Database, redb::Error> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, OWNERS_MODE);
        let file = options.open(&self.path)?;
        self.keep_private(&file);
        let file = TableFile::new(file, in_memory, Arc::clone(&self.health), self.faults.clone())?;
        Ok(Database::builder().create_with_backend(file)?)
    }
}
