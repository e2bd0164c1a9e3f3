//! Tables in a redb database, with a thread that commits.

mod file;
mod store;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, TableDefinition};

use self::store::Store;
use super::{Change, Done, Row, Table, TableError};
use crate::journal::Faults;

/// More changes than this are not gathered into one transaction: the first of many should not wait for the last.
const SHARED_CHANGES_MAX: usize = 4096;

type Commit = (Vec<Change>, Done);

fn definition(space: &'static str) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(space)
}

/// Keyed values in one file.
///
/// A commit for which the disk has no space gives [`TableError::Full`] and is not visible afterwards; reading goes on, and a
/// later commit is taken as soon as there is space. A failed sync is different: nothing is taken until the next start.
#[derive(Debug)]
pub struct EmbeddedTable {
    store: Arc<Store>,
    commits: Mutex<Option<Sender<Commit>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl EmbeddedTable {
    /// Opens the file, or makes it. A file that was not closed is repaired. On a full disk it can be read, and commits give
    /// [`TableError::Full`] until there is space.
    ///
    /// # Errors
    /// [`TableError::Failed`] names the file.
    pub fn open(path: &Path) -> Result<EmbeddedTable, TableError> {
        EmbeddedTable::open_with(path, Faults::default())
    }

    /// The same, with what is to go wrong. A full disk refuses every write, as one does that never writes in place.
    ///
    /// # Errors
    /// As [`EmbeddedTable::open`].
    pub fn open_with(path: &Path, faults: Faults) -> Result<EmbeddedTable, TableError> {
        let named = |error: &dyn std::fmt::Display| TableError::Failed(format!("{}: {error}", path.display()));
        let store = Arc::new(Store::open(path, faults)?);
        let (commits, waiting) = mpsc::channel();
        let for_thread = Arc::clone(&store);
        let thread = std::thread::Builder::new()
            .name("table".to_owned())
            .spawn(move || run(&for_thread, &waiting))
            .map_err(|error| named(&error))?;
        Ok(EmbeddedTable { store, commits: Mutex::new(Some(commits)), thread: Mutex::new(Some(thread)) })
    }
}

/// Commits what waits, together, until nobody can send any more.
fn run(store: &Store, waiting: &Receiver<Commit>) {
    while let Ok((mut changes, done)) = waiting.recv() {
        let mut dones = vec![done];
        while changes.len() < SHARED_CHANGES_MAX
            && let Ok((more, done)) = waiting.try_recv()
        {
            changes.extend(more);
            dones.push(done);
        }
        let outcome = store.write(|database| apply(database, &changes));
        for done in dones {
            done(outcome.clone());
        }
    }
}

fn apply(database: &Database, changes: &[Change]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    for change in changes {
        match change {
            Change::Put { space, key, value } => {
                let mut table = transaction.open_table(definition(space))?;
                table.insert(key.as_slice(), value.as_slice())?;
            }
            Change::Delete { space, key } => {
                let mut table = transaction.open_table(definition(space))?;
                table.remove(key.as_slice())?;
            }
        }
    }
    Ok(transaction.commit()?)
}

impl Table for EmbeddedTable {
    fn get(&self, space: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        self.store.read(|database| {
            let transaction = database.begin_read()?;
            let table = match transaction.open_table(definition(space)) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                other => other?,
            };
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        })
    }

    fn scan(&self, space: &'static str, prefix: &[u8]) -> Result<Vec<Row>, TableError> {
        self.store.read(|database| {
            let transaction = database.begin_read()?;
            let table = match transaction.open_table(definition(space)) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                other => other?,
            };
            let mut rows = Vec::new();
            for row in table.range(prefix..)? {
                let (key, value) = row?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                rows.push((key.value().to_vec(), value.value().to_vec()));
            }
            Ok(rows)
        })
    }

    fn commit(&self, changes: Vec<Change>, done: Done) {
        let commits = self.commits.lock();
        let refused = match commits.as_ref() {
            Some(commits) => commits.send((changes, done)).map_err(|refused| refused.0.1).err(),
            None => Some(done),
        };
        drop(commits);
        if let Some(done) = refused {
            done(Err(TableError::Failed("it is closed".to_owned())));
        }
    }

    fn close(&self) -> Result<(), TableError> {
        drop(self.commits.lock().take());
        let thread = self.thread.lock().take();
        match thread.map(JoinHandle::join) {
            Some(Err(_)) => Err(TableError::Failed("its thread panicked".to_owned())),
            _ => Ok(()),
        }
    }
}

impl Drop for EmbeddedTable {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the table was not closed in order");
        }
    }
}
