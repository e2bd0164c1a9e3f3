//! Bindings that stand for a name: whatever queue of that name is declared has them from its first moment.
//!
//! Whoever keeps bindings of its own in step with a virtual host hears of a queue when it is there already, and what is
//! published in between would go past it.

use std::sync::Arc;

use gantry_storage::Change;

use super::bindings::RowChange;
use super::exchange::Destination;
use super::{Topology, VirtualHost};
use crate::queue::Queue;
use crate::value::Table;

/// A binding that stands for a name.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// Whose it is.
    id: Arc<str>,
    source: Arc<str>,
    /// The number of that exchange: another one of its name is not meant.
    source_id: u64,
    arguments: Table,
}

impl VirtualHost {
    /// Has every queue of this name that is declared from now on, without settings and not for one connection alone, be bound to
    /// an exchange; or, where `binding` is none, not any more. `id` tells it from others for the same name, in whose place it
    /// comes. It is forgotten with the process.
    pub fn stand(&self, queue: &str, id: &str, binding: Option<(&str, &Table)>) {
        let is_so = |topology: &Topology| {
            let known = topology.standing.get(queue).and_then(|all| all.iter().find(|standing| *standing.id == *id));
            match (known, binding) {
                (None, None) => true,
                (Some(known), Some((source, arguments))) => {
                    let source = topology.exchanges.get(source).filter(|exchange| *exchange.name() == known.source);
                    source.is_some_and(|source| source.id() == known.source_id) && known.arguments == *arguments
                }
                _ => false,
            }
        };
        if is_so(&self.topology.read()) {
            return;
        }
        let mut topology = self.topology.write();
        if let Some(others) = topology.standing.get_mut(queue) {
            others.retain(|standing| *standing.id != *id);
        }
        let source = binding.and_then(|(source, _)| topology.exchanges.get(source)).cloned();
        if let (Some(source), Some((_, arguments))) = (source, binding) {
            let (name, source_id) = (Arc::clone(source.name()), source.id());
            let standing = Standing { id: Arc::from(id), source: name, source_id, arguments: arguments.clone() };
            topology.standing.entry(Arc::from(queue)).or_default().push(standing);
        } else if topology.standing.get(queue).is_some_and(Vec::is_empty) {
            topology.standing.remove(queue);
        }
    }

    /// Binds a queue that is just being declared as it stands for its name. Rows to write with the queue's own.
    pub(super) fn bind_standing(&self, topology: &mut Topology, queue: &Arc<Queue>) -> Vec<Change> {
        let mut rows = Vec::new();
        if topology.standing.is_empty() || !queue.settings().is_plain() || queue.options().exclusive {
            return rows;
        }
        for Standing { source, source_id, arguments, .. } in
            topology.standing.get(queue.name()).cloned().unwrap_or_default()
        {
            let exchange = topology.exchanges.get(&source).filter(|exchange| exchange.id() == source_id).cloned();
            let Some(exchange) = exchange else { continue };
            let destination = Destination::Queue(Arc::clone(queue));
            let row = self.durable_row(&exchange, &destination, &[], &arguments, RowChange::Put);
            // It was good for a queue of this name before.
            let (Ok(row), Ok(true)) = (row, exchange.matcher.write().insert(&[], &arguments, destination.clone()))
            else {
                tracing::error!(queue = %queue.name(), exchange = %source, "what stands for it is not bound");
                continue;
            };
            rows.extend(row);
            self.tell_binding("binding.created", &exchange, &destination, (&[], &arguments), None);
            topology.bound_from.entry(destination).or_default().insert(Arc::clone(&source));
        }
        if !rows.is_empty() {
            self.changed();
        }
        rows
    }
}
