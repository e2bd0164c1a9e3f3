//! A queue with ten priorities.

use std::time::Duration;

use super::traffic::{self, Manner, Traffic, Way};
use super::{BODY_BYTES, Bench, WINDOW};
use crate::amqp::frame::Field;
use crate::error::Fallible;
use crate::table::Figure;

pub(super) const ABOUT: &str = "1 KiB persistent, confirms, priorities 0 to 9 by turns, 1 producer, 1 consumer";

pub(super) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let ways = [Way { priorities: 10, ..Way::through("bench-priority") }];
    let mut control = running.connect()?;
    control.declare_queue_with(&ways[0].queue, &[("x-max-priority", Field::Number(10))])?;
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
