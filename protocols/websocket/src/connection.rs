//! One client: its request, the protocol within, the close.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::BytesMut;
use gantry_broker::protocol::{Connection, Shutdown, Stream, poll_read};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::codec::{End, Violation};
use crate::limits::{CLOSE_BYTES_MAX, CLOSE_TIMEOUT, HEAD_BYTES_MAX, MESSAGE_HEAD_BYTES};
use crate::request::Request;
use crate::stats::Stats;
use crate::stream::{Lent, WebSocketIo};
use crate::upgrade::{Refusal, Rules, judge};
use crate::{Subprotocol, WebSocket};

/// What ends the head of a request.
const EMPTY_LINE: &[u8] = b"\r\n\r\n";

/// Serves a client until it is gone.
pub(crate) async fn serve(websocket: &WebSocket, connection: Connection) {
    let peer = connection.peer;
    // Boxed: while the protocol within is at work, nothing of it is left.
    let Some(opened) = Box::pin(open(websocket, connection)).await else { return };
    let (lent, returned) = Lent::new(opened.io);
    let connection = Connection { stream: Box::new(lent), ..opened.connection };
    websocket.subprotocols[opened.subprotocol].protocol.serve(connection).await;
    let mut returned = returned;
    let Ok(io) = returned.try_recv() else { return };
    leave(websocket, io, peer).await;
}

/// Closes, and tells of an error of the client's.
async fn leave(websocket: &WebSocket, mut io: Box<WebSocketIo>, peer: SocketAddr) {
    if let Some(End::Failed(violation)) = io.end() {
        Stats::count(&websocket.stats.failed);
        tracing::info!(%peer, %violation, "WebSocket connection closed for an error");
    }
    io.close();
    // Whether the client answers or not, it is gone afterwards.
    let _ = timeout(CLOSE_TIMEOUT, Box::pin(take_leave(io))).await;
}

/// A request that has been granted.
struct Opened {
    /// What the protocol within gets, but for its stream.
    connection: Connection,
    io: Box<WebSocketIo>,
    subprotocol: usize,
}

/// Reads the request and answers it. `None` where that was a refusal.
async fn open(websocket: &WebSocket, mut connection: Connection) -> Option<Opened> {
    let peer = connection.peer;
    let mut shutdown = connection.shutdown.clone();
    let settings = &websocket.settings;
    let request = tokio::select! {
        request = timeout(settings.handshake_timeout, read_request(&mut connection.stream)) => request,
        // There is nothing yet that a client would have to be told about.
        () = shutdown.requested() => return None,
    };
    let Ok(request) = request else {
        Stats::count(&websocket.stats.refused);
        tracing::info!(%peer, "WebSocket connection refused: no request in time");
        return None;
    };
    let request = match request {
        Ok(request) => request,
        Err(error) => {
            tracing::debug!(%peer, %error, "WebSocket connection lost before its request");
            return None;
        }
    };
    let rules = Rules {
        paths: &settings.paths,
        origins: &settings.origins,
        subprotocols: &websocket.names,
        compression: settings.compression,
        needs_subprotocol: websocket.default.is_none() && !websocket.looks_at_first_byte(),
    };
    let judged = request.and_then(|(request, early)| Ok((judge(&rules, &request)?, request.credentials, early)));
    let (upgrade, credentials, early) = match judged {
        Ok(judged) => judged,
        Err(refusal) => {
            Stats::count(&websocket.stats.refused);
            tracing::info!(%peer, status = refusal.status, why = refusal.text, "WebSocket connection refused");
            let _ = timeout(CLOSE_TIMEOUT, refuse(&mut connection.stream, &refusal)).await;
            return None;
        }
    };
    let answered = timeout(settings.handshake_timeout, send(&mut connection.stream, &upgrade.answer)).await;
    if !matches!(answered, Ok(Ok(()))) {
        tracing::debug!(%peer, "WebSocket connection lost before the answer");
        return None;
    }
    Stats::count(&websocket.stats.upgraded);
    let message_bytes_max = settings.message_bytes_max.saturating_add(MESSAGE_HEAD_BYTES);
    let below = std::mem::replace(&mut connection.stream, Box::new(tokio::io::empty()));
    let mut io = Box::new(WebSocketIo::new(below, early, upgrade.deflate, message_bytes_max, shutdown));
    let subprotocol = match upgrade.subprotocol {
        None if websocket.looks_at_first_byte() => first(websocket, &mut io, &mut connection.shutdown).await,
        named => named.or(websocket.default),
    };
    let Some(subprotocol) = subprotocol else {
        leave(websocket, io, peer).await;
        return None;
    };
    let Subprotocol { name, messages, .. } = &websocket.subprotocols[subprotocol];
    tracing::debug!(%peer, subprotocol = name, relayed = upgrade.relayed, "WebSocket connection");
    io.speaks(*messages);
    connection.credentials = credentials;
    connection.relayed |= upgrade.relayed;
    Some(Opened { connection, io, subprotocol })
}

/// What a client speaks that has named nothing, by the first byte that it sends. `None` where it is to be left.
async fn first(websocket: &WebSocket, io: &mut WebSocketIo, shutdown: &mut Shutdown) -> Option<usize> {
    let first = tokio::select! {
        first = timeout(websocket.settings.handshake_timeout, poll_fn(|cx| io.poll_first(cx))) => first,
        () = shutdown.requested() => return None,
    };
    // It is too late, or gone, or has broken a rule, which is told when it is left.
    let byte = first.ok()?.ok()??;
    let subprotocol = websocket.by_first_byte(byte);
    if subprotocol.is_none() {
        io.fail(Violation::Unknown);
    }
    subprotocol
}

/// What came: a request and what is behind it, or what is wrong with it.
type Came = Result<(Request, BytesMut), Refusal>;

/// Reads the head of a request, however slowly it comes.
async fn read_request(stream: &mut Box<dyn Stream>) -> io::Result<Came> {
    let mut input = BytesMut::new();
    loop {
        let before = input.len();
        let room = HEAD_BYTES_MAX - before;
        if poll_fn(|cx| poll_read(Pin::new(&mut **stream), &mut input, room, cx)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // What has been searched is not searched again.
        let searched = before.saturating_sub(EMPTY_LINE.len() - 1);
        let found = input[searched..].windows(EMPTY_LINE.len()).position(|window| window == EMPTY_LINE);
        if let Some(found) = found {
            let early = input.split_off(searched + found + EMPTY_LINE.len());
            return Ok(Request::parse(&input).map(|request| (request, early)).map_err(Refusal::from));
        }
        if input.len() >= HEAD_BYTES_MAX {
            return Ok(Err(Refusal::too_long()));
        }
    }
}

async fn send(stream: &mut Box<dyn Stream>, answer: &str) -> io::Result<()> {
    stream.write_all(answer.as_bytes()).await?;
    stream.flush().await
}

async fn refuse(stream: &mut Box<dyn Stream>, refusal: &Refusal) -> io::Result<()> {
    send(stream, &refusal.answer()).await?;
    stream.shutdown().await?;
    discard(&mut **stream).await
}

/// Closes: our close frame, the client's, the stream.
async fn take_leave(mut io: Box<WebSocketIo>) -> io::Result<()> {
    poll_fn(|cx| io.poll_flush(cx)).await?;
    if io.has_told() && io.end().is_none() {
        let mut left_bytes = CLOSE_BYTES_MAX;
        poll_fn(|cx| io.poll_discard(cx, &mut left_bytes)).await?;
    }
    let has_closed = matches!(io.end(), Some(End::Closed(_)));
    let mut below = io.stream();
    below.shutdown().await?;
    // Nothing comes behind the client's close frame.
    if has_closed { Ok(()) } else { discard(&mut *below).await }
}

/// Throws away what still comes: closing with something unread would have the system throw away what we have said.
async fn discard(stream: &mut dyn Stream) -> io::Result<()> {
    let mut scratch = [0; 2048];
    let mut left_bytes = CLOSE_BYTES_MAX;
    while left_bytes > 0 {
        let bytes = stream.read(&mut scratch).await?;
        if bytes == 0 {
            break;
        }
        left_bytes = left_bytes.saturating_sub(bytes as u64);
    }
    Ok(())
}
