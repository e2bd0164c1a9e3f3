//! Destinations in the manner of ActiveMQ.
//!
//! Both its spellings are read, `/queue/Q` and `queue://Q`; a text that begins like none of them is the name of a queue. Names
//! may have slashes and are not decoded. Several with commas between them are one composite destination; a part without a kind
//! of its own has that of the first. What stands behind `?` are options for ActiveMQ's own clients, and is passed over.

use std::borrow::Cow;

use super::{Destination, DestinationError, shown};

/// Parts of a composite destination.
pub const PARTS_MAX: usize = 64;

/// What a name is the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Queue,
    Topic,
    TempQueue,
    TempTopic,
    ReplyQueue,
    ReplyTopic,
}

/// How each begins, in both spellings.
const SPELLINGS: &[(Kind, &str, &str)] = &[
    (Kind::Queue, "/queue/", "queue://"),
    (Kind::Topic, "/topic/", "topic://"),
    (Kind::TempQueue, "/temp-queue/", "temp-queue://"),
    (Kind::TempTopic, "/temp-topic/", "temp-topic://"),
    (Kind::ReplyQueue, "/remote-temp-queue/", "remote-temp-queue://"),
    // RabbitMQ's word for it, from a publisher there.
    (Kind::ReplyQueue, "/reply-queue/", "reply-queue://"),
    (Kind::ReplyTopic, "/remote-temp-topic/", "remote-temp-topic://"),
];

pub(super) fn parse(text: &str) -> Result<Destination<'_>, DestinationError> {
    let (first_kind, _) = kind_of(text.trim_start()).unwrap_or((Kind::Queue, text));
    if !text.contains(',') {
        return part(text, first_kind);
    }
    let parts = text.split(',').filter(|part| !part.trim().is_empty()).map(|text| part(text, first_kind));
    let mut parts = parts.take(PARTS_MAX + 1).collect::<Result<Vec<_>, _>>()?;
    match parts.len() {
        0 => Err(DestinationError::Blank),
        1 => Ok(parts.remove(0)),
        2..=PARTS_MAX => Ok(Destination::Composite(parts)),
        _ => Err(DestinationError::TooManyParts(PARTS_MAX)),
    }
}

fn part(text: &str, kind_otherwise: Kind) -> Result<Destination<'_>, DestinationError> {
    let trimmed = text.trim();
    let (kind, name) = kind_of(trimmed).unwrap_or((kind_otherwise, trimmed));
    let name = name.split_once('?').map_or(name, |(name, _)| name).trim();
    if name.is_empty() {
        let kind = match kind {
            Kind::Queue => "queue",
            Kind::Topic => "topic",
            Kind::TempQueue | Kind::ReplyQueue => "temp-queue",
            Kind::TempTopic | Kind::ReplyTopic => "temp-topic",
        };
        return Err(DestinationError::Invalid { kind, rest: shown(text) });
    }
    Ok(match kind {
        Kind::Queue => Destination::Queue(name.into()),
        Kind::Topic => Destination::Topic(pattern(name)),
        Kind::TempQueue => Destination::TempQueue(name.into()),
        Kind::TempTopic => Destination::TempTopic(name.into()),
        Kind::ReplyQueue => Destination::ReplyQueue(name.into()),
        Kind::ReplyTopic => Destination::ReplyTopic(name.into()),
    })
}

fn kind_of(text: &str) -> Option<(Kind, &str)> {
    SPELLINGS.iter().find_map(|(kind, slash, uri)| {
        let name = text.strip_prefix(slash).or_else(|| text.strip_prefix(uri))?;
        Some((*kind, name))
    })
}

/// A topic as a pattern of a topic exchange: `>` is `#` there, and `*` is `*`.
pub(crate) fn pattern(topic: &str) -> Cow<'_, str> {
    if !topic.split('.').any(|word| word == ">") {
        return Cow::Borrowed(topic);
    }
    let words: Vec<&str> = topic.split('.').map(|word| if word == ">" { "#" } else { word }).collect();
    Cow::Owned(words.join("."))
}
