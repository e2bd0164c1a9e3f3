//! A load generator's STOMP 1.2 client: it does as little as it can for each message.
//!
//! Bodies are made of a byte that is nowhere in a header, and NUL is nowhere but at the end of a frame: to count both is to count
//! frames and to check the length of their bodies, without cutting anything out. Nothing here is shared with the broker's codec.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::amqp::LOOK_UP;
use crate::error::{Fallible, fail};

/// How long a broker may take to answer a request or to take bytes before the run counts as failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// What bodies are made of.
const BODY_BYTE: u8 = 1;

fn frame(command: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{command}\n").into_bytes();
    for (name, value) in headers {
        bytes.extend(format!("{name}:{value}\n").bytes());
    }
    bytes.push(b'\n');
    bytes.extend(body);
    bytes.push(0);
    bytes
}

/// A SEND with its content-length.
pub(crate) fn send(destination: &str, headers: &[(&str, &str)], body_bytes: usize) -> Vec<u8> {
    let length = body_bytes.to_string();
    let all = [&[("destination", destination), ("content-length", &length)], headers].concat();
    frame("SEND", &all, &vec![BODY_BYTE; body_bytes])
}

/// What has arrived.
#[derive(Default)]
pub(crate) struct FrameCount {
    /// Whole frames.
    pub(crate) frames: u64,
    body_bytes: u64,
}

impl FrameCount {
    fn add(&mut self, bytes: &[u8]) {
        self.frames += bytes.iter().filter(|&&byte| byte == 0).count() as u64;
        self.body_bytes += bytes.iter().filter(|&&byte| byte == BODY_BYTE).count() as u64;
    }

    /// Fails unless all frames were messages with bodies of this length.
    pub(crate) fn check_bodies(&self, body_bytes: usize) -> Fallible<()> {
        if self.body_bytes == self.frames * body_bytes as u64 {
            return Ok(());
        }
        fail(format!("{} bytes of bodies in {} messages of {body_bytes}", self.body_bytes, self.frames))
    }
}

/// One connection, for one thread.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The last bytes that came, at least one whole frame if there was one.
    end: usize,
}

impl Client {
    /// Logs in.
    pub(crate) fn open(address: SocketAddr) -> Fallible<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK_UP))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut client = Self { stream, buffer: vec![0; 512 * 1024], end: 0 };
        let headers = [("accept-version", "1.2"), ("host", "/"), ("login", "guest"), ("passcode", "guest")];
        client.send(&frame("CONNECT", &headers, b""))?;
        client.expect(b"CONNECTED\n")?;
        Ok(client)
    }

    /// Subscribes, and waits for the receipt.
    pub(crate) fn subscribe(&mut self, destination: &str, headers: &[(&str, &str)]) -> Fallible<()> {
        let all = [&[("destination", destination), ("id", "1"), ("receipt", "1")], headers].concat();
        self.send(&frame("SUBSCRIBE", &all, b""))?;
        self.expect(b"RECEIPT\n")
    }

    /// Sends bytes that were encoded before.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Fallible<()> {
        self.stream.write_all(bytes).map_err(|error| format!("writing to the broker: {error}").into())
    }

    /// Waits until something arrives, at most [`LOOK_UP`], and counts it.
    pub(crate) fn count(&mut self, count: &mut FrameCount) -> Fallible<()> {
        // Behind what is whole there may be the beginning of a frame; and the last whole frame is kept for `ack_last`.
        let keep = self.last_frame().map_or(0, |(start, _)| start);
        self.buffer.copy_within(keep..self.end, 0);
        self.end -= keep;
        if self.end == self.buffer.len() {
            return fail("a frame that is larger than the buffer");
        }
        match self.stream.read(&mut self.buffer[self.end..]) {
            Ok(0) => fail("the broker closed the connection"),
            Ok(bytes) => {
                count.add(&self.buffer[self.end..self.end + bytes]);
                self.end += bytes;
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
            Err(error) => Err(format!("reading from the broker: {error}").into()),
        }
    }

    /// Where the last whole frame starts and ends.
    fn last_frame(&self) -> Option<(usize, usize)> {
        let bytes = &self.buffer[..self.end];
        let end = bytes.iter().rposition(|&byte| byte == 0)?;
        let start = bytes[..end].iter().rposition(|&byte| byte == 0).map_or(0, |before| before + 1);
        Some((start, end))
    }

    /// Acknowledges the last message that has come, and all before it.
    pub(crate) fn ack_last(&mut self) -> Fallible<()> {
        let Some((start, end)) = self.last_frame() else { return fail("no message to acknowledge") };
        let message = &self.buffer[start..end];
        let id = message.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"ack:"));
        let Some(id) = id else { return fail("a message without an ack header") };
        let ack = [b"ACK\nid:", id, b"\n\n\0"].concat();
        self.send(&ack)
    }

    /// Waits for one frame, which must be this one.
    fn expect(&mut self, start: &[u8]) -> Fallible<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut count = FrameCount::default();
        while count.frames == 0 {
            self.count(&mut count)?;
            if Instant::now() > deadline {
                return fail(format!("no answer within {} s", PATIENCE.as_secs()));
            }
        }
        let bytes = &self.buffer[..self.end];
        let first = bytes.iter().position(|byte| !matches!(byte, b'\n' | b'\r')).unwrap_or(0);
        if !bytes[first..].starts_with(start) {
            let told = String::from_utf8_lossy(bytes);
            return fail(format!("{} was due, but {told} came", String::from_utf8_lossy(start).trim_end()));
        }
        self.end = 0;
        Ok(())
    }

    /// Says goodbye, and waits until the broker has read everything that was sent.
    pub(crate) fn close(mut self) -> Fallible<()> {
        self.send(&frame("DISCONNECT", &[("receipt", "1")], b""))?;
        self.expect(b"RECEIPT\n")
    }
}
