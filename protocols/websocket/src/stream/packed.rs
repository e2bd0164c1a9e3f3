//! A connection whose messages may be compressed.
//!
//! What is read can be more than what came, so it is not opened in the buffer of who reads: what came is kept, and inflated into
//! that buffer as far as it has room. However much would come out of a message, no more of it is there than was asked for.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::ReadBuf;
use tokio::task::coop;

use super::WebSocketIo;
use crate::codec::{Incoming, Inflate, Step, Violation, deflate};
use crate::extension::Deflate;

/// Shorter messages of ours are not compressed: it would save next to nothing.
const MESSAGE_BYTES_MIN: usize = 256;

/// What compression needs beside what every connection has.
pub(super) struct Packed {
    deflate: Deflate,
    message_bytes_max: u64,
    /// What has been read from below and not been looked at: the rest of one read.
    came: BytesMut,
    /// The compressed message that is being received.
    inflate: Option<Inflate>,
    /// The compressed frame that is being written.
    out: Bytes,
}

impl Packed {
    /// Messages of the client may have so many bytes, inflated.
    pub(super) fn new(deflate: Deflate, message_bytes_max: u64) -> Self {
        Self { deflate, message_bytes_max, came: BytesMut::new(), inflate: None, out: Bytes::new() }
    }

    /// Whether a compressed frame is being written.
    pub(super) fn is_writing(&self) -> bool {
        !self.out.is_empty()
    }

    /// Whether it holds nothing.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.inflate.is_none() && self.came.capacity() == 0 && self.out.is_empty()
    }

    /// Compresses the next message, so many bytes of these slices. False where it goes out as it is.
    pub(super) fn pack(&mut self, is_text: bool, slices: &[IoSlice<'_>], bytes: usize) -> bool {
        if bytes < MESSAGE_BYTES_MIN || bytes > self.deflate.message_bytes_max() {
            return false;
        }
        let packed = deflate(is_text, slices, bytes);
        self.out = packed.unwrap_or_default();
        self.is_writing()
    }

    /// Opens what came, into the room that there is.
    fn open(&mut self, incoming: &mut Incoming, buffer: &mut ReadBuf<'_>) -> Result<(), Violation> {
        while buffer.remaining() > 0 && incoming.end().is_none() {
            if let Some(inflate) = &mut self.inflate {
                if inflate.inflate(buffer)? > 0 {
                    continue;
                }
                if inflate.is_over()
                    && let Some(inflate) = self.inflate.take()
                {
                    inflate.recycle();
                    continue;
                }
            }
            if self.came.is_empty() {
                break;
            }
            let bytes = self.came.len().min(buffer.remaining());
            match incoming.step(&mut self.came[..bytes]) {
                Step::Frame(taken) => self.came.advance(taken),
                Step::Payload(taken) => buffer.put_slice(&self.came.split_to(taken)),
                Step::Packed { bytes, is_text } => {
                    let bytes_max = self.message_bytes_max;
                    let inflate = self.inflate.get_or_insert_with(|| Inflate::new(is_text, bytes_max));
                    inflate.push(self.came.split_to(bytes));
                }
            }
            if let (true, Some(inflate)) = (incoming.take_packed_end(), &mut self.inflate) {
                inflate.finish();
            }
        }
        if self.came.is_empty() {
            self.came = BytesMut::new();
        }
        Ok(())
    }
}

impl WebSocketIo {
    /// As `poll_receive`.
    pub(super) fn poll_receive_packed(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<usize>>> {
        // A message can be long work without a single read: other tasks have their turn all the same.
        let progress = ready!(coop::poll_proceed(cx));
        let before = buffer.filled().len();
        let had_some = self.packed.as_ref().is_some_and(|packed| !packed.came.is_empty());
        self.open_packed(buffer);
        if !had_some && buffer.filled().len() == before && self.end().is_none() {
            ready!(self.poll_below(cx, buffer))?;
            if buffer.filled().len() == before {
                return Poll::Ready(Ok(None));
            }
            if let Some(packed) = &mut self.packed {
                packed.came.extend_from_slice(&buffer.filled()[before..]);
            }
            buffer.set_filled(before);
            self.open_packed(buffer);
        }
        progress.made_progress();
        Poll::Ready(Ok(Some(buffer.filled().len() - before)))
    }

    fn open_packed(&mut self, buffer: &mut ReadBuf<'_>) {
        if let Some(packed) = &mut self.packed
            && let Err(violation) = packed.open(&mut self.incoming, buffer)
        {
            self.incoming.fail(violation);
        }
        self.note_end();
    }

    /// Writes the compressed frame; how many bytes its message had before.
    pub(super) fn poll_write_packed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Some(packed) = &mut self.packed {
            while !packed.out.is_empty() {
                let written = ready!(Pin::new(&mut *self.stream).poll_write(cx, &packed.out))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                packed.out.advance(written);
            }
            packed.out = Bytes::new();
        }
        Poll::Ready(Ok(std::mem::take(&mut self.payload_left)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{End, IncomingLimits};

    /// What comes out of bytes that come in pieces, into buffers of so many bytes, and how it ends.
    fn opened(bytes: &[u8], piece_bytes: usize, room_bytes: usize) -> (Vec<u8>, Option<End>) {
        let deflate = crate::extension::agree("permessage-deflate").unwrap();
        let mut packed = Packed::new(deflate, 1000);
        let mut incoming =
            Incoming::new(IncomingLimits { message_bytes_max: 1000, takes_text: true, takes_packed: true });
        let (mut out, mut scratch) = (Vec::new(), vec![0; room_bytes]);
        for piece in bytes.chunks(piece_bytes) {
            packed.came.extend_from_slice(piece);
            loop {
                let mut buffer = ReadBuf::new(&mut scratch);
                if let Err(violation) = packed.open(&mut incoming, &mut buffer) {
                    incoming.fail(violation);
                }
                out.extend_from_slice(buffer.filled());
                if buffer.filled().is_empty() {
                    break;
                }
            }
        }
        (out, incoming.end())
    }

    /// A frame under a mask of zeros, of a payload that is shorter than 126 bytes.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
    }

    /// A message of a client: plain, compressed, compressed in two fragments, or no frame at all.
    fn message() -> impl Strategy<Value = Vec<u8>> {
        let payload = proptest::collection::vec(prop_oneof![4 => Just(b'a'), 1 => any::<u8>()], 0..100);
        (0..8_u8, payload).prop_map(|(kind, payload)| {
            let packed = || {
                let frame = deflate(false, &[IoSlice::new(&payload)], payload.len());
                frame.map_or(vec![0], |frame| frame[2..].to_vec())
            };
            match kind {
                0..3 => frame(0x82, &payload),
                3..5 => frame(0xc2, &packed()),
                5 => {
                    let packed = packed();
                    let (begin, rest) = packed.split_at(packed.len() / 2);
                    [frame(0x42, begin), frame(0x89, b"ping"), frame(0x80, rest)].concat()
                }
                6 => frame(0xc1, &payload),
                _ => payload,
            }
        })
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_come_to_the_same(messages in proptest::collection::vec(message(), 0..6), piece in 1..40_usize, room in 1..40_usize) {
            let bytes = messages.concat();
            let (whole, end) = opened(&bytes, bytes.len().max(1), 10_000);
            let (cut, cut_end) = opened(&bytes, piece, room);
            match end {
                // How much is out before an error is seen depends on the pieces.
                Some(End::Failed(_)) => prop_assert!(matches!(cut_end, Some(End::Failed(_)))),
                end => prop_assert_eq!((cut, cut_end), (whole, end)),
            }
        }
    }
}
