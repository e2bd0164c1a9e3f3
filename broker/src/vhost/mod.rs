//! A virtual host: one namespace of exchanges, queues and bindings.
//!
//! * [`exchange`]: exchanges and destinations; [`manner`]: what follows from an exchange's type and arguments; [`aside`]: what it
//!   does with a message beside routing it; [`route`]: from a key to queues, and the publishers' caches of it.
//! * [`exchanges`], [`queues`], [`bindings`], [`standing`]: declaring and deleting; [`policies`]: rules for all that match.
//! * [`settings`], [`exchange_settings`]: what is set on queues and exchanges beside their declaration.
//! * [`publish`]: the way in, alone and in transactions; [`send`]: to one queue, and not twice; [`once`]: to a topic with order, and not twice; [`subscription`]: the way out; [`relay`]: from queue to queue.
//! * [`later`]: publishing for later.
//! * [`through`]: by which topics a message has come.
//! * [`direct`]: queues that store nothing.
//! * [`moves`]: all of a queue into another.
//! * [`marks`]: sets of numbers that are kept with messages.
//! * [`told`]: what is told of all this; [`trace`]: copies of messages for whoever listens.
//! * [`rows`]: what is kept of all this in the table.
//!
//! Order of locks: the window of a topic with order, topology, then one matcher or one queue. Nothing is awaited under any of them.

mod aside;
mod bindings;
mod direct;
mod exchange;
mod exchange_settings;
mod exchanges;
mod later;
mod manner;
mod marks;
mod moves;
mod once;
mod policies;
mod publish;
mod queues;
mod relay;
mod route;
mod rows;
mod send;
mod settings;
mod standing;
mod subscription;
mod through;
mod told;
mod trace;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gantry_storage::Change;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{oneshot, watch};

pub use self::bindings::{BindingRow, Bound};
pub(crate) use self::exchange::Known;
pub use self::exchange::{Destination, Exchange, ExchangeOptions};
pub use self::exchange_settings::ExchangeSettings;
pub(crate) use self::later::Again;
pub use self::once::PublishedOnce;
pub use self::publish::{Published, Transaction};
pub use self::queues::{DeleteQueue, QueueName};
pub(crate) use self::relay::Parcel;
pub(crate) use self::route::{Reached, further_keys};
pub use self::route::{Route, RouteCache};
pub(crate) use self::rows::{Rows, SPACES, delete_move, put_move, put_schedules, schedules_lane};
pub use self::send::{Deduplication, Original, Sent};
pub use self::subscription::Subscription;
pub use self::trace::{TRACE_EXCHANGE, TracedBy};
use crate::delays::DelayLane;
use crate::error::Error;
use crate::events::EVENT_EXCHANGE;
use crate::exchange::ExchangeKind;
use crate::marks::Marks;
use crate::moves::Moves;
use crate::policy::Policies;
use crate::queue::Queue;
use crate::retained::RetainedMessages;
use crate::shared::Shared;
use crate::value::Table;

/// Everything that has a name in a virtual host.
#[derive(Default)]
pub(crate) struct Topology {
    exchanges: HashMap<Arc<str>, Arc<Exchange>>,
    queues: HashMap<Arc<str>, Arc<Queue>>,
    /// Durable queues whose definition is on its way to the disk. They can be bound and declared again, since what is said of
    /// them then comes behind them, but nothing is routed to them yet: a message to a queue that is gone after a crash would be
    /// confirmed and lost.
    declaring: HashMap<Arc<str>, Declaring>,
    policies: Arc<Policies>,
    /// Bindings of whatever queue of a name is declared.
    standing: HashMap<Arc<str>, Vec<standing::Standing>>,
    /// Which exchanges have bindings to a destination.
    bound_from: HashMap<Destination, HashSet<Arc<str>>>,
    /// Exclusive queues by the connection that they belong to.
    exclusive: HashMap<u64, Vec<Arc<Queue>>>,
}

/// A virtual host.
pub struct VirtualHost {
    name: Arc<str>,
    topology: RwLock<Topology>,
    /// Rises with every change of the topology, so that cached routes know that they are old.
    epoch: AtomicU64,
    /// The same for whoever keeps something of its own in step with the topology, and not for every message.
    changes: watch::Sender<u64>,
    shared: Arc<Shared>,
    /// Whoever listens gets a copy of each message.
    traced: AtomicBool,
    marks: Mutex<HashMap<Arc<str>, Arc<Marks>>>,
    retained: Arc<RetainedMessages>,
    /// Messages that are published for later.
    schedules: Arc<DelayLane>,
    moves: Moves,
}

impl VirtualHost {
    /// A virtual host with the exchanges that every one has; the default one has one more, for events. `schedules_lane` is the
    /// lane of the journal for messages that are published for later.
    pub(crate) fn new(
        shared: Arc<Shared>,
        name: Arc<str>,
        is_default: bool,
        schedules_lane: u64,
    ) -> Result<Arc<Self>, Error> {
        let events = is_default.then_some((EVENT_EXCHANGE, ExchangeKind::Topic, true));
        let predeclared = [
            ("", ExchangeKind::Direct, false),
            ("amq.direct", ExchangeKind::Direct, false),
            ("amq.fanout", ExchangeKind::Fanout, false),
            ("amq.headers", ExchangeKind::Headers, false),
            ("amq.match", ExchangeKind::Headers, false),
            ("amq.topic", ExchangeKind::Topic, false),
            (TRACE_EXCHANGE, ExchangeKind::Topic, true),
        ];
        let mut topology = Topology::default();
        for (exchange, kind, internal) in predeclared.into_iter().chain(events) {
            let options =
                ExchangeOptions { kind, durable: true, auto_delete: false, internal, arguments: Table::default() };
            let exchange =
                Exchange::new(&shared, Arc::from(exchange), Arc::clone(&name), options, true, Known::default())?;
            topology.exchanges.insert(Arc::clone(exchange.name()), exchange);
        }
        let schedules = DelayLane::new(Arc::clone(&shared), schedules_lane, Arc::clone(&name), None);
        let retained = RetainedMessages::new(Arc::clone(&shared), Arc::clone(&name));
        Ok(Arc::new(Self {
            name,
            topology: RwLock::new(topology),
            epoch: AtomicU64::new(1),
            changes: watch::Sender::new(0),
            shared,
            traced: AtomicBool::new(false),
            marks: Mutex::default(),
            retained,
            schedules,
            moves: Moves::default(),
        }))
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn retained_messages(&self) -> &Arc<RetainedMessages> {
        &self.retained
    }

    pub(crate) fn schedules(&self) -> &Arc<DelayLane> {
        &self.schedules
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Says that cached routes are old. Called while the topology is locked for the change.
    fn changed(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
        self.tell_change();
    }

    fn tell_change(&self) {
        if self.changes.receiver_count() > 0 {
            self.changes.send_modify(|changes| *changes += 1);
        }
    }

    /// Tells of changes of exchanges, queues, bindings and settings: a number that rises with each. Several changes may be told
    /// as one, and what has changed is for the receiver to find.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// All exchanges, in no order.
    pub fn exchanges(&self) -> Vec<Arc<Exchange>> {
        self.topology.read().exchanges.values().cloned().collect()
    }

    /// All queues, in no order.
    pub fn queues(&self) -> Vec<Arc<Queue>> {
        self.topology.read().queues.values().cloned().collect()
    }

    /// How many exchanges and queues there are.
    pub fn counts(&self) -> (usize, usize) {
        let topology = self.topology.read();
        (topology.exchanges.len(), topology.queues.len())
    }

    /// Destinations that know where they are bound from, and declarations under way.
    #[cfg(test)]
    pub(crate) fn links(&self) -> usize {
        let topology = self.topology.read();
        topology.bound_from.len() + topology.declaring.len()
    }

    /// Hands changes to the table. The order of calls is the order in which they take effect; callers that must keep it hold
    /// the lock of the topology, which this does not wait under.
    pub(crate) fn commit(&self, changes: Vec<Change>) -> Pending {
        Pending::commit(&*self.shared.table, changes)
    }
}

impl fmt::Debug for VirtualHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualHost").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A durable queue whose definition is on its way to the disk.
struct Declaring {
    queue: Arc<Queue>,
    /// Says when it has got there, or why it cannot.
    done: Outcome,
}

impl Declaring {
    fn pending(&self) -> Pending {
        Pending(Awaited::Queue(self.done.clone()))
    }
}

type Outcome = watch::Receiver<Option<Result<(), Error>>>;

/// A change on its way to the disk. It is in effect for whoever made it, and gets there whether or not somebody waits; what is
/// asked for meanwhile comes behind it.
#[must_use]
#[derive(Debug)]
pub struct Pending(Awaited);

#[derive(Debug)]
enum Awaited {
    Nothing,
    Commit(oneshot::Receiver<Result<(), gantry_storage::TableError>>),
    /// A queue becomes visible once its commit is done.
    Queue(Outcome),
}

impl Pending {
    /// Nothing to wait for.
    pub const fn nothing() -> Self {
        Self(Awaited::Nothing)
    }

    /// Hands changes to the table, behind whatever was handed to it before.
    pub(crate) fn commit(table: &dyn gantry_storage::Table, changes: Vec<Change>) -> Self {
        if changes.is_empty() {
            return Self::nothing();
        }
        let (sender, receiver) = oneshot::channel();
        table.commit(
            changes,
            Box::new(move |result| {
                // Whoever asked may have gone.
                let _ = sender.send(result);
            }),
        );
        Self::waiting(receiver)
    }

    /// Resolves when this is answered.
    pub(crate) const fn waiting(receiver: oneshot::Receiver<Result<(), gantry_storage::TableError>>) -> Self {
        Self(Awaited::Commit(receiver))
    }

    /// Whether there is nothing to wait for.
    pub fn is_nothing(&self) -> bool {
        matches!(self.0, Awaited::Nothing)
    }

    /// Waits until the change is on stable storage.
    ///
    /// # Errors
    /// The disk is full, or storage has failed: the change is not there after a restart.
    pub async fn wait(self) -> Result<(), Error> {
        let closed = || Error::Storage("the table was closed".to_owned());
        match self.0 {
            Awaited::Nothing => Ok(()),
            Awaited::Commit(receiver) => receiver.await.map_err(|_| closed())?.map_err(Error::from),
            Awaited::Queue(mut done) => match done.wait_for(Option::is_some).await {
                Ok(result) => result.clone().unwrap_or(Ok(())),
                Err(_) => Err(closed()),
            },
        }
    }
}

impl From<gantry_storage::TableError> for Error {
    fn from(error: gantry_storage::TableError) -> Self {
        match error {
            gantry_storage::TableError::Full => Self::Full,
            error => Self::Storage(error.to_string()),
        }
    }
}
