//! One message to many durable queues: what it costs on the disk.

use std::time::{Duration, Instant};

use super::publish::Producer;
use super::{BODY_BYTES, Bench, let_it_settle};
use crate::amqp::frame::Publish;
use crate::error::Fallible;
use crate::process::{folder_bytes, own_cpu};
use crate::table::{Better, Figure, Target};

pub(super) const ABOUT: &str =
    "one 1 KiB persistent message to 100 durable queues, confirms in a window of 100, nobody consumes";

const QUEUES: u64 = 100;
const WINDOW: u64 = 100;
const EXCHANGE: &str = "bench-fanout";

pub(super) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let mut control = running.connect()?;
    control.declare_exchange(EXCHANGE, "fanout")?;
    for number in 0..QUEUES {
        let queue = format!("bench-{number}");
        control.declare_queue(&queue, true)?;
        control.bind(&queue, EXCHANGE, "")?;
    }
    let publish = Publish::new(EXCHANGE, "", BODY_BYTES, true);
    let mut producer = Producer::new(running.connect()?, publish, WINDOW)?;
    let_it_settle();

    let folder_before = folder_bytes(running.folder())?;
    let written_before = running.process.written()?;
    let (server_before, client_before) = (running.process.cpu()?, own_cpu());
    let started = Instant::now();
    let deadline = started + bench.pick(Duration::from_secs(15), Duration::from_secs(3));
    let messages = producer.run(bench.pick(50_000, 5_000), deadline)?;
    let took = started.elapsed();
    // What is written later for these messages belongs to them.
    let_it_settle();
    let server = running.process.cpu()? - server_before;
    let client = own_cpu() - client_before;
    let written = running.process.written()?;
    let folder_after = folder_bytes(running.folder())?;
    producer.close()?;

    let per_message = |value: f64| value / messages as f64;
    let disk_target = 1.3 * 1024.0 + 64.0 * QUEUES as f64;
    let lower = |name, unit, value| Figure::new(name, unit, per_message(value), Better::Lower);
    bench.note(format!("counts {messages} messages"));
    Ok(vec![
        Figure::new("throughput (messages in)", "messages/s", messages as f64 / took.as_secs_f64(), Better::Higher),
        lower("server CPU per message in", "µs", server.as_secs_f64() * 1e6),
        Figure::new(
            "load generator's CPU per message in",
            "µs",
            per_message(client.as_secs_f64() * 1e6),
            Better::Neither,
        ),
        lower(
            "written to disk per message (write_bytes)",
            "B",
            (written.disk_bytes - written_before.disk_bytes) as f64,
        ),
        lower(
            "handed to write calls per message (wchar)",
            "B",
            (written.called_bytes - written_before.called_bytes) as f64,
        )
        // Not on write_bytes: the kernel counts the whole folio that a write touches, many times what goes to the device.
        .target(Target::AtMost(disk_target)),
        lower("growth of the data folder per message", "B", folder_after as f64 - folder_before as f64),
    ])
}
