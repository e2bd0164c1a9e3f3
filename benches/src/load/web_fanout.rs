//! One message to ten thousand pages.

use std::sync::atomic::Ordering;

use super::mqtt::{Drain, Times, connections_of, keep_near};
use super::{Bench, kib, let_it_settle, mqtt};
use crate::error::Fallible;
use crate::table::{Better, Figure, Target};
use crate::web_stomp::{Crowd, Publisher, send};

pub(crate) const ABOUT: &str = "STOMP 1.2 over WebSocket, 64 B, 1 publisher (at most 4 ahead), 10,000 subscribers of one topic, or as many \
     as a process may have; figures by message delivered";

const DESTINATION: &str = "/topic/bench.fanout";
const BODY_BYTES: usize = 64;
const SUBSCRIBERS: usize = 10_000;
const AHEAD_MAX: u64 = 4;

pub(crate) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let count = bench.pick(connections_of(SUBSCRIBERS), 200);
    if count < SUBSCRIBERS && !bench.quick {
        bench.note(format!("{count} connections: a process may not have more open files here"));
    }
    let_it_settle();
    let before_bytes = running.process.resident_bytes()?;
    let mut crowd = Crowd::join(running.address, count, DESTINATION)?;
    let_it_settle();
    let each = (running.process.resident_bytes()? as f64 - before_bytes as f64) / crowd.len() as f64;
    let mut publisher = Publisher::open_web(running.address)?;
    let bytes = send(DESTINATION, BODY_BYTES);
    let copies = crowd.len() as u64;
    let seen = mqtt::run(
        &running,
        Times::of(bench),
        move |lane, switches| {
            let mut sent = 0;
            while !switches.stop.load(Ordering::SeqCst) {
                keep_near(lane, switches, sent + 1, copies, AHEAD_MAX);
                publisher.send(&bytes)?;
                sent += 1;
                lane.sent.store(sent, Ordering::SeqCst);
            }
            publisher.close()
        },
        move |lane, switches| {
            let (mut taken, mut drain) = (0, Drain::new(copies));
            while !drain.is_done(lane, switches, taken)? {
                taken += crowd.read()?;
                lane.taken.store(taken, Ordering::SeqCst);
            }
            Ok(())
        },
    )?;
    let mut figures = seen.figures(5.0, 5.0);
    let memory = Figure::new("memory per connection, subscribed and idle", "KiB", kib(each), Better::Lower);
    figures.push(memory.target(Target::AtMost(12.0)));
    Ok(figures)
}
