//! What arrives: frames, confirms, deliveries.

use std::io::{self, Read};

use super::frame::{END, OVERHEAD_BYTES, method};
use crate::error::{Fallible, fail};

/// Frame type of a method.
pub(crate) const METHOD: u8 = 1;
/// Frame type of a content header.
pub(crate) const HEADER: u8 = 2;
/// Frame type of a part of a body.
pub(crate) const BODY: u8 = 3;

/// Bytes of a frame before its payload.
const HEAD_BYTES: usize = OVERHEAD_BYTES - 1;

/// One frame, borrowed from the buffer.
pub(crate) struct Frame<'a> {
    /// [`METHOD`], [`HEADER`], [`BODY`] or a heartbeat (8).
    pub(crate) kind: u8,
    /// What lies between the head and the end mark.
    pub(crate) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Class and method numbers, and the arguments.
    pub(crate) fn method(&self) -> Fallible<((u16, u16), &'a [u8])> {
        match self.payload {
            [a, b, c, d, arguments @ ..] => {
                Ok(((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])), arguments))
            }
            _ => fail("a method frame without a method"),
        }
    }

    /// Body size that a content header tells, in bytes.
    fn body_bytes(&self) -> Fallible<u64> {
        match self.payload.get(4..12).and_then(|size| size.try_into().ok()) {
            Some(size) => Ok(u64::from_be_bytes(size)),
            None => fail("a content header without a body size"),
        }
    }
}

/// Cuts frames out of one buffer.
pub(crate) struct Scanner {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Scanner {
    pub(crate) fn new(buffer_bytes: usize) -> Self {
        Self { buffer: vec![0; buffer_bytes], start: 0, end: 0 }
    }

    /// Reads once. The unfinished frame moves to the front first when the room behind it runs short.
    pub(crate) fn fill(&mut self, from: &mut impl Read) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.buffer.len() - self.end < self.buffer.len() / 4 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end == self.buffer.len() {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        let read = from.read(&mut self.buffer[self.end..])?;
        self.end += read;
        Ok(read)
    }

    /// The next whole frame, if there is one.
    pub(crate) fn next(&mut self) -> Fallible<Option<Frame<'_>>> {
        let waiting = &self.buffer[self.start..self.end];
        let [kind, _, _, s0, s1, s2, s3, rest @ ..] = waiting else { return Ok(None) };
        let payload_bytes = u32::from_be_bytes([*s0, *s1, *s2, *s3]) as usize;
        let Some(&end) = rest.get(payload_bytes) else { return Ok(None) };
        if end != END {
            return fail(format!("a frame of type {kind} and {payload_bytes} bytes does not end with 0xCE"));
        }
        self.start += HEAD_BYTES + payload_bytes + 1;
        Ok(Some(Frame { kind: *kind, payload: &rest[..payload_bytes] }))
    }
}

/// Says what a method that nobody waited for was; closes tell their reason.
pub(crate) fn unexpected(id: (u16, u16), arguments: &[u8]) -> String {
    if matches!(id, method::CONNECTION_CLOSE | method::CHANNEL_CLOSE) {
        let code = arguments.get(..2).map_or(0, |code| u16::from_be_bytes([code[0], code[1]]));
        let length = arguments.get(2).copied().unwrap_or(0) as usize;
        let text = String::from_utf8_lossy(arguments.get(3..3 + length).unwrap_or_default());
        return format!("the broker closed: {code} {text}");
    }
    format!("unexpected method {id:?}")
}

/// So many windows confirms may be ahead of the first that is missing.
const AHEAD_WINDOWS: usize = 64;

/// Which publishes of a channel are confirmed. Brokers confirm singly, in ranges, and out of order.
pub(crate) struct Confirms {
    /// Everything up to this tag is confirmed.
    floor: u64,
    /// Tags above the floor that are confirmed, by tag modulo the length.
    ahead: Vec<bool>,
    /// How many are confirmed, the ones ahead included.
    confirmed: u64,
}

impl Confirms {
    /// For at most `window` publishes under way at once. One that is confirmed late, as priorities have it, lets others go far
    /// ahead of it.
    pub(crate) fn new(window: u64) -> Self {
        Self { floor: 0, ahead: vec![false; (window as usize * AHEAD_WINDOWS).next_power_of_two()], confirmed: 0 }
    }

    /// How many publishes are confirmed.
    pub(crate) fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// Takes a frame; calls `each` for every publish that it confirms, by tag (from 1).
    pub(crate) fn take(&mut self, frame: &Frame<'_>, mut each: impl FnMut(u64)) -> Fallible<()> {
        if frame.kind != METHOD {
            return Ok(());
        }
        let (id, arguments) = frame.method()?;
        if id != method::BASIC_ACK {
            return fail(unexpected(id, arguments));
        }
        let Some((tag, [flags, ..])) = arguments.split_first_chunk::<8>() else {
            return fail("basic.ack is too short");
        };
        let tag = u64::from_be_bytes(*tag);
        if tag <= self.floor || tag > self.floor + self.ahead.len() as u64 {
            return fail(format!("confirm of {tag}, where {} is the last that was confirmed", self.floor));
        }
        let multiple = flags & 1 == 1;
        let first = if multiple { self.floor + 1 } else { tag };
        for tag in first..=tag {
            let slot = self.slot(tag);
            if !std::mem::replace(&mut self.ahead[slot], true) {
                self.confirmed += 1;
                each(tag);
            }
        }
        loop {
            let slot = self.slot(self.floor + 1);
            if !std::mem::replace(&mut self.ahead[slot], false) {
                return Ok(());
            }
            self.floor += 1;
        }
    }

    fn slot(&self, tag: u64) -> usize {
        tag as usize & (self.ahead.len() - 1)
    }
}

/// Counts whole messages that a consumer gets.
#[derive(Default)]
pub(crate) struct Deliveries {
    /// Messages that have arrived whole.
    pub(crate) messages: u64,
    /// Bytes of their bodies.
    pub(crate) body_bytes: u64,
    /// Delivery tag of the last one.
    pub(crate) last_tag: u64,
    missing_bytes: u64,
}

impl Deliveries {
    /// Takes a frame; calls `first_part` with the first part of each body.
    pub(crate) fn take(&mut self, frame: &Frame<'_>, mut first_part: impl FnMut(&[u8])) -> Fallible<()> {
        match frame.kind {
            METHOD => {
                let (id, arguments) = frame.method()?;
                if id != method::BASIC_DELIVER {
                    return fail(unexpected(id, arguments));
                }
                let tag_at = 1 + arguments.first().copied().unwrap_or(0) as usize;
                let Some(tag) = arguments.get(tag_at..tag_at + 8).and_then(|tag| tag.try_into().ok()) else {
                    return fail("basic.deliver is too short");
                };
                self.last_tag = u64::from_be_bytes(tag);
            }
            HEADER => {
                self.missing_bytes = frame.body_bytes()?;
                self.body_bytes += self.missing_bytes;
                self.messages += u64::from(self.missing_bytes == 0);
                return Ok(());
            }
            BODY => {
                let part = frame.payload.len() as u64;
                if part == 0 || part > self.missing_bytes {
                    return fail(format!("a body part of {part} bytes where {} are missing", self.missing_bytes));
                }
                first_part(frame.payload);
                self.missing_bytes -= part;
                self.messages += u64::from(self.missing_bytes == 0);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Arguments;
    use super::*;

    fn ack(tag: u64, multiple: u8) -> Vec<u8> {
        Arguments::new().u64(tag).u8(multiple).frame(1, method::BASIC_ACK)
    }

    #[test]
    fn frames_are_cut_whatever_the_size_of_the_reads() {
        let bytes: Vec<u8> = (1..=9).flat_map(|tag| ack(tag, 0)).collect();
        for step in 1..40 {
            let mut scanner = Scanner::new(16);
            let mut confirms = Confirms::new(10);
            for chunk in bytes.chunks(step) {
                let mut chunk = chunk;
                while !chunk.is_empty() {
                    scanner.fill(&mut chunk).unwrap();
                    while let Some(frame) = scanner.next().unwrap() {
                        confirms.take(&frame, |_| {}).unwrap();
                    }
                }
            }
            assert_eq!(confirms.confirmed(), 9, "reads of {step} bytes");
        }
    }

    #[test]
    fn confirms_out_of_order_count_once() {
        let mut confirms = Confirms::new(8);
        let mut order = Vec::new();
        for (tag, multiple) in [(3, 0), (2, 1), (4, 0), (6, 0), (7, 1)] {
            let bytes = ack(tag, multiple);
            let frame = Frame { kind: METHOD, payload: &bytes[HEAD_BYTES..bytes.len() - 1] };
            confirms.take(&frame, |tag| order.push(tag)).unwrap();
        }
        assert_eq!(order, [3, 1, 2, 4, 6, 5, 7]);
        assert_eq!((confirms.floor, confirms.confirmed()), (7, 7));
        let bytes = ack(7, 0);
        let frame = Frame { kind: METHOD, payload: &bytes[HEAD_BYTES..bytes.len() - 1] };
        assert!(confirms.take(&frame, |_| {}).is_err(), "a second confirm of the same publish");
    }
}
