//! Gauges of each queue, by which consumers are scaled.

use std::fmt;

use gantry_broker::QueueCount;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::Metrics;

type Value = fn(&QueueCount) -> usize;

/// Names are this program's own: RabbitMQ's have another meaning where messages wait for a time.
const GAUGES: [(&str, &str, Value); 3] = [
    ("gantry_queue_messages_visible", "Messages of a queue that a consumer could have at once", |count| count.visible),
    ("gantry_queue_messages_in_flight", "Messages of a queue that somebody has", |count| count.in_flight),
    ("gantry_queue_messages_delayed", "Messages of a queue that wait for a time", |count| count.delayed),
];

/// The gauges of each queue.
#[derive(Debug)]
pub(super) struct Queues(pub(super) Metrics);

impl Collector for Queues {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.0.queue_counts();
        for (name, help, value) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for count in &counts {
                let labels = [("vhost", &*count.vhost), ("queue", &*count.queue)];
                let gauge = ConstGauge::new(i64::try_from(value(count)).unwrap_or(i64::MAX));
                gauge.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
