//! Counters of the deliveries of each subscription of SNS.

use std::fmt;

use gantry_aws::DeliveryCount;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::Metrics;

type Value = fn(&DeliveryCount) -> u64;

/// The names get `_total` behind them.
const COUNTERS: [(&str, &str, Value); 4] = [
    ("gantry_sns_subscription_delivered", "Messages that the endpoint of a subscription has", |count| count.delivered),
    ("gantry_sns_subscription_retried", "Deliveries of a subscription that failed and are tried again", |count| {
        count.retried
    }),
    (
        "gantry_sns_subscription_dead_lettered",
        "Messages of a subscription that went to its dead-letter queue",
        |count| count.dead_lettered,
    ),
    (
        "gantry_sns_subscription_dropped",
        "Messages of a subscription that could not be delivered and are gone",
        |count| count.dropped,
    ),
];

/// The counters of each subscription.
#[derive(Debug)]
pub(super) struct Deliveries(pub(super) Metrics);

impl Collector for Deliveries {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.0.delivery_counts();
        for (name, help, value) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for count in &counts {
                let topic = count.topic_arn.as_deref().unwrap_or_default();
                let labels = [("topic", topic), ("subscription", &*count.subscription)];
                ConstCounter::new(value(count)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
