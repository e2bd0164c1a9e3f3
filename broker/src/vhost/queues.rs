//! Declaring, finding and deleting queues.

use std::sync::Arc;

use base64::Engine;
use gantry_storage::Change;
use tokio::sync::watch;

use super::exchange::Destination;
use super::rows::{self, QueueRow};
use super::{Awaited, Declaring, Pending, Topology, VirtualHost};
use crate::error::{Error, Forbidden, Kind, Resource};
use crate::inbox::Wakes;
use crate::policy::Applied;
use crate::queue::{NotSealed, Queue, QueueOptions, QueueSettings, Rules, SealIf, resource};

/// What a queue is to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueName<'a> {
    /// By this name.
    Given(&'a str),
    /// By a new one: `amq.gen-` and 22 characters that cannot be guessed.
    Generated,
}

/// When a queue is not to be deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteQueue {
    /// Not while it has consumers.
    pub if_unused: bool,
    /// Not while messages wait in it.
    pub if_empty: bool,
}

impl VirtualHost {
    fn queue_resource(&self, name: &str) -> Resource {
        Resource { kind: Kind::Queue, name: Arc::from(name), vhost: Arc::clone(&self.name) }
    }

    /// A queue that can be bound: also one whose definition is still on its way to the disk.
    pub(super) fn find_bindable(&self, topology: &Topology, name: &str, connection: u64) -> Result<Arc<Queue>, Error> {
        match topology.declaring.get(name) {
            // It survives, and so belongs to nobody.
            Some(declaring) => Ok(Arc::clone(&declaring.queue)),
            None => self.find_queue(topology, name, connection),
        }
    }

    pub(super) fn find_queue(&self, topology: &Topology, name: &str, connection: u64) -> Result<Arc<Queue>, Error> {
        let queue = topology.queues.get(name).ok_or_else(|| Error::NotFound(self.queue_resource(name)))?;
        if queue.owner().is_some_and(|owner| owner != connection) {
            return Err(Error::Locked(resource(queue.name(), queue.vhost())));
        }
        Ok(Arc::clone(queue))
    }

    /// The queue of this name, as far as `connection` may use it.
    ///
    /// # Errors
    /// There is none, or it belongs to another connection.
    pub fn queue(&self, name: &str, connection: u64) -> Result<Arc<Queue>, Error> {
        self.find_queue(&self.topology.read(), name, connection)
    }

    /// The queue of this name, whoever it belongs to: to look at it.
    ///
    /// # Errors
    /// There is none.
    pub fn queue_of_anyone(&self, name: &str) -> Result<Arc<Queue>, Error> {
        let topology = self.topology.read();
        topology.queues.get(name).cloned().ok_or_else(|| Error::NotFound(self.queue_resource(name)))
    }

    /// Declares a queue, or checks that it is what is declared. Returns when a durable one is on stable storage.
    ///
    /// # Errors
    /// It exists and differs, or belongs to another connection; its name is reserved; an argument is invalid.
    pub async fn declare_queue(
        self: &Arc<Self>,
        name: QueueName<'_>,
        options: QueueOptions,
        connection: u64,
    ) -> Result<Arc<Queue>, Error> {
        let (queue, pending) = self.define_queue(name, options, connection)?;
        pending.wait().await?;
        Ok(queue)
    }

    /// The queue of this name, if it is what is declared once more; none where there is none. What is to be waited for until it
    /// is on stable storage.
    ///
    /// # Errors
    /// It differs, or belongs to another connection.
    pub fn declared_queue(
        &self,
        name: &str,
        options: &QueueOptions,
        connection: u64,
    ) -> Result<Option<(Arc<Queue>, Pending)>, Error> {
        self.find_declared(&self.topology.read(), name, options, connection)
    }

    pub(super) fn find_declared(
        &self,
        topology: &Topology,
        name: &str,
        options: &QueueOptions,
        connection: u64,
    ) -> Result<Option<(Arc<Queue>, Pending)>, Error> {
        if topology.queues.contains_key(name) {
            let queue = self.find_queue(topology, name, connection)?;
            queue.options().check_same(&resource(queue.name(), queue.vhost()), options)?;
            queue.touch();
            return Ok(Some((queue, Pending::nothing())));
        }
        let Some(declaring) = topology.declaring.get(name) else { return Ok(None) };
        let queue = &declaring.queue;
        queue.options().check_same(&resource(queue.name(), queue.vhost()), options)?;
        Ok(Some((Arc::clone(queue), declaring.pending())))
    }

    /// As [`VirtualHost::declare_queue`], without waiting for the disk: until then the queue can be bound, and is not seen
    /// otherwise.
    ///
    /// # Errors
    /// As there.
    pub fn define_queue(
        self: &Arc<Self>,
        name: QueueName<'_>,
        options: QueueOptions,
        connection: u64,
    ) -> Result<(Arc<Queue>, Pending), Error> {
        let mut topology = self.topology.write();
        let name = match name {
            QueueName::Generated => generated_name(),
            QueueName::Given(name) => {
                if let Some(found) = self.find_declared(&topology, name, &options, connection)? {
                    return Ok(found);
                }
                self.checked_name(name)?
            }
        };
        self.make_queue(&mut topology, name, options, QueueSettings::default(), connection)
    }

    /// The name, if it may be given to a queue.
    pub(super) fn checked_name(&self, name: &str) -> Result<Arc<str>, Error> {
        if name.starts_with("amq.") {
            let resource = self.queue_resource(name);
            return Err(Error::Forbidden { resource, what: Forbidden::ReservedName });
        }
        Ok(Arc::from(name))
    }

    /// Makes a queue that there is not.
    pub(super) fn make_queue(
        self: &Arc<Self>,
        topology: &mut Topology,
        name: Arc<str>,
        options: QueueOptions,
        settings: QueueSettings,
        connection: u64,
    ) -> Result<(Arc<Queue>, Pending), Error> {
        let applied = Applied::new(&topology.policies, topology.policies.for_queue(&name, &options, None));
        let rules = Rules::of(&self.queue_resource(&name), &options, &applied.effective(), &settings)?;
        let owner = options.exclusive.then_some(connection);
        let queue = Queue::new(
            Arc::clone(&self.shared),
            self.shared.next_lane(),
            Arc::clone(&name),
            Arc::clone(&self.name),
            options,
            rules,
            owner,
        );
        queue.adopt(applied, settings);
        let mut rows = self.bind_standing(topology, &queue);
        if !queue.survives() {
            self.insert_queue(topology, &queue);
            self.tell_queue_created(&queue, connection);
            return Ok((queue, Pending::nothing()));
        }
        rows.insert(0, rows::put_queue(&queue)?);
        let (sender, done) = watch::channel(None);
        topology.declaring.insert(name, Declaring { queue: Arc::clone(&queue), done: done.clone() });
        let committed = self.commit(rows);
        let (vhost, declared) = (Arc::clone(self), Arc::clone(&queue));
        // A task of its own: whoever declares may be gone before the disk answers, and others wait.
        tokio::spawn(async move {
            let result = committed.wait().await;
            if vhost.end_declaration(&declared, result.is_ok()) {
                vhost.tell_queue_created(&declared, connection);
            }
            sender.send_replace(Some(result));
        });
        Ok((queue, Pending(Awaited::Queue(done))))
    }

    /// A definition has got to the disk, or could not. Whether the queue is there now.
    fn end_declaration(&self, queue: &Arc<Queue>, is_durable: bool) -> bool {
        let mut topology = self.topology.write();
        // It may have been deleted meanwhile, and another one of its name be under way.
        let current = topology.declaring.get(queue.name());
        if !current.is_some_and(|declaring| Arc::ptr_eq(&declaring.queue, queue)) {
            return false;
        }
        topology.declaring.remove(queue.name());
        if is_durable {
            self.insert_queue(&mut topology, queue);
            return true;
        }
        // What was bound to it meanwhile goes with it.
        let removed = self.remove_queue(&mut topology, queue, None);
        drop(topology);
        if let Err(error) = removed {
            tracing::error!(queue = %queue.name(), %error, "its bindings could not be deleted");
        }
        false
    }

    pub(super) fn insert_queue(&self, topology: &mut Topology, queue: &Arc<Queue>) {
        topology.queues.insert(Arc::clone(queue.name()), Arc::clone(queue));
        if let Some(owner) = queue.owner() {
            topology.exclusive.entry(owner).or_default().push(Arc::clone(queue));
        }
        // They may have changed while its row was on its way to the disk.
        queue.follow(&topology.policies);
        queue.set_visible();
        queue.start_expiry();
        self.changed();
    }

    pub(crate) fn restore_queue(&self, row: QueueRow) -> Result<Arc<Queue>, Error> {
        let QueueRow { name, lane, options, settings, .. } = row;
        let name: Arc<str> = Arc::from(name);
        let mut topology = self.topology.write();
        let applied = Applied::new(&topology.policies, topology.policies.for_queue(&name, &options, None));
        let rules = Rules::of(&self.queue_resource(&name), &options, &applied.effective(), &settings)?;
        let vhost = Arc::clone(&self.name);
        let queue = Queue::new(Arc::clone(&self.shared), lane, name, vhost, options, rules, None);
        queue.adopt(applied, settings);
        self.insert_queue(&mut topology, &queue);
        Ok(queue)
    }

    /// Deletes a queue with its messages and bindings. How many messages waited in it; none where there was no such queue,
    /// which is no error.
    ///
    /// # Errors
    /// It belongs to another connection, or a condition is not met.
    pub async fn delete_queue(&self, name: &str, conditions: DeleteQueue, connection: u64) -> Result<usize, Error> {
        let (waiting, committed) = self.start_deletion(name, conditions, connection)?;
        committed.wait().await?;
        Ok(waiting)
    }

    /// As [`VirtualHost::delete_queue`], without waiting for the disk.
    ///
    /// # Errors
    /// As there.
    pub fn start_deletion(
        &self,
        name: &str,
        conditions: DeleteQueue,
        connection: u64,
    ) -> Result<(usize, Pending), Error> {
        let (queue, committed) = {
            let mut topology = self.topology.write();
            let queue = match self.find_bindable(&topology, name, connection) {
                Ok(queue) => queue,
                Err(Error::NotFound(_)) => return Ok((0, Pending::nothing())),
                Err(error) => return Err(error),
            };
            let DeleteQueue { if_unused, if_empty } = conditions;
            queue.seal(SealIf { unused: if_unused, empty: if_empty }).map_err(|not| {
                let resource = resource(queue.name(), queue.vhost());
                match not {
                    NotSealed::InUse => Error::InUse(resource),
                    NotSealed::NotEmpty => Error::NotEmpty(resource),
                }
            })?;
            // Its row may still be on its way to the disk; that it goes is behind it.
            topology.declaring.remove(name);
            let committed = self.remove_queue(&mut topology, &queue, Some(connection))?;
            (queue, committed)
        };
        Ok((queue.close(&mut Wakes::new()), committed))
    }

    /// Deletes a queue that nobody asked to delete: its last consumer went, its connection went, or its time is over.
    pub(crate) fn drop_queue(&self, queue: &Arc<Queue>) {
        let committed = {
            let mut topology = self.topology.write();
            let current = topology.queues.get(queue.name());
            if !current.is_some_and(|current| Arc::ptr_eq(current, queue)) {
                return;
            }
            self.remove_queue(&mut topology, queue, None)
        };
        queue.close(&mut Wakes::new());
        if let Err(error) = committed {
            tracing::error!(queue = %queue.name(), %error, "its rows could not be deleted");
        }
    }

    /// `by` is the connection that asked for it, where one did.
    fn remove_queue(&self, topology: &mut Topology, queue: &Arc<Queue>, by: Option<u64>) -> Result<Pending, Error> {
        let mut changes: Vec<Change> = Vec::new();
        if topology.queues.remove(queue.name()).is_some() {
            self.tell_queue_deleted(queue, by);
        }
        if let Some(owner) = queue.owner()
            && let Some(queues) = topology.exclusive.get_mut(&owner)
        {
            queues.retain(|other| !Arc::ptr_eq(other, queue));
        }
        if queue.survives() {
            changes.push(rows::delete_queue(queue));
        }
        let left_empty = self.remove_destination(topology, &Destination::Queue(Arc::clone(queue)), &mut changes)?;
        self.remove_exchanges(topology, left_empty, &mut changes)?;
        self.changed();
        Ok(self.commit(changes))
    }

    /// Deletes what belongs to a connection that is gone.
    pub fn connection_closed(&self, connection: u64) {
        // Most have none, and some come and go with every request.
        if !self.topology.read().exclusive.contains_key(&connection) {
            return;
        }
        let queues = self.topology.write().exclusive.remove(&connection);
        for queue in queues.unwrap_or_default() {
            self.drop_queue(&queue);
        }
    }
}

fn generated_name() -> Arc<str> {
    let mut random = [0; 16];
    // Without randomness from the operating system a name can still be unique; it is not a secret.
    if getrandom::fill(&mut random).is_err() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        random = now.as_nanos().to_be_bytes();
    }
    let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random);
    Arc::from(format!("amq.gen-{text}"))
}
