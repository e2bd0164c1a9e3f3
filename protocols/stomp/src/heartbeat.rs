//! Signs of life, both ways (1.1, "Heart-beating").

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// What both sides have agreed on. A second is the shortest interval that is kept, and none is sent in fractions of one, as in
/// RabbitMQ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Intervals {
    /// The server sends something at least this often, in milliseconds; 0 for never.
    pub(crate) send_ms: u64,
    /// The client does; 0 where it need not.
    pub(crate) receive_ms: u64,
}

impl Intervals {
    /// What a client's `heart-beat` header comes to; none where it is not two numbers.
    pub(crate) fn agreed(header: &str, min_ms: u64) -> Option<Self> {
        let (can, wants) = header.split_once(',')?;
        let ms = |text: &str| text.trim().parse::<u64>().ok();
        let (can_ms, wants_ms) = (ms(can)?, ms(wants)?);
        let kept = |ms: u64| if ms == 0 { 0 } else { (ms.clamp(min_ms, INTERVAL_MS_MAX) / 1_000 * 1_000).max(1_000) };
        Some(Self { send_ms: kept(wants_ms), receive_ms: kept(can_ms) })
    }
}

/// Longest interval, in milliseconds: a day is as good as never, and what is longer could not be added to a clock.
const INTERVAL_MS_MAX: u64 = 24 * 3_600 * 1_000;

/// What is due now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// A line feed.
    Beat,
    /// The client has been silent for too long.
    Silence,
}

/// The clock of a connection's heart-beats. One without any has no timer either.
#[derive(Debug)]
pub(crate) struct HeartBeat {
    beating: Option<Box<Beating>>,
}

#[derive(Debug)]
struct Beating {
    send: Option<Duration>,
    /// Silence of so long is the end: RabbitMQ lets two intervals pass, and so does this.
    silence: Option<Duration>,
    last_read: Instant,
    last_beat: Instant,
    timer: Pin<Box<Sleep>>,
}

impl HeartBeat {
    pub(crate) fn new(agreed: Intervals) -> Self {
        let some = |ms: u64| (ms > 0).then(|| Duration::from_millis(ms));
        // As often as RabbitMQ sends one: half an interval is never too late.
        let send = some(agreed.send_ms / 2);
        let silence = some(agreed.receive_ms * 2);
        if send.is_none() && silence.is_none() {
            return Self { beating: None };
        }
        let now = Instant::now();
        let timer = Box::pin(sleep(Duration::ZERO));
        Self { beating: Some(Box::new(Beating { send, silence, last_read: now, last_beat: now, timer })) }
    }

    /// The client has sent something.
    pub(crate) fn heard(&mut self) {
        if let Some(beating) = &mut self.beating {
            beating.last_read = Instant::now();
        }
    }

    /// Looks at the clock. `reading` is false while nothing is read from the client on purpose, `written_at` is when something
    /// went to it last, and `writing` is true while something waits to: then a beat would say nothing new.
    pub(crate) fn tick(&mut self, reading: bool, written_at: Instant, writing: bool) -> Due {
        let Some(beating) = &mut self.beating else { return Due::Nothing };
        let now = Instant::now();
        if beating.timer.deadline() > now {
            return Due::Nothing;
        }
        if !reading {
            beating.last_read = now;
        }
        let mut next = now + Duration::from_millis(INTERVAL_MS_MAX);
        if let Some(silence) = beating.silence {
            let end = beating.last_read + silence;
            if end <= now {
                return Due::Silence;
            }
            next = next.min(end);
        }
        let mut due = Due::Nothing;
        if let Some(interval) = beating.send {
            let beat = written_at.max(beating.last_beat) + interval;
            if beat > now {
                next = next.min(beat);
            } else {
                if !writing {
                    due = Due::Beat;
                }
                beating.last_beat = now;
                next = next.min(now + interval);
            }
        }
        beating.timer.as_mut().reset(next);
        due
    }

    /// Resolves when the clock is to be looked at. Safe to drop and to call again.
    pub(crate) async fn due(&mut self) {
        match &mut self.beating {
            Some(beating) => beating.timer.as_mut().await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_kept_in_whole_seconds_and_none_is_shorter_than_the_least() {
        let agreed = |header| Intervals::agreed(header, 1_000);
        assert_eq!(agreed("0,0"), Some(Intervals::default()));
        assert_eq!(agreed("500,2500"), Some(Intervals { send_ms: 2_000, receive_ms: 1_000 }));
        assert_eq!(agreed("10000, 1"), Some(Intervals { send_ms: 1_000, receive_ms: 10_000 }));
        assert_eq!(agreed("18446744073709551615,0").map(|agreed| agreed.receive_ms), Some(INTERVAL_MS_MAX));
        assert_eq!(Intervals::agreed("5000,5000", 30_000), Some(Intervals { send_ms: 30_000, receive_ms: 30_000 }));
        for wrong in ["", "x", "1", "1,", "-1,0", "1,2,3", "18446744073709551616,0"] {
            assert_eq!(agreed(wrong), None, "{wrong}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_noticed_and_one_that_is_not_read_is_not() {
        let start = Instant::now();
        let mut beat = HeartBeat::new(Intervals { send_ms: 0, receive_ms: 1_000 });
        assert_eq!(beat.tick(true, start, false), Due::Nothing);
        tokio::time::advance(Duration::from_millis(1_900)).await;
        assert_eq!(beat.tick(true, start, false), Due::Nothing);
        tokio::time::advance(Duration::from_millis(101)).await;
        assert_eq!(beat.tick(false, start, false), Due::Nothing, "nothing was read on purpose");
        tokio::time::advance(Duration::from_millis(2_001)).await;
        assert_eq!(beat.tick(true, start, false), Due::Silence);
    }

    #[tokio::test(start_paused = true)]
    async fn a_beat_is_due_when_nothing_else_was_written() {
        let start = Instant::now();
        let mut beat = HeartBeat::new(Intervals { send_ms: 2_000, receive_ms: 0 });
        assert_eq!(beat.tick(true, start, false), Due::Nothing);
        tokio::time::advance(Duration::from_millis(600)).await;
        let written_at = Instant::now();
        tokio::time::advance(Duration::from_millis(600)).await;
        assert_eq!(beat.tick(true, written_at, false), Due::Nothing);
        tokio::time::advance(Duration::from_millis(401)).await;
        assert_eq!(beat.tick(true, written_at, false), Due::Beat);
        tokio::time::advance(Duration::from_millis(1_001)).await;
        assert_eq!(beat.tick(true, written_at, true), Due::Nothing, "what waits says it as well");
    }
}
