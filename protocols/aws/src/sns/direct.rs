//! Messages for one endpoint, and for no topic: a mobile device, or a phone number.
//!
//! They wait in a queue of their own, as those of a subscription do: one for each platform application, and one for all phone numbers of a virtual host. What
//! stands in place of the topic's ARN says to whom a message goes.

use std::sync::Arc;

use bytes::Bytes;
use gantry_broker::message::now_ms;
use gantry_broker::rights::Access;
use gantry_broker::{Address, DeleteQueue, Message, Queue, QueueOptions, QueueSettings, VirtualHost, Wakes};

use super::delivery::{Errand, Feedback, Means, Policy};
use super::platform::endpoint::application_of;
use super::platform::place;
use super::publishing::Ready;
use super::reconcile::INTERNAL;
use super::sms::{MESSAGE_CHARACTERS_MAX, number};
use super::{fault, faults};
use crate::Edge;
use crate::arn::Arn;
use crate::call::Call;
use crate::error::Error;
use crate::message::MessageId;
use crate::outbound::Reach;
use crate::stats::Stats;
use crate::waits::durable;

/// The annotation of a queue that messages wait in which go to no topic, and how they are delivered.
const DIRECT: &str = "sns.direct";
const APPLICATION: &str = "application";
const SMS: &str = "sms";

/// The queue of messages to phone numbers.
const SMS_QUEUE: &str = "sns-sms";

/// Where a message goes that goes to no topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// The ARN of an endpoint of a platform application.
    Endpoint(&'a str),
    /// A phone number.
    Phone(&'a str),
}

/// Sends a message to one endpoint. It is certain to be sent, or to be told as failed, when this answers.
///
/// # Errors
/// There is no such endpoint, or it takes nothing.
pub(crate) async fn publish(call: &Call, target: Target<'_>, ready: &Ready<'_>, id: MessageId) -> Result<(), Error> {
    match target {
        Target::Endpoint(arn) => to_endpoint(call, arn, ready, id).await,
        Target::Phone(phone) => to_phone(call, phone, ready, id).await,
    }
}

async fn to_endpoint(call: &Call, arn: &str, ready: &Ready<'_>, id: MessageId) -> Result<(), Error> {
    let none = || fault::invalid_parameter("TargetArn Reason: No endpoint found for the target arn specified");
    let application_arn = application_of(arn).ok_or_else(none)?;
    let parsed = Arn::parse(&application_arn).ok_or_else(none)?;
    place::check(call, "SNS:Publish", Some(Access::Write), arn, parsed.resource)?;
    if *parsed.account != *call.caller.account {
        return Err(none());
    }
    let platforms = &call.edge.sns.platforms;
    let endpoint = platforms.endpoint(arn).map_err(|_gone| none())?;
    let application = platforms.application(&application_arn).map_err(|_gone| none())?;
    if !application.is_enabled() {
        return Err(Error::new(&faults::PLATFORM_APPLICATION_DISABLED, "Platform application is disabled"));
    }
    if !endpoint.is_enabled {
        return Err(Error::new(&faults::ENDPOINT_DISABLED, "Endpoint is disabled"));
    }
    let queue = queue(call, &application_queue(&application.id), APPLICATION).await?;
    send(call, &queue, ready.message(&address(&queue), arn, id, now_ms(), call, None)).await
}

async fn to_phone(call: &Call, phone: &str, ready: &Ready<'_>, id: MessageId) -> Result<(), Error> {
    let reason = || format!("PhoneNumber Reason: {} is not valid to publish to", fault::shown(phone));
    let number = number::read(phone).ok_or_else(|| fault::invalid_parameter(reason()))?;
    place::check(call, "SNS:Publish", Some(Access::Write), "*", SMS)?;
    let said = ready.variants.iter().find(|variant| variant.protocol == SMS);
    let said = said.map_or(&*ready.body, |variant| &*variant.text);
    if said.is_empty() {
        return Err(fault::invalid_parameter("Empty message"));
    }
    if said.chars().count() > MESSAGE_CHARACTERS_MAX {
        return Err(fault::invalid_parameter("Message too long"));
    }
    let queue = queue(call, SMS_QUEUE, SMS).await?;
    send(call, &queue, ready.message(&address(&queue), &number, id, now_ms(), call, None)).await
}

/// The queue of an application's messages.
fn application_queue(id: &str) -> String {
    format!("sns-application-{id}")
}

fn address(queue: &Queue) -> Arc<Address> {
    Arc::new(Address { exchange: "".into(), routing_key: Bytes::copy_from_slice(queue.name().as_bytes()) })
}

/// A queue of messages that go to no topic, which somebody delivers.
async fn queue(call: &Call, name: &str, kind: &str) -> Result<Arc<Queue>, Error> {
    let vhost = call.vhost()?;
    if let Ok(queue) = vhost.queue_of_anyone(name) {
        // It may be there because somebody has declared it; then it is somebody's and none of ours.
        return if kind_of(&queue).is_some_and(|there| there == kind) {
            Ok(queue)
        } else {
            Err(Error::internal(&format_args!("the queue {name} is not one of SNS")))
        };
    }
    let options = QueueOptions { durable: true, ..QueueOptions::default() };
    let annotations = [(INTERNAL, "sns"), (DIRECT, kind)].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = QueueSettings { annotations: annotations.into(), ..QueueSettings::default() };
    let declared = vhost.declare_with(name, options, settings, call.caller.connection());
    let (queue, _, pending) = declared.map_err(fault::of_broker)?;
    pending.wait().await.map_err(fault::of_broker)?;
    deliver(&call.edge, &queue);
    Ok(queue)
}

/// How messages in a queue are delivered that go to no topic; none where it is another queue.
fn kind_of(queue: &Queue) -> Option<String> {
    queue.settings().annotations.get(DIRECT).cloned()
}

async fn send(call: &Call, queue: &Arc<Queue>, message: Arc<Message>) -> Result<(), Error> {
    let sent = call.vhost()?.send(queue, &message, None, now_ms(), &mut Wakes::new()).map_err(fault::of_broker)?;
    if sent.refused {
        return Err(fault::throttled());
    }
    durable(&call.edge.broker, sent.durable).await?;
    Stats::add(&call.edge.stats.published, 1);
    Stats::add(&call.edge.stats.confirmed, 1);
    Ok(())
}

/// Delivers what waits in a queue, from now on.
fn deliver(edge: &Arc<Edge>, queue: &Arc<Queue>) {
    let means = match kind_of(queue).as_deref() {
        Some(APPLICATION) => Means::Application,
        Some(SMS) => Means::Sms,
        _ => return,
    };
    let errand = Errand {
        id: format!("{}/{}", queue.vhost(), queue.name()).into(),
        queue: Arc::clone(queue),
        means,
        // Each message says itself to whom it goes.
        endpoint: "".into(),
        reach: Reach::Public,
        topic_arn: None,
        subscription_arn: None,
        is_raw: true,
        signature_version: 1,
        policy: Policy::of(means),
        dead_letters: None,
        base_url: "".into(),
        feedback: Feedback::default(),
        protection: None,
    };
    edge.sns.deliveries.start_errand(edge, Arc::new(errand));
}

/// Delivers what was left in queues when the program stopped. Wants to be called inside a runtime.
pub(crate) fn resume(edge: &Arc<Edge>) {
    for (_, vhost) in &edge.settings.accounts {
        let Some(vhost) = edge.broker.vhost(vhost) else { continue };
        for queue in vhost.queues() {
            deliver(edge, &queue);
        }
    }
}

/// Ends deliveries to the endpoints of an application, which is gone, and forgets what waits.
///
/// # Errors
/// The queue cannot be deleted.
pub(crate) async fn end(call: &Call, vhost: &Arc<VirtualHost>, application: &str) -> Result<(), Error> {
    let Ok(queue) = vhost.queue_of_anyone(&application_queue(application)) else { return Ok(()) };
    call.edge.sns.deliveries.stop_errand(&format!("{}/{}", queue.vhost(), queue.name()));
    let deleted = vhost.delete_queue(queue.name(), DeleteQueue::default(), call.caller.connection()).await;
    deleted.map(|_waiting| ()).map_err(fault::of_broker)
}
