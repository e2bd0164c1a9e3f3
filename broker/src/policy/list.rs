//! The policies of a virtual host, and which of them apply to a name.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{ApplyTo, POLICIES_MAX, Policy, PolicyKind};
use crate::queue::{QueueOptions, QueueType};

/// What a policy may apply to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Exchange,
    Queue(QueueType),
}

/// Settings that only streams have.
const STREAM_ONLY: &[&str] = &["max-age", "stream-max-segment-size-bytes", "stream-filter-size-bytes"];

/// Settings that a classic queue does not have in RabbitMQ: a policy with one of them is not for classic queues, unless it
/// says that it is.
const NOT_CLASSIC: &[&str] = &[
    "dead-letter-strategy",
    "delayed-retry-max",
    "delayed-retry-min",
    "delayed-retry-type",
    "delivery-limit",
    "initial-cluster-size",
    "target-group-size",
];

/// As above, for quorum queues.
const NOT_QUORUM: &[&str] = &[
    "ha-mode",
    "ha-params",
    "ha-promote-on-failure",
    "ha-promote-on-shutdown",
    "ha-sync-batch-size",
    "ha-sync-mode",
    "initial-cluster-size",
    "max-priority",
    "queue-master-locator",
    "queue-mode",
    "queue-version",
    "single-active-consumer",
];

/// Settings that streams do not have. As in RabbitMQ, a policy with one of them is not for streams, whatever it says.
const NOT_STREAM: &[&str] = &[
    "dead-letter-exchange",
    "dead-letter-routing-key",
    "dead-letter-strategy",
    "delayed-retry-max",
    "delayed-retry-min",
    "delayed-retry-type",
    "delivery-limit",
    "expires",
    "ha-mode",
    "ha-params",
    "ha-promote-on-failure",
    "ha-promote-on-shutdown",
    "ha-sync-batch-size",
    "ha-sync-mode",
    "max-in-memory-bytes",
    "max-in-memory-length",
    "max-length",
    "max-priority",
    "message-ttl",
    "overflow",
    "queue-master-locator",
    "queue-mode",
    "queue-version",
];

/// Policies that apply to one queue or exchange.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matched {
    pub(crate) policy: Option<Arc<Policy>>,
    pub(crate) operator: Option<Arc<Policy>>,
}

impl Matched {
    fn of(&self, kind: PolicyKind) -> Option<&Arc<Policy>> {
        match kind {
            PolicyKind::User => self.policy.as_ref(),
            PolicyKind::Operator => self.operator.as_ref(),
        }
    }

    /// Whether these are the very same policies; one that was set again is another one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let same = |one: &Option<Arc<Policy>>, other: &Option<Arc<Policy>>| match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        same(&self.policy, &other.policy) && same(&self.operator, &other.operator)
    }
}

/// What made one list out of another.
#[derive(Clone, Debug)]
struct Change {
    kind: PolicyKind,
    /// The policy that is new, or gone.
    name: String,
    /// As it is now.
    set: Option<Arc<Policy>>,
}

/// All policies of a virtual host. Never changed: each change makes another one, with a higher version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    version: u64,
    last_change: Option<Change>,
    /// Those that win first.
    policies: Vec<Arc<Policy>>,
    operators: Vec<Arc<Policy>>,
}

impl Policies {
    /// Rises with every change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Those of a kind, in the order in which they win.
    pub(crate) fn of(&self, kind: PolicyKind) -> &[Arc<Policy>] {
        match kind {
            PolicyKind::User => &self.policies,
            PolicyKind::Operator => &self.operators,
        }
    }

    pub(crate) fn get(&self, kind: PolicyKind, name: &str) -> Option<&Arc<Policy>> {
        self.of(kind).iter().find(|policy| policy.name == name)
    }

    /// These and another one, in place of the one of its name. None where there are too many.
    pub(crate) fn with(&self, kind: PolicyKind, policy: Arc<Policy>) -> Option<Self> {
        let mut changed = self.without(kind, &policy.name);
        let list = changed.list(kind);
        if list.len() >= POLICIES_MAX {
            return None;
        }
        let place = list.partition_point(|other| wins(other, &policy) == Ordering::Less);
        list.insert(place, Arc::clone(&policy));
        changed.last_change = Some(Change { kind, name: policy.name.clone(), set: Some(policy) });
        Some(changed)
    }

    /// These without one.
    pub(crate) fn without(&self, kind: PolicyKind, name: &str) -> Self {
        let mut changed = self.clone();
        changed.version += 1;
        changed.list(kind).retain(|policy| policy.name != name);
        changed.last_change = Some(Change { kind, name: name.to_owned(), set: None });
        changed
    }

    fn list(&mut self, kind: PolicyKind) -> &mut Vec<Arc<Policy>> {
        match kind {
            PolicyKind::User => &mut self.policies,
            PolicyKind::Operator => &mut self.operators,
        }
    }

    /// Those that apply to a queue. `before` is what applied to it by a list that had one change less: then not all of
    /// them are asked.
    pub(crate) fn for_queue(&self, name: &str, options: &QueueOptions, before: Option<&Matched>) -> Matched {
        self.matched(Target::Queue(options.queue_type()), name, before)
    }

    /// Those that apply to an exchange. The default one takes none, as in RabbitMQ.
    pub(crate) fn for_exchange(&self, name: &str, before: Option<&Matched>) -> Matched {
        if name.is_empty() { Matched::default() } else { self.matched(Target::Exchange, name, before) }
    }

    fn matched(&self, target: Target, name: &str, before: Option<&Matched>) -> Matched {
        let find = |kind| match (before, &self.last_change) {
            (Some(before), Some(change)) => self.after_change(target, name, kind, before.of(kind), change),
            _ => self.first(target, name, kind, |_| true),
        };
        Matched { policy: find(PolicyKind::User), operator: find(PolicyKind::Operator) }
    }

    fn first(
        &self,
        target: Target,
        name: &str,
        kind: PolicyKind,
        may_win: impl Fn(&Policy) -> bool,
    ) -> Option<Arc<Policy>> {
        self.of(kind).iter().find(|policy| may_win(policy) && policy.governs(target, name)).cloned()
    }

    /// With one change a queue stays under its policy unless that is the one which changed, or the new one wins.
    fn after_change(
        &self,
        target: Target,
        name: &str,
        kind: PolicyKind,
        before: Option<&Arc<Policy>>,
        change: &Change,
    ) -> Option<Arc<Policy>> {
        if kind != change.kind {
            return before.cloned();
        }
        match (before, &change.set) {
            // Those ahead of the one that changed did not match, and do not now.
            (Some(old), _) if old.name == change.name => self.first(target, name, kind, |policy| {
                policy.name == change.name || wins(policy, old) == Ordering::Greater
            }),
            (before, Some(new))
                if before.is_none_or(|before| wins(new, before) == Ordering::Less) && new.governs(target, name) =>
            {
                Some(Arc::clone(new))
            }
            (before, _) => before.cloned(),
        }
    }
}

/// Less where the one comes before the other.
fn wins(one: &Policy, other: &Policy) -> Ordering {
    other.priority.cmp(&one.priority).then_with(|| one.name.cmp(&other.name))
}

impl Policy {
    fn governs(&self, target: Target, name: &str) -> bool {
        self.is_for(target) && self.matches(name)
    }

    fn matches(&self, name: &str) -> bool {
        // To a policy an empty pattern is one that is found everywhere; to a permission it is nothing.
        self.pattern.as_str().is_empty() || self.pattern.matches(name)
    }

    fn is_for(&self, target: Target) -> bool {
        let has = |settings: &[&str]| settings.iter().any(|name| self.definition.contains(name));
        match (target, self.apply_to) {
            (Target::Exchange, apply_to) => matches!(apply_to, ApplyTo::All | ApplyTo::Exchanges),
            (Target::Queue(QueueType::Classic), ApplyTo::All | ApplyTo::Queues) => {
                !has(STREAM_ONLY) && !has(NOT_CLASSIC)
            }
            (Target::Queue(QueueType::Classic), ApplyTo::ClassicQueues) => !has(STREAM_ONLY),
            (Target::Queue(QueueType::Quorum), ApplyTo::All | ApplyTo::Queues) => !has(STREAM_ONLY) && !has(NOT_QUORUM),
            (Target::Queue(QueueType::Quorum), ApplyTo::QuorumQueues) => !has(STREAM_ONLY),
            (Target::Queue(QueueType::Stream), ApplyTo::All | ApplyTo::Queues | ApplyTo::Streams) => !has(NOT_STREAM),
            (Target::Queue(QueueType::Stream), ApplyTo::Exchanges | ApplyTo::ClassicQueues | ApplyTo::QuorumQueues) => {
                false
            }
            (Target::Queue(QueueType::Classic), ApplyTo::Exchanges | ApplyTo::QuorumQueues | ApplyTo::Streams) => false,
            (Target::Queue(QueueType::Quorum), ApplyTo::Exchanges | ApplyTo::ClassicQueues | ApplyTo::Streams) => false,
        }
    }
}
