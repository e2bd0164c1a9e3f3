//! Eight producers to eight durable queues.

use std::time::Duration;

use super::traffic::{self, Manner, Traffic};
use super::{BODY_BYTES, Bench, WINDOW};
use crate::error::Fallible;
use crate::table::Figure;

pub(super) const ABOUT: &str = "the same, 8 producers to 8 queues, 8 consumers";

/// Producers, queues and consumers.
const LANES: usize = 8;

pub(super) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let queues: Vec<String> = (0..LANES).map(|number| format!("bench-{number}")).collect();
    let mut control = running.connect()?;
    for queue in &queues {
        control.declare_queue(queue, true)?;
    }
    let measured = bench.pick(Duration::from_secs(15), Duration::from_secs(3));
    let seen = traffic::run(
        &running,
        &Traffic {
            queues: &queues,
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
    Ok(seen.figures(10.0, 15.0))
}
