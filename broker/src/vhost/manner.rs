//! What an exchange is declared with -> how it routes, and what else it does with messages.

use std::sync::Arc;

use parking_lot::Mutex;

use super::exchange::{Destination, ExchangeOptions};
use crate::delays::DelayLane;
use crate::error::{ArgumentProblem, Error, Kind, Resource};
use crate::exchange::{
    Duplicates, ExchangeKind, HISTORY_MESSAGES, HashOn, HashProperty, History, Matcher, Routing, Term,
};
use crate::queue::Place;
use crate::shared::Shared;
use crate::value::{Table, Value};

/// What an exchange does.
#[derive(Debug)]
pub(super) struct Manner {
    pub(super) matcher: Matcher<Destination>,
    pub(super) memory: Memory,
    /// Where messages wait that ask for a delay.
    pub(super) delays: Option<Arc<DelayLane>>,
    /// The exchange for what it cannot route.
    pub(super) alternate: Option<Arc<str>>,
}

/// What an exchange remembers of its messages.
#[derive(Debug)]
pub(super) enum Memory {
    Nothing,
    History(Mutex<History>),
    Seen(Seen),
}

/// The deduplication headers that an exchange has seen lately.
#[derive(Debug)]
pub(super) struct Seen {
    /// With each, where the journal has it.
    pub(super) keys: Mutex<Duplicates<Place>>,
    /// How long one is remembered, in milliseconds; for as long as there is room where it does not say.
    pub(super) ttl_ms: Option<u64>,
    /// The lane that keeps them over a restart.
    pub(super) lane: Option<u64>,
}

impl Manner {
    /// `lane` is the lane of the journal that the exchange has, where it has one from before.
    pub(super) fn of(
        shared: &Arc<Shared>,
        resource: &Resource,
        options: &ExchangeOptions,
        lane: Option<u64>,
    ) -> Result<Self, Error> {
        let arguments = Arguments { resource, table: &options.arguments };
        let alternate = match options.arguments.get("alternate-exchange") {
            None => None,
            Some(value) => match value.as_str() {
                Some(alternate) => Some(Arc::from(alternate)),
                None => return Err(arguments.invalid("alternate-exchange", value, ArgumentProblem::WrongType)),
            },
        };
        let is_delayed = options.kind == ExchangeKind::Delayed;
        let kind = if is_delayed { arguments.delayed_kind()? } else { options.kind };
        let matcher = match kind.routing() {
            Some(Routing::ConsistentHash) => Matcher::hashing(arguments.hash_on()?),
            Some(routing) => Matcher::new(routing),
            None => return Err(arguments.no_delayed_kind()),
        };
        let lane = || lane.unwrap_or_else(|| shared.next_lane());
        let delays = is_delayed.then(|| {
            let (vhost, name) = (Arc::clone(&resource.vhost), Arc::clone(&resource.name));
            DelayLane::new(Arc::clone(shared), lane(), vhost, Some(name))
        });
        let memory = match kind {
            ExchangeKind::RecentHistory => Memory::History(Mutex::new(History::new(arguments.history_length()?))),
            ExchangeKind::Deduplication => {
                let (entries_max, ttl_ms) = (arguments.cache_size()?, arguments.cache_ttl_ms()?);
                // One lane is enough for what waits; a delayed exchange forgets what it has seen.
                let on_disk = arguments.cache_on_disk()? && options.durable && delays.is_none();
                let keys = Mutex::new(Duplicates::new(entries_max));
                Memory::Seen(Seen { keys, ttl_ms, lane: on_disk.then(lane) })
            }
            _ => Memory::Nothing,
        };
        Ok(Self { matcher, memory, delays, alternate })
    }
}

/// The arguments of an exchange, with RabbitMQ's and its plugins' words for what is wrong with them.
struct Arguments<'a> {
    resource: &'a Resource,
    table: &'a Table,
}

impl Arguments<'_> {
    fn invalid(&self, name: &str, value: &Value, problem: ArgumentProblem) -> Error {
        let (resource, name, value) = (self.resource.clone(), name.to_owned(), Box::new(value.clone()));
        Error::InvalidArgument { resource, name, value, problem }
    }

    fn refused(&self, name: &str, words: impl Into<String>) -> Error {
        let value = self.table.get(name).cloned().unwrap_or(Value::Null);
        self.invalid(name, &value, ArgumentProblem::Other(words.into()))
    }

    fn delayed_kind(&self) -> Result<ExchangeKind, Error> {
        let Some(name) = self.table.get("x-delayed-type").and_then(Value::as_str) else {
            return Err(self.no_delayed_kind());
        };
        match name.parse() {
            Ok(ExchangeKind::Delayed) => Err(self.no_delayed_kind()),
            Ok(kind) => Ok(kind),
            Err(_) => Err(Error::UnknownExchangeType(name.to_owned())),
        }
    }

    fn no_delayed_kind(&self) -> Error {
        self.refused("x-delayed-type", "Invalid argument, 'x-delayed-type' must be an existing exchange type")
    }

    fn hash_on(&self) -> Result<HashOn, Error> {
        const HEADER: &str = "hash-header";
        const PROPERTY: &str = "hash-property";
        let wrong_type = |name: &str, value: &Value| self.invalid(name, value, ArgumentProblem::WrongType);
        match (self.table.get(HEADER), self.table.get(PROPERTY)) {
            (None, None) => Ok(HashOn::Key),
            (Some(_), Some(_)) => Err(self.refused(HEADER, "hash-header and hash-property are mutually exclusive")),
            (Some(Value::Text(name)), None) => Ok(HashOn::Header(name.clone())),
            (Some(value), None) => Err(wrong_type(HEADER, value)),
            (None, Some(Value::Text(name))) => match name.as_str().and_then(HashProperty::named) {
                Some(property) => Ok(HashOn::Property(property)),
                None => Err(self.refused(PROPERTY, format!("Unsupported property: {}", name.to_str_lossy()))),
            },
            (None, Some(value)) => Err(wrong_type(PROPERTY, value)),
        }
    }

    fn history_length(&self) -> Result<usize, Error> {
        const LENGTH: &str = "x-recent-history-length";
        let Some(value) = self.table.get(LENGTH) else { return Ok(HISTORY_MESSAGES) };
        match value.as_integer() {
            Some(length) if length > 0 => Ok(usize::try_from(length).unwrap_or(usize::MAX)),
            _ => {
                let words = format!("Invalid argument {}, '{LENGTH}' must be a positive integer", Term(value));
                Err(self.refused(LENGTH, words))
            }
        }
    }

    /// A positive number, also as text.
    fn positive(&self, name: &str) -> Option<u64> {
        let value = self.table.get(name)?;
        let number = value.as_integer().or_else(|| value.as_str()?.parse().ok())?;
        if number > 0 { Some(u64::try_from(number).unwrap_or(u64::MAX)) } else { None }
    }

    fn cache_size(&self) -> Result<usize, Error> {
        const SIZE: &str = "x-cache-size";
        let size = self.positive(SIZE).ok_or_else(|| {
            self.refused(SIZE, format!("Missing or invalid argument, '{SIZE}' must be an integer greater than 0"))
        })?;
        Ok(usize::try_from(size).unwrap_or(usize::MAX))
    }

    fn cache_ttl_ms(&self) -> Result<Option<u64>, Error> {
        const TTL: &str = "x-cache-ttl";
        match (self.table.contains(TTL), self.positive(TTL)) {
            (false, _) => Ok(None),
            (true, Some(ttl_ms)) => Ok(Some(ttl_ms)),
            (true, None) => {
                Err(self.refused(TTL, format!("Invalid argument, '{TTL}' must be an integer greater than 0")))
            }
        }
    }

    fn cache_on_disk(&self) -> Result<bool, Error> {
        const PERSISTENCE: &str = "x-cache-persistence";
        match self.table.get(PERSISTENCE).map(Value::as_str) {
            None | Some(Some("memory")) => Ok(false),
            Some(Some("disk")) => Ok(true),
            Some(_) => {
                let words = format!("Invalid argument, '{PERSISTENCE}' must be either 'disk' or 'memory'");
                Err(self.refused(PERSISTENCE, words))
            }
        }
    }
}

pub(super) fn resource(name: &Arc<str>, vhost: &Arc<str>) -> Resource {
    Resource { kind: Kind::Exchange, name: Arc::clone(name), vhost: Arc::clone(vhost) }
}
