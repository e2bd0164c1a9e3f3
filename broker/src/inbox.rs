//! What a connection has been granted and not yet sent: one inbox for all its consumers.
//!
//! A queue puts deliveries in while it holds its lock, so that the order of the queue is the order of the inbox; the
//! connection takes out everything that waits in one go. The inbox is bounded by bytes: a queue asks for room first, and a
//! consumer without room is left out until its connection says that there is some again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::Notify;

use crate::message::Message;
use crate::queue::{Lease, Queue, Stored};
use crate::stream::{RUN_BYTES_MAX, Run};

/// A message on its way to a consumer or to whoever fetched it.
#[derive(Debug)]
pub struct Delivery {
    /// What the session called the consumer when it subscribed ([`Outlet::token`]).
    pub token: u64,
    /// The queue that it comes from.
    pub queue: Arc<Queue>,
    /// The lease that waits for an outcome; none where the delivery was the end of it (automatic acknowledgement).
    pub lease: Option<Lease>,
    /// The message, or where to read it: see `Broker::load`.
    pub content: Content,
    /// It may have been delivered before.
    pub redelivered: bool,
    /// How often it failed before; 0 for a first delivery.
    pub attempts: u32,
    /// Its place in the stream that it comes from; none where it comes from a queue.
    pub offset: Option<u64>,
    /// Its place in its queue. The message keeps it for as long as it is there, restarts included; no other message of the
    /// queue has it meanwhile.
    pub seq: u64,
    /// When it expires, in milliseconds since the epoch of Unix, by its own time to live and that of its queue; `u64::MAX` for
    /// never. What a stream keeps does not expire.
    pub expires_ms: u64,
    /// When it was received for the first time, in milliseconds since the epoch of Unix; 0 where it does not come from
    /// [`Queue::receive`]. Exact to the second after a restart.
    pub first_received_ms: u64,
}

/// Where the message of a delivery is.
#[derive(Debug)]
pub enum Content {
    /// In memory.
    Loaded(Arc<Message>),
    /// In the journal.
    Stored(Stored),
}

impl Content {
    /// Bytes of head and body.
    pub fn bytes(&self) -> u32 {
        match self {
            Self::Loaded(message) => message.bytes(),
            Self::Stored(stored) => stored.bytes,
        }
    }
}

/// A reply on its way to whoever asked: there is no queue that it comes from, and nobody wants to hear of its outcome.
#[derive(Debug)]
pub struct Reply {
    /// What the session called itself as a requester ([`Outlet::token`]).
    pub token: u64,
    /// The message.
    pub message: Arc<Message>,
}

/// What an inbox holds.
#[derive(Debug)]
pub enum Item {
    /// A message.
    Delivery(Delivery),
    /// A reply.
    Reply(Reply),
    /// Messages of a stream that are still to be read: `Broker::load` puts deliveries in its place.
    Run(Run),
    /// The consumer with this token is no more: its queue was deleted.
    Cancelled(u64),
}

impl Item {
    /// Whether it has to be read before it can be sent: see `Broker::load`.
    pub fn is_stored(&self) -> bool {
        matches!(self, Self::Run(_) | Self::Delivery(Delivery { content: Content::Stored(_), .. }))
    }
}

/// The inbox of a connection.
#[derive(Debug)]
pub struct Inbox {
    items: Mutex<Vec<Item>>,
    bytes: AtomicUsize,
    bytes_max: usize,
    /// Somebody has been told that there is something here.
    flagged: AtomicBool,
    /// A queue found no room.
    starved: AtomicBool,
    notify: Notify,
}

/// What a delivery takes in an inbox beside its bytes.
const DELIVERY_OVERHEAD_BYTES: usize = 128;

/// Above so many bytes an inbox takes no replies. Nothing can ask for them again, so this is far above what deliveries may
/// take, and stands between a requester that does not read and the memory of all others.
const REPLY_ROOM_BYTES: usize = 64 << 20;

impl Inbox {
    /// An inbox that takes deliveries until `bytes_max` bytes wait in it (and one more).
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            items: Mutex::default(),
            bytes: AtomicUsize::new(0),
            bytes_max,
            flagged: AtomicBool::new(false),
            starved: AtomicBool::new(false),
            notify: Notify::new(),
        })
    }

    /// Resolves when there is something to take. Safe to drop and to call again.
    pub async fn ready(&self) {
        self.notify.notified().await;
    }

    /// Takes everything, in order. `into` must be empty; its allocation is handed over for the next round.
    pub fn take(&self, into: &mut Vec<Item>) {
        debug_assert!(into.is_empty());
        self.flagged.store(false, Ordering::SeqCst);
        let mut items = self.items.lock();
        std::mem::swap(&mut *items, into);
        self.bytes.store(0, Ordering::SeqCst);
    }

    /// Whether a queue found no room since the last call. Then [`Subscription::resume`](crate::Subscription::resume) is due
    /// for the connection's consumers.
    pub fn was_starved(&self) -> bool {
        self.starved.load(Ordering::SeqCst) && self.starved.swap(false, Ordering::SeqCst)
    }

    fn has_room(&self) -> bool {
        if self.bytes.load(Ordering::SeqCst) < self.bytes_max {
            return true;
        }
        // The connection makes room first and looks at the flag then; whoever comes second here sees the other.
        self.starved.store(true, Ordering::SeqCst);
        self.bytes.load(Ordering::SeqCst) < self.bytes_max
    }

    /// Whether it has no room, for those who do not wait for any.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= self.bytes_max
    }

    /// Whether a reply can be put in.
    pub(crate) fn has_reply_room(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) < REPLY_ROOM_BYTES
    }

    /// Puts an item in; true where the owner has to be woken.
    pub(crate) fn push(&self, item: Item) -> bool {
        let bytes = match &item {
            Item::Delivery(delivery) => delivery.content.bytes() as usize + DELIVERY_OVERHEAD_BYTES,
            Item::Reply(reply) => reply.message.bytes() as usize + DELIVERY_OVERHEAD_BYTES,
            Item::Run(_) => RUN_BYTES_MAX,
            Item::Cancelled(_) => 0,
        };
        let mut items = self.items.lock();
        items.push(item);
        // Under the lock, or `take` could reset the number before it is counted.
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
        drop(items);
        !self.flagged.swap(true, Ordering::SeqCst)
    }

    fn wake(&self) {
        self.notify.notify_one();
    }
}

/// Credit that several consumers share: the prefetch limit of a whole channel.
#[derive(Debug)]
pub struct SharedCredit {
    available: AtomicI64,
    starved: AtomicBool,
}

impl SharedCredit {
    /// A pool of `available` deliveries.
    pub fn new(available: i64) -> Arc<Self> {
        Arc::new(Self { available: AtomicI64::new(available), starved: AtomicBool::new(false) })
    }

    /// Gives back, or takes away where negative.
    pub fn add(&self, deliveries: i64) {
        self.available.fetch_add(deliveries, Ordering::SeqCst);
    }

    /// How many are left; negative where more were taken away than there were.
    pub fn available(&self) -> i64 {
        self.available.load(Ordering::SeqCst)
    }

    /// As [`Inbox::was_starved`].
    pub fn was_starved(&self) -> bool {
        self.starved.load(Ordering::SeqCst) && self.starved.swap(false, Ordering::SeqCst)
    }

    fn take(&self) -> bool {
        if self.try_take() {
            return true;
        }
        self.starved.store(true, Ordering::SeqCst);
        self.try_take()
    }

    fn try_take(&self) -> bool {
        self.available
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |available| (available > 0).then(|| available - 1))
            .is_ok()
    }
}

/// Where a consumer's deliveries go.
#[derive(Clone, Debug)]
pub struct Outlet {
    /// The connection's inbox.
    pub inbox: Arc<Inbox>,
    /// The session's own name for the consumer.
    pub token: u64,
    /// Credit that it shares with others.
    pub shared_credit: Option<Arc<SharedCredit>>,
}

impl Outlet {
    /// Takes room for one delivery.
    pub(crate) fn take_room(&self) -> bool {
        self.inbox.has_room() && self.shared_credit.as_ref().is_none_or(|shared| shared.take())
    }
}

/// The connections to wake once a batch of work is done. Dropping it wakes them.
#[derive(Debug, Default)]
pub struct Wakes(SmallVec<[Arc<Inbox>; 4]>);

impl Wakes {
    /// Nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn push(&mut self, inbox: &Arc<Inbox>, item: Item) {
        if inbox.push(item) {
            self.0.push(Arc::clone(inbox));
        }
    }

    /// Wakes everyone noted so far.
    pub fn wake(&mut self) {
        for inbox in self.0.drain(..) {
            inbox.wake();
        }
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        self.wake();
    }
}
