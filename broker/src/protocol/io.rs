//! One step of a connection: what waits is written, what has come is read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;

use super::{Output, Stream, poll_read};

/// What the stream brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// Bytes of the client.
    Read,
    /// What waited to be written has become little.
    Written,
}

/// Writes what waits in `out`, and reads once to the end of `input`: `read_bytes_max` bytes at most, nothing where it is none,
/// because the client is held back. More than `output_bytes_high` waiting is much: whoever holds something back for it is told
/// when it has become less.
///
/// # Errors
/// The stream's own; its end is [`io::ErrorKind::UnexpectedEof`].
pub fn poll_io(
    stream: &mut Box<dyn Stream>,
    out: &mut Output,
    output_bytes_high: usize,
    input: &mut BytesMut,
    read_bytes_max: Option<usize>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Io>> {
    let waited = out.len();
    if waited > 0 {
        match out.poll_write(Pin::new(&mut **stream), cx) {
            Poll::Ready(result) => {
                result?;
                if waited > output_bytes_high {
                    return Poll::Ready(Ok(Io::Written));
                }
            }
            Poll::Pending if waited > output_bytes_high && out.len() <= output_bytes_high => {
                return Poll::Ready(Ok(Io::Written));
            }
            Poll::Pending => {}
        }
    }
    let Some(read_bytes_max) = read_bytes_max else { return Poll::Pending };
    match std::task::ready!(poll_read(Pin::new(&mut **stream), input, read_bytes_max, cx))? {
        0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
        _ => Poll::Ready(Ok(Io::Read)),
    }
}
