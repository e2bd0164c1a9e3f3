//! The bounds of a connection.

use std::num::NonZeroU16;
use std::time::Duration;

/// What the configuration sets for every connection.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The topic exchange that topics are routing keys of.
    pub exchange: Box<str>,
    /// The virtual host of clients that name none.
    pub vhost: Box<str>,
    /// Largest packet of a client, in bytes; at least 1,024 and at most 268,435,460.
    pub packet_bytes_max: u32,
    /// Longest keep-alive, in seconds; 0 for any.
    pub keep_alive_max_s: u16,
    /// Longest time that a session outlives its connection, in seconds; `u32::MAX` for any.
    pub session_expiry_max_s: u32,
    /// QoS 1 and 2 publishes that a client may have under way, and that are sent to one at the same time.
    pub receive_max: NonZeroU16,
    /// Topic aliases in each direction; 0 for none.
    pub topic_alias_max: u16,
    /// Sessions in all, with and without a connection.
    pub sessions_max: usize,
    /// Subscriptions of a session.
    pub subscriptions_max: usize,
    /// How often the topics below `$SYS` are looked at, a second at least.
    pub system_interval: Duration,
    /// Time that a client has to log in.
    pub handshake_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            exchange: "amq.topic".into(),
            vhost: "/".into(),
            packet_bytes_max: 16 << 20,
            keep_alive_max_s: 0,
            session_expiry_max_s: 7 * 24 * 3600,
            receive_max: NonZeroU16::MIN.saturating_add(1023),
            topic_alias_max: 16,
            sessions_max: 1_000_000,
            subscriptions_max: 10_000,
            system_interval: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

/// Largest CONNECT, in bytes: enough for a will and a long token as password.
pub(crate) const LOGIN_BYTES_MAX: u32 = 64 * 1024;

/// Longest client id, in bytes: the name of the session's queue has no more than a short string of AMQP holds.
pub(crate) const CLIENT_ID_BYTES_MAX: usize = 255 - "mqtt-qos0-subscription-".len();

/// Bytes that wait in a connection's inbox before its consumers are left out, and QoS 0 messages are dropped. Several times what
/// a publisher brings before others have their turn.
pub(crate) const INBOX_BYTES_MAX: usize = 4 << 20;

/// Bytes waiting to be written above which no further deliveries are encoded.
pub(crate) const OUTPUT_BYTES_HIGH: usize = 512 << 10;

/// Bytes waiting to be written above which nothing more is read: the client does not read either.
pub(crate) const OUTPUT_BYTES_MAX: usize = 8 << 20;

/// Acknowledgements that wait for the disk above which nothing more is read: a client before 5.0 knows no receive maximum.
pub(crate) const ANSWERS_MAX: usize = 64 * 1024;

/// How long a client has to take what it is told last.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
