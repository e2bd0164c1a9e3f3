//! Declaring and deleting exchanges.

use std::sync::Arc;

use gantry_storage::Change;

use super::exchange::{Destination, Exchange, ExchangeOptions, Known};
use super::exchange_settings::ExchangeSettings;
use super::{Pending, Topology, VirtualHost, rows};
use crate::error::{Error, Forbidden, Kind, Resource};
use crate::exchange::{Binding, ExchangeKind};
use crate::value::Table;

impl VirtualHost {
    fn exchange_resource(&self, name: &str) -> Resource {
        Resource { kind: Kind::Exchange, name: Arc::from(name), vhost: Arc::clone(&self.name) }
    }

    /// The exchange of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn exchange(&self, name: &str) -> Result<Arc<Exchange>, Error> {
        self.find_exchange(&self.topology.read(), name)
    }

    pub(super) fn find_exchange(&self, topology: &Topology, name: &str) -> Result<Arc<Exchange>, Error> {
        topology.exchanges.get(name).cloned().ok_or_else(|| Error::NotFound(self.exchange_resource(name)))
    }

    /// Declares an exchange, or checks that it is what is declared. Returns when a durable one is on stable storage.
    ///
    /// # Errors
    /// It exists and differs; its name is reserved; an argument is invalid.
    pub async fn declare_exchange(&self, name: &str, options: ExchangeOptions) -> Result<(), Error> {
        self.define_exchange(name, options)?.wait().await
    }

    /// As [`VirtualHost::declare_exchange`], without waiting for the disk.
    ///
    /// # Errors
    /// As there.
    pub fn define_exchange(&self, name: &str, options: ExchangeOptions) -> Result<Pending, Error> {
        let committed = {
            let mut topology = self.topology.write();
            if let Some(exchange) = topology.exchanges.get(name) {
                exchange.check_same(&options)?;
                // Somebody else's declaration may still be on its way to the disk; what comes behind it is not ahead of it.
                self.commit_exchange(exchange)?
            } else {
                self.make_exchange(&mut topology, name, options, ExchangeSettings::default())?.1
            }
        };
        Ok(committed)
    }

    /// Declares an exchange with settings, and says whether it is new; of several callers at once one is told so. One that is
    /// there is given back as it is: the caller compares. What is to be waited for until it is on stable storage.
    ///
    /// # Errors
    /// Its name is reserved; an argument is invalid.
    pub fn declare_exchange_with(
        &self,
        name: &str,
        options: ExchangeOptions,
        settings: ExchangeSettings,
    ) -> Result<(Arc<Exchange>, bool, Pending), Error> {
        let mut topology = self.topology.write();
        if let Some(exchange) = topology.exchanges.get(name) {
            let exchange = Arc::clone(exchange);
            // Somebody else's declaration may still be on its way to the disk.
            let pending = self.commit_exchange(&exchange)?;
            return Ok((exchange, false, pending));
        }
        let (exchange, pending) = self.make_exchange(&mut topology, name, options, settings)?;
        Ok((exchange, true, pending))
    }

    /// Sets other settings on an exchange. They hold at once; what is to be waited for until they are on stable storage.
    ///
    /// # Errors
    /// The exchange was deleted.
    pub fn set_exchange_settings(
        &self,
        exchange: &Arc<Exchange>,
        settings: ExchangeSettings,
    ) -> Result<Pending, Error> {
        let topology = self.topology.write();
        if !topology.exchanges.get(&exchange.name).is_some_and(|current| Arc::ptr_eq(current, exchange)) {
            return Err(Error::NotFound(exchange.resource()));
        }
        exchange.set_settings(&self.shared, settings);
        self.tell_change();
        // Under the lock, so that rows are written in the order of changes.
        let committed = self.commit_exchange(exchange);
        drop(topology);
        exchange.follow_settings();
        committed
    }

    /// Writes the row of an exchange that survives.
    fn commit_exchange(&self, exchange: &Exchange) -> Result<Pending, Error> {
        if !exchange.options.durable || exchange.predeclared {
            return Ok(Pending::nothing());
        }
        Ok(self.commit(vec![rows::put_exchange(exchange)?]))
    }

    fn make_exchange(
        &self,
        topology: &mut Topology,
        name: &str,
        options: ExchangeOptions,
        settings: ExchangeSettings,
    ) -> Result<(Arc<Exchange>, Pending), Error> {
        if name.starts_with("amq.") {
            let resource = self.exchange_resource(name);
            return Err(Error::Forbidden { resource, what: Forbidden::ReservedName });
        }
        let (name, vhost) = (Arc::from(name), Arc::clone(&self.name));
        let known = Known { settings, ..Known::default() };
        let exchange = Exchange::new(&self.shared, name, vhost, options, false, known)?;
        exchange.follow(&topology.policies);
        let committed = self.commit_exchange(&exchange)?;
        self.tell_exchange_created(&exchange);
        topology.exchanges.insert(Arc::clone(&exchange.name), Arc::clone(&exchange));
        self.changed();
        Ok((exchange, committed))
    }

    /// A topic exchange for what the broker's own parts publish ([`VirtualHost::publish_internally`]), made where there is none.
    /// Clients may bind to it and not publish; nothing of it is kept, and so neither are bindings to it.
    ///
    /// # Errors
    /// There is an exchange of this name that is something else.
    pub fn internal_exchange(&self, name: &str) -> Result<Arc<Exchange>, Error> {
        let options = ExchangeOptions {
            kind: ExchangeKind::Topic,
            durable: false,
            auto_delete: false,
            internal: true,
            arguments: Table::default(),
        };
        let mut topology = self.topology.write();
        if let Some(exchange) = topology.exchanges.get(name) {
            exchange.check_same(&options)?;
            return Ok(Arc::clone(exchange));
        }
        let (name, vhost) = (Arc::from(name), Arc::clone(&self.name));
        let exchange = Exchange::new(&self.shared, name, vhost, options, true, Known::default())?;
        topology.exchanges.insert(Arc::clone(&exchange.name), Arc::clone(&exchange));
        self.changed();
        Ok(exchange)
    }

    pub(crate) fn restore_exchange(
        &self,
        name: &str,
        options: ExchangeOptions,
        known: Known,
    ) -> Result<Arc<Exchange>, Error> {
        let (name, vhost) = (Arc::from(name), Arc::clone(&self.name));
        let exchange = Exchange::new(&self.shared, name, vhost, options, false, known)?;
        let mut topology = self.topology.write();
        exchange.follow(&topology.policies);
        topology.exchanges.insert(Arc::clone(&exchange.name), Arc::clone(&exchange));
        drop(topology);
        Ok(exchange)
    }

    /// Deletes an exchange with all its bindings, those that lead to it included.
    ///
    /// # Errors
    /// It came with the broker; it has bindings, and `if_unused` is asked for. That it does not exist is no error.
    pub async fn delete_exchange(&self, name: &str, if_unused: bool) -> Result<(), Error> {
        let committed = {
            let mut topology = self.topology.write();
            let Some(exchange) = topology.exchanges.get(name).cloned() else { return Ok(()) };
            if exchange.predeclared {
                return Err(Error::Forbidden { resource: exchange.resource(), what: Forbidden::Predeclared });
            }
            if if_unused && !exchange.matcher.read().is_empty() {
                return Err(Error::InUse(exchange.resource()));
            }
            let mut changes = Vec::new();
            self.remove_exchanges(&mut topology, vec![exchange], &mut changes)?;
            self.commit(changes)
        };
        committed.wait().await
    }

    /// Takes exchanges out of the topology, with the auto-delete exchanges that lead nowhere then, and notes the rows that go
    /// with them.
    pub(super) fn remove_exchanges(
        &self,
        topology: &mut Topology,
        mut going: Vec<Arc<Exchange>>,
        changes: &mut Vec<Change>,
    ) -> Result<(), Error> {
        // A list and not recursion: clients can make chains of any length.
        while let Some(exchange) = going.pop() {
            going.extend(self.remove_exchange(topology, &exchange, changes)?);
        }
        Ok(())
    }

    fn remove_exchange(
        &self,
        topology: &mut Topology,
        exchange: &Arc<Exchange>,
        changes: &mut Vec<Change>,
    ) -> Result<Vec<Arc<Exchange>>, Error> {
        topology.exchanges.remove(&exchange.name);
        self.tell_exchange_deleted(exchange);
        if exchange.options.durable {
            changes.push(rows::delete_exchange(exchange));
        }
        if exchange.has_lane() {
            // There may be millions of messages: not under the lock of the topology.
            let (exchange, shared) = (Arc::clone(exchange), Arc::clone(&self.shared));
            tokio::task::spawn_blocking(move || exchange.close(&shared));
        }
        // What it is bound to.
        let mut matcher = exchange.matcher.write();
        let mut destinations = Vec::new();
        for binding in matcher.bindings() {
            let Binding { destination, key, arguments } = binding;
            self.tell_binding("binding.deleted", exchange, destination, (key, arguments), None);
            if exchange.options.durable && binding.destination.is_durable() {
                let row = rows::DurableBinding {
                    vhost: &self.name,
                    source: &exchange.name,
                    destination: binding.destination,
                    key: binding.key,
                    arguments: binding.arguments,
                };
                changes.push(row.delete()?);
            }
            destinations.push(binding.destination.clone());
        }
        for destination in destinations {
            matcher.remove_destination(&destination);
            if let Some(sources) = topology.bound_from.get_mut(&destination) {
                sources.remove(&exchange.name);
                if sources.is_empty() {
                    topology.bound_from.remove(&destination);
                }
            }
        }
        drop(matcher);
        // What is bound to it.
        let left_empty = self.remove_destination(topology, &Destination::Exchange(Arc::clone(exchange)), changes)?;
        self.changed();
        Ok(left_empty)
    }
}
