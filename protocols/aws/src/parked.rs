//! A long poll that waits. It has the client's stream and the future of its reply, and nothing of HTTP but what the head of the
//! reply needs: ten thousand of them are to cost little.

use std::task::Poll;

use bytes::{Bytes, BytesMut};
use gantry_broker::UserDeletion;
use gantry_broker::protocol::{Shutdown, Stream, poll_read};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::action::Boxed;
use crate::auth;
use crate::connection::{WRITE_TIMEOUT, take_leave};
use crate::date;
use crate::error::{Error, faults};
use crate::http::Answer;
use crate::request_id::RequestId;
use crate::wire::Format;

/// So much of the next requests is read while this one waits; the rest stays where it is, and so does the news that the client
/// has gone.
const EARLY_BYTES_MAX: usize = 16 * 1024;

/// A request that waits for its reply.
pub(crate) struct Parked {
    /// Its body, in its format.
    pub(crate) reply: Boxed<'static, Result<Bytes, Error>>,
    /// Whose it is: somebody who is not there any more is given nothing.
    pub(crate) deletion: Option<UserDeletion>,
    pub(crate) format: Format,
    pub(crate) request_id: RequestId,
    /// Whether the client wants to go on afterwards.
    pub(crate) keep_alive: bool,
    /// Whether it speaks HTTP/1.0.
    pub(crate) is_old: bool,
    /// Whether a web page has asked.
    pub(crate) is_page: bool,
}

/// What comes after a long poll.
pub(crate) enum Waited {
    /// The next request, of which so much is here.
    Next(Bytes),
    /// Nothing.
    Close,
}

enum Event {
    Reply(Result<Bytes, Error>),
    Gone,
}

/// Waits for the reply and writes it.
pub(crate) async fn wait(
    parked: Parked,
    stream: &mut Box<dyn Stream>,
    early: Bytes,
    shutdown: &mut Shutdown,
) -> Waited {
    let Parked { mut reply, deletion, format, request_id, keep_alive, is_old, is_page } = parked;
    let mut early = BytesMut::from(early);
    let mut is_stopping = false;
    let event = tokio::select! {
        biased;
        event = std::future::poll_fn(|cx| {
            // Before the reply is looked at: what that takes is not given back so soon.
            if deletion.as_ref().is_some_and(UserDeletion::has_happened) {
                return Poll::Ready(Event::Reply(Err(auth::unknown_key())));
            }
            if let Poll::Ready(reply) = reply.as_mut().poll(cx) {
                return Poll::Ready(Event::Reply(reply));
            }
            while early.len() < EARLY_BYTES_MAX {
                let room = EARLY_BYTES_MAX - early.len();
                match poll_read(std::pin::Pin::new(&mut **stream), &mut early, room, cx) {
                    Poll::Ready(Ok(bytes)) if bytes > 0 => {}
                    Poll::Ready(_) => return Poll::Ready(Event::Gone),
                    Poll::Pending => break,
                }
            }
            Poll::Pending
        }) => event,
        () = shutdown.requested() => {
            is_stopping = true;
            // A client that hears so tries again; one that hears nothing may take it for a reply that is on its way.
            Event::Reply(Err(Error::new(&faults::SERVICE_UNAVAILABLE, "The service is about to stop.")))
        }
    };
    // What the future holds on to is given back before the client can ask again.
    drop(reply);
    let Event::Reply(reply) = event else { return Waited::Close };
    let answer = match reply {
        Ok(body) => Answer::success(format, request_id, body),
        Err(error) => Answer::failure(format, request_id, &error),
    };
    let keep_alive = keep_alive && !is_stopping;
    let bytes = written(answer, keep_alive, is_old, is_page);
    let write = async {
        stream.write_all(&bytes).await?;
        stream.flush().await
    };
    match timeout(WRITE_TIMEOUT, write).await {
        Ok(Ok(())) if keep_alive => Waited::Next(early.freeze()),
        Ok(Ok(())) => {
            take_leave(stream).await;
            Waited::Close
        }
        _ => Waited::Close,
    }
}

/// A whole reply as it goes over the wire.
fn written(answer: Answer, keep_alive: bool, is_old: bool, is_page: bool) -> Vec<u8> {
    let response = answer.whole(is_page);
    let mut bytes = format!("HTTP/1.{} {}\r\n", u8::from(!is_old), response.status()).into_bytes();
    let mut header = |name: &str, value: &[u8]| {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    };
    for (name, value) in response.headers() {
        header(name.as_str(), value.as_bytes());
    }
    match (keep_alive, is_old) {
        (false, _) => header("connection", b"close"),
        (true, true) => header("connection", b"keep-alive"),
        (true, false) => {}
    }
    header("content-length", response.body().len().to_string().as_bytes());
    header("date", date::http(date::now_s()).as_bytes());
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(response.body());
    bytes
}
