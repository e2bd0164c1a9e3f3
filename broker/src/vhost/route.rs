//! From an exchange and a routing key to queues.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::aside::{Aside, Passage};
use super::exchange::{Destination, Exchange};
use super::{Topology, VirtualHost};
use crate::error::{Error, Forbidden, Kind, Resource};
use crate::message::{Address, Message, Properties};
use crate::queue::Queue;
use crate::replies;
use crate::shared::Shared;
use crate::value::Value;
use crate::window::Window;

/// Queues that a publisher's routes lead to at most before it starts anew; a route itself weighs as much as some of them.
const CACHED_QUEUES_MAX: usize = 16 * 1024;
const ROUTE_WEIGHT: usize = 16;

/// Direct queues stand behind all others.
pub(crate) type Queues = SmallVec<[Arc<Queue>; 4]>;

/// Addresses of requesters.
pub(super) type Addresses = SmallVec<[Bytes; 1]>;
/// How many places are looked at before those that stand there twice are taken out.
const PLACES_FEW: usize = 1024;

/// Where one message goes.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    pub(crate) queues: Queues,
    /// What exchanges do with it beside that.
    pub(crate) aside: Option<Box<Aside>>,
}

impl Reached {
    /// It goes nowhere, and nobody holds it back for later.
    pub(crate) fn is_nowhere(&self) -> bool {
        self.queues.is_empty() && !self.aside.as_ref().is_some_and(|aside| aside.is_held())
    }
}

/// Further routing keys of a message that was published before, as far as it says: its header `CC`.
pub(crate) fn further_keys(message: &Message) -> Vec<Bytes> {
    let headers = message.properties().headers.as_ref();
    let keys = headers.and_then(|headers| headers.get("CC")).and_then(Value::as_array).unwrap_or_default();
    keys.iter()
        .filter_map(|key| match key {
            Value::Text(key) => Some(Bytes::copy_from_slice(key.as_bytes())),
            _ => None,
        })
        .collect()
}

/// Where messages with this exchange and routing key go.
#[derive(Debug)]
pub struct Route {
    /// How things were when it was found; see `VirtualHost::epoch`.
    epoch: u64,
    pub(super) address: Arc<Address>,
    exchange: Arc<Exchange>,
    /// Further keys by which the message goes to the same exchange.
    pub(super) copies: Vec<Bytes>,
    /// Requesters among those keys.
    pub(super) replies: Addresses,
    /// None where the message decides, and not only where it goes by.
    pub(super) queues: Option<Queues>,
    /// Those of ordered exchanges that its key leads to behind the first exchange.
    ordered: SmallVec<[Arc<Window>; 1]>,
}

impl Route {
    /// Exchange and routing key, to make messages with.
    pub fn address(&self) -> &Arc<Address> {
        &self.address
    }

    /// The exchange.
    pub(super) fn exchange(&self) -> &Arc<Exchange> {
        &self.exchange
    }

    /// Whether it leads to exchanges that take messages one by one.
    #[inline]
    pub(super) fn is_ordered(&self) -> bool {
        self.exchange.window().is_some() || !self.ordered.is_empty()
    }

    /// What keeps others out of those exchanges.
    pub(super) fn windows(&self) -> impl Iterator<Item = &Arc<Window>> {
        self.exchange.window().into_iter().chain(&self.ordered)
    }

    /// Whether no message goes anywhere by it, as things are now.
    pub fn leads_nowhere(&self) -> bool {
        self.queues.as_ref().is_some_and(|queues| queues.is_empty()) && self.replies.is_empty()
    }
}

/// The routes that a publisher (a channel, a connection) used lately, valid as long as nothing is declared, bound or deleted.
/// With it, routing takes no lock and shares nothing with other publishers.
#[derive(Debug, Default)]
pub struct RouteCache {
    epoch: u64,
    /// The last one used, before the others are looked at.
    last: Option<Arc<Route>>,
    routes: HashMap<Arc<str>, HashMap<Bytes, Arc<Route>>>,
    /// Queues that the routes lead to, with the weight of the routes.
    kept: usize,
}

impl RouteCache {
    fn find(&mut self, epoch: u64, exchange: &str, key: &[u8]) -> Option<Arc<Route>> {
        if self.epoch != epoch {
            *self = Self { epoch, ..Self::default() };
            return None;
        }
        if let Some(last) = &self.last
            && *last.address.routing_key == *key
            && *last.address.exchange == *exchange
        {
            return Some(Arc::clone(last));
        }
        let route = self.routes.get(exchange)?.get(key)?;
        self.last = Some(Arc::clone(route));
        Some(Arc::clone(route))
    }

    fn insert(&mut self, route: &Arc<Route>) {
        // There is a new address with every requester.
        if !route.replies.is_empty() {
            return;
        }
        if self.kept >= CACHED_QUEUES_MAX {
            self.routes.clear();
            self.kept = 0;
        }
        let address = &route.address;
        let of_exchange = self.routes.entry(Arc::clone(&address.exchange)).or_default();
        if of_exchange.insert(address.routing_key.clone(), Arc::clone(route)).is_none() {
            self.kept += ROUTE_WEIGHT + route.queues.as_ref().map_or(0, SmallVec::len);
        }
        self.last = Some(Arc::clone(route));
    }
}

impl VirtualHost {
    /// Finds where messages for this exchange and key go.
    ///
    /// # Errors
    /// The exchange does not exist, or is internal.
    pub fn route(&self, cache: &mut RouteCache, exchange: &str, key: &[u8]) -> Result<Arc<Route>, Error> {
        let epoch = self.epoch();
        if let Some(route) = cache.find(epoch, exchange, key) {
            return Ok(route);
        }
        let resource = || Resource { kind: Kind::Exchange, name: Arc::from(exchange), vhost: Arc::clone(&self.name) };
        let route = self.find_route(exchange, key).ok_or_else(|| Error::NotFound(resource()))?;
        if route.exchange.options.internal {
            return Err(Error::Forbidden { resource: resource(), what: Forbidden::Internal });
        }
        cache.insert(&route);
        Ok(route)
    }

    /// As [`VirtualHost::route`], for messages that the broker itself sends on: internal exchanges take those. None where
    /// there is no such exchange.
    pub(crate) fn route_internally(&self, cache: &mut RouteCache, exchange: &str, key: &[u8]) -> Option<Arc<Route>> {
        let epoch = self.epoch();
        if let Some(route) = cache.find(epoch, exchange, key) {
            return Some(route);
        }
        let route = self.find_route(exchange, key)?;
        cache.insert(&route);
        Some(route)
    }

    fn find_route(&self, exchange: &str, key: &[u8]) -> Option<Arc<Route>> {
        let epoch = self.epoch();
        let topology = self.topology.read();
        let exchange = Arc::clone(topology.exchanges.get(exchange)?);
        let (queues, ordered) = Walk::new(&topology, &self.shared, key, &[]).for_all(&exchange);
        drop(topology);
        let exchange_name = Arc::clone(&exchange.name);
        let routing_key = Bytes::copy_from_slice(key);
        let mut replies = Addresses::new();
        if queues.as_ref().is_some_and(SmallVec::is_empty) && is_requester(&exchange, key) {
            replies.push(routing_key.clone());
        }
        let address = Arc::new(Address { exchange: exchange_name, routing_key });
        Some(Arc::new(Route { epoch, address, exchange, copies: Vec::new(), replies, queues, ordered }))
    }

    /// The route that is to be taken in place of one that was found before something changed; none where it still leads where
    /// it should.
    ///
    /// # Errors
    /// The exchange is gone.
    pub(super) fn newer(&self, route: &Route) -> Result<Option<Arc<Route>>, Error> {
        if route.epoch == self.epoch() {
            return Ok(None);
        }
        let address = &route.address;
        let found = self.find_route(&address.exchange, &address.routing_key);
        let found = found.ok_or_else(|| Error::NotFound(route.exchange.resource()))?;
        let copies = route.copies.clone();
        Ok(Some(if copies.is_empty() { found } else { self.route_copies(&found, copies) }))
    }

    /// Finds where a message goes that is also published by other keys to the same exchange: each queue that any of them leads
    /// to, once.
    pub fn route_copies(&self, route: &Route, copies: Vec<Bytes>) -> Arc<Route> {
        let epoch = self.epoch();
        let topology = self.topology.read();
        let walk = Walk::new(&topology, &self.shared, &route.address.routing_key, &copies);
        let (queues, ordered) = walk.for_all(&route.exchange);
        drop(topology);
        let (address, exchange) = (Arc::clone(&route.address), Arc::clone(&route.exchange));
        let mut replies = route.replies.clone();
        replies.extend(copies.iter().filter(|key| is_requester(&route.exchange, key)).cloned());
        replies.sort_unstable();
        replies.dedup();
        Arc::new(Route { epoch, address, exchange, copies, replies, queues, ordered })
    }

    /// The queues for one message, and what exchanges do with it beside that.
    pub(super) fn queues_of<'r>(
        &self,
        route: &'r Route,
        message: &Arc<Message>,
        now_ms: u64,
        reached: &'r mut Reached,
    ) -> (&'r [Arc<Queue>], Option<&'r mut Aside>) {
        if let Some(queues) = &route.queues {
            return (queues, None);
        }
        *reached = self.walk(route, message, now_ms);
        (&reached.queues, reached.aside.as_deref_mut())
    }

    /// As `queues_of`, to keep.
    pub(crate) fn reached(&self, route: &Route, message: &Arc<Message>, now_ms: u64) -> Reached {
        match &route.queues {
            Some(queues) => Reached { queues: queues.clone(), aside: None },
            None => self.walk(route, message, now_ms),
        }
    }

    /// Where a message goes from an exchange that has held it back, whatever its address is. Nowhere if there is no such
    /// exchange.
    pub(crate) fn reach(
        &self,
        cache: &mut RouteCache,
        exchange: &str,
        message: &Arc<Message>,
        further_keys: Vec<Bytes>,
        now_ms: u64,
    ) -> Reached {
        let Some(mut route) = self.route_internally(cache, exchange, &message.address().routing_key) else {
            return Reached::default();
        };
        if !further_keys.is_empty() {
            route = self.route_copies(&route, further_keys);
        }
        if route.queues.is_some() {
            return self.reached(&route, message, now_ms);
        }
        let topology = self.topology.read();
        let mut walk = Walk::new(&topology, &self.shared, &route.address.routing_key, &route.copies);
        walk.was_delayed = true;
        walk.for_one(&route.exchange, message, now_ms)
    }

    fn walk(&self, route: &Route, message: &Arc<Message>, now_ms: u64) -> Reached {
        let topology = self.topology.read();
        let walk = Walk::new(&topology, &self.shared, &route.address.routing_key, &route.copies);
        walk.for_one(&route.exchange, message, now_ms)
    }

    /// Where a message goes that comes to an exchange just now, by whoever holds the lock of the topology.
    pub(super) fn reach_locked(
        &self,
        topology: &Topology,
        exchange: &Arc<Exchange>,
        message: &Arc<Message>,
        now_ms: u64,
    ) -> Reached {
        let keys = further_keys(message);
        let walk = Walk::new(topology, &self.shared, &message.address().routing_key, &keys);
        walk.for_one(exchange, message, now_ms)
    }
}

/// Whether what is published to this exchange by this key may be a reply.
fn is_requester(exchange: &Exchange, key: &[u8]) -> bool {
    exchange.name.is_empty() && replies::is_address(key)
}

/// One walk from an exchange to queues.
struct Walk<'a> {
    topology: &'a Topology,
    shared: &'a Shared,
    key: &'a [u8],
    further_keys: &'a [Bytes],
    /// None while only the keys are known: then everything else counts as absent, and that it was asked for is noted.
    message: Option<(&'a Arc<Message>, u64)>,
    asked_message: bool,
    /// By the exchange it starts from, which does not hold it back again.
    was_delayed: bool,
    any_direct: bool,
    seen: SmallVec<[*const Exchange; 8]>,
    ordered: SmallVec<[Arc<Window>; 1]>,
    reached: Reached,
}

impl<'a> Walk<'a> {
    fn new(topology: &'a Topology, shared: &'a Shared, key: &'a [u8], further_keys: &'a [Bytes]) -> Self {
        let (seen, reached) = (SmallVec::new(), Reached::default());
        Self {
            topology,
            shared,
            key,
            further_keys,
            message: None,
            asked_message: false,
            was_delayed: false,
            any_direct: false,
            seen,
            ordered: SmallVec::new(),
            reached,
        }
    }

    /// Where all messages go that have these keys; none where more than the keys decides. And the windows of ordered exchanges
    /// that the keys alone lead to, but for the first one's.
    fn for_all(mut self, start: &Arc<Exchange>) -> (Option<Queues>, SmallVec<[Arc<Window>; 1]>) {
        self.from(start);
        ((!self.asked_message).then_some(self.reached.queues), self.ordered)
    }

    /// Where this message goes.
    fn for_one(mut self, start: &Arc<Exchange>, message: &'a Arc<Message>, now_ms: u64) -> Reached {
        self.message = Some((message, now_ms));
        self.from(start);
        self.reached
    }

    /// Follows everything that is bound, each exchange once: bindings between exchanges may go in circles.
    fn from(&mut self, start: &Arc<Exchange>) {
        let mut todo: Todo = SmallVec::from_elem(Arc::clone(start), 1);
        while let Some(exchange) = todo.pop() {
            if self.seen.contains(&Arc::as_ptr(&exchange)) {
                continue;
            }
            self.seen.push(Arc::as_ptr(&exchange));
            if self.seen.len() > 1
                && let Some(window) = exchange.window()
            {
                self.ordered.push(Arc::clone(window));
            }
            if !self.through(&exchange, &mut todo)
                && let Some(alternate) = exchange.alternate().and_then(|name| self.topology.exchanges.get(&name))
            {
                todo.push(Arc::clone(alternate));
            }
        }
        if self.seen.len() > 1 || !self.further_keys.is_empty() {
            dedup(&mut self.reached.queues);
        }
        if self.any_direct {
            // Publishers are done with the others first.
            self.reached.queues.sort_unstable_by_key(|queue| queue.is_direct());
        }
    }

    /// Through one exchange; false where it leads nowhere.
    fn through(&mut self, exchange: &Arc<Exchange>, todo: &mut Todo) -> bool {
        if exchange.name.is_empty() {
            return self.through_default();
        }
        if exchange.asks_message {
            self.asked_message = true;
            if let Some((message, now_ms)) = self.message {
                let may_delay = !(self.was_delayed && self.seen.len() == 1);
                match exchange.admit(self.shared, message, now_ms, may_delay, &mut self.reached.aside) {
                    Passage::Now => {}
                    // It is not lost, so that the alternate exchange has nothing to do with it.
                    Passage::Later => return true,
                    Passage::Never => return false,
                }
            }
        }
        let mut matched = false;
        let any_direct = &mut self.any_direct;
        let message = self.message;
        let properties = || -> Option<&Properties> { message.map(|(message, _)| message.properties()) };
        let matcher = exchange.matcher.read();
        // Filter policies come and go.
        self.asked_message |= matcher.asks_message();
        let queues = &mut self.reached.queues;
        let mut visit = |key: &[u8], queues: &mut Queues, todo: &mut Todo| {
            matcher.matches(key, &properties, message.map(|(message, _)| &**message), &mut |destination| {
                match destination {
                    // Its row is not on stable storage yet.
                    Destination::Queue(queue) if !queue.is_visible() => return,
                    Destination::Queue(queue) => {
                        *any_direct |= queue.is_direct();
                        queues.push(Arc::clone(queue));
                    }
                    Destination::Exchange(next) => todo.push(Arc::clone(next)),
                }
                matched = true;
            });
        };
        visit(self.key, queues, todo);
        if matcher.asks_each_key() {
            // Every key may lead to all of them: duplicates go before they outnumber what is there.
            let mut few = PLACES_FEW;
            for key in self.further_keys {
                visit(key, queues, todo);
                if queues.len() + todo.len() > few {
                    dedup(queues);
                    todo.sort_unstable_by_key(Arc::as_ptr);
                    todo.dedup_by_key(|exchange| Arc::as_ptr(exchange));
                    few = PLACES_FEW.max(2 * (queues.len() + todo.len()));
                }
            }
        }
        matched
    }

    /// The default exchange has every queue bound by its name, without anybody keeping a list.
    fn through_default(&mut self) -> bool {
        let mut matched = false;
        for key in std::iter::once(self.key).chain(self.further_keys.iter().map(|key| &**key)) {
            if let Some(queue) = std::str::from_utf8(key).ok().and_then(|name| self.topology.queues.get(name)) {
                matched = true;
                self.any_direct |= queue.is_direct();
                self.reached.queues.push(Arc::clone(queue));
            }
        }
        matched
    }
}

type Todo = SmallVec<[Arc<Exchange>; 4]>;

/// A queue that is reached on several ways gets the message once.
fn dedup(queues: &mut Queues) {
    queues.sort_unstable_by_key(|queue| queue.lane());
    queues.dedup_by_key(|queue| queue.lane());
}
