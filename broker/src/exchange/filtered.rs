//! Everything, but for bindings that say by a filter policy which messages they are for. The key means nothing.

use std::hash::Hash;
use std::sync::Arc;

use hashbrown::HashMap;

use super::bindings::Arguments;
use super::error::BindError;
use crate::filter::{Filed, Filter, Index, Scope};
use crate::message::Message;
use crate::value::{Table, Value};

/// The argument that is a policy, as text.
pub(super) const POLICY: &str = "filter-policy";
/// The argument that says what the policy looks at: `MessageAttributes`, which is usual, or `MessageBody`.
pub(super) const POLICY_SCOPE: &str = "filter-policy-scope";

/// What the arguments of a binding ask for; none where they ask for nothing.
pub(super) fn filter_of(arguments: &Table) -> Result<Option<Arc<Filter>>, BindError> {
    let text = |name: &'static str| match arguments.get(name) {
        None => Ok(None),
        Some(value @ Value::Text(text)) => match text.as_str() {
            Some(text) => Ok(Some(text)),
            None => Err(BindError::PolicyType(name, value.clone())),
        },
        Some(other) => Err(BindError::PolicyType(name, other.clone())),
    };
    let invalid = |name: &'static str| move |problem| BindError::Policy(name, problem);
    let scope = match text(POLICY_SCOPE)? {
        Some(scope) => scope.parse().map_err(invalid(POLICY_SCOPE))?,
        None => Scope::default(),
    };
    let Some(policy) = text(POLICY)? else { return Ok(None) };
    Filter::parse(policy, scope).map(|filter| Some(Arc::new(filter))).map_err(invalid(POLICY))
}

#[derive(Debug, Clone)]
pub(super) struct Filtered<D> {
    index: Index<D>,
    by_binding: HashMap<(D, Arguments), Bound>,
}

#[derive(Debug, Clone)]
struct Bound {
    filed: Filed,
    /// Bindings with the same arguments and destination, which differ by the key that nobody looks at here.
    bindings: u32,
}

impl<D: Clone + Eq + Hash> Filtered<D> {
    pub(super) fn new() -> Self {
        Self { index: Index::new(), by_binding: HashMap::new() }
    }

    /// Whether a message has to be looked at.
    pub(super) fn asks_message(&self) -> bool {
        !self.index.is_plain()
    }

    pub(super) fn insert(&mut self, filter: Option<&Arc<Filter>>, arguments: Arguments, destination: D) {
        let binding = (destination, arguments);
        if let Some(bound) = self.by_binding.get_mut(&binding) {
            bound.bindings += 1;
            return;
        }
        let filed = self.index.insert(filter, binding.0.clone());
        self.by_binding.insert(binding, Bound { filed, bindings: 1 });
    }

    pub(super) fn remove(&mut self, destination: &D, arguments: &Arguments) {
        let binding = (destination.clone(), arguments.clone());
        let Some(bound) = self.by_binding.get_mut(&binding) else {
            debug_assert!(false, "a binding was not filed");
            return;
        };
        bound.bindings -= 1;
        if bound.bindings == 0
            && let Some(Bound { filed, .. }) = self.by_binding.remove(&binding)
        {
            self.index.remove(filed, destination);
        }
    }

    pub(super) fn matches(&self, message: Option<&Message>, visit: &mut dyn FnMut(&D)) {
        self.index.matches(message, visit);
    }
}
