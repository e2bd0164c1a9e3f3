//! A steady load below the limit, for latencies.
//!
//! A few messages are due at each beat; their latency counts from when they were due, not from when they could be sent, so
//! that a broker that holds the sender back does not look quicker for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::traffic::joined;
use crate::amqp::frame::Publish;
use crate::amqp::scan::{Confirms, Deliveries};
use crate::error::{Fallible, fail};
use crate::peer::Running;

/// About the time between two beats, in seconds.
const BEAT_SECONDS: f64 = 0.000_5;
/// Publishes that may be unconfirmed before the broker counts as overrun.
const UNDER_WAY_MAX: u64 = 1 << 20;
/// How long what is under way at the end may take.
const DRAIN_PATIENCE: Duration = Duration::from_secs(60);
const PREFETCH: u16 = 1_000;
const ACK_EVERY: u64 = 100;

/// Two points of a distribution, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Latency {
    /// Half is quicker.
    pub(crate) p50_millis: f64,
    /// 99 of 100 are quicker.
    pub(crate) p99_millis: f64,
}

impl Latency {
    pub(super) fn of(mut micros: Vec<u32>) -> Fallible<Self> {
        if micros.is_empty() {
            return fail("no latency was measured");
        }
        micros.sort_unstable();
        let at = |share: f64| f64::from(micros[((micros.len() - 1) as f64 * share) as usize]) / 1e3;
        Ok(Self { p50_millis: at(0.50), p99_millis: at(0.99) })
    }
}

/// What was seen.
pub(crate) struct Latencies {
    /// From due to the consumer.
    pub(crate) delivery: Latency,
    /// From due to the confirm.
    pub(crate) confirm: Latency,
}

/// When messages are due.
#[derive(Clone, Copy)]
struct Beat {
    start: Instant,
    nanos: f64,
    messages: u64,
    /// Beats before this one are not measured.
    first_measured: u64,
}

impl Beat {
    fn due(&self, beat: u64) -> Duration {
        Duration::from_nanos((beat as f64 * self.nanos) as u64)
    }

    /// Microseconds from when a beat was due; `None` for the warm-up.
    fn micros_since(&self, beat: u64, now: Instant) -> Option<u32> {
        let since = (now - self.start).saturating_sub(self.due(beat));
        (beat >= self.first_measured).then(|| u32::try_from(since.as_micros()).unwrap_or(u32::MAX))
    }
}

/// Sends persistent messages of `body_bytes` to a durable queue at `rate` messages a second, and takes them.
pub(crate) fn run(
    running: &Running,
    queue: &str,
    body_bytes: usize,
    rate: f64,
    warm_up: Duration,
    measured: Duration,
) -> Fallible<Latencies> {
    let mut receiving = running.connect()?;
    let mut sending = running.connect()?;
    sending.confirm_select()?;
    receiving.consume(queue, PREFETCH, false)?;
    let mut writer = sending.writer()?;
    let mut publish = Publish::new("", queue, body_bytes, true);

    let messages = ((rate * BEAT_SECONDS).round() as u64).clamp(1, publish.run_messages());
    let nanos = messages as f64 / rate * 1e9;
    let beats_in = |time: Duration| (time.as_nanos() as f64 / nanos) as u64;
    let beat = Beat { start: Instant::now(), nanos, messages, first_measured: beats_in(warm_up) };
    let beats = beats_in(warm_up + measured);
    let total = beats * messages;
    let deadline = beat.start + warm_up + measured + DRAIN_PATIENCE;
    let confirmed = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let overdue = || failed.load(Ordering::SeqCst) || Instant::now() > deadline;

    thread::scope(|scope| {
        let confirms = scope.spawn(|| {
            let mut micros = Vec::with_capacity(total as usize);
            let mut confirms = Confirms::new(UNDER_WAY_MAX);
            while confirms.confirmed() < total {
                if sending.fill()? {
                    let now = Instant::now();
                    while let Some(frame) = sending.next()? {
                        confirms
                            .take(&frame, |tag| micros.extend(beat.micros_since((tag - 1) / beat.messages, now)))?;
                    }
                    confirmed.store(confirms.confirmed(), Ordering::SeqCst);
                } else if overdue() {
                    return fail(format!("{} of {total} paced publishes were confirmed", confirms.confirmed()));
                }
            }
            sending.close()?;
            Latency::of(micros)
        });
        let deliveries = scope.spawn(|| {
            let mut micros = Vec::with_capacity(total as usize);
            let mut deliveries = Deliveries::default();
            let mut acknowledged = 0;
            while deliveries.messages < total {
                if receiving.fill()? {
                    let now = Instant::now();
                    while let Some(frame) = receiving.next()? {
                        deliveries.take(&frame, |body| {
                            let stamp = body.first_chunk().map(|stamp| u64::from_be_bytes(*stamp));
                            micros.extend(stamp.and_then(|stamp| beat.micros_since(stamp, now)));
                        })?;
                    }
                    if deliveries.messages >= acknowledged + ACK_EVERY || deliveries.messages == total {
                        acknowledged = deliveries.messages;
                        receiving.ack_up_to(deliveries.last_tag)?;
                    }
                } else if overdue() {
                    return fail(format!("{} of {total} paced messages came", deliveries.messages));
                }
            }
            receiving.close()?;
            Latency::of(micros)
        });
        let mut send = || {
            for number in 0..beats {
                let early = beat.due(number).saturating_sub(beat.start.elapsed());
                if !early.is_zero() {
                    thread::sleep(early);
                }
                if number * messages - confirmed.load(Ordering::SeqCst) >= UNDER_WAY_MAX - messages || overdue() {
                    return fail(format!("the broker does not keep up with {rate:.0} messages/s"));
                }
                publish.stamp(messages, number);
                std::io::Write::write_all(&mut writer, publish.run(messages))?;
            }
            Ok(())
        };
        let sent: Fallible<()> = send();
        if sent.is_err() {
            failed.store(true, Ordering::SeqCst);
        }
        let confirm = joined(confirms);
        let delivery = joined(deliveries);
        sent?;
        Ok(Latencies { delivery: delivery?, confirm: confirm? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_a_distribution() {
        let latency = Latency::of((0..=1000).rev().collect()).unwrap();
        assert_eq!(latency, Latency { p50_millis: 0.5, p99_millis: 0.99 });
        assert!(Latency::of(Vec::new()).is_err());
    }
}
