//! Fanout: every destination, whatever the key.

use std::hash::Hash;

use hashbrown::HashSet;

#[derive(Debug, Clone)]
pub(super) struct Fanout<D> {
    destinations: HashSet<D>,
}

impl<D: Eq + Hash> Fanout<D> {
    pub(super) fn new() -> Self {
        Self { destinations: HashSet::new() }
    }

    pub(super) fn insert(&mut self, destination: D) {
        self.destinations.insert(destination);
    }

    pub(super) fn remove(&mut self, destination: &D) {
        self.destinations.remove(destination);
    }

    pub(super) fn matches(&self, visit: &mut dyn FnMut(&D)) {
        self.destinations.iter().for_each(visit);
    }
}
