//! The rules that a queue follows, as the engine wants them.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::{ArgumentProblem, Error, Resource};
use crate::value::{Table, Value};

/// Longest time that an argument or a message may ask for, in milliseconds: ten years, as in RabbitMQ.
pub const ARGUMENT_MS_MAX: u64 = 315_360_000_000;

/// What a queue does with its messages: what it was declared with, and what policies add. Any of them can be combined; one
/// that is not asked for costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// `x-message-ttl`: how long a message waits at most, in milliseconds.
    pub(crate) ttl_ms: Option<u64>,
    /// `x-expires`: how long the queue lives unused, in milliseconds.
    pub(crate) expires_ms: Option<u64>,
    /// Where messages go that failed here.
    pub(crate) dead_letter: Option<Arc<DeadLetter>>,
}

/// Where messages go that were rejected, expired, did not fit or failed too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadLetter {
    /// `x-dead-letter-exchange`: an exchange of the same virtual host. It need not exist (yet).
    pub(crate) exchange: Arc<str>,
    /// `x-dead-letter-routing-key`: the key they get; otherwise they keep theirs.
    pub(crate) key: Option<Bytes>,
    /// `x-dead-letter-strategy`: a message that no queue takes is kept until one does; otherwise it is dropped.
    pub(crate) at_least_once: bool,
}

/// Arguments that ask for a rule which does not exist yet. Taking them in silence would be a promise; a name that no broker
/// knows is taken, as in RabbitMQ.
const UNSUPPORTED: &[&str] = &[
    "x-max-length",
    "x-max-length-bytes",
    "x-overflow",
    "x-max-priority",
    "x-single-active-consumer",
    "x-delivery-limit",
    "x-consumer-timeout",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-stream-filter-size-bytes",
    "x-initial-cluster-size",
];

impl Rules {
    pub(crate) fn of(resource: &Resource, arguments: &Table) -> Result<Self, Error> {
        let invalid = |name: &str, value: &Value, problem| Error::InvalidArgument {
            resource: resource.clone(),
            name: name.to_owned(),
            value: Box::new(value.clone()),
            problem,
        };
        let duration = |name: &str, zero_is_fine: bool| -> Result<Option<u64>, Error> {
            let Some(value) = arguments.get(name) else { return Ok(None) };
            let Some(number) = value.as_integer() else {
                return Err(invalid(name, value, ArgumentProblem::WrongType));
            };
            match u64::try_from(number) {
                Err(_) => Err(invalid(name, value, ArgumentProblem::Negative)),
                Ok(0) if !zero_is_fine => Err(invalid(name, value, ArgumentProblem::Zero)),
                Ok(ms) if ms > ARGUMENT_MS_MAX => {
                    Err(invalid(name, value, ArgumentProblem::TooLarge { max: ARGUMENT_MS_MAX }))
                }
                Ok(ms) => Ok(Some(ms)),
            }
        };
        for name in UNSUPPORTED {
            if let Some(value) = arguments.get(name) {
                return Err(invalid(name, value, ArgumentProblem::Unsupported));
            }
        }
        if let Some(value) = arguments.get("x-queue-type") {
            match value.as_str() {
                Some("classic") => {}
                Some("quorum" | "stream") => return Err(invalid("x-queue-type", value, ArgumentProblem::Unsupported)),
                Some(_) => {
                    return Err(invalid("x-queue-type", value, ArgumentProblem::Other("unknown queue type".into())));
                }
                None => return Err(invalid("x-queue-type", value, ArgumentProblem::WrongType)),
            }
        }
        if let Some(value) = arguments.get("x-queue-mode")
            && !matches!(value.as_str(), Some("default" | "lazy"))
        {
            return Err(invalid("x-queue-mode", value, unknown_choice("mode", value)));
        }
        if let Some(value) = arguments.get("x-queue-version")
            && !matches!(value.as_integer(), Some(1 | 2))
        {
            return Err(invalid("x-queue-version", value, unknown_choice("version", value)));
        }
        Ok(Self {
            ttl_ms: duration("x-message-ttl", true)?,
            expires_ms: duration("x-expires", false)?,
            dead_letter: dead_letter(&invalid, arguments)?,
        })
    }
}

/// The words for a setting of classic queues that means nothing here, where all queues are one engine, but has to be a known one.
fn unknown_choice(what: &str, value: &Value) -> ArgumentProblem {
    let shown = value.as_str().map(str::to_owned).or_else(|| value.as_integer().map(|number| number.to_string()));
    ArgumentProblem::Other(format!("\"unsupported queue {what} '{}'\"", shown.unwrap_or_default()))
}

fn dead_letter(
    invalid: &impl Fn(&str, &Value, ArgumentProblem) -> Error,
    arguments: &Table,
) -> Result<Option<Arc<DeadLetter>>, Error> {
    const EXCHANGE: &str = "x-dead-letter-exchange";
    const KEY: &str = "x-dead-letter-routing-key";
    const STRATEGY: &str = "x-dead-letter-strategy";
    let text = |name: &'static str| match arguments.get(name) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| invalid(name, value, ArgumentProblem::WrongType)),
    };
    let (exchange, key, strategy) = (text(EXCHANGE)?, text(KEY)?, text(STRATEGY)?);
    let Some(exchange) = exchange else { return Ok(None) };
    Ok(Some(Arc::new(DeadLetter {
        exchange: Arc::from(exchange),
        key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
        at_least_once: strategy == Some("at-least-once"),
    })))
}
