//! Sessions without a wire: connections that open, subscribe and go, on storage in memory.
//!
//! * [`opening`]: clean start, resuming, expiry; [`taking_over`]: the same client by several connections.
//! * [`subscribing`]: filters, queues, rights and limits; [`sharing`]: groups.
//! * [`system`]: what the broker says of itself.
//! * [`wills`]: what is published when a client is lost; [`restarts`]: what is there after a stop and after a crash.

mod opening;
mod restarts;
mod sharing;
mod subscribing;
mod system;
mod taking_over;
mod wills;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gantry_broker::message::now_ms;
use gantry_broker::rights::{Permission, User};
use gantry_broker::{
    Broker, BrokerOptions, Content, Delivery, Found, Inbox, Item, Outcome, RouteCache, Session, SharedCredit, Sources,
    VirtualHost, Wakes,
};
use gantry_storage::{Faults, MemoryJournal, MemoryTable};
use smallvec::SmallVec;

use super::place::Id;
use super::*;
use crate::codec::packet::{Filter, QoS, RetainHandling, SubscribeOptions, Version};
use crate::codec::reason::Reason;
use crate::convert::{self, Published};
use crate::subscriptions::Subscription;
use crate::topics;

/// A broker with sessions, and its storage.
struct Rig {
    broker: Arc<Broker>,
    vhost: Arc<VirtualHost>,
    sessions: Arc<Sessions>,
    journal: Arc<MemoryJournal>,
    table: Arc<MemoryTable>,
    faults: Faults,
}

fn settings() -> SessionSettings {
    SessionSettings { sessions_max: 50, subscriptions_max: 20, filter_bytes_max: 100, ..SessionSettings::default() }
}

impl Rig {
    fn new() -> Self {
        let faults = Faults::default();
        Self::on(MemoryJournal::new(faults.clone()), MemoryTable::new(), Found::default(), faults)
    }

    fn on(journal: MemoryJournal, table: MemoryTable, found: Found, faults: Faults) -> Self {
        let (journal, table) = (Arc::new(journal), Arc::new(table));
        let options = BrokerOptions { sources: Sources::new(vec![&convert::SOURCE]), ..BrokerOptions::default() };
        let broker = Broker::open(options, journal.clone(), table.clone(), found).unwrap();
        let vhost = broker.vhost("/").unwrap();
        let sessions = Sessions::new(Arc::clone(&broker), settings()).unwrap();
        Self { broker, vhost, sessions, journal, table, faults }
    }

    /// The same storage, as a process finds it that starts after this one was killed.
    fn crash(self) -> Self {
        let mut found = Found::default();
        let journal = self.journal.reopen(&mut found);
        Self::on(journal, self.table.reopen(), found, self.faults.clone())
    }

    /// Somebody who may do everything.
    fn log_in(&self, user: &str) -> Session {
        let user = self.broker.admit(user, true).unwrap();
        self.broker.open_session(user, "/").unwrap()
    }

    async fn add_user(&self, name: &str, permission: Permission) {
        self.broker.set_user(User::with_password(name, b"secret", &[]).unwrap()).await.unwrap();
        self.broker.set_permission(name, "/", permission).await.unwrap();
    }

    async fn open(&self, client: &str, ask: Ask) -> Fake {
        self.try_open(client, ask).await.unwrap()
    }

    async fn try_open(&self, client: &str, ask: Ask) -> Result<Fake, OpenError> {
        let mut session = self.log_in(ask.user);
        let (inbox, credit) = (Inbox::new(1 << 20), SharedCredit::new(ask.receive_max));
        let request = OpenRequest {
            session: &mut session,
            client_id: client,
            clean_start: ask.clean_start,
            expiry_s: ask.expiry_s,
            will: ask.will,
            inbox: Arc::clone(&inbox),
            credit: Arc::clone(&credit),
        };
        let Opened { mut held, present, expiry_s } = self.sessions.open(&self.vhost, request).await?;
        held.start(&mut Wakes::new());
        Ok(Fake { held, session, inbox, credit, present, expiry_s })
    }

    /// How many queues it went to.
    fn publish(&self, topic: &str, qos: QoS, body: &str) -> usize {
        self.published(topic, qos, body).routed
    }

    /// Whether its publisher waits for the disk.
    fn publish_stored(&self, topic: &str, qos: QoS, body: &str) -> bool {
        self.published(topic, qos, body).durable.is_some()
    }

    fn published(&self, topic: &str, qos: QoS, body: &str) -> gantry_broker::Published {
        let route = self.vhost.route(&mut RouteCache::default(), "amq.topic", &topics::key(topic)).unwrap();
        let published = Published {
            version: Version::V5,
            qos,
            retain: false,
            dup: false,
            publisher: 0,
            expiry_s: None,
            application: &[],
            payload: body.as_bytes(),
        };
        let message = convert::message(Arc::clone(route.address()), &published);
        self.vhost.publish(&route, &message, now_ms(), &mut Wakes::new()).unwrap()
    }

    fn place(&self, client: &str) -> Arc<place::Place> {
        let id = Id { vhost: Arc::clone(self.vhost.name()), client: Arc::from(client) };
        self.sessions.place(&id).unwrap()
    }

    /// Has a session that nobody holds be so many seconds older.
    fn age(&self, client: &str, seconds: u64) {
        let place = self.place(client);
        let mut inner = place.inner.lock();
        let kept = inner.kept.as_mut().expect("nobody holds it");
        kept.disconnected_ms = kept.disconnected_ms.map(|ms| ms - seconds * 1000);
        self.sessions.note_due(&place, &mut inner);
    }

    fn queue_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.vhost.queues().iter().map(|queue| queue.name().to_string()).collect();
        names.sort_unstable();
        names
    }

    fn rows(&self) -> (usize, usize) {
        let count = |space| self.broker.kept_rows(space).unwrap().len();
        (count(rows::SESSIONS), count(rows::SUBSCRIPTIONS))
    }
}

/// Waits for something that is bound to happen.
async fn until(mut happened: impl FnMut() -> bool) {
    let waiting = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it does not happen");
}

/// What a client asks for.
struct Ask {
    user: &'static str,
    clean_start: bool,
    expiry_s: u32,
    will: Option<Will>,
    receive_max: i64,
}

impl Default for Ask {
    fn default() -> Self {
        Self { user: "guest", clean_start: false, expiry_s: 100, will: None, receive_max: 100 }
    }
}

/// A session that ends with its connection.
fn passing() -> Ask {
    Ask { expiry_s: 0, clean_start: true, ..Ask::default() }
}

/// A connection without a wire.
struct Fake {
    held: Held,
    session: Session,
    inbox: Arc<Inbox>,
    credit: Arc<SharedCredit>,
    present: bool,
    expiry_s: u32,
}

fn options(qos: QoS) -> SubscribeOptions {
    SubscribeOptions { qos, ..SubscribeOptions::default() }
}

impl Fake {
    async fn subscribe(&mut self, filters: &[(&str, SubscribeOptions)]) -> (SmallVec<[Reason; 4]>, Vec<Subscription>) {
        let filters: Vec<_> = filters.iter().map(|(filter, options)| (Filter::new(filter), *options)).collect();
        let answer = self.held.subscribe(&mut self.session, &filters, None, &mut Wakes::new()).await;
        (answer.reasons, answer.retained)
    }

    async fn subscribe_one(&mut self, filter: &str, qos: QoS) -> Reason {
        self.subscribe(&[(filter, options(qos))]).await.0[0]
    }

    async fn unsubscribe(&mut self, filter: &str) -> Reason {
        self.held.unsubscribe(&[Filter::new(filter)]).await[0]
    }

    fn deliveries(&self) -> Vec<Delivery> {
        let mut items = Vec::new();
        self.inbox.take(&mut items);
        deliveries(items)
    }

    /// Acknowledges; the body.
    fn accept(&self, delivery: &Delivery) -> String {
        if let Some(lease) = delivery.lease {
            delivery.queue.settle(&[lease], Outcome::Accept, &mut Wakes::new());
            self.credit.add(1);
        }
        body(delivery)
    }

    /// Bodies with the token they came by, all of them acknowledged.
    fn take(&self) -> Vec<(u64, String)> {
        self.deliveries().iter().map(|delivery| (delivery.token, self.accept(delivery))).collect()
    }

    /// Bodies, once there are any, also of what left memory. All of them acknowledged.
    async fn next_bodies(&self) -> Vec<String> {
        let mut items = Vec::new();
        until(|| {
            self.inbox.take(&mut items);
            !items.is_empty()
        })
        .await;
        self.session.broker().load(&mut items).await;
        deliveries(items).iter().map(|delivery| self.accept(delivery)).collect()
    }

    fn bodies(&self) -> Vec<String> {
        self.take().into_iter().map(|(_, body)| body).collect()
    }

    /// As a connection goes: nothing more comes, what it has is given back, then the session is let go.
    fn close(mut self, end: End) {
        self.held.stop();
        for delivery in self.deliveries() {
            if let Some(lease) = delivery.lease {
                delivery.queue.settle(&[lease], Outcome::Release, &mut Wakes::new());
            }
        }
        self.held.close(end);
    }
}

fn deliveries(items: Vec<Item>) -> Vec<Delivery> {
    let deliveries = items.into_iter().filter_map(|item| match item {
        Item::Delivery(delivery) => Some(delivery),
        _ => None,
    });
    deliveries.collect()
}

fn body(delivery: &Delivery) -> String {
    let Content::Loaded(message) = &delivery.content else { panic!("it is in memory") };
    String::from_utf8(message.body().to_vec()).unwrap()
}

fn will(topic: &str, delay_s: u32) -> Will {
    Will {
        topic: topic.to_owned(),
        payload: Bytes::from_static(b"gone"),
        qos: 1,
        retain: false,
        v5: true,
        delay_s,
        message_expiry_s: None,
        application: Bytes::new(),
    }
}
