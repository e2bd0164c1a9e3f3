//! One message to a thousand subscribers.

use std::sync::atomic::Ordering;

use super::{Drain, Times, keep_near};
use crate::error::Fallible;
use crate::load::Bench;
use crate::mqtt::{Crowd, Joining, publish};
use crate::table::Figure;

pub(crate) const ABOUT: &str =
    "MQTT, 64 B, QoS 0, 1 publisher (at most 50 ahead), 1,000 subscribers; figures by message delivered";

const TOPIC: &str = "bench/fanout";
const BODY_BYTES: usize = 64;
const SUBSCRIBERS: usize = 1_000;
const RUN: u64 = 5;
const AHEAD_MAX: u64 = 50;

pub(crate) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let subscribers = bench.pick(SUBSCRIBERS, 100);
    let topic = |_| TOPIC.to_owned();
    let joining = Joining { prefix: "bench-subscriber-", clean: true, subscribes: Some((topic, 0)) };
    let mut crowd = Crowd::join(running.address, 0..subscribers, &joining)?;
    let mut publisher = running.connect_mqtt("bench-publisher")?;
    let bytes = publish(TOPIC, BODY_BYTES, None).repeat(RUN as usize);
    let copies = subscribers as u64;
    let seen = super::run(
        &running,
        Times::of(bench),
        move |lane, switches| {
            let mut sent = 0;
            while !switches.stop.load(Ordering::SeqCst) {
                keep_near(lane, switches, sent + RUN, copies, AHEAD_MAX);
                publisher.send(&bytes)?;
                sent += RUN;
                lane.sent.store(sent, Ordering::SeqCst);
            }
            publisher.ping()
        },
        move |lane, switches| {
            let (mut taken, mut drain) = (0, Drain::new(copies));
            while !drain.is_done(lane, switches, taken)? {
                crowd.read(|_, arrived, _| {
                    taken += u64::from(arrived.is_publish());
                    Ok(())
                })?;
                lane.taken.store(taken, Ordering::SeqCst);
            }
            Ok(())
        },
    )?;
    Ok(seen.figures(3.0, 3.0))
}
