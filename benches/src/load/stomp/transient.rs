//! Small messages that nobody wants to keep.

use std::sync::atomic::Ordering;

use crate::error::Fallible;
use crate::load::Bench;
use crate::load::mqtt::{Drain, Times, keep_near, run as watch};
use crate::stomp::{FrameCount, send};
use crate::table::Figure;

pub(crate) const ABOUT: &str = "STOMP, 64 B transient to a topic, 1 publisher (at most 4,000 ahead), 1 subscriber";

const DESTINATION: &str = "/topic/bench-transient";
const BODY_BYTES: usize = 64;
const RUN: u64 = 250;
const AHEAD_MAX: u64 = 4_000;

pub(crate) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let mut subscriber = running.connect_stomp()?;
    subscriber.subscribe(DESTINATION, &[("ack", "auto")])?;
    let mut publisher = running.connect_stomp()?;
    let bytes = send(DESTINATION, &[], BODY_BYTES).repeat(RUN as usize);
    let seen = watch(
        &running,
        Times::of(bench),
        move |lane, switches| {
            let mut sent = 0;
            while !switches.stop.load(Ordering::SeqCst) {
                keep_near(lane, switches, sent + RUN, 1, AHEAD_MAX);
                publisher.send(&bytes)?;
                sent += RUN;
                lane.sent.store(sent, Ordering::SeqCst);
            }
            publisher.close()
        },
        move |lane, switches| {
            let (mut taken, mut drain) = (FrameCount::default(), Drain::new(1));
            while !drain.is_done(lane, switches, taken.frames)? {
                subscriber.count(&mut taken)?;
                lane.taken.store(taken.frames, Ordering::SeqCst);
            }
            taken.check_bodies(BODY_BYTES)
        },
    )?;
    if let Some(doubt) = seen.doubt() {
        bench.note(doubt);
    }
    Ok(seen.figures(10.0, 10.0))
}
