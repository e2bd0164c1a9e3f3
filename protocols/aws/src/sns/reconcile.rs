//! Bindings follow subscriptions: rows are what is true, and what the broker has is made to be as they say, at the start, after
//! each change of a subscription, and when queues or exchanges of the virtual host have changed.

use std::sync::{Arc, Weak};
use std::time::Duration;

use gantry_broker::exchange::ExchangeKind;
use gantry_broker::message::now_ms;
use gantry_broker::value::{Table, Value};
use gantry_broker::vhost::{Bound, DeleteQueue, Destination, Pending};
use gantry_broker::{Queue, QueueOptions, QueueSettings, VirtualHost};
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::subscriptions::{Protocol, State, Subscription, Token, subscription_of_queue};
use super::{archive, replay, tokens};
use crate::Edge;
use crate::arn::Arn;
use crate::date;
use crate::error::Error;
use crate::iam::{Context, Decision, Principal, Request};

/// The argument of a binding that names the subscription.
const SUBSCRIPTION: &str = "subscription";
const FILTER_POLICY: &str = "filter-policy";
const FILTER_POLICY_SCOPE: &str = "filter-policy-scope";

/// The annotation of a queue that nobody but SNS uses.
pub(crate) const INTERNAL: &str = "internal";

/// Between two looks at all subscriptions of a virtual host at least so much time passes, however much changes, and so many times
/// as much as a look takes.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_LOOKS: u32 = 10;
/// As often as this is looked at what has come to its end.
const SWEEP: Duration = Duration::from_secs(60);
/// As often as this what has failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// So many subscriptions are looked at before others have their turn on the thread.
const TURN: usize = 100;
/// For so long after a subscription was ended its own queue stays, in milliseconds, even where nothing is in it.
const LEAVE_MS: u64 = 60_000;

/// The service that acts for topics, as policies of queues name it.
const SERVICE: &str = "sns.amazonaws.com";

/// Which binding each subscription has.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    /// By the id of the subscription. Whoever changes bindings has the lock.
    bound: Mutex<HashMap<Arc<str>, Binding>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Binding {
    queue: Arc<str>,
    queue_id: u64,
    arguments: Table,
}

impl Binding {
    fn ends(&self) -> Bound<'_> {
        Bound { queue: &self.queue, arguments: &self.arguments }
    }
}

/// Where messages of a subscription go.
enum Route {
    /// Straight into a queue of SQS.
    Queue(Arc<Queue>),
    /// Into the subscription's own queue.
    Own,
    /// The queue is not there or does not take them, and no other one is to get them.
    Nowhere,
}

/// Whether nobody but SNS uses a queue.
pub(crate) fn is_internal(queue: &Queue) -> bool {
    queue.settings().annotations.contains_key(INTERNAL)
}

/// Makes what the broker has be as a subscription says. What to wait for until it is on stable storage.
///
/// # Errors
/// It cannot be made so now. It is tried again for as long as the subscription is there.
pub(crate) fn follow(edge: &Arc<Edge>, subscription: &Subscription) -> Result<Vec<Pending>, gantry_broker::Error> {
    let Some(vhost) = edge.broker.vhost(&subscription.vhost) else { return Ok(Vec::new()) };
    let mut pending = Vec::new();
    let mut bound = edge.sns.bindings.bound.lock();
    follow_one(edge, &vhost, &subscription.id, &mut bound, &mut pending)?;
    Ok(pending)
}

/// What waits keeps the form in which it came, which has to be on its way to the disk before the subscription says another one.
pub(crate) fn note_form(edge: &Edge, subscription: &Subscription) -> Pending {
    let Some(vhost) = edge.broker.vhost(&subscription.vhost) else { return Pending::nothing() };
    let bound = edge.sns.bindings.bound.lock();
    let binding = bound.get(&subscription.id).filter(|_| subscription.protocol == Protocol::Sqs);
    let queue = binding.and_then(|binding| vhost.queue_of_anyone(&binding.queue).ok());
    queue.map_or_else(Pending::nothing, |queue| edge.sns.subscriptions.open_form(&edge.broker, subscription, &queue))
}

/// As [`follow`], for all whose endpoint, or queue for dead letters, is a queue of this name: it has come, gone, or has another
/// policy.
pub(crate) fn follow_queue(edge: &Arc<Edge>, vhost: &Arc<VirtualHost>, queue: &str) -> Vec<Pending> {
    let mut pending = Vec::new();
    let concerned = edge.sns.subscriptions.of_queue(vhost.name(), queue);
    if concerned.is_empty() {
        return pending;
    }
    let mut bound = edge.sns.bindings.bound.lock();
    for subscription in concerned {
        // What fails is in the log, and tried again: the queue is what it was asked to be.
        let _failed = follow_one(edge, vhost, &subscription.id, &mut bound, &mut pending);
    }
    pending
}

/// As [`follow_queue`], and waits for it.
///
/// # Errors
/// Some of it is never on stable storage.
pub(crate) async fn follow_queue_durably(edge: &Arc<Edge>, vhost: &Arc<VirtualHost>, queue: &str) -> Result<(), Error> {
    for written in follow_queue(edge, vhost, queue) {
        written.wait().await.map_err(|error| Error::internal(&error))?;
    }
    Ok(())
}

/// As [`follow`], for one of all subscriptions of a virtual host. Whether that worked.
fn follow_in_turn(
    edge: &Arc<Edge>,
    vhost: &Arc<VirtualHost>,
    subscription: &Subscription,
    pending: &mut Vec<Pending>,
) -> bool {
    // Publishers and other changes have their turn in between.
    let mut bound = edge.sns.bindings.bound.lock();
    let is_followed = follow_one(edge, vhost, &subscription.id, &mut bound, pending).is_ok();
    let now = edge.sns.subscriptions.get(&subscription.id);
    if let Some(gone) = now.filter(|now| now.state == State::Gone) {
        end_delivery(edge, vhost, &gone, pending);
    }
    is_followed
}

/// Whether nothing is in a queue, and nothing of it on its way.
fn is_empty(queue: &Queue) -> bool {
    let status = queue.status();
    status.ready == 0 && status.unacked == 0 && status.redriving == 0
}

/// Whether something is still to be delivered for a subscription that has a queue of its own.
pub(crate) fn has_waiting(edge: &Edge, subscription: &Subscription) -> bool {
    let queue = edge.broker.vhost(&subscription.vhost);
    let queue = queue.and_then(|vhost| vhost.queue_of_anyone(&subscription.queue_name()).ok());
    queue.is_some_and(|queue| !is_empty(&queue))
}

/// Whoever delivers for a subscription that was ended goes once its endpoint has been told, or could not be, and so does the queue.
fn end_delivery(edge: &Edge, vhost: &VirtualHost, gone: &Subscription, pending: &mut Vec<Pending>) {
    let made_ms = gone.token.as_ref().map_or(0, Token::made_ms);
    if now_ms() < made_ms.saturating_add(LEAVE_MS) {
        // What it is told may be on its way into the queue.
        return;
    }
    let Ok(queue) = vhost.queue_of_anyone(&gone.queue_name()) else { return };
    if !is_empty(&queue) {
        return;
    }
    edge.sns.deliveries.stop(gone);
    match vhost.start_deletion(queue.name(), DeleteQueue::default(), 0) {
        Ok((_, deleted)) => pending.push(deleted),
        Err(error) => tracing::error!(subscription = %gone.arn, %error, "its queue is not deleted"),
    }
}

fn follow_one(
    edge: &Arc<Edge>,
    vhost: &Arc<VirtualHost>,
    id: &str,
    bound: &mut HashMap<Arc<str>, Binding>,
    pending: &mut Vec<Pending>,
) -> Result<(), gantry_broker::Error> {
    let sns = &edge.sns;
    // As it is now that nobody else changes bindings: what somebody has seen of it may be over.
    let Some(subscription) = &sns.subscriptions.get(id) else { return Ok(()) };
    let has_topic = vhost.exchange(&subscription.topic).is_ok_and(|exchange| exchange.id() == subscription.topic_id);
    let is_over = subscription.state != State::Confirmed
        && subscription.token.as_ref().is_some_and(|token| token.until_ms <= now_ms());
    if !has_topic || is_over {
        end(edge, vhost, subscription, bound, pending);
        if !has_topic {
            sns.subscriptions.forget_topic(subscription.topic_id);
        }
        return Ok(());
    }
    stand(edge, vhost, subscription);
    let route = route(edge, vhost, subscription);
    let queue = match &route {
        Route::Queue(queue) => Some(Arc::clone(queue)),
        Route::Nowhere => None,
        // Nothing comes for it any more; what it still has is delivered.
        Route::Own if subscription.state == State::Gone => vhost.queue_of_anyone(&subscription.queue_name()).ok(),
        Route::Own => match own_queue(vhost, subscription) {
            Ok((queue, made)) => {
                pending.push(made);
                Some(queue)
            }
            Err(error) => {
                tracing::error!(subscription = %subscription.arn, %error, "it has no queue");
                return Err(error);
            }
        },
    };
    // For as long as a replay is under way all comes out of the archive.
    let is_replaying = replay::is_under_way(subscription);
    let is_confirmed = subscription.state == State::Confirmed;
    let wanted = queue.as_ref().filter(|_| is_confirmed && !is_replaying).map(|queue| Binding {
        queue: Arc::clone(queue.name()),
        queue_id: queue.id(),
        arguments: arguments(subscription),
    });
    let broker = &edge.broker;
    if let Route::Queue(queue) = &route
        && is_confirmed
    {
        // Before a message can come by it.
        pending.push(sns.subscriptions.open_form(broker, subscription, queue));
    }
    if let (Route::Own, Some(own), Some(_)) = (&route, &queue, &wanted)
        && subscription.dead_letter_arn().is_some()
    {
        // What is given up outlives the subscription.
        pending.push(sns.subscriptions.open_form(broker, subscription, own));
    }
    let old = bound.get(&subscription.id);
    let topic = &*subscription.topic;
    let is_there = |binding: &Binding| vhost.is_bound(topic, &binding.queue, &[], &binding.arguments);
    if old != wanted.as_ref() || wanted.as_ref().is_some_and(|wanted| !is_there(wanted)) {
        let old = old.cloned();
        match vhost.rebind(topic, old.as_ref().map(Binding::ends), wanted.as_ref().map(Binding::ends)) {
            Ok(written) => pending.push(written),
            Err(error) => {
                tracing::warn!(subscription = %subscription.arn, %error, "it is not bound");
                if let (Route::Queue(queue), true) = (&route, old.as_ref().is_none_or(|old| !is_of(old, &wanted))) {
                    pending.push(sns.subscriptions.close_form(broker, subscription, queue.name(), Some(queue)));
                }
                // A queue that has gone just now is none that could be bound: whoever tells of that has this looked at again.
                let is_gone = matches!((&route, &error), (Route::Queue(_), gantry_broker::Error::NotFound(_)));
                return if is_gone { Ok(()) } else { Err(error) };
            }
        }
        if let Some(Binding { queue, .. }) = old
            && !is_replaying
            && wanted.as_ref().is_none_or(|wanted| wanted.queue != queue)
        {
            let there = vhost.queue_of_anyone(&queue).ok();
            pending.push(sns.subscriptions.close_form(broker, subscription, &queue, there.as_deref()));
        }
        match wanted {
            Some(wanted) => bound.insert(Arc::clone(&subscription.id), wanted),
            None => bound.remove(&subscription.id),
        };
    }
    if let Route::Own = route {
        sns.deliveries.start(edge, subscription);
    }
    if is_replaying {
        replay::follow(edge, subscription);
    }
    Ok(())
}

/// Whether a binding is one of the queue that another one is wanted of.
fn is_of(old: &Binding, wanted: &Option<Binding>) -> bool {
    wanted.as_ref().is_some_and(|wanted| wanted.queue == old.queue)
}

/// Ends a subscription: its binding goes, then its own queue, then its row, so that none of them is left behind.
pub(crate) fn end_one(edge: &Arc<Edge>, subscription: &Arc<Subscription>) -> Vec<Pending> {
    let Some(vhost) = edge.broker.vhost(&subscription.vhost) else { return Vec::new() };
    let mut pending = Vec::new();
    let mut bound = edge.sns.bindings.bound.lock();
    end(edge, &vhost, subscription, &mut bound, &mut pending);
    pending
}

fn end(
    edge: &Arc<Edge>,
    vhost: &Arc<VirtualHost>,
    subscription: &Arc<Subscription>,
    bound: &mut HashMap<Arc<str>, Binding>,
    pending: &mut Vec<Pending>,
) {
    let (sns, broker) = (&edge.sns, &edge.broker);
    if let Some(binding) = bound.remove(&subscription.id) {
        // Where the topic is gone its bindings are.
        if let Ok(unbound) = vhost.rebind(&subscription.topic, Some(binding.ends()), None) {
            pending.push(unbound);
        }
        let there = vhost.queue_of_anyone(&binding.queue).ok();
        pending.push(sns.subscriptions.close_form(broker, subscription, &binding.queue, there.as_deref()));
    }
    if let Some(endpoint) = own_endpoint(edge, vhost, subscription) {
        vhost.stand(endpoint, &subscription.id, None);
    }
    sns.deliveries.stop(subscription);
    replay::stop(edge, vhost, subscription);
    match vhost.start_deletion(&subscription.queue_name(), DeleteQueue::default(), 0) {
        Ok((_, deleted)) => pending.push(deleted),
        Err(error) => tracing::error!(subscription = %subscription.arn, %error, "its queue is not deleted"),
    }
    pending.push(sns.subscriptions.forget(broker, subscription));
}

/// The name of the queue of this virtual host that a subscription is for, where it is for one.
fn own_endpoint<'s>(edge: &Edge, vhost: &VirtualHost, subscription: &'s Subscription) -> Option<&'s str> {
    let endpoint = Arn::parse(&subscription.endpoint).filter(|_| subscription.protocol == Protocol::Sqs)?;
    (edge.settings.vhost_of(endpoint.account) == Some(&**vhost.name())).then_some(endpoint.resource)
}

/// A queue that another protocol deletes and declares has no policy that could deny anything: whoever has seen its declaration
/// finds it bound.
fn stand(edge: &Edge, vhost: &VirtualHost, subscription: &Subscription) {
    let Some(endpoint) = own_endpoint(edge, vhost, subscription) else { return };
    let arguments = arguments(subscription);
    let stands =
        subscription.state == State::Confirmed && !edge.settings.strict_policies && !replay::is_under_way(subscription);
    vhost.stand(endpoint, &subscription.id, stands.then_some((&*subscription.topic, &arguments)));
}

/// The queue that gets the messages of a subscription; none where nobody takes them now.
pub(super) fn queue_of(edge: &Edge, vhost: &Arc<VirtualHost>, subscription: &Subscription) -> Option<Arc<Queue>> {
    match route(edge, vhost, subscription) {
        Route::Queue(queue) => Some(queue),
        Route::Own => vhost.queue_of_anyone(&subscription.queue_name()).ok(),
        Route::Nowhere => None,
    }
}

fn route(edge: &Edge, vhost: &Arc<VirtualHost>, subscription: &Subscription) -> Route {
    if subscription.protocol != Protocol::Sqs {
        return Route::Own;
    }
    let Some(endpoint) = Arn::parse(&subscription.endpoint) else { return Route::Nowhere };
    if edge.settings.vhost_of(endpoint.account) != Some(&**vhost.name()) {
        return Route::Own;
    }
    let takes = |arn: &Arn<'_>| {
        let queue = vhost.queue_of_anyone(arn.resource).ok().filter(|queue| queue.owner().is_none())?;
        may_send(edge, &queue, arn.account, subscription).then_some(queue)
    };
    if let Some(queue) = takes(&endpoint) {
        return Route::Queue(queue);
    }
    let dead_letters = subscription.dead_letter_arn();
    let dead_letters = dead_letters.as_deref().and_then(Arn::parse);
    let is_here = |arn: &Arn<'_>| edge.settings.vhost_of(arn.account) == Some(&**vhost.name());
    dead_letters.filter(is_here).and_then(|arn| takes(&arn)).map_or(Route::Nowhere, Route::Queue)
}

/// Whether a queue takes messages of a topic: its policy says so, or does not say the opposite where the topic is of the same
/// account and nobody has asked for AWS's strictness.
pub(crate) fn may_send(edge: &Edge, queue: &Queue, account: &str, subscription: &Subscription) -> bool {
    let profile = edge.sqs.profile(queue);
    let silent = !edge.settings.strict_policies && *subscription.account == *account;
    let policy = match &profile.policy {
        None => return silent,
        Some(Err(_)) => return false,
        Some(Ok(policy)) => policy,
    };
    let resource = Arn::queue(&edge.region, account, queue.name()).to_string();
    let now_s = date::now_s();
    let mut context = Context::default();
    context.add("aws:SourceArn", &*subscription.topic_arn);
    context.add("aws:SourceAccount", &*subscription.account);
    context.add("aws:SourceOwner", &*subscription.account);
    context.add("aws:PrincipalIsAWSService", "true");
    context.add("aws:PrincipalServiceName", SERVICE);
    context.add("aws:SecureTransport", "true");
    context.add("aws:CurrentTime", date::iso(now_s));
    context.add("aws:EpochTime", now_s.to_string());
    let principal = Principal::Service(SERVICE);
    match policy.decide(&Request { principal, action: "sqs:SendMessage", resource: &resource, context: &context }) {
        Decision::Allowed => true,
        Decision::Silent => silent,
        Decision::Denied => false,
    }
}

fn own_queue(
    vhost: &Arc<VirtualHost>,
    subscription: &Subscription,
) -> Result<(Arc<Queue>, Pending), gantry_broker::Error> {
    let name = subscription.queue_name();
    if vhost.queue_of_anyone(&name).is_ok_and(|queue| !is_internal(&queue)) {
        // Somebody has declared it, and would read what is for the subscription.
        return Err(gantry_broker::Error::Storage(format!("the queue {name} is not one of SNS")));
    }
    let settings =
        QueueSettings { annotations: [(INTERNAL.to_owned(), "sns".to_owned())].into(), ..QueueSettings::default() };
    let options = QueueOptions { durable: true, ..QueueOptions::default() };
    let (queue, _, made) = vhost.declare_with(&name, options, settings, 0)?;
    Ok((queue, made))
}

fn arguments(subscription: &Subscription) -> Table {
    let mut arguments = vec![(SUBSCRIPTION, Value::from(&*subscription.id))];
    if let Some(policy) = subscription.attribute("FilterPolicy") {
        arguments.push((FILTER_POLICY, Value::from(policy)));
        let scope = subscription.attribute("FilterPolicyScope").unwrap_or("MessageAttributes");
        arguments.push((FILTER_POLICY_SCOPE, Value::from(scope)));
    }
    arguments.into_iter().collect()
}

/// Takes up the work where the last run of the program has left it. What to wait for before anybody is served.
pub(crate) fn start(edge: &Arc<Edge>) -> Vec<Pending> {
    let mut pending = Vec::new();
    for (_, name) in &edge.settings.accounts {
        if let Some(vhost) = edge.broker.vhost(name) {
            pending.extend(archive::start(edge, &vhost));
            pending.extend(replay::start(edge, &vhost));
            find_bindings(edge, &vhost, &mut pending);
            delete_strays(edge, &vhost, &mut pending);
            for subscription in edge.sns.subscriptions.of_vhost(name) {
                follow_in_turn(edge, &vhost, &subscription, &mut pending);
            }
        }
        tokio::spawn(keep_up(Arc::downgrade(edge), name.clone()));
    }
    pending
}

/// Notes the bindings that subscriptions have from earlier, and takes away those whose subscription is not there any more.
fn find_bindings(edge: &Edge, vhost: &VirtualHost, pending: &mut Vec<Pending>) {
    let mut bound = edge.sns.bindings.bound.lock();
    for row in vhost.bindings() {
        let Some(Value::Text(id)) = row.arguments.get(SUBSCRIPTION) else { continue };
        let Destination::Queue(queue) = &row.destination else { continue };
        let Some(id) = id.as_str().filter(|id| tokens::is_id(id)) else { continue };
        if vhost.exchange(&row.source).is_ok_and(|source| source.options().kind != ExchangeKind::Subscriptions) {
            continue;
        }
        let subscription = edge.sns.subscriptions.get(id).filter(|subscription| subscription.topic == row.source);
        let binding =
            Binding { queue: Arc::clone(queue.name()), queue_id: queue.id(), arguments: row.arguments.clone() };
        // Of two bindings, one was to take the other one's place.
        let stray = match subscription {
            Some(subscription) => bound.insert(Arc::clone(&subscription.id), binding),
            None => Some(binding),
        };
        if let Some(stray) = stray {
            match vhost.rebind(&row.source, Some(stray.ends()), None) {
                Ok(unbound) => pending.push(unbound),
                Err(error) => tracing::error!(topic = %row.source, id, %error, "a binding of no subscription stays"),
            }
        }
    }
}

/// Deletes own queues of subscriptions that are not there any more.
fn delete_strays(edge: &Edge, vhost: &VirtualHost, pending: &mut Vec<Pending>) {
    for queue in vhost.queues() {
        let id = subscription_of_queue(queue.name()).filter(|id| tokens::is_id(id) && is_internal(&queue));
        if id.is_none_or(|id| edge.sns.subscriptions.get(id).is_some()) {
            continue;
        }
        match vhost.start_deletion(queue.name(), DeleteQueue::default(), 0) {
            Ok((_, deleted)) => pending.push(deleted),
            Err(error) => tracing::error!(queue = %queue.name(), %error, "a queue of no subscription stays"),
        }
    }
}

/// As [`follow`], for all subscriptions of a virtual host. Whether all of that worked.
async fn follow_all(edge: &Arc<Edge>, vhost: &Arc<VirtualHost>) -> bool {
    let mut is_followed = true;
    for some in edge.sns.subscriptions.of_vhost(vhost.name()).chunks(TURN) {
        let mut pending = Vec::new();
        for subscription in some {
            is_followed &= follow_in_turn(edge, vhost, subscription, &mut pending);
        }
        for written in pending {
            if let Err(error) = written.wait().await {
                tracing::error!(vhost = %vhost.name(), %error, "a binding of a subscription is not written");
                is_followed = false;
            }
        }
        // Others have their turn on this thread, too.
        tokio::task::yield_now().await;
    }
    is_followed
}

/// Follows a virtual host for as long as the program runs.
async fn keep_up(edge: Weak<Edge>, name: Box<str>) {
    loop {
        let Some(there) = edge.upgrade() else { return };
        let Some(vhost) = there.broker.vhost(&name) else {
            // It was deleted, and may be made again.
            drop(there);
            sleep(SWEEP).await;
            continue;
        };
        let mut changes = vhost.changes();
        drop((there, vhost));
        let mut swept = Instant::now();
        loop {
            changes.mark_unchanged();
            let Some(there) = edge.upgrade() else { return };
            let Some(vhost) = there.broker.vhost(&name) else { break };
            let begin = Instant::now();
            let is_followed = follow_all(&there, &vhost).await;
            if swept.elapsed() >= SWEEP {
                for written in archive::sweep(&there, &vhost) {
                    if let Err(error) = written.wait().await {
                        tracing::error!(vhost = %name, %error, "what is left of an archive is not deleted");
                    }
                }
                swept = Instant::now();
            }
            let pause = PAUSE.max(begin.elapsed() * PAUSE_LOOKS);
            drop((there, vhost));
            sleep(pause).await;
            match timeout(if is_followed { SWEEP } else { AGAIN }, changes.changed()).await {
                // Time to look for what has come to its end.
                Err(_) | Ok(Ok(())) => {}
                Ok(Err(_)) => break,
            }
        }
    }
}
