//! The settings of policies, and the values that they can have: those that RabbitMQ knows, and those of its later versions.
//! What means nothing here (mirroring, sizes of groups, where leaders are) has to have a value that it can have all the same.

use super::PolicyKind;
use crate::value::{Table, Value};

/// What is wrong with a definition: words around what they are about.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// In front of it.
    pub before: &'static str,
    /// What the words are about.
    pub about: Option<About>,
    /// Behind it.
    pub after: &'static str,
}

/// What a problem is about.
#[derive(Clone, Debug, PartialEq)]
pub enum About {
    /// A value.
    Value(Value),
    /// Settings that do not exist, or not for this kind of policy.
    Settings(Table),
}

impl Problem {
    const fn words(words: &'static str) -> Self {
        Self { before: words, about: None, after: "" }
    }

    fn value(before: &'static str, value: &Value, after: &'static str) -> Self {
        Self { before, about: Some(About::Value(value.clone())), after }
    }
}

/// What values a setting can have.
#[derive(Clone, Copy)]
enum Values {
    /// Any text.
    Text,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// An integer from the one to the other.
    Integer(i128, i128),
    /// True or false.
    Bool,
    /// A number and a unit of time: `Y`, `M`, `D`, `h`, `m` or `s`.
    Age,
    /// Checked together with its relatives, by [`check_mirroring`].
    Mirroring,
}

/// A setting.
struct Setting {
    name: &'static str,
    values: Values,
    /// Of a value that it cannot have.
    words: &'static str,
    /// Operator policies have it too.
    operator: bool,
}

const fn setting(name: &'static str, values: Values, words: &'static str) -> Setting {
    Setting { name, values, words, operator: false }
}

const fn limit(name: &'static str, values: Values, words: &'static str) -> Setting {
    Setting { name, values, words, operator: true }
}

const NATURAL: Values = Values::Integer(0, i128::MAX);
const POSITIVE: Values = Values::Integer(1, i128::MAX);

/// Largest `stream-max-segment-size-bytes`, in bytes.
const SEGMENT_BYTES_MAX: i128 = 3_000_000_000;

const SETTINGS: &[Setting] = &[
    setting("alternate-exchange", Values::Text, " is not a valid alternate exchange name"),
    limit("consumer-timeout", POSITIVE, " is not a valid consumer timeout"),
    setting("dead-letter-exchange", Values::Text, " is not a valid dead letter exchange name"),
    setting("dead-letter-routing-key", Values::Text, " is not a valid dead letter routing key"),
    setting(
        "dead-letter-strategy",
        Values::OneOf(&["at-most-once", "at-least-once"]),
        " is not a valid dead letter strategy",
    ),
    setting("delayed-retry-max", POSITIVE, " is not a valid delayed retry maximum"),
    setting("delayed-retry-min", POSITIVE, " is not a valid delayed retry minimum"),
    setting(
        "delayed-retry-type",
        Values::OneOf(&["disabled", "all", "failed", "returned"]),
        " is not a valid delayed retry type",
    ),
    limit("delivery-limit", Values::Integer(i128::MIN, i128::MAX), " is not a valid delivery limit"),
    limit("expires", POSITIVE, " is not a valid queue expiry"),
    setting("ha-mode", Values::Mirroring, ""),
    setting("ha-params", Values::Mirroring, ""),
    setting("ha-promote-on-failure", Values::Mirroring, ""),
    setting("ha-promote-on-shutdown", Values::Mirroring, ""),
    setting("ha-sync-batch-size", Values::Mirroring, ""),
    setting("ha-sync-mode", Values::Mirroring, ""),
    setting("initial-cluster-size", NATURAL, " is not a valid cluster size"),
    setting("max-age", Values::Age, " is not a valid max age"),
    limit("max-in-memory-bytes", NATURAL, " is not a valid maximum memory in bytes"),
    limit("max-in-memory-length", NATURAL, " is not a valid maximum memory in bytes"),
    limit("max-length", NATURAL, " is not a valid maximum length"),
    limit("max-length-bytes", NATURAL, " is not a valid maximum length in bytes"),
    setting("max-priority", Values::Integer(1, 255), " is not a valid maximum priority"),
    limit("message-ttl", NATURAL, " is not a valid message TTL"),
    setting(
        "overflow",
        Values::OneOf(&["drop-head", "reject-publish", "reject-publish-dlx"]),
        " is not a valid overflow value",
    ),
    setting(
        "queue-leader-locator",
        Values::OneOf(&["client-local", "balanced", "random", "least-leaders"]),
        " is not a valid queue leader locator value",
    ),
    setting(
        "queue-master-locator",
        Values::OneOf(&["client-local", "min-masters", "random"]),
        " invalid queue-master-locator value",
    ),
    setting("queue-mode", Values::OneOf(&["default", "lazy"]), " is not a valid queue-mode value"),
    limit("queue-version", Values::Integer(1, 2), " is not a valid queue-version value"),
    setting("single-active-consumer", Values::Bool, " is not a valid single active consumer value"),
    setting("stream-filter-size-bytes", Values::Integer(16, 255), " is not a valid filter size. Valid range is 16-255"),
    setting("stream-max-segment-size-bytes", Values::Integer(0, SEGMENT_BYTES_MAX), " is not a valid segment size"),
    limit("target-group-size", POSITIVE, " is not a valid qq target count value"),
];

pub(super) fn check(kind: PolicyKind, definition: &Table) -> Result<(), Problem> {
    if definition.is_empty() {
        return Err(Problem::words("no policy provided"));
    }
    let mut unknown = Table::new();
    for (name, value) in definition {
        let allowed = |setting: &&Setting| kind == PolicyKind::User || setting.operator;
        let setting = SETTINGS.iter().find(|setting| setting.name.as_bytes() == name.as_bytes()).filter(allowed);
        match setting {
            Some(setting) if !setting.values.has(value) => return Err(Problem::value("", value, setting.words)),
            Some(_) => {}
            None => unknown.push(name.clone(), value.clone()),
        }
    }
    if kind == PolicyKind::User {
        check_mirroring(definition)?;
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let about = Some(About::Settings(unknown));
    Err(Problem { before: "", about, after: " are not recognised policy settings" })
}

impl Values {
    fn has(self, value: &Value) -> bool {
        match self {
            Self::Text => value.as_str().is_some(),
            Self::OneOf(texts) => value.as_str().is_some_and(|text| texts.contains(&text)),
            Self::Integer(min, max) => value.as_integer().is_some_and(|number| (min..=max).contains(&number)),
            Self::Bool => value.as_bool().is_some(),
            Self::Age => value.as_str().is_some_and(is_age),
            Self::Mirroring => true,
        }
    }
}

fn is_age(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    number.bytes().any(|digit| digit != b'0') && matches!(unit, "Y" | "M" | "D" | "h" | "m" | "s")
}

/// Mirrored queues are no more, and policies for them are still about: they are taken as they were.
fn check_mirroring(definition: &Table) -> Result<(), Problem> {
    const MODE_MISSING: &str = "ha-mode must be specified to specify ha-params, ha-sync-mode or ha-promote-on-shutdown";
    let get = |name: &str| definition.get(name);
    let others = ["ha-params", "ha-sync-mode", "ha-sync-batch-size", "ha-promote-on-shutdown", "ha-promote-on-failure"];
    let Some(mode) = get("ha-mode") else {
        let lonely = others.into_iter().any(|name| get(name).is_some());
        return if lonely { Err(Problem::words(MODE_MISSING)) } else { Ok(()) };
    };
    check_mode(mode, get("ha-params"))?;
    let choices: [(_, &[&str], _); 3] = [
        ("ha-sync-mode", &["automatic", "manual"], "ha-sync-mode must be \"manual\" or \"automatic\", got "),
        (
            "ha-promote-on-shutdown",
            &["always", "when-synced"],
            "ha-promote-on-shutdown must be \"always\" or \"when-synced\", got ",
        ),
        (
            "ha-promote-on-failure",
            &["always", "when-synced"],
            "ha-promote-on-failure must be \"always\" or \"when-synced\", got ",
        ),
    ];
    for (name, texts, words) in choices {
        if let Some(value) = get(name)
            && !Values::OneOf(texts).has(value)
        {
            return Err(Problem::value(words, value, ""));
        }
    }
    match get("ha-sync-batch-size") {
        Some(value) if !POSITIVE.has(value) => {
            Err(Problem::value("ha-sync-batch-size takes an integer greater than 0, ", value, " given"))
        }
        _ => Ok(()),
    }
}

fn check_mode(mode: &Value, params: Option<&Value>) -> Result<(), Problem> {
    match (mode.as_str(), params) {
        (Some("all"), None) => Ok(()),
        (Some("all"), Some(_)) => Err(Problem::words("ha-mode=\"all\" does not take parameters")),
        (Some("exactly"), None) => Err(Problem::words("ha-mode=\"exactly\" takes an integer, none given")),
        (Some("exactly"), Some(params)) if POSITIVE.has(params) => Ok(()),
        (Some("exactly"), Some(params)) => {
            Err(Problem::value("ha-mode=\"exactly\" takes an integer, ", params, " given"))
        }
        (Some("nodes"), None) => Err(Problem::words("ha-mode=\"nodes\" takes a list, none given")),
        (Some("nodes"), Some(params)) => match params.as_array() {
            None => Err(Problem::value("ha-mode=\"nodes\" takes a list, ", params, " given")),
            Some([]) => Err(Problem::words("ha-mode=\"nodes\" list must be non-empty")),
            Some(nodes) => {
                let wrong: Vec<_> = nodes.iter().filter(|node| node.as_str().is_none()).cloned().collect();
                let before = "ha-mode=\"nodes\" takes a list of strings, ";
                if wrong.is_empty() {
                    return Ok(());
                }
                Err(Problem::value(before, &Value::Array(wrong), " was not a string"))
            }
        },
        _ => Err(Problem::value("", mode, " is not a valid ha-mode value")),
    }
}
