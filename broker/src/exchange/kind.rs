//! The types of exchanges.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The type of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExchangeKind {
    /// The routing key equals the binding's key.
    Direct,
    /// Every binding matches.
    Fanout,
    /// The binding's key is a pattern of words between dots: `*` for one word, `#` for any number of them.
    Topic,
    /// The binding's arguments are compared with the message's headers.
    Headers,
    /// One binding for each message, by a hash of the routing key, a header or a property; bindings get shares by their weight,
    /// and few messages change their place when a binding comes or goes.
    #[serde(rename = "x-consistent-hash")]
    ConsistentHash,
    /// One destination for each message, by the hash of the routing key modulo their number.
    #[serde(rename = "x-modulus-hash")]
    ModulusHash,
    /// One destination for each message, at random.
    #[serde(rename = "x-random")]
    Random,
    /// The same; bindings have no key.
    #[serde(rename = "x-local-random")]
    LocalRandom,
    /// A fanout that gives its last messages to whatever is newly bound.
    #[serde(rename = "x-recent-history")]
    RecentHistory,
    /// A fanout that drops a message whose deduplication header it has seen lately.
    #[serde(rename = "x-message-deduplication")]
    Deduplication,
    /// Routes as the type that the argument `x-delayed-type` names, after the delay that the header `x-delay` asks for.
    #[serde(rename = "x-delayed-message")]
    Delayed,
    /// A fanout whose bindings may say, by a filter policy, which messages they are for: a topic of subscriptions.
    #[serde(rename = "x-sns")]
    Subscriptions,
}

impl ExchangeKind {
    const ALL: [Self; 12] = [
        Self::Direct,
        Self::Fanout,
        Self::Topic,
        Self::Headers,
        Self::ConsistentHash,
        Self::ModulusHash,
        Self::Random,
        Self::LocalRandom,
        Self::RecentHistory,
        Self::Deduplication,
        Self::Delayed,
        Self::Subscriptions,
    ];

    /// The name that clients use for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
            Self::ConsistentHash => "x-consistent-hash",
            Self::ModulusHash => "x-modulus-hash",
            Self::Random => "x-random",
            Self::LocalRandom => "x-local-random",
            Self::RecentHistory => "x-recent-history",
            Self::Deduplication => "x-message-deduplication",
            Self::Delayed => "x-delayed-message",
            Self::Subscriptions => "x-sns",
        }
    }

    /// How it routes; none where an argument says so.
    pub const fn routing(self) -> Option<Routing> {
        match self {
            Self::Direct => Some(Routing::Direct),
            Self::Fanout | Self::RecentHistory | Self::Deduplication => Some(Routing::Fanout),
            Self::Topic => Some(Routing::Topic),
            Self::Headers => Some(Routing::Headers),
            Self::ConsistentHash => Some(Routing::ConsistentHash),
            Self::ModulusHash => Some(Routing::ModulusHash),
            Self::Random => Some(Routing::Random),
            Self::LocalRandom => Some(Routing::LocalRandom),
            Self::Subscriptions => Some(Routing::Filtered),
            Self::Delayed => None,
        }
    }
}

impl fmt::Display for ExchangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name is none of a type of exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown exchange type")]
pub struct UnknownKind;

impl FromStr for ExchangeKind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or(UnknownKind)
    }
}

/// How a matcher gets from a message to destinations. See [`ExchangeKind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routing {
    /// By equal keys.
    Direct,
    /// To all.
    Fanout,
    /// By patterns of words.
    Topic,
    /// By headers.
    Headers,
    /// To one, by a hash, in shares by weight.
    ConsistentHash,
    /// To one, by a hash.
    ModulusHash,
    /// To one, at random.
    Random,
    /// To one, at random; bindings have no key.
    LocalRandom,
    /// To all whose filter policy lets it through.
    Filtered,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_found_and_stored_by_the_name_that_clients_use() {
        for kind in ExchangeKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        assert_eq!("x-nothing".parse::<ExchangeKind>(), Err(UnknownKind));
    }
}
