//! Messages on their way out of one queue and into others: dead letters.
//!
//! A queue decides under its lock that a message has to go on; everything else (its body may have to be read, the exchange
//! has to be asked, other queues have to be locked) happens here, later, and in the order in which queues gave messages up.
//! Until then the journal keeps the message where it was; then one record takes it out of there and puts it into the others,
//! so that after a crash it is in one place or in the other. What a full queue does not take and sends on has been in no queue
//! since: the record that took it out of the one before keeps it in a lane for what was refused, and recovery puts it back here.
//!
//! One letter is carried at a time, by a thread that may block: a chain of queues that dead-letter into one another is a
//! list here and not a recursion, and whoever rejects, publishes or ticks does not wait for it.

mod burial;

pub(crate) use self::burial::DEATH_HEADERS;

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gantry_storage::Reading;
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::Notify;

use crate::broker::Broker;
use crate::error::Error;
use crate::inbox::Wakes;
use crate::load::{PREFIX_BYTES_USUAL, restored};
use crate::message::now_ms;
use crate::queue::{DeadLetter, Departure, Entry, Queue, Redriving};
use crate::shared::Shared;
use crate::vhost::{Parcel, RouteCache};

/// One record of the journal carries so many messages at most, and not many more bytes than that.
const RECORD_LETTERS_MAX: usize = 256;
const RECORD_BYTES: u64 = 4 << 20;

/// How long to wait before letters that could not be carried are tried again.
const RETRY_PERIOD: Duration = Duration::from_millis(500);

/// A message that has left a queue and is not yet anywhere else.
#[derive(Debug)]
pub(crate) struct Letter {
    /// Where it was.
    pub(crate) queue: Arc<Queue>,
    /// The message, as it was there.
    pub(crate) entry: Entry,
    /// Why it left.
    pub(crate) why: Departure,
    /// Where it goes.
    pub(crate) to: Arc<DeadLetter>,
    /// Its queue still counts it, where it goes where the settings say.
    #[expect(dead_code, reason = "it counts for as long as it is there")]
    pub(crate) redriving: Option<Redriving>,
}

/// The letters that wait to be carried on, in the order in which their queues gave them up.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Vec<Letter>>,
    /// How many there are that are not anywhere else yet: those, what is being carried, and what could not be.
    len: AtomicUsize,
    arrived: Notify,
    /// What could not be carried. Not taken together with `waiting`.
    left: Mutex<Left>,
    /// Whoever carries has it: one at a time, or letters would overtake.
    carrier: Mutex<Carrier>,
}

impl Outbox {
    /// Takes letters. Touches memory only.
    pub(crate) fn push(&self, letters: Vec<Letter>) {
        let mut waiting = self.waiting.lock();
        self.len.fetch_add(letters.len(), Ordering::Relaxed);
        let first = waiting.is_empty();
        if first {
            *waiting = letters
        } else {
            waiting.extend(letters)
        }
        drop(waiting);
        if first {
            self.arrived.notify_one();
        }
    }

    fn take(&self) -> Vec<Letter> {
        mem::take(&mut *self.waiting.lock())
    }

    /// Carries letters, as [`Carrier::carry`]. Blocks.
    fn carry(&self, broker: &Broker, letters: Vec<Letter>) -> Left {
        let len = letters.len();
        let left = self.carrier.lock().carry(broker, letters);
        self.len.fetch_sub(len - left.stalled.len() - left.unroutable.len(), Ordering::Relaxed);
        left
    }

    /// Takes away messages that a queue gave up since they had been received too often, and that are in no other one yet: what
    /// is said of them there still counts. Those that are being carried at the moment go where they go.
    pub(crate) fn take_redriven(&self, queue: &Queue, which: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let is_its =
            |letter: &mut Letter| letter.to.is_redrive && letter.queue.lane() == queue.lane() && which(&letter.entry);
        let mut taken: Vec<Letter> = self.waiting.lock().extract_if(.., is_its).collect();
        let mut left = self.left.lock();
        let Left { stalled, unroutable } = &mut *left;
        taken.extend(stalled.extract_if(.., is_its).chain(unroutable.extract_if(.., is_its)));
        drop(left);
        self.len.fetch_sub(taken.len(), Ordering::Relaxed);
        taken.into_iter().map(|letter| letter.entry).collect()
    }

    /// Bytes of memory that all letters take, beside their messages. Queues may give messages up faster than they are carried
    /// on, or nobody takes what must not be dropped; then publishers have to wait.
    pub(crate) fn bytes(&self) -> usize {
        self.len.load(Ordering::Relaxed) * size_of::<Letter>()
    }
}

/// Letters that could not be carried.
#[derive(Debug, Default)]
struct Left {
    /// The disk had no room for them: they go first when there is some.
    stalled: Vec<Letter>,
    /// No queue takes them, and they must not be dropped.
    unroutable: Vec<Letter>,
}

impl Left {
    fn is_empty(&self) -> bool {
        self.stalled.is_empty() && self.unroutable.is_empty()
    }
}

/// Carries letters, for as long as the broker runs.
pub(crate) async fn run(broker: Arc<Broker>) {
    let outbox = &broker.shared().outbox;
    let mut epoch = 0;
    loop {
        let is_idle = outbox.left.lock().is_empty();
        tokio::select! {
            () = outbox.arrived.notified() => {}
            () = tokio::time::sleep(RETRY_PERIOD), if !is_idle => {}
        }
        let epoch_now = broker.topology_epoch();
        let mut letters = {
            let mut left = outbox.left.lock();
            let mut letters = mem::take(&mut left.stalled);
            // What no queue took is tried again when something was declared, bound or deleted.
            if epoch_now != epoch {
                epoch = epoch_now;
                letters.append(&mut left.unroutable);
            }
            letters
        };
        letters.append(&mut outbox.take());
        if letters.is_empty() {
            continue;
        }
        let (carrying, len) = (Arc::clone(&broker), letters.len());
        let carried = tokio::task::spawn_blocking(move || carrying.shared().outbox.carry(&carrying, letters));
        let new = match carried.await {
            Ok(new) => new,
            // Those letters are still where they were, and come again at the next start.
            Err(error) if error.is_panic() => {
                tracing::error!("dead letters were not carried on");
                outbox.len.fetch_sub(len, Ordering::Relaxed);
                continue;
            }
            // The runtime is going down: what was not carried is still where it was.
            Err(_) => return,
        };
        let mut left = outbox.left.lock();
        left.stalled = new.stalled;
        left.unroutable.extend(new.unroutable);
    }
}

/// Carries what waits, once; for an orderly stop. What cannot be carried stays where it was. Blocks.
pub(crate) fn drain(broker: &Broker) {
    let outbox = &broker.shared().outbox;
    loop {
        let letters = outbox.take();
        if letters.is_empty() {
            // Queues and letters hold one another.
            *outbox.left.lock() = Left::default();
            return;
        }
        outbox.carry(broker, letters);
    }
}

/// Carries letters from queue to queue.
#[derive(Debug, Default)]
struct Carrier {
    /// The routes of letters, by virtual host.
    routes: HashMap<Arc<str>, RouteCache>,
    /// Lanes of queues of which a letter found no room in this round: what comes behind it waits with it, and is not routed
    /// again and again while it does.
    held_up: HashSet<u64>,
    /// Lanes of queues of which it has been logged that nobody takes their letters.
    told: HashSet<u64>,
}

impl Carrier {
    /// Carries letters, in order. Blocks on the disk where bodies have left memory. Those that could not be carried.
    fn carry(&mut self, broker: &Broker, letters: Vec<Letter>) -> Left {
        let mut left = Left::default();
        self.held_up.clear();
        let mut letters = letters.into_iter().peekable();
        while letters.peek().is_some() {
            let mut batch = Vec::new();
            let mut bytes = 0;
            while let Some(letter) = letters.next_if(|next| {
                let same_vhost = batch.last().is_none_or(|last: &Letter| last.queue.vhost() == next.queue.vhost());
                same_vhost && batch.len() < RECORD_LETTERS_MAX && bytes < RECORD_BYTES
            }) {
                if letter.to.at_least_once && self.held_up.contains(&letter.queue.lane()) {
                    left.stalled.push(letter);
                    continue;
                }
                bytes += u64::from(letter.entry.bytes);
                batch.push(letter);
            }
            if !self.carry_batch(broker, batch, &mut left) {
                // What comes behind must not overtake.
                left.stalled.extend(letters);
                break;
            }
        }
        if broker.shared().memory_is_scarce() {
            // As in a queue: what is stored need not be in memory while it waits.
            let waiting = left.stalled.iter_mut().chain(&mut left.unroutable);
            waiting
                .filter(|letter| letter.entry.position.get().is_some())
                .for_each(|letter| letter.entry.message = None);
        }
        left
    }

    /// Carries letters of one virtual host; false where the disk is full.
    fn carry_batch(&mut self, broker: &Broker, mut batch: Vec<Letter>, left: &mut Left) -> bool {
        let Some(vhost) = batch.first().and_then(|letter| broker.vhost_of(&letter.queue)) else {
            return true;
        };
        load(broker.shared(), &mut batch);
        batch.retain_mut(|letter| {
            if !letter.to.is_redrive {
                return true;
            }
            // It may have waited for its queue until somebody named another one, or none.
            match letter.queue.redrive() {
                Some(to) => {
                    letter.to = to;
                    true
                }
                None => {
                    self.told.remove(&letter.queue.lane());
                    letter.queue.put_back(letter.entry.clone());
                    false
                }
            }
        });
        let routes = self.routes.entry(Arc::clone(vhost.name())).or_default();
        let now_ms = now_ms();
        let mut parcels = Vec::with_capacity(batch.len());
        let mut carried = Vec::with_capacity(batch.len());
        for letter in batch {
            let Some(message) = &letter.entry.message else { continue };
            let (message, reached) = burial::bury(&vhost, routes, &letter, message, now_ms);
            if reached.is_nowhere() && letter.to.at_least_once {
                if self.told.insert(letter.queue.lane()) {
                    let (queue, to) = (letter.queue.name(), letter.to.key.as_deref().unwrap_or_default());
                    let to = String::from_utf8_lossy(to);
                    tracing::warn!(%queue, %to, "messages wait for a queue to go to as dead letters, and none takes them");
                }
                left.unroutable.push(letter);
                continue;
            }
            if !self.told.is_empty() {
                self.told.remove(&letter.queue.lane());
            }
            parcels.push(Parcel {
                taken_from: letter.entry.position.get(),
                message,
                reached,
                stays_in: letter.to.at_least_once.then(|| letter.queue.lane()),
                redelivered: letter.queue.may_have_gone_on(&letter.entry),
                is_first: false,
                again: SmallVec::new(),
            });
            carried.push(letter);
        }
        match vhost.relay(&mut parcels, now_ms, &mut Wakes::new()) {
            Ok(staying) => {
                // Whether there is room now is asked again after a while; others go on meanwhile.
                let mut index = 0;
                carried.retain(|_| {
                    index += 1;
                    staying.binary_search(&(index - 1)).is_ok()
                });
                self.held_up.extend(carried.iter().map(|letter| letter.queue.lane()));
                left.stalled.append(&mut carried);
                true
            }
            Err(Error::Full) => {
                left.stalled.extend(carried);
                false
            }
            Err(error) => {
                // The journal has failed, and the process is about to stop. Nothing was taken out of anywhere.
                tracing::error!(%error, "dead letters were not carried on");
                true
            }
        }
    }
}

/// Reads the bodies that have left memory. What cannot be read is given up.
fn load(shared: &Shared, batch: &mut Vec<Letter>) {
    let missing = |letter: &Letter| letter.entry.message.is_none();
    let readings: Vec<Reading> = batch
        .iter()
        .filter(|letter| missing(letter))
        .filter_map(|letter| {
            let payload_bytes = letter.entry.bytes.saturating_add(PREFIX_BYTES_USUAL);
            letter.entry.position.get().map(|position| Reading { position, payload_bytes })
        })
        .collect();
    if readings.is_empty() {
        return;
    }
    let mut read = shared.journal.read(&readings).into_iter();
    batch.retain_mut(|letter| {
        let Some(position) = letter.entry.position.get().filter(|_| missing(letter)) else { return true };
        match read.next().map(|result| restored(shared, result)) {
            Some(Ok(message)) => {
                letter.entry.message = Some(message);
                true
            }
            Some(Err(error)) => {
                tracing::error!(queue = %letter.queue.name(), error, "a stored message cannot be read and is lost");
                letter.queue.forget_stored(&[position]);
                false
            }
            None => true,
        }
    });
}
