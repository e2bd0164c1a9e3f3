//! A load generator's MQTT 3.1.1 client: it does as little as it can for each message.
//!
//! * [`publish`] builds bytes that are sent over and over, [`Acks`] gathers what acknowledges.
//! * [`Client`] is a blocking socket, for one thread; [`Crowd`] is many of them, that one thread looks after.
//!
//! Nothing here is shared with the broker's own codec: a mistake in that one must not be hidden by the same mistake here.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::amqp::LOOK_UP;
use crate::error::{Fallible, fail};
use crate::sockets::{Sockets, connect_from, next_network};
use crate::web::{self, Kind, Opener};

/// How long a broker may take to answer a request or to take bytes before the run counts as failed.
const PATIENCE: Duration = Duration::from_secs(120);

const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const SUBACK: u8 = 9;

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut rest = body.len();
    loop {
        let more = rest >= 128;
        bytes.push((rest % 128) as u8 | if more { 128 } else { 0 });
        rest /= 128;
        if !more {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn connect_packet(client_id: &str, clean: bool) -> Vec<u8> {
    let mut body = text("MQTT");
    body.extend([4, if clean { 2 } else { 0 }, 0, 0]);
    body.extend(text(client_id));
    packet(0x10, &body)
}

fn subscribe_packet(filter: &str, qos: u8) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend(text(filter));
    body.push(qos);
    packet(0x82, &body)
}

/// One PUBLISH of QoS 0, or of QoS 1 with this packet id.
pub(crate) fn publish(topic: &str, payload_bytes: usize, packet_id: Option<u16>) -> Vec<u8> {
    let mut body = text(topic);
    body.extend(packet_id.iter().flat_map(|id| id.to_be_bytes()));
    body.resize(body.len() + payload_bytes, b'x');
    packet(if packet_id.is_some() { 0x32 } else { 0x30 }, &body)
}

/// One packet that has arrived whole.
pub(crate) struct Arrived<'a> {
    /// Its type.
    kind: u8,
    /// The low bits of the first byte.
    flags: u8,
    body: &'a [u8],
}

impl Arrived<'_> {
    fn packet_id(&self) -> Fallible<u16> {
        match self.body {
            [a, b, ..] => Ok(u16::from_be_bytes([*a, *b])),
            _ => fail("a packet without its id"),
        }
    }

    /// Of a PUBLISH: its packet id, where it has one, and its payload.
    pub(crate) fn message(&self) -> Fallible<(Option<u16>, &[u8])> {
        let topic_bytes = usize::from(self.packet_id()?);
        let Some(rest) = self.body.get(2 + topic_bytes..) else { return fail("a topic beyond its packet") };
        if self.flags & 6 == 0 {
            return Ok((None, rest));
        }
        match rest.split_first_chunk() {
            Some((id, payload)) => Ok((Some(u16::from_be_bytes(*id)), payload)),
            None => fail("a PUBLISH without its id"),
        }
    }

    /// Whether it is a message.
    pub(crate) fn is_publish(&self) -> bool {
        self.kind == PUBLISH
    }

    /// The packet id, if it acknowledges a publish.
    pub(crate) fn puback(&self) -> Fallible<Option<u16>> {
        if self.kind == PUBACK { self.packet_id().map(Some) } else { Ok(None) }
    }
}

/// Cuts what arrives into packets.
struct Scanner {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Scanner {
    fn new(buffer_bytes: usize) -> Self {
        Self { buffer: vec![0; buffer_bytes], start: 0, end: 0 }
    }

    fn fill(&mut self, from: &mut impl Read) -> std::io::Result<usize> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let count = from.read(&mut self.buffer[self.end..])?;
        self.end += count;
        Ok(count)
    }

    /// Opens the messages of WebSocket in the bytes that came last.
    fn open(&mut self, opener: &mut Opener, bytes: usize) -> Fallible<()> {
        let begin = self.end - bytes;
        self.end = begin + opener.open(&mut self.buffer[begin..self.end])?;
        Ok(())
    }

    fn next(&mut self) -> Fallible<Option<Arrived<'_>>> {
        let Some((arrived, length)) = cut(&self.buffer[self.start..self.end])? else { return Ok(None) };
        self.start += length;
        Ok(Some(arrived))
    }
}

/// One connection, for one thread.
pub(crate) struct Client {
    stream: TcpStream,
    scanner: Scanner,
    /// Where it is over WebSocket.
    web: Option<Opener>,
}

impl Client {
    /// Connects with a session that ends with the connection.
    pub(crate) fn open(address: SocketAddr, client_id: &str) -> Fallible<Self> {
        Self::open_with(address, client_id, true)
    }

    /// The same; `clean` is false for a session that is kept.
    pub(crate) fn open_with(address: SocketAddr, client_id: &str, clean: bool) -> Fallible<Self> {
        Self::log_in(connect(address)?, None, client_id, clean)
    }

    /// As [`Client::open`], over WebSocket.
    pub(crate) fn open_web(address: SocketAddr, client_id: &str) -> Fallible<Self> {
        let mut stream = connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        web::upgrade(&mut stream, "mqtt")?;
        stream.set_read_timeout(Some(LOOK_UP))?;
        Self::log_in(stream, Some(Opener::default()), client_id, true)
    }

    fn log_in(stream: TcpStream, web: Option<Opener>, client_id: &str, clean: bool) -> Fallible<Self> {
        let mut client = Self { stream, scanner: Scanner::new(256 * 1024), web };
        client.send(&client.encoded(connect_packet(client_id, clean)))?;
        match client.expect(CONNACK)?.as_slice() {
            [_, 0] => Ok(client),
            other => fail(format!("CONNACK {other:?}")),
        }
    }

    /// A packet as it goes over this connection: over WebSocket each is a message, as clients have it.
    pub(crate) fn encoded(&self, packet: Vec<u8>) -> Vec<u8> {
        if self.web.is_some() { web::frame(Kind::Binary, &packet) } else { packet }
    }

    /// Subscribes to a filter.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: u8) -> Fallible<()> {
        self.send(&self.encoded(subscribe_packet(filter, qos)))?;
        let answer = self.expect(SUBACK)?;
        if answer.last() == Some(&qos) { Ok(()) } else { fail(format!("SUBACK {answer:?}")) }
    }

    /// Sends bytes that were encoded before.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Fallible<()> {
        self.stream.write_all(bytes).map_err(|error| format!("writing to the broker: {error}").into())
    }

    /// A second handle on the socket, for a thread that only writes.
    pub(crate) fn writer(&self) -> Fallible<TcpStream> {
        Ok(self.stream.try_clone()?)
    }

    /// Waits until something arrives, at most [`LOOK_UP`]. `false`: nothing came.
    pub(crate) fn fill(&mut self) -> Fallible<bool> {
        match self.scanner.fill(&mut self.stream) {
            Ok(0) => fail("the broker closed the connection"),
            Ok(bytes) => {
                if let Some(opener) = &mut self.web {
                    self.scanner.open(opener, bytes)?;
                    if opener.is_closed() {
                        return fail("the broker closed the connection");
                    }
                }
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(error) => Err(format!("reading from the broker: {error}").into()),
        }
    }

    /// The next whole packet of what has arrived.
    pub(crate) fn next(&mut self) -> Fallible<Option<Arrived<'_>>> {
        self.scanner.next()
    }

    fn expect(&mut self, kind: u8) -> Fallible<Vec<u8>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(arrived) = self.scanner.next()? {
                if arrived.kind == kind {
                    return Ok(arrived.body.to_vec());
                }
                return fail(format!("packet {} where {kind} was expected", arrived.kind));
            }
            if !self.fill()? && Instant::now() > deadline {
                return fail(format!("no packet {kind} within {} s", PATIENCE.as_secs()));
            }
        }
    }

    /// Waits until the broker has read everything that was sent.
    pub(crate) fn ping(&mut self) -> Fallible<()> {
        self.send(&self.encoded(vec![0xC0, 0]))?;
        self.expect(13).map(drop)
    }

    /// Says goodbye.
    pub(crate) fn close(mut self) -> Fallible<()> {
        self.send(&self.encoded(vec![0xE0, 0]))
    }
}

/// PUBACKs, gathered for one write.
#[derive(Default)]
pub(crate) struct Acks(Vec<u8>);

impl Acks {
    /// Adds one.
    pub(crate) fn push(&mut self, packet_id: u16) {
        let [a, b] = packet_id.to_be_bytes();
        self.0.extend([0x40, 2, a, b]);
    }

    /// Sends them.
    pub(crate) fn send(&mut self, client: &mut Client) -> Fallible<()> {
        if !self.0.is_empty() {
            client.send(&self.0)?;
            self.0.clear();
        }
        Ok(())
    }
}

/// Many clients that one thread looks after.
pub(crate) struct Crowd(Sockets);

/// The filter of a member, by its number.
pub(crate) type FilterOf = fn(usize) -> String;

/// How a crowd connects.
pub(crate) struct Joining<'a> {
    /// What client ids begin with; the number follows.
    pub(crate) prefix: &'a str,
    /// Sessions end with their connections.
    pub(crate) clean: bool,
    /// What each subscribes to, by its number, and the QoS.
    pub(crate) subscribes: Option<(FilterOf, u8)>,
}

impl Crowd {
    /// Connects the members with these numbers, so many at a time that the broker is busy: each step is asked of all before the
    /// first answer is waited for, `AT_A_TIME` by `AT_A_TIME`.
    pub(crate) fn join(address: SocketAddr, numbers: std::ops::Range<usize>, joining: &Joining<'_>) -> Fallible<Self> {
        const AT_A_TIME: usize = 64;
        let mut sockets = Sockets::with_capacity(numbers.len())?;
        let network = next_network();
        let mut next = numbers.start;
        while next < numbers.end {
            let batch = next..(next + AT_A_TIME).min(numbers.end);
            next = batch.end;
            let mut streams = Vec::new();
            for number in batch.clone() {
                let mut stream = connect_from(network, number, address)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.write_all(&connect_packet(&format!("{}{number}", joining.prefix), joining.clean))?;
                streams.push(stream);
            }
            for (number, stream) in batch.clone().zip(&mut streams) {
                read_answer(stream, CONNACK)?;
                if let Some((filter, qos)) = joining.subscribes {
                    stream.write_all(&subscribe_packet(&filter(number), qos))?;
                }
            }
            for stream in &mut streams {
                if joining.subscribes.is_some() {
                    read_answer(stream, SUBACK)?;
                }
            }
            for stream in streams {
                sockets.add(stream)?;
            }
        }
        Ok(Self(sockets))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Sends bytes as one of them: few, so that the socket takes them at once.
    pub(crate) fn send(&mut self, member: usize, bytes: &[u8]) -> Fallible<()> {
        self.0.send(member, bytes)
    }

    /// Reads what has come to any of them, waiting at most [`LOOK_UP`]; `each` gets the member and a packet, and says what to
    /// send for it.
    pub(crate) fn read(
        &mut self,
        mut each: impl FnMut(usize, &Arrived<'_>, &mut Vec<u8>) -> Fallible<()>,
    ) -> Fallible<()> {
        self.0.read(LOOK_UP, |member, bytes, answers| {
            let mut at = 0;
            while let Some((arrived, length)) = cut(&bytes[at..])? {
                each(member, &arrived, answers)?;
                at += length;
            }
            Ok(at)
        })
    }

    /// Whether each is still connected: pings all of them and waits for the answers.
    pub(crate) fn ping_all(&mut self) -> Fallible<()> {
        for member in 0..self.len() {
            self.send(member, &[0xC0, 0])?;
        }
        let mut missing = self.len();
        let deadline = Instant::now() + PATIENCE;
        while missing > 0 {
            self.read(|_, arrived, _| {
                missing -= usize::from(arrived.kind == 13);
                Ok(())
            })?;
            if Instant::now() > deadline {
                return fail(format!("{missing} pings were not answered"));
            }
        }
        Ok(())
    }
}

/// The packet at the front, and its length.
fn cut(bytes: &[u8]) -> Fallible<Option<(Arrived<'_>, usize)>> {
    let (mut length, mut shift, mut head) = (0_usize, 0, 1);
    loop {
        let Some(byte) = bytes.get(head) else { return Ok(None) };
        length |= usize::from(byte & 127) << shift;
        (shift, head) = (shift + 7, head + 1);
        if byte & 128 == 0 {
            break;
        }
        if head > 4 {
            return fail("a length of five bytes");
        }
    }
    let Some(body) = bytes.get(head..head + length) else { return Ok(None) };
    Ok(Some((Arrived { kind: bytes[0] >> 4, flags: bytes[0] & 15, body }, head + length)))
}

fn connect(address: SocketAddr) -> Fallible<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LOOK_UP))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn read_answer(stream: &mut TcpStream, kind: u8) -> Fallible<()> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let mut body = vec![0; usize::from(head[1])];
    stream.read_exact(&mut body)?;
    if head[0] >> 4 != kind
        || kind == CONNACK && body.get(1) != Some(&0)
        || body.last().is_some_and(|byte| *byte >= 0x80)
    {
        return fail(format!("packet {head:?} {body:?} where {kind} was expected"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_cut_whatever_the_size_of_the_reads() {
        let bytes: Vec<u8> = (1..=9).flat_map(|id| publish("a/b", 150, Some(id))).collect();
        for step in 1..40 {
            let mut scanner = Scanner::new(16);
            let mut ids = Vec::new();
            for chunk in bytes.chunks(step) {
                let mut chunk = chunk;
                while !chunk.is_empty() {
                    scanner.fill(&mut chunk).unwrap();
                    while let Some(arrived) = scanner.next().unwrap() {
                        let (id, payload) = arrived.message().unwrap();
                        assert_eq!(payload.len(), 150);
                        ids.extend(id);
                    }
                }
            }
            assert_eq!(ids, (1..=9).collect::<Vec<u16>>(), "reads of {step} bytes");
        }
    }
}
