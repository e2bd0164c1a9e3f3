//! One destination of many, all alike.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;

use super::hash::hash_bytes;

/// Destinations of which each message goes to one.
#[derive(Debug, Clone)]
pub(super) struct Pick<D> {
    destinations: Vec<D>,
    /// Where each stands in the list.
    places: HashMap<D, usize>,
}

impl<D: Clone + Eq + Hash> Pick<D> {
    pub(super) fn new() -> Self {
        Self { destinations: Vec::new(), places: HashMap::new() }
    }

    pub(super) fn insert(&mut self, destination: D) {
        if !self.places.contains_key(&destination) {
            self.places.insert(destination.clone(), self.destinations.len());
            self.destinations.push(destination);
        }
    }

    pub(super) fn remove(&mut self, destination: &D) {
        let Some(place) = self.places.remove(destination) else { return };
        self.destinations.swap_remove(place);
        if let Some(moved) = self.destinations.get(place) {
            self.places.insert(moved.clone(), place);
        }
    }

    /// The same destination for the same key, as long as nothing is bound or unbound.
    pub(super) fn by_key(&self, key: &[u8], visit: &mut dyn FnMut(&D)) {
        self.pick(hash_bytes(key), visit);
    }

    pub(super) fn at_random(&self, visit: &mut dyn FnMut(&D)) {
        self.pick(random(), visit);
    }

    fn pick(&self, number: u64, visit: &mut dyn FnMut(&D)) {
        let count = self.destinations.len() as u128;
        // The upper half of a product is as good as a remainder, and cheaper.
        if let Some(destination) = self.destinations.get(((u128::from(number) * count) >> 64) as usize) {
            visit(destination);
        }
    }
}

/// A number that is evenly spread; nothing depends on nobody guessing it. Wait-free, since every publisher asks for one.
fn random() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut z = COUNT.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}
