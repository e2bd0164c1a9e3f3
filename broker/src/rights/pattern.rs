//! A regular expression over names.
//!
//! RabbitMQ takes Perl's expressions, byte by byte, and searches: `a` matches `bar`, anchors must be written. Here they run in time linear in the
//! name, whatever the expression. What cannot (look-around, back references) is refused when it is set, and what is
//! written differently is translated, so that an expression does not come to mean something else than it did there. Two
//! differences are kept: `$` is the end of the name only, never before a line feed that ends it; and a class that
//! lists characters beyond ASCII holds those characters, where RabbitMQ takes each of their bytes for one.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// Longest expression that is taken, in bytes.
pub const PATTERN_BYTES_MAX: usize = 4096;
/// Memory that a compiled expression may take; a repetition of repetitions would take any amount.
const COMPILED_BYTES_MAX: usize = 256 * 1024;
/// Memory for what is worked out while searching; beyond it the search is slower, not wrong.
const SEARCH_BYTES_MAX: usize = 256 * 1024;
const NESTING_MAX: u32 = 64;

/// An expression that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Longer than [`PATTERN_BYTES_MAX`].
    #[error("regular expression has {got_bytes} bytes, at most {PATTERN_BYTES_MAX} are taken")]
    Long {
        /// What it has.
        got_bytes: usize,
    },
    /// Not an expression, or one that cannot be searched for in linear time, or too large when compiled.
    #[error("invalid regular expression {text:?}: {reason}")]
    Invalid {
        /// The expression.
        text: String,
        /// In the words of the compiler.
        reason: String,
    },
}

/// A compiled expression, stored as its text.
#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Pattern {
    text: String,
    search: Search,
}

#[derive(Clone)]
enum Search {
    /// `.*`, which nearly everybody has.
    Everything,
    /// The empty expression, which RabbitMQ takes for `^$`.
    Nothing,
    Regex(Regex),
}

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    /// It is too long, none, or cannot be searched for in linear time.
    pub fn new(text: impl Into<String>) -> Result<Self, PatternError> {
        let text = text.into();
        let search = match text.as_str() {
            "" => Search::Nothing,
            ".*" | "^.*" => Search::Everything,
            _ => Search::Regex(compile(&text)?),
        };
        Ok(Self { text, search })
    }

    /// The text it was made from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is found in the name.
    pub fn matches(&self, name: impl AsRef<[u8]>) -> bool {
        let name = name.as_ref();
        match &self.search {
            Search::Everything => true,
            Search::Nothing => name.is_empty(),
            Search::Regex(regex) => regex.is_match(name),
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        Self::new(text)
    }
}

fn compile(text: &str) -> Result<Regex, PatternError> {
    if text.len() > PATTERN_BYTES_MAX {
        return Err(PatternError::Long { got_bytes: text.len() });
    }
    let translated = translate(text);
    let build = |unicode| {
        RegexBuilder::new(&translated)
            .unicode(unicode)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(SEARCH_BYTES_MAX)
            .nest_limit(NESTING_MAX)
            .build()
    };
    // Bytes as in RabbitMQ. Only a class with characters beyond ASCII, which has no sensible meaning in bytes, needs the other.
    let built = match build(false) {
        Err(regex::Error::Syntax(_)) if !text.is_ascii() => build(true),
        built => built,
    };
    built.map_err(|error| PatternError::Invalid { text: text.to_owned(), reason: error.to_string() })
}

/// Writes an expression of Perl's for the linear-time engine, where the two read the same text differently: a brace that
/// repeats nothing stands for itself, as do `[`, `&&`, `--` and `~~` within a class.
fn translate(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    let mut in_class = false;
    while let Some(char) = rest.chars().next() {
        let after = &rest[char.len_utf8()..];
        let taken = match char {
            '\\' => {
                let escaped = escape_bytes(rest);
                match &rest[..escaped] {
                    r"\Z" if !in_class => out.push_str(r"\z"),
                    // Word boundaries to the engine, only the characters to Perl.
                    r"\<" => out.push('<'),
                    r"\>" => out.push('>'),
                    same => out.push_str(same),
                }
                escaped
            }
            '[' if in_class => match named_class_bytes(rest) {
                Some(named) => {
                    out.push_str(&rest[..named]);
                    named
                }
                None => {
                    out.push_str(r"\[");
                    1
                }
            },
            '[' => {
                in_class = true;
                // A bracket that closes at once is a member of the class.
                let opening = ["[^]", "[]", "[^", "["].into_iter().find(|opening| rest.starts_with(opening));
                let opening = opening.unwrap_or("[");
                out.push_str(opening);
                opening.len()
            }
            ']' if in_class => {
                in_class = false;
                out.push(char);
                1
            }
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(char);
                1
            }
            '-' if in_class && after.starts_with('-') => {
                out.push_str(r"-\-");
                2
            }
            '{' if !in_class && !repeats(after) => {
                out.push_str(r"\{");
                1
            }
            _ => {
                out.push(char);
                char.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    out
}

/// Length of the escape that `text` begins with, braces included.
fn escape_bytes(text: &str) -> usize {
    let mut chars = text.chars().skip(1);
    let Some(escaped) = chars.next() else {
        return text.len();
    };
    let short = 1 + escaped.len_utf8();
    if matches!(escaped, 'x' | 'p' | 'P')
        && text[short..].starts_with('{')
        && let Some(end) = text[short..].find('}')
    {
        return short + end + 1;
    }
    short
}

/// Length of the `[:name:]` that `text` begins with.
fn named_class_bytes(text: &str) -> Option<usize> {
    let name = text.strip_prefix("[:")?;
    let end = name.find(":]")?;
    name[..end].chars().all(|char| char.is_ascii_lowercase() || char == '^').then_some(end + 4)
}

/// Whether what follows an opening brace makes it a repetition: `n}`, `n,}` or `n,m}`.
fn repeats(after: &str) -> bool {
    let Some((inside, _)) = after.split_once('}') else {
        return false;
    };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}
