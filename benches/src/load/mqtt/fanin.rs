//! A thousand devices, and four workers that share what they say.

use std::sync::atomic::Ordering;

use super::{Drain, Times};
use crate::error::Fallible;
use crate::load::Bench;
use crate::mqtt::{Crowd, Joining, publish};
use crate::table::Figure;

pub(crate) const ABOUT: &str =
    "MQTT, 64 B, QoS 1, 1,000 publishers with one message under way each, a shared subscription of 4";

const BODY_BYTES: usize = 64;
const PUBLISHERS: usize = 1_000;
const MEMBERS: usize = 4;

pub(crate) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let publishers = bench.pick(PUBLISHERS, 100);
    let filter = |_| "$share/workers/bench/fanin/#".to_owned();
    let joining = Joining { prefix: "bench-worker-", clean: true, subscribes: Some((filter, 1)) };
    let mut workers = Crowd::join(running.address, 0..MEMBERS, &joining)?;
    let joining = Joining { prefix: "bench-device-", clean: true, subscribes: None };
    let mut devices = Crowd::join(running.address, 0..publishers, &joining)?;
    let messages: Vec<Vec<u8>> =
        (0..publishers).map(|number| publish(&format!("bench/fanin/{number}"), BODY_BYTES, Some(1))).collect();
    let seen = super::run(
        &running,
        Times::of(bench),
        move |lane, switches| {
            for (number, message) in messages.iter().enumerate() {
                devices.send(number, message)?;
            }
            let mut sent = messages.len() as u64;
            let mut acknowledged = 0;
            lane.sent.store(sent, Ordering::SeqCst);
            while acknowledged < sent && !switches.failed.load(Ordering::SeqCst) {
                let stop = switches.stop.load(Ordering::SeqCst);
                devices.read(|number, arrived, answers| {
                    if arrived.puback()?.is_some() {
                        acknowledged += 1;
                        if !stop {
                            answers.extend_from_slice(&messages[number]);
                            sent += 1;
                        }
                    }
                    Ok(())
                })?;
                lane.sent.store(sent, Ordering::SeqCst);
            }
            Ok(())
        },
        move |lane, switches| {
            let (mut taken, mut drain) = (0, Drain::new(1));
            while !drain.is_done(lane, switches, taken)? {
                workers.read(|_, arrived, answers| {
                    if arrived.is_publish() {
                        taken += 1;
                        if let (Some(id), _) = arrived.message()? {
                            let [a, b] = id.to_be_bytes();
                            answers.extend([0x40, 2, a, b]);
                        }
                    }
                    Ok(())
                })?;
                lane.taken.store(taken, Ordering::SeqCst);
            }
            Ok(())
        },
    )?;
    Ok(seen.figures(3.0, 3.0))
}
