//! The policies that a queue is under, and its settings: what its rules follow while it lives.

use std::sync::Arc;

use super::{DeadLetter, Queue, QueueSettings, Rules, resource};
use crate::error::Error;
use crate::policy::{Applied, Policies};

impl Queue {
    /// The policies that it is under.
    pub fn applied(&self) -> Applied {
        self.applied.lock().clone()
    }

    /// Says what its first rules were made from.
    pub(crate) fn adopt(&self, applied: Applied, settings: QueueSettings) {
        *self.applied.lock() = applied;
        self.keep_settings(settings);
    }

    fn keep_settings(&self, settings: QueueSettings) {
        // Most queues have none, and pay nothing for it.
        self.settings.store((!settings.is_plain()).then(|| Arc::new(settings)));
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
        match self.rules_under(&applied, &self.settings()) {
            Ok(rules) => self.set_rules(Arc::new(rules)),
            // Arguments have been checked when it was declared, definitions when they were set.
            Err(error) => tracing::error!(queue = %self.name, %error, "policies cannot be applied"),
        }
    }

    /// What is set on it beside its declaration.
    pub fn settings(&self) -> Arc<QueueSettings> {
        self.settings.load_full().unwrap_or_else(|| Arc::clone(&self.shared.no_settings))
    }

    /// Sets other settings, which hold at once for what is in it.
    pub(crate) fn set_settings(self: &Arc<Self>, settings: QueueSettings) -> Result<(), Error> {
        // Kept until the rules are set, as above.
        let applied = self.applied.lock();
        let rules = self.rules_under(&applied, &settings)?;
        self.keep_settings(settings);
        self.set_rules(Arc::new(rules));
        Ok(())
    }

    /// Where messages go now that were received too often.
    pub(crate) fn redrive(&self) -> Option<Arc<DeadLetter>> {
        self.state.lock().rules().redrive.clone()
    }

    /// Whether messages may overtake others by their priorities.
    pub(crate) fn has_priorities(&self) -> bool {
        self.state.lock().rules().priority_max > 0
    }

    /// The rules that it follows.
    #[cfg(test)]
    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(self.state.lock().rules())
    }

    fn rules_under(&self, applied: &Applied, settings: &QueueSettings) -> Result<Rules, Error> {
        Rules::of(&resource(&self.name, &self.vhost), &self.options, &applied.effective(), settings)
    }
}
