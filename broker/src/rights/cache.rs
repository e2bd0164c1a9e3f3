//! Decisions that a session has already had.
//!
//! Whoever keeps users and permissions also keeps a version, an `AtomicU64`, and increments it (`Release`) **after**
//! each change is in place. A cache compares it before each answer, so a change counts from the next question on, and a
//! decision costs a load and a look-up where it has been had before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;

use super::permission::{Access, Permission};
use super::topic::{TopicAccess, TopicGrant, TopicPermission, Variables};

/// Names that a session's cache holds before it starts over.
const NAMES_MAX: usize = 64;

/// What one session may do to queues and exchanges. Takes no memory beyond its own fields before the first question.
#[derive(Debug, Default)]
pub struct AccessCache {
    /// That the rest was made from; none before the first question.
    version: Option<u64>,
    permission: Option<Arc<Permission>>,
    decided: HashMap<Box<[u8]>, Decisions>,
}

/// Two bits for each kind of access: whether it is decided, and how.
#[derive(Debug, Default, Clone, Copy)]
struct Decisions(u8);

impl Decisions {
    fn get(self, access: Access) -> Option<bool> {
        let bits = self.0 >> (2 * access as u8);
        (bits & 1 != 0).then_some(bits & 2 != 0)
    }

    fn set(&mut self, access: Access, may: bool) {
        let bits = 1 | (u8::from(may) << 1);
        self.0 |= bits << (2 * access as u8);
    }
}

impl AccessCache {
    /// A cache that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether this may be done to the queue or exchange of that name. `load` gives the permission of the session's user
    /// in its virtual host; it is called only when `version` has changed, and without one nothing is allowed.
    pub fn may(
        &mut self,
        version: &AtomicU64,
        load: impl FnOnce() -> Option<Arc<Permission>>,
        access: Access,
        name: impl AsRef<[u8]>,
    ) -> bool {
        // Read before the permission is: a change in between makes the next question load again.
        let version = version.load(Ordering::Acquire);
        if self.version != Some(version) {
            self.decided.clear();
            self.permission = load();
            self.version = Some(version);
        }
        let name = name.as_ref();
        if let Some(decisions) = self.decided.get(name)
            && let Some(may) = decisions.get(access)
        {
            return may;
        }
        self.decide(access, name)
    }

    #[cold]
    fn decide(&mut self, access: Access, name: &[u8]) -> bool {
        let may = self.permission.as_ref().is_some_and(|permission| permission.may(access, name));
        match self.decided.get_mut(name) {
            Some(decisions) => decisions.set(access, may),
            None => {
                if self.decided.len() >= NAMES_MAX {
                    self.decided.clear();
                }
                let mut decisions = Decisions::default();
                decisions.set(access, may);
                self.decided.insert(name.into(), decisions);
            }
        }
        may
    }
}

/// Which routing keys one session may use, exchange by exchange. Keys themselves are not remembered, only the compiled
/// expressions: there may be a new key with every message.
#[derive(Debug, Default)]
pub struct TopicCache {
    version: Option<u64>,
    granted: HashMap<Box<[u8]>, Granted>,
}

#[derive(Debug)]
enum Granted {
    Everything,
    Nothing,
    Some(TopicGrant),
}

impl TopicCache {
    /// A cache that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether this may be done with the key on a topic exchange. `load` gives the permission of the session's user in its
    /// virtual host for that exchange; without one everything is allowed.
    pub fn may(
        &mut self,
        version: &AtomicU64,
        load: impl FnOnce() -> Option<Arc<TopicPermission>>,
        variables: Variables<'_>,
        access: TopicAccess,
        exchange: impl AsRef<[u8]>,
        routing_key: impl AsRef<[u8]>,
    ) -> bool {
        let version = version.load(Ordering::Acquire);
        if self.version != Some(version) {
            self.granted.clear();
            self.version = Some(version);
        }
        let exchange = exchange.as_ref();
        if !self.granted.contains_key(exchange) {
            if self.granted.len() >= NAMES_MAX {
                self.granted.clear();
            }
            let granted = match load() {
                None => Granted::Everything,
                Some(permission) => permission.grant(variables).map_or(Granted::Nothing, Granted::Some),
            };
            self.granted.insert(exchange.into(), granted);
        }
        match self.granted.get(exchange) {
            Some(Granted::Everything) => true,
            Some(Granted::Some(grant)) => grant.may(access, routing_key),
            Some(Granted::Nothing) | None => false,
        }
    }
}
