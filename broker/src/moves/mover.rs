//! The work of one task.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::list::Job;
use super::task::{MoveFailure, MoveStatus, MoveTask};
use crate::broker::Broker;
use crate::error::Error;
use crate::inbox::{Content, Delivery, Item, Wakes};
use crate::load;
use crate::message::{Address, Edit, Message, now_ms};
use crate::outbox::DEATH_HEADERS;
use crate::queue::{Lease, Outcome, Queue};
use crate::value::Value;
use crate::vhost::{Parcel, Reached, VirtualHost};

/// One record of the journal carries so many messages at most, and not many more bytes than that.
const BATCH_MESSAGES_MAX: usize = 256;
const BATCH_BYTES: u64 = 4 << 20;

/// So many times a second a task moves some, where it has a rate.
const TURNS_PER_S: u32 = 10;

/// How long to wait before messages that found no room are tried again.
const RETRY_PERIOD: Duration = Duration::from_millis(500);

/// How often the progress of a task is written down.
const NOTE_PERIOD: Duration = Duration::from_secs(1);

/// Goes on with what was running when the process ended.
pub(crate) fn resume(broker: &Broker) {
    for vhost in broker.vhosts() {
        for job in vhost.moves_list().active() {
            spawn(&vhost, job);
        }
    }
}

/// Has a task done, until it ends or the broker does.
pub(super) fn spawn(vhost: &Arc<VirtualHost>, job: Arc<Job>) {
    let vhost = Arc::clone(vhost);
    tokio::spawn(async move {
        let MoveTask { source, .. } = job.task();
        let mut mover = Mover { vhost, job, noted: Instant::now() };
        let Some((status, failure)) = mover.run().await else { return };
        // A task whose messages are back after a crash must go on then.
        let journal = &mover.vhost.shared().journal;
        let appended = journal.appended();
        if journal.watch().wait_for(|durable| *durable >= appended).await.is_err() {
            return;
        }
        tracing::info!(%source, ?status, ?failure, moved = mover.job.moved.load(Ordering::Relaxed), "a move has ended");
        mover.vhost.moves_list().end(&mover.vhost, &mover.job, status, failure);
    });
}

struct Mover {
    vhost: Arc<VirtualHost>,
    job: Arc<Job>,
    noted: Instant,
}

/// How a batch went.
enum Moved {
    /// There may be more.
    Some,
    /// Nothing is left that was there at the start.
    All,
    /// There was no room for some of it.
    NoRoom,
}

/// A message that has been taken.
struct Taken {
    lease: Lease,
    redelivered: bool,
    message: Arc<Message>,
}

impl Mover {
    /// How the task ended; none where the broker did.
    async fn run(&mut self) -> Option<(MoveStatus, Option<MoveFailure>)> {
        let MoveTask { rate_per_s, .. } = self.job.task();
        let mut turn = Instant::now();
        loop {
            if self.vhost.shared().is_closing() {
                return None;
            }
            if self.job.is_cancelled() {
                return Some((MoveStatus::Cancelled, None));
            }
            let count = rate_per_s.map_or(BATCH_MESSAGES_MAX, |rate| rate.div_ceil(TURNS_PER_S) as usize);
            let count = count.min(BATCH_MESSAGES_MAX);
            let before = self.job.moved.load(Ordering::Relaxed);
            match self.batch(count).await {
                Ok(Moved::All) => return Some((MoveStatus::Completed, None)),
                Ok(Moved::Some) => {}
                Ok(Moved::NoRoom) => self.wait_until(Instant::now() + RETRY_PERIOD).await,
                Err(failure) => return Some((MoveStatus::Failed, Some(failure))),
            }
            let moved = self.job.moved.load(Ordering::Relaxed) - before;
            if self.noted.elapsed() >= NOTE_PERIOD {
                self.noted = Instant::now();
                self.vhost.moves_list().note(&self.vhost, &self.job);
            }
            match rate_per_s {
                Some(rate) => {
                    // From when it should have been, so that a late turn is made up for, but not hours of them.
                    let now = Instant::now();
                    let earliest = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
                    turn = turn.max(earliest) + Duration::from_secs(1) * (moved as u32) / rate;
                    self.wait_until(turn).await;
                }
                None => tokio::task::yield_now().await,
            }
        }
    }

    /// Waits, unless the task is cancelled.
    async fn wait_until(&self, time: Instant) {
        tokio::select! {
            () = tokio::time::sleep_until(time) => {}
            () = self.job.changed.notified() => {}
        }
    }

    async fn batch(&self, count: usize) -> Result<Moved, MoveFailure> {
        let MoveTask { source, destination, .. } = self.job.task();
        let queue = self.queue(&source)?;
        let to = destination.map(|name| self.queue(&name)).transpose()?;
        let (mut items, more) = self.take(&queue, count);
        load::load(self.vhost.shared(), &mut items).await;
        let taken: Vec<Taken> = items
            .into_iter()
            .filter_map(|item| match item {
                Item::Delivery(Delivery {
                    lease: Some(lease),
                    content: Content::Loaded(message),
                    seq,
                    redelivered,
                    attempts,
                    ..
                }) => Some(Taken { lease, redelivered: queue.is_unsure(seq, redelivered, attempts), message }),
                _ => None,
            })
            .collect();
        let carried = self.carry(&queue, to.as_ref(), taken)?;
        Ok(match (carried, more) {
            (false, _) => Moved::NoRoom,
            (true, true) => Moved::Some,
            (true, false) => Moved::All,
        })
    }

    /// A queue that has to be there.
    fn queue(&self, name: &Arc<str>) -> Result<Arc<Queue>, MoveFailure> {
        self.vhost.queue_of_anyone(name).map_err(|_| MoveFailure::NoQueue(Arc::clone(name)))
    }

    /// Takes messages that were there when the task was started. False where there are no more.
    fn take(&self, queue: &Arc<Queue>, count: usize) -> (Vec<Item>, bool) {
        let (mut items, mut bytes) = (Vec::new(), 0);
        while items.len() < count && bytes < BATCH_BYTES {
            let Some((delivery, _)) = queue.fetch(items.len() as u64, true) else {
                // Behind what was taken of a group of an ordered queue there may be more of it.
                let more = !items.is_empty();
                return (items, more);
            };
            if delivery.seq >= self.job.until_seq {
                release(queue, delivery.lease.as_slice());
                // It may have come up only because the groups of what was taken are locked.
                let more = !items.is_empty();
                return (items, more);
            }
            bytes += match &delivery.content {
                Content::Loaded(message) => u64::from(message.bytes()),
                Content::Stored(stored) => u64::from(stored.bytes),
            };
            items.push(Item::Delivery(delivery));
        }
        (items, true)
    }

    /// Carries messages over. What is not carried goes back; false where that was for want of room.
    fn carry(&self, queue: &Arc<Queue>, to: Option<&Arc<Queue>>, taken: Vec<Taken>) -> Result<bool, MoveFailure> {
        let mut addresses: HashMap<Arc<str>, Arc<Address>> = HashMap::new();
        let mut parcels = Vec::with_capacity(taken.len());
        let mut leases = Vec::with_capacity(taken.len());
        let mut failure = None;
        for Taken { lease, redelivered, message } in taken {
            let to = match (to, &failure) {
                (_, Some(_)) => None,
                (Some(to), None) => Some(Arc::clone(to)),
                (None, None) => self.origin(queue, &message).map_err(|error| failure = Some(error)).ok(),
            };
            let Some(to) = to else {
                release(queue, &[lease]);
                continue;
            };
            // Asked last, since somebody may have purged or deleted the queue.
            let Some(place) = queue.leased_place(lease) else { continue };
            let address = addresses.entry(Arc::clone(to.name())).or_insert_with(|| {
                let routing_key = Bytes::copy_from_slice(to.name().as_bytes());
                Arc::new(Address { exchange: Arc::from(""), routing_key })
            });
            let edit = Edit { remove: DEATH_HEADERS, without_ttl: true, ..Edit::default() };
            parcels.push(Parcel {
                taken_from: place.get(),
                message: message.edited(Arc::clone(address), &edit),
                reached: Reached { queues: SmallVec::from_elem(to, 1), aside: None },
                stays_in: Some(queue.lane()),
                redelivered,
                is_first: false,
                again: SmallVec::new(),
            });
            leases.push(lease);
        }
        let mut wakes = Wakes::new();
        let result = self.vhost.relay(&mut parcels, now_ms(), &mut wakes);
        let has_room = match result {
            Ok(staying) => {
                let mut index = 0;
                let (stay, gone): (Vec<Lease>, Vec<Lease>) = leases.into_iter().partition(|_| {
                    index += 1;
                    staying.binary_search(&(index - 1)).is_ok()
                });
                queue.settle_committed(&gone, &mut wakes);
                release(queue, &stay);
                self.job.moved.fetch_add(gone.len() as u64, Ordering::Relaxed);
                stay.is_empty()
            }
            Err(error) => {
                release(queue, &leases);
                if error != Error::Full {
                    failure = Some(MoveFailure::Storage(error.to_string()));
                }
                false
            }
        };
        wakes.wake();
        failure.map_or(Ok(has_room), Err)
    }

    /// The queue that a dead letter came from. Publishers write headers as they like: only a queue whose messages go to the source
    /// of this task is believed.
    fn origin(&self, source: &Queue, message: &Message) -> Result<Arc<Queue>, MoveFailure> {
        let headers = message.properties().headers.as_ref();
        let name = headers.and_then(|headers| headers.get("x-last-death-queue")).and_then(Value::as_str);
        let queue = self.queue(&Arc::from(name.ok_or(MoveFailure::UnknownOrigin)?))?;
        match &queue.settings().redrive {
            Some(redrive) if redrive.queue == *source.name() => Ok(queue),
            Some(_) | None => Err(MoveFailure::UnknownOrigin),
        }
    }
}

/// Puts messages back as if nobody had had them.
fn release(queue: &Arc<Queue>, leases: &[Lease]) {
    if !leases.is_empty() {
        queue.settle(leases, Outcome::Release, &mut Wakes::new());
    }
}
