//! Eight producers to eight durable queues.

use std::time::Duration;

use super::journal_alone;
use super::traffic::{self, Manner, Traffic, Way};
use super::{BODY_BYTES, Bench, WINDOW};
use crate::error::Fallible;
use crate::table::{Better, Figure, Target};

pub(super) const ABOUT: &str = "the same, 8 producers to 8 queues, 8 consumers; gantry beside its journal's engine alone (8 threads append and settle)";

/// Producers, queues and consumers.
const LANES: usize = 8;

pub(super) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let ways: Vec<Way> = (0..LANES).map(|number| Way::through(&format!("bench-{number}"))).collect();
    let mut control = running.connect()?;
    for way in &ways {
        control.declare_queue(&way.queue, true)?;
    }
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
    if bench.broker.has_our_journal() {
        // Neither shares the disk with the other.
        drop((control, running));
        let folder = bench.folder.join("journal-alone");
        let warm_up = Duration::from_secs(2);
        let window = WINDOW as usize;
        let alone = journal_alone::records_per_second(&folder, LANES as u64, BODY_BYTES, window, warm_up, measured)?;
        figures.push(Figure::new("the journal's engine alone", "records/s", alone, Better::Neither));
        figures.push(
            Figure::new("throughput, of the engine's alone", "%", seen.rate / alone * 100.0, Better::Neither)
                .target(Target::AtLeast(60.0)),
        );
    }
    Ok(figures)
}
