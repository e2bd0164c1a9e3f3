//! AMQP 0-9-1 by hand over one socket: for frames that no client would send, and to see each frame that comes back.
//!
//! Numbers and names are those of the AMQP 0-9-1 specification, sections 2.3 (frames) and 4.2 (wire format).

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// What a client says first.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";
/// Frame types.
pub const METHOD: u8 = 1;
/// The header of a content: its size and properties.
pub const HEADER: u8 = 2;
/// A part of a content.
pub const BODY: u8 = 3;
/// Neither payload nor channel.
pub const HEARTBEAT: u8 = 8;
/// The last byte of every frame.
pub const FRAME_END: u8 = 0xCE;

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// [`METHOD`], [`HEADER`], [`BODY`] or [`HEARTBEAT`].
    pub kind: u8,
    /// 0 for the connection itself.
    pub channel: u16,
    /// Without the seven bytes before and the one after it.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Class and method number of a method frame.
    #[must_use]
    pub fn method(&self) -> Option<(u16, u16)> {
        (self.kind == METHOD && self.payload.len() >= 4).then(|| (short(&self.payload, 0), short(&self.payload, 2)))
    }

    /// The arguments of a method frame, to be read one after the other.
    #[must_use]
    pub fn arguments(&self) -> Arguments<'_> {
        Arguments { bytes: self.payload.get(4..).unwrap_or_default() }
    }
}

/// Reads the arguments of a method. What is missing reads as zero or empty: the test compares values anyway.
pub struct Arguments<'a> {
    bytes: &'a [u8],
}

impl Arguments<'_> {
    fn take(&mut self, count: usize) -> &[u8] {
        let (head, rest) = self.bytes.split_at(count.min(self.bytes.len()));
        self.bytes = rest;
        head
    }

    fn number(&mut self, bytes: usize) -> u64 {
        self.take(bytes).iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }

    /// One byte.
    pub fn octet(&mut self) -> u8 {
        self.number(1) as u8
    }

    /// Two bytes.
    pub fn short(&mut self) -> u16 {
        self.number(2) as u16
    }

    /// Four bytes.
    pub fn long(&mut self) -> u32 {
        self.number(4) as u32
    }

    /// Eight bytes.
    pub fn longlong(&mut self) -> u64 {
        self.number(8)
    }

    /// A text of up to 255 bytes.
    pub fn shortstr(&mut self) -> String {
        let length = usize::from(self.octet());
        String::from_utf8_lossy(self.take(length)).into_owned()
    }
}

/// Writes the payload of a method frame.
#[derive(Clone, Debug)]
pub struct Method {
    bytes: Vec<u8>,
}

impl Method {
    /// A method without arguments yet.
    #[must_use]
    pub fn new(class: u16, method: u16) -> Self {
        Self { bytes: Vec::new() }.short(class).short(method)
    }

    /// One byte; bits are packed into one by the caller, the first argument lowest.
    #[must_use]
    pub fn octet(self, value: u8) -> Self {
        self.raw(&[value])
    }

    /// Two bytes.
    #[must_use]
    pub fn short(self, value: u16) -> Self {
        self.raw(&value.to_be_bytes())
    }

    /// Four bytes.
    #[must_use]
    pub fn long(self, value: u32) -> Self {
        self.raw(&value.to_be_bytes())
    }

    /// Eight bytes.
    #[must_use]
    pub fn longlong(self, value: u64) -> Self {
        self.raw(&value.to_be_bytes())
    }

    /// A text of up to 255 bytes.
    ///
    /// # Panics
    /// When it is longer.
    #[must_use]
    pub fn shortstr(self, text: &str) -> Self {
        self.octet(u8::try_from(text.len()).expect("a short string")).raw(text.as_bytes())
    }

    /// A text of any length.
    ///
    /// # Panics
    /// When it is longer than 4 GiB.
    #[must_use]
    pub fn longstr(self, bytes: &[u8]) -> Self {
        self.long(u32::try_from(bytes.len()).expect("a long string")).raw(bytes)
    }

    /// Bytes as they are: a table with its length, for instance.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// An empty table.
    #[must_use]
    pub fn no_arguments(self) -> Self {
        self.long(0)
    }

    /// The payload.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Writes a frame.
///
/// # Panics
/// When the payload is longer than 4 GiB.
#[must_use]
pub fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("a payload below 4 GiB");
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&channel.to_be_bytes());
    bytes.extend_from_slice(&size.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes.push(FRAME_END);
    bytes
}

/// The header of a content of this size; `properties` are the flags and the values that they announce.
#[must_use]
pub fn content_header(body_bytes: u64, properties: &[u8]) -> Vec<u8> {
    let mut payload = vec![0, 60, 0, 0];
    payload.extend_from_slice(&body_bytes.to_be_bytes());
    payload.extend_from_slice(properties);
    payload
}

/// No properties at all.
pub const NO_PROPERTIES: [u8; 2] = [0, 0];
/// delivery-mode 2.
pub const PERSISTENT: [u8; 3] = [0x10, 0, 2];

/// Why a channel or connection was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The reply code.
    pub code: u16,
    /// The reply text.
    pub text: String,
    /// Class and method that caused it, or zeros.
    pub cause: (u16, u16),
    /// 0 where the connection was closed.
    pub channel: u16,
}

/// A message as it was delivered to a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The consumer's tag.
    pub consumer: String,
    /// What an acknowledgement names it by.
    pub tag: u64,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// The flags of the properties, and their values, as they came.
    pub properties: Vec<u8>,
    /// The content.
    pub body: Vec<u8>,
}

impl Delivery {
    /// A header whose value is an integer of eight bytes (`l`), `x-stream-offset` for instance.
    #[must_use]
    pub fn long_header(&self, name: &str) -> Option<i64> {
        let field = [&[name.len() as u8], name.as_bytes(), b"l"].concat();
        let at = self.properties.windows(field.len()).position(|bytes| bytes == field)?;
        self.properties[at + field.len()..].first_chunk().map(|&bytes| i64::from_be_bytes(bytes))
    }
}

/// A value of a table, by the letters of the errata of AMQP 0-9-1.
#[derive(Clone, Debug)]
pub enum Field<'a> {
    /// `S`
    Text(&'a str),
    /// `I`
    Int(i32),
    /// `l`
    Long(i64),
    /// `t`
    Bool(bool),
    /// Any letter, and the bytes that follow it.
    Raw(u8, Vec<u8>),
}

/// A table with its length.
///
/// # Panics
/// When a name is longer than 255 bytes, or the table longer than 4 GiB.
#[must_use]
pub fn table(fields: &[(&str, Field<'_>)]) -> Vec<u8> {
    let mut method = Method { bytes: Vec::new() };
    for (name, value) in fields {
        method = method.shortstr(name);
        method = match value {
            Field::Text(text) => method.octet(b'S').longstr(text.as_bytes()),
            Field::Int(number) => method.octet(b'I').raw(&number.to_be_bytes()),
            Field::Long(number) => method.octet(b'l').raw(&number.to_be_bytes()),
            Field::Bool(value) => method.octet(b't').octet(u8::from(*value)),
            Field::Raw(letter, bytes) => method.octet(*letter).raw(bytes),
        };
    }
    Method { bytes: Vec::new() }.longstr(&method.bytes).bytes
}

/// A table in a table in a table...
#[must_use]
pub fn nested_table(depth: usize) -> Vec<u8> {
    let mut table = vec![0, 0, 0, 0];
    for _ in 0..depth {
        let mut outer = ((table.len() + 3) as u32).to_be_bytes().to_vec();
        outer.extend_from_slice(b"\x01aF");
        outer.extend_from_slice(&table);
        table = outer;
    }
    table
}

/// The properties of a persistent message with headers.
#[must_use]
pub fn persistent_with(headers: &[(&str, Field<'_>)]) -> Vec<u8> {
    [&[0x30, 0], &table(headers)[..], &[2]].concat()
}

/// One socket, and the frames that came over it.
pub struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
    waiting: VecDeque<Frame>,
    /// The largest frame that came, in bytes, all eight around the payload included.
    pub largest_frame_bytes: usize,
    /// What connection.tune offered: channel-max, frame-max, heartbeat.
    pub offered: (u16, u32, u16),
}

impl Wire {
    /// Connects and says nothing.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn silent(address: impl ToSocketAddrs) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::new(), waiting: VecDeque::new(), largest_frame_bytes: 0, offered: (0, 0, 0) })
    }

    /// Connects, and logs in as guest with what the broker offers.
    ///
    /// # Errors
    /// When the broker closes the connection or does not answer in time.
    pub fn open(address: impl ToSocketAddrs) -> io::Result<Self> {
        Self::open_tuned(address, |offered| (offered.0, offered.1, 0))
    }

    /// Logs in with the channel-max, frame-max and heartbeat that `tune` makes of what the broker offers.
    ///
    /// # Errors
    /// When the broker closes the connection or does not answer in time.
    pub fn open_tuned(
        address: impl ToSocketAddrs,
        tune: impl FnOnce((u16, u32, u16)) -> (u16, u32, u16),
    ) -> io::Result<Self> {
        let mut wire = Self::silent(address)?;
        wire.send(&PROTOCOL_HEADER)?;
        wire.expect(0, (10, 10))?;
        wire.method(0, &Self::start_ok(b"\0guest\0guest"))?;
        let tuned = wire.expect(0, (10, 30))?;
        let mut arguments = tuned.arguments();
        wire.offered = (arguments.short(), arguments.long(), arguments.short());
        let (channel_max, frame_max, heartbeat) = tune(wire.offered);
        wire.method(0, &Method::new(10, 31).short(channel_max).long(frame_max).short(heartbeat))?;
        wire.method(0, &Method::new(10, 40).shortstr("/").shortstr("").octet(0))?;
        wire.expect(0, (10, 41))?;
        Ok(wire)
    }

    /// connection.start-ok with PLAIN, and the capability that has a refusal told by connection.close.
    #[must_use]
    pub fn start_ok(response: &[u8]) -> Method {
        let capability = b"\x1cauthentication_failure_closet\x01";
        let mut properties = b"\x0ccapabilitiesF".to_vec();
        properties.extend_from_slice(&(capability.len() as u32).to_be_bytes());
        properties.extend_from_slice(capability);
        Method::new(10, 11).longstr(&properties).shortstr("PLAIN").longstr(response).shortstr("en_US")
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a method frame.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn method(&mut self, channel: u16, method: &Method) -> io::Result<()> {
        self.send(&frame(METHOD, channel, method.bytes()))
    }

    /// Sends a method and waits for its answer.
    ///
    /// # Errors
    /// When another method comes, or none in time.
    pub fn call(&mut self, channel: u16, method: &Method, answer: (u16, u16)) -> io::Result<Frame> {
        self.method(channel, method)?;
        self.expect(channel, answer)
    }

    /// Sends a method and waits for its answer; deliveries that come first are kept for [`Self::delivery`].
    ///
    /// # Errors
    /// When the connection ends, a channel is closed, or no answer comes in time.
    pub fn call_amid_deliveries(&mut self, channel: u16, method: &Method, answer: (u16, u16)) -> io::Result<Frame> {
        self.method(channel, method)?;
        let mut kept = VecDeque::new();
        loop {
            let frame = self.next_frame()?;
            if frame.method() == Some(answer) && frame.channel == channel {
                kept.append(&mut self.waiting);
                self.waiting = kept;
                return Ok(frame);
            }
            if let Some(close) = close_of(&frame) {
                return Err(io::Error::other(format!("closed instead of {answer:?}: {close:?}")));
            }
            kept.push_back(frame);
        }
    }

    /// Opens a channel.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn open_channel(&mut self, channel: u16) -> io::Result<()> {
        self.call(channel, &Method::new(20, 10).shortstr(""), (20, 11)).map(drop)
    }

    /// Declares a queue. The bits are passive 1, durable 2, exclusive 4, auto-delete 8, no-wait 16.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn declare(&mut self, channel: u16, queue: &str, bits: u8) -> io::Result<(String, u32, u32)> {
        self.declare_with(channel, queue, bits, &[])
    }

    /// Declares a queue with arguments.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn declare_with(
        &mut self,
        channel: u16,
        queue: &str,
        bits: u8,
        arguments: &[(&str, Field<'_>)],
    ) -> io::Result<(String, u32, u32)> {
        let method = Method::new(50, 10).short(0).shortstr(queue).octet(bits).raw(&table(arguments));
        let answer = self.call(channel, &method, (50, 11))?;
        let mut arguments = answer.arguments();
        Ok((arguments.shortstr(), arguments.long(), arguments.long()))
    }

    /// The bytes of basic.publish with its content in frames of the offered frame-max.
    #[must_use]
    pub fn publish_frames(channel: u16, exchange: &str, key: &str, properties: &[u8], body: &[u8]) -> Vec<u8> {
        let method = Method::new(60, 40).short(0).shortstr(exchange).shortstr(key).octet(0);
        let mut bytes = frame(METHOD, channel, method.bytes());
        bytes.extend(frame(HEADER, channel, &content_header(body.len() as u64, properties)));
        for part in body.chunks(4000) {
            bytes.extend(frame(BODY, channel, part));
        }
        bytes
    }

    /// Publishes.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn publish(
        &mut self,
        channel: u16,
        exchange: &str,
        key: &str,
        properties: &[u8],
        body: &[u8],
    ) -> io::Result<()> {
        self.send(&Self::publish_frames(channel, exchange, key, properties, body))
    }

    /// Waits for the next basic.deliver with its content; other methods and heartbeats are passed over.
    ///
    /// # Errors
    /// When the connection ends, a channel is closed, or nothing comes in time.
    pub fn delivery(&mut self, channel: u16) -> io::Result<Delivery> {
        let method = self.expect(channel, (60, 60))?;
        let mut arguments = method.arguments();
        let consumer = arguments.shortstr();
        let (tag, redelivered) = (arguments.longlong(), arguments.octet() == 1);
        let (properties, body) = self.properties_and_body()?;
        Ok(Delivery { consumer, tag, redelivered, properties, body })
    }

    /// The body of the content that follows a method; the broker must send nothing else in between.
    ///
    /// # Errors
    /// When something else comes, the connection ends, or nothing comes in time.
    pub fn content(&mut self) -> io::Result<Vec<u8>> {
        self.properties_and_body().map(|(_, body)| body)
    }

    fn properties_and_body(&mut self) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let out_of_place = |frame: &Frame| io::Error::other(format!("not a content: frame of type {}", frame.kind));
        let header = self.next_frame()?;
        if header.kind != HEADER || header.payload.len() < 12 {
            return Err(out_of_place(&header));
        }
        let size = header.payload[4..12].iter().fold(0_usize, |size, &byte| size << 8 | usize::from(byte));
        let mut body = Vec::new();
        while body.len() < size {
            let part = self.next_frame()?;
            if part.kind != BODY || part.channel != header.channel {
                return Err(out_of_place(&part));
            }
            body.extend_from_slice(&part.payload);
        }
        Ok((header.payload[12..].to_vec(), body))
    }

    /// Waits for a method on a channel; what comes on other channels meanwhile, and heartbeats, is passed over.
    ///
    /// # Errors
    /// When another method comes, the connection ends, or nothing comes in time.
    pub fn expect(&mut self, channel: u16, method: (u16, u16)) -> io::Result<Frame> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let frame = self.next_within(deadline.saturating_duration_since(Instant::now()))?;
            match frame.method() {
                Some(got) if got == method && frame.channel == channel => return Ok(frame),
                Some((10, 50)) | Some((20, 40)) => {
                    return Err(io::Error::other(format!("closed instead of {method:?}: {:?}", close_of(&frame))));
                }
                _ => {}
            }
        }
    }

    /// Waits until the broker closes the connection or one of its channels.
    ///
    /// # Errors
    /// When the connection ends without a word, or is still open after [`PATIENCE`].
    pub fn expect_close(&mut self) -> io::Result<Close> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let frame = self.next_within(deadline.saturating_duration_since(Instant::now()))?;
            if let Some(close) = close_of(&frame) {
                return Ok(close);
            }
        }
    }

    /// The next frame, waiting up to [`PATIENCE`].
    ///
    /// # Errors
    /// When the connection ends first, or nothing comes.
    pub fn next_frame(&mut self) -> io::Result<Frame> {
        self.next_within(PATIENCE)
    }

    /// The next frame, waiting up to `limit`; a [`io::ErrorKind::TimedOut`] when none has come.
    ///
    /// # Errors
    /// When the connection ends first, or nothing comes.
    pub fn next_within(&mut self, limit: Duration) -> io::Result<Frame> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(frame) = self.waiting.pop_front() {
                return Ok(frame);
            }
            self.read_until(deadline)?;
            self.cut_frames()?;
        }
    }

    /// What the broker sends until it closes the socket, and how long that took.
    ///
    /// # Errors
    /// When it has not closed it within `limit`.
    pub fn read_to_end(&mut self, limit: Duration) -> io::Result<(Vec<u8>, Duration)> {
        let started = Instant::now();
        let deadline = started + limit;
        loop {
            match self.read_until(deadline) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(error),
                Err(_) => return Ok((std::mem::take(&mut self.received), started.elapsed())),
            }
        }
    }

    /// Ends the connection without a word.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn shutdown(&self) -> io::Result<()> {
        self.stream.shutdown(std::net::Shutdown::Both)
    }

    fn read_until(&mut self, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came"));
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut chunk = [0; 65536];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the broker closed the socket")),
            Ok(count) => {
                self.received.extend_from_slice(&chunk[..count]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came"))
            }
            Err(error) => Err(error),
        }
    }

    fn cut_frames(&mut self) -> io::Result<()> {
        let mut at = 0;
        while self.received.len() - at >= 8 {
            let head = &self.received[at..];
            let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
            let Some(&end) = head.get(7 + size) else { break };
            if end != FRAME_END {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame without its end"));
            }
            self.largest_frame_bytes = self.largest_frame_bytes.max(size + 8);
            self.waiting.push_back(Frame {
                kind: head[0],
                channel: short(head, 1),
                payload: head[7..7 + size].to_vec(),
            });
            at += size + 8;
        }
        self.received.drain(..at);
        Ok(())
    }
}

/// The content of a connection.close or channel.close.
#[must_use]
pub fn close_of(frame: &Frame) -> Option<Close> {
    let method = frame.method()?;
    (method == (10, 50) || method == (20, 40)).then(|| {
        let mut arguments = frame.arguments();
        Close {
            code: arguments.short(),
            text: arguments.shortstr(),
            cause: (arguments.short(), arguments.short()),
            channel: frame.channel,
        }
    })
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}
