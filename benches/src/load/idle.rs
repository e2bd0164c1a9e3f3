//! Thousands of clients that say nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::traffic::joined;
use super::{Bench, kib, let_it_settle};
use crate::amqp::Connection;
use crate::error::{Fallible, fail};
use crate::process::{own_cpu, raise_open_files};
use crate::table::{Better, Figure, Target};

pub(super) const ABOUT: &str =
    "5,000 connections, each with one channel and one consumer on a shared queue; 16 open at a time, no step skipped";

const OPENERS: u64 = 16;
const QUEUE: &str = "bench-idle";
/// Open files that this program and the broker need beyond the connections.
const SPARE_FILES: u64 = 200;

pub(super) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let wanted = bench.pick(5_000, 500);
    let files = raise_open_files();
    if files < wanted + SPARE_FILES {
        return fail(format!("{wanted} connections need more than the {files} open files that are allowed"));
    }
    let running = bench.start()?;
    let mut control = running.connect()?;
    control.declare_queue(QUEUE, true)?;
    let_it_settle();

    let before_bytes = running.process.resident_bytes()?;
    let (server_before, client_before) = (running.process.cpu()?, own_cpu());
    let started = Instant::now();
    let next = AtomicU64::new(0);
    let connections: Vec<Connection> = thread::scope(|scope| {
        let open = || -> Fallible<Vec<Connection>> {
            let mut opened = Vec::new();
            while next.fetch_add(1, Ordering::SeqCst) < wanted {
                let mut connection = Connection::open_with_buffer(running.address, 1024)?;
                connection.consume(QUEUE, 0, false)?;
                opened.push(connection);
            }
            Ok(opened)
        };
        let openers: Vec<_> = (0..OPENERS).map(|_| scope.spawn(open)).collect();
        let opened: Vec<Fallible<Vec<Connection>>> = openers.into_iter().map(joined).collect();
        opened.into_iter().collect::<Fallible<Vec<_>>>()
    })?
    .into_iter()
    .flatten()
    .collect();
    let took = started.elapsed();
    let opened = connections.len() as f64;
    let server = running.process.cpu()? - server_before;
    let client = own_cpu() - client_before;
    let_it_settle();
    let after_bytes = running.process.resident_bytes()?;
    // Still served: the memory is that of connections which work.
    control.queue_length(QUEUE)?;
    for connection in connections {
        connection.close()?;
    }

    let micros = |time: std::time::Duration| time.as_secs_f64() * 1e6 / opened;
    Ok(vec![
        Figure::new("connections opened", "1/s", opened / took.as_secs_f64(), Better::Higher)
            .target(Target::AtLeast(2000.0)),
        Figure::new("server CPU per connection opened", "µs", micros(server), Better::Lower),
        Figure::new("load generator's CPU per connection opened", "µs", micros(client), Better::Neither),
        Figure::new(
            "resident memory per connection",
            "KiB",
            kib((after_bytes as f64 - before_bytes as f64) / opened),
            Better::Lower,
        )
        .target(Target::AtMost(20.0)),
    ])
}
