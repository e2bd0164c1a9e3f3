//! JSON, token by token (RFC 8259). It allocates for texts with escapes and for what is nested, and for nothing else, so that a body
//! can be looked through without a tree of it.

use std::borrow::Cow;

use smallvec::SmallVec;

/// One step through a document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    /// The name of a member; its value comes next.
    Key(Cow<'a, str>),
    Text(Cow<'a, str>),
    /// As it is written.
    Number(&'a str),
    Bool(bool),
    Null,
    /// There is nothing more.
    End,
}

/// A document that is no JSON, or deeper than it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) what: String,
    /// Bytes of the document up to there.
    pub(super) at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Object,
    Array,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    /// The document itself, or what follows a key or a comma in an array.
    Value,
    /// A value, or that the array ends.
    ValueOrEnd,
    /// A key, or that the object ends.
    KeyOrEnd,
    Key,
    /// A comma, or that what is open ends.
    CommaOrEnd,
    Nothing,
}

/// Where a reader is in a document.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    start: usize,
    depth_max: usize,
    expects: Expects,
    open: SmallVec<[Inside; 32]>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, depth_max: usize) -> Self {
        Self { text, at: 0, start: 0, depth_max, expects: Expects::Value, open: SmallVec::new() }
    }

    /// Where the last token begins, in bytes.
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// Where it ends.
    pub(super) fn end(&self) -> usize {
        self.at
    }

    /// The next token; [`Token::End`] behind the last.
    pub(super) fn next(&mut self) -> Result<Token<'a>, Malformed> {
        loop {
            self.skip_space();
            let Some(byte) = self.peek() else { return self.ended() };
            match (self.expects, byte) {
                (Expects::CommaOrEnd, b',') => {
                    self.at += 1;
                    self.expects = match self.open.last() {
                        Some(Inside::Object) => Expects::Key,
                        _ => Expects::Value,
                    };
                }
                (Expects::CommaOrEnd | Expects::KeyOrEnd, b'}') if self.open.last() == Some(&Inside::Object) => {
                    return Ok(self.close(Token::ObjectEnd));
                }
                (Expects::CommaOrEnd | Expects::ValueOrEnd, b']') if self.open.last() == Some(&Inside::Array) => {
                    return Ok(self.close(Token::ArrayEnd));
                }
                (Expects::CommaOrEnd, _) => {
                    let inside = if self.open.last() == Some(&Inside::Object) { "Object" } else { "Array" };
                    return Err(self.unexpected(&format!("was expecting comma to separate {inside} entries")));
                }
                (Expects::Key | Expects::KeyOrEnd, b'"') => {
                    let key = self.string()?;
                    let start = self.start;
                    self.skip_space();
                    if self.peek() != Some(b':') {
                        return Err(self.unexpected("was expecting a colon to separate field name and value"));
                    }
                    self.at += 1;
                    self.start = start;
                    self.expects = Expects::Value;
                    return Ok(Token::Key(key));
                }
                (Expects::Key | Expects::KeyOrEnd, _) => {
                    return Err(self.unexpected("was expecting double-quote to start field name"));
                }
                (Expects::Value | Expects::ValueOrEnd, _) => return self.value(byte),
                (Expects::Nothing, _) => return Err(self.unexpected("was expecting the end of the document")),
            }
        }
    }

    fn value(&mut self, byte: u8) -> Result<Token<'a>, Malformed> {
        let (inside, token, expects) = match byte {
            b'{' => (Inside::Object, Token::ObjectStart, Expects::KeyOrEnd),
            b'[' => (Inside::Array, Token::ArrayStart, Expects::ValueOrEnd),
            _ => {
                let token = match byte {
                    b'"' => Token::Text(self.string()?),
                    b'-' | b'0'..=b'9' => Token::Number(self.number()?),
                    _ => self.word()?,
                };
                self.expects = self.behind_value();
                return Ok(token);
            }
        };
        if self.open.len() == self.depth_max {
            let what = format!("Document nesting depth exceeds the maximum allowed ({})", self.depth_max);
            return Err(Malformed { what, at: self.at });
        }
        self.start = self.at;
        self.at += 1;
        self.open.push(inside);
        self.expects = expects;
        Ok(token)
    }

    fn close(&mut self, token: Token<'a>) -> Token<'a> {
        self.start = self.at;
        self.at += 1;
        self.open.pop();
        self.expects = self.behind_value();
        token
    }

    fn behind_value(&self) -> Expects {
        if self.open.is_empty() { Expects::Nothing } else { Expects::CommaOrEnd }
    }

    fn ended(&mut self) -> Result<Token<'a>, Malformed> {
        self.start = self.at;
        if self.expects == Expects::Nothing {
            return Ok(Token::End);
        }
        let what =
            if self.open.is_empty() { "No content to map due to end-of-input" } else { "Unexpected end-of-input" };
        Err(Malformed { what: what.to_owned(), at: self.at })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn unexpected(&self, expected: &str) -> Malformed {
        // Where it stands is always between two characters.
        let Some(char) = self.text.get(self.at..).and_then(|rest| rest.chars().next()) else {
            return Malformed { what: format!("Unexpected end-of-input: {expected}"), at: self.at };
        };
        let what = format!("Unexpected character ('{char}' (code {})): {expected}", u32::from(char));
        Malformed { what, at: self.at + char.len_utf8() }
    }

    /// `true`, `false` or `null`.
    fn word(&mut self) -> Result<Token<'a>, Malformed> {
        let rest = &self.text[self.at..];
        let length = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let token = match &rest[..length] {
            "true" => Token::Bool(true),
            "false" => Token::Bool(false),
            "null" => Token::Null,
            "" => return Err(self.unexpected("expected a valid value")),
            word => {
                let word: String = word.chars().take(64).collect();
                let what = format!("Unrecognized token '{word}': was expecting ('true', 'false' or 'null')");
                return Err(Malformed { what, at: self.at + length });
            }
        };
        self.start = self.at;
        self.at += length;
        Ok(token)
    }

    fn number(&mut self) -> Result<&'a str, Malformed> {
        self.start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => {
                self.at += 1;
                if matches!(self.peek(), Some(b'0'..=b'9')) {
                    let what = "Invalid numeric value: Leading zeroes not allowed".to_owned();
                    return Err(Malformed { what, at: self.at });
                }
            }
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[self.start..self.at])
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == from { Err(self.unexpected("in numeric value: expected a digit")) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.start = self.at;
        self.at += 1;
        let from = self.at;
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b'"') => {
                    let text = &self.text[from..self.at];
                    self.at += 1;
                    return Ok(Cow::Borrowed(text));
                }
                Some(b'\\') => return self.escaped(from).map(Cow::Owned),
                Some(0..0x20) => return Err(self.control()),
                Some(_) => self.at += 1,
                None => return Err(self.unended()),
            }
        }
    }

    /// A string that has escapes, of which the first is the next.
    fn escaped(&mut self, from: usize) -> Result<String, Malformed> {
        let mut text = self.text[from..self.at].to_owned();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.bytes().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
            text.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                Some(_) => return Err(self.control()),
                None => return Err(self.unended()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Malformed> {
        let Some(byte) = self.peek() else { return Err(self.unended()) };
        let char = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.unexpected("unrecognized character escape")),
        };
        self.at += 1;
        Ok(char)
    }

    /// What is behind `\u`. Half of a pair alone is no character.
    fn unicode(&mut self) -> Result<char, Malformed> {
        let first = self.hex()?;
        if let Some(char) = char::from_u32(first) {
            return Ok(char);
        }
        if (0xd800..0xdc00).contains(&first) && self.text.as_bytes()[self.at..].starts_with(b"\\u") {
            let before = self.at;
            self.at += 2;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                let char = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
                return Ok(char.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex(&mut self) -> Result<u32, Malformed> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.unexpected("expected a hex-digit for character escape sequence"));
            };
            code = code << 4 | digit;
            self.at += 1;
        }
        Ok(code)
    }

    fn control(&self) -> Malformed {
        let code = self.peek().unwrap_or(0);
        let what = format!(
            "Illegal unquoted character ((CTRL-CHAR, code {code})): has to be escaped using backslash to be included in string value"
        );
        Malformed { what, at: self.at }
    }

    fn unended(&self) -> Malformed {
        Malformed {
            what: "Unexpected end-of-input: was expecting closing quote for a string value".to_owned(),
            at: self.at,
        }
    }
}
