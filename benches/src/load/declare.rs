//! Many queues declared and bound.

use std::time::{Duration, Instant};

use super::{Bench, kib, let_it_settle};
use crate::amqp::CHANNEL;
use crate::amqp::frame::{method, queue_bind, queue_declare};
use crate::error::Fallible;
use crate::table::{Better, Figure};

pub(super) const ABOUT: &str = "10,000 durable queues declared and bound to amq.direct, 100 requests under way";

/// Queues whose requests are sent before the answers are awaited.
const BATCH: u64 = 50;
const DURABLE: u8 = 2;

pub(super) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let mut control = running.connect()?;
    let_it_settle();
    let before_bytes = running.process.resident_bytes()?;
    let server_before = running.process.cpu()?;
    let wanted: u64 = bench.pick(10_000, 1_000);
    let time = bench.pick(Duration::from_secs(120), Duration::from_secs(20));
    let started = Instant::now();
    let mut declared = 0;
    while declared < wanted && started.elapsed() < time {
        let mut requests = Vec::new();
        for number in declared..declared + BATCH {
            let queue = format!("bench-{number}");
            requests.extend(queue_declare(&queue, DURABLE).frame(CHANNEL, method::QUEUE_DECLARE));
            requests.extend(queue_bind(&queue, "amq.direct", &queue).frame(CHANNEL, method::QUEUE_BIND));
        }
        control.send(&requests)?;
        for _ in 0..BATCH {
            control.expect(method::QUEUE_DECLARE_OK)?;
            control.expect(method::QUEUE_BIND_OK)?;
        }
        declared += BATCH;
    }
    let took = started.elapsed();
    if declared < wanted {
        bench.note(format!("only {declared} queues in the time that was given"));
    }
    let server = running.process.cpu()? - server_before;
    let_it_settle();
    let grown = running.process.resident_bytes()? as f64 - before_bytes as f64;
    control.close()?;
    let count = declared as f64;
    Ok(vec![
        Figure::new("queues declared and bound", "1/s", count / took.as_secs_f64(), Better::Higher),
        Figure::new("server CPU per queue", "µs", server.as_secs_f64() * 1e6 / count, Better::Lower),
        Figure::new("resident memory per queue", "KiB", kib(grown / count), Better::Lower),
    ])
}
