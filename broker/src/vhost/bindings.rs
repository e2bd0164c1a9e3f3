//! Binding and unbinding.

use std::sync::Arc;

use gantry_storage::Change;
use smallvec::SmallVec;

use super::exchange::{Destination, Exchange};
use super::manner::Memory;
use super::relay::Parcel;
use super::route::Reached;
use super::{Pending, Topology, VirtualHost, rows};
use crate::error::{ArgumentProblem, Error, Forbidden, Kind, Resource};
use crate::exchange::BindError;
use crate::inbox::Wakes;
use crate::message::{Message, now_ms};
use crate::value::{Table, Value};

/// A binding, for listing.
#[derive(Clone, Debug)]
pub struct BindingRow {
    /// The exchange it is of; empty for the default one.
    pub source: Arc<str>,
    /// Where it leads.
    pub destination: Destination,
    /// Routing key or pattern.
    pub key: Vec<u8>,
    /// Arguments.
    pub arguments: Table,
}

/// A binding of an exchange to a queue, without a key.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    /// The queue.
    pub queue: &'a str,
    /// What tells it from other bindings to that queue, and what the exchange reads.
    pub arguments: &'a Table,
}

/// What becomes of a binding's row.
pub(super) enum RowChange {
    Put,
    Delete,
}

fn refused(source: &Exchange, arguments: &Table, problem: &BindError) -> Error {
    let name = problem.argument();
    Error::InvalidArgument {
        resource: source.resource(),
        name: name.to_owned(),
        value: Box::new(arguments.get(name).cloned().unwrap_or(Value::Null)),
        problem: ArgumentProblem::Other(problem.to_string()),
    }
}

impl VirtualHost {
    /// Binds. Returns when a binding between durable things is on stable storage; one that exists already is left as it is.
    ///
    /// # Errors
    /// Either end does not exist, the queue belongs to another connection, the source is the default exchange, or
    /// arguments or key are not what the type of the exchange wants.
    pub async fn bind(
        &self,
        source: &str,
        destination: (Kind, &str),
        key: &[u8],
        arguments: &Table,
        connection: u64,
    ) -> Result<(), Error> {
        self.define_binding(source, destination, key, arguments, connection)?.wait().await
    }

    /// As [`VirtualHost::bind`], without waiting for the disk.
    ///
    /// # Errors
    /// As there.
    pub fn define_binding(
        &self,
        source: &str,
        destination: (Kind, &str),
        key: &[u8],
        arguments: &Table,
        connection: u64,
    ) -> Result<Pending, Error> {
        let committed = {
            let mut topology = self.topology.write();
            let (source, destination) = self.ends(&topology, source, destination, connection)?;
            let change = self.durable_row(&source, &destination, key, arguments, RowChange::Put)?;
            let inserted = source.matcher.write().insert(key, arguments, destination.clone());
            let inserted = inserted.map_err(|problem| refused(&source, arguments, &problem))?;
            if inserted {
                if let Err(error) = self.tell_history(&topology, &source, &destination) {
                    source.matcher.write().remove(key, arguments, &destination);
                    return Err(error);
                }
                self.tell_binding("binding.created", &source, &destination, (key, arguments), Some(connection));
                topology.bound_from.entry(destination).or_default().insert(Arc::clone(&source.name));
                self.changed();
            }
            // Written again where it exists: whoever bound it first may still be waiting for the disk.
            self.commit(change.into_iter().collect())
        };
        Ok(committed)
    }

    /// Puts one binding to a queue in the place of another one: no message goes by neither of them, and none by both. Where
    /// there was no such binding the new one is made, and where there is no new one the old one goes. What is to be waited for
    /// until all of it is on stable storage.
    ///
    /// # Errors
    /// The exchange or the new queue does not exist, or the arguments are not what the type of the exchange wants: then nothing
    /// has changed. That the old binding or its queue is not there is no error.
    pub fn rebind(&self, source: &str, old: Option<Bound<'_>>, new: Option<Bound<'_>>) -> Result<Pending, Error> {
        let mut topology = self.topology.write();
        let exchange = self.find_exchange(&topology, source)?;
        let mut changes = Vec::new();
        let mut kept = None;
        if let Some(Bound { queue, arguments }) = new {
            let (_, destination) = self.ends(&topology, source, (Kind::Queue, queue), 0)?;
            let inserted = exchange.matcher.write().insert(&[], arguments, destination.clone());
            if inserted.map_err(|problem| refused(&exchange, arguments, &problem))? {
                self.tell_binding("binding.created", &exchange, &destination, (&[], arguments), None);
                topology.bound_from.entry(destination.clone()).or_default().insert(Arc::clone(&exchange.name));
            }
            // Written again where it exists: whoever bound it first may still be waiting for the disk.
            changes.extend(self.durable_row(&exchange, &destination, &[], arguments, RowChange::Put)?);
            kept = Some((destination, arguments));
        }
        if let Some(Bound { queue, arguments }) = old
            && let Ok((_, destination)) = self.ends(&topology, source, (Kind::Queue, queue), 0)
            && kept.is_none_or(|(kept, same)| kept != destination || same != arguments)
        {
            let mut matcher = exchange.matcher.write();
            if matcher.remove(&[], arguments, &destination) {
                let last = !matcher.contains(&destination);
                drop(matcher);
                self.tell_binding("binding.deleted", &exchange, &destination, (&[], arguments), None);
                changes.extend(self.durable_row(&exchange, &destination, &[], arguments, RowChange::Delete)?);
                if last && let Some(sources) = topology.bound_from.get_mut(&destination) {
                    sources.remove(&exchange.name);
                    if sources.is_empty() {
                        topology.bound_from.remove(&destination);
                    }
                }
            }
        }
        self.changed();
        Ok(self.commit(changes))
    }

    /// Gives what is newly bound the messages that the exchange remembers. Under the lock of the topology, so that none is
    /// missing between those and the first that comes by the binding. A queue whose row is still on its way to the disk gets
    /// them, too: if it is gone after a crash, nobody was told that it had them.
    fn tell_history(
        &self,
        topology: &Topology,
        source: &Arc<Exchange>,
        destination: &Destination,
    ) -> Result<(), Error> {
        let Memory::History(history) = &source.memory else { return Ok(()) };
        let messages: Vec<Arc<Message>> = history.lock().messages().cloned().collect();
        let now_ms = now_ms();
        let mut parcels: Vec<Parcel> = messages
            .into_iter()
            .map(|message| {
                let reached = match destination {
                    Destination::Queue(queue) => {
                        Reached { queues: SmallVec::from_elem(Arc::clone(queue), 1), aside: None }
                    }
                    Destination::Exchange(exchange) => self.reach_locked(topology, exchange, &message, now_ms),
                };
                Parcel {
                    taken_from: None,
                    message,
                    reached,
                    stays_in: None,
                    redelivered: false,
                    is_first: true,
                    again: SmallVec::new(),
                }
            })
            .collect();
        let mut wakes = Wakes::new();
        let result = self.relay(&mut parcels, now_ms, &mut wakes);
        wakes.wake();
        result.map(drop)
    }

    pub(crate) fn restore_binding(
        &self,
        source: &str,
        destination: (Kind, &str),
        key: &[u8],
        arguments: &Table,
    ) -> Result<(), Error> {
        let mut topology = self.topology.write();
        let (source, destination) = self.ends(&topology, source, destination, 0)?;
        // It was valid when it was made.
        if let Ok(true) = source.matcher.write().insert(key, arguments, destination.clone()) {
            topology.bound_from.entry(destination).or_default().insert(Arc::clone(&source.name));
        }
        self.changed();
        Ok(())
    }

    /// Unbinds. That there is no such binding, or that one of its ends is missing, is no error, as in RabbitMQ.
    ///
    /// # Errors
    /// The queue belongs to another connection, or the source is the default exchange.
    pub async fn unbind(
        &self,
        source: &str,
        destination: (Kind, &str),
        key: &[u8],
        arguments: &Table,
        connection: u64,
    ) -> Result<(), Error> {
        self.remove_binding(source, destination, key, arguments, connection)?.wait().await
    }

    /// As [`VirtualHost::unbind`], without waiting for the disk.
    ///
    /// # Errors
    /// As there.
    pub fn remove_binding(
        &self,
        source: &str,
        destination: (Kind, &str),
        key: &[u8],
        arguments: &Table,
        connection: u64,
    ) -> Result<Pending, Error> {
        let committed = {
            let mut topology = self.topology.write();
            let (source, destination) = match self.ends(&topology, source, destination, connection) {
                Ok(ends) => ends,
                Err(Error::NotFound(_)) => return Ok(Pending::nothing()),
                Err(error) => return Err(error),
            };
            let mut matcher = source.matcher.write();
            if matcher.remove(key, arguments, &destination) {
                let last = !matcher.contains(&destination);
                let empty = matcher.is_empty();
                drop(matcher);
                self.tell_binding("binding.deleted", &source, &destination, (key, arguments), Some(connection));
                let row = self.durable_row(&source, &destination, key, arguments, RowChange::Delete)?;
                let mut changes: Vec<_> = row.into_iter().collect();
                if last && let Some(sources) = topology.bound_from.get_mut(&destination) {
                    sources.remove(&source.name);
                    if sources.is_empty() {
                        topology.bound_from.remove(&destination);
                    }
                }
                if empty && source.options.auto_delete {
                    self.remove_exchanges(&mut topology, vec![source], &mut changes)?;
                }
                self.changed();
                self.commit(changes)
            } else {
                Pending::nothing()
            }
        };
        Ok(committed)
    }

    /// All bindings; the default exchange's are not among them, since they need no list.
    pub fn bindings(&self) -> Vec<BindingRow> {
        let topology = self.topology.read();
        let mut all = Vec::new();
        for exchange in topology.exchanges.values() {
            all.extend(exchange.matcher.read().bindings().map(|binding| BindingRow {
                source: Arc::clone(&exchange.name),
                destination: binding.destination.clone(),
                key: binding.key.to_vec(),
                arguments: binding.arguments.clone(),
            }));
        }
        all
    }

    /// Whether a queue, whoever it belongs to, is bound to an exchange by this key with these arguments. The default exchange
    /// has no bindings in this sense.
    pub fn is_bound(&self, source: &str, queue: &str, key: &[u8], arguments: &Table) -> bool {
        let topology = self.topology.read();
        let declared = topology.queues.get(queue);
        let queue = declared.or_else(|| topology.declaring.get(queue).map(|declaring| &declaring.queue));
        let (Some(source), Some(queue)) = (topology.exchanges.get(source), queue) else { return false };
        let destination = Destination::Queue(Arc::clone(queue));
        source.matcher.read().contains_binding(key, arguments, &destination)
    }

    fn ends(
        &self,
        topology: &Topology,
        source: &str,
        (kind, destination): (Kind, &str),
        connection: u64,
    ) -> Result<(Arc<Exchange>, Destination), Error> {
        let source = self.find_exchange(topology, source)?;
        let destination = match kind {
            Kind::Queue => Destination::Queue(self.find_bindable(topology, destination, connection)?),
            _ => {
                let exchange = self.find_exchange(topology, destination)?;
                if exchange.name.is_empty() {
                    let resource = exchange.resource();
                    return Err(Error::Forbidden { resource, what: Forbidden::DefaultExchange });
                }
                Destination::Exchange(exchange)
            }
        };
        if source.name.is_empty() {
            let resource = Resource { kind: Kind::Exchange, name: Arc::from(""), vhost: Arc::clone(&self.name) };
            return Err(Error::Forbidden { resource, what: Forbidden::DefaultExchange });
        }
        Ok((source, destination))
    }

    pub(super) fn durable_row(
        &self,
        source: &Arc<Exchange>,
        destination: &Destination,
        key: &[u8],
        arguments: &Table,
        change: RowChange,
    ) -> Result<Option<Change>, Error> {
        if !source.options.durable || !destination.is_durable() {
            return Ok(None);
        }
        let row = rows::DurableBinding { vhost: &self.name, source: &source.name, destination, key, arguments };
        match change {
            RowChange::Put => row.put().map(Some),
            RowChange::Delete => row.delete().map(Some),
        }
    }

    /// Removes every binding that leads to a destination. The auto-delete exchanges that have none left then, which go next.
    pub(super) fn remove_destination(
        &self,
        topology: &mut Topology,
        destination: &Destination,
        changes: &mut Vec<Change>,
    ) -> Result<Vec<Arc<Exchange>>, Error> {
        let mut left_empty = Vec::new();
        let heard = self.shared.events.are_heard();
        let Some(sources) = topology.bound_from.remove(destination) else { return Ok(left_empty) };
        for source in sources {
            let Some(source) = topology.exchanges.get(&source).cloned() else { continue };
            let mut matcher = source.matcher.write();
            let mut gone: Vec<(Vec<u8>, Table)> = Vec::new();
            for binding in matcher.bindings_of(destination) {
                if heard {
                    gone.push((binding.key.to_vec(), binding.arguments.clone()));
                }
                let row = self.durable_row(&source, destination, binding.key, binding.arguments, RowChange::Delete)?;
                changes.extend(row);
            }
            matcher.remove_destination(destination);
            let empty = matcher.is_empty();
            drop(matcher);
            // Not under the lock: telling asks who listens, and that may be this exchange.
            for (key, arguments) in gone {
                self.tell_binding("binding.deleted", &source, destination, (&key, &arguments), None);
            }
            if empty && source.options.auto_delete {
                left_empty.push(source);
            }
        }
        self.changed();
        Ok(left_empty)
    }
}
