//! One task a connection: one loop that reads, lets the client act, and writes all that is ready at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use gantry_broker::message::now_ms;
use gantry_broker::protocol::{Connection, Io, Output, Shutdown, Stream, poll_io, poll_read};
use gantry_broker::{Alarms, Ticket, UserDeletion};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::Stomp;
use crate::client::{Client, Next};
use crate::codec::{Decoded, Limits, Progress, Version, decode};
use crate::error::Failure;
use crate::handshake::{HandshakeError, shake_hands};
use crate::heartbeat::{Due, HeartBeat};
use crate::limits::{CLOSE_TIMEOUT, OUTPUT_BYTES_HIGH, OUTPUT_BYTES_MAX, TOIL_MAX};

/// Bytes of one read.
const READ_BYTES_MAX: usize = 128 * 1024;

/// How often a client that is held back is looked at again, where nothing says when: a message that the disk had no room for,
/// and a shortage of memory that is over before the alarm was raised.
const HELD_BACK_RETRY: Duration = Duration::from_millis(100);

/// A turn that takes longer says nothing of the client.
const STALL: Duration = Duration::from_millis(200);

/// Bytes read and written before other connections have their turn.
const BURST_BYTES: u64 = 512 * 1024;

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The client took leave.
    Closed,
    /// The stream ended without a word.
    Lost(io::Error),
    /// The client has not been heard of for two intervals of its heart-beat.
    Silent,
    /// It is closed for an error, which the client is told.
    Failed(Failure),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

/// Serves a client until it is gone. What is large here has an allocation of its own that goes with its stage: a connection that
/// is idle costs what its loop waits with.
pub(crate) async fn serve(stomp: &Stomp, connection: Connection) {
    let Some(mut running) = Box::pin(begin(stomp, connection)).await else { return };
    let end = running.run().await;
    Box::pin(take_leave(running, end)).await;
}

/// The beginning of a connection; none where there is no session.
async fn begin(stomp: &Stomp, mut connection: Connection) -> Option<Box<Running>> {
    let peer = connection.peer;
    let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
    let mut shutdown = connection.shutdown.clone();
    let handshake = shake_hands(stomp, &mut connection, &mut input, &mut out);
    let agreed = tokio::select! {
        agreed = timeout(stomp.settings.handshake_timeout, handshake) => agreed,
        // There is nothing yet that a client would have to be told about.
        () = shutdown.requested() => return None,
    };
    let (agreed, intervals) = match agreed {
        Ok(Ok(agreed)) => agreed,
        Ok(Err(HandshakeError::Refused(failure))) => {
            tracing::info!(%peer, message = &*failure.message, detail = &*failure.detail, "connection refused");
            crate::stats::Stats::add(&stomp.stats.errors, 1);
            let mut out = Output::default();
            // Of a version that every client reads.
            failure.write(out.tail(), Version::V1_0, None);
            say_goodbye(&mut connection.stream, &mut out).await;
            return None;
        }
        Ok(Err(HandshakeError::Io(error))) => {
            tracing::debug!(%peer, %error, "connection lost before login");
            return None;
        }
        Err(_) => {
            tracing::info!(%peer, "connection refused: no login in time");
            return None;
        }
    };
    let tls = connection.tls.as_ref().map(|tls| tls.protocol);
    tracing::info!(
        %peer,
        user = agreed.session.user().name,
        vhost = %agreed.session.vhost().name(),
        version = agreed.version.as_str(),
        tls,
        "connected"
    );
    let broker = Arc::clone(agreed.session.broker());
    let expiry = agreed.expires_ms.map(|at_ms| Box::new(Expiry::new(at_ms)));
    let user_deletion = agreed.session.user_deletion();
    let mut client = Client::new(agreed, Arc::clone(&stomp.settings), Arc::clone(&stomp.stats));
    client.out.tail().extend_from_slice(&out);
    client.tell_connected(tls.is_some());
    client.now_ms = now_ms();
    client.advise_connected();
    Some(Box::new(Running {
        limits: stomp.settings.frame_limits(),
        progress: Progress::default(),
        client,
        stream: connection.stream,
        input,
        durable: broker.watch_durable(),
        alarms: broker.alarms(),
        shutdown,
        user_deletion,
        heart_beat: HeartBeat::new(intervals),
        expiry,
        retry: None,
        read_bytes: 0,
        burst_end: BURST_BYTES,
    }))
}

/// The end of a connection.
async fn take_leave(mut running: Box<Running>, end: End) {
    let peer = running.client.ends.peer;
    if matches!(end, End::Closed) {
        // The client has said all that it has to say: what it asked to be told of is still told, its last receipt behind it.
        let _ = timeout(CLOSE_TIMEOUT, running.wait_for_receipts()).await;
    }
    let Running { client, stream, .. } = &mut *running;
    client.end();
    client.tell_disconnected();
    client.advise_disconnected();
    match &end {
        End::Closed => tracing::debug!(%peer, "disconnected"),
        End::Lost(error) => return tracing::info!(%peer, %error, "connection lost"),
        End::Silent => return tracing::info!(%peer, "connection lost: missed heart-beats"),
        End::Failed(failure) => client.tell(failure),
    }
    say_goodbye(stream, &mut client.out).await;
}

/// Writes what waits, and lets the client read it. Whether it does or not, it is gone afterwards.
async fn say_goodbye(stream: &mut Box<dyn Stream>, out: &mut Output) {
    let farewell = async {
        flush(stream, out).await?;
        linger(stream).await
    };
    let _ = timeout(CLOSE_TIMEOUT, farewell).await;
}

async fn flush(stream: &mut Box<dyn Stream>, out: &mut Output) -> io::Result<()> {
    std::future::poll_fn(|cx| out.poll_write(Pin::new(&mut **stream), cx)).await
}

/// Bytes that a client may send after it has been told to go.
const LINGER_BYTES_MAX: usize = 1 << 20;

/// Says that nothing more comes, and lets go of what the client sent meanwhile: closing at once could take from it what it has
/// been told last.
async fn linger(stream: &mut Box<dyn Stream>) -> io::Result<()> {
    stream.shutdown().await?;
    let (mut heard, mut bytes) = (BytesMut::new(), 0);
    while bytes < LINGER_BYTES_MAX {
        let read =
            std::future::poll_fn(|cx| poll_read(Pin::new(&mut **stream), &mut heard, READ_BYTES_MAX, cx)).await?;
        if read == 0 {
            break;
        }
        bytes += read;
        heard.clear();
    }
    Ok(())
}

/// How long a connection sleeps at most until it looks at when its token ends: the clock may have been set meanwhile.
const EXPIRY_SLEEP_MAX: Duration = Duration::from_secs(3600);

/// The end of the token that a client has logged in with.
struct Expiry {
    /// In milliseconds since the epoch of Unix.
    at_ms: u64,
    /// When it is looked at again.
    timer: Pin<Box<Sleep>>,
}

impl Expiry {
    fn new(at_ms: u64) -> Self {
        Self { at_ms, timer: Box::pin(sleep(Duration::ZERO)) }
    }

    /// Looks at the clock; an error when the token has ended.
    fn tick(&mut self) -> Result<(), End> {
        let left_ms = self.at_ms.saturating_sub(now_ms());
        if left_ms == 0 {
            let detail = "The credential used to authenticate this connection has expired";
            return Err(End::Failed(Failure::hard("Credential expired", detail)));
        }
        if is_past(&self.timer) {
            self.timer.as_mut().reset(Instant::now() + Duration::from_millis(left_ms).min(EXPIRY_SLEEP_MAX));
        }
        Ok(())
    }
}

/// Never, where nothing expires.
async fn expired(expiry: &mut Option<Box<Expiry>>) {
    match expiry {
        Some(expiry) => expiry.timer.as_mut().await,
        None => std::future::pending().await,
    }
}

fn stopping() -> End {
    let detail = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
    End::Failed(Failure::hard("connection_forced", detail))
}

fn storage_failed() -> End {
    End::Failed(Failure::hard("internal_error", "INTERNAL_ERROR - storage failed"))
}

struct Running {
    client: Client,
    stream: Box<dyn Stream>,
    input: BytesMut,
    /// How far the frame that is coming has been looked at.
    progress: Progress,
    limits: Limits,
    durable: watch::Receiver<Ticket>,
    alarms: watch::Receiver<Alarms>,
    shutdown: Shutdown,
    user_deletion: UserDeletion,
    heart_beat: HeartBeat,
    /// Most log in with what does not end.
    expiry: Option<Box<Expiry>>,
    /// When it is looked at again, while it is held back.
    retry: Option<Pin<Box<Sleep>>>,
    /// Bytes of frames handled so far.
    read_bytes: u64,
    /// Others have their turn when so many bytes have been read and written.
    burst_end: u64,
}

/// What was among the frames that have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    /// The next one may wait for the disk.
    ForMore,
    /// Others are to have their turn before the next one.
    ForTime,
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
        if self.client.stalled.is_some() && self.retry.as_ref().is_none_or(is_past) {
            self.retry = None;
            self.client.retry_stalled().map_err(End::Failed)?;
        }
        let begun = Instant::now();
        let mut done = self.frames();
        while let Ok(asked @ (Asked::ForMore | Asked::ForTime)) = done {
            if asked == Asked::ForTime {
                tokio::task::yield_now().await;
                done = self.frames();
                continue;
            }
            done = match Box::pin(self.ask()).await {
                Ok(()) => self.frames(),
                Err(end) => Err(end),
            };
        }
        self.client.flush();
        done?;
        self.client.deliver().await;
        if begun.elapsed() > STALL {
            // Nothing was read for so long, whatever the client has sent.
            self.heart_beat.heard();
        }

        let alarm = self.alarm();
        let backlog = self.client.publishes && self.client.session.broker().backlog_is_high();
        let stalled = self.client.stalled.is_some();
        let held_back = stalled || alarm || backlog || self.client.has_many_receipts();
        let reading = !held_back && self.client.out.len() < OUTPUT_BYTES_MAX;
        let delivering = self.client.out.len() <= OUTPUT_BYTES_HIGH;
        let awaits_durability = self.client.awaits_durability() || backlog;
        // The end of an alarm wakes; the end of a shortage that never became one does not.
        let retrying = stalled || alarm && !self.alarms.borrow().any();
        if !retrying {
            self.retry = None;
        } else if self.retry.as_ref().is_none_or(is_past) {
            self.retry = Some(Box::pin(sleep(HELD_BACK_RETRY)));
        }
        // A stream that always has more would never let these have their turn below.
        if self.shutdown.is_requested() {
            return Err(stopping());
        }
        if self.user_deletion.has_happened() {
            return Err(self.user_deleted());
        }
        if let Some(expiry) = &mut self.expiry {
            expiry.tick()?;
        }
        match self.heart_beat.tick(reading, self.client.written_at, !self.client.out.is_empty()) {
            Due::Nothing => {}
            Due::Beat => self.client.out.tail().extend_from_slice(b"\n"),
            Due::Silence => return Err(End::Silent),
        }
        let publishes = self.client.publishes;
        let Self { client, stream, input, durable, alarms, shutdown, user_deletion, heart_beat, expiry, retry, .. } =
            self;
        let inbox = Arc::clone(&client.inbox);
        let mut quiet = true;
        tokio::select! {
            biased;
            io = std::future::poll_fn(|cx| poll_client(stream, client, input, reading, &mut quiet, cx)) => match io? {
                Io::Read => heart_beat.heard(),
                Io::Written => {}
            },
            () = inbox.ready(), if delivering => {}
            changed = durable.changed(), if awaits_durability => {
                if changed.is_err() {
                    return Err(storage_failed());
                }
            }
            changed = alarms.changed(), if publishes => {
                if changed.is_err() {
                    return Err(stopping());
                }
            }
            () = wait(retry), if retrying => {}
            () = heart_beat.due() => {}
            () = shutdown.requested() => return Err(stopping()),
            () = expired(expiry) => {}
            () = user_deletion.happened() => return Err(self.user_deleted()),
        }
        Ok(())
    }

    fn user_deleted(&self) -> End {
        let name = &self.client.session.user().name;
        let detail = format!("CONNECTION_FORCED - user '{name}' is deleted");
        End::Failed(Failure::hard("connection_forced", detail))
    }

    /// Handles the whole frames that have come, up to one that may wait for the disk.
    fn frames(&mut self) -> Result<Asked, End> {
        if self.input.is_empty() {
            return Ok(Asked::Nothing);
        }
        let Self { client, input, progress, limits, .. } = self;
        client.now_ms = now_ms();
        let (mut consumed, mut toil) = (0, 0);
        let result = loop {
            toil += client.unacked.take_toil();
            if toil > TOIL_MAX {
                break Ok(Asked::ForTime);
            }
            let is_full = client.out.len() >= OUTPUT_BYTES_MAX || client.has_many_receipts();
            if client.stalled.is_some() || is_full {
                break Ok(Asked::Nothing);
            }
            match decode(&input[consumed..], progress, client.version, limits) {
                Ok(Decoded::Incomplete) => break Ok(Asked::Nothing),
                Ok(Decoded::Skipped(bytes)) => consumed += bytes,
                Ok(Decoded::Frame(frame, bytes)) => match client.frame(&frame) {
                    Ok(Next::Ask) => break Ok(Asked::ForMore),
                    Ok(Next::Continue | Next::Answered) => consumed += bytes,
                    Ok(Next::Close) => break Err(End::Closed),
                    Err(failure) => break Err(End::Failed(failure)),
                },
                Err(error) => break Err(End::Failed(error.into())),
            }
        };
        self.consume(consumed);
        result
    }

    /// Handles the first frame, which may wait for the disk.
    async fn ask(&mut self) -> Result<(), End> {
        let Self { client, input, progress, limits, .. } = self;
        let consumed = match decode(input, progress, client.version, limits) {
            Ok(Decoded::Frame(frame, bytes)) => match client.ask(&frame).await {
                Ok(Next::Close) => return Err(End::Closed),
                // What it had asked for has gone meanwhile: it is asked for again.
                Ok(Next::Ask) => 0,
                Ok(Next::Continue | Next::Answered) => bytes,
                Err(failure) => return Err(End::Failed(failure)),
            },
            Ok(Decoded::Skipped(bytes)) => bytes,
            Ok(Decoded::Incomplete) => 0,
            Err(error) => return Err(End::Failed(error.into())),
        };
        self.consume(consumed);
        Ok(())
    }

    fn consume(&mut self, bytes: usize) {
        self.read_bytes += bytes as u64;
        if bytes == self.input.len() {
            self.input.clear();
        } else {
            self.input.advance(bytes);
        }
    }

    /// Whether the client is to be held back.
    fn alarm(&mut self) -> bool {
        if !self.client.publishes {
            return false;
        }
        let alarms = *self.alarms.borrow_and_update();
        let memory = alarms.memory || self.client.session.broker().memory_is_high();
        // What an open transaction holds leaves memory only when its commit is read.
        alarms.disk || memory && !self.client.transactions.have_messages()
    }

    /// Writes receipts until none waits for the disk any more.
    async fn wait_for_receipts(&mut self) {
        while self.client.awaits_durability() && self.durable.changed().await.is_ok() {
            self.client.flush();
        }
    }
}

/// Whether it is time, also where nobody has polled it.
fn is_past(timer: &Pin<Box<Sleep>>) -> bool {
    timer.deadline() <= Instant::now()
}

async fn wait(timer: &mut Option<Pin<Box<Sleep>>>) {
    match timer {
        Some(timer) => timer.as_mut().await,
        None => std::future::pending().await,
    }
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
    let written_before = client.out.written_bytes();
    let io = poll_io(stream, &mut client.out, OUTPUT_BYTES_HIGH, input, read_bytes_max, cx);
    if client.out.written_bytes() != written_before {
        client.written_at = Instant::now();
    }
    if io.is_ready() {
        return io;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// There are tens of thousands of connections that wait, and what one waits with is most of what it costs.
    #[test]
    fn a_connection_that_waits_is_small() {
        fn future_bytes<T, F: Future>(_: impl FnOnce(T) -> F) -> usize {
            size_of::<F>()
        }
        let waiting = future_bytes(|(stomp, connection): (&'static Stomp, Connection)| serve(stomp, connection));
        assert!(waiting <= 1280, "{waiting}");
        assert!(size_of::<Running>() <= 1536, "{}", size_of::<Running>());
    }
}
