//! Message move tasks of a virtual host.

use std::sync::Arc;

use super::{Pending, VirtualHost};
use crate::moves::{MoveTask, Moves, NotMoved};

impl VirtualHost {
    /// Starts to move everything that waits in a queue now to another one, or each message to the queue that it came from as a
    /// dead letter. So many a second at most, where that is said. What a message says of its deaths is taken away. The task, and
    /// what to wait for until it is on stable storage: from then on a restart does not end it.
    ///
    /// # Errors
    /// There is no such queue, or messages cannot be moved there; one task runs for the source already; too many run.
    pub fn start_move(
        self: &Arc<Self>,
        source: &str,
        destination: Option<&str>,
        rate_per_s: Option<u32>,
    ) -> Result<(MoveTask, Pending), NotMoved> {
        self.moves.start(self, source, destination, rate_per_s)
    }

    /// The tasks for a source, the one that was started last first. Of those that are over, the last few are remembered.
    pub fn moves(&self, source: &str) -> Vec<MoveTask> {
        self.moves.of(source)
    }

    /// Has a task move no more messages. The task as it is now, and what to wait for until that is on stable storage.
    ///
    /// # Errors
    /// It is not running.
    pub fn cancel_move(&self, id: u64) -> Result<(MoveTask, Pending), NotMoved> {
        self.moves.cancel(self, id)
    }

    pub(crate) fn moves_list(&self) -> &Moves {
        &self.moves
    }

    /// Puts back the tasks that were found at recovery, after the queues.
    pub(crate) fn restore_moves(&self, rows: Vec<(MoveTask, u64)>) {
        let gone = self.moves.restore(self, rows);
        // Where this does not get to the disk, they are found and forgotten again.
        drop(self.commit(gone));
    }
}
