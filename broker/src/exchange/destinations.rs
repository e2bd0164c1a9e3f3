//! Sets of destinations.

use std::hash::Hash;

use hashbrown::HashSet;
use smallvec::SmallVec;

/// The destinations of one key. There are often a hundred thousand keys with one destination each, and sometimes one key with
/// a hundred thousand destinations; neither may cost much, and removing one must not look through all of them.
#[derive(Debug, Clone)]
pub(super) enum Destinations<D> {
    One(D),
    Many(HashSet<D>),
}

impl<D: Clone + Eq + Hash> Destinations<D> {
    pub(super) fn insert(&mut self, destination: D) {
        match self {
            Self::One(only) if *only == destination => {}
            Self::One(only) => {
                *self = Self::Many(HashSet::from_iter([only.clone(), destination]));
            }
            Self::Many(set) => {
                set.insert(destination);
            }
        }
    }

    /// Whether nothing is left.
    pub(super) fn remove(&mut self, destination: &D) -> bool {
        match self {
            Self::One(only) => only == destination,
            Self::Many(set) => {
                set.remove(destination);
                set.is_empty()
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(set) => set.len(),
        }
    }

    pub(super) fn for_each<'a>(&'a self, visit: &mut dyn FnMut(&'a D)) {
        match self {
            Self::One(only) => visit(only),
            Self::Many(set) => set.iter().for_each(visit),
        }
    }
}

/// Up to this many destinations are compared with one another rather than hashed.
const COMPARED_MAX: usize = 16;

/// Lets each destination through once.
pub(super) enum Once<'a, D> {
    Few(SmallVec<[&'a D; COMPARED_MAX]>),
    Many(HashSet<&'a D>),
}

impl<'a, D: Eq + Hash> Once<'a, D> {
    /// For about this many destinations.
    pub(super) fn with_capacity(destinations: usize) -> Self {
        if destinations <= COMPARED_MAX {
            Self::Few(SmallVec::new())
        } else {
            Self::Many(HashSet::with_capacity(destinations))
        }
    }

    /// Whether this is the first time.
    pub(super) fn first(&mut self, destination: &'a D) -> bool {
        match self {
            Self::Few(seen) => {
                let first = !seen.contains(&destination);
                if first {
                    seen.push(destination);
                }
                first
            }
            Self::Many(seen) => seen.insert(destination),
        }
    }
}
