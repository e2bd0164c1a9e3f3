//! Messages that must not get lost, to a session that is kept.

use std::sync::atomic::Ordering;

use super::{Drain, Times, keep_near};
use crate::error::{Fallible, fail};
use crate::load::{BODY_BYTES, Bench};
use crate::mqtt::{Acks, Client, publish};
use crate::table::Figure;

pub(crate) const ABOUT: &str =
    "MQTT, 1 KiB, QoS 1, 1 publisher with a window of 1,000, 1 subscriber with a session that is kept";

const TOPIC: &str = "bench/qos1";
/// Packet ids of a window; two windows take turns.
const WINDOW: u16 = 1_000;
const RUN: u16 = 50;
const AHEAD_MAX: u64 = 4_000;

/// The bytes of a run of publishes, by their first packet id.
fn runs() -> Vec<Vec<u8>> {
    let starts = (1..=WINDOW).step_by(usize::from(RUN));
    starts.map(|start| (start..start + RUN).flat_map(|id| publish(TOPIC, BODY_BYTES, Some(id))).collect()).collect()
}

pub(crate) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let mut subscriber = Client::open_with(running.address, "bench-subscriber", false)?;
    subscriber.subscribe(TOPIC, 1)?;
    let mut publisher = running.connect_mqtt("bench-publisher")?;
    let seen = super::run(
        &running,
        Times::of(bench),
        move |lane, switches| {
            let runs = runs();
            let mut waiting = vec![false; usize::from(WINDOW) + 1];
            let (mut sent, mut acknowledged) = (0_u64, 0_u64);
            loop {
                let stop = switches.stop.load(Ordering::SeqCst);
                if stop && sent == acknowledged {
                    return publisher.close();
                }
                let next = sent as usize / usize::from(RUN) % runs.len();
                let ids = next * usize::from(RUN) + 1..=(next + 1) * usize::from(RUN);
                if !stop && !waiting[ids.clone()].contains(&true) {
                    keep_near(lane, switches, sent + u64::from(RUN), 1, AHEAD_MAX);
                    publisher.send(&runs[next])?;
                    waiting[ids].fill(true);
                    sent += u64::from(RUN);
                    lane.sent.store(sent, Ordering::SeqCst);
                    continue;
                }
                publisher.fill()?;
                while let Some(arrived) = publisher.next()? {
                    let id = arrived.puback()?.map_or(0, usize::from);
                    match waiting.get_mut(id) {
                        Some(waits) if *waits => *waits = false,
                        _ => return fail(format!("PUBACK of {id}, which was not sent")),
                    }
                    acknowledged += 1;
                }
                if switches.failed.load(Ordering::SeqCst) {
                    return Ok(());
                }
            }
        },
        move |lane, switches| {
            let (mut taken, mut drain, mut acks) = (0, Drain::new(1), Acks::default());
            while !drain.is_done(lane, switches, taken)? {
                if subscriber.fill()? {
                    while let Some(arrived) = subscriber.next()? {
                        let (id, payload) = arrived.message()?;
                        if payload.len() != BODY_BYTES {
                            return fail("a body is not as long as it was sent");
                        }
                        id.inspect(|id| acks.push(*id));
                        taken += 1;
                    }
                    acks.send(&mut subscriber)?;
                    lane.taken.store(taken, Ordering::SeqCst);
                }
            }
            Ok(())
        },
    )?;
    if let Some(doubt) = seen.doubt() {
        bench.note(doubt);
    }
    Ok(seen.figures(3.0, 3.0))
}
