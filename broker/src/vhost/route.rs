//! From an exchange and a routing key to queues.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::exchange::{Destination, Exchange};
use super::{Topology, VirtualHost};
use crate::error::{Error, Forbidden, Kind, Resource};
use crate::exchange::ExchangeKind;
use crate::message::{Address, Message};
use crate::queue::Queue;
use crate::replies;
use crate::value::Table;

/// Queues that a publisher's routes lead to at most before it starts anew; a route itself weighs as much as some of them.
const CACHED_QUEUES_MAX: usize = 16 * 1024;
const ROUTE_WEIGHT: usize = 16;

pub(crate) type Queues = SmallVec<[Arc<Queue>; 4]>;

/// Addresses of requesters.
pub(super) type Addresses = SmallVec<[Bytes; 1]>;

/// Where messages with this exchange and routing key go.
#[derive(Debug)]
pub struct Route {
    pub(super) address: Arc<Address>,
    exchange: Arc<Exchange>,
    /// Further keys by which the message goes to the same exchange.
    copies: Vec<Bytes>,
    /// Requesters among those keys.
    pub(super) replies: Addresses,
    /// None where the message's headers decide.
    queues: Option<Queues>,
}

impl Route {
    /// Exchange and routing key, to make messages with.
    pub fn address(&self) -> &Arc<Address> {
        &self.address
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
        let topology = self.topology.read();
        let exchange = Arc::clone(topology.exchanges.get(exchange)?);
        let mut walk = Walk::new(&topology, key, None);
        walk.from(&exchange);
        let queues = (!walk.asked_headers).then_some(walk.queues);
        drop(topology);
        let exchange_name = Arc::clone(&exchange.name);
        let routing_key = Bytes::copy_from_slice(key);
        let mut replies = Addresses::new();
        if queues.as_ref().is_some_and(SmallVec::is_empty) && is_requester(&exchange, key) {
            replies.push(routing_key.clone());
        }
        let address = Arc::new(Address { exchange: exchange_name, routing_key });
        Some(Arc::new(Route { address, exchange, copies: Vec::new(), replies, queues }))
    }

    /// Finds where a message goes that is also published by other keys to the same exchange: each queue that any of them leads
    /// to, once.
    pub fn route_copies(&self, route: &Route, copies: Vec<Bytes>) -> Arc<Route> {
        let topology = self.topology.read();
        let mut asked_headers = route.queues.is_none();
        let mut queues = route.queues.clone().unwrap_or_default();
        let mut replies = route.replies.clone();
        for key in &copies {
            if is_requester(&route.exchange, key) {
                replies.push(key.clone());
            }
            let mut walk = Walk::new(&topology, key, None);
            walk.from(&route.exchange);
            asked_headers |= walk.asked_headers;
            merge(&mut queues, walk.queues);
        }
        drop(topology);
        dedup(&mut queues);
        let (address, exchange) = (Arc::clone(&route.address), Arc::clone(&route.exchange));
        replies.sort_unstable();
        replies.dedup();
        Arc::new(Route { address, exchange, copies, replies, queues: (!asked_headers).then_some(queues) })
    }

    /// The queues for one message.
    pub(crate) fn queues_of<'r>(
        &self,
        route: &'r Route,
        message: &Message,
        walked: &'r mut Queues,
    ) -> &'r [Arc<Queue>] {
        if let Some(queues) = &route.queues {
            return queues;
        }
        let topology = self.topology.read();
        let mut walk = Walk::new(&topology, &route.address.routing_key, Some(message));
        walk.from(&route.exchange);
        *walked = walk.queues;
        for key in &route.copies {
            let mut walk = Walk::new(&topology, key, Some(message));
            walk.from(&route.exchange);
            merge(walked, walk.queues);
        }
        if !route.copies.is_empty() {
            dedup(walked);
        }
        walked
    }
}

/// Whether what is published to this exchange by this key may be a reply.
fn is_requester(exchange: &Exchange, key: &[u8]) -> bool {
    exchange.name.is_empty() && replies::is_address(key)
}

/// One walk from an exchange to queues.
struct Walk<'a> {
    topology: &'a Topology,
    key: &'a [u8],
    /// None while only the key is known: then headers count as absent, and that they were asked for is noted.
    message: Option<&'a Message>,
    asked_headers: bool,
    seen: SmallVec<[*const Exchange; 8]>,
    queues: Queues,
}

impl<'a> Walk<'a> {
    fn new(topology: &'a Topology, key: &'a [u8], message: Option<&'a Message>) -> Self {
        Self { topology, key, message, asked_headers: false, seen: SmallVec::new(), queues: Queues::new() }
    }

    /// Follows everything that is bound, each exchange once: bindings between exchanges may go in circles.
    fn from(&mut self, start: &Arc<Exchange>) {
        let mut todo: SmallVec<[Arc<Exchange>; 4]> = SmallVec::from_elem(Arc::clone(start), 1);
        while let Some(exchange) = todo.pop() {
            if self.seen.contains(&Arc::as_ptr(&exchange)) {
                continue;
            }
            self.seen.push(Arc::as_ptr(&exchange));
            let mut matched = false;
            if exchange.name.is_empty() {
                // The default exchange has every queue bound by its name, without anybody keeping a list.
                let queue = std::str::from_utf8(self.key).ok().and_then(|name| self.topology.queues.get(name));
                if let Some(queue) = queue {
                    matched = true;
                    self.queues.push(Arc::clone(queue));
                }
            } else {
                if exchange.options.kind == ExchangeKind::Headers {
                    self.asked_headers = true;
                }
                let message = self.message;
                let headers =
                    || -> Option<&Table> { message.and_then(|message| message.properties().headers.as_ref()) };
                exchange.matcher.read().matches(self.key, &headers, &mut |destination| match destination {
                    Destination::Queue(queue) if !queue.is_visible() => {}
                    Destination::Queue(queue) => {
                        matched = true;
                        self.queues.push(Arc::clone(queue));
                    }
                    Destination::Exchange(next) => {
                        matched = true;
                        todo.push(Arc::clone(next));
                    }
                });
            }
            if !matched
                && let Some(alternate) = exchange.alternate().and_then(|name| self.topology.exchanges.get(&name))
            {
                todo.push(Arc::clone(alternate));
            }
        }
        if self.seen.len() > 1 {
            dedup(&mut self.queues);
        }
    }
}

/// Adds the queues of a further key. Duplicates go before they outnumber what is there, since every key may lead to all of
/// them; [`dedup`] is due at the end.
fn merge(queues: &mut Queues, more: Queues) {
    if queues.len() + more.len() > queues.capacity() {
        dedup(queues);
    }
    queues.extend(more);
}

/// A queue that is reached on several ways gets the message once.
fn dedup(queues: &mut Queues) {
    queues.sort_unstable_by_key(|queue| queue.lane());
    queues.dedup_by_key(|queue| queue.lane());
}
