//! Small messages that nobody wants to keep.

use std::time::Duration;

use super::Bench;
use super::traffic::{self, Manner, Traffic, Way};
use crate::error::Fallible;
use crate::table::Figure;

pub(super) const ABOUT: &str =
    "64 B transient, automatic acknowledgement, 1 producer (at most 10,000 ahead), 1 consumer";

const BODY_BYTES: usize = 64;
const AHEAD_MAX: u64 = 10_000;

pub(super) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let ways = [Way::through("bench-0")];
    let mut control = running.connect()?;
    control.declare_queue(&ways[0].queue, false)?;
    let seen = traffic::run(
        &running,
        &Traffic {
            ways: &ways,
            body_bytes: BODY_BYTES,
            manner: Manner::Automatic { ahead_max: AHEAD_MAX },
            warm_up: bench.pick(Duration::from_secs(2), Duration::from_secs(1)),
            measured: bench.pick(Duration::from_secs(10), Duration::from_secs(3)),
            messages_max: 20_000_000,
        },
    )?;
    if let Some(doubt) = seen.doubt() {
        bench.note(doubt);
    }
    Ok(seen.figures(10.0, 20.0))
}
