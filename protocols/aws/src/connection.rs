//! A connection over its life. While nothing is asked it is quiet: a stream and nothing else, no buffer and no parser. With
//! the first byte of a request it is lent to hyper, which serves requests until there is a pause, or one of them waits: then
//! it is taken back.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gantry_broker::protocol::{Connection, Shutdown, Stream, poll_read};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep, timeout};

use crate::Edge;
use crate::http::{self, Client};
use crate::parked::{self, Parked, Waited};
use crate::stream::{Lent, Phase, Progress, SharedProgress};

/// The line and the headers of a request, in bytes. There are 100 headers at most, which is hyper's own limit.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the first read of a request; more stay in the system until hyper asks for them.
const FIRST_BYTES_MAX: usize = 16 * 1024;

/// How often a connection in hyper's hands is looked at, and how long a pause makes it quiet.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a client may take to read a reply.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// So much of what a client still sends is thrown away before it is left.
const LEAVE_BYTES_MAX: usize = 4 << 20;

/// A client that is served. Only what is needed while nothing is asked: ten thousand of them are to cost little.
pub(crate) struct Served {
    client: Arc<Client>,
    stream: Box<dyn Stream>,
    /// Read and not looked at.
    early: Bytes,
    shutdown: Shutdown,
}

impl Served {
    /// Of a connection; the rest of it is dropped at once.
    pub(crate) fn new(edge: Arc<Edge>, connection: Connection) -> Self {
        let client = Arc::new(Client::new(edge, &connection));
        let Connection { stream, shutdown, .. } = connection;
        Self { client, stream, early: Bytes::new(), shutdown }
    }

    /// Serves it until it has gone, or the program stops.
    pub(crate) async fn run(mut self) {
        loop {
            if self.early.is_empty() {
                match quiet(&self.client, &mut self.stream, &mut self.shutdown).await {
                    Some(bytes) => self.early = bytes,
                    None => return,
                }
            }
            let early = std::mem::take(&mut self.early);
            // In an allocation of its own, which is gone while the connection is quiet.
            let taken = Box::pin(lend(&self.client, self.stream, early, &mut self.shutdown)).await;
            let Some(Taken { stream, early, parked }) = taken else { return };
            (self.stream, self.early) = (stream, early);
            // Its next request may be a while away.
            self.client.forget();
            if let Some(parked) = parked {
                let early = std::mem::take(&mut self.early);
                match parked::wait(parked, &mut self.stream, early, &mut self.shutdown).await {
                    Waited::Next(bytes) => self.early = bytes,
                    Waited::Close => return,
                }
            }
        }
    }
}

/// Waits for the first bytes of a request. None where there will be none.
async fn quiet(client: &Client, stream: &mut Box<dyn Stream>, shutdown: &mut Shutdown) -> Option<Bytes> {
    let settings = &client.edge.settings;
    // A client that has not asked anything yet is held to the time for a login.
    let limit = if client.has_asked() { settings.idle_timeout } else { settings.handshake_timeout };
    let mut input = BytesMut::new();
    let read = poll_fn(|cx| poll_read(Pin::new(&mut **stream), &mut input, FIRST_BYTES_MAX, cx));
    tokio::select! {
        biased;
        () = shutdown.requested() => None,
        read = timeout(limit, read) => match read {
            Ok(Ok(bytes)) if bytes > 0 => Some(input.freeze()),
            _ => None,
        },
    }
}

/// A connection that hyper has given back.
struct Taken {
    stream: Box<dyn Stream>,
    /// Read and not looked at.
    early: Bytes,
    parked: Option<Parked>,
}

/// Has hyper serve requests until there is a pause, or one of them waits. None where the connection is over.
async fn lend(client: &Arc<Client>, stream: Box<dyn Stream>, early: Bytes, shutdown: &mut Shutdown) -> Option<Taken> {
    let progress = Progress::new();
    let service = service_fn(|request| http::serve(client, &progress, request));
    let lent = TokioIo::new(Lent::new(stream, early, Arc::clone(&progress)));
    let mut served = http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).serve_connection(lent, service);
    let tick = sleep(PAUSE);
    let stop = shutdown.requested();
    tokio::pin!(tick, stop);
    let mut is_stopping = false;
    let goes_on = poll_fn(|cx| {
        if !is_stopping && stop.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            Pin::new(&mut served).graceful_shutdown();
        }
        match served.poll_without_shutdown(cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(false),
            Poll::Ready(Err(error)) => {
                tracing::debug!("aws: {}: {error}", client.peer);
                return Poll::Ready(false);
            }
            Poll::Pending => {}
        }
        loop {
            match state(client, &progress) {
                State::Takable => return Poll::Ready(true),
                State::TooSlow => return Poll::Ready(false),
                State::Busy if tick.as_mut().poll(cx).is_ready() => {
                    tick.as_mut().reset(Instant::now() + PAUSE);
                    progress.lock().ticks += 1;
                }
                State::Busy => return Poll::Pending,
            }
        }
    });
    if !goes_on.await {
        let (mut stream, _) = served.into_parts().io.into_inner().into_inner();
        take_leave(&mut stream).await;
        return None;
    }
    let parts = served.into_parts();
    let (stream, unread) = parts.io.into_inner().into_inner();
    let early = if unread.is_empty() {
        parts.read_buf
    } else {
        let mut early = BytesMut::from(&parts.read_buf[..]);
        early.extend_from_slice(&unread);
        early.freeze()
    };
    // Not the large buffer that it may be a piece of.
    let early = if early.is_empty() { Bytes::new() } else { Bytes::copy_from_slice(&early) };
    let parked = progress.lock().parked.take();
    Some(Taken { stream, early, parked })
}

/// Says that nothing more comes, and waits a moment for the client to see it. One that is still sending a body that was too
/// large would otherwise hear of the end of the connection before it reads why.
pub(crate) async fn take_leave(stream: &mut Box<dyn Stream>) {
    let mut ignored = BytesMut::new();
    let mut left = LEAVE_BYTES_MAX;
    let leave = async {
        stream.shutdown().await?;
        while left > 0 {
            ignored.clear();
            let read = poll_fn(|cx| poll_read(Pin::new(&mut **stream), &mut ignored, FIRST_BYTES_MAX, cx)).await?;
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read);
        }
        std::io::Result::Ok(())
    };
    // The client may have gone already, and it does not matter.
    let _ = timeout(PAUSE, leave).await;
}

enum State {
    Takable,
    TooSlow,
    Busy,
}

fn state(client: &Client, progress: &SharedProgress) -> State {
    let progress = progress.lock();
    // The first tick comes at any time of the phase.
    let lasts = |limit: Duration| PAUSE * progress.ticks.saturating_sub(1) >= limit;
    match progress.phase {
        // What hyper has not written is not given back: the stream has to take it first.
        Phase::Serving if progress.parked.is_some() && !progress.is_behind => State::Takable,
        Phase::Serving if progress.parked.is_some() && lasts(WRITE_TIMEOUT) => State::TooSlow,
        Phase::Idle if !progress.is_behind && lasts(PAUSE) => State::Takable,
        Phase::Head if lasts(client.edge.settings.handshake_timeout) => State::TooSlow,
        Phase::Writing | Phase::Idle if lasts(WRITE_TIMEOUT) => State::TooSlow,
        _ => State::Busy,
    }
}
