//! The policies that a queue is under.

use std::sync::Arc;

use super::{Queue, Rules, resource};
use crate::policy::{Applied, Policies};

impl Queue {
    /// The policies that it is under.
    pub fn applied(&self) -> Applied {
        self.applied.lock().clone()
    }

    /// Says what its first rules were made from.
    pub(crate) fn adopt(&self, applied: Applied) {
        *self.applied.lock() = applied;
    }

    /// Does as the policies say, unless it follows a newer list already.
    pub(crate) fn follow(self: &Arc<Self>, policies: &Policies) {
        if self.is_direct() {
            return;
        }
        // Kept until the rules are set, or two changes at once could leave those of the older one.
        let mut applied = self.applied.lock();
        if !applied.follow(policies, |before| policies.for_queue(&self.name, &self.options, before)) {
            return;
        }
        match Rules::of(&resource(&self.name, &self.vhost), &self.options, &applied.effective()) {
            Ok(rules) => self.set_rules(Arc::new(rules)),
            // Arguments have been checked when it was declared, definitions when they were set.
            Err(error) => tracing::error!(queue = %self.name, %error, "policies cannot be applied"),
        }
    }
}
