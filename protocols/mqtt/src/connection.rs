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

use crate::Mqtt;
use crate::client::{Client, Next};
use crate::codec::packet::{Disconnect, Packet, Version};
use crate::codec::reason::Reason;
use crate::codec::{Settings, decode, encode_within};
use crate::error::Failure;
use crate::handshake::{HandshakeError, refuse, shake_hands};
use crate::limits::{ANSWERS_MAX, CLOSE_TIMEOUT, OUTPUT_BYTES_HIGH, OUTPUT_BYTES_MAX};
use crate::sessions::{self, Signals};

/// Bytes of one read.
const READ_BYTES_MAX: usize = 128 * 1024;

/// How often a client that is held back is looked at again, where nothing says when: a message that the disk had no room for,
/// and a shortage of memory that is over before the alarm was raised.
const HELD_BACK_RETRY: Duration = Duration::from_millis(100);

/// Bytes read and written before other connections have their turn. What is published with QoS 0 is not held back for a subscriber
/// that would take it, had it its turn: so this is much less than an inbox holds.
const BURST_BYTES: u64 = 128 * 1024;

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The client took leave.
    Closed,
    /// So it did, and wants its will published.
    ClosedWithWill,
    /// The stream ended without a word.
    Lost(io::Error),
    /// The client has not been heard of for one and a half times its keep-alive.
    Silent,
    /// The client has come by another connection.
    TakenOver,
    /// The program stops.
    Stopping,
    /// It is closed for an error, which a client of 5.0 is told.
    Failed(Failure),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

impl End {
    /// What it means for the session.
    const fn of_session(&self) -> sessions::End {
        match self {
            Self::Closed => sessions::End::Normal,
            Self::ClosedWithWill => sessions::End::WithWill,
            Self::TakenOver => sessions::End::TakenOver,
            Self::Lost(_) | Self::Silent | Self::Stopping | Self::Failed(_) => sessions::End::Lost,
        }
    }

    /// What the client is told; nothing where it said so itself, or is gone.
    fn told(&self) -> Option<(Reason, &str)> {
        match self {
            Self::Closed | Self::ClosedWithWill | Self::Lost(_) => None,
            Self::Silent => Some((Reason::KEEP_ALIVE_TIMEOUT, "")),
            Self::TakenOver => Some((Reason::SESSION_TAKEN_OVER, "")),
            Self::Stopping => Some((Reason::SERVER_SHUTTING_DOWN, "")),
            Self::Failed(failure) => Some((failure.reason, &failure.what)),
        }
    }
}

/// Serves a client until it is gone. What is large here has an allocation of its own that goes with its stage: a connection that
/// is idle costs what its loop waits with.
pub(crate) async fn serve(mqtt: &Mqtt, connection: Connection) {
    let Some(mut running) = Box::pin(begin(mqtt, connection)).await else { return };
    let signals = Arc::clone(&running.signals);
    let end = tokio::select! {
        biased;
        end = running.run() => end,
        // It waits for something that does not come.
        () = signals.cut() => End::TakenOver,
    };
    Box::pin(take_leave(running, end)).await;
}

/// The beginning of a connection; none where there is no session.
async fn begin(mqtt: &Mqtt, mut connection: Connection) -> Option<Box<Running>> {
    let peer = connection.peer;
    let mut input = BytesMut::new();
    let mut shutdown = connection.shutdown.clone();
    let handshake = timeout(mqtt.settings.handshake_timeout, shake_hands(mqtt, &mut connection, &mut input));
    let agreed = tokio::select! {
        agreed = handshake => agreed,
        // There is nothing yet that a client would have to be told about.
        () = shutdown.requested() => return None,
    };
    let agreed = match agreed {
        Ok(Ok(agreed)) => agreed,
        Ok(Err(HandshakeError::Refused(failure, version, packet_bytes_max))) => {
            tracing::info!(%peer, reason = failure.reason.0, what = &*failure.what, "connection refused");
            let mut stream = connection.stream;
            let farewell = async {
                refuse(&failure, version, packet_bytes_max, &mut stream).await?;
                linger(&mut stream).await
            };
            // Whether it listens or not, it is gone afterwards.
            let _ = timeout(CLOSE_TIMEOUT, farewell).await;
            return None;
        }
        Ok(Err(HandshakeError::Gone(why))) => {
            tracing::info!(%peer, why, "connection refused");
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
        tls,
        client = &*agreed.client_id,
        "connected"
    );
    let keep_alive_s = agreed.keep_alive_s;
    let signals = Arc::clone(agreed.held.signals());
    let broker = Arc::clone(agreed.session.broker());
    let expiry = agreed.expires_ms.map(|at_ms| Box::new(Expiry::new(at_ms)));
    let user_deletion = agreed.session.user_deletion();
    let mut client = Client::new(agreed, Arc::clone(&mqtt.settings), Arc::clone(&mqtt.stats));
    client.tell_connected(tls.is_some(), keep_alive_s);
    client.begin();
    Some(Box::new(Running {
        client,
        stream: connection.stream,
        input,
        durable: broker.watch_durable(),
        alarms: broker.alarms(),
        shutdown,
        signals,
        user_deletion,
        keep_alive: KeepAlive::new(keep_alive_s),
        expiry,
        retry: None,
        read_bytes: 0,
        burst_end: BURST_BYTES,
    }))
}

/// The end of a connection.
async fn take_leave(mut running: Box<Running>, end: End) {
    let Running { client, stream, .. } = &mut *running;
    let (peer, version) = (client.ends.peer, client.version);
    // First, and without waiting for the client: another connection may want the session.
    client.end(end.of_session());
    client.tell_disconnected();
    let name = &client.client_id;
    match &end {
        End::Closed | End::ClosedWithWill => tracing::debug!(%peer, client = &**name, "disconnected"),
        End::Lost(error) => tracing::info!(%peer, client = &**name, %error, "connection lost"),
        End::Silent => tracing::info!(%peer, client = &**name, "connection lost: keep-alive timeout"),
        End::TakenOver => tracing::info!(%peer, client = &**name, "the client has come by another connection"),
        End::Stopping => tracing::debug!(%peer, client = &**name, "disconnected: the broker stops"),
        End::Failed(failure) => {
            let what = &*failure.what;
            tracing::info!(%peer, client = &**name, reason = failure.reason.0, what, "connection closed for an error");
        }
    }
    let Some((reason, what)) = end.told() else { return };
    if version == Version::V5 {
        let reason_string = Some(what).filter(|what| !what.is_empty());
        let disconnect = Packet::Disconnect(Disconnect { reason_string, ..Disconnect::new(reason) });
        let (without_words, max) = (Packet::Disconnect(Disconnect::new(reason)), client.packet_bytes_max);
        // 3.14.2-3; what does not fit without the words either is not sent (3.1.2-24).
        let _ = encode_within(&disconnect, version, max, client.out.tail())
            || encode_within(&without_words, version, max, client.out.tail());
    }
    let farewell = async {
        flush(stream, &mut client.out).await?;
        linger(stream).await
    };
    // Whether it listens or not, it is gone afterwards.
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

/// Signs of life of the client (3.1.2.10).
struct KeepAlive {
    /// Silence for so long, and it is gone. None for ever: then there is no timer either.
    limit: Option<(Duration, Pin<Box<Sleep>>)>,
    last_read: Instant,
}

impl KeepAlive {
    fn new(keep_alive_s: u16) -> Self {
        let limit = (keep_alive_s > 0).then(|| {
            let limit = Duration::from_millis(u64::from(keep_alive_s) * 1500);
            (limit, Box::pin(sleep(limit)))
        });
        Self { limit, last_read: Instant::now() }
    }

    /// Looks at the clock; an error when the client has been silent for too long. `reading` is false while nothing is read from
    /// it on purpose.
    fn tick(&mut self, reading: bool) -> Result<(), End> {
        let Some((limit, timer)) = &mut self.limit else { return Ok(()) };
        let now = Instant::now();
        if timer.deadline() > now {
            return Ok(());
        }
        if !reading {
            self.last_read = now;
        }
        let due = self.last_read + *limit;
        if due <= now {
            return Err(End::Silent);
        }
        timer.as_mut().reset(due);
        Ok(())
    }

    async fn due(&mut self) {
        match &mut self.limit {
            Some((_, timer)) => timer.as_mut().await,
            None => std::future::pending().await,
        }
    }
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
            return Err(End::Failed(Failure::new(Reason::NOT_AUTHORIZED, "credential expired")));
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

fn user_deleted() -> End {
    End::Failed(Failure::new(Reason::ADMINISTRATIVE_ACTION, "the user is deleted"))
}

struct Running {
    client: Client,
    stream: Box<dyn Stream>,
    input: BytesMut,
    durable: watch::Receiver<Ticket>,
    alarms: watch::Receiver<Alarms>,
    shutdown: Shutdown,
    signals: Arc<Signals>,
    user_deletion: UserDeletion,
    keep_alive: KeepAlive,
    /// Most log in with what does not end.
    expiry: Option<Box<Expiry>>,
    /// When it is looked at again, while it is held back.
    retry: Option<Pin<Box<Sleep>>>,
    /// Bytes of packets handled so far.
    read_bytes: u64,
    /// Others have their turn when so many bytes have been read and written.
    burst_end: u64,
}

/// What was among the packets that have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    /// The next one may wait for the disk.
    ForMore,
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
        if self.client.is_stalled() && self.retry.as_ref().is_none_or(is_past) {
            self.retry = None;
            self.client.retry_stalled().map_err(End::Failed)?;
        }
        let mut done = self.packets();
        while let Ok(Asked::ForMore) = done {
            done = match Box::pin(self.ask()).await {
                Ok(()) => self.packets(),
                Err(end) => Err(end),
            };
        }
        if !self.client.settling.is_empty() {
            Box::pin(self.client.settle()).await.map_err(End::Failed)?;
        }
        self.client.flush();
        done?;
        self.client.deliver().await;
        if self.client.lost_queue {
            return Err(End::Failed(Failure::new(Reason::ADMINISTRATIVE_ACTION, "a queue of the session was deleted")));
        }

        self.client.send_retained();

        let alarm = self.alarm();
        let backlog = self.client.publishes && self.client.session.broker().backlog_is_high();
        let stalled = self.client.is_stalled();
        let held_back = stalled || alarm || backlog || self.client.answers.len() >= ANSWERS_MAX;
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
            return Err(End::Stopping);
        }
        if self.signals.is_wanted() {
            return Err(End::TakenOver);
        }
        if self.user_deletion.has_happened() {
            return Err(user_deleted());
        }
        if let Some(expiry) = &mut self.expiry {
            expiry.tick()?;
        }
        self.keep_alive.tick(reading)?;
        if delivering && self.client.has_more_retained() {
            // More of them than fit at once: what else there is has its turn in between.
            return self.io_now(reading).await;
        }
        let publishes = self.client.publishes;
        let Self {
            client,
            stream,
            input,
            durable,
            alarms,
            shutdown,
            signals,
            user_deletion,
            keep_alive,
            expiry,
            retry,
            ..
        } = self;
        let inbox = Arc::clone(&client.inbox);
        let mut quiet = true;
        tokio::select! {
            biased;
            io = std::future::poll_fn(|cx| poll_client(stream, client, input, reading, &mut quiet, cx)) => match io? {
                Io::Read => keep_alive.last_read = Instant::now(),
                Io::Written => {}
            },
            () = inbox.ready(), if delivering => {}
            changed = durable.changed(), if awaits_durability => {
                if changed.is_err() {
                    return Err(End::Failed(Failure::new(Reason::UNSPECIFIED_ERROR, "storage failed")));
                }
            }
            changed = alarms.changed(), if publishes => {
                if changed.is_err() {
                    return Err(End::Stopping);
                }
            }
            () = wait(retry), if retrying => {}
            () = keep_alive.due() => {}
            () = signals.wanted() => return Err(End::TakenOver),
            () = shutdown.requested() => return Err(End::Stopping),
            () = expired(expiry) => {}
            () = user_deletion.happened() => return Err(user_deleted()),
        }
        Ok(())
    }

    /// Reads and writes what can be without waiting.
    async fn io_now(&mut self, reading: bool) -> Result<(), End> {
        let Self { client, stream, input, keep_alive, .. } = self;
        let mut quiet = false;
        let io = std::future::poll_fn(|cx| match poll_client(stream, client, input, reading, &mut quiet, cx) {
            Poll::Ready(io) => Poll::Ready(Some(io)),
            Poll::Pending => Poll::Ready(None),
        });
        if let Some(Io::Read) = io.await.transpose()? {
            keep_alive.last_read = Instant::now();
        }
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Handles the whole packets that have come, up to one that may wait for the disk.
    fn packets(&mut self) -> Result<Asked, End> {
        if self.input.is_empty() {
            return Ok(Asked::Nothing);
        }
        let client = &mut self.client;
        client.now_ms = now_ms();
        let settings = Settings { version: client.version, packet_bytes_max: client.settings.packet_bytes_max };
        let mut consumed = 0;
        let result = loop {
            let is_full = client.out.len() >= OUTPUT_BYTES_MAX || client.answers.len() >= ANSWERS_MAX;
            if client.is_stalled() || is_full {
                break Ok(Asked::Nothing);
            }
            match decode(&self.input[consumed..], settings) {
                Ok(None) => break Ok(Asked::Nothing),
                Ok(Some((packet, bytes))) => match client.packet(&packet) {
                    Ok(Next::Ask) => break Ok(Asked::ForMore),
                    Ok(Next::Continue) => consumed += bytes,
                    Ok(Next::Close) => break Err(End::Closed),
                    Ok(Next::CloseWithWill) => break Err(End::ClosedWithWill),
                    Err(failure) => break Err(End::Failed(failure)),
                },
                Err(error) => break Err(End::Failed(error.into())),
            }
        };
        self.consume(consumed);
        result
    }

    /// Handles the first packet, which may wait for the disk.
    async fn ask(&mut self) -> Result<(), End> {
        let client = &mut self.client;
        let settings = Settings { version: client.version, packet_bytes_max: client.settings.packet_bytes_max };
        let consumed = match decode(&self.input, settings) {
            Ok(None) => 0,
            Ok(Some((Packet::Subscribe(subscribe), bytes))) => {
                client.subscribe(&subscribe).await;
                bytes
            }
            Ok(Some((Packet::Unsubscribe(unsubscribe), bytes))) => {
                client.unsubscribe(&unsubscribe).await;
                bytes
            }
            Ok(Some((_, bytes))) => bytes,
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
        alarms.any() || self.client.session.broker().memory_is_high()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// There are tens of thousands of connections that wait, and what one waits with is most of what it costs.
    #[test]
    fn a_connection_that_waits_is_small() {
        fn future_bytes<T, F: Future>(_: impl FnOnce(T) -> F) -> usize {
            size_of::<F>()
        }
        let waiting = future_bytes(|(mqtt, connection): (&'static Mqtt, Connection)| serve(mqtt, connection));
        assert!(waiting <= 1536, "{waiting}");
        assert!(size_of::<Running>() <= 1280, "{}", size_of::<Running>());
    }
}
