//! WebSocket for the load generator's clients: the request, frames out, and messages in as one stream of bytes.
//!
//! As with the protocols, nothing here is shared with the broker.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::error::{Fallible, fail};

/// Any other would do as well: a mask protects proxies, and the broker has to undo it.
const MASK: [u8; 4] = [0x5a, 0x13, 0xc7, 0x2e];

/// Longest answer to the request.
const ANSWER_BYTES_MAX: usize = 4096;

/// Longest head of a frame of a broker.
const HEAD_BYTES_MAX: usize = 10;

/// What messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Binary,
}

/// Asks for WebSocket at `/ws` and waits for the answer.
pub(crate) fn upgrade(stream: &mut TcpStream, subprotocol: &str) -> Fallible<()> {
    ask(stream, subprotocol)?;
    read_answer(stream)
}

/// Sends the request.
pub(crate) fn ask(stream: &mut TcpStream, subprotocol: &str) -> Fallible<()> {
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    );
    Ok(stream.write_all(request.as_bytes())?)
}

/// Reads the answer, and nothing behind it.
pub(crate) fn read_answer(stream: &mut TcpStream) -> Fallible<()> {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        answer.push(byte[0]);
        if answer.len() > ANSWER_BYTES_MAX {
            return fail("an answer without end");
        }
    }
    if answer.starts_with(b"HTTP/1.1 101 ") {
        return Ok(());
    }
    fail(format!("no WebSocket: {}", String::from_utf8_lossy(&answer)))
}

/// One message as a frame.
pub(crate) fn frame(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![if kind == Kind::Text { 0x81 } else { 0x82 }];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | short as u8),
        long @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((long as u16).to_be_bytes());
        }
        longer => {
            bytes.push(0x80 | 127);
            bytes.extend((longer as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Takes the heads of frames out of what comes.
#[derive(Default)]
pub(crate) struct Opener {
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: usize,
    payload_left: u64,
    is_closed: bool,
}

impl Opener {
    /// Whether the broker has said that it closes.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Moves the bytes of messages to the front; their number. Of control frames a broker that is well sends none but the last.
    pub(crate) fn open(&mut self, bytes: &mut [u8]) -> Fallible<usize> {
        let (mut from, mut to) = (0, 0);
        while from < bytes.len() {
            if self.payload_left > 0 {
                let piece = usize::try_from(self.payload_left)?.min(bytes.len() - from);
                bytes.copy_within(from..from + piece, to);
                self.payload_left -= piece as u64;
                from += piece;
                to += piece;
                continue;
            }
            self.head[self.head_bytes] = bytes[from];
            self.head_bytes += 1;
            from += 1;
            let length = match (self.head_bytes, self.head[1]) {
                (2, short @ 0..126) => u64::from(short),
                (4, 126) => u64::from(u16::from_be_bytes([self.head[2], self.head[3]])),
                (HEAD_BYTES_MAX, 127) => {
                    let [_, _, length @ ..] = self.head;
                    u64::from_be_bytes(length)
                }
                (2.., 128..) => return fail("a broker that masks"),
                _ => continue,
            };
            if self.head[0] == 0x88 {
                self.is_closed = true;
                break;
            }
            if self.head[0] & 0x0f > 2 {
                return fail(format!("a control frame {:02x}", self.head[0]));
            }
            self.payload_left = length;
            self.head_bytes = 0;
        }
        Ok(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_taken_out_wherever_they_are_cut() {
        let message = |payload: &[u8]| {
            let mut bytes = frame(Kind::Binary, payload);
            // As a broker sends it: no mask.
            let head = bytes.len() - payload.len() - 4;
            bytes[1] &= 0x7f;
            bytes.drain(head..);
            bytes.extend_from_slice(payload);
            bytes
        };
        let all = [message(b"one "), message(b""), message(&[b'x'; 300]), message(&[b'y'; 70_000])].concat();
        let expected = [&b"one "[..], &[b'x'; 300], &[b'y'; 70_000]].concat();
        for size in [1, 2, 3, 100, 100_000] {
            let (mut opener, mut out) = (Opener::default(), Vec::new());
            for piece in all.chunks(size) {
                let mut piece = piece.to_vec();
                let bytes = opener.open(&mut piece).unwrap();
                out.extend_from_slice(&piece[..bytes]);
            }
            assert_eq!(out, expected, "pieces of {size}");
        }
    }
}
