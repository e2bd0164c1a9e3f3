//! The bounds of a connection.

use std::time::Duration;

use crate::codec::Limits;
use crate::destinations::Dialect;

/// What the configuration sets for every connection.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How destinations and headers are read.
    pub dialect: Dialect,
    /// The virtual host of clients that name none.
    pub vhost: Box<str>,
    /// Largest body of a message, in bytes.
    pub message_bytes_max: usize,
    /// Command and headers of a frame, in bytes, of a client that has logged in.
    pub header_bytes_max: usize,
    /// Headers of a frame.
    pub headers_max: usize,
    /// Shortest interval of heart-beats, in milliseconds; a client that asks for a shorter one is offered this.
    pub heart_beat_min_ms: u64,
    /// Subscriptions of a connection.
    pub subscriptions_max: usize,
    /// Time that a client has to log in.
    pub handshake_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dialect: Dialect::RabbitMq,
            vhost: "/".into(),
            message_bytes_max: 128 << 20,
            header_bytes_max: 64 << 10,
            headers_max: 256,
            heart_beat_min_ms: 1_000,
            subscriptions_max: 10_000,
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

impl Settings {
    /// What a frame may be of a client that has logged in.
    pub(crate) fn frame_limits(&self) -> Limits {
        Limits {
            header_bytes_max: self.header_bytes_max,
            headers_max: self.headers_max,
            body_bytes_max: self.message_bytes_max,
        }
    }

    /// What a frame may be of a client that has not: enough for a long token as passcode.
    pub(crate) fn login_limits(&self) -> Limits {
        Limits {
            header_bytes_max: LOGIN_HEADER_BYTES_MAX.min(self.header_bytes_max),
            headers_max: self.headers_max,
            body_bytes_max: LOGIN_BODY_BYTES_MAX,
        }
    }
}

/// Headers of a CONNECT, in bytes.
pub(crate) const LOGIN_HEADER_BYTES_MAX: usize = 16 << 10;

/// Body of a CONNECT, in bytes: it has none that means anything.
const LOGIN_BODY_BYTES_MAX: usize = 1 << 10;

/// Bytes that wait in a connection's inbox before its consumers are left out.
pub(crate) const INBOX_BYTES_MAX: usize = 1 << 20;

/// Bytes waiting to be written above which no further deliveries are encoded.
pub(crate) const OUTPUT_BYTES_HIGH: usize = 512 << 10;

/// Bytes waiting to be written above which nothing more is read: the client does not read either.
pub(crate) const OUTPUT_BYTES_MAX: usize = 8 << 20;

/// Messages that a client has and has not acknowledged, where no prefetch-count says less.
pub(crate) const UNACKED_MAX: u32 = 1 << 20;

/// Bytes of receipts that wait for the disk above which nothing more is read.
pub(crate) const RECEIPT_BYTES_MAX: usize = 4 << 20;

/// Transactions that a client may have begun.
pub(crate) const TRANSACTIONS_MAX: usize = 1_024;

/// Bytes of messages that the transactions of a connection may hold together.
pub(crate) const TX_BYTES_MAX: u64 = 512 << 20;

/// What a message in a transaction counts for beside its bytes: that it is there.
pub(crate) const TX_FRAME_BYTES: u64 = 512;

/// Frames that the transactions of a connection may hold together.
pub(crate) const TX_FRAMES_MAX: usize = 1 << 20;

/// Entries of the list of unacknowledged messages that the frames of a client have looked at before others have their turn.
pub(crate) const TOIL_MAX: usize = 1 << 17;

/// Messages that a subscription in ActiveMQ's manner may have and not have acknowledged, where it does not say itself: ActiveMQ's
/// number, and what is kept in memory for the dead letter queue.
pub(crate) const ACTIVEMQ_PREFETCH: u16 = 1_000;

/// Bytes of the copies of a message to several destinations: each of them has its own.
pub(crate) const COMPOSITE_BYTES_MAX: usize = 256 << 20;

/// Destinations that a connection remembers; it forgets all when there are more.
pub(crate) const DESTINATIONS_KNOWN_MAX: usize = 1_024;

/// Queues for replies of a connection.
pub(crate) const REPLY_QUEUES_MAX: usize = 1_024;

/// What the names of queues that the server names look like: patterns of rights cannot tell one of them from another.
pub(crate) const GENERATED_NAME_SAMPLE: &str = "amq.gen-AAAAAAAAAAAAAAAAAAAAAA";

/// Values that a reader of a stream may select messages by: each message is compared with all of them.
pub(crate) const FILTER_VALUES_MAX: usize = 256;

/// How long a client has to take what it is told last.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
