//! MQTT by hand over one socket: for packets that no client would send, and to see each packet that comes back.
//!
//! It shares nothing with the broker's codec, so that neither can hide the other's mistakes. Sections are those of MQTT 5.0.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// Types of packets, as in the first four bits of each (2.1.2).
pub mod kind {
    #![allow(missing_docs)]
    pub const CONNECT: u8 = 1;
    pub const CONNACK: u8 = 2;
    pub const PUBLISH: u8 = 3;
    pub const PUBACK: u8 = 4;
    pub const PUBREC: u8 = 5;
    pub const PUBREL: u8 = 6;
    pub const PUBCOMP: u8 = 7;
    pub const SUBSCRIBE: u8 = 8;
    pub const SUBACK: u8 = 9;
    pub const UNSUBSCRIBE: u8 = 10;
    pub const UNSUBACK: u8 = 11;
    pub const PINGREQ: u8 = 12;
    pub const PINGRESP: u8 = 13;
    pub const DISCONNECT: u8 = 14;
    pub const AUTH: u8 = 15;
}

/// Protocol levels.
pub const V31: u8 = 3;
/// MQTT 3.1.1.
pub const V311: u8 = 4;
/// MQTT 5.0.
pub const V5: u8 = 5;

/// A packet as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// One of [`kind`].
    pub kind: u8,
    /// The other four bits of the first byte.
    pub flags: u8,
    /// All behind the remaining length.
    pub body: Vec<u8>,
}

impl Packet {
    /// The two bytes at a place, 0 where they are missing.
    #[must_use]
    pub fn short(&self, at: usize) -> u16 {
        self.body.get(at..at + 2).map_or(0, |two| u16::from_be_bytes([two[0], two[1]]))
    }

    /// The reason code of a 5.0 CONNACK, of an acknowledgement, DISCONNECT or AUTH; 0 where it is left out. The return code
    /// of an older CONNACK.
    #[must_use]
    pub fn reason(&self) -> u8 {
        let at = match self.kind {
            kind::CONNACK => 1,
            kind::DISCONNECT | kind::AUTH => 0,
            _ => 2,
        };
        self.body.get(at).copied().unwrap_or(0)
    }
}

/// A PUBLISH as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// It may have come before.
    pub dup: bool,
    /// 0 to 2.
    pub qos: u8,
    /// The retain flag.
    pub retain: bool,
    /// Topic name.
    pub topic: String,
    /// 0 with QoS 0.
    pub packet_id: u16,
    /// Encoded, without their length.
    pub properties: Vec<u8>,
    /// The rest.
    pub payload: Vec<u8>,
}

/// What a client says of itself in CONNECT.
#[derive(Clone, Debug)]
pub struct Hello {
    /// [`V31`], [`V311`] or [`V5`].
    pub version: u8,
    /// Client identifier.
    pub id: String,
    /// Clean start, or clean session.
    pub clean: bool,
    /// In seconds.
    pub keep_alive_s: u16,
    /// Encoded properties of CONNECT.
    pub properties: Vec<u8>,
}

impl Hello {
    /// A new session that ends with its connection, of 5.0.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self { version: V5, id: id.to_owned(), clean: true, keep_alive_s: 60, properties: Vec::new() }
    }

    /// In another version.
    #[must_use]
    pub fn version(mut self, version: u8) -> Self {
        self.version = version;
        self
    }

    /// A session that stays for an hour: 5.0, or by clean session before it.
    #[must_use]
    pub fn lasting(mut self) -> Self {
        self.clean = false;
        if self.version == V5 {
            self.properties.extend([0x11, 0, 0, 0x0E, 0x10]);
        }
        self
    }

    /// More properties.
    #[must_use]
    pub fn with(mut self, properties: &[u8]) -> Self {
        self.properties.extend(properties);
        self
    }

    /// CONNECT with the user guest.
    #[must_use]
    pub fn packet(&self) -> Vec<u8> {
        self.packet_with(0, &[])
    }

    /// CONNECT with more flags and with what they announce, between client identifier and user name.
    #[must_use]
    pub fn packet_with(&self, flags: u8, will: &[u8]) -> Vec<u8> {
        let mut body = string(if self.version == V31 { "MQIsdp" } else { "MQTT" });
        body.extend([self.version, 0xC0 | u8::from(self.clean) << 1 | flags]);
        body.extend(self.keep_alive_s.to_be_bytes());
        body.extend(if self.version == V5 { with_length(&self.properties) } else { Vec::new() });
        body.extend(string(&self.id));
        body.extend(will);
        body.extend(string("guest"));
        body.extend(string("guest"));
        packet(kind::CONNECT << 4, &body)
    }
}

/// A connection.
pub struct Mqtt {
    stream: TcpStream,
    version: u8,
    received: Vec<u8>,
    at: usize,
}

impl Mqtt {
    /// Connects and says nothing.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn silent(address: &str, version: u8) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, version, received: Vec::new(), at: 0 })
    }

    /// Connects and is let in; CONNACK is returned.
    ///
    /// # Errors
    /// When it is not let in, or the broker goes away.
    pub fn open(address: &str, hello: &Hello) -> io::Result<(Self, Packet)> {
        let mut mqtt = Self::silent(address, hello.version)?;
        mqtt.send(&hello.packet())?;
        let connack = mqtt.expect(kind::CONNACK)?;
        if connack.reason() != 0 {
            return Err(io::Error::other(format!("not let in: {connack:?}")));
        }
        Ok((mqtt, connack))
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the broker has gone away.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends bytes to one that may have stopped reading.
    ///
    /// # Errors
    /// When they are not taken in time, or the broker has gone away.
    pub fn send_within(&mut self, bytes: &[u8], limit: Duration) -> io::Result<()> {
        self.stream.set_write_timeout(Some(limit))?;
        let result = self.stream.write_all(bytes);
        self.stream.set_write_timeout(None)?;
        result
    }

    /// The next packet.
    ///
    /// # Errors
    /// When none comes within [`PATIENCE`] (`TimedOut`), or the broker has closed the connection.
    pub fn next_packet(&mut self) -> io::Result<Packet> {
        self.next_within(PATIENCE)
    }

    /// The next packet.
    ///
    /// # Errors
    /// When none comes in time (`TimedOut`), or the broker has closed the connection.
    pub fn next_within(&mut self, limit: Duration) -> io::Result<Packet> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(packet) = self.cut() {
                return Ok(packet);
            }
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left))?;
            let mut chunk = [0; 16_384];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the broker closed the socket")),
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came"));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn cut(&mut self) -> Option<Packet> {
        let input = &self.received[self.at..];
        let (&first, rest) = input.split_first()?;
        let mut length = 0_usize;
        for (index, &byte) in rest.iter().take(4).enumerate() {
            length |= usize::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                let body = rest.get(index + 1..index + 1 + length)?.to_vec();
                self.at += index + 2 + length;
                if self.at > 1 << 16 {
                    self.received.drain(..self.at);
                    self.at = 0;
                }
                let packet = Packet { kind: first >> 4, flags: first & 0x0F, body };
                check_server(&packet, self.version);
                return Some(packet);
            }
        }
        assert!(rest.len() < 4, "the broker sends a remaining length of five bytes");
        None
    }

    /// The next packet, which must be of this kind.
    ///
    /// # Errors
    /// When it is not, or none comes.
    pub fn expect(&mut self, kind: u8) -> io::Result<Packet> {
        let packet = self.next_packet()?;
        if packet.kind == kind {
            return Ok(packet);
        }
        Err(io::Error::other(format!("a packet of type {kind} was due, but {packet:?} came")))
    }

    /// The next packet, which must be a PUBLISH.
    ///
    /// # Errors
    /// When it is not, or none comes.
    pub fn message(&mut self) -> io::Result<Publish> {
        let packet = self.expect(kind::PUBLISH)?;
        Ok(publish_of(&packet, self.version))
    }

    /// Subscribes, and returns the reason codes.
    ///
    /// # Errors
    /// When another packet comes than SUBACK, or none.
    pub fn subscribe(&mut self, filter: &str, options: u8) -> io::Result<Vec<u8>> {
        self.send(&subscribe(self.version, 0xFFF0, &[(filter, options)], &[]))?;
        let suback = self.expect(kind::SUBACK)?;
        assert_eq!(suback.short(0), 0xFFF0, "SUBACK has the packet identifier of SUBSCRIBE");
        Ok(suback.body[if self.version == V5 { 3 } else { 2 }..].to_vec())
    }

    /// A round trip: all that was sent before has been read.
    ///
    /// # Errors
    /// When another packet comes than PINGRESP, or none.
    pub fn ping(&mut self) -> io::Result<()> {
        self.send(&packet(kind::PINGREQ << 4, &[]))?;
        self.expect(kind::PINGRESP).map(drop)
    }

    /// Reads until the broker closes the connection; what came before.
    ///
    /// # Errors
    /// When it does not close in time.
    pub fn end(&mut self, limit: Duration) -> io::Result<Vec<Packet>> {
        let deadline = Instant::now() + limit;
        let mut packets = Vec::new();
        loop {
            match self.next_within(deadline.saturating_duration_since(Instant::now())) {
                Ok(packet) => packets.push(packet),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(error),
                // Closed, or reset because something was sent meanwhile.
                Err(_) => return Ok(packets),
            }
        }
    }

    /// Loses the connection.
    ///
    /// # Errors
    /// When the system does not let go of it.
    pub fn lose(&mut self) -> io::Result<()> {
        self.stream.shutdown(std::net::Shutdown::Both)
    }
}

/// What holds for every packet of a server: it is one that servers send, with a reason code that is one of this packet's
/// (tables 3-1, 3-4 to 3-7, 3-8, 3-9, 3-10 and 3-11 of 5.0; 3.2.2.3 and 3.9.3 of 3.1.1).
///
/// # Panics
/// When it does not hold.
fn check_server(packet: &Packet, version: u8) {
    let is_v5 = version == V5;
    let codes = match packet.kind {
        kind::CONNACK => {
            assert!(packet.body[0] <= 1, "reserved bits of CONNACK: {packet:02x?}");
            assert!(
                packet.body[0] == 0 || packet.reason() == 0,
                "a session that is present, and refused: {packet:02x?}"
            );
            vec![packet.reason()]
        }
        kind::SUBACK | kind::UNSUBACK if is_v5 => {
            let (properties_bytes, prefix) = variable(&packet.body[2..]);
            packet.body[2 + prefix + properties_bytes..].to_vec()
        }
        kind::SUBACK => packet.body[2..].to_vec(),
        kind::PUBACK | kind::PUBREC | kind::PUBREL | kind::PUBCOMP | kind::DISCONNECT | kind::AUTH => {
            vec![packet.reason()]
        }
        kind::PUBLISH | kind::UNSUBACK | kind::PINGRESP => Vec::new(),
        _ => panic!("a server sends no such packet: {packet:02x?}"),
    };
    let allowed: &[u8] = match packet.kind {
        // By its length, since a client whose version is refused may have spoken another one.
        kind::CONNACK if packet.body.len() > 2 => &[
            0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A,
            0x9B, 0x9C, 0x9D, 0x9F,
        ],
        kind::CONNACK => &[0, 1, 2, 3, 4, 5],
        kind::PUBACK | kind::PUBREC => &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
        kind::PUBREL | kind::PUBCOMP => &[0x00, 0x92],
        kind::SUBACK if is_v5 => &[0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2],
        kind::SUBACK => &[0, 1, 2, 0x80],
        kind::UNSUBACK => &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91],
        kind::DISCONNECT if is_v5 => &[
            0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
            0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
        ],
        kind::AUTH if is_v5 => &[0x00, 0x18],
        _ => &[],
    };
    for code in codes {
        assert!(allowed.contains(&code), "{code:#04x} is no reason code of this packet: {packet:02x?}");
    }
    if packet.kind == kind::DISCONNECT {
        assert_ne!(packet.body.get(2), Some(&0x11), "a server says nothing of the session's expiry: {packet:02x?}");
    }
}

/// Reads a PUBLISH.
///
/// # Panics
/// When it is malformed.
#[must_use]
pub fn publish_of(packet: &Packet, version: u8) -> Publish {
    let qos = packet.flags >> 1 & 3;
    let topic_end = 2 + usize::from(packet.short(0));
    let topic = String::from_utf8(packet.body[2..topic_end].to_vec()).expect("a topic in UTF-8");
    let mut at = topic_end;
    let packet_id = if qos > 0 { packet.short(at) } else { 0 };
    at += if qos > 0 { 2 } else { 0 };
    let mut properties = Vec::new();
    if version == V5 {
        let (length, bytes) = variable(&packet.body[at..]);
        at += bytes;
        properties = packet.body[at..at + length].to_vec();
        at += length;
    }
    let payload = packet.body[at..].to_vec();
    let (dup, retain) = (packet.flags & 8 != 0, packet.flags & 1 != 0);
    Publish { dup, qos, retain, topic, packet_id, properties, payload }
}

/// A variable byte integer, and how many bytes it took.
#[must_use]
pub fn variable(bytes: &[u8]) -> (usize, usize) {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return (value, index + 1);
        }
    }
    panic!("a variable byte integer ends");
}

// --- encoding

/// A packet with its remaining length.
#[must_use]
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    out.extend(length(body.len()));
    out.extend(body);
    out
}

/// A variable byte integer.
#[must_use]
pub fn length(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

/// Bytes behind their length as a variable byte integer: properties.
#[must_use]
pub fn with_length(bytes: &[u8]) -> Vec<u8> {
    let mut out = length(bytes.len());
    out.extend(bytes);
    out
}

/// A string, or binary data.
#[must_use]
pub fn string(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    let mut out = (text.len() as u16).to_be_bytes().to_vec();
    out.extend(text);
    out
}

/// PUBLISH; `flags` are DUP (8) and RETAIN (1).
#[must_use]
pub fn publish(version: u8, flags: u8, topic: &str, qos: u8, packet_id: u16, payload: &[u8]) -> Vec<u8> {
    publish_with(version, flags, topic, qos, packet_id, &[], payload)
}

/// PUBLISH with encoded properties.
#[must_use]
pub fn publish_with(
    version: u8,
    flags: u8,
    topic: &str,
    qos: u8,
    packet_id: u16,
    properties: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let mut body = string(topic);
    if qos > 0 {
        body.extend(packet_id.to_be_bytes());
    }
    if version == V5 {
        body.extend(with_length(properties));
    }
    body.extend(payload);
    packet(kind::PUBLISH << 4 | flags | qos << 1, &body)
}

/// SUBSCRIBE: filters with their options.
#[must_use]
pub fn subscribe(version: u8, packet_id: u16, filters: &[(&str, u8)], properties: &[u8]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version == V5 {
        body.extend(with_length(properties));
    }
    for (filter, options) in filters {
        body.extend(string(filter));
        body.push(*options);
    }
    packet(kind::SUBSCRIBE << 4 | 2, &body)
}

/// UNSUBSCRIBE.
#[must_use]
pub fn unsubscribe(version: u8, packet_id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version == V5 {
        body.push(0);
    }
    filters.iter().for_each(|filter| body.extend(string(filter)));
    packet(kind::UNSUBSCRIBE << 4 | 2, &body)
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP, without a reason.
#[must_use]
pub fn ack(which: u8, packet_id: u16) -> Vec<u8> {
    packet(which << 4 | if which == kind::PUBREL { 2 } else { 0 }, &packet_id.to_be_bytes())
}
