//! Where a reader begins.

use super::options::duration_ms;
use crate::value::Value;

/// Where a reader of a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamOffset {
    /// With the first message that is there.
    First,
    /// With the last message that is there.
    Last,
    /// With what comes from now on.
    Next,
    /// With this offset. Where it is gone already, with the first message that is there; where it is not there yet, once it is.
    Offset(u64),
    /// With the first message that came then or later, in milliseconds since the epoch of Unix.
    Time(u64),
    /// With the first message that is not older than this, in milliseconds.
    Interval(u64),
}

/// A value that says no place in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it says no place in a stream")]
pub struct InvalidOffset;

/// Longest interval that can be asked for, in milliseconds: longer than anybody has kept time, and short of what a number holds.
const INTERVAL_MS_MAX: u64 = 10_000 * 365 * 24 * 60 * 60 * 1000;

impl StreamOffset {
    /// Reads `x-stream-offset` as RabbitMQ has it: `first`, `last`, `next`, a number, a time, or an interval like `x-max-age`.
    ///
    /// # Errors
    /// It is none of these.
    pub fn of(value: &Value) -> Result<Self, InvalidOffset> {
        if let Value::Timestamp(seconds) = value {
            return Ok(Self::Time(seconds.saturating_mul(1000)));
        }
        if let Some(text) = value.as_str() {
            return match text {
                "first" => Ok(Self::First),
                "last" => Ok(Self::Last),
                "next" => Ok(Self::Next),
                interval => match duration_ms(interval) {
                    Some(ms) if ms <= INTERVAL_MS_MAX => Ok(Self::Interval(ms)),
                    _ => Err(InvalidOffset),
                },
            };
        }
        // A negative one is in front of everything.
        let number = value.as_integer().ok_or(InvalidOffset)?;
        Ok(Self::Offset(u64::try_from(number.max(0)).unwrap_or(u64::MAX)))
    }
}
