//! What sensitive data looks like.

use std::ops::Range;

use regex::{Regex, RegexBuilder};

/// Most characters of the pattern of an identifier that somebody has made.
const PATTERN_CHARACTERS_MAX: usize = 200;
/// Longest text that such a pattern may stand for, in bytes. A search is linear, but all searches of a text are not: each may look as far
/// behind what it finds as its pattern goes.
const MATCH_BYTES_MAX: usize = 1_024;
/// Most bytes that such a pattern may become.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// How something is told from what only looks like it.
pub(super) type Check = fn(&str) -> bool;

/// What one kind of data looks like.
#[derive(Clone, Debug)]
pub(super) struct Identifier {
    pattern: Regex,
    /// Which group of the pattern is the data; 0 for all of it.
    group: usize,
    check: Option<Check>,
}

impl Identifier {
    /// One of our own. What is in the first group of the pattern is the data, where there is a group. None where it is no pattern.
    pub(super) fn managed(pattern: &str, check: Option<Check>) -> Option<Self> {
        let pattern = Regex::new(pattern).ok()?;
        Some(Self { group: usize::from(pattern.captures_len() > 1), pattern, check })
    }

    /// One that somebody has made.
    ///
    /// # Errors
    /// It is too long or too complicated, has what patterns here have not, or stands for texts of any length.
    pub(super) fn custom(name: &str, pattern: &str) -> Result<Self, String> {
        if pattern.is_empty() || pattern.chars().count() > PATTERN_CHARACTERS_MAX {
            return Err(format!("The Regex of {name} must have 1 to {PATTERN_CHARACTERS_MAX} characters."));
        }
        let longest = regex_syntax::parse(pattern).ok().map(|parsed| parsed.properties().maximum_len());
        if longest.is_some_and(|longest| longest.is_none_or(|bytes| bytes > MATCH_BYTES_MAX)) {
            let advice = "repetitions need an upper bound, such as {1,64} in place of +";
            return Err(format!("The Regex of {name} may match more than {MATCH_BYTES_MAX} bytes: {advice}."));
        }
        let built = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX).build();
        let pattern = built.map_err(|_| format!("The Regex of {name} is invalid or too complicated."))?;
        Ok(Self { pattern, group: 0, check: None })
    }

    /// Where it is in a text.
    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let is_data = |found: &str| !found.is_empty() && self.check.is_none_or(|check| check(found));
        if self.group == 0 {
            let found = self.pattern.find_iter(text);
            return found.filter(|found| is_data(found.as_str())).map(|found| found.range()).collect();
        }
        let found = self.pattern.captures_iter(text).filter_map(|found| found.get(self.group));
        found.filter(|found| is_data(found.as_str())).map(|found| found.range()).collect()
    }
}

/// The digits of a text.
fn digits(text: &str) -> impl DoubleEndedIterator<Item = u32> {
    text.chars().filter_map(|character| character.to_digit(10))
}

/// The sum of cards: every second digit from the end counts twice.
pub(super) fn is_luhn(text: &str) -> bool {
    let doubled = |digit: u32| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let sum: u32 =
        digits(text).rev().enumerate().map(|(at, digit)| if at % 2 == 1 { doubled(digit) } else { digit }).sum();
    sum.is_multiple_of(10) && digits(text).any(|digit| digit != 0)
}

/// The sum of international account numbers (ISO 13616).
pub(super) fn is_iban(text: &str) -> bool {
    let plain: Vec<char> = text.chars().filter(char::is_ascii_alphanumeric).collect();
    if plain.len() < 15 {
        return false;
    }
    let rotated = plain[4..].iter().chain(&plain[..4]);
    let values = rotated.filter_map(|character| character.to_digit(36));
    let rest =
        values.fold(0, |rest, value| if value > 9 { (rest * 100 + value) % 97 } else { (rest * 10 + value) % 97 });
    rest == 1
}

/// Numbers of social security in the United States that there are.
pub(super) fn is_ssn(text: &str) -> bool {
    let number = digits(text).fold(0, |number, digit| number * 10 + digit);
    let (area, group, serial) = (number / 1_000_000, number / 10_000 % 100, number % 10_000);
    area != 0 && area != 666 && area < 900 && group != 0 && serial != 0
}

/// Numbers of the British health service, whose last digit is a sum.
pub(super) fn is_nhs(text: &str) -> bool {
    let sum: u32 = digits(text).take(9).zip((2..=10).rev()).map(|(digit, weight)| digit * weight).sum();
    digits(text).last().is_some_and(|last| (11 - sum % 11) % 11 == last)
}

/// Spanish numbers, whose letter is a sum.
pub(super) fn is_nif(text: &str) -> bool {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let plain: Vec<char> =
        text.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_uppercase()).collect();
    let (Some(first), Some(last)) = (plain.first(), plain.last()) else { return false };
    let lead = match first {
        'X' => Some(0),
        'Y' => Some(1),
        'Z' => Some(2),
        _ => None,
    };
    let number = digits(text).fold(lead.unwrap_or(0), |number, digit| number * 10 + digit);
    LETTERS.get(number as usize % 23).is_some_and(|letter| char::from(*letter) == *last)
}

/// Numbers of vehicles, whose ninth character is a sum (ISO 3779, as in North America).
pub(super) fn is_vin(text: &str) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let value = |character: char| match character {
        '0'..='9' => character.to_digit(10).unwrap_or(0),
        'A'..='H' => character as u32 - 'A' as u32 + 1,
        'J'..='R' => character as u32 - 'J' as u32 + 1,
        _ => (character as u32).saturating_sub('S' as u32) + 2,
    };
    let sum: u32 = text.chars().zip(WEIGHTS).map(|(character, weight)| value(character) * weight).sum();
    let check = if sum % 11 == 10 { Some('X') } else { char::from_digit(sum % 11, 10) };
    text.chars().nth(8) == check
}

/// Addresses of the sixth version that say something.
pub(super) fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok_and(|address| !address.is_unspecified())
}
