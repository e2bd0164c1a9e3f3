//! Everybody comes back at once, with sessions that are kept, while one client works on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::connections_of;
use crate::error::Fallible;
use crate::load::traffic::joined;
use crate::load::{Bench, let_it_settle, mib};
use crate::mqtt::{Crowd, Joining, publish};
use crate::table::{Better, Figure};

pub(crate) const ABOUT: &str = "MQTT, 20,000 kept sessions with a QoS 1 subscription each (or as many as a process may have) lose their connections \
     and come back, 4 x 64 at a time, while another client sends to itself";

const WANTED: usize = 20_000;
const THREADS: usize = 4;

/// Sends to itself, one message after the other, and measures how long each takes.
fn bystand(address: std::net::SocketAddr, stop: &AtomicBool) -> Fallible<Vec<Duration>> {
    let mut client = crate::mqtt::Client::open(address, "bench-bystander")?;
    client.subscribe("bench/bystander", 0)?;
    let bytes = publish("bench/bystander", 64, None);
    let mut times = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let sent = Instant::now();
        client.send(&bytes)?;
        let mut came = false;
        while !came {
            client.fill()?;
            while let Some(arrived) = client.next()? {
                came |= arrived.is_publish();
            }
        }
        times.push(sent.elapsed());
        thread::sleep(Duration::from_millis(2));
    }
    Ok(times)
}

pub(crate) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let count = bench.pick(connections_of(WANTED), 400) / THREADS * THREADS;
    if count < WANTED {
        bench.note(format!("{count} connections: a process may not have more open files here"));
    }
    let running = bench.start()?;
    let command = |number| format!("devices/{number}/commands");
    let join = || -> Fallible<Vec<Crowd>> {
        thread::scope(|scope| {
            let each = count / THREADS;
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let address = running.address;
                    let joining = Joining { prefix: "bench-device-", clean: false, subscribes: Some((command, 1)) };
                    scope.spawn(move || Crowd::join(address, thread * each..(thread + 1) * each, &joining))
                })
                .collect();
            threads.into_iter().map(joined).collect()
        })
    };
    let crowds = join()?;
    let_it_settle();
    let before_bytes = running.process.resident_bytes()?;
    drop(crowds);
    let stop = AtomicBool::new(false);
    let (took, mut times, peak_bytes) = thread::scope(|scope| {
        let bystander = scope.spawn(|| bystand(running.address, &stop));
        let started = Instant::now();
        let crowds = join();
        let took = started.elapsed();
        let peak_bytes = running.process.resident_bytes();
        stop.store(true, Ordering::SeqCst);
        let times = joined(bystander);
        crowds?;
        Fallible::Ok((took, times?, peak_bytes?))
    })?;
    times.sort_unstable();
    let at = |share: f64| times.get(((times.len().max(1) - 1) as f64 * share) as usize).copied().unwrap_or_default();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(vec![
        Figure::new("sessions resumed", "1/s", count as f64 / took.as_secs_f64(), Better::Higher),
        Figure::new("a bystander's message meanwhile, p50", "ms", ms(at(0.5)), Better::Lower),
        Figure::new("a bystander's message meanwhile, p99", "ms", ms(at(0.99)), Better::Lower),
        Figure::new("memory before", "MiB", mib(before_bytes as f64), Better::Lower),
        Figure::new("memory after", "MiB", mib(peak_bytes as f64), Better::Lower),
    ])
}
