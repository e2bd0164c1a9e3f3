//! A matcher: what is bound to an exchange, and where a message goes by it.

use std::fmt;
use std::hash::Hash;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::bindings::{Arguments, Binding, Bindings};
use super::direct::Direct;
use super::error::BindError;
use super::fanout::Fanout;
use super::headers::{Headers, Rule};
use super::topic::Topic;
use crate::value::Table;

/// How an exchange routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExchangeKind {
    /// The routing key equals the binding's key.
    Direct,
    /// Every binding matches.
    Fanout,
    /// The binding's key is a pattern of words between dots: `*` for one word, `#` for any number of them.
    Topic,
    /// The binding's arguments are compared with the message's headers.
    Headers,
}

impl ExchangeKind {
    /// The name that clients use for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
        }
    }
}

impl fmt::Display for ExchangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name is not one of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown exchange type")]
pub struct UnknownKind;

impl FromStr for ExchangeKind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        match name {
            "direct" => Ok(Self::Direct),
            "fanout" => Ok(Self::Fanout),
            "topic" => Ok(Self::Topic),
            "headers" => Ok(Self::Headers),
            _ => Err(UnknownKind),
        }
    }
}

/// The bindings of one exchange, and the routes that follow from them.
///
/// A binding is identified by destination, key and arguments, as in RabbitMQ; the order of the arguments does not count,
/// their kinds do. The same destination may be bound any number of times; a message goes to it once.
#[derive(Debug, Clone)]
pub struct Matcher<D> {
    bindings: Bindings<D>,
    routes: Routes<D>,
}

#[derive(Debug, Clone)]
enum Routes<D> {
    Direct(Direct<D>),
    Fanout(Fanout<D>),
    Topic(Topic<D>),
    Headers(Headers<D>),
}

impl<D: Clone + Eq + Hash> Matcher<D> {
    /// A matcher without bindings.
    pub fn new(kind: ExchangeKind) -> Self {
        let routes = match kind {
            ExchangeKind::Direct => Routes::Direct(Direct::new()),
            ExchangeKind::Fanout => Routes::Fanout(Fanout::new()),
            ExchangeKind::Topic => Routes::Topic(Topic::new()),
            ExchangeKind::Headers => Routes::Headers(Headers::new()),
        };
        Self { bindings: Bindings::new(), routes }
    }

    /// How it routes.
    pub fn kind(&self) -> ExchangeKind {
        match self.routes {
            Routes::Direct(_) => ExchangeKind::Direct,
            Routes::Fanout(_) => ExchangeKind::Fanout,
            Routes::Topic(_) => ExchangeKind::Topic,
            Routes::Headers(_) => ExchangeKind::Headers,
        }
    }

    /// Adds a binding. `Ok(false)` if it was there already.
    ///
    /// # Errors
    /// Only a headers exchange refuses, for an `x-match` that is none; nothing is changed then.
    pub fn insert(&mut self, key: &[u8], arguments: &Table, destination: D) -> Result<bool, BindError> {
        let arguments = Arguments::new(arguments);
        if let Routes::Headers(headers) = &mut self.routes {
            let rule = Rule::new(destination.clone(), arguments.clone())?;
            let new = self.bindings.insert(&destination, key, arguments);
            if new {
                headers.insert(rule);
            }
            return Ok(new);
        }
        if !self.bindings.insert(&destination, key, arguments) {
            return Ok(false);
        }
        match &mut self.routes {
            Routes::Direct(direct) => direct.insert(key, destination),
            Routes::Fanout(fanout) => fanout.insert(destination),
            Routes::Topic(topic) => topic.insert(key, destination),
            Routes::Headers(_) => {}
        }
        Ok(true)
    }

    /// Removes a binding. `false` if there was none such.
    pub fn remove(&mut self, key: &[u8], arguments: &Table, destination: &D) -> bool {
        let arguments = Arguments::new(arguments);
        if !self.bindings.remove(destination, key, &arguments) {
            return false;
        }
        match &mut self.routes {
            Routes::Headers(headers) => headers.remove(destination, &arguments),
            Routes::Fanout(fanout) => {
                if !self.bindings.contains(destination) {
                    fanout.remove(destination);
                }
            }
            Routes::Direct(direct) => {
                if !self.bindings.contains_key(destination, key) {
                    direct.remove(key, destination);
                }
            }
            Routes::Topic(topic) => {
                if !self.bindings.contains_key(destination, key) {
                    topic.remove(key, destination);
                }
            }
        }
        true
    }

    /// Removes every binding of a destination, and tells how many there were. Costs as much as the destination has
    /// bindings, whatever else is bound.
    pub fn remove_destination(&mut self, destination: &D) -> usize {
        let mut removed = 0;
        if let Routes::Fanout(fanout) = &mut self.routes {
            fanout.remove(destination);
        }
        for (key, arguments) in self.bindings.remove_destination(destination) {
            removed += arguments.len();
            match &mut self.routes {
                Routes::Direct(direct) => direct.remove(&key, destination),
                Routes::Fanout(_) => {}
                Routes::Topic(topic) => topic.remove(&key, destination),
                Routes::Headers(headers) => {
                    for arguments in &arguments {
                        headers.remove(destination, arguments);
                    }
                }
            }
        }
        removed
    }

    /// Visits each destination of a message exactly once, in no particular order.
    ///
    /// `headers` is called at most once, and only by a headers exchange that has bindings, so that headers need not be decoded
    /// for the others.
    pub fn matches<'h>(&self, key: &[u8], headers: &dyn Fn() -> Option<&'h Table>, visit: &mut dyn FnMut(&D)) {
        match &self.routes {
            Routes::Direct(direct) => direct.matches(key, visit),
            Routes::Fanout(fanout) => fanout.matches(visit),
            Routes::Topic(topic) => topic.matches(key, visit),
            Routes::Headers(routes) => {
                if !routes.is_empty() {
                    routes.matches(headers(), visit);
                }
            }
        }
    }

    /// Whether nothing is bound.
    pub fn is_empty(&self) -> bool {
        self.bindings.len() == 0
    }

    /// How many bindings there are.
    pub fn len(&self) -> usize {
        self.bindings.len()
    }

    /// Whether the destination has a binding.
    pub fn contains(&self, destination: &D) -> bool {
        self.bindings.contains(destination)
    }

    /// All bindings, in no particular order.
    pub fn bindings(&self) -> impl Iterator<Item = Binding<'_, D>> {
        self.bindings.iter()
    }

    /// The bindings of one destination, in no particular order.
    pub fn bindings_of(&self, destination: &D) -> impl Iterator<Item = Binding<'_, D>> {
        self.bindings.of(destination)
    }
}
