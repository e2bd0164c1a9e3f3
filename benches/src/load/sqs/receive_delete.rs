//! A queue that is full, and consumers that empty it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;

use super::consumer::Consumers;
use super::{BATCH, BODY_MD5, Sending, check_held, create, receivers};
use crate::error::{Fallible, fail};
use crate::load::Bench;
use crate::load::mqtt::{Times, run as watch};
use crate::peer::Running;
use crate::sqs::{Field, Lines};
use crate::table::Figure;

pub(crate) const ABOUT: &str = "SQS, 16 consumers that receive 10 x 1 KiB and delete them in a batch, from a queue that was filled before \
     (1,000,000 messages, or what goes in in 30 s)";

const CONNECTIONS: usize = 16;
/// As long as anybody takes: nothing may come back while it runs.
const VISIBILITY_S: &str = "600";

pub(crate) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let connections = receivers(bench, CONNECTIONS);
    // A virtual machine is to have compiled what is measured.
    let warm = create(&running, "bench-warm", json!({ "VisibilityTimeout": VISIBILITY_S }))?;
    let warm_by = Instant::now() + Duration::from_secs(bench.pick(8, 1));
    while Instant::now() < warm_by {
        let messages = fill(&running, &warm, 10_000, warm_by)?;
        empty(&running, &warm, messages, connections)?;
    }

    let url = create(&running, "bench-full", json!({ "VisibilityTimeout": VISIBILITY_S }))?;
    let fill_by = Instant::now() + Duration::from_secs(bench.pick(30, 3));
    let messages = fill(&running, &url, bench.pick(1_000_000, 50_000), fill_by)?;
    let mut consumers = Consumers::open(running.address, &url, connections, 0)?;
    let sums = Field::named("MD5OfBody");
    let seen = watch(
        &running,
        // The measured time ends before the queue is empty.
        Times::of_messages(bench, messages * 8 / 10),
        |lane, switches| {
            lane.sent.store(messages, Ordering::SeqCst);
            consumers.receive()?;
            while !consumers.are_done() && !switches.failed.load(Ordering::SeqCst) {
                let go_on = !switches.stop.load(Ordering::SeqCst) && consumers.empty == 0;
                consumers.advance(go_on, |answer| check(&sums, answer))?;
                lane.taken.store(consumers.deleted, Ordering::SeqCst);
            }
            if consumers.empty > 0 && consumers.deleted < messages {
                return fail(format!("nothing came after {} of {messages} messages", consumers.deleted));
            }
            Ok(())
        },
        |_, _| Ok(()),
    )?;
    check_held(&running, &url, messages - consumers.deleted)?;
    Ok(seen.figures(5.0, 5.0))
}

/// Fails unless bodies are as they were sent.
fn check(sums: &Field, answer: &[u8]) -> Fallible<()> {
    if sums.all(answer).all(|sum| sum == BODY_MD5.as_bytes()) {
        return Ok(());
    }
    fail("a body is not as it was sent")
}

/// Sends so many messages, or what goes until `by`; how many.
fn fill(running: &Running, url: &str, messages_max: u64, by: Instant) -> Fallible<u64> {
    let sending = Sending::of(running, url, BATCH);
    let mut lines = Lines::open(running.address, CONNECTIONS)?;
    let (mut sent, mut taken) = (0, 0);
    for line in 0..lines.len() {
        lines.send(line, &sending.request)?;
        sent += BATCH as u64;
    }
    while taken < sent {
        lines.read(|_, answer, next| {
            sending.check(answer)?;
            taken += BATCH as u64;
            if sent < messages_max && Instant::now() < by {
                next.extend_from_slice(&sending.request);
                sent += BATCH as u64;
            }
            Ok(())
        })?;
    }
    Ok(sent)
}

/// Receives and deletes all of so many messages.
fn empty(running: &Running, url: &str, messages: u64, connections: usize) -> Fallible<()> {
    let mut consumers = Consumers::open(running.address, url, connections, 0)?;
    consumers.receive()?;
    while !consumers.are_done() {
        let go_on = consumers.deleted < messages;
        consumers.advance(go_on, |_| Ok(()))?;
    }
    check_held(running, url, messages.saturating_sub(consumers.deleted))
}
