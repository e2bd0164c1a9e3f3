//! A million messages that wait: memory, and how soon they are back after a kill -9.

use std::time::{Duration, Instant};

use super::publish::Producer;
use super::{BODY_BYTES, Bench, let_it_settle, mib, millis};
use crate::amqp::frame::Publish;
use crate::amqp::scan::Deliveries;
use crate::error::{Fallible, fail};
use crate::peer::{Running, Settings};
use crate::table::{Better, Figure, Target};

pub(super) const ABOUT: &str =
    "1,000,000 waiting 1 KiB persistent messages (gantry: memory watermark 64 MiB); kill -9; restart";

const QUEUE: &str = "bench-backlog";
const WATERMARK_BYTES: u64 = 64 * 1024 * 1024;
const WINDOW: u64 = 4_000;
const PREFETCH: u16 = 1_000;
const ACK_EVERY: u64 = 100;

pub(super) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let settings = Settings { memory_watermark_bytes: Some(WATERMARK_BYTES), ..Settings::default() };
    let mut running = Running::start(bench.broker, bench.folder, settings)?;
    running.connect()?.declare_queue(QUEUE, true)?;
    let publish = Publish::new("", QUEUE, BODY_BYTES, true);
    let mut producer = Producer::new(running.connect()?, publish, WINDOW)?;
    let_it_settle();

    let empty_bytes = running.process.resident_bytes()?;
    let wanted: u64 = bench.pick(1_000_000, 100_000);
    let started = Instant::now();
    let messages = producer.run(wanted, started + bench.pick(Duration::from_secs(240), Duration::from_secs(30)))?;
    let filled_in = started.elapsed();
    producer.close()?;
    if messages < wanted {
        bench.note(format!("only {messages} messages in the time that was given"));
    }
    let_it_settle();
    let full_bytes = running.process.resident_bytes()?;
    running.process.kill()?;
    drop(running);

    let mut found = 0;
    let restarted = Running::start_until(bench.broker, bench.folder, settings, |client| {
        found = client.queue_length(QUEUE)?;
        Ok(found >= messages)
    })
    .map_err(|error| format!("{found} of {messages} messages after a kill -9: {error}"))?;
    if found > messages {
        return fail(format!("{found} messages after a kill -9, and {messages} were published"));
    }
    let ready_after = restarted.ready_after;
    let restarted_bytes = restarted.process.resident_bytes()?;
    let (drained, drained_in) =
        drain(&restarted, messages, bench.pick(Duration::from_secs(60), Duration::from_secs(10)))?;

    let above = |bytes: u64| mib(bytes as f64 - empty_bytes as f64);
    Ok(vec![
        Figure::new(
            "fill (confirms, nobody consumes)",
            "messages/s",
            messages as f64 / filled_in.as_secs_f64(),
            Better::Higher,
        ),
        Figure::new("resident memory, empty broker", "MiB", mib(empty_bytes as f64), Better::Lower),
        Figure::new("resident memory above the empty broker", "MiB", above(full_bytes), Better::Lower)
            .target(Target::AtMost(150.0)),
        Figure::new("ready again after kill -9", "ms", millis(ready_after), Better::Lower)
            .target(Target::AtMost(1000.0)),
        Figure::new("resident memory above the empty broker, restarted", "MiB", above(restarted_bytes), Better::Lower),
        Figure::new("drain after the restart", "messages/s", drained as f64 / drained_in.as_secs_f64(), Better::Higher),
    ])
}

/// Takes what waits, for as long as it is given.
fn drain(running: &Running, messages: u64, time: Duration) -> Fallible<(u64, Duration)> {
    let mut connection = running.connect()?;
    let mut deliveries = Deliveries::default();
    let mut acknowledged = 0;
    let started = Instant::now();
    connection.consume(QUEUE, PREFETCH, false)?;
    while deliveries.messages < messages && started.elapsed() < time {
        if connection.fill()? {
            while let Some(frame) = connection.next()? {
                deliveries.take(&frame, |_| {})?;
            }
            if deliveries.messages >= acknowledged + ACK_EVERY || deliveries.messages == messages {
                acknowledged = deliveries.messages;
                connection.ack_up_to(deliveries.last_tag)?;
            }
        }
    }
    let took = started.elapsed();
    if deliveries.body_bytes < deliveries.messages * BODY_BYTES as u64 {
        return fail("bodies came back shorter than they were sent");
    }
    connection.close()?;
    Ok((deliveries.messages, took))
}
