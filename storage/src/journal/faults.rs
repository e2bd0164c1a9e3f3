//! Faults on request, for tests of this crate and of those who build on it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// What is to go wrong. Clones share their state, so that a test keeps one and gives the other to the engine.
/// Nothing goes wrong by default.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<State>);

#[derive(Debug, Default)]
struct State {
    write_in: AtomicU64,
    sync_in: AtomicU64,
    full: AtomicBool,
}

impl Faults {
    /// The `n`-th write from now on fails (1 is the next one).
    pub fn fail_write(&self, n: u64) {
        self.0.write_in.store(n, SeqCst);
    }

    /// The `n`-th sync from now on fails (1 is the next one).
    pub fn fail_sync(&self, n: u64) {
        self.0.sync_in.store(n, SeqCst);
    }

    /// Makes the disk full, or not full any more.
    pub fn set_full(&self, full: bool) {
        self.0.full.store(full, SeqCst);
    }

    pub(crate) fn write(&self) -> io::Result<()> {
        count_down(&self.0.write_in, "write")
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        count_down(&self.0.sync_in, "sync")
    }

    pub(crate) fn full(&self) -> bool {
        self.0.full.load(SeqCst)
    }
}

fn count_down(counter: &AtomicU64, what: &str) -> io::Result<()> {
    match counter.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
        Ok(1) => Err(io::Error::other(format!("{what} fails as the test asked"))),
        _ => Ok(()),
    }
}
