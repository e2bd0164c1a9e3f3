//! A matcher: what is bound to an exchange, and where a message goes by it.

use std::hash::Hash;

use super::bindings::{Arguments, Binding, Bindings};
use super::direct::Direct;
use super::error::BindError;
use super::fanout::Fanout;
use super::filtered::{Filtered, filter_of};
use super::hash::{ConsistentHash, HashOn, Weight};
use super::headers::{Headers, Rule};
use super::kind::Routing;
use super::pick::Pick;
use super::topic::Topic;
use crate::message::{Message, Properties};
use crate::value::Table;

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
    ConsistentHash(ConsistentHash<D>),
    ModulusHash(Pick<D>),
    Random(Pick<D>),
    LocalRandom(Pick<D>),
    Filtered(Box<Filtered<D>>),
}

impl<D: Clone + Eq + Hash> Matcher<D> {
    /// A matcher without bindings.
    pub fn new(routing: Routing) -> Self {
        let routes = match routing {
            Routing::Direct => Routes::Direct(Direct::new()),
            Routing::Fanout => Routes::Fanout(Fanout::new()),
            Routing::Filtered => Routes::Filtered(Box::new(Filtered::new())),
            Routing::Topic => Routes::Topic(Topic::new()),
            Routing::Headers => Routes::Headers(Headers::new()),
            Routing::ConsistentHash => Routes::ConsistentHash(ConsistentHash::new(HashOn::Key)),
            Routing::ModulusHash => Routes::ModulusHash(Pick::new()),
            Routing::Random => Routes::Random(Pick::new()),
            Routing::LocalRandom => Routes::LocalRandom(Pick::new()),
        };
        Self { bindings: Bindings::new(), routes }
    }

    /// A consistent hash of something else than the routing key.
    pub fn hashing(on: HashOn) -> Self {
        Self { bindings: Bindings::new(), routes: Routes::ConsistentHash(ConsistentHash::new(on)) }
    }

    /// Whether more than the routing key decides where a message goes. Where bindings have filter policies that is so for as long
    /// as they do.
    pub fn asks_message(&self) -> bool {
        match &self.routes {
            Routes::Direct(_) | Routes::Fanout(_) | Routes::Topic(_) | Routes::ModulusHash(_) => false,
            Routes::Headers(_) | Routes::Random(_) | Routes::LocalRandom(_) => true,
            Routes::ConsistentHash(hash) => hash.asks_message(),
            Routes::Filtered(filtered) => filtered.asks_message(),
        }
    }

    /// Whether a further routing key of a message can lead further. Where it cannot, the first one decides for all of them.
    pub fn asks_each_key(&self) -> bool {
        matches!(self.routes, Routes::Direct(_) | Routes::Topic(_))
    }

    /// Adds a binding. `Ok(false)` if it was there already.
    ///
    /// # Errors
    /// A headers exchange refuses an `x-match` that is none, a consistent hash a key that is no weight, a local random exchange
    /// any key, a topic of subscriptions a filter policy that is none; nothing is changed then.
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
        if let Routes::Filtered(filtered) = &mut self.routes {
            let filter = filter_of(&arguments)?;
            let new = self.bindings.insert(&destination, key, arguments.clone());
            if new {
                filtered.insert(filter.as_ref(), arguments, destination);
            }
            return Ok(new);
        }
        if let Routes::ConsistentHash(hash) = &mut self.routes {
            let weight = Weight::parse(key)?;
            hash.check_room(weight)?;
            let new = self.bindings.insert(&destination, key, arguments);
            if new {
                hash.insert(weight, destination);
            }
            return Ok(new);
        }
        if matches!(self.routes, Routes::LocalRandom(_)) && !key.is_empty() {
            return Err(BindError::KeyNotEmpty(key.into()));
        }
        if !self.bindings.insert(&destination, key, arguments) {
            return Ok(false);
        }
        match &mut self.routes {
            Routes::Direct(direct) => direct.insert(key, destination),
            Routes::Fanout(fanout) => fanout.insert(destination),
            Routes::Topic(topic) => topic.insert(key, destination),
            Routes::ModulusHash(pick) | Routes::Random(pick) | Routes::LocalRandom(pick) => pick.insert(destination),
            Routes::Headers(_) | Routes::ConsistentHash(_) | Routes::Filtered(_) => {}
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
            Routes::Filtered(filtered) => filtered.remove(destination, &arguments),
            Routes::ConsistentHash(hash) => {
                if let Ok(weight) = Weight::parse(key) {
                    hash.remove(weight, destination);
                }
            }
            Routes::ModulusHash(pick) | Routes::Random(pick) | Routes::LocalRandom(pick) => {
                if !self.bindings.contains(destination) {
                    pick.remove(destination);
                }
            }
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
        match &mut self.routes {
            Routes::Fanout(fanout) => fanout.remove(destination),
            Routes::ModulusHash(pick) | Routes::Random(pick) | Routes::LocalRandom(pick) => pick.remove(destination),
            Routes::ConsistentHash(hash) => hash.remove_destination(destination),
            Routes::Direct(_) | Routes::Topic(_) | Routes::Headers(_) | Routes::Filtered(_) => {}
        }
        for (key, arguments) in self.bindings.remove_destination(destination) {
            removed += arguments.len();
            match &mut self.routes {
                Routes::Direct(direct) => direct.remove(&key, destination),
                Routes::Topic(topic) => topic.remove(&key, destination),
                // Done above, for all keys at once.
                Routes::Fanout(_)
                | Routes::ConsistentHash(_)
                | Routes::ModulusHash(_)
                | Routes::Random(_)
                | Routes::LocalRandom(_) => {}
                Routes::Headers(headers) => {
                    for arguments in &arguments {
                        headers.remove(destination, arguments);
                    }
                }
                Routes::Filtered(filtered) => {
                    for arguments in &arguments {
                        filtered.remove(destination, arguments);
                    }
                }
            }
        }
        removed
    }

    /// Visits each destination of a message exactly once, in no particular order.
    ///
    /// `properties` is called at most once, and only by an exchange that has bindings and looks at more than the key, so that
    /// they need not be decoded for the others. `message` is what filter policies look at: without it they let nothing through.
    pub fn matches<'p>(
        &self,
        key: &[u8],
        properties: &dyn Fn() -> Option<&'p Properties>,
        message: Option<&Message>,
        visit: &mut dyn FnMut(&D),
    ) {
        match &self.routes {
            Routes::Direct(direct) => direct.matches(key, visit),
            Routes::Fanout(fanout) => fanout.matches(visit),
            Routes::Topic(topic) => topic.matches(key, visit),
            Routes::Headers(routes) => {
                if !routes.is_empty() {
                    routes.matches(properties().and_then(|properties| properties.headers.as_ref()), visit);
                }
            }
            Routes::ConsistentHash(hash) => hash.matches(key, properties, visit),
            Routes::ModulusHash(pick) => pick.by_key(key, visit),
            Routes::Random(pick) | Routes::LocalRandom(pick) => pick.at_random(visit),
            Routes::Filtered(filtered) => filtered.matches(message, visit),
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

    /// Whether there is this binding.
    pub fn contains_binding(&self, key: &[u8], arguments: &Table, destination: &D) -> bool {
        self.bindings.contains_binding(destination, key, &Arguments::new(arguments))
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
