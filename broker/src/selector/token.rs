//! The words of a selector.

use std::borrow::Cow;

use super::SelectorError;

/// A word, or a sign.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// An identifier, in quotes or not, as it is written.
    Name(Cow<'a, str>),
    /// One of the words that are no identifiers.
    Word(Word),
    /// Text between apostrophes.
    Text(Cow<'a, str>),
    /// An exact number; 2^63 stands only behind a minus.
    Integer(u64),
    /// An approximate number.
    Float(f64),
    /// A sign, such as `<=`.
    Sign(Sign),
    /// There is nothing more.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    And,
    Or,
    Not,
    Between,
    In,
    Like,
    Escape,
    Is,
    Null,
    True,
    False,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Plus,
    Minus,
    Times,
    Over,
    Open,
    Close,
    Comma,
}

const WORDS: [(&str, Word); 11] = [
    ("AND", Word::And),
    ("OR", Word::Or),
    ("NOT", Word::Not),
    ("BETWEEN", Word::Between),
    ("IN", Word::In),
    ("LIKE", Word::Like),
    ("ESCAPE", Word::Escape),
    ("IS", Word::Is),
    ("NULL", Word::Null),
    ("TRUE", Word::True),
    ("FALSE", Word::False),
];

/// Whether a name has to be in quotes: it is a word of the language, or has other characters than names have.
pub(super) fn needs_quotes(name: &str) -> bool {
    let mut characters = name.chars();
    !characters.next().is_some_and(starts_name)
        || !characters.all(continues_name)
        || WORDS.iter().any(|(word, _)| word.eq_ignore_ascii_case(name))
}

fn starts_name(character: char) -> bool {
    character.is_alphabetic() || matches!(character, '_' | '$')
}

/// With a dot, which headers of other protocols often have.
fn continues_name(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$' | '.')
}

/// Reads words one by one.
#[derive(Clone, Debug)]
pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// The next one, and where it begins.
    pub(super) fn next(&mut self) -> Result<(Token<'a>, usize), SelectorError> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        let start = self.at;
        let rest = &self.text[start..];
        let Some(first) = rest.chars().next() else { return Ok((Token::End, start)) };
        let token = match first {
            '\'' => Token::Text(self.quoted('\'', "a text without its closing apostrophe")?),
            '"' => match self.quoted('"', "a name without its closing quote")? {
                name if name.is_empty() => return Err(SelectorError::new(start, "a name without characters")),
                name => Token::Name(name),
            },
            '0'..='9' => self.number()?,
            '.' if rest[1..].starts_with(|next: char| next.is_ascii_digit()) => self.number()?,
            first if starts_name(first) => {
                let end = rest.find(|character| !continues_name(character)).unwrap_or(rest.len());
                self.at += end;
                let name = &rest[..end];
                let word = WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(name));
                word.map_or(Token::Name(Cow::Borrowed(name)), |(_, word)| Token::Word(*word))
            }
            _ => Token::Sign(self.sign(rest)?),
        };
        Ok((token, start))
    }

    fn sign(&mut self, rest: &str) -> Result<Sign, SelectorError> {
        const SIGNS: [(&str, Sign); 14] = [
            ("<=", Sign::LessOrEqual),
            (">=", Sign::GreaterOrEqual),
            ("<>", Sign::Unequal),
            ("!=", Sign::Unequal),
            ("<", Sign::Less),
            (">", Sign::Greater),
            ("=", Sign::Equal),
            ("+", Sign::Plus),
            ("-", Sign::Minus),
            ("*", Sign::Times),
            ("/", Sign::Over),
            ("(", Sign::Open),
            (")", Sign::Close),
            (",", Sign::Comma),
        ];
        let found = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign));
        let (text, sign) = found.ok_or(SelectorError::new(self.at, "a character that means nothing here"))?;
        self.at += text.len();
        Ok(*sign)
    }

    /// What stands between two quotes; a quote in it is written twice.
    fn quoted(&mut self, quote: char, unclosed: &'static str) -> Result<Cow<'a, str>, SelectorError> {
        let start = self.at + 1;
        let mut end = start;
        let mut doubled = false;
        loop {
            let next = self.text[end..].find(quote).ok_or(SelectorError::new(self.at, unclosed))?;
            end += next;
            if !self.text[end + 1..].starts_with(quote) {
                break;
            }
            doubled = true;
            end += 2;
        }
        self.at = end + 1;
        let inside = &self.text[start..end];
        Ok(match doubled {
            true => {
                Cow::Owned(inside.replace(if quote == '"' { "\"\"" } else { "''" }, quote.encode_utf8(&mut [0; 4])))
            }
            false => Cow::Borrowed(inside),
        })
    }

    /// A number as Java writes it: decimal, hexadecimal, octal, with a point, with an exponent, with a letter for its type.
    fn number(&mut self) -> Result<Token<'a>, SelectorError> {
        let start = self.at;
        let too_large = SelectorError::new(start, "a number that is too large");
        let rest = &self.text[start..];
        let bytes = rest.as_bytes();
        if bytes[0] == b'0' && matches!(bytes.get(1), Some(b'x' | b'X')) {
            let digits = leading(&rest[2..], |byte| byte.is_ascii_hexdigit());
            if digits == 0 {
                return Err(SelectorError::new(start, "a hexadecimal number without digits"));
            }
            let value = i64::from_str_radix(&rest[2..2 + digits], 16).map_err(|_| too_large)?;
            self.at += 2 + digits;
            return self.integer(start, value.unsigned_abs());
        }
        let whole = leading(rest, |byte| byte.is_ascii_digit());
        let mut end = whole;
        if bytes.get(end) == Some(&b'.') {
            end += 1 + leading(&rest[end + 1..], |byte| byte.is_ascii_digit());
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let digits = leading(&rest[end + 1 + sign..], |byte| byte.is_ascii_digit());
            if digits == 0 {
                return Err(SelectorError::new(start, "an exponent without digits"));
            }
            end += 1 + sign + digits;
        }
        self.at += end;
        let typed = matches!(bytes.get(end), Some(b'f' | b'F' | b'd' | b'D'));
        if end > whole || typed {
            self.at += usize::from(typed);
            let value: f64 = rest[..end].parse().map_err(|_| too_large.clone())?;
            self.check_end(start)?;
            return if value.is_finite() { Ok(Token::Float(value)) } else { Err(too_large) };
        }
        let digits = &rest[..whole];
        let value = match digits.strip_prefix('0').filter(|octal| !octal.is_empty()) {
            Some(octal) => u64::from_str_radix(octal, 8)
                .map_err(|_| SelectorError::new(start, "a number that begins with 0 and is not octal"))?,
            None => digits.parse().map_err(|_| too_large.clone())?,
        };
        if value > 1 << 63 { Err(too_large) } else { self.integer(start, value) }
    }

    fn integer(&mut self, start: usize, value: u64) -> Result<Token<'a>, SelectorError> {
        if self.text[self.at..].starts_with(['l', 'L']) {
            self.at += 1;
        }
        self.check_end(start)?;
        Ok(Token::Integer(value))
    }

    fn check_end(&self, start: usize) -> Result<(), SelectorError> {
        if self.text[self.at..].starts_with(continues_name) {
            return Err(SelectorError::new(start, "a number that runs into a name"));
        }
        Ok(())
    }
}

/// How many bytes in front are of a kind.
fn leading(text: &str, is: impl Fn(&u8) -> bool) -> usize {
    text.bytes().take_while(is).count()
}
