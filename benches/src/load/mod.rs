//! The workloads, one file each, and what they share.
//!
//! * [`traffic`]: producers and consumers at full speed, watched from outside.
//! * [`paced`]: a steady load below the limit, for latencies.
//! * [`publish`]: a producer with a window of confirms.
//! * [`journal_alone`]: the journal's engine without a broker, to compare with.

mod backlog;
mod dead_letter;
mod declare;
mod delayed;
mod fanout;
mod idle;
mod journal_alone;
mod paced;
mod persistent;
mod persistent_many;
mod priority;
mod publish;
mod start;
mod stream;
mod topic;
mod traffic;
mod transient;

use std::path::Path;
use std::time::Duration;

use crate::error::Fallible;
use crate::peer::{Broker, Running, Settings};
use crate::table::{Figure, Results};

/// Body size of the persistent workloads, in bytes.
const BODY_BYTES: usize = 1024;
/// Publishes that may wait for their confirm.
const WINDOW: u64 = 1_000;

/// One run of one workload against one broker.
pub(crate) struct Bench<'a> {
    /// Whom to measure.
    pub(crate) broker: &'a dyn Broker,
    /// An empty folder, gone afterwards.
    pub(crate) folder: &'a Path,
    /// A short look instead of a measurement.
    pub(crate) quick: bool,
    /// What was measured before in this run of the program.
    pub(crate) earlier: &'a Results,
    /// Sentences that a reader of the figures must know.
    pub(crate) notes: Vec<String>,
}

impl Bench<'_> {
    /// Starts the broker on the empty folder.
    fn start(&self) -> Fallible<Running> {
        Running::start(self.broker, self.folder, Settings::default())
    }

    /// One of two values: for a measurement, or for a short look.
    fn pick<T>(&self, measured: T, quick: T) -> T {
        if self.quick { quick } else { measured }
    }

    fn note(&mut self, note: String) {
        self.notes.push(note);
    }
}

/// A workload, as the command line names it.
pub(crate) struct Workload {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it does, in one line.
    pub(crate) about: &'static str,
    /// Runs it.
    pub(crate) run: fn(&mut Bench<'_>) -> Fallible<Vec<Figure>>,
}

/// All workloads, in the order of the table.
pub(crate) const WORKLOADS: [Workload; 13] = [
    Workload { name: "persistent-1k", about: persistent::ABOUT, run: persistent::run },
    Workload { name: "persistent-1k-8", about: persistent_many::ABOUT, run: persistent_many::run },
    Workload { name: "transient-64", about: transient::ABOUT, run: transient::run },
    Workload { name: "fanout-100", about: fanout::ABOUT, run: fanout::run },
    Workload { name: "backlog-1m", about: backlog::ABOUT, run: backlog::run },
    Workload { name: "idle-connections", about: idle::ABOUT, run: idle::run },
    Workload { name: "start", about: start::ABOUT, run: start::run },
    Workload { name: "declare-10k", about: declare::ABOUT, run: declare::run },
    Workload { name: "ttl-dead-letter", about: dead_letter::ABOUT, run: dead_letter::run },
    Workload { name: "priority-10", about: priority::ABOUT, run: priority::run },
    Workload { name: "delayed-1m", about: delayed::ABOUT, run: delayed::run },
    Workload { name: "stream-5", about: stream::ABOUT, run: stream::run },
    Workload { name: "topic-100k", about: topic::ABOUT, run: topic::run },
];

/// Bytes as KiB.
fn kib(bytes: f64) -> f64 {
    bytes / 1024.0
}

/// Bytes as MiB.
fn mib(bytes: f64) -> f64 {
    bytes / 1024.0 / 1024.0
}

/// A duration as milliseconds.
fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Lets a broker that has just been loaded come to rest, before its memory or its files are looked at.
fn let_it_settle() {
    std::thread::sleep(Duration::from_secs(2));
}
