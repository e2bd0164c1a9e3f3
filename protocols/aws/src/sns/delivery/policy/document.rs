//! Delivery policies as users write them: JSON.

use serde::{Deserialize, Serialize};

use super::retries::{Backoff, Retries};

/// All retries of a webhook together take no longer than this, in seconds.
const TOTAL_S_MAX: u64 = 3600;
/// The longest delay, in seconds.
const DELAY_S_MAX: i64 = 3600;
/// Most retries of a webhook.
const RETRIES_MAX: i64 = 100;

/// What notifications are said to be where nothing is set.
pub(crate) const CONTENT_TYPE: &str = "text/plain; charset=UTF-8";

/// Types of content that may be said.
const CONTENT_TYPES: [&str; 10] = [
    "application/json",
    "application/soap+xml",
    "application/x-www-form-urlencoded",
    "application/xhtml+xml",
    "application/xml",
    "text/css",
    "text/csv",
    "text/html",
    "text/plain",
    "text/xml",
];

/// What is wrong with a delivery policy, as clients are told behind `Invalid parameter: DeliveryPolicy: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct InvalidPolicy(String);

/// What may be set on a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TopicPolicy {
    /// For its webhooks.
    #[serde(default)]
    pub(crate) http: Option<HttpPolicy>,
}

/// What a topic has for its webhooks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct HttpPolicy {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) default_healthy_retry_policy: Option<RetryPolicy>,
    /// Kept, and means nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) default_sickly_retry_policy: Option<RetryPolicy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) disable_subscription_overrides: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) default_throttle_policy: Option<ThrottlePolicy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) default_request_policy: Option<RequestPolicy>,
}

/// What may be set on a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SubscriptionPolicy {
    #[serde(default)]
    pub(crate) healthy_retry_policy: Option<RetryPolicy>,
    /// Kept, and means nothing any more.
    #[serde(default)]
    pub(crate) sickly_retry_policy: Option<RetryPolicy>,
    #[serde(default)]
    pub(crate) throttle_policy: Option<ThrottlePolicy>,
    #[serde(default)]
    pub(crate) request_policy: Option<RequestPolicy>,
    /// Kept, and means nothing any more.
    #[serde(default)]
    pub(crate) guaranteed: Option<bool>,
}

/// When what failed is tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RetryPolicy {
    #[serde(default)]
    min_delay_target: Option<i64>,
    #[serde(default)]
    max_delay_target: Option<i64>,
    #[serde(default)]
    num_retries: Option<i64>,
    #[serde(default)]
    num_max_delay_retries: Option<i64>,
    #[serde(default)]
    num_no_delay_retries: Option<i64>,
    #[serde(default)]
    num_min_delay_retries: Option<i64>,
    #[serde(default)]
    backoff_function: Option<String>,
}

/// How many deliveries a second there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ThrottlePolicy {
    #[serde(default)]
    pub(crate) max_receives_per_second: Option<i64>,
}

/// What is said of the content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RequestPolicy {
    #[serde(default)]
    pub(crate) header_content_type: Option<String>,
}

impl TopicPolicy {
    /// Reads and checks one. Empty text is one that sets nothing.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidPolicy> {
        let policy: Self = parse(text)?;
        if let Some(http) = &policy.http {
            check_retries(http.default_healthy_retry_policy.as_ref(), "http.defaultHealthyRetryPolicy")?;
            check_retries(http.default_sickly_retry_policy.as_ref(), "http.defaultSicklyRetryPolicy")?;
            check_throttle(http.default_throttle_policy.as_ref(), "http.defaultThrottlePolicy")?;
            check_request(http.default_request_policy.as_ref(), "http.defaultRequestPolicy")?;
        }
        Ok(policy)
    }
}

impl SubscriptionPolicy {
    /// Reads and checks one. Empty text is one that sets nothing.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidPolicy> {
        let policy: Self = parse(text)?;
        check_retries(policy.healthy_retry_policy.as_ref(), "healthyRetryPolicy")?;
        check_retries(policy.sickly_retry_policy.as_ref(), "sicklyRetryPolicy")?;
        check_throttle(policy.throttle_policy.as_ref(), "throttlePolicy")?;
        check_request(policy.request_policy.as_ref(), "requestPolicy")?;
        Ok(policy)
    }
}

impl RetryPolicy {
    /// It, checked before.
    pub(super) fn retries(&self) -> Retries {
        let number = |number: Option<i64>, default: u32| {
            number.map_or(default, |number| u32::try_from(number.max(0)).unwrap_or(u32::MAX))
        };
        let default = Retries::WEBHOOK;
        Retries {
            delay_min_s: number(self.min_delay_target, default.delay_min_s),
            delay_max_s: number(self.max_delay_target, default.delay_max_s),
            count: number(self.num_retries, default.count),
            no_delay_count: number(self.num_no_delay_retries, 0),
            delay_min_count: number(self.num_min_delay_retries, 0),
            delay_max_count: number(self.num_max_delay_retries, 0),
            backoff: self.backoff_function.as_deref().and_then(backoff).unwrap_or_default(),
        }
    }

    /// With a value for everything, as it is told.
    fn whole(&self) -> Self {
        let or = |number: Option<i64>, default: i64| Some(number.unwrap_or(default));
        Self {
            min_delay_target: or(self.min_delay_target, 20),
            max_delay_target: or(self.max_delay_target, 20),
            num_retries: or(self.num_retries, 3),
            num_max_delay_retries: or(self.num_max_delay_retries, 0),
            num_no_delay_retries: or(self.num_no_delay_retries, 0),
            num_min_delay_retries: or(self.num_min_delay_retries, 0),
            backoff_function: Some(self.backoff_function.clone().unwrap_or_else(|| "linear".to_owned())),
        }
    }
}

/// The policy that holds for a topic, as `EffectiveDeliveryPolicy` tells it.
pub(crate) fn effective_for_topic(set: Option<&TopicPolicy>) -> String {
    let http = set.and_then(|set| set.http.as_ref()).cloned().unwrap_or_default();
    let effective = HttpPolicy {
        default_healthy_retry_policy: Some(http.default_healthy_retry_policy.unwrap_or_default().whole()),
        default_sickly_retry_policy: http.default_sickly_retry_policy,
        disable_subscription_overrides: Some(http.disable_subscription_overrides.unwrap_or(false)),
        default_throttle_policy: http.default_throttle_policy,
        default_request_policy: Some(whole_request(http.default_request_policy)),
    };
    written(&TopicPolicy { http: Some(effective) })
}

/// The policy that holds for a webhook, as `EffectiveDeliveryPolicy` tells it.
pub(crate) fn effective_for_subscription(topic: Option<&TopicPolicy>, own: Option<&SubscriptionPolicy>) -> String {
    let http = topic.and_then(|topic| topic.http.as_ref()).cloned().unwrap_or_default();
    let own = own.filter(|_| !http.disable_subscription_overrides.unwrap_or(false)).cloned().unwrap_or_default();
    let retries = own.healthy_retry_policy.or(http.default_healthy_retry_policy).unwrap_or_default();
    written(&SubscriptionPolicy {
        healthy_retry_policy: Some(retries.whole()),
        sickly_retry_policy: own.sickly_retry_policy.or(http.default_sickly_retry_policy),
        throttle_policy: own.throttle_policy.or(http.default_throttle_policy),
        request_policy: Some(whole_request(own.request_policy.or(http.default_request_policy))),
        guaranteed: Some(false),
    })
}

fn whole_request(set: Option<RequestPolicy>) -> RequestPolicy {
    let set = set.and_then(|set| set.header_content_type);
    RequestPolicy { header_content_type: Some(set.unwrap_or_else(|| CONTENT_TYPE.to_owned())) }
}

fn written(policy: &impl Serialize) -> String {
    // Nothing in it can fail to be written.
    serde_json::to_string(policy).unwrap_or_default()
}

fn parse<'t, T: Deserialize<'t> + Default>(text: &'t str) -> Result<T, InvalidPolicy> {
    if text.trim().is_empty() {
        return Ok(T::default());
    }
    // Serde would take a list for its members.
    if !text.trim_start().starts_with('{') {
        return Err(InvalidPolicy("failed to parse JSON".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| {
        let said = error.to_string();
        let unknown = said.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
        InvalidPolicy(match unknown {
            Some(name) => format!("unexpected JSON member: {name}"),
            None => "failed to parse JSON".to_owned(),
        })
    })
}

fn backoff(name: &str) -> Option<Backoff> {
    const NAMES: [(&str, Backoff); 4] = [
        ("linear", Backoff::Linear),
        ("arithmetic", Backoff::Arithmetic),
        ("geometric", Backoff::Geometric),
        ("exponential", Backoff::Exponential),
    ];
    NAMES.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, backoff)| backoff)
}

fn check_retries(policy: Option<&RetryPolicy>, of: &str) -> Result<(), InvalidPolicy> {
    let Some(policy) = policy else { return Ok(()) };
    let wrong = |what: &str| Err(InvalidPolicy(format!("{of}{what}")));
    let given =
        |number: Option<i64>, name: &str| number.ok_or_else(|| InvalidPolicy(format!("{of}.{name} must be specified")));
    let (min, max) =
        (given(policy.min_delay_target, "minDelayTarget")?, given(policy.max_delay_target, "maxDelayTarget")?);
    let count = given(policy.num_retries, "numRetries")?;
    let counts = [
        (policy.num_no_delay_retries, "numNoDelayRetries"),
        (policy.num_min_delay_retries, "numMinDelayRetries"),
        (policy.num_max_delay_retries, "numMaxDelayRetries"),
    ];
    if min < 1 {
        return wrong(".minDelayTarget must be greater than or equal to 1");
    }
    if max > DELAY_S_MAX {
        return wrong(".maxDelayTarget must be less than or equal to 3600");
    }
    if max < min {
        return wrong(".maxDelayTarget must be greater than or equal to minDelayTarget");
    }
    if count < 0 {
        return wrong(".numRetries must be greater than or equal to 0");
    }
    if count > RETRIES_MAX {
        return wrong(".numRetries must be less than or equal to 100");
    }
    for (number, name) in counts {
        if number.is_some_and(|number| number < 0) {
            return wrong(&format!(".{name} must be greater than or equal to 0"));
        }
    }
    let of_phases = counts.iter().fold(0_i64, |sum, (number, _)| sum.saturating_add(number.unwrap_or(0)));
    if of_phases > count {
        return wrong(
            ".numRetries must be greater than or equal to total of numMinDelayRetries, numNoDelayRetries and numMaxDelayRetries",
        );
    }
    if policy.backoff_function.as_deref().is_some_and(|name| backoff(name).is_none()) {
        return wrong(".backoffFunction must be one of [linear, arithmetic, geometric, exponential]");
    }
    if policy.retries().total_s() > TOTAL_S_MAX {
        return wrong(": Total policy retry time cannot be greater than 3600 seconds");
    }
    Ok(())
}

fn check_throttle(policy: Option<&ThrottlePolicy>, of: &str) -> Result<(), InvalidPolicy> {
    match policy.and_then(|policy| policy.max_receives_per_second) {
        Some(number) if number < 1 => {
            Err(InvalidPolicy(format!("{of}.maxReceivesPerSecond must be greater than or equal to 1")))
        }
        _ => Ok(()),
    }
}

fn check_request(policy: Option<&RequestPolicy>, of: &str) -> Result<(), InvalidPolicy> {
    let Some(said) = policy.and_then(|policy| policy.header_content_type.as_deref()) else { return Ok(()) };
    let mut parts = said.split(';');
    let kind = parts.next().unwrap_or_default().trim();
    let is_known = CONTENT_TYPES.iter().any(|known| known.eq_ignore_ascii_case(kind));
    let is_charset = |part: &str| {
        let (name, value) = part.trim().split_once('=').unwrap_or_default();
        name.eq_ignore_ascii_case("charset") && !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if is_known && parts.all(is_charset) {
        return Ok(());
    }
    Err(InvalidPolicy(format!("{of}.headerContentType is not one of the supported content types")))
}
