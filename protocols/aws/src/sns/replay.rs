//! Replays: what a topic's archive has kept goes to a subscription once more, and then what has come meanwhile. For that time the
//! subscription is not bound to its topic: all that it gets comes out of the archive, in order.
//!
//! Where a replay begins and what it is about stands in the subscription's own row, under names that no client can set. Rows are
//! in the table and messages in the journal, and neither waits for the other. So the two moments at which messages begin to take
//! another way are marks (see [`Marks`]): records of the journal, in line with the messages. The row that announces a replay is on
//! stable storage before the binding goes, and the mark of its end is written before the binding comes back: a crash at any moment
//! leaves nothing out and repeats nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use gantry_broker::message::{Edit, now_ms};
use gantry_broker::value::Value;
use gantry_broker::vhost::{Exchange, Pending};
use gantry_broker::{Filter, Marks, Message, Queue, Reached, Replay, Replayed, Scope, VirtualHost};
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::sleep;

use super::attributes::subscription::{FILTER_POLICY, FILTER_POLICY_SCOPE, REPLAY_POLICY};
use super::convert::{self, REPLAYED};
use super::subscribing::{keep, wait};
use super::subscriptions::Subscription;
use super::{archive, fault, reconcile};
use crate::error::Error;
use crate::{Edge, date};

/// The attribute that says how far a replay is.
pub(super) const STATUS: &str = "ReplayStatus";
/// The number that the archive's next message had when it began; there is one for as long as it goes on. Without a number where
/// the replay is announced and no more is written yet.
const SEAM: &str = "replay.seam";
/// A number of its own.
const NUMBER: &str = "replay.number";

const IN_PROGRESS: &str = "In progress";
const COMPLETED: &str = "Completed";
const FAILED: &str = "Failed";

/// What the names of its marks begin with.
const MARKS: &str = "sns-replay-";
/// The mark of its end. Others say where it began: the seam, and one more.
const END: u64 = 0;

/// After so long a replay is taken up again that could not go on.
const PAUSE: Duration = Duration::from_secs(1);

/// `ReplayPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    /// In milliseconds since the epoch of Unix.
    from_ms: u64,
    until_ms: Option<u64>,
}

impl Policy {
    /// Reads a document. None where it is `{}`: nothing is to be replayed.
    ///
    /// # Errors
    /// It is no such policy; why.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Document {
            #[serde(rename = "PointType")]
            point_type: String,
            #[serde(rename = "StartingPoint")]
            from: String,
            #[serde(rename = "EndingPoint", default)]
            until: Option<String>,
        }
        let value: serde_json::Value = serde_json::from_str(text).map_err(|_| "failed to parse JSON.".to_owned())?;
        if value.as_object().is_some_and(serde_json::Map::is_empty) {
            return Ok(None);
        }
        let document: Document =
            serde_json::from_value(value).map_err(|_| "PointType and StartingPoint are required".to_owned())?;
        if document.point_type != "Timestamp" {
            return Err("PointType must be Timestamp".to_owned());
        }
        let time = |name: &str, text: &str| {
            time_ms(text).ok_or_else(|| format!("{name} must be a timestamp in the format of ISO 8601"))
        };
        let from_ms = time("StartingPoint", &document.from)?;
        let until_ms = document.until.as_deref().map(|until| time("EndingPoint", until)).transpose()?;
        if until_ms.is_some_and(|until_ms| until_ms <= from_ms) {
            return Err("EndingPoint must be after StartingPoint".to_owned());
        }
        if from_ms > now_ms() {
            return Err("StartingPoint must be in the past".to_owned());
        }
        Ok(Some(Self { from_ms, until_ms }))
    }
}

/// `2023-01-05T00:00:00.000Z`, with or without parts of a second.
fn time_ms(text: &str) -> Option<u64> {
    let seconds_ms = u64::try_from(date::parse_iso(text)?).ok()?.checked_mul(1000)?;
    let part = text.strip_suffix('Z').and_then(|text| text.split_once('.')).map_or("", |(_, part)| part);
    let part_ms: u64 = format!("{part:0<3}").get(..3)?.parse().ok()?;
    seconds_ms.checked_add(part_ms)
}

/// Replays that are at work, by the ids of subscriptions, with their numbers.
#[derive(Debug, Default)]
pub(super) struct Replays {
    at_work: Mutex<HashMap<Arc<str>, (String, tokio::task::AbortHandle)>>,
    /// Subscriptions of which somebody is announcing one.
    announced: Mutex<HashSet<Arc<str>>>,
}

impl Drop for Replays {
    fn drop(&mut self) {
        for (_, (_, task)) in self.at_work.get_mut().drain() {
            task.abort();
        }
    }
}

/// Whether a subscription gets its messages out of the archive.
pub(super) fn is_under_way(subscription: &Subscription) -> bool {
    subscription.attribute(SEAM).is_some()
}

/// The topic of a subscription, where it has an archive.
struct Archived {
    vhost: Arc<VirtualHost>,
    exchange: Arc<Exchange>,
    archive: Arc<Queue>,
}

impl Archived {
    fn of(edge: &Edge, subscription: &Subscription) -> Result<Self, Error> {
        let vhost = edge.broker.vhost(&subscription.vhost).ok_or_else(|| fault::not_found("Topic"))?;
        let exchange = vhost.exchange(&subscription.topic).map_err(fault::of_broker)?;
        // One that is about to be deleted is none.
        let archive = archive::of(&vhost, &exchange).filter(|_| archive::is_wanted(&exchange));
        let archive = archive.ok_or_else(|| {
            fault::invalid_parameter(
                "ReplayPolicy: the topic must have an ArchivePolicy to replay messages from its archive",
            )
        })?;
        Ok(Self { vhost, exchange, archive })
    }
}

/// Of two who begin a replay of one subscription, the second one is told that there is one.
struct Announced<'e> {
    edge: &'e Edge,
    id: Arc<str>,
}

impl<'e> Announced<'e> {
    fn new(edge: &'e Edge, id: &Arc<str>) -> Result<Self, Error> {
        if edge.sns.replays.announced.lock().insert(Arc::clone(id)) {
            Ok(Self { edge, id: Arc::clone(id) })
        } else {
            Err(in_progress())
        }
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        self.edge.sns.replays.announced.lock().remove(&self.id);
    }
}

fn in_progress() -> Error {
    fault::invalid_parameter("ReplayPolicy: a replay is in progress")
}

fn policy_of(subscription: &Subscription) -> Option<Policy> {
    subscription.attribute(REPLAY_POLICY).and_then(|text| Policy::parse(text).ok().flatten())
}

fn seam_of(subscription: &Subscription) -> Option<u64> {
    subscription.attribute(SEAM)?.parse().ok()
}

fn set(subscription: &mut Subscription, name: &str, value: String) {
    subscription.attributes.insert(name.to_owned(), value);
}

fn announce(subscription: &mut Subscription) {
    for (name, value) in [(STATUS, IN_PROGRESS.to_owned()), (SEAM, String::new()), (NUMBER, now_ms().to_string())] {
        set(subscription, name, value);
    }
}

/// Keeps a subscription that nothing has come by yet, and begins the replay that it asks for. What to wait for until it is on
/// stable storage.
///
/// # Errors
/// The topic has no archive, or it cannot be written.
pub(super) fn keep_first(
    edge: &Arc<Edge>,
    mut subscription: Subscription,
) -> Result<(Arc<Subscription>, Vec<Pending>), Error> {
    if policy_of(&subscription).is_some() {
        let archived = Archived::of(edge, &subscription)?;
        announce(&mut subscription);
        set(&mut subscription, SEAM, archived.archive.next_number().to_string());
    }
    keep(edge, subscription)
}

/// Begins what a replay policy asks for that has been set on a subscription: `base` becomes `changed`. False where somebody else
/// has changed it meanwhile, and nothing has been done.
///
/// # Errors
/// The topic has no archive, a replay is under way, or it cannot be written.
pub(super) async fn begin(
    edge: &Arc<Edge>,
    base: &Arc<Subscription>,
    mut changed: Subscription,
) -> Result<bool, Error> {
    if policy_of(&changed).is_none() {
        let pending = {
            let _one = edge.sns.changes.lock();
            if !is_still(edge, base) {
                return Ok(false);
            }
            // One that is under way goes on from the seam: nobody else has what came since.
            if !is_under_way(&changed) {
                changed.attributes.remove(STATUS);
            }
            keep(edge, changed)?.1
        };
        return wait(pending).await.map(|()| true);
    }
    if is_under_way(&changed) {
        return Err(in_progress());
    }
    let _announced = Announced::new(edge, &base.id)?;
    let vhost = Archived::of(edge, &changed)?.vhost;
    announce(&mut changed);
    let name = ends_name(&changed);
    let (ends, made) = vhost.marks(&name).map_err(fault::of_broker)?;
    made.wait().await.map_err(fault::of_broker)?;
    let announced = edge.sns.subscriptions.announce(&edge.broker, base, &changed).map_err(fault::of_broker)?;
    let Some(announced) = announced else {
        drop(vhost.delete_marks(&name));
        return Ok(false);
    };
    // From here on a crash finds that it is to be replayed, and by the marks since when.
    announced.wait().await.map_err(fault::of_broker)?;
    let begun = {
        let _one = edge.sns.changes.lock();
        if is_still(edge, base) {
            unbind(edge, &ends, changed).map(Some).inspect_err(|_| {
                // As it goes on is how it is to be found.
                if let Err(error) = edge.sns.subscriptions.keep(&edge.broker, Arc::clone(base)) {
                    tracing::error!(subscription = %base.arn, %error, "a subscription is not written");
                }
            })
        } else {
            Ok(None)
        }
    };
    if !matches!(begun, Ok(Some(_))) {
        drop(vhost.delete_marks(&name));
    }
    match begun? {
        Some(pending) => wait(pending).await.map(|()| true),
        None => Ok(false),
    }
}

fn is_still(edge: &Edge, base: &Arc<Subscription>) -> bool {
    edge.sns.subscription(&base.id).is_some_and(|now| Arc::ptr_eq(&now, base))
}

/// From here on nothing comes by the binding: it goes with the subscription's being kept.
fn unbind(edge: &Arc<Edge>, ends: &Marks, mut subscription: Subscription) -> Result<Vec<Pending>, Error> {
    let Archived { vhost, exchange, archive } = Archived::of(edge, &subscription)?;
    vhost.between_messages(&exchange, || {
        let seam = archive.next_number();
        ends.put(seam.saturating_add(1)).map_err(fault::of_broker)?;
        set(&mut subscription, SEAM, seam.to_string());
        Ok(keep(edge, subscription)?.1)
    })
}

/// Has replays be as the last run of the program has left them, before anything is bound and anybody is served. What to wait for.
pub(super) fn start(edge: &Edge, vhost: &Arc<VirtualHost>) -> Vec<Pending> {
    let mut pending = Vec::new();
    let mut used: HashSet<String> = HashSet::new();
    for subscription in edge.sns.subscriptions.of_vhost(vhost.name()) {
        if !is_under_way(&subscription) {
            continue;
        }
        used.extend([marks_name(&subscription), ends_name(&subscription)]);
        match found(edge, vhost, &subscription) {
            Ok(written) => pending.extend(written),
            Err(error) => tracing::error!(subscription = %subscription.arn, %error, "a replay is not taken up"),
        }
    }
    for name in vhost.marks_names() {
        if name.starts_with(MARKS) && !used.contains(&*name) {
            pending.push(vhost.delete_marks(&name));
        }
    }
    pending
}

/// What the row of a subscription would say of its replay if it had been written at once.
fn found(
    edge: &Edge,
    vhost: &Arc<VirtualHost>,
    subscription: &Arc<Subscription>,
) -> Result<Vec<Pending>, gantry_broker::Error> {
    let exchange = vhost.exchange(&subscription.topic)?;
    let archive = archive::of(vhost, &exchange);
    let (ends, made) = vhost.marks(&ends_name(subscription))?;
    let mut changed = Subscription::clone(subscription);
    if ends.contains(END) {
        changed.attributes = ended(&changed.attributes, COMPLETED);
    } else if let Some(archive) = archive {
        if seam_of(subscription).is_some() {
            return Ok(vec![made]);
        }
        let began = ends.numbers().into_iter().max().map(|seam| seam.saturating_sub(1));
        // Without a mark nothing was published after the binding was gone.
        set(&mut changed, SEAM, began.unwrap_or_else(|| archive.next_number()).to_string());
    } else {
        changed.attributes = ended(&changed.attributes, FAILED);
    }
    Ok(vec![made, edge.sns.subscriptions.keep(&edge.broker, Arc::new(changed))?])
}

/// Without what only a replay needs.
fn ended(attributes: &BTreeMap<String, String>, status: &str) -> BTreeMap<String, String> {
    let mut attributes = attributes.clone();
    attributes.remove(SEAM);
    attributes.remove(NUMBER);
    attributes.insert(STATUS.to_owned(), status.to_owned());
    attributes
}

fn marks_name(subscription: &Subscription) -> String {
    format!("{MARKS}{}-{}", subscription.id, subscription.attribute(NUMBER).unwrap_or_default())
}

/// The name of the marks that say where a replay began, and whether it is over.
fn ends_name(subscription: &Subscription) -> String {
    format!("{}-ends", marks_name(subscription))
}

/// Has somebody at work on what is under way, and nobody on what is not.
pub(super) fn follow(edge: &Arc<Edge>, subscription: &Arc<Subscription>) {
    let mut replays = edge.sns.replays.at_work.lock();
    let number = subscription.attribute(NUMBER).filter(|_| is_under_way(subscription));
    let Some(number) = number else { return };
    if let Some((at_work, task)) = replays.get(&subscription.id) {
        if at_work == number && !task.is_finished() {
            return;
        }
        task.abort();
    }
    let task = tokio::spawn(work(Arc::downgrade(edge), Arc::clone(&subscription.id), number.to_owned()));
    replays.insert(Arc::clone(&subscription.id), (number.to_owned(), task.abort_handle()));
}

/// Ends the replay of a subscription that is gone.
pub(super) fn stop(edge: &Edge, vhost: &VirtualHost, subscription: &Subscription) {
    if let Some((_, task)) = edge.sns.replays.at_work.lock().remove(&subscription.id) {
        task.abort();
    }
    if is_under_way(subscription) {
        // It need not be waited for: what is left of it belongs to nothing.
        drop(vhost.delete_marks(&marks_name(subscription)));
        drop(vhost.delete_marks(&ends_name(subscription)));
    }
}

async fn work(edge: Weak<Edge>, id: Arc<str>, number: String) {
    loop {
        let Some(there) = edge.upgrade() else { return };
        let subscription = there.sns.subscription(&id);
        let is_same = |subscription: &Arc<Subscription>| subscription.attribute(NUMBER) == Some(&number);
        let Some(subscription) = subscription.filter(is_same) else { return };
        match once(&there, &subscription).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => tracing::warn!(subscription = %subscription.arn, %error, "a replay waits"),
        }
        drop((there, subscription));
        sleep(PAUSE).await;
    }
}

/// Goes on with a replay until it is over. False where it cannot go on now.
async fn once(edge: &Arc<Edge>, subscription: &Arc<Subscription>) -> Result<bool, gantry_broker::Error> {
    let Some(vhost) = edge.broker.vhost(&subscription.vhost) else { return Ok(false) };
    let exchange = vhost.exchange(&subscription.topic)?;
    let Some(archive) = archive::of(&vhost, &exchange) else {
        // There is nothing to replay any more.
        let written = {
            let _one = edge.sns.changes.lock();
            complete(edge, subscription, FAILED)?
        };
        forget(&vhost, subscription, written).await?;
        return Ok(true);
    };
    let Some(queue) = reconcile::queue_of(edge, &vhost, subscription) else { return Ok(false) };
    let (marks, made) = vhost.marks(&marks_name(subscription))?;
    made.wait().await?;
    let (ends, made) = vhost.marks(&ends_name(subscription))?;
    made.wait().await?;
    // Without a policy only what came since.
    let policy = policy_of(subscription).unwrap_or(Policy { from_ms: now_ms(), until_ms: None });
    let scope = subscription.attribute(FILTER_POLICY_SCOPE).and_then(|scope| scope.parse().ok());
    let filter = subscription.attribute(FILTER_POLICY);
    let filter = filter.and_then(|policy| Filter::parse(policy, scope.unwrap_or(Scope::MessageAttributes)).ok());
    let replay = Replay {
        archive,
        queue,
        marks,
        filter: filter.map(Arc::new),
        from_ms: policy.from_ms,
        until_ms: policy.until_ms,
        seam: seam_of(subscription).unwrap_or(0),
    };
    let how = Replayed { published_ms: convert::published_ms, again };
    let mut over = Ok(Vec::new());
    replay
        .run(&edge.broker, &vhost, how, |reached, next| {
            reached == Reached::End && {
                let _one = edge.sns.changes.lock();
                vhost.between_messages(&exchange, || {
                    let is_over = !replay.is_behind(next);
                    if is_over {
                        over = bind(edge, &ends, subscription);
                    }
                    is_over
                })
            }
        })
        .await?;
    forget(&vhost, subscription, over?).await?;
    Ok(true)
}

/// From here on all comes by the binding again.
fn bind(
    edge: &Arc<Edge>,
    ends: &Marks,
    subscription: &Arc<Subscription>,
) -> Result<Vec<Pending>, gantry_broker::Error> {
    ends.put(END)?;
    complete(edge, subscription, COMPLETED).inspect_err(|_| {
        ends.remove(END);
    })
}

/// Forgets how far a replay was that is over, once that is on stable storage.
async fn forget(
    vhost: &VirtualHost,
    subscription: &Subscription,
    written: Vec<Pending>,
) -> Result<(), gantry_broker::Error> {
    for written in written {
        written.wait().await?;
    }
    drop(vhost.delete_marks(&marks_name(subscription)));
    drop(vhost.delete_marks(&ends_name(subscription)));
    Ok(())
}

/// Has a subscription bound to its topic again. What to wait for until it is on stable storage.
fn complete(edge: &Arc<Edge>, replayed: &Subscription, status: &str) -> Result<Vec<Pending>, gantry_broker::Error> {
    let is_same = |current: &Arc<Subscription>| current.attribute(NUMBER) == replayed.attribute(NUMBER);
    let Some(current) = edge.sns.subscription(&replayed.id).filter(is_same) else { return Ok(Vec::new()) };
    let changed = Subscription { attributes: ended(&current.attributes, status), ..Subscription::clone(&current) };
    let kept = edge.sns.subscriptions.keep(&edge.broker, Arc::new(changed))?;
    let mut pending = vec![kept];
    pending.extend(reconcile::follow(edge, &current)?);
    Ok(pending)
}

fn again(message: &Arc<Message>) -> Arc<Message> {
    let set = [(REPLAYED, Value::from(true))];
    message.edited(Arc::clone(message.address()), &Edit { set: &set, ..Edit::default() })
}
