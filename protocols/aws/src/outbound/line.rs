//! One connection: a request on it, the bounded answer.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::ask::{ANSWER_BYTES_MAX, Answer, Refusal, Speech};
use crate::http::Whole;

/// A request as it is sent.
pub(crate) type Request = hyper::Request<Whole>;

/// The line and the headers of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// With HTTP/2, how often it is seen whether the other side is still there, and how long it has to say so.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that can take a request.
#[derive(Debug)]
pub(crate) struct Line {
    sender: Sender,
    /// It has had an answer before.
    is_used: bool,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Whole>),
    Http2(http2::SendRequest<Whole>),
}

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) struct Sent {
    error: hyper::Error,
    may_be_sent_again: bool,
}

impl Sent {
    /// Whether it has certainly not been looked at, or the connection is one that the other side had reason to close while it
    /// waited.
    pub(crate) fn may_be_sent_again(&self) -> bool {
        self.may_be_sent_again
    }
}

impl From<Sent> for Refusal {
    fn from(sent: Sent) -> Self {
        Self::Broken(sent.error)
    }
}

impl Line {
    /// Begins to speak on a stream.
    ///
    /// # Errors
    /// The other side does not speak so.
    pub(crate) async fn begin<S>(stream: S, speech: Speech) -> Result<Self, Refusal>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(stream);
        let sender = match speech {
            Speech::Http1 => {
                let mut builder = http1::Builder::new();
                let (sender, connection) =
                    builder.max_buf_size(HEAD_BYTES_MAX).handshake(stream).await.map_err(Refusal::Broken)?;
                tokio::spawn(connection);
                Sender::Http1(sender)
            }
            Speech::Http2 => {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder.timer(TokioTimer::new()).max_header_list_size(HEAD_BYTES_MAX as u32);
                builder.keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIMEOUT);
                let (sender, connection) = builder.handshake(stream).await.map_err(Refusal::Broken)?;
                tokio::spawn(connection);
                Sender::Http2(sender)
            }
        };
        Ok(Self { sender, is_used: false })
    }

    /// Whether the other side has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed() || !sender.is_ready(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    /// Another one that shares the connection, where requests do not wait for each other.
    pub(crate) fn share(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(Self { sender: Sender::Http2(sender.clone()), is_used: self.is_used }),
        }
    }

    /// Sends a request and reads the answer. The line comes back where it can take another one.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) async fn send(mut self, request: Request) -> Result<(Answer, Option<Self>), Sent> {
        let is_used = self.is_used;
        let sent = |failed: TrySendError<Request>| Sent {
            may_be_sent_again: failed.message().is_some() || (is_used && failed.error().is_incomplete_message()),
            error: failed.into_error(),
        };
        let response = match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await.map_err(sent)?,
            Sender::Http2(sender) => sender.try_send_request(request).await.map_err(sent)?,
        };
        let (head, body) = response.into_parts();
        let (body, is_whole) = collect(body).await.map_err(|error| Sent { error, may_be_sent_again: false })?;
        self.is_used = true;
        // What is unread would have to be read before the next answer.
        let is_good = match &mut self.sender {
            Sender::Http1(sender) => is_whole && sender.ready().await.is_ok(),
            Sender::Http2(sender) => !sender.is_closed(),
        };
        Ok((Answer { status: head.status, headers: head.headers, body }, is_good.then_some(self)))
    }
}

/// Reads a body, and no more of it than is looked at; whether that is all of it.
async fn collect(mut body: Incoming) -> Result<(Bytes, bool), hyper::Error> {
    let mut whole = BytesMut::new();
    loop {
        let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await else {
            return Ok((whole.freeze(), true));
        };
        let Ok(data) = frame?.into_data() else { continue };
        let room = ANSWER_BYTES_MAX - whole.len();
        whole.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return Ok((whole.freeze(), false));
        }
    }
}
