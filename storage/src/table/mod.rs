//! Tables: keyed values in named spaces, changed atomically, durable when the change says so.

mod embedded;
mod memory;
#[cfg(test)]
mod tests;

pub use self::embedded::EmbeddedTable;
pub use self::memory::MemoryTable;

/// One change of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets a key.
    Put {
        /// The space: a short, fixed name such as `queues`.
        space: &'static str,
        /// The key.
        key: Vec<u8>,
        /// Its new value.
        value: Vec<u8>,
    },
    /// Removes a key; nothing happens where it is not there.
    Delete {
        /// The space.
        space: &'static str,
        /// The key.
        key: Vec<u8>,
    },
}

/// Why a table did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TableError {
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// Anything else that the database reports.
    #[error("table: {0}")]
    Failed(String),
}

/// Called once with the outcome of a commit, from the table's own thread.
pub type Done = Box<dyn FnOnce(Result<(), TableError>) + Send>;

/// A row of [`Table::scan`]: key and value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Keyed values that survive.
pub trait Table: Send + Sync {
    /// Reads one value.
    fn get(&self, space: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, TableError>;

    /// Reads every row of a space whose key starts with `prefix`, in the order of the keys.
    fn scan(&self, space: &'static str, prefix: &[u8]) -> Result<Vec<Row>, TableError>;

    /// Applies all changes or none. Returns at once; `done` is called when they are on stable storage. Commits that arrive
    /// while one is being synced share the next sync; their order is the order of the calls.
    fn commit(&self, changes: Vec<Change>, done: Done);

    /// Waits for the commits under way and closes. Blocks.
    fn close(&self) -> Result<(), TableError>;
}
