//! What a policy asks of one value.

use std::borrow::Cow;

use super::network::Network;
use super::wildcard::Wildcard;

/// A value of a message, as far as policies tell values apart.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    Bool(bool),
    Null,
}

/// A value of a policy.
#[derive(Clone, Debug)]
pub(super) enum Literal {
    Text(Box<str>),
    Number(f64),
    Bool(bool),
    Null,
}

impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

/// What equal values have in common. Numbers are equal by what they are, not by how they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key<'a> {
    Text(&'a str),
    Number(u64),
    Bool(bool),
    Null,
}

impl Key<'_> {
    /// The same for both zeros.
    pub(super) fn of_number(number: f64) -> Self {
        Self::Number(if number == 0.0 { 0 } else { number.to_bits() })
    }
}

impl Literal {
    pub(super) fn key(&self) -> Key<'_> {
        match self {
            Self::Text(text) => Key::Text(text),
            Self::Number(number) => Key::of_number(*number),
            Self::Bool(value) => Key::Bool(*value),
            Self::Null => Key::Null,
        }
    }
}

impl Scalar<'_> {
    pub(super) fn key(&self) -> Key<'_> {
        match self {
            Self::Text(text) => Key::Text(text),
            Self::Number(number) => Key::of_number(*number),
            Self::Bool(value) => Key::Bool(*value),
            Self::Null => Key::Null,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Numbers between two bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) low: Option<Bound>,
    pub(super) high: Option<Bound>,
}

/// An end of a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bound {
    pub(super) at: f64,
    /// The number itself is among those.
    pub(super) is_within: bool,
}

impl Range {
    fn contains(&self, number: f64) -> bool {
        let above = self.low.is_none_or(|low| number > low.at || low.is_within && number == low.at);
        let below = self.high.is_none_or(|high| number < high.at || high.is_within && number == high.at);
        above && below
    }
}

/// What a value must not be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Unwanted {
    Values(Box<[Literal]>),
    Prefixes(Box<[Box<str>]>),
    Suffixes(Box<[Box<str>]>),
    Wildcards(Box<[Wildcard]>),
}

/// What is asked of a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    Equal(Literal),
    /// In lower case.
    EqualIgnoringCase(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Wildcard(Wildcard),
    Within(Range),
    Network(Network),
    /// Only that it is there.
    Present,
    /// That it is not there.
    Absent,
    AnythingBut(Unwanted),
}

impl Condition {
    /// What [`Condition::holds`] costs at most, in comparisons of short values.
    pub(super) fn cost(&self, value: &Scalar<'_>) -> usize {
        let read = || value.text().map_or(0, str::len) / BYTES_AT_ONCE;
        match self {
            Self::Wildcard(_) => 1 + read(),
            Self::EqualIgnoringCase(wanted) => 1 + read().min(FOLD_MAX * wanted.len() / BYTES_AT_ONCE),
            Self::AnythingBut(Unwanted::Values(values)) => 1 + values.len(),
            Self::AnythingBut(Unwanted::Prefixes(parts) | Unwanted::Suffixes(parts)) => 1 + parts.len(),
            Self::AnythingBut(Unwanted::Wildcards(patterns)) => 1 + patterns.len() * (1 + read()),
            _ => 1,
        }
    }

    /// Whether a value that is there is as it should be.
    pub(super) fn holds(&self, value: &Scalar<'_>) -> bool {
        match self {
            Self::Equal(literal) => literal.key() == value.key(),
            Self::Within(range) => matches!(value, Scalar::Number(number) if range.contains(*number)),
            Self::Present => true,
            Self::Absent => false,
            Self::AnythingBut(unwanted) => unwanted.is_none(value),
            Self::EqualIgnoringCase(wanted) => value.text().is_some_and(|text| is_folded_to(text, wanted)),
            Self::Prefix(prefix) => value.text().is_some_and(|text| text.starts_with(&**prefix)),
            Self::Suffix(suffix) => value.text().is_some_and(|text| text.ends_with(&**suffix)),
            Self::Wildcard(pattern) => value.text().is_some_and(|text| pattern.matches(text)),
            Self::Network(network) => value.text().is_some_and(|text| network.contains(text)),
        }
    }
}

/// Bytes of a text that are read in about the time of one comparison.
const BYTES_AT_ONCE: usize = 64;

/// How many times as long in bytes a letter is at most as the same one in lower case, or the other way round.
const FOLD_MAX: usize = 3;

/// Whether a text is this one in lower case. Nothing is made of a text that is too long or too short for that.
fn is_folded_to(text: &str, wanted: &str) -> bool {
    if text.is_ascii() {
        return text.eq_ignore_ascii_case(wanted);
    }
    text.len() <= FOLD_MAX * wanted.len() && wanted.len() <= FOLD_MAX * text.len() && folded(text) == wanted
}

/// Texts that differ by case only are the same here.
pub(super) fn folded(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.to_lowercase())
    }
}

impl Unwanted {
    /// Whether a value is none of these.
    fn is_none(&self, value: &Scalar<'_>) -> bool {
        match self {
            Self::Values(values) => !values.iter().any(|literal| literal.key() == value.key()),
            Self::Prefixes(prefixes) => none_of(value, prefixes, |text, prefix| text.starts_with(&**prefix)),
            Self::Suffixes(suffixes) => none_of(value, suffixes, |text, suffix| text.ends_with(&**suffix)),
            Self::Wildcards(patterns) => none_of(value, patterns, |text, pattern| pattern.matches(text)),
        }
    }
}

fn none_of<T>(value: &Scalar<'_>, parts: &[T], is: impl Fn(&str, &T) -> bool) -> bool {
    value.text().is_none_or(|text| !parts.iter().any(|part| is(text, part)))
}
