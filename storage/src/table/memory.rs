//! A table in memory, for tests, that fails on request.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::{Change, Done, Row, Table, TableError};

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<(&'static str, Vec<u8>), Vec<u8>>,
    /// Which commit from now on fails, and how.
    failing: Option<(u64, TableError)>,
    closed: bool,
}

/// Keyed values that survive as long as the process. A commit is done when the call returns.
#[derive(Debug, Default)]
pub struct MemoryTable(Mutex<State>);

impl MemoryTable {
    /// An empty one.
    pub fn new() -> MemoryTable {
        MemoryTable::default()
    }

    /// The `n`-th commit from now on fails (1 is the next one).
    pub fn fail_commit(&self, n: u64, error: TableError) {
        self.0.lock().failing = Some((n, error));
    }

    /// What a process would find that starts again.
    pub fn reopen(&self) -> MemoryTable {
        let rows = self.0.lock().rows.clone();
        MemoryTable(Mutex::new(State { rows, ..State::default() }))
    }

    fn apply(&self, changes: Vec<Change>) -> Result<(), TableError> {
        let mut state = self.0.lock();
        if state.closed {
            return Err(TableError::Failed("it is closed".to_owned()));
        }
        if let Some((left, error)) = state.failing.take() {
            if left <= 1 {
                return Err(error);
            }
            state.failing = Some((left - 1, error));
        }
        for change in changes {
            match change {
                Change::Put { space, key, value } => drop(state.rows.insert((space, key), value)),
                Change::Delete { space, key } => drop(state.rows.remove(&(space, key))),
            }
        }
        Ok(())
    }
}

impl Table for MemoryTable {
    fn get(&self, space: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        Ok(self.0.lock().rows.get(&(space, key.to_vec())).cloned())
    }

    fn scan(&self, space: &'static str, prefix: &[u8]) -> Result<Vec<Row>, TableError> {
        let state = self.0.lock();
        let from = (space, prefix.to_vec());
        let rows = state.rows.range(from..).take_while(|((of, key), _)| *of == space && key.starts_with(prefix));
        Ok(rows.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    fn commit(&self, changes: Vec<Change>, done: Done) {
        // The lock is gone before anybody is told: they may commit again.
        let outcome = self.apply(changes);
        done(outcome);
    }

    fn close(&self) -> Result<(), TableError> {
        self.0.lock().closed = true;
        Ok(())
    }
}
