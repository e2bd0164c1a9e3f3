//! What happens in the broker, told as messages to the exchange `amq.rabbitmq.event` of the default virtual host: queues
//! declared, connections opened, alarms raised. With RabbitMQ's event exchange plugin's routing keys and headers.
//!
//! Nothing is made as long as nothing is bound there. Things happen under locks, so that telling them is a task of its own.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::broker::Broker;
use crate::exchange::field_term;
use crate::inbox::Wakes;
use crate::message::{Essentials, now_ms};
use crate::native;
use crate::value::{Table, Value};
use crate::vhost::{Exchange, RouteCache};

/// The exchange that events go to.
pub const EVENT_EXCHANGE: &str = "amq.rabbitmq.event";

/// Events that wait to be told at most. More happen only where somebody tries to; the others are counted and lost.
const WAITING_MAX: usize = 10_000;

/// The header that says who did it.
pub const PERFORMED_BY: &str = "user_who_performed_action";

#[derive(Debug)]
struct Event {
    key: &'static str,
    headers: Table,
    at_ms: u64,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    lost: u64,
}

/// What waits to be told.
#[derive(Debug, Default)]
pub(crate) struct Events {
    exchange: OnceLock<Weak<Exchange>>,
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

impl Events {
    /// Events go to this exchange.
    pub(crate) fn go_to(&self, exchange: &Arc<Exchange>) {
        // There is one default virtual host.
        let _ = self.exchange.set(Arc::downgrade(exchange));
    }

    /// Whether anybody would hear of an event.
    pub(crate) fn are_heard(&self) -> bool {
        self.exchange.get().and_then(Weak::upgrade).is_some_and(|exchange| exchange.has_bindings())
    }

    /// Tells of an event, if anybody hears of it. `headers` adds what there is to say; it is told when it happened.
    pub(crate) fn tell(&self, key: &'static str, headers: impl FnOnce(&mut Table)) {
        if !self.are_heard() {
            return;
        }
        let mut said = Table::new();
        headers(&mut said);
        let at_ms = now_ms();
        said.push("timestamp_in_ms", Value::I64(at_ms as i64));
        let mut waiting = self.waiting.lock();
        if waiting.events.len() >= WAITING_MAX {
            waiting.lost += 1;
            return;
        }
        waiting.events.push_back(Event { key, headers: said, at_ms });
        drop(waiting);
        self.arrived.notify_one();
    }
}

/// Publishes events, for as long as the broker runs.
pub(crate) async fn run(broker: Arc<Broker>) {
    let events = &broker.shared().events;
    let exchange: Arc<str> = Arc::from(EVENT_EXCHANGE);
    let mut routes = RouteCache::default();
    loop {
        events.arrived.notified().await;
        let Waiting { events: told, lost } = std::mem::take(&mut *events.waiting.lock());
        if lost > 0 {
            tracing::warn!(lost, "more events than could be told");
        }
        let Some(vhost) = events.exchange.get().and_then(Weak::upgrade).and_then(|to| broker.vhost_by_name(to.vhost()))
        else {
            continue;
        };
        let mut wakes = Wakes::new();
        for Event { key, headers, at_ms } in told {
            let essentials = Essentials { durable: true, ..Essentials::default() };
            let key = Bytes::from_static(key.as_bytes());
            let Some(route) = vhost.route_internally(&mut routes, EVENT_EXCHANGE, &key) else { break };
            let message = native::message(&exchange, key, essentials, headers, Some(at_ms / 1000), b"");
            if let Err(error) = vhost.publish(&route, &message, at_ms, &mut wakes) {
                tracing::warn!(%error, "an event was not told");
            }
        }
        wakes.wake();
    }
}

/// Arguments as the plugin tells them: each as the text of an Erlang term.
pub fn terms(arguments: &Table) -> Value {
    Value::Array(arguments.iter().map(|(name, value)| Value::from(field_term(name, value))).collect())
}
