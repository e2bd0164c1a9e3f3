//! Frames of the server to bytes.

use bytes::BytesMut;

use super::escape::{escape, escape_for_1_0, unescape};
use super::frame::{Headers, Version};

/// Takes encoded bytes.
pub trait Output {
    /// Adds the bytes.
    fn put(&mut self, bytes: &[u8]);
}

impl Output for BytesMut {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Output for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A command of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A session has begun. Its headers are not escaped, in any version.
    Connected,
    /// A message of a subscription.
    Message,
    /// What a frame asked for is done.
    Receipt,
    /// Something is wrong.
    Error,
}

impl Answer {
    const fn line(self) -> &'static [u8] {
        match self {
            Self::Connected => b"CONNECTED\n",
            Self::Message => b"MESSAGE\n",
            Self::Receipt => b"RECEIPT\n",
            Self::Error => b"ERROR\n",
        }
    }
}

/// Behind each frame: its NUL, and a line feed as RabbitMQ and ActiveMQ send one.
const END: &[u8] = b"\0\n";

/// Writes one frame: the command, then headers, then the body.
#[derive(Debug)]
pub struct FrameWriter<'o, O> {
    out: &'o mut O,
    is_escaped: bool,
}

impl<'o, O: Output> FrameWriter<'o, O> {
    /// Begins a frame for a client that speaks `version`.
    pub fn new(out: &'o mut O, version: Version, answer: Answer) -> Self {
        out.put(answer.line());
        Self { out, is_escaped: version > Version::V1_0 && answer != Answer::Connected }
    }

    /// Writes a header, escaped as the version has it.
    pub fn header(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        self.name(name.as_ref());
        self.value(value.as_ref());
        self.line_end()
    }

    /// Writes a header whose value is a number.
    pub fn number(&mut self, name: &str, value: u64) -> &mut Self {
        self.name(name.as_bytes());
        self.out.put(decimal(value, &mut [0; 20]));
        self.line_end()
    }

    /// Writes a header whose value has parts, one behind the other.
    pub fn parts(&mut self, name: &str, value: &[&[u8]]) -> &mut Self {
        self.name(name.as_bytes());
        for part in value {
            self.value(part);
        }
        self.line_end()
    }

    /// Writes header lines that have the escapes of 1.2 already.
    pub fn lines(&mut self, lines: &[u8]) -> &mut Self {
        if self.is_escaped || memchr::memchr(b'\\', lines).is_none() {
            self.out.put(lines);
            return self;
        }
        for line in Headers::escaped(lines).lines() {
            self.header(unescape(line.name), unescape(line.value));
        }
        self
    }

    /// Writes the body, with its length where it is not empty, and ends the frame.
    pub fn body(mut self, body: &[u8]) {
        self.body_apart(body.len());
        self.out.put(body);
        self.out.put(END);
    }

    /// As [`FrameWriter::body_apart`], of a body in which there is no NUL, without its length.
    pub fn body_without_length(&mut self) {
        self.out.put(b"\n");
    }

    /// Ends the headers of a frame with a body of so many bytes. The body follows apart, and [`FrameWriter::end`] behind it.
    pub fn body_apart(&mut self, body_bytes: usize) {
        if body_bytes > 0 {
            self.number("content-length", body_bytes as u64);
        }
        self.out.put(b"\n");
    }

    /// Ends a frame whose body went into the output apart.
    pub fn end(out: &mut O) {
        out.put(END);
    }

    fn name(&mut self, name: &[u8]) {
        if self.is_escaped {
            escape(name, self.out)
        } else {
            escape_for_1_0(name, true, self.out)
        }
        self.out.put(b":");
    }

    fn value(&mut self, value: &[u8]) {
        if self.is_escaped { escape(value, self.out) } else { escape_for_1_0(value, false, self.out) }
    }

    fn line_end(&mut self) -> &mut Self {
        self.out.put(b"\n");
        self
    }
}

/// A number in decimal digits, at the end of `text`, which has room for those of the largest.
pub fn decimal(mut number: u64, text: &mut [u8; 20]) -> &[u8] {
    let mut first = text.len();
    loop {
        first -= 1;
        text[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &text[first..];
        }
    }
}
