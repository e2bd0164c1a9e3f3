//! An exchange: a name, what it was declared with, and the matcher that knows what is bound to it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use crate::error::{ArgumentProblem, Differing, Error, Kind, Resource};
use crate::exchange::{ExchangeKind, Matcher};
use crate::policy::{Applied, Policies};
use crate::queue::Queue;
use crate::value::Table;

/// What an exchange is declared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExchangeOptions {
    /// How it routes.
    pub kind: ExchangeKind,
    /// It survives a restart.
    pub durable: bool,
    /// It goes with its last binding.
    pub auto_delete: bool,
    /// Clients cannot publish to it; only other exchanges can.
    pub internal: bool,
    /// Everything else, as declared.
    pub arguments: Table,
}

/// An exchange.
pub struct Exchange {
    pub(super) name: Arc<str>,
    pub(super) vhost: Arc<str>,
    pub(super) options: ExchangeOptions,
    /// Where what cannot be routed goes.
    alternate: Option<Arc<str>>,
    /// The same, as a policy has it.
    policy_alternate: ArcSwapOption<Arc<str>>,
    applied: Mutex<Applied>,
    /// It comes with the broker.
    pub(super) predeclared: bool,
    pub(super) matcher: RwLock<Matcher<Destination>>,
}

impl Exchange {
    pub(super) fn new(
        name: Arc<str>,
        vhost: Arc<str>,
        options: ExchangeOptions,
        predeclared: bool,
    ) -> Result<Arc<Self>, Error> {
        let alternate = match options.arguments.get("alternate-exchange") {
            None => None,
            Some(value) => match value.as_str() {
                Some(alternate) => Some(Arc::from(alternate)),
                None => {
                    return Err(Error::InvalidArgument {
                        resource: Resource { kind: Kind::Exchange, name, vhost },
                        name: "alternate-exchange".to_owned(),
                        value: Box::new(value.clone()),
                        problem: ArgumentProblem::WrongType,
                    });
                }
            },
        };
        let matcher = RwLock::new(Matcher::new(options.kind));
        let (policy_alternate, applied) = (ArcSwapOption::empty(), Mutex::default());
        Ok(Arc::new(Self { name, vhost, options, alternate, policy_alternate, applied, predeclared, matcher }))
    }

    /// Its name; empty for the default exchange.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it was declared with.
    pub fn options(&self) -> &ExchangeOptions {
        &self.options
    }

    /// The exchange for what it cannot route: by its arguments or, without one, by policy.
    pub fn alternate(&self) -> Option<Arc<str>> {
        self.alternate.clone().or_else(|| self.policy_alternate.load().as_deref().cloned())
    }

    /// The policies that apply to it.
    pub fn applied(&self) -> Applied {
        self.applied.lock().clone()
    }

    /// Does as the policies say. True where what it cannot route goes elsewhere now.
    pub(super) fn follow(&self, policies: &Policies) -> bool {
        let mut applied = self.applied.lock();
        if !applied.follow(policies, |before| policies.for_exchange(&self.name, before)) {
            return false;
        }
        let alternate = applied.setting("alternate-exchange").and_then(|value| value.as_str().map(Arc::<str>::from));
        self.policy_alternate.store(alternate.map(Arc::new));
        true
    }

    pub(super) fn resource(&self) -> Resource {
        Resource { kind: Kind::Exchange, name: Arc::clone(&self.name), vhost: Arc::clone(&self.vhost) }
    }

    /// Compares with what is declared once more.
    pub(super) fn check_same(&self, again: &ExchangeOptions) -> Result<(), Error> {
        let differs = |property: &str, differing| {
            Err(Error::Differs {
                resource: self.resource(),
                property: property.to_owned(),
                differing: Box::new(differing),
            })
        };
        let current = &self.options;
        if again.kind != current.kind {
            let (received, current) = (again.kind.name().to_owned(), current.kind.name().to_owned());
            return differs("type", Differing::Word { received, current });
        }
        let flags = [
            ("durable", again.durable, current.durable),
            ("auto_delete", again.auto_delete, current.auto_delete),
            ("internal", again.internal, current.internal),
        ];
        for (property, received, current) in flags {
            if received != current {
                return differs(property, Differing::Flag { received, current });
            }
        }
        let name = "alternate-exchange";
        let (received, current) = (again.arguments.get(name), current.arguments.get(name));
        if received != current {
            let (received, current) = (received.cloned(), current.cloned());
            return differs(name, Differing::Argument { received, current });
        }
        Ok(())
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("name", &self.name).field("kind", &self.options.kind).finish_non_exhaustive()
    }
}

/// Where a binding leads. The same one is the same object.
#[derive(Clone, Debug)]
pub enum Destination {
    /// To a queue.
    Queue(Arc<Queue>),
    /// To another exchange.
    Exchange(Arc<Exchange>),
}

impl Destination {
    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Queue(queue) => queue.name(),
            Self::Exchange(exchange) => exchange.name(),
        }
    }

    pub(super) fn is_durable(&self) -> bool {
        match self {
            Self::Queue(queue) => queue.survives(),
            Self::Exchange(exchange) => exchange.options.durable,
        }
    }

    fn address(&self) -> *const () {
        match self {
            Self::Queue(queue) => Arc::as_ptr(queue).cast(),
            Self::Exchange(exchange) => Arc::as_ptr(exchange).cast(),
        }
    }
}

impl PartialEq for Destination {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl Eq for Destination {}

impl Hash for Destination {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}
