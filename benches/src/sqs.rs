//! A load generator's SQS: AWS JSON 1.0 over HTTP/1.1 that is kept alive, with the headers that SDKs send.
//!
//! * [`Head`] builds requests, most of them once, to be sent over and over.
//! * [`Lines`] are many connections with one request under way on each, that one thread looks after; [`call`] is for what need
//!   not be quick.
//! * [`Field`] finds what is looked for in an answer, without parsing it.
//!
//! Requests carry an Authorization header of the right shape and a signature that nobody has computed: the brokers take any from
//! this machine. Every answer must be 200. Nothing here is shared with the broker's own edge.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use memchr::memmem;
use serde_json::Value;

use crate::amqp::LOOK_UP;
use crate::error::{Fallible, fail};
use crate::sockets::{Sockets, connect_from, next_network};

/// How long a broker may take to answer anything before the run counts as failed. A long poll takes 20 s.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request up to the value of Content-Length, which is its last header.
pub(crate) struct Head(Vec<u8>);

impl Head {
    /// Of an action, as `SendMessage`.
    pub(crate) fn of(address: SocketAddr, action: &str) -> Self {
        let signature = "0123456789abcdef".repeat(4);
        let text = format!(
            "POST / HTTP/1.1\r\nHost: {address}\r\nAccept-Encoding: identity\r\nX-Amz-Target: AmazonSQS.{action}\r\n\
             Content-Type: application/x-amz-json-1.0\r\nUser-Agent: gantry-benches/1 md/http#raw lang/rust\r\n\
             X-Amz-Date: 20260101T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/sqs/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature={signature}\r\n\
             amz-sdk-invocation-id: 00000000-0000-4000-8000-000000000000\r\namz-sdk-request: attempt=1\r\nContent-Length: "
        );
        Self(text.into_bytes())
    }

    /// Adds the request with this body to `bytes`.
    pub(crate) fn request_into(&self, body: &[u8], bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.0);
        bytes.extend_from_slice(body.len().to_string().as_bytes());
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(body);
    }

    /// The request with this body.
    pub(crate) fn request(&self, body: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.request_into(body.to_string().as_bytes(), &mut bytes);
        bytes
    }
}

/// One answer that has arrived whole.
struct Answer<'a> {
    body: &'a [u8],
    /// The broker closes the connection behind it.
    closes: bool,
}

/// The answer at the front, and its length. Anything but 200 is an error.
fn cut(bytes: &[u8]) -> Fallible<Option<(Answer<'_>, usize)>> {
    let Some(head_bytes) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let (mut body_bytes, mut closes) = (None, false);
    for line in bytes[..head_bytes].split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            body_bytes = std::str::from_utf8(value)?.parse::<usize>().ok();
        } else if name.eq_ignore_ascii_case(b"connection") {
            closes = value.eq_ignore_ascii_case(b"close");
        }
    }
    let Some(body_bytes) = body_bytes else {
        return fail(format!("an answer without a length: {}", String::from_utf8_lossy(&bytes[..head_bytes])));
    };
    let end = head_bytes + 4 + body_bytes;
    let Some(body) = bytes.get(head_bytes + 4..end) else { return Ok(None) };
    if !bytes.starts_with(b"HTTP/1.1 200 ") {
        return fail(String::from_utf8_lossy(&bytes[..end]));
    }
    Ok(Some((Answer { body, closes }, end)))
}

/// Asks one thing on a connection of its own, and waits for the answer.
pub(crate) fn call(address: SocketAddr, action: &str, body: &Value) -> Fallible<Value> {
    let answer =
        exchange(address, &Head::of(address, action).request(body)).map_err(|error| format!("{action}: {error}"))?;
    Ok(if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer)? })
}

/// Sends a request on a connection of its own; gives the body of the answer.
pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> Fallible<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut came = Vec::new();
    loop {
        let mut some = [0; 4096];
        match stream.read(&mut some)? {
            0 => return fail("the broker closed the connection instead of answering"),
            count => came.extend_from_slice(&some[..count]),
        }
        if let Some((Answer { body, .. }, _)) = cut(&came)? {
            return Ok(body.to_vec());
        }
    }
}

/// Connections, one request under way on each.
pub(crate) struct Lines {
    sockets: Sockets,
    address: SocketAddr,
    network: u8,
    last_answer: Instant,
}

impl Lines {
    /// None yet.
    pub(crate) fn to(address: SocketAddr) -> Fallible<Self> {
        let sockets = Sockets::with_capacity(64)?;
        Ok(Self { sockets, address, network: next_network(), last_answer: Instant::now() })
    }

    /// Adds one.
    pub(crate) fn add(&mut self) -> Fallible<()> {
        let number = self.sockets.len();
        self.sockets.add(connect_from(self.network, number, self.address)?)
    }

    /// So many.
    pub(crate) fn open(address: SocketAddr, count: usize) -> Fallible<Self> {
        let mut lines = Self::to(address)?;
        for _ in 0..count {
            lines.add()?;
        }
        Ok(lines)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, line: usize, request: &[u8]) -> Fallible<()> {
        self.last_answer = Instant::now();
        self.sockets.send(line, request)
    }

    /// Reads what has come to any of them, waiting at most [`LOOK_UP`]; `each` gets the line and the body of its answer, and may say
    /// what to ask next there. Fails when nothing has come for too long.
    pub(crate) fn read(&mut self, each: impl FnMut(usize, &[u8], &mut Vec<u8>) -> Fallible<()>) -> Fallible<()> {
        self.read_within(LOOK_UP, each)
    }

    /// The same, waiting at most so long.
    pub(crate) fn read_within(
        &mut self,
        wait: Duration,
        mut each: impl FnMut(usize, &[u8], &mut Vec<u8>) -> Fallible<()>,
    ) -> Fallible<()> {
        let mut closed = Vec::new();
        let mut answers = 0_u64;
        self.sockets.read(wait, |line, bytes, next| {
            let Some((answer, length)) = cut(bytes)? else { return Ok(0) };
            if length != bytes.len() {
                return fail("more than one answer to a request");
            }
            answers += 1;
            each(line, answer.body, next)?;
            if answer.closes {
                closed.push((line, std::mem::take(next)));
            }
            Ok(length)
        })?;
        for (line, next) in closed {
            self.sockets.replace(line, connect_from(self.network, line, self.address)?)?;
            self.sockets.send(line, &next)?;
        }
        if answers > 0 {
            self.last_answer = Instant::now();
        } else if self.last_answer.elapsed() > PATIENCE {
            return fail(format!("no answer came within {} s", PATIENCE.as_secs()));
        }
        Ok(())
    }
}

/// Strings under a name, wherever they stand in an answer. A name stands nowhere in the texts that are sent.
pub(crate) struct Field(memmem::Finder<'static>);

impl Field {
    /// Those of this name.
    pub(crate) fn named(name: &str) -> Self {
        Self(memmem::Finder::new(format!("\"{name}\":").as_bytes()).into_owned())
    }

    /// How many there are.
    pub(crate) fn count(&self, answer: &[u8]) -> usize {
        self.0.find_iter(answer).count()
    }

    /// Each of them, as it is escaped in the answer, so that it can go into a request as it is.
    pub(crate) fn all<'a>(&'a self, answer: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.0.find_iter(answer).filter_map(move |at| {
            let value = answer[at + self.0.needle().len()..].trim_ascii_start().strip_prefix(b"\"")?;
            let mut end = 0;
            loop {
                end += memchr::memchr2(b'"', b'\\', &value[end..])?;
                if value[end] == b'"' {
                    return Some(&value[..end]);
                }
                end += 2;
                value.get(end)?;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_cut_where_their_length_says() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: Close\r\n\r\n{}HTTP";
        for end in 0..bytes.len() {
            let answer = cut(&bytes[..end]).unwrap();
            assert_eq!(answer.is_some(), end >= bytes.len() - 4, "{end} bytes");
            assert!(
                answer.is_none_or(|(answer, length)| {
                    answer.body == b"{}" && answer.closes && length == bytes.len() - 4
                })
            );
        }
        assert!(cut(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn fields_are_found_with_and_without_blanks() {
        let handles = Field::named("ReceiptHandle");
        let answer = br#"{"Messages":[{"ReceiptHandle":"a\"b\\"},{"ReceiptHandle": "c"}]}"#;
        let all: Vec<&[u8]> = handles.all(answer).collect();
        assert_eq!(all, [br#"a\"b\\"#.as_slice(), b"c"]);
        assert_eq!(handles.count(answer), 2);
        assert_eq!(handles.all(br#"{"ReceiptHandle":"a\"#).count(), 0);
    }
}
