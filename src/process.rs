//! What the operating system knows of this process.

use std::fs;
use std::time::Instant;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open files as far as it may be raised, and says what it is now (`None`: there is none).
///
/// Every connection is a file, and the usual soft limit is 1,024.
pub(crate) fn raise_open_files_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!("the limit of open files stays at {:?}: {error}", limit.current);
        }
    }
    open_files_max()
}

/// Memory that the process has resident, in bytes. `None` where `/proc` does not tell.
pub(crate) fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Files that the process has open. `None` where `/proc` does not tell.
pub(crate) fn open_files() -> Option<u64> {
    // The folder that is being read is open too.
    Some((fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1))
}

/// Files that the process may have open. `None` where there is no limit.
pub(crate) fn open_files_max() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// When the program started.
#[derive(Clone, Copy)]
pub(crate) struct Started(Instant);

impl Started {
    /// Now.
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }

    /// Seconds since then.
    pub(crate) fn uptime_s(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_raised_to_the_hard_one() {
        let now = raise_open_files_limit();
        assert_eq!(now, getrlimit(Resource::Nofile).maximum);
    }

    #[test]
    fn memory_and_files_are_counted() {
        let files: Vec<_> = (0..10).map(|_| fs::File::open("/proc/self/statm").unwrap()).collect();
        assert!(open_files().unwrap() > files.len() as u64);
        assert!((1 << 20..1 << 40).contains(&resident_bytes().unwrap()));
    }
}
