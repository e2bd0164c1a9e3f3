//! Many sockets that one thread looks after, and where they connect from.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rustix::event::{Timespec, epoll};

use crate::error::{Fallible, fail};

/// Connections from one address of the loopback: it has some 28,000 ports, of which those that were just closed are not free.
const MEMBERS_AN_ADDRESS: usize = 4_000;

/// Crowds that have connected so far: each has addresses of its own.
static CROWDS: AtomicU8 = AtomicU8::new(0);

/// A part of the loopback for the addresses of a crowd.
pub(crate) fn next_network() -> u8 {
    CROWDS.fetch_add(1, Ordering::SeqCst) % 250 + 1
}

/// Connects from an address of the loopback that has ports left.
pub(crate) fn connect_from(network: u8, number: usize, to: SocketAddr) -> Fallible<TcpStream> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
    let last = 1 + number / MEMBERS_AN_ADDRESS;
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, network, u8::try_from(last)?), 0));
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &from)?;
    connect(&socket, &to)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

struct Member {
    stream: TcpStream,
    /// The beginning of something whose rest has not come.
    kept: Vec<u8>,
}

/// The sockets, known by their numbers from 0.
pub(crate) struct Sockets {
    epoll: OwnedFd,
    members: Vec<Member>,
    scratch: Vec<u8>,
}

impl Sockets {
    /// None yet, with room for so many.
    pub(crate) fn with_capacity(members: usize) -> Fallible<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, members: Vec::with_capacity(members), scratch: vec![0; 64 * 1024] })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Adds one.
    pub(crate) fn add(&mut self, stream: TcpStream) -> Fallible<()> {
        self.watch(&stream, self.members.len())?;
        self.members.push(Member { stream, kept: Vec::new() });
        Ok(())
    }

    /// Closes one, and goes on with another in its place.
    pub(crate) fn replace(&mut self, member: usize, stream: TcpStream) -> Fallible<()> {
        self.watch(&stream, member)?;
        self.members[member] = Member { stream, kept: Vec::new() };
        Ok(())
    }

    fn watch(&self, stream: &TcpStream, member: usize) -> Fallible<()> {
        stream.set_nonblocking(true)?;
        let data = epoll::EventData::new_u64(member as u64);
        Ok(epoll::add(&self.epoll, stream.as_fd(), data, epoll::EventFlags::IN)?)
    }

    /// Sends bytes as one of them: few, so that the socket takes them at once.
    pub(crate) fn send(&mut self, member: usize, bytes: &[u8]) -> Fallible<()> {
        self.members[member].stream.write_all(bytes).map_err(|error| format!("writing to the broker: {error}").into())
    }

    /// Reads what has come to any of them, waiting at most so long; `take` gets the member and all that is there of it, says
    /// how much of that it has taken, and what to send for it. What it leaves it gets again with what comes next.
    pub(crate) fn read(
        &mut self,
        wait: Duration,
        mut take: impl FnMut(usize, &[u8], &mut Vec<u8>) -> Fallible<usize>,
    ) -> Fallible<()> {
        let mut events = Vec::with_capacity(256);
        let timeout = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout))?;
        let mut answers = Vec::new();
        for event in &events {
            let number = event.data.u64() as usize;
            let Member { stream, kept } = &mut self.members[number];
            let count = match stream.read(&mut self.scratch) {
                Ok(0) => return fail("the broker closed the connection"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(format!("reading from the broker: {error}").into()),
            };
            // Almost always everything is whole, and nothing is kept.
            if kept.is_empty() {
                let taken = take(number, &self.scratch[..count], &mut answers)?;
                *kept = self.scratch[taken..count].to_vec();
            } else {
                kept.extend_from_slice(&self.scratch[..count]);
                let taken = take(number, kept, &mut answers)?;
                kept.drain(..taken);
            }
            if !answers.is_empty() {
                stream.write_all(&answers).map_err(|error| format!("writing to the broker: {error}"))?;
                answers.clear();
            }
        }
        Ok(())
    }
}
