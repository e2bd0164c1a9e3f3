//! Topic: the binding's key is a pattern of words between dots.

use std::hash::Hash;

use smallvec::SmallVec;

use super::destinations::{Destinations, Once};
use super::trie::{Syntax, Trie};

#[derive(Debug, Clone)]
pub(super) struct Topic<D> {
    patterns: Trie<Destinations<D>>,
}

impl<D: Clone + Eq + Hash> Topic<D> {
    pub(super) fn new() -> Self {
        Self { patterns: Trie::new(Syntax::DOTS) }
    }

    pub(super) fn insert(&mut self, pattern: &[u8], destination: D) {
        match self.patterns.get_mut(pattern) {
            Some(destinations) => destinations.insert(destination),
            None => {
                self.patterns.get_or_insert_with(pattern, || Destinations::One(destination));
            }
        }
    }

    pub(super) fn remove(&mut self, pattern: &[u8], destination: &D) {
        if let Some(destinations) = self.patterns.get_mut(pattern)
            && destinations.remove(destination)
        {
            self.patterns.remove(pattern);
        }
    }

    pub(super) fn matches(&self, key: &[u8], visit: &mut dyn FnMut(&D)) {
        let mut matched: SmallVec<[&Destinations<D>; 8]> = SmallVec::new();
        self.patterns.matches(key, |destinations| matched.push(destinations));
        match matched.as_slice() {
            [] => {}
            [only] => only.for_each(visit),
            several => {
                let total = several.iter().map(|set| set.len()).sum();
                let mut once = Once::with_capacity(total);
                for destinations in several {
                    destinations.for_each(&mut |destination| {
                        if once.first(destination) {
                            visit(destination);
                        }
                    });
                }
            }
        }
    }
}
