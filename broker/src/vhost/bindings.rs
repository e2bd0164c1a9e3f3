//! Binding and unbinding.

use std::sync::Arc;

use gantry_storage::Change;

use super::exchange::{Destination, Exchange};
use super::{Pending, Topology, VirtualHost, rows};
use crate::error::{ArgumentProblem, Error, Forbidden, Kind, Resource};
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

/// What becomes of a binding's row.
enum RowChange {
    Put,
    Delete,
}

impl VirtualHost {
    /// Binds. Returns when a binding between durable things is on stable storage; one that exists already is left as it is.
    ///
    /// # Errors
    /// Either end does not exist, the queue belongs to another connection, the source is the default exchange, or the
    /// arguments are not those of a headers exchange.
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
            let inserted = source.matcher.write().insert(key, arguments, destination.clone()).map_err(|problem| {
                Error::InvalidArgument {
                    resource: source.resource(),
                    name: "x-match".to_owned(),
                    value: Box::new(arguments.get("x-match").cloned().unwrap_or(Value::Null)),
                    problem: ArgumentProblem::Other(problem.to_string()),
                }
            })?;
            if inserted {
                topology.bound_from.entry(destination).or_default().insert(Arc::clone(&source.name));
                self.changed();
            }
            // Written again where it exists: whoever bound it first may still be waiting for the disk.
            self.commit(change.into_iter().collect())
        };
        Ok(committed)
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

    fn durable_row(
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
        let Some(sources) = topology.bound_from.remove(destination) else { return Ok(left_empty) };
        for source in sources {
            let Some(source) = topology.exchanges.get(&source).cloned() else { continue };
            let mut matcher = source.matcher.write();
            for binding in matcher.bindings_of(destination) {
                let row = self.durable_row(&source, destination, binding.key, binding.arguments, RowChange::Delete)?;
                changes.extend(row);
            }
            matcher.remove_destination(destination);
            let empty = matcher.is_empty();
            drop(matcher);
            if empty && source.options.auto_delete {
                left_empty.push(source);
            }
        }
        self.changed();
        Ok(left_empty)
    }
}
