//! A million messages that wait for their time: memory, a kill -9, and how quickly they come when it is there.

use std::time::{Duration, Instant};

use super::publish::Producer;
use super::{Bench, let_it_settle, mib, millis};
use crate::amqp::frame::{self, Field, Publish};
use crate::amqp::scan::Deliveries;
use crate::error::{Fallible, fail};
use crate::peer::Running;
use crate::table::{Better, Figure, Target};

pub(super) const ABOUT: &str = "1,000,000 persistent 100 B messages through x-delayed-message, all due at once; kill -9 and restart before \
     that (RabbitMQ's plugin is not part of its package: gantry alone)";

const EXCHANGE: &str = "bench-delayed";
const QUEUE: &str = "bench-due";
const BODY_BYTES: usize = 100;
const WINDOW: u64 = 4_000;
const PREFETCH: u16 = 1_000;
const ACK_EVERY: u64 = 100;

pub(super) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    if !bench.broker.has_our_journal() {
        bench.note("has no delayed messages without a plugin that its package does not have".into());
        return Ok(Vec::new());
    }
    let mut running = bench.start()?;
    let mut control = running.connect()?;
    control.declare_queue(QUEUE, true)?;
    control.declare_exchange_with(EXCHANGE, "x-delayed-message", &[("x-delayed-type", Field::Text("direct"))])?;
    control.bind(QUEUE, EXCHANGE, QUEUE)?;
    control.close()?;
    let delay = bench.pick(Duration::from_secs(40), Duration::from_secs(12));
    let headers = frame::fields(&[("x-delay", Field::Number(delay.as_millis() as i64))]);
    let manner = frame::Manner { persistent: true, priority: None, headers: Some(&headers) };
    let publish = Publish::of(&[frame::message(EXCHANGE, QUEUE, BODY_BYTES, manner)], BODY_BYTES);
    let mut producer = Producer::new(running.connect()?, publish, WINDOW)?;
    let_it_settle();

    let empty_bytes = running.process.resident_bytes()?;
    let wanted: u64 = bench.pick(1_000_000, 50_000);
    let started = Instant::now();
    let messages = producer.run(wanted, started + delay / 2)?;
    let filled_in = started.elapsed();
    let all_due = Instant::now() + delay;
    producer.close()?;
    if messages < wanted {
        bench.note(format!("only {messages} messages in the time that was given"));
    }
    let_it_settle();
    let full_bytes = running.process.resident_bytes()?;
    running.process.kill()?;
    drop(running);
    let restarted = Running::start_until(bench.broker, bench.folder, Default::default(), |_| Ok(true))?;
    let restarted_bytes = restarted.process.resident_bytes()?;
    let early = restarted.connect()?.queue_length(QUEUE)?;
    if early > 0 && started.elapsed() < delay {
        return fail(format!("{early} messages came before their time"));
    }
    let (first, last) = consume(&restarted, messages, all_due + Duration::from_secs(120))?;
    let_it_settle();
    let after_bytes = restarted.process.resident_bytes()?;
    let each = |bytes: u64| (bytes as f64 - empty_bytes as f64) / messages as f64;
    Ok(vec![
        Figure::new("published (confirms)", "messages/s", messages as f64 / filled_in.as_secs_f64(), Better::Higher),
        Figure::new("resident memory per delayed message", "B", each(full_bytes), Better::Lower)
            .target(Target::AtMost(100.0)),
        Figure::new("the same after kill -9 and restart", "B", each(restarted_bytes), Better::Lower)
            .target(Target::AtMost(100.0)),
        Figure::new("ready again after kill -9", "ms", millis(restarted.ready_after), Better::Lower),
        Figure::new("delivered when due", "messages/s", messages as f64 / (last - first).as_secs_f64(), Better::Higher),
        Figure::new("last one after its time", "ms", millis(last.saturating_duration_since(all_due)), Better::Lower),
        Figure::new(
            "resident memory above the empty broker, when all have come",
            "MiB",
            mib(after_bytes as f64 - empty_bytes as f64),
            Better::Lower,
        ),
    ])
}

/// Takes all; when the first and the last one came.
fn consume(running: &Running, messages: u64, until: Instant) -> Fallible<(Instant, Instant)> {
    let mut connection = running.connect()?;
    connection.consume(QUEUE, PREFETCH, false)?;
    let mut deliveries = Deliveries::default();
    let mut acknowledged = 0;
    let mut first = None;
    while deliveries.messages < messages {
        if Instant::now() > until {
            return fail(format!("{} of {messages} delayed messages came", deliveries.messages));
        }
        if connection.fill()? {
            while let Some(frame) = connection.next()? {
                deliveries.take(&frame, |_| {})?;
            }
            if deliveries.messages > 0 {
                first.get_or_insert_with(Instant::now);
            }
            if deliveries.messages >= acknowledged + ACK_EVERY || deliveries.messages == messages {
                acknowledged = deliveries.messages;
                connection.ack_up_to(deliveries.last_tag)?;
            }
        }
    }
    let last = Instant::now();
    connection.close()?;
    match first {
        Some(first) if deliveries.messages == messages => Ok((first, last)),
        _ => fail(format!("{} messages came, and {messages} were published", deliveries.messages)),
    }
}
