//! Why a document is no filter policy. Clients see the texts, and tools look for them: they are those of AWS.

use std::fmt;

/// A document that is no filter policy, or one that is beyond the limits. As text, what AWS says behind `Invalid parameter: `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError(Box<str>);

impl std::error::Error for FilterError {}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As much of the document as an error repeats, in characters.
const SOURCE_CHARS_MAX: usize = 500;

impl FilterError {
    /// Something about the policy as a whole.
    pub(super) fn whole(what: impl fmt::Display) -> Self {
        Self(format!("FilterPolicy: {what}").into())
    }

    /// Something about a place in the policy: behind `end` bytes of it.
    pub(super) fn at(what: impl fmt::Display, text: &str, end: usize) -> Self {
        let before = text.get(..end).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        let shown_bytes = text.char_indices().nth(SOURCE_CHARS_MAX).map_or(text.len(), |(at, _)| at);
        let (shown, hidden) = text.split_at(shown_bytes);
        let mut source = format!("\"{shown}\"");
        if !hidden.is_empty() {
            source.push_str(&format!("[truncated {} chars]", hidden.chars().count()));
        }
        Self::whole(format_args!("{what}\n at [Source: (String){source}; line: {line}, column: {column}]"))
    }

    /// Attributes have no levels.
    pub(super) fn nested() -> Self {
        Self("Filter policy scope MessageAttributes does not support nested filter policy".into())
    }

    /// No scope of this name.
    pub(super) fn scope(name: &str) -> Self {
        Self(
            format!("FilterPolicyScope: Invalid value [{name}]. Please use either MessageBody or MessageAttributes")
                .into(),
        )
    }
}
