//! Decisions that a session has already had.
//!
//! Whoever keeps users and permissions also keeps a version, an `AtomicU64`, and increments it (`Release`) **after**
//! each change is in place. A cache compares it before each answer, so a change counts from the next question on, and a
//! decision costs a load and a look-up where it has been had before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;

use super::permission::{Access, Permission};
use super::topic::{TopicAccess, TopicGrant, TopicPermissions, Variables};

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
        self.refresh(version, load);
        let name = name.as_ref();
        if let Some(decisions) = self.decided.get(name)
            && let Some(may) = decisions.get(access)
        {
            return may;
        }
        self.decide(access, name)
    }

    /// Whether anything may be done to the queue or exchange of that name; otherwise as [`AccessCache::may`]. The decision is not
    /// kept: whoever lists asks of every name that there is.
    pub fn may_any(
        &mut self,
        version: &AtomicU64,
        load: impl FnOnce() -> Option<Arc<Permission>>,
        name: impl AsRef<[u8]>,
    ) -> bool {
        self.refresh(version, load);
        let name = name.as_ref();
        let any = [Access::Read, Access::Write, Access::Configure];
        self.permission.as_ref().is_some_and(|permission| any.iter().any(|access| permission.may(*access, name)))
    }

    fn refresh(&mut self, version: &AtomicU64, load: impl FnOnce() -> Option<Arc<Permission>>) {
        // Read before the permission is: a change in between makes the next question load again.
        let version = version.load(Ordering::Acquire);
        if self.version != Some(version) {
            self.decided.clear();
            self.permission = load();
            self.version = Some(version);
        }
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
/// expressions: there may be a new key with every message. For a user without any topic permission in the virtual host,
/// who is the usual one, a question costs a load and takes no memory.
#[derive(Debug, Default)]
pub struct TopicCache {
    /// That the rest was made from; none before the first question.
    version: Option<u64>,
    limited: Option<Box<Limited>>,
}

/// What is known of a user who has topic permissions.
#[derive(Debug)]
struct Limited {
    permissions: Arc<TopicPermissions>,
    /// That the expressions were compiled for.
    client_id: Option<Box<str>>,
    granted: HashMap<Box<str>, Granted>,
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

    /// Whether this may be done with the key on a topic exchange. `load` gives all topic permissions of the session's user
    /// in its virtual host; it is called only when `version` has changed, and where there is none for the exchange
    /// everything is allowed.
    pub fn may(
        &mut self,
        version: &AtomicU64,
        load: impl FnOnce() -> Option<Arc<TopicPermissions>>,
        variables: Variables<'_>,
        access: TopicAccess,
        exchange: &str,
        routing_key: impl AsRef<[u8]>,
    ) -> bool {
        // Read before the permissions are: a change in between makes the next question load again.
        let version = version.load(Ordering::Acquire);
        if self.version != Some(version) {
            self.limited = load().map(|permissions| {
                let (client_id, granted) = (variables.client_id.map(Box::from), HashMap::new());
                Box::new(Limited { permissions, client_id, granted })
            });
            self.version = Some(version);
        }
        match &mut self.limited {
            None => true,
            Some(limited) => limited.may(variables, access, exchange, routing_key.as_ref()),
        }
    }
}

impl Limited {
    fn may(&mut self, variables: Variables<'_>, access: TopicAccess, exchange: &str, routing_key: &[u8]) -> bool {
        if self.client_id.as_deref() != variables.client_id {
            self.client_id = variables.client_id.map(Box::from);
            self.granted.clear();
        }
        if !self.granted.contains_key(exchange) {
            if self.granted.len() >= NAMES_MAX {
                self.granted.clear();
            }
            let granted = match self.permissions.get(exchange) {
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
