//! Direct: the routing key is the binding's key.

use std::hash::Hash;

use hashbrown::HashMap;

use super::destinations::Destinations;

#[derive(Debug, Clone)]
pub(super) struct Direct<D> {
    by_key: HashMap<Box<[u8]>, Destinations<D>>,
}

impl<D: Clone + Eq + Hash> Direct<D> {
    pub(super) fn new() -> Self {
        Self { by_key: HashMap::new() }
    }

    pub(super) fn insert(&mut self, key: &[u8], destination: D) {
        match self.by_key.get_mut(key) {
            Some(destinations) => destinations.insert(destination),
            None => {
                self.by_key.insert(key.into(), Destinations::One(destination));
            }
        }
    }

    pub(super) fn remove(&mut self, key: &[u8], destination: &D) {
        if let Some(destinations) = self.by_key.get_mut(key)
            && destinations.remove(destination)
        {
            self.by_key.remove(key);
        }
    }

    pub(super) fn matches(&self, key: &[u8], visit: &mut dyn FnMut(&D)) {
        if let Some(destinations) = self.by_key.get(key) {
            destinations.for_each(visit);
        }
    }
}
