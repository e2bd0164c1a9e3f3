//! Through which topics a message has come that was published elsewhere.

use std::sync::Arc;

use smallvec::SmallVec;

use super::exchange::{Destination, Exchange};
use super::{VirtualHost, further_keys};
use crate::exchange::ExchangeKind;
use crate::message::Message;

/// So many exchanges are looked at for one message.
const EXCHANGES_MAX: usize = 256;

impl VirtualHost {
    /// The topics (exchanges of type `x-sns`) by which a message that was published to the exchange `from` by the key `key` may
    /// have come into a queue, as bindings are now; those first that let it into the queue now. None where only other exchanges
    /// do that, and where `from` leads to no topic.
    ///
    /// A message says where it was published, and no more: exchanges that are bound to that one leave no trace in it.
    pub fn topics_between(&self, from: &str, key: &[u8], message: &Message, queue: &str) -> SmallVec<[Arc<str>; 1]> {
        let mut topics = SmallVec::new();
        let topology = self.topology.read();
        let Some(first) = topology.exchanges.get(from) else { return topics };
        let mut todo: SmallVec<[Arc<Exchange>; 4]> = SmallVec::from_elem(Arc::clone(first), 1);
        let mut seen: SmallVec<[*const Exchange; 8]> = SmallVec::new();
        let further_keys = further_keys(message);
        let (mut letting_in, mut is_led_elsewhere) = (0, false);
        while let Some(exchange) = todo.pop() {
            if seen.len() == EXCHANGES_MAX || seen.contains(&Arc::as_ptr(&exchange)) {
                continue;
            }
            seen.push(Arc::as_ptr(&exchange));
            let (mut matched, mut lets_in) = (false, false);
            let mut visit = |destination: &Destination| {
                matched = true;
                match destination {
                    Destination::Queue(to) => lets_in |= **to.name() == *queue,
                    Destination::Exchange(next) => todo.push(Arc::clone(next)),
                }
            };
            let matcher = exchange.matcher.read();
            for key in std::iter::once(key).chain(further_keys.iter().map(|key| &**key)) {
                matcher.matches(key, &|| Some(message.properties()), Some(message), &mut visit);
            }
            drop(matcher);
            if exchange.options.kind == ExchangeKind::Subscriptions {
                let at = if lets_in { letting_in } else { topics.len() };
                topics.insert(at, Arc::clone(&exchange.name));
                letting_in += usize::from(lets_in);
            } else {
                is_led_elsewhere |= lets_in;
            }
            if !matched && let Some(alternate) = exchange.alternate() {
                todo.extend(topology.exchanges.get(&alternate).cloned());
            }
        }
        if is_led_elsewhere && letting_in == 0 {
            topics.clear();
        }
        topics
    }
}
