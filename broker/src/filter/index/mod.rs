//! Many filters at once.
//!
//! A rule is filed by one of its fields, the one by which the fewest others are found with it: under the values that it may have, in a
//! hash; under what they begin or end with, in a tree; under ranges, in a grid. A message is looked up by each of the
//! values that it has and somebody asks for, and what is found is looked at in full. So ten thousand policies that ask for
//! different values cost as much as the few that one message is for.
//!
//! * [`place`]: what is filed for one name; [`tree`], [`ranges`]: two ways to do that; [`lists`]: what stands there.
//! * [`half`]: the filters of one scope.

mod half;
mod lists;
mod place;
mod ranges;
mod tree;

use std::hash::Hash;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

use self::half::Half;
use self::lists::RuleId;
use super::{Filter, Scope};
use crate::message::Message;

/// Filters, and what each of them is for.
#[derive(Clone, Debug)]
pub struct Index<D> {
    attributes: Half<D>,
    body: Half<D>,
    /// What every message is for, and how often that was said.
    everything: HashMap<D, usize>,
}

/// Where a filter is in an index.
#[must_use]
#[derive(Clone, Debug)]
pub struct Filed(Place);

#[derive(Clone, Debug)]
enum Place {
    Everything,
    Rules(Scope, Box<[RuleId]>),
}

impl<D: Clone + Eq + Hash> Default for Index<D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D: Clone + Eq + Hash> Index<D> {
    /// An index of nothing.
    pub fn new() -> Self {
        Self {
            attributes: Half::new(Scope::MessageAttributes),
            body: Half::new(Scope::MessageBody),
            everything: HashMap::new(),
        }
    }

    /// Whether nothing is in it but what every message is for, so that no message need be looked at.
    pub fn is_plain(&self) -> bool {
        self.attributes.is_empty() && self.body.is_empty()
    }

    /// Adds what a filter lets through to; without one, that is everything. The same may be added any number of times.
    pub fn insert(&mut self, filter: Option<&Arc<Filter>>, destination: D) -> Filed {
        let Some(filter) = filter.filter(|filter| !filter.is_everything()) else {
            *self.everything.entry(destination).or_default() += 1;
            return Filed(Place::Everything);
        };
        let half = self.half(filter.scope());
        let rules = (0..filter.rules.len()).map(|rule| half.insert(filter, rule, destination.clone())).collect();
        Filed(Place::Rules(filter.scope(), rules))
    }

    /// Takes out what was added there.
    pub fn remove(&mut self, filed: Filed, destination: &D) {
        match filed.0 {
            Place::Everything => {
                if let Some(times) = self.everything.get_mut(destination) {
                    *times -= 1;
                    if *times == 0 {
                        self.everything.remove(destination);
                    }
                }
            }
            Place::Rules(scope, rules) => {
                let half = self.half(scope);
                rules.iter().for_each(|id| half.remove(*id));
            }
        }
    }

    fn half(&mut self, scope: Scope) -> &mut Half<D> {
        match scope {
            Scope::MessageAttributes => &mut self.attributes,
            Scope::MessageBody => &mut self.body,
        }
    }

    /// Visits what a message is for, each once, in no particular order. Without a message, only what every message is for.
    pub fn matches(&self, message: Option<&Message>, visit: &mut dyn FnMut(&D)) {
        self.everything.keys().for_each(&mut *visit);
        let Some(message) = message else { return };
        let mut seen = Seen::new();
        for half in [&self.attributes, &self.body] {
            half.matches(message, &mut |destination: &D, check| {
                // What is there already need not be looked at.
                if !self.everything.contains_key(destination) && !seen.contains(destination) && check() {
                    visit(destination);
                    seen.add(destination.clone());
                }
            });
        }
    }
}

/// Up to this many are compared with one another rather than hashed.
const COMPARED_MAX: usize = 16;

/// What has been visited.
enum Seen<D> {
    Few(SmallVec<[D; 4]>),
    Many(HashSet<D>),
}

impl<D: Eq + Hash> Seen<D> {
    fn new() -> Self {
        Self::Few(SmallVec::new())
    }

    fn contains(&self, destination: &D) -> bool {
        match self {
            Self::Few(few) => few.contains(destination),
            Self::Many(many) => many.contains(destination),
        }
    }

    fn add(&mut self, destination: D) {
        match self {
            Self::Few(few) if few.len() < COMPARED_MAX => few.push(destination),
            Self::Few(few) => {
                let mut many: HashSet<D> = few.drain(..).collect();
                many.insert(destination);
                *self = Self::Many(many);
            }
            Self::Many(many) => {
                many.insert(destination);
            }
        }
    }
}
