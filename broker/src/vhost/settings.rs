//! Queues that have settings: declaring them, and changing what is set.

use std::sync::Arc;

use super::{Pending, Topology, VirtualHost, rows};
use crate::error::{Differing, Error};
use crate::queue::{Queue, QueueOptions, QueueSettings, resource};

impl VirtualHost {
    /// Declares a queue with settings, and says whether it is new; of several callers at once one is told so. A queue that is
    /// there is given back as it is, whatever its options and settings: the caller compares. What is to be waited for until it
    /// is on stable storage; until then the queue is not seen otherwise.
    ///
    /// # Errors
    /// It belongs to another connection; its name is reserved; an argument is invalid.
    pub fn declare_with(
        self: &Arc<Self>,
        name: &str,
        options: QueueOptions,
        settings: QueueSettings,
        connection: u64,
    ) -> Result<(Arc<Queue>, bool, Pending), Error> {
        let mut topology = self.topology.write();
        if let Some((queue, pending)) = self.find_existing(&topology, name, connection)? {
            return Ok((queue, false, pending));
        }
        let name = self.checked_name(name)?;
        let (queue, pending) = self.make_queue(&mut topology, name, options, settings, connection)?;
        Ok((queue, true, pending))
    }

    /// Sets other settings on a queue. They hold at once, as rules of a policy do; what is to be waited for until they are on
    /// stable storage.
    ///
    /// # Errors
    /// The queue was deleted; an ordered queue would become one that is not, or the other way round.
    pub fn set_settings(&self, queue: &Arc<Queue>, settings: QueueSettings) -> Result<Pending, Error> {
        let topology = self.topology.write();
        let of_queue = || resource(queue.name(), queue.vhost());
        let declaring = topology.declaring.get(queue.name()).map(|declaring| &declaring.queue);
        let current = declaring.or_else(|| topology.queues.get(queue.name()));
        if !current.is_some_and(|current| Arc::ptr_eq(current, queue)) {
            return Err(Error::NotFound(of_queue()));
        }
        let (is_ordered, was_ordered) = (settings.ordered.is_some(), queue.settings().ordered.is_some());
        if is_ordered != was_ordered {
            let differing = Differing::Flag { received: is_ordered, current: was_ordered };
            let property = "ordered".to_owned();
            return Err(Error::Differs { resource: of_queue(), property, differing: Box::new(differing) });
        }
        let redrives = settings.redrive != queue.settings().redrive;
        queue.set_settings(settings)?;
        if redrives {
            // Messages may wait for a queue to go to.
            self.changed();
        } else {
            self.tell_change();
        }
        if !queue.survives() {
            return Ok(Pending::nothing());
        }
        // Under the lock, so that rows are written in the order of changes.
        Ok(self.commit(vec![rows::put_queue(queue)?]))
    }

    /// The queues whose redrive names this one, in the order of their names.
    pub fn redrive_sources(&self, queue: &str) -> Vec<Arc<Queue>> {
        let names = |source: &&Arc<Queue>| source.settings().redrive.as_ref().is_some_and(|to| *to.queue == *queue);
        let mut sources: Vec<_> = self.topology.read().queues.values().filter(names).cloned().collect();
        sources.sort_unstable_by(|one, other| one.name().cmp(other.name()));
        sources
    }
}

impl VirtualHost {
    fn find_existing(
        &self,
        topology: &Topology,
        name: &str,
        connection: u64,
    ) -> Result<Option<(Arc<Queue>, Pending)>, Error> {
        if let Some(declaring) = topology.declaring.get(name) {
            return Ok(Some((Arc::clone(&declaring.queue), declaring.pending())));
        }
        if !topology.queues.contains_key(name) {
            return Ok(None);
        }
        let queue = self.find_queue(topology, name, connection)?;
        queue.touch();
        Ok(Some((queue, Pending::nothing())))
    }
}
