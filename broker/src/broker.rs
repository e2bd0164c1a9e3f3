//! The broker: all virtual hosts, all users, one journal, one table.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gantry_storage::{Change, Journal, Logs, MemoryLogs, Recovered, Recovery, Table, Ticket};
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::delays;
use crate::error::{Error, Kind, Resource};
use crate::events::{self, EVENT_EXCHANGE};
use crate::inbox::Item;
use crate::load;
use crate::message::{Sources, now_ms, resident_bytes};
use crate::moves;
use crate::outbox;
use crate::queue::{self, Queue, QueueStatus, Restored, lane_of};
use crate::retained::{self, RETAINED};
use crate::rights::{Authenticated, Denied, Login, Permission, Tokens, User};
use crate::rights_store::RightsStore;
use crate::session::Session;
use crate::shared::{Limits, Shared};
use crate::stream;
use crate::timer::Sleeper;
use crate::vhost::{Known, Pending, Rows, SPACES, VirtualHost, put_schedules, schedules_lane};
use crate::window::{self, Remembered};

const VHOSTS: &str = "vhosts";
const META: &str = "meta";
const RUN: &[u8] = b"run";
const FORMAT: &[u8] = b"format";

/// How rows of the table and messages in the journal are written. One more with each change that an older program, or a newer
/// one, would misread.
const FORMAT_VERSION: u32 = 4;

/// The oldest one that is read: it knows no groups of messages and nothing that is sent again and again. The one after it knows no
/// delays of messages, and of messages that somebody had nothing but how often they had failed.
const FORMAT_VERSION_MIN: u32 = 2;

/// How often the alarms are looked at.
const ALARM_PERIOD: Duration = Duration::from_millis(100);

/// What a broker is opened with.
#[derive(Clone)]
pub struct BrokerOptions {
    /// Above so many bytes of messages in memory, bodies that are stored leave it.
    pub memory_watermark_bytes: usize,
    /// Above so many bytes of messages in memory, publishers have to wait.
    pub memory_limit_bytes: usize,
    /// So many bytes may wait for the disk before publishers have to wait.
    pub backlog_bytes_max: u64,
    /// Retained messages of all virtual hosts may take so many bytes of memory.
    pub retained_bytes_max: usize,
    /// Ordered queues may remember so many deduplication ids, all of them together: some 64 bytes each.
    pub deduplication_entries_max: usize,
    /// Name of the user that a new data folder gets.
    pub default_user: String,
    /// The password of that user.
    pub default_password: String,
    /// The virtual host that a new data folder gets.
    pub default_vhost: String,
    /// Virtual hosts that have to be there: those that are not are made, and [`BrokerOptions::default_user`] may do everything in
    /// them, if there is that user.
    pub vhosts: Vec<String>,
    /// Who may only come from this machine.
    pub login: Login,
    /// Which tokens let in like passwords, if any do.
    pub tokens: Option<Tokens>,
    /// The protocols that stored messages may have come by.
    pub sources: Sources,
    /// Where streams are kept. In memory, if nothing is said: then what is in a stream goes with the process.
    pub logs: Arc<dyn Logs>,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self {
            memory_watermark_bytes: 256 << 20,
            memory_limit_bytes: 1 << 30,
            backlog_bytes_max: 64 << 20,
            retained_bytes_max: 256 << 20,
            deduplication_entries_max: 16 << 20,
            default_user: "guest".to_owned(),
            default_password: "guest".to_owned(),
            default_vhost: "/".to_owned(),
            vhosts: Vec::new(),
            login: Login::default(),
            tokens: None,
            sources: Sources::default(),
            logs: Arc::new(MemoryLogs::default()),
        }
    }
}

/// What a publisher has to wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    /// Messages take more memory than they may.
    pub memory: bool,
    /// The disk is full.
    pub disk: bool,
}

impl Alarms {
    /// Whether there is any.
    pub fn any(self) -> bool {
        self.memory || self.disk
    }
}

/// Counts of everything, for metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Virtual hosts.
    pub vhosts: usize,
    /// Exchanges of all of them.
    pub exchanges: usize,
    /// Queues of all of them.
    pub queues: usize,
    /// The queues' sums.
    pub messages: QueueStatus,
    /// Bytes of messages in memory.
    pub resident_bytes: usize,
    /// Messages that came to direct queues when their connections had no room, since the start. Queues that are gone are
    /// counted.
    pub dropped: u64,
    /// Deduplication ids that ordered queues remember.
    pub remembered: usize,
    /// Retained messages.
    pub retained: usize,
    /// Bytes of memory that retained messages take, about.
    pub retained_bytes: usize,
    /// The journal.
    pub journal: gantry_storage::Usage,
}

/// Why a client does not get into a virtual host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenRefused {
    /// There is no such virtual host.
    #[error("vhost {0} not found")]
    NotFound(String),
    /// The user has no permission in it.
    #[error("access to vhost '{vhost}' refused for user '{user}'")]
    Refused {
        /// The virtual host.
        vhost: String,
        /// Who.
        user: String,
    },
}

/// The broker.
pub struct Broker {
    shared: Arc<Shared>,
    options: BrokerOptions,
    vhosts: RwLock<HashMap<Arc<str>, Arc<VirtualHost>>>,
    rights: RightsStore,
    alarms: watch::Sender<Alarms>,
    tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
    closed: AtomicBool,
}

/// What recovery found in the journal, until it is known what the queues are.
#[derive(Debug, Default)]
pub struct Found {
    /// The journal was not closed in order: whatever is alive may have been delivered.
    crashed: bool,
    lanes: HashMap<u64, Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    noted: Option<u64>,
    entries: Vec<Restored>,
    /// What its queue had refused and was sending on.
    refused: Vec<Restored>,
    /// What it was sent lately.
    window: Vec<Remembered>,
    unreadable: Option<String>,
}

impl Recovery for Found {
    fn clean(&mut self, clean: bool) {
        self.crashed = !clean;
    }

    fn entry(&mut self, entry: Recovered<'_>) {
        let (lane, of) = lane_of(entry.reference.lane);
        let lane = self.lanes.entry(lane).or_default();
        let found = match of {
            queue::Lane::Messages => Restored::new(&entry).map(|restored| lane.entries.push(restored)),
            queue::Lane::Refusals => Restored::new(&entry).map(|restored| lane.refused.push(restored)),
            queue::Lane::Window => Remembered::new(&entry).map(|remembered| lane.window.push(remembered)),
        };
        if let Err(error) = found {
            lane.unreadable = Some(error.to_string());
        }
    }

    fn note(&mut self, lane: u64, value: u64) {
        self.lanes.entry(lane).or_default().noted = Some(value);
    }
}

impl Broker {
    /// Opens a broker on its storage. `found` is what the journal handed over when it was opened. Blocks, and wants to be
    /// called inside a runtime: the timers are its tasks.
    ///
    /// # Errors
    /// Storage cannot be read, or holds what this version does not understand.
    pub fn open(
        options: BrokerOptions,
        journal: Arc<dyn Journal>,
        table: Arc<dyn Table>,
        found: Found,
    ) -> Result<Arc<Self>, Error> {
        let run = next_run(&*table)?;
        let rights = RightsStore::load(&*table, options.login.clone(), options.tokens.clone())?;
        let sources = options.sources.clone();
        let logs = Arc::clone(&options.logs);
        let limits = Limits {
            memory_watermark_bytes: options.memory_watermark_bytes,
            retained_bytes_max: options.retained_bytes_max,
            deduplication_entries_max: options.deduplication_entries_max,
        };
        let shared = Shared::new(journal, table, logs, sources, run, &limits);
        let broker = Arc::new(Self {
            shared,
            options,
            vhosts: RwLock::default(),
            rights,
            alarms: watch::Sender::new(Alarms::default()),
            tasks: Mutex::default(),
            closed: AtomicBool::new(false),
        });
        broker.restore(found)?;
        broker.make_vhosts()?;
        let tasks = [
            tokio::spawn(Self::run_timer(Arc::clone(&broker))),
            tokio::spawn(Self::watch_alarms(Arc::clone(&broker))),
            tokio::spawn(outbox::run(Arc::clone(&broker))),
            tokio::spawn(stream::follow(Arc::clone(&broker))),
            tokio::spawn(stream::run(Arc::clone(&broker))),
            tokio::spawn(delays::run(Arc::clone(&broker))),
            tokio::spawn(queue::scout(Arc::clone(&broker))),
            tokio::spawn(events::run(Arc::clone(&broker))),
            tokio::spawn(retained::run(Arc::clone(&broker))),
            tokio::spawn(window::run(Arc::clone(&broker))),
        ];
        broker.tasks.lock().extend(tasks);
        moves::resume(&broker);
        Ok(broker)
    }

    fn restore(&self, mut found: Found) -> Result<(), Error> {
        let names = self.shared.table.scan(VHOSTS, &[])?;
        if names.is_empty() {
            return self.make_defaults();
        }
        for (name, _) in names {
            let name = String::from_utf8(name).map_err(|error| Error::Storage(error.to_string()))?;
            self.add_vhost(&name)?;
        }
        let rows = Rows::load(&*self.shared.table)?;
        for row in rows.policies {
            self.vhost_named(&row.vhost)?.restore_policy(row.kind, row.policy);
        }
        let mut messages = 0;
        let mut logs = self.shared.streams.logs.list()?;
        for row in rows.exchanges {
            let known = Known { lane: row.lane, id: row.id, settings: row.settings };
            let exchange = self.vhost_named(&row.vhost)?.restore_exchange(&row.name, row.options, known)?;
            if let Some(lane) = row.id.and_then(|id| found.lanes.remove(&id)) {
                if let Some(error) = lane.unreadable {
                    return Err(Error::Storage(format!("what exchange '{}' remembers: {error}", row.name)));
                }
                exchange.restore_window(&self.shared, lane.window);
            }
            let Some(lane) = row.lane.and_then(|lane| found.lanes.remove(&lane)) else { continue };
            if let Some(error) = lane.unreadable {
                return Err(Error::Storage(format!("messages of exchange '{}': {error}", row.name)));
            }
            messages += lane.entries.len();
            exchange.restore(&self.shared, lane.entries, found.crashed);
        }
        for row in rows.queues {
            let queue = self.vhost_named(&row.vhost)?.restore_queue(row)?;
            let lane = found.lanes.remove(&queue.lane());
            if queue.is_stream() {
                logs.retain(|log| *log != queue.lane());
            }
            let lane = lane.unwrap_or_default();
            if let Some(error) = lane.unreadable {
                return Err(Error::Storage(format!("messages of queue '{}': {error}", queue.name())));
            }
            messages += lane.entries.len() + lane.refused.len();
            if queue.is_stream() {
                queue.restore_stream(lane.entries)?;
                continue;
            }
            let delivered_to = if found.crashed { None } else { Some(lane.noted.unwrap_or(0)) };
            queue.restore(delivered_to, lane.entries, lane.refused);
            match queue.window() {
                Some(window) => window.restore(lane.window, now_ms()),
                None => queue.forget_window(&lane.window),
            }
        }
        for row in rows.bindings {
            let kind = if row.to_queue { Kind::Queue } else { Kind::Exchange };
            let destination = (kind, row.destination.as_str());
            match self.vhost_named(&row.vhost)?.restore_binding(&row.source, destination, &row.key, &row.arguments) {
                // Its queue was declared when the disk was full, and nobody was told that it worked.
                Err(Error::NotFound(missing)) => tracing::warn!(%missing, "a binding has lost one of its ends"),
                restored => restored?,
            }
        }
        for row in rows.marks {
            let marks = self.vhost_named(&row.vhost)?.restore_marks(&row.name, row.lane);
            let lane = found.lanes.remove(&row.lane).unwrap_or_default();
            if let Some(error) = lane.unreadable {
                return Err(Error::Storage(format!("marks of '{}': {error}", row.name)));
            }
            marks.restore(lane.entries);
        }
        let mut moves: HashMap<String, Vec<_>> = HashMap::new();
        for row in rows.moves {
            moves.entry(row.vhost).or_default().push((row.task, row.until_seq));
        }
        for (vhost, tasks) in moves {
            self.vhost_named(&vhost)?.restore_moves(tasks);
        }
        for vhost in self.vhosts() {
            if let Some(lane) = found.lanes.remove(&Sleeper::lane(&**vhost.schedules())) {
                if let Some(error) = lane.unreadable {
                    return Err(Error::Storage(format!("scheduled messages of '{}': {error}", vhost.name())));
                }
                messages += lane.entries.len();
                vhost.schedules().restore(lane.entries, found.crashed);
            }
            vhost.retained_messages().restore()?;
        }
        // Streams that are gone.
        for log in logs {
            self.shared.streams.logs.delete(log)?;
        }
        // Queues that are gone, and messages that were stored for the sake of memory only.
        let mut orphans = 0;
        for (lane, Lane { entries, refused, window, noted, .. }) in found.lanes {
            let messages = entries.iter().chain(&refused).map(Restored::position);
            let positions: Vec<_> = messages.chain(window.iter().map(|one| one.position)).collect();
            orphans += positions.len();
            if !positions.is_empty() {
                self.shared.journal.settle(&positions)?;
            }
            if noted.is_some() {
                self.shared.journal.note(gantry_storage::Note { lane, value: None })?;
            }
        }
        tracing::info!(messages, orphans, "recovered");
        Ok(())
    }

    /// What a new data folder starts with.
    fn make_defaults(&self) -> Result<(), Error> {
        let options = &self.options;
        self.add_vhost(&options.default_vhost)?;
        let random = |error: getrandom::Error| Error::Storage(error.to_string());
        let tags = ["administrator"];
        let password = options.default_password.as_bytes();
        let user = User::with_password(&options.default_user, password, &tags).map_err(random)?;
        let everything = Permission::new(".*", ".*", ".*").map_err(|error| Error::Storage(error.to_string()))?;
        let vhost =
            Change::Put { space: VHOSTS, key: options.default_vhost.clone().into_bytes(), value: b"{}".to_vec() };
        let mut changes = vec![vhost];
        changes.extend(self.rights.put_user(user)?.rows);
        changes.extend(self.rights.put_permission(&options.default_user, &options.default_vhost, everything)?.rows);
        commit_blocking(&*self.shared.table, changes)
    }

    /// Makes those that have to be there and are not.
    fn make_vhosts(&self) -> Result<(), Error> {
        let user = &self.options.default_user;
        for name in &self.options.vhosts {
            if self.vhost(name).is_some() {
                continue;
            }
            self.add_vhost(name)?;
            let mut rows = vec![Change::Put { space: VHOSTS, key: name.clone().into_bytes(), value: b"{}".to_vec() }];
            if self.rights.user(user).is_some() {
                let everything =
                    Permission::new(".*", ".*", ".*").map_err(|error| Error::Storage(error.to_string()))?;
                rows.extend(self.rights.put_permission(user, name, everything)?.rows);
            }
            commit_blocking(&*self.shared.table, rows)?;
            tracing::info!(vhost = name, "made a virtual host");
        }
        Ok(())
    }

    fn add_vhost(&self, name: &str) -> Result<(), Error> {
        let name: Arc<str> = Arc::from(name);
        let is_default = *name == *self.options.default_vhost;
        let lane = self.schedules_lane(&name)?;
        let vhost = VirtualHost::new(Arc::clone(&self.shared), Arc::clone(&name), is_default, lane)?;
        vhost.restore_tracing()?;
        if is_default {
            self.shared.events.go_to(&vhost.exchange(EVENT_EXCHANGE)?);
        }
        self.vhosts.write().insert(name, vhost);
        Ok(())
    }

    /// The lane for messages of a virtual host that are published for later. Its row is on stable storage before there can be one.
    fn schedules_lane(&self, vhost: &str) -> Result<u64, Error> {
        if let Some(lane) = schedules_lane(&*self.shared.table, vhost)? {
            return Ok(lane);
        }
        let lane = self.shared.next_lane();
        commit_blocking(&*self.shared.table, vec![put_schedules(vhost, lane)?])?;
        Ok(lane)
    }

    /// The virtual host of this name.
    pub fn vhost(&self, name: &str) -> Option<Arc<VirtualHost>> {
        self.vhosts.read().get(name).cloned()
    }

    /// All virtual hosts, in no order.
    pub fn vhosts(&self) -> Vec<Arc<VirtualHost>> {
        self.vhosts.read().values().cloned().collect()
    }

    /// Whether a user has permissions in a virtual host, whichever they are.
    pub fn may_enter(&self, user: &str, vhost: &str) -> bool {
        self.rights.permission(user, vhost).is_some()
    }

    /// Keeps a row for a protocol, or removes it where there is no value. `space` is a name that the broker does not use
    /// itself. Rows take effect in the order of calls, which is also their order with what is declared, bound and deleted: what
    /// is called for later is not on stable storage earlier.
    pub fn keep_row(&self, space: &'static str, key: Vec<u8>, value: Option<Vec<u8>>) -> Pending {
        debug_assert!(
            !SPACES.contains(&space) && ![VHOSTS, META, RETAINED].contains(&space),
            "{space} is the broker's own"
        );
        let change = match value {
            Some(value) => Change::Put { space, key, value },
            None => Change::Delete { space, key },
        };
        Pending::commit(&*self.shared.table, vec![change])
    }

    /// Every row of a space that a protocol keeps, in the order of their keys. Blocks on the disk.
    ///
    /// # Errors
    /// The table cannot be read.
    pub fn kept_rows(&self, space: &'static str) -> Result<Vec<gantry_storage::table::Row>, Error> {
        Ok(self.shared.table.scan(space, &[])?)
    }

    fn vhost_named(&self, name: &str) -> Result<Arc<VirtualHost>, Error> {
        let resource = || Resource { kind: Kind::VirtualHost, name: Arc::from(name), vhost: Arc::from(name) };
        self.vhosts.read().get(name).cloned().ok_or_else(|| Error::NotFound(resource()))
    }

    /// The virtual host that a queue is in.
    pub(crate) fn vhost_of(&self, queue: &Queue) -> Option<Arc<VirtualHost>> {
        self.vhosts.read().get(queue.vhost()).cloned()
    }

    /// A number that changes when anything is declared, bound or deleted.
    pub(crate) fn topology_epoch(&self) -> u64 {
        self.vhosts.read().values().fold(0, |sum, vhost| sum.wrapping_add(vhost.epoch()))
    }

    /// Tells of something that happened, if anybody hears of it; see [`events`]. What happens to queues, exchanges and bindings
    /// is told already.
    pub fn tell(&self, event: &'static str, headers: impl FnOnce(&mut crate::value::Table)) {
        self.shared.events.tell(event, headers);
    }

    pub(crate) fn vhost_by_name(&self, name: &str) -> Option<Arc<VirtualHost>> {
        self.vhosts.read().get(name).cloned()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn rights(&self) -> &RightsStore {
        &self.rights
    }

    /// Lets a user in by name and password, or by a signed token in place of the password: then the name may be empty.
    ///
    /// # Errors
    /// Why not; a client is told no more than that it was refused.
    pub fn log_in(&self, name: &str, secret: &[u8], peer_is_loopback: bool) -> Result<Authenticated, Denied> {
        self.rights.log_in(name, secret, peer_is_loopback, now_ms())
    }

    /// Lets a user in by name and password, and by nothing else.
    ///
    /// # Errors
    /// Why not; a client is told no more than that it was refused.
    pub fn authenticate(&self, name: &str, password: &[u8], peer_is_loopback: bool) -> Result<Arc<User>, Denied> {
        self.rights.authenticate(name, password, peer_is_loopback)
    }

    /// Lets a user in whom a certificate has vouched for.
    ///
    /// # Errors
    /// As [`Broker::authenticate`].
    pub fn admit(&self, name: &str, peer_is_loopback: bool) -> Result<Arc<User>, Denied> {
        self.rights.admit(name, peer_is_loopback)
    }

    /// Opens a session in a virtual host.
    ///
    /// # Errors
    /// There is none of this name, or the user has no permission in it.
    pub fn open_session(self: &Arc<Self>, user: Arc<User>, vhost: &str) -> Result<Session, OpenRefused> {
        let Some(found) = self.vhosts.read().get(vhost).cloned() else {
            return Err(OpenRefused::NotFound(vhost.to_owned()));
        };
        let refused = || OpenRefused::Refused { vhost: vhost.to_owned(), user: user.name.clone() };
        // Watched before it is asked what it may do: one that goes in between is heard of.
        let deletion = self.rights.watch_user(&user.name).ok_or_else(refused)?;
        self.rights.permission(&user.name, vhost).ok_or_else(refused)?;
        Ok(Session::new(Arc::clone(self), found, user, deletion))
    }

    /// Reads the messages among `items` that are not in memory. What cannot be read any more is taken out; the tokens of
    /// such deliveries that wanted an outcome, whose share of a [`SharedCredit`](crate::SharedCredit) has to be given back.
    pub async fn load(&self, items: &mut Vec<Item>) -> Vec<u64> {
        load::load(&self.shared, items).await
    }

    /// Everything so far: once [`Broker::durable`] has reached this, whatever has happened before the call is on stable storage
    /// as far as it is stored at all.
    pub fn appended(&self) -> Ticket {
        self.shared.journal.appended()
    }

    /// Everything up to this ticket is on stable storage.
    pub fn durable(&self) -> Ticket {
        self.shared.journal.durable()
    }

    /// Changes once per sync, to the same value as [`Broker::durable`].
    pub fn watch_durable(&self) -> watch::Receiver<Ticket> {
        self.shared.journal.watch()
    }

    /// So much waits for the disk that publishers should wait until the watermark moves.
    pub fn backlog_is_high(&self) -> bool {
        self.shared.journal.backlog_bytes() > self.options.backlog_bytes_max
    }

    /// Messages take more memory than they may, right now; [`Broker::alarms`] follows within a moment.
    pub fn memory_is_high(&self) -> bool {
        resident_bytes().saturating_add(self.shared.outbox.bytes()) > self.options.memory_limit_bytes
    }

    /// What publishers have to wait for.
    pub fn alarms(&self) -> watch::Receiver<Alarms> {
        self.alarms.subscribe()
    }

    /// Messages that came to direct queues when their connections had no room, since the start.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Counts of everything. Takes each queue's lock for a moment.
    pub fn totals(&self) -> Totals {
        let mut totals =
            Totals { resident_bytes: resident_bytes(), journal: self.shared.journal.usage(), ..Totals::default() };
        totals.dropped = self.shared.dropped.load(Ordering::Relaxed);
        totals.remembered = self.shared.window_room.taken();
        totals.retained_bytes = self.shared.retained.bytes();
        let vhosts: Vec<_> = self.vhosts.read().values().cloned().collect();
        for vhost in vhosts {
            totals.vhosts += 1;
            let (exchanges, queues) = vhost.counts();
            totals.exchanges += exchanges;
            totals.queues += queues;
            totals.retained += vhost.retained_count();
            for queue in vhost.queues() {
                totals.messages.add(&queue.status());
            }
        }
        totals
    }

    async fn run_timer(self: Arc<Self>) {
        loop {
            for queue in self.shared.timer.due().await {
                if queue.tick()
                    && let Some(vhost) = self.vhost_of(&queue)
                {
                    vhost.drop_queue(&queue);
                }
            }
            // A queue with a million expired messages is due again and again.
            tokio::task::yield_now().await;
        }
    }

    async fn watch_alarms(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(ALARM_PERIOD);
        loop {
            ticks.tick().await;
            let now = Alarms { memory: self.memory_is_high(), disk: self.shared.journal.usage().full };
            self.alarms.send_if_modified(|alarms| {
                let changed = *alarms != now;
                if changed {
                    tracing::warn!(memory = now.memory, disk = now.disk, "alarms changed");
                    self.tell_alarm("memory", alarms.memory, now.memory);
                    self.tell_alarm("disk", alarms.disk, now.disk);
                    *alarms = now;
                }
                changed
            });
        }
    }

    fn tell_alarm(&self, source: &'static str, before: bool, now: bool) {
        if before != now {
            self.tell(if now { "alarm.set" } else { "alarm.cleared" }, |said| said.push("source", source));
        }
    }

    /// From here on connections go because the broker stops: queues are not deleted for it.
    pub fn start_closing(&self) {
        self.shared.set_closing();
    }

    /// Writes down what an orderly stop leaves behind, and closes storage. Blocks. Nothing may use the broker afterwards.
    ///
    /// # Errors
    /// Storage failed.
    pub fn close(&self) -> Result<(), Error> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        // Nobody starts anything any more.
        self.shared.set_closing();
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
        outbox::drain(self);
        self.shared.streams.drain(&self.shared);
        for vhost in self.vhosts.read().values() {
            for queue in vhost.queues() {
                queue.note_delivered();
            }
            vhost.retained_messages().flush();
        }
        self.shared.journal.close()?;
        self.shared.table.close()?;
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.shared.streams.abandon();
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").finish_non_exhaustive()
    }
}

pub(crate) fn commit_blocking(table: &dyn Table, changes: Vec<Change>) -> Result<(), Error> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    table.commit(
        changes,
        Box::new(move |result| {
            let _ = sender.send(result);
        }),
    );
    match receiver.recv() {
        Ok(result) => Ok(result?),
        Err(_) => Err(Error::Storage("the table was closed".to_owned())),
    }
}

/// The number of this run of the process on this data folder. Lanes begin with it, so that no queue ever gets the lane of
/// another one, whose messages may still be in the journal.
///
/// # Errors
/// The folder was last used by a version that writes it in another way.
fn next_run(table: &dyn Table) -> Result<u32, Error> {
    let number = |key| -> Result<Option<u32>, Error> {
        let Some(value) = table.get(META, key)? else { return Ok(None) };
        let bytes: [u8; 4] =
            value.try_into().map_err(|_| Error::Storage("a number in the table is damaged".to_owned()))?;
        Ok(Some(u32::from_be_bytes(bytes)))
    };
    let last = number(RUN)?;
    // The first format did not say so.
    let format = number(FORMAT)?.unwrap_or(1);
    if last.is_some() && !(FORMAT_VERSION_MIN..=FORMAT_VERSION).contains(&format) {
        return Err(Error::Storage(format!(
            "the data folder has format {format}, and this version reads formats {FORMAT_VERSION_MIN} to {FORMAT_VERSION}"
        )));
    }
    let run = last.unwrap_or(0) + 1;
    let put =
        |key: &[u8], value: u32| Change::Put { space: META, key: key.to_vec(), value: value.to_be_bytes().to_vec() };
    commit_blocking(table, vec![put(RUN, run), put(FORMAT, FORMAT_VERSION)])?;
    Ok(run)
}
