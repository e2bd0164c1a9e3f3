//! A topic exchange with a hundred thousand bindings.

use std::time::{Duration, Instant};

use super::publish::Producer;
use super::{Bench, WINDOW};
use crate::amqp::CHANNEL;
use crate::amqp::frame::{self, Publish, method, queue_bind};
use crate::error::Fallible;
use crate::table::{Better, Figure, Target};

pub(super) const ABOUT: &str = "a topic exchange with 100,000 bindings of 10 transient queues, 64 B transient, confirms, 10,000 keys by turns \
     (of which each matches 3 bindings); the queues hold at most 1,000 messages";

const EXCHANGE: &str = "bench-topic";
const QUEUES: u64 = 10;
const BODY_BYTES: usize = 64;
/// Bindings whose requests are sent before the answers are awaited.
const BATCH: u64 = 500;
const KEYS: u64 = 10_000;

pub(super) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let mut control = running.connect()?;
    control.declare_exchange(EXCHANGE, "topic")?;
    for number in 0..QUEUES {
        let arguments = [("x-max-length", frame::Field::Number(1_000))];
        control.declare_queue_with(&queue(number), &arguments)?;
    }
    let wanted: u64 = bench.pick(100_000, 10_000);
    let time = bench.pick(Duration::from_secs(240), Duration::from_secs(60));
    let started = Instant::now();
    let mut bound = 0;
    while bound < wanted && started.elapsed() < time {
        let mut requests = Vec::new();
        for number in bound..bound + BATCH {
            let request = queue_bind(&queue(number % QUEUES), EXCHANGE, &pattern(number));
            requests.extend(request.frame(CHANNEL, method::QUEUE_BIND));
        }
        control.send(&requests)?;
        for _ in 0..BATCH {
            control.expect(method::QUEUE_BIND_OK)?;
        }
        bound += BATCH;
    }
    let bound_in = started.elapsed();
    if bound < wanted {
        bench.note(format!("only {bound} bindings in the time that was given"));
    }
    let keys = KEYS.min(bound / 3);
    let messages: Vec<Vec<u8>> =
        (0..keys).map(|number| frame::message(EXCHANGE, &key(number), BODY_BYTES, frame::Manner::default())).collect();
    let mut producer = Producer::new(running.connect()?, Publish::of(&messages, BODY_BYTES), WINDOW)?;
    let server_before = running.process.cpu()?;
    let started = Instant::now();
    let until = started + bench.pick(Duration::from_secs(10), Duration::from_secs(3));
    let published = producer.run(u64::MAX, until)?;
    let rate = published as f64 / started.elapsed().as_secs_f64();
    let server = running.process.cpu()? - server_before;
    producer.close()?;
    Ok(vec![
        Figure::new("bound", "1/s", bound as f64 / bound_in.as_secs_f64(), Better::Higher),
        Figure::new("routed", "messages/s", rate, Better::Higher).target(Target::Ratio(8.0)),
        Figure::new("server CPU per message", "µs", server.as_secs_f64() * 1e6 / published as f64, Better::Lower),
    ])
}

fn queue(number: u64) -> String {
    format!("bench-{number}")
}

/// Three kinds of pattern for each key.
fn pattern(number: u64) -> String {
    let place = number / 3;
    match number % 3 {
        0 => format!("site.{place:06}.*.temperature"),
        1 => format!("site.{place:06}.#"),
        _ => format!("*.{place:06}.device.#"),
    }
}

fn key(number: u64) -> String {
    format!("site.{number:06}.device.temperature")
}
