//! Reading: one large read into a buffer that all connections of a thread share, then only what came is kept.
//!
//! So a connection that is idle, or waits for the rest of a frame, owns no read buffer, and no message pins one.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Stream;
use bytes::BytesMut;
use tokio::io::ReadBuf;

/// Bytes of one read.
const READ_BYTES: usize = 128 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// Reads once and appends to `input`. 0 is the end of the stream.
pub fn poll_read(
    stream: Pin<&mut dyn Stream>,
    input: &mut BytesMut,
    bytes_max: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let bytes_max = bytes_max.min(READ_BYTES);
        let mut buffer = ReadBuf::new(&mut scratch[..bytes_max]);
        std::task::ready!(stream.poll_read(cx, &mut buffer))?;
        input.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    })
}
