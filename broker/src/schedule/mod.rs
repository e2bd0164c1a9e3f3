//! Messages that are published for later, once or again and again.
//!
//! They are in a lane of the journal that their virtual host has for them, and leave memory: see [`crate::delays`]. What is left
//! to do with a message is stored in front of it. When it is due, one record of the journal takes it out of the lane, puts it into
//! its queues, and stores it once more for the next time; so a crash loses no time and has none happen twice.

mod cron;

use self::cron::{Cron, STORED_BYTES};
use crate::message::Unreadable;
use crate::queue::ARGUMENT_MS_MAX;

/// When a message is delivered: what ActiveMQ's headers `AMQ_SCHEDULED_DELAY`, `AMQ_SCHEDULED_PERIOD`, `AMQ_SCHEDULED_REPEAT`
/// and `AMQ_SCHEDULED_CRON` mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    delay_ms: u64,
    period_ms: u64,
    /// Further times; [`FOREVER`] is without end.
    left: u32,
    cron: Option<Cron>,
}

const FOREVER: u32 = u32::MAX;

/// Most repetitions where nothing keeps them apart, and where each time of a cron expression begins them anew: as many as
/// ActiveMQ allows.
const UNPACED_MAX: u32 = 1000;

/// Why a message cannot be delivered as it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The five fields are none.
    #[error("not a cron expression: {0}")]
    Cron(&'static str),
    /// Delay or period is longer than ten years.
    #[error("the {0} of a scheduled message is longer than ten years")]
    TooLong(&'static str),
    /// More repetitions than can be counted.
    #[error("a scheduled message repeats at most 4294967294 times")]
    TooOften,
    /// It would be delivered without end at one moment.
    #[error("a scheduled message that repeats without end needs a period")]
    NoPeriod,
    /// It would be delivered too often at one moment, or ever more series would run at once.
    #[error("a scheduled message without a period, or with a cron expression, repeats at most 1000 times")]
    Unpaced,
}

impl Schedule {
    /// A message is delivered after the delay, or after one period where there is none; and then `repeat` times more, a period
    /// after another; without end where that is negative. With a cron expression (five fields, in UTC) it is delivered at each of its
    /// times; where it repeats as well, up to 1000 times, each of these times begins such a series. None where nothing asks for any of it: a
    /// message that is to be delivered at once.
    ///
    /// # Errors
    /// The numbers or the expression make no sense.
    pub fn new(delay_ms: u64, period_ms: u64, repeat: i64, cron: Option<&str>) -> Result<Option<Self>, ScheduleError> {
        for (what, ms) in [("delay", delay_ms), ("period", period_ms)] {
            if ms > ARGUMENT_MS_MAX {
                return Err(ScheduleError::TooLong(what));
            }
        }
        let left = match u32::try_from(repeat) {
            Ok(FOREVER) => return Err(ScheduleError::TooOften),
            Ok(left) => left,
            Err(_) if repeat < 0 => FOREVER,
            Err(_) => return Err(ScheduleError::TooOften),
        };
        if left == FOREVER && period_ms == 0 {
            return Err(ScheduleError::NoPeriod);
        }
        let cron = cron.filter(|text| !text.trim().is_empty()).map(Cron::parse).transpose()?;
        if left > UNPACED_MAX && (period_ms == 0 || cron.is_some()) {
            return Err(ScheduleError::Unpaced);
        }
        if cron.is_none() && delay_ms == 0 && period_ms == 0 && left == 0 {
            return Ok(None);
        }
        Ok(Some(Self { delay_ms, period_ms, left, cron }))
    }

    /// When it is due for the first time.
    pub(crate) fn first_ms(&self, now_ms: u64) -> u64 {
        let start_ms = self.cron.and_then(|cron| cron.next_ms(now_ms)).unwrap_or(now_ms);
        start_ms.saturating_add(self.wait_ms())
    }

    const fn wait_ms(&self) -> u64 {
        if self.delay_ms > 0 { self.delay_ms } else { self.period_ms }
    }

    /// What comes of it when it is due.
    pub(crate) fn fire(&self, due_ms: u64, now_ms: u64) -> Firing {
        if let Some(cron) = self.cron {
            let next = cron.next_ms(now_ms).map(|next_ms| (next_ms, *self));
            let series = Self { cron: None, ..*self };
            let series = (self.left > 0).then(|| (now_ms.saturating_add(self.wait_ms()), series));
            return Firing { delivers: series.is_none(), again: [next, series] };
        }
        let left = match self.left {
            0 => return Firing { delivers: true, again: [None, None] },
            FOREVER => FOREVER,
            left => left - 1,
        };
        // In step with the last time, unless that is long gone: then what was missed is not made up for.
        let in_step_ms = due_ms.saturating_add(self.period_ms);
        let next_ms = if in_step_ms > now_ms { in_step_ms } else { now_ms.saturating_add(self.period_ms) };
        Firing { delivers: true, again: [Some((next_ms, Self { left, ..*self })), None] }
    }

    /// As it is stored in front of a message.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BLOCK_BYTES_MAX as usize);
        out.push(if self.cron.is_some() { STORED_WITH_CRON } else { STORED });
        out.extend_from_slice(&self.delay_ms.to_be_bytes());
        out.extend_from_slice(&self.period_ms.to_be_bytes());
        out.extend_from_slice(&self.left.to_be_bytes());
        if let Some(cron) = &self.cron {
            cron.encode(&mut out);
        }
        out
    }

    /// Reads it from what is stored, and tells how many bytes it took.
    pub(crate) fn decode(stored: &[u8]) -> Result<(Self, usize), Unreadable> {
        const SHORT: Unreadable = Unreadable::new("its schedule ends too early");
        let (head, rest) = stored.split_first_chunk::<21>().ok_or(SHORT)?;
        let number =
            |from: usize, to: usize| head[from..to].iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let mut schedule =
            Self { delay_ms: number(1, 9), period_ms: number(9, 17), left: number(17, 21) as u32, cron: None };
        match head[0] {
            STORED => Ok((schedule, head.len())),
            STORED_WITH_CRON => {
                let cron = rest.first_chunk::<STORED_BYTES>().ok_or(SHORT)?;
                schedule.cron = Some(Cron::decode(cron));
                Ok((schedule, head.len() + STORED_BYTES))
            }
            _ => Err(Unreadable::new("its schedule is of another version")),
        }
    }
}

/// What the first byte of a stored one says.
const STORED: u8 = 1;
const STORED_WITH_CRON: u8 = 2;

/// A stored one takes so many bytes at most.
pub(crate) const BLOCK_BYTES_MAX: u32 = 21 + STORED_BYTES as u32;

/// What comes of a message that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Firing {
    /// It is delivered.
    pub(crate) delivers: bool,
    /// It is stored for these times.
    pub(crate) again: [Option<(u64, Schedule)>; 2],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(delay_ms: u64, period_ms: u64, repeat: i64, cron: Option<&str>) -> Schedule {
        Schedule::new(delay_ms, period_ms, repeat, cron).unwrap().unwrap()
    }

    /// When it is delivered, if it is looked at as soon as it is due.
    fn times(schedule: Schedule, now_ms: u64, times_max: usize) -> Vec<u64> {
        let mut waiting = vec![(schedule.first_ms(now_ms), schedule)];
        let mut times = Vec::new();
        while !waiting.is_empty() && times.len() < times_max {
            waiting.sort_by_key(|(due_ms, _)| *due_ms);
            let (due_ms, schedule) = waiting.remove(0);
            let firing = schedule.fire(due_ms, due_ms);
            times.extend(firing.delivers.then_some(due_ms));
            waiting.extend(firing.again.into_iter().flatten());
        }
        times
    }

    #[test]
    fn a_message_is_delivered_once_more_than_it_repeats() {
        assert_eq!(times(schedule(500, 0, 0, None), 1000, 9), [1500]);
        assert_eq!(times(schedule(0, 100, 0, None), 1000, 9), [1100]);
        assert_eq!(times(schedule(0, 100, 2, None), 1000, 9), [1100, 1200, 1300]);
        assert_eq!(times(schedule(500, 100, 2, None), 1000, 9), [1500, 1600, 1700]);
        assert_eq!(times(schedule(500, 100, -1, None), 1000, 4), [1500, 1600, 1700, 1800]);
        assert_eq!(times(schedule(5, 0, 2, None), 1000, 9), [1005; 3]);
    }

    #[test]
    fn cron_delivers_or_begins_a_series() {
        const MINUTE: u64 = 60_000;
        assert_eq!(times(schedule(0, 0, 0, Some("* * * * *")), 1000, 3), [MINUTE, 2 * MINUTE, 3 * MINUTE]);
        let series = times(schedule(1000, 500, 2, Some("*/2 * * * *")), 0, 6);
        let first = 2 * MINUTE + 1000 + 1000;
        assert_eq!(series[..3], [first, first + 500, first + 1000]);
        assert_eq!(series[3..], [4 * MINUTE + 1000, 4 * MINUTE + 1500, 4 * MINUTE + 2000]);
    }

    #[test]
    fn what_was_missed_is_not_made_up_for() {
        let every_second = schedule(0, 1000, -1, None);
        assert_eq!(every_second.fire(5000, 5300).again[0], Some((6000, every_second)));
        assert_eq!(every_second.fire(5000, 99_300).again[0], Some((100_300, every_second)));
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_nothing_is_nothing() {
        assert_eq!(Schedule::new(0, 0, 0, None), Ok(None));
        assert_eq!(Schedule::new(0, 0, 0, Some(" ")), Ok(None));
        assert_eq!(Schedule::new(ARGUMENT_MS_MAX + 1, 0, 0, None), Err(ScheduleError::TooLong("delay")));
        assert_eq!(Schedule::new(0, u64::MAX, 0, None), Err(ScheduleError::TooLong("period")));
        assert_eq!(Schedule::new(1, 0, -1, None), Err(ScheduleError::NoPeriod));
        assert_eq!(Schedule::new(1, 1, i64::from(u32::MAX), None), Err(ScheduleError::TooOften));
        assert!(Schedule::new(1, 0, 1000, None).is_ok());
        assert_eq!(Schedule::new(1, 0, 1001, None), Err(ScheduleError::Unpaced));
        assert!(Schedule::new(0, 1, 1000, Some("* * * * *")).is_ok());
        assert_eq!(Schedule::new(0, 1, 1001, Some("* * * * *")), Err(ScheduleError::Unpaced));
        assert_eq!(Schedule::new(0, 1, -1, Some("* * * * *")), Err(ScheduleError::Unpaced));
        assert!(matches!(Schedule::new(1, 1, 1, Some("x")), Err(ScheduleError::Cron(_))));
    }

    #[test]
    fn stored_and_read_it_is_the_same() {
        for schedule in [schedule(1, 2, -1, None), schedule(0, 7, 3, Some("1 2 3 4 5"))] {
            let stored = schedule.encode();
            assert!(stored.len() <= BLOCK_BYTES_MAX as usize);
            let mut longer = stored.clone();
            longer.extend_from_slice(b"message");
            assert_eq!(Schedule::decode(&longer), Ok((schedule, stored.len())));
            for cut in 0..stored.len() {
                assert!(Schedule::decode(&stored[..cut]).is_err());
            }
        }
        assert!(Schedule::decode(&[9; 64]).is_err());
    }
}
