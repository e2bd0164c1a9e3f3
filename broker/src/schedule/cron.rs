//! The five fields of cron: minute, hour, day of the month, month, day of the week. In UTC.

use super::ScheduleError;

const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
const MINUTE_MS: u64 = 60_000;

/// So many days are looked at for the next time. Any 29th of February is nearer, and what is not there by then never comes.
const DAYS_MAX: u64 = 366 * 9;

/// Longest text, in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// When something is to happen, again and again. A bit for each minute, hour and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    minutes: u64,
    hours: u32,
    /// From bit 1 on.
    days: u32,
    /// From bit 1 on.
    months: u16,
    /// From Sunday on.
    weekdays: u8,
}

/// What all bits of a field are.
const ALL_DAYS: u32 = !1;
const ALL_WEEKDAYS: u8 = 0x7f;

/// Bytes of one that is stored.
pub(super) const STORED_BYTES: usize = 19;

impl Cron {
    pub(super) fn parse(text: &str) -> Result<Self, ScheduleError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ScheduleError::Cron("it is longer than 1024 bytes"));
        }
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(ScheduleError::Cron("it has to have five fields"));
        };
        let weekdays = bits(weekdays, 0, 7)?;
        let cron = Self {
            minutes: bits(minutes, 0, 59)?,
            hours: bits(hours, 0, 23)? as u32,
            days: bits(days, 1, 31)? as u32,
            months: bits(months, 1, 12)? as u16,
            // Sunday has two numbers.
            weekdays: (weekdays | weekdays >> 7) as u8 & ALL_WEEKDAYS,
        };
        cron.next_ms(0).map(|_| cron).ok_or(ScheduleError::Cron("it never comes"))
    }

    /// The first time after this one, in milliseconds since the epoch of Unix.
    pub(super) fn next_ms(&self, after_ms: u64) -> Option<u64> {
        let first = after_ms / MINUTE_MS + 1;
        let (today, minute_of_day) = (first / (24 * 60), (first % (24 * 60)) as u32);
        for day in today..today.saturating_add(DAYS_MAX) {
            if !self.is_on(day) {
                continue;
            }
            let from = if day == today { minute_of_day } else { 0 };
            let mut hours = self.hours & u32::MAX.checked_shl(from / 60).unwrap_or(0);
            while hours != 0 {
                let hour = hours.trailing_zeros();
                hours &= hours - 1;
                let from = if hour == from / 60 { from % 60 } else { 0 };
                let minutes = self.minutes & u64::MAX << from;
                if minutes != 0 {
                    let minute = u64::from(hour * 60 + minutes.trailing_zeros());
                    return Some(day.checked_mul(DAY_MS)? + minute * MINUTE_MS);
                }
            }
        }
        None
    }

    /// Whether a day, by its number since the epoch, is one of them. Where both the day of the month and that of the week are
    /// given, one of them is enough.
    fn is_on(&self, day: u64) -> bool {
        let (month, of_month) = date(day);
        if self.months & 1 << month == 0 {
            return false;
        }
        let is_day = self.days & 1 << of_month != 0;
        // The epoch began on a Thursday.
        let is_weekday = self.weekdays & 1 << ((day + 4) % 7) != 0;
        if self.days == ALL_DAYS || self.weekdays == ALL_WEEKDAYS { is_day && is_weekday } else { is_day || is_weekday }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.minutes.to_be_bytes());
        out.extend_from_slice(&self.hours.to_be_bytes());
        out.extend_from_slice(&self.days.to_be_bytes());
        out.extend_from_slice(&self.months.to_be_bytes());
        out.push(self.weekdays);
    }

    pub(super) fn decode(bytes: &[u8; STORED_BYTES]) -> Self {
        let number =
            |from: usize, to: usize| bytes[from..to].iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        Self {
            minutes: number(0, 8),
            hours: number(8, 12) as u32,
            days: number(12, 16) as u32,
            months: number(16, 18) as u16,
            weekdays: bytes[18],
        }
    }
}

/// A field: numbers, ranges and `*`, each with a step, in a list.
fn bits(field: &str, min: u32, max: u32) -> Result<u64, ScheduleError> {
    let number = |text: &str| -> Result<u32, ScheduleError> {
        let number = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = number.ok_or(ScheduleError::Cron("a field is not made of numbers, *, -, / and commas"))?;
        if (min..=max).contains(&number) {
            Ok(number)
        } else {
            Err(ScheduleError::Cron("a number is out of its range"))
        }
    };
    let mut bits = 0;
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                let step = step.parse().ok().filter(|step: &usize| *step > 0);
                (range, Some(step.ok_or(ScheduleError::Cron("a step is not a number above 0"))?))
            }
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            // The second number of Sunday is one too many.
            _ if range == "*" => (min, if max == 7 { 6 } else { max }),
            Some((first, last)) => (number(first)?, number(last)?),
            None if step.is_some() => (number(range)?, max),
            None => (number(range)?, number(range)?),
        };
        if first > last {
            return Err(ScheduleError::Cron("a range ends before it begins"));
        }
        for bit in (first..=last).step_by(step.unwrap_or(1)) {
            bits |= 1 << bit;
        }
    }
    Ok(bits)
}

/// Month and day of the month of a day, by its number since the epoch. In years that begin in March, the leap day is the last
/// one, and months have lengths that repeat.
fn date(day: u64) -> (u32, u32) {
    let shifted = day + 719_468;
    let of_era = shifted % 146_097;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (month as u32, of_month as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-23, a Monday, at 03:40:30.
    const NOW_MS: u64 = 1_795_405_230_000;
    const MIDNIGHT_MS: u64 = NOW_MS - (3 * 60 + 40) * MINUTE_MS - 30_000;

    fn next(text: &str) -> u64 {
        Cron::parse(text).unwrap().next_ms(NOW_MS).unwrap()
    }

    #[test]
    fn the_next_time_is_the_first_that_fits() {
        let at = |day: u64, hour: u64, minute: u64| MIDNIGHT_MS + day * DAY_MS + (hour * 60 + minute) * MINUTE_MS;
        assert_eq!(next("* * * * *"), at(0, 3, 41));
        assert_eq!(next("40 * * * *"), at(0, 4, 40));
        assert_eq!(next("*/15 * * * *"), at(0, 3, 45));
        assert_eq!(next("0 12 * * *"), at(0, 12, 0));
        assert_eq!(next("0 3 * * *"), at(1, 3, 0));
        assert_eq!(next("50,45 3-4 * * *"), at(0, 3, 45));
        assert_eq!(next("0 0 * * 0"), at(6, 0, 0));
        assert_eq!(next("0 0 * * 7"), at(6, 0, 0));
        assert_eq!(next("0 0 1 * *"), at(8, 0, 0));
        // One of the two is enough.
        assert_eq!(next("0 0 1 * 3"), at(2, 0, 0));
        assert_eq!(next("5/20 3 23 11 1"), at(0, 3, 45));
        assert_eq!(next("0 0 1 1 *"), at(8 + 31, 0, 0));
        // 2028.
        assert_eq!(next("0 0 29 2 *"), at(8 + 30 + 365 + 31 + 28, 0, 0) + DAY_MS);
    }

    #[test]
    fn what_is_no_cron_is_refused() {
        for text in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * 0 *",
            "* * * * 8",
            "a * * * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "*/x * * * *",
            ", * * * *",
            "1,,2 * * * *",
            "-1 * * * *",
            "0 0 30 2 *",
            "0 0 31 4,6,9,11 *",
            "+1 * * * *",
            "1- * * * *",
        ] {
            assert!(Cron::parse(text).is_err(), "{text}");
        }
        assert!(Cron::parse(&format!("{} * * * *", "1,".repeat(600))).is_err());
    }

    proptest! {
        #[test]
        fn stored_and_read_it_is_the_same_and_each_time_is_later(text in cron(), from_ms in 0..4_000_000_000_000_u64) {
            let Ok(cron) = Cron::parse(&text) else { return Ok(()) };
            let mut stored = Vec::new();
            cron.encode(&mut stored);
            prop_assert_eq!(Cron::decode(stored[..].try_into().unwrap()), cron);
            let next_ms = cron.next_ms(from_ms).unwrap();
            prop_assert!(next_ms > from_ms && next_ms % MINUTE_MS == 0);
            // Nothing between them fits.
            if let Some(before_ms) = next_ms.checked_sub(1).filter(|before_ms| *before_ms > from_ms) {
                prop_assert_eq!(cron.next_ms(before_ms), Some(next_ms));
            }
        }

        #[test]
        fn any_text_is_a_cron_or_an_error(text in "[0-9*/, -]{0,30}") {
            if let Ok(cron) = Cron::parse(&text) {
                cron.next_ms(NOW_MS);
            }
        }

        #[test]
        fn days_follow_one_another(day in 0..200_000_u64) {
            let ((month, of_month), (next_month, next_of_month)) = (date(day), date(day + 1));
            prop_assert!((1..=12).contains(&month) && (1..=31).contains(&of_month));
            let same_month = next_month == month && next_of_month == of_month + 1;
            let new_month = next_month == month % 12 + 1 && next_of_month == 1 && of_month >= 28;
            prop_assert!(same_month || new_month);
        }
    }

    fn cron() -> impl Strategy<Value = String> {
        let field = |min: u32, max: u32| {
            prop_oneof![
                3 => Just("*".to_owned()),
                1 => (min..=max).prop_map(|n| n.to_string()),
                1 => (min..=max, 1..9_u32).prop_map(|(n, step)| format!("{n}/{step}")),
                1 => (min..=max, min..=max).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            ]
        };
        (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7))
            .prop_map(|(a, b, c, d, e)| format!("{a} {b} {c} {d} {e}"))
    }
}
