//! Taking messages out of a queue, and waiting until there are some.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use gantry_broker::message::now_ms;
use gantry_broker::{Content, Delivery, Item, Receipt, Receipted, Receive, Wakes};
use serde::Serialize;
use smallvec::SmallVec;

use super::ascii::{Ascii, Digits};
use super::convert::{self, Body, Received};
use super::fault;
use super::limits::VISIBILITY_S_MAX;
use super::message_attributes::AttributeAnswer;
use super::notified::Notified;
use super::pairs::Pairs;
use super::place::{Place, durable};
use super::receipt::{Handle, HandleText};
use crate::Edge;
use crate::arn::Arn;
use crate::error::Error;
use crate::message::{id, md5};

/// What a receiver asks for, checked.
pub(crate) struct Ask {
    pub(crate) edge: Arc<Edge>,
    pub(crate) place: Place,
    pub(crate) region: Arc<str>,
    pub(crate) messages_max: usize,
    pub(crate) visibility_ms: u64,
    pub(crate) system: System,
    /// Names of attributes.
    pub(crate) attributes: Box<[Box<str>]>,
    /// Names the receive, where its answer may be asked for again.
    pub(crate) attempt: Option<Box<str>>,
}

/// The value of an attribute of the system.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum SystemValue {
    Number(Digits),
    Text(String),
}

/// Attributes of the system that there are.
const SYSTEM_NAMES: [&str; 9] = [
    "SenderId",
    "ApproximateFirstReceiveTimestamp",
    "ApproximateReceiveCount",
    "SentTimestamp",
    "SequenceNumber",
    "MessageDeduplicationId",
    "MessageGroupId",
    "AWSTraceHeader",
    "DeadLetterQueueSourceArn",
];

/// Which attributes of the system a receiver asks for: a bit for each of [`SYSTEM_NAMES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct System(u16);

impl System {
    /// By their names, or `All`. A queue's own names are taken, too, and say nothing: older clients send them.
    ///
    /// # Errors
    /// One is none of these.
    pub(crate) fn named<'n>(names: impl Iterator<Item = &'n str>) -> Result<Self, Error> {
        let mut bits = 0;
        for name in names {
            match SYSTEM_NAMES.iter().position(|known| *known == name) {
                Some(at) => bits |= 1 << at,
                None if name == "All" => bits = (1 << SYSTEM_NAMES.len()) - 1,
                None if super::attributes::is_name(name) => {}
                None => return Err(fault::unknown_attribute(fault::shown(name))),
            }
        }
        Ok(Self(bits))
    }

    fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// A message that is received.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Message {
    message_id: Ascii<36>,
    receipt_handle: HandleText,
    #[serde(rename = "MD5OfBody")]
    body_sum: Ascii<32>,
    body: Body,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<Pairs<'static, SystemValue>>,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    attributes_sum: Option<Ascii<32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_attributes: Option<Pairs<'static, AttributeAnswer>>,
}

impl Message {
    /// Bytes of memory that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        let pairs = |bytes: usize| bytes + size_of::<String>() * 4;
        let own = self.message_attributes.iter().flat_map(Pairs::iter);
        let own: usize = own.map(|(name, value)| pairs(name.len() + value.bytes())).sum();
        size_of::<Self>() + self.body.len() + 512 + own
    }
}

impl Ask {
    /// Takes what is there, without waiting for more.
    ///
    /// # Errors
    /// The queue is gone; or it has as many messages in flight as it may have, and this is `last`: who waits on is told nothing.
    pub(crate) async fn take(&self, last: bool) -> Result<Vec<Message>, Error> {
        if let Some(messages) = self.again() {
            self.certain().await?;
            return Ok(messages);
        }
        let (queue, limits) = (&self.place.queue, &self.edge.sqs.limits);
        let ask = Receive {
            messages_max: self.messages_max,
            lease_ms: self.visibility_ms,
            leased_max: if self.place.profile.is_fifo { limits.in_flight_fifo_max } else { limits.in_flight_max },
        };
        let received = {
            let mut wakes = Wakes::new();
            queue.receive(&ask, &mut wakes)
        };
        if received.closed {
            return Err(fault::queue_does_not_exist());
        }
        if last && received.limit_reached && received.deliveries.is_empty() {
            return Err(fault::over_limit(format!("Too many messages in flight for queue {}.", queue.name())));
        }
        if !received.deliveries.is_empty() {
            self.certain().await?;
        }
        let deliveries = self.load(received.deliveries).await;
        let now_ms = now_ms();
        let messages = self.messages(&deliveries, now_ms).await?;
        if let Some(attempt) = &self.attempt
            && !messages.is_empty()
        {
            let receipts = deliveries.iter().map(receipt_of).collect();
            self.edge.sqs.attempts.keep(queue.id(), attempt, receipts, messages.clone(), now_ms);
        }
        Ok(messages)
    }

    /// Waits until a crash would not undo what was just received from a queue with order: nobody else may get a message of a
    /// group while somebody has one. From other queues a message may come twice, and nobody waits.
    async fn certain(&self) -> Result<(), Error> {
        let broker = &self.edge.broker;
        durable(broker, self.place.profile.is_fifo.then(|| broker.appended())).await
    }

    /// Reads what has left memory.
    async fn load(&self, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        if deliveries.iter().all(|delivery| matches!(delivery.content, Content::Loaded(_))) {
            return deliveries;
        }
        let mut items: Vec<_> = deliveries.into_iter().map(Item::Delivery).collect();
        self.edge.broker.load(&mut items).await;
        let delivery = |item| if let Item::Delivery(delivery) = item { Some(delivery) } else { None };
        items.into_iter().filter_map(delivery).collect()
    }

    /// As [`Ask::take`]; where nothing is there, waits for it no longer than this.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn wait(self: Box<Self>, wait: Duration) -> Result<Vec<Message>, Error> {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            // In line before it looks: what comes in between is not missed.
            let mut turn = pin!(self.place.queue.arrival());
            turn.as_mut().enable();
            let messages = self.take(false).await?;
            if !messages.is_empty() || tokio::time::timeout_at(deadline, turn).await.is_err() {
                return Ok(messages);
            }
        }
    }

    /// The answer to the same attempt, where it can be given once more: nobody has deleted one of its messages or changed when
    /// it is visible, and their time is not over. They are kept from others for the whole time again.
    fn again(&self) -> Option<Vec<Message>> {
        let (attempts, queue) = (&self.edge.sqs.attempts, &self.place.queue);
        let attempt = self.attempt.as_deref()?;
        let now_ms = now_ms();
        let answered = attempts.take(queue.id(), attempt, now_ms)?;
        let receipts: Vec<_> = answered.receipts.iter().map(|receipt| (*receipt, self.visibility_ms)).collect();
        let said = queue.extend(&receipts, VISIBILITY_S_MAX * 1000, &mut Wakes::new());
        if !said.iter().all(|said| *said == Receipted::Done) {
            return None;
        }
        attempts.keep(queue.id(), attempt, answered.receipts, answered.messages.clone(), now_ms);
        Some(answered.messages)
    }

    /// What the receiver is told.
    async fn messages(&self, deliveries: &[Delivery], now_ms: u64) -> Result<Vec<Message>, Error> {
        let (edge, wanted) = (&self.edge, self.attributes.iter().map(|name| &**name));
        let wanted: SmallVec<[&str; 8]> = wanted.collect();
        let loaded = deliveries.iter().filter_map(|delivery| match &delivery.content {
            Content::Loaded(message) => Some((delivery, message)),
            _ => None,
        });
        let mut messages = Vec::with_capacity(deliveries.len());
        // All that are to be signed are, at once.
        let (mut notified, mut denied) = (Vec::new(), Vec::new());
        for (delivery, message) in loaded {
            match Notified::of(edge, &self.place, delivery, message) {
                Some(one) if one.is_denied => denied.push(receipt_of(delivery)),
                Some(one) => notified.push((messages.len() + notified.len(), delivery, message, one)),
                None => {
                    let received = convert::received(message, &wanted, &self.place_of(delivery));
                    messages.push(self.message(delivery, received, now_ms));
                }
            }
        }
        if !denied.is_empty() {
            self.place.queue.remove(&denied, &mut Wakes::new());
        }
        for (at, delivery, message, mut one) in notified {
            let document = one.text().await?;
            let mut notice = one.notice;
            if !self.place.profile.is_fifo {
                // A topic with order tells a queue without one nothing of it.
                notice.deduplication = None;
                notice.group = notice.group.filter(|_| notice.sequence.is_none());
            }
            let received = convert::notified(message, notice, document, &wanted, &self.place_of(delivery));
            messages.insert(at, self.message(delivery, received, now_ms));
        }
        Ok(messages)
    }

    fn place_of(&self, delivery: &Delivery) -> convert::Place {
        let (seq, first_received_ms) = (delivery.seq, delivery.first_received_ms);
        convert::Place { queue: self.place.queue.id(), seq, first_received_ms }
    }

    fn message(&self, delivery: &Delivery, received: Received<'_>, now_ms: u64) -> Message {
        let queue = self.place.queue.id();
        let Receipt { seq, receives } = receipt_of(delivery);
        let handle = Handle { queue, seq, receives, received_ms: now_ms };
        let attributes = (!self.system.is_none()).then(|| self.system_attributes(&received, delivery));
        let own = Pairs(received.attributes);
        Message {
            message_id: id::text(&received.id),
            receipt_handle: self.edge.sqs.key.write(&handle),
            body_sum: md5::hex(&received.body_sum),
            body: received.body,
            attributes,
            attributes_sum: received.attributes_sum.as_ref().map(md5::hex),
            message_attributes: Some(own).filter(|own: &Pairs<'_, AttributeAnswer>| !own.is_empty()),
        }
    }

    /// What the system knows of a message, as far as it was asked for.
    fn system_attributes(&self, received: &Received<'_>, delivery: &Delivery) -> Pairs<'static, SystemValue> {
        let text = |text: &Option<Cow<'_, str>>| Some(SystemValue::Text(text.as_deref()?.to_owned()));
        let number = |number: u64| Some(SystemValue::Number(Digits(number)));
        let mut told = Pairs(Vec::with_capacity(self.system.0.count_ones() as usize));
        let asked = SYSTEM_NAMES.into_iter().enumerate().filter(|(at, _)| self.system.0 & 1 << at != 0);
        for (_, name) in asked {
            let value = match name {
                "SenderId" => text(&received.sender),
                "ApproximateFirstReceiveTimestamp" => number(delivery.first_received_ms),
                "ApproximateReceiveCount" => {
                    number(received.receives_before.saturating_add(u64::from(delivery.attempts)).saturating_add(1))
                }
                "SentTimestamp" => number(received.sent_ms),
                "SequenceNumber" if self.place.profile.is_fifo => {
                    Some(SystemValue::Number(id::sequence_number(delivery.seq)))
                }
                "MessageDeduplicationId" => text(&received.deduplication),
                "MessageGroupId" => text(&received.group),
                "AWSTraceHeader" => text(&received.trace),
                "DeadLetterQueueSourceArn" => received
                    .dead_letter_source
                    .as_ref()
                    .map(|queue| SystemValue::Text(Arn::queue(&self.region, &self.place.account, queue).to_string())),
                _ => None,
            };
            if let Some(value) = value {
                told.push(name, value);
            }
        }
        told
    }
}

fn receipt_of(delivery: &Delivery) -> Receipt {
    Receipt { seq: delivery.seq, receives: delivery.attempts.saturating_add(1) }
}

/// Reads a receipt handle of a queue.
///
/// # Errors
/// It is none, or none of this queue.
pub(crate) fn receipt(edge: &Edge, place: &Place, handle: Option<&str>) -> Result<Receipt, Error> {
    let handle =
        handle.filter(|handle| !handle.trim().is_empty()).ok_or_else(|| fault::missing_parameter("ReceiptHandle"))?;
    let read = edge.sqs.key.read(handle).filter(|read| read.queue == place.queue.id());
    let read = read.ok_or_else(|| fault::receipt_handle_is_invalid(handle))?;
    Ok(Receipt { seq: read.seq, receives: read.receives })
}

/// What a client is told that has deleted a message.
///
/// # Errors
/// The message stays, in a queue with order: its time was over, or somebody else has it. In any other queue that is no error.
pub(crate) fn deleted(place: &Place, handle: &str, said: Receipted) -> Result<(), Error> {
    match said {
        Receipted::Stale | Receipted::NotLeased if place.profile.is_fifo => {
            Err(fault::invalid_value(fault::shown(handle), "ReceiptHandle", "The receipt handle has expired."))
        }
        _ => Ok(()),
    }
}

/// Reads a visibility timeout, in milliseconds.
///
/// # Errors
/// It is none that a message may have.
pub(crate) fn visibility_ms(seconds: i64) -> Result<u64, Error> {
    let in_range = u64::try_from(seconds).ok().filter(|seconds| *seconds <= VISIBILITY_S_MAX);
    let reason = "VisibilityTimeout must be an integer between 0 and 43200, if provided.";
    in_range.map(|seconds| seconds * 1000).ok_or_else(|| fault::invalid_value(seconds, "VisibilityTimeout", reason))
}

/// What a client is told that has changed when a message is visible again.
///
/// # Errors
/// It is not changed.
pub(crate) fn changed(place: &Place, handle: &str, seconds: i64, said: Receipted) -> Result<(), Error> {
    match said {
        Receipted::Done => Ok(()),
        // As AWS: what is visible already stays so.
        Receipted::NotLeased if !place.profile.is_fifo => Ok(()),
        Receipted::NotLeased => Err(fault::message_not_in_flight()),
        Receipted::NotThere | Receipted::Stale => Err(fault::invalid_value(
            fault::shown(handle),
            "ReceiptHandle",
            "Message does not exist or is not available for visibility timeout change.",
        )),
        Receipted::TooLong => Err(fault::invalid_value(
            seconds,
            "VisibilityTimeout",
            "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_the_system_are_asked_for_by_name() {
        let bits = |names: &[&str]| System::named(names.iter().copied()).map(|system| system.0);
        assert_eq!(bits(&["SenderId", "SentTimestamp", "SenderId"]), Ok(0b1001));
        assert_eq!((bits(&["All"]), bits(&["SenderId", "All"])), (Ok(0x1FF), Ok(0x1FF)));
        assert_eq!((bits(&[]), bits(&["VisibilityTimeout"])), (Ok(0), Ok(0)));
        assert_eq!(bits(&["None"]).unwrap_err().query_code(), "InvalidAttributeName");
    }
}
