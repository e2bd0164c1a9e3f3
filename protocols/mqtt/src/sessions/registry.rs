//! Sessions by virtual host and client id: opening, taking over, and what is due.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use gantry_broker::message::now_ms;
use gantry_broker::{Broker, Error, Message, Pending, VirtualHost};
use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::agenda::Agenda;
use super::groups::Groups;
use super::held::Held;
use super::kept::{Kept, Owner};
use super::place::{Id, Inner, Place, Signals};
use super::{EXPIRY_NEVER, OpenError, OpenRequest, Opened, SessionSettings, queues, rows, wills};
use crate::sys::{self, System};

/// How long a session is without a connection before its row says since when. Most clients are back by then, and have cost the
/// disk nothing.
const NOTE_AFTER_MS: u64 = 10_000;

/// Parts of the registry, each with a lock of its own.
const SHARDS: usize = 64;

type Places = HashMap<Id, Arc<Place>>;

/// All sessions.
pub(crate) struct Sessions {
    pub(super) broker: Arc<Broker>,
    pub(super) settings: SessionSettings,
    shards: Box<[Mutex<Places>]>,
    hasher: DefaultHashBuilder,
    places: AtomicUsize,
    pub(super) agenda: Arc<Agenda>,
    pub(super) groups: Groups,
    pub(super) numbers: Numbers,
    system: System,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What is counted of all sessions.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    pub(super) connected: AtomicUsize,
    /// Sessions that have ended because nobody came for them in time.
    pub(super) expired: AtomicUsize,
    pub(super) subscriptions: AtomicUsize,
    pub(super) shared_subscriptions: AtomicUsize,
    /// Subscriptions to the tree of the broker's own numbers.
    pub(super) system: AtomicUsize,
}

/// Counts of sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionCounts {
    /// All of them.
    pub(crate) sessions: usize,
    /// Those that have a connection.
    pub(crate) connected: usize,
    /// Those that have ended because nobody came for them in time, since the start.
    pub(crate) expired: usize,
    /// Subscriptions of all sessions, the shared ones included.
    pub(crate) subscriptions: usize,
    /// Of those, the shared ones.
    pub(crate) shared_subscriptions: usize,
    /// Groups that share a filter.
    pub(crate) groups: usize,
}

impl Sessions {
    /// The sessions of a broker: those that there were before a restart are there again, and what a crash has left half done is
    /// mended. Blocks on the disk, and wants to be called inside a runtime: what is due is looked after by tasks.
    ///
    /// # Errors
    /// Storage cannot be read, or holds what this version does not understand.
    pub(crate) fn new(broker: Arc<Broker>, settings: SessionSettings) -> Result<Arc<Self>, Error> {
        let system = System::new(Arc::clone(&settings.stats));
        let sessions = Arc::new(Self {
            broker,
            settings,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: DefaultHashBuilder::default(),
            places: AtomicUsize::new(0),
            agenda: Arc::default(),
            groups: Groups::default(),
            numbers: Numbers::default(),
            system,
            tasks: Mutex::default(),
        });
        sessions.restore()?;
        sessions.start();
        Ok(sessions)
    }

    /// Starts the one task that looks after sessions nobody holds, and the one that tells the broker's numbers.
    fn start(self: &Arc<Self>) {
        let looking = tokio::spawn(run(Arc::downgrade(self), Arc::clone(&self.agenda)));
        let telling = tokio::spawn(sys::run(Arc::downgrade(self), self.settings.system_interval));
        self.tasks.lock().extend([looking, telling]);
    }

    fn stop_tasks(&self) {
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
    }

    /// The broker.
    pub(crate) fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// The broker's numbers.
    pub(crate) fn system(&self) -> &System {
        &self.system
    }

    /// Whether any session has subscribed to the broker's numbers.
    pub(crate) fn hears_system(&self) -> bool {
        self.numbers.system.load(Ordering::Relaxed) > 0
    }

    /// The broker's numbers, now, as far as a filter matches.
    pub(super) fn system_snapshot(&self, filter: &str) -> Vec<Arc<Message>> {
        self.system.snapshot(&self.broker, &self.counts(), filter)
    }

    /// Writes down what a restart has to know, and stops looking after sessions. For an orderly stop, once the connections are
    /// gone.
    pub(crate) fn stop(&self) {
        self.stop_tasks();
        for shard in &self.shards {
            let places: Vec<_> = shard.lock().values().cloned().collect();
            for place in places {
                let mut inner = place.inner.lock();
                if let Some(kept) = &mut inner.kept {
                    self.write_unawaited(&place.id, kept);
                }
            }
        }
    }

    /// Counts of sessions.
    pub(crate) fn counts(&self) -> SessionCounts {
        let load = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        SessionCounts {
            sessions: load(&self.places),
            connected: load(&self.numbers.connected),
            expired: load(&self.numbers.expired),
            subscriptions: load(&self.numbers.subscriptions),
            shared_subscriptions: load(&self.numbers.shared_subscriptions),
            groups: self.groups.len(),
        }
    }

    fn shard(&self, id: &Id) -> &Mutex<Places> {
        &self.shards[self.hasher.hash_one(id) as usize % SHARDS]
    }

    /// The place of a session, made where there is none.
    pub(super) fn place(&self, id: &Id) -> Result<Arc<Place>, Error> {
        let mut shard = self.shard(id).lock();
        if let Some(place) = shard.get(id) {
            return Ok(Arc::clone(place));
        }
        let limit = self.settings.sessions_max;
        let counted = self.places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < limit).then_some(n + 1));
        if counted.is_err() {
            return Err(Error::LimitReached { what: "the limit of MQTT sessions", limit: limit as u64 });
        }
        let place = Place::new(id.clone());
        shard.insert(id.clone(), Arc::clone(&place));
        Ok(place)
    }

    /// The place of a session that was there before a restart, however many there may be now.
    pub(super) fn place_restored(&self, id: &Id) -> Arc<Place> {
        let mut shard = self.shard(id).lock();
        Arc::clone(shard.entry(id.clone()).or_insert_with(|| {
            self.places.fetch_add(1, Ordering::Relaxed);
            Place::new(id.clone())
        }))
    }

    /// Takes a place out of the registry if nobody needs it any more.
    pub(super) fn tidy(&self, place: &Arc<Place>) {
        let mut shard = self.shard(&place.id).lock();
        let mut inner = place.inner.lock();
        if inner.is_empty() && !inner.gone {
            inner.gone = true;
            shard.remove(&place.id);
            self.places.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Ends the connection that has this session, waits until it has let go, and resumes the session or makes a new one. Of
    /// many connections that ask at once the last one gets it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(crate) async fn open(
        self: &Arc<Self>,
        vhost: &Arc<VirtualHost>,
        request: OpenRequest<'_>,
    ) -> Result<Opened, OpenError> {
        if let Some(will) = &request.will {
            wills::check(request.session, &self.settings.exchange, request.client_id, will)?;
        }
        let id = Id { vhost: Arc::clone(vhost.name()), client: Arc::from(request.client_id) };
        let (place, signals, previous) = self.take(&id).await?;
        let now_ms = now_ms();
        let user = Owner::Known(Arc::clone(request.session.user()));
        let is_over = |kept: &Kept| kept.over_ms().is_some_and(|over_ms| over_ms <= now_ms);
        let previous = match previous {
            // What waits in the session of another user came by rights that this one need not have.
            Some(kept) if request.clean_start || is_over(&kept) || kept.user.name() != user.name() => {
                self.end(vhost, &id, *kept);
                None
            }
            previous => previous,
        };
        let present = previous.is_some();
        let expiry_s = request.expiry_s.min(self.settings.expiry_s_max);
        let mut kept = previous.unwrap_or_else(|| Box::new(Kept::new(user.clone(), expiry_s)));
        kept.user = user;
        kept.expiry_s = expiry_s;
        kept.disconnected_ms = None;
        kept.will = request.will.clone().map(Box::new);
        // From here on whatever ends this gives the session back.
        let mut held = Held::new(self, place, signals, vhost, &request, kept);
        let written = held.write_row()?;
        held.prepare().await?;
        if let Err(error) = written.wait().await {
            held.forget_written();
            return Err(error.into());
        }
        held.set_open();
        Ok(Opened { held, present, expiry_s })
    }

    /// Waits for the turn of this connection and takes the session, if there is one.
    async fn take(self: &Arc<Self>, id: &Id) -> Result<Taken, OpenError> {
        loop {
            let place = self.place(id)?;
            // It may just have gone; then there is another one.
            let Some(waiting) = Waiting::new(self, &place) else { continue };
            let mut deadline = Instant::now() + self.settings.take_over_wait;
            let mut cut = false;
            loop {
                let changed = place.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                {
                    let mut inner = place.inner.lock();
                    if inner.turn != waiting.turn {
                        return Err(OpenError::TakenOver);
                    }
                    if inner.holder.is_none() {
                        let signals = Arc::new(Signals::default());
                        inner.holder = Some(Arc::clone(&signals));
                        self.agenda.put(&place, &mut inner, None);
                        let kept = inner.kept.take();
                        drop(inner);
                        return Ok((Arc::clone(&place), signals, kept));
                    }
                }
                if timeout_at(deadline, changed).await.is_err() {
                    if cut {
                        return Err(OpenError::Busy);
                    }
                    cut = true;
                    deadline += self.settings.take_over_wait;
                    if let Some(holder) = &place.inner.lock().holder {
                        holder.want_at_once();
                    }
                }
            }
        }
    }

    /// Puts a session back where others find it, or its absence.
    pub(super) fn give_back(self: &Arc<Self>, place: &Arc<Place>, kept: Option<Box<Kept>>) {
        {
            let mut inner = place.inner.lock();
            inner.holder = None;
            inner.kept = kept;
            self.note_due(place, &mut inner);
        }
        place.changed.notify_waiters();
        self.tidy(place);
    }

    /// Has the session looked at when something of it is due.
    pub(super) fn note_due(&self, place: &Arc<Place>, inner: &mut Inner) {
        let due_ms = inner.kept.as_ref().and_then(|kept| {
            // Only where the row has something to say.
            let says = kept.survives && (kept.expiry_s != EXPIRY_NEVER || kept.will.is_some()) && !kept.noted;
            let note_ms = kept.disconnected_ms.filter(|_| says).map(|ms| ms.saturating_add(NOTE_AFTER_MS));
            [kept.over_ms(), kept.will_due_ms(), note_ms].into_iter().flatten().min()
        });
        self.agenda.put(place, inner, due_ms);
    }

    /// Does what is due of a session that nobody holds.
    fn look_at(self: &Arc<Self>, place: &Arc<Place>) {
        let mut kept = {
            let mut inner = place.inner.lock();
            inner.noted = None;
            if inner.holder.is_some() {
                return;
            }
            let Some(kept) = inner.kept.take() else { return };
            // Whoever comes for it waits for a moment.
            inner.holder = Some(Arc::default());
            kept
        };
        let Some(vhost) = self.broker.vhost(&place.id.vhost) else {
            return self.give_back(place, Some(kept));
        };
        let now_ms = now_ms();
        if kept.over_ms().is_some_and(|over_ms| over_ms <= now_ms) {
            self.numbers.expired.fetch_add(1, Ordering::Relaxed);
            self.end(&vhost, &place.id, *kept);
            return self.give_back(place, None);
        }
        if kept.will_due_ms().is_some_and(|due_ms| due_ms <= now_ms)
            && let Some(will) = kept.will.take()
        {
            self.publish_will(&vhost, &place.id, &kept.user, &will);
        }
        self.write_unawaited(&place.id, &mut kept);
        self.give_back(place, Some(kept));
    }

    /// Ends a session for good: its will is published if it is still to be, and everything that belongs to it goes.
    pub(super) fn end(&self, vhost: &Arc<VirtualHost>, id: &Id, mut kept: Kept) {
        if let Some(will) = kept.will.take() {
            self.publish_will(vhost, id, &kept.user, &will);
        }
        let mut row = kept.row(id);
        row.will = None;
        row.ending = true;
        let rows = kept.survives.then(|| row.encode());
        if let Some(Ok((key, value))) = &rows {
            self.unawaited(self.broker.keep_row(rows::SESSIONS, key.clone(), Some(value.clone())));
        }
        kept.release_begun();
        queues::end_all(self, vhost, id, &kept);
        if kept.survives {
            for subscription in kept.subscriptions.iter() {
                let (group, filter) = (subscription.group.as_deref(), &*subscription.filter);
                let key = rows::subscription_key(&id.vhost, &id.client, group, filter);
                self.unawaited(self.broker.keep_row(rows::SUBSCRIPTIONS, key, None));
            }
            let key = rows::session_key(&id.vhost, &id.client);
            self.unawaited(self.broker.keep_row(rows::SESSIONS, key, None));
        }
        for subscription in kept.subscriptions.iter() {
            self.numbers.remove(subscription);
        }
    }

    /// Writes the row of a session that nobody waits for.
    pub(super) fn write_unawaited(&self, id: &Id, kept: &mut Kept) {
        match kept.write(&self.broker, id) {
            Ok(pending) => self.unawaited(pending),
            Err(error) => tracing::error!(client = &*id.client, %error, "the row of a session could not be written"),
        }
    }

    /// A change that nobody waits for: what a full disk does not take is the state of before after a restart, and mended there.
    pub(super) fn unawaited(&self, pending: Pending) {
        drop(pending);
    }
}

impl Numbers {
    pub(super) fn add(&self, subscription: &crate::subscriptions::Subscription) {
        self.count(subscription, |number| _ = number.fetch_add(1, Ordering::Relaxed));
    }

    pub(super) fn remove(&self, subscription: &crate::subscriptions::Subscription) {
        self.count(subscription, |number| _ = number.fetch_sub(1, Ordering::Relaxed));
    }

    fn count(&self, subscription: &crate::subscriptions::Subscription, change: impl Fn(&AtomicUsize)) {
        change(&self.subscriptions);
        if subscription.group.is_some() {
            change(&self.shared_subscriptions);
        }
        if queues::is_system(&subscription.filter) {
            change(&self.system);
        }
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        self.stop_tasks();
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

type Taken = (Arc<Place>, Arc<Signals>, Option<Box<Kept>>);

/// A connection that waits for a session.
struct Waiting<'a> {
    sessions: &'a Sessions,
    place: &'a Arc<Place>,
    turn: u64,
}

impl<'a> Waiting<'a> {
    /// None where the place has gone out of the registry.
    fn new(sessions: &'a Sessions, place: &'a Arc<Place>) -> Option<Self> {
        let (turn, holder) = {
            let mut inner = place.inner.lock();
            if inner.gone {
                return None;
            }
            inner.turn += 1;
            inner.waiting += 1;
            (inner.turn, inner.holder.clone())
        };
        if let Some(holder) = holder {
            holder.want();
        }
        // Those that came before have waited in vain.
        place.changed.notify_waiters();
        Some(Self { sessions, place, turn })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.place.inner.lock().waiting -= 1;
        self.sessions.tidy(self.place);
    }
}

/// Looks after sessions that nobody holds, as long as there are any sessions.
async fn run(sessions: Weak<Sessions>, agenda: Arc<Agenda>) {
    loop {
        let due = agenda.due().await;
        let Some(sessions) = sessions.upgrade() else { return };
        for place in due {
            sessions.look_at(&place);
        }
        drop(sessions);
        tokio::task::yield_now().await;
    }
}
