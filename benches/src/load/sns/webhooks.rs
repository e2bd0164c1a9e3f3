//! A topic whose subscriptions are a hundred HTTP endpoints.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::TAKEN;
use crate::error::{Fallible, fail};
use crate::load::Bench;
use crate::load::mqtt::{Drain, Times, keep_near, run as watch};
use crate::load::paced::Latency;
use crate::sns;
use crate::sqs::Lines;
use crate::table::{Better, Figure, Target};
use crate::webhooks::Webhooks;

pub(crate) const ABOUT: &str =
    "SNS, Publish of 256 B to 100 webhooks (at most 20 Publishes ahead of them), signed where the broker signs";

const ENDPOINTS: usize = 100;
const BODY_BYTES: usize = 256;
const AHEAD_MAX: u64 = 20;
/// Deliveries a second that there are to be.
const RATE_LEAST: f64 = 1_000.0;

pub(crate) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let mut webhooks = Webhooks::open()?;
    let topic = sns::create(running.address, "bench-webhooks")?;
    for endpoint in 0..ENDPOINTS {
        let url = format!("http://{}/{endpoint}", webhooks.address());
        let parameters = [("TopicArn", topic.as_str()), ("Protocol", "http"), ("Endpoint", &url)];
        sns::call(running.address, "Subscribe", &parameters)?;
    }
    webhooks.confirm(running.address, &topic, ENDPOINTS)?;
    let mut line = Lines::open(running.address, 1)?;
    let times = Times::of(bench);
    let begun = Instant::now();
    let measured_from = begun + times.warm_up();
    let mut micros = Vec::new();
    let seen = watch(
        &running,
        times,
        |lane, switches| {
            let mut sent = 0;
            while !switches.stop.load(Ordering::SeqCst) {
                keep_near(lane, switches, sent + 1, ENDPOINTS as u64, AHEAD_MAX);
                let body = format!("{:0>BODY_BYTES$}", begun.elapsed().as_micros());
                line.send(0, &sns::request(running.address, "Publish", &[("TopicArn", &topic), ("Message", &body)]))?;
                let mut is_answered = false;
                while !is_answered {
                    line.read(|_, answer, _| {
                        is_answered = memchr::memmem::find(answer, TAKEN).is_some();
                        if is_answered { Ok(()) } else { fail(String::from_utf8_lossy(answer)) }
                    })?;
                }
                sent += 1;
                lane.sent.store(sent, Ordering::SeqCst);
            }
            Ok(())
        },
        |lane, switches| {
            let (mut taken, mut drain) = (0, Drain::new(ENDPOINTS as u64));
            while !drain.is_done(lane, switches, taken)? {
                webhooks.read(|notification| {
                    taken += 1;
                    if let Some(sent) = notification.number_in("Message")
                        && Instant::now() > measured_from
                    {
                        let now = begun.elapsed().as_micros() as u64;
                        micros.push(u32::try_from(now.saturating_sub(sent)).unwrap_or(u32::MAX));
                    }
                    Ok(())
                })?;
                lane.taken.store(taken, Ordering::SeqCst);
            }
            Ok(())
        },
    )?;
    let latency = Latency::of(micros)?;
    Ok(vec![
        Figure::new("deliveries", "1/s", seen.rate, Better::Higher).target(Target::AtLeast(RATE_LEAST)),
        Figure::new("server CPU per delivery", "µs", seen.server_micros, Better::Lower),
        Figure::new("load generator's CPU per delivery", "µs", seen.client_micros, Better::Neither),
        Figure::new("Publish to webhook p50", "ms", latency.p50_millis, Better::Lower),
        Figure::new("Publish to webhook p99", "ms", latency.p99_millis, Better::Lower),
    ])
}
