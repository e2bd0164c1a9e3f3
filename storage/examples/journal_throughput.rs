//! What the journal takes alone: records appended with a window of tickets in flight, then settled, then recovered.
//!
//! `cargo run --release -p gantry-storage --example journal_throughput -- [FOLDER] [--records N] [--bytes N] [--window N]
//! [--seconds N] [--recover N]`. The folder (a temporary one if none is named) is on the disk that is to be measured.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_storage::{
    Append, EmbeddedJournal, Journal, JournalOptions, Position, Reading, Recovered, Recovery, Ref, Ticket,
};

#[derive(Default)]
struct Counted(u64);

impl Recovery for Counted {
    fn entry(&mut self, _: Recovered<'_>) {
        self.0 += 1;
    }

    fn note(&mut self, _: u64, _: u64) {}
}

struct Options {
    dir: Option<PathBuf>,
    bytes: usize,
    window: usize,
    seconds: u64,
    recover: u64,
}

fn options() -> Result<Options, String> {
    let mut options = Options { dir: None, bytes: 1024, window: 4096, seconds: 5, recover: 1_000_000 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().ok_or(format!("{argument} needs a number"))?;
            value.parse::<u64>().map_err(|error| format!("{argument} {value}: {error}"))
        };
        match argument.as_str() {
            "--bytes" => options.bytes = number()? as usize,
            "--window" => options.window = number()? as usize,
            "--seconds" => options.seconds = number()?,
            "--recover" => options.recover = number()?,
            other if other.starts_with('-') => return Err(format!("unknown option {other}")),
            other => options.dir = Some(other.into()),
        }
    }
    Ok(options)
}

/// User and system time of this process, in microseconds.
fn cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // utime and stime, in ticks of 10 ms.
    [11, 12].iter().filter_map(|&at| fields.get(at)?.parse::<u64>().ok()).sum::<u64>() * 10_000
}

fn open(dir: &Path) -> (EmbeddedJournal, u64, Duration) {
    let begin = Instant::now();
    let mut counted = Counted::default();
    let options = JournalOptions { disk_free_min_bytes: 0, ..JournalOptions::default() };
    match EmbeddedJournal::open(dir, options, &mut counted) {
        Ok(journal) => (journal, counted.0, begin.elapsed()),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}

/// Appends from one thread; settles what is durable, in runs, as consumers do.
fn work(journal: &dyn Journal, lane: u64, payload: &[u8], window: usize, until: Instant) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without a driver");
    let mut watch = journal.watch();
    let mut inflight: VecDeque<(Ticket, Position)> = VecDeque::with_capacity(window);
    let mut settled = Vec::with_capacity(window);
    let mut count = 0;
    while Instant::now() < until {
        while inflight.len() < window {
            let refs = [Ref { lane, seq: count }];
            let appended =
                journal.append(Append { refs: &refs, meta: b"12345678", payload: &[payload] }).expect("space");
            inflight.push_back((appended.ticket, appended.position));
            count += 1;
        }
        let oldest = inflight[0].0;
        let reached =
            runtime.block_on(async { watch.wait_for(|ticket| *ticket >= oldest).await.map(|ticket| *ticket) });
        let Ok(reached) = reached else { return count };
        settled.clear();
        while let Some(&(ticket, position)) = inflight.front()
            && ticket <= reached
        {
            settled.push(position);
            inflight.pop_front();
        }
        journal.settle(&settled).expect("settled");
    }
    let rest: Vec<Position> = inflight.iter().map(|(_, position)| *position).collect();
    if let Ok(ticket) = journal.settle(&rest) {
        let _ = runtime.block_on(watch.wait_for(|durable| *durable >= ticket));
    }
    count
}

fn throughput(dir: &Path, options: &Options, threads: usize) {
    let (journal, _, _) = open(dir);
    let journal: Arc<dyn Journal> = Arc::new(journal);
    let run = |seconds: u64| {
        let until = Instant::now() + Duration::from_secs(seconds);
        let workers: Vec<_> = (0..threads)
            .map(|lane| {
                let journal = Arc::clone(&journal);
                let (payload, window) = (vec![0x5a; options.bytes], options.window / threads);
                std::thread::spawn(move || work(&*journal, lane as u64, &payload, window, until))
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(0)).sum::<u64>()
    };
    // Until there are segments to recycle.
    run(2);
    let (before, cpu, begin) = (journal.usage(), cpu_us(), Instant::now());
    let count = run(options.seconds);
    let (after, seconds) = (journal.usage(), begin.elapsed().as_secs_f64());
    let cpu = (cpu_us() - cpu) as f64;
    println!(
        "{threads} threads, {} B, window {}: {:.0} records/s, {:.0} syncs/s, {:.1} MB/s written ({:.1} B a record), \
         {:.2} us of CPU a record, disk {} MiB",
        options.bytes,
        options.window,
        count as f64 / seconds,
        (after.syncs - before.syncs) as f64 / seconds,
        (after.written_bytes - before.written_bytes) as f64 / seconds / 1e6,
        (after.written_bytes - before.written_bytes) as f64 / count as f64,
        cpu / count as f64,
        after.disk_bytes >> 20,
    );
    if let Err(error) = journal.close() {
        eprintln!("{error}");
    }
}

fn recovery(dir: &Path, records: u64, bytes: usize) {
    let (journal, _, _) = open(dir);
    let payload = vec![0x5a; bytes];
    let mut last = Ticket::default();
    let mut sample = Vec::new();
    let begin = Instant::now();
    for seq in 0..records {
        let refs = [Ref { lane: 1, seq }];
        let appended = journal.append(Append { refs: &refs, meta: b"12345678", payload: &[&payload] }).expect("space");
        last = appended.ticket;
        if seq % 1000 < 100 {
            sample.push(Reading { position: appended.position, payload_bytes: bytes as u32 });
        }
        if seq % 16 == 0 {
            while journal.backlog_bytes() > 64 << 20 {
                std::thread::yield_now();
            }
        }
    }
    while journal.durable() < last {
        std::thread::yield_now();
    }
    println!("{records} x {bytes} B written in {:.2} s", begin.elapsed().as_secs_f64());
    drop(journal);
    for what in ["crash", "close"] {
        let cpu = cpu_us();
        let (journal, found, took) = open(dir);
        println!(
            "{found} x {bytes} B ready {:.3} s after a {what}, {:.2} s of CPU",
            took.as_secs_f64(),
            (cpu_us() - cpu) as f64 / 1e6
        );
        let begin = Instant::now();
        let read = sample.chunks(100).flat_map(|chunk| journal.read(chunk)).filter(Result::is_ok).count();
        println!("read back {:.0} records/s", read as f64 / begin.elapsed().as_secs_f64());
        if let Err(error) = journal.close() {
            eprintln!("{error}");
        }
    }
}

fn main() -> Result<(), String> {
    let options = options()?;
    let base = options.dir.clone().unwrap_or_else(std::env::temp_dir).join(format!("journal-{}", std::process::id()));
    for threads in [1, 8] {
        throughput(&base.join(format!("threads-{threads}")), &options, threads);
        std::fs::remove_dir_all(&base).map_err(|error| error.to_string())?;
    }
    if options.recover > 0 {
        recovery(&base.join("recovery"), options.recover, options.bytes);
        std::fs::remove_dir_all(&base).map_err(|error| error.to_string())?;
    }
    Ok(())
}
