//! Receipts in the order of what they answer, each not before the journal has come as far as it says.

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};
use gantry_broker::Ticket;

use crate::codec::{Answer, FrameWriter, Version};

/// Frames that wait for the journal.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    ticket: Ticket,
    /// Bytes of the frames.
    bytes: usize,
    /// Messages whose publisher is promised something by them.
    confirms: u64,
}

/// The only producer of receipts of a connection: what needs no sync queues up behind what does. Frames wait as they will be
/// sent, one behind the other, so that a receipt takes no allocation.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    waiting: VecDeque<Waiting>,
    frames: BytesMut,
}

impl Receipts {
    /// Adds a receipt that waits for `ticket`; nothing to wait for where there is none. `confirms` says that it is that of a SEND.
    pub(crate) fn add(&mut self, id: &[u8], version: Version, ticket: Option<Ticket>, confirms: bool) {
        self.add_frame(ticket, u64::from(confirms), |frames| {
            let mut frame = FrameWriter::new(frames, version, Answer::Receipt);
            frame.header("receipt-id", id);
            frame.body(&[]);
        });
    }

    /// Adds another frame in the place of a receipt.
    pub(crate) fn add_frame(&mut self, ticket: Option<Ticket>, confirms: u64, write: impl FnOnce(&mut BytesMut)) {
        let before = self.frames.len();
        write(&mut self.frames);
        let bytes = self.frames.len() - before;
        let ticket = ticket.unwrap_or_default();
        match self.waiting.back_mut() {
            // One sync covers both: one entry will do.
            Some(last) if last.ticket >= ticket => {
                last.bytes += bytes;
                last.confirms += confirms;
            }
            _ => self.waiting.push_back(Waiting { ticket, bytes, confirms }),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.frames.len()
    }

    /// Writes what can be said, now that the journal has come to `durable`. How many messages have been confirmed by it.
    pub(crate) fn write(&mut self, durable: Ticket, out: &mut BytesMut) -> u64 {
        let (mut bytes, mut confirmed) = (0, 0);
        while self.waiting.front().is_some_and(|first| first.ticket <= durable)
            && let Some(first) = self.waiting.pop_front()
        {
            bytes += first.bytes;
            confirmed += first.confirms;
        }
        out.extend_from_slice(&self.frames[..bytes]);
        if bytes == self.frames.len() {
            self.frames.clear();
        } else {
            self.frames.advance(bytes);
        }
        confirmed
    }

    /// Gives memory back; for when the connection is quiet.
    pub(crate) fn shrink(&mut self) {
        if self.waiting.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_come_in_order_and_never_ahead_of_their_ticket() {
        let (mut receipts, mut out) = (Receipts::default(), BytesMut::new());
        receipts.add(b"1", Version::V1_2, Some(Ticket(5)), true);
        receipts.add(b"2", Version::V1_2, None, false);
        receipts.add(b"3", Version::V1_2, Some(Ticket(6)), true);
        assert_eq!(receipts.write(Ticket(4), &mut out), 0);
        assert!(out.is_empty());
        assert_eq!(receipts.write(Ticket(5), &mut out), 1);
        assert_eq!(&out[..], b"RECEIPT\nreceipt-id:1\n\n\0\nRECEIPT\nreceipt-id:2\n\n\0\n");
        out.clear();
        assert_eq!(receipts.write(Ticket(9), &mut out), 1);
        assert_eq!(&out[..], b"RECEIPT\nreceipt-id:3\n\n\0\n");
        assert!(receipts.is_empty() && receipts.bytes() == 0);
    }
}
