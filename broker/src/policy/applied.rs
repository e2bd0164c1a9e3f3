//! What applies to one queue or exchange.

use super::{Matched, Policies};
use crate::queue::Effective;
use crate::value::{Table, Value};

/// Settings of which the larger number counts where both policies have them; otherwise it is the smaller.
const LARGER: &[&str] = &["target-group-size"];

/// The policies that apply to a queue or an exchange, now.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    version: u64,
    matched: Matched,
}

impl Applied {
    pub(crate) fn new(policies: &Policies, matched: Matched) -> Self {
        Self { version: policies.version(), matched }
    }

    /// Takes over what a list of policies says; `find` is told what applied, where the list has one change more. True where
    /// that is something else. A list that is older than the one before says nothing.
    pub(crate) fn follow(&mut self, policies: &Policies, find: impl FnOnce(Option<&Matched>) -> Matched) -> bool {
        if self.version >= policies.version() {
            return false;
        }
        let is_next = self.version + 1 == policies.version();
        self.version = policies.version();
        let matched = find(is_next.then_some(&self.matched));
        let changed = !matched.is(&self.matched);
        self.matched = matched;
        changed
    }

    /// Name of the policy.
    pub fn policy(&self) -> Option<&str> {
        self.matched.policy.as_ref().map(|policy| &*policy.name)
    }

    /// Name of the operator policy.
    pub fn operator_policy(&self) -> Option<&str> {
        self.matched.operator.as_ref().map(|policy| &*policy.name)
    }

    /// What both come to, in the order of the names of the settings: the smaller of two numbers, else what the operator says.
    pub fn definition(&self) -> Table {
        let Effective { policy, operator } = self.effective();
        let mut all = policy;
        for (name, value) in operator {
            let value = match all.get(&name) {
                Some(other) => stricter(name.as_bytes(), other, &value),
                None => value,
            };
            all.set(name, value);
        }
        all.sort();
        all
    }

    /// What one setting comes to.
    pub(crate) fn setting(&self, name: &str) -> Option<Value> {
        let of = |policy: &Option<std::sync::Arc<super::Policy>>| policy.as_ref()?.definition.get(name).cloned();
        of(&self.matched.operator).or_else(|| of(&self.matched.policy))
    }

    pub(crate) fn effective(&self) -> Effective {
        let definition = |policy: &Option<std::sync::Arc<super::Policy>>| {
            policy.as_ref().map(|policy| policy.definition.clone()).unwrap_or_default()
        };
        Effective { policy: definition(&self.matched.policy), operator: definition(&self.matched.operator) }
    }
}

fn stricter(name: &[u8], policy: &Value, operator: &Value) -> Value {
    let (Some(one), Some(other)) = (policy.as_integer(), operator.as_integer()) else { return operator.clone() };
    // A negative number is no limit at all.
    let first = match (one < 0, other < 0) {
        (true, false) => false,
        (false, true) => true,
        _ => (one <= other) != LARGER.iter().any(|larger| larger.as_bytes() == name),
    };
    if first { policy.clone() } else { operator.clone() }
}
