//! One producer, one durable queue, one consumer; then latencies at half of what that gave.

use std::time::Duration;

use super::paced::{self, Latencies};
use super::traffic::{self, Manner, Traffic, Way};
use super::{BODY_BYTES, Bench, WINDOW};
use crate::error::Fallible;
use crate::table::{Better, Figure, Target};

pub(super) const ABOUT: &str =
    "1 KiB persistent, confirms in a window of 1,000, 1 producer, 1 consumer; then latency at half the throughput";

/// Row that tells the throughput; another broker is also measured at half of it.
const THROUGHPUT: &str = "throughput";
const DELIVERY_P50: &str = "delivery p50 at half its throughput";

pub(super) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let ways = [Way::through("bench-0")];
    let mut control = running.connect()?;
    control.declare_queue(&ways[0].queue, true)?;
    let measured = bench.pick(Duration::from_secs(15), Duration::from_secs(3));
    let seen = traffic::run(
        &running,
        &Traffic {
            ways: &ways,
            body_bytes: BODY_BYTES,
            manner: Manner::Confirmed { window: WINDOW },
            warm_up: bench.pick(Duration::from_secs(3), Duration::from_secs(1)),
            measured,
            messages_max: 5_000_000,
        },
    )?;
    if let Some(doubt) = seen.doubt() {
        bench.note(doubt);
    }
    let mut figures = seen.figures(10.0, 15.0);

    let paced = |rate: f64| -> Fallible<Latencies> {
        let warm_up = Duration::from_secs(1);
        paced::run(&running, &ways[0].queue, BODY_BYTES, rate, warm_up, bench.pick(measured, Duration::from_secs(2)))
    };
    let Latencies { delivery, confirm } = paced(seen.rate / 2.0)?;
    let lower = |name, millis| Figure::new(name, "ms", millis, Better::Lower);
    figures.push(lower(DELIVERY_P50, delivery.p50_millis));
    figures.push(
        lower("delivery p99 at half its throughput", delivery.p99_millis).target(Target::BelowPeer(DELIVERY_P50)),
    );
    figures.push(lower("confirm p50 at half its throughput", confirm.p50_millis));
    figures.push(lower("confirm p99 at half its throughput", confirm.p99_millis));

    // The slower broker's load is the one at which both can be compared.
    let others = bench.earlier.values("persistent-1k", THROUGHPUT, bench.broker.name());
    if let Some(slowest) = others.into_iter().reduce(f64::min)
        && slowest < seen.rate
    {
        let Latencies { delivery, .. } = paced(slowest / 2.0)?;
        figures.push(lower("delivery p50 at the slowest one's half", delivery.p50_millis));
        figures.push(lower("delivery p99 at the slowest one's half", delivery.p99_millis));
    }
    Ok(figures)
}
