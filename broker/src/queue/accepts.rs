//! Acknowledgements on their way to a queue: neighbours are told in one go.

use std::mem;
use std::sync::Arc;

use super::{Lease, Outcome, Queue};
use crate::inbox::Wakes;

/// Deliveries that are done and whose queue has not heard of it yet: those of one queue, since what comes together is usually of one.
///
/// Nothing is promised to a client before [`Accepts::flush`]; it is due before anything else is done with queues, and after each
/// read.
#[derive(Debug, Default)]
pub struct Accepts(Option<(Arc<Queue>, Vec<Lease>)>);

impl Accepts {
    /// Says that a delivery is done.
    pub fn add(&mut self, queue: Arc<Queue>, lease: Lease, wakes: &mut Wakes) {
        match &mut self.0 {
            Some((current, leases)) if Arc::ptr_eq(current, &queue) => leases.push(lease),
            others => {
                // The list goes from queue to queue: no allocation where they take turns.
                let mut leases = others.take().map_or_else(Vec::new, |(other, mut leases)| {
                    tell(&other, &mut leases, wakes);
                    leases
                });
                leases.push(lease);
                *others = Some((queue, leases));
            }
        }
    }

    /// Tells the queue.
    pub fn flush(&mut self, wakes: &mut Wakes) {
        if let Some((queue, leases)) = &mut self.0 {
            tell(queue, leases, wakes);
        }
    }

    /// Gives memory back, and lets go of the queue; after a [`Accepts::flush`].
    pub fn shrink(&mut self) {
        debug_assert!(self.0.as_ref().is_none_or(|(_, leases)| leases.is_empty()));
        drop(mem::take(self));
    }
}

fn tell(queue: &Arc<Queue>, leases: &mut Vec<Lease>, wakes: &mut Wakes) {
    if !leases.is_empty() {
        queue.settle(leases, Outcome::Accept, wakes);
        leases.clear();
    }
}
