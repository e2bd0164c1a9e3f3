//! What waits to be written to a client, and the one write for all of it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};

use super::Stream;

/// Bodies from this size on are worth writing from where they are ([`Output::share`]); smaller ones are cheaper to copy behind
/// what precedes them.
pub const SHARED_BODY_BYTES_MIN: usize = 16 * 1024;

/// Slices handed to one write.
const SLICES_MAX: usize = 64;

/// Bytes for a client, in order: small things gathered, large bodies shared.
#[derive(Debug, Default)]
pub struct Output {
    /// What was closed off because a shared body follows.
    chunks: VecDeque<Bytes>,
    chunk_bytes: usize,
    tail: BytesMut,
    /// Bytes that the stream has taken so far.
    written_bytes: u64,
}

impl Output {
    /// Where small things are appended.
    pub fn tail(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Bytes not yet written.
    pub fn len(&self) -> usize {
        self.chunk_bytes + self.tail.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the stream has taken so far.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Appends bytes without copying them. Worth it from [`SHARED_BODY_BYTES_MIN`] on.
    pub fn share(&mut self, bytes: Bytes) {
        let before = self.tail.split().freeze();
        self.push(before);
        self.push(bytes);
    }

    fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunk_bytes += chunk.len();
            self.chunks.push_back(chunk);
        }
    }

    /// Writes as much as the stream takes. Ready when nothing is left.
    pub fn poll_write(&mut self, mut stream: Pin<&mut dyn Stream>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let written = if self.chunks.is_empty() {
                std::task::ready!(stream.as_mut().poll_write(cx, &self.tail))?
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let mut used = 0;
                for (slot, chunk) in slices.iter_mut().zip(&self.chunks) {
                    *slot = IoSlice::new(chunk);
                    used += 1;
                }
                if used < SLICES_MAX && !self.tail.is_empty() {
                    slices[used] = IoSlice::new(&self.tail);
                    used += 1;
                }
                std::task::ready!(stream.as_mut().poll_write_vectored(cx, &slices[..used]))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        stream.poll_flush(cx)
    }

    fn advance(&mut self, mut written: usize) {
        self.written_bytes += written as u64;
        while let Some(first) = self.chunks.front_mut() {
            if written < first.len() {
                first.advance(written);
                self.chunk_bytes -= written;
                return;
            }
            written -= first.len();
            self.chunk_bytes -= first.len();
            self.chunks.pop_front();
        }
        self.tail.advance(written);
    }

    /// Gives memory back; for when the connection is quiet.
    pub fn shrink(&mut self) {
        if self.is_empty() {
            self.tail = BytesMut::new();
            self.chunks = VecDeque::new();
        }
    }
}
