//! A connection over its life. While nothing is asked it is quiet: a stream and nothing else, no buffer and no parser. With
//! the first byte of a request it is lent to hyper, which serves requests until there is a pause, or one of them waits: then
//! it is taken back.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gantry_broker::protocol::{Connection, Shutdown, Stream, poll_read};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
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

/// Serves a client until it has gone, or the program stops.
pub(crate) async fn serve(edge: Arc<Edge>, connection: Connection) {
    let client = Arc::new(Client::new(edge, &connection));
    let Connection { mut stream, mut shutdown, .. } = connection;
    let mut early = Bytes::new();
    loop {
        if early.is_empty() {
            match quiet(&client, &mut stream, &mut shutdown).await {
                Some(bytes) => early = bytes,
                None => return,
            }
        }
        // In an allocation of its own, which is gone while the connection is quiet.
        let Some(taken) = Box::pin(lend(&client, stream, early, &mut shutdown)).await else { return };
        (stream, early) = (taken.stream, taken.early);
        if let Some(parked) = taken.parked {
            match parked::wait(parked, &mut stream, early, &mut shutdown).await {
                Waited::Next(bytes) => early = bytes,
                Waited::Close => return,
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
    let read = std::future::poll_fn(|cx| poll_read(std::pin::Pin::new(&mut **stream), &mut input, FIRST_BYTES_MAX, cx));
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
    let goes_on = std::future::poll_fn(|cx| {
        if !is_stopping && stop.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            std::pin::Pin::new(&mut served).graceful_shutdown();
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
        // The client may have gone already.
        let _ = timeout(PAUSE, tokio::io::AsyncWriteExt::shutdown(&mut stream)).await;
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
        Phase::Idle if !progress.is_behind && lasts(PAUSE) => State::Takable,
        Phase::Head if lasts(client.edge.settings.handshake_timeout) => State::TooSlow,
        Phase::Writing if lasts(WRITE_TIMEOUT) => State::TooSlow,
        _ => State::Busy,
    }
}
