//! Publishing to a topic with order: each message has a number there, all queues get messages in the order of these, and what is
//! published once more is not taken.

use std::sync::Arc;

use smallvec::SmallVec;

use super::VirtualHost;
use super::exchange::Exchange;
use super::publish::{Coming, Prepared, Published, Refusal};
use super::route::{Reached, Route};
use super::send::{Deduplication, Original};
use crate::error::Error;
use crate::inbox::Wakes;
use crate::message::Message;
use crate::queue::Arrival;
use crate::timer::Sleeper;
use crate::window::{First, Open, Window};

/// What became of a message that is not to be taken twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishedOnce {
    /// Where it went. A duplicate went nowhere, and waits for its original.
    pub published: Published,
    /// Its number in the topic, that of its original where it is a duplicate. Numbers rise, over restarts, too.
    pub sequence: u64,
    /// It is a duplicate of this one, and was not taken.
    pub original: Option<Original>,
}

impl VirtualHost {
    /// Does something while nobody publishes to an ordered exchange: what was published before is in all queues that were bound,
    /// and what comes afterwards goes to those that are bound then. It must not publish, and not wait for anything. Dead letters
    /// and what was held back for later are not kept out, nor what comes through an exchange that looks at more than keys.
    pub fn between_messages<R>(&self, exchange: &Exchange, change: impl FnOnce() -> R) -> R {
        let _open = exchange.window().map(Window::open);
        change()
    }

    /// Has a message published by a route while nobody else publishes to the ordered exchanges that it leads to. The route it is
    /// given is the newest: it may have been found before somebody changed what is bound, in between messages.
    pub(super) fn in_order<R>(
        &self,
        route: &Route,
        publish: impl FnOnce(&Route, &mut [Open<'_>]) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut found: Option<Arc<Route>> = None;
        loop {
            let route = found.as_deref().unwrap_or(route);
            let windows = in_turn(route.windows());
            let mut open: SmallVec<[Open<'_>; 1]> = windows.iter().map(|window| window.open()).collect();
            let Some(newer) = self.newer(route)? else { return publish(route, &mut open) };
            if newer.windows().all(|window| windows.iter().any(|open| Arc::ptr_eq(open, window))) {
                return publish(&newer, &mut open);
            }
            drop(open);
            found = Some(newer);
        }
    }

    /// Publishes a message by a route of an exchange whose settings have it ordered
    /// ([`ExchangeSettings::ordered`](super::ExchangeSettings::ordered)), with a number that `make` is given. It is not taken where
    /// one with the same key was published less than `deduplication_ms` ago, whatever has become of that one, and over a restart:
    /// the key is one record with the message. Where the exchange is not ordered, it is taken in any case.
    ///
    /// Messages are published one by one: their order is the same in all queues. `make` is called while others wait, and ought to
    /// do nothing but put the message together; it is not called for a duplicate.
    ///
    /// Where a queue has no room for it, none has it, and its key is not remembered: who publishes it once more must not be told
    /// that it is a duplicate of one that a queue never got, and what has it already must not get it twice.
    ///
    /// # Errors
    /// As [`VirtualHost::publish`]; no more keys can be remembered now. Then no queue has it.
    pub fn publish_once(
        &self,
        route: &Route,
        deduplication: Deduplication,
        now_ms: u64,
        wakes: &mut Wakes,
        make: impl FnOnce(u64) -> Arc<Message>,
    ) -> Result<PublishedOnce, Error> {
        if route.exchange().window().is_some() {
            return self
                .in_order(route, |route, open| self.publish_opened(route, open, deduplication, now_ms, wakes, make));
        }
        let sequence = route.exchange().next_sequence();
        let published = self.publish(route, &make(sequence), now_ms, wakes)?;
        Ok(PublishedOnce { published, sequence, original: None })
    }

    fn publish_opened(
        &self,
        route: &Route,
        open: &mut [Open<'_>],
        deduplication: Deduplication,
        now_ms: u64,
        wakes: &mut Wakes,
        make: impl FnOnce(u64) -> Arc<Message>,
    ) -> Result<PublishedOnce, Error> {
        let (exchange, key) = (route.exchange(), deduplication.key);
        let own = exchange.window().and_then(|window| open.iter_mut().find(|open| open.is_of(window)));
        // One of the same name may have come in its place just now.
        let Some(open) = own else { return Err(Error::NotFound(exchange.resource())) };
        if let Some(First { seq, sent_ms, ticket }) = open.find(key, now_ms) {
            let published = Published { routed: 0, refused: 0, durable: ticket };
            return Ok(PublishedOnce { published, sequence: seq, original: Some(Original { seq, sent_ms }) });
        }
        let room = open.take_room()?;
        let sequence = exchange.next_sequence();
        let message = make(sequence);
        let mut reached = Reached::default();
        let (queues, aside) = self.queues_of(route, &message, now_ms, &mut reached);
        let mut prepared = Prepared::new(queues, aside, &message, Coming::published(now_ms, Refusal::Ends));
        let refused = prepared.refused();
        if refused > 0 {
            let published = Published { routed: 0, refused, durable: None };
            return Ok(PublishedOnce { published, sequence, original: None });
        }
        let key_record = open.record(key, sequence, now_ms);
        let payload = [prepared.prefix.prefix.as_slice(), message.data()];
        let mut record = gantry_storage::Transaction::default();
        record.appends.extend(prepared.append(&payload));
        record.appends.extend(prepared.claims());
        // Nothing of an exchange that does not survive is asked for after a restart.
        if exchange.options().durable {
            record.appends.push(key_record.append());
        }
        let mut appended =
            if record.appends.is_empty() { Vec::new() } else { self.shared.journal.transact(&record)?.0 };
        drop(record);
        let of_key = if exchange.options().durable { appended.pop() } else { None };
        // The ticket is that of the message, too: it is one record.
        let both = of_key.map(|of_key| [of_key; 2]);
        open.remember(room, &key_record, now_ms, both.as_ref().map_or(&[], |both| both));
        let durable = of_key.or_else(|| appended.first().copied()).map(|appended| appended.ticket);
        // Still under the window's lock, so that messages come into queues in the order of their numbers.
        let arrival = Arrival { message: &message, now_ms, ticket: durable, redelivered: false };
        let (routed, ticket) = prepared.arrive(&self.shared, arrival, &mut appended.into_iter(), wakes);
        let routed = routed + self.reply(route, &message, wakes);
        Ok(PublishedOnce {
            published: Published { routed, refused, durable: durable.max(ticket) },
            sequence,
            original: None,
        })
    }
}

/// Windows in the order in which everybody opens them, each once, so that nobody waits for somebody who waits for it.
pub(super) fn in_turn<'w>(windows: impl Iterator<Item = &'w Arc<Window>>) -> SmallVec<[Arc<Window>; 1]> {
    let mut windows: SmallVec<[Arc<Window>; 1]> = windows.cloned().collect();
    windows.sort_unstable_by_key(|window| window.lane());
    windows.dedup_by_key(|window| window.lane());
    windows
}
