//! Small messages that nobody wants to keep.

use std::sync::atomic::Ordering;

use super::{Drain, Times, keep_near};
use crate::error::Fallible;
use crate::load::Bench;
use crate::load::traffic::Seen;
use crate::mqtt::publish;
use crate::peer::Running;
use crate::table::Figure;

pub(crate) const ABOUT: &str = "MQTT, 64 B, QoS 0, 1 publisher (at most 4,000 ahead), 1 subscriber";

const TOPIC: &str = "bench/qos0";
const BODY_BYTES: usize = 64;
const RUN: u64 = 250;
const AHEAD_MAX: u64 = 4_000;

pub(crate) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let seen = measure(bench, &running)?;
    if let Some(doubt) = seen.doubt() {
        bench.note(doubt);
    }
    Ok(seen.figures(3.0, 3.0))
}

/// Runs it against a broker, by the transport that it was started for.
pub(super) fn measure(bench: &Bench<'_>, running: &Running) -> Fallible<Seen> {
    let mut subscriber = running.connect_mqtt("bench-subscriber")?;
    subscriber.subscribe(TOPIC, 0)?;
    let mut publisher = running.connect_mqtt("bench-publisher")?;
    let bytes = publisher.encoded(publish(TOPIC, BODY_BYTES, None)).repeat(RUN as usize);
    super::run(
        running,
        Times::of(bench),
        move |lane, switches| {
            let mut sent = 0;
            while !switches.stop.load(Ordering::SeqCst) {
                keep_near(lane, switches, sent + RUN, 1, AHEAD_MAX);
                publisher.send(&bytes)?;
                sent += RUN;
                lane.sent.store(sent, Ordering::SeqCst);
            }
            publisher.ping()
        },
        move |lane, switches| {
            let (mut taken, mut drain) = (0, Drain::new(1));
            while !drain.is_done(lane, switches, taken)? {
                if subscriber.fill()? {
                    while let Some(arrived) = subscriber.next()? {
                        taken += u64::from(arrived.is_publish());
                    }
                    lane.taken.store(taken, Ordering::SeqCst);
                }
            }
            Ok(())
        },
    )
}
