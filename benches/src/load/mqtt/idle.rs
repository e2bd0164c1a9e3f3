//! Devices that are connected and say nothing.

use std::time::Instant;

use super::connections_of;
use crate::error::Fallible;
use crate::load::{Bench, kib, let_it_settle, mib};
use crate::mqtt::{Crowd, FilterOf, Joining};
use crate::process::own_cpu;
use crate::table::{Better, Figure, Target};

pub(crate) const ABOUT: &str = "MQTT, 50,000 idle connections, or as many as a process may have; then the same with a subscription each; \
     64 connect at a time";

const WANTED: usize = 50_000;

pub(crate) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let count = bench.pick(connections_of(WANTED), 500);
    if count < WANTED {
        bench.note(format!("{count} connections: a process may not have more open files here"));
    }
    let mut figures = Vec::new();
    let command = |number| format!("devices/{number}/commands");
    for (subscribes, opened, cpu, memory, target) in [
        (None, "connections opened", "server CPU per connection opened", "memory per connection", Some(6.0)),
        (
            Some((command as FilterOf, 0)),
            "connections opened, with a subscription",
            "server CPU per connection opened, with a subscription",
            "memory per connection, with a subscription",
            None,
        ),
    ] {
        let folder = bench.folder.join(if subscribes.is_some() { "subscribed" } else { "idle" });
        std::fs::create_dir(&folder)?;
        let settings = crate::peer::Settings { protocol: bench.protocol, ..Default::default() };
        let running = crate::peer::Running::start(bench.broker, &folder, settings)?;
        let_it_settle();
        let before_bytes = running.process.resident_bytes()?;
        let (server_before, client_before) = (running.process.cpu()?, own_cpu());
        let started = Instant::now();
        let joining = Joining { prefix: "bench-device-", clean: true, subscribes };
        let mut crowd = Crowd::join(running.address, 0..count, &joining)?;
        let took = started.elapsed();
        let server = running.process.cpu()? - server_before;
        let client = own_cpu() - client_before;
        // What they have said and heard is to be forgotten, but each is to work.
        crowd.ping_all()?;
        let_it_settle();
        let bytes = running.process.resident_bytes()? as f64 - before_bytes as f64;
        let each = crowd.len() as f64;
        figures.push(Figure::new(opened, "1/s", each / took.as_secs_f64(), Better::Higher));
        figures.push(Figure::new(cpu, "µs", server.as_secs_f64() * 1e6 / each, Better::Lower));
        if subscribes.is_none() {
            let each = client.as_secs_f64() * 1e6 / each;
            figures.push(Figure::new("load generator's CPU per connection opened", "µs", each, Better::Neither));
        }
        let figure = Figure::new(memory, "KiB", kib(bytes / each), Better::Lower);
        figures.push(target.map_or(figure, |most| figure.target(Target::AtMost(most))));
        if subscribes.is_none() {
            let all = mib(bytes / each * WANTED as f64);
            let figure = Figure::new("memory of 50,000, by the memory of each", "MiB", all, Better::Lower);
            figures.push(figure.target(Target::AtMost(300.0)));
        }
    }
    Ok(figures)
}
