//! Lists of rules.

use smallvec::SmallVec;

/// The number of a rule in its index.
pub(super) type RuleId = u32;

/// Rules that are filed in one place.
#[derive(Clone, Debug, Default)]
pub(super) struct List(SmallVec<[RuleId; 2]>);

impl List {
    /// A rule may come several times in a row, and stands there once.
    pub(super) fn add(&mut self, id: RuleId) {
        if self.0.last() != Some(&id) {
            self.0.push(id);
        }
    }

    pub(super) fn remove(&mut self, id: RuleId) {
        if let Some(index) = self.0.iter().position(|other| *other == id) {
            self.0.swap_remove(index);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn ids(&self) -> &[RuleId] {
        &self.0
    }
}
