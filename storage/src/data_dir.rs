//! The folder that one process works in.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Version of the folder's layout.
const FORMAT: &str = "gantry data 1\n";

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process works in it.
    #[error("the data folder {0} is in use by another process")]
    InUse(PathBuf),
    /// It was written by another version.
    #[error("the data folder {dir} has format {found:?}, this program reads {FORMAT:?}")]
    Format {
        /// The folder.
        dir: PathBuf,
        /// What its format file says, shortened.
        found: String,
    },
    /// The operating system refused.
    #[error("the data folder {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A folder that this process alone works in, until this is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The lock goes with it.
    lock: File,
}

impl DataDir {
    /// Makes the folder where it is missing, for the user of this process only, since there are secrets in it; locks it, and checks its format version.
    ///
    /// # Errors
    /// All name the folder; see [`DataDirError`].
    pub fn lock(dir: &Path) -> Result<DataDir, DataDirError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DataDirError::Io { path, source }
        };
        create(dir).map_err(failed(dir))?;
        let lock_path = dir.join("lock");
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).open(&lock_path).map_err(failed(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataDirError::InUse(dir.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed(&lock_path)(source)),
        }
        let format_path = dir.join("format");
        match fs::read(&format_path) {
            Ok(found) if found == FORMAT.as_bytes() => {}
            Ok(found) => {
                let found = String::from_utf8_lossy(&found[..found.len().min(64)]).into_owned();
                return Err(DataDirError::Format { dir: dir.to_owned(), found });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write_format(dir, &format_path).map_err(failed(&format_path))?;
            }
            Err(error) => return Err(failed(&format_path)(error)),
        }
        Ok(DataDir { path: dir.to_owned(), lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the journal is.
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    /// Where the logs are.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// Where the tables are.
    pub fn tables(&self) -> PathBuf {
        self.path.join("tables.redb")
    }
}

/// A crash leaves the whole file or none.
impl Drop for DataDir {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process has it open, too, from its fork until it runs its program. Where this
        // fails, the lock goes when the last of them has closed it.
        let _ = self.lock.unlock();
    }
}

/// Folders above it are made as any others; one that is there stays as it is.
fn create(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(dir) {
        // Somebody else was quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        made => made,
    }
}

fn write_format(dir: &Path, path: &Path) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(FORMAT.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_names_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/on/demand");
        let first = DataDir::lock(&path).unwrap();
        let error = DataDir::lock(&path).unwrap_err();
        assert!(matches!(error, DataDirError::InUse(_)), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        drop(first);
        DataDir::lock(&path).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_is_made_is_nobody_elses_and_one_that_is_there_stays_as_it_is() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (above, made) = (dir.path().join("above"), dir.path().join("above/made"));
        drop(DataDir::lock(&made).unwrap());
        assert_eq!(mode(&made), 0o700);
        assert_ne!(mode(&above), 0o700, "folders above it are as the umask has them");
        fs::set_permissions(&made, fs::Permissions::from_mode(0o750)).unwrap();
        drop(DataDir::lock(&made).unwrap());
        assert_eq!(mode(&made), 0o750);
    }

    #[test]
    fn another_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(DataDir::lock(dir.path()).unwrap());
        fs::write(dir.path().join("format"), "gantry data 99\n").unwrap();
        let error = DataDir::lock(dir.path()).unwrap_err();
        assert!(error.to_string().contains("99"), "{error}");
    }
}
