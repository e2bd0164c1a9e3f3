//! Message selectors: the subset of SQL-92's conditions of Jakarta Messaging 3.1, section 3.8.
//!
//! * [`token`]: text to words; [`parser`]: words to an expression; [`expression`]: what it is made of, and its text.
//! * [`evaluate`]: what it says of a message: true, false or unknown; [`like`]: patterns.
//!
//! Pure: a selector looks at nothing but the message. Text and nesting are bounded, and so is what may be spent on one
//! message, so that no selector costs more stack or time than a fixed amount; it takes no memory to speak of while it is
//! evaluated.
//!
//! Values of different types, as a header that is text and a number, are unequal and have no order, as in ActiveMQ. The prefix
//! `convert_string_expressions:`, as in ActiveMQ, has text be read as a number or a truth value where it is compared with one:
//! protocols whose headers are all text put it in front.

mod evaluate;
mod expression;
mod like;
mod parser;
#[cfg(test)]
mod tests;
mod token;

use std::fmt;

use self::expression::Expression;
use self::parser::Parser;
use crate::message::Message;

/// Longest text of a selector, in bytes, its prefix included.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;

/// How deep parentheses, `NOT` and signs may be nested.
pub const DEPTH_MAX: usize = 64;

/// What may be spent to find out whether a message meets a condition, in nanoseconds or so: counted, not measured, and so the
/// same each time. That is a thousand times what is usual; a message for which it does not suffice does not meet it.
pub const COST_MAX: usize = 1 << 20;

/// In front of a selector: text is read as what it is compared with.
const CONVERTING: &str = "convert_string_expressions:";
/// In front of a selector: it is not, which is usual.
const NOT_CONVERTING: &str = "no_convert_string_expressions:";

/// A condition that messages meet or do not.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    condition: Expression,
    converts: bool,
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// It is none, or it is longer or deeper than it may be.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(SelectorError::new(TEXT_BYTES_MAX, "the selector is longer than 16384 bytes"));
        }
        let start = text.len() - text.trim_start().len();
        let trimmed = &text[start..];
        let (converts, skipped) = if trimmed.starts_with(CONVERTING) {
            (true, CONVERTING.len())
        } else if trimmed.starts_with(NOT_CONVERTING) {
            (false, NOT_CONVERTING.len())
        } else {
            (false, 0)
        };
        let condition = Parser::new(text, start + skipped)?.parse()?;
        Ok(Self { condition, converts })
    }

    /// Whether a message meets the condition. Where that is unknown, or would cost more than [`COST_MAX`], it does not.
    pub fn matches(&self, message: &Message) -> bool {
        self.look(message).matches
    }

    /// As [`Selector::matches`], with what it cost.
    pub(crate) fn look(&self, message: &Message) -> Look {
        evaluate::look(&self.condition, message, self.converts)
    }
}

/// What came of looking at a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// It meets the condition.
    pub(crate) matches: bool,
    /// In nanoseconds or so; never more than [`COST_MAX`].
    pub(crate) cost: usize,
}

/// In a form of its own: with parentheses around everything that has parts.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.converts {
            f.write_str(CONVERTING)?;
        }
        fmt::Display::fmt(&self.condition, f)
    }
}

/// Why a text is not a selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at {at}")]
pub struct SelectorError {
    /// Where, as an offset into the text in bytes.
    pub at: usize,
    what: &'static str,
}

impl SelectorError {
    const fn new(at: usize, what: &'static str) -> Self {
        Self { at, what }
    }
}
