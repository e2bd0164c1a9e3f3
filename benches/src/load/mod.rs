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
mod mqtt;
mod paced;
mod persistent;
mod persistent_many;
mod priority;
mod publish;
mod sns;
mod sqs;
mod start;
mod stomp;
mod stream;
mod topic;
mod traffic;
mod transient;
mod web_beside_tcp;
mod web_fanout;

use std::path::Path;
use std::time::Duration;

use crate::error::Fallible;
use crate::peer::{Broker, Protocol, Running, Settings};
use crate::table::{Figure, Results};

/// Body size of the persistent workloads, in bytes.
const BODY_BYTES: usize = 1024;
/// Publishes that may wait for their confirm.
const WINDOW: u64 = 1_000;

/// One run of one workload against one broker.
pub(crate) struct Bench<'a> {
    /// Whom to measure.
    pub(crate) broker: &'a dyn Broker,
    /// What its clients speak.
    pub(crate) protocol: Protocol,
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
        let settings = Settings { protocol: self.protocol, ..Settings::default() };
        Running::start(self.broker, self.folder, settings)
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
    /// What its clients speak.
    pub(crate) protocol: Protocol,
    /// Runs it.
    pub(crate) run: Run,
}

/// All workloads, in the order of the table.
pub(crate) const WORKLOADS: [Workload; 33] = [
    amqp("persistent-1k", persistent::ABOUT, persistent::run),
    amqp("persistent-1k-8", persistent_many::ABOUT, persistent_many::run),
    amqp("transient-64", transient::ABOUT, transient::run),
    amqp("fanout-100", fanout::ABOUT, fanout::run),
    amqp("backlog-1m", backlog::ABOUT, backlog::run),
    amqp("idle-connections", idle::ABOUT, idle::run),
    amqp("start", start::ABOUT, start::run),
    amqp("declare-10k", declare::ABOUT, declare::run),
    amqp("ttl-dead-letter", dead_letter::ABOUT, dead_letter::run),
    amqp("priority-10", priority::ABOUT, priority::run),
    amqp("delayed-1m", delayed::ABOUT, delayed::run),
    amqp("stream-5", stream::ABOUT, stream::run),
    amqp("topic-100k", topic::ABOUT, topic::run),
    mqtt_workload("mqtt-qos0-64", mqtt::qos0::ABOUT, mqtt::qos0::run),
    mqtt_workload("mqtt-qos1-1k", mqtt::qos1::ABOUT, mqtt::qos1::run),
    mqtt_workload("mqtt-qos1-20k", mqtt::paced_qos1::ABOUT, mqtt::paced_qos1::run),
    mqtt_workload("mqtt-fanout-1k", mqtt::fanout::ABOUT, mqtt::fanout::run),
    mqtt_workload("mqtt-fanin-1k", mqtt::fanin::ABOUT, mqtt::fanin::run),
    mqtt_workload("mqtt-idle-50k", mqtt::idle::ABOUT, mqtt::idle::run),
    mqtt_workload("mqtt-storm-20k", mqtt::storm::ABOUT, mqtt::storm::run),
    stomp_workload("stomp-persistent-1k", stomp::persistent::ABOUT, stomp::persistent::run),
    stomp_workload("stomp-transient-64", stomp::transient::ABOUT, stomp::transient::run),
    web("mqtt-web-64", web_beside_tcp::ABOUT_MQTT, Protocol::WebMqtt, web_beside_tcp::mqtt),
    web("stomp-web-64", web_beside_tcp::ABOUT_STOMP, Protocol::WebStomp, web_beside_tcp::stomp),
    web("web-stomp-10k", web_fanout::ABOUT, Protocol::WebStomp, web_fanout::run),
    sqs_workload("sqs-send", sqs::send::ABOUT, sqs::send::run),
    sqs_workload("sqs-send-batch", sqs::send::ABOUT_BATCH, sqs::send::run_batch),
    sqs_workload("sqs-receive-delete", sqs::receive_delete::ABOUT, sqs::receive_delete::run),
    sqs_workload("sqs-fifo", sqs::fifo::ABOUT, sqs::fifo::run),
    sqs_workload("sqs-long-polls", sqs::long_polls::ABOUT, sqs::long_polls::run),
    sns_workload("sns-publish", sns::publish::ABOUT, sns::publish::run),
    sns_workload("sns-filtered-10k", sns::filtered::ABOUT, sns::filtered::run),
    sns_workload("sns-webhooks", sns::webhooks::ABOUT, sns::webhooks::run),
];

type Run = fn(&mut Bench<'_>) -> Fallible<Vec<Figure>>;

const fn amqp(name: &'static str, about: &'static str, run: Run) -> Workload {
    Workload { name, about, protocol: Protocol::Amqp, run }
}

const fn mqtt_workload(name: &'static str, about: &'static str, run: Run) -> Workload {
    Workload { name, about, protocol: Protocol::Mqtt, run }
}

const fn web(name: &'static str, about: &'static str, protocol: Protocol, run: Run) -> Workload {
    Workload { name, about, protocol, run }
}

const fn stomp_workload(name: &'static str, about: &'static str, run: Run) -> Workload {
    Workload { name, about, protocol: Protocol::Stomp, run }
}

const fn sqs_workload(name: &'static str, about: &'static str, run: Run) -> Workload {
    Workload { name, about, protocol: Protocol::Sqs, run }
}

const fn sns_workload(name: &'static str, about: &'static str, run: Run) -> Workload {
    Workload { name, about, protocol: Protocol::Sns, run }
}

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
