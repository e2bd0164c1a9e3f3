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
