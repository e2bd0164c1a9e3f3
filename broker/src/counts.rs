//! How much there is in each queue, for whoever scales its consumers by it.

use std::sync::Arc;

use crate::broker::Broker;

/// What one queue holds, now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueCount {
    /// The virtual host that it is in.
    pub vhost: Arc<str>,
    /// Its name.
    pub queue: Arc<str>,
    /// Messages that somebody could have at once, and those that wait for the queue that they go to since they were received too
    /// often.
    pub visible: usize,
    /// Messages that somebody has.
    pub in_flight: usize,
    /// Messages that wait for a time.
    pub delayed: usize,
}

impl Broker {
    /// Of each queue that survives a restart and is no stream: what others come and go with is nobody's to scale by. Takes each
    /// queue's lock for a moment. In the order of virtual hosts and queues.
    pub fn queue_counts(&self) -> Vec<QueueCount> {
        let mut counts = Vec::new();
        for vhost in self.vhosts() {
            for queue in vhost.queues().iter().filter(|queue| queue.survives() && !queue.is_stream()) {
                let status = queue.status();
                counts.push(QueueCount {
                    vhost: Arc::clone(vhost.name()),
                    queue: Arc::clone(queue.name()),
                    visible: status.ready.saturating_sub(status.delayed) + status.redriving,
                    in_flight: status.unacked,
                    delayed: status.delayed,
                });
            }
        }
        counts.sort_unstable_by(|one, other| (&one.vhost, &one.queue).cmp(&(&other.vhost, &other.queue)));
        counts
    }
}
