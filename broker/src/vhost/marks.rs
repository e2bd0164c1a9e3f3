//! Sets of marks by their names.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Pending, VirtualHost, rows};
use crate::error::Error;
use crate::marks::Marks;

impl VirtualHost {
    /// The durable set of numbers of this name, made where there is none; see [`Marks`]. What is put in is safe only if the set
    /// itself is on stable storage, which is what there may be to wait for. Nothing is written where it is there.
    ///
    /// # Errors
    /// Its row cannot be written as text.
    pub fn marks(&self, name: &str) -> Result<(Arc<Marks>, Pending), Error> {
        let mut all = self.marks.lock();
        let marks = match all.get(name) {
            Some(marks) if marks.row_is_durable() => return Ok((Arc::clone(marks), Pending::nothing())),
            // Written again: whoever made it may still be waiting for the disk, or have found it full.
            Some(marks) => Arc::clone(marks),
            None => Marks::new(Arc::clone(&self.shared), self.shared.next_lane()),
        };
        let row = rows::put_marks(&self.name, name, marks.lane())?;
        all.insert(Arc::from(name), Arc::clone(&marks));
        let (sender, receiver) = oneshot::channel();
        let committed = Arc::clone(&marks);
        // Under the lock, so that rows are written in the order in which sets are made and deleted.
        self.shared.table.commit(
            vec![row],
            Box::new(move |result| {
                if result.is_ok() {
                    committed.set_row_durable();
                }
                // Whoever asked may have gone.
                let _ = sender.send(result);
            }),
        );
        Ok((marks, Pending::waiting(receiver)))
    }

    /// Deletes a set with everything in it. Whoever still has it goes on in memory. That there is none is no error.
    pub fn delete_marks(&self, name: &str) -> Pending {
        let mut all = self.marks.lock();
        let Some(marks) = all.remove(name) else { return Pending::nothing() };
        let committed = self.commit(vec![rows::delete_marks(&self.name, name)]);
        drop(all);
        marks.delete();
        committed
    }

    /// The names of all sets, in no order: to find those that belong to nothing any more.
    pub fn marks_names(&self) -> Vec<Arc<str>> {
        self.marks.lock().keys().cloned().collect()
    }

    pub(crate) fn restore_marks(&self, name: &str, lane: u64) -> Arc<Marks> {
        let marks = Marks::new(Arc::clone(&self.shared), lane);
        self.marks.lock().insert(Arc::from(name), Arc::clone(&marks));
        marks
    }
}
