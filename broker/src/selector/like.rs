//! Patterns of `LIKE`: `%` stands for any characters, `_` for one.

use std::fmt;

use smallvec::SmallVec;

use super::expression::write_text;

/// A pattern. What stands between two `%` is looked for from left to right, and the first place where it fits is as good as
/// any later one: there is no going back, so that a text is walked through once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    text: Box<str>,
    escape: Option<char>,
    /// What stands before, between and after each `%`; one at least.
    runs: Vec<Run>,
}

/// Longest run between two `%` that has a `_` in it, in characters: all places where it may have begun fit into one word.
const MIXED_MAX: usize = 64;

/// What a character of a text costs that is looked at for a run that has a `_` in it: see [`Pattern::cost`].
const MIXED_COST: usize = 8;
/// What it costs to begin to look for a run.
const RUN_COST: usize = 64;

/// Characters of which each is certain or any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Run {
    parts: Vec<Part>,
    /// In characters.
    len: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// These, as they are.
    Text(String),
    /// One, whichever.
    Any,
}

impl Pattern {
    /// What is wrong with it where it ends with its escape character, or where what stands between two `%` has a `_` and is
    /// too long.
    pub(super) fn new(text: &str, escape: Option<char>) -> Result<Self, &'static str> {
        let mut runs = vec![];
        let mut run = Run::default();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            if Some(character) == escape {
                run.push(characters.next().ok_or("a pattern that ends with its escape character")?);
                continue;
            }
            match character {
                '%' => runs.push(std::mem::take(&mut run)),
                '_' => {
                    run.parts.push(Part::Any);
                    run.len += 1;
                }
                character => run.push(character),
            }
        }
        runs.push(run);
        let pattern = Self { text: text.into(), escape, runs };
        if pattern.between().iter().any(|run| run.is_mixed() && run.len > MIXED_MAX) {
            return Err("a pattern with a _ among more than 64 characters between two %");
        }
        Ok(pattern)
    }

    /// What is looked for anywhere.
    fn between(&self) -> &[Run] {
        self.runs.get(1..self.runs.len() - 1).unwrap_or_default()
    }

    /// What [`Pattern::matches`] costs at most for a text of so many bytes, in nanoseconds or so.
    pub(super) fn cost(&self, text_bytes: usize) -> usize {
        let between = self.between();
        let walked = match between.iter().any(Run::is_mixed) {
            _ if between.is_empty() => 0,
            true => text_bytes.saturating_mul(MIXED_COST),
            false => text_bytes,
        };
        walked.saturating_add(self.text.len() + between.len() * RUN_COST)
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let Some((first, others)) = self.runs.split_first() else { return false };
        let Some(mut rest) = first.strip(text) else { return false };
        let Some((last, between)) = others.split_last() else { return rest.is_empty() };
        for run in between {
            match run.find(rest) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
        // The last one stands at the end, in what is left.
        let start = match last.len.checked_sub(1) {
            None => return true,
            Some(before) => rest.char_indices().rev().nth(before),
        };
        start.is_some_and(|(start, _)| last.strip(&rest[start..]).is_some())
    }
}

impl Run {
    fn push(&mut self, character: char) {
        self.len += 1;
        match self.parts.last_mut() {
            Some(Part::Text(text)) => text.push(character),
            _ => self.parts.push(Part::Text(character.into())),
        }
    }

    /// What is behind it, where a text begins with it.
    fn strip<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.parts.iter().try_fold(text, |rest, part| match part {
            Part::Text(part) => rest.strip_prefix(part.as_str()),
            Part::Any => {
                let mut characters = rest.chars();
                characters.next().map(|_| characters.as_str())
            }
        })
    }

    /// What is behind the first place where it fits.
    fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self.parts.as_slice() {
            [] => Some(text),
            [Part::Text(part)] => text.split_once(part.as_str()).map(|(_, behind)| behind),
            _ => self.find_mixed(text),
        }
    }

    fn is_mixed(&self) -> bool {
        !matches!(self.parts.as_slice(), [] | [Part::Text(_)])
    }

    /// Shift-And: a bit for each place of the run says whether what has been read may end there.
    fn find_mixed<'t>(&self, text: &'t str) -> Option<&'t str> {
        let (mut anywhere, mut last) = (0_u64, 1_u64);
        let mut ascii = [0_u64; 128];
        let mut others: SmallVec<[(char, u64); 8]> = SmallVec::new();
        let mut bit = 1_u64;
        for part in &self.parts {
            match part {
                Part::Any => {
                    anywhere |= bit;
                    (last, bit) = (bit, bit << 1);
                }
                Part::Text(part) => {
                    for character in part.chars() {
                        match ascii.get_mut(character as usize) {
                            Some(places) => *places |= bit,
                            None => others.push((character, bit)),
                        }
                        (last, bit) = (bit, bit << 1);
                    }
                }
            }
        }
        let mut places = 0;
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let of_it = match ascii.get(character as usize) {
                Some(places) => *places,
                None => others.iter().filter(|(other, _)| *other == character).fold(0, |all, (_, bit)| all | bit),
            };
            places = (places << 1 | 1) & (of_it | anywhere);
            if places & last != 0 {
                return Some(characters.as_str());
            }
        }
        None
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(f, &self.text)?;
        if let Some(escape) = self.escape {
            f.write_str(" ESCAPE ")?;
            write_text(f, escape.encode_utf8(&mut [0; 4]))?;
        }
        Ok(())
    }
}
