//! Message -> what a notification says, of whatever protocol it came by.

use std::borrow::Cow;

use gantry_broker::Message;
use gantry_broker::value::Value as Header;

use super::head::Head;
use super::{REPLAYED, SOURCE_ID};
use crate::arn::Arn;
use crate::message::{Attribute, Foreign, ForeignMessage, attributes, count, id, names, text_of};
use crate::sqs::ascii::Ascii;

/// Where a message is: what is said of it where it does not say so itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    /// The ARN of the topic that it came by.
    pub(crate) topic: &'a str,
    /// The number of the queue that it is in.
    pub(crate) queue: u64,
    /// Its own number there.
    pub(crate) seq: u64,
    /// When it was received for the first time, in milliseconds since the epoch of Unix.
    pub(crate) first_received_ms: u64,
}

/// What a notification says.
#[derive(Clone, Debug)]
pub(crate) struct Notice<'m> {
    pub(crate) id: Ascii<36>,
    /// The ARN of the topic.
    pub(crate) topic: Cow<'m, str>,
    pub(crate) subject: Option<Cow<'m, str>>,
    pub(crate) message: Cow<'m, str>,
    /// In milliseconds since the epoch of Unix.
    pub(crate) published_ms: u64,
    /// Its number in a topic with order.
    pub(crate) sequence: Option<u64>,
    /// It comes out of the topic's archive.
    pub(crate) is_replayed: bool,
    pub(crate) group: Option<Cow<'m, str>>,
    pub(crate) deduplication: Option<Cow<'m, str>>,
    pub(crate) trace: Option<Cow<'m, str>>,
    /// The queue that it was in before it was given up.
    pub(crate) dead_letter_source: Option<String>,
    /// How often it was received there, and in those before.
    pub(crate) receives_before: u64,
    attributes: Attributes<'m>,
}

#[derive(Clone, Debug)]
enum Attributes<'m> {
    /// As stored.
    Own(&'m [u8]),
    Foreign(Vec<Foreign>),
}

impl<'m> Notice<'m> {
    /// Of a message. `protocols`: as whom it is told, such as `sqs`; what was published for the first of them that anything was
    /// published for stands in place of what was published for all.
    pub(crate) fn of(message: &'m Message, protocols: &[&str], at: &At<'_>) -> Self {
        if message.source().id() == SOURCE_ID
            && let Some(head) = Head::read(message.head())
        {
            return Self::of_head(message, &head, protocols);
        }
        Self::of_foreign(message, at)
    }

    fn of_head(message: &'m Message, head: &Head<'m>, protocols: &[&str]) -> Self {
        let variant = || protocols.iter().find_map(|protocol| head.variant(protocol));
        let variant = if head.variants.is_empty() { None } else { variant() };
        // Few messages have any.
        let set = head.common().headers_set();
        Self {
            id: id::text(&head.id),
            topic: head.topic.into(),
            subject: head.subject.map(Cow::from),
            // It was text when it came.
            message: variant.map_or_else(|| String::from_utf8_lossy(message.body()), Cow::from),
            published_ms: head.published_ms,
            sequence: head.sequence,
            is_replayed: set.get(REPLAYED).is_some(),
            group: head.group.map(Cow::from),
            deduplication: head.deduplication.map(Cow::from),
            trace: head.trace.map(Cow::from),
            dead_letter_source: set.get(names::LAST_DEATH_QUEUE).and_then(text_of),
            receives_before: set.get(names::RECEIVE_COUNT).map_or(0, count),
            attributes: Attributes::Own(head.attributes),
        }
    }

    fn of_foreign(message: &'m Message, at: &At<'_>) -> Self {
        let properties = message.properties();
        let foreign = ForeignMessage::of(message, &["All"], true);
        let own = |text: Option<String>| text.map(Cow::from);
        let headers = properties.headers.as_ref();
        let kind = properties.kind.as_deref().filter(|kind| !kind.is_empty());
        Self {
            // The publisher's own one where it is one: it is the same in all subscriptions.
            id: properties
                .message_id
                .as_deref()
                .and_then(id::parsed)
                .map_or_else(|| id::text(&id::of_foreign(at.queue, at.seq)), |id| id::text(&id)),
            topic: at.topic.to_owned().into(),
            subject: kind.map(String::from_utf8_lossy),
            message: match foreign.encoded {
                Some(encoded) => encoded.into(),
                None => String::from_utf8_lossy(message.body()),
            },
            published_ms: properties.timestamp_s.map_or(at.first_received_ms, |seconds| seconds.saturating_mul(1000)),
            sequence: None,
            is_replayed: headers.is_some_and(|headers| headers.get(REPLAYED).is_some()),
            group: own(foreign.group),
            deduplication: own(foreign.deduplication),
            trace: own(foreign.trace),
            dead_letter_source: foreign.dead_letter_source,
            receives_before: foreign.receives_before,
            attributes: Attributes::Foreign(foreign.attributes),
        }
    }

    /// The attributes, in order.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        let (own, foreign) = match &self.attributes {
            Attributes::Own(stored) => (*stored, &[][..]),
            Attributes::Foreign(foreign) => (&[][..], &foreign[..]),
        };
        attributes(own).chain(foreign.iter().map(Foreign::attribute))
    }
}

/// What was published for the first of these protocols that anything was published for; none where that is what was published for all.
pub(crate) fn variant<'m>(message: &'m Message, protocols: &[&str]) -> Option<&'m str> {
    let head = (message.source().id() == SOURCE_ID).then(|| Head::read(message.head())).flatten()?;
    protocols.iter().find_map(|protocol| head.variant(protocol))
}

/// The name of the topic that a message came by, and the name of the queue that the topic led to where it is not there any more
/// because it was given up: by what the message says itself, or by where it was published.
pub(crate) fn topic_of(message: &Message) -> Option<(Cow<'_, str>, Option<String>)> {
    if message.source().id() == SOURCE_ID
        && let Some(head) = Head::read(message.head())
    {
        let topic = Arn::parse(head.topic)?.resource;
        if head.set.is_empty() {
            return Some((topic.into(), None));
        }
        return Some((topic.into(), first_queue(head.common().headers_set().get(FIRST_DEATH_QUEUE))));
    }
    let exchange = &message.address().exchange;
    if !exchange.is_empty() {
        return Some(((&**exchange).into(), None));
    }
    // What has never been given up came by no exchange but this one.
    let headers = message.properties().headers.as_ref()?;
    let exchange = headers.get(FIRST_DEATH_EXCHANGE).and_then(text_of).filter(|exchange| !exchange.is_empty())?;
    Some((exchange.into(), first_queue(headers.get(FIRST_DEATH_QUEUE))))
}

const FIRST_DEATH_QUEUE: &str = "x-first-death-queue";
const FIRST_DEATH_EXCHANGE: &str = "x-first-death-exchange";

fn first_queue(header: Option<&Header>) -> Option<String> {
    header.map(Header::to_text)
}

/// When a message was published, in milliseconds since the epoch of Unix; none where it does not say.
pub(crate) fn published_ms(message: &Message) -> Option<u64> {
    if message.source().id() == SOURCE_ID {
        return Head::read(message.head()).map(|head| head.published_ms);
    }
    message.properties().timestamp_s.map(|seconds| seconds.saturating_mul(1000))
}
