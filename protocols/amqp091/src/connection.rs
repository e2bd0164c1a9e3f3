//! One task a connection: one loop that reads, lets the session act, and writes all that is ready at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use gantry_broker::message::now_ms;
use gantry_broker::protocol::{Connection, Io, Output, Shutdown, Stream, poll_io, poll_read};
use gantry_broker::{Alarms, Broker, Ticket, UserDeletion};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::codec::methods as m;
use crate::codec::{FrameKind, Method, ReplyCode, ShortText, frame, next_frame};
use crate::error::Failure;
use crate::handshake::{HandshakeError, shake_hands};
use crate::limits::{CLOSE_TIMEOUT, Limits, OUTPUT_BYTES_HIGH, OUTPUT_BYTES_MAX};

use crate::session::{Client, Next};
use crate::stats::Stats;

/// Bytes of one read.
const READ_BYTES_MAX: usize = 128 * 1024;

/// How often a client that is held back is looked at again, where nothing says when: a message that the disk had no room for,
/// and a shortage of memory that is over before the alarm was raised.
const HELD_BACK_RETRY: Duration = Duration::from_millis(100);

/// Bytes read and written before other connections have their turn.
const BURST_BYTES: u64 = 512 * 1024;

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The client closed it.
    Closed,
    /// The stream ended without a word.
    Lost(io::Error),
    /// The client has not been heard of for two heartbeats.
    Silent,
    /// It is closed for an error, which the client is told.
    Failed(Failure),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

/// Serves a client until it is gone.
pub(crate) async fn serve(broker: &Arc<Broker>, limits: Limits, stats: &Arc<Stats>, mut connection: Connection) {
    let peer = connection.peer;
    let mut input = BytesMut::new();
    let mut shutdown = connection.shutdown.clone();
    let handshake = Box::pin(shake_hands(broker, &limits, &mut connection, &mut input));
    let agreed = tokio::select! {
        agreed = timeout(limits.handshake_timeout, handshake) => agreed,
        // There is nothing yet that a client would have to be told about.
        () = shutdown.requested() => return,
    };
    let mut agreed = match agreed {
        Ok(Ok(agreed)) => agreed,
        Ok(Err(HandshakeError::Failure(failure))) => {
            tracing::info!(%peer, reply = failure.reply_text(), "connection refused");
            let mut stream = connection.stream;
            close_for(&failure, &mut stream, Output::default(), input).await;
            return;
        }
        Ok(Err(HandshakeError::Gone(why))) => {
            tracing::info!(%peer, why, "connection refused");
            return;
        }
        Ok(Err(HandshakeError::Io(error))) => {
            tracing::debug!(%peer, %error, "connection lost before login");
            return;
        }
        Err(_) => {
            tracing::info!(%peer, "connection refused: no login in time");
            return;
        }
    };
    tracing::info!(
        %peer,
        user = agreed.session.user().name,
        vhost = %agreed.session.vhost().name(),
        tls = connection.tls.as_ref().map(|tls| tls.protocol),
        client = agreed.client,
        "connected"
    );
    let (heartbeat_s, client_properties) = (agreed.heartbeat_s, std::mem::take(&mut agreed.client_properties));
    let heartbeat = Heartbeat::new(heartbeat_s);
    let durable = broker.watch_durable();
    let alarms = broker.alarms();
    let user_deletion = agreed.session.user_deletion();
    let client = Client::new(agreed, limits, Arc::clone(stats));
    client.tell_connected(&client_properties, connection.tls.is_some(), heartbeat_s);
    drop(client_properties);
    let Connection { stream, shutdown, .. } = connection;
    let mut running = Running {
        client,
        stream,
        input,
        durable,
        alarms,
        shutdown,
        user_deletion,
        heartbeat,
        expiry: None,
        blocked: false,
        retry: Box::pin(sleep(HELD_BACK_RETRY)),
        read_bytes: 0,
        burst_end: BURST_BYTES,
    };
    let end = running.run().await;
    let Running { mut client, mut stream, input, .. } = running;
    client.end();
    client.tell_disconnected();
    let out = std::mem::take(&mut client.out);
    drop(client);
    match end {
        End::Closed => {
            let mut out = out;
            // The answer to connection.close, as far as the client still takes it.
            let _ = timeout(CLOSE_TIMEOUT, flush(&mut stream, &mut out)).await;
            tracing::debug!(%peer, "disconnected");
        }
        End::Lost(error) => tracing::info!(%peer, %error, "connection lost"),
        End::Silent => tracing::info!(%peer, "connection lost: missed heartbeats"),
        End::Failed(failure) => {
            tracing::info!(%peer, reply = failure.reply_text(), "connection closed for an error");
            close_for(&failure, &mut stream, out, input).await;
        }
    }
}

/// Signs of life, both ways (AMQP 0-9-1, 4.2.7).
struct Heartbeat {
    /// Nothing for so long, and one is sent. None without heartbeats.
    interval: Option<Duration>,
    last_read: Instant,
    last_written: Instant,
    timer: Pin<Box<Sleep>>,
}

/// How long a connection without heartbeats sleeps between two looks at nothing.
const NO_HEARTBEAT: Duration = Duration::from_secs(3600);

impl Heartbeat {
    fn new(heartbeat_s: u16) -> Self {
        let interval = (heartbeat_s > 0).then(|| Duration::from_millis(u64::from(heartbeat_s) * 500));
        let now = Instant::now();
        let timer = Box::pin(sleep(interval.unwrap_or(NO_HEARTBEAT)));
        Self { interval, last_read: now, last_written: now, timer }
    }

    /// Looks at the clock; an error when the client has been silent for two heartbeats. `reading` is false while nothing is
    /// read from it on purpose.
    fn tick(&mut self, out: &mut Output, reading: bool) -> Result<(), End> {
        let now = Instant::now();
        let Some(interval) = self.interval else {
            self.timer.as_mut().reset(now + NO_HEARTBEAT);
            return Ok(());
        };
        if !reading {
            self.last_read = now;
        }
        if now - self.last_read > interval * 4 {
            return Err(End::Silent);
        }
        // Half a tick early is soon enough; a whole tick would be late.
        if now - self.last_written >= interval / 2 && out.is_empty() {
            out.tail().extend_from_slice(&frame::HEARTBEAT);
        }
        self.timer.as_mut().reset(now + interval);
        Ok(())
    }
}

/// Whether it is time, also where nobody has polled it.
fn is_past(timer: &Pin<Box<Sleep>>) -> bool {
    timer.deadline() <= Instant::now()
}

/// How long a connection sleeps at most until it looks at when its token ends.
const EXPIRY_SLEEP_MAX: Duration = Duration::from_secs(3600);

/// Never, where nothing expires.
async fn expired(expiry: &mut Option<(u64, Pin<Box<Sleep>>)>) {
    match expiry {
        Some((_, timer)) => timer.await,
        None => std::future::pending().await,
    }
}

struct Running {
    client: Client,
    stream: Box<dyn Stream>,
    input: BytesMut,
    durable: watch::Receiver<Ticket>,
    alarms: watch::Receiver<Alarms>,
    shutdown: Shutdown,
    user_deletion: UserDeletion,
    heartbeat: Heartbeat,
    /// Goes off when the client's token ends, and when that is.
    expiry: Option<(u64, Pin<Box<Sleep>>)>,
    /// The client has been told that it is blocked.
    blocked: bool,
    /// When it is looked at again, while it is held back.
    retry: Pin<Box<Sleep>>,
    /// Bytes of frames handled so far.
    read_bytes: u64,
    /// Others have their turn when so many bytes have been read and written.
    burst_end: u64,
}

impl Running {
    async fn run(&mut self) -> End {
        loop {
            if let Err(end) = self.turn().await {
                return end;
            }
        }
    }

    /// One turn of the loop: acts on what is there, writes, then waits for more.
    async fn turn(&mut self) -> Result<(), End> {
        let moved = self.read_bytes + self.client.out.written_bytes();
        if moved >= self.burst_end {
            self.burst_end = moved + BURST_BYTES;
            tokio::task::yield_now().await;
        }
        if self.client.stalled.is_some() && is_past(&self.retry) {
            self.client.retry_stalled().map_err(End::Failed)?;
        }
        self.frames().await?;
        self.client.flush();
        self.client.deliver().await;

        let alarm = self.alarm();
        self.tell_blocked(alarm);
        let backlog = self.client.publishes && self.client.session.broker().backlog_is_high();
        let held_back = self.client.stalled.is_some() || alarm || backlog;
        let reading = !held_back && self.client.out.len() < OUTPUT_BYTES_MAX;
        let delivering = self.client.out.len() <= OUTPUT_BYTES_HIGH;
        let awaits_durability = self.client.awaits_durability() || backlog;
        // The end of an alarm wakes; the end of a shortage that never became one does not.
        let retrying = self.client.stalled.is_some() || alarm && !self.alarms.borrow().any();
        if retrying && is_past(&self.retry) {
            self.retry.as_mut().reset(Instant::now() + HELD_BACK_RETRY);
        }
        // A stream that always has more would never let these have their turn below.
        if self.shutdown.is_requested() {
            return Err(End::Failed(stopping()));
        }
        if self.user_deletion.has_happened() {
            return Err(End::Failed(self.user_deleted()));
        }
        self.check_expiry()?;
        if is_past(&self.heartbeat.timer) {
            self.heartbeat.tick(&mut self.client.out, reading)?;
        }
        let Self { client, stream, input, durable, alarms, shutdown, user_deletion, heartbeat, expiry, retry, .. } =
            self;
        let inbox = Arc::clone(&client.inbox);
        let mut quiet = true;
        let written_before = client.out.written_bytes();
        tokio::select! {
            biased;
            io = std::future::poll_fn(|cx| poll_client(stream, client, input, reading, &mut quiet, cx)) => match io? {
                Io::Read => heartbeat.last_read = Instant::now(),
                Io::Written => {}
            },
            () = inbox.ready(), if delivering => {}
            changed = durable.changed(), if awaits_durability => {
                if changed.is_err() {
                    return Err(End::Failed(Failure::new(ReplyCode::InternalError, "storage failed")));
                }
            }
            changed = alarms.changed() => {
                if changed.is_err() {
                    return Err(End::Failed(stopping()));
                }
            }
            () = retry, if retrying => {}
            () = &mut heartbeat.timer => {}
            () = shutdown.requested() => return Err(End::Failed(stopping())),
            () = expired(expiry) => {}
            () = user_deletion.happened() => return Err(End::Failed(self.user_deleted())),
        }
        if client.out.written_bytes() != written_before {
            heartbeat.last_written = Instant::now();
        }
        Ok(())
    }

    /// Ends the connection of a client whose token has ended. A new token changes when.
    fn check_expiry(&mut self) -> Result<(), End> {
        let Some(expires_ms) = self.client.expires_ms else { return Ok(()) };
        let left_ms = expires_ms.saturating_sub(now_ms());
        if left_ms == 0 {
            return Err(End::Failed(Failure::new(ReplyCode::ConnectionForced, "credential expired")));
        }
        if self.expiry.as_ref().is_none_or(|(at_ms, timer)| *at_ms != expires_ms || is_past(timer)) {
            let timer = sleep(Duration::from_millis(left_ms).min(EXPIRY_SLEEP_MAX));
            self.expiry = Some((expires_ms, Box::pin(timer)));
        }
        Ok(())
    }

    fn user_deleted(&self) -> Failure {
        let text = format!("user '{}' is deleted", self.client.session.user().name);
        Failure::new(ReplyCode::ConnectionForced, text)
    }

    /// Handles the whole frames that have come.
    async fn frames(&mut self) -> Result<(), End> {
        if self.input.is_empty() {
            return Ok(());
        }
        self.client.now_ms = now_ms();
        let mut consumed = 0;
        // Out of the way of the session; what is left goes back.
        let mut input = std::mem::take(&mut self.input);
        let result = loop {
            if self.client.stalled.is_some() || self.client.out.len() >= OUTPUT_BYTES_MAX {
                break Ok(());
            }
            match next_frame(&input[consumed..], self.client.frame_bytes_max) {
                Ok(None) => break Ok(()),
                Ok(Some((frame, bytes))) => {
                    consumed += bytes;
                    match self.client.frame(frame).await {
                        Ok(Next::Continue) => {}
                        Ok(Next::Close) => break Err(End::Closed),
                        Err(failure) => break Err(End::Failed(failure)),
                    }
                }
                Err(error) => break Err(End::Failed(error.into())),
            }
        };
        self.client.settle_definitions().await;
        self.read_bytes += consumed as u64;
        if consumed == input.len() {
            input.clear();
        } else {
            input.advance(consumed);
        }
        self.input = input;
        result
    }

    /// Whether the client is to be held back.
    fn alarm(&mut self) -> bool {
        if !self.client.publishes {
            return false;
        }
        let alarms = *self.alarms.borrow_and_update();
        let memory = alarms.memory || self.client.session.broker().memory_is_high();
        // What an open transaction holds leaves memory only when its commit is read.
        alarms.disk || memory && !self.client.has_open_transaction()
    }

    fn tell_blocked(&mut self, alarm: bool) {
        let told = self.client.publishes && (self.alarms.borrow().any() || self.client.stalled.is_some());
        // A moment's shortage is not worth two frames; the alarm follows if it lasts.
        let blocked = if self.blocked { told || alarm } else { told };
        if blocked == self.blocked || !self.client.capabilities.connection_blocked {
            return;
        }
        self.blocked = blocked;
        if blocked {
            let alarms = *self.alarms.borrow();
            let reason = if alarms.memory { "low on memory" } else { "low on disk" };
            self.client.send(0, m::ConnectionBlocked { reason: ShortText::cut(reason) });
        } else {
            self.client.send(0, m::ConnectionUnblocked {});
        }
    }
}

fn stopping() -> Failure {
    Failure::new(ReplyCode::ConnectionForced, "broker forced connection closure with reason 'shutdown'")
}

/// Writes what waits, and reads what has come. Pending gives back the memory of a connection that has nothing to do.
fn poll_client(
    stream: &mut Box<dyn Stream>,
    client: &mut Client,
    input: &mut BytesMut,
    reading: bool,
    quiet: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Io>> {
    let read_bytes_max = reading.then_some(READ_BYTES_MAX);
    if let Poll::Ready(io) = poll_io(stream, &mut client.out, OUTPUT_BYTES_HIGH, input, read_bytes_max, cx) {
        return Poll::Ready(io);
    }
    if *quiet {
        *quiet = false;
        client.shrink();
        if input.is_empty() {
            *input = BytesMut::new();
        }
    }
    Poll::Pending
}

async fn flush(stream: &mut Box<dyn Stream>, out: &mut Output) -> io::Result<()> {
    std::future::poll_fn(|cx| out.poll_write(Pin::new(&mut **stream), cx)).await
}

/// Bytes of one read from a client that is only listened to for its answer to connection.close; it may not have logged in.
const FAREWELL_READ_BYTES: usize = 4 * 1024;

/// Tells the client why, and waits for its answer: closing first would throw away what it has not yet read.
async fn close_for(failure: &Failure, stream: &mut Box<dyn Stream>, mut out: Output, mut input: BytesMut) {
    let text = failure.reply_text();
    failure.close_connection(&text).encode_frame(0, out.tail());
    let conversation = async {
        flush(stream, &mut out).await?;
        let mut farewell = Farewell::default();
        while !farewell.heard_in(&mut input) {
            let read =
                std::future::poll_fn(|cx| poll_read(Pin::new(&mut **stream), &mut input, FAREWELL_READ_BYTES, cx));
            if read.await? == 0 {
                break;
            }
        }
        Ok::<(), io::Error>(())
    };
    // Whether it answers or not, it is gone afterwards.
    let _ = timeout(CLOSE_TIMEOUT, conversation).await;
}

/// Listens for connection.close-ok. What the client sent before it knew is of no interest: it is let go as it comes, and no
/// more than a frame head is kept of a frame, however long it says it is.
#[derive(Debug, Default)]
struct Farewell {
    /// Bytes still to come of a frame that is not the answer.
    skip_bytes: usize,
}

/// Frame head, class, method and frame end: the answer has no fields.
const CLOSE_OK_BYTES: usize = frame::FRAME_OVERHEAD_BYTES + 4;

impl Farewell {
    /// Whether the answer is among this; takes what has been looked at.
    fn heard_in(&mut self, input: &mut BytesMut) -> bool {
        loop {
            let skipped = self.skip_bytes.min(input.len());
            input.advance(skipped);
            self.skip_bytes -= skipped;
            let Some(&[kind, _, _, l0, l1, l2, l3]) = input.first_chunk::<{ frame::FRAME_HEAD_BYTES }>() else {
                return false;
            };
            let frame_bytes = u32::from_be_bytes([l0, l1, l2, l3]) as usize + frame::FRAME_OVERHEAD_BYTES;
            if kind == FrameKind::Method as u8 && frame_bytes == CLOSE_OK_BYTES {
                if input.len() < CLOSE_OK_BYTES {
                    return false;
                }
                let payload = &input[frame::FRAME_HEAD_BYTES..CLOSE_OK_BYTES - 1];
                if matches!(Method::decode(payload), Ok(Method::ConnectionCloseOk(_))) {
                    return true;
                }
            }
            // What is no frame at all may have any length; then the answer is not found, and time ends this.
            self.skip_bytes = frame_bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_connection_close_is_found_behind_frames_of_any_length_in_pieces_of_any_length() {
        let mut bytes = BytesMut::new();
        bytes.extend_from_slice(&frame::frame_head(FrameKind::Body, 1, 1 << 20));
        bytes.extend_from_slice(&vec![FrameKind::Method as u8; 1 << 20]);
        bytes.extend_from_slice(&[frame::FRAME_END]);
        Method::from(m::ChannelCloseOk {}).encode_frame(1, &mut bytes);
        Method::from(m::ConnectionCloseOk {}).encode_frame(0, &mut bytes);
        for piece_bytes in [1, 7, 4096, bytes.len() - 1] {
            let (mut farewell, mut input) = (Farewell::default(), BytesMut::new());
            let mut heard = 0;
            for piece in bytes.chunks(piece_bytes) {
                input.extend_from_slice(piece);
                heard += usize::from(farewell.heard_in(&mut input));
                assert!(input.len() < CLOSE_OK_BYTES + piece_bytes);
            }
            assert_eq!(heard, 1, "in pieces of {piece_bytes}");
        }
    }
}
