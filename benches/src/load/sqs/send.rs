//! Messages into a queue that nobody reads, with an answer for each request.

use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::json;

use super::{BATCH, Sending, check_held, create};
use crate::error::Fallible;
use crate::load::Bench;
use crate::load::mqtt::{Times, run as watch};
use crate::load::paced::Latency;
use crate::sqs::Lines;
use crate::table::{Better, Figure, Target};

pub(crate) const ABOUT: &str = "SQS, SendMessage of 1 KiB, 64 connections with one request under way each";
pub(crate) const ABOUT_BATCH: &str =
    "SQS, SendMessageBatch of 10 x 1 KiB, 16 connections with one request under way each";

const P50: &str = "answer p50";

pub(crate) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    measure(bench, 64, 1)
}

pub(crate) fn run_batch(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    measure(bench, 16, BATCH)
}

fn measure(bench: &mut Bench<'_>, connections: usize, batch: usize) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let url = create(&running, "bench-send", json!({}))?;
    let sending = Sending::of(&running, &url, batch);
    let mut lines = Lines::open(running.address, connections)?;
    let times = Times::of_compilers(bench);
    let (mut micros, mut sent) = (Vec::new(), 0);
    let seen = watch(
        &running,
        times,
        |lane, switches| {
            let measured_from = Instant::now() + times.warm_up();
            let mut asked_at = vec![Instant::now(); connections];
            for line in 0..connections {
                lines.send(line, &sending.request)?;
                sent += batch as u64;
            }
            let mut taken = 0;
            while taken < sent && !switches.failed.load(Ordering::SeqCst) {
                let stop = switches.stop.load(Ordering::SeqCst);
                lines.read(|line, answer, next| {
                    sending.check(answer)?;
                    taken += batch as u64;
                    let now = Instant::now();
                    if now > measured_from && !stop {
                        micros.push(u32::try_from((now - asked_at[line]).as_micros()).unwrap_or(u32::MAX));
                    }
                    if !stop {
                        next.extend_from_slice(&sending.request);
                        asked_at[line] = now;
                        sent += batch as u64;
                    }
                    Ok(())
                })?;
                lane.sent.store(sent, Ordering::SeqCst);
                lane.taken.store(taken, Ordering::SeqCst);
            }
            Ok(())
        },
        |_, _| Ok(()),
    )?;
    check_held(&running, &url, sent)?;
    let latency = Latency::of(micros)?;
    let mut figures = seen.figures(5.0, 5.0);
    figures.push(Figure::new(P50, "ms", latency.p50_millis, Better::Lower));
    figures.push(Figure::new("answer p99", "ms", latency.p99_millis, Better::Lower).target(Target::BelowPeer(P50)));
    Ok(figures)
}
