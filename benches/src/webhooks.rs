//! The endpoints that SNS calls: a server of HTTP/1.1 that answers 200 to whatever comes, on one thread.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use memchr::memmem;
use rustix::event::{Timespec, epoll};
use serde_json::Value;

use crate::amqp::{LOOK_UP, loopback};
use crate::error::{Fallible, fail};
use crate::sns;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const LISTENER: u64 = u64::MAX;
/// How long all subscriptions together may take to ask for their confirmation.
const CONFIRM_PATIENCE_S: u64 = 60;

/// A request's body.
pub(crate) struct Notification<'a>(&'a [u8]);

impl Notification<'_> {
    /// The number that a member of the document is, written as text.
    pub(crate) fn number_in(&self, member: &str) -> Option<u64> {
        let at = memmem::find(self.0, format!("\"{member}\"").as_bytes())? + member.len() + 2;
        let rest = self.0[at..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
        let end = memchr::memchr(b'"', rest)?;
        std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
    }
}

/// The server and its connections.
pub(crate) struct Webhooks {
    listener: TcpListener,
    epoll: OwnedFd,
    connections: HashMap<u64, (TcpStream, Vec<u8>)>,
    next: u64,
    scratch: Vec<u8>,
}

impl Webhooks {
    /// Listens on a free port.
    pub(crate) fn open() -> Fallible<Self> {
        let listener = TcpListener::bind(loopback(0))?;
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, listener.as_fd(), epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        Ok(Self { listener, epoll, connections: HashMap::new(), next: 0, scratch: vec![0; 64 * 1024] })
    }

    /// Where.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or_else(|_| loopback(0))
    }

    /// Confirms what asks for it, until so many subscriptions of the topic are confirmed: some brokers do not ask.
    pub(crate) fn confirm(&mut self, broker: SocketAddr, topic: &str, count: usize) -> Fallible<()> {
        let begun = Instant::now();
        loop {
            let mut tokens = Vec::new();
            self.read(|Notification(body)| {
                let document: Value = serde_json::from_slice(body)?;
                if document["Type"] == "SubscriptionConfirmation" {
                    tokens.extend(document["Token"].as_str().map(str::to_owned));
                }
                Ok(())
            })?;
            for token in tokens {
                sns::call(broker, "ConfirmSubscription", &[("TopicArn", topic), ("Token", &token)])?;
            }
            let answer = sns::call(broker, "ListSubscriptionsByTopic", &[("TopicArn", topic)])?;
            if memmem::find_iter(answer.as_bytes(), b"<SubscriptionArn>arn:").count() == count {
                return Ok(());
            }
            if begun.elapsed().as_secs() > CONFIRM_PATIENCE_S {
                return fail(format!("subscriptions are not confirmed: {answer}"));
            }
        }
    }

    /// Answers what has come, waiting a moment for it.
    pub(crate) fn read(&mut self, mut each: impl FnMut(Notification<'_>) -> Fallible<()>) -> Fallible<()> {
        let mut events = Vec::with_capacity(256);
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK_UP.subsec_nanos()) };
        epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout))?;
        for event in &events {
            let number = event.data.u64();
            if number == LISTENER {
                self.accept()?;
                continue;
            }
            let Some((stream, kept)) = self.connections.get_mut(&number) else { continue };
            match stream.read(&mut self.scratch) {
                Ok(count) if count > 0 => kept.extend_from_slice(&self.scratch[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                // Whoever calls may go away at any time.
                _ => {
                    self.connections.remove(&number);
                    continue;
                }
            }
            let mut from = 0;
            while let Some((body, length)) = request(&kept[from..])? {
                each(Notification(body))?;
                from += length;
                stream.write_all(ANSWER)?;
            }
            kept.drain(..from);
        }
        Ok(())
    }

    fn accept(&mut self) -> Fallible<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    let data = epoll::EventData::new_u64(self.next);
                    epoll::add(&self.epoll, stream.as_fd(), data, epoll::EventFlags::IN)?;
                    self.connections.insert(self.next, (stream, Vec::new()));
                    self.next += 1;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The body of the request at the front, and the length of all of it.
fn request(bytes: &[u8]) -> Fallible<Option<(&[u8], usize)>> {
    let Some(head_bytes) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    for line in bytes[..head_bytes].split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        if line[..colon].eq_ignore_ascii_case(b"content-length") {
            let body_bytes: usize = std::str::from_utf8(line[colon + 1..].trim_ascii())?.parse()?;
            let end = head_bytes + 4 + body_bytes;
            return Ok(bytes.get(head_bytes + 4..end).map(|body| (body, end)));
        }
    }
    fail(format!("a request without a length: {}", String::from_utf8_lossy(&bytes[..head_bytes])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_cut_and_numbers_found() {
        let bytes = b"POST / HTTP/1.1\r\nContent-Length: 20\r\n\r\n{\"Message\" : \"0042\"}POST";
        for end in 0..bytes.len() {
            assert_eq!(request(&bytes[..end]).unwrap().is_some(), end >= bytes.len() - 4, "{end} bytes");
        }
        let (body, _) = request(bytes).unwrap().unwrap();
        assert_eq!(Notification(body).number_in("Message"), Some(42));
        assert_eq!(Notification(body).number_in("Other"), None);
        assert!(request(b"POST / HTTP/1.1\r\n\r\n").is_err());
    }
}
