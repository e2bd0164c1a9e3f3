//! Producers and consumers at full speed, one thread a connection, watched from outside.
//!
//! Between two moments (after the warm-up, and at the end) the messages that reached the consumers, the processor time of
//! the server and that of this program are compared.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::publish::Producer;
use crate::amqp::frame::{self, Publish};
use crate::amqp::scan::Deliveries;
use crate::amqp::{Connection, LOOK_UP};
use crate::error::{Fallible, fail};
use crate::peer::Running;
use crate::process::own_cpu;
use crate::table::{Better, Figure, Target};

/// How long consumers may take to get what is left when the producers have stopped.
const DRAIN_PATIENCE: Duration = Duration::from_secs(120);
/// Messages a consumer may hold.
const PREFETCH: u16 = 1_000;
/// Consumers acknowledge at least this many at once.
const ACK_EVERY: u64 = 100;

/// What is sent.
pub(crate) struct Traffic<'a> {
    /// One producer and one consumer for each.
    pub(crate) ways: &'a [Way],
    /// Size of each body.
    pub(crate) body_bytes: usize,
    /// How it is sent.
    pub(crate) manner: Manner,
    /// Not measured.
    pub(crate) warm_up: Duration,
    /// The longest measured time.
    pub(crate) measured: Duration,
    /// The measured time ends early with this many messages.
    pub(crate) messages_max: u64,
}

/// From a producer to a consumer.
pub(crate) struct Way {
    /// The producer's routing key, on the default exchange.
    pub(crate) key: String,
    /// The consumer's queue.
    pub(crate) queue: String,
    /// The messages have so many priorities by turns, from 0; none where it is 0.
    pub(crate) priorities: u8,
}

impl Way {
    /// Through one queue.
    pub(crate) fn through(queue: &str) -> Self {
        Self { key: queue.to_owned(), queue: queue.to_owned(), priorities: 0 }
    }

    fn publish(&self, body_bytes: usize, persistent: bool) -> Publish {
        let priorities: Vec<Option<u8>> =
            if self.priorities == 0 { vec![None] } else { (0..self.priorities).map(Some).collect() };
        let messages: Vec<Vec<u8>> = priorities
            .into_iter()
            .map(|priority| {
                let manner = frame::Manner { persistent, priority, headers: None };
                frame::message("", &self.key, body_bytes, manner)
            })
            .collect();
        Publish::of(&messages, body_bytes)
    }
}

/// How messages are sent and taken.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    /// Persistent to durable queues, at most `window` unconfirmed, acknowledged in ranges.
    Confirmed {
        /// Publishes under way for each producer.
        window: u64,
    },
    /// Transient to transient queues, taken without acknowledgement.
    Automatic {
        /// How far a producer may be ahead of its consumer, so that the queue does not grow.
        ahead_max: u64,
    },
}

/// What was seen.
pub(crate) struct Seen {
    /// Messages a second that reached consumers.
    pub(crate) rate: f64,
    /// Server processor time for each, in microseconds.
    pub(crate) server_micros: f64,
    /// This program's processor time for each, in microseconds.
    pub(crate) client_micros: f64,
    /// Bytes that the server sent to the disk for each.
    pub(crate) disk_bytes: f64,
    /// The server's memory at the end.
    pub(crate) resident_bytes: u64,
    /// Messages that were sent and not yet taken at the end.
    waiting: u64,
    /// Messages that were taken in the measured time.
    taken: u64,
}

impl Seen {
    /// As rows of the table.
    pub(crate) fn figures(&self, rate_ratio: f64, cpu_ratio: f64) -> Vec<Figure> {
        vec![
            Figure::new("throughput", "messages/s", self.rate, Better::Higher).target(Target::Ratio(rate_ratio)),
            Figure::new("server CPU per message", "µs", self.server_micros, Better::Lower)
                .target(Target::Ratio(cpu_ratio)),
            Figure::new("load generator's CPU per message", "µs", self.client_micros, Better::Neither),
            Figure::new("written to disk per message (write_bytes)", "B", self.disk_bytes, Better::Lower),
            Figure::new("resident memory under load", "MiB", super::mib(self.resident_bytes as f64), Better::Lower),
        ]
    }

    /// What makes the figures doubtful.
    pub(crate) fn doubt(&self) -> Option<String> {
        let (waiting, taken) = (self.waiting, self.taken);
        (waiting > taken / 5)
            .then(|| format!("{waiting} messages waited at the end, against {taken} taken: consumers fell behind"))
    }
}

/// A producer and its consumer.
#[derive(Default)]
pub(super) struct Lane {
    pub(super) sent: AtomicU64,
    pub(super) taken: AtomicU64,
    /// The producer sleeps until `taken` reaches this; `u64::MAX` where it does not sleep.
    wake_at: AtomicU64,
    producer: OnceLock<Thread>,
}

/// What threads of a workload tell one another.
#[derive(Default)]
pub(super) struct Switches {
    /// Producers stop sending.
    pub(super) stop: AtomicBool,
    /// Producers have ended: what they sent is all there is.
    pub(super) sent_all: AtomicBool,
    /// A thread has failed; the others end.
    pub(super) failed: AtomicBool,
}

/// Runs it. The queues must exist and be empty.
pub(crate) fn run(running: &Running, traffic: &Traffic<'_>) -> Fallible<Seen> {
    let lanes: Vec<Lane> = traffic.ways.iter().map(|_| Lane::default()).collect();
    let switches = Switches::default();
    let watch = || watch(running, &lanes, &switches, traffic.warm_up, traffic.measured, traffic.messages_max);
    thread::scope(|scope| {
        let mut consumers = Vec::new();
        let mut producers = Vec::new();
        for (way, lane) in traffic.ways.iter().zip(&lanes) {
            let switches = &switches;
            consumers.push(scope.spawn(move || switches.guard(consume(running, traffic, &way.queue, lane, switches))));
            producers.push(scope.spawn(move || switches.guard(produce(running, traffic, way, lane, switches))));
        }
        let seen = switches.guard(watch());
        switches.stop.store(true, Ordering::SeqCst);
        let produced: Vec<Fallible<()>> = producers.into_iter().map(joined).collect();
        switches.sent_all.store(true, Ordering::SeqCst);
        let consumed: Vec<Fallible<()>> = consumers.into_iter().map(joined).collect();
        produced.into_iter().chain(consumed).collect::<Fallible<()>>()?;
        seen
    })
}

/// Compares two moments of a load that others put on the broker.
pub(super) fn watch(
    running: &Running,
    lanes: &[Lane],
    switches: &Switches,
    warm_up: Duration,
    measured: Duration,
    messages_max: u64,
) -> Fallible<Seen> {
    let started = Instant::now();
    wait(switches, || started.elapsed() >= warm_up);
    let before = Moment::now(running, lanes)?;
    wait(switches, || before.at.elapsed() >= measured || sum(lanes, |lane| &lane.taken) - before.taken >= messages_max);
    let after = Moment::now(running, lanes)?;
    let resident_bytes = running.process.resident_bytes()?;
    if after.taken == before.taken {
        return fail("no message came in the measured time");
    }
    Ok(before.until(&after, resident_bytes))
}

/// What a thread gave; a panic in it goes on in this one.
pub(super) fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl Switches {
    /// Has everybody end where somebody has failed.
    pub(super) fn guard<T>(&self, result: Fallible<T>) -> Fallible<T> {
        if result.is_err() {
            self.failed.store(true, Ordering::SeqCst);
            self.stop.store(true, Ordering::SeqCst);
        }
        result
    }
}

pub(super) fn wait(switches: &Switches, until: impl Fn() -> bool) {
    while !until() && !switches.failed.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(5));
    }
}

fn sum(lanes: &[Lane], of: impl Fn(&Lane) -> &AtomicU64) -> u64 {
    lanes.iter().map(|lane| of(lane).load(Ordering::SeqCst)).sum()
}

struct Moment {
    at: Instant,
    taken: u64,
    waiting: u64,
    server: Duration,
    client: Duration,
    disk_bytes: u64,
}

impl Moment {
    fn now(running: &Running, lanes: &[Lane]) -> Fallible<Self> {
        let server = running.process.cpu()?;
        let client = own_cpu();
        let disk_bytes = running.process.written()?.disk_bytes;
        let taken = sum(lanes, |lane| &lane.taken);
        let waiting = sum(lanes, |lane| &lane.sent).saturating_sub(taken);
        Ok(Self { at: Instant::now(), taken, waiting, server, client, disk_bytes })
    }

    fn until(&self, after: &Self, resident_bytes: u64) -> Seen {
        let messages = (after.taken - self.taken) as f64;
        let micros = |before: Duration, after: Duration| (after - before).as_secs_f64() * 1e6 / messages;
        Seen {
            rate: messages / (after.at - self.at).as_secs_f64(),
            server_micros: micros(self.server, after.server),
            client_micros: micros(self.client, after.client),
            disk_bytes: (after.disk_bytes - self.disk_bytes) as f64 / messages,
            resident_bytes,
            waiting: after.waiting,
            taken: after.taken - self.taken,
        }
    }
}

fn produce(running: &Running, traffic: &Traffic<'_>, way: &Way, lane: &Lane, switches: &Switches) -> Fallible<()> {
    let connection = running.connect()?;
    if traffic.body_bytes > connection.body_bytes_max() {
        return fail("the body does not fit in one frame");
    }
    match traffic.manner {
        Manner::Confirmed { window } => {
            let publish = way.publish(traffic.body_bytes, true);
            let mut producer = Producer::new(connection, publish, window)?;
            while !switches.stop.load(Ordering::SeqCst) {
                producer.advance(window)?;
                lane.sent.store(producer.sent(), Ordering::SeqCst);
            }
            producer.advance(0)?;
            producer.close()
        }
        Manner::Automatic { ahead_max } => {
            let publish = way.publish(traffic.body_bytes, false);
            produce_ahead(connection, &publish, ahead_max, lane, switches)
        }
    }
}

/// Sends without confirms, and sleeps when the consumer is too far behind.
fn produce_ahead(
    mut connection: Connection,
    publish: &Publish,
    ahead_max: u64,
    lane: &Lane,
    switches: &Switches,
) -> Fallible<()> {
    lane.wake_at.store(u64::MAX, Ordering::SeqCst);
    if lane.producer.set(thread::current()).is_err() {
        return fail("a lane has two producers");
    }
    let run = publish.run_messages().min(ahead_max / 8);
    let mut sent = 0;
    while !switches.stop.load(Ordering::SeqCst) {
        let room = |taken: u64| ahead_max - (sent - taken);
        if room(lane.taken.load(Ordering::SeqCst)) < run {
            lane.wake_at.store(sent + run - ahead_max, Ordering::SeqCst);
            if room(lane.taken.load(Ordering::SeqCst)) < run {
                thread::park_timeout(LOOK_UP);
            }
            continue;
        }
        connection.send(publish.run(run))?;
        sent += run;
        lane.sent.store(sent, Ordering::SeqCst);
    }
    // Without confirms, only an answered close tells that the broker has read everything.
    connection.close()
}

fn consume(running: &Running, traffic: &Traffic<'_>, queue: &str, lane: &Lane, switches: &Switches) -> Fallible<()> {
    let mut connection = running.connect()?;
    let automatic = matches!(traffic.manner, Manner::Automatic { .. });
    connection.consume(queue, if automatic { 0 } else { PREFETCH }, automatic)?;
    let mut deliveries = Deliveries::default();
    let mut acknowledged = 0;
    let mut drained_by = None;
    loop {
        if connection.fill()? {
            while let Some(frame) = connection.next()? {
                deliveries.take(&frame, |_| {})?;
            }
            lane.taken.store(deliveries.messages, Ordering::SeqCst);
            if automatic && deliveries.messages >= lane.wake_at.load(Ordering::SeqCst) {
                lane.wake_at.store(u64::MAX, Ordering::SeqCst);
                lane.producer.get().inspect(|producer| producer.unpark());
            }
            if !automatic && deliveries.messages >= acknowledged + ACK_EVERY {
                acknowledged = deliveries.messages;
                connection.ack_up_to(deliveries.last_tag)?;
            }
        }
        if switches.failed.load(Ordering::SeqCst) {
            return Ok(());
        }
        if switches.sent_all.load(Ordering::SeqCst) {
            let sent = lane.sent.load(Ordering::SeqCst);
            if deliveries.messages == sent {
                break;
            }
            let by = *drained_by.get_or_insert_with(|| Instant::now() + DRAIN_PATIENCE);
            if deliveries.messages > sent || Instant::now() > by {
                return fail(format!("{sent} messages were sent to {queue}, and {} came", deliveries.messages));
            }
        }
    }
    if deliveries.body_bytes != deliveries.messages * traffic.body_bytes as u64 {
        return fail(format!("bodies of {queue} are not as long as they were sent"));
    }
    if !automatic && acknowledged < deliveries.messages {
        connection.ack_up_to(deliveries.last_tag)?;
    }
    connection.close()
}
