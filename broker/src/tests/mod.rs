//! The broker as a whole, on storage in memory that fails and waits on request.
//!
//! * [`names`]: declaring, binding, deleting, and how routes follow; [`flow`]: publishing, consuming, credit, time.
//! * [`dead_letters`]: from queue to queue; [`redrive`]: what was received too often; [`exchanges`]: those that hold back, remember, choose.
//! * [`selections`]: consumers that choose; [`groups`]: messages that consumers do not share; [`schedules`]: messages for later.
//! * [`receiving`]: those who come for messages, and what they say by receipts.
//! * [`recovery`]: what is there after a stop and after a crash.
//! * [`rules`]: what queues do by their rules, apart from the model's tests.
//! * [`direct`]: queues that hand on and store nothing; [`marks`]: numbers kept with messages; [`retained`]: the last of each key.
//! * [`policies`]: who is under them, and since when. [`settings`]: what is set on queues beside their declaration.
//! * [`subscriptions`]: topics with settings, and bindings that take another one's place.
//! * [`windows`]: what ordered queues were sent lately.
//! * [`moves`]: all of a queue into another.
//! * [`rights`]: who may do what, while sessions are open.
//! * [`replies`]: what goes from one connection to another without a queue.

mod dead_letters;
mod direct;
mod exchanges;
mod flow;
mod groups;
mod marks;
mod moves;
mod names;
mod ordered_topics;
mod policies;
mod receiving;
mod recovery;
mod redrive;
mod replays;
mod replies;
mod retained;
mod rights;
mod rules;
mod schedules;
mod selections;
mod settings;
mod streams;
mod subscriptions;
mod windows;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gantry_storage::table::{Done, Row};
use gantry_storage::{Change, Faults, Journal, MemoryJournal, MemoryTable, Table as Rows, TableError};
use parking_lot::Mutex;

use crate::message::now_ms;
use crate::message::tests::{Plain, plain};
use crate::value::{Table, Value};
use crate::vhost::Published;
use crate::{
    Broker, BrokerOptions, ConsumerOptions, Content, Credit, Delivery, Error, Essentials, ExchangeOptions, Found,
    Inbox, Item, Outcome, Outlet, Queue, QueueName, QueueOptions, RouteCache, SharedCredit, Sources, Subscription,
    VirtualHost, Wakes,
};

/// A table that answers when the test says so.
#[derive(Default)]
struct HeldTable {
    rows: MemoryTable,
    held: AtomicBool,
    waiting: Mutex<Vec<(Vec<Change>, Done)>>,
}

impl HeldTable {
    fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    fn release(&self) {
        self.held.store(false, Ordering::SeqCst);
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for (changes, done) in waiting {
            self.rows.commit(changes, done);
        }
    }
}

impl Rows for HeldTable {
    fn get(&self, space: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        self.rows.get(space, key)
    }

    fn scan(&self, space: &'static str, prefix: &[u8]) -> Result<Vec<Row>, TableError> {
        self.rows.scan(space, prefix)
    }

    fn commit(&self, changes: Vec<Change>, done: Done) {
        if self.held.load(Ordering::SeqCst) {
            self.waiting.lock().push((changes, done));
        } else {
            self.rows.commit(changes, done);
        }
    }

    fn close(&self) -> Result<(), TableError> {
        self.rows.close()
    }
}

/// A broker and its storage.
struct Rig {
    broker: Arc<Broker>,
    vhost: Arc<VirtualHost>,
    journal: Arc<MemoryJournal>,
    table: Arc<HeldTable>,
    faults: Faults,
}

/// Nobody in particular.
const CLIENT: u64 = 1;
/// So much memory is never scarce.
const PLENTY: usize = usize::MAX;
/// Every message makes memory scarce. The number of bytes in memory is the process's, so that nothing else is certain.
const SCARCE: usize = 0;

impl Rig {
    fn new(memory_watermark_bytes: usize) -> Self {
        let faults = Faults::default();
        let journal = MemoryJournal::new(faults.clone());
        Self::on(journal, HeldTable::default(), Found::default(), faults, memory_watermark_bytes)
    }

    fn on(journal: MemoryJournal, table: HeldTable, found: Found, faults: Faults, memory: usize) -> Self {
        let (journal, table) = (Arc::new(journal), Arc::new(table));
        let broker = Broker::open(options(memory), journal.clone(), table.clone(), found).unwrap();
        let vhost = vhost(&broker);
        Self { broker, vhost, journal, table, faults }
    }

    /// The same storage, as a process finds it that starts after this one was killed.
    fn crash(self) -> Self {
        let mut found = Found::default();
        let journal = self.journal.reopen(&mut found);
        let table = HeldTable { rows: self.table.rows.reopen(), ..HeldTable::default() };
        Self::on(journal, table, found, self.faults, PLENTY)
    }

    /// The same, after an orderly stop.
    fn restart(self) -> Self {
        self.broker.start_closing();
        self.broker.close().unwrap();
        self.crash()
    }

    async fn queue(&self, name: &str, options: QueueOptions) -> Arc<Queue> {
        self.vhost.declare_queue(QueueName::Given(name), options, CLIENT).await.unwrap()
    }

    async fn exchange(&self, name: &str, options: ExchangeOptions) {
        self.vhost.declare_exchange(name, options).await.unwrap();
    }

    async fn bind(&self, source: &str, destination: (crate::Kind, &str), key: &str) {
        self.vhost.bind(source, destination, key.as_bytes(), &Table::new(), CLIENT).await.unwrap();
    }

    fn publish(&self, exchange: &str, key: &str, body: &str) -> Result<Published, Error> {
        self.publish_with(exchange, key, body, Essentials { durable: true, ..Essentials::default() })
    }

    fn publish_with(&self, exchange: &str, key: &str, body: &str, essentials: Essentials) -> Result<Published, Error> {
        let route = self.vhost.route(&mut RouteCache::default(), exchange, key.as_bytes())?;
        let message = plain(exchange, key, essentials, body.as_bytes());
        self.vhost.publish(&route, &message, now_ms(), &mut Wakes::new())
    }

    /// The bodies in a queue, in order; they stay there, as they were.
    async fn bodies(&self, queue: &Arc<Queue>) -> Vec<String> {
        let mut items = Vec::new();
        while let Some((delivery, _)) = queue.fetch(0, true) {
            items.push(Item::Delivery(delivery));
        }
        let bodies = self.read(&mut items).await;
        for item in items {
            if let Item::Delivery(Delivery { queue, lease: Some(lease), .. }) = item {
                queue.settle(&[lease], Outcome::Release, &mut Wakes::new());
            }
        }
        bodies
    }

    async fn read(&self, items: &mut Vec<Item>) -> Vec<String> {
        self.broker.load(items).await;
        items.iter().filter_map(body_of).collect()
    }

    fn subscribe(&self, queue: &Arc<Queue>, inbox: &Arc<Inbox>, credit: Credit) -> Result<Subscription, Error> {
        let options = ConsumerOptions { credit, acknowledges: true, exclusive: false, priority: 0 };
        self.vhost.subscribe(queue, outlet(inbox, 7), options, &mut Wakes::new())
    }

    /// References that the journal keeps.
    fn stored(&self) -> u64 {
        self.journal.usage().live_refs
    }
}

fn options(memory_watermark_bytes: usize) -> BrokerOptions {
    BrokerOptions { memory_watermark_bytes, sources: Sources::new(vec![&Plain]), ..BrokerOptions::default() }
}

fn vhost(broker: &Arc<Broker>) -> Arc<VirtualHost> {
    let user = broker.authenticate("guest", b"guest", true).unwrap();
    Arc::clone(broker.open_session(user, "/").unwrap().vhost())
}

fn outlet(inbox: &Arc<Inbox>, token: u64) -> Outlet {
    Outlet { inbox: Arc::clone(inbox), token, shared_credit: None }
}

fn body_of(item: &Item) -> Option<String> {
    match item {
        Item::Delivery(Delivery { content: Content::Loaded(message), .. }) => {
            Some(String::from_utf8_lossy(message.body()).into_owned())
        }
        _ => None,
    }
}

/// Waits until something is so.
async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !is_so() {
        assert!(std::time::Instant::now() < give_up, "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

fn taken(inbox: &Inbox) -> Vec<Item> {
    let mut items = Vec::new();
    inbox.take(&mut items);
    items
}

fn settle(items: Vec<Item>, outcome: Outcome) {
    for item in items {
        if let Item::Delivery(Delivery { queue, lease: Some(lease), .. }) = item {
            queue.settle(&[lease], outcome, &mut Wakes::new());
        }
    }
}

fn durable() -> QueueOptions {
    QueueOptions { durable: true, ..QueueOptions::default() }
}

fn with(arguments: &[(&str, i64)]) -> Table {
    let mut table = Table::new();
    for (name, value) in arguments {
        table.push(*name, Value::I64(*value));
    }
    table
}
