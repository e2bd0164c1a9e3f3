//! What a selector says of a message. Unknown is `None`: what is said of a header that is not there.

use std::cell::{Cell, OnceCell};
use std::cmp::Ordering;

use super::expression::{Comparison, Expression, Operator};
use super::{COST_MAX, Look};
use crate::message::{Message, Properties};
use crate::value::Value;

/// A value, as far as selectors tell values apart.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scalar<'a> {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(&'a str),
}

/// One of a selector and a message.
#[derive(Clone, Copy)]
struct Case<'a> {
    message: &'a Message,
    converts: bool,
    /// What its head says, where that had to be decoded: not kept in the message, where a backlog of decoded heads would be
    /// memory that nobody counts.
    properties: &'a OnceCell<Properties>,
    /// What may be spent.
    left: &'a Cell<usize>,
}

/// What each part of an expression costs, and each header that is passed over: see [`Look::cost`].
const PART_COST: usize = 4;
/// So many bytes of a head are read, and of texts are compared, for one.
const BYTES_PER_COST: usize = 4;

/// Longest text that may be a number, in bytes.
const NUMBER_BYTES_MAX: usize = 1024;

/// Whether it is true of the message, and what it cost to find out.
pub(super) fn look(expression: &Expression, message: &Message, converts: bool) -> Look {
    // Its head may have to be decoded.
    let left = Cell::new(COST_MAX - message.head().len().min(COST_MAX / 2));
    let is_true =
        Case { message, converts, properties: &OnceCell::new(), left: &left }.condition(expression) == Some(true);
    let left = left.get();
    // What has been found unknown for its cost may have been made true by a part around it, such as IS NULL.
    Look { matches: is_true && left > 0, cost: COST_MAX - left }
}

impl<'a> Case<'a> {
    /// Spends so much, before it is done. None where there is not so much left; then there is nothing left.
    fn spend(self, cost: usize) -> Option<()> {
        let left = self.left.get().saturating_sub(cost);
        self.left.set(left);
        (left > 0).then_some(())
    }

    fn condition(self, expression: &'a Expression) -> Option<bool> {
        self.spend(PART_COST)?;
        match expression {
            Expression::Not(inner) => self.condition(inner).map(|value| !value),
            Expression::And(parts) => self.every(parts, true),
            Expression::Or(parts) => self.every(parts, false),
            Expression::Compare(sides) => {
                let (left, comparison, right) = &**sides;
                self.compare(self.value(left)?, *comparison, self.value(right)?)
            }
            Expression::Between { not, of } => self.between(*not, of),
            // What is no text is like nothing, and whether it is one of several texts cannot be said: as in ActiveMQ.
            Expression::In { not, value, texts } => match self.value(value)? {
                Scalar::Text(value) => {
                    self.spend(texts.len().saturating_mul(PART_COST))?;
                    Some(texts.iter().any(|text| **text == *value) != *not)
                }
                _ => None,
            },
            Expression::Like { not, value, pattern } => Some(match self.value(value)? {
                Scalar::Text(text) => {
                    self.spend(pattern.cost(text.len()))?;
                    pattern.matches(text) != *not
                }
                _ => *not,
            }),
            Expression::IsNull { not, value } => Some(self.value(value).is_none() != *not),
            other => match self.value(other)? {
                Scalar::Bool(value) => Some(value),
                Scalar::Text(text) if self.converts => Some(truth(text)),
                _ => Some(false),
            },
        }
    }

    /// Whether all parts are true, or where `sought` is false, whether any is. One that decides it makes the unknown ones
    /// irrelevant.
    fn every(self, parts: &'a [Expression], sought: bool) -> Option<bool> {
        let mut result = Some(sought);
        for part in parts {
            match self.condition(part) {
                Some(value) if value != sought => return Some(value),
                Some(_) => {}
                None => result = None,
            }
        }
        result
    }

    /// As the two comparisons that it stands for.
    fn between(self, not: bool, of: &'a [Expression; 3]) -> Option<bool> {
        let [value, low, high] = of.each_ref().map(|part| self.value(part));
        let side = |bound: Option<Scalar<'a>>, inside, outside| {
            self.compare(value?, if not { outside } else { inside }, bound?)
        };
        let above = side(low, Comparison::GreaterOrEqual, Comparison::Less);
        let below = side(high, Comparison::LessOrEqual, Comparison::Greater);
        match (above, below) {
            (Some(decided), _) | (_, Some(decided)) if decided == not => Some(decided),
            (Some(_), Some(_)) => Some(!not),
            _ => None,
        }
    }

    /// Values of different types are unequal and have no order, as in ActiveMQ.
    fn compare(self, left: Scalar<'_>, comparison: Comparison, right: Scalar<'_>) -> Option<bool> {
        let (left, right) = if self.converts {
            for side in [left, right] {
                if let Scalar::Text(text) = side {
                    self.spend(text.len().min(NUMBER_BYTES_MAX))?;
                }
            }
            converted(left, right)
        } else {
            (left, right)
        };
        let ordering = match (left, right) {
            (Scalar::Bool(left), Scalar::Bool(right)) => return Some(equality(left == right, comparison)),
            (Scalar::Text(left), Scalar::Text(right)) => {
                self.spend(left.len().min(right.len()) / BYTES_PER_COST)?;
                return Some(equality(left == right, comparison));
            }
            (Scalar::Integer(left), Scalar::Integer(right)) => Some(left.cmp(&right)),
            (left, right) => match (left.as_float(), right.as_float()) {
                (Some(left), Some(right)) => left.partial_cmp(&right),
                _ => return Some(comparison == Comparison::Unequal),
            },
        };
        // What is not a number is unequal to everything.
        Some(match comparison {
            Comparison::Equal => ordering == Some(Ordering::Equal),
            Comparison::Unequal => ordering != Some(Ordering::Equal),
            Comparison::Less => ordering == Some(Ordering::Less),
            Comparison::LessOrEqual => ordering.is_some_and(Ordering::is_le),
            Comparison::Greater => ordering == Some(Ordering::Greater),
            Comparison::GreaterOrEqual => ordering.is_some_and(Ordering::is_ge),
        })
    }

    fn value(self, expression: &'a Expression) -> Option<Scalar<'a>> {
        self.spend(PART_COST)?;
        match expression {
            Expression::Bool(value) => Some(Scalar::Bool(*value)),
            Expression::Integer(value) => Some(Scalar::Integer(*value)),
            Expression::Float(value) => Some(Scalar::Float(*value)),
            Expression::Text(text) => Some(Scalar::Text(text)),
            Expression::Name(name) => self.named(name),
            Expression::Negated(inner) => match self.number(inner)? {
                Scalar::Integer(value) => Some(Scalar::Integer(value.wrapping_neg())),
                value => value.as_float().map(|value| Scalar::Float(-value)),
            },
            Expression::Arithmetic(first, rest) => rest
                .iter()
                .try_fold(self.number(first)?, |value, (operator, next)| operator.apply(value, self.number(next)?)),
            condition => self.condition(condition).map(Scalar::Bool),
        }
    }

    /// A number; unknown where it is something else.
    fn number(self, expression: &'a Expression) -> Option<Scalar<'a>> {
        match self.value(expression)? {
            Scalar::Text(text) if self.converts => {
                self.spend(text.len().min(NUMBER_BYTES_MAX))?;
                number_of(text)
            }
            value @ (Scalar::Integer(_) | Scalar::Float(_)) => Some(value),
            _ => None,
        }
    }

    /// What Jakarta Messaging calls by this name, or else the header of this name.
    fn named(self, name: &str) -> Option<Scalar<'a>> {
        let message = self.message;
        // Known without decoding anything.
        match name {
            "JMSPriority" => return Some(Scalar::Integer(message.essentials().priority.into())),
            "JMSDeliveryMode" => {
                let durable = message.essentials().durable;
                return Some(Scalar::Text(if durable { "PERSISTENT" } else { "NON_PERSISTENT" }));
            }
            _ => {}
        }
        let decoded = || self.properties.get_or_init(|| message.source().properties(message.head()));
        let properties = message.known_properties().unwrap_or_else(decoded);
        let text = match name {
            "JMSMessageID" => &properties.message_id,
            "JMSCorrelationID" => &properties.correlation_id,
            "JMSType" => &properties.kind,
            "JMSReplyTo" => &properties.reply_to,
            "JMSXUserID" => &properties.user_id,
            "JMSXAppID" => &properties.app_id,
            _ => &None,
        };
        if let Some(text) = text {
            return std::str::from_utf8(text).ok().map(Scalar::Text);
        }
        if name == "JMSTimestamp"
            && let Some(timestamp_s) = properties.timestamp_s
        {
            return i64::try_from(timestamp_s.saturating_mul(1000)).ok().map(Scalar::Integer);
        }
        let headers = properties.headers.as_ref()?;
        self.spend(headers.len().saturating_mul(PART_COST))?;
        scalar(headers.get(name)?)
    }
}

fn scalar(value: &Value) -> Option<Scalar<'_>> {
    match value {
        Value::Bool(value) => Some(Scalar::Bool(*value)),
        Value::Text(text) => text.as_str().map(Scalar::Text),
        Value::Timestamp(seconds) => i64::try_from(*seconds).ok().map(Scalar::Integer),
        Value::Decimal { scale, value } => Some(Scalar::Float(f64::from(*value) / 10_f64.powi(i32::from(*scale)))),
        Value::Null | Value::Binary(_) | Value::Array(_) | Value::Table(_) => None,
        value => match value.as_integer() {
            // Above what is exact here there is only a 64-bit number without a sign.
            Some(value) => Some(i64::try_from(value).map_or(Scalar::Float(value as f64), Scalar::Integer)),
            None => value.as_float().map(Scalar::Float),
        },
    }
}

impl Scalar<'_> {
    fn as_float(self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(value as f64),
            Self::Float(value) => Some(value),
            Self::Bool(_) | Self::Text(_) => None,
        }
    }
}

fn equality(equal: bool, comparison: Comparison) -> bool {
    match comparison {
        Comparison::Equal => equal,
        Comparison::Unequal => !equal,
        _ => false,
    }
}

/// Text as the type of what it is compared with.
fn converted<'a>(left: Scalar<'a>, right: Scalar<'a>) -> (Scalar<'a>, Scalar<'a>) {
    let as_type_of = |text: &'a str, other: Scalar<'_>| match other {
        Scalar::Bool(_) => Some(Scalar::Bool(truth(text))),
        Scalar::Integer(_) | Scalar::Float(_) => number_of(text),
        Scalar::Text(_) => None,
    };
    match (left, right) {
        (Scalar::Text(text), other) => (as_type_of(text, other).unwrap_or(left), right),
        (other, Scalar::Text(text)) => (left, as_type_of(text, other).unwrap_or(right)),
        _ => (left, right),
    }
}

fn truth(text: &str) -> bool {
    text.eq_ignore_ascii_case("true")
}

fn number_of(text: &str) -> Option<Scalar<'_>> {
    if text.len() > NUMBER_BYTES_MAX {
        return None;
    }
    if let Ok(value) = text.parse() {
        return Some(Scalar::Integer(value));
    }
    // Not the words for what is no number.
    let value = text.parse().ok().filter(|value: &f64| value.is_finite());
    value.filter(|_| text.bytes().any(|byte| byte.is_ascii_digit())).map(Scalar::Float)
}

impl Operator {
    /// Exact numbers stay exact and run over as in Java; an approximate one makes the result approximate. Unknown where
    /// an exact number is divided by zero.
    fn apply<'a>(self, left: Scalar<'a>, right: Scalar<'a>) -> Option<Scalar<'a>> {
        if let (Scalar::Integer(left), Scalar::Integer(right)) = (left, right) {
            return Some(Scalar::Integer(match self {
                Self::Plus => left.wrapping_add(right),
                Self::Minus => left.wrapping_sub(right),
                Self::Times => left.wrapping_mul(right),
                Self::Over if right == 0 => return None,
                Self::Over => left.wrapping_div(right),
            }));
        }
        let (left, right) = (left.as_float()?, right.as_float()?);
        Some(Scalar::Float(match self {
            Self::Plus => left + right,
            Self::Minus => left - right,
            Self::Times => left * right,
            Self::Over => left / right,
        }))
    }
}
