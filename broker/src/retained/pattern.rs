//! From a pattern to the keys that match it, by seeking: the keys are in order, and a key that does not match says where the
//! next one is that may.
//!
//! Keys are kept with a byte between their words that sorts before all others, so that whatever begins with the same words
//! stands together and nothing stands between.

use std::cmp::Ordering;

use smallvec::SmallVec;

/// Stands between two words of a key as it is kept.
const SEPARATOR: u8 = 0;
/// Stands before what stands for one of these two bytes within a word.
const ESCAPE: u8 = 1;

/// What `$` is followed by.
const BEHIND_DOLLAR: u8 = b'$' + 1;

/// A routing key, or a word of a pattern, as it is kept. The order of two words is the order of their bytes.
pub(super) fn kept_key(key: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(key.len());
    for byte in key {
        match *byte {
            b'.' => kept.push(SEPARATOR),
            SEPARATOR => kept.extend_from_slice(&[ESCAPE, 1]),
            ESCAPE => kept.extend_from_slice(&[ESCAPE, 2]),
            byte => kept.push(byte),
        }
    }
    kept
}

#[derive(Debug)]
enum Word {
    Literal(Vec<u8>),
    One,
}

/// Words between dots; `*` stands for one of them, `#` for any number.
#[derive(Debug)]
pub(super) struct Pattern {
    /// Those before the first `#`.
    head: Vec<Word>,
    /// Those behind it, `None` for a further `#`; there is no list where there is no `#`.
    tail: Option<Vec<Option<Word>>>,
}

/// Where to go on from a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// No key before this one, behind that which was looked at, matches.
    Seek(Vec<u8>),
    /// No key behind it matches.
    End,
}

/// The words of a kept key, by where they begin and end. The empty key has none.
fn words(key: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let mut next = (!key.is_empty()).then_some(0);
    std::iter::from_fn(move || {
        let start = next?;
        let end = memchr(key, start);
        next = (end < key.len()).then_some(end + 1);
        Some((start, end))
    })
}

fn memchr(key: &[u8], start: usize) -> usize {
    key[start..].iter().position(|byte| *byte == SEPARATOR).map_or(key.len(), |found| start + found)
}

fn joined(before: &[u8], rest: &[u8]) -> Vec<u8> {
    [before, rest].concat()
}

impl Pattern {
    pub(super) fn new(pattern: &[u8]) -> Self {
        let (mut head, mut tail) = (Vec::new(), None::<Vec<Option<Word>>>);
        let none = usize::from(pattern.is_empty());
        for word in pattern.split(|byte| *byte == b'.').skip(none) {
            let word = match word {
                b"#" => None,
                b"*" => Some(Word::One),
                word => Some(Word::Literal(kept_key(word))),
            };
            match (word, &mut tail) {
                (None, None) => tail = Some(Vec::new()),
                (word, Some(tail)) => tail.push(word),
                (Some(word), None) => head.push(word),
            }
        }
        Self { head, tail }
    }

    /// Whether a key matches, and where the next one may be that does.
    pub(super) fn judge(&self, key: &[u8]) -> (bool, Step) {
        let mut words = words(key);
        // Where the word ends that the last `*` stands for.
        let mut star = None;
        for (index, word) in self.head.iter().enumerate() {
            let Some((start, end)) = words.next() else {
                // The key is too short: what goes on from it comes next.
                return (false, self.seek(key, key, index));
            };
            match word {
                Word::One if index == 0 && key.starts_with(b"$") => return (false, behind_dollars()),
                Word::One => star = Some(end),
                Word::Literal(word) => match key[start..end].cmp(word) {
                    Ordering::Equal => {}
                    Ordering::Less => return (false, self.seek(key, &key[..start.saturating_sub(1)], index)),
                    Ordering::Greater => return (false, past(key, star)),
                },
            }
        }
        let Some(tail) = &self.tail else {
            // What is longer matches no more than what goes on from a match.
            return (words.next().is_none(), past(key, star));
        };
        if self.head.is_empty() && key.starts_with(b"$") {
            return (false, behind_dollars());
        }
        let matches = tail.is_empty() || {
            let rest: SmallVec<[&[u8]; 16]> = words.map(|(start, end)| &key[start..end]).collect();
            rest_matches(tail, &rest)
        };
        (matches, Step::Seek(joined(key, &[SEPARATOR])))
    }
}

impl Pattern {
    /// The first key behind this one that begins with so many words of the key, which are `before`, and goes on as the pattern
    /// does.
    fn seek(&self, key: &[u8], before: &[u8], words: usize) -> Step {
        let mut from = before.to_vec();
        for (index, word) in self.head.iter().enumerate().skip(words) {
            if index > 0 {
                from.push(SEPARATOR);
            }
            match word {
                Word::Literal(word) => from.extend_from_slice(word),
                Word::One => break,
            }
        }
        if *from <= *key {
            // Only that without any words.
            from.push(SEPARATOR);
        }
        Step::Seek(from)
    }
}

/// A pattern that begins with a wildcard means no key that begins with `$`. They stand together.
fn behind_dollars() -> Step {
    Step::Seek(vec![BEHIND_DOLLAR])
}

/// The first key in which the last `*` stands for another word: everything that begins with this one is behind us. Without a
/// `*` there is nothing else.
fn past(key: &[u8], star: Option<usize>) -> Step {
    // Lesser than any byte of a longer word, greater than what stands between words.
    star.map_or(Step::End, |end| Step::Seek(joined(&key[..end], &[SEPARATOR + 1])))
}

/// Whether words match what stands behind a `#`, which may be preceded by any of them.
fn rest_matches(tail: &[Option<Word>], words: &[&[u8]]) -> bool {
    let (mut at_tail, mut at_word) = (0, 0);
    // Where to try again with one word more for the last `#`.
    let mut again = (0, 0);
    while at_word < words.len() {
        match tail.get(at_tail) {
            Some(None) => {
                at_tail += 1;
                again = (at_tail, at_word);
                continue;
            }
            Some(Some(Word::One)) => {
                at_tail += 1;
                at_word += 1;
                continue;
            }
            Some(Some(Word::Literal(word))) if **word == *words[at_word] => {
                at_tail += 1;
                at_word += 1;
                continue;
            }
            _ => {}
        }
        again.1 += 1;
        (at_tail, at_word) = again;
    }
    tail[at_tail..].iter().all(Option::is_none)
}
