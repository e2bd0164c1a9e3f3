//! Queues that store nothing, for whoever wants what is published from now on and no promise.

use std::sync::Arc;

use super::VirtualHost;
use crate::error::Error;
use crate::inbox::Outlet;
use crate::queue::{Queue, QueueOptions, resource};

impl VirtualHost {
    /// A queue that stores nothing and holds nothing: what is routed to it goes into the outlet's inbox while that has room, and
    /// is dropped and counted otherwise. Deliveries have no lease; the outlet's shared credit is not asked. It is exclusive to
    /// the connection and goes with it, or when it is deleted; it is visible at once, and nothing of it is kept.
    ///
    /// Opened once more by its connection, it is the one that is there, and keeps its outlet.
    ///
    /// # Errors
    /// There is a queue of this name that is another connection's, or nobody's own ([`Error::Locked`]), or is the connection's
    /// own and no direct one ([`Error::InUse`]).
    pub fn open_direct(self: &Arc<Self>, name: &str, outlet: Outlet, connection: u64) -> Result<Arc<Queue>, Error> {
        let mut topology = self.topology.write();
        let options = QueueOptions { exclusive: true, ..QueueOptions::default() };
        if let Some((queue, _)) = self.find_declared(&topology, name, &options, connection)? {
            if !queue.is_direct() {
                return Err(Error::InUse(resource(queue.name(), queue.vhost())));
            }
            return Ok(queue);
        }
        let queue = Queue::new_direct(
            Arc::clone(&self.shared),
            self.shared.next_lane(),
            Arc::from(name),
            Arc::clone(&self.name),
            outlet,
            connection,
        );
        self.insert_queue(&mut topology, &queue);
        self.tell_queue_created(&queue, connection);
        Ok(queue)
    }
}
