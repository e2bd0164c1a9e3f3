//! Policies: setting and deleting them, and how queues and exchanges hear of it.
//!
//! A change is made in the list, under the lock of the topology; queues and exchanges follow one by one, without that lock,
//! each comparing versions under its own, so that changes may overtake one another. What is declared meanwhile takes the
//! list as it is when it becomes visible.

use std::sync::Arc;

use gantry_storage::Change;

use super::exchange::Exchange;
use super::{VirtualHost, rows};
use crate::error::Error;
use crate::policy::{POLICIES_MAX, Policies, Policy, PolicyKind};
use crate::queue::Queue;

/// Queues and exchanges that follow before others have their turn.
const FOLLOW_BATCH: usize = 64;

/// Everything that a change may concern.
struct Followers {
    policies: Arc<Policies>,
    queues: Vec<Arc<Queue>>,
    exchanges: Vec<Arc<Exchange>>,
}

impl VirtualHost {
    /// All policies of a kind, those that win first.
    pub fn policies(&self, kind: PolicyKind) -> Vec<Arc<Policy>> {
        self.topology.read().policies.of(kind).to_vec()
    }

    /// The policy of this name.
    pub fn policy(&self, kind: PolicyKind, name: &str) -> Option<Arc<Policy>> {
        self.topology.read().policies.get(kind, name).cloned()
    }

    /// Sets a policy, in place of the one of its name. Returns when it is on stable storage and in effect: true where there
    /// was none of its name. Its definition has been checked ([`Policy::check_definition`]).
    ///
    /// # Errors
    /// There are [`POLICIES_MAX`] of its kind, or the disk is full.
    pub async fn set_policy(self: &Arc<Self>, kind: PolicyKind, policy: Policy) -> Result<bool, Error> {
        let policy = Arc::new(policy);
        let mut is_new = false;
        self.change_policies(|policies| {
            is_new = policies.get(kind, &policy.name).is_none();
            let too_many = Error::LimitReached { what: "the number of policies", limit: POLICIES_MAX as u64 };
            let changed = policies.with(kind, Arc::clone(&policy)).ok_or(too_many)?;
            Ok(Some((changed, rows::put_policy(&self.name, kind, &policy)?)))
        })
        .await?;
        Ok(is_new)
    }

    /// Deletes a policy. Returns when nobody is under it any more; false where there was none.
    ///
    /// # Errors
    /// The disk is full.
    pub async fn delete_policy(self: &Arc<Self>, kind: PolicyKind, name: &str) -> Result<bool, Error> {
        let mut found = false;
        self.change_policies(|policies| {
            found = policies.get(kind, name).is_some();
            if !found {
                return Ok(None);
            }
            Ok(Some((policies.without(kind, name), rows::delete_policy(&self.name, kind, name))))
        })
        .await?;
        Ok(found)
    }

    async fn change_policies(
        self: &Arc<Self>,
        change: impl FnOnce(&Policies) -> Result<Option<(Policies, Change)>, Error>,
    ) -> Result<(), Error> {
        let (committed, followers) = {
            let mut topology = self.topology.write();
            let Some((policies, row)) = change(&topology.policies)? else { return Ok(()) };
            let policies = Arc::new(policies);
            topology.policies = Arc::clone(&policies);
            let queues = topology.queues.values().cloned().collect();
            let exchanges = topology.exchanges.values().cloned().collect();
            (self.commit(vec![row]), Followers { policies, queues, exchanges })
        };
        let vhost = Arc::clone(self);
        // A task of its own: whoever asked may be gone before everybody has heard of it.
        let following = tokio::spawn(async move { vhost.follow(followers).await });
        following.await.map_err(|error| Error::Storage(error.to_string()))?;
        committed.wait().await
    }

    async fn follow(&self, followers: Followers) {
        let Followers { policies, queues, exchanges } = followers;
        let mut rerouted = false;
        for batch in exchanges.chunks(FOLLOW_BATCH) {
            for exchange in batch {
                rerouted |= exchange.follow(&policies);
            }
            tokio::task::yield_now().await;
        }
        if rerouted {
            self.changed();
        }
        for batch in queues.chunks(FOLLOW_BATCH) {
            for queue in batch {
                queue.follow(&policies);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Puts back what was found at recovery, before queues and exchanges.
    pub(crate) fn restore_policy(&self, kind: PolicyKind, policy: Policy) {
        let mut topology = self.topology.write();
        // More than the limit of today may have been allowed when they were set.
        if let Some(policies) = topology.policies.with(kind, Arc::new(policy)) {
            topology.policies = Arc::new(policies);
        }
    }
}
