//! Deliveries to queues of SQS that are another account's: in another virtual host of this broker.
//!
//! The queue knows nothing of the topic, so that a message gets there as what a consumer is to see: in its document, or raw. What
//! goes to a queue with order goes one at a time, in the order of the topic; see `Errand::is_ordered`.

use std::borrow::Cow;
use std::sync::Arc;

use gantry_broker::message::now_ms;
use gantry_broker::{Deduplication, Error, Group, Queue, VirtualHost, Wakes};
use sha2::{Digest, Sha256};

use super::parcel::{Failure, Outcome, Parcel, Told};
use super::{http, service};
use crate::arn::Arn;
use crate::message::{Checked, Owned, Value, id, md5};
use crate::sns::convert::Notice;
use crate::sns::envelope::{self, Signature};
use crate::sns::reconcile::may_send;
use crate::sqs::ascii;
use crate::sqs::convert::{self, Sent};
use crate::waits::durable;

/// Who has sent the message, as the queue is told.
const SENDER: &str = "sns.amazonaws.com";

/// Delivers a message.
pub(super) async fn deliver(parcel: &Parcel) -> Outcome {
    let Some((vhost, queue, account)) = found(parcel) else {
        return service::rejected("NonExistentQueue", "the queue is not there");
    };
    let subscription = parcel.edge.sns.subscriptions.get(&parcel.errand.id);
    if !subscription.is_some_and(|subscription| may_send(&parcel.edge, &queue, account, &subscription)) {
        return service::rejected("AccessDenied", "the policy of the queue does not let the topic send");
    }
    let sent = match send(parcel, &vhost, &queue).await {
        Ok(sent) => sent,
        Err(outcome) => return outcome,
    };
    match durable(&parcel.edge.broker, sent).await {
        Ok(()) => Outcome::Delivered(Told::default()),
        Err(error) => Outcome::Retry(Failure::new("NotStored", error.message.to_string())),
    }
}

/// The queue, and the account that it is of.
fn found(parcel: &Parcel) -> Option<(Arc<VirtualHost>, Arc<Queue>, &str)> {
    let arn = Arn::parse(&parcel.errand.endpoint).filter(|arn| arn.service == "sqs")?;
    let vhost = parcel.edge.broker.vhost(parcel.edge.settings.vhost_of(arn.account)?)?;
    let queue = vhost.queue_of_anyone(arn.resource).ok().filter(|queue| queue.owner().is_none())?;
    Some((vhost, queue, arn.account))
}

async fn send(
    parcel: &Parcel,
    vhost: &VirtualHost,
    queue: &Arc<Queue>,
) -> Result<Option<gantry_broker::Ticket>, Outcome> {
    let notice = service::notice(parcel, &["sqs"])?;
    let body =
        if parcel.errand.is_raw { Cow::Borrowed(&*notice.message) } else { document(parcel, &notice).await?.into() };
    let attributes = if parcel.errand.is_raw { attributes(&notice) } else { Checked::default() };
    let profile = parcel.edge.sqs.profile(queue);
    let group = notice.group.as_deref();
    let mut deduplication = None;
    if profile.is_fifo {
        if group.is_none() {
            return Err(service::rejected("MissingParameter", "the message has no group"));
        }
        // What says nothing itself is known by what it says.
        let of_text = || Cow::Owned(ascii::hex::<64>(&Sha256::digest(&*notice.message)).to_string());
        deduplication = Some(notice.deduplication.as_deref().map_or_else(of_text, Cow::Borrowed));
    }
    let known = deduplication.as_deref().map(|id| match group {
        Some(group) if profile.is_per_group => {
            Deduplication::in_group(id.as_bytes(), Group::new(group.as_bytes(), false))
        }
        _ => Deduplication::new(id.as_bytes()),
    });
    let now_ms = now_ms();
    let sent = Sent {
        id: known.map_or_else(|| parcel.edge.sqs.ids.next(), |known| id::of_original(queue.id(), known.key, now_ms)),
        sent_ms: now_ms,
        sender: SENDER,
        body: &body,
        body_sum: md5::of_body(body.as_bytes()),
        group,
        deduplication: deduplication.as_deref(),
        trace: notice.trace.as_deref(),
        attributes: &attributes,
        attributes_sum: md5::of_attributes(attributes.iter()),
        delay_ms: None,
    };
    let message = convert::message(&profile.address, &sent);
    match vhost.send(queue, &message, known, now_ms, &mut Wakes::new()) {
        Ok(sent) if sent.refused => Err(Outcome::Retry(Failure::new("Throttled", "the queue is full"))),
        Ok(sent) => Ok(sent.durable),
        Err(Error::NotFound(_)) => Err(service::rejected("NonExistentQueue", "the queue is not there any more")),
        Err(error) => Err(Outcome::Retry(Failure::new("NotSent", error.to_string()))),
    }
}

/// The document. That of a topic with order is not signed, as any other of it.
async fn document(parcel: &Parcel, notice: &Notice<'_>) -> Result<String, Outcome> {
    let errand = &parcel.errand;
    if errand.is_of_ordered() {
        return Ok(envelope::notification(notice, &errand.unsubscribe_url(), None));
    }
    let (value, certificate_url) = http::sign(parcel, envelope::string_to_sign(notice)).await?;
    let signature = Signature { version: errand.signature_version, value: &value, certificate_url: &certificate_url };
    Ok(envelope::notification(notice, &errand.unsubscribe_url(), Some(&signature)))
}

fn attributes<'n>(notice: &'n Notice<'_>) -> Checked<'n> {
    let owned = |value: Value<'n>| match value {
        Value::Text(text) => Owned::Text(text),
        Value::Binary(bytes) => Owned::Binary(bytes.to_vec()),
    };
    Checked(notice.attributes().map(|of| (of.name, of.data_type, owned(of.value))).collect())
}
