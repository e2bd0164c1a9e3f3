//! What is counted of deliveries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::attempt::End;
use super::errand::Errand;
use crate::stats::{DeliveryStats, Stats};

/// Counts of the deliveries of one errand, since the start of the program or of the errand. They only rise.
#[derive(Debug)]
pub(super) struct Counts {
    topic_arn: Option<Arc<str>>,
    errand: Arc<str>,
    stats: DeliveryStats,
}

/// What became of the deliveries of a subscription, since the start of the program or of the subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryCount {
    /// The ARN of the topic; none of what is published without one.
    pub topic_arn: Option<Arc<str>>,
    /// The id of the subscription, or of what stands in its place.
    pub subscription: Arc<str>,
    /// Messages that the endpoint has.
    pub delivered: u64,
    /// Attempts that failed and are followed by another one.
    pub retried: u64,
    /// Messages that could not be delivered and went to the queue for dead letters.
    pub dead_lettered: u64,
    /// Messages that could not be delivered and are gone.
    pub dropped: u64,
}

impl DeliveryStats {
    fn add(&self, end: End) {
        let counter = match end {
            End::Delivered => &self.delivered,
            End::Retried => &self.retried,
            End::DeadLettered => &self.dead_lettered,
            End::Dropped => &self.dropped,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counts {
    pub(super) fn of(errand: &Errand) -> Self {
        let (topic_arn, stats) = (errand.topic_arn.clone(), DeliveryStats::default());
        Self { topic_arn, errand: Arc::clone(&errand.id), stats }
    }

    /// Counts it here, and with all others.
    pub(super) fn add(&self, all: &Stats, end: End) {
        self.stats.add(end);
        all.deliveries.add(end);
    }

    pub(super) fn read(&self) -> DeliveryCount {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let DeliveryStats { delivered, retried, dead_lettered, dropped } = &self.stats;
        DeliveryCount {
            topic_arn: self.topic_arn.clone(),
            subscription: Arc::clone(&self.errand),
            delivered: read(delivered),
            retried: read(retried),
            dead_lettered: read(dead_lettered),
            dropped: read(dropped),
        }
    }
}
