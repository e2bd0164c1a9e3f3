//! What the broker says of itself, as topics below `$SYS/broker/`, named as Mosquitto names them.
//!
//! The numbers are looked at once an interval, and only what has changed is published, to an exchange of their own: who
//! consumes `#` by another protocol does not get them. Nothing is published while nobody has subscribed. Whoever subscribes is
//! sent all of them as retained messages, as they are at that moment.
//!
//! Loads are what happens in a minute, averaged over 1, 5 and 15 minutes as the load of a Unix system is: each interval's rate goes
//! into the average, and what was before fades.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gantry_broker::message::now_ms;
use gantry_broker::{Address, Broker, Message, RouteCache, Wakes};
use parking_lot::Mutex;

use crate::codec::packet::{QoS, Version};
use crate::convert::{self, Published};
use crate::sessions::{SYSTEM_EXCHANGE, SessionCounts, Sessions};
use crate::stats::Stats;
use crate::topics;

/// So old may numbers be that somebody is sent who subscribes: a client that subscribes again and again does not have them
/// all looked at again.
const FRESH: Duration = Duration::from_secs(1);

/// What is told of how often something happens. Names are those of topics below `$SYS/broker/load/`.
const LOADS: [&str; 9] = [
    "messages/received",
    "messages/sent",
    "publish/dropped",
    "publish/received",
    "publish/sent",
    "bytes/received",
    "bytes/sent",
    "sockets",
    "connections",
];

/// Where what was dropped stands among them.
const DROPPED: usize = 2;

/// Minutes that a load is averaged over.
const SPANS_MIN: [u32; 3] = [1, 5, 15];

/// The broker's numbers.
#[derive(Debug)]
pub(crate) struct System {
    stats: Arc<Stats>,
    exchange: Arc<str>,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When loads were looked at last, and what had happened until then.
    at: Instant,
    before: [u64; LOADS.len()],
    loads: [[f64; SPANS_MIN.len()]; LOADS.len()],
    clients_max: usize,
    resident_max: u64,
    /// What was said last on each topic.
    told: HashMap<String, String>,
    fresh: Option<(Instant, Arc<Values>)>,
}

/// Topics and what they say.
type Values = Vec<(String, String)>;

impl System {
    pub(crate) fn new(stats: Arc<Stats>) -> Self {
        let now = Instant::now();
        let state = State {
            at: now,
            before: [0; LOADS.len()],
            loads: Default::default(),
            clients_max: 0,
            resident_max: 0,
            told: HashMap::new(),
            fresh: None,
        };
        Self { stats, exchange: Arc::from(SYSTEM_EXCHANGE), began: now, state: Mutex::new(state) }
    }

    /// What there is to say now on topics that match a filter.
    pub(crate) fn snapshot(&self, broker: &Broker, counts: &SessionCounts, filter: &str) -> Vec<Arc<Message>> {
        let values = self.values(broker, counts, FRESH);
        let matching = values.iter().filter(|(topic, _)| topics::matches(filter, topic));
        matching.map(|(topic, value)| self.message(topic, value)).collect()
    }

    /// Takes note of what has happened since the last time.
    pub(crate) fn tick(&self, dropped: u64, now: Instant) {
        let counters = self.counters(dropped);
        let mut state = self.state.lock();
        let state = &mut *state;
        let seconds = now.saturating_duration_since(state.at).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        for ((counter, before), load) in counters.iter().zip(&mut state.before).zip(&mut state.loads) {
            let per_minute = counter.saturating_sub(*before) as f64 * 60.0 / seconds;
            *before = *counter;
            for (average, span_min) in load.iter_mut().zip(SPANS_MIN) {
                let fades = (-seconds / (60.0 * f64::from(span_min))).exp();
                *average = per_minute + fades * (*average - per_minute);
            }
        }
        state.at = now;
    }

    /// In the order of [`LOADS`].
    fn counters(&self, dropped: u64) -> [u64; LOADS.len()] {
        let stats = &self.stats;
        let mut counters = [
            &stats.packets_received,
            &stats.packets_sent,
            &stats.dropped_too_large,
            &stats.published,
            &stats.delivered,
            &stats.bytes_received,
            &stats.bytes_sent,
            &stats.connections,
            &stats.connections,
        ]
        .map(|counter| counter.load(Ordering::Relaxed));
        counters[DROPPED] += dropped;
        counters
    }

    /// Everything there is to say, no older than this.
    fn values(&self, broker: &Broker, counts: &SessionCounts, age: Duration) -> Arc<Values> {
        if let Some((at, values)) = &self.state.lock().fresh
            && at.elapsed() < age
        {
            return Arc::clone(values);
        }
        // Each queue's lock is taken for a moment: not under this one.
        let totals = broker.totals();
        let resident = resident_bytes();
        let mut state = self.state.lock();
        let values = Arc::new(self.say(&mut state, &totals, counts, resident));
        state.fresh = Some((Instant::now(), Arc::clone(&values)));
        values
    }

    fn say(
        &self,
        state: &mut State,
        totals: &gantry_broker::Totals,
        counts: &SessionCounts,
        resident: Option<u64>,
    ) -> Values {
        let stats = &self.stats;
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed).to_string();
        let mut values = Values::new();
        let mut say = |topic: &str, value: String| values.push((format!("$SYS/broker/{topic}"), value));
        say("version", concat!("gantry version ", env!("CARGO_PKG_VERSION")).to_owned());
        say("uptime", format!("{} seconds", self.began.elapsed().as_secs()));

        let away = counts.sessions.saturating_sub(counts.connected);
        state.clients_max = state.clients_max.max(counts.connected);
        say("clients/total", counts.sessions.to_string());
        say("clients/connected", counts.connected.to_string());
        say("clients/active", counts.connected.to_string());
        say("clients/disconnected", away.to_string());
        say("clients/inactive", away.to_string());
        say("clients/maximum", state.clients_max.to_string());
        say("clients/expired", counts.expired.to_string());
        say("subscriptions/count", counts.subscriptions.to_string());
        say("shared_subscriptions/count", counts.groups.to_string());

        say("messages/received", load(&stats.packets_received));
        say("messages/sent", load(&stats.packets_sent));
        say("bytes/received", load(&stats.bytes_received));
        say("bytes/sent", load(&stats.bytes_sent));
        let dropped = stats.dropped_too_large.load(Ordering::Relaxed) + totals.dropped;
        say("publish/messages/received", load(&stats.published));
        say("publish/messages/sent", load(&stats.delivered));
        say("publish/messages/dropped", dropped.to_string());
        say("publish/bytes/received", load(&stats.payload_bytes_received));
        say("publish/bytes/sent", load(&stats.payload_bytes_sent));

        let held = totals.messages.ready + totals.messages.unacked;
        say("messages/stored", (held + totals.retained).to_string());
        say("store/messages/count", (held + totals.retained).to_string());
        let held_bytes = totals.messages.ready_bytes + totals.messages.unacked_bytes;
        say("store/messages/bytes", (held_bytes + totals.retained_bytes as u64).to_string());
        say("retained messages/count", totals.retained.to_string());
        if let Some(resident) = resident {
            state.resident_max = state.resident_max.max(resident);
            say("heap/current", resident.to_string());
            say("heap/maximum", state.resident_max.to_string());
        }
        for (name, averages) in LOADS.iter().zip(&state.loads) {
            for (average, span_min) in averages.iter().zip(SPANS_MIN) {
                say(&format!("load/{name}/{span_min}min"), format!("{average:.2}"));
            }
        }
        values
    }

    fn message(&self, topic: &str, value: &str) -> Arc<Message> {
        let routing_key = Bytes::copy_from_slice(&topics::key(topic));
        let address = Arc::new(Address { exchange: Arc::clone(&self.exchange), routing_key });
        let published = Published {
            version: Version::V311,
            // Whoever is away does not want the numbers of then.
            qos: QoS::AtMostOnce,
            retain: true,
            dup: false,
            publisher: 0,
            expiry_s: None,
            application: &[],
            payload: value.as_bytes(),
        };
        convert::message(address, &published)
    }

    /// Publishes what is not as it was said last.
    pub(crate) fn publish(&self, broker: &Broker, counts: &SessionCounts) {
        let values = self.values(broker, counts, Duration::ZERO);
        let mut changed = Vec::new();
        {
            let mut state = self.state.lock();
            for (topic, value) in values.iter() {
                match state.told.get_mut(topic) {
                    Some(told) if told == value => continue,
                    Some(told) => told.clone_from(value),
                    None => _ = state.told.insert(topic.clone(), value.clone()),
                }
                changed.push(self.message(topic, value));
            }
        }
        let (mut wakes, now_ms) = (Wakes::new(), now_ms());
        for vhost in broker.vhosts() {
            let mut cache = RouteCache::default();
            for message in &changed {
                match vhost.publish_internally(&mut cache, message, now_ms, &mut wakes) {
                    Ok(_) => {}
                    // Nobody has subscribed in this one.
                    Err(gantry_broker::Error::NotFound(_)) => break,
                    Err(error) => return tracing::warn!(%error, "the broker's numbers were not published"),
                }
            }
        }
    }

    /// Forgets what was said: whoever listens next hears everything.
    fn forget(&self) {
        self.state.lock().told.clear();
    }
}

/// Publishes the broker's numbers once an interval, as long as there are sessions.
pub(crate) async fn run(sessions: Weak<Sessions>, interval: Duration) {
    let mut ticks = tokio::time::interval(interval.max(Duration::from_secs(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(sessions) = sessions.upgrade() else { return };
        let system = sessions.system();
        system.tick(sessions.broker().dropped(), Instant::now());
        if sessions.hears_system() {
            system.publish(sessions.broker(), &sessions.counts());
        } else {
            system.forget();
        }
    }
}

/// Memory of the process, in bytes, where the operating system tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}
