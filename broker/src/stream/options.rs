//! What a stream is declared with.

use crate::error::{ArgumentProblem, Error, Resource};
use crate::queue::{Arguments, Effective, QueueOptions, check_replicated};

/// Largest segment that may be asked for, in bytes, as in RabbitMQ.
pub const STREAM_SEGMENT_BYTES_MAX: u64 = 3_000_000_000;

/// Length of a segment where nobody asks for another one, in bytes, as in RabbitMQ.
const SEGMENT_BYTES_USUAL: u64 = 500_000_000;

/// `x-stream-filter-size-bytes`: from and to. Filters here are exact and have no size.
const FILTER_BYTES: std::ops::RangeInclusive<u64> = 16..=255;

/// What queues of other types have and streams have not.
const OF_OTHERS: &[&str] = &[
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-delayed-retry-max",
    "x-delayed-retry-min",
    "x-delayed-retry-type",
    "x-delivery-limit",
    "x-expires",
    "x-max-in-memory-bytes",
    "x-max-in-memory-length",
    "x-max-length",
    "x-max-priority",
    "x-message-ttl",
    "x-overflow",
    "x-queue-master-locator",
    "x-queue-mode",
    "x-queue-version",
    "x-quorum-initial-group-size",
    "x-quorum-target-group-size",
];

/// What a stream lets go of: whole segments, never the one that is being written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The oldest segments go while all take more than this together, in bytes.
    pub bytes_max: Option<u64>,
    /// Segments go whose last message is older than this, in milliseconds.
    pub age_max_ms: Option<u64>,
}

/// How often at least and at most a stream is looked at for what is too old, in milliseconds.
const PERIOD_MS: (u64, u64) = (1000, 60_000);

impl Retention {
    /// How often to look for what is too old, in milliseconds.
    pub(super) fn period_ms(&self) -> Option<u64> {
        self.age_max_ms.map(|age_ms| (age_ms / 10).clamp(PERIOD_MS.0, PERIOD_MS.1))
    }
}

/// The arguments of a stream, as the engine wants them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamRules {
    /// `x-max-length-bytes` and `x-max-age`.
    pub(crate) retention: Retention,
    /// `x-stream-max-segment-size-bytes`.
    pub(crate) segment_bytes: u64,
    /// `x-single-active-consumer`: of all readers the one that came first is served.
    pub(crate) single_active: bool,
}

impl StreamRules {
    /// What a stream has to do that was declared with these options, under these policies.
    ///
    /// # Errors
    /// An argument has a value that it cannot have, or a stream cannot have a property.
    pub(crate) fn of(resource: &Resource, options: &QueueOptions, policy: &Effective) -> Result<Self, Error> {
        let arguments = Arguments::new(resource, &options.arguments, policy);
        for name in OF_OTHERS {
            if let Some(value) = options.arguments.get(name) {
                let kind = options.queue_type().name();
                return Err(arguments.invalid(name, value, ArgumentProblem::NotOfType(kind)));
            }
        }
        let age_max_ms = max_age(&arguments)?;
        let bytes_max = arguments.number("x-max-length-bytes")?;
        let segment = arguments.natural("x-stream-max-segment-size-bytes", true)?;
        if let Some((_, value)) =
            arguments.natural("x-stream-filter-size-bytes", true)?.filter(|(bytes, _)| !FILTER_BYTES.contains(bytes))
        {
            let words = "Invalid value for  x-stream-filter-size-bytes".to_owned();
            return Err(arguments.invalid("x-stream-filter-size-bytes", value, ArgumentProblem::Other(words)));
        }
        arguments.natural("x-initial-cluster-size", false)?;
        arguments.check_locator("x-queue-leader-locator")?;
        check_replicated(resource, options)?;
        if let Some((_, value)) = segment.filter(|(bytes, _)| *bytes > STREAM_SEGMENT_BYTES_MAX) {
            let problem = ArgumentProblem::TooLarge { max: STREAM_SEGMENT_BYTES_MAX };
            return Err(arguments.invalid("x-stream-max-segment-size-bytes", value, problem));
        }
        // No policy can narrow a segment to nothing: what it says counts where the argument says nothing.
        let policy_segment = arguments.policy_number("x-stream-max-segment-size-bytes");
        let segment_bytes = segment.map(|(bytes, _)| bytes).or(policy_segment).unwrap_or(SEGMENT_BYTES_USUAL);
        Ok(Self {
            retention: Retention { bytes_max, age_max_ms },
            segment_bytes: segment_bytes.min(STREAM_SEGMENT_BYTES_MAX),
            single_active: arguments.single_active()?,
        })
    }
}

/// `x-max-age`: the shortest of what is said.
fn max_age(arguments: &Arguments<'_>) -> Result<Option<u64>, Error> {
    const NAME: &str = "x-max-age";
    let mut shortest = None;
    if let Some(text) = arguments.text(NAME)? {
        let Some(ms) = duration_ms(text) else { return arguments.refuse(NAME, "invalid_max_age") };
        shortest = Some(ms);
    }
    for text in arguments.policies(NAME).into_iter().flatten().filter_map(crate::value::Value::as_str) {
        // Checked when the policy was set; one that makes no sense is passed over.
        if let Some(ms) = duration_ms(text) {
            shortest = Some(shortest.map_or(ms, |shortest: u64| shortest.min(ms)));
        }
    }
    Ok(shortest)
}

/// A number, not zero, and a unit: `Y`, `M` (30 days), `D`, `h`, `m`, `s`. In milliseconds; what is longer than there is time is
/// as long as there is. None for anything else.
pub(crate) fn duration_ms(text: &str) -> Option<u64> {
    const HOUR_S: u64 = 60 * 60;
    const DAY_S: u64 = 24 * HOUR_S;
    let unit_s = match text.chars().last()? {
        'Y' => 365 * DAY_S,
        'M' => 30 * DAY_S,
        'D' => DAY_S,
        'h' => HOUR_S,
        'm' => 60,
        's' => 1,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Only too many digits are left to fail.
    let number = digits.parse::<u64>().unwrap_or(u64::MAX);
    (number > 0).then(|| number.saturating_mul(unit_s).saturating_mul(1000))
}
