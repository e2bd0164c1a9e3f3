//! A WebSocket connection seen as bytes.
//!
//! Frames are opened in the buffer of who reads and closed around the buffers of who writes: nothing is copied into a buffer of
//! this module, and a connection that is idle has none. A message need not be all there before its first bytes are handed on.
//!
//! One task reads and writes: answers to pings are written by whichever of the two comes first.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use gantry_broker::protocol::{Shutdown, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tungstenite::protocol::frame::coding::CloseCode;

use self::packed::Packed;
use crate::codec::{ControlFrame, DataHead, End, Incoming, IncomingLimits, Utf8, Violation};
use crate::extension::Deflate;
use crate::limits::MESSAGE_OUT_BYTES_MAX;

mod packed;

/// Slices handed to one write, the head of the message included.
const SLICES_MAX: usize = 65;

/// What our messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// Binary, and those of the client have to be, too.
    Binary,
    /// Text, but for bytes that are none; the client's may be either.
    Text,
}

/// Whether we have said that we close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// As soon as the frame that is being written is over; with this code.
    Due(Option<u16>),
    /// The close frame is written, or no further one can be.
    Told,
}

/// The connection, from the answer to the upgrade on.
pub(crate) struct WebSocketIo {
    stream: Box<dyn Stream>,
    /// What came behind the request, and has not been looked at.
    early: BytesMut,
    /// Bytes of messages that have been looked at, and not handed on.
    opened: BytesMut,
    incoming: Incoming,
    /// What compression needs, where it was agreed on.
    packed: Option<Box<Packed>>,
    messages: Messages,
    /// Whether that is why we close.
    shutdown: Shutdown,
    /// The head of the message that is being written, and what is missing of its payload.
    head: DataHead,
    payload_left: usize,
    /// The control frame that is being written.
    control: ControlFrame,
    closing: Closing,
    /// A control frame has been written and not flushed.
    flush_due: bool,
}

impl WebSocketIo {
    /// A connection whose messages may be of any kind until [`WebSocketIo::speaks`] says what they are.
    pub(crate) fn new(
        stream: Box<dyn Stream>,
        early: BytesMut,
        deflate: Option<Deflate>,
        message_bytes_max: u64,
        shutdown: Shutdown,
    ) -> Self {
        let limits = IncomingLimits { message_bytes_max, takes_text: true, takes_packed: deflate.is_some() };
        Self {
            stream,
            early,
            opened: BytesMut::new(),
            incoming: Incoming::new(limits),
            packed: deflate.map(|deflate| Box::new(Packed::new(deflate, message_bytes_max))),
            messages: Messages::Binary,
            shutdown,
            head: DataHead::default(),
            payload_left: 0,
            control: ControlFrame::EMPTY,
            closing: Closing::No,
            flush_due: false,
        }
    }

    /// Says what the messages of the protocol within are.
    pub(crate) fn speaks(&mut self, messages: Messages) {
        self.messages = messages;
        self.incoming.takes_text(messages == Messages::Text);
        self.note_end();
    }

    /// Ends it for an error.
    pub(crate) fn fail(&mut self, violation: Violation) {
        self.incoming.fail(violation);
        self.note_end();
    }

    /// Waits for the beginning of the first message, which who reads will get all the same. Its first byte, or `None` where the
    /// client has gone.
    pub(crate) fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        let mut scratch = [0; 512];
        let mut buffer = ReadBuf::new(&mut scratch);
        ready!(self.poll_read(cx, &mut buffer))?;
        self.opened.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(self.opened.first().copied()))
    }

    /// How the client ended it, if it has.
    pub(crate) fn end(&self) -> Option<End> {
        self.incoming.end()
    }

    /// Whether our close frame is written. It cannot be behind half a message.
    pub(crate) fn has_told(&self) -> bool {
        self.closing == Closing::Told
    }

    /// What is below, for who has taken leave.
    pub(crate) fn stream(&mut self) -> Pin<&mut dyn Stream> {
        Pin::new(&mut *self.stream)
    }

    /// Tells the client that we close, unless it has been told.
    pub(crate) fn close(&mut self) {
        if self.closing == Closing::No {
            let code = if self.shutdown.is_requested() { CloseCode::Away } else { CloseCode::Normal };
            self.closing = Closing::Due(Some(code.into()));
        }
    }

    /// Reads once from below, into the room that there is; the number of bytes of messages among what came, or `None` at the end of the stream.
    fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<Option<usize>>> {
        if self.packed.is_some() {
            return self.poll_receive_packed(cx, buffer);
        }
        let before = buffer.filled().len();
        ready!(self.poll_below(cx, buffer))?;
        let came = &mut buffer.filled_mut()[before..];
        if came.is_empty() {
            return Poll::Ready(Ok(None));
        }
        let payload_bytes = self.incoming.receive(came);
        buffer.set_filled(before + payload_bytes);
        self.note_end();
        Poll::Ready(Ok(Some(payload_bytes)))
    }

    /// Reads from below as it is, what came behind the request first.
    fn poll_below(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut *self.stream).poll_read(cx, buffer);
        }
        let bytes = self.early.len().min(buffer.remaining());
        buffer.put_slice(&self.early[..bytes]);
        self.early.advance(bytes);
        if self.early.is_empty() {
            self.early = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Has the client told how it ended, once it has.
    fn note_end(&mut self) {
        if let (Some(end), Closing::No) = (self.incoming.end(), self.closing) {
            self.closing = Closing::Due(match end {
                End::Closed(code) => code,
                End::Failed(violation) => Some(violation.code().into()),
            });
        }
    }

    /// Reads what the client sends until it closes, and throws it away. Ready when there is nothing more to come.
    pub(crate) fn poll_discard(&mut self, cx: &mut Context<'_>, left_bytes: &mut u64) -> Poll<io::Result<()>> {
        let mut scratch = [0; 2048];
        while *left_bytes > 0 {
            let mut buffer = ReadBuf::new(&mut scratch);
            if ready!(self.poll_receive(cx, &mut buffer))?.is_none() || self.end().is_some() {
                break;
            }
            *left_bytes = left_bytes.saturating_sub(scratch.len() as u64);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes the control frames that are due, unless a message is half written. Ready when none is left.
    pub(crate) fn poll_control(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.payload_left > 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if self.control.left().is_empty() && !self.next_control() {
                break;
            }
            let written = ready!(Pin::new(&mut *self.stream).poll_write(cx, self.control.left()))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.control.advance(written);
            self.flush_due = true;
        }
        if self.flush_due {
            ready!(Pin::new(&mut *self.stream).poll_flush(cx))?;
            self.flush_due = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Puts the next control frame in its place, if one is due.
    fn next_control(&mut self) -> bool {
        let next = match self.closing {
            Closing::Told => None,
            Closing::Due(code) => {
                self.closing = Closing::Told;
                Some(ControlFrame::close(code))
            }
            Closing::No => self.incoming.take_ping(ControlFrame::pong),
        };
        self.control = next.unwrap_or(ControlFrame::EMPTY);
        next.is_some()
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.opened.is_empty() {
            let bytes = self.opened.len().min(buffer.remaining());
            buffer.put_slice(&self.opened.split_to(bytes));
            if self.opened.is_empty() {
                self.opened = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        loop {
            if let Poll::Ready(Err(error)) = self.poll_control(cx) {
                return Poll::Ready(Err(error));
            }
            match self.incoming.end() {
                Some(End::Closed(_)) => return Poll::Ready(Ok(())),
                Some(End::Failed(violation)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation)));
                }
                None if buffer.remaining() == 0 => return Poll::Ready(Ok(())),
                None => {}
            }
            match ready!(self.poll_receive(cx, buffer))? {
                // Nothing but heads and control frames so far.
                Some(0) => {}
                Some(_) => {
                    if let Poll::Ready(Err(error)) = self.poll_control(cx) {
                        tracing::debug!(%error, "a control frame cannot be written");
                    }
                    return Poll::Ready(Ok(()));
                }
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Writes the next message, or more of the one that is being written, from these slices; the number of their bytes written.
    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        if self.payload_left == 0 {
            ready!(self.poll_control(cx))?;
            if self.closing != Closing::No {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let (is_text, bytes) = next_message(self.messages, slices);
            if self.packed.as_mut().is_some_and(|packed| packed.pack(is_text, slices, bytes)) {
                self.payload_left = bytes;
                return self.poll_write_packed(cx);
            }
            self.head = DataHead::new(is_text, bytes);
            self.payload_left = bytes;
        } else if self.packed.as_ref().is_some_and(|packed| packed.is_writing()) {
            return self.poll_write_packed(cx);
        }
        loop {
            let mut out = [IoSlice::new(&[]); SLICES_MAX];
            let used = gather(self.head.left(), slices, self.payload_left, &mut out);
            let written = match Pin::new(&mut *self.stream).poll_write_vectored(cx, &out[..used]) {
                Poll::Ready(written) => written?,
                Poll::Pending => {
                    if self.head.is_untouched() {
                        // Nothing has been promised; next time there may be more to write.
                        self.payload_left = 0;
                    }
                    return Poll::Pending;
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let payload_bytes = self.head.advance(written);
            if payload_bytes > 0 {
                self.payload_left -= payload_bytes;
                return Poll::Ready(Ok(payload_bytes));
            }
        }
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_control(cx))?;
        Pin::new(&mut *self.stream).poll_flush(cx)
    }
}

/// Whether the next message is text, and its length.
fn next_message(messages: Messages, slices: &[IoSlice<'_>]) -> (bool, usize) {
    let total: usize = slices.iter().take(SLICES_MAX - 1).map(|slice| slice.len()).sum();
    let bytes = total.min(MESSAGE_OUT_BYTES_MAX);
    if messages == Messages::Binary {
        return (false, bytes);
    }
    let mut utf8 = Utf8::default();
    let mut left = bytes;
    for slice in slices.iter().take(SLICES_MAX - 1) {
        let piece = &slice[..slice.len().min(left)];
        left -= piece.len();
        if !utf8.push(piece) {
            return (false, bytes);
        }
    }
    // A character at the end that is cut goes with the next message, where that is what cuts it.
    match utf8.begun_bytes() {
        0 => (true, bytes),
        begun if bytes < total && begun < bytes => (true, bytes - begun),
        _ => (false, bytes),
    }
}

/// The head and so many bytes of the slices, as one write; the number of slices of it.
fn gather<'a>(head: &'a [u8], slices: &'a [IoSlice<'a>], bytes: usize, out: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
    out[0] = IoSlice::new(head);
    let mut used = usize::from(!head.is_empty());
    let mut left = bytes;
    for slice in slices.iter().filter(|slice| !slice.is_empty()).take(SLICES_MAX - 1) {
        if left == 0 {
            break;
        }
        let piece = &slice[..slice.len().min(left)];
        left -= piece.len();
        out[used] = IoSlice::new(piece);
        used += 1;
    }
    used
}

/// The connection in the hands of the protocol within, from whom it comes back when that drops it.
pub(crate) struct Lent {
    io: Option<Box<WebSocketIo>>,
    back: Option<oneshot::Sender<Box<WebSocketIo>>>,
}

impl Lent {
    /// Lends it; the receiver has it back once the protocol within has dropped it.
    pub(crate) fn new(io: Box<WebSocketIo>) -> (Self, oneshot::Receiver<Box<WebSocketIo>>) {
        let (back, returned) = oneshot::channel();
        (Self { io: Some(io), back: Some(back) }, returned)
    }

    /// There until it is dropped.
    fn io(&mut self) -> io::Result<&mut WebSocketIo> {
        self.io.as_deref_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(io), Some(back)) = (self.io.take(), self.back.take()) {
            // Nobody waits for it where the connection is cut.
            let _ = back.send(io);
        }
    }
}

impl AsyncRead for Lent {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Lent {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.io()?.poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io()?.poll_write(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_flush(cx)
    }

    /// Says that we close. The client's answer is the end of what can be read.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = self.io()?;
        io.close();
        io.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests;
