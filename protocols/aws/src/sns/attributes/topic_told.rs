//! Attributes of topics, as clients are told of them.

use gantry_broker::ExchangeSettings;
use serde_json::Value;

use super::topic::{
    ARCHIVE_POLICY, CONTENT_BASED_DEDUPLICATION, DELIVERY_POLICY, DISPLAY_NAME, FIFO_THROUGHPUT_SCOPE, FIFO_TOPIC,
    KMS_MASTER_KEY_ID, MAXIMUM_MESSAGE_SIZE, POLICY, SIGNATURE_VERSION, TRACING_CONFIG, is_feedback,
};
use crate::sns::delivery::{TopicPolicy, effective_for_topic};
use crate::sns::policy;
use crate::sns::subscriptions::Counts;
use crate::sns::topics::{PREFIX, Topic, annotation};
use crate::sqs::pairs::Pairs;

/// What is told of every attribute that somebody has set, and of no other.
const AS_SET: [&str; 6] =
    [ARCHIVE_POLICY, DELIVERY_POLICY, KMS_MASTER_KEY_ID, MAXIMUM_MESSAGE_SIZE, SIGNATURE_VERSION, TRACING_CONFIG];

/// What a client is told of a topic.
pub(crate) fn told(topic: &Topic, counts: &Counts) -> Pairs<'static, String> {
    let kept = |name: &str| topic.attribute(name).map(str::to_owned);
    let mut told = Pairs::default();
    told.push("TopicArn", topic.arn.to_string());
    told.push("Owner", topic.account.to_string());
    told.push(POLICY, kept(POLICY).unwrap_or_else(|| policy::usual(&topic.arn, &topic.account)));
    told.push(DISPLAY_NAME, kept(DISPLAY_NAME).unwrap_or_default());
    told.push("SubscriptionsConfirmed", (counts.all - counts.pending).to_string());
    told.push("SubscriptionsPending", counts.pending.to_string());
    told.push("SubscriptionsDeleted", counts.deleted.to_string());
    // It was checked when it was set.
    let delivery = topic.attribute(DELIVERY_POLICY).and_then(|text| TopicPolicy::parse(text).ok());
    told.push("EffectiveDeliveryPolicy", effective_for_topic(delivery.as_ref()));
    if topic.is_fifo {
        told.push(FIFO_TOPIC, "true".to_owned());
        told.push(CONTENT_BASED_DEDUPLICATION, topic.is_content_based.to_string());
        told.push(FIFO_THROUGHPUT_SCOPE, kept(FIFO_THROUGHPUT_SCOPE).unwrap_or_else(|| "Topic".to_owned()));
    }
    for name in AS_SET {
        if let Some(value) = kept(name) {
            told.push(name, value);
        }
    }
    for (name, value) in &topic.settings.annotations {
        if let Some(name) = name.strip_prefix(PREFIX).filter(|name| is_feedback(name)) {
            told.push(name.to_owned(), value.clone());
        }
    }
    told
}

/// Whether an attribute is the same in both settings: what somebody asks for who creates a topic that is there.
pub(crate) fn is_same(name: &str, one: &ExchangeSettings, other: &ExchangeSettings) -> bool {
    let kept = |settings: &ExchangeSettings| match settings.annotations.get(&annotation(name)) {
        Some(text) => Some(text.clone()),
        None if name == CONTENT_BASED_DEDUPLICATION => Some("false".to_owned()),
        None if name == FIFO_THROUGHPUT_SCOPE => Some("Topic".to_owned()),
        None => None,
    };
    let (one, other) = (kept(one), kept(other));
    let parsed = |text: &Option<String>| {
        let is_document = matches!(name, POLICY | DELIVERY_POLICY | ARCHIVE_POLICY);
        text.as_deref().filter(|_| is_document).and_then(|text| serde_json::from_str::<Value>(text).ok())
    };
    one == other || parsed(&one).is_some_and(|one| Some(one) == parsed(&other))
}
