//! Messages that an exchange holds back for a while.
//!
//! A delayed exchange has a lane of the journal of its own. A message that is delayed is stored there, by the same record as
//! for the queues that get it at once, and leaves memory: what stays is where it is stored and when it is due. Recovery gets
//! both from the journal without reading the message.
//!
//! Messages that are published for later ([`crate::schedule`]) are in such a lane, too: each virtual host has one.
//!
//! One task fires all that is due, a bounded batch of one exchange at a time: bodies are read back in one go, each message is
//! routed by what is bound then, and one record of the journal takes the batch out of the lane and puts it into the queues.
//! After a crash each message is in the one place or in the other.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gantry_storage::{JournalError, Position, Reading};
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::broker::Broker;
use crate::error::Error;
use crate::inbox::Wakes;
use crate::load::{PREFIX_BYTES_USUAL, restored};
use crate::message::{Address, Edit, Message, now_ms};
use crate::queue::{Later, Restored};
use crate::schedule::{BLOCK_BYTES_MAX, Schedule};
use crate::shared::Shared;
use crate::timer::Sleeper;
use crate::value::Value;
use crate::vhost::{Again, Parcel, Reached, RouteCache, VirtualHost, further_keys};

/// The header that asks for a delay, in milliseconds.
const X_DELAY: &str = "x-delay";

/// The longest delay, in milliseconds; what asks for a longer one is not delayed, as with RabbitMQ's plugin.
pub(crate) const DELAY_MS_MAX: i128 = u32::MAX as i128;

/// One batch has so many messages at most, and not many more bytes than that.
const BATCH_MESSAGES_MAX: usize = 1024;
const BATCH_BYTES: u64 = 4 << 20;

/// Settlements that are handed to the journal at once when an exchange is deleted.
const SETTLED_AT_ONCE: usize = 4096;

/// How long to wait before messages for which the disk had no room are tried again.
const RETRY_PERIOD: Duration = Duration::from_millis(500);

/// How long a message asks to be delayed: an integer, text in digits, or the whole part of a float, in milliseconds. None
/// where it is not to be delayed.
pub(crate) fn delay_ms(message: &Message) -> Option<u64> {
    let delay_ms = delay_header(message)?;
    if delay_ms > 0 && delay_ms <= DELAY_MS_MAX { u64::try_from(delay_ms).ok() } else { None }
}

fn delay_header(message: &Message) -> Option<i128> {
    let value = message.properties().headers.as_ref()?.get(X_DELAY)?;
    match value {
        Value::Text(text) => text.as_str()?.parse().ok(),
        Value::Decimal { scale, value } => {
            10_i64.checked_pow(u32::from(*scale)).map(|unit| (i64::from(*value) / unit).into())
        }
        value => value.as_integer().or_else(|| value.as_float().map(|float| float as i128)),
    }
}

/// A message that waits: a few bytes.
#[derive(Clone, Copy, Debug)]
struct Delayed {
    position: Position,
    /// Bytes of head and body.
    bytes: u32,
}

#[derive(Debug, Default)]
struct Waiting {
    later: Later<Delayed>,
    closed: bool,
}

/// The messages that one exchange holds back, or that were published for later.
pub(crate) struct DelayLane {
    lane: u64,
    vhost: Arc<str>,
    /// None for those that were published for later.
    exchange: Option<Arc<str>>,
    seq: AtomicU64,
    waiting: Mutex<Waiting>,
    wake_ms: AtomicU64,
    /// What was due by then may have been routed before the process was killed.
    unsure_to_ms: AtomicU64,
    shared: Arc<Shared>,
}

impl DelayLane {
    pub(crate) fn new(shared: Arc<Shared>, lane: u64, vhost: Arc<str>, exchange: Option<Arc<str>>) -> Arc<Self> {
        let (seq, waiting, wake_ms) = (AtomicU64::new(0), Mutex::default(), AtomicU64::new(u64::MAX));
        let unsure_to_ms = AtomicU64::new(0);
        Arc::new(Self { lane, vhost, exchange, seq, waiting, wake_ms, unsure_to_ms, shared })
    }

    /// Messages that wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().later.len()
    }

    /// The next place in the lane, for a message that is about to be stored.
    pub(crate) fn next_seq(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes a message that has been stored.
    pub(crate) fn push(self: &Arc<Self>, due_ms: u64, now_ms: u64, position: Position, bytes: u32) {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            drop(waiting);
            return self.settle(&[position]);
        }
        waiting.later.push(due_ms, now_ms, Delayed { position, bytes });
        drop(waiting);
        self.wake_at(due_ms);
    }

    /// Puts back what was found at recovery; `crashed`: the process was killed before.
    pub(crate) fn restore(self: &Arc<Self>, mut entries: Vec<Restored>, crashed: bool) {
        let now_ms = now_ms();
        if crashed {
            self.unsure_to_ms.store(now_ms, Ordering::Relaxed);
        }
        entries.sort_unstable_by_key(|entry| (entry.due_ms(), entry.seq()));
        let next_seq = entries.iter().map(|entry| entry.seq() + 1).max().unwrap_or(0);
        self.seq.store(next_seq, Ordering::Relaxed);
        let mut waiting = self.waiting.lock();
        for entry in entries {
            let delayed = Delayed { position: entry.position(), bytes: entry.bytes() };
            waiting.later.push(entry.due_ms(), now_ms, delayed);
        }
        let next_ms = waiting.later.next_ms();
        drop(waiting);
        if let Some(next_ms) = next_ms {
            self.wake_at(next_ms);
        }
    }

    fn wake_at(self: &Arc<Self>, at_ms: u64) {
        if at_ms < self.wake_ms.load(Ordering::Relaxed) {
            // Zero is what those have that are gone.
            self.shared.delays.add(at_ms.max(1), self);
        }
    }

    /// The end of the exchange: what waits is discarded. Blocks for as long as that takes.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        let mut discarded = waiting.later.drain().map(|delayed| delayed.position);
        drop(waiting);
        self.shared.delays.forget(self);
        loop {
            let positions: Vec<Position> = discarded.by_ref().take(SETTLED_AT_ONCE).collect();
            if positions.is_empty() {
                return;
            }
            self.settle(&positions);
        }
    }

    fn settle(&self, positions: &[Position]) {
        // A failed journal stops the process by itself.
        let _ = self.shared.journal.settle(positions);
    }

    /// Takes a batch of what is due. True where more may be.
    fn take_due(&self, now_ms: u64) -> (Vec<(u64, Delayed)>, bool) {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut waiting = self.waiting.lock();
        loop {
            // One by one, since only a message says how long it is.
            let before = batch.len();
            let more = waiting.later.take_due(now_ms, 1, &mut |due_ms, delayed| batch.push((due_ms, delayed)));
            if let Some((_, delayed)) = batch.get(before) {
                bytes += u64::from(delayed.bytes);
            }
            if !more || batch.len() == before || batch.len() >= BATCH_MESSAGES_MAX || bytes >= BATCH_BYTES {
                return (batch, more);
            }
        }
    }

    /// Fires a batch of what is due. Blocks on the disk.
    fn fire(self: &Arc<Self>, broker: &Broker) -> Fired {
        let now_ms = now_ms();
        let (batch, more) = self.take_due(now_ms);
        if let Some(vhost) = broker.vhost_by_name(&self.vhost).filter(|_| !batch.is_empty())
            && let Err(error) = self.relay(&vhost, &batch, now_ms)
        {
            // Nothing has happened: it is due as before.
            for (due_ms, delayed) in batch {
                self.push(due_ms, now_ms, delayed.position, delayed.bytes);
            }
            if error != Error::Full && !self.shared.is_closing() {
                // The journal has failed, and the process is about to stop.
                tracing::error!(exchange = self.exchange.as_deref(), %error, "delayed messages were not routed");
            }
            return Fired::Stalled;
        }
        if more {
            return Fired::More;
        }
        let next_ms = self.waiting.lock().later.next_ms();
        if let Some(next_ms) = next_ms {
            self.wake_at(next_ms);
        }
        Fired::All
    }

    fn relay(self: &Arc<Self>, vhost: &Arc<VirtualHost>, batch: &[(u64, Delayed)], now_ms: u64) -> Result<(), Error> {
        let before = PREFIX_BYTES_USUAL + if self.exchange.is_none() { BLOCK_BYTES_MAX } else { 0 };
        let usual = |delayed: &Delayed| delayed.bytes.saturating_add(before);
        let readings: Vec<Reading> = batch
            .iter()
            .map(|(_, delayed)| Reading { position: delayed.position, payload_bytes: usual(delayed) })
            .collect();
        let read = self.shared.journal.read(&readings);
        let mut routes = RouteCache::default();
        let mut addresses = None;
        let mut parcels = Vec::with_capacity(batch.len());
        let unsure_to_ms = self.unsure_to_ms.load(Ordering::Relaxed);
        for ((due_ms, delayed), result) in batch.iter().zip(read) {
            let parcel = match &self.exchange {
                Some(exchange) => restored(&self.shared, result).map(|message| {
                    Self::parcel(vhost, exchange, &mut routes, &mut addresses, &message, delayed.position, now_ms)
                }),
                None => self.scheduled(vhost, &mut routes, result, delayed.position, *due_ms, now_ms),
            };
            match parcel {
                Ok(mut parcel) => {
                    parcel.redelivered = *due_ms <= unsure_to_ms;
                    parcels.push(parcel);
                }
                Err(error) => {
                    if !self.waiting.lock().closed {
                        tracing::error!(
                            exchange = self.exchange.as_deref(),
                            error,
                            "a delayed message cannot be read and is lost"
                        );
                        self.settle(&[delayed.position]);
                    }
                }
            }
        }
        let mut wakes = Wakes::new();
        let result = vhost.relay(&mut parcels, now_ms, &mut wakes);
        wakes.wake();
        result.map(drop)
    }

    /// A message that was published for later: as if it had been published now, and what comes of it after that.
    fn scheduled(
        self: &Arc<Self>,
        vhost: &Arc<VirtualHost>,
        routes: &mut RouteCache,
        read: Result<Bytes, JournalError>,
        position: Position,
        due_ms: u64,
        now_ms: u64,
    ) -> Result<Parcel, String> {
        let mut stored = read.map_err(|error| error.to_string())?;
        let (schedule, block_bytes) = Schedule::decode(&stored).map_err(|error| error.to_string())?;
        let message = restored(&self.shared, Ok(stored.split_off(block_bytes)))?;
        let firing = schedule.fire(due_ms, now_ms);
        let mut reached = Reached::default();
        if firing.delivers {
            let address = message.address();
            if let Some(mut route) = vhost.route_internally(routes, &address.exchange, &address.routing_key) {
                let keys = further_keys(&message);
                if !keys.is_empty() {
                    route = vhost.route_copies(&route, keys);
                }
                reached = vhost.reached(&route, &message, now_ms);
            }
        }
        let again = firing.again.into_iter().flatten();
        let again = again.map(|(due_ms, next)| Again::new(self, &message, &next, due_ms, now_ms)).collect();
        Ok(Parcel {
            taken_from: Some(position),
            message,
            reached,
            stays_in: None,
            redelivered: false,
            is_first: true,
            again,
        })
    }

    /// The message as it goes on, and where to: as if it had been published now, to this exchange.
    fn parcel(
        vhost: &Arc<VirtualHost>,
        exchange: &str,
        routes: &mut RouteCache,
        last_address: &mut Option<Arc<Address>>,
        message: &Arc<Message>,
        position: Position,
        now_ms: u64,
    ) -> Parcel {
        // What was published alike shares its address, as it did then.
        let address = match last_address {
            Some(last) if **last == **message.address() => Arc::clone(last),
            _ => Arc::clone(last_address.insert(Arc::clone(message.address()))),
        };
        let keys = further_keys(message);
        let message = match delay_header(message) {
            None => Arc::clone(message),
            Some(delay_ms) => {
                let negated = -delay_ms;
                // RabbitMQ's plugin writes 32 bits, in which a delay of more than 24 days has no place.
                let value = match i32::try_from(negated) {
                    Ok(negated) => Value::I32(negated),
                    Err(_) => Value::I64(i64::try_from(negated).unwrap_or(i64::MIN)),
                };
                let edit = Edit { set: &[(X_DELAY, value)], ..Edit::default() };
                message.edited(address, &edit)
            }
        };
        let reached = vhost.reach(routes, exchange, &message, keys, now_ms);
        let (stays_in, redelivered, again) = (None, false, SmallVec::new());
        Parcel { taken_from: Some(position), message, reached, stays_in, redelivered, is_first: true, again }
    }
}

impl Sleeper for DelayLane {
    fn lane(&self) -> u64 {
        self.lane
    }

    fn wake_ms(&self) -> &AtomicU64 {
        &self.wake_ms
    }
}

impl fmt::Debug for DelayLane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelayLane")
            .field("exchange", &self.exchange)
            .field("vhost", &self.vhost)
            .finish_non_exhaustive()
    }
}

/// What became of a batch.
enum Fired {
    /// More is due.
    More,
    /// Nothing else is due now.
    All,
    /// It has to be tried again later.
    Stalled,
}

/// Fires what is due, for as long as the broker runs. Exchanges take turns, a batch each.
pub(crate) async fn run(broker: Arc<Broker>) {
    let delays = &broker.shared().delays;
    let mut turns: VecDeque<Arc<DelayLane>> = VecDeque::new();
    loop {
        if turns.is_empty() {
            turns.extend(delays.due().await);
        } else {
            let (due, _) = delays.take_due();
            // One that waits for its turn and was woken again has one turn all the same.
            turns.extend(
                due.into_iter().filter(|lane| !turns.iter().any(|other| Arc::ptr_eq(other, lane))).collect::<Vec<_>>(),
            );
        }
        let Some(lane) = turns.pop_front() else { continue };
        let (firing, of) = (Arc::clone(&broker), Arc::clone(&lane));
        let fired = match tokio::task::spawn_blocking(move || of.fire(&firing)).await {
            Ok(fired) => fired,
            // Those messages are still where they were, and come again at the next start.
            Err(error) if error.is_panic() => {
                tracing::error!(exchange = lane.exchange.as_deref(), "delayed messages were not routed");
                Fired::More
            }
            // The runtime is going down: what was not routed is still where it was.
            Err(_) => return,
        };
        match fired {
            Fired::More => turns.push_back(lane),
            Fired::All => {}
            Fired::Stalled => {
                turns.push_back(lane);
                tokio::time::sleep(RETRY_PERIOD).await;
            }
        }
    }
}
