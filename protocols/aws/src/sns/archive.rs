//! Archives: a topic with an `ArchivePolicy` has a stream that is bound to it like a queue, and keeps its messages for so many days.

use std::sync::Arc;

use gantry_broker::exchange::ExchangeKind;
use gantry_broker::message::now_ms;
use gantry_broker::value::{Table, Value};
use gantry_broker::vhost::{Bound, DeleteQueue, Exchange, Pending};
use gantry_broker::{Queue, QueueOptions, QueueSettings, Retention, VirtualHost};
use hashbrown::HashMap;

use super::attributes::topic::ARCHIVE_POLICY;
use super::reconcile::INTERNAL;
use super::replay;
use super::topics::annotation;
use crate::Edge;

/// What the names of archives begin with; the number of the topic's exchange follows.
const PREFIX: &str = "sns-archive-";
/// The annotation that says since when messages are kept, in milliseconds since the epoch of Unix.
const SINCE: &str = "sns.since_ms";

/// Whose queues it is, as the annotation says.
const SNS: &str = "sns";

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn name(exchange: &Exchange) -> String {
    format!("{PREFIX}{}", exchange.id())
}

/// For how long a topic's messages are kept, in milliseconds; none where they are not.
fn kept_ms(exchange: &Exchange) -> Option<u64> {
    let settings = exchange.settings();
    let policy = settings.annotations.get(&annotation(ARCHIVE_POLICY))?;
    // It was checked when it was set.
    let policy: serde_json::Value = serde_json::from_str(policy).ok()?;
    let days = policy.get("MessageRetentionPeriod")?;
    let days = days.as_u64().or_else(|| days.as_str()?.parse().ok())?;
    Some(days.saturating_mul(DAY_MS))
}

/// Whether a topic's messages are kept from now on.
pub(super) fn is_wanted(exchange: &Exchange) -> bool {
    kept_ms(exchange).is_some()
}

/// Whether a queue is an archive of ours, and nobody else's queue of such a name.
fn is_archive(queue: &Queue) -> bool {
    let annotations = &queue.settings().annotations;
    queue.is_stream() && annotations.get(INTERNAL).is_some_and(|by| by == SNS) && annotations.contains_key(SINCE)
}

/// The archive of a topic.
pub(super) fn of(vhost: &VirtualHost, exchange: &Exchange) -> Option<Arc<Queue>> {
    vhost.queue_of_anyone(&name(exchange)).ok().filter(|queue| is_archive(queue))
}

/// The first moment from which messages are there, in milliseconds since the epoch of Unix.
pub(super) fn begins_ms(vhost: &VirtualHost, exchange: &Exchange) -> Option<u64> {
    let kept_ms = kept_ms(exchange)?;
    let since_ms = of(vhost, exchange)?.settings().annotations.get(SINCE)?.parse().ok()?;
    Some(now_ms().saturating_sub(kept_ms).max(since_ms))
}

/// Makes the archive of a topic be as its settings say. One that is not wanted any more stays until the replays are over that come
/// out of it. What to wait for until it is on stable storage.
///
/// # Errors
/// It cannot be made; there is another queue of its name.
pub(super) fn follow(
    edge: &Edge,
    vhost: &Arc<VirtualHost>,
    exchange: &Arc<Exchange>,
) -> Result<Vec<Pending>, gantry_broker::Error> {
    // Nobody begins a replay meanwhile.
    let _one = edge.sns.changes.lock();
    let name = name(exchange);
    let Some(kept_ms) = kept_ms(exchange) else {
        if of(vhost, exchange).is_none() || is_replayed(edge, exchange) {
            return Ok(Vec::new());
        }
        return Ok(vec![vhost.start_deletion(&name, DeleteQueue::default(), 0)?.1]);
    };
    if vhost.queue_of_anyone(&name).is_ok_and(|queue| !is_archive(&queue)) {
        return Err(gantry_broker::Error::Storage(format!("the queue {name} is no archive of SNS")));
    }
    let arguments: Table = [("x-queue-type", Value::from("stream"))].into_iter().collect();
    let annotations = [(INTERNAL.to_owned(), SNS.to_owned()), (SINCE.to_owned(), now_ms().to_string())].into();
    let settings = QueueSettings { annotations, ..QueueSettings::default() };
    let options = QueueOptions { durable: true, arguments, ..QueueOptions::default() };
    let (queue, _, made) = vhost.declare_with(&name, options, settings, 0)?;
    // No argument: it may change.
    queue.set_retention(Retention { bytes_max: None, age_max_ms: Some(kept_ms) });
    let arguments: Table = [("archive", Value::from(true))].into_iter().collect();
    let bound = vhost.rebind(exchange.name(), None, Some(Bound { queue: &name, arguments: &arguments }))?;
    Ok(vec![made, bound])
}

/// Whether messages come out of a topic's archive to a subscription now.
pub(super) fn is_replayed(edge: &Edge, exchange: &Exchange) -> bool {
    edge.sns.subscriptions.of_topic(exchange.id()).iter().any(|subscription| replay::is_under_way(subscription))
}

/// Follows all topics of a virtual host, and ends archives of topics that are gone.
pub(super) fn start(edge: &Edge, vhost: &Arc<VirtualHost>) -> Vec<Pending> {
    let mut pending = Vec::new();
    for exchange in vhost.exchanges().into_iter().filter(|exchange| is_topic(exchange) && is_wanted(exchange)) {
        match follow(edge, vhost, &exchange) {
            Ok(written) => pending.extend(written),
            Err(error) => tracing::error!(topic = %exchange.name(), %error, "it has no archive"),
        }
    }
    pending.extend(sweep(edge, vhost));
    pending
}

fn is_topic(exchange: &Exchange) -> bool {
    exchange.options().kind == ExchangeKind::Subscriptions
}

/// Ends archives that nobody wants any more: of topics that are gone, and those that were wanted by a replay for the last.
pub(super) fn sweep(edge: &Edge, vhost: &Arc<VirtualHost>) -> Vec<Pending> {
    // In this order: the topic of an archive was there before it.
    let archives: Vec<_> = vhost.queues().into_iter().filter(|queue| is_archive(queue)).collect();
    if archives.is_empty() {
        return Vec::new();
    }
    let topics = vhost.exchanges().into_iter().filter(|exchange| is_topic(exchange));
    let topics: HashMap<String, Arc<Exchange>> = topics.map(|exchange| (name(&exchange), exchange)).collect();
    let mut pending = Vec::new();
    for archive in archives {
        let ended = match topics.get(&**archive.name()) {
            Some(exchange) if is_wanted(exchange) => continue,
            Some(exchange) => follow(edge, vhost, exchange),
            None => vhost.start_deletion(archive.name(), DeleteQueue::default(), 0).map(|(_, deleted)| vec![deleted]),
        };
        match ended {
            Ok(written) => pending.extend(written),
            Err(error) => tracing::error!(queue = %archive.name(), %error, "an archive is not deleted"),
        }
    }
    pending
}
