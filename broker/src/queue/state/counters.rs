//! What a queue counts.

/// Counts since the queue came to be in this process. They only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounters {
    /// Messages that came in.
    pub enqueued: u64,
    /// Deliveries to consumers and fetches that want an outcome.
    pub delivered: u64,
    /// Deliveries and fetches without one.
    pub delivered_no_ack: u64,
    /// Of both, those marked as redelivered.
    pub redelivered: u64,
    /// Outcomes that accepted.
    pub accepted: u64,
    /// Messages given up by a consumer.
    pub rejected: u64,
    /// Messages whose time was over.
    pub expired: u64,
    /// Messages dropped because there were too many.
    pub overflowed: u64,
    /// Messages that were not taken because there were too many.
    pub refused: u64,
    /// Messages that failed too often.
    pub exhausted: u64,
    /// Messages that came to a direct queue when its connection had no room.
    pub dropped: u64,
}

impl QueueCounters {
    /// Adds another queue's counts.
    pub fn add(&mut self, other: &Self) {
        self.enqueued += other.enqueued;
        self.delivered += other.delivered;
        self.delivered_no_ack += other.delivered_no_ack;
        self.redelivered += other.redelivered;
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.expired += other.expired;
        self.overflowed += other.overflowed;
        self.refused += other.refused;
        self.exhausted += other.exhausted;
        self.dropped += other.dropped;
    }
}
