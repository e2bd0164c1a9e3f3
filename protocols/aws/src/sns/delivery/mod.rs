//! Deliveries to endpoints, out of the queues of subscriptions: durable, one queue each, so that a slow endpoint delays nobody.
//!
//! A message that is being delivered, or waits to be tried again, is leased: the queue remembers over restarts how often it
//! failed and when it comes up again. What succeeds is removed; what fails for good goes where the queue's settings say.
//!
//! | file | about |
//! | --- | --- |
//! | `errand` | to whom a queue is delivered, and how |
//! | `parcel` | what is delivered, and what became of it |
//! | `worker` | takes messages out of one queue, and says what became of them |
//! | `attempt` | one delivery, and what follows from how it went |
//! | `room`, `pace` | how many deliveries there are at once, and a second |
//! | `policy` | delivery policies: when what failed is tried again; pure |
//! | `notice` | messages of this program's own: confirmations |
//! | `count`, `log` | what is told of deliveries |
//! | `http` | webhooks |
//! | `lambda`, `firehose`, `email`, `sms`, `push` | the other kinds |
//! | `service` | what these have in common |

mod attempt;
mod count;
mod email;
mod errand;
mod firehose;
mod http;
mod lambda;
mod log;
mod notice;
mod pace;
mod parcel;
mod policy;
mod push;
mod room;
mod service;
mod sms;
mod sqs;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use tokio::task::AbortHandle;

use self::count::Counts;
pub use self::count::DeliveryCount;
pub(crate) use self::errand::{Errand, Means, escaped};
pub(crate) use self::log::Feedback;
pub use self::notice::SOURCE as NOTICE_SOURCE;
pub(crate) use self::notice::{ask, take_leave};
#[cfg(test)]
use self::parcel::Sort;
pub(crate) use self::policy::{
    Policy, SubscriptionPolicy, TopicPolicy, effective_for_subscription, effective_for_topic,
};
use self::room::Rooms;
use self::worker::Worker;
use super::Subscription;
use crate::Edge;

/// Whoever delivers: one worker for each queue that is delivered from.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    workers: Mutex<HashMap<Arc<str>, Running>>,
    rooms: Rooms,
}

/// A worker. One that has nothing to deliver stands in line at its queue, and is no more than that.
#[derive(Debug)]
struct Running {
    /// The number of the queue.
    queue: u64,
    /// What the worker looks at before each delivery.
    errand: Arc<RwLock<Arc<Errand>>>,
    counts: Arc<Counts>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Deliveries {
    /// Delivers what is in the queue of a subscription, now and from now on. Called again for a subscription whose attributes
    /// have changed, or that was confirmed: the next delivery is as it says. Wants to be called inside a runtime.
    pub(crate) fn start(&self, edge: &Arc<Edge>, subscription: &Arc<Subscription>) {
        if let Some(errand) = Errand::of(edge, subscription) {
            self.start_errand(edge, Arc::new(errand));
        }
    }

    /// As [`Deliveries::start`], for an errand that need be none of a subscription.
    pub(crate) fn start_errand(&self, edge: &Arc<Edge>, errand: Arc<Errand>) {
        let mut workers = self.workers.lock();
        let (id, queue) = (Arc::clone(&errand.id), errand.queue.id());
        let counts = match workers.get(&id) {
            Some(running) if running.queue == queue && !running.task.is_finished() => {
                *running.errand.write() = errand;
                return;
            }
            Some(running) => Arc::clone(&running.counts),
            None => Arc::new(Counts::of(&errand)),
        };
        let errand = Arc::new(RwLock::new(errand));
        let worker = Worker::new(edge, Arc::clone(&errand), Arc::clone(&counts), self.rooms.clone());
        let task = tokio::spawn(worker.run()).abort_handle();
        workers.insert(id, Running { queue, errand, counts, task });
    }

    /// Begins no further deliveries of a subscription; those that are under way come to their end.
    pub(crate) fn stop(&self, subscription: &Subscription) {
        self.stop_errand(&subscription.id);
    }

    /// As [`Deliveries::stop`], by the errand's id.
    pub(crate) fn stop_errand(&self, id: &str) {
        self.workers.lock().remove(id);
    }

    /// As [`Deliveries::stop`], for all of them: the program ends.
    pub(crate) fn stop_all(&self) {
        self.workers.lock().clear();
    }

    /// What became of the deliveries of each errand, in the order of topics.
    pub(crate) fn counts(&self) -> Vec<DeliveryCount> {
        let mut counts: Vec<_> = self.workers.lock().values().map(|running| running.counts.read()).collect();
        counts.sort_by(|a, b| (&a.topic_arn, &a.subscription).cmp(&(&b.topic_arn, &b.subscription)));
        counts
    }
}
