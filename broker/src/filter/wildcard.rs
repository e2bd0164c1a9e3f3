//! Patterns in which `*` stands for any text. `\*` and `\\` are the characters themselves.

/// A pattern, as the texts between its wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wildcard {
    /// In front of the first; the whole text where there is none.
    first: Box<str>,
    /// Each behind one wildcard.
    rest: Box<[Box<str>]>,
}

impl Wildcard {
    /// Reads a pattern.
    pub(super) fn parse(pattern: &str) -> Result<Self, String> {
        let mut parts = vec![String::new()];
        let mut part = String::new();
        let mut chars = pattern.char_indices().peekable();
        while let Some((at, char)) = chars.next() {
            match char {
                '*' => {
                    if chars.peek().is_some_and(|(_, next)| *next == '*') {
                        // The quote in front of the pattern counts.
                        return Err(format!("Consecutive wildcard characters at pos {}", at + 1));
                    }
                    if let Some(last) = parts.last_mut() {
                        *last = std::mem::take(&mut part);
                    }
                    parts.push(String::new());
                }
                '\\' => match chars.next_if(|(_, next)| matches!(next, '*' | '\\')) {
                    Some((_, escaped)) => part.push(escaped),
                    None => return Err(format!("Invalid escape character at pos {}", at + 1)),
                },
                other => part.push(other),
            }
        }
        if let Some(last) = parts.last_mut() {
            *last = part;
        }
        let mut parts = parts.into_iter().map(String::into_boxed_str);
        let first = parts.next().unwrap_or_default();
        Ok(Self { first, rest: parts.collect() })
    }

    /// How many there are in it.
    pub(super) fn wildcards(&self) -> usize {
        self.rest.len()
    }

    /// What every text begins with that it matches.
    pub(super) fn prefix(&self) -> &str {
        &self.first
    }

    /// What every text ends with that it matches.
    pub(super) fn suffix(&self) -> &str {
        self.rest.last().unwrap_or(&self.first)
    }

    /// Whether a text is like that. The time is in proportion to the text's length, whatever the pattern.
    pub(super) fn matches(&self, text: &str) -> bool {
        let Some((last, middle)) = self.rest.split_last() else { return *text == *self.first };
        let Some(mut left) = text.strip_prefix(&*self.first).and_then(|left| left.strip_suffix(&**last)) else {
            return false;
        };
        // The first place for each is the best: it leaves most to those behind.
        for part in middle {
            let Some(at) = left.find(&**part) else { return false };
            left = &left[at + part.len()..];
        }
        true
    }
}
