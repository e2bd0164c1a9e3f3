//! Messages that wait their time out in one queue and are consumed from another.

use std::time::Duration;

use super::traffic::{self, Manner, Traffic, Way};
use super::{BODY_BYTES, Bench, WINDOW};
use crate::amqp::frame::Field;
use crate::error::Fallible;
use crate::table::Figure;

pub(super) const ABOUT: &str = "1 KiB persistent, confirms, into a queue with a time to live of 10 ms whose dead letters are consumed from another";

pub(super) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let ways = [Way { key: "bench-wait".into(), queue: "bench-dead".into(), priorities: 0 }];
    let mut control = running.connect()?;
    control.declare_queue(&ways[0].queue, true)?;
    let arguments = [
        ("x-message-ttl", Field::Number(10)),
        ("x-dead-letter-exchange", Field::Text("")),
        ("x-dead-letter-routing-key", Field::Text(&ways[0].queue)),
    ];
    control.declare_queue_with(&ways[0].key, &arguments)?;
    let seen = traffic::run(
        &running,
        &Traffic {
            ways: &ways,
            body_bytes: BODY_BYTES,
            manner: Manner::Confirmed { window: WINDOW },
            warm_up: bench.pick(Duration::from_secs(3), Duration::from_secs(1)),
            measured: bench.pick(Duration::from_secs(15), Duration::from_secs(3)),
            messages_max: 5_000_000,
        },
    )?;
    if let Some(doubt) = seen.doubt() {
        bench.note(doubt);
    }
    Ok(seen.figures(8.0, 8.0))
}
