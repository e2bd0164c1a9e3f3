//! One delivery, and what follows from how it went.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_broker::{Content, Delivery, Item, Message, Receipt, Receipted, Wakes};
use parking_lot::Mutex;

use super::count::Counts;
use super::errand::{Errand, Means};
use super::parcel::{Failure, Outcome, Parcel, Sort};
use super::room::Manner;
use super::{email, firehose, http, lambda, log, notice, push, sms};
use crate::Edge;

/// An endpoint that takes no longer is quick.
const QUICK: Duration = Duration::from_secs(1);

/// What a delivery is made with.
pub(super) struct Attempt {
    pub(super) edge: Arc<Edge>,
    pub(super) errand: Arc<Errand>,
    pub(super) counts: Arc<Counts>,
    /// How the last one went.
    pub(super) manner: Arc<Mutex<Manner>>,
}

impl Attempt {
    /// Delivers a message and tells its queue how that went.
    pub(super) async fn run(self, delivery: Delivery) {
        let (seq, attempts, first_received_ms) = (delivery.seq, delivery.attempts, delivery.first_received_ms);
        let receipt = Receipt { seq, receives: attempts.saturating_add(1) };
        let Some(message) = load(&self.edge, delivery).await else {
            // It is told in the log why. Its lease ends, and it comes again.
            return;
        };
        let notice = notice::read(&message);
        let sort = notice.as_ref().map_or(Sort::Notification, |notice| notice.sort);
        let (edge, errand) = (Arc::clone(&self.edge), Arc::clone(&self.errand));
        let parcel = Parcel { edge, errand, sort, message, notice, seq, first_received_ms, attempts };
        let begin = Instant::now();
        let limit = self.errand.means.attempt();
        let outcome = match tokio::time::timeout(limit, deliver(&parcel)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Retry(Failure::new("Timeout", format!("no answer within {} ms", limit.as_millis()))),
        };
        *self.manner.lock() = match outcome {
            Outcome::Retry(_) => Manner::Failing,
            _ if begin.elapsed() > QUICK => Manner::Slow,
            _ => Manner::Quick,
        };
        let end = self.settle(&parcel, receipt, &outcome);
        self.counts.add(&self.edge.stats, end);
        log::tell(&parcel, &outcome, end, begin.elapsed());
    }

    /// Tells the queue what became of a message.
    fn settle(&self, parcel: &Parcel, receipt: Receipt, outcome: &Outcome) -> End {
        let (errand, mut wakes) = (&self.errand, Wakes::new());
        let queue = &errand.queue;
        let said = match outcome {
            Outcome::Delivered(_) => {
                let (said, _) = queue.remove(&[receipt], &mut wakes);
                return settled(End::Delivered, parcel, &said);
            }
            Outcome::Retry(_) => {
                // What failed together is not tried again together: a number like that of nothing else.
                let any = (receipt.seq ^ errand.queue.id()).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
                match errand.policy.retries.jittered_ms(receipt.receives, any) {
                    Some(delay_ms) => {
                        let said = queue.extend(&[(receipt, delay_ms)], u64::MAX, &mut wakes);
                        return settled(End::Retried, parcel, &said);
                    }
                    None => self.give_up(parcel, receipt, &mut wakes),
                }
            }
            Outcome::Rejected(_) => self.give_up(parcel, receipt, &mut wakes),
        };
        let end = if errand.dead_letters.is_some() && parcel.sort == Sort::Notification {
            End::DeadLettered
        } else {
            End::Dropped
        };
        settled(end, parcel, &said)
    }

    /// It cannot be delivered: it goes where the queue's settings say, or nowhere. What is no notification is for nobody else.
    fn give_up(&self, parcel: &Parcel, receipt: Receipt, wakes: &mut Wakes) -> Vec<Receipted> {
        let queue = &self.errand.queue;
        let (said, _) = match parcel.sort {
            Sort::Notification => queue.reject(&[receipt], wakes),
            Sort::SubscriptionConfirmation | Sort::UnsubscribeConfirmation => queue.remove(&[receipt], wakes),
        };
        said
    }
}

/// What became of a message after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Delivered,
    Retried,
    DeadLettered,
    Dropped,
}

fn settled(end: End, parcel: &Parcel, said: &[Receipted]) -> End {
    if !said.contains(&Receipted::Done) {
        // Its subscription may be gone by now, or its lease: then it comes once more.
        tracing::debug!(errand = %parcel.errand.id, seq = parcel.seq, ?said, "what became of a delivery came too late");
    }
    end
}

/// The message of a delivery, read back where it has left memory.
async fn load(edge: &Edge, delivery: Delivery) -> Option<Arc<Message>> {
    if let Content::Loaded(message) = delivery.content {
        return Some(message);
    }
    let mut items = vec![Item::Delivery(delivery)];
    edge.broker.load(&mut items).await;
    match items.pop() {
        Some(Item::Delivery(Delivery { content: Content::Loaded(message), .. })) => Some(message),
        _ => None,
    }
}

async fn deliver(parcel: &Parcel) -> Outcome {
    match parcel.errand.means {
        Means::Http => http::deliver(parcel).await,
        Means::Lambda => lambda::deliver(parcel).await,
        Means::Firehose => firehose::deliver(parcel).await,
        Means::Email | Means::EmailJson => email::deliver(parcel).await,
        Means::Sms => sms::deliver(parcel).await,
        Means::Application => push::deliver(parcel).await,
        Means::Sqs => super::sqs::deliver(parcel).await,
    }
}
