//! Comparisons of a context's value with those of a condition.

use std::cmp::Ordering;
use std::net::IpAddr;

use super::pattern::matches;
use crate::date;

/// An operator without `Not`, `IfExists` and qualifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Text,
    TextIgnoringCase,
    Like,
    Arn,
    Ip,
    Bool,
    Number(Order),
    Date(Order),
    Null,
}

/// How a value has to stand to the condition's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What a value is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Comparison {
    Text(Vec<Box<str>>),
    TextIgnoringCase(Vec<Box<str>>),
    Like(Vec<Box<str>>),
    Arn(Vec<Box<str>>),
    Ip(Vec<Network>),
    Bool(Vec<bool>),
    Number(Order, Vec<f64>),
    Date(Order, Vec<i64>),
    /// Whether there may be no such key.
    Null(Vec<bool>),
}

/// Addresses with a common beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Operator {
    /// The operator of this name, and whether it is negated.
    pub(super) fn named(name: &str) -> Option<(Self, bool)> {
        Some(match name {
            "StringEquals" => (Self::Text, false),
            "StringNotEquals" => (Self::Text, true),
            "StringEqualsIgnoreCase" => (Self::TextIgnoringCase, false),
            "StringNotEqualsIgnoreCase" => (Self::TextIgnoringCase, true),
            "StringLike" => (Self::Like, false),
            "StringNotLike" => (Self::Like, true),
            "ArnEquals" | "ArnLike" => (Self::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Self::Arn, true),
            "IpAddress" => (Self::Ip, false),
            "NotIpAddress" => (Self::Ip, true),
            "Bool" => (Self::Bool, false),
            "Null" => (Self::Null, false),
            _ => {
                let (order, is_date) = match name.strip_prefix("Numeric") {
                    Some(order) => (order, false),
                    None => (name.strip_prefix("Date")?, true),
                };
                let (order, is_negated) = match order {
                    "Equals" => (Order::Equal, false),
                    "NotEquals" => (Order::Equal, true),
                    "LessThan" => (Order::Less, false),
                    "LessThanEquals" => (Order::LessOrEqual, false),
                    "GreaterThan" => (Order::Greater, false),
                    "GreaterThanEquals" => (Order::GreaterOrEqual, false),
                    _ => return None,
                };
                (if is_date { Self::Date(order) } else { Self::Number(order) }, is_negated)
            }
        })
    }

    /// What it compares with. None where a value is not one of its kind.
    pub(super) fn with(self, values: &[Box<str>]) -> Option<Comparison> {
        let texts = || values.to_vec();
        Some(match self {
            Self::Text => Comparison::Text(texts()),
            Self::TextIgnoringCase => Comparison::TextIgnoringCase(texts()),
            Self::Like => Comparison::Like(texts()),
            Self::Arn => Comparison::Arn(texts()),
            Self::Ip => Comparison::Ip(values.iter().map(|value| Network::parse(value)).collect::<Option<_>>()?),
            Self::Bool => Comparison::Bool(values.iter().map(|value| boolean(value)).collect::<Option<_>>()?),
            Self::Null => Comparison::Null(values.iter().map(|value| boolean(value)).collect::<Option<_>>()?),
            Self::Number(order) => {
                Comparison::Number(order, values.iter().map(|value| number(value)).collect::<Option<_>>()?)
            }
            Self::Date(order) => {
                Comparison::Date(order, values.iter().map(|value| date::parse_iso(value)).collect::<Option<_>>()?)
            }
        })
    }
}

impl Comparison {
    /// Whether a value is what one of the condition's values asks for. One of another kind is not.
    pub(super) fn is_one(&self, value: &str) -> bool {
        match self {
            Self::Text(texts) => texts.iter().any(|text| **text == *value),
            Self::TextIgnoringCase(texts) => texts.iter().any(|text| text.to_lowercase() == value.to_lowercase()),
            Self::Like(patterns) => patterns.iter().any(|pattern| matches(pattern, value)),
            Self::Arn(patterns) => patterns.iter().any(|pattern| is_arn(pattern, value)),
            Self::Ip(networks) => {
                value.parse().is_ok_and(|address| networks.iter().any(|network| network.has(address)))
            }
            Self::Bool(wanted) => boolean(value).is_some_and(|value| wanted.contains(&value)),
            Self::Number(order, wanted) => {
                number(value).is_some_and(|value| wanted.iter().any(|wanted| order.is(value.partial_cmp(wanted))))
            }
            Self::Date(order, wanted) => date::parse_iso(value)
                .is_some_and(|value| wanted.iter().any(|wanted| order.is(Some(value.cmp(wanted))))),
            Self::Null(_) => false,
        }
    }
}

impl Order {
    fn is(self, ordering: Option<Ordering>) -> bool {
        ordering.is_some_and(|ordering| match self {
            Self::Equal => ordering.is_eq(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        })
    }
}

/// Part by part, so that no `*` goes over a colon but in the last one.
fn is_arn(pattern: &str, value: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let (mut patterns, mut values) = (pattern.splitn(6, ':'), value.splitn(6, ':'));
    let mut parts = 0;
    loop {
        match (patterns.next(), values.next()) {
            (None, None) => return parts == 6,
            (Some(pattern), Some(value)) if matches(pattern, value) => parts += 1,
            _ => return false,
        }
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

impl Network {
    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or one address.
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(bits_max), |bits| bits.parse().ok())?;
        (bits <= bits_max).then_some(Self { address, bits })
    }

    fn has(self, address: IpAddr) -> bool {
        let differ = |one: u128, other: u128, width: u32| {
            let ignored = width - u32::from(self.bits);
            ignored < width && (one ^ other) >> ignored != 0
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(one), IpAddr::V4(other)) => !differ(one.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(one), IpAddr::V6(other)) => !differ(one.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}
