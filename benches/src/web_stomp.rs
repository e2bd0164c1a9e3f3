//! A load generator's STOMP 1.2 over WebSocket: one that sends, and many that only count what comes.
//!
//! Bodies have no NUL and heart-beats are off, so that each NUL is the end of a frame.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::epoll;

use crate::amqp::LOOK_UP;
use crate::error::{Fallible, fail};
use crate::mqtt::{connect_from, next_network};
use crate::web::{self, Kind, Opener};

/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(120);

const CONNECT: &[u8] = b"CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\nheart-beat:0,0\n\n\0";

fn subscribe(destination: &str) -> Vec<u8> {
    format!("SUBSCRIBE\nid:0\ndestination:{destination}\nack:auto\nreceipt:subscribed\n\n\0").into_bytes()
}

/// One SEND as a message of WebSocket.
pub(crate) fn send(destination: &str, body_bytes: usize) -> Vec<u8> {
    let body = "x".repeat(body_bytes);
    web::frame(Kind::Text, format!("SEND\ndestination:{destination}\n\n{body}\0").as_bytes())
}

/// Reads one frame, which has to be this one. Nothing comes behind it unasked.
fn expect(stream: &mut TcpStream, opener: &mut Opener, command: &str) -> Fallible<()> {
    let mut came = Vec::new();
    while !came.ends_with(&[0]) && !came.ends_with(b"\0\n") {
        let mut some = [0; 2048];
        let bytes = stream.read(&mut some)?;
        if bytes == 0 {
            let came = String::from_utf8_lossy(&came);
            return fail(format!("closed after {came:?} where {command} was expected"));
        }
        let bytes = opener.open(&mut some[..bytes])?;
        came.extend_from_slice(&some[..bytes]);
    }
    if came.starts_with(command.as_bytes()) {
        return Ok(());
    }
    fail(format!("{:?} where {command} was expected", String::from_utf8_lossy(&came)))
}

/// A client that sends.
pub(crate) struct Publisher {
    stream: TcpStream,
    opener: Opener,
}

impl Publisher {
    /// Connects and logs in.
    pub(crate) fn open_web(address: SocketAddr) -> Fallible<Self> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        web::upgrade(&mut stream, "v12.stomp")?;
        let mut opener = Opener::default();
        stream.write_all(&web::frame(Kind::Text, CONNECT))?;
        expect(&mut stream, &mut opener, "CONNECTED")?;
        Ok(Self { stream, opener })
    }

    /// Sends bytes that were encoded before.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Fallible<()> {
        self.stream.write_all(bytes).map_err(|error| format!("writing to the broker: {error}").into())
    }

    /// Waits until the broker has taken everything that was sent, and says goodbye.
    pub(crate) fn close(mut self) -> Fallible<()> {
        // RabbitMQ closes at DISCONNECT before its receipt is out.
        self.send(&web::frame(Kind::Text, b"BEGIN\ntransaction:last\nreceipt:taken\n\n\0"))?;
        expect(&mut self.stream, &mut self.opener, "RECEIPT")?;
        self.send(&web::frame(Kind::Text, b"DISCONNECT\n\n\0"))
    }
}

/// Subscribers that one thread looks after.
pub(crate) struct Crowd {
    epoll: std::os::fd::OwnedFd,
    members: Vec<(TcpStream, Opener)>,
    scratch: Vec<u8>,
}

impl Crowd {
    /// Connects so many and has each subscribe, `AT_A_TIME` at a time.
    pub(crate) fn join(address: SocketAddr, count: usize, destination: &str) -> Fallible<Self> {
        const AT_A_TIME: usize = 64;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut crowd = Self { epoll, members: Vec::with_capacity(count), scratch: vec![0; 64 * 1024] };
        let network = next_network();
        let (connect, subscribe) = (web::frame(Kind::Text, CONNECT), web::frame(Kind::Text, &subscribe(destination)));
        while crowd.members.len() < count {
            let first = crowd.members.len();
            let mut batch = Vec::new();
            for number in first..(first + AT_A_TIME).min(count) {
                let mut stream = connect_from(network, number, address)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                web::ask(&mut stream, "v12.stomp")?;
                batch.push((stream, Opener::default()));
            }
            for (stream, _) in &mut batch {
                web::read_answer(stream)?;
                stream.write_all(&connect)?;
            }
            for (stream, opener) in &mut batch {
                expect(stream, opener, "CONNECTED")?;
                stream.write_all(&subscribe)?;
            }
            for (mut stream, mut opener) in batch {
                expect(&mut stream, &mut opener, "RECEIPT")
                    .map_err(|error| format!("subscriber {}: {error}", crowd.members.len()))?;
                stream.set_nonblocking(true)?;
                let data = epoll::EventData::new_u64(crowd.members.len() as u64);
                epoll::add(&crowd.epoll, stream.as_fd(), data, epoll::EventFlags::IN)?;
                crowd.members.push((stream, opener));
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
            let (stream, opener) = &mut self.members[event.data.u64() as usize];
            let bytes = match stream.read(&mut self.scratch) {
                Ok(0) => return fail("the broker closed the connection"),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(format!("reading from the broker: {error}").into()),
            };
            let bytes = opener.open(&mut self.scratch[..bytes])?;
            if opener.is_closed() {
                return fail("the broker closed the connection");
            }
            ended += self.scratch[..bytes].iter().filter(|byte| **byte == 0).count() as u64;
        }
        Ok(ended)
    }
}
