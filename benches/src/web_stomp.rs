//! A load generator's STOMP 1.2, over WebSocket or plain TCP: one that sends, and some that only count what comes.
//!
//! Bodies have no NUL and heart-beats are off, so that each NUL is the end of a frame.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::epoll;

use crate::amqp::LOOK_UP;
use crate::error::{Fallible, fail};
use crate::sockets::{connect_from, next_network};
use crate::web::{self, Kind, Opener};

/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(120);

const CONNECT: &[u8] = b"CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\nheart-beat:0,0\n\n\0";

fn subscribe(destination: &str) -> Vec<u8> {
    format!("SUBSCRIBE\nid:0\ndestination:{destination}\nack:auto\nreceipt:subscribed\n\n\0").into_bytes()
}

/// What carries STOMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Tcp,
    Web,
}

impl Over {
    /// One frame as it goes over this: over WebSocket each is a message, as clients have it.
    fn encoded(self, frame: &[u8]) -> Vec<u8> {
        match self {
            Self::Tcp => frame.to_vec(),
            Self::Web => web::frame(Kind::Text, frame),
        }
    }

    /// One SEND.
    pub(crate) fn send(self, destination: &str, body_bytes: usize) -> Vec<u8> {
        let body = "x".repeat(body_bytes);
        self.encoded(format!("SEND\ndestination:{destination}\n\n{body}\0").as_bytes())
    }
}

/// One connection.
struct Line {
    stream: TcpStream,
    opener: Option<Opener>,
}

impl Line {
    fn new(stream: TcpStream, over: Over) -> Self {
        Self { stream, opener: (over == Over::Web).then(Opener::default) }
    }

    /// Reads once; how many of the bytes are of STOMP.
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<Fallible<usize>> {
        let bytes = self.stream.read(into)?;
        Ok(match &mut self.opener {
            _ if bytes == 0 => fail("the broker closed the connection"),
            None => Ok(bytes),
            Some(opener) => match opener.open(&mut into[..bytes]) {
                Ok(0) if opener.is_closed() => fail("the broker closed the connection"),
                opened => opened,
            },
        })
    }
}

/// Reads one frame, which has to be this one. Nothing comes behind it unasked.
fn expect(line: &mut Line, command: &str) -> Fallible<()> {
    let mut came = Vec::new();
    while !came.ends_with(&[0]) && !came.ends_with(b"\0\n") {
        let mut some = [0; 2048];
        let bytes = line.read(&mut some)?.map_err(|error| {
            let came = String::from_utf8_lossy(&came);
            format!("{error} after {came:?} where {command} was expected")
        })?;
        came.extend_from_slice(&some[..bytes]);
    }
    if came.starts_with(command.as_bytes()) {
        return Ok(());
    }
    fail(format!("{:?} where {command} was expected", String::from_utf8_lossy(&came)))
}

/// A client that sends.
pub(crate) struct Publisher {
    line: Line,
    over: Over,
}

impl Publisher {
    /// Connects and logs in.
    pub(crate) fn open(address: SocketAddr, over: Over) -> Fallible<Self> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        if over == Over::Web {
            web::upgrade(&mut stream, "v12.stomp")?;
        }
        let mut line = Line::new(stream, over);
        line.stream.write_all(&over.encoded(CONNECT))?;
        expect(&mut line, "CONNECTED")?;
        Ok(Self { line, over })
    }

    /// Sends bytes that were encoded before.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Fallible<()> {
        self.line.stream.write_all(bytes).map_err(|error| format!("writing to the broker: {error}").into())
    }

    /// Waits until the broker has taken everything that was sent, and says goodbye.
    pub(crate) fn close(mut self) -> Fallible<()> {
        // RabbitMQ closes at DISCONNECT before its receipt is out.
        self.send(&self.over.encoded(b"BEGIN\ntransaction:last\nreceipt:taken\n\n\0"))?;
        expect(&mut self.line, "RECEIPT")?;
        self.send(&self.over.encoded(b"DISCONNECT\n\n\0"))
    }
}

/// Subscribers that one thread looks after.
pub(crate) struct Crowd {
    epoll: std::os::fd::OwnedFd,
    members: Vec<Line>,
    scratch: Vec<u8>,
}

impl Crowd {
    /// Connects so many and has each subscribe, `AT_A_TIME` at a time.
    pub(crate) fn join(address: SocketAddr, over: Over, count: usize, destination: &str) -> Fallible<Self> {
        const AT_A_TIME: usize = 64;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut crowd = Self { epoll, members: Vec::with_capacity(count), scratch: vec![0; 256 * 1024] };
        let network = next_network();
        let (connect, subscribe) = (over.encoded(CONNECT), over.encoded(&subscribe(destination)));
        while crowd.members.len() < count {
            let first = crowd.members.len();
            let mut batch = Vec::new();
            for number in first..(first + AT_A_TIME).min(count) {
                let mut stream = connect_from(network, number, address)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                if over == Over::Web {
                    web::ask(&mut stream, "v12.stomp")?;
                }
                batch.push(Line::new(stream, over));
            }
            for line in &mut batch {
                if over == Over::Web {
                    web::read_answer(&mut line.stream)?;
                }
                line.stream.write_all(&connect)?;
            }
            for line in &mut batch {
                expect(line, "CONNECTED")?;
                line.stream.write_all(&subscribe)?;
            }
            for mut line in batch {
                let number = crowd.members.len();
                expect(&mut line, "RECEIPT").map_err(|error| format!("subscriber {number}: {error}"))?;
                line.stream.set_nonblocking(true)?;
                let data = epoll::EventData::new_u64(number as u64);
                epoll::add(&crowd.epoll, line.stream.as_fd(), data, epoll::EventFlags::IN)?;
                crowd.members.push(line);
            }
        }
        Ok(crowd)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Reads what has come to any of them, waiting at most [`LOOK_UP`]; how many frames have ended.
    pub(crate) fn read(&mut self) -> Fallible<u64> {
        let mut events = Vec::with_capacity(256);
        let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: LOOK_UP.as_nanos() as i64 };
        epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout))?;
        let mut ended = 0;
        for event in &events {
            let bytes = match self.members[event.data.u64() as usize].read(&mut self.scratch) {
                Ok(bytes) => bytes?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(format!("reading from the broker: {error}").into()),
            };
            ended += self.scratch[..bytes].iter().filter(|byte| **byte == 0).count() as u64;
        }
        Ok(ended)
    }
}
