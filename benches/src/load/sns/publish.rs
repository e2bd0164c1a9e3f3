//! One topic, and SQS queues that are subscribed to it: what a Publish costs beside a SendMessage, and each further queue.

use serde_json::json;

use super::{Asked, TAKEN, ask, subscribe_queue};
use crate::error::Fallible;
use crate::load::mqtt::Times;
use crate::load::sqs::{check_held, create};
use crate::load::{BODY_BYTES, Bench};
use crate::sns;
use crate::sqs::Head;
use crate::table::{Better, Figure, Target};

pub(crate) const ABOUT: &str = "SNS, Publish of 1 KiB to 1, 10 and 100 SQS queues, 64 connections with one request under way each; \
     SendMessage of the same beside it";

/// Queues, and how many messages there are at most in all of them together.
const FANS: [usize; 3] = [1, 10, 100];
const HELD_MAX: u64 = 10_000_000;

const NAMES: [[&str; 3]; 3] = [
    ["Publish to 1 queue", "Publish to 1 queue, server CPU", "Publish to 1 queue, p99"],
    ["Publish to 10 queues", "Publish to 10 queues, server CPU", "Publish to 10 queues, p99"],
    ["Publish to 100 queues", "Publish to 100 queues, server CPU", "Publish to 100 queues, p99"],
];

pub(crate) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let body = "x".repeat(BODY_BYTES);
    let url = create(&running, "bench-sent", json!({}))?;
    let send = Head::of(running.address, "SendMessage").request(&json!({ "QueueUrl": url, "MessageBody": body }));
    let times = Times::of(bench);
    let Asked { seen, answered, .. } = ask(&running, times, &[send], b"\"MD5OfMessageBody\"")?;
    check_held(&running, &url, answered)?;
    let alone = seen.rate;
    let mut figures = vec![Figure::new("SendMessage", "1/s", alone, Better::Higher)];
    // Whoever tells consumers apart by nothing takes seconds for a message to a hundred queues.
    let fans = if bench.broker.receivers_max() == usize::MAX { &FANS[..] } else { &FANS[..2] };
    if fans.len() < FANS.len() {
        bench.note("not to 100 queues: no such message comes to its end in the measured time".to_owned());
    }
    for (&queues, [rate, cpu, p99]) in fans.iter().zip(NAMES) {
        let topic = sns::create(running.address, &format!("bench-{queues}"))?;
        let urls = (0..queues)
            .map(|queue| subscribe_queue(&running, &topic, &format!("bench-{queues}-{queue}"), None))
            .collect::<Fallible<Vec<_>>>()?;
        let publish = sns::request(running.address, "Publish", &[("TopicArn", &topic), ("Message", &body)]);
        let times = Times::of_messages(bench, HELD_MAX / queues as u64);
        let Asked { seen, latency, answered } = ask(&running, times, &[publish], TAKEN)?;
        for url in &urls {
            check_held(&running, url, answered)?;
        }
        figures.push(Figure::new(rate, "1/s", seen.rate, Better::Higher).target(Target::Ratio(5.0)));
        figures.push(Figure::new(cpu, "µs", seen.server_micros, Better::Lower));
        figures.push(Figure::new(p99, "ms", latency.p99_millis, Better::Lower));
        if queues == 1 {
            figures.push(Figure::new("Publish to 1 queue : SendMessage", "x", seen.rate / alone, Better::Higher));
        }
    }
    Ok(figures)
}
