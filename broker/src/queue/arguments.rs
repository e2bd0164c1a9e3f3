//! The arguments of a queue, one by one: what they may be, and what they come to under policies.
//!
//! Values and words of errors are RabbitMQ's. An absurd number is a number: nothing is allocated by it.

use std::sync::Arc;

use bytes::Bytes;

use super::options::QueueType;
use super::rules::{ARGUMENT_MS_MAX, DeadLetter, Delayed, Effective, Overflow, RetryDelay};
use crate::error::{ArgumentProblem, Error, Resource};
use crate::value::{Table, Value};

/// The highest priority that messages can have.
const PRIORITY_MAX: i128 = 255;

/// Arguments of streams, which no other queue has.
const STREAM_ONLY: &[&str] =
    &["x-max-age", "x-stream-max-segment-size-bytes", "x-stream-filter-size-bytes", "x-initial-cluster-size"];

/// Settings of classic queues that mean nothing here, and that RabbitMQ refuses for quorum queues.
const CLASSIC_ONLY: &[&str] = &["x-queue-mode", "x-queue-version", "x-queue-master-locator"];

/// Where the leader of a queue may be put, in RabbitMQ of any version. There is one node.
const LOCATORS: &[&str] = &["client-local", "balanced", "random", "least-leaders", "min-masters"];

/// What a queue was declared with, and what policies say of it.
pub(crate) struct Arguments<'a> {
    resource: &'a Resource,
    arguments: &'a Table,
    policy: &'a Effective,
}

impl<'a> Arguments<'a> {
    pub(crate) fn new(resource: &'a Resource, arguments: &'a Table, policy: &'a Effective) -> Self {
        Self { resource, arguments, policy }
    }

    pub(crate) fn invalid(&self, name: &str, value: &Value, problem: ArgumentProblem) -> Error {
        let (resource, name) = (self.resource.clone(), name.to_owned());
        Error::InvalidArgument { resource, name, value: Box::new(value.clone()), problem }
    }

    fn words<T>(&self, name: &str, value: &Value, words: &str) -> Result<T, Error> {
        Err(self.invalid(name, value, ArgumentProblem::Other(words.to_owned())))
    }

    /// The argument, if it is an integer.
    fn integer(&self, name: &str) -> Result<Option<(i128, &'a Value)>, Error> {
        let Some(value) = self.arguments.get(name) else { return Ok(None) };
        match value.as_integer() {
            Some(number) => Ok(Some((number, value))),
            None => Err(self.invalid(name, value, ArgumentProblem::WrongType)),
        }
    }

    /// The argument, if it is an integer of at least 0. One that does not fit counts as the largest.
    pub(crate) fn natural(&self, name: &str, zero_is_fine: bool) -> Result<Option<(u64, &'a Value)>, Error> {
        match self.integer(name)? {
            Some((number, value)) if number < 0 => Err(self.invalid(name, value, ArgumentProblem::Negative)),
            Some((0, value)) if !zero_is_fine => Err(self.invalid(name, value, ArgumentProblem::Zero)),
            Some((number, value)) => Ok(Some((u64::try_from(number).unwrap_or(u64::MAX), value))),
            None => Ok(None),
        }
    }

    /// The argument, if it is text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        let Some(value) = self.arguments.get(name) else { return Ok(None) };
        match value.as_str() {
            Some(text) => Ok(Some(text)),
            None => Err(self.invalid(name, value, ArgumentProblem::UnacceptableType)),
        }
    }

    /// What policies say instead of an argument: the policy and the operator policy.
    pub(crate) fn policies(&self, name: &str) -> [Option<&'a Value>; 2] {
        let key = name.strip_prefix("x-").unwrap_or(name);
        [self.policy.policy.get(key), self.policy.operator.get(key)]
    }

    /// What the policies say where the argument does not say anything: an operator policy comes first.
    fn policy_text(&self, name: &str) -> Option<&'a str> {
        let [policy, operator] = self.policies(name);
        operator.and_then(Value::as_str).or_else(|| policy.and_then(Value::as_str))
    }

    fn least(&self, name: &str, argument: Option<u64>) -> Option<u64> {
        let numbers = self.policies(name).into_iter().flatten().filter_map(Value::as_integer);
        let numbers = numbers.filter(|number| *number >= 0).map(|number| u64::try_from(number).unwrap_or(u64::MAX));
        numbers.chain(argument).min()
    }

    /// A number of at least 0: the smallest of what is said.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Error> {
        let argument = self.natural(name, true)?.map(|(number, _)| number);
        Ok(self.least(name, argument))
    }

    /// A time in milliseconds: the shortest of what is said.
    pub(super) fn duration(&self, name: &str, zero_is_fine: bool) -> Result<Option<u64>, Error> {
        let argument = match self.natural(name, zero_is_fine)? {
            Some((ms, value)) if ms > ARGUMENT_MS_MAX => {
                return Err(self.invalid(name, value, ArgumentProblem::TooLarge { max: ARGUMENT_MS_MAX }));
            }
            other => other.map(|(ms, _)| ms),
        };
        let ms = self.least(name, argument).map(|ms| ms.min(ARGUMENT_MS_MAX));
        Ok(ms.filter(|ms| zero_is_fine || *ms > 0))
    }

    /// `x-queue-type`.
    pub(super) fn queue_type(&self) -> Result<QueueType, Error> {
        const NAME: &str = "x-queue-type";
        let Some(value) = self.arguments.get(NAME) else { return Ok(QueueType::Classic) };
        match self.text(NAME)? {
            Some("classic") | None => Ok(QueueType::Classic),
            Some("quorum") => Ok(QueueType::Quorum),
            Some("stream") => Ok(QueueType::Stream),
            Some(other) => self.words(NAME, value, &format!("\"unsupported queue type '{other}'\"")),
        }
    }

    /// What means nothing here, where all queues are one engine on one node, and has to have a value that it can have all
    /// the same.
    pub(super) fn check_meaningless(&self, kind: QueueType) -> Result<(), Error> {
        let elsewhere = match kind {
            QueueType::Classic => [STREAM_ONLY, &[]],
            QueueType::Quorum => [STREAM_ONLY, CLASSIC_ONLY],
            // Its arguments are checked elsewhere.
            QueueType::Stream => return Ok(()),
        };
        for name in elsewhere.into_iter().flatten() {
            if let Some(value) = self.arguments.get(name) {
                return Err(self.invalid(name, value, ArgumentProblem::NotOfType(kind.name())));
            }
        }
        if let Some(mode) = self.text("x-queue-mode")?
            && !matches!(mode, "default" | "lazy")
        {
            return self.refuse("x-queue-mode", &format!("\"unsupported queue mode '{mode}'\""));
        }
        if let Some((version, value)) = self.natural("x-queue-version", true)?
            && !matches!(version, 1 | 2)
        {
            return self.words("x-queue-version", value, &format!("\"unsupported queue version '{version}'\""));
        }
        for name in ["x-queue-master-locator", "x-queue-leader-locator"] {
            self.check_locator(name)?;
        }
        for name in ["x-quorum-initial-group-size", "x-quorum-target-group-size"] {
            self.natural(name, false)?;
        }
        for name in ["x-max-in-memory-length", "x-max-in-memory-bytes"] {
            self.natural(name, true)?;
        }
        Ok(())
    }

    /// Where the leader of a queue is to be put.
    pub(crate) fn check_locator(&self, name: &str) -> Result<(), Error> {
        match self.text(name)? {
            Some(locator) if !LOCATORS.contains(&locator) => self.refuse(name, "invalid_queue_locator_arg"),
            _ => Ok(()),
        }
    }

    /// A number that policies say, where the argument does not: the operator policy's comes first.
    pub(crate) fn policy_number(&self, name: &str) -> Option<u64> {
        let [policy, operator] = self.policies(name);
        let number = operator.or(policy).and_then(Value::as_integer)?;
        u64::try_from(number).ok()
    }

    pub(crate) fn refuse<T>(&self, name: &str, words: &str) -> Result<T, Error> {
        self.words(name, self.arguments.get(name).unwrap_or(&Value::Null), words)
    }

    /// `x-overflow`.
    pub(super) fn overflow(&self) -> Result<Overflow, Error> {
        const NAME: &str = "x-overflow";
        let named = |text| match text {
            "drop-head" => Some(Overflow::DropHead),
            "reject-publish" => Some(Overflow::RejectPublish),
            "reject-publish-dlx" => Some(Overflow::RejectPublishDeadLetter),
            _ => None,
        };
        match self.text(NAME)? {
            Some(text) => named(text).map_or_else(|| self.refuse(NAME, "invalid_overflow"), Ok),
            None => Ok(self.policy_text(NAME).and_then(named).unwrap_or_default()),
        }
    }

    /// `x-dead-letter-*`.
    pub(super) fn dead_letter(&self) -> Result<Option<DeadLetter>, Error> {
        const EXCHANGE: &str = "x-dead-letter-exchange";
        const KEY: &str = "x-dead-letter-routing-key";
        const STRATEGY: &str = "x-dead-letter-strategy";
        let (exchange, key, strategy) = (self.text(EXCHANGE)?, self.text(KEY)?, self.text(STRATEGY)?);
        if key.is_some() && exchange.is_none() {
            return self.refuse(KEY, "routing_key_but_no_dlx_defined");
        }
        if strategy.is_some_and(|strategy| !matches!(strategy, "at-most-once" | "at-least-once")) {
            return self.refuse(STRATEGY, "invalid_dlx_strategy");
        }
        let Some(exchange) = exchange.or_else(|| self.policy_text(EXCHANGE)) else { return Ok(None) };
        let key = key.or_else(|| self.policy_text(KEY));
        let strategy = strategy.or_else(|| self.policy_text(STRATEGY));
        Ok(Some(DeadLetter {
            exchange: Arc::from(exchange),
            key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
            at_least_once: strategy == Some("at-least-once"),
            is_redrive: false,
        }))
    }

    /// `x-max-priority`.
    pub(super) fn priority_max(&self) -> Result<Option<u8>, Error> {
        const NAME: &str = "x-max-priority";
        let argument = match self.natural(NAME, true)? {
            Some((number, value)) if i128::from(number) > PRIORITY_MAX => {
                let shown = value.as_integer().unwrap_or_default();
                return self.words(NAME, value, &format!("{{max_value_exceeded,{shown}}}"));
            }
            other => other.map(|(number, _)| number),
        };
        Ok(self.least(NAME, argument).map(|number| u8::try_from(number).unwrap_or(u8::MAX)))
    }

    /// `x-single-active-consumer`.
    pub(crate) fn single_active(&self) -> Result<bool, Error> {
        const NAME: &str = "x-single-active-consumer";
        if let Some(value) = self.arguments.get(NAME) {
            return value.as_bool().ok_or_else(|| self.invalid(NAME, value, ArgumentProblem::UnacceptableType));
        }
        let [policy, operator] = self.policies(NAME);
        Ok(operator.or(policy).and_then(Value::as_bool).unwrap_or(false))
    }

    /// `x-delivery-limit`: the smallest of what is said, unless somebody says that there is none, by a negative number.
    pub(super) fn delivery_limit(&self) -> Result<Option<i128>, Error> {
        const NAME: &str = "x-delivery-limit";
        let argument = self.integer(NAME)?.map(|(number, _)| number);
        let policies = self.policies(NAME).into_iter().flatten().filter_map(Value::as_integer);
        Ok(policies
            .chain(argument)
            .reduce(|one, other| if one.min(other) < 0 { one.max(other) } else { one.min(other) }))
    }

    /// `x-delayed-retry-*`.
    pub(super) fn retry_delay(&self) -> Result<Option<RetryDelay>, Error> {
        const NAME: &str = "x-delayed-retry-type";
        let known = |text: &&str| matches!(*text, "disabled" | "all" | "failed" | "returned");
        let argument = self.text(NAME)?;
        if argument.is_some_and(|text| !known(&text)) {
            return self.refuse(NAME, "invalid_delayed_retry_type");
        }
        let min_ms = self.duration("x-delayed-retry-min", false)?;
        let max_ms = self.duration("x-delayed-retry-max", false)?;
        let which = match argument.or_else(|| self.policy_text(NAME).filter(known)) {
            Some("all" | "failed") => Delayed::All,
            Some("returned") => Delayed::Returned,
            _ => return Ok(None),
        };
        Ok(min_ms.map(|min_ms| RetryDelay { min_ms, max_ms: max_ms.unwrap_or(min_ms).max(min_ms), which }))
    }
}

#[cfg(test)]
mod tests;
