//! What waits to be written to a client, and the one write for all of it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use gantry_broker::protocol::Stream;

use crate::codec::{FrameKind, frame};

/// Bodies from this size on are not copied behind the frames but written from where they are.
const SHARED_BODY_BYTES_MIN: usize = 16 * 1024;

/// Slices handed to one write.
const SLICES_MAX: usize = 64;

/// Bytes for a client, in order: small things gathered, large bodies shared.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// What was closed off because a shared body follows.
    chunks: VecDeque<Bytes>,
    chunk_bytes: usize,
    tail: BytesMut,
    /// Bytes that the stream has taken so far.
    written_bytes: u64,
}

impl Output {
    /// Where frames are appended.
    pub(crate) fn tail(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Bytes not yet written.
    pub(crate) fn len(&self) -> usize {
        self.chunk_bytes + self.tail.len()
    }

    /// Bytes that the stream has taken so far.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a body as frames.
    pub(crate) fn body(&mut self, channel: u16, body: &[u8], shared: impl FnOnce() -> Bytes, frame_bytes_max: u32) {
        if body.len() < SHARED_BODY_BYTES_MIN {
            frame::encode_body(&mut self.tail, channel, body, frame_bytes_max);
            return;
        }
        let mut rest = shared();
        let payload_bytes_max = frame_bytes_max as usize - frame::FRAME_OVERHEAD_BYTES;
        while !rest.is_empty() {
            let payload = rest.split_to(rest.len().min(payload_bytes_max));
            self.tail.extend_from_slice(&frame::frame_head(FrameKind::Body, channel, payload.len() as u32));
            let head = self.tail.split().freeze();
            self.push(head);
            self.push(payload);
            self.tail.extend_from_slice(&[frame::FRAME_END]);
        }
    }

    fn push(&mut self, chunk: Bytes) {
        self.chunk_bytes += chunk.len();
        self.chunks.push_back(chunk);
    }

    /// Writes as much as the stream takes. Ready when nothing is left.
    pub(crate) fn poll_write(
        &mut self,
        mut stream: Pin<&mut dyn Stream>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
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
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            self.tail = BytesMut::new();
            self.chunks = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shared_bodies_and_gathered_frames_leave_in_order() {
        let body: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        let shared = Bytes::from(body.clone());
        let mut expected = BytesMut::new();
        let mut output = Output::default();
        for round in 0..3_u8 {
            expected.extend_from_slice(&[round]);
            output.tail().extend_from_slice(&[round]);
            frame::encode_body(&mut expected, 7, &body, 4096);
            output.body(7, &body, || shared.clone(), 4096);
        }
        assert_eq!(output.len(), expected.len());
        let (mut near, mut far) = tokio::io::duplex(1000);
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut far, &mut all).await.map(|_| all)
        });
        std::future::poll_fn(|cx| output.poll_write(Pin::new(&mut near), cx)).await.unwrap();
        drop(near);
        assert!(output.is_empty());
        assert_eq!(reader.await.unwrap().unwrap(), expected);
    }
}
