//! What a dead letter says of its deaths, and where it goes: the headers `x-death`, `x-first-death-*` and `x-last-death-*`
//! as RabbitMQ writes them, and the queues it must not come back to.

use std::sync::Arc;

use bytes::Bytes;

use super::Letter;
use crate::message::{Edit, Message};
use crate::queue::{DeadLetter, Departure};
use crate::value::{Table, Value};
use crate::vhost::{Reached, RouteCache, VirtualHost, further_keys};

const X_DEATH: &str = "x-death";
/// How often a message had been received in the queues that it came from by redrives.
const RECEIVE_COUNT: &str = "x-receive-count";
const CC: &str = "CC";

/// What a message says of its deaths; taken away where it goes back to the living.
pub(crate) const DEATH_HEADERS: &[&str] = &[
    X_DEATH,
    RECEIVE_COUNT,
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
];

/// Deaths that a message remembers at most. It has one for each queue and reason; only a client that invents some comes here.
const DEATHS_MAX: usize = 1024;

/// The message as it goes on, and the queues that it goes to. None where its exchange does not exist, leads nowhere or leads
/// only back, on a way that nobody had a hand in.
pub(super) fn bury(
    vhost: &VirtualHost,
    routes: &mut RouteCache,
    letter: &Letter,
    message: &Arc<Message>,
    now_ms: u64,
) -> (Arc<Message>, Reached) {
    let DeadLetter { exchange, key, .. } = &*letter.to;
    let copies = further_keys(message);
    let key_now = key.as_ref().unwrap_or(&message.address().routing_key);
    let Some(mut route) = vhost.route_internally(routes, exchange, key_now) else {
        return (Arc::clone(message), Reached::default());
    };
    let headers = headers(message, letter, deaths(message, letter, &copies, now_ms / 1000));
    let remove: &[&str] = if key.is_some() { &[CC] } else { &[] };
    let edit = Edit { set: &headers, remove, without_ttl: true };
    let buried = message.edited(Arc::clone(route.address()), &edit);
    if key.is_none() && !copies.is_empty() {
        route = vhost.route_copies(&route, copies);
    }
    let mut reached = vhost.reached(&route, &buried, now_ms);
    let deaths = headers.iter().find(|(name, _)| *name == X_DEATH).and_then(|(_, deaths)| deaths.as_array());
    // Whoever received it so often had a hand in it.
    let may_come_back = letter.why == Departure::Rejected || letter.to.is_redrive;
    let comes_back = |queue: &str| !may_come_back && goes_round(queue, deaths.unwrap_or_default());
    reached.queues.retain(|queue| !comes_back(queue.name()));
    (buried, reached)
}

/// How a reason is called.
fn reason(why: Departure) -> &'static str {
    match why {
        Departure::Rejected | Departure::Accepted | Departure::Discarded => "rejected",
        Departure::Expired => "expired",
        Departure::Overflowed => "maxlen",
        Departure::Exhausted => "delivery_limit",
    }
}

/// The deaths of the message, this one included: one entry for each queue and reason, the last one first. What a client put
/// there that is no death is left out.
fn deaths(message: &Message, letter: &Letter, copies: &[Bytes], now_s: u64) -> Vec<Value> {
    let known = message.properties().headers.as_ref().and_then(|headers| headers.get(X_DEATH));
    let known = known.and_then(Value::as_array);
    let mut deaths: Vec<Value> = known.unwrap_or_default().iter().filter(|death| is_table(death)).cloned().collect();
    deaths.truncate(DEATHS_MAX);
    let (queue, why) = (letter.queue.name(), reason(letter.why));
    let is_same = |death: &Value| {
        death.as_table().is_some_and(|death| text(death, "queue") == Some(queue) && text(death, "reason") == Some(why))
    };
    let mut death = match deaths.iter().position(is_same).map(|index| deaths.remove(index)) {
        Some(Value::Table(mut again)) => {
            let count = again.get("count").and_then(Value::as_integer).unwrap_or(0);
            again.set("count", i64::try_from(count).unwrap_or(0).saturating_add(1));
            deaths.retain(|death| !is_same(death));
            again
        }
        _ => first_death(message, letter, copies, now_s),
    };
    // The first of all has the order in which it was made; RabbitMQ sorts those that come to others.
    if known.is_some() {
        death.sort();
    }
    deaths.insert(0, Value::Table(death));
    deaths
}

fn first_death(message: &Message, letter: &Letter, copies: &[Bytes], now_s: u64) -> Table {
    let address = message.address();
    let keys = std::iter::once(&address.routing_key).chain(copies);
    let keys: Vec<Value> = keys.map(|key| Value::Text(key.as_ref().into())).collect();
    let mut death = Table::new();
    death.push("count", 1_i64);
    death.push("reason", reason(letter.why));
    death.push("queue", &**letter.queue.name());
    death.push("time", Value::Timestamp(now_s));
    death.push("exchange", &*address.exchange);
    death.push("routing-keys", keys);
    if let Some(ttl_ms) = message.essentials().ttl_ms {
        death.push("original-expiration", ttl_ms.to_string());
    }
    death
}

/// The headers that change.
fn headers(message: &Message, letter: &Letter, deaths: Vec<Value>) -> Vec<(&'static str, Value)> {
    let (queue, why) = (&**letter.queue.name(), reason(letter.why));
    let exchange = &*message.address().exchange;
    let mut headers = vec![
        (X_DEATH, Value::Array(deaths)),
        ("x-last-death-exchange", exchange.into()),
        ("x-last-death-queue", queue.into()),
        ("x-last-death-reason", why.into()),
    ];
    if letter.to.is_redrive {
        let before = message.properties().headers.as_ref().and_then(|headers| headers.get(RECEIVE_COUNT));
        let before = before.and_then(Value::as_integer).and_then(|count| i64::try_from(count).ok()).unwrap_or(0);
        let count = before.max(0).saturating_add(i64::from(letter.entry.attempts));
        headers.push((RECEIVE_COUNT, Value::I64(count)));
    }
    let died_before = message.properties().headers.as_ref().is_some_and(|had| had.contains("x-first-death-reason"));
    if !died_before {
        headers.extend([
            ("x-first-death-exchange", exchange.into()),
            ("x-first-death-queue", queue.into()),
            ("x-first-death-reason", why.into()),
        ]);
    }
    headers
}

/// Whether a message that has died like this has been in the queue before and has come back to it without anybody rejecting
/// it on the way: it would go round for ever.
fn goes_round(queue: &str, deaths: &[Value]) -> bool {
    let deaths = deaths.iter().filter_map(Value::as_table);
    for death in deaths {
        if text(death, "reason") == Some("rejected") {
            return false;
        }
        if text(death, "queue") == Some(queue) {
            return true;
        }
    }
    false
}

fn is_table(value: &Value) -> bool {
    value.as_table().is_some()
}

fn text<'t>(table: &'t Table, name: &str) -> Option<&'t str> {
    table.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn death(queue: &str, reason: &str) -> Value {
        let entries = [("queue", queue), ("reason", reason)];
        Value::Table(entries.into_iter().collect())
    }

    #[test]
    fn a_circle_that_nobody_rejected_in_is_found_and_no_other() {
        let expired = |queue| death(queue, "expired");
        let rejected = |queue| death(queue, "rejected");
        assert!(!goes_round("a", &[]));
        assert!(goes_round("a", &[expired("a")]));
        assert!(goes_round("a", &[expired("b"), death("a", "maxlen"), rejected("c")]));
        assert!(!goes_round("a", &[expired("b"), rejected("a")]));
        assert!(!goes_round("a", &[expired("b"), rejected("c"), expired("a")]));
        assert!(!goes_round("a", &[expired("b"), Value::Table(Table::new()), Value::Null]));
    }
}
