//! Workloads of MQTT, and what they share with each other and with those of STOMP and SQS.

pub(super) mod fanin;
pub(super) mod fanout;
pub(super) mod idle;
pub(super) mod paced_qos1;
pub(super) mod qos0;
pub(super) mod qos1;
pub(super) mod storm;

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::traffic::{self, Lane, Seen, Switches, joined};
use crate::error::{Fallible, fail};
use crate::peer::Running;

/// How long subscribers may take to get what is left when the publishers have stopped.
const DRAIN_PATIENCE: Duration = Duration::from_secs(60);

/// Open files that this program and the broker need beyond the connections of a workload.
const SPARE_FILES: u64 = 500;

/// So many connections as are wanted, or as the system allows a process to have.
pub(super) fn connections_of(wanted: usize) -> usize {
    let files = crate::process::raise_open_files();
    wanted.min(usize::try_from(files.saturating_sub(SPARE_FILES)).unwrap_or(usize::MAX))
}

/// For how long a load is watched.
#[derive(Clone, Copy)]
pub(in crate::load) struct Times {
    warm_up: Duration,
    measured: Duration,
    messages_max: u64,
}

impl Times {
    pub(in crate::load) fn of(bench: &super::Bench<'_>) -> Self {
        let seconds = |measured, quick| Duration::from_secs(bench.pick(measured, quick));
        Self { warm_up: seconds(2, 1), measured: seconds(10, 2), messages_max: u64::MAX }
    }

    /// With a warm-up in which a virtual machine can compile what it runs.
    pub(in crate::load) fn of_compilers(bench: &super::Bench<'_>) -> Self {
        Self { warm_up: Duration::from_secs(bench.pick(8, 1)), ..Self::of(bench) }
    }

    /// With hardly a warm-up, and at most so many messages that are counted.
    pub(in crate::load) fn of_messages(bench: &super::Bench<'_>, messages_max: u64) -> Self {
        Self { warm_up: Duration::from_millis(200), messages_max, ..Self::of(bench) }
    }

    /// What is not measured.
    pub(in crate::load) fn warm_up(&self) -> Duration {
        self.warm_up
    }
}

/// Runs one thread that sends and one that takes, and watches them.
pub(in crate::load) fn run(
    running: &Running,
    times: Times,
    produce: impl FnOnce(&Lane, &Switches) -> Fallible<()> + Send,
    consume: impl FnOnce(&Lane, &Switches) -> Fallible<()> + Send,
) -> Fallible<Seen> {
    let (lanes, switches) = ([Lane::default()], Switches::default());
    let (lane, switches) = (&lanes[0], &switches);
    thread::scope(|scope| {
        let consumer = scope.spawn(move || switches.guard(consume(lane, switches)));
        let producer = scope.spawn(move || switches.guard(produce(lane, switches)));
        let seen = traffic::watch(running, &lanes, switches, times.warm_up, times.measured, times.messages_max);
        let seen = switches.guard(seen);
        switches.stop.store(true, Ordering::SeqCst);
        let produced = joined(producer);
        switches.sent_all.store(true, Ordering::SeqCst);
        let consumed = joined(consumer);
        produced.and(consumed)?;
        seen
    })
}

/// Whether a consumer is done: everything that was sent has come, `copies` times. An error when that takes too long.
pub(in crate::load) struct Drain {
    by: Option<Instant>,
    copies: u64,
}

impl Drain {
    pub(in crate::load) fn new(copies: u64) -> Self {
        Self { by: None, copies }
    }

    pub(in crate::load) fn is_done(&mut self, lane: &Lane, switches: &Switches, taken: u64) -> Fallible<bool> {
        if switches.failed.load(Ordering::SeqCst) {
            return Ok(true);
        }
        if !switches.sent_all.load(Ordering::SeqCst) {
            return Ok(false);
        }
        let expected = lane.sent.load(Ordering::SeqCst) * self.copies;
        if taken == expected {
            return Ok(true);
        }
        let by = *self.by.get_or_insert_with(|| Instant::now() + DRAIN_PATIENCE);
        if taken > expected || Instant::now() > by {
            return fail(format!("{expected} messages were to come, and {taken} came"));
        }
        Ok(false)
    }
}

/// Waits until the subscribers are no further behind than `ahead_max`.
pub(in crate::load) fn keep_near(lane: &Lane, switches: &Switches, sent: u64, copies: u64, ahead_max: u64) {
    while sent * copies > lane.taken.load(Ordering::SeqCst) + ahead_max * copies
        && !switches.stop.load(Ordering::SeqCst)
    {
        thread::sleep(Duration::from_micros(50));
    }
}
