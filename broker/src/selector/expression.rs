//! What a selector is made of.
//!
//! Chains of one operator are lists: the depth of an expression is that of its parentheses, however long it is.

use std::fmt;

use super::like::Pattern;
use super::token::needs_quotes;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Bool(bool),
    Integer(i64),
    /// Finite.
    Float(f64),
    Text(Box<str>),
    Name(Box<str>),
    Not(Box<Expression>),
    /// Two at least.
    And(Vec<Expression>),
    /// Two at least.
    Or(Vec<Expression>),
    Compare(Box<(Expression, Comparison, Expression)>),
    Negated(Box<Expression>),
    /// From left to right; one step at least.
    Arithmetic(Box<Expression>, Vec<(Operator, Expression)>),
    Between {
        not: bool,
        /// The value, the lowest and the highest.
        of: Box<[Expression; 3]>,
    },
    In {
        not: bool,
        value: Box<Expression>,
        texts: Vec<Box<str>>,
    },
    Like {
        not: bool,
        value: Box<Expression>,
        pattern: Box<Pattern>,
    },
    IsNull {
        not: bool,
        value: Box<Expression>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Plus,
    Minus,
    Times,
    Over,
}

impl Expression {
    /// Whether it can be true of a message.
    pub(super) fn is_condition(&self) -> bool {
        !matches!(self, Self::Integer(_) | Self::Float(_) | Self::Text(_) | Self::Negated(_) | Self::Arithmetic(..))
    }
}

/// Parts that have parts themselves are in parentheses.
struct Part<'a>(&'a Expression);

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            simple @ (Expression::Bool(_)
            | Expression::Integer(_)
            | Expression::Float(_)
            | Expression::Text(_)
            | Expression::Name(_)) => write!(f, "{simple}"),
            other => write!(f, "({other})"),
        }
    }
}

pub(super) fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write!(f, "'{}'", text.replace('\'', "''"))
}

fn not_word(not: bool) -> &'static str {
    if not { " NOT" } else { "" }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, parts: &[Self], between: &str| {
            for (index, part) in parts.iter().enumerate() {
                write!(f, "{}{}", if index == 0 { "" } else { between }, Part(part))?;
            }
            Ok(())
        };
        match self {
            Self::Bool(value) => f.write_str(if *value { "TRUE" } else { "FALSE" }),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(text) => write_text(f, text),
            Self::Name(name) if needs_quotes(name) => write!(f, "\"{}\"", name.replace('"', "\"\"")),
            Self::Name(name) => f.write_str(name),
            Self::Not(inner) => write!(f, "NOT {}", Part(inner)),
            Self::And(parts) => list(f, parts, " AND "),
            Self::Or(parts) => list(f, parts, " OR "),
            Self::Compare(sides) => write!(f, "{} {} {}", Part(&sides.0), sides.1.sign(), Part(&sides.2)),
            Self::Negated(inner) => write!(f, "-({inner})"),
            Self::Arithmetic(first, rest) => {
                write!(f, "{}", Part(first))?;
                rest.iter().try_for_each(|(operator, part)| write!(f, " {} {}", operator.sign(), Part(part)))
            }
            Self::Between { not, of } => {
                let [value, low, high] = &**of;
                write!(f, "{}{} BETWEEN {} AND {}", Part(value), not_word(*not), Part(low), Part(high))
            }
            Self::In { not, value, texts } => {
                write!(f, "{}{} IN (", Part(value), not_word(*not))?;
                for (index, text) in texts.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    write_text(f, text)?;
                }
                f.write_str(")")
            }
            Self::Like { not, value, pattern } => write!(f, "{}{} LIKE {pattern}", Part(value), not_word(*not)),
            Self::IsNull { not, value } => write!(f, "{} IS{} NULL", Part(value), not_word(*not)),
        }
    }
}

impl Comparison {
    const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl Operator {
    const fn sign(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Times => "*",
            Self::Over => "/",
        }
    }
}
