//! Messages that must not get lost: a receipt for each.

use std::sync::atomic::Ordering;

use crate::error::{Fallible, fail};
use crate::load::mqtt::{Drain, Times, keep_near, run as watch};
use crate::load::{BODY_BYTES, Bench, WINDOW};
use crate::stomp::{FrameCount, send};
use crate::table::Figure;

pub(crate) const ABOUT: &str = "STOMP, 1 KiB persistent to a durable queue, a receipt for each SEND in a window of 1,000, 1 subscriber that acknowledges every 100";

const DESTINATION: &str = "/queue/bench-persistent";
const RUN: u64 = 50;
const AHEAD_MAX: u64 = 4_000;
/// Messages that the subscriber may hold.
const PREFETCH: &str = "1000";
const ACK_EVERY: u64 = 100;

pub(crate) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let mut subscriber = running.connect_stomp()?;
    subscriber.subscribe(DESTINATION, &[("ack", "client"), ("prefetch-count", PREFETCH)])?;
    let mut publisher = running.connect_stomp()?;
    let bytes = send(DESTINATION, &[("persistent", "true"), ("receipt", "1")], BODY_BYTES).repeat(RUN as usize);
    let seen = watch(
        &running,
        Times::of(bench),
        move |lane, switches| {
            let (mut sent, mut receipts) = (0, FrameCount::default());
            loop {
                let stop = switches.stop.load(Ordering::SeqCst);
                if stop && sent == receipts.frames || switches.failed.load(Ordering::SeqCst) {
                    return Ok(());
                }
                if !stop && sent + RUN <= receipts.frames + WINDOW {
                    keep_near(lane, switches, sent + RUN, 1, AHEAD_MAX);
                    publisher.send(&bytes)?;
                    sent += RUN;
                    lane.sent.store(sent, Ordering::SeqCst);
                    continue;
                }
                publisher.count(&mut receipts)?;
                if receipts.frames > sent {
                    return fail(format!("{} receipts for {sent} messages", receipts.frames));
                }
            }
        },
        move |lane, switches| {
            let (mut taken, mut acknowledged, mut drain) = (FrameCount::default(), 0, Drain::new(1));
            while !drain.is_done(lane, switches, taken.frames)? {
                subscriber.count(&mut taken)?;
                if taken.frames >= acknowledged + ACK_EVERY {
                    acknowledged = taken.frames;
                    subscriber.ack_last()?;
                }
                lane.taken.store(taken.frames, Ordering::SeqCst);
            }
            taken.check_bodies(BODY_BYTES)
        },
    )?;
    if let Some(doubt) = seen.doubt() {
        bench.note(doubt);
    }
    Ok(seen.figures(10.0, 20.0))
}
