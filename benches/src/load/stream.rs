//! A stream that is written, and then read by five at once, each from its beginning.

use std::time::{Duration, Instant};

use super::publish::Producer;
use super::{BODY_BYTES, Bench, WINDOW, traffic};
use crate::amqp::frame::{Field, Publish};
use crate::amqp::scan::Deliveries;
use crate::error::{Fallible, fail};
use crate::peer::Running;
use crate::table::{Better, Figure, Target};

pub(super) const ABOUT: &str =
    "1 KiB to a stream with confirms; then 5 consumers read all of it from its beginning, prefetch 1,000";

const STREAM: &str = "bench-stream";
const READERS: usize = 5;
const PREFETCH: u16 = 1_000;
const ACK_EVERY: u64 = 100;

pub(super) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    running.connect()?.declare_queue_with(STREAM, &[("x-queue-type", Field::Text("stream"))])?;
    let mut producer = Producer::new(running.connect()?, Publish::new("", STREAM, BODY_BYTES, true), WINDOW)?;
    let wanted = bench.pick(1_000_000, 50_000);
    let started = Instant::now();
    let messages = producer.run(wanted, started + bench.pick(Duration::from_secs(20), Duration::from_secs(5)))?;
    let written_in = started.elapsed();
    producer.close()?;

    let server_before = running.process.cpu()?;
    let started = Instant::now();
    let until = started + bench.pick(Duration::from_secs(60), Duration::from_secs(20));
    let read = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(|| read(&running, messages, until))).collect();
        readers.into_iter().map(traffic::joined).collect::<Fallible<Vec<u64>>>()
    })?;
    let read_in = started.elapsed();
    let server = running.process.cpu()? - server_before;
    let read: u64 = read.iter().sum();
    if read < messages * READERS as u64 {
        bench.note(format!("{read} of {} messages were read in the time that was given", messages * READERS as u64));
    }
    let rate = read as f64 / read_in.as_secs_f64();
    Ok(vec![
        Figure::new("written", "messages/s", messages as f64 / written_in.as_secs_f64(), Better::Higher)
            .target(Target::Ratio(8.0)),
        Figure::new("read, all readers", "messages/s", rate, Better::Higher).target(Target::Ratio(8.0)),
        Figure::new("server CPU per message read", "µs", server.as_secs_f64() * 1e6 / read as f64, Better::Lower),
    ])
}

/// Reads until it has so many, or the time is over; how many it has.
fn read(running: &Running, messages: u64, until: Instant) -> Fallible<u64> {
    let mut connection = running.connect()?;
    connection.consume_with(STREAM, PREFETCH, false, &[("x-stream-offset", Field::Text("first"))])?;
    let mut deliveries = Deliveries::default();
    let mut acknowledged = 0;
    while deliveries.messages < messages && Instant::now() < until {
        if connection.fill()? {
            while let Some(frame) = connection.next()? {
                deliveries.take(&frame, |_| {})?;
            }
            if deliveries.messages >= acknowledged + ACK_EVERY {
                acknowledged = deliveries.messages;
                connection.ack_up_to(deliveries.last_tag)?;
            }
        }
    }
    if deliveries.body_bytes < deliveries.messages * BODY_BYTES as u64 {
        return fail("bodies came shorter than they were sent");
    }
    connection.close()?;
    Ok(deliveries.messages.min(messages))
}
