//! STOMP by hand over one socket: for frames that no client would send, and to see each frame that comes back.
//!
//! It shares nothing with the broker's codec, so that neither can hide the other's mistakes.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// `MESSAGE` and so on.
    pub command: String,
    /// In their order, with the escapes of 1.2 taken back.
    pub headers: Vec<(String, String)>,
    /// All behind the empty line, without the NUL.
    pub body: Vec<u8>,
}

impl Frame {
    /// The value of a header, `""` where it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find_map(|(key, value)| (key == name).then_some(value.as_str())).unwrap_or_default()
    }
}

/// A frame to be sent, escaped as 1.2 has it.
#[must_use]
pub fn frame(command: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{command}\n").into_bytes();
    for (name, value) in headers {
        bytes.extend(format!("{}:{}\n", escaped(name), escaped(value)).bytes());
    }
    bytes.push(b'\n');
    bytes.extend(body);
    bytes.push(0);
    bytes
}

/// SEND with content-length and a receipt.
#[must_use]
pub fn send(destination: &str, receipt: &str, more: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let length = body.len().to_string();
    let mut headers = vec![("destination", destination), ("content-length", &length), ("receipt", receipt)];
    headers.extend(more);
    headers.retain(|(name, value)| *name != "receipt" || !value.is_empty());
    frame("SEND", &headers, body)
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace(':', "\\c")
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match (char, char == '\\') {
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('c') => out.push(':'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            (plain, false) => out.push(plain),
        }
    }
    out
}

/// One connection.
pub struct Stomp {
    stream: TcpStream,
    pending: Vec<u8>,
    /// How much of `pending` has been taken.
    taken: usize,
    receipts: u64,
}

impl Stomp {
    /// Connects and says nothing.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn silent(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, pending: Vec::new(), taken: 0, receipts: 0 })
    }

    /// Connects as guest and returns once the broker has said CONNECTED.
    ///
    /// # Errors
    /// When it does not.
    pub fn open(address: &str) -> io::Result<Self> {
        Self::open_with(address, &[]).map(|(stomp, _)| stomp)
    }

    /// The same with more headers; also returns CONNECTED.
    ///
    /// # Errors
    /// When another frame comes, or none.
    pub fn open_with(address: &str, more: &[(&str, &str)]) -> io::Result<(Self, Frame)> {
        let mut stomp = Self::silent(address)?;
        let mut headers = vec![("accept-version", "1.2"), ("host", "/"), ("login", "guest"), ("passcode", "guest")];
        headers.extend(more);
        stomp.write(&frame("CONNECT", &headers, b""))?;
        let connected = stomp.expect("CONNECTED")?;
        Ok((stomp, connected))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the broker has closed the connection, or takes nothing for a long time.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next frame.
    ///
    /// # Errors
    /// `TimedOut` when none comes, another one when the connection ends.
    pub fn next_frame(&mut self) -> io::Result<Frame> {
        self.next_within(PATIENCE)
    }

    /// The next frame, within a time.
    ///
    /// # Errors
    /// `TimedOut` when none comes, another one when the connection ends.
    pub fn next_within(&mut self, limit: Duration) -> io::Result<Frame> {
        let deadline = Instant::now() + limit;
        loop {
            while matches!(self.pending.get(self.taken), Some(b'\n' | b'\r')) {
                self.taken += 1;
            }
            if let Some((frame, bytes)) = cut(&self.pending[self.taken..])? {
                self.taken += bytes;
                return Ok(frame);
            }
            self.fill(deadline)?;
        }
    }

    /// Waits for any bytes, a heart-beat for instance, and returns how many lie there; frames among them are kept.
    ///
    /// # Errors
    /// `TimedOut` when none come, another one when the connection ends.
    pub fn bytes_within(&mut self, limit: Duration) -> io::Result<usize> {
        self.fill(Instant::now() + limit)?;
        Ok(self.pending.len() - self.taken)
    }

    fn fill(&mut self, deadline: Instant) -> io::Result<()> {
        self.pending.drain(..self.taken);
        self.taken = 0;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut chunk = vec![0; 1 << 16];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => {
                self.pending.extend(&chunk[..bytes]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::TimedOut.into()),
            Err(error) => Err(error),
        }
    }

    /// The next frame, which must be this one.
    ///
    /// # Errors
    /// When it is another one, or none comes.
    pub fn expect(&mut self, command: &str) -> io::Result<Frame> {
        let frame = self.next_frame()?;
        if frame.command == command {
            return Ok(frame);
        }
        Err(io::Error::other(format!("{command} was due, but {frame:?} came")))
    }

    /// Sends a frame with a receipt and waits for that; messages that come before it are returned.
    ///
    /// # Errors
    /// When ERROR comes, or the connection ends.
    pub fn call(&mut self, command: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Vec<Frame>> {
        self.receipts += 1;
        let receipt = format!("call-{}", self.receipts);
        let mut all = headers.to_vec();
        all.push(("receipt", &receipt));
        self.write(&frame(command, &all, body))?;
        let mut messages = Vec::new();
        loop {
            let frame = self.next_frame()?;
            match frame.command.as_str() {
                "MESSAGE" => messages.push(frame),
                "RECEIPT" if frame.header("receipt-id") == receipt => return Ok(messages),
                _ => return Err(io::Error::other(format!("the receipt of {command} was due, but {frame:?} came"))),
            }
        }
    }

    /// Subscribes, with the destination as the id.
    ///
    /// # Errors
    /// When ERROR comes, or the connection ends.
    pub fn subscribe(&mut self, destination: &str, ack: &str, more: &[(&str, &str)]) -> io::Result<()> {
        let mut headers = vec![("destination", destination), ("id", destination), ("ack", ack)];
        headers.extend(more);
        let early = self.call("SUBSCRIBE", &headers, b"")?;
        // What is there already may come before the receipt.
        for frame in early.iter().rev() {
            let headers: Vec<(&str, &str)> = frame.headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            self.put_back(&self::frame(&frame.command, &headers, &frame.body));
        }
        Ok(())
    }

    fn put_back(&mut self, bytes: &[u8]) {
        let rest = self.pending.split_off(self.taken);
        self.pending.clear();
        self.taken = 0;
        self.pending.extend(bytes);
        self.pending.extend(rest);
    }

    /// A round trip: all that was sent before has been read.
    ///
    /// # Errors
    /// When ERROR comes, or the connection ends.
    pub fn round_trip(&mut self) -> io::Result<Vec<Frame>> {
        self.call("BEGIN", &[("transaction", "round-trip")], b"")?;
        self.call("ABORT", &[("transaction", "round-trip")], b"")
    }

    /// Reads until the broker closes the connection; what came before.
    ///
    /// # Errors
    /// When it does not close in time.
    pub fn end(&mut self, limit: Duration) -> io::Result<Vec<Frame>> {
        let deadline = Instant::now() + limit;
        let mut frames = Vec::new();
        loop {
            match self.next_within(deadline.saturating_duration_since(Instant::now())) {
                Ok(frame) => frames.push(frame),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(error),
                // Closed, or reset because something was sent meanwhile.
                Err(_) => return Ok(frames),
            }
        }
    }
}

/// The frame at the front and its length, or `None` where it is not whole.
fn cut(bytes: &[u8]) -> io::Result<Option<(Frame, usize)>> {
    let Some(head_bytes) = bytes.windows(2).position(|two| two == b"\n\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..head_bytes]).map_err(io::Error::other)?;
    let mut lines = head.split('\n');
    let command = lines.next().unwrap_or_default().to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(':').map(|(name, value)| (unescaped(name), unescaped(value))))
        .collect::<Option<_>>()
        .ok_or_else(|| io::Error::other(format!("a header without a colon: {head:?}")))?;
    let mut frame = Frame { command, headers, body: Vec::new() };
    let body = &bytes[head_bytes + 2..];
    let length = match frame.header("content-length") {
        "" => match body.iter().position(|&byte| byte == 0) {
            Some(length) => length,
            None => return Ok(None),
        },
        length => length.parse().map_err(io::Error::other)?,
    };
    match body.get(length) {
        None => Ok(None),
        Some(0) => {
            frame.body = body[..length].to_vec();
            Ok(Some((frame, head_bytes + 2 + length + 1)))
        }
        Some(other) => Err(io::Error::other(format!("{other} where NUL ends a frame: {head:?}"))),
    }
}
