//! A steady load of messages that must not get lost, for latencies.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Fallible, fail};
use crate::load::paced::Latency;
use crate::load::traffic::joined;
use crate::load::{BODY_BYTES, Bench};
use crate::mqtt::{Acks, Client, publish};
use crate::table::{Better, Figure, Target};

pub(crate) const ABOUT: &str =
    "MQTT, 1 KiB, QoS 1, 20,000 messages/s to a session that is kept: time from due to delivered";

const TOPIC: &str = "bench/paced";
const RATE: u64 = 20_000;
/// Messages due at a beat, of half a millisecond.
const BEAT: u64 = 10;
const BEAT_TIME: Duration = Duration::from_nanos(1_000_000_000 * BEAT / RATE);

pub(crate) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let mut subscriber = Client::open_with(running.address, "bench-subscriber", false)?;
    subscriber.subscribe(TOPIC, 1)?;
    let mut publisher = running.connect_mqtt("bench-publisher")?;
    let mut writer = publisher.writer()?;
    let beats = bench.pick(20_000_u64, 4_000);
    let warm_up = beats / 10;
    let total = beats * BEAT;
    let patience = BEAT_TIME * u32::try_from(beats)? + Duration::from_secs(30);
    let failed = AtomicBool::new(false);
    let acknowledged = AtomicU64::new(0);
    let start = Instant::now();
    let overdue = || failed.load(Ordering::SeqCst) || start.elapsed() > patience;
    let delivery = thread::scope(|scope| {
        let taking = scope.spawn(|| {
            let (mut micros, mut acks, mut taken) = (Vec::new(), Acks::default(), 0);
            while taken < total {
                if subscriber.fill()? {
                    let now = start.elapsed();
                    while let Some(arrived) = subscriber.next()? {
                        let (id, payload) = arrived.message()?;
                        id.inspect(|id| acks.push(*id));
                        let beat = payload.first_chunk().map_or(0, |stamp| u64::from_be_bytes(*stamp));
                        taken += 1;
                        if beat >= warm_up {
                            let late = now.saturating_sub(BEAT_TIME * beat as u32);
                            micros.push(u32::try_from(late.as_micros()).unwrap_or(u32::MAX));
                        }
                    }
                    acks.send(&mut subscriber)?;
                } else if overdue() {
                    return fail(format!("{taken} of {total} messages came"));
                }
            }
            Latency::of(micros)
        });
        let confirming = scope.spawn(|| {
            while acknowledged.load(Ordering::SeqCst) < total {
                if publisher.fill()? {
                    while let Some(arrived) = publisher.next()? {
                        acknowledged.fetch_add(u64::from(arrived.puback()?.is_some()), Ordering::SeqCst);
                    }
                } else if overdue() {
                    return fail("publishes were not acknowledged");
                }
            }
            Ok(())
        });
        let mut send = || -> Fallible<()> {
            let head_bytes = publish(TOPIC, BODY_BYTES, Some(1)).len() - BODY_BYTES;
            for beat in 0..beats {
                let early = (BEAT_TIME * beat as u32).saturating_sub(start.elapsed());
                if !early.is_zero() {
                    thread::sleep(early);
                }
                if beat * BEAT - acknowledged.load(Ordering::SeqCst) > 60_000 || overdue() {
                    return fail(format!("the broker does not keep up with {RATE} messages/s"));
                }
                let mut bytes = Vec::new();
                for message in 0..BEAT {
                    let id = ((beat * BEAT + message) % 65_535 + 1) as u16;
                    let mut one = publish(TOPIC, BODY_BYTES, Some(id));
                    one[head_bytes..head_bytes + 8].copy_from_slice(&beat.to_be_bytes());
                    bytes.extend(one);
                }
                std::io::Write::write_all(&mut writer, &bytes)?;
            }
            Ok(())
        };
        let sent = send();
        if sent.is_err() {
            failed.store(true, Ordering::SeqCst);
        }
        let confirmed = joined(confirming);
        let delivery = joined(taking);
        sent.and(confirmed)?;
        delivery
    })?;
    Ok(vec![
        Figure::new("delivery p50", "ms", delivery.p50_millis, Better::Lower),
        Figure::new("delivery p99", "ms", delivery.p99_millis, Better::Lower).target(Target::AtMost(5.0)),
    ])
}
