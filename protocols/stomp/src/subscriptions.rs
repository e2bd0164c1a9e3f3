//! The subscriptions of a connection.

use std::fmt;

use gantry_broker::Subscription;
use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::codec::Headers;

/// What ids of subscriptions to replies begin with.
pub(crate) const REPLIES_ID_PREFIX: &str = "/temp-queue/";

/// How a client says that it is done with messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckMode {
    /// It need not say.
    Auto,
    /// For this one and all before it.
    Client,
    /// For each.
    ClientIndividual,
}

impl AckMode {
    /// What an `ack` header says; none where it says nothing that there is.
    pub(crate) fn of(header: Option<&str>) -> Option<Self> {
        match header.unwrap_or("auto") {
            "auto" => Some(Self::Auto),
            "client" => Some(Self::Client),
            "client-individual" => Some(Self::ClientIndividual),
            _ => None,
        }
    }
}

/// What a subscription is known by: its `id`, or its destination where it has none, as 1.0 allows. It is written in front of the
/// ids of messages in RabbitMQ's form, `T_` and the id or `Q_` and the destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tag(Box<str>);

impl Tag {
    /// What a frame means; none where it has neither header.
    pub(crate) fn of(headers: Headers<'_>) -> Option<Self> {
        if let Some(id) = headers.get("id") {
            return Some(Self(format!("T_{id}").into()));
        }
        let destination = headers.get("destination")?;
        Some(Self(format!("Q_{destination}").into()))
    }

    /// Of the queue for replies that a client calls so.
    pub(crate) fn of_replies(name: &str) -> Self {
        Self(format!("T_{REPLIES_ID_PREFIX}{name}").into())
    }

    /// Whether it is one that clients cannot give to a subscription.
    pub(crate) fn is_reserved(&self) -> bool {
        self.id().is_some_and(|id| id.starts_with(REPLIES_ID_PREFIX))
    }

    /// As it is written.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The id, where there is one.
    pub(crate) fn id(&self) -> Option<&str> {
        self.0.strip_prefix("T_")
    }

    fn of_text(text: &str) -> Self {
        Self(text.into())
    }
}

/// As errors name it.
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id() {
            Some(id) => write!(f, "id='{id}'"),
            None => write!(f, "destination='{}'", &self.0[2..]),
        }
    }
}

/// A subscription.
#[derive(Debug)]
pub(crate) struct Subscribed {
    pub(crate) tag: Tag,
    pub(crate) ack: AckMode,
    /// What it consumes from: one queue, or one for each part of a composite destination.
    pub(crate) consumers: SmallVec<[Subscription; 1]>,
    /// What messages say of their destination, where that is the client's own name for it.
    pub(crate) shown: Option<Box<str>>,
    /// It is to a topic: an UNSUBSCRIBE that says `durable` deletes what was kept for it.
    pub(crate) is_topic: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    by_token: HashMap<u64, Subscribed>,
    tokens: HashMap<Tag, u64>,
    last_token: u64,
}

impl Subscriptions {
    /// A token for a subscription or a queue of replies. None gets that of one before it: what was granted to that one may still
    /// be on its way.
    pub(crate) fn next_token(&mut self) -> u64 {
        self.last_token += 1;
        self.last_token
    }

    pub(crate) fn len(&self) -> usize {
        self.by_token.len()
    }

    pub(crate) fn contains(&self, tag: &Tag) -> bool {
        self.tokens.contains_key(tag)
    }

    /// Whether there is one that is written so.
    pub(crate) fn contains_text(&self, tag: &str) -> bool {
        self.tokens.contains_key(&Tag::of_text(tag))
    }

    pub(crate) fn insert(&mut self, token: u64, subscribed: Subscribed) {
        self.tokens.insert(subscribed.tag.clone(), token);
        self.by_token.insert(token, subscribed);
    }

    pub(crate) fn get(&self, token: u64) -> Option<&Subscribed> {
        self.by_token.get(&token)
    }

    pub(crate) fn token(&self, tag: &Tag) -> Option<u64> {
        self.tokens.get(tag).copied()
    }

    /// The consumers of a subscription, to be ended; it stays in the list.
    pub(crate) fn take_consumers(&mut self, token: u64) -> SmallVec<[Subscription; 1]> {
        self.by_token.get_mut(&token).map(|subscribed| std::mem::take(&mut subscribed.consumers)).unwrap_or_default()
    }

    pub(crate) fn remove(&mut self, token: u64) -> Option<Subscribed> {
        let subscribed = self.by_token.remove(&token)?;
        self.tokens.remove(&subscribed.tag);
        Some(subscribed)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Subscribed> {
        self.by_token.values()
    }

    /// Takes all.
    pub(crate) fn take(&mut self) -> Vec<Subscribed> {
        self.tokens.clear();
        self.by_token.drain().map(|(_, subscribed)| subscribed).collect()
    }
}
