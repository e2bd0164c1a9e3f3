//! What Publish and PublishBatch share.

use std::borrow::Cow;
use std::sync::Arc;

use gantry_broker::message::now_ms;
use gantry_broker::vhost::Route;
use gantry_broker::{Address, Deduplication, Group, Message, Ticket, Wakes};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::convert::{self, Published, Variant};
use super::limits::{FIFO_ID_CHARACTERS_MAX, MESSAGE_BYTES_MAX, SUBJECT_CHARACTERS_MAX};
use super::place::Place;
use super::protection::Denied;
use super::{Topic, envelope, fault, message_attributes, structure};
use crate::call::Call;
use crate::error::Error;
use crate::message::{AttributeValue, Checked, MessageId, id};
use crate::sqs::ascii::{self, Ascii, Digits};
use crate::sqs::pairs::{Pairs, Text};
use crate::stats::Stats;
use crate::waits;

/// A message of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Entry<'a> {
    /// In a batch.
    #[serde(borrow, default)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) message: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) subject: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) message_structure: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) message_attributes: Option<Pairs<'a, AttributeValue<'a>>>,
    #[serde(borrow, default)]
    pub(crate) message_deduplication_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) message_group_id: Option<Text<'a>>,
}

/// A message of a request, checked.
#[derive(Debug)]
pub(crate) struct Ready<'e> {
    /// What is said to everybody to whom nothing else is said.
    pub(crate) body: Cow<'e, str>,
    pub(crate) variants: Vec<Variant<'e>>,
    pub(crate) subject: Option<Cow<'e, str>>,
    pub(crate) attributes: Checked<'e>,
    group: Option<&'e str>,
    deduplication: Option<Cow<'e, str>>,
    /// What it counts for in the size of a message, and of a batch.
    bytes: usize,
}

/// What the publisher is told.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Told {
    pub(crate) message_id: Ascii<36>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sequence_number: Option<Digits>,
}

/// Checks what has nothing to do with where a message goes. `position`: its number in a batch, from 1.
///
/// # Errors
/// A part of it is not as it has to be.
pub(crate) fn check<'e>(entry: &'e Entry<'_>, position: Option<usize>) -> Result<Ready<'e>, Error> {
    let subject = entry.subject.as_deref();
    if subject.is_some_and(|subject| !is_subject(subject)) {
        return Err(fault::invalid_parameter("Subject"));
    }
    let message = entry.message.as_deref().unwrap_or_default();
    if message.is_empty() {
        return Err(fault::invalid_parameter("Empty message"));
    }
    let attributes = entry.message_attributes.as_ref();
    let attributes = attributes.map(|attributes| message_attributes::check(attributes, position)).transpose()?;
    let attributes = attributes.unwrap_or_default();
    let bytes = message.len() + attributes.bytes();
    let group = entry.message_group_id.as_deref();
    let deduplication = entry.message_deduplication_id.as_deref();
    Ok(Ready {
        body: message.into(),
        variants: Vec::new(),
        subject: subject.map(Cow::from),
        attributes,
        group,
        deduplication: deduplication.map(Cow::from),
        bytes,
    })
}

/// A subject is short, and one line.
fn is_subject(subject: &str) -> bool {
    !subject.is_empty() && subject.chars().count() <= SUBJECT_CHARACTERS_MAX && !subject.chars().any(char::is_control)
}

fn check_fifo_id(text: &str, parameter: &str) -> Result<(), Error> {
    if (1..=FIFO_ID_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(fault::invalid_parameter(format_args!(
        "{parameter} Reason: {parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length."
    )))
}

impl<'e> Ready<'e> {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes apart what says something else to each protocol, where it is that. For one endpoint alone it need not have anything for
    /// all others.
    ///
    /// # Errors
    /// It is not written as it has to be.
    pub(crate) fn check_structure(&mut self, entry: &'e Entry<'_>, needs_default: bool) -> Result<(), Error> {
        // Other values mean nothing, as at AWS.
        if entry.message_structure.as_deref() != Some("json") {
            return Ok(());
        }
        let message = entry.message.as_deref().unwrap_or_default();
        (self.body, self.variants) = if needs_default {
            structure::parse_whole(message)?
        } else {
            let structured = structure::parse(message)?;
            (structured.default.unwrap_or_default(), structured.variants)
        };
        Ok(())
    }

    /// Checks a message that goes to one endpoint, and not to a topic.
    ///
    /// # Errors
    /// It is too large or not written as it has to be; it has what only messages to topics have.
    pub(crate) fn check_alone(&mut self, entry: &'e Entry<'_>) -> Result<(), Error> {
        if self.bytes > MESSAGE_BYTES_MAX {
            return Err(fault::invalid_parameter("Message too long"));
        }
        if self.deduplication.is_some() {
            return Err(not_for_this_type());
        }
        self.check_structure(entry, false)
    }

    /// Checks what a topic asks of its messages.
    ///
    /// # Errors
    /// It is too large; it has no group or no deduplication id where one is needed, or has one where none can be.
    pub(crate) fn check_for(&mut self, place: &Place, entry: &'e Entry<'_>) -> Result<(), Error> {
        if self.bytes > place.topic.message_bytes_max {
            return Err(fault::invalid_parameter("Message too long"));
        }
        self.check_for_batch(place, entry)
    }

    /// As [`Ready::check_for`], for one of several, which count together.
    ///
    /// # Errors
    /// As there, but for its size.
    pub(crate) fn check_for_batch(&mut self, place: &Place, entry: &'e Entry<'_>) -> Result<(), Error> {
        let topic = &*place.topic;
        let required = "The MessageGroupId parameter is required for FIFO topics";
        match self.group {
            None | Some("") if topic.is_fifo => return Err(fault::invalid_parameter(required)),
            Some(group) => check_fifo_id(group, "MessageGroupId")?,
            None => {}
        }
        match &self.deduplication {
            Some(_) if !topic.is_fifo => {
                return Err(not_for_this_type());
            }
            Some(id) => check_fifo_id(id, "MessageDeduplicationId")?,
            None if topic.is_fifo && !topic.is_content_based => {
                return Err(fault::invalid_parameter(
                    "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided \
                     explicitly",
                ));
            }
            None => {}
        }
        self.check_structure(entry, true)?;
        if topic.is_fifo && self.deduplication.is_none() {
            let said = self.variants.iter().find(|variant| variant.protocol == "sqs");
            let said = said.map_or(&*self.body, |variant| &*variant.text);
            self.deduplication = Some(ascii::hex::<64>(&Sha256::digest(said)).to_string().into());
        }
        Ok(())
    }

    /// Takes out of it what its topic does not let in.
    fn protect(&mut self, call: &Call, topic: &Topic) -> Result<(), Error> {
        let principal = &call.caller.arn;
        let variants = self.variants.iter_mut().map(|variant| &mut variant.text);
        let texts = std::iter::once(&mut self.body).chain(&mut self.subject).chain(variants);
        topic.protect_inbound(principal, texts).map_err(|Denied| {
            let who = if principal.is_empty() { "anonymous" } else { principal };
            fault::denied(format!(
                "User: {who} is not authorized to perform: SNS:Publish on resource: {} with an explicit deny in a data \
                 protection policy",
                topic.arn
            ))
        })
    }

    /// The message, of a topic or for an endpoint of this ARN.
    pub(crate) fn message(
        &self,
        address: &Arc<Address>,
        arn: &str,
        id: MessageId,
        published_ms: u64,
        call: &Call,
        sequence: Option<u64>,
    ) -> Arc<Message> {
        let published = Published {
            id,
            published_ms,
            topic: arn,
            subject: self.subject.as_deref(),
            body: &self.body,
            variants: &self.variants,
            group: self.group,
            deduplication: self.deduplication.as_deref(),
            trace: call.trace.as_ref().and_then(|trace| trace.to_str().ok()).filter(|trace| is_trace(trace)),
            sequence,
            attributes: &self.attributes,
        };
        convert::message(address, &published)
    }
}

fn not_for_this_type() -> Error {
    fault::invalid_parameter(
        "MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid for this \
         topic type",
    )
}

/// Whether it is short enough to be kept as the trace that a message belongs to.
fn is_trace(trace: &str) -> bool {
    const TRACE_BYTES_MAX: usize = 1024;
    !trace.is_empty() && trace.len() <= TRACE_BYTES_MAX
}

/// Publishes a message to a topic. What the publisher is told, and what to wait for before that.
///
/// # Errors
/// The topic is gone; a queue has no room, or the disk has none.
pub(crate) fn publish(
    call: &Call,
    place: &Place,
    ready: &mut Ready<'_>,
    wakes: &mut Wakes,
) -> Result<(Told, Option<Ticket>), Error> {
    let (topic, vhost) = (&*place.topic, &place.vhost);
    ready.protect(call, topic)?;
    let now_ms = now_ms();
    let route = topic.route(vhost)?;
    if topic.is_fifo {
        return publish_in_order(call, place, ready, &route, wakes);
    }
    let id = call.edge.sqs.ids.next();
    let message = ready.message(route.address(), &topic.arn, id, now_ms, call, None);
    let published = vhost.publish(&route, &message, now_ms, wakes).map_err(fault::of_broker)?;
    if published.refused > 0 {
        // Who publishes it again reaches the others once more, and this one at last.
        return Err(fault::throttled());
    }
    Stats::add(&call.edge.stats.published, 1);
    Ok((Told { message_id: id::text(&id), sequence_number: None }, published.durable))
}

/// Publishes to a topic with order, where nothing comes twice.
fn publish_in_order(
    call: &Call,
    place: &Place,
    ready: &Ready<'_>,
    route: &Route,
    wakes: &mut Wakes,
) -> Result<(Told, Option<Ticket>), Error> {
    let (topic, now_ms) = (&*place.topic, now_ms());
    let given = ready.deduplication.as_deref().unwrap_or_default();
    let deduplication = match ready.group {
        Some(group) if topic.is_per_group => {
            Deduplication::in_group(given.as_bytes(), Group::new(group.as_bytes(), false))
        }
        _ => Deduplication::new(given.as_bytes()),
    };
    let id = id::of_original(topic.exchange.id(), deduplication.key, now_ms);
    let once = place.vhost.publish_once(route, deduplication, now_ms, wakes, |sequence| {
        ready.message(route.address(), &topic.arn, id, now_ms, call, Some(sequence))
    });
    let once = once.map_err(fault::of_broker)?;
    if once.published.refused > 0 {
        return Err(fault::throttled());
    }
    Stats::add(&call.edge.stats.published, 1);
    // Who publishes a duplicate is told the id of its original.
    let id =
        once.original.map_or(id, |original| id::of_original(topic.exchange.id(), deduplication.key, original.sent_ms));
    let sequence_number = Some(Digits(envelope::sequence_number(once.sequence)));
    Ok((Told { message_id: id::text(&id), sequence_number }, once.published.durable))
}

/// Waits until the broker has room for what is published.
///
/// # Errors
/// There is none for long.
pub(crate) async fn room(call: &Call) -> Result<(), Error> {
    if waits::room(&call.edge.broker).await { Ok(()) } else { Err(fault::throttled()) }
}
