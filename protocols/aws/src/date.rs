//! Dates as HTTP, signatures and policies write them. All of them are in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Civil {
    year: i64,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
fn days_of(year: i64, month: u8, day: u8) -> i64 {
    // Years begin in March, so that the day that is sometimes there is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_of(unix_s: i64) -> Civil {
    let (days, rest) = (unix_s.div_euclid(86_400), unix_s.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let small = |number: i64| u8::try_from(number).unwrap_or(0);
    let month = small((month_from_march + 2) % 12 + 1);
    Civil {
        year: era * 400 + year_of_era + i64::from(month <= 2),
        month,
        day: small(day_of_year - (153 * month_from_march + 2) / 5 + 1),
        hour: small(rest / 3_600),
        minute: small(rest / 60 % 60),
        second: small(rest % 60),
    }
}

fn days_in(year: i64, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

impl Civil {
    fn unix_s(self) -> Option<i64> {
        let Self { year, month, day, hour, minute, second } = self;
        let is_date = (1..=12).contains(&month) && day >= 1 && day <= days_in(year, month);
        // A leap second is the second after it, as in the time of Unix.
        if !is_date || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let seconds = i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second);
        Some(days_of(year, month, day) * 86_400 + seconds)
    }
}

/// Seconds since the epoch of Unix.
pub fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// As the header `date` has it: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
pub fn http(unix_s: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Civil { year, month, day, hour, minute, second } = civil_of(unix_s);
    let weekday = DAYS[usize::try_from(unix_s.div_euclid(86_400).rem_euclid(7)).unwrap_or(0)];
    let month = MONTHS[usize::from(month.saturating_sub(1)) % 12];
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// As policies and messages for people have it: `2024-05-01T12:00:00Z`.
pub fn iso(unix_s: i64) -> String {
    let Civil { year, month, day, hour, minute, second } = civil_of(unix_s);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// As notifications have it: `2024-05-01T12:00:00.123Z`.
pub fn iso_ms(unix_ms: u64) -> String {
    let unix_s = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    let Civil { year, month, day, hour, minute, second } = civil_of(unix_s);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", unix_ms % 1000)
}

/// As signatures have it: `20240501T120000Z`.
pub fn basic(unix_s: i64) -> String {
    let Civil { year, month, day, hour, minute, second } = civil_of(unix_s);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    digits.iter().try_fold(0_i64, |sum, digit| sum.checked_mul(10)?.checked_add(i64::from(digit - b'0')))
}

fn pair(digits: &[u8]) -> Option<u8> {
    u8::try_from(number(digits)?).ok()
}

/// Reads what [`basic`] writes.
pub fn parse_basic(text: &str) -> Option<i64> {
    let text: &[u8; 16] = text.as_bytes().try_into().ok()?;
    if text[8] != b'T' || text[15] != b'Z' {
        return None;
    }
    let civil = Civil {
        year: number(&text[..4])?,
        month: pair(&text[4..6])?,
        day: pair(&text[6..8])?,
        hour: pair(&text[9..11])?,
        minute: pair(&text[11..13])?,
        second: pair(&text[13..15])?,
    };
    civil.unix_s()
}

/// Reads a date of ISO 8601 as policies have them: `2024-05-01`, `2024-05-01T12:00Z`, `2024-05-01T12:00:00.5Z`,
/// `2024-05-01T12:00:00+02:00`, and a number of seconds. In seconds since the epoch of Unix; fractions are dropped.
pub fn parse_iso(text: &str) -> Option<i64> {
    if let Some(seconds) = text.parse::<i64>().ok().filter(|_| text.len() != 4) {
        return Some(seconds);
    }
    let bytes = text.as_bytes();
    let (date, time) = bytes.split_at_checked(10)?;
    if date[4] != b'-' || date[7] != b'-' {
        return None;
    }
    let (year, month, day) = (number(&date[..4])?, pair(&date[5..7])?, pair(&date[8..])?);
    let midnight = Civil { year, month, day, hour: 0, minute: 0, second: 0 };
    if time.is_empty() {
        return midnight.unix_s();
    }
    let time = time.strip_prefix(b"T")?;
    let zone_at = time.iter().position(|byte| matches!(byte, b'Z' | b'+' | b'-')).unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone_at);
    let (clock, fraction) = match clock.iter().position(|byte| *byte == b'.') {
        Some(at) => (&clock[..at], Some(&clock[at + 1..])),
        None => (clock, None),
    };
    if let Some(fraction) = fraction {
        // Only to see that it is one; how long it is does not matter.
        if fraction.is_empty() || !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
    }
    let (hour, minute, second) = match clock {
        [h1, h2, b':', m1, m2] => (pair(&[*h1, *h2])?, pair(&[*m1, *m2])?, 0),
        [h1, h2, b':', m1, m2, b':', s1, s2] => (pair(&[*h1, *h2])?, pair(&[*m1, *m2])?, pair(&[*s1, *s2])?),
        _ => return None,
    };
    let seconds = Civil { hour, minute, second, ..midnight }.unix_s()?;
    let offset = match zone {
        [] | [b'Z'] => 0,
        [sign, h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (pair(&[*h1, *h2])?, pair(&[*m1, *m2])?);
            let offset = i64::from(hours) * 3_600 + i64::from(minutes) * 60;
            match sign {
                b'+' => offset,
                b'-' => -offset,
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(seconds - offset)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_written_as_others_read_them() {
        assert_eq!(http(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(basic(1_440_938_160), "20150830T123600Z");
        assert_eq!(iso(951_782_400), "2000-02-29T00:00:00Z");
    }

    #[test]
    fn dates_of_policies_are_read() {
        let noon = Some(1_714_564_800);
        for text in [
            "2024-05-01T12:00:00Z",
            "2024-05-01T12:00Z",
            "2024-05-01T12:00:00.25Z",
            "2024-05-01T14:00:00+02:00",
            "1714564800",
        ] {
            assert_eq!(parse_iso(text), noon, "{text}");
        }
        assert_eq!(parse_iso("2024-05-01"), Some(1_714_521_600));
        for bad in [
            "",
            "2024",
            "2024-02-30",
            "2024-13-01",
            "2024-05-01T25:00Z",
            "2024-05-01T12",
            "2024-05-01T12:00:00.Z",
            "2024/05/01",
            "today",
            "2024-05-01T12:00:00+2",
        ] {
            assert_eq!(parse_iso(bad), None, "{bad}");
        }
        for bad in ["", "20150830T123600", "20150832T123600Z", "2015-08-30T12:36:00Z", "20150830X123600Z"] {
            assert_eq!(parse_basic(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 0_i64..253_402_300_799) {
            prop_assert_eq!(parse_basic(&basic(seconds)), Some(seconds));
            prop_assert_eq!(parse_iso(&iso(seconds)), Some(seconds));
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,32}") {
            let _ = (parse_basic(&text), parse_iso(&text));
        }
    }
}
