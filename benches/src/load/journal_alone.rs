//! The journal's own engine without a broker around it: what the disk and the file format allow.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gantry_storage::{Append, EmbeddedJournal, Journal, JournalOptions, Position, Recovered, Recovery, Ref, Ticket};

use super::traffic::joined;
use crate::error::{Fallible, fail};

/// The folder is empty: nothing is alive.
struct Nothing;

impl Recovery for Nothing {
    fn entry(&mut self, _entry: Recovered<'_>) {}
    fn note(&mut self, _lane: u64, _value: u64) {}
}

/// Records a second that become durable: `threads` append `payload_bytes` each, with at most `window` not yet durable, and
/// settle what is, as consumers would.
pub(super) fn records_per_second(
    folder: &Path,
    threads: u64,
    payload_bytes: usize,
    window: usize,
    warm_up: Duration,
    measured: Duration,
) -> Fallible<f64> {
    let journal = EmbeddedJournal::open(folder, JournalOptions::default(), &mut Nothing)?;
    let durable = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let rate = thread::scope(|scope| {
        let lanes: Vec<_> = (0..threads)
            .map(|lane| {
                let (journal, durable, stop) = (&journal, &durable, &stop);
                scope.spawn(move || {
                    let outcome = append_and_settle(journal, lane, payload_bytes, window, durable, stop);
                    // One that failed must not leave the others to be measured.
                    stop.store(true, Ordering::SeqCst);
                    outcome
                })
            })
            .collect();
        let after = |time: Duration| {
            let started = Instant::now();
            while started.elapsed() < time && !stop.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(5));
            }
            (Instant::now(), durable.load(Ordering::SeqCst))
        };
        let (started, before) = after(warm_up);
        let (ended, now) = after(measured);
        stop.store(true, Ordering::SeqCst);
        lanes.into_iter().try_for_each(joined)?;
        Ok::<f64, crate::error::Error>((now - before) as f64 / (ended - started).as_secs_f64())
    })?;
    journal.close()?;
    Ok(rate)
}

fn append_and_settle(
    journal: &dyn Journal,
    lane: u64,
    payload_bytes: usize,
    window: usize,
    durable: &AtomicU64,
    stop: &AtomicBool,
) -> Fallible<()> {
    let payload = vec![0x5A; payload_bytes];
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut synced = journal.watch();
    let mut under_way: VecDeque<(Position, Ticket)> = VecDeque::with_capacity(window);
    let mut done = Vec::with_capacity(window);
    let mut seq = 0;
    while !stop.load(Ordering::SeqCst) {
        while under_way.len() < window {
            let append = Append { refs: &[Ref { lane, seq }], meta: &[], payload: &[&payload] };
            let appended = journal.append(append)?;
            under_way.push_back((appended.position, appended.ticket));
            seq += 1;
        }
        if runtime.block_on(synced.changed()).is_err() {
            return fail("the journal has failed");
        }
        let reached = *synced.borrow_and_update();
        while let Some(&(position, ticket)) = under_way.front()
            && ticket <= reached
        {
            done.push(position);
            under_way.pop_front();
        }
        journal.settle(&done)?;
        durable.fetch_add(done.len() as u64, Ordering::SeqCst);
        done.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_all_threads_become_durable() {
        let folder = tempfile::tempdir().unwrap();
        let (warm_up, measured) = (Duration::from_millis(20), Duration::from_millis(300));
        let journal = folder.path().join("journal");
        let rate = records_per_second(&journal, 3, 100, 50, warm_up, measured).unwrap();
        assert!(rate > 0.0);
        println!("{rate:.0} records/s");
    }
}
