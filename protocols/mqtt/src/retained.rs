//! Retained messages for whoever has just subscribed (3.3.1.3, 3.8.3.1).
//!
//! There may be many thousands of them. They are looked up and sent some at a time, behind everything else that the connection
//! has to do, and only as fast as its client reads: what is of QoS 0 for the subscription is sent as it is, the rest goes through the
//! session's queue, so that it is neither lost nor sent twice, and waits while too much of it is there.

use std::collections::VecDeque;
use std::sync::Arc;

use gantry_broker::message::now_ms;
use gantry_broker::{Message, Queue, Retained, RetainedCursor};

use crate::client::Client;
use crate::codec::packet::QoS;
use crate::convert::{self, Outgoing};
use crate::deliver::Sending;
use crate::limits::OUTPUT_BYTES_HIGH;
use crate::subscriptions::{Matched, Subscription};
use crate::topics::{self, Key};

/// Messages of one step; others have their turn behind it.
const STEP_MESSAGES_MAX: usize = 64;

/// So many messages may wait in the session's queue before no more retained ones are put behind them.
const QUEUED_MAX: usize = 1024;

/// What is still to be sent to a session that has subscribed.
#[derive(Debug, Default)]
pub(crate) struct RetainedWork {
    jobs: VecDeque<Job>,
    /// The session's queue has enough for now: its acknowledgements are what to wait for.
    is_held_back: bool,
}

/// One subscription's part.
#[derive(Debug)]
struct Job {
    subscription: Subscription,
    pattern: Key,
    cursor: RetainedCursor,
}

impl RetainedWork {
    /// Adds what new subscriptions want. Their SUBACK has been written.
    pub(crate) fn add(&mut self, subscriptions: Vec<Subscription>) {
        for subscription in subscriptions {
            // Whoever subscribes once more is sent all of them once more, and not the rest of before as well.
            self.forget(&subscription.filter);
            let pattern = topics::key(&subscription.filter);
            self.jobs.push_back(Job { subscription, pattern, cursor: RetainedCursor::default() });
        }
    }

    /// Whoever has unsubscribed is sent no more.
    pub(crate) fn forget(&mut self, filter: &str) {
        self.jobs.retain(|job| *job.subscription.filter != *filter);
    }

    /// Whether a step is to be done as soon as the client has read something.
    pub(crate) fn is_due(&self) -> bool {
        !self.jobs.is_empty() && !self.is_held_back
    }
}

impl Client {
    /// Whether there are retained messages that can be sent now.
    pub(crate) fn has_more_retained(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.retained.is_due())
    }

    /// Sends some of the retained messages that subscriptions have asked for. To be called in each turn: without any it costs
    /// one look.
    pub(crate) fn send_retained(&mut self) {
        let Some(held) = &mut self.held else { return };
        if held.retained.jobs.is_empty() || self.out.len() > OUTPUT_BYTES_HIGH {
            return;
        }
        let queue = held.queue().cloned();
        let is_full = queue.as_ref().is_some_and(|queue| queue.status().ready >= QUEUED_MAX);
        // What does not go through the queue need not wait for it.
        let may_go = |job: &Job| !is_full || job.subscription.options.qos == QoS::AtMostOnce;
        let next = held.retained.jobs.iter().position(may_go);
        held.retained.is_held_back = next.is_none();
        let Some(mut job) = next.and_then(|next| held.retained.jobs.remove(next)) else { return };
        let snapshot = held.system_retained(&job.subscription.filter);
        let is_system = snapshot.is_some();
        self.now_ms = now_ms();
        let found = match snapshot {
            // The broker's own numbers: as they are at this moment, and few.
            Some(messages) => messages.into_iter().map(|message| Retained { message, expires_ms: u64::MAX }).collect(),
            None => {
                let vhost = self.session.vhost();
                vhost.retained(&job.pattern, &mut job.cursor, STEP_MESSAGES_MAX, self.now_ms)
            }
        };
        for Retained { message, expires_ms } in &found {
            self.send_one_retained(&job.subscription, queue.as_ref(), message, *expires_ms);
        }
        let is_done = is_system || job.cursor.is_done();
        if !is_done && let Some(held) = &mut self.held {
            // To the end of the line: a filter with many does not hold up the others.
            held.retained.jobs.push_back(job);
        }
        self.wakes.wake();
    }

    fn send_one_retained(
        &mut self,
        subscription: &Subscription,
        queue: Option<&Arc<Queue>>,
        message: &Arc<Message>,
        expires_ms: u64,
    ) {
        let outgoing = Outgoing::of(message, self.version);
        // 3.8.3-3
        if subscription.options.no_local && outgoing.publisher == Some(self.publisher) {
            return;
        }
        let qos = outgoing.qos.min(subscription.options.qos);
        if qos > QoS::AtMostOnce
            && let Some(queue) = queue
        {
            let left_ms = (expires_ms != u64::MAX).then(|| expires_ms.saturating_sub(self.now_ms));
            let retained = convert::as_retained(message, left_ms);
            let put = self.session.vhost().publish_to_queue(queue, &retained, self.now_ms, &mut self.wakes);
            if let Err(error) = put {
                tracing::warn!(client = &*self.client_id, %error, "a retained message was not sent");
            }
            return;
        }
        let mut topic = String::new();
        topics::topic_of(&message.address().routing_key, &mut topic);
        let matched = Matched::by(subscription);
        let sending = Sending {
            topic: &topic,
            matched: &matched,
            qos: QoS::AtMostOnce,
            packet_id: 0,
            dup: false,
            retain: true,
            expires_ms,
        };
        self.send_message(message, &outgoing, sending);
    }
}
