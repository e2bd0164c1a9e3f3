//! The start on an empty folder, and the size of the program.

use std::fs;
use std::process::Command;

use super::{Bench, mib, millis};
use crate::error::{Fallible, fail};
use crate::peer::{Running, Settings};
use crate::table::{Better, Figure, Target, median};

pub(super) const ABOUT: &str =
    "start on an empty folder until a client is logged in (median of 5), and the size of the stripped program";

pub(super) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let mut ready = Vec::new();
    let mut resident = Vec::new();
    for number in 0..bench.pick(5, 2) {
        let folder = bench.folder.join(number.to_string());
        fs::create_dir(&folder)?;
        let running = Running::start(bench.broker, &folder, Settings::default())?;
        ready.push(millis(running.ready_after));
        resident.push(mib(running.process.resident_bytes()? as f64));
    }
    let mut figures = vec![
        Figure::new("ready after", "ms", median(&ready), Better::Lower).target(Target::AtMost(100.0)),
        Figure::new("resident memory when ready", "MiB", median(&resident), Better::Lower),
    ];
    if let Some(binary) = bench.broker.binary() {
        let stripped = bench.folder.join("stripped");
        match Command::new("strip").arg("-o").arg(&stripped).arg(binary).status() {
            Ok(status) if status.success() => {
                let size = mib(fs::metadata(&stripped)?.len() as f64);
                figures.push(Figure::new("program, stripped", "MiB", size, Better::Lower).target(Target::AtMost(20.0)));
            }
            Ok(status) => return fail(format!("strip ended with {status}")),
            Err(error) => bench.note(format!("the size of the program is not told: strip: {error}")),
        }
    }
    Ok(figures)
}
