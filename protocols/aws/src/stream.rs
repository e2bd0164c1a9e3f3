//! What hyper reads from and writes to: the client's stream, with what was read before hyper came, and with a look at how
//! far things are. The connection is taken out of hyper's hands between two requests, or while a long poll waits, so it has
//! to know when hyper holds nothing back.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use gantry_broker::protocol::Stream;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::parked::Parked;

/// How far a connection is with its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing of a next request has come.
    Idle,
    /// A part of one has.
    Head,
    /// It is being answered. Whoever does so watches the time.
    Serving,
    /// The reply is known and not all of it written.
    Writing,
}

/// What hyper, the service and the connection tell each other.
pub(crate) struct Progress {
    /// How far it is.
    pub(crate) phase: Phase,
    /// How often the connection has been looked at since it came to this phase: a clock that costs a request nothing.
    pub(crate) ticks: u32,
    /// Something was written that the stream has not passed on.
    pub(crate) is_behind: bool,
    /// A long poll that is to wait outside.
    pub(crate) parked: Option<Parked>,
}

/// Shared by the three of them. Its lock is never held for long, and by one of them at a time.
pub(crate) type SharedProgress = Arc<Mutex<Progress>>;

impl Progress {
    /// At the beginning of hyper's time: something has been read.
    pub(crate) fn new() -> SharedProgress {
        Arc::new(Mutex::new(Self { phase: Phase::Head, ticks: 0, is_behind: false, parked: None }))
    }

    /// It has got to the next phase.
    pub(crate) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.ticks = 0;
    }
}

/// The stream in hyper's hands.
pub(crate) struct Lent {
    stream: Box<dyn Stream>,
    early: Bytes,
    progress: SharedProgress,
}

impl Lent {
    /// Lends a stream. `early` was read before and comes first.
    pub(crate) fn new(stream: Box<dyn Stream>, early: Bytes, progress: SharedProgress) -> Self {
        Self { stream, early, progress }
    }

    /// Takes it back, with what hyper has not asked for.
    pub(crate) fn into_inner(self) -> (Box<dyn Stream>, Bytes) {
        (self.stream, self.early)
    }

    fn came(&self) {
        let mut progress = self.progress.lock();
        if progress.phase == Phase::Idle {
            progress.enter(Phase::Head);
        }
    }

    /// A stream that has taken bytes may still have them, as TLS does: it is done when it has passed them on.
    fn writes(&self) {
        self.progress.lock().is_behind = true;
    }

    fn flushed(&self) {
        let mut progress = self.progress.lock();
        if std::mem::take(&mut progress.is_behind) && progress.phase == Phase::Writing {
            progress.enter(Phase::Idle);
        }
    }
}

impl AsyncRead for Lent {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let bytes = into.remaining().min(self.early.len());
            into.put_slice(&self.early[..bytes]);
            self.early.advance(bytes);
            if self.early.is_empty() {
                // Not kept for what is left of it.
                self.early = Bytes::new();
            }
            self.came();
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        if into.filled().len() > before {
            self.came();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Lent {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes();
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        // Hyper asks for it when it has nothing left to write.
        self.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
