//! Patterns of `LIKE`: `%` stands for any characters, `_` for one.

use std::fmt;

use super::expression::write_text;

/// A pattern. What stands between two `%` is looked for from left to right, and the first place where it fits is as good as
/// any later one: there is no going back, so that a text is walked through once. Only where a run has a `_` in it, each place
/// is tried by itself, which costs the length of the text times that of the run at worst.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    text: Box<str>,
    escape: Option<char>,
    /// What stands before, between and after each `%`; one at least.
    runs: Vec<Run>,
}

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
    /// None where it ends with its escape character.
    pub(super) fn new(text: &str, escape: Option<char>) -> Option<Self> {
        let mut runs = vec![];
        let mut run = Run::default();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            if Some(character) == escape {
                run.push(characters.next()?);
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
        Some(Self { text: text.into(), escape, runs })
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
            _ => text.char_indices().find_map(|(start, _)| self.strip(&text[start..])),
        }
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
